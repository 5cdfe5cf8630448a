//! Credentials for stores, from every place that gives them, through the program: the S3 server checks the signatures.

use crate::program::{Run, lakebed, outcome};
use crate::servers::gcs::{self, GcsServer};
use crate::servers::s3::{KEY, S3Server, SECRET};
use crate::servers::{Handler, Server, error, parameters};
use hyper::Response;
use std::sync::Arc;
use tempfile::TempDir;

/// Far enough ahead that nothing is refreshed.
const LATER: &str = "2099-01-01T00:00:00Z";

/// Plays Amazon's token service, single sign-on, and the metadata services of containers and machines.
fn services() -> Server {
    let handler: Handler = Arc::new(|request| {
        let header = |name: &str| crate::servers::header(request.headers(), name).unwrap_or_default();
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        let form = parameters(&body);
        let field = |name: &str| {
            form.iter()
                .find(|(n, _)| n == name)
                .map_or("", |(_, v)| v.as_str())
                .to_string()
        };
        let json = |token: &str| {
            format!(
                r#"{{"Version":1,"AccessKeyId":"{KEY}","SecretAccessKey":"{SECRET}","{token}":"t","Expiration":"{LATER}"}}"#
            )
        };
        let ok = |text: String| Response::new(text.into());
        let reply = match (request.method().as_str(), request.uri().path()) {
            ("PUT", "/latest/api/token") => ok("imds-token".into()),
            ("GET", path) if path.starts_with("/latest/") && header("x-aws-ec2-metadata-token") != "imds-token" => {
                error(401, "Unauthorized", "no token")
            }
            ("GET", "/latest/meta-data/iam/security-credentials/") => ok("role-of-the-machine\n".into()),
            ("GET", "/latest/meta-data/iam/security-credentials/role-of-the-machine") => ok(json("Token")),
            ("GET", "/container") if header("authorization") == "container-token" => ok(json("Token")),
            ("GET", "/federation/credentials") if header("x-amz-sso_bearer_token") == "sso-token" => ok(format!(
                r#"{{"roleCredentials":{{"accessKeyId":"{KEY}","secretAccessKey":"{SECRET}","sessionToken":"t","expiration":4070908800000}}}}"#
            )),
            ("POST", "/") => {
                let signed = header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKIDBASE/");
                let web = field("Action") == "AssumeRoleWithWebIdentity" && field("WebIdentityToken") == "web-token";
                let role = field("Action") == "AssumeRole" && signed && field("ExternalId") == "42";
                match web || role {
                    true => ok(format!(
                        "<R><Credentials><AccessKeyId>{KEY}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>\
                         <SessionToken>t</SessionToken><Expiration>{LATER}</Expiration></Credentials></R>"
                    )),
                    false => error(403, "AccessDenied", "not authorized to perform sts:AssumeRole"),
                }
            }
            ("GET", "/computeMetadata/v1/instance/service-accounts/default/token")
                if header("metadata-flavor") == "Google" =>
            {
                ok(format!(
                    r#"{{"access_token":"{}","expires_in":3599,"token_type":"Bearer"}}"#,
                    gcs::TOKEN
                ))
            }
            _ => error(404, "NotFound", "nothing here"),
        };
        Box::pin(async move { reply })
    });
    Server::start(handler)
}

struct World {
    s3: S3Server,
    services: Server,
    home: TempDir,
}

impl World {
    fn new() -> Self {
        let s3 = S3Server::start(&["lake"]);
        s3.put("lake", "t/a.csv", "x\n1\n");
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".aws/sso/cache")).unwrap();
        Self {
            s3,
            services: services(),
            home,
        }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    }

    /// Reads a table with nothing in the environment but where the servers are and `variables`.
    fn read(&self, variables: &[(&str, &str)]) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let mut command = lakebed(&folder);
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin");
        command
            .env("AWS_ENDPOINT_URL_S3", self.s3.url())
            .env("AWS_ALLOW_HTTP", "true");
        command
            .env("AWS_ENDPOINT_URL_STS", self.services.url())
            .env("AWS_ENDPOINT_URL_SSO", self.services.url());
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.services.url());
        command.envs(variables.iter().copied());
        outcome(command.args(["--format", "csv", "-c", "SELECT x FROM 's3://lake/t/'"]))
    }

    fn reads(&self, variables: &[(&str, &str)]) {
        let run = self.read(variables);
        assert_eq!((run.code, run.out.as_str()), (0, "x\n1\n"), "{variables:?}\n{run:?}");
    }

    fn fails(&self, variables: &[(&str, &str)], part: &str) {
        let run = self.read(variables);
        assert_eq!(run.code, 4, "{run:?}");
        assert!(run.err.contains(part), "expected {part:?} in\n{}", run.err);
    }
}

#[test]
fn keys_of_the_environment_and_of_profiles() {
    let world = World::new();
    world.reads(&[("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET)]);
    world.file(
        ".aws/credentials",
        &format!("[default]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n"),
    );
    world.reads(&[]);
    let other = world.file(
        "other",
        &format!("[me]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\naws_session_token=t\n"),
    );
    world.reads(&[("AWS_SHARED_CREDENTIALS_FILE", &other), ("AWS_PROFILE", "me")]);
    world.fails(&[("AWS_PROFILE", "meee")], "there is no AWS profile \"meee\"");
    world.fails(
        &[("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", "wrong")],
        "the secret key does not belong to the access key",
    );
}

#[test]
fn a_process_gives_keys() {
    let world = World::new();
    let json = format!(r#"{{"Version":1,"AccessKeyId":"{KEY}","SecretAccessKey":"{SECRET}"}}"#);
    let file = world.file("keys.json", &json);
    world.file(
        ".aws/config",
        &format!(
            "[profile p]\ncredential_process = cat {file}\n[profile bad]\ncredential_process = echo secret; exit 3\n"
        ),
    );
    world.reads(&[("AWS_PROFILE", "p")]);
    world.fails(&[("AWS_PROFILE", "bad")], "failed with exit status: 3");
}

#[test]
fn roles_are_assumed() {
    let world = World::new();
    world.file(
        ".aws/config",
        "[profile base]\naws_access_key_id=AKIDBASE\naws_secret_access_key=s\n[profile r]\nrole_arn=arn:aws:iam::1:role/r\n\
         source_profile=base\nexternal_id=42\n[profile denied]\nrole_arn=arn:aws:iam::1:role/d\nsource_profile=base\n",
    );
    world.reads(&[("AWS_PROFILE", "r")]);
    world.fails(
        &[("AWS_PROFILE", "denied")],
        "role arn:aws:iam::1:role/d: the Security Token Service answered with status 403: AccessDenied",
    );
    let token = world.file("token", "web-token\n");
    world.reads(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/w"),
    ]);
}

#[test]
fn single_sign_on_uses_the_session_of_the_tools() {
    let world = World::new();
    world.file(
        ".aws/config",
        "[profile s]\nsso_session=corp\nsso_account_id=1\nsso_role_name=r\n[sso-session corp]\nsso_start_url=https://corp\nsso_region=eu-west-1\n",
    );
    let profile = [("AWS_PROFILE", "s")];
    world.fails(&profile, "aws sso login --profile s");
    // The name is the SHA-1 of "corp".
    let cache = |end: &str| {
        let name = ".aws/sso/cache/".to_string() + &sha1_hex("corp") + ".json";
        world.file(
            &name,
            &format!(r#"{{"accessToken":"sso-token","expiresAt":"{end}","region":"eu-west-1"}}"#),
        );
    };
    cache("2020-01-01T00:00:00Z");
    world.fails(
        &profile,
        "the single sign-on session has expired at 2020-01-01 00:00:00 UTC",
    );
    cache(LATER);
    world.reads(&profile);
}

fn sha1_hex(text: &str) -> String {
    use sha1::Digest;
    sha1::Sha1::digest(text.as_bytes())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[test]
fn containers_and_machines_have_services_for_it() {
    let world = World::new();
    world.reads(&[]);
    assert_eq!(
        world.services.count("PUT", "latest/api/token"),
        1,
        "asked once for the whole run"
    );
    let url = format!("{}/container", world.services.url());
    world.reads(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token"),
    ]);
    let token = world.file("token", "container-token\n");
    world.reads(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token),
    ]);
    world.fails(
        &[("AWS_EC2_METADATA_DISABLED", "true")],
        "no credentials for S3 were found",
    );
    world.fails(
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")],
        "no credentials for S3 were found",
    );
}

#[test]
fn the_region_is_found_and_plain_http_needs_leave() {
    let world = World::new();
    world.file(
        ".aws/credentials",
        &format!("[default]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n"),
    );
    world.reads(&[]);
    assert_eq!(world.s3.count("HEAD", "lake?"), 1, "one question for the region");
    world.s3.clear_log();
    world.reads(&[("AWS_REGION", "us-east-1")]);
    assert_eq!(world.s3.count("HEAD", "lake?"), 0);
    world.fails(&[("AWS_ALLOW_HTTP", "false")], "is reached without TLS");
}

#[test]
fn google_machines_give_tokens() {
    let google = GcsServer::start(&["lake"]);
    google.put("lake", "t/a.csv", "x\n1\n");
    let services = services();
    let home = tempfile::tempdir().unwrap();
    let read = |variables: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = lakebed(&folder);
        command
            .env_clear()
            .env("HOME", home.path())
            .env("GOOGLE_BASE_URL", google.url())
            .env("GOOGLE_ALLOW_HTTP", "true");
        command.envs(variables.iter().copied());
        outcome(command.args(["--format", "csv", "-c", "SELECT x FROM 'gs://lake/t/'"]))
    };
    let run = read(&[("GCE_METADATA_HOST", &services.address.to_string())]);
    assert_eq!(run.out, "x\n1\n", "{run:?}");
    let run = read(&[("GCE_METADATA_HOST", "127.0.0.1:1")]);
    assert!(
        run.err.contains("no credentials for Google Cloud Storage were found"),
        "{run:?}"
    );
    let run = read(&[("GOOGLE_BEARER_TOKEN", "wrong")]);
    assert!(run.err.contains("the store wants credentials"), "{run:?}");
    // An emulator's file: no tokens are asked for, and the address is in it.
    let file = home.path().join("key.json");
    let key = format!(
        r#"{{"gcs_base_url":"{}","disable_oauth":true,"client_email":"e@x","private_key":"k","private_key_id":"i"}}"#,
        google.url()
    );
    std::fs::write(&file, key).unwrap();
    let run = read(&[("GOOGLE_SERVICE_ACCOUNT", file.to_str().unwrap())]);
    assert!(
        run.err.contains("the store wants credentials"),
        "the token is empty: {run:?}"
    );
    let run = read(&[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")]);
    assert!(run.err.contains("/nowhere.json"), "{run:?}");
}

#[test]
fn files_over_http_are_read_but_not_from_this_network_without_leave() {
    let handler: Handler = Arc::new(|request| {
        let reply = match request.uri().path() {
            "/a%20b.csv" => {
                let content = bytes::Bytes::from("x\n1\n");
                let range = crate::servers::header(request.headers(), "range");
                let range = range.as_deref().and_then(|r| gcs::parse_range(r, content.len()));
                let mut response = Response::new(content.clone());
                if let Some((start, end)) = range {
                    *response.status_mut() = hyper::StatusCode::PARTIAL_CONTENT;
                    *response.body_mut() = content.slice(start..end);
                    let range = format!("bytes {start}-{}/{}", end - 1, content.len());
                    response.headers_mut().insert("content-range", range.parse().unwrap());
                }
                let length = response.body().len();
                response.headers_mut().insert("content-length", length.into());
                response
            }
            "/whole.csv" => {
                let mut response = Response::new("x\n1\n".into());
                response.headers_mut().insert("content-length", 4.into());
                response
            }
            _ => error(404, "NotFound", "nothing here"),
        };
        Box::pin(async move { reply })
    });
    let server = Server::start(handler);
    let run_sql = |settings: &[&str], sql: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = lakebed(&folder);
        for setting in settings {
            command.args(["--set", setting]);
        }
        outcome(command.args(["--format", "csv", "-c", sql]))
    };
    let read = |settings: &[&str], name: &str| run_sql(settings, &format!("SELECT x FROM '{}/{name}'", server.url()));
    let run = read(&[], "a%20b.csv");
    assert!(run.err.contains("without TLS"), "{run:?}");
    let run = read(&["allow_http=true"], "a%20b.csv");
    assert!(run.err.contains("this machine or in its network"), "{run:?}");
    let leave = ["allow_http=true", "allow_private_hosts=true"];
    let run = read(&leave, "a%20b.csv");
    assert_eq!(run.out, "x\n1\n", "{run:?}");
    let run = read(&leave, "whole.csv");
    assert!(run.err.contains("the server does not give parts of files"), "{run:?}");
    let run = read(&leave, "none.csv");
    assert!(run.err.contains("there is no file or folder"), "{run:?}");
    let run = read(&leave, "*.csv");
    assert!(run.err.contains("a pattern over HTTP"), "{run:?}");
    let url = server.url();
    let run = run_sql(
        &leave,
        &format!(
            "CREATE EXTERNAL TABLE h (x int) STORED AS TEXTFILE LOCATION '{url}/a%20b.csv' TBLPROPERTIES ('skip.header.line.count'='1'); SELECT x FROM h"
        ),
    );
    assert_eq!(run.out, "x\n1\n", "{run:?}");
    for sql in [
        format!("COPY (SELECT 1 AS x) TO '{url}/out.csv'"),
        format!("COPY (SELECT 1 AS x) TO '{url}/out/' WITH (format = 'CSV')"),
        format!("CREATE TABLE u WITH (external_location = '{url}/u') AS SELECT 1 AS x"),
    ] {
        let run = run_sql(&leave, &sql);
        assert!(run.err.contains("cannot be written"), "{run:?}");
    }
    let asked: Vec<String> = server
        .log()
        .into_iter()
        .map(|e| format!("{} {}", e.method, e.path))
        .collect();
    assert!(
        asked.iter().all(|a| a.starts_with("GET ") || a.starts_with("HEAD ")),
        "{asked:?}"
    );
    assert!(asked.iter().all(|a| !a.contains("_txn")), "{asked:?}");
}
