//! The part of a write that is elsewhere than below the table's folder: in partitions with locations of their own.
//!
//! ```text
//! TABLE/_txn/ID/manifest.json       what is below TABLE, and the list of other LOCATIONs
//! LOCATION/_txn-ID/manifest.json    what is below LOCATION
//! ```
//!
//! There is one log and one commit point, those of the table. What is done to the files of a folder is said in the folder
//! itself, so whoever may write to one folder only cannot have somebody else change another.

use super::commit::{MANIFEST, Manifest, home_of};
use crate::error::{Error, Result};
use crate::storage::{Folder, Object, StagedFile, StagedFiles, home_elsewhere, publish};
use serde::{Deserialize, Serialize};

/// What the table's manifest says of another location.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Elsewhere {
    pub location: String,
    /// Files that come to it, their bytes, and files that go.
    pub files: usize,
    pub bytes: u64,
    pub removed: usize,
}

/// What a commit does below another folder than the table's.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Part {
    id: String,
    files: Vec<StagedFile>,
    removed: Vec<Object>,
}

/// Writes the manifests of all parts.
pub(super) fn write_parts(
    id: &str,
    staged: &StagedFiles,
    mut removed: Vec<(Folder, Vec<Object>)>,
) -> Result<Vec<Elsewhere>> {
    for (folder, _) in &removed {
        staged.elsewhere(folder)?;
    }
    let mut all = vec![];
    for files in staged.all_elsewhere() {
        let location = files.root().shown("");
        let gone = removed.extract_if(.., |(folder, _)| folder.shown("") == location);
        let part = Part {
            id: id.into(),
            removed: gone.flat_map(|(_, objects)| objects).collect(),
            files: files.seal()?,
        };
        let text = serde_json::to_vec_pretty(&part).map_err(|e| Error::internal(format!("manifest: {e}")))?;
        files.root().write(&manifest_path(id), text.into())?;
        all.push(Elsewhere {
            location,
            files: part.files.len(),
            bytes: part.files.iter().map(|f| f.size).sum(),
            removed: part.removed.len(),
        });
    }
    Ok(all)
}

fn manifest_path(id: &str) -> String {
    format!("{}/{MANIFEST}", home_elsewhere(&home_of(id)))
}

/// # Errors
/// `BadFile` when the part's manifest is not there.
fn read_part(id: &str, location: &str) -> Result<(Folder, Part)> {
    let folder = Folder::parse(location)?;
    let path = manifest_path(id);
    let wrong = |what: String| Error::bad_file(format!("{}: {what}", folder.shown(&path)));
    let content = folder
        .read(&path)?
        .ok_or_else(|| wrong("the manifest of a write is missing".into()))?;
    let part: Part = serde_json::from_slice(&content).map_err(|e| wrong(e.to_string()))?;
    match part.id == id {
        true => Ok((folder, part)),
        false => Err(wrong(format!("it is of the write {}", part.id))),
    }
}

/// Gives the files elsewhere their names.
pub(super) fn publish_parts(manifest: &Manifest) -> Result<()> {
    for elsewhere in manifest.elsewhere.iter().filter(|e| e.files > 0) {
        let (folder, part) = read_part(&manifest.id, &elsewhere.location)?;
        publish(&folder, &home_elsewhere(&home_of(&manifest.id)), &part.files)?;
    }
    Ok(())
}

/// Removes the replaced files elsewhere.
pub(super) fn remove_parts(manifest: &Manifest) -> Result<()> {
    for elsewhere in manifest.elsewhere.iter().filter(|e| e.removed > 0) {
        let (folder, part) = read_part(&manifest.id, &elsewhere.location)?;
        folder.delete_unchanged(&part.removed)?;
    }
    Ok(())
}

/// The full locations of the replaced files elsewhere.
pub(super) fn removed_elsewhere(manifest: &Manifest) -> Result<Vec<String>> {
    let mut removed = vec![];
    for elsewhere in manifest.elsewhere.iter().filter(|e| e.removed > 0) {
        let (folder, part) = read_part(&manifest.id, &elsewhere.location)?;
        removed.extend(part.removed.iter().map(|object| folder.shown(&object.path)));
    }
    Ok(removed)
}
