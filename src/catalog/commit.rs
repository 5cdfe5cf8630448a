//! All-or-nothing writes on local disks.
//!
//! ```text
//! a folder that is not there yet            files into a folder that is
//!   parent/.lakebed-ID/data/…    staged       target/_txn/ID/data/…           staged
//!   rename data → target         commit       target/_txn/ID/manifest.json    commit: from here on it will be finished
//!                                             rename each file into target    publish
//!                                             manifest.json → published.json  replaced files are out of sight
//!                                             delete replaced files, ID/      tidy
//! ```
//!
//! Beside each staging folder stands `ID.lock`, locked as long as its process lives; the operating system lets go of it
//! however the process ends. Whoever gets the lock finds either no manifest, and removes everything: the target is as it was;
//! or a manifest, and finishes what it says: every step can be repeated. The next write sweeps its target, and a reader
//! that sees a manifest hides the files it names until it is done, so that readers of ours see before or after, never between.
//! Names start with `_` or `.`, which everybody's listings leave out.

use super::lock::{Lock, locks_in};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const TRANSACTIONS: &str = "_txn";
const PREFIX: &str = ".lakebed-";
const MANIFEST: &str = "manifest.json";
const PUBLISHED: &str = "published.json";

/// Files being written for a target. Dropped without commit, nothing of them remains.
#[derive(Debug)]
pub struct Staging {
    target: PathBuf,
    kind: Kind,
    id: String,
    /// Where the lock, the manifest and the files are.
    folder: PathBuf,
    lock: Option<Lock>,
    /// Folders made on the way to the target, outermost first.
    made: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The target is a folder that comes into being.
    NewFolder,
    /// The target is a folder that gets more files.
    IntoFolder,
    /// The target is one file.
    File,
}

/// What a commit is going to do, in paths below the target.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    files: Vec<String>,
    replaced: Vec<String>,
}

impl Staging {
    /// Starts a write of files into the folder `target`, which may be there or not.
    pub fn folder(target: &Path) -> Result<Self> {
        // An empty folder can be replaced by one rename as if it were not there.
        let kind = match fs::read_dir(target) {
            Ok(mut entries) => {
                if entries.next().is_none() {
                    Kind::NewFolder
                } else {
                    Kind::IntoFolder
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Kind::NewFolder,
            Err(e) => return Err(at(target, e)),
        };
        Self::begin(target, kind)
    }

    /// Starts a write of the one file `target`, which is replaced if it is there.
    pub fn file(target: &Path) -> Result<Self> {
        if target.is_dir() {
            return Err(Error::storage(format!("{} is a folder, not a file", target.display())));
        }
        Self::begin(target, Kind::File)
    }

    fn begin(target: &Path, kind: Kind) -> Result<Self> {
        let target = PathBuf::from(crate::storage::absolute_path(&target.to_string_lossy())?);
        let parent = target.parent().unwrap_or(Path::new("/")).to_path_buf();
        let (home, prefix) = match kind {
            Kind::IntoFolder => (target.join(TRANSACTIONS), ""),
            _ => (parent, PREFIX),
        };
        sweep(&target);
        let mut staging = Self {
            target,
            kind,
            id: String::new(),
            folder: PathBuf::new(),
            lock: None,
            made: vec![],
        };
        let (made, id) = (&mut staging.made, &mut staging.id);
        let make = |folder: &Path| make_folders(folder).map(|new| made.extend(new));
        staging.lock = Some(Lock::take(&home, make, || {
            *id = new_id();
            format!("{prefix}{id}.lock")
        })?);
        staging.folder = home.join(format!("{prefix}{}", staging.id));
        let data = staging.data_folder();
        fs::create_dir_all(&data).map_err(|e| at(&data, e))?;
        Ok(staging)
    }

    /// Where files are to be written, in folders as they shall be below the target.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the names of this statement's files start with: unique among all statements.
    pub fn file_prefix(&self) -> &str {
        &self.id
    }

    /// Makes the files visible, all or none, and those at `replaced` (paths below the target) invisible.
    ///
    /// # Errors
    /// When it fails before the commit point, and then nothing has changed. An error after it says that the write is
    /// committed and will be finished by the next statement that looks at the target.
    pub fn commit(mut self, replaced: Vec<String>) -> Result<()> {
        let data = self.data_folder();
        let files = files_below(&data)?;
        for file in &files {
            sync(&data.join(file))?;
        }
        sync_folders(&data)?;
        match self.kind {
            Kind::File => self.commit_file(&files),
            // A folder that was not there or empty has nothing to replace.
            Kind::NewFolder => self.commit_folder(),
            Kind::IntoFolder => self.commit_files(Manifest { files, replaced }),
        }
    }

    fn commit_file(&mut self, files: &[String]) -> Result<()> {
        let [file] = files else {
            return Err(Error::internal(format!("{} files were written for one", files.len())));
        };
        fs::rename(self.data_folder().join(file), &self.target).map_err(|e| at(&self.target, e))?;
        self.made.clear();
        self.sync_parent()
    }

    fn commit_folder(&mut self) -> Result<()> {
        match fs::rename(self.data_folder(), &self.target) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                return Err(Error::conflict(format!(
                    "somebody else wrote to {} at the same time",
                    self.target.display()
                )));
            }
            Err(e) => return Err(at(&self.target, e)),
        }
        self.made.clear();
        self.sync_parent()
    }

    fn sync_parent(&self) -> Result<()> {
        sync(self.target.parent().unwrap_or(Path::new("/")))
    }

    fn commit_files(&mut self, manifest: Manifest) -> Result<()> {
        let path = self.folder.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|e| Error::internal(format!("manifest: {e}")))?;
        let mut temp = tempfile::NamedTempFile::new_in(&self.folder).map_err(|e| at(&self.folder, e))?;
        temp.write_all(&text)
            .and_then(|()| temp.as_file().sync_all())
            .map_err(|e| at(&path, e))?;
        temp.persist(&path).map_err(|e| at(&path, e.error))?;
        // The commit point is passed: from here on dropping must not remove anything.
        let folder = std::mem::take(&mut self.folder);
        self.made.clear();
        let finished = sync(&folder).and_then(|()| finish(&self.target, &folder));
        if let Err(e) = finished {
            return Err(e
                .context("the write is committed, but not yet visible")
                .with_hint("the next statement that reads or writes the target finishes it"));
        }
        self.unlock();
        Ok(())
    }

    fn unlock(&mut self) {
        if let Some(lock) = self.lock.take() {
            let home = lock.folder().map(Path::to_path_buf);
            lock.remove();
            if self.kind == Kind::IntoFolder {
                // Only when no other write is under way.
                home.map(fs::remove_dir);
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.folder.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.folder);
            self.unlock();
        }
        for folder in self.made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Files below `folder`, as listings name them, that are not to be seen: written but not yet published, or replaced.
/// What a dead process left half published is finished first, if that is possible.
pub fn unpublished(folder: &Path) -> HashSet<String> {
    let mut hidden = HashSet::new();
    for (staging, lock) in stagings(&folder.join(TRANSACTIONS), "") {
        let manifest = |name| read_manifest(&staging.join(name));
        if manifest(MANIFEST).is_none() && manifest(PUBLISHED).is_none() {
            continue;
        }
        if let Some(held) = Lock::of_dead(&lock)
            && finish(folder, &staging).is_ok()
        {
            held.remove();
            continue;
        }
        let files = manifest(MANIFEST)
            .map(|m| m.files)
            .or_else(|| manifest(PUBLISHED).map(|m| m.replaced));
        let location = |file: String| format!("{}/{file}", folder.to_string_lossy().trim_end_matches('/'));
        hidden.extend(files.into_iter().flatten().map(location));
    }
    hidden
}

/// Removes or finishes what dead processes left in and beside a target.
fn sweep(target: &Path) {
    let parent = target.parent().unwrap_or(Path::new("/"));
    let inside = stagings(&target.join(TRANSACTIONS), "");
    for (folder, lock) in stagings(parent, PREFIX).into_iter().chain(inside) {
        let Some(held) = Lock::of_dead(&lock) else { continue };
        let done = match folder.join(MANIFEST).exists() || folder.join(PUBLISHED).exists() {
            true => finish(target, &folder).is_ok(),
            false => fs::remove_dir_all(&folder).is_ok() || !folder.exists(),
        };
        if done {
            held.remove();
        }
    }
}

/// The staging folders in `home` with their locks.
fn stagings(home: &Path, prefix: &str) -> Vec<(PathBuf, PathBuf)> {
    let named = |(name, lock): (String, PathBuf)| (home.join(name), lock);
    locks_in(home, prefix).into_iter().map(named).collect()
}

/// Whether files whose names start with `prefix` have appeared below `folder`. What a dead process left half published is
/// finished first.
pub(super) fn is_published(folder: &Path, prefix: &str) -> bool {
    unpublished(folder);
    published(folder, prefix).is_ok_and(|files| !files.is_empty())
}

/// Removes the files whose names start with `prefix`, and the folders that are empty without them.
pub(super) fn remove_published(folder: &Path, prefix: &str) -> Result<()> {
    for file in published(folder, prefix)? {
        let path = folder.join(file);
        fs::remove_file(&path).map_err(|e| at(&path, e))?;
        let inside = path.ancestors().skip(1).take_while(|f| f.starts_with(folder));
        // Those that are not empty stay.
        inside.for_each(|f| drop(fs::remove_dir(f)));
    }
    Ok(())
}

fn published(folder: &Path, prefix: &str) -> Result<Vec<String>> {
    let mut files = files_below(folder)?;
    files.retain(|path| {
        let name = Path::new(path).file_name().and_then(|n| n.to_str());
        name.is_some_and(|n| n.starts_with(prefix)) && !Path::new(path).starts_with(TRANSACTIONS)
    });
    Ok(files)
}

fn read_manifest(path: &Path) -> Option<Manifest> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Does what the manifest in `folder` says, as far as it is not done, and removes the folder.
fn finish(target: &Path, folder: &Path) -> Result<()> {
    if let Some(manifest) = read_manifest(&folder.join(MANIFEST)) {
        let mut folders = HashSet::new();
        for file in &manifest.files {
            let (from, to) = (folder.join("data").join(file), target.join(file));
            let parent = to.parent().unwrap_or(target).to_path_buf();
            fs::create_dir_all(&parent).map_err(|e| at(&parent, e))?;
            match fs::rename(&from, &to) {
                Err(e) if e.kind() == ErrorKind::NotFound && to.exists() => {}
                other => other.map_err(|e| at(&to, e))?,
            }
            folders.insert(parent);
        }
        folders.iter().try_for_each(|f| sync(f))?;
        fs::rename(folder.join(MANIFEST), folder.join(PUBLISHED)).map_err(|e| at(folder, e))?;
        sync(folder)?;
    }
    for file in read_manifest(&folder.join(PUBLISHED)).unwrap_or_default().replaced {
        let path = target.join(file);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(at(&path, e)),
            _ => {}
        }
    }
    fs::remove_dir_all(folder).map_err(|e| at(folder, e))
}

/// The files below a folder, in paths relative to it.
fn files_below(folder: &Path) -> Result<Vec<String>> {
    let mut found = vec![];
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).map_err(|e| at(&next, e))? {
            let path = entry.map_err(|e| at(&next, e))?.path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Makes the names in all folders below durable.
fn sync_folders(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| at(folder, e))? {
        let path = entry.map_err(|e| at(folder, e))?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    sync(folder)
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| at(path, e))
}

/// Makes a folder and those it is in; the ones that were made, outermost first.
fn make_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let missing = folder.ancestors().take_while(|f| !f.exists()).map(Path::to_path_buf);
    let mut made: Vec<PathBuf> = missing.collect();
    made.reverse();
    for (i, folder) in made.iter().enumerate() {
        match fs::create_dir(folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                made.iter().take(i).rev().for_each(|f| drop(fs::remove_dir(f)));
                return Err(at(folder, e));
            }
            _ => {}
        }
    }
    Ok(made)
}

/// `20261122_141500_9f86d081884c7d65`: by time, so that names of later statements sort later, and unique by chance.
pub(super) fn new_id() -> String {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{}_{random:016x}", chrono::Utc::now().format("%Y%m%d_%H%M%S"))
}

pub(super) fn at(path: &Path, e: std::io::Error) -> Error {
    Error::storage(format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(staging: &Staging, name: &str, text: &str) {
        let path = staging.data_folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn everything(folder: &Path) -> Vec<String> {
        if folder.exists() {
            files_below(folder).unwrap()
        } else {
            vec![]
        }
    }

    #[test]
    fn a_new_folder_appears_at_once_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a/b/t");
        let staging = Staging::folder(&target).unwrap();
        write(&staging, "y=1/x.parquet", "1");
        assert!(!target.exists());
        drop(staging);
        assert!(!dir.path().join("a").exists(), "an aborted write leaves nothing");
        let staging = Staging::folder(&target).unwrap();
        write(&staging, "y=1/x.parquet", "1");
        staging.commit(vec![]).unwrap();
        assert_eq!(everything(dir.path()), ["a/b/t/y=1/x.parquet"]);
    }

    #[test]
    fn files_are_added_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("old"), "0").unwrap();
        let staging = Staging::folder(dir.path()).unwrap();
        write(&staging, "p=1/new", "1");
        staging.commit(vec![]).unwrap();
        assert_eq!(everything(dir.path()), ["old", "p=1/new"]);
        let staging = Staging::folder(dir.path()).unwrap();
        write(&staging, "newer", "2");
        staging.commit(vec!["old".into(), "p=1/new".into()]).unwrap();
        assert_eq!(everything(dir.path()), ["newer"]);
    }

    #[test]
    fn one_file_is_replaced_in_one_step() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.csv");
        for text in ["1", "2"] {
            let staging = Staging::file(&target).unwrap();
            write(&staging, "any", text);
            staging.commit(vec![]).unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), text);
        }
        assert_eq!(everything(dir.path()), ["x.csv"]);
    }

    /// A process that died: its staging folder with its lock let go.
    fn die(mut staging: Staging) {
        staging.lock.take();
        std::mem::forget(staging);
    }

    #[test]
    fn what_died_before_the_commit_point_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("t");
        for existing in [false, true] {
            let staging = Staging::folder(&target).unwrap();
            write(&staging, "half", "1");
            die(staging);
            if existing {
                assert_eq!(unpublished(&target).len(), 0);
            }
            let staging = Staging::folder(&target).unwrap();
            write(&staging, "whole", "2");
            staging.commit(vec![]).unwrap();
            assert_eq!(everything(dir.path()), ["t/whole"]);
        }
    }

    #[test]
    fn what_died_after_the_commit_point_is_finished_by_the_next_reader() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("old"), "0").unwrap();
        let staging = Staging::folder(dir.path()).unwrap();
        write(&staging, "a", "1");
        write(&staging, "b", "2");
        let manifest = Manifest {
            files: vec!["a".into(), "b".into()],
            replaced: vec!["old".into()],
        };
        fs::write(staging.folder.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
        fs::rename(staging.data_folder().join("a"), dir.path().join("a")).unwrap();
        let shown = dir.path().to_str().unwrap();
        assert_eq!(
            unpublished(dir.path()),
            HashSet::from([format!("{shown}/a"), format!("{shown}/b")]),
            "while the writer lives, its files are not seen"
        );
        die(staging);
        assert!(unpublished(dir.path()).is_empty());
        assert_eq!(everything(dir.path()), ["a", "b"]);
    }

    #[test]
    fn a_living_write_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("t");
        let first = Staging::folder(&target).unwrap();
        write(&first, "x", "1");
        let second = Staging::folder(&target).unwrap();
        write(&second, "y", "2");
        first.commit(vec![]).unwrap();
        assert_eq!(second.commit(vec![]).unwrap_err().kind(), crate::ErrorKind::Conflict);
        assert_eq!(everything(dir.path()), ["t/x"]);
    }
}
