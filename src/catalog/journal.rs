//! Statements that change files and the catalog together.
//!
//! ```text
//! CREATE TABLE … AS                              DROP TABLE
//!   _catalog/pending/ID.json  what is intended     _catalog/pending/ID.json  what is intended
//!   the files appear          commit               the entry is removed      commit
//!   the entry is made                              the files are removed
//!   ID.json is removed                             ID.json is removed
//! ```
//!
//! Two things cannot change in one step. So what is intended is written down first, beside a lock that lasts as long as the
//! process; whoever looks a name up and finds a journal without an owner does the rest if the commit had happened, and
//! otherwise only removes the journal. Usually there is no folder `pending`, and looking for it costs one system call.

use super::commit::{self, at};
use super::definition::TableDefinition;
use super::lock::{Lock, locks_in};
use super::store::Catalog;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Serialize, Deserialize)]
struct Intention {
    change: Change,
    table: TableDefinition,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    /// The table comes with files whose names start with this.
    Create(String),
    Drop,
}

/// What this process intends. Dropped before it is [`done`](Journal::done), it stays for the next who looks, who finds out
/// how far it came.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    lock: Lock,
}

impl Journal {
    /// Writes down that files whose names start with `prefix` are to appear at the table's location, and the table with
    /// them.
    pub fn create(catalog: &Catalog, table: &TableDefinition, prefix: &str) -> Result<Self> {
        Self::begin(catalog, Change::Create(prefix.into()), table)
    }

    /// Writes down that the table is to go, and its files with it.
    pub fn drop(catalog: &Catalog, table: &TableDefinition) -> Result<Self> {
        Self::begin(catalog, Change::Drop, table)
    }

    fn begin(catalog: &Catalog, change: Change, table: &TableDefinition) -> Result<Self> {
        let folder = catalog.pending_folder();
        let mut id = String::new();
        let make = |folder: &Path| fs::create_dir_all(folder).map_err(|e| at(folder, e));
        let lock = Lock::take(&folder, make, || {
            id = commit::new_id();
            format!("{id}.lock")
        })?;
        let path = folder.join(format!("{id}.json"));
        let intention = Intention {
            change,
            table: table.clone(),
        };
        let text = serde_json::to_vec_pretty(&intention).map_err(|e| Error::internal(format!("journal: {e}")))?;
        let journal = Self { path, lock };
        let write = || -> std::io::Result<()> {
            let mut file = File::create_new(&journal.path)?;
            file.write_all(&text)?;
            file.sync_all()?;
            File::open(&folder)?.sync_all()
        };
        match write() {
            Ok(()) => Ok(journal),
            Err(e) => {
                let error = at(&journal.path, e);
                journal.done();
                Err(error)
            }
        }
    }

    /// Makes the entry of the table whose files have appeared; when that is impossible, they disappear again.
    pub fn add_table(self, catalog: &Catalog, table: TableDefinition, prefix: &str) -> Result<()> {
        let location = PathBuf::from(&table.location);
        let added = catalog.add_entry(table);
        if added.is_ok() || commit::remove_published(&location, prefix).is_ok() {
            self.done();
        }
        added
    }

    /// Everything that was intended has happened, or nothing and nothing will.
    pub fn done(self) {
        let _ = fs::remove_file(&self.path);
        let folder = self.lock.folder().map(Path::to_path_buf);
        self.lock.remove();
        // Only when nobody else intends anything.
        folder.map(fs::remove_dir);
    }
}

/// Finishes or takes back what dead processes intended; whether there was anything. What cannot be done, because the
/// warehouse may only be read, say, stays for somebody else.
pub(super) fn recover(catalog: &Catalog) -> bool {
    let folder = catalog.pending_folder();
    let mut any = false;
    for (id, path) in locks_in(&folder, "") {
        let Some(lock) = Lock::of_dead(&path) else { continue };
        let journal = Journal {
            path: folder.join(format!("{id}.json")),
            lock,
        };
        if finish(catalog, &journal.path).is_ok() {
            journal.done();
            any = true;
        }
    }
    any
}

fn finish(catalog: &Catalog, journal: &Path) -> Result<()> {
    let text = match fs::read(journal) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|e| at(journal, e))?,
    };
    // A journal that was not written to its end was followed by nothing.
    let Ok(Intention { change, table }) = serde_json::from_slice(&text) else {
        return Ok(());
    };
    let files = Path::new(&table.location);
    match change {
        Change::Create(prefix) if commit::is_published(files, &prefix) => {
            let (files, taken) = (files.to_path_buf(), catalog.add_entry(table));
            match taken {
                Err(e) if e.kind() == crate::ErrorKind::Conflict => commit::remove_published(&files, &prefix),
                other => other,
            }
        }
        Change::Create(_) => Ok(()),
        Change::Drop if catalog.is_remembered(&table.database, &table.name) => Ok(()),
        Change::Drop => match fs::remove_dir_all(files) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(at(files, e)),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::commit::Staging;
    use super::super::definition::CatalogObject;
    use super::super::store::IfExists;
    use super::*;

    struct Lake {
        dir: tempfile::TempDir,
        catalog: Catalog,
        table: TableDefinition,
    }

    fn lake() -> Lake {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(dir.path().join("lake").to_str().unwrap()).unwrap();
        let table = TableDefinition {
            database: "default".into(),
            name: "t".into(),
            format: "PARQUET".into(),
            location: catalog.managed_location("default", "t").unwrap(),
            ..Default::default()
        };
        Lake { dir, catalog, table }
    }

    impl Lake {
        fn stage(&self) -> Staging {
            let staging = Staging::folder(Path::new(&self.table.location)).unwrap();
            let file = staging
                .data_folder()
                .join(format!("{}_0.parquet", staging.file_prefix()));
            fs::write(file, "rows").unwrap();
            staging
        }

        fn files(&self) -> usize {
            fs::read_dir(&self.table.location).map_or(0, Iterator::count)
        }

        fn found(&self) -> bool {
            self.catalog.object("default", "t").unwrap().is_some()
        }

        fn pending(&self) -> bool {
            self.dir.path().join("lake/_catalog/pending").exists()
        }
    }

    #[test]
    fn a_table_that_was_being_made_is_there_or_not_after_each_step() {
        let lake = lake();
        // Dead before the files appeared: nothing has happened, and the table can be made.
        let staging = lake.stage();
        let journal = Journal::create(&lake.catalog, &lake.table, staging.file_prefix()).unwrap();
        assert!(!lake.found() && lake.pending(), "its owner is alive");
        drop((staging, journal));
        assert!(!lake.found() && lake.files() == 0 && !lake.pending());
        // Dead after the files appeared: the table is there.
        let staging = lake.stage();
        let journal = Journal::create(&lake.catalog, &lake.table, staging.file_prefix()).unwrap();
        staging.commit(vec![]).unwrap();
        assert!(!lake.found(), "its owner is alive");
        drop(journal);
        assert!(lake.found() && lake.files() == 1 && !lake.pending());
        // Dead after the entry was made: only the journal goes.
        let journal = Journal::create(&lake.catalog, &lake.table, "2").unwrap();
        drop(journal);
        lake.catalog.drop("default", "other").unwrap();
        assert!(lake.catalog.objects("default").unwrap().len() == 1 && lake.files() == 1 && !lake.pending());
    }

    #[test]
    fn files_beside_others_that_are_hidden_count_as_soon_as_their_manifest_does() {
        let lake = lake();
        fs::create_dir_all(&lake.table.location).unwrap();
        fs::write(format!("{}/_SUCCESS", lake.table.location), "").unwrap();
        let staging = lake.stage();
        let journal = Journal::create(&lake.catalog, &lake.table, staging.file_prefix()).unwrap();
        staging.commit(vec![]).unwrap();
        drop(journal);
        assert!(lake.found() && lake.files() == 2);
    }

    #[test]
    fn a_table_that_was_being_dropped_is_there_or_not_after_each_step() {
        let lake = lake();
        lake.stage().commit(vec![]).unwrap();
        let table = CatalogObject::Table(lake.table.clone());
        lake.catalog.create(table, IfExists::Error, false).unwrap();
        drop(Journal::drop(&lake.catalog, &lake.table).unwrap());
        lake.catalog.objects("default").unwrap();
        assert!(lake.found() && lake.files() == 1 && !lake.pending());
        let journal = Journal::drop(&lake.catalog, &lake.table).unwrap();
        lake.catalog.drop("default", "t").unwrap();
        assert!(!lake.found() && lake.files() == 1, "its owner is alive");
        drop(journal);
        assert!(!lake.found() && lake.files() == 0 && !lake.pending());
    }

    #[test]
    fn whoever_loses_the_name_loses_the_files() {
        let lake = lake();
        let staging = lake.stage();
        let journal = Journal::create(&lake.catalog, &lake.table, staging.file_prefix()).unwrap();
        staging.commit(vec![]).unwrap();
        let mut other = lake.table.clone();
        other.location = lake.dir.path().join("elsewhere").to_str().unwrap().into();
        let entry = CatalogObject::Table(other);
        lake.catalog.create(entry.clone(), IfExists::Error, false).unwrap();
        drop(journal);
        assert_eq!(lake.catalog.objects("default").unwrap(), [entry]);
        assert_eq!(lake.files(), 0);
    }

    #[test]
    fn half_a_journal_means_nothing() {
        let lake = lake();
        let journal = Journal::drop(&lake.catalog, &lake.table).unwrap();
        fs::write(&journal.path, "{\"change\":").unwrap();
        drop(journal);
        assert!(!lake.found() && !lake.pending());
    }
}
