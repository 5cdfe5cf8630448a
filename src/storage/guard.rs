//! Which locations may be read and written at all.
//!
//! The list is of the process, like the stores: whoever asks for a location asks here first, on whatever way.

use super::location::{Location, absolute_path};
use crate::error::{Error, Result, without_secrets};
use parking_lot::RwLock;
use std::path::{Path, PathBuf};

/// Locations inside which everything is allowed; `None` means everywhere.
static ALLOWED: RwLock<Option<Vec<String>>> = RwLock::new(None);

/// Allows the locations in `prefixes` and what is below them, and nothing else. An empty list allows everything.
pub fn allow_only(prefixes: &[String]) -> Result<()> {
    if prefixes.is_empty() {
        if ALLOWED.read().is_some() {
            *ALLOWED.write() = None;
        }
        return Ok(());
    }
    let allowed = prefixes.iter().map(|p| canonical(p)).collect::<Result<Vec<_>>>()?;
    *ALLOWED.write() = Some(allowed);
    Ok(())
}

/// Allows one location more, when not all are: a place that the program itself chose.
pub fn allow_also(location: &str) -> Result<()> {
    if ALLOWED.read().is_none() {
        return Ok(());
    }
    let canonical = canonical(location)?;
    if let Some(allowed) = ALLOWED.write().as_mut()
        && !allowed.contains(&canonical)
    {
        allowed.push(canonical);
    }
    Ok(())
}

/// Whether `inner` is `outer` or below it.
pub fn is_inside(inner: &str, outer: &str) -> Result<bool> {
    Ok(is_below(&canonical(inner)?, &canonical(outer)?))
}

/// For a location that is remembered and not yet used: nothing is asked of its store.
///
/// # Errors
/// `Refused` when it may not be used.
pub fn check_allowed(location: &str) -> Result<()> {
    if ALLOWED.read().is_none() {
        return Ok(());
    }
    check(&canonical(location)?).map_err(|_| refused(location))
}

/// # Errors
/// `Refused` when a location in a remote store, in canonical spelling, may not be used.
pub(super) fn check(location: &str) -> Result<()> {
    match ALLOWED.read().as_ref() {
        Some(allowed) if !allowed.iter().any(|a| is_below(location, a)) => Err(refused(location)),
        _ => Ok(()),
    }
}

/// The same for a path on this machine's disk. Links are followed first, so that none leads out.
pub(super) fn check_local(path: &str) -> Result<()> {
    if ALLOWED.read().is_none() {
        return Ok(());
    }
    let real = real_path(path)?;
    check(&real).map_err(|_| refused(path))
}

fn refused(location: &str) -> Error {
    Error::refused(format!(
        "{} is outside of the locations that are allowed",
        without_secrets(location)
    ))
    .with_hint("allow it with --allow LOCATION")
}

/// `allowed` ends in no slash, except that of the root folder.
fn is_below(location: &str, allowed: &str) -> bool {
    location
        .strip_prefix(allowed)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || allowed.ends_with('/'))
}

fn canonical(location: &str) -> Result<String> {
    match Location::canonical(location.trim_end_matches('/'))? {
        Some(remote) => Ok(remote),
        None if location.trim_end_matches('/').is_empty() => Ok("/".into()),
        None => real_path(location.strip_prefix("file://").unwrap_or(location)),
    }
}

/// The path without links; what does not exist yet is added as it is.
fn real_path(path: &str) -> Result<String> {
    let absolute = PathBuf::from(absolute_path(path)?);
    let mut existing: &Path = &absolute;
    let mut rest = vec![];
    let real = loop {
        match (existing.canonicalize(), existing.parent(), existing.file_name()) {
            (Ok(real), ..) => break real,
            (Err(_), Some(parent), Some(name)) => {
                rest.push(name);
                existing = parent;
            }
            (Err(_), ..) => break existing.to_path_buf(),
        }
    };
    let whole = rest.iter().rev().fold(real, |path, name| path.join(name));
    Ok(whole.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_is_told_by_whole_names() {
        let inside = |a, b| is_inside(a, b).unwrap();
        assert!(inside("s3://b/data/x", "s3a://b/data/"));
        assert!(inside("s3://b/data", "s3://b/data"));
        assert!(!inside("s3://b/database", "s3://b/data"));
        assert!(!inside("s3://bb", "s3://b"));
        assert!(!inside("gs://b/data", "s3://b/data"));
        assert!(inside("/tmp/x/../y", "/tmp"));
        assert!(!inside("/tmp/../etc", "/tmp"));
        assert!(inside("/anything", "/"));
    }

    #[test]
    fn links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        let root = dir.path().to_str().unwrap();
        assert!(!is_inside(&format!("{root}/link/passwd"), root).unwrap());
        assert!(is_inside(&format!("{root}/new/file"), root).unwrap());
    }
}
