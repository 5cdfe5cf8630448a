//! Keys from AWS single sign-on, with the token that `aws sso login` leaves in a file. A token of an `sso-session` comes with
//! another one that renews it, so nobody has to sign in again as long as the session lasts.

use super::aws::SignOn;
use super::cached::Fetched;
use super::fetch::{Fetcher, incomplete, keys_of, time};
use super::request::{Distance, answer, get, with_body};
use super::{Environment, Secret};
use crate::error::{Error, Result};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use object_store::aws::AwsCredential;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

const WHO: &str = "AWS single sign-on";
/// A token is renewed when it ends sooner than this.
const RENEW_BEFORE: TimeDelta = TimeDelta::minutes(5);

/// The file in which `aws sso login` keeps the token of a session, or of a start URL in profiles of the older form.
pub(super) fn sso_cache_file(environment: &Environment, session_or_url: &str) -> PathBuf {
    use sha1::Digest;
    let digest = sha1::Sha1::digest(session_or_url.as_bytes());
    let name: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    environment.home(".aws/sso/cache").join(name + ".json")
}

/// What the file says.
struct Session {
    /// All of it, to be written back.
    text: Value,
    token: Secret,
    expires: Option<DateTime<Utc>>,
}

impl Session {
    fn read(file: &Path) -> std::result::Result<Self, String> {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|_| format!("nobody has signed in yet: {} is missing", file.display()))?;
        let text: Value = serde_json::from_str(&text)
            .map_err(|_| format!("{} is not what `aws sso login` writes", file.display()))?;
        let token = text.get("accessToken").and_then(Value::as_str);
        let token = token.ok_or_else(|| format!("{} has no token", file.display()))?;
        Ok(Self {
            token: Secret::new(token),
            expires: text.get("expiresAt").and_then(time),
            text,
        })
    }

    fn lasts(&self, margin: TimeDelta) -> bool {
        self.expires.is_some_and(|end| Utc::now() + margin < end)
    }
}

impl Fetcher {
    pub(super) async fn single_sign_on(&self, sign_on: &SignOn) -> Result<Fetched<AwsCredential>> {
        let signed_out = |what: String| Error::storage(what).with_hint(format!("run `{}`", sign_on.login));
        let mut session = Session::read(&sign_on.cache_file).map_err(signed_out)?;
        if !session.lasts(RENEW_BEFORE) {
            match self.renew(sign_on, &session).await {
                Ok(Some(renewed)) => session = renewed,
                Err(e) if !session.lasts(TimeDelta::zero()) => {
                    let what = format!(
                        "the single sign-on session has expired and is not renewed: {}",
                        e.message()
                    );
                    return Err(signed_out(what));
                }
                // It is good for a while yet.
                _ => {}
            }
        }
        if !session.lasts(TimeDelta::zero()) {
            let end = session.expires.map_or_else(String::new, |end| {
                format!(" at {}", end.format("%Y-%m-%d %H:%M:%S UTC"))
            });
            return Err(signed_out(format!("the single sign-on session has expired{end}")));
        }
        let default = format!("https://portal.sso.{}.amazonaws.com", sign_on.region);
        let base = self.endpoint(&["AWS_ENDPOINT_URL_SSO"], default)?;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("role_name", &sign_on.role), ("account_id", &sign_on.account)])
            .finish();
        let url = format!("{base}/federation/credentials?{query}");
        let headers = [("x-amz-sso_bearer_token", session.token.reveal())];
        let body = answer(WHO, Distance::Far, || get("GET", &url, &headers)).await;
        let body = body.map_err(|e| e.with_hint(format!("run `{}`", sign_on.login)))?;
        let body: Value = serde_json::from_str(&body).map_err(|_| incomplete(WHO))?;
        let keys = body.get("roleCredentials").cloned().unwrap_or_default();
        keys_of(
            &keys,
            WHO,
            ["accessKeyId", "secretAccessKey", "sessionToken", "expiration"],
        )
    }

    /// A new token for one that ends; `None` when there is nothing to renew it with.
    async fn renew(&self, sign_on: &SignOn, session: &Session) -> Result<Option<Session>> {
        let field = |name: &str| session.text.get(name).and_then(Value::as_str).map(str::to_string);
        let fields = (field("refreshToken"), field("clientId"), field("clientSecret"));
        let (Some(refresh), Some(id), Some(secret)) = fields else {
            return Ok(None);
        };
        let registered = session.text.get("registrationExpiresAt").and_then(time);
        if registered.is_some_and(|end| end <= Utc::now()) {
            return Ok(None);
        }
        let default = format!("https://oidc.{}.amazonaws.com", sign_on.region);
        let url = self.endpoint(&["AWS_ENDPOINT_URL_SSO_OIDC"], default)? + "/token";
        let request = json!({
            "clientId": id,
            "clientSecret": secret,
            "grantType": "refresh_token",
            "refreshToken": refresh,
        });
        let headers = [("content-type", "application/json")];
        let body = answer(WHO, Distance::Far, || {
            with_body("POST", &url, &headers, request.to_string())
        })
        .await?;
        let body: Value = serde_json::from_str(&body).map_err(|_| incomplete(WHO))?;
        let (Some(token), Some(seconds)) = (
            body.get("accessToken").and_then(Value::as_str),
            body.get("expiresIn").and_then(Value::as_i64),
        ) else {
            return Err(Error::storage(format!("{WHO} did not answer with a token")));
        };
        let expires = Utc::now() + TimeDelta::seconds(seconds.clamp(0, 86_400 * 30));
        let mut text = session.text.clone();
        if let Some(fields) = text.as_object_mut() {
            fields.insert("accessToken".into(), token.into());
            let end = expires.to_rfc3339_opts(SecondsFormat::Secs, true);
            fields.insert("expiresAt".into(), end.into());
            if let Some(next) = body.get("refreshToken").filter(|next| next.is_string()) {
                fields.insert("refreshToken".into(), next.clone());
            }
        }
        // Other programs use the file, too, and the token that renewed it may be good only once. Without a place to leave it
        // this process goes on all the same.
        let _ = replace_file(&sign_on.cache_file, &text);
        Ok(Some(Session {
            token: Secret::new(token),
            expires: Some(expires),
            text,
        }))
    }
}

/// Replaces a file that its owner alone may read.
fn replace_file(file: &Path, text: &Value) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    // Such files can be read by their owner only.
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.to_string().as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file).map(drop).map_err(|e| e.error)
}
