//! All-or-nothing writes, the same on every store.
//!
//! ```text
//! begin      TABLE/_txn/ID/…              files wait there, or as uploads that are not completed (`storage::StagedFiles`)
//! manifest   TABLE/_txn/ID/manifest.json  what was written and what it replaces
//! commit     TABLE/_txn/log/N.json        created if absent: from here on the write will be finished, by whoever comes
//! publish    the files get their names    readers of ours leave them out
//! end        TABLE/_txn/log/N+1.json      readers see the new files and not the replaced ones
//! remove     the replaced files
//! clean      TABLE/_txn/log/N+2.json      and TABLE/_txn/ID goes
//! ```
//!
//! Partitions may have locations of their own, elsewhere than below TABLE. The log of the table is that of their writes, too;
//! what is done to their files stands beside them (`elsewhere`).
//!
//! What can be committed in one step of the store is: one file alone appears by itself, one file is replaced by one, and on a
//! disk a new folder comes into being by one rename. Everybody's readers see those whole; in the other cases readers that
//! do not look at the log may see the files come one after the other.
//!
//! Before the commit a write that fails, or is killed, has changed nothing; what it left is removed by the next write or by
//! `lakebed txn gc`. When nobody can be asked whether the commit has happened, all stays until that is known. After the commit
//! the next writer, or a reader who finds it open for some seconds, finishes it: every step can be repeated by anybody, at the same time even. On a disk a lock tells whether the writer still lives; its name stands
//! beside the folder, and the operating system lets go of it however the process ends.

mod point;
#[cfg(test)]
mod tests;

use super::elsewhere::{self, Elsewhere};
use super::lock::Lock;
use super::log::{self, Action, Entry, Open, State, TRANSACTIONS};
use super::places::TableFile;
pub use super::visible::{files_of, list_consistently};
use crate::error::{Error, Result};
use crate::storage::{Folder, Location, Object, Placement, StagedFile, StagedFiles, forget_open_files, publish};
use point::{Fate, check_ended, fate};
pub(super) use point::{commit_point, give_up};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the folder of a write starts with that stands beside its target.
pub(super) const BESIDE: &str = ".lakebed-";
pub(super) const MANIFEST: &str = "manifest.json";
/// All partitions of a table.
pub const EVERYTHING: &str = "*";

/// Files being written for a target. Dropped without commit, nothing of them remains.
#[derive(Debug)]
pub struct Staging {
    target: Folder,
    kind: Kind,
    id: String,
    /// The folder below which everything happens: the target, or the one it is in.
    root: Folder,
    /// The write's own folder below the root.
    home: String,
    files: Arc<StagedFiles>,
    /// The newest entry of the log when the write began.
    base: u64,
    lock: Option<Lock>,
    /// Folders made on the way to the target, outermost first.
    made: Vec<PathBuf>,
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The target is a folder on a disk that comes into being.
    NewFolder,
    /// The target is a folder that gets files.
    IntoFolder,
    /// The target is one file.
    File,
}

/// What a write does besides adding its files.
#[derive(Debug, Default)]
pub struct Changes {
    /// The statement in a word or two, for those who look at open writes.
    pub operation: &'static str,
    /// Files below the target that the new ones replace.
    pub replaced: Vec<Object>,
    /// The same below other folders.
    pub replaced_elsewhere: Vec<(Folder, Vec<Object>)>,
    /// Partition folders whose content is replaced, or [`EVERYTHING`]; empty when the write only adds.
    pub scope: Vec<String>,
    /// Whether there must be nothing else: anybody who writes at the same time is a conflict.
    pub alone: bool,
    /// Whether the files have names without the write's id.
    pub own_names: bool,
}

/// What a commit is going to do, in paths below the target.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub id: String,
    pub operation: String,
    /// The newest entry of the log when the write began.
    pub base: u64,
    pub files: Vec<StagedFile>,
    #[serde(default)]
    pub removed: Vec<Object>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Elsewhere>,
    pub replaces: bool,
    pub touched: Vec<String>,
    /// Whether readers cannot tell the files by their names.
    #[serde(default)]
    pub own_names: bool,
}

impl Staging {
    /// Starts a write of files into a folder, which may be there or not. Files of `part_bytes` and more go to a bucket in
    /// parts of that size.
    pub fn folder(target: &Location, part_bytes: usize) -> Result<Self> {
        target.check_writable()?;
        let target = Folder::at(target)?;
        // An empty folder can be replaced by one rename as if it were not there.
        let kind = match target.local().map(fs::read_dir) {
            None => Kind::IntoFolder,
            Some(Ok(mut entries)) => match entries.next() {
                None => Kind::NewFolder,
                Some(_) => Kind::IntoFolder,
            },
            Some(Err(e)) if e.kind() == ErrorKind::NotFound => Kind::NewFolder,
            Some(Err(e)) => return Err(Error::storage(format!("{}: {e}", target.shown("")))),
        };
        Self::begin(target, kind, part_bytes)
    }

    /// Starts a write of files into partitions of the table at `target`, of which `placement` knows where they are.
    pub fn partitions(target: &Location, placement: Arc<dyn Placement>, part_bytes: usize) -> Result<Self> {
        target.check_writable()?;
        let mut staging = Self::begin(Folder::at(target)?, Kind::IntoFolder, part_bytes)?;
        staging.files = StagedFiles::placed(staging.root.clone(), staging.home.clone(), placement, part_bytes);
        Ok(staging)
    }

    /// Starts a write of the one file `target`, which is replaced if it is there.
    pub fn file(target: &Location, part_bytes: usize) -> Result<Self> {
        target.check_writable()?;
        let target = Folder::at(target)?;
        if target.local().is_some_and(Path::is_dir) {
            return Err(Error::storage(format!("{} is a folder, not a file", target.shown(""))));
        }
        Self::begin(target, Kind::File, part_bytes)
    }

    fn begin(target: Folder, kind: Kind, part_bytes: usize) -> Result<Self> {
        let (root, name, prefix) = match kind {
            Kind::IntoFolder => (target.clone(), String::new(), format!("{TRANSACTIONS}/")),
            _ => {
                let (parent, name) = target.parent()?;
                (parent, name, BESIDE.to_string())
            }
        };
        super::transactions::sweep(&target);
        let mut id = new_id();
        let (mut made, mut lock) = (vec![], None);
        if let Some(local) = root.local() {
            let folder = match kind {
                Kind::IntoFolder => local.join(TRANSACTIONS),
                _ => local.to_path_buf(),
            };
            let make = |folder: &Path| make_folders(folder).map(|new| made.extend(new));
            let beside = prefix.rsplit('/').next().unwrap_or_default().to_string();
            lock = Some(Lock::take(&folder, make, || {
                id = new_id();
                format!("{beside}{id}.lock")
            })?);
        }
        let home = format!("{prefix}{id}");
        let base = match kind {
            Kind::IntoFolder => log::newest(&target)?.map_or(0, |entry| entry.sequence),
            _ => 0,
        };
        let only = (kind == Kind::File).then_some(name);
        Ok(Self {
            files: StagedFiles::new(root.clone(), home.clone(), only, part_bytes),
            target,
            kind,
            id,
            root,
            home,
            base,
            lock,
            made,
            done: false,
        })
    }

    /// Where files are to be written, in folders as they shall be below the target.
    pub fn files(&self) -> &Arc<StagedFiles> {
        &self.files
    }

    /// What is in the names of this statement's files, mostly at their beginning: unique among all statements.
    pub fn file_prefix(&self) -> &str {
        &self.id
    }

    /// Makes the files visible, all or none, and those that they replace invisible.
    ///
    /// # Errors
    /// When it fails before the commit point, and then nothing has changed. `Conflict` when somebody else wrote to the same
    /// partitions since the write began. An error after the commit point says that the write is committed and how it is
    /// finished.
    pub fn commit(mut self, changes: Changes) -> Result<()> {
        let count = self.files.count();
        match self.kind {
            Kind::File if count != 1 => return Err(Error::internal(format!("{count} files were written for one"))),
            Kind::File => self.files.publish_only(true)?,
            Kind::NewFolder => match self.commit_folder() {
                Err(e) if e.kind() == crate::ErrorKind::Conflict && !changes.alone && changes.scope.is_empty() => {
                    self.move_into_folder()?;
                    self.commit_files(changes)?;
                }
                other => other?,
            },
            Kind::IntoFolder if changes.only_adds() && count <= 1 => {
                if count == 1 {
                    self.files.publish_only(false)?;
                }
            }
            Kind::IntoFolder => self.commit_files(changes)?,
        }
        self.made.clear();
        self.close();
        forget_open_files(&self.target.shown(""));
        let elsewhere = self.files.all_elsewhere();
        elsewhere
            .iter()
            .for_each(|files| forget_open_files(&files.root().shown("")));
        Ok(())
    }

    fn commit_folder(&mut self) -> Result<()> {
        let (Some(data), Some(target)) = (self.files.local_data(), self.target.local()) else {
            return Err(Error::internal("a new folder is on a disk"));
        };
        fs::create_dir_all(&data).map_err(|e| at(&data, e))?;
        sync_folders(&data)?;
        match fs::rename(&data, target) {
            Ok(()) => sync(target.parent().unwrap_or(Path::new("/"))),
            Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => Err(
                Error::conflict(format!("somebody else wrote to {} at the same time", target.display())),
            ),
            Err(e) => Err(at(target, e)),
        }
    }

    /// Somebody else has made the folder meanwhile: the files are added to it.
    fn move_into_folder(&mut self) -> Result<()> {
        let home = home_of(&self.id);
        if let (Some(root), Some(target)) = (self.root.local(), self.target.local()) {
            let (from, to) = (root.join(&self.home), target.join(&home));
            to.parent().map_or(Ok(()), fs::create_dir_all).map_err(|e| at(&to, e))?;
            fs::rename(&from, &to).map_err(|e| at(&to, e))?;
        }
        self.files = StagedFiles::moved(&self.files, self.target.clone(), home.clone())?;
        (self.root, self.home, self.kind) = (self.target.clone(), home, Kind::IntoFolder);
        Ok(())
    }

    fn commit_files(&mut self, changes: Changes) -> Result<()> {
        let elsewhere = self.files.all_elsewhere();
        for files in elsewhere.iter().chain([&self.files]) {
            if let Some(data) = files.local_data().filter(|data| data.exists()) {
                sync_folders(&data)?;
            }
        }
        let mut touched = self.files.folders();
        touched.extend(changes.scope.iter().cloned());
        touched.sort();
        touched.dedup();
        let manifest = Manifest {
            id: self.id.clone(),
            operation: changes.operation.into(),
            base: self.base,
            files: self.files.seal()?,
            removed: changes.replaced,
            elsewhere: elsewhere::write_parts(&self.id, &self.files, changes.replaced_elsewhere)?,
            replaces: !changes.scope.is_empty() || changes.alone,
            own_names: changes.own_names,
            touched: if changes.alone {
                vec![EVERYTHING.into()]
            } else {
                touched
            },
        };
        write_manifest(&self.root, &self.home, &manifest)?;
        let begin = match commit_point(&self.root, &manifest).map_err(|e| fate(&self.root, &manifest, e)) {
            Ok(begin) => Some(begin),
            Err(Fate::Committed) => None,
            Err(Fate::Never(e)) => return Err(e),
            Err(Fate::Unknown(e)) => {
                // Whoever finds the entry in the log needs the manifest and the files.
                self.done = true;
                return Err(e);
            }
        };
        // From here on dropping must not remove anything.
        self.done = true;
        let ended = carry_out(&self.root, &self.id).map_err(|e| {
            e.context(format!("the write {} is committed, but not yet visible", self.id))
                .with_hint("the next statement that writes to the target finishes it, and so does `lakebed txn resume`")
        })?;
        if let Some(begin) = begin.filter(|_| !ended) {
            check_ended(&self.root, &self.id, begin)?;
        }
        tidy_up(&self.root, &self.id);
        Ok(())
    }

    /// Lets go of what belongs to the write only.
    fn close(&mut self) {
        if !std::mem::replace(&mut self.done, true) {
            // What cannot be removed now is removed by the next write.
            let _ = self.files.discard();
        }
        if let Some(lock) = self.lock.take() {
            let home = lock.folder().map(Path::to_path_buf);
            lock.remove();
            if self.kind == Kind::IntoFolder {
                // Only when no other write is under way.
                home.map(fs::remove_dir);
            }
        }
        for folder in self.made.drain(..).rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Changes {
    /// Replaces these files of a table, wherever they are.
    ///
    /// # Errors
    /// When the folder that one is in may not be written to.
    pub fn replace(&mut self, files: Vec<TableFile>) -> Result<()> {
        for file in files {
            let Some(base) = file.elsewhere else {
                self.replaced.push(file.object);
                continue;
            };
            match self.replaced_elsewhere.last_mut() {
                Some((folder, objects)) if folder.shown("") == base => objects.push(file.object),
                _ => {
                    let location = Location::exact(&base)?;
                    location.check_writable()?;
                    self.replaced_elsewhere
                        .push((Folder::at(&location)?, vec![file.object]));
                }
            }
        }
        Ok(())
    }

    /// Whether files are replaced.
    pub fn replaces(&self) -> bool {
        !self.replaced.is_empty() || !self.replaced_elsewhere.is_empty()
    }

    fn only_adds(&self) -> bool {
        !self.replaces() && self.scope.is_empty()
    }
}

impl Manifest {
    /// Whether files are removed once the others are published.
    fn removes(&self) -> bool {
        !self.removed.is_empty() || self.elsewhere.iter().any(|e| e.removed > 0)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.lock.is_some() || !self.done {
            self.close();
        }
    }
}

pub(super) fn write_manifest(root: &Folder, home: &str, manifest: &Manifest) -> Result<()> {
    let text = serde_json::to_vec_pretty(manifest).map_err(|e| Error::internal(format!("manifest: {e}")))?;
    root.write(&format!("{home}/{MANIFEST}"), text.into())
}

/// The home of a write into a folder.
pub(super) fn home_of(id: &str) -> String {
    format!("{TRANSACTIONS}/{id}")
}

pub(super) fn read_manifest(root: &Folder, id: &str) -> Result<Option<Manifest>> {
    let path = format!("{}/{MANIFEST}", home_of(id));
    let Some(content) = root.read(&path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&content) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(e) => Err(Error::bad_file(format!("{}: {e}", root.shown(&path)))),
    }
}

/// Does what is left to do of a committed write. Others may do the same at the same time.
pub(super) fn finish(root: &Folder, id: &str) -> Result<()> {
    carry_out(root, id)?;
    tidy_up(root, id);
    Ok(())
}

/// The write is done; what cannot be tidied up now is tidied up by the next.
fn tidy_up(root: &Folder, id: &str) {
    let _ = crate::storage::discard(root, &home_of(id));
}

/// Takes a committed write to its end; whether it was this caller who said in the log that it is over.
fn carry_out(root: &Folder, id: &str) -> Result<bool> {
    let mut ended = false;
    loop {
        let newest = log::newest(root)?.unwrap_or_default();
        let Some(open) = newest.open.into_iter().find(|open| open.id == id) else {
            break;
        };
        let Some(manifest) = read_manifest(root, id)? else {
            // Whoever removed it has finished the write just now, unless the log still says otherwise.
            match still_open(root, &open)? {
                true => {
                    return Err(Error::bad_file(format!(
                        "the manifest of the write {id} is missing in {}",
                        root.shown("")
                    )));
                }
                false => continue,
            }
        };
        let done = match open.state {
            State::Publishing => {
                publish(root, &home_of(id), &manifest.files).and_then(|()| elsewhere::publish_parts(&manifest))
            }
            State::Removing => root
                .delete_unchanged(&manifest.removed)
                .and_then(|()| elsewhere::remove_parts(&manifest)),
        };
        match done {
            Ok(()) => ended |= step(root, &open)?,
            Err(_) if !still_open(root, &open)? => {}
            Err(e) => return Err(e),
        }
    }
    Ok(ended)
}

pub(super) fn still_open(root: &Folder, open: &Open) -> Result<bool> {
    let newest = log::newest(root)?.unwrap_or_default();
    Ok(newest.open.iter().any(|o| o.id == open.id && o.state == open.state))
}

/// Says in the log that a state of a write is over; false when somebody else has said so.
fn step(root: &Folder, over: &Open) -> Result<bool> {
    log::append(root, u64::MAX, |newest, _| {
        let mut open = newest.open.clone();
        let Some(at) = open.iter().position(|o| o.id == over.id && o.state == over.state) else {
            return Ok(None);
        };
        let action = match over.state {
            State::Publishing => Action::End,
            State::Removing => Action::Clean,
        };
        match open.get_mut(at) {
            Some(next) if over.state == State::Publishing && over.replaces => next.state = State::Removing,
            _ => drop(open.remove(at)),
        }
        Ok(Some(Entry {
            action,
            ids: vec![over.id.clone()],
            open,
            ..Default::default()
        }))
    })
    .map(|entry| entry.is_some())
}

/// Whether files whose names have `prefix` in them have appeared below the folder, or will.
pub(super) fn is_published(folder: &Folder, prefix: &str) -> Result<bool> {
    let newest = log::newest(folder)?.unwrap_or_default();
    if newest.open.iter().any(|open| open.id == prefix) {
        finish(folder, prefix)?;
        return Ok(true);
    }
    Ok(!published(folder, prefix)?.is_empty())
}

/// Removes the files whose names have `prefix` in them.
pub(super) fn remove_published(folder: &Folder, prefix: &str) -> Result<()> {
    folder.delete(&published(folder, prefix)?)
}

fn published(folder: &Folder, prefix: &str) -> Result<Vec<String>> {
    let all = folder.list("")?.into_iter().map(|o| o.path);
    let ours = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        // Names of buckets begin with the bucket's number.
        name.contains(prefix) && !path.starts_with(TRANSACTIONS)
    };
    Ok(all.filter(ours).collect())
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

/// The id of a statement that is part of a file's name.
pub(super) fn id_in(name: &str) -> Option<&str> {
    const FORM: &[u8] = b"00000000_000000_xxxxxxxxxxxxxxxx";
    let fits = |form: u8, byte: u8| match form {
        b'0' => byte.is_ascii_digit(),
        b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        other => byte == other,
    };
    let is_id = |text: &[u8]| FORM.iter().zip(text).all(|(form, byte)| fits(*form, *byte));
    let at = name.as_bytes().windows(FORM.len()).position(is_id)?;
    name.get(at..at + FORM.len())
}

pub(super) fn at(path: &Path, e: std::io::Error) -> Error {
    Error::storage(format!("{}: {e}", path.display()))
}
