//! Where databases, tables and views are remembered.
//!
//! ```text
//! lakehouse/
//!   _catalog/databases/sales.json        one file per database,
//!   _catalog/objects/sales/orders.json   … per table or view
//!   _catalog/objects/sales/orders.partitions   … per table with registered partitions
//!   _catalog/pending/                    what is being done to files and entries together (`journal.rs`)
//!   sales/orders/…                       files of managed tables
//! ```
//!
//! A file appears or is replaced by one rename and a name is taken by one exclusive creation, so processes that share a
//! warehouse see an object or do not, and of two that create the same one fails. Nothing is kept in memory but temporary
//! objects, which hide those on disk and end with the session. No folder is made before something is to be remembered.

use super::definition::{CatalogObject, DatabaseDefinition, PartitionDefinition, TableDefinition};
use super::journal;
use crate::error::{Error, Result};
use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

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
    warehouse: PathBuf,
    temporary: RwLock<Temporary>,
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
        let warehouse = crate::storage::absolute_path(warehouse)?;
        if warehouse.contains("://") {
            return Err(Error::unsupported(format!("a warehouse at {warehouse}")).with_hint("use a local folder"));
        }
        Ok(Self {
            warehouse: warehouse.into(),
            temporary: RwLock::default(),
        })
    }

    pub fn warehouse(&self) -> &Path {
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
        for path in files_in(&self.databases_folder())? {
            if let Some(database) = read::<DatabaseDefinition>(&path)? {
                all.insert(database.name.clone(), database);
            }
        }
        all.extend(self.temporary.read().databases.clone());
        Ok(all.into_values().collect())
    }

    /// The database of that name.
    pub fn database(&self, name: &str) -> Result<Option<DatabaseDefinition>> {
        if let Some(found) = self.temporary.read().databases.get(name) {
            return Ok(Some(found.clone()));
        }
        let found = read(&self.database_file(name))?;
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
        match write(&self.database_file(&database.name), &database, IfExists::Error)? {
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
            remove(&self.database_file(name))?;
            // Empty by now, unless somebody creates a table this very moment; then it stays.
            let _ = std::fs::remove_dir(self.objects_folder(name));
        }
        Ok(())
    }

    /// The tables and views of a database, by name.
    pub fn objects(&self, database: &str) -> Result<Vec<CatalogObject>> {
        journal::recover(self);
        let mut all = BTreeMap::new();
        for path in files_in(&self.objects_folder(database))? {
            if let Some(object) = read::<CatalogObject>(&path)? {
                all.insert(object.name().to_string(), object);
            }
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
        let path = self.object_file(database, name);
        match read(&path)? {
            // Its maker may have died just before it would have been there.
            None if journal::recover(self) => read(&path),
            found => Ok(found),
        }
    }

    /// Whether there is an entry of that name.
    pub(super) fn is_remembered(&self, database: &str, name: &str) -> bool {
        self.object_file(database, name).exists()
    }

    /// Remembers a table whose files are there already.
    ///
    /// # Errors
    /// `Conflict` when the name was taken meanwhile.
    pub(super) fn add_entry(&self, table: TableDefinition) -> Result<()> {
        let path = self.object_file(&table.database, &table.name);
        let name = format!("{}.{}", table.database, table.name);
        let entry = CatalogObject::Table(table);
        if write(&path, &entry, IfExists::Error)? || read(&path)?.is_some_and(|existing| entry == existing) {
            return Ok(());
        }
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
        match write(&self.object_file(&database, &name), &object, if_exists)? {
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
        if !self.is_remembered(database, name) {
            return Ok(());
        }
        let _lock = self.lock()?;
        remove(&self.object_file(database, name))?;
        remove(&self.partitions_file(database, name))
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
        // A name that is not there makes no folder for the lock.
        self.require_object(database, name)?;
        let _lock = self.lock()?;
        let changed = f(self.require_object(database, name)?)?;
        write(&self.object_file(database, name), &changed, IfExists::Replace)?;
        Ok(())
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
        self.require_open_database(name)?;
        let _lock = self.lock()?;
        let changed = f(self.require_database(name)?)?;
        write(&self.database_file(name), &changed, IfExists::Replace)?;
        Ok(())
    }

    /// The registered partitions of a table; `None` when none was ever registered, so that its folders tell them.
    pub fn partitions(&self, database: &str, name: &str) -> Result<Option<Vec<PartitionDefinition>>> {
        let key = (database.to_string(), name.to_string());
        let session = self.temporary.read();
        match session.objects.contains_key(&key) {
            true => Ok(session.partitions.get(&key).cloned()),
            false => read(&self.partitions_file(database, name)),
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
        let _lock = self.lock()?;
        let path = self.partitions_file(database, name);
        let before = read(&path)?;
        let mut partitions = before.clone();
        f(&mut partitions)?;
        match partitions {
            _ if partitions == before => Ok(()),
            Some(partitions) => write_text(&path, &partition_lines(&partitions)?, IfExists::Replace).map(|_| ()),
            None => remove(&path),
        }
    }

    /// Held while something that exists is changed, so that of two changes none is lost.
    fn lock(&self) -> Result<std::fs::File> {
        let folder = self.warehouse.join("_catalog");
        std::fs::create_dir_all(&folder).map_err(|e| at(&folder, e))?;
        let path = folder.join("change.lock");
        let file = std::fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| at(&path, e))?;
        file.lock().map_err(|e| at(&path, e))?;
        Ok(file)
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
            None => self.warehouse.join(file_name(database)).to_string_lossy().into_owned(),
        };
        Ok(format!("{}/{}", folder.trim_end_matches('/'), file_name(name)))
    }

    pub(super) fn pending_folder(&self) -> PathBuf {
        self.warehouse.join("_catalog/pending")
    }

    fn databases_folder(&self) -> PathBuf {
        self.warehouse.join("_catalog/databases")
    }

    fn objects_folder(&self, database: &str) -> PathBuf {
        self.warehouse.join("_catalog/objects").join(file_name(database))
    }

    fn database_file(&self, name: &str) -> PathBuf {
        self.databases_folder().join(file_name(name) + ".json")
    }

    fn object_file(&self, database: &str, name: &str) -> PathBuf {
        self.objects_folder(database).join(file_name(name) + ".json")
    }

    fn partitions_file(&self, database: &str, name: &str) -> PathBuf {
        self.objects_folder(database).join(file_name(name) + ".partitions")
    }
}

/// A list in JSON with one partition per line.
fn partition_lines(partitions: &[PartitionDefinition]) -> Result<String> {
    let lines = partitions.iter().map(serde_json::to_string);
    let lines: Vec<String> = lines
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| Error::internal(format!("catalog file: {e}")))?;
    Ok(format!("[\n{}\n]", lines.join(",\n")))
}

/// A name as a file name: anything but letters, digits, `_` and `-` percent-encoded, so that no name leaves its folder.
fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let encode = |c: char| match plain(c) {
        true => c.to_string(),
        false => c.to_string().bytes().map(|b| format!("%{b:02X}")).collect(),
    };
    name.chars().map(encode).collect()
}

/// The JSON files of a folder; none when there is no folder.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(at(folder, e)),
    };
    let mut paths = vec![];
    for entry in entries {
        let path = entry.map_err(|e| at(folder, e))?.path();
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|e| e == "json") {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// `None` when there is no such file.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(e) => Err(Error::bad_file(format!("catalog file {}: {e}", path.display()))),
        },
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(at(path, e)),
    }
}

/// Puts a file in its place by one rename. False when it exists and is not to be replaced.
fn write<T: Serialize>(path: &Path, value: &T, if_exists: IfExists) -> Result<bool> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::internal(format!("catalog file: {e}")))?;
    write_text(path, &text, if_exists)
}

fn write_text(path: &Path, text: &str, if_exists: IfExists) -> Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| at(folder, e))?;
    let temp = || -> std::io::Result<tempfile::NamedTempFile> {
        let mut temp = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        temp.write_all(text.as_bytes())?;
        temp.write_all(b"\n")?;
        temp.as_file().sync_all()?;
        Ok(temp)
    };
    let temp = temp().map_err(|e| at(folder, e))?;
    let placed = match if_exists {
        IfExists::Error => temp.persist_noclobber(path),
        IfExists::Replace => temp.persist(path),
    };
    match placed {
        Ok(_) => {}
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(e) => return Err(at(path, e.error)),
    }
    let sync = std::fs::File::open(folder).and_then(|f| f.sync_all());
    sync.map_err(|e| at(folder, e))?;
    Ok(true)
}

/// A file that is gone already was removed by somebody else, which is as well.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(at(path, e)),
        _ => Ok(()),
    }
}

fn at(path: &Path, e: std::io::Error) -> Error {
    let error = Error::storage(format!("{}: {e}", path.display()));
    match e.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            error.with_hint("the catalog is in the warehouse folder; --warehouse names another one")
        }
        _ => error,
    }
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
