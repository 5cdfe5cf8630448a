//! Locations: which store, which path, which glob.

use super::store::store_of;
use crate::error::{Error, Result};
use globset::{GlobBuilder, GlobMatcher};
use object_store::ObjectStore;
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
}

/// Spellings of schemes; synonyms stand beside each other.
const SCHEMES: &[(&str, Scheme)] = &[
    ("file", Scheme::Local),
    ("memory", Scheme::Memory),
    ("s3", Scheme::S3),
    ("s3a", Scheme::S3),
    ("s3n", Scheme::S3),
    ("gs", Scheme::Gcs),
    ("gcs", Scheme::Gcs),
    ("az", Scheme::Azure),
    ("abfs", Scheme::Azure),
    ("abfss", Scheme::Azure),
    ("http", Scheme::Http),
    ("https", Scheme::Http),
];

/// A place in a store: a file, a folder, or a pattern of files.
///
/// ```text
/// s3://lake/trips/*/part-[0-9]*.parquet
/// └── base ──────┘└── pattern ────────┘
/// ```
#[derive(Debug, Clone)]
pub struct Location {
    /// As it was written.
    pub text: Arc<str>,
    pub(super) scheme: Scheme,
    pub(super) store: Arc<dyn ObjectStore>,
    /// The part before the first component with a wildcard, as it was written and without a slash at the end.
    pub(super) base: String,
    /// The same as the store names it.
    pub(super) base_path: Path,
    /// The components from the first one with a wildcard on; empty for a file or folder.
    pub(super) pattern: Vec<String>,
    /// Whether the location ends in a slash, so that it can only be a folder.
    pub(super) folder: bool,
}

impl Location {
    /// Reads a location: a bare path, `~/path`, `file://path` or a URL, with wildcards `*`, `?`, `[a-z]`, `{a,b}`, `**`.
    ///
    /// # Errors
    /// When the scheme is unknown or not built in, or the path cannot be one.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.contains('\0') {
            return Err(Error::plan(format!("\"{}\" is not a location", text.escape_debug())));
        }
        let (scheme, path) = split_scheme(text)?;
        let store = store_of(scheme)?;
        let path = match path.strip_prefix("~/") {
            Some(rest) if scheme == Scheme::Local => home()? + "/" + rest,
            _ => path.to_string(),
        };
        let components = split_components(&path);
        let wild = components.iter().position(|c| has_wildcard(c));
        // A file may be called "a[1].parquet": when that very path exists, it is meant.
        let literal = scheme == Scheme::Local && wild.is_some() && std::path::Path::new(&path).exists();
        let (base, pattern) = match wild {
            Some(at) if !literal => {
                let (base, pattern) = components.split_at(at);
                (base.join("/"), pattern.iter().map(|c| c.to_string()).collect())
            }
            _ => (path.trim_end_matches('/').to_string(), vec![]),
        };
        let rooted = path.starts_with('/');
        let base = match (base.as_str(), scheme) {
            ("", Scheme::Local) if rooted => "/".to_string(),
            ("", Scheme::Local) => ".".to_string(),
            _ => base,
        };
        Ok(Self {
            text: text.into(),
            scheme,
            store,
            base_path: store_path(scheme, &base)?,
            base: if scheme == Scheme::Local {
                base
            } else {
                format!("memory://{base}")
            },
            pattern,
            folder: path.ends_with('/'),
        })
    }

    /// Whether the location is on a local disk.
    pub fn is_local(&self) -> bool {
        self.scheme == Scheme::Local
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
    match SCHEMES.iter().find(|(name, _)| *name == lower) {
        Some((_, Scheme::Local)) => Ok((Scheme::Local, rest.strip_prefix("localhost").unwrap_or(rest))),
        Some((_, scheme)) => Ok((*scheme, rest)),
        None => Err(
            Error::unsupported(format!("the scheme {scheme}:// of location \"{text}\" is not known"))
                .with_nearest(&lower, SCHEMES.iter().map(|(name, _)| *name)),
        ),
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

/// The name that the store has for a path.
pub(super) fn store_path(scheme: Scheme, path: &str) -> Result<Path> {
    let path = match scheme {
        Scheme::Local => absolute_path(path)?,
        _ => path.trim_matches('/').to_string(),
    };
    Path::parse(&path).map_err(|e| Error::plan(format!("\"{path}\" is not a location: {e}")))
}

/// A local path made absolute, with `.` and `..` resolved by name. Other locations stay as they are.
pub fn absolute_path(path: &str) -> Result<String> {
    if path.contains("://") && !path.starts_with("file://") {
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
    fn schemes_that_are_not_built_in_are_named() {
        let error = Location::parse("s3://bucket/x").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert!(error.message().contains("s3://"));
        let error = Location::parse("htp://x/y").unwrap_err();
        assert!(error.hint().unwrap().contains("http"));
    }

    #[test]
    fn dots_are_resolved_by_name() {
        assert_eq!(absolute_path("/a/b/../c/./d").unwrap(), "/a/c/d");
    }
}
