use super::*;
use tempfile::TempDir;

const CONFIG: &str = "\
[default]
region = eu-central-1

[profile keys]
aws_access_key_id = AKIDKEYS
aws_secret_access_key = canary
endpoint_url = https://minio.example.com
services = s

[services s]
s3 =
  endpoint_url = https://s3.example.com

[profile half]
aws_access_key_id = AKIDHALF

[profile process]
credential_process = echo canary

[profile role]
role_arn = arn:aws:iam::1:role/reader
source_profile = keys
external_id = canary

[profile own]
role_arn = arn:aws:iam::1:role/reader
source_profile = own
aws_access_key_id = AKIDOWN
aws_secret_access_key = canary

[profile circle]
role_arn = arn:aws:iam::1:role/a
source_profile = round
[profile round]
role_arn = arn:aws:iam::1:role/b
source_profile = circle

[profile code]
role_arn = arn:aws:iam::1:role/a
source_profile = keys
mfa_serial = arn:aws:iam::1:mfa/me

[profile sso]
sso_session = corp
sso_account_id = 123
sso_role_name = reader
[sso-session corp]
sso_start_url = https://corp.example.com
sso_region = eu-west-1

[profile old_sso]
sso_start_url = https://corp.example.com
sso_region = eu-west-1
sso_account_id = 123
sso_role_name = reader
";

fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(home.path().join(".aws/config"), CONFIG).unwrap();
    home
}

fn found(home: &TempDir, variables: &[(&str, &str)]) -> Result<Identity> {
    let mut all = vec![("HOME", home.path().to_str().unwrap())];
    all.extend(variables);
    find(&Environment::of(&all), &StoreSettings::default())
}

fn of_named(profile: &str) -> Result<Identity> {
    found(&home(), &[("AWS_PROFILE", profile)])
}

#[test]
fn the_first_source_counts() {
    let home = home();
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIDENV"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_PROFILE", "keys"),
    ];
    let identity = found(&home, &keys).unwrap();
    assert_eq!(identity.from, "the environment");
    assert_eq!(identity.endpoint.as_deref(), Some("https://s3.example.com"));
    let identity = found(&home, &[("AWS_PROFILE", "keys"), ("AWS_REGION", "r")]).unwrap();
    assert!(identity.from.starts_with("profile keys in "), "{}", identity.from);
    assert_eq!(identity.region.as_deref(), Some("r"));
    let container = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    let identity = found(&home, &[container]).unwrap();
    assert!(matches!(&identity.source, Source::Container { url, .. } if url == "http://169.254.170.2/x"));
    let identity = found(&home, &[]).unwrap();
    assert!(matches!(&identity.source, Source::Machine { url } if url == "http://169.254.169.254"));
    assert_eq!(identity.region.as_deref(), Some("eu-central-1"));
    let identity = found(&home, &[("AWS_SKIP_SIGNATURE", "true"), keys[0], keys[1]]).unwrap();
    assert!(matches!(identity.source, Source::Anonymous));
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn")];
    assert!(matches!(found(&home, &web).unwrap().source, Source::WebIdentity { .. }));
    let mut all = vec![("HOME", home.path().to_str().unwrap())];
    all.extend(keys);
    let settings = StoreSettings {
        s3_profile: Some("process".into()),
        ..Default::default()
    };
    let identity = find(&Environment::of(&all), &settings).unwrap();
    assert!(
        matches!(identity.source, Source::Process { .. }),
        "the setting comes first"
    );
}

#[test]
fn profiles_say_what_to_ask() {
    assert!(matches!(of_named("process").unwrap().source, Source::Process { .. }));
    let Source::Role(role) = of_named("role").unwrap().source else {
        panic!("a role")
    };
    let Role { base, role, .. } = *role;
    assert!(matches!(base, Source::Keys { ref id, .. } if id == "AKIDKEYS"));
    assert_eq!(role, "arn:aws:iam::1:role/reader");
    let Source::Role(role) = of_named("own").unwrap().source else {
        panic!("a role")
    };
    assert!(matches!(role.base, Source::Keys { ref id, .. } if id == "AKIDOWN"));
    for name in ["sso", "old_sso"] {
        let Source::SingleSignOn(sign_on) = of_named(name).unwrap().source else {
            panic!("{name}")
        };
        assert_eq!(
            (sign_on.account.as_str(), sign_on.region.as_str()),
            ("123", "eu-west-1")
        );
    }
}

#[test]
fn what_is_wrong_with_a_profile_is_said() {
    for (name, part) in [
        ("half", "aws_secret_access_key is missing"),
        ("circle", "leads back to it"),
        ("nobody", "there is no AWS profile \"nobody\""),
    ] {
        let error = of_named(name).unwrap_err();
        assert!(error.message().contains(part), "{error}");
    }
    let error = found(&home(), &[("AWS_ACCESS_KEY_ID", "x")]).unwrap_err();
    assert!(error.message().contains("AWS_SECRET_ACCESS_KEY is not"), "{error}");
    let error = found(
        &home(),
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/x")],
    )
    .unwrap_err();
    assert!(error.message().contains("plain HTTP"), "{error}");
}

#[test]
fn secrets_are_not_shown() {
    for name in ["keys", "process", "role", "own"] {
        let identity = of_named(name).unwrap();
        assert!(!format!("{identity:?}").contains("canary"), "{identity:?}");
    }
}
