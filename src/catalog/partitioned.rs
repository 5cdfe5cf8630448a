//! Tables in partitions. Which partitions there are is known before a query is planned or found folder by folder; the
//! files of those that a query wants are listed when its conditions on the keys are known.
//!
//! ```text
//! projected    TBLPROPERTIES say the values; nothing else is looked at     ─┐
//! registered   ADD PARTITION, MSCK or an INSERT told the catalog            ├─▶ those that the filter keeps ─▶ files
//! in folders   neither: the folders k=v/… tell, level by level, filtered   ─┘
//! ```

use super::definition::{PartitionDefinition, TableDefinition};
use super::partitions::{partition_folder, partition_keys, partition_value};
use super::projection::Projection;
use super::resolve::{declared_columns, published};
use super::table::{PartitionCounts, TableColumn};
use super::{PartitionFilter, TableName};
use crate::error::{Error, Result};
use crate::storage::{Location, ObjectFile, exists, list, list_each, walk_folders};
use crate::types::{ScalarValue, type_name};
use parking_lot::Mutex;
use std::collections::HashMap;

/// From so many wanted partitions on, if they are at least half of all, the table's folder is listed as a whole.
const MANY: usize = 32;

/// A table in partitions before its files are listed.
#[derive(Debug)]
pub struct PartitionedTable {
    pub(super) definition: TableDefinition,
    name: TableName,
    /// The partition columns.
    keys: Vec<TableColumn>,
    source: PartitionSource,
    pub(super) threads: usize,
}

/// Who knows the partitions of a table.
#[derive(Debug)]
enum PartitionSource {
    Projected(Projection),
    Registered(Vec<PartitionDefinition>),
    Folders,
}

/// A partition of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TablePartition {
    /// One text per key; `None` is NULL.
    pub texts: Vec<Option<String>>,
    /// The same as values of the keys' types.
    pub values: Vec<ScalarValue>,
    /// Its folder.
    pub location: String,
}

/// The partitions that a filter keeps, and how many there are in all.
#[derive(Debug)]
pub struct FoundPartitions {
    pub partitions: Vec<TablePartition>,
    pub counts: PartitionCounts,
}

/// A file and the values of the partition it is in.
pub(super) type PartitionFile = (ObjectFile, Vec<ScalarValue>);

impl PartitionedTable {
    /// `registered` are the partitions that the catalog knows, if it decides.
    ///
    /// # Errors
    /// When the properties of a partition projection do not fit together.
    pub fn new(
        definition: &TableDefinition,
        registered: Option<Vec<PartitionDefinition>>,
        threads: usize,
    ) -> Result<Self> {
        let mut table = Self::without_projection(definition, registered, threads)?;
        if let Some(projection) = Projection::of(definition)? {
            table.source = PartitionSource::Projected(projection);
        }
        Ok(table)
    }

    /// The same without regard to a projection, as SHOW PARTITIONS and MSCK see the table.
    pub fn without_projection(
        definition: &TableDefinition,
        registered: Option<Vec<PartitionDefinition>>,
        threads: usize,
    ) -> Result<Self> {
        let source = match registered {
            Some(partitions) => PartitionSource::Registered(partitions),
            None => PartitionSource::Folders,
        };
        Ok(Self {
            name: TableName {
                database: Some(definition.database.as_str().into()),
                name: definition.name.as_str().into(),
            },
            keys: declared_columns(&definition.partitioned_by)?,
            definition: definition.clone(),
            source,
            threads,
        })
    }

    /// The partition columns, in order.
    pub fn keys(&self) -> &[TableColumn] {
        &self.keys
    }

    /// How the partitions are known: for DESCRIBE.
    pub fn known_by(&self) -> &'static str {
        match self.source {
            PartitionSource::Projected(_) => "projection (table properties)",
            PartitionSource::Registered(_) => "catalog (registered)",
            PartitionSource::Folders => "folders (none registered)",
        }
    }

    /// The partitions that may have rows for the filter, in the order of their folders or as registered.
    ///
    /// # Errors
    /// When folders cannot be listed or a value is none of its key's type.
    pub fn partitions(&self, filter: &PartitionFilter) -> Result<FoundPartitions> {
        match &self.source {
            PartitionSource::Projected(projection) => projection.partitions(&self.definition, &self.keys, filter),
            PartitionSource::Registered(all) => self.registered(all, filter),
            PartitionSource::Folders => self.in_folders(filter),
        }
    }

    fn registered(&self, all: &[PartitionDefinition], filter: &PartitionFilter) -> Result<FoundPartitions> {
        let mut partitions = vec![];
        for partition in all {
            let values = self.values(&self.definition.location, &partition.values)?;
            if !self.keeps(filter, &values) {
                continue;
            }
            partitions.push(TablePartition {
                location: match &partition.location {
                    Some(location) => location.clone(),
                    None => default_location(&self.definition, &partition.values),
                },
                texts: partition.values.clone(),
                values,
            });
        }
        Ok(FoundPartitions {
            counts: PartitionCounts {
                read: partitions.len(),
                known: all.len(),
                complete: true,
            },
            partitions,
        })
    }

    fn keeps(&self, filter: &PartitionFilter, values: &[ScalarValue]) -> bool {
        filter.is_empty() || filter.may_match(&values.iter().cloned().map(Some).collect::<Vec<_>>())
    }

    /// Values of the keys' types from their texts.
    fn values(&self, location: &str, texts: &[Option<String>]) -> Result<Vec<ScalarValue>> {
        let value = |(column, text): (&TableColumn, &Option<String>)| {
            partition_value(location, &column.name, text.as_deref(), &column.data_type)
        };
        self.keys.iter().zip(texts).map(value).collect()
    }

    /// What the folders on the way to `path` say about each key: `None` for nothing yet.
    fn texts_of(&self, path: &str) -> Vec<Option<Option<String>>> {
        let found = partition_keys(&format!("{path}/"));
        let text = |column: &TableColumn| {
            let mut from_the_end = found.iter().rev();
            from_the_end
                .find(|(k, _)| k.eq_ignore_ascii_case(&column.name))
                .map(|(_, text)| text.clone())
        };
        self.keys.iter().map(text).collect()
    }

    /// The partitions in the folders below the table's location, and what is there besides, each with the reason why it
    /// is no partition.
    pub fn folders(&self, filter: &PartitionFilter) -> Result<(FoundPartitions, Vec<String>)> {
        let location = Location::exact(&self.definition.location)?;
        let base = location.base().trim_end_matches('/').to_string();
        let state = Mutex::new((vec![], vec![]));
        let visit = |path: &str| {
            let folder = path.rsplit('/').next().unwrap_or(path);
            let mut state = state.lock();
            let Some((name, text)) = partition_keys(&format!("{folder}/")).pop() else {
                state.1.push(format!("{base}/{path}: not of the form key=value"));
                return false;
            };
            let Some(key) = self.keys.iter().find(|k| k.name.eq_ignore_ascii_case(&name)) else {
                state
                    .1
                    .push(format!("{base}/{path}: the table has no partition column \"{name}\""));
                return false;
            };
            if partition_value(path, &key.name, text.as_deref(), &key.data_type).is_err() {
                let (text, of) = (text.unwrap_or_default(), type_name(&key.data_type));
                state
                    .1
                    .push(format!("{base}/{path}: \"{text}\" is not a value of type {of}"));
                return false;
            }
            let texts = self.texts_of(path);
            let known: Vec<Option<ScalarValue>> = texts
                .iter()
                .zip(&self.keys)
                .map(|(text, key)| partition_value(path, &key.name, text.as_ref()?.as_deref(), &key.data_type).ok())
                .collect();
            if !filter.may_match(&known) {
                return false;
            }
            let all: Option<Vec<Option<String>>> = texts.into_iter().collect();
            match all {
                Some(texts) => {
                    state.0.push((path.to_string(), texts));
                    false
                }
                None => true,
            }
        };
        let strays = walk_folders(&location, &visit)?;
        let (mut found, mut skipped): (Vec<(String, Vec<Option<String>>)>, Vec<String>) = state.into_inner();
        let stray = |file: &ObjectFile| format!("{}: a file outside of the partitions' folders", file.location);
        skipped.extend(strays.iter().map(stray));
        skipped.sort();
        found.sort();
        let partition = |(path, texts): (String, Vec<Option<String>>)| {
            Ok(TablePartition {
                values: self.values(&path, &texts)?,
                location: format!("{base}/{path}"),
                texts,
            })
        };
        let partitions: Vec<TablePartition> = found.into_iter().map(partition).collect::<Result<_>>()?;
        let counts = PartitionCounts {
            read: partitions.len(),
            known: partitions.len(),
            complete: filter.is_empty(),
        };
        Ok((FoundPartitions { partitions, counts }, skipped))
    }

    /// Goes down folder by folder, only where the filter may be true.
    fn in_folders(&self, filter: &PartitionFilter) -> Result<FoundPartitions> {
        let location = Location::exact(&self.definition.location)?;
        let base = location.base().trim_end_matches('/').to_string();
        let state = Mutex::new((vec![], 0usize, true));
        let visit = |path: &str| {
            let texts = self.texts_of(path);
            let known: Vec<Option<ScalarValue>> = texts
                .iter()
                .zip(&self.keys)
                .map(|(text, key)| partition_value(path, &key.name, text.as_ref()?.as_deref(), &key.data_type).ok())
                .collect();
            let leaf = texts.iter().all(Option::is_some);
            let wanted = filter.may_match(&known);
            let mut state = state.lock();
            match (leaf, wanted) {
                (true, true) => state.0.push((path.to_string(), texts.into_iter().flatten().collect())),
                (true, false) => state.1 += 1,
                (false, false) => {
                    state.1 += 1;
                    state.2 = false;
                }
                (false, true) => {}
            }
            !leaf && wanted
        };
        let strays = walk_folders(&location, &visit)?;
        if let Some(stray) = strays.first() {
            return Err(self.outside(stray));
        }
        let (mut found, left_out, complete): (Vec<(String, Vec<Option<String>>)>, usize, bool) = state.into_inner();
        found.sort();
        if found.is_empty() && left_out == 0 && self.definition.external && !exists(&location)? {
            let missing = list(&location).map(|_| ());
            missing.map_err(|e| e.context(format!("table {}", self.name)))?;
        }
        let partition = |(path, texts): (String, Vec<Option<String>>)| {
            let location = format!("{base}/{path}");
            Ok(TablePartition {
                values: self.values(&location, &texts)?,
                texts,
                location,
            })
        };
        let partitions: Vec<TablePartition> = found.into_iter().map(partition).collect::<Result<_>>()?;
        Ok(FoundPartitions {
            counts: PartitionCounts {
                read: partitions.len(),
                known: partitions.len() + left_out,
                complete,
            },
            partitions,
        })
    }

    /// The error for a file that is in no partition's folder.
    fn outside(&self, file: &ObjectFile) -> Error {
        let texts = self.texts_of(file.location.rsplit_once('/').map_or("", |(folder, _)| folder));
        let missing = self.keys.iter().zip(&texts).find(|(_, text)| text.is_none());
        Error::bad_file(format!(
            "{} of table {} is not in a folder \"{}=…\"",
            file.location,
            self.name,
            missing.map_or("", |(key, _)| &key.name)
        ))
    }

    /// The files of the partitions that the filter keeps.
    pub(super) fn files(&self, filter: &PartitionFilter) -> Result<(Vec<PartitionFile>, PartitionCounts)> {
        let location = Location::exact(&self.definition.location)?;
        if filter.is_empty() && matches!(self.source, PartitionSource::Folders) {
            return self.all_files(&location);
        }
        let found = self.partitions(filter)?;
        let lists = published(&location, || self.list_partitions(&location, &found))?;
        Ok((lists, found.counts))
    }

    /// Every file below the table's folder, whose folders tell the partitions.
    fn all_files(&self, location: &Location) -> Result<(Vec<PartitionFile>, PartitionCounts)> {
        let files = match published(location, || {
            Ok(list(location)?.into_iter().map(|f| (f, vec![])).collect())
        }) {
            // A managed table without rows has no folder yet.
            Err(_) if !self.definition.external && !exists(location)? => vec![],
            other => other.map_err(|e| e.context(format!("table {}", self.name)))?,
        };
        let mut known: HashMap<Vec<Option<String>>, Vec<ScalarValue>> = HashMap::new();
        let mut all = vec![];
        for (file, _) in files {
            let texts = self.texts_of(file.location.rsplit_once('/').map_or("", |(folder, _)| folder));
            let texts: Option<Vec<Option<String>>> = texts.into_iter().collect();
            let Some(texts) = texts else {
                return Err(self.outside(&file));
            };
            let values = match known.get(&texts) {
                Some(values) => values.clone(),
                None => {
                    let values = self.values(&file.location, &texts)?;
                    known.insert(texts, values.clone());
                    values
                }
            };
            all.push((file, values));
        }
        let counts = PartitionCounts {
            read: known.len(),
            known: known.len(),
            complete: true,
        };
        Ok((all, counts))
    }

    /// The files of the partitions, which need not have any.
    fn list_partitions(&self, location: &Location, found: &FoundPartitions) -> Result<Vec<PartitionFile>> {
        let root = format!("{}/", location.base().trim_end_matches('/'));
        let many = found.partitions.len() >= MANY && found.partitions.len() * 2 >= found.counts.known;
        let (inside, apart): (Vec<&TablePartition>, Vec<&TablePartition>) = found
            .partitions
            .iter()
            .partition(|p| many && p.location.starts_with(&root));
        let mut all = vec![];
        if !inside.is_empty() {
            let folders: HashMap<&str, &TablePartition> =
                inside.iter().map(|p| (p.location.trim_end_matches('/'), *p)).collect();
            for file in list_each(std::slice::from_ref(location))?.into_iter().flatten() {
                let partition = folders_of(&file.location, root.len()).find_map(|folder| folders.get(folder));
                if let Some(partition) = partition {
                    all.push((file, partition.values.clone()));
                }
            }
        }
        let folders: Vec<Location> = apart
            .iter()
            .map(|p| Location::exact(&p.location))
            .collect::<Result<_>>()?;
        for (partition, files) in apart.iter().zip(list_each(&folders)?) {
            all.extend(files.into_iter().map(|file| (file, partition.values.clone())));
        }
        Ok(all)
    }
}

/// The folders that a file is in, from the innermost up to those below the root.
fn folders_of(location: &str, root: usize) -> impl Iterator<Item = &str> {
    let slashes = location
        .char_indices()
        .rev()
        .filter(move |(i, c)| *c == '/' && *i >= root);
    slashes.filter_map(|(i, _)| location.get(..i))
}

/// The folder of a partition that has no location of its own.
pub fn default_location(definition: &TableDefinition, values: &[Option<String>]) -> String {
    format!(
        "{}/{}",
        definition.location.trim_end_matches('/'),
        partition_path(definition, values)
    )
}

/// `k=v/…` for a partition.
pub fn partition_path(definition: &TableDefinition, values: &[Option<String>]) -> String {
    let folder =
        |(column, value): (&super::ColumnDefinition, &Option<String>)| partition_folder(&column.name, value.as_deref());
    let folders: Vec<String> = definition.partitioned_by.iter().zip(values).map(folder).collect();
    folders.join("/")
}
