//! Writes that are under way or were left behind: looking at them, finishing them, giving them up, tidying up after them.

use super::commit::{self, BESIDE};
use super::lock::{Lock, locks_in};
use super::log::{self, Open, State, TRANSACTIONS};
use crate::error::{Error, Result};
use crate::storage::{Folder, Location, OpenUpload, discard, home_elsewhere, noted_uploads};
use std::time::Duration;

/// After so long, a write of which nobody can tell whether its writer lives is taken for one left behind.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A write that is not done.
#[derive(Debug, Clone)]
pub struct Transaction {
    pub id: String,
    pub state: TransactionState,
    /// The statement in a word or two, when it is known.
    pub operation: Option<String>,
    /// Microseconds since 1970: when it was committed, or when something was last written for it.
    pub since: Option<i64>,
    /// Files and bytes written so far, as far as they can be seen.
    pub files: usize,
    pub bytes: u64,
    /// Files that it replaces.
    pub replaced: usize,
}

/// How far a write has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionState {
    /// Files are being written; or were, by a process that is no more.
    Writing,
    /// Everything is written; it can be committed without being computed again.
    Prepared,
    /// Committed: its files are getting their names.
    Publishing,
    /// Committed and to be seen: the replaced files are being removed.
    Removing,
}

impl TransactionState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Writing => "writing",
            Self::Prepared => "prepared",
            Self::Publishing => "publishing",
            Self::Removing => "removing",
        }
    }
}

/// The writes to a folder that are not done, oldest first.
pub fn transactions(location: &Location) -> Result<Vec<Transaction>> {
    let root = Folder::at(location)?;
    let open = log::newest(&root)?.unwrap_or_default().open;
    let mut ids: Vec<String> = open.iter().map(|o| o.id.clone()).collect();
    ids.extend(homes(&root)?);
    ids.sort();
    ids.dedup();
    ids.into_iter().map(|id| describe(&root, id, &open)).collect()
}

/// The ids of the writes that have a folder below `_txn`.
fn homes(root: &Folder) -> Result<Vec<String>> {
    let (_, folders) = root.children(TRANSACTIONS)?;
    Ok(folders.into_iter().filter(|name| name != "log").collect())
}

fn describe(root: &Folder, id: String, open: &[Open]) -> Result<Transaction> {
    let manifest = commit::read_manifest(root, &id)?;
    let objects = root.list(&commit::home_of(&id))?;
    let committed = open.iter().find(|o| o.id == id);
    let state = match (committed.map(|o| o.state), &manifest) {
        (Some(State::Publishing), _) => TransactionState::Publishing,
        (Some(State::Removing), _) => TransactionState::Removing,
        (None, Some(_)) => TransactionState::Prepared,
        (None, None) => TransactionState::Writing,
    };
    let data = objects.iter().filter(|o| o.path.contains("/data/"));
    let (files, bytes) = match &manifest {
        Some(manifest) => {
            let (here, elsewhere) = (manifest.files.iter(), manifest.elsewhere.iter());
            (
                here.len() + elsewhere.clone().map(|e| e.files).sum::<usize>(),
                here.map(|f| f.size).chain(elsewhere.map(|e| e.bytes)).sum(),
            )
        }
        None => data.fold((0, 0), |(files, bytes), o| (files + 1, bytes + o.size)),
    };
    Ok(Transaction {
        state,
        operation: manifest
            .as_ref()
            .map(|m| m.operation.clone())
            .filter(|text| !text.is_empty()),
        since: committed
            .map(|o| o.since)
            .or_else(|| objects.iter().map(|o| o.modified).max()),
        files,
        bytes,
        replaced: manifest.map_or(0, |m| {
            m.removed.len() + m.elsewhere.iter().map(|e| e.removed).sum::<usize>()
        }),
        id,
    })
}

/// Finishes a write: one that is committed, or of which everything is written.
///
/// # Errors
/// `Conflict` when it can no longer be committed; when there is no such write, or it was still being written.
pub fn resume(location: &Location, id: &str) -> Result<()> {
    let root = Folder::at(location)?;
    let found = find(location, id)?;
    let manifest = commit::read_manifest(&root, &found.id)?;
    match (found.state, manifest) {
        (TransactionState::Writing, _) => Err(Error::plan(format!(
            "the write {} was not written to its end: it cannot be resumed",
            found.id
        ))
        .with_hint("`lakebed txn abort` removes what is left of it; run its statement again")),
        (TransactionState::Prepared, Some(manifest)) => {
            let lock = claim(&root, &found.id)?;
            commit::commit_point(&root, &manifest)?;
            commit::finish(&root, &manifest.id)?;
            lock.into_iter().for_each(Lock::remove);
            Ok(())
        }
        _ => commit::finish(&root, &found.id),
    }
}

/// Gives a write up and removes what is left of it.
///
/// # Errors
/// When it is committed, when its writer lives, or when there is no such write.
pub fn abort(location: &Location, id: &str) -> Result<()> {
    let root = Folder::at(location)?;
    let found = find(location, id)?;
    let lock = claim(&root, &found.id)?;
    if !commit::give_up(&root, std::slice::from_ref(&found.id))?.is_empty() {
        return Err(Error::conflict(format!("the write {} is committed", found.id))
            .with_hint("`lakebed txn resume` finishes it"));
    }
    discard(&root, &commit::home_of(&found.id))?;
    lock.into_iter().for_each(Lock::remove);
    Ok(())
}

/// Removes what is left of a write that is not committed and whose writer is no more.
pub(super) fn remove(root: &Folder, id: &str) -> Result<()> {
    let home = commit::home_of(id);
    if !root.list(&home)?.is_empty() && commit::give_up(root, &[id.to_string()])?.is_empty() {
        discard(root, &home)?;
    }
    Ok(())
}

fn find(location: &Location, id: &str) -> Result<Transaction> {
    let all = transactions(location)?;
    match all.iter().find(|t| t.id == id) {
        Some(found) => Ok(found.clone()),
        None => Err(Error::plan(format!("{} has no open write {id}", location.text))
            .with_nearest(id, all.iter().map(|t| t.id.as_str()))),
    }
}

/// The lock of a write whose writer is no more; there are locks on disks only.
fn claim(root: &Folder, id: &str) -> Result<Option<Lock>> {
    let Some(local) = root.local() else { return Ok(None) };
    let path = local.join(TRANSACTIONS).join(format!("{id}.lock"));
    if !path.exists() {
        return Ok(None);
    }
    match Lock::of_dead(&path) {
        Some(lock) => Ok(Some(lock)),
        None => Err(Error::conflict(format!(
            "the process that does the write {id} is still running"
        ))),
    }
}

/// What tidying up has done.
#[derive(Debug, Clone, Default)]
pub struct Swept {
    pub finished: usize,
    /// Writes of which something was left.
    pub removed: usize,
    /// Why uploads that nobody has noted could not be looked for; the bucket may have a rule that removes them.
    pub unlisted: Option<Error>,
}

/// Finishes what is committed, and removes what writers left behind that have not written anything for `older_than`, or
/// whose process is known to be no more.
pub fn gc(location: &Location, older_than: Duration) -> Result<Swept> {
    let root = Folder::at(location)?;
    let mut swept = Swept::default();
    for open in log::newest(&root)?.unwrap_or_default().open {
        commit::finish(&root, &open.id)?;
        swept.finished += 1;
    }
    swept.removed += remove_abandoned(&root, older_than)?;
    let uploads = root.open_uploads();
    swept.removed += remove_beside(&root, older_than)?;
    if let Ok((parent, _)) = root.parent() {
        swept.removed += remove_beside(&parent, older_than)?;
    }
    match uploads {
        Ok(uploads) => {
            let uploads = uploads.unwrap_or_default();
            swept.removed += abort_of_file(&root, &uploads, older_than)?;
            swept.removed += abort_unnoted(&root, uploads, older_than)?;
        }
        Err(e) => swept.unlisted = Some(e),
    }
    remove_half_written(&root);
    Ok(swept)
}

/// Removes homes of writes that will never be committed.
fn remove_abandoned(root: &Folder, older_than: Duration) -> Result<usize> {
    let open = log::newest(root)?.unwrap_or_default().open;
    let (mut done, mut abandoned, mut locks) = (0, vec![], vec![]);
    for id in homes(root)? {
        if open.iter().any(|o| o.id == id) {
            continue;
        }
        match claim(root, &id) {
            // Its process is known to be no more.
            Ok(Some(lock)) => locks.push((id, lock)),
            // Committed and finished, or by a process that nobody can ask for.
            Ok(None) if is_older(root, &commit::home_of(&id), older_than)? => abandoned.push(id),
            _ => {}
        }
    }
    if !abandoned.is_empty() {
        let committed = commit::give_up(root, &abandoned)?;
        abandoned.retain(|id| !committed.contains(id));
    }
    for id in abandoned.iter().chain(locks.iter().map(|(id, _)| id)) {
        discard(root, &commit::home_of(id))?;
        done += 1;
    }
    locks.into_iter().for_each(|(_, lock)| lock.remove());
    if let Some(local) = root.local() {
        // Locks without a folder, by processes that died before they wrote.
        let folder = local.join(TRANSACTIONS);
        for (_, path) in locks_in(&folder, "") {
            Lock::of_dead(&path).into_iter().for_each(Lock::remove);
        }
        let _ = std::fs::remove_dir(folder);
    }
    Ok(done)
}

/// Aborts uploads that processes begun which ended before they could note them; gives how many writes they were of. They are
/// known by the statement's id in their name: others may be those of other programs, or single files with the name that
/// somebody asked for, and are left alone. The list was made first: a writer that lives notes its uploads, and is seen to when
/// it has done so meanwhile.
fn abort_unnoted(root: &Folder, uploads: Vec<OpenUpload>, older_than: Duration) -> Result<usize> {
    let mut found: Vec<(String, OpenUpload)> = vec![];
    for upload in uploads {
        let (folder, name) = upload.path.rsplit_once('/').unwrap_or(("", &upload.path));
        // Files of a table that is below this one are that table's.
        let is_ours =
            super::visible::table_folder(&format!("/{folder}")).is_empty() && is_past(upload.begun, older_than);
        if let Some(id) = commit::id_in(name).filter(|_| is_ours) {
            found.push((id.to_string(), upload));
        }
    }
    if found.is_empty() {
        return Ok(0);
    }
    let open = log::newest(root)?.unwrap_or_default().open;
    let mut ids: Vec<String> = vec![];
    for (id, upload) in &found {
        let known = ids.contains(id) || open.iter().any(|o| o.id == *id);
        if !known && !has_home(root, id, &upload.path)? {
            ids.push(id.clone());
        }
    }
    if ids.is_empty() {
        return Ok(0);
    }
    let committed = commit::give_up(root, &ids)?;
    ids.retain(|id| !committed.contains(id));
    for (_, upload) in found.iter().filter(|(id, _)| ids.contains(id)) {
        root.abort_upload(&upload.path, &upload.id)?;
    }
    Ok(ids.len())
}

/// Aborts uploads of the one object that the root names, unless a write notes them. Nothing in the name of a single file says
/// who writes it; that nobody does any more, is said by whoever asks for this location to be tidied up.
fn abort_of_file(root: &Folder, uploads: &[OpenUpload], older_than: Duration) -> Result<usize> {
    let old = |upload: &&OpenUpload| upload.path.is_empty() && is_past(upload.begun, older_than);
    let mut found: Vec<&OpenUpload> = uploads.iter().filter(old).collect();
    if found.is_empty() {
        return Ok(0);
    }
    let (parent, _) = root.parent()?;
    let (_, folders) = parent.children("")?;
    let mut noted = vec![];
    for home in folders.iter().filter(|name| name.starts_with(BESIDE)) {
        noted.extend(noted_uploads(&parent, home)?);
    }
    found.retain(|upload| !noted.contains(&upload.id));
    found
        .iter()
        .try_for_each(|upload| root.abort_upload(&upload.path, &upload.id))?;
    Ok(found.len())
}

/// Whether a write has a folder of its own below the root, or below a partition that was written to as if it were a table.
fn has_home(root: &Folder, id: &str, path: &str) -> Result<bool> {
    let folders = path.match_indices('/').filter_map(|(at, _)| path.get(..=at));
    for folder in std::iter::once("").chain(folders) {
        for home in [commit::home_of(id), home_elsewhere(id)] {
            if !root.list(&format!("{folder}{home}"))?.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Removes what is left of writes of new folders and single files, whose folders stand beside their target.
fn remove_beside(parent: &Folder, older_than: Duration) -> Result<usize> {
    let mut done = 0;
    if let Some(local) = parent.local() {
        for (name, path) in locks_in(local, BESIDE) {
            let Some(lock) = Lock::of_dead(&path) else { continue };
            discard(parent, &name)?;
            lock.remove();
            done += 1;
        }
        return Ok(done);
    }
    let (_, folders) = parent.children("")?;
    for home in folders.iter().filter(|name| name.starts_with(BESIDE)) {
        if is_older(parent, home, older_than)? {
            discard(parent, home)?;
            done += 1;
        }
    }
    Ok(done)
}

/// Whether nothing was written below `home` for so long.
fn is_older(root: &Folder, home: &str, older_than: Duration) -> Result<bool> {
    let last = root.list(home)?.iter().map(|o| o.modified).max();
    Ok(is_past(last.unwrap_or(0), older_than))
}

/// Whether a moment was so long ago.
fn is_past(moment: i64, older_than: Duration) -> bool {
    let age = log::now().saturating_sub(moment);
    age >= i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX)
}

/// On a disk an object is written under a name with a number sign before it gets its own. When the process dies between,
/// that stays. A name is used for milliseconds, so one that is older than a minute is nobody's.
fn remove_half_written(root: &Folder) {
    let Some(local) = root.local() else { return };
    for folder in [local.join(TRANSACTIONS), local.join(TRANSACTIONS).join("log")] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.rsplit_once('#').map(|(_, number)| number.parse::<u32>());
            let modified = entry.metadata().and_then(|m| m.modified()).ok();
            let age = modified.and_then(|time| time.elapsed().ok()).unwrap_or_default();
            if matches!(number, Some(Ok(_))) && age > Duration::from_secs(60) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// What a write does first, quietly: it finishes and removes what others left at its target.
pub(super) fn sweep(target: &Folder) {
    // What cannot be done now is for the next; the write itself will say what is wrong with the target.
    let open = log::newest(target).ok().flatten().unwrap_or_default().open;
    for open in open {
        let _ = commit::finish(target, &open.id);
    }
    let _ = remove_abandoned(target, ABANDONED_AFTER);
    if let Ok(Some(uploads)) = target.open_uploads() {
        let _ = abort_unnoted(target, uploads, ABANDONED_AFTER);
    }
    if let Ok((parent, _)) = target.parent()
        && parent.local().is_some()
    {
        let _ = remove_beside(&parent, ABANDONED_AFTER);
    }
}
