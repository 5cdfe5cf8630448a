//! Secrets are planted wherever they may be, many statements run well and badly, and no output and no file has them.

use crate::program::{in_warehouse, outcome};
use crate::servers::Trouble;
use crate::servers::gcs::GcsServer;
use crate::servers::s3::{KEY, S3Server, SECRET};
use std::path::Path;
use tempfile::TempDir;

/// Part of every secret here.
const CANARY: &str = "CaNaRy";

struct World {
    s3: S3Server,
    gcs: GcsServer,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let (s3, gcs) = (S3Server::start(&["lake"]), GcsServer::start(&["lake"]));
        for name in ["t/p=1/a.csv", "t/p=2/a.csv"] {
            s3.put("lake", name, "x\n1\n");
            gcs.put("lake", name, "x\n1\n");
        }
        let folder = tempfile::tempdir().unwrap();
        let aws = folder.path().join("home/.aws");
        std::fs::create_dir_all(&aws).unwrap();
        let config = format!(
            "[profile keys]\naws_access_key_id = AKIDOFAPROFILE\naws_secret_access_key = {CANARY}1\naws_session_token = {CANARY}2\n\
             [profile process]\ncredential_process = echo {CANARY}3 >&2; echo {CANARY}4; exit 1\n\
             [profile text]\ncredential_process = echo {CANARY}4\n\
             [profile half]\naws_secret_access_key = {CANARY}5\n\
             [profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\nexternal_id = {CANARY}6\n\
             [profile code]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\nmfa_serial = m\n\
             [profile sso]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n\
             [sso-session corp]\nsso_start_url = https://corp\nsso_region = eu-west-1\n"
        );
        let cache = folder.path().join("home/.aws/sso/cache");
        std::fs::create_dir_all(&cache).unwrap();
        let session = format!(
            r#"{{"accessToken":"{CANARY}20","expiresAt":"2020-01-01T00:00:00Z","clientId":"c","clientSecret":"{CANARY}21","refreshToken":"{CANARY}22"}}"#
        );
        // The name is the SHA-1 of "corp".
        let name = "ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
        std::fs::write(cache.join(name), session).unwrap();
        std::fs::write(folder.path().join("token"), format!("{CANARY}23")).unwrap();
        let person = format!(
            r#"{{"type":"authorized_user","client_id":"c","client_secret":"{CANARY}24","refresh_token":"{CANARY}25","token_uri":"http://127.0.0.1:1/"}}"#
        );
        let impersonated = format!(
            r#"{{"type":"impersonated_service_account","service_account_impersonation_url":"http://127.0.0.1:1/e@x:generateAccessToken","source_credentials":{person}}}"#
        );
        std::fs::write(folder.path().join("impersonated.json"), impersonated).unwrap();
        let external = format!(
            r#"{{"type":"external_account","audience":"a","subject_token_type":"t","token_url":"http://127.0.0.1:1/","client_id":"c","client_secret":"{CANARY}26","credential_source":{{"file":"{}"}}}}"#,
            folder.path().join("token").display()
        );
        std::fs::write(folder.path().join("external.json"), external).unwrap();
        std::fs::write(aws.join("config"), config).unwrap();
        let key = format!(
            r#"{{"type":"service_account","client_email":"e@x","private_key":"-----BEGIN PRIVATE KEY-----\n{CANARY}7\n-----END PRIVATE KEY-----\n","private_key_id":"{CANARY}8","client_id":"c","token_uri":"http://127.0.0.1:1/"}}"#
        );
        std::fs::write(folder.path().join("key.json"), key).unwrap();
        std::fs::write(
            folder.path().join("broken.json"),
            format!(r#"{{"private_key":"{CANARY}9"#),
        )
        .unwrap();
        Self { s3, gcs, folder }
    }

    /// Environments: working ones, and ones that fail in every way.
    fn environments(&self) -> Vec<(&'static str, Vec<(String, String)>)> {
        let s3_at = |url: &str, more: &[(&str, &str)]| {
            let base = [
                ("AWS_ENDPOINT_URL", url),
                ("AWS_ALLOW_HTTP", "true"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"),
                ("AWS_ENDPOINT_URL_SSO_OIDC", "http://127.0.0.1:1"),
            ];
            let all = base.iter().chain(more);
            all.map(|(n, v)| (n.to_string(), v.to_string())).collect::<Vec<_>>()
        };
        let gcs_at = |more: &[(&str, &str)]| {
            let url = self.gcs.url();
            let base = [("GOOGLE_BASE_URL", url.as_str()), ("GOOGLE_ALLOW_HTTP", "true")];
            base.iter()
                .chain(more)
                .map(|(n, v)| (n.to_string(), v.to_string()))
                .collect::<Vec<_>>()
        };
        let (url, secret) = (self.s3.url(), format!("{CANARY}10"));
        let keys = [
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", secret.as_str()),
            ("AWS_SESSION_TOKEN", &secret),
        ];
        let with_user = url.replace("http://", &format!("http://user:{CANARY}11@"));
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut all = vec![
            (
                "s3",
                s3_at(
                    &url,
                    &[
                        ("AWS_ACCESS_KEY_ID", KEY),
                        ("AWS_SECRET_ACCESS_KEY", SECRET),
                        ("AWS_SESSION_TOKEN", &secret),
                    ],
                ),
            ),
            ("s3", s3_at(&url, &keys)),
            ("s3", s3_at("http://127.0.0.1:1", &keys)),
            ("s3", s3_at(&with_user, &keys)),
            ("s3", s3_at(&url, &keys[1..])),
            ("gs", gcs_at(&[("GOOGLE_BEARER_TOKEN", crate::servers::gcs::TOKEN)])),
            ("gs", gcs_at(&[("GOOGLE_BEARER_TOKEN", &secret)])),
            ("gs", gcs_at(&[("GOOGLE_SERVICE_ACCOUNT", &file("key.json"))])),
            (
                "gs",
                gcs_at(&[("GOOGLE_APPLICATION_CREDENTIALS", &file("broken.json"))]),
            ),
            (
                "gs",
                gcs_at(&[("GOOGLE_APPLICATION_CREDENTIALS", &file("impersonated.json"))]),
            ),
            (
                "gs",
                gcs_at(&[("GOOGLE_APPLICATION_CREDENTIALS", &file("external.json"))]),
            ),
            (
                "gs",
                gcs_at(&[("GOOGLE_SERVICE_ACCOUNT_KEY", &format!("{{{CANARY}12"))]),
            ),
            (
                "az",
                [
                    ("AZURE_STORAGE_ACCOUNT_NAME", "a"),
                    ("AZURE_STORAGE_SAS_TOKEN", &format!("?sv=1&sig={CANARY}13")),
                    ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:1"),
                    ("AZURE_ALLOW_HTTP", "1"),
                ]
                .map(|(n, v)| (n.into(), v.into()))
                .to_vec(),
            ),
            (
                "az",
                [
                    ("AZURE_STORAGE_ACCOUNT_NAME", "a"),
                    ("AZURE_STORAGE_ACCOUNT_KEY", &format!("{CANARY}14!")),
                ]
                .map(|(n, v)| (n.into(), v.into()))
                .to_vec(),
            ),
        ];
        for profile in ["keys", "process", "text", "half", "role", "code", "sso"] {
            all.push(("s3", s3_at(&url, &[("AWS_PROFILE", profile)])));
        }
        all
    }

    /// Everything that a run says; nothing of it may be a secret.
    fn run(&self, environment: &[(String, String)], arguments: &[&str], input: &str) -> String {
        let mut command = in_warehouse(&self.folder.path().join("warehouse"));
        command
            .env_clear()
            .env("HOME", self.folder.path().join("home"))
            .env("PATH", "/usr/bin:/bin");
        command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        command.args(["--set", "request_retries=0", "--continue-on-error", "--stats"]);
        let run = outcome(
            command
                .envs(environment.iter().cloned())
                .args(arguments)
                .write_stdin(input),
        );
        let said = format!("{}\n{}", run.out, run.err);
        assert!(!said.contains(CANARY), "{environment:?} {arguments:?}\n{said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }
}

/// No file below the folder has the text.
fn no_file_has(folder: &Path, text: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_file_has(&path, text);
        } else {
            let content = std::fs::read(&path).unwrap();
            assert!(!String::from_utf8_lossy(&content).contains(text), "{}", path.display());
        }
    }
}

#[test]
fn no_output_and_no_file_has_a_secret() {
    let world = World::new();
    for (scheme, environment) in world.environments() {
        let jobs = [
            format!("SELECT * FROM '{scheme}://lake/t/'; EXPLAIN SELECT * FROM '{scheme}://lake/t/'"),
            format!(
                "EXPLAIN ANALYZE SELECT count(*) FROM '{scheme}://lake/t/p=1/a.csv'; SELECT * FROM '{scheme}://lake/none/'"
            ),
            format!("SELECT * FROM '{scheme}://nobucket/t/'; SELECT x / 0 FROM '{scheme}://lake/t/'; SHOW SETTINGS"),
            format!(
                "CREATE EXTERNAL TABLE IF NOT EXISTS {scheme}_t (x int) STORED AS TEXTFILE LOCATION '{scheme}://lake/t/'; SHOW CREATE TABLE {scheme}_t; SELECT \"$path\" FROM {scheme}_t; DESCRIBE FORMATTED {scheme}_t"
            ),
        ];
        for job in &jobs {
            world.run(&environment, &["-c", job], "");
        }
        world.run(&environment, &["whoami", &format!("{scheme}://lake/t/")], "");
    }
    no_file_has(&world.folder.path().join("warehouse"), CANARY);
}

#[test]
fn secrets_in_locations_are_not_repeated() {
    let world = World::new();
    let mut environment = world.s3.environment();
    for variable in ["LAKEBED_ALLOW_HTTP", "LAKEBED_ALLOW_PRIVATE_HOSTS"] {
        environment.push((variable.to_string(), "true".to_string()));
    }
    // A server that gives to everybody what is read.
    let reading = crate::servers::Server::start(std::sync::Arc::new(|request| {
        let content = "x\n1\n";
        let range = crate::servers::header(request.headers(), "range").unwrap_or_default();
        let mut response = hyper::Response::new(bytes::Bytes::from(content));
        if let Some((start, end)) = crate::servers::gcs::parse_range(&range, content.len()) {
            *response.status_mut() = hyper::StatusCode::PARTIAL_CONTENT;
            *response.body_mut() = content[start..end].into();
            let range = format!("bytes {start}-{}/{}", end - 1, content.len());
            response.headers_mut().insert("content-range", range.parse().unwrap());
        }
        Box::pin(async move { response })
    }));
    for location in [
        format!("http://user:{CANARY}@{}/x.csv", reading.address),
        format!("http://{}/x.csv?X-Amz-Signature={CANARY}&x=1", reading.address),
        format!("http://{}/gone/x.csv?sig={CANARY}", "127.0.0.1:1"),
        format!("https://user:{CANARY}@127.0.0.1:1/x.csv"),
        format!("https://127.0.0.1:1/x.csv?X-Amz-Signature={CANARY}&x=1"),
        format!("http://h/x.csv?sig={CANARY}"),
        format!("s3://AKID:{CANARY}@lake/t/a.csv"),
        format!("gs://user:{CANARY}@lake/t/a.csv"),
        format!("htps://user:{CANARY}@lake/t/a.csv"),
    ] {
        let jobs = [
            format!("SELECT *\nFROM '{location}' AS x"),
            format!("EXPLAIN SELECT * FROM '{location}'"),
            format!(
                "CREATE EXTERNAL TABLE u (x int) STORED AS TEXTFILE LOCATION '{location}'; SELECT * FROM u; SHOW CREATE TABLE u"
            ),
            format!("COPY (SELECT 1 AS x) TO '{location}'"),
            format!(
                "CREATE TEMPORARY EXTERNAL TABLE v (x int) ROW FORMAT DELIMITED LOCATION '{location}'; SELECT x, \"$path\" FROM v; \
                 SELECT nothing FROM v; SELECT x / 0 FROM v; SHOW CREATE TABLE v; DESCRIBE FORMATTED v; EXPLAIN ANALYZE SELECT * FROM v; \
                 INSERT INTO v SELECT 1; CREATE VIEW w AS SELECT * FROM '{location}'; CREATE TABLE c AS SELECT * FROM '{location}'; \
                 SELECT * FROM information_schema.tables; DROP TABLE IF EXISTS c"
            ),
            format!(
                "SELECT \"$path\", * FROM '{location}'; EXPLAIN ANALYZE SELECT * FROM '{location}'; SELECT none FROM '{location}'"
            ),
            format!("SET s3_endpoint = '{location}'; SHOW SETTINGS"),
        ];
        for job in &jobs {
            world.run(&environment, &["-c", job], "");
        }
        world.run(&environment, &["whoami", &location], "");
        for command in ["list", "gc"] {
            world.run(&environment, &["txn", command, &location], "");
        }
        world.run(
            &environment,
            &["--allow", &location, "-c", &format!("SELECT * FROM '{location}'")],
            "",
        );
        world.run(&environment, &["-f", &location], "");
        world.run(&environment, &[], &format!("SELECT * FROM '{location}';"));
    }
    no_file_has(&world.folder.path().join("warehouse"), CANARY);
}

#[test]
fn what_a_server_says_is_not_repeated_whole() {
    let world = World::new();
    let environment = world.s3.environment();
    // S3 answers a wrong signature with all that it was made of; only code and message are of use.
    for code in [
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "ExpiredToken",
        "RequestTimeTooSkewed",
        "AccessDenied",
        "Odd",
    ] {
        world.s3.inject("GET", "list-type", 1, Trouble::Status(403, code));
        let said = world.run(&environment, &["-c", "SELECT * FROM 's3://lake/t/'"], "");
        assert!(said.contains("error: s3://lake/t/"), "{said}");
        assert!(!said.contains("<Code>") && !said.contains(KEY), "{said}");
        world.s3.calm();
    }
}
