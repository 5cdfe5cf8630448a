//! Statements that change files and the catalog together.
//!
//! ```text
//! CREATE TABLE … AS                              DROP TABLE
//!   _catalog/pending/ID.json  what is intended     _catalog/pending/ID.json  what is intended
//!   the files appear          commit               the entry is removed      commit
//!   the entry is made                              the files are removed, wherever they are
//!   ID.json is removed                             ID.json is removed
//! ```
//!
//! A table that gets another name is moved in the same way (`rename.rs`).
//!
//! Two things cannot change in one step. So what is intended is written down first. Whoever looks a name up that is not there
//! and finds a journal does the rest, if the commit has happened; its owner then finds it done, which is as well. A journal
//! whose commit has not happened is left alone while its owner lives: on a disk a lock beside it tells, in a bucket its age.
//! Usually there is no folder `pending`, and looking for it costs one request.

use super::commit;
use super::definition::TableDefinition;
use super::lock::Lock;
use super::log::now;
use super::store::{Catalog, PENDING};
use super::transactions::ABANDONED_AFTER;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Folder, Location, Object};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

#[derive(Debug, Serialize, Deserialize)]
struct Intention {
    change: Change,
    /// The table that comes or goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<TableDefinition>,
    /// What goes with it besides files below its folder.
    #[serde(default)]
    besides: Besides,
}

/// What goes with a table and is not below its folder.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Besides {
    /// The list of its partitions in the catalog, unless it is another table's by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partitions: Option<Object>,
    /// Files of its partitions, by the folders that they are below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    elsewhere: Vec<(String, Vec<Object>)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    /// The table comes with files whose names start with this.
    Create(String),
    /// These files below the table's folder go with it: only these, since a new table may come to the same place.
    Drop(Vec<String>),
    /// What has the first name, in a database each, gets the second.
    Rename((String, String), (String, String)),
}

/// What this process intends. Dropped before it is [`done`](Journal::done), it stays for the next who looks, who finds out
/// how far it came.
#[derive(Debug)]
pub struct Journal {
    warehouse: Folder,
    path: String,
    /// On a disk.
    lock: Option<Lock>,
}

impl Journal {
    /// Writes down that files whose names start with `prefix` are to appear at the table's location, and the table with
    /// them.
    pub fn create(catalog: &Catalog, table: &TableDefinition, prefix: &str) -> Result<Self> {
        Self::begin(catalog, Change::Create(prefix.into()), Some(table), Besides::default())
    }

    /// Writes down that an object is to get another name.
    pub(super) fn rename(catalog: &Catalog, from: (&str, &str), to: (&str, &str)) -> Result<Self> {
        let owned = |(database, name): (&str, &str)| (database.to_string(), name.to_string());
        Self::begin(
            catalog,
            Change::Rename(owned(from), owned(to)),
            None,
            Besides::default(),
        )
    }

    /// Removes a table from the catalog, and then its files, if they go with it. `elsewhere` are those of its partitions that
    /// are not below its folder.
    pub fn drop_table(catalog: &Catalog, table: &TableDefinition, elsewhere: Vec<(Folder, Vec<Object>)>) -> Result<()> {
        let below = match table.owns_files() {
            true => Folder::parse(&table.location)?.list("")?,
            false => vec![],
        };
        let below: Vec<String> = below.into_iter().map(|o| o.path).collect();
        let besides = Besides {
            partitions: catalog.partitions_version(&table.database, &table.name)?,
            elsewhere: elsewhere.into_iter().map(|(at, files)| (at.shown(""), files)).collect(),
        };
        if catalog.is_temporary(&table.database, &table.name) {
            catalog.drop(&table.database, &table.name)?;
            return remove_all(table, &below, &besides);
        }
        let change = Change::Drop(below.clone());
        let journal = Self::begin(catalog, change, Some(table), besides.clone())?;
        catalog.drop_table(table)?;
        remove_all(table, &below, &besides)?;
        journal.done();
        Ok(())
    }

    fn begin(catalog: &Catalog, change: Change, table: Option<&TableDefinition>, besides: Besides) -> Result<Self> {
        let warehouse = catalog.warehouse().clone();
        let mut id = commit::new_id();
        let lock = match warehouse.local() {
            None => None,
            Some(local) => {
                let make = |folder: &Path| std::fs::create_dir_all(folder).map_err(|e| commit::at(folder, e));
                Some(Lock::take(&local.join(PENDING), make, || {
                    id = commit::new_id();
                    format!("{id}.lock")
                })?)
            }
        };
        let journal = Self {
            path: format!("{PENDING}/{id}.json"),
            warehouse,
            lock,
        };
        let intention = Intention {
            change,
            table: table.cloned(),
            besides,
        };
        let text = serde_json::to_vec_pretty(&intention).map_err(|e| Error::internal(format!("journal: {e}")))?;
        match journal.warehouse.write(&journal.path, text.into()) {
            Ok(()) => Ok(journal),
            Err(e) => {
                journal.done();
                Err(e)
            }
        }
    }

    /// Makes the entry of the table whose files have appeared; when that is impossible, they disappear again.
    pub fn add_table(self, catalog: &Catalog, table: TableDefinition, prefix: &str) -> Result<()> {
        let files = Folder::parse(&table.location)?;
        let added = catalog.add_entry(table);
        match &added {
            Ok(()) => self.done(),
            // The name is somebody else's. In all other cases the entry may have been made, or will be by the next who looks.
            Err(e) if e.kind() == ErrorKind::Conflict && commit::remove_published(&files, prefix).is_ok() => {
                self.done()
            }
            Err(_) => {}
        }
        added
    }

    /// Publishing the files failed. Unless that was after the commit point, or nobody knows, nothing will happen any more.
    pub fn failed(self, table: &TableDefinition, prefix: &str) {
        let may_come = |files: Folder| -> Result<bool> {
            // The manifest stays as long as it is needed.
            Ok(commit::is_published(&files, prefix)? || commit::read_manifest(&files, prefix)?.is_some())
        };
        if matches!(Folder::parse(&table.location).and_then(may_come), Ok(false)) {
            self.done();
        }
    }

    /// Everything that was intended has happened, or nothing and nothing will.
    pub fn done(self) {
        let _ = self.warehouse.delete(std::slice::from_ref(&self.path));
        if let Some(lock) = self.lock {
            let folder = lock.folder().map(Path::to_path_buf);
            lock.remove();
            // Only when nobody else intends anything.
            folder.map(std::fs::remove_dir);
        }
    }
}

/// Removes the files of a table that is gone: those `below` its folder, and those elsewhere.
fn remove_all(table: &TableDefinition, below: &[String], besides: &Besides) -> Result<()> {
    if table.owns_files() {
        let files = Folder::parse(&table.location)?;
        files.delete(below)?;
        forget(&files);
    }
    for (location, objects) in &besides.elsewhere {
        let location = Location::exact(location)?;
        location.check_writable()?;
        let files = Folder::at(&location)?;
        files.delete_unchanged(objects)?;
        forget(&files);
    }
    Ok(())
}

/// On a disk the folders of files that are gone go, too.
fn forget(files: &Folder) {
    if let Some(local) = files.local() {
        remove_empty(local);
        crate::storage::forget_open_files(&files.shown(""));
    }
}

/// Removes a folder and those in it, as far as there is nothing in them.
fn remove_empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(folder);
}

/// Finishes or takes back what others intended; whether there was anything to do. What cannot be done, because the warehouse
/// may only be read, say, stays for somebody else.
pub(super) fn recover(catalog: &Catalog) -> bool {
    recover_older(catalog, ABANDONED_AFTER)
}

/// The same, where an owner of whom nobody can tell whether it lives is taken for dead after `older_than`.
pub fn recover_older(catalog: &Catalog, older_than: Duration) -> bool {
    let warehouse = catalog.warehouse();
    let (names, _) = warehouse.children(PENDING).unwrap_or_default();
    let mut any = false;
    for name in names {
        let Some((id, kind)) = name.rsplit_once('.') else {
            continue;
        };
        let lock_path = warehouse
            .local()
            .map(|local| local.join(PENDING).join(format!("{id}.lock")));
        // A lock without journal: its owner died before it intended anything.
        if kind != "json" {
            let alone = warehouse
                .head(&format!("{PENDING}/{id}.json"))
                .is_ok_and(|found| found.is_none());
            if let Some(lock) = lock_path.filter(|_| alone).and_then(|path| Lock::of_dead(&path)) {
                remove_half_written(&lock, id);
                lock.remove();
            }
            continue;
        }
        let lock = lock_path.as_deref().and_then(Lock::of_dead);
        let dead = match &lock_path {
            Some(path) => lock.is_some() || !path.exists(),
            None => is_old(warehouse, &name, older_than),
        };
        let journal = Journal {
            warehouse: warehouse.clone(),
            path: format!("{PENDING}/{name}"),
            lock,
        };
        if finish(catalog, &journal.path, dead).unwrap_or(false) {
            journal.done();
            any = true;
        }
    }
    if let Some(local) = warehouse.local() {
        // Only when nobody intends anything.
        let _ = std::fs::remove_dir(local.join(PENDING));
    }
    any
}

/// On a disk an object is written under a name with a number sign before it gets its own: what is left of it when the process
/// dies between.
fn remove_half_written(lock: &Lock, id: &str) {
    for entry in lock
        .folder()
        .map(std::fs::read_dir)
        .into_iter()
        .flatten()
        .flatten()
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(&format!("{id}.json#")) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn is_old(warehouse: &Folder, name: &str, older_than: Duration) -> bool {
    let age = |object: Object| now().saturating_sub(object.modified);
    let found = warehouse.head(&format!("{PENDING}/{name}")).ok().flatten();
    found.is_some_and(|object| i64::try_from(older_than.as_micros()).is_ok_and(|most| age(object) >= most))
}

/// Does what is left to do. False when the commit has not happened and may still happen.
fn finish(catalog: &Catalog, journal: &str, dead: bool) -> Result<bool> {
    let Some(text) = catalog.warehouse().read(journal)? else {
        return Ok(true);
    };
    // A journal that was not written to its end was followed by nothing.
    let Ok(Intention { change, table, besides }) = serde_json::from_slice(&text) else {
        return Ok(dead);
    };
    if let Change::Rename((database, name), _) = &change {
        return match catalog.finish_rename(database, name) {
            // When nothing has moved yet, its owner may be about to do it.
            Ok(moved) => Ok(moved || dead || !catalog.is_remembered(database, name)?),
            Err(e) => Ok(e.kind() == ErrorKind::Plan),
        };
    }
    let Some(table) = table else { return Ok(dead) };
    match change {
        Change::Create(prefix) => finish_create(catalog, table, &prefix, dead),
        Change::Drop(below) if !catalog.is_remembered(&table.database, &table.name)? => {
            catalog.forget_dropped(&table, besides.partitions.as_ref())?;
            remove_all(&table, &below, &besides).map(|()| true)
        }
        Change::Drop(_) | Change::Rename(..) => Ok(dead),
    }
}

fn finish_create(catalog: &Catalog, table: TableDefinition, prefix: &str, dead: bool) -> Result<bool> {
    let files = Folder::parse(&table.location)?;
    match commit::is_published(&files, prefix)? {
        true => match catalog.add_entry(table) {
            Err(e) if e.kind() == ErrorKind::Conflict => commit::remove_published(&files, prefix).map(|()| true),
            other => other.map(|()| true),
        },
        false if dead => super::transactions::remove(&files, prefix).map(|()| true),
        false => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::super::commit::{Changes, Staging};
    use super::super::definition::CatalogObject;
    use super::super::store::IfExists;
    use super::*;
    use crate::storage::Location;
    use std::fs;
    use std::io::Write;

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
            let staging = Staging::folder(&Location::exact(&self.table.location).unwrap(), 1 << 20).unwrap();
            let name = format!("{}_0.parquet", staging.file_prefix());
            let mut file = staging.files().create(&name).unwrap();
            file.write_all(b"rows").unwrap();
            file.finish().unwrap();
            staging
        }

        fn files(&self) -> usize {
            fs::read_dir(&self.table.location).map_or(0, Iterator::count)
        }

        /// The name of the only file.
        fn name(&self) -> String {
            let mut entries = fs::read_dir(&self.table.location).unwrap();
            entries.next().unwrap().unwrap().file_name().into_string().unwrap()
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
        staging.commit(Changes::default()).unwrap();
        assert!(lake.found(), "whoever looks makes the entry of files that are there");
        drop(journal);
        lake.catalog.objects("default").unwrap();
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
        staging.commit(Changes::default()).unwrap();
        drop(journal);
        assert!(lake.found() && lake.files() == 2);
    }

    #[test]
    fn a_table_that_was_being_dropped_is_there_or_not_after_each_step() {
        let lake = lake();
        lake.stage().commit(Changes::default()).unwrap();
        let table = CatalogObject::Table(lake.table.clone());
        lake.catalog.create(table, IfExists::Error, false).unwrap();
        let files = vec![lake.name()];
        drop(
            Journal::begin(
                &lake.catalog,
                Change::Drop(files.clone()),
                Some(&lake.table),
                Besides::default(),
            )
            .unwrap(),
        );
        lake.catalog.objects("default").unwrap();
        assert!(lake.found() && lake.files() == 1 && !lake.pending());
        let journal = Journal::begin(
            &lake.catalog,
            Change::Drop(files),
            Some(&lake.table),
            Besides::default(),
        )
        .unwrap();
        lake.catalog.drop("default", "t").unwrap();
        assert!(
            !lake.found() && lake.files() == 0,
            "whoever looks removes the files of a table that is gone"
        );
        drop(journal);
        lake.catalog.objects("default").unwrap();
        assert!(!lake.found() && lake.files() == 0 && !lake.pending());
    }

    #[test]
    fn whoever_loses_the_name_loses_the_files() {
        let lake = lake();
        let staging = lake.stage();
        let journal = Journal::create(&lake.catalog, &lake.table, staging.file_prefix()).unwrap();
        let mut other = lake.table.clone();
        other.location = lake.dir.path().join("elsewhere").to_str().unwrap().into();
        let entry = CatalogObject::Table(other);
        lake.catalog.create(entry.clone(), IfExists::Error, false).unwrap();
        staging.commit(Changes::default()).unwrap();
        drop(journal);
        assert_eq!(lake.catalog.objects("default").unwrap(), [entry]);
        assert_eq!(lake.files(), 0);
    }

    #[test]
    fn half_a_journal_means_nothing() {
        let lake = lake();
        let journal = Journal::begin(
            &lake.catalog,
            Change::Drop(vec![]),
            Some(&lake.table),
            Besides::default(),
        )
        .unwrap();
        fs::write(lake.dir.path().join("lake").join(&journal.path), "{\"change\":").unwrap();
        drop(journal);
        assert!(!lake.found() && !lake.pending());
    }
}
