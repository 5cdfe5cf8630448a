//! What readers of ours see in a table's folder: all of a write or nothing of it.

use super::commit::{finish, read_manifest, still_open};
use super::elsewhere::removed_elsewhere;
use super::lock::Lock;
use super::log::{self, Open, State, TRANSACTIONS};
use crate::error::{Error, Result};
use crate::storage::{Folder, Location, Object, ObjectFile, list};
use std::collections::HashSet;

/// Microseconds after which a reader finishes what it finds committed.
const PATIENCE: i64 = 10_000_000;
/// How often a listing is begun again when writes end while it is made.
const LISTINGS: usize = 20;

/// What is not to be seen in a table's folder.
#[derive(Debug, Default)]
struct Hidden {
    /// The newest entry of the log.
    sequence: u64,
    /// Writes whose files are not to be seen.
    publishing: Vec<String>,
    /// Files that are not to be seen, as [`list_consistently`] names them.
    files: HashSet<String>,
}

impl Hidden {
    fn hides(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.publishing.iter().any(|id| name.contains(id.as_str())) || self.files.contains(path)
    }
}

fn hidden(root: &Folder) -> Result<Hidden> {
    'again: loop {
        let Some(newest) = log::newest(root)? else {
            return Ok(Hidden::default());
        };
        let mut hidden = Hidden {
            sequence: newest.sequence,
            ..Default::default()
        };
        for open in &newest.open {
            if is_left_behind(root, open) && finish(root, &open.id).is_ok() {
                continue 'again;
            }
            match open.state {
                State::Publishing if !open.own_names => hidden.publishing.push(open.id.clone()),
                state => match named_by(root, &open.id, state) {
                    Ok(files) => hidden.files.extend(files),
                    // Its manifests are gone as soon as it is done.
                    Err(_) if !still_open(root, open)? => continue 'again,
                    Err(e) => return Err(e),
                },
            }
        }
        return Ok(hidden);
    }
}

/// The files that a write publishes or replaces: those below the root by their paths, others by their locations.
fn named_by(root: &Folder, id: &str, state: State) -> Result<Vec<String>> {
    let Some(manifest) = read_manifest(root, id)? else {
        let text = format!("the manifest of the write {id} is missing in {}", root.shown(""));
        return Err(Error::bad_file(text));
    };
    if state == State::Publishing {
        return Ok(manifest.files.into_iter().map(|file| file.path).collect());
    }
    let mut removed = removed_elsewhere(&manifest)?;
    removed.extend(manifest.removed.into_iter().map(|o| o.path));
    Ok(removed)
}

/// Whether a committed write waits for somebody else to finish it.
fn is_left_behind(root: &Folder, open: &Open) -> bool {
    let dead = root.local().is_some_and(|local| {
        let lock = local.join(TRANSACTIONS).join(format!("{}.lock", open.id));
        !lock.exists() || Lock::of_dead(&lock).is_some()
    });
    dead || log::now().saturating_sub(open.since) > PATIENCE
}

/// What `list` finds below a table's location, by their `file`s, as they were at one moment between two writes of ours.
///
/// # Errors
/// Those of `list`; `Conflict` when the table is written to all the time.
pub fn list_consistently<T>(
    root: &Location,
    list: impl Fn() -> Result<Vec<T>>,
    file: impl Fn(&T) -> &ObjectFile,
) -> Result<Vec<T>> {
    let base = table_folder(root.base());
    if !root.is_writable() || base.is_empty() || base == "." {
        return list();
    }
    let folder = Folder::parse(base)?;
    let relative = |file: &ObjectFile| -> String {
        let below = file.location.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
        below.unwrap_or(&file.location).to_string()
    };
    for _ in 0..LISTINGS {
        let before = hidden(&folder)?;
        let files = list();
        let after = hidden(&folder)?;
        if before.sequence == after.sequence {
            let mut files = files?;
            files.retain(|found| !before.hides(&relative(file(found))));
            return Ok(files);
        }
    }
    Err(Error::conflict(format!("{} is written to all the time", root.text)).with_hint("run the statement again"))
}

/// The folder that has the log of what is below a location: above the folders of partitions.
pub(super) fn table_folder(base: &str) -> &str {
    let mut folder = base.trim_end_matches('/');
    while let Some((parent, name)) = folder.rsplit_once('/')
        && name.contains('=')
    {
        folder = parent;
    }
    folder
}

/// The files of a table's folder, as [`list_consistently`] has them, in paths below it; none when there is no such folder.
pub fn files_of(root: &Location) -> Result<Vec<Object>> {
    if !crate::storage::exists(root)? {
        return Ok(vec![]);
    }
    let base = format!("{}/", root.base().trim_end_matches('/'));
    let files = list_consistently(root, || list(root), |file| file)?;
    let object = |file: &ObjectFile| Some(object_of(file, file.location.strip_prefix(&base)?));
    Ok(files.iter().filter_map(object).collect())
}

/// A file that was listed, by its path below a folder.
pub fn object_of(file: &ObjectFile, path: &str) -> Object {
    Object {
        path: path.to_string(),
        size: file.size,
        modified: file.modified,
        etag: file.etag.as_ref().map(|tag| tag.to_string()),
    }
}
