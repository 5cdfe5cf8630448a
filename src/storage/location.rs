//! Locations: which store, which path, which glob.

use super::access::Address;
use super::guard;
use super::store::{self, Store};
use crate::error::{Error, Result, without_secrets};
use globset::{GlobBuilder, GlobMatcher};
use object_store::path::Path;
use std::sync::Arc;

/// Which kind of store a location is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Local,
    /// A store inside this process, for tests.
    Memory,
    S3,
    Gcs,
    Azure,
    Http,
    /// A store of the caller's own.
    Registered,
}

/// Spellings of schemes, what they mean, and the one that is shown for it.
const SCHEMES: &[(&str, Scheme, &str)] = &[
    ("file", Scheme::Local, "file"),
    ("memory", Scheme::Memory, "memory"),
    ("s3", Scheme::S3, "s3"),
    ("s3a", Scheme::S3, "s3"),
    ("s3n", Scheme::S3, "s3"),
    ("gs", Scheme::Gcs, "gs"),
    ("gcs", Scheme::Gcs, "gs"),
    ("az", Scheme::Azure, "az"),
    ("azure", Scheme::Azure, "az"),
    ("abfs", Scheme::Azure, "abfss"),
    ("abfss", Scheme::Azure, "abfss"),
    ("http", Scheme::Http, "http"),
    ("https", Scheme::Http, "https"),
];

impl Scheme {
    /// The spelling that is shown for one in lower case.
    pub(super) fn canonical(scheme: &str) -> &str {
        SCHEMES
            .iter()
            .find(|(name, ..)| *name == scheme)
            .map_or(scheme, |(.., canonical)| canonical)
    }
}

/// A place in a store: a file, a folder, or a pattern of files.
///
/// ```text
/// s3://lake/trips/*/part-[0-9]*.parquet
/// └── base ──────┘└── pattern ────────┘
/// ```
///
/// Names in buckets are taken as they are written, as the tools of the clouds and Hive take them: `%2F` in a location is
/// these three characters in the object's key. Only in `http://` and `https://` locations it is an escape.
#[derive(Debug, Clone)]
pub struct Location {
    /// As it was written.
    pub text: Arc<str>,
    pub(super) scheme: Scheme,
    pub(super) store: Arc<Store>,
    /// The part before the first component with a wildcard, in canonical spelling and without a slash at the end.
    pub(super) base: String,
    /// The same as the store names it.
    pub(super) base_path: Path,
    /// The components from the first one with a wildcard on; empty for a file or folder.
    pub(super) pattern: Vec<String>,
    /// Whether the location ends in a slash, so that it can only be a folder.
    pub(super) folder: bool,
}

/// Whether `*`, `?`, `[` and `{` in a location mean more than themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wildcards {
    Yes,
    No,
}

impl Location {
    /// Reads a location: a bare path, `~/path`, `file://path` or a URL, with wildcards `*`, `?`, `[a-z]`, `{a,b}`, `**`.
    ///
    /// # Errors
    /// When the scheme is unknown or not built in, the path cannot be one, or the store's client cannot be made.
    pub fn parse(text: &str) -> Result<Self> {
        Self::new(text, Wildcards::Yes)
    }

    /// The location of one file or folder, whatever characters its name has.
    pub fn exact(text: &str) -> Result<Self> {
        Self::new(text, Wildcards::No)
    }

    fn new(text: &str, wildcards: Wildcards) -> Result<Self> {
        if text.is_empty() || text.contains('\0') {
            return Err(Error::plan(format!("\"{}\" is not a location", text.escape_debug())));
        }
        match split_scheme(text)? {
            (Scheme::Local, path) => Self::local(text, path, wildcards),
            (Scheme::Http, _) => Self::http(text, wildcards),
            (scheme, _) => Self::remote(text, scheme, wildcards),
        }
    }

    fn local(text: &str, path: &str, wildcards: Wildcards) -> Result<Self> {
        let path = match path.strip_prefix("~/") {
            Some(rest) => home()? + "/" + rest,
            _ => path.to_string(),
        };
        // A file may be called "a[1].parquet": when that very path exists, it is meant.
        let literal = wildcards == Wildcards::No
            || (split_components(&path).iter().any(|c| has_wildcard(c)) && std::path::Path::new(&path).exists());
        let (base, pattern) = split_pattern(&path, literal);
        let base = match base.as_str() {
            "" if path.starts_with('/') => "/".to_string(),
            "" => ".".to_string(),
            _ => base,
        };
        guard::check_local(&base)?;
        Ok(Self {
            text: text.into(),
            scheme: Scheme::Local,
            store: store::local(),
            base_path: as_path(&absolute_path(&base)?)?,
            base,
            pattern,
            folder: path.ends_with('/'),
        })
    }

    /// `scheme://name/path`, where `name` is a bucket, a container or whatever a caller registered.
    fn remote(text: &str, scheme: Scheme, wildcards: Wildcards) -> Result<Self> {
        let (written, rest) = text.split_once("://").unwrap_or(("", text));
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        if name.contains('@') && scheme != Scheme::Azure {
            return Err(no_credentials_in(text));
        }
        if name.is_empty() || has_wildcard(name) {
            let error = Error::plan(format!("location \"{text}\" does not name a bucket"));
            return Err(error.with_hint(format!("write {written}://bucket/path")));
        }
        let lower = written.to_lowercase();
        let url = format!("{}://{name}", Scheme::canonical(&lower));
        let (base, pattern) = split_pattern(path, wildcards == Wildcards::No);
        let base_path = as_path(base.trim_matches('/')).map_err(|e| e.context(text))?;
        guard::check(format!("{url}/{base_path}").trim_end_matches('/'))?;
        let store = match store::registered(&url) {
            Some(store) => store,
            None => store::remote(scheme, &url, name)?,
        };
        Ok(Self {
            text: text.into(),
            scheme: store.scheme,
            base: store.location_of(&base_path),
            base_path,
            store,
            pattern,
            folder: path.ends_with('/'),
        })
    }

    /// `https://host/path`, with escapes in the path.
    fn http(text: &str, wildcards: Wildcards) -> Result<Self> {
        let address = Address::read(text)?;
        let (url, shown) = (&address.plain, address.shown.as_str());
        let origin = url.origin().ascii_serialization();
        guard::check(format!("{origin}{}", url.path()).trim_end_matches('/'))?;
        let store = match store::registered(&origin) {
            Some(store) => store,
            None if address.has_secrets() => store::remote(Scheme::Http, shown, &origin)?,
            None => store::remote(Scheme::Http, &origin, &origin)?,
        };
        let path = Path::from_url_path(url.path()).map_err(|e| Error::plan(format!("\"{shown}\": {e}")))?;
        let written = text.split('?').next().unwrap_or(text);
        if wildcards == Wildcards::Yes && written.contains(['*', '{', '[']) {
            return Err(
                Error::unsupported(format!("a pattern over HTTP, where files cannot be listed: {shown}"))
                    .with_hint("name each file"),
            );
        }
        Ok(Self {
            text: if address.has_secrets() { shown } else { text }.into(),
            scheme: store.scheme,
            base: match address.has_secrets() {
                true => shown.to_string(),
                false => store.location_of(&path),
            },
            base_path: path,
            store,
            pattern: vec![],
            folder: false,
        })
    }

    /// The canonical spelling of a location in a remote store; `None` for one on this machine. Nothing is asked.
    pub(super) fn canonical(text: &str) -> Result<Option<String>> {
        let Some((written, rest)) = text.split_once("://").filter(|(scheme, _)| *scheme != "file") else {
            return Ok(None);
        };
        let lower = written.to_lowercase();
        if let Some((_, Scheme::Http, _)) = SCHEMES.iter().find(|(name, ..)| *name == lower) {
            let url = url::Url::parse(text).map_err(|e| Error::plan(format!("not a location: {e}")))?;
            let origin = url.origin().ascii_serialization();
            return Ok(Some(
                format!("{origin}{}", url.path()).trim_end_matches('/').to_string(),
            ));
        }
        Ok(Some(format!("{}://{rest}", Scheme::canonical(&lower))))
    }

    /// # Errors
    /// `Unsupported` when files can only be read there.
    pub fn check_writable(&self) -> Result<()> {
        match self.is_writable() {
            true => Ok(()),
            false => Err(Error::unsupported(format!(
                "{} cannot be written: files over HTTP are for reading",
                self.text
            ))),
        }
    }

    /// Where the location's objects are kept.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The name of the file or folder in its store; of a pattern, of the folder before it.
    pub(crate) fn path(&self) -> &Path {
        &self.base_path
    }

    /// Whether the location is on a local disk.
    pub fn is_local(&self) -> bool {
        self.scheme == Scheme::Local
    }

    /// Whether there can be anything but reading.
    pub fn is_writable(&self) -> bool {
        self.scheme != Scheme::Http
    }

    /// Whether the location has wildcards.
    pub fn is_pattern(&self) -> bool {
        !self.pattern.is_empty()
    }

    /// The folder below which the location's files are, or the file itself.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The local path of a file or folder.
    ///
    /// # Errors
    /// When the location is in another store or has wildcards.
    pub fn local_path(&self) -> Result<std::path::PathBuf> {
        match (self.scheme, self.is_pattern()) {
            (Scheme::Local, false) => Ok(self.base.clone().into()),
            (Scheme::Local, true) => Err(Error::plan(format!(
                "\"{}\" has wildcards where one folder is needed",
                self.text
            ))),
            _ => Err(Error::unsupported(format!("writing to {}", self.text))),
        }
    }

    /// What the whole pattern, relative to the base, must match.
    pub(super) fn matcher(&self) -> Result<GlobMatcher> {
        self.glob(&self.pattern.join("/"))
    }

    /// A matcher for relative paths, where a wildcard does not cross a slash.
    pub(super) fn glob(&self, pattern: &str) -> Result<GlobMatcher> {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        Ok(glob
            .map_err(|e| {
                Error::plan(format!(
                    "\"{}\" is not a pattern of file names: {}",
                    self.text,
                    e.kind()
                ))
            })?
            .compile_matcher())
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str)> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok((Scheme::Local, text.strip_prefix("file:").unwrap_or(text)));
    };
    if !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
        return Ok((Scheme::Local, text));
    }
    let lower = scheme.to_lowercase();
    match SCHEMES.iter().find(|(name, ..)| *name == lower) {
        Some((_, Scheme::Local, _)) => Ok((Scheme::Local, rest.strip_prefix("localhost").unwrap_or(rest))),
        Some((_, scheme, _)) => Ok((*scheme, rest)),
        None if store::registered(&registered_prefix(&lower, rest)).is_some() => Ok((Scheme::Registered, rest)),
        None => Err(
            Error::unsupported(format!("the scheme {scheme}:// of location \"{text}\" is not known"))
                .with_nearest(&lower, SCHEMES.iter().map(|(name, ..)| *name)),
        ),
    }
}

fn no_credentials_in(text: &str) -> Error {
    let error = Error::unsupported(format!("a location with a user, a password or parameters: {text}"));
    match text.to_lowercase().starts_with("http") {
        true => error.with_hint("it can be read, also by a TEMPORARY table, but not be written down"),
        false => error.with_hint("credentials come from the environment and from the files of each cloud's own tools"),
    }
}

fn home() -> Result<String> {
    std::env::var("HOME").map_err(|_| Error::plan("a location starts with ~ but HOME is not set"))
}

/// Splits at slashes that are not inside braces.
fn split_components(path: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (vec![], 0usize, 0);
    for (i, c) in path.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => {
                parts.push(&path[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&path[start..]);
    parts
}

fn has_wildcard(component: &str) -> bool {
    component.contains(['*', '?', '[', '{'])
}

fn registered_prefix(scheme: &str, rest: &str) -> String {
    format!("{scheme}://{}", rest.split('/').next().unwrap_or(rest))
}

/// What stands before the first component with a wildcard, and the components from there on.
fn split_pattern(path: &str, literal: bool) -> (String, Vec<String>) {
    let components = split_components(path);
    match components.iter().position(|c| has_wildcard(c)) {
        Some(at) if !literal => {
            let (base, pattern) = components.split_at(at);
            (base.join("/"), pattern.iter().map(|c| c.to_string()).collect())
        }
        _ => (path.trim_end_matches('/').to_string(), vec![]),
    }
}

/// The name that stores have for a path, character by character.
fn as_path(path: &str) -> Result<Path> {
    Path::parse(path).map_err(|e| Error::plan(format!("\"{path}\" is not a location: {e}")))
}

/// A local path made absolute, with `.` and `..` resolved by name. Other locations stay as they are.
pub fn absolute_path(path: &str) -> Result<String> {
    if path.contains("://") && !path.starts_with("file://") {
        // Whoever asks is about to remember it.
        if without_secrets(path) != path {
            return Err(no_credentials_in(path));
        }
        return Ok(path.to_string());
    }
    let (_, path) = split_scheme(path)?;
    let absolute = std::path::absolute(path).map_err(|e| Error::storage(format!("{path}: {e}")))?;
    let mut parts: Vec<std::path::Component> = vec![];
    for part in absolute.components() {
        match part {
            std::path::Component::ParentDir => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    let clean: std::path::PathBuf = parts.into_iter().collect();
    clean
        .into_os_string()
        .into_string()
        .map_err(|p| Error::storage(format!("the path {} is not UTF-8", p.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_cut_before_its_first_wildcard() {
        let l = Location::parse("data/trips/*/part-{a/b,c}/x?.parquet").unwrap();
        assert_eq!(l.base, "data/trips");
        assert_eq!(l.pattern, ["*", "part-{a/b,c}", "x?.parquet"]);
        let l = Location::parse("/data/x/").unwrap();
        assert_eq!((l.base.as_str(), l.folder), ("/data/x", true));
        assert_eq!(Location::parse("*.csv").unwrap().base, ".");
        assert_eq!(Location::parse("file:///tmp/x").unwrap().base, "/tmp/x");
    }

    #[test]
    fn schemes_and_buckets_are_read() {
        let error = Location::parse("htp://x/y").unwrap_err();
        assert!(error.hint().unwrap().contains("http"));
        let error = Location::parse("memory:///x").unwrap_err();
        assert!(error.hint().unwrap().contains("memory://bucket/path"), "{error}");
        let l = Location::parse("MEMORY://b/a/*.csv").unwrap();
        assert_eq!((l.base.as_str(), l.base_path.as_ref()), ("memory://b/a", "a"));
        assert_eq!(Location::parse("memory://b").unwrap().base, "memory://b");
    }

    #[test]
    fn names_in_buckets_are_taken_as_they_are() {
        for name in ["p=a b%2Fc%3Ad%3De%25", "ü=é", "a[1].csv", "x?y", "#", "a+b&c"] {
            let text = format!("memory://names/t/{name}/f.csv");
            let l = Location::exact(&text).unwrap();
            assert_eq!(l.base, text);
            assert_eq!(l.base_path.as_ref(), format!("t/{name}/f.csv"));
        }
        let l = Location::parse("https://host:8443/a%20b/c%2541.csv").unwrap();
        assert_eq!(l.base_path.as_ref(), "a b/c%41.csv");
        assert_eq!(l.base, "https://host:8443/a%20b/c%2541.csv");
    }

    #[test]
    fn a_caller_can_put_a_store_of_its_own_behind_a_prefix() {
        let mine = Arc::new(object_store::memory::InMemory::new());
        assert!(Location::parse("fault://x/y").is_err());
        store::register_store("fault://x", mine.clone(), Some(mine)).unwrap();
        let l = Location::parse("fault://x/y/*").unwrap();
        assert_eq!((l.base.as_str(), l.store().uploads.is_some()), ("fault://x/y", true));
        assert!(Location::parse("fault://other/y").is_err());
        let mine = Arc::new(object_store::memory::InMemory::new());
        assert!(store::register_store("file://x", mine.clone(), None).is_err());
        assert!(store::register_store("fault://x/y", mine, None).is_err());
    }

    #[test]
    fn dots_are_resolved_by_name() {
        assert_eq!(absolute_path("/a/b/../c/./d").unwrap(), "/a/c/d");
    }
}
