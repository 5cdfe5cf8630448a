//! Which files a location stands for.

use super::ObjectFile;
pub(super) use super::errors::store_error;
use super::location::{Location, Scheme};
use super::store::wait;
use crate::error::{Error, Result, nearest};
use futures::stream::{self, StreamExt};
use globset::GlobMatcher;
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, ObjectStore as _, ObjectStoreExt};
use std::sync::Arc;

/// Folders listed at the same time.
const LISTINGS_IN_FLIGHT: usize = 32;

/// The files of a location, sorted by name: the file itself, all files below a folder, or those that match a pattern.
/// Names that start with `_` or `.` below the location's base are hidden. An empty folder gives an empty list.
///
/// # Errors
/// `Storage` when there is no such file or folder, or nothing matches, with the nearest existing name.
pub fn list(location: &Location) -> Result<Vec<ObjectFile>> {
    let mut files = wait(find(location))??;
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

/// The file that a location names, if it names one and not a folder or a pattern.
///
/// # Errors
/// When the store does not answer.
pub fn file_at_location(location: &Location) -> Result<Option<ObjectFile>> {
    if location.is_pattern() {
        return Ok(None);
    }
    wait(find_file(location))?
}

/// Whether there is a file or folder at the location, or some file matches its pattern.
pub fn exists(location: &Location) -> Result<bool> {
    if location.is_pattern() {
        return Ok(list(location).is_ok());
    }
    wait(async {
        Ok(location.store.objects.head(&location.base_path).await.is_ok()
            || is_folder(location).await?
            || !children(location, &location.base_path).await?.objects.is_empty())
    })?
}

async fn find(location: &Location) -> Result<Vec<ObjectFile>> {
    if location.is_pattern() {
        return find_pattern(location).await;
    }
    if location.scheme == Scheme::Http {
        return Ok(vec![find_file(location).await?.ok_or_else(|| no_file(location))?]);
    }
    // Each question is a request: a name with an extension is probably a file, one without a folder.
    let file_first = location.scheme == Scheme::Local || location.base_path.extension().is_some();
    if file_first && let Some(file) = find_file(location).await? {
        return Ok(vec![file]);
    }
    let files = walk(location, &|_| true).await?;
    if !files.is_empty() || is_folder(location).await? {
        return Ok(files);
    }
    if !file_first && let Some(file) = find_file(location).await? {
        return Ok(vec![file]);
    }
    Err(missing(location).await)
}

/// The file with exactly the location's name.
async fn find_file(location: &Location) -> Result<Option<ObjectFile>> {
    if location.folder || location.base_path.is_root() {
        return Ok(None);
    }
    match location.store.objects.head(&location.base_path).await {
        Ok(meta) => Ok(Some(file_at(location, location.base.as_str().into(), &meta))),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        // The local store calls a folder that is looked up as a file by various names.
        Err(_) if location.scheme != Scheme::Http && is_folder(location).await.unwrap_or(false) => Ok(None),
        Err(e) => Err(store_error(&location.text, e)),
    }
}

/// All files below the base, folders at one level at the same time. `visit` says by a folder's path below the base whether to go in.
pub(super) async fn walk(location: &Location, visit: &(dyn Fn(&str) -> bool + Send + Sync)) -> Result<Vec<ObjectFile>> {
    let mut files = vec![];
    let mut level = vec![location.base_path.clone()];
    while !level.is_empty() {
        let mut listings =
            stream::iter(level.iter().map(|folder| children(location, folder))).buffer_unordered(LISTINGS_IN_FLIGHT);
        let mut next = vec![];
        while let Some(listing) = listings.next().await {
            let listing = listing?;
            for meta in &listing.objects {
                if let Some(relative) = visible(location, &meta.location) {
                    files.push(file_at(location, below(location, &relative), meta));
                }
            }
            next.extend(
                listing
                    .common_prefixes
                    .into_iter()
                    .filter(|folder| visible(location, folder).is_some_and(|relative| visit(&relative))),
            );
        }
        drop(listings);
        level = next;
    }
    Ok(files)
}

async fn find_pattern(location: &Location) -> Result<Vec<ObjectFile>> {
    let matcher = location.matcher()?;
    let levels = levels(location)?;
    let relative = |file: &ObjectFile| -> String { relative_to(location, &file.location) };
    // `trips/2020-*` may mean folders: then their files are taken, unless some file has such a name itself.
    let below_match = |path: &str| path.match_indices('/').any(|(at, _)| matcher.is_match(&path[..at]));
    let visit = |folder: &str| {
        let depth = folder.split('/').count();
        match levels.get(depth.saturating_sub(1)) {
            Some(Some(level)) => level.is_match(folder),
            Some(None) => true,
            None => levels.iter().any(Option::is_none) || below_match(folder) || matcher.is_match(folder),
        }
    };
    let files = walk(location, &visit).await?;
    let (matching, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|f| matcher.is_match(relative(f)));
    let found = match matching.is_empty() {
        false => matching,
        true => others.into_iter().filter(|f| below_match(&relative(f))).collect(),
    };
    if found.is_empty() {
        return Err(missing(location).await);
    }
    Ok(found)
}

/// For each depth, what a folder's path must match to be worth listing; `None` from the first `**` on.
fn levels(location: &Location) -> Result<Vec<Option<GlobMatcher>>> {
    let mut levels = vec![];
    for depth in 1..=location.pattern.len() {
        let pattern = &location.pattern[..depth];
        if pattern.iter().any(|c| c.contains("**") || c.contains('/')) {
            levels.push(None);
            break;
        }
        levels.push(Some(location.glob(&pattern.join("/"))?));
    }
    Ok(levels)
}

/// What is directly in a folder.
async fn children(location: &Location, folder: &Path) -> Result<ListResult> {
    let mut listing = everything_in(location, folder).await?;
    // Some tools put an empty object "folder/" or "folder_$folder$" where they want a folder to be seen.
    if location.scheme != Scheme::Local {
        listing
            .objects
            .retain(|o| o.location != *folder && !o.location.as_ref().ends_with("_$folder$"));
    }
    Ok(listing)
}

async fn everything_in(location: &Location, folder: &Path) -> Result<ListResult> {
    let nothing = ListResult {
        common_prefixes: vec![],
        objects: vec![],
        extensions: Default::default(),
    };
    // Hosts give files that somebody names, and no lists of them.
    if location.scheme == Scheme::Http {
        return Ok(nothing);
    }
    match location.store.objects.list_with_delimiter(Some(folder)).await {
        Ok(listing) => Ok(listing),
        Err(object_store::Error::NotFound { .. }) => Ok(nothing),
        Err(e) => Err(store_error(&location.text, e)),
    }
}

/// The path below the base, unless a component of it is hidden.
fn visible(location: &Location, path: &Path) -> Option<String> {
    let parts: Vec<String> = path
        .prefix_match(&location.base_path)?
        .map(|part| part.as_ref().to_string())
        .collect();
    let hidden = parts.is_empty() || parts.iter().any(|p| p.starts_with(['_', '.']));
    (!hidden).then(|| parts.join("/"))
}

/// The full location of a path below the base.
fn below(location: &Location, relative: &str) -> Arc<str> {
    match location.base.as_str() {
        "." if location.scheme == Scheme::Local => relative.into(),
        base => format!("{}/{relative}", base.trim_end_matches('/')).into(),
    }
}

fn relative_to(location: &Location, full: &str) -> String {
    match location.base.as_str() {
        "." if location.scheme == Scheme::Local => full.to_string(),
        base => full
            .strip_prefix(base.trim_end_matches('/'))
            .unwrap_or(full)
            .trim_start_matches('/')
            .to_string(),
    }
}

fn file_at(location: &Location, name: Arc<str>, meta: &ObjectMeta) -> ObjectFile {
    ObjectFile {
        location: name,
        size: meta.size,
        modified: meta.last_modified.timestamp_micros(),
        // The local store's tag says no more than size and time, which are compared anyway.
        etag: tag(meta).filter(|_| location.scheme != Scheme::Local).map(Into::into),
    }
}

/// The tag of an object as conditions want it: Azure's lists leave the quotes out.
pub(super) fn tag(meta: &ObjectMeta) -> Option<String> {
    let tag = meta.e_tag.as_deref()?;
    match tag.starts_with("0x") {
        true => Some(format!("\"{tag}\"")),
        false => Some(tag.to_string()),
    }
}

async fn is_folder(location: &Location) -> Result<bool> {
    if location.scheme == Scheme::Local {
        return Ok(std::path::Path::new(&location.base).is_dir());
    }
    let listing = everything_in(location, &location.base_path).await?;
    Ok(!listing.common_prefixes.is_empty() || !listing.objects.is_empty())
}

fn no_file(location: &Location) -> Error {
    match location.is_pattern() {
        true => Error::storage(format!("no file matches \"{}\"", location.text)),
        false => Error::storage(format!("there is no file or folder \"{}\"", location.text)),
    }
}

/// The error for a location without files, naming the deepest folder that exists and the nearest name in it.
async fn missing(location: &Location) -> Error {
    let error = no_file(location);
    let mut wanted = location.base_path.clone();
    // From the deepest folder up: in a bucket the folders near the root may hold very many names.
    while let (Some(folder), Some(name)) = (wanted.parent(), wanted.filename()) {
        let listing = match children(location, &folder).await {
            Ok(listing) => listing,
            Err(_) if location.scheme == Scheme::Local => return error,
            // The store may say more: that there is no such bucket, that we may not look.
            Err(e) => return if e.hint().is_some() { e } else { error },
        };
        let mut names: Vec<&str> = listing.common_prefixes.iter().filter_map(|p| p.filename()).collect();
        names.extend(listing.objects.iter().filter_map(|o| o.location.filename()));
        if !names.is_empty() && !names.contains(&name) {
            let shown = match (location.scheme, folder.is_root()) {
                (Scheme::Local, true) => "/".to_string(),
                _ => location.store.location_of(&folder),
            };
            return match nearest(name, names) {
                Some(best) => error.with_hint(format!("did you mean \"{best}\" instead of \"{name}\" in {shown}?")),
                None => error.with_hint(format!("{shown} has no \"{name}\"")),
            };
        }
        if names.contains(&name) {
            return error;
        }
        wanted = folder;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        dir
    }

    fn found(dir: &tempfile::TempDir, pattern: &str) -> Vec<String> {
        let root = dir.path().to_str().unwrap();
        let location = Location::parse(&format!("{root}/{pattern}")).unwrap();
        let files = list(&location).unwrap();
        files
            .iter()
            .map(|f| f.location.strip_prefix(&format!("{root}/")).unwrap().to_string())
            .collect()
    }

    #[test]
    fn files_folders_and_patterns() {
        let dir = tree(&[
            "a.csv",
            "b.csv",
            "_hidden/x.csv",
            ".hidden",
            "t/y=1/p1.parquet",
            "t/y=1/_tmp/p.parquet",
            "t/y=2/p2.parquet",
            "t/y=2/d/p3.parquet",
            "sp ace/n%2Fa.csv",
        ]);
        assert_eq!(found(&dir, "a.csv"), ["a.csv"]);
        assert_eq!(found(&dir, "*.csv"), ["a.csv", "b.csv"]);
        assert_eq!(found(&dir, "{a,b}.csv"), ["a.csv", "b.csv"]);
        assert_eq!(found(&dir, "[b-z].csv"), ["b.csv"]);
        assert_eq!(found(&dir, "?.csv"), ["a.csv", "b.csv"]);
        assert_eq!(
            found(&dir, "t"),
            ["t/y=1/p1.parquet", "t/y=2/d/p3.parquet", "t/y=2/p2.parquet"]
        );
        assert_eq!(found(&dir, "t/"), found(&dir, "t"));
        assert_eq!(found(&dir, "t/*/*.parquet"), ["t/y=1/p1.parquet", "t/y=2/p2.parquet"]);
        assert_eq!(found(&dir, "t/**/*.parquet"), found(&dir, "t"));
        assert_eq!(found(&dir, "**/p3.parquet"), ["t/y=2/d/p3.parquet"]);
        assert_eq!(found(&dir, "t/y=*"), found(&dir, "t"));
        assert_eq!(found(&dir, "sp ace"), ["sp ace/n%2Fa.csv"]);
        assert_eq!(found(&dir, "sp*/*"), ["sp ace/n%2Fa.csv"]);
    }

    #[test]
    fn what_is_missing_is_named_with_its_neighbour() {
        let dir = tree(&["trips/january.csv"]);
        let root = dir.path().to_str().unwrap();
        let error = list(&Location::parse(&format!("{root}/trips/januray.csv")).unwrap()).unwrap_err();
        assert!(error.message().contains("januray.csv"), "{error}");
        assert!(error.hint().unwrap().contains("\"january.csv\""), "{error}");
        let error = list(&Location::parse(&format!("{root}/trips/*.parquet")).unwrap()).unwrap_err();
        assert!(error.message().contains("no file matches"), "{error}");
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        assert!(
            list(&Location::parse(&format!("{root}/empty")).unwrap())
                .unwrap()
                .is_empty()
        );
    }
}
