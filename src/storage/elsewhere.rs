//! Files of a write that are elsewhere than below its root: where they are to be, and how somebody who knows the root only
//! finds what is left of them.

use super::folder::Folder;
use super::staged::discard;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What the notes of other folders with files are called.
const ELSEWHERE: &str = "elsewhere-";
/// The home of a write in a folder that is not its root: its name has the write's id.
const HOME_ELSEWHERE: &str = "_txn-";

/// Where the files of a folder are to be.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a folder below the root; the empty path is the root.
    Below(String),
    /// In a folder below another root.
    Elsewhere(Folder, String),
}

/// Knows where the files are to be that a writer writes for a folder.
pub trait Placement: std::fmt::Debug + Send + Sync {
    /// # Errors
    /// When there must not be files for the folder.
    fn place(&self, folder: &str) -> Result<Place>;
}

/// What is noted of another folder before anything waits there.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    location: String,
}

/// The home of a write in a folder that is not its root. The names of homes end with the write's id.
pub fn home_elsewhere(home: &str) -> String {
    format!("{HOME_ELSEWHERE}{}", home.rsplit(['/', '-']).next().unwrap_or(home))
}

/// Notes that the write whose home is below `root` has a home in another folder, too.
pub(super) fn note(root: &Folder, home: &str, number: usize, location: String) -> Result<()> {
    let note = serde_json::to_vec(&Note { location }).map_err(|e| Error::internal(format!("note of a folder: {e}")))?;
    root.write(&format!("{home}/{ELSEWHERE}{number:05}.json"), note.into())
}

/// Whether something in a home is such a note.
pub(super) fn is_note(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(ELSEWHERE))
}

/// Discards what a note in `home` tells of. A home elsewhere has no notes of others, so that none can lead in a circle.
pub(super) fn discard_noted(root: &Folder, home: &str, note: &str) -> Result<()> {
    if !home.starts_with(HOME_ELSEWHERE)
        && let Some(content) = root.read(note)?
        && let Ok(note) = serde_json::from_slice::<Note>(&content)
    {
        discard(&Folder::parse(&note.location)?, &home_elsewhere(home))?;
    }
    Ok(())
}
