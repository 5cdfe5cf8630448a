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
//! `lakebed txn gc`. After the commit the next writer, or a reader who finds it open for some seconds, finishes it: every step
//! can be repeated by anybody, at the same time even. On a disk a lock tells whether the writer still lives; its name stands
//! beside the folder, and the operating system lets go of it however the process ends.

use super::elsewhere::{self, Elsewhere};
use super::lock::Lock;
use super::log::{self, Action, Entry, Open, State, TRANSACTIONS};
use super::places::TableFile;
pub use super::visible::{files_of, list_consistently};
use crate::error::{Error, Result};
use crate::storage::{Folder, Location, Object, Placement, StagedFile, StagedFiles, forget_open_files, publish};
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
        let begin = match commit_point(&self.root, &manifest) {
            Ok(begin) => Some(begin),
            Err(e) if is_committed_after(&self.root, &self.id, &e)? => None,
            Err(e) => return Err(e),
        };
        // From here on dropping must not remove anything.
        self.done = true;
        finish_own(&self.root, &self.id, begin).map_err(|e| {
            e.context(format!("the write {} is committed, but not yet visible", self.id))
                .with_hint("the next statement that writes to the target finishes it, and so does `lakebed txn resume`")
        })
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

/// Adds the entry to the log that commits the write.
///
/// Gives the number of the entry.
///
/// # Errors
/// `Conflict` when somebody wrote since the write began what it cannot stand beside, or gave the write up.
pub(super) fn commit_point(root: &Folder, manifest: &Manifest) -> Result<u64> {
    let next = |newest: &Entry, newer: &[Entry]| {
        if let Some(other) = newer.iter().find(|entry| conflicts(manifest, entry)) {
            return Err(conflict(root, manifest, other));
        }
        let mut open = newest.open.clone();
        open.push(Open {
            id: manifest.id.clone(),
            state: State::Publishing,
            since: log::now(),
            replaces: manifest.removes(),
            own_names: manifest.own_names,
        });
        Ok(Some(Entry {
            action: Action::Begin,
            ids: vec![manifest.id.clone()],
            replaces: manifest.replaces,
            touched: manifest.touched.clone(),
            open,
            ..Default::default()
        }))
    };
    let entry = log::append(root, manifest.base, next)?;
    entry
        .map(|entry| entry.sequence)
        .ok_or_else(|| Error::internal("a commit without an entry"))
}

/// After the writer has found its commit no more open: that somebody ended it, as the log says. Otherwise the store has let
/// two writers create the same entry, one of which is lost.
fn check_ended(root: &Folder, id: &str, begin: u64) -> Result<()> {
    let newest = log::newest(root)?.unwrap_or_default().sequence;
    let ended = |entry: &Entry| matches!(entry.action, Action::End) && entry.ids.iter().any(|i| i == id);
    match log::newer(root, begin, newest)? {
        Some(entries) if !entries.iter().any(ended) => Err(Error::storage(format!(
            "the store of {} does not create objects only where none are: another writer's entry of the log has replaced \
             that of the write {id}",
            root.shown("")
        ))
        .with_hint("writers at the same time are not safe on this store; the files are still in _txn")),
        _ => Ok(()),
    }
}

/// Whether a write cannot be committed after an entry that came since it began. Writes that only add files can stand beside
/// each other; one that replaces files has to know all that were there.
fn conflicts(manifest: &Manifest, other: &Entry) -> bool {
    match other.action {
        Action::Abort => other.ids.contains(&manifest.id),
        Action::Begin => {
            let all = |touched: &[String]| touched.iter().any(|t| t == EVERYTHING);
            let overlap = all(&manifest.touched)
                || all(&other.touched)
                || manifest.touched.iter().any(|t| other.touched.contains(t));
            (manifest.replaces || other.replaces) && overlap
        }
        Action::End | Action::Clean => false,
    }
}

fn conflict(root: &Folder, manifest: &Manifest, other: &Entry) -> Error {
    let target = root.shown("");
    match other.action {
        Action::Abort => Error::conflict(format!(
            "the write {} to {target} was given up by somebody else",
            manifest.id
        )),
        _ => {
            let shown = |touched: &[String]| match touched.first().map(String::as_str) {
                None | Some(EVERYTHING | "") => String::new(),
                Some(first) if touched.len() == 1 => format!(", partition {first}"),
                Some(first) => format!(", partitions {first} and {} more", touched.len() - 1),
            };
            let who = other.ids.join(", ");
            Error::conflict(format!(
                "somebody else wrote to {target}{} at the same time (write {who})",
                shown(&other.touched)
            ))
        }
    }
    .with_hint("nothing was changed; run the statement again")
}

/// After an error of the commit point: whether the entry was added nevertheless. When it was not, an entry is added which
/// says that it never will, since the request may still be under way.
fn is_committed_after(root: &Folder, id: &str, error: &Error) -> Result<bool> {
    if error.kind() == crate::ErrorKind::Conflict {
        return Ok(false);
    }
    give_up(root, &[id.to_string()])
        .map(|committed| !committed.is_empty())
        .map_err(|_| {
            error.clone().with_hint(format!(
            "whether the write {id} is committed is not known; `lakebed txn list {0}` tells, `lakebed txn resume` and \
             `lakebed txn abort` end it",
            root.shown("")
        ))
        })
}

/// Says in the log that writes will never be committed; gives those that are committed already.
pub(super) fn give_up(root: &Folder, ids: &[String]) -> Result<Vec<String>> {
    let mut committed = vec![];
    log::append(root, u64::MAX, |newest, _| {
        let is_open = |id: &&String| newest.open.iter().any(|open| open.id == **id);
        committed = ids.iter().filter(is_open).cloned().collect();
        let given_up: Vec<String> = ids.iter().filter(|id| !is_open(id)).cloned().collect();
        let entry = Entry {
            action: Action::Abort,
            ids: given_up.clone(),
            open: newest.open.clone(),
            ..Default::default()
        };
        Ok((!given_up.is_empty()).then_some(entry))
    })?;
    Ok(committed)
}

/// Does what is left to do of a committed write. Others may do the same at the same time.
pub(super) fn finish(root: &Folder, id: &str) -> Result<()> {
    finish_own(root, id, None)
}

/// The same by the writer itself, which knows the number of its entry in the log.
fn finish_own(root: &Folder, id: &str, begin: Option<u64>) -> Result<()> {
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
    if let Some(begin) = begin.filter(|_| !ended) {
        check_ended(root, id, begin)?;
    }
    // The write is done; what cannot be tidied up now is tidied up by the next.
    let _ = crate::storage::discard(root, &home_of(id));
    Ok(())
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

pub(super) fn at(path: &Path, e: std::io::Error) -> Error {
    Error::storage(format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests;
