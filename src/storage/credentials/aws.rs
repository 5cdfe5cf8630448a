//! Where keys for S3 come from, in the order in which Amazon's own tools look:
//!
//! 1. none, when requests are to be anonymous;
//! 2. the profile that the setting `s3_profile` names;
//! 3. `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`;
//! 4. `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`;
//! 5. the profile of `AWS_PROFILE`, or `default`: a role, single sign-on, keys, a process;
//! 6. `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`;
//! 7. the metadata service of the machine.
//!
//! See <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>.

use super::cached::Cached;
use super::fetch::Fetcher;
use super::profile::{Profile, Profiles};
use super::sso::sso_cache_file;
use super::{Environment, Secret, shortened};
use crate::config::StoreSettings;
use crate::error::{Error, Result};
use object_store::aws::AwsCredential;
use std::path::PathBuf;
use std::sync::Arc;

/// Keys that last, or what to ask for temporary ones.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Anonymous,
    Keys {
        id: String,
        secret: Secret,
        token: Option<Secret>,
    },
    WebIdentity {
        token_file: PathBuf,
        role: String,
        session: String,
    },
    Role(Box<Role>),
    SingleSignOn(SignOn),
    Process {
        command: Secret,
    },
    Container {
        url: String,
        token: Option<Secret>,
        token_file: Option<PathBuf>,
    },
    Machine {
        url: String,
    },
}

/// A role that is assumed with the keys of another source.
#[derive(Debug, Clone)]
pub(super) struct Role {
    pub base: Source,
    pub role: String,
    pub session: String,
    pub external_id: Option<Secret>,
    pub seconds: Option<String>,
    /// The device whose code the role asks for.
    pub device: Option<String>,
}

/// A role of an account that somebody who has signed in may have.
#[derive(Debug, Clone)]
pub(super) struct SignOn {
    pub cache_file: PathBuf,
    /// The command to sign in with.
    pub login: String,
    pub account: String,
    pub role: String,
    pub region: String,
}

/// A source and the words for where it was found.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Identity {
    pub(super) source: Source,
    /// `profile dev in /home/me/.aws/config`, `the environment`, …
    pub from: String,
    /// What the environment and the profile say about where buckets are.
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

/// Looks through all places; asks no service.
///
/// # Errors
/// When a profile is named that does not exist or does not say enough.
pub(in crate::storage) fn find(environment: &Environment, settings: &StoreSettings) -> Result<Identity> {
    let profiles = Profiles::read(environment)?;
    let named = settings.s3_profile.as_deref().filter(|p| !p.is_empty());
    let asked_for = named.or_else(|| environment.first(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]));
    let profile = match asked_for {
        Some(name) => Some(profiles.require(name, environment)?),
        None => profiles.get("default"),
    };
    let name = asked_for.unwrap_or("default");
    let (source, from) = source(environment, settings, &profiles, profile, name, named.is_some())?;
    let region = environment
        .first(&["AWS_REGION", "AWS_DEFAULT_REGION"])
        .map(str::to_string);
    let endpoint = environment
        .first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
        .map(str::to_string);
    Ok(Identity {
        source,
        from,
        region: region.or_else(|| profile?.get("region").map(str::to_string)),
        endpoint: endpoint.or_else(|| profiles.s3_endpoint(profile?)),
    })
}

fn source(
    environment: &Environment,
    settings: &StoreSettings,
    profiles: &Profiles,
    profile: Option<&Profile>,
    name: &str,
    profile_first: bool,
) -> Result<(Source, String)> {
    if settings.s3_anonymous || environment.flag("AWS_SKIP_SIGNATURE") {
        return Ok((Source::Anonymous, "anonymous".into()));
    }
    let of_profile = || match profile {
        Some(profile) => of_profile(name, profile, profiles, environment, &mut vec![]),
        None => Ok(None),
    };
    let from_profile = || profile.map_or_else(String::new, |p| format!("profile {name} in {}", p.file.display()));
    if profile_first && let Some(source) = of_profile()? {
        return Ok((source, from_profile()));
    }
    if let Some(source) = of_environment(environment)? {
        return Ok(source);
    }
    if let Some(source) = of_profile()? {
        return Ok((source, from_profile()));
    }
    if let Some(source) = of_container(environment)? {
        return Ok((source, "the container's credentials service".into()));
    }
    if environment.flag("AWS_EC2_METADATA_DISABLED") {
        return Err(no_credentials(environment));
    }
    Ok((of_machine(environment), "the machine's metadata service".into()))
}

pub(super) fn no_credentials(environment: &Environment) -> Error {
    let config = environment.file("AWS_CONFIG_FILE", ".aws/config");
    Error::storage(format!(
        "no credentials for S3 were found: neither in the environment nor in {}, and no metadata service gave any",
        config.display()
    ))
    .with_hint(
        "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket, SET s3_anonymous = true",
    )
}

fn of_environment(environment: &Environment) -> Result<Option<(Source, String)>> {
    let (id, secret) = (
        environment.get("AWS_ACCESS_KEY_ID"),
        environment.get("AWS_SECRET_ACCESS_KEY"),
    );
    match (id, secret) {
        (Some(id), Some(secret)) => {
            let token = environment.get("AWS_SESSION_TOKEN").map(Secret::new);
            let keys = Source::Keys {
                id: id.into(),
                secret: Secret::new(secret),
                token,
            };
            return Ok(Some((keys, "the environment".into())));
        }
        (Some(_), None) => {
            return Err(Error::storage(
                "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not",
            ));
        }
        (None, Some(_)) => {
            return Err(Error::storage(
                "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not",
            ));
        }
        (None, None) => {}
    }
    let (file, role) = (
        environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"),
        environment.get("AWS_ROLE_ARN"),
    );
    let (Some(file), Some(role)) = (file, role) else {
        return Ok(None);
    };
    let session = environment
        .get("AWS_ROLE_SESSION_NAME")
        .unwrap_or("lakebed")
        .to_string();
    let source = Source::WebIdentity {
        token_file: file.into(),
        role: role.into(),
        session,
    };
    Ok(Some((source, format!("web identity {file}"))))
}

/// What a profile says, if it says anything about credentials. `seen` holds the profiles that led here.
fn of_profile(
    name: &str,
    profile: &Profile,
    profiles: &Profiles,
    environment: &Environment,
    seen: &mut Vec<String>,
) -> Result<Option<Source>> {
    let wrong = |what: String| Error::storage(format!("{}: profile {name}: {what}", profile.file.display()));
    let keys = of_keys(profile).map_err(|missing| wrong(format!("{missing} is missing")))?;
    if seen.iter().any(|s| s == name) {
        // A profile may name itself as the source of its role: then its keys are meant.
        return match (keys, seen.last().is_some_and(|last| last == name)) {
            (Some(keys), true) => Ok(Some(keys)),
            _ => Err(wrong("its source_profile leads back to it".into())),
        };
    }
    seen.push(name.to_string());
    if let Some(role) = profile.get("role_arn") {
        return of_role(role, name, profile, profiles, environment, seen).map(Some);
    }
    if profile.get("sso_session").is_some() || profile.get("sso_start_url").is_some() {
        return of_single_sign_on(name, profile, profiles, environment).map(Some);
    }
    if keys.is_some() {
        return Ok(keys);
    }
    let process = profile.get("credential_process").map(Secret::new);
    Ok(process.map(|command| Source::Process { command }))
}

fn of_keys(profile: &Profile) -> Result<Option<Source>, &'static str> {
    match (profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok(Some(Source::Keys {
            id: id.into(),
            secret: Secret::new(secret),
            token: profile.get("aws_session_token").map(Secret::new),
        })),
        (Some(_), None) => Err("aws_secret_access_key"),
        (None, Some(_)) => Err("aws_access_key_id"),
        (None, None) => Ok(None),
    }
}

fn of_role(
    role: &str,
    name: &str,
    profile: &Profile,
    profiles: &Profiles,
    environment: &Environment,
    seen: &mut Vec<String>,
) -> Result<Source> {
    let wrong = |what: String| Error::storage(format!("{}: profile {name}: {what}", profile.file.display()));
    let session = profile.get("role_session_name").unwrap_or("lakebed").to_string();
    if let Some(file) = profile.get("web_identity_token_file") {
        return Ok(Source::WebIdentity {
            token_file: file.into(),
            role: role.into(),
            session,
        });
    }
    let base = match (profile.get("source_profile"), profile.get("credential_source")) {
        (Some(other), _) => {
            let base = profiles.require(other, environment)?;
            of_profile(other, base, profiles, environment, seen)?
        }
        (None, Some("Environment")) => of_environment(environment)?.map(|(source, _)| source),
        (None, Some("Ec2InstanceMetadata")) => Some(of_machine(environment)),
        (None, Some("EcsContainer")) => of_container(environment)?,
        (None, Some(other)) => return Err(wrong(format!("credential_source {other} is not known"))),
        (None, None) => return Err(wrong("role_arn needs source_profile or credential_source".into())),
    };
    Ok(Source::Role(Box::new(Role {
        base: base.ok_or_else(|| wrong("the source of its role has no credentials".into()))?,
        role: role.into(),
        session,
        external_id: profile.get("external_id").map(Secret::new),
        seconds: profile.get("duration_seconds").map(str::to_string),
        device: profile.get("mfa_serial").map(str::to_string),
    })))
}

fn of_single_sign_on(name: &str, profile: &Profile, profiles: &Profiles, environment: &Environment) -> Result<Source> {
    let missing = |what: &str| Error::storage(format!("{}: profile {name}: {what} is missing", profile.file.display()));
    let session = match profile.get("sso_session") {
        Some(session) => Some((
            session,
            profiles
                .sso_session(session)
                .ok_or_else(|| missing(&format!("[sso-session {session}]")))?,
        )),
        None => None,
    };
    let value = |key: &str| {
        let of_session = session.and_then(|(_, section)| section.get(key)).map(String::as_str);
        of_session
            .or_else(|| profile.get(key))
            .map(str::to_string)
            .ok_or_else(|| missing(key))
    };
    let start = value("sso_start_url")?;
    Ok(Source::SingleSignOn(SignOn {
        cache_file: sso_cache_file(environment, session.map_or(start.as_str(), |(session, _)| session)),
        login: format!("aws sso login --profile {name}"),
        account: value("sso_account_id")?,
        role: value("sso_role_name")?,
        region: value("sso_region")?,
    }))
}

fn of_container(environment: &Environment) -> Result<Option<Source>> {
    let url = match (
        environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    ) {
        (Some(path), _) => format!("http://169.254.170.2{path}"),
        (None, Some(url)) => url.to_string(),
        (None, None) => return Ok(None),
    };
    let parsed =
        url::Url::parse(&url).map_err(|_| Error::storage("AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL"))?;
    let host = parsed.host_str().unwrap_or_default();
    let near = [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "169.254.170.2",
        "169.254.170.23",
        "[fd00:ec2::23]",
    ];
    if parsed.scheme() != "https" && !near.contains(&host) {
        return Err(Error::storage(format!(
            "credentials are not asked for over plain HTTP from {host}"
        )));
    }
    Ok(Some(Source::Container {
        url,
        token: environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Secret::new),
        token_file: environment
            .get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
            .map(PathBuf::from),
    }))
}

fn of_machine(environment: &Environment) -> Source {
    let url = environment.first(&["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_METADATA_ENDPOINT"]);
    Source::Machine {
        url: url
            .unwrap_or("http://169.254.169.254")
            .trim_end_matches('/')
            .to_string(),
    }
}

impl Identity {
    /// What signs the requests of a client; `None` when they are not signed.
    pub fn provider(&self, environment: &Environment, allow_http: bool) -> Option<Provider> {
        if matches!(self.source, Source::Anonymous) {
            return None;
        }
        let fetcher = Fetcher::new(
            self.source.clone(),
            environment.clone(),
            self.region.clone(),
            allow_http,
        );
        Some(Provider(Arc::new(Cached::new(fetcher))))
    }
}

/// Credentials that are kept fresh.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Provider(pub(in crate::storage) Arc<Cached<AwsCredential>>);

impl Provider {
    /// The shortened key and when it ends: `…WXYZ`, `2026-11-22 21:00:00 UTC`.
    pub async fn describe(&self) -> Result<(String, Option<String>)> {
        let now = self.0.current().await?;
        let expires = now.expires.map(|end| end.format("%Y-%m-%d %H:%M:%S UTC").to_string());
        Ok((shortened(&now.credential.key_id), expires))
    }
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;
