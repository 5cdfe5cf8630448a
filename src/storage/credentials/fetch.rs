//! Temporary keys for S3, from the services that give them.

use super::aws::{Role, Source, no_credentials};
use super::cached::{Fetch, Fetched};
use super::code::{ask_for_code, assumed_with_code};
use super::request::{Distance, answer, element, get, with_body};
use super::{Environment, Secret};
use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A process that gives credentials may ask a person something.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(120);

/// A source and what is needed to ask it.
pub(super) struct Fetcher {
    source: Source,
    environment: Environment,
    region: Option<String>,
    allow_http: bool,
}

impl Fetcher {
    pub fn new(source: Source, environment: Environment, region: Option<String>, allow_http: bool) -> Self {
        Self {
            source,
            environment,
            region,
            allow_http,
        }
    }
}

impl Fetch<AwsCredential> for Fetcher {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<AwsCredential>>> {
        self.keys(&self.source)
    }
}

impl Fetcher {
    fn keys<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<Fetched<AwsCredential>>> {
        async move {
            match source {
                Source::Anonymous => Err(Error::internal("anonymous requests need no keys")),
                Source::Keys { id, secret, token } => Ok(fetched(id.clone(), secret.clone(), token.clone(), None)),
                Source::WebIdentity {
                    token_file,
                    role,
                    session,
                } => self.web_identity(token_file, role, session).await,
                Source::Role(role) if role.device.is_some() => {
                    assumed_with_code(role, || async {
                        let base = self.keys(&role.base).await?;
                        self.role(&base.credential, role, Some(ask_for_code(role).await?)).await
                    })
                    .await
                }
                Source::Role(role) => {
                    let base = self.keys(&role.base).await?;
                    self.role(&base.credential, role, None).await
                }
                Source::SingleSignOn(sign_on) => self.single_sign_on(sign_on).await,
                Source::Process { command } => process(command.clone()).await,
                Source::Container { url, token, token_file } => {
                    container(url, token.as_ref(), token_file.as_deref()).await
                }
                Source::Machine { url } => machine(url).await.map_err(|e| {
                    let error = no_credentials(&self.environment);
                    Error::storage(format!("{} ({})", error.message(), e.message()))
                        .with_hint(error.hint().unwrap_or_default())
                }),
            }
        }
        .boxed()
    }

    pub(super) fn endpoint(&self, variables: &[&str], default: String) -> Result<String> {
        let url = self
            .environment
            .first(variables)
            .map_or(default, |u| u.trim_end_matches('/').to_string());
        match url.starts_with("https://") || self.allow_http {
            true => Ok(url),
            false => Err(
                Error::storage(format!("credentials are not asked for over plain HTTP from {url}"))
                    .with_hint("SET allow_http = true, or AWS_ALLOW_HTTP=true"),
            ),
        }
    }

    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or("us-east-1")
    }

    async fn web_identity(&self, file: &Path, role: &str, session: &str) -> Result<Fetched<AwsCredential>> {
        let token = read_token(file)?;
        let form = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", session),
            ("WebIdentityToken", token.reveal()),
        ];
        self.security_token(&form, None).await
    }

    async fn role(&self, base: &AwsCredential, role: &Role, code: Option<Secret>) -> Result<Fetched<AwsCredential>> {
        let mut form = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", &role.role),
            ("RoleSessionName", &role.session),
        ];
        form.extend(role.external_id.iter().map(|id| ("ExternalId", id.reveal())));
        form.extend(role.seconds.iter().map(|s| ("DurationSeconds", s.as_str())));
        form.extend(role.device.iter().map(|device| ("SerialNumber", device.as_str())));
        form.extend(code.iter().map(|code| ("TokenCode", code.reveal())));
        self.security_token(&form, Some(base))
            .await
            .map_err(|e| e.context(format!("role {}", role.role)))
    }

    /// Asks the Security Token Service, with a signature when `base` gives one.
    async fn security_token(
        &self,
        form: &[(&str, &str)],
        base: Option<&AwsCredential>,
    ) -> Result<Fetched<AwsCredential>> {
        let default = format!("https://sts.{}.amazonaws.com", self.region());
        let url = self.endpoint(&["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"], default)? + "/";
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let build = || {
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let mut request = with_body("POST", &url, &headers, body.clone())?;
            if let Some(base) = base {
                AwsAuthorizer::new(base, "sts", self.region())
                    .try_authorize(&mut request, None)
                    .map_err(|_| Error::storage("the request for a role cannot be signed"))?;
            }
            Ok(request)
        };
        let xml = answer("the Security Token Service", Distance::Far, build).await?;
        let field = |name| element(&xml, name).ok_or_else(|| incomplete("the Security Token Service"));
        let expires = element(&xml, "Expiration").and_then(|t| DateTime::parse_from_rfc3339(&t).ok());
        Ok(fetched(
            field("AccessKeyId")?,
            Secret::new(field("SecretAccessKey")?),
            Some(Secret::new(field("SessionToken")?)),
            expires.map(|t| t.with_timezone(&Utc)),
        ))
    }
}

/// Runs the command of `credential_process`. What it writes to standard error is for the person who set it up.
async fn process(command: Secret) -> Result<Fetched<AwsCredential>> {
    const NAME: &str = "the process of credential_process";
    let run = tokio::task::spawn_blocking(move || {
        std::process::Command::new("sh")
            .args(["-c", command.reveal()])
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .output()
    });
    let output = tokio::time::timeout(PROCESS_TIMEOUT, run)
        .await
        .map_err(|_| Error::storage(format!("{NAME} took longer than {} s", PROCESS_TIMEOUT.as_secs())))?
        .map_err(|_| Error::internal("running the process panicked"))?
        .map_err(|e| Error::storage(format!("{NAME} cannot be started: {e}")))?;
    if !output.status.success() {
        return Err(
            Error::storage(format!("{NAME} failed with {}", output.status)).with_hint("run it by hand to see why")
        );
    }
    let body: Value = serde_json::from_slice(&output.stdout).map_err(|_| incomplete(NAME))?;
    if body.get("Version").and_then(Value::as_i64) != Some(1) {
        return Err(Error::storage(format!("{NAME} did not answer with \"Version\": 1")));
    }
    keys_of(
        &body,
        NAME,
        ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"],
    )
}

async fn container(url: &str, token: Option<&Secret>, file: Option<&Path>) -> Result<Fetched<AwsCredential>> {
    const NAME: &str = "the container's credentials service";
    let from_file = file.map(read_token).transpose()?;
    let token = from_file.as_ref().or(token);
    let headers: Vec<(&str, &str)> = token.iter().map(|t| ("authorization", t.reveal())).collect();
    let body = answer(NAME, Distance::Near, || get("GET", url, &headers)).await?;
    let body: Value = serde_json::from_str(&body).map_err(|_| incomplete(NAME))?;
    keys_of(&body, NAME, ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"])
}

/// The metadata service of a machine, version 2: a token first, which keeps others from being tricked into asking.
async fn machine(url: &str) -> Result<Fetched<AwsCredential>> {
    const NAME: &str = "the machine's metadata service";
    const ROLES: &str = "latest/meta-data/iam/security-credentials";
    let token = machine_token(url).await?;
    let headers = [("x-aws-ec2-metadata-token", token.reveal())];
    let roles = answer(NAME, Distance::Near, || {
        get("GET", &format!("{url}/{ROLES}/"), &headers)
    })
    .await?;
    let role = roles.lines().next().unwrap_or_default().trim();
    let body = answer(NAME, Distance::Near, || {
        get("GET", &format!("{url}/{ROLES}/{role}"), &headers)
    })
    .await?;
    let body: Value = serde_json::from_str(&body).map_err(|_| incomplete(NAME))?;
    keys_of(&body, NAME, ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"])
}

/// The region that a machine's metadata service names: a zone, which is a region and a letter.
#[cfg(feature = "gcs")]
pub(super) async fn region_of_machine(url: &str, environment: &Environment) -> Result<String> {
    const NAME: &str = "the machine's metadata service";
    let base = match environment.first(&["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_METADATA_ENDPOINT"]) {
        Some(base) => base.trim_end_matches('/').to_string(),
        None => url::Url::parse(url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization()),
    };
    let token = machine_token(&base).await?;
    let headers = [("x-aws-ec2-metadata-token", token.reveal())];
    let zone = answer(NAME, Distance::Near, || get("GET", url, &headers)).await?;
    Ok(zone
        .trim()
        .trim_end_matches(|c: char| c.is_ascii_lowercase())
        .to_string())
}

/// What has to be shown to a machine's metadata service, version 2.
async fn machine_token(url: &str) -> Result<Secret> {
    let lifetime = [("x-aws-ec2-metadata-token-ttl-seconds", "600")];
    let build = || get("PUT", &format!("{url}/latest/api/token"), &lifetime);
    let token = answer("the machine's metadata service", Distance::Near, build).await?;
    Ok(Secret::new(token.trim()))
}

/// Keys from JSON; `names` are those of the identifier, the secret, the session token and the end.
pub(super) fn keys_of(json: &Value, who: &str, names: [&str; 4]) -> Result<Fetched<AwsCredential>> {
    let [id, secret, token, end] = names;
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_string);
    let expires = json.get(end).and_then(time);
    if json.get(end).is_some_and(|e| !e.is_null()) && expires.is_none() {
        return Err(Error::storage(format!("{who} gave an end that is no time")));
    }
    if expires.is_some_and(|end| end <= Utc::now()) {
        return Err(
            Error::storage(format!("{who} gave keys that have expired")).with_hint("check the clock of this machine")
        );
    }
    let (Some(id), Some(secret)) = (text(id), text(secret)) else {
        return Err(incomplete(who));
    };
    Ok(fetched(id, Secret::new(secret), text(token).map(Secret::new), expires))
}

/// A time as text of RFC 3339 or as milliseconds since 1970.
pub(super) fn time(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::Number(n) => DateTime::from_timestamp_millis(n.as_i64()?),
        Value::String(text) => {
            // Older versions of the tools wrote "UTC" instead of "Z".
            let text = text
                .strip_suffix("UTC")
                .map_or_else(|| text.clone(), |t| format!("{t}Z"));
            Some(DateTime::parse_from_rfc3339(&text).ok()?.with_timezone(&Utc))
        }
        _ => None,
    }
}

fn read_token(file: &Path) -> Result<Secret> {
    let text =
        std::fs::read_to_string(file).map_err(|e| Error::storage(format!("the token in {}: {e}", file.display())))?;
    Ok(Secret::new(text.trim()))
}

pub(super) fn incomplete(who: &str) -> Error {
    Error::storage(format!("{who} did not answer with keys"))
}

fn fetched(
    id: String,
    secret: Secret,
    token: Option<Secret>,
    expires: Option<DateTime<Utc>>,
) -> Fetched<AwsCredential> {
    let credential = Arc::new(AwsCredential {
        key_id: id,
        secret_key: secret.reveal().to_string(),
        token: token.map(|t| t.reveal().to_string()),
    });
    Fetched { credential, expires }
}
