//! Lists of open uploads, which the clients do not ask for: S3's `ListMultipartUploads`, which Google's XML dialect has, too.

use super::cannot_make;
use crate::error::{Error, Result};
use crate::storage::counting::Wire;
use crate::storage::credentials::{answer_by, element};
use crate::storage::errors::as_store_error;
use crate::storage::uploads::{ListUploads, OpenUpload};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpRequest};

/// Uploads of one page: so few that the answer is not too long.
const PAGE: &str = "500";
/// Requests for one page, as long as the store is busy.
const ATTEMPTS: u32 = 4;

/// Puts the credentials of a bucket into a request.
pub(super) type Sign = Box<dyn Fn(HttpRequest) -> BoxFuture<'static, Result<HttpRequest>> + Send + Sync>;

/// Asks a bucket.
pub(super) struct UploadsOfBucket {
    /// How it is reached. The client is made when it is needed, which is seldom: each looks for the system's certificates.
    pub options: ClientOptions,
    /// `https://s3.eu-west-1.amazonaws.com/bucket`
    pub bucket: String,
    pub sign: Sign,
}

impl ListUploads for UploadsOfBucket {
    fn list_uploads(&self, prefix: String) -> BoxFuture<'_, object_store::Result<Vec<OpenUpload>>> {
        async move { self.pages(&prefix).await.map_err(as_store_error) }.boxed()
    }
}

impl UploadsOfBucket {
    async fn pages(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        let client = Wire::default().connect(&self.options).map_err(cannot_make)?;
        let (mut found, mut after) = (vec![], None);
        loop {
            let page = self.page(&client, prefix, after.as_ref()).await?;
            found.extend(uploads(&page)?);
            let next = || Some((element(&page, "NextKeyMarker")?, element(&page, "NextUploadIdMarker")?));
            let more = element(&page, "IsTruncated").as_deref() == Some("true");
            match next().filter(|_| more) {
                // The same again would never end.
                Some(next) if after.as_ref() != Some(&next) => after = Some(next),
                _ => return Ok(found),
            }
        }
    }

    async fn page(&self, client: &HttpClient, prefix: &str, after: Option<&(String, String)>) -> Result<String> {
        let uri = format!("{}?uploads&{}", self.bucket, query(prefix, after));
        let request = || -> Result<HttpRequest> {
            let request = http::Request::builder().method("GET").uri(&uri);
            let request = request.body(String::new().into());
            request.map_err(|_| Error::storage("the address of the bucket is not a URL"))
        };
        let signed = || async { (self.sign)(request()?).await };
        answer_by(client, "the store", ATTEMPTS, signed).await
    }
}

/// What says which page is wanted.
fn query(prefix: &str, after: Option<&(String, String)>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("max-uploads", PAGE).append_pair("prefix", prefix);
    if let Some((key, id)) = after {
        query.append_pair("key-marker", key).append_pair("upload-id-marker", id);
    }
    // A plus stands for a space in forms only.
    query.finish().replace('+', "%20")
}

/// The uploads that a page names.
fn uploads(page: &str) -> Result<Vec<OpenUpload>> {
    let one = |part: &str| {
        let upload = part.split("</Upload>").next().unwrap_or_default();
        let begun = chrono::DateTime::parse_from_rfc3339(&element(upload, "Initiated")?).ok()?;
        Some(OpenUpload {
            path: element(upload, "Key")?,
            id: element(upload, "UploadId")?,
            begun: begun.timestamp_micros(),
        })
    };
    let parts = page.split("<Upload>").skip(1);
    let found: Option<Vec<OpenUpload>> = parts.map(one).collect();
    found.ok_or_else(|| Error::storage("the store's list of uploads is not what it should be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let page = "<ListMultipartUploadsResult><Bucket>b</Bucket><IsTruncated>true</IsTruncated><Upload><Key>t/a&amp;b</Key>\
                    <UploadId>1</UploadId><Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload><Upload><Key>c</Key>\
                    <UploadId>2</UploadId><Initiated>2010-11-10T20:48:34.000Z</Initiated></Upload></ListMultipartUploadsResult>";
        let found = uploads(page).unwrap();
        assert_eq!(
            (found.len(), found[0].path.as_str(), found[1].id.as_str()),
            (2, "t/a&b", "2")
        );
        assert_eq!(found[1].begun - found[0].begun, 1_000_000);
        assert!(uploads("<Upload><Key>x</Key></Upload>").is_err());
        assert!(uploads("<ListMultipartUploadsResult/>").unwrap().is_empty());
    }
}
