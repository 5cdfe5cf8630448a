//! Files that are locked for as long as their process lives, however it ends: whoever gets the lock may tidy up.

use super::commit::at;
use crate::error::Result;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A lock that this process holds. Dropped, it is let go and its file stays, as if the process had ended.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Makes and takes a lock at `name()` in `folder`. Each call of `name` has to give another name; folders on the way
    /// are made with `make`.
    pub fn take(
        folder: &Path,
        mut make: impl FnMut(&Path) -> Result<()>,
        mut name: impl FnMut() -> String,
    ) -> Result<Self> {
        loop {
            make(folder)?;
            let path = folder.join(name());
            let file = match File::create_new(&path) {
                // Whoever was the last to use the folder has just removed it.
                Err(e) if e.kind() == ErrorKind::NotFound && !folder.exists() => continue,
                other => other.map_err(|e| at(&path, e))?,
            };
            file.lock().map_err(|e| at(&path, e))?;
            // Between creation and lock somebody may have taken it for one left behind.
            if path.exists() {
                return Ok(Self { path, file });
            }
        }
    }

    /// The lock, when its owner does not hold it any more.
    pub fn of_dead(path: &Path) -> Option<Self> {
        let file = File::options().write(true).open(path).ok()?;
        file.try_lock().ok()?;
        path.exists().then(|| Self {
            path: path.to_path_buf(),
            file,
        })
    }

    /// The folder that the lock is in.
    pub fn folder(&self) -> Option<&Path> {
        self.path.parent()
    }

    /// Removes the lock's file and lets go.
    pub fn remove(self) {
        let _ = fs::remove_file(&self.path);
        drop(self.file);
    }
}

/// The locks in a folder whose names start with `prefix`, and their names without `.lock`.
pub(super) fn locks_in(folder: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return vec![];
    };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    names
        .filter_map(|name| {
            let owner = name.strip_suffix(".lock").filter(|n| n.starts_with(prefix))?;
            Some((owner.to_string(), folder.join(&name)))
        })
        .collect()
}
