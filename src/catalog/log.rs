//! The log of a table's commits: which writes are being published, and which replaced files are being removed.
//!
//! ```text
//! TABLE/_txn/log/00000000000000000041.json    {action: end, id: …, open: []}
//! TABLE/_txn/log/00000000000000000042.json    {action: begin, id: X, replaces: true, touched: ["p=1"],
//!                                              open: [{id: X, state: publishing}]}
//! ```
//!
//! An entry is added by creating the next number, which only one writer can: that is the commit point. Each entry says all
//! that is open, so a reader needs the newest one only, and old ones can be removed. It is a list of exceptions: files of
//! which it says nothing are seen, whoever wrote them, and a table that was never written by several files at once has none.

use crate::error::{Error, Result};
use crate::storage::Folder;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Where everything about writes under way is, below a table's folder.
pub(super) const TRANSACTIONS: &str = "_txn";
const LOG: &str = "_txn/log";
/// Entries that are kept, for writers that began before them.
const KEPT: u64 = 100;
/// How often a writer looks for the next number before it gives up.
const TRIES: usize = 64;

/// One step of a write.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub sequence: u64,
    /// Microseconds since 1970, UTC, by the clock of whoever wrote it.
    pub time: i64,
    pub action: Action,
    /// The writes that the step is about: one, or those that were given up.
    pub ids: Vec<String>,
    /// Whether the write replaces files; otherwise it only adds some.
    #[serde(default)]
    pub replaces: bool,
    /// The partition folders that it adds files to or replaces; `*` is all of them.
    #[serde(default)]
    pub touched: Vec<String>,
    /// What is open after this step.
    #[serde(default)]
    pub open: Vec<Open>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The write is committed: its files are being published.
    #[default]
    Begin,
    /// Its files are published, and those that it replaces out of sight.
    End,
    /// What it replaces is removed.
    Clean,
    /// Writes that were not committed never will be.
    Abort,
}

/// A write that is committed and not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub id: String,
    pub state: State,
    /// When it was committed, microseconds since 1970.
    pub since: i64,
    /// Whether files of it are removed after it.
    #[serde(default)]
    pub replaces: bool,
    /// Whether its files have names without its id.
    #[serde(default)]
    pub own_names: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its files are not to be seen yet.
    Publishing,
    /// The files that it replaces are not to be seen any more.
    Removing,
}

/// The newest entry of the log in a table's folder; `None` when there is no log.
///
/// # Errors
/// `BadFile` when the entry is damaged: nobody can say then what is to be seen.
pub fn newest(root: &Folder) -> Result<Option<Entry>> {
    // Somebody may tidy up between the listing and the reading.
    for _ in 0..TRIES {
        let Some(last) = sequences(root)?.pop() else {
            return Ok(None);
        };
        if let Some(entry) = read(root, last)? {
            return Ok(Some(entry));
        }
    }
    Err(Error::conflict(format!(
        "the log {} changes too fast to be read",
        root.shown(LOG)
    )))
}

/// The entries after `sequence`, in order; `None` when some of them are gone already.
pub(super) fn newer(root: &Folder, sequence: u64, newest: u64) -> Result<Option<Vec<Entry>>> {
    (sequence + 1..=newest).map(|n| read(root, n)).collect()
}

fn sequences(root: &Folder) -> Result<Vec<u64>> {
    let (names, _) = root.children(LOG)?;
    let mut found: Vec<u64> = names
        .iter()
        .filter_map(|n| n.strip_suffix(".json")?.parse().ok())
        .collect();
    found.sort_unstable();
    Ok(found)
}

fn read(root: &Folder, sequence: u64) -> Result<Option<Entry>> {
    let path = path(sequence);
    let Some(content) = root.read(&path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&content) {
        Ok(entry) => Ok(Some(entry)),
        Err(e) => Err(Error::bad_file(format!("{}: {e}", root.shown(&path)))
            .with_hint("the file was damaged; restore it, or remove it when no write is under way")),
    }
}

fn path(sequence: u64) -> String {
    format!("{LOG}/{sequence:020}.json")
}

/// Adds the entry that `next` makes from the newest one (an empty one, sequence 0, before the first) and those after
/// `base`. `next` may be called several times, when others add theirs first; `None` from it means that nothing is to be
/// added.
///
/// # Errors
/// Those of `next`; `Conflict` when `base` is so old that nobody knows what happened since.
pub fn append(
    root: &Folder,
    base: u64,
    mut next: impl FnMut(&Entry, &[Entry]) -> Result<Option<Entry>>,
) -> Result<Option<Entry>> {
    for _ in 0..TRIES {
        let newest = newest(root)?.unwrap_or_default();
        let Some(newer) = newer(root, base.min(newest.sequence), newest.sequence)? else {
            return Err(Error::conflict(format!(
                "so much was written to {} meanwhile that conflicts cannot be told",
                root.shown("")
            ))
            .with_hint("run the statement again"));
        };
        let Some(mut entry) = next(&newest, &newer)? else {
            return Ok(None);
        };
        entry.sequence = newest.sequence + 1;
        entry.time = now();
        let text = serde_json::to_vec_pretty(&entry).map_err(|e| Error::internal(format!("log entry: {e}")))?;
        if root.create(&path(entry.sequence), Bytes::from(text))? && is_next(root, entry.sequence)? {
            trim(root, entry.sequence);
            return Ok(Some(entry));
        }
    }
    Err(Error::conflict(format!(
        "{TRIES} others wrote to {} before it was this statement's turn",
        root.shown("")
    ))
    .with_hint("run the statement again"))
}

/// Whether the entry before is still there: otherwise the number was free only because it had been tidied away.
fn is_next(root: &Folder, sequence: u64) -> Result<bool> {
    if sequence == 1 || sequences(root)?.contains(&(sequence - 1)) {
        return Ok(true);
    }
    root.delete(&[path(sequence)])?;
    Ok(false)
}

/// Removes entries that nobody needs; when that fails, the next writer tries again.
fn trim(root: &Folder, newest: u64) {
    let Ok(all) = sequences(root) else { return };
    let old: Vec<String> = all.into_iter().filter(|n| n + KEPT < newest).map(path).collect();
    if !old.is_empty() {
        let _ = root.delete(&old);
    }
}

/// Microseconds since 1970.
pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(id: &str) -> Entry {
        Entry {
            ids: vec![id.into()],
            ..Default::default()
        }
    }

    #[test]
    fn entries_follow_each_other_and_old_ones_go() {
        let root = Folder::parse("memory://log/t").unwrap();
        assert_eq!(newest(&root).unwrap(), None);
        for n in 1..=KEPT + 5 {
            let added = append(&root, 0, |newest, _| {
                assert_eq!(newest.sequence, n - 1);
                Ok(Some(by("x")))
            });
            match n {
                // The first entries are gone by then, which a writer that began before them is told.
                n if n > KEPT + 2 => assert_eq!(added.unwrap_err().kind(), crate::ErrorKind::Conflict),
                n => assert_eq!(added.unwrap().unwrap().sequence, n),
            }
            if n > KEPT + 2 {
                append(&root, n - 1, |_, _| Ok(Some(by("y")))).unwrap();
            }
        }
        assert_eq!(sequences(&root).unwrap().len() as u64, KEPT + 1);
    }

    #[test]
    fn of_two_that_want_one_number_each_gets_its_own() {
        let root = Folder::parse("memory://log/race").unwrap();
        let mut first = true;
        let entry = append(&root, 0, |newest, newer| {
            if std::mem::take(&mut first) {
                append(&root, 0, |_, _| Ok(Some(by("other")))).unwrap();
            } else {
                assert_eq!((newest.sequence, newer.len()), (1, 1));
            }
            Ok(Some(by("mine")))
        });
        assert_eq!(entry.unwrap().unwrap().sequence, 2);
    }
}
