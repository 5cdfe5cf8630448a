//! Where a location is, and who we are there: for people who wonder why they may not read it. Secrets stay where they are.

use super::location::{Location, Scheme};
use super::store::wait;
use crate::error::{Error, Result, without_secrets};

/// Names and values to show, and what went wrong when credentials were asked for.
pub type Whoami = (Vec<(&'static str, String)>, Option<Error>);

/// What is known about a location's store and the credentials for it. Temporary credentials are fetched, so that it is
/// seen whether they can be.
///
/// # Errors
/// When the location is none, or there are no credentials.
pub fn whoami(location: &str) -> Result<Whoami> {
    let location = Location::exact(location)?;
    let store = location.store();
    let kind = match location.scheme {
        Scheme::Local => "this machine's files",
        Scheme::Memory => "memory of this process",
        Scheme::S3 => "S3",
        Scheme::Gcs => "Google Cloud Storage",
        Scheme::Azure => "Azure",
        Scheme::Http => "files over HTTP, for reading",
        Scheme::Registered => "a store that the program registered",
    };
    let shown = match location.scheme {
        Scheme::Local => super::absolute_path(location.base())?,
        _ => without_secrets(&location.base),
    };
    let mut rows = vec![("location", shown), ("store", kind.to_string())];
    let Some(account) = &store.account else {
        return Ok((rows, None));
    };
    rows.push(("endpoint", without_secrets(&account.endpoint)));
    rows.extend(account.region.iter().map(|r| ("region", r.clone())));
    rows.push(("credentials", account.from.clone()));
    let Some(credentials) = &account.credentials else {
        return Ok((rows, None));
    };
    match wait(credentials.describe())? {
        Ok((key, expires)) => {
            rows.push(("access key", key));
            rows.push(("expires", expires.unwrap_or_else(|| "never".into())));
            Ok((rows, None))
        }
        Err(e) => Ok((rows, Some(e))),
    }
}
