//! The files `~/.aws/config` and `~/.aws/credentials`.
//!
//! See <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.

use super::Environment;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// `name = value` lines; those of an indented block below `outer =` are called `outer.name`.
pub(super) type Section = HashMap<String, String>;

/// What both files say.
#[derive(Default)]
pub(super) struct Profiles {
    /// Profiles by name. The file of credentials wins over the file of settings.
    profiles: HashMap<String, Profile>,
    sso_sessions: HashMap<String, Section>,
    services: HashMap<String, Section>,
}

/// One profile and where it stands.
#[derive(Default, Clone)]
pub(super) struct Profile {
    pub values: Section,
    pub file: PathBuf,
}

impl Profile {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }
}

impl Profiles {
    /// Reads both files; one that does not exist is empty.
    pub fn read(environment: &Environment) -> Result<Self> {
        let mut all = Self::default();
        let config = environment.file("AWS_CONFIG_FILE", ".aws/config");
        for (header, section) in sections(&config)? {
            match header
                .split_once(char::is_whitespace)
                .map(|(kind, name)| (kind, name.trim()))
            {
                Some(("profile", name)) => all.add(name, section, &config),
                Some(("sso-session", name)) => drop(all.sso_sessions.insert(name.to_string(), section)),
                Some(("services", name)) => drop(all.services.insert(name.to_string(), section)),
                None if header == "default" => all.add("default", section, &config),
                _ => {}
            }
        }
        let credentials = environment.file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
        for (header, section) in sections(&credentials)? {
            all.add(&header, section, &credentials);
        }
        Ok(all)
    }

    fn add(&mut self, name: &str, section: Section, file: &Path) {
        let profile = self.profiles.entry(name.to_string()).or_default();
        profile.values.extend(section);
        profile.file = file.to_path_buf();
    }

    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// # Errors
    /// With the nearest name, when there is no such profile.
    pub fn require(&self, name: &str, environment: &Environment) -> Result<&Profile> {
        self.get(name).ok_or_else(|| {
            let files = [
                environment.file("AWS_CONFIG_FILE", ".aws/config"),
                environment.file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
            ];
            let files = files.map(|f| f.display().to_string()).join(" and ");
            Error::storage(format!("there is no AWS profile \"{name}\" in {files}"))
                .with_nearest(name, self.profiles.keys().map(String::as_str))
        })
    }

    pub fn sso_session(&self, name: &str) -> Option<&Section> {
        self.sso_sessions.get(name)
    }

    /// The endpoint that a profile gives S3.
    pub fn s3_endpoint(&self, profile: &Profile) -> Option<String> {
        let services = profile.get("services").and_then(|name| self.services.get(name));
        let for_s3 = services.and_then(|s| s.get("s3.endpoint_url")).cloned();
        for_s3.or_else(|| profile.get("endpoint_url").map(str::to_string))
    }
}

/// The sections of a file in their order.
fn sections(file: &Path) -> Result<Vec<(String, Section)>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(parse(&text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound || e.kind() == std::io::ErrorKind::NotADirectory => {
            Ok(vec![])
        }
        Err(e) => Err(Error::storage(format!("{}: {e}", file.display()))),
    }
}

fn parse(text: &str) -> Vec<(String, Section)> {
    let mut sections: Vec<(String, Section)> = vec![];
    let mut outer = String::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = trimmed.strip_prefix('[').and_then(|t| t.split(']').next()) {
            sections.push((header.trim().replace(['"', '\''], ""), Section::new()));
            outer.clear();
            continue;
        }
        let (Some((name, value)), Some((_, section))) = (trimmed.split_once('='), sections.last_mut()) else {
            continue;
        };
        // A comment starts after white space only: secrets may contain the characters.
        let value = value
            .split(" #")
            .next()
            .unwrap_or(value)
            .split(" ;")
            .next()
            .unwrap_or(value);
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_string());
        let is_nested = line.starts_with(char::is_whitespace) && !outer.is_empty();
        match is_nested {
            true => drop(section.insert(format!("{outer}.{name}"), value)),
            false => {
                outer = if value.is_empty() { name.clone() } else { String::new() };
                section.insert(name, value);
            }
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_values_and_blocks_are_read() {
        let text = "# x\n[default]\nregion = eu-west-1\n\n[profile a b]\naws_secret_access_key = a=b/c+#d # note\ns3 =\n  \
                    endpoint_url = http://x\n  y=1\nlast = 2\n[services s]\ns3 =\n   endpoint_url = https://e\n";
        let sections = parse(text);
        let get = |i: usize, name: &str| sections[i].1.get(name).map(String::as_str);
        assert_eq!(sections[1].0, "profile a b");
        assert_eq!(get(0, "region"), Some("eu-west-1"));
        assert_eq!(get(1, "aws_secret_access_key"), Some("a=b/c+#d"));
        assert_eq!(get(1, "s3.endpoint_url"), Some("http://x"));
        assert_eq!(get(1, "last"), Some("2"));
        assert_eq!(get(2, "s3.endpoint_url"), Some("https://e"));
    }

    #[test]
    fn the_file_of_credentials_wins() {
        let home = tempfile::tempdir().unwrap();
        let aws = home.path().join(".aws");
        std::fs::create_dir(&aws).unwrap();
        std::fs::write(
            aws.join("config"),
            "[profile a]\nregion=r\naws_access_key_id=1\n[sso-session s]\nsso_region=x\n",
        )
        .unwrap();
        std::fs::write(aws.join("credentials"), "[a]\naws_access_key_id=2\n").unwrap();
        let environment = Environment::of(&[("HOME", home.path().to_str().unwrap())]);
        let all = Profiles::read(&environment).unwrap();
        let a = all.require("a", &environment).unwrap();
        assert_eq!((a.get("region"), a.get("aws_access_key_id")), (Some("r"), Some("2")));
        assert!(all.sso_session("s").is_some());
        let error = all.require("aa", &environment).err().unwrap();
        assert!(error.hint().unwrap().contains("\"a\""), "{error}");
    }
}
