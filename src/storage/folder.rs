//! A folder in a store with small objects in it: what the catalog and the commit protocol are written with.
//!
//! The same few operations on a disk and on an object store: read, create if absent, replace if unchanged, delete, list, move.
//! Each may be repeated: a create whose reply was lost finds its own content, a delete or move that was done is done.

use super::list::{store_error, tag};
use super::location::Location;
use super::store::{Store, wait};
use crate::error::{Error, Result};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt, PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};
use std::path::{Path as LocalPath, PathBuf};
use std::sync::Arc;

/// Requests of one operation over many objects that are under way at the same time.
const IN_FLIGHT: usize = 64;
/// Keys that are deleted by one call.
const DELETES: usize = 1000;

/// A folder in a store. Paths of its objects are relative to it, with slashes.
#[derive(Clone, Debug)]
pub struct Folder {
    pub(super) store: Arc<Store>,
    pub(super) path: Path,
    /// The folder on this machine's disk, if it is there.
    local: Option<PathBuf>,
    /// As users know it.
    shown: Arc<str>,
}

/// An object in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Below the folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Microseconds since 1970, UTC.
    pub modified: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// Which content of an object was read, so that it is replaced only while it is that.
#[derive(Debug, Clone)]
pub struct Version {
    update: UpdateVersion,
    content: Bytes,
}

impl Folder {
    /// The folder at a location.
    ///
    /// # Errors
    /// When the location has wildcards.
    pub fn at(location: &Location) -> Result<Self> {
        if location.is_pattern() {
            let text = &location.text;
            return Err(Error::plan(format!(
                "\"{text}\" has wildcards where one folder is needed"
            )));
        }
        let local = match location.is_local() {
            true => Some(PathBuf::from(super::absolute_path(location.base())?)),
            false => None,
        };
        Ok(Self {
            store: location.store().clone(),
            path: location.path().clone(),
            shown: match &local {
                Some(path) => path.to_string_lossy().into(),
                None => location.base().trim_end_matches('/').into(),
            },
            local,
        })
    }

    /// The folder that a text names.
    pub fn parse(text: &str) -> Result<Self> {
        Self::at(&Location::exact(text)?)
    }

    /// A folder below.
    pub fn folder(&self, path: &str) -> Self {
        Self {
            store: self.store.clone(),
            path: self.key(path),
            local: self.local.as_ref().map(|local| local.join(path)),
            shown: self.shown(path).into(),
        }
    }

    /// The folder on this machine's disk, if it is there.
    pub fn local(&self) -> Option<&LocalPath> {
        self.local.as_deref()
    }

    /// The full location of something in the folder; of the folder itself for the empty path.
    pub fn shown(&self, path: &str) -> String {
        match path {
            "" => self.shown.to_string(),
            _ => format!("{}/{path}", self.shown.trim_end_matches('/')),
        }
    }

    /// What the store calls an object of the folder.
    pub(super) fn key(&self, path: &str) -> Path {
        // Parts are taken as they are: a name may have percent signs of its own.
        let parts = path.split('/').filter(|part| !part.is_empty());
        let key = parts.fold(self.path.as_ref().to_string(), |mut key, part| {
            if !key.is_empty() {
                key.push('/');
            }
            key + part
        });
        Path::parse(&key).unwrap_or_else(|_| self.path.clone().join(path))
    }

    fn failed(&self, path: &str, e: StoreError) -> Error {
        store_error(&self.shown(path), e)
    }

    /// The content of an object; `None` when there is none.
    pub fn read(&self, path: &str) -> Result<Option<Bytes>> {
        Ok(self.read_version(path)?.map(|version| version.content))
    }

    /// The content of an object, and what [`replace`](Self::replace) needs.
    pub fn read_version(&self, path: &str) -> Result<Option<Version>> {
        let key = self.key(path);
        let found = wait(async {
            let got = self.store.objects.get(&key).await?;
            let update = UpdateVersion {
                e_tag: got.meta.e_tag.clone(),
                version: got.meta.version.clone(),
            };
            let content = got.bytes().await?;
            Ok(Version { update, content })
        })?;
        match found {
            Ok(version) => Ok(Some(version)),
            Err(e) if self.is_absent(path, &e) => Ok(None),
            Err(e) => Err(self.failed(path, e)),
        }
    }

    /// A disk may also say that a part of the path is no folder.
    fn is_absent(&self, path: &str, e: &StoreError) -> bool {
        let no_file = || self.local.as_ref().is_some_and(|local| !local.join(path).is_file());
        matches!(e, StoreError::NotFound { .. }) || no_file()
    }

    /// The contents of objects, in order; `None` for those that are not there.
    pub fn read_many(&self, paths: &[String]) -> Result<Vec<Option<Bytes>>> {
        if self.local.is_some() {
            return paths.iter().map(|path| self.read(path)).collect();
        }
        let one = |path: &String| {
            let (key, objects, shown) = (self.key(path), self.store.objects.clone(), self.shown(path));
            async move {
                let found = match objects.get(&key).await {
                    Ok(got) => got.bytes().await,
                    Err(e) => Err(e),
                };
                match found {
                    Ok(content) => Ok(Some(content)),
                    Err(StoreError::NotFound { .. }) => Ok(None),
                    Err(e) => Err(store_error(&shown, e)),
                }
            }
        };
        wait(stream::iter(paths.iter().map(one)).buffered(IN_FLIGHT).try_collect())?
    }

    /// Puts an object where none is. False when there is one; in a bucket, when there is one of another content.
    pub fn create(&self, path: &str, content: Bytes) -> Result<bool> {
        match self.put_mode(path, content.clone(), PutMode::Create) {
            Ok(()) => Ok(true),
            Err(StoreError::AlreadyExists { .. }) if self.local.is_some() => Ok(false),
            // The reply may have been lost, and the request sent again: what is there is then what was sent.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                Ok(self.read(path)?.is_some_and(|found| found == content))
            }
            Err(e) => match self.read(path) {
                Ok(Some(found)) if found == content => Ok(true),
                Ok(_) => Err(self.failed(path, e)),
                Err(_) => Err(self.unknown(path, e)),
            },
        }
    }

    /// The error for an object of which nobody said whether it was written, nor whether it is there now.
    pub(super) fn unknown(&self, path: &str, e: StoreError) -> Error {
        let shown = self.shown(path);
        self.failed(path, e)
            .context(format!("{shown} may have been written or not"))
    }

    /// Puts an object, whatever is there.
    pub fn write(&self, path: &str, content: Bytes) -> Result<()> {
        self.put_mode(path, content, PutMode::Overwrite)
            .map_err(|e| self.failed(path, e))
    }

    /// The same as [`write`](Self::write), to be waited for.
    pub(super) async fn put(&self, path: &str, content: Bytes) -> Result<()> {
        let put = self.store.objects.put(&self.key(path), content.into()).await;
        put.map(drop).map_err(|e| self.failed(path, e))
    }

    /// Replaces the object if it is still the one that was read. False when it is another or gone.
    pub fn replace(&self, path: &str, content: Bytes, version: &Version) -> Result<bool> {
        if let Some(local) = &self.local {
            return self.replace_local(local, path, content, version);
        }
        match self.put_mode(path, content.clone(), PutMode::Update(version.update.clone())) {
            Ok(()) => Ok(true),
            Err(StoreError::Precondition { .. } | StoreError::NotFound { .. } | StoreError::AlreadyExists { .. }) => {
                Ok(self.read(path)?.is_some_and(|found| found == content))
            }
            Err(e) => match self.read(path) {
                Ok(Some(found)) if found == content => Ok(true),
                _ => Err(self.failed(path, e)),
            },
        }
    }

    /// A disk does not replace on conditions, so whoever replaces holds the folder's lock meanwhile.
    fn replace_local(&self, local: &LocalPath, path: &str, content: Bytes, version: &Version) -> Result<bool> {
        let file = local.join(path);
        let folder = file.parent().unwrap_or(local);
        let named = |e: std::io::Error| Error::storage(format!("{}: {e}", folder.display()));
        let lock = std::fs::File::open(folder).map_err(named)?;
        lock.lock().map_err(named)?;
        if self.read(path)?.is_none_or(|found| found != version.content) {
            return Ok(false);
        }
        self.write(path, content)?;
        Ok(true)
    }

    fn put_mode(&self, path: &str, content: Bytes, mode: PutMode) -> Result<(), StoreError> {
        let key = self.key(path);
        let put = wait(async {
            let put = self.store.objects.put_opts(&key, content.into(), mode.into());
            put.await.map(|_| ())
        });
        put.unwrap_or_else(|e| {
            Err(StoreError::Generic {
                store: "runtime",
                source: e.message().to_string().into(),
            })
        })
    }

    /// An object's size and version; `None` when there is none.
    pub fn head(&self, path: &str) -> Result<Option<Object>> {
        match wait(self.store.objects.head(&self.key(path)))? {
            Ok(meta) => Ok(self.object(&meta)),
            Err(e) if self.is_absent(path, &e) => Ok(None),
            Err(e) => Err(self.failed(path, e)),
        }
    }

    /// Everything below `prefix`, hidden names included, by name; nothing when there is no such folder.
    pub fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let key = self.key(prefix);
        if let Some(local) = &self.local
            && !local.join(prefix).is_dir()
        {
            return Ok(vec![]);
        }
        let listing = wait(self.store.objects.list(Some(&key)).try_collect::<Vec<_>>())?;
        let listing = match listing {
            Ok(listing) => listing,
            Err(StoreError::NotFound { .. }) => vec![],
            Err(e) => return Err(self.failed(prefix, e)),
        };
        let mut objects: Vec<Object> = listing.iter().filter_map(|meta| self.object(meta)).collect();
        objects.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(objects)
    }

    /// The names of the objects and of the folders right below `prefix`.
    pub fn children(&self, prefix: &str) -> Result<(Vec<String>, Vec<String>)> {
        if let Some(local) = &self.local
            && !local.join(prefix).is_dir()
        {
            return Ok(Default::default());
        }
        let listing = match wait(self.store.objects.list_with_delimiter(Some(&self.key(prefix))))? {
            Ok(listing) => listing,
            Err(StoreError::NotFound { .. }) => return Ok(Default::default()),
            Err(e) => return Err(self.failed(prefix, e)),
        };
        let name = |path: &Path| path.filename().map(str::to_string);
        let mut objects: Vec<String> = listing.objects.iter().filter_map(|o| name(&o.location)).collect();
        let mut folders: Vec<String> = listing.common_prefixes.iter().filter_map(name).collect();
        objects.sort();
        folders.sort();
        Ok((objects, folders))
    }

    fn object(&self, meta: &ObjectMeta) -> Option<Object> {
        let parts = meta.location.prefix_match(&self.path)?;
        let parts: Vec<String> = parts.map(|part| part.as_ref().to_string()).collect();
        Some(Object {
            path: parts.join("/"),
            size: meta.size,
            modified: meta.last_modified.timestamp_micros(),
            etag: tag(meta),
        })
    }

    /// Removes objects; those that are gone already are as well. On a disk the folders that are empty then go, too.
    pub fn delete(&self, paths: &[String]) -> Result<()> {
        for paths in paths.chunks(DELETES) {
            let keys: Vec<Path> = paths.iter().map(|path| self.key(path)).collect();
            let deleting = stream::iter(keys.into_iter().map(Ok)).boxed();
            let results = wait(self.store.objects.delete_stream(deleting).collect::<Vec<_>>())?;
            for result in results {
                match result {
                    Ok(_) | Err(StoreError::NotFound { .. }) => {}
                    Err(e) => return Err(self.failed(paths.first().map_or("", String::as_str), e)),
                }
            }
        }
        if let Some(local) = &self.local {
            paths.iter().for_each(|path| remove_empty_folders(local, path));
        }
        Ok(())
    }

    /// Removes those objects that are still as they were listed.
    pub fn delete_unchanged(&self, objects: &[Object]) -> Result<()> {
        let check = |object: &Object| {
            let (key, objects, object) = (self.key(&object.path), self.store.objects.clone(), object.clone());
            async move { (objects.head(&key).await, object) }
        };
        let checks = stream::iter(objects.iter().map(check)).buffer_unordered(IN_FLIGHT);
        let mut unchanged = vec![];
        for (found, object) in wait(checks.collect::<Vec<_>>())? {
            match found {
                Ok(meta) if self.is_same(&meta, &object) => unchanged.push(object.path),
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(e) => return Err(self.failed(&object.path, e)),
            }
        }
        self.delete(&unchanged)
    }

    /// A disk's tag says no more than size and time.
    fn is_same(&self, meta: &ObjectMeta, object: &Object) -> bool {
        match (&tag(meta), &object.etag) {
            (Some(now), Some(then)) if self.local.is_none() => now == then,
            _ => meta.size == object.size && meta.last_modified.timestamp_micros() == object.modified,
        }
    }

    /// The folder that this one is in, and this one's name there.
    ///
    /// # Errors
    /// For a disk's root or a bucket, which are in nothing.
    pub fn parent(&self) -> Result<(Self, String)> {
        let whole = || Error::plan(format!("{} is no folder that can be written to as one", self.shown));
        let (parent, name) = match (self.path.as_ref().rsplit_once('/'), self.path.as_ref()) {
            (Some((parent, name)), _) => (parent, name),
            (None, "") => return Err(whole()),
            (None, name) => ("", name),
        };
        let shown = self.shown.rsplit_once('/').map_or("", |(parent, _)| parent);
        let folder = Self {
            store: self.store.clone(),
            path: Path::parse(parent).map_err(|_| whole())?,
            local: self.local.as_ref().and_then(|l| l.parent()).map(LocalPath::to_path_buf),
            shown: if self.local.is_some() && shown.is_empty() {
                "/".into()
            } else {
                shown.into()
            },
        };
        Ok((folder, name.to_string()))
    }

    /// Moves objects within the folder: pairs of from and to. One that has been moved stays moved.
    ///
    /// # Errors
    /// `Storage`, naming the object, when neither end of a pair is there.
    pub fn rename(&self, moves: &[(String, String)]) -> Result<()> {
        let one = |(from, to): &(String, String)| {
            let (from, to, shown) = (self.key(from), self.key(to), self.shown(to));
            let objects = self.store.objects.clone();
            async move {
                match objects.rename(&from, &to).await {
                    Ok(()) => Ok(()),
                    Err(e @ StoreError::NotFound { .. }) => match objects.head(&to).await {
                        Ok(_) => Ok(()),
                        Err(_) => Err(store_error(&shown, e)),
                    },
                    Err(e) => Err(store_error(&shown, e)),
                }
            }
        };
        wait(
            stream::iter(moves.iter().map(one))
                .buffer_unordered(IN_FLIGHT)
                .try_collect::<Vec<_>>(),
        )??;
        Ok(())
    }
}

impl Version {
    pub fn content(&self) -> &Bytes {
        &self.content
    }
}

/// Removes the folders on the way to `path` that have nothing in them, below `root`.
fn remove_empty_folders(root: &LocalPath, path: &str) {
    let file = root.join(path);
    let inside = file
        .ancestors()
        .skip(1)
        .take_while(|folder| *folder != root && folder.starts_with(root));
    for folder in inside {
        if std::fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(test: impl Fn(&Folder)) {
        let dir = tempfile::tempdir().unwrap();
        test(&Folder::parse(dir.path().to_str().unwrap()).unwrap());
        test(&Folder::parse(&format!("memory://folder{}", dir.path().display())).unwrap());
    }

    #[test]
    fn objects_are_created_once_and_replaced_if_unchanged() {
        both(|folder| {
            assert!(folder.read("a/x").unwrap().is_none());
            assert!(folder.create("a/x", "1".into()).unwrap());
            let again = folder.create("a/x", "1".into()).unwrap();
            assert_eq!(
                again,
                folder.local().is_none(),
                "in a bucket the same again is a repetition"
            );
            assert!(!folder.create("a/x", "2".into()).unwrap());
            let version = folder.read_version("a/x").unwrap().unwrap();
            assert!(folder.replace("a/x", "3".into(), &version).unwrap());
            assert!(!folder.replace("a/x", "4".into(), &version).unwrap());
            assert_eq!(folder.read("a/x").unwrap().unwrap(), "3");
            folder.write("a/x", "5".into()).unwrap();
            assert_eq!(folder.head("a/x").unwrap().unwrap().size, 1);
        });
    }

    #[test]
    fn objects_are_listed_moved_and_deleted() {
        both(|folder| {
            assert!(folder.list("").unwrap().is_empty());
            for name in ["_t/1", "_t/2", "k=a%2Fb c/3"] {
                folder.write(name, name.into()).unwrap();
            }
            let names =
                |prefix: &str| -> Vec<String> { folder.list(prefix).unwrap().into_iter().map(|o| o.path).collect() };
            assert_eq!(names(""), ["_t/1", "_t/2", "k=a%2Fb c/3"]);
            assert_eq!(names("_t"), ["_t/1", "_t/2"]);
            assert_eq!(folder.children("").unwrap().1, ["_t", "k=a%2Fb c"]);
            let moves = [("_t/1".to_string(), "p=1/1".to_string())];
            folder.rename(&moves).unwrap();
            folder.rename(&moves).unwrap();
            assert_eq!(folder.folder("p=1").read("1").unwrap().unwrap(), "_t/1");
            folder
                .delete(&["_t/2".into(), "_t/none".into(), "p=1/1".into()])
                .unwrap();
            assert_eq!(names(""), ["k=a%2Fb c/3"]);
            assert!(folder.local().is_none_or(|local| !local.join("_t").exists()));
            assert!(folder.rename(&moves).is_err());
        });
    }
}
