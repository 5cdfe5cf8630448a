//! Tables and views that get another name, in one step although each name has a file of its own.
//!
//! ```text
//! _catalog/pending/ID.json   what is intended
//! objects/db/old.json        becomes {kind: moved, database, name, object}: from here on the object has its new name
//! objects/db/new.partitions  made from the partitions of the old name
//! objects/db/new.json        created if absent
//! objects/db/old.json        goes, and old.partitions
//! ```
//!
//! Replacing the old entry while it is what was read is the commit. Whoever finds a moved entry, or a journal that leads to
//! one, does the rest. When the new name was taken between, the old entry is put back.
//!
//! Files of a table stay where they are. A table that comes to the old name later has to know that its folder is taken, so
//! each location that its table's name does not tell has a note of its own below `_catalog/taken`.

use super::definition::{CatalogObject, TableDefinition};
use super::journal::Journal;
use super::store::{Catalog, Stored, TRIES, busy, file_name, object_file, partitions_file, text_of};
use crate::error::{Error, Result};
use crate::storage::Folder;
use bytes::Bytes;

const TAKEN: &str = "_catalog/taken";

impl Catalog {
    /// Gives a table or view another name, perhaps in another database.
    ///
    /// # Errors
    /// When there is no such object, or the new name is taken.
    pub fn rename(&self, database: &str, name: &str, new_database: &str, new_name: &str) -> Result<()> {
        self.require_open_database(new_database)?;
        let temporary = self.is_temporary(database, name);
        // A temporary object hides others.
        if (!temporary || self.is_temporary(new_database, new_name))
            && let Some(existing) = self.object(new_database, new_name)?
        {
            return Err(taken(&existing));
        }
        if temporary {
            self.rename_temporary(database, name, new_database, new_name);
            return Ok(());
        }
        // Partitions of a table that is no more, whose removal was interrupted.
        self.warehouse().delete(&[partitions_file(new_database, new_name)])?;
        let path = object_file(database, name);
        for _ in 0..TRIES {
            let object = self.require_object(database, name)?;
            let Some(version) = self.warehouse().read_version(&path)? else {
                continue;
            };
            if self.parse::<Stored>(&path, version.content())? != Stored::from(object.clone()) {
                continue;
            }
            let object = renamed(object, new_database, new_name);
            if let CatalogObject::Table(table) = &object {
                self.note_location(table, true)?;
            }
            let moved = Stored::Moved {
                database: database.into(),
                name: name.into(),
                object: Box::new(object),
            };
            let journal = Journal::rename(self, (database, name), (new_database, new_name))?;
            let replaced = self.warehouse().replace(&path, text_of(&moved)?, &version);
            let done = match replaced {
                Ok(true) => self.finish_rename(database, name).map(drop),
                Ok(false) => Ok(()),
                Err(ref e) => Err(e.clone()),
            };
            // After an error the journal stays for whoever finds out how far it came.
            if done.is_ok() || matches!(replaced, Ok(false)) {
                journal.done();
            }
            done?;
            if matches!(replaced, Ok(true)) {
                return Ok(());
            }
        }
        Err(busy(name))
    }

    /// Does what is left to do of a move from a name; false when nothing was moved from there.
    ///
    /// # Errors
    /// `Plan` when the new name was taken meanwhile: then the old one is as before.
    pub(super) fn finish_rename(&self, database: &str, name: &str) -> Result<bool> {
        let (path, partitions) = (object_file(database, name), partitions_file(database, name));
        let Some(version) = self.warehouse().read_version(&path)? else {
            return Ok(false);
        };
        let Stored::Moved { object, .. } = self.parse::<Stored>(&path, version.content())? else {
            return Ok(false);
        };
        let new_path = object_file(object.database(), object.name());
        let new_partitions = partitions_file(object.database(), object.name());
        let found = self.warehouse().read_many(&[new_path.clone(), partitions.clone()])?;
        let (existing, list) = (found.first().cloned().flatten(), found.get(1).cloned().flatten());
        let mut existing = existing
            .map(|text| self.parse::<Stored>(&new_path, &text))
            .transpose()?;
        if existing.is_none() {
            if let Some(list) = &list {
                self.warehouse().create(&new_partitions, list.clone())?;
            }
            let stored = Stored::from((*object).clone());
            existing = match self.warehouse().create(&new_path, text_of(&stored)?)? {
                true => Some(stored),
                false => self.read(&new_path)?,
            };
        }
        if existing.is_some_and(|existing| is_it(&existing, &object)) {
            // Somebody else may have done so, and the old name be another object's by now.
            if self.read::<Stored>(&path)?.is_some_and(|now| now.is_moved()) {
                self.warehouse().delete(&[partitions, path])?;
            }
            return Ok(true);
        }
        if let Some(list) = &list {
            self.take_back(&new_partitions, list)?;
        }
        let before = Stored::from(renamed((*object).clone(), database, name));
        self.warehouse().replace(&path, text_of(&before)?, &version)?;
        Err(taken(&object))
    }

    /// Removes a file that still has the content that it was made with.
    fn take_back(&self, path: &str, content: &Bytes) -> Result<()> {
        match self.warehouse().read(path)? {
            Some(now) if now == *content => self.warehouse().delete(&[path.to_string()]),
            _ => Ok(()),
        }
    }

    /// Whether a folder for a new table has files of a table with another name.
    pub fn is_taken(&self, location: &str) -> Result<bool> {
        Ok(self.warehouse().head(&taken_file(location))?.is_some())
    }

    /// Gives a table another folder. Its files stay in the old one, which nobody's new table gets as long as they do.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn set_location(&self, database: &str, name: &str, location: &str) -> Result<()> {
        let at = |object| match object {
            CatalogObject::Table(table) => Ok(CatalogObject::Table(TableDefinition {
                location: location.to_string(),
                ..table
            })),
            view => Ok(view),
        };
        let before = match self.require_object(database, name)? {
            CatalogObject::Table(table) if !self.is_temporary(database, name) && table.location != location => table,
            _ => return self.change(database, name, at),
        };
        if let CatalogObject::Table(after) = at(CatalogObject::Table(before.clone()))? {
            self.note_location(&after, false)?;
        }
        if !self.may_be_taken(&before) {
            return self.change(database, name, at);
        }
        self.note_location(&before, true)?;
        self.change(database, name, at)?;
        match Folder::parse(&before.location)?.list("")?.is_empty() {
            true => self.forget_location(&before.location),
            false => Ok(()),
        }
    }

    /// Notes that a table's folder is taken, unless its name tells. `moved` says that another table may get that name.
    pub(super) fn note_location(&self, table: &TableDefinition, moved: bool) -> Result<()> {
        let own_name = table.location.rsplit('/').next() == Some(&file_name(&table.name));
        if (own_name && !moved) || !self.may_be_taken(table) {
            return Ok(());
        }
        let text = table.location.clone() + "\n";
        self.warehouse().write(&taken_file(&table.location), text.into())
    }

    /// Whether a managed table could get the folder of this one.
    fn may_be_taken(&self, table: &TableDefinition) -> bool {
        !table.external || table.location.starts_with(&self.warehouse().shown(""))
    }

    /// A folder is no more taken.
    pub(super) fn forget_location(&self, location: &str) -> Result<()> {
        self.warehouse().delete(&[taken_file(location)])
    }

    /// Forgets a table and that its folder is taken; its files are the caller's to remove.
    pub(super) fn drop_table(&self, table: &TableDefinition) -> Result<()> {
        self.drop(&table.database, &table.name)?;
        self.forget_location(&table.location)
    }
}

fn taken(object: &CatalogObject) -> Error {
    let (database, name) = (object.database(), object.name());
    Error::plan(format!("{} \"{database}.{name}\" exists already", object.kind()))
}

/// Names of folders are too long and have too many kinds of characters for names of files.
fn taken_file(location: &str) -> String {
    use md5::Digest;
    let digest = md5::Md5::digest(location.trim_end_matches('/').as_bytes());
    let name: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    format!("{TAKEN}/{name}")
}

pub(super) fn renamed(object: CatalogObject, database: &str, name: &str) -> CatalogObject {
    let (database, name) = (database.to_string(), name.to_string());
    match object {
        CatalogObject::Table(table) => CatalogObject::Table(TableDefinition {
            database,
            name,
            ..table
        }),
        CatalogObject::View(view) => CatalogObject::View(super::ViewDefinition { database, name, ..view }),
    }
}

/// Whether what has the new name is what was moved there; it may have been changed since.
fn is_it(existing: &Stored, moved: &CatalogObject) -> bool {
    match (existing, moved) {
        (Stored::Table(now), CatalogObject::Table(then)) => now.location == then.location,
        (Stored::View(now), CatalogObject::View(then)) => now == then,
        _ => false,
    }
}
