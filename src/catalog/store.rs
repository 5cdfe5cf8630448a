//! Where databases, tables and views are remembered.
//!
//! ```text
//! lakehouse/
//!   _catalog/databases/sales.json        one file per database,
//!   _catalog/objects/sales/orders.json   … per table or view
//!   _catalog/objects/sales/orders.partitions   … per table with registered partitions
//!   _catalog/pending/                    what is being done to several of them together (`journal.rs`)
//!   _catalog/taken/                      folders of tables with other names than theirs (`rename.rs`)
//!   sales/orders/…                       files of managed tables
//! ```
//!
//! The warehouse is a folder on a disk or in a bucket. A file appears or is replaced as a whole, a name is taken by creating
//! a file where none is, and what is changed is replaced only while it is what was read; so processes that share a warehouse
//! see an object or do not, of two that create the same one fails, and of two changes none is lost. Nothing is kept in memory
//! but temporary objects, which hide those of the warehouse and end with the session. No folder is made before something is
//! to be remembered.

use super::definition::{CatalogObject, DatabaseDefinition, PartitionDefinition, TableDefinition, ViewDefinition};
use super::journal;
use super::rename::renamed;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Folder, Object};
use bytes::Bytes;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The database that always exists.
pub const DEFAULT_DATABASE: &str = "default";
/// The database of tables about databases, tables and columns.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// What a CREATE does about a name that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    Error,
    Replace,
}

/// All databases, tables and views of a warehouse.
#[derive(Debug)]
pub struct Catalog {
    warehouse: Folder,
    temporary: RwLock<Temporary>,
}

/// What the file of a name says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Stored {
    Table(TableDefinition),
    View(ViewDefinition),
    /// The object that had this name has another one (`rename.rs`).
    Moved {
        database: String,
        name: String,
        object: Box<CatalogObject>,
    },
}

impl From<CatalogObject> for Stored {
    fn from(object: CatalogObject) -> Self {
        match object {
            CatalogObject::Table(table) => Self::Table(table),
            CatalogObject::View(view) => Self::View(view),
        }
    }
}

impl Stored {
    pub(super) fn is_moved(&self) -> bool {
        matches!(self, Self::Moved { .. })
    }

    /// The object that has this name.
    fn object(self) -> Option<CatalogObject> {
        match self {
            Self::Table(table) => Some(CatalogObject::Table(table)),
            Self::View(view) => Some(CatalogObject::View(view)),
            Self::Moved { .. } => None,
        }
    }
}

/// What only this session knows.
#[derive(Debug, Default)]
struct Temporary {
    databases: BTreeMap<String, DatabaseDefinition>,
    objects: BTreeMap<(String, String), CatalogObject>,
    partitions: BTreeMap<(String, String), Vec<PartitionDefinition>>,
}

impl Catalog {
    /// The catalog of a warehouse folder, which need not exist.
    pub fn new(warehouse: &str) -> Result<Self> {
        Ok(Self {
            warehouse: Folder::parse(warehouse)?,
            temporary: RwLock::default(),
        })
    }

    /// The folder of the catalog and, unless they say otherwise, of the managed tables.
    pub fn warehouse(&self) -> &Folder {
        &self.warehouse
    }

    /// All databases by name, `default` and `information_schema` among them.
    pub fn databases(&self) -> Result<Vec<DatabaseDefinition>> {
        let built_in = [DEFAULT_DATABASE, INFORMATION_SCHEMA];
        let named = |name: &str| DatabaseDefinition {
            name: name.into(),
            ..Default::default()
        };
        let mut all: BTreeMap<String, DatabaseDefinition> =
            built_in.iter().map(|name| (name.to_string(), named(name))).collect();
        for database in self.read_all::<DatabaseDefinition>(DATABASES)? {
            all.insert(database.name.clone(), database);
        }
        all.extend(self.temporary.read().databases.clone());
        Ok(all.into_values().collect())
    }

    /// The database of that name.
    pub fn database(&self, name: &str) -> Result<Option<DatabaseDefinition>> {
        if let Some(found) = self.temporary.read().databases.get(name) {
            return Ok(Some(found.clone()));
        }
        let found = self.read(&database_file(name))?;
        let built_in = [DEFAULT_DATABASE, INFORMATION_SCHEMA].contains(&name);
        Ok(found.or_else(|| {
            built_in.then(|| DatabaseDefinition {
                name: name.into(),
                ..Default::default()
            })
        }))
    }

    /// # Errors
    /// With the nearest name, when there is no such database.
    pub fn require_database(&self, name: &str) -> Result<DatabaseDefinition> {
        match self.database(name)? {
            Some(found) => Ok(found),
            None => {
                let all = self.databases()?;
                Err(Error::plan(format!("database \"{name}\" does not exist"))
                    .with_nearest(name, all.iter().map(|d| d.name.as_str())))
            }
        }
    }

    /// # Errors
    /// When there is no such database, or nothing can be created in it.
    pub fn require_open_database(&self, name: &str) -> Result<DatabaseDefinition> {
        match name {
            INFORMATION_SCHEMA => Err(Error::plan(format!("nothing can be created in {INFORMATION_SCHEMA}"))),
            _ => self.require_database(name),
        }
    }

    /// # Errors
    /// When the database exists.
    pub fn create_database(&self, database: DatabaseDefinition, temporary: bool) -> Result<()> {
        let exists = || Error::plan(format!("database \"{}\" exists already", database.name));
        if self.database(&database.name)?.is_some() {
            return Err(exists());
        }
        if temporary {
            self.temporary.write().databases.insert(database.name.clone(), database);
            return Ok(());
        }
        match self.write(&database_file(&database.name), &database, IfExists::Error)? {
            true => Ok(()),
            false => Err(exists()),
        }
    }

    /// Removes a database; what is in it was dropped before.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        if [DEFAULT_DATABASE, INFORMATION_SCHEMA].contains(&name) {
            return Err(Error::plan(format!("database \"{name}\" cannot be dropped")));
        }
        self.require_database(name)?;
        if self.temporary.write().databases.remove(name).is_none() {
            self.remove(database_file(name))?;
        }
        Ok(())
    }

    /// The tables and views of a database, by name.
    pub fn objects(&self, database: &str) -> Result<Vec<CatalogObject>> {
        journal::recover(self);
        let mut all = BTreeMap::new();
        for object in self.remembered(database)? {
            all.insert(object.name().to_string(), object);
        }
        for ((_, name), object) in self
            .temporary
            .read()
            .objects
            .iter()
            .filter(|((db, _), _)| db == database)
        {
            all.insert(name.clone(), object.clone());
        }
        Ok(all.into_values().collect())
    }

    /// The table or view of that name.
    pub fn object(&self, database: &str, name: &str) -> Result<Option<CatalogObject>> {
        let key = (database.to_string(), name.to_string());
        if let Some(found) = self.temporary.read().objects.get(&key) {
            return Ok(Some(found.clone()));
        }
        match self.entry(database, name)? {
            // Its maker may have died just before it would have been there.
            None if journal::recover(self) => self.entry(database, name),
            found => Ok(found),
        }
    }

    /// The table or view that has a name according to its file. When somebody is giving it another one, that is finished.
    fn entry(&self, database: &str, name: &str) -> Result<Option<CatalogObject>> {
        for _ in 0..TRIES {
            match self.read::<Stored>(&object_file(database, name))? {
                None => return Ok(None),
                Some(moved) if moved.is_moved() => match self.finish_rename(database, name) {
                    Err(e) if !self.may_retry(&e) => return Ok(None),
                    _ => {}
                },
                Some(stored) => return Ok(stored.object()),
            }
        }
        Err(busy(name))
    }

    /// All tables and views of a database that have files.
    fn remembered(&self, database: &str) -> Result<Vec<CatalogObject>> {
        for _ in 0..TRIES {
            let all: Vec<Stored> = self.read_all(&objects_folder(database))?;
            let (moved, all): (Vec<Stored>, Vec<Stored>) = all.into_iter().partition(Stored::is_moved);
            let mut again = false;
            for moved in moved {
                if let Stored::Moved { database, name, .. } = moved {
                    again |= self
                        .finish_rename(&database, &name)
                        .map_or_else(|e| self.may_retry(&e), |_| true);
                }
            }
            if !again {
                return Ok(all.into_iter().filter_map(Stored::object).collect());
            }
        }
        Err(busy(database))
    }

    /// Whether what was found half moved has been put right although that was an error. Otherwise it cannot be: in a
    /// warehouse that may only be read, say.
    fn may_retry(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Plan
    }

    /// Whether there is an entry of that name.
    pub(super) fn is_remembered(&self, database: &str, name: &str) -> Result<bool> {
        Ok(self.warehouse.head(&object_file(database, name))?.is_some())
    }

    /// Remembers a table whose files are there already.
    ///
    /// # Errors
    /// `Conflict` when the name was taken meanwhile.
    pub(super) fn add_entry(&self, table: TableDefinition) -> Result<()> {
        self.note_location(&table, false)?;
        let (database, name) = (table.database.clone(), table.name.clone());
        let entry = CatalogObject::Table(table);
        let written = self.write(&object_file(&database, &name), &entry, IfExists::Error)?;
        if written || self.entry(&database, &name)?.is_some_and(|existing| entry == existing) {
            return Ok(());
        }
        let name = format!("{database}.{name}");
        Err(Error::conflict(format!(
            "somebody else created \"{name}\" at the same time"
        )))
    }

    /// # Errors
    /// With the nearest name, when there is no such table or view, or no such database.
    pub fn require_object(&self, database: &str, name: &str) -> Result<CatalogObject> {
        match self.object(database, name)? {
            Some(found) => Ok(found),
            None => Err(self.unknown(database, name)),
        }
    }

    /// The error for a name that stands for nothing.
    pub fn unknown(&self, database: &str, name: &str) -> Error {
        if let Err(e) = self.require_database(database) {
            return e;
        }
        let shown = match database {
            DEFAULT_DATABASE => name.to_string(),
            _ => format!("{database}.{name}"),
        };
        let error = Error::plan(format!("table \"{shown}\" does not exist"));
        let known = self.objects(database).unwrap_or_default();
        error.with_nearest(name, known.iter().map(CatalogObject::name))
    }

    /// Remembers a table or view.
    ///
    /// # Errors
    /// When the name is taken and is not to be replaced; when the database does not exist.
    pub fn create(&self, object: CatalogObject, if_exists: IfExists, temporary: bool) -> Result<()> {
        let (database, name) = (object.database().to_string(), object.name().to_string());
        self.require_open_database(&database)?;
        let taken = |what: &str| Error::plan(format!("{what} \"{database}.{name}\" exists already"));
        let existing = self.object(&database, &name)?;
        match existing {
            Some(existing) if if_exists == IfExists::Error && !temporary => return Err(taken(existing.kind())),
            Some(existing) if if_exists == IfExists::Replace && existing.kind() != object.kind() && !temporary => {
                return Err(taken(existing.kind()));
            }
            _ => {}
        }
        let key = (database.clone(), name.clone());
        let mut session = self.temporary.write();
        if temporary {
            match session.objects.get(&key) {
                Some(existing) if if_exists == IfExists::Error => return Err(taken(existing.kind())),
                _ => session.objects.insert(key, object),
            };
            return Ok(());
        }
        if let CatalogObject::Table(table) = &object {
            self.note_location(table, false)?;
        }
        match self.write(&object_file(&database, &name), &object, if_exists)? {
            true => Ok(()),
            false => Err(taken("table")),
        }
    }

    /// Forgets a table or view; its files are the caller's to remove.
    pub fn drop(&self, database: &str, name: &str) -> Result<()> {
        let key = (database.to_string(), name.to_string());
        {
            let mut session = self.temporary.write();
            if session.objects.remove(&key).is_some() {
                session.partitions.remove(&key);
                return Ok(());
            }
        }
        // The entry first: without it nobody looks for the partitions, but a table without its partitions is another.
        self.warehouse.delete(&[object_file(database, name)])?;
        self.warehouse.delete(&[partitions_file(database, name)])
    }

    /// The list of a table's registered partitions as it is now, if there is one.
    pub(super) fn partitions_version(&self, database: &str, name: &str) -> Result<Option<Object>> {
        match self.is_temporary(database, name) {
            true => Ok(None),
            false => self.warehouse.head(&partitions_file(database, name)),
        }
    }

    /// Removes what is left in the catalog of a table that was dropped; `partitions` is the list of its partitions.
    pub(super) fn forget_dropped(&self, table: &TableDefinition, partitions: Option<&Object>) -> Result<()> {
        if let Some(partitions) = partitions {
            self.warehouse.delete_unchanged(std::slice::from_ref(partitions))?;
        }
        self.forget_location(&table.location)
    }

    /// Gives a temporary object another name, which is free.
    pub(super) fn rename_temporary(&self, database: &str, name: &str, new_database: &str, new_name: &str) {
        let key = (database.to_string(), name.to_string());
        let new = (new_database.to_string(), new_name.to_string());
        let mut session = self.temporary.write();
        if let Some(object) = session.objects.remove(&key) {
            session
                .objects
                .insert(new.clone(), renamed(object, new_database, new_name));
        }
        if let Some(partitions) = session.partitions.remove(&key) {
            session.partitions.insert(new, partitions);
        }
    }

    /// Replaces a table or view by what `f` makes of it; of several that change one object at once, each sees what the
    /// one before made.
    ///
    /// # Errors
    /// Those of `f`, which leave it as it is; when there is no such object.
    pub fn change(
        &self,
        database: &str,
        name: &str,
        mut f: impl FnMut(CatalogObject) -> Result<CatalogObject>,
    ) -> Result<()> {
        let key = (database.to_string(), name.to_string());
        if let Some(object) = self.temporary.write().objects.get_mut(&key) {
            *object = f(object.clone())?;
            return Ok(());
        }
        let path = object_file(database, name);
        let missing = || self.require_object(database, name).map(drop);
        self.change_file(&path, missing, |stored: Stored| match stored.object() {
            Some(object) => f(object),
            // It has another name by now.
            None => Err(self.unknown(database, name)),
        })
    }

    /// Replaces a database's definition by what `f` makes of it.
    pub fn change_database(
        &self,
        name: &str,
        mut f: impl FnMut(DatabaseDefinition) -> Result<DatabaseDefinition>,
    ) -> Result<()> {
        if let Some(database) = self.temporary.write().databases.get_mut(name) {
            *database = f(database.clone())?;
            return Ok(());
        }
        let before = self.require_open_database(name)?;
        let path = database_file(name);
        if name == DEFAULT_DATABASE && self.warehouse.head(&path)?.is_none() {
            // It was there without a file. When somebody makes one meanwhile, that is changed.
            if self.write(&path, &f(before)?, IfExists::Error)? {
                return Ok(());
            }
        }
        self.change_file(&path, || self.require_database(name).map(drop), &mut f)
    }

    /// The registered partitions of a table; `None` when none was ever registered, so that its folders tell them.
    pub fn partitions(&self, database: &str, name: &str) -> Result<Option<Vec<PartitionDefinition>>> {
        let key = (database.to_string(), name.to_string());
        let session = self.temporary.read();
        match session.objects.contains_key(&key) {
            true => Ok(session.partitions.get(&key).cloned()),
            false => self.read(&partitions_file(database, name)),
        }
    }

    /// Replaces the registered partitions of a table by what `f` makes of them: nothing when it leaves `None`.
    ///
    /// # Errors
    /// Those of `f`, which leave them as they are; when there is no such table.
    pub fn change_partitions(
        &self,
        database: &str,
        name: &str,
        mut f: impl FnMut(&mut Option<Vec<PartitionDefinition>>) -> Result<()>,
    ) -> Result<()> {
        let key = (database.to_string(), name.to_string());
        let mut session = self.temporary.write();
        if session.objects.contains_key(&key) {
            let mut partitions = session.partitions.get(&key).cloned();
            f(&mut partitions)?;
            match partitions {
                Some(partitions) => session.partitions.insert(key, partitions),
                None => session.partitions.remove(&key),
            };
            return Ok(());
        }
        drop(session);
        self.require_object(database, name)?;
        let path = partitions_file(database, name);
        for _ in 0..TRIES {
            let version = self.warehouse.read_version(&path)?;
            let before = version.as_ref().map(|v| self.parse(&path, v.content())).transpose()?;
            let mut partitions = before.clone();
            f(&mut partitions)?;
            let done = match (partitions, version) {
                (partitions, _) if partitions == before => true,
                (Some(partitions), None) => self.warehouse.create(&path, partition_lines(&partitions)?)?,
                (Some(partitions), Some(version)) => {
                    self.warehouse.replace(&path, partition_lines(&partitions)?, &version)?
                }
                (None, _) => self.remove(path.clone()).map(|()| true)?,
            };
            if done {
                return Ok(());
            }
        }
        Err(busy(name))
    }

    /// Replaces a file by what `f` makes of its content, unless somebody else replaces it at the same time: then again.
    /// `missing` gives the error when there is no such file.
    fn change_file<T: DeserializeOwned, C: Serialize>(
        &self,
        path: &str,
        missing: impl Fn() -> Result<()>,
        mut f: impl FnMut(T) -> Result<C>,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let Some(version) = self.warehouse.read_version(path)? else {
                missing()?;
                continue;
            };
            let changed = f(self.parse(path, version.content())?)?;
            if self.warehouse.replace(path, text_of(&changed)?, &version)? {
                return Ok(());
            }
        }
        Err(busy(path))
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, path: &str, content: &[u8]) -> Result<T> {
        let shown = || self.warehouse.shown(path);
        serde_json::from_slice(content).map_err(|e| Error::bad_file(format!("catalog file {}: {e}", shown())))
    }

    /// `None` when there is no such file.
    pub(super) fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let content = self.warehouse.read(path)?;
        content.map(|content| self.parse(path, &content)).transpose()
    }

    /// All JSON files of a folder.
    fn read_all<T: DeserializeOwned>(&self, folder: &str) -> Result<Vec<T>> {
        let (names, _) = self.warehouse.children(folder)?;
        let json = names
            .into_iter()
            .filter(|name| name.ends_with(".json") && !name.starts_with('.'));
        let paths: Vec<String> = json.map(|name| format!("{folder}/{name}")).collect();
        let contents = self.warehouse.read_many(&paths)?;
        let found = paths
            .iter()
            .zip(contents)
            .filter_map(|(path, content)| Some((path, content?)));
        found.map(|(path, content)| self.parse(path, &content)).collect()
    }

    /// False when the file exists and is not to be replaced.
    fn write<T: Serialize>(&self, path: &str, value: &T, if_exists: IfExists) -> Result<bool> {
        let text = text_of(value)?;
        let written = match if_exists {
            IfExists::Error => self.warehouse.create(path, text),
            IfExists::Replace => self.warehouse.write(path, text).map(|()| true),
        };
        written.map_err(|e| match e.kind() {
            ErrorKind::Storage => e.with_hint("the catalog is in the warehouse folder; --warehouse names another one"),
            _ => e,
        })
    }

    /// A file that is gone already was removed by somebody else, which is as well.
    fn remove(&self, path: String) -> Result<()> {
        self.warehouse.delete(&[path])
    }

    /// Whether the object ends with the session.
    pub fn is_temporary(&self, database: &str, name: &str) -> bool {
        self.temporary
            .read()
            .objects
            .contains_key(&(database.to_string(), name.to_string()))
    }

    /// The folder for a managed table's files.
    pub fn managed_location(&self, database: &str, name: &str) -> Result<String> {
        let folder = match self.require_database(database)?.location {
            Some(location) => location,
            None => self.warehouse.shown(&file_name(database)),
        };
        Ok(format!("{}/{}", folder.trim_end_matches('/'), file_name(name)))
    }
}

const DATABASES: &str = "_catalog/databases";
/// What is being done to files and entries together, below the warehouse.
pub(super) const PENDING: &str = "_catalog/pending";
/// How often a change is made anew when others change the same at the same time.
pub(super) const TRIES: usize = 100;

pub(super) fn busy(what: &str) -> Error {
    Error::conflict(format!("{what} is changed by others all the time")).with_hint("run the statement again")
}

fn objects_folder(database: &str) -> String {
    format!("_catalog/objects/{}", file_name(database))
}

fn database_file(name: &str) -> String {
    format!("{DATABASES}/{}.json", file_name(name))
}

pub(super) fn object_file(database: &str, name: &str) -> String {
    format!("{}/{}.json", objects_folder(database), file_name(name))
}

pub(super) fn partitions_file(database: &str, name: &str) -> String {
    format!("{}/{}.partitions", objects_folder(database), file_name(name))
}

pub(super) fn text_of<T: Serialize>(value: &T) -> Result<Bytes> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::internal(format!("catalog file: {e}")))?;
    Ok((text + "\n").into())
}

/// A list in JSON with one partition per line.
fn partition_lines(partitions: &[PartitionDefinition]) -> Result<Bytes> {
    let lines = partitions.iter().map(serde_json::to_string);
    let lines: Vec<String> = lines
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| Error::internal(format!("catalog file: {e}")))?;
    Ok(format!("[\n{}\n]\n", lines.join(",\n")).into())
}

/// A name as a file name: anything but letters, digits, `_` and `-` percent-encoded, so that no name leaves its folder.
pub(super) fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let encode = |c: char| match plain(c) {
        true => c.to_string(),
        false => c.to_string().bytes().map(|b| format!("%{b:02X}")).collect(),
    };
    name.chars().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::super::definition::ViewDefinition;
    use super::*;

    fn table(name: &str) -> CatalogObject {
        CatalogObject::Table(TableDefinition {
            database: DEFAULT_DATABASE.into(),
            name: name.into(),
            format: "PARQUET".into(),
            ..Default::default()
        })
    }

    #[test]
    fn objects_are_remembered_and_names_are_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("lake").to_str().unwrap().to_string();
        let catalog = Catalog::new(&root).unwrap();
        assert!(catalog.object("default", "t").unwrap().is_none());
        assert!(!dir.path().join("lake").exists(), "reading makes no folder");
        catalog.create(table("t"), IfExists::Error, false).unwrap();
        catalog.create(table("../x y"), IfExists::Error, false).unwrap();
        assert!(catalog.create(table("t"), IfExists::Error, false).is_err());
        let again = Catalog::new(&root).unwrap();
        assert_eq!(again.object("default", "t").unwrap(), Some(table("t")));
        assert_eq!(again.objects("default").unwrap().len(), 2);
        let view = CatalogObject::View(ViewDefinition {
            database: DEFAULT_DATABASE.into(),
            name: "t".into(),
            ..Default::default()
        });
        assert!(
            again.create(view, IfExists::Replace, false).is_err(),
            "a view does not replace a table"
        );
        again.drop("default", "t").unwrap();
        assert!(catalog.object("default", "t").unwrap().is_none());
        let error = catalog.require_object("defalt", "t").unwrap_err();
        assert!(error.hint().unwrap().contains("default"), "{error}");
    }

    #[test]
    fn changes_of_many_at_once_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        Catalog::new(root)
            .unwrap()
            .create(table("t"), IfExists::Error, false)
            .unwrap();
        let change = |i: usize| {
            let catalog = Catalog::new(root).unwrap();
            let property = |object| match object {
                CatalogObject::Table(mut t) => {
                    t.properties.insert(format!("p{i}"), "1".into());
                    Ok(CatalogObject::Table(t))
                }
                view => Ok(view),
            };
            catalog.change("default", "t", property).unwrap();
            let partition = |all: &mut Option<Vec<PartitionDefinition>>| {
                let values = vec![Some(i.to_string()), None];
                all.get_or_insert_default()
                    .push(PartitionDefinition { values, location: None });
                Ok(())
            };
            catalog.change_partitions("default", "t", partition).unwrap();
        };
        std::thread::scope(|scope| (0..8).for_each(|i| drop(scope.spawn(move || change(i)))));
        let catalog = Catalog::new(root).unwrap();
        let Some(CatalogObject::Table(changed)) = catalog.object("default", "t").unwrap() else {
            panic!("the table is there");
        };
        assert_eq!(changed.properties.len(), 8);
        assert_eq!(catalog.partitions("default", "t").unwrap().unwrap().len(), 8);
        catalog.drop("default", "t").unwrap();
        assert!(catalog.partitions("default", "t").unwrap().is_none());
        assert!(catalog.change("default", "t", Ok).is_err());
        assert_eq!(catalog.objects("default").unwrap().len(), 0);
    }

    #[test]
    fn temporary_objects_hide_others_and_write_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(dir.path().join("lake").to_str().unwrap()).unwrap();
        catalog.create(table("t"), IfExists::Replace, true).unwrap();
        catalog.create(table("t"), IfExists::Replace, true).unwrap();
        assert!(catalog.is_temporary("default", "t"));
        assert_eq!(catalog.objects("default").unwrap().len(), 1);
        assert!(!dir.path().join("lake").exists());
    }

    #[test]
    fn databases() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(dir.path().to_str().unwrap()).unwrap();
        let sales = DatabaseDefinition {
            name: "sales".into(),
            ..Default::default()
        };
        catalog.create_database(sales.clone(), false).unwrap();
        assert!(catalog.create_database(sales, false).is_err());
        let names: Vec<String> = catalog.databases().unwrap().into_iter().map(|d| d.name).collect();
        assert_eq!(names, ["default", "information_schema", "sales"]);
        catalog.drop_database("sales").unwrap();
        assert!(catalog.drop_database("sales").is_err());
        assert!(catalog.drop_database("default").is_err());
    }

    #[test]
    fn of_many_who_create_the_same_one_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        let won = std::thread::scope(|scope| {
            let create = || {
                Catalog::new(root)
                    .unwrap()
                    .create(table("t"), IfExists::Error, false)
                    .is_ok()
            };
            let all: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
            all.into_iter().map(|t| t.join().unwrap()).filter(|ok| *ok).count()
        });
        assert_eq!(won, 1);
    }
}
