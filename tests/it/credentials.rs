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
                let signed = header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKIDBASE/")
                    && header("x-amz-content-sha256") == sha256_hex(&body);
                let web = field("Action") == "AssumeRoleWithWebIdentity" && field("WebIdentityToken") == "web-token";
                let code = field("SerialNumber") == "arn:aws:iam::1:mfa/me" && field("TokenCode") == "123456";
                let role = field("Action") == "AssumeRole" && signed && (field("ExternalId") == "42" || code);
                match web || role {
                    true => ok(format!(
                        "<R><Credentials><AccessKeyId>{KEY}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>\
                         <SessionToken>t</SessionToken><Expiration>{LATER}</Expiration></Credentials></R>"
                    )),
                    false => error(403, "AccessDenied", "not authorized to perform sts:AssumeRole"),
                }
            }
            ("POST", "/token") => {
                match body.contains(r#""refreshToken":"refresh-1""#) && body.contains("refresh_token") {
                    true => ok(r#"{"accessToken":"sso-token","expiresIn":28800,"refreshToken":"refresh-2"}"#.into()),
                    false => error(400, "InvalidGrantException", "the token was used before"),
                }
            }
            ("POST", "/exchange") => {
                let federated = field("grant_type") == "urn:ietf:params:oauth:grant-type:token-exchange"
                    && field("audience") == "//iam.googleapis.com/pool";
                let subject = field("subject_token") == "subject" || is_amazon(&field("subject_token"));
                match federated && subject {
                    true => ok(google_token(if field("subject_token_type") == "urn:direct" {
                        gcs::TOKEN
                    } else {
                        "federated"
                    })),
                    false => error(400, "invalid_grant", "no such subject"),
                }
            }
            ("POST", "/user") => {
                let person = field("grant_type") == "refresh_token" && field("refresh_token") == "google-refresh";
                let key = field("grant_type").ends_with("jwt-bearer") && field("assertion").split('.').count() == 3;
                match person || key {
                    true => ok(google_token("person")),
                    false => error(400, "invalid_grant", "Token has been revoked."),
                }
            }
            ("POST", "/impersonate/e@x:generateAccessToken")
                if ["Bearer federated", "Bearer person"].contains(&header("authorization").as_str())
                    && body.contains("cloud-platform") =>
            {
                ok(format!(r#"{{"accessToken":"{}","expireTime":"{LATER}"}}"#, gcs::TOKEN))
            }
            ("GET", "/subject") if header("x-whoami") == "secret" => ok(r#"{"deep":1,"value":"subject"}"#.into()),
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

fn sha256_hex(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn google_token(token: &str) -> String {
    format!(r#"{{"access_token":"{token}","expires_in":3599,"token_type":"Bearer"}}"#)
}

/// Whether a token is a signed question to Amazon who we are.
fn is_amazon(token: &str) -> bool {
    let text = crate::servers::decode(token);
    let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) else {
        return false;
    };
    let header = |name: &str| {
        let mut all = json["headers"].as_array().unwrap().iter();
        all.find(|h| h["key"] == name)
            .map_or("", |h| h["value"].as_str().unwrap())
    };
    json["method"] == "POST"
        && json["url"] == "https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
        && header("host") == "sts.eu-west-1.amazonaws.com"
        && header("x-goog-cloud-target-resource") == "//iam.googleapis.com/pool"
        && header("authorization").contains("Credential=AKIDBASE/")
        && header("authorization").contains("/eu-west-1/sts/")
        && header("authorization").contains("x-goog-cloud-target-resource")
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

#[test]
fn single_sign_on_is_renewed_with_the_token_for_it() {
    let world = World::new();
    world.file(
        ".aws/config",
        "[profile s]\nsso_session=corp\nsso_account_id=1\nsso_role_name=r\n[sso-session corp]\nsso_start_url=https://corp\nsso_region=eu-west-1\n",
    );
    let name = ".aws/sso/cache/".to_string() + &sha1_hex("corp") + ".json";
    let session = |registered: &str, refresh: &str| {
        world.file(
            &name,
            &format!(
                r#"{{"startUrl":"https://corp","accessToken":"old","expiresAt":"2020-01-01T00:00:00Z","clientId":"c","clientSecret":"s","registrationExpiresAt":"{registered}","refreshToken":"{refresh}"}}"#
            ),
        )
    };
    let url = world.services.url();
    let variables = [("AWS_PROFILE", "s"), ("AWS_ENDPOINT_URL_SSO_OIDC", url.as_str())];
    let file = session(LATER, "refresh-1");
    world.reads(&variables);
    assert_eq!(world.services.count("POST", "token"), 1);
    let text: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let field = |name: &str| text[name].as_str().unwrap();
    assert_eq!(
        (field("accessToken"), field("refreshToken")),
        ("sso-token", "refresh-2")
    );
    assert_eq!(
        (field("startUrl"), field("clientSecret")),
        ("https://corp", "s"),
        "the rest is kept"
    );
    assert!(field("expiresAt") > "2026");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // The next process finds it good.
    world.reads(&variables);
    assert_eq!(world.services.count("POST", "token"), 1);
    session(LATER, "used");
    world.fails(&variables, "the single sign-on session has expired and is not renewed");
    session("2020-01-01T00:00:00Z", "refresh-1");
    world.fails(&variables, "the single sign-on session has expired at 2020-01-01");
}

#[test]
fn a_role_that_wants_a_code_asks_a_person_for_it() {
    let world = World::new();
    world.s3.create_bucket("other");
    world.s3.put("other", "t/a.csv", "x\n2\n");
    world.file(
        ".aws/config",
        "[profile base]\naws_access_key_id=AKIDBASE\naws_secret_access_key=s\n[profile code]\nrole_arn=arn:aws:iam::1:role/c\n\
         source_profile=base\nmfa_serial=arn:aws:iam::1:mfa/me\n",
    );
    world.fails(
        &[("AWS_PROFILE", "code")],
        "role arn:aws:iam::1:role/c asks for a code of arn:aws:iam::1:mfa/me, and there is no terminal to ask at",
    );
    let folder = tempfile::tempdir().unwrap();
    let program = lakebed(&folder);
    let sql = "SELECT sum(x) AS sum FROM (SELECT x FROM 's3://lake/t/' UNION ALL SELECT x FROM 's3://other/t/')";
    let mut words = vec![program.get_program().to_str().unwrap().to_string()];
    words.extend(program.get_args().map(|a| a.to_str().unwrap().to_string()));
    words.extend(["--format", "csv", "-c", sql].map(str::to_string));
    let quoted: Vec<String> = words
        .iter()
        .map(|w| format!("'{}'", w.replace('\'', "'\\''")))
        .collect();
    // A program of the system that gives others a terminal.
    let at_terminal = |code: &str| {
        let mut command = assert_cmd::Command::new("script");
        command.args(["-qec", &quoted.join(" "), "/dev/null"]).env_clear();
        command
            .env("HOME", world.home.path())
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_PROFILE", "code");
        command
            .env("AWS_ENDPOINT_URL_S3", world.s3.url())
            .env("AWS_ALLOW_HTTP", "true");
        command
            .env("AWS_ENDPOINT_URL_STS", world.services.url())
            .env("SHELL", "/bin/sh");
        outcome(command.write_stdin(format!("{code}\n")))
    };
    let run = at_terminal("123456");
    assert!(
        run.out
            .contains("Code of arn:aws:iam::1:mfa/me for role arn:aws:iam::1:role/c:"),
        "{run:?}"
    );
    assert!(run.out.contains("sum\r\n3\r\n"), "{run:?}");
    assert_eq!(
        world.services.count("POST", ""),
        1,
        "one code is enough for two buckets"
    );
    let run = at_terminal("654321");
    assert!(
        run.code == 4 && run.out.contains("role arn:aws:iam::1:role/c"),
        "{run:?}"
    );
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

/// A key that signs nothing but this test's tokens.
const KEY_OF_GOOGLE: &str = include_str!("key_of_the_tests.pem");

#[test]
fn google_tokens_are_exchanged_and_accounts_impersonated() {
    let google = GcsServer::start(&["lake"]);
    google.put("lake", "t/a.csv", "x\n1\n");
    let services = services();
    let home = tempfile::tempdir().unwrap();
    let read = |credentials: &str, variables: &[(&str, &str)]| {
        let file = home.path().join("credentials.json");
        std::fs::write(&file, credentials.replace("SERVICES", &services.url())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut command = lakebed(&folder);
        command
            .env_clear()
            .env("HOME", home.path())
            .env("GOOGLE_BASE_URL", google.url());
        command
            .env("GOOGLE_ALLOW_HTTP", "true")
            .env("GOOGLE_APPLICATION_CREDENTIALS", &file);
        command.envs(variables.iter().copied());
        outcome(command.args(["--format", "csv", "-c", "SELECT x FROM 'gs://lake/t/'"]))
    };
    let reads = |credentials: &str, variables: &[(&str, &str)]| {
        let run = read(credentials, variables);
        assert_eq!((run.code, run.out.as_str()), (0, "x\n1\n"), "{credentials}\n{run:?}");
    };
    let token = home.path().join("token");
    std::fs::write(&token, "subject\n").unwrap();
    let external = |kind: &str, source: &str, more: &str| {
        format!(
            r#"{{"type":"external_account","audience":"//iam.googleapis.com/pool","subject_token_type":"{kind}","token_url":"SERVICES/exchange",{more}"credential_source":{source}}}"#
        )
    };
    let impersonates = r#""service_account_impersonation_url":"SERVICES/impersonate/e@x:generateAccessToken","#;
    let file = format!(r#"{{"file":"{}"}}"#, token.display());
    let url = r#"{"url":"SERVICES/subject","headers":{"x-whoami":"secret"},"format":{"type":"json","subject_token_field_name":"value"}}"#;
    let amazon = r#"{"environment_id":"aws1","regional_cred_verification_url":"https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}"#;
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIDBASE"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_REGION", "eu-west-1"),
    ];
    reads(&external("urn:direct", &file, ""), &[]);
    reads(&external("urn:jwt", &file, impersonates), &[]);
    reads(&external("urn:jwt", url, impersonates), &[]);
    reads(&external("urn:aws", amazon, impersonates), &keys);
    let impersonated = |source: &str| {
        format!(
            r#"{{"type":"impersonated_service_account",{impersonates}"delegates":["d@x"],"source_credentials":{source}}}"#
        )
    };
    let person = |refresh: &str| {
        format!(
            r#"{{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"{refresh}","token_uri":"SERVICES/user"}}"#
        )
    };
    reads(&impersonated(&person("google-refresh")), &[]);
    let key = serde_json::to_string(KEY_OF_GOOGLE).unwrap();
    let account = format!(
        r#"{{"type":"service_account","client_email":"e@x","private_key":{key},"private_key_id":"i","token_uri":"SERVICES/user"}}"#
    );
    reads(&impersonated(&account), &[]);
    reads(&impersonated(&external("urn:jwt", &file, "")), &[]);
    // The same file where the others are named that the client reads itself.
    let path = home.path().join("credentials.json");
    reads(
        &external("urn:direct", &file, ""),
        &[("GOOGLE_SERVICE_ACCOUNT", path.to_str().unwrap())],
    );

    let fails = |credentials: &str, variables: &[(&str, &str)], part: &str| {
        let run = read(credentials, variables);
        assert!(run.code != 0 && run.err.contains(part), "expected {part:?} in\n{run:?}");
    };
    fails(
        &impersonated(&person("revoked")),
        &[],
        "Google's service for tokens answered with status 400: invalid_grant",
    );
    fails(
        &external("urn:jwt", r#"{"file":"/nowhere"}"#, ""),
        &[],
        "the token in /nowhere",
    );
    fails(
        &external("urn:jwt", r#"{"executable":{"command":"/bin/x"}}"#, ""),
        &[],
        "a token that a program gives",
    );
    fails(
        &external("urn:jwt", &file, ""),
        &[("GOOGLE_ALLOW_HTTP", "false")],
        "without TLS",
    );
    fails(
        r#"{"type":"gdch_service_account"}"#,
        &[],
        "Google credentials of the type gdch_service_account",
    );
}

#[test]
fn credentials_in_locations_over_http_are_sent_and_not_shown() {
    const CONTENT: &str = "x\n1\n";
    let handler: Handler = Arc::new(|request| {
        let header = |name: &str| crate::servers::header(request.headers(), name).unwrap_or_default();
        // "user:p@ss" in base64.
        let allowed = match request.uri().path() {
            "/basic.csv" => header("authorization") == "Basic dXNlcjpwQHNz",
            // As S3 does it: the signature is for GET.
            "/signed.csv" => request.uri().query() == Some("X-Sig=a%2Fb&n=1") && request.method() == "GET",
            _ => false,
        };
        let reply = match allowed {
            false => error(403, "AccessDenied", "Access Denied"),
            true => {
                let mut response = Response::new(bytes::Bytes::from(CONTENT));
                if let Some((start, end)) = gcs::parse_range(&header("range"), CONTENT.len()) {
                    *response.status_mut() = hyper::StatusCode::PARTIAL_CONTENT;
                    *response.body_mut() = CONTENT[start..end].into();
                    let range = format!("bytes {start}-{}/{}", end - 1, CONTENT.len());
                    response.headers_mut().insert("content-range", range.parse().unwrap());
                }
                let length = response.body().len();
                response.headers_mut().insert("content-length", length.into());
                response
            }
        };
        Box::pin(async move { reply })
    });
    let server = Server::start(handler);
    let at = |user: &str, rest: &str| format!("http://{user}{}/{rest}", server.address);
    let folder = tempfile::tempdir().unwrap();
    let run = |sql: &str| {
        let mut command = lakebed(&folder);
        command.args(["--set", "allow_http=true", "--set", "allow_private_hosts=true"]);
        outcome(command.args(["--format", "csv", "-c", sql]))
    };
    let (basic, signed) = (at("user:p%40ss@", "basic.csv"), at("", "signed.csv?X-Sig=a%2Fb&n=1"));
    for location in [&basic, &signed] {
        let run = run(&format!(
            "SELECT x FROM '{location}'; SELECT \"$path\" AS p FROM '{location}'; EXPLAIN SELECT * FROM '{location}'; \
             SELECT count(*) AS n FROM read_csv('{location}'); \
             CREATE TEMPORARY EXTERNAL TABLE h (x int) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '{location}' \
             TBLPROPERTIES ('skip.header.line.count'='1'); SELECT x + 1 AS y FROM h; SHOW CREATE TABLE h"
        ));
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.out.starts_with("x\n1\n"), "{run:?}");
        assert!(run.out.contains("n\n1\n") && run.out.contains("y\n2\n"), "{run:?}");
        assert!(run.out.contains(&at("…@", "")), "{run:?}");
        for secret in ["p%40ss", "p@ss", "X-Sig", "a%2Fb"] {
            assert!(!run.out.contains(secret) && !run.err.contains(secret), "{run:?}");
        }
    }
    let both = run(&format!(
        "SELECT sum(x) AS s FROM (SELECT x FROM '{basic}' UNION ALL SELECT x FROM '{signed}')"
    ));
    assert_eq!(both.out, "s\n2\n", "{both:?}");
    let wrong = run(&format!("SELECT x FROM '{}'", at("", "signed.csv?X-Sig=other")));
    assert_ne!(wrong.code, 0);
    assert!(!wrong.err.contains("other"), "{wrong:?}");
    let plain = run(&format!(
        "SELECT x FROM '{basic}'; SELECT x FROM '{}'",
        at("", "basic.csv")
    ));
    assert_ne!(
        plain.code, 0,
        "what one location says is not sent for another: {plain:?}"
    );
    for statement in [
        format!("CREATE EXTERNAL TABLE k (x int) STORED AS TEXTFILE LOCATION '{basic}'"),
        format!("CREATE VIEW v AS SELECT * FROM '{signed}'"),
    ] {
        let refused = run(&statement);
        assert!(refused.code != 0 && refused.err.contains("TEMPORARY"), "{refused:?}");
    }
    let words = run(
        "SELECT 'https://host/x?y=1' AS url; CREATE VIEW w AS SELECT 'https://host/x?y=1' AS url; SELECT url FROM w",
    );
    assert_eq!(words.code, 0, "a text that looks like one is none: {words:?}");
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
