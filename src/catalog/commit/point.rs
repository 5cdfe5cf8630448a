//! The commit point of a write: the entry of the log that only one writer can create, what it conflicts with, and how it is
//! found out whether it was created when nobody said so.

use super::super::log::{self, Action, Entry, Open, State};
use super::{EVERYTHING, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Folder;

/// Adds the entry to the log that commits the write.
///
/// Gives the number of the entry.
///
/// # Errors
/// `Conflict` when somebody wrote since the write began what it cannot stand beside, or gave the write up.
pub(in crate::catalog) fn commit_point(root: &Folder, manifest: &Manifest) -> Result<u64> {
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
pub(super) fn check_ended(root: &Folder, id: &str, begin: u64) -> Result<()> {
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

/// What became of a write after an error of its commit point.
pub(super) enum Fate {
    /// The entry was added nevertheless.
    Committed,
    /// It was not and never will be.
    Never(Error),
    /// Nobody could be asked. What was written has to stay: it may be committed.
    Unknown(Error),
}

/// Finds out whether the entry was added. When it was not, an entry is added which says that it never will, since the request
/// may still be under way.
pub(super) fn fate(root: &Folder, manifest: &Manifest, error: Error) -> Fate {
    if error.kind() == ErrorKind::Conflict {
        return Fate::Never(error);
    }
    let id = &manifest.id;
    let mut committed = false;
    let asked = log::append(root, manifest.base, |newest, newer| {
        // Somebody may have finished it meanwhile, so that it is no more open.
        let begins = |entry: &Entry| entry.action == Action::Begin && entry.ids.contains(id);
        committed = newer.iter().any(begins);
        Ok((!committed).then(|| given_up(newest, vec![id.clone()])))
    });
    match asked {
        Ok(_) if committed => Fate::Committed,
        Ok(_) => Fate::Never(error),
        Err(_) => Fate::Unknown(error.with_hint(format!(
            "whether the write {id} is committed is not known; `lakebed txn list {0}` tells, `lakebed txn resume` and \
             `lakebed txn abort` end it",
            root.shown("")
        ))),
    }
}

/// Says in the log that writes will never be committed; gives those that are committed already.
pub(in crate::catalog) fn give_up(root: &Folder, ids: &[String]) -> Result<Vec<String>> {
    let mut committed = vec![];
    log::append(root, u64::MAX, |newest, _| {
        let is_open = |id: &&String| newest.open.iter().any(|open| open.id == **id);
        committed = ids.iter().filter(is_open).cloned().collect();
        let others: Vec<String> = ids.iter().filter(|id| !is_open(id)).cloned().collect();
        Ok((!others.is_empty()).then(|| given_up(newest, others)))
    })?;
    Ok(committed)
}

fn given_up(newest: &Entry, ids: Vec<String>) -> Entry {
    Entry {
        action: Action::Abort,
        ids,
        open: newest.open.clone(),
        ..Default::default()
    }
}
