//! Tokens for Google's buckets from files of credentials that the client does not know: workload identity federation
//! (`external_account`), where somebody else's token is exchanged for one of Google's, and service accounts that are
//! impersonated with the credentials of somebody who may (`impersonated_service_account`).
//!
//! See <https://google.aip.dev/auth/4117> and <https://cloud.google.com/iam/docs/workload-identity-federation>.

use super::cached::{Cached, Fetch, Fetched};
use super::request::{Distance, answer, get, with_body};
use super::{Environment, Secret};
use crate::error::{Error, Result};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::gcp::GcpCredential;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a token is for; what its owner may do is decided by the roles of the account.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where people's tokens are refreshed.
const TOKENS: &str = "https://oauth2.googleapis.com/token";
/// For how long a token of an impersonated account is asked for.
const LIFETIME: i64 = 3600;
/// Credentials of credentials of credentials: nobody has them, but a file may say so.
const DEEPEST: usize = 4;

/// Types of files that are read here.
pub(in crate::storage) const TYPES: &[&str] = &["external_account", "impersonated_service_account"];

/// Who gives tokens.
enum Source {
    External(Box<External>),
    /// A person who has signed in.
    User {
        id: String,
        secret: Secret,
        refresh: Secret,
        url: String,
    },
    /// A key of a service account.
    Key {
        email: String,
        key: Secret,
        key_id: Option<String>,
        url: String,
    },
    Impersonated {
        url: String,
        delegates: Value,
        seconds: i64,
        base: Box<Source>,
    },
}

/// Somebody else's token for one of Google's.
struct External {
    audience: String,
    kind: String,
    url: String,
    /// `client_id:client_secret`, when the exchange asks for it.
    client: Option<Secret>,
    /// The project that is charged, for identities of a workforce.
    project: Option<String>,
    subject: Subject,
}

/// Where somebody else's token comes from.
enum Subject {
    File {
        path: PathBuf,
        field: Option<String>,
    },
    Url {
        url: String,
        headers: Vec<(String, Secret)>,
        field: Option<String>,
    },
    /// A signed request to Amazon that tells who we are there.
    Amazon {
        url: String,
        region_url: Option<String>,
    },
}

/// The tokens that a file of credentials stands for.
struct Tokens {
    source: Source,
    environment: Environment,
    allow_http: bool,
    file: PathBuf,
}

/// What keeps the tokens of a file fresh, when it is of one of the [`TYPES`].
///
/// # Errors
/// When the file does not say enough, or asks for what is not supported.
pub(in crate::storage) fn tokens_of_file(
    file: &Path,
    text: &Value,
    environment: &Environment,
    allow_http: bool,
) -> Result<Arc<Cached<GcpCredential>>> {
    let source = source(text, DEEPEST).map_err(|e| e.context(file.display().to_string()))?;
    Ok(Arc::new(Cached::new(Tokens {
        source,
        environment: environment.clone(),
        allow_http,
        file: file.to_path_buf(),
    })))
}

fn text(json: &Value, name: &str) -> Option<String> {
    json.get(name)
        .and_then(Value::as_str)
        .filter(|t| !t.is_empty())
        .map(str::to_string)
}

fn required(json: &Value, name: &str) -> Result<String> {
    text(json, name).ok_or_else(|| Error::storage(format!("{name} is missing")))
}

fn source(json: &Value, deepest: usize) -> Result<Source> {
    if deepest == 0 {
        return Err(Error::storage("credentials lead to other credentials again and again"));
    }
    let url = || text(json, "token_uri").unwrap_or_else(|| TOKENS.to_string());
    match required(json, "type")?.as_str() {
        "external_account" => {
            let external = Source::External(Box::new(external(json)?));
            let seconds = json.pointer("/service_account_impersonation/token_lifetime_seconds");
            Ok(match text(json, "service_account_impersonation_url") {
                None => external,
                Some(url) => Source::Impersonated {
                    url,
                    delegates: Value::Null,
                    seconds: seconds.and_then(Value::as_i64).unwrap_or(LIFETIME),
                    base: Box::new(external),
                },
            })
        }
        "impersonated_service_account" => {
            let base = json.get("source_credentials");
            let base = base.ok_or_else(|| Error::storage("source_credentials is missing"))?;
            Ok(Source::Impersonated {
                url: required(json, "service_account_impersonation_url")?,
                delegates: json.get("delegates").cloned().unwrap_or_default(),
                seconds: LIFETIME,
                base: Box::new(source(base, deepest - 1).map_err(|e| e.context("source_credentials"))?),
            })
        }
        "authorized_user" => Ok(Source::User {
            id: required(json, "client_id")?,
            secret: Secret::new(required(json, "client_secret")?),
            refresh: Secret::new(required(json, "refresh_token")?),
            url: url(),
        }),
        "service_account" => Ok(Source::Key {
            email: required(json, "client_email")?,
            key: Secret::new(required(json, "private_key")?),
            key_id: text(json, "private_key_id"),
            url: url(),
        }),
        other => Err(Error::unsupported(format!("Google credentials of the type {other}"))),
    }
}

fn external(json: &Value) -> Result<External> {
    let place = json.get("credential_source").cloned().unwrap_or_default();
    let format = place.get("format").cloned().unwrap_or_default();
    let field = match text(&format, "type").as_deref() {
        None | Some("text") => None,
        Some("json") => Some(required(&format, "subject_token_field_name")?),
        Some(other) => return Err(Error::unsupported(format!("a token in the format {other}"))),
    };
    let subject = if place.get("executable").is_some() {
        return Err(
            Error::unsupported("a token that a program gives (credential_source.executable)")
                .with_hint("let the program write the token to a file, and name that in credential_source.file"),
        );
    } else if let Some(environment) = text(&place, "environment_id") {
        if environment != "aws1" {
            return Err(Error::unsupported(format!("a token of the environment {environment}")));
        }
        Subject::Amazon {
            url: required(&place, "regional_cred_verification_url")?,
            region_url: text(&place, "region_url"),
        }
    } else if let Some(path) = text(&place, "file") {
        Subject::File {
            path: path.into(),
            field,
        }
    } else if let Some(url) = text(&place, "url") {
        let headers = place
            .get("headers")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let header = |(name, value): (String, Value)| Some((name, Secret::new(value.as_str()?)));
        let headers = headers.into_iter().filter_map(header).collect();
        Subject::Url { url, headers, field }
    } else {
        return Err(Error::storage(
            "credential_source names neither a file nor a URL nor Amazon",
        ));
    };
    let client = match (text(json, "client_id"), text(json, "client_secret")) {
        (Some(id), Some(secret)) => Some(Secret::new(format!("{id}:{secret}"))),
        _ => None,
    };
    Ok(External {
        audience: required(json, "audience")?,
        kind: required(json, "subject_token_type")?,
        url: required(json, "token_url")?,
        client,
        project: text(json, "workforce_pool_user_project"),
        subject,
    })
}

impl Fetch<GcpCredential> for Tokens {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<GcpCredential>>> {
        async move {
            let token = self.token(&self.source).await;
            let (token, expires) = token.map_err(|e| e.context(self.file.display().to_string()))?;
            let credential = GcpCredential {
                bearer: token.reveal().to_string(),
            };
            Ok(Fetched {
                credential: Arc::new(credential),
                expires: Some(expires),
            })
        }
        .boxed()
    }
}

type Token = (Secret, DateTime<Utc>);

impl Tokens {
    fn token<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<Token>> {
        async move {
            match source {
                Source::External(external) => self.exchange(external).await,
                Source::User {
                    id,
                    secret,
                    refresh,
                    url,
                } => {
                    let form = [
                        ("grant_type", "refresh_token"),
                        ("client_id", id),
                        ("client_secret", secret.reveal()),
                        ("refresh_token", refresh.reveal()),
                    ];
                    self.form("Google's service for tokens", url, &form, None).await
                }
                Source::Key {
                    email,
                    key,
                    key_id,
                    url,
                } => {
                    let assertion = assertion(email, key, key_id.as_deref(), url)?;
                    let form = [
                        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                        ("assertion", assertion.reveal()),
                    ];
                    self.form("Google's service for tokens", url, &form, None).await
                }
                Source::Impersonated {
                    url,
                    delegates,
                    seconds,
                    base,
                } => {
                    let base = self.token(base).await?;
                    self.impersonate(url, delegates, *seconds, &base.0).await
                }
            }
        }
        .boxed()
    }

    /// # Errors
    /// When secrets would be sent to a service without TLS.
    fn check<'u>(&self, url: &'u str) -> Result<&'u str> {
        match url.starts_with("https://") || self.allow_http {
            true => Ok(url),
            false => Err(
                Error::storage(format!("tokens are not asked for over plain HTTP from {url}"))
                    .with_hint("SET allow_http = true, or GOOGLE_ALLOW_HTTP=true"),
            ),
        }
    }

    async fn form(&self, who: &str, url: &str, form: &[(&str, &str)], client: Option<&Secret>) -> Result<Token> {
        let url = self.check(url)?;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let basic = client.map(|client| format!("Basic {}", BASE64_STANDARD.encode(client.reveal())));
        let build = || {
            let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
            headers.extend(basic.as_deref().map(|basic| ("authorization", basic)));
            with_body("POST", url, &headers, body.clone())
        };
        let body = json(who, &answer(who, Distance::Far, build).await?)?;
        let token = text(&body, "access_token").ok_or_else(|| incomplete(who))?;
        let seconds = body.get("expires_in").and_then(Value::as_i64).unwrap_or(300);
        Ok((
            Secret::new(token),
            Utc::now() + TimeDelta::seconds(seconds.clamp(0, 86_400)),
        ))
    }

    async fn exchange(&self, external: &External) -> Result<Token> {
        let subject = self.subject(external).await?;
        let options = external
            .project
            .as_ref()
            .map(|project| json!({ "userProject": project }).to_string());
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("scope", SCOPE),
            ("audience", &external.audience),
            ("subject_token_type", &external.kind),
            ("subject_token", subject.reveal()),
        ];
        form.extend(options.as_deref().map(|options| ("options", options)));
        let client = external.client.as_ref();
        self.form("Google's exchange for tokens", &external.url, &form, client)
            .await
    }

    async fn impersonate(&self, url: &str, delegates: &Value, seconds: i64, base: &Secret) -> Result<Token> {
        const WHO: &str = "Google's service for impersonation";
        let url = self.check(url)?;
        let mut request = json!({ "scope": [SCOPE], "lifetime": format!("{seconds}s") });
        if let (Some(request), true) = (request.as_object_mut(), delegates.is_array()) {
            request.insert("delegates".into(), delegates.clone());
        }
        let bearer = format!("Bearer {}", base.reveal());
        let headers = [("content-type", "application/json"), ("authorization", &bearer)];
        let build = || with_body("POST", url, &headers, request.to_string());
        let body = json(WHO, &answer(WHO, Distance::Far, build).await?)?;
        let token = text(&body, "accessToken").ok_or_else(|| incomplete(WHO))?;
        let end = text(&body, "expireTime").and_then(|end| DateTime::parse_from_rfc3339(&end).ok());
        let end = end.ok_or_else(|| incomplete(WHO))?;
        Ok((Secret::new(token), end.with_timezone(&Utc)))
    }

    /// Somebody else's token.
    async fn subject(&self, external: &External) -> Result<Secret> {
        match &external.subject {
            Subject::File { path, field } => {
                let content = std::fs::read_to_string(path);
                let content = content.map_err(|e| Error::storage(format!("the token in {}: {e}", path.display())))?;
                subject_in(&content, field.as_deref(), &path.display().to_string())
            }
            Subject::Url { url, headers, field } => {
                const WHO: &str = "the service for the token to exchange";
                let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.reveal())).collect();
                let content = answer(WHO, Distance::Near, || get("GET", url, &headers)).await?;
                subject_in(&content, field.as_deref(), WHO)
            }
            Subject::Amazon { url, region_url } => self.amazon(&external.audience, url, region_url.as_deref()).await,
        }
    }

    /// A request to Amazon's service for tokens that is not sent but signed: whoever sends it learns who we are.
    #[cfg(feature = "s3")]
    async fn amazon(&self, audience: &str, url: &str, region_url: Option<&str>) -> Result<Secret> {
        let identity = super::aws::find(&self.environment, &Default::default())?;
        let keys = identity
            .provider(&self.environment, self.allow_http)
            .ok_or_else(|| Error::storage("Amazon is asked anonymously: there is nobody to be identified"))?;
        let keys = keys.0.current().await?;
        let region = match (&identity.region, region_url) {
            (Some(region), _) => region.clone(),
            (None, Some(url)) => super::fetch::region_of_machine(url, &self.environment).await?,
            (None, None) => return Err(Error::storage("it is not known in which of Amazon's regions this is")),
        };
        let url = url.replace("{region}", &region);
        let mut request = get("POST", &url, &[("x-goog-cloud-target-resource", audience)])?;
        object_store::aws::AwsAuthorizer::new(&keys.credential, "sts", &region)
            .try_authorize(&mut request, None)
            .map_err(|_| Error::storage("the request that tells who we are cannot be signed"))?;
        let host = request.uri().host().unwrap_or_default();
        let mut headers = vec![json!({ "key": "host", "value": host })];
        for (name, value) in request.headers() {
            let value = value.to_str().unwrap_or_default();
            headers.push(json!({ "key": name.as_str(), "value": value }));
        }
        let signed = json!({ "url": url, "method": "POST", "headers": headers }).to_string();
        let escaped = url::form_urlencoded::byte_serialize(signed.as_bytes()).collect::<String>();
        Ok(Secret::new(escaped.replace('+', "%20")))
    }

    #[cfg(not(feature = "s3"))]
    async fn amazon(&self, _: &str, _: &str, _: Option<&str>) -> Result<Secret> {
        Err(Error::unsupported(
            "this program was built without the feature \"s3\", which Amazon's identities need",
        ))
    }
}

/// The token in a file or an answer: all of it, or a field.
fn subject_in(content: &str, field: Option<&str>, place: &str) -> Result<Secret> {
    let Some(field) = field else {
        return Ok(Secret::new(content.trim()));
    };
    let token = serde_json::from_str::<Value>(content)
        .ok()
        .and_then(|json| text(&json, field));
    let token = token.ok_or_else(|| Error::storage(format!("{place} has no field {field} with a token")))?;
    Ok(Secret::new(token))
}

/// What a service account says about itself, signed with its key.
fn assertion(email: &str, key: &Secret, key_id: Option<&str>, url: &str) -> Result<Secret> {
    let broken = || Error::storage("private_key is not a key of RSA");
    let lines = key.reveal().lines().filter(|line| !line.starts_with("-----"));
    let der = BASE64_STANDARD
        .decode(lines.collect::<String>())
        .map_err(|_| broken())?;
    let pair = ring::signature::RsaKeyPair::from_pkcs8(&der).map_err(|_| broken())?;
    let now = Utc::now().timestamp();
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": key_id });
    let claims = json!({ "iss": email, "scope": SCOPE, "aud": url, "iat": now, "exp": now + LIFETIME });
    let encode = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    pair.sign(
        &ring::signature::RSA_PKCS1_SHA256,
        &random,
        signed.as_bytes(),
        &mut signature,
    )
    .map_err(|_| broken())?;
    Ok(Secret::new(format!(
        "{signed}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(signature)
    )))
}

fn json(who: &str, body: &str) -> Result<Value> {
    serde_json::from_str(body).map_err(|_| incomplete(who))
}

fn incomplete(who: &str) -> Error {
    Error::storage(format!("{who} did not answer with a token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let external = |source: &str| {
            format!(
                r#"{{"type":"external_account","audience":"a","subject_token_type":"t","token_url":"https://x","credential_source":{source}}}"#
            )
        };
        for (text, part) in [
            (external(r#"{"executable":{"command":"/x"}}"#), "a token that a program gives"),
            (external("{}"), "neither a file nor a URL nor Amazon"),
            (external(r#"{"environment_id":"aws2"}"#), "environment aws2"),
            (external(r#"{"file":"/x","format":{"type":"xml"}}"#), "format xml"),
            (external(r#"{"file":"/x","format":{"type":"json"}}"#), "subject_token_field_name is missing"),
            (r#"{"type":"impersonated_service_account","service_account_impersonation_url":"u"}"#.into(), "source_credentials is missing"),
            (
                r#"{"type":"impersonated_service_account","service_account_impersonation_url":"u","source_credentials":{"type":"x"}}"#.into(),
                "source_credentials: Google credentials of the type x",
            ),
        ] {
            let json: Value = serde_json::from_str(&text).unwrap();
            let error = source(&json, DEEPEST).err().unwrap();
            assert!(error.message().contains(part), "{error}");
        }
        let mut text = r#"{"type":"service_account"}"#.to_string();
        for _ in 0..5 {
            text = format!(
                r#"{{"type":"impersonated_service_account","service_account_impersonation_url":"u","source_credentials":{text}}}"#
            );
        }
        let error = source(&serde_json::from_str(&text).unwrap(), DEEPEST).err().unwrap();
        assert!(error.message().contains("again and again"), "{error}");
    }
}
