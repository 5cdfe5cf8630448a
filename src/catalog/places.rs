//! Where the files of a table's partitions are, for those who write them.
//!
//! ```text
//! registered with a LOCATION     that folder, wherever it is
//! projected                      what `storage.location.template` makes of the values, or k=v/… of their projected texts
//! all others                     k=v/… below the table's folder
//! ```
//!
//! A writer names the folder `k=v/…` for each partition and is told its place. A write touches a partition under the name of
//! its place: the path below the table's folder, or the whole location.

use super::definition::{PartitionDefinition, TableDefinition};
use super::partition_filter::PartitionFilter;
use super::partitioned::{PartitionFile, PartitionedTable, partition_path};
use super::partitions::{partition_keys, partition_text, partition_value};
use super::projection::Projection;
use super::visible::{files_of, object_of};
use crate::error::{Error, Result};
use crate::storage::{Folder, Location, Object, Place, Placement};
use crate::types::ScalarValue;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};

/// See the module.
#[derive(Debug)]
pub struct PartitionPlaces {
    table: TableDefinition,
    /// The table's folder, without a slash at its end.
    root: String,
    source: Source,
    threads: usize,
    /// The places that were asked for, by folder.
    asked: Mutex<BTreeMap<String, Place>>,
}

#[derive(Debug)]
enum Source {
    /// Partitions that are not in their folder `k=v/…`: where they are, and which is where.
    Registered(HashMap<Vec<ScalarValue>, String>, HashMap<String, Vec<ScalarValue>>),
    Projected(Projection),
}

/// A file of a table and the partition that it is in.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFile {
    /// The folder that the file is below, when that is not the table's.
    pub elsewhere: Option<String>,
    /// By its path below the folder.
    pub object: Object,
    /// The values of the partition keys.
    pub values: Vec<ScalarValue>,
}

impl TableFile {
    /// The name of the place that it is in.
    pub fn place(&self) -> String {
        let folder = self.object.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        match &self.elsewhere {
            None => folder.to_string(),
            Some(base) if folder.is_empty() => base.clone(),
            Some(base) => format!("{base}/{folder}"),
        }
    }
}

impl PartitionPlaces {
    /// `registered` are the partitions that the catalog knows.
    ///
    /// # Errors
    /// When a value is none of its key's type, or the properties of a projection do not fit together.
    pub fn new(table: &TableDefinition, registered: Option<&[PartitionDefinition]>, threads: usize) -> Result<Self> {
        let source = match Projection::of(table)? {
            Some(projection) => Source::Projected(projection),
            None => return Self::registered(table, registered.unwrap_or_default(), threads),
        };
        Self::with(table, source, threads)
    }

    /// The places of registered partitions, whatever a projection says.
    pub fn registered(table: &TableDefinition, partitions: &[PartitionDefinition], threads: usize) -> Result<Self> {
        let mut apart = HashMap::new();
        for partition in partitions {
            if let Some(location) = &partition.location {
                apart.insert(values_of(table, &partition.values)?, canonical(location)?);
            }
        }
        let owners = apart.iter().map(|(v, l)| (l.clone(), v.clone())).collect();
        Self::with(table, Source::Registered(apart, owners), threads)
    }

    fn with(table: &TableDefinition, source: Source, threads: usize) -> Result<Self> {
        Ok(Self {
            root: canonical(&table.location)?,
            table: table.clone(),
            source,
            threads,
            asked: Mutex::default(),
        })
    }

    /// Whether all partitions are in their folders `k=v/…` below the table's.
    pub fn are_plain(&self) -> bool {
        matches!(&self.source, Source::Registered(apart, _) if apart.is_empty())
    }

    /// The folder that a projection makes all its folders in, when that is elsewhere than below the table's.
    pub fn template_elsewhere(&self) -> Option<&str> {
        match &self.source {
            Source::Projected(projection) => projection.template_base().filter(|base| self.below(base).is_none()),
            Source::Registered(..) => None,
        }
    }

    /// The folders `k=v/…` that a writer asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().keys().cloned().collect()
    }

    /// `folders` are those that were written to, each with a slash at its end.
    ///
    /// # Errors
    /// `Conflict` when one of the partitions has another place by now.
    pub fn check_written(&self, folders: &[String], registered: Option<&[PartitionDefinition]>) -> Result<()> {
        let now = Self::new(&self.table, registered, self.threads)?;
        for folder in folders {
            let values = self.values_in(folder)?;
            if self.location_apart(&values)? != now.location_apart(&values)? {
                return Err(Error::conflict(format!(
                    "partition {} of table \"{}\" was given another location at the same time",
                    folder.trim_end_matches('/'),
                    self.table.name
                ))
                .with_hint("nothing was changed; run the statement again"));
            }
        }
        Ok(())
    }

    /// The location of a partition, if it is not that of its folder `k=v/…`.
    fn location_apart(&self, values: &[ScalarValue]) -> Result<Option<String>> {
        match &self.source {
            Source::Registered(apart, _) => Ok(apart.get(values).cloned()),
            Source::Projected(projection) => projection.location_of(&self.table, values).map(Some),
        }
    }

    /// The name of the place of a partition.
    pub fn place_name(&self, values: &[ScalarValue]) -> Result<String> {
        Ok(place_name(&self.place_of(values)?))
    }

    fn place_of(&self, values: &[ScalarValue]) -> Result<Place> {
        match &self.source {
            Source::Projected(projection) => self.locate(
                &projection.location_of(&self.table, values)?,
                projection.template_base(),
            ),
            Source::Registered(apart, owners) => {
                if let Some(location) = apart.get(values) {
                    return self.locate(location, Some(location));
                }
                let texts: Vec<Option<String>> = values.iter().map(partition_text).collect();
                let folder = partition_path(&self.table, &texts);
                match owners.get(&format!("{}/{folder}", self.root)) {
                    None => Ok(Place::Below(folder)),
                    Some(other) => {
                        let other: Vec<Option<String>> = other.iter().map(partition_text).collect();
                        Err(Error::plan(format!(
                            "the folder {folder} of table \"{}\" has the files of partition {}",
                            self.table.name,
                            partition_path(&self.table, &other)
                        ))
                        .with_hint(
                            "give the new partition another folder with ALTER TABLE … ADD PARTITION (…) LOCATION",
                        ))
                    }
                }
            }
        }
    }

    /// The path of a location below the table's folder.
    fn below<'l>(&self, location: &'l str) -> Option<&'l str> {
        let rest = location.strip_prefix(self.root.as_str())?;
        match rest.is_empty() {
            true => Some(rest),
            false => rest.strip_prefix('/'),
        }
    }

    /// A location that is below the table's folder, or below `base`.
    fn locate(&self, location: &str, base: Option<&str>) -> Result<Place> {
        let location = location.trim_end_matches('/');
        if let Some(path) = self.below(location) {
            return Ok(Place::Below(path.to_string()));
        }
        let base = base.unwrap_or(location).trim_end_matches('/');
        let path = location.strip_prefix(base).unwrap_or_default().trim_start_matches('/');
        Ok(Place::Elsewhere(Folder::parse(base)?, path.to_string()))
    }

    /// The table's files, each with its partition; of a projected table those of partitions that the filter keeps.
    pub fn files(&self, filter: &PartitionFilter) -> Result<Vec<TableFile>> {
        let Source::Registered(apart, owners) = &self.source else {
            let table = PartitionedTable::new(&self.table, None, self.threads)?;
            return self.with_folders(table.files(filter)?.0);
        };
        let mut all = vec![];
        for object in files_of(&Location::exact(&self.table.location)?)? {
            let folder = object.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let mut folders = std::iter::successors(Some(folder), |f| f.rsplit_once('/').map(|(parent, _)| parent));
            let owner = folders.find_map(|folder| owners.get(&format!("{}/{folder}", self.root)));
            all.push(TableFile {
                elsewhere: None,
                values: match owner {
                    Some(values) => values.clone(),
                    None => self.values_in(&object.path)?,
                },
                object,
            });
        }
        let outside = apart.iter().filter(|(_, location)| self.below(location).is_none());
        let outside: Vec<Vec<ScalarValue>> = outside.map(|(values, _)| values.clone()).collect();
        all.extend(self.files_in(&outside)?);
        all.sort_by(|a, b| (&a.elsewhere, &a.object.path).cmp(&(&b.elsewhere, &b.object.path)));
        Ok(all)
    }

    /// The files that a listing of the table's partitions has.
    pub fn files_of(&self, table: &PartitionedTable, filter: &PartitionFilter) -> Result<Vec<TableFile>> {
        self.with_folders(table.files(filter)?.0)
    }

    /// The files of some partitions.
    pub fn files_in(&self, partitions: &[Vec<ScalarValue>]) -> Result<Vec<TableFile>> {
        let definition = |values: &Vec<ScalarValue>| {
            Ok(PartitionDefinition {
                values: values.iter().map(partition_text).collect(),
                location: Some(match &self.source {
                    Source::Projected(projection) => projection.location_of(&self.table, values)?,
                    Source::Registered(..) => self.full(&self.place_of(values)?),
                }),
            })
        };
        let definitions = partitions.iter().map(definition).collect::<Result<Vec<_>>>()?;
        let table = PartitionedTable::without_projection(&self.table, Some(definitions), self.threads)?;
        self.with_folders(table.files(&PartitionFilter::default())?.0)
    }

    fn full(&self, place: &Place) -> String {
        match place {
            Place::Below(path) => format!("{}/{path}", self.root),
            Place::Elsewhere(folder, path) => folder.shown(path),
        }
    }

    /// Files with the folders that their writes are committed for.
    fn with_folders(&self, files: Vec<PartitionFile>) -> Result<Vec<TableFile>> {
        let mut all = vec![];
        for (file, values) in files {
            let location = file.location.as_ref();
            let folder = location.rsplit_once('/').map_or(location, |(folder, _)| folder);
            let (elsewhere, path) = match self.below(location) {
                Some(path) => (None, path),
                None => {
                    let base = self.base_of(folder).to_string();
                    let path = location.strip_prefix(&base).unwrap_or(location);
                    (Some(base), path.trim_start_matches('/'))
                }
            };
            all.push(TableFile {
                object: object_of(&file, path),
                elsewhere,
                values,
            });
        }
        all.sort_by(|a, b| (&a.elsewhere, &a.object.path).cmp(&(&b.elsewhere, &b.object.path)));
        Ok(all)
    }

    /// The folder elsewhere that a folder belongs to.
    fn base_of<'f>(&'f self, folder: &'f str) -> &'f str {
        match &self.source {
            Source::Projected(projection) => {
                let base = projection.template_base().map(|base| base.trim_end_matches('/'));
                base.filter(|base| folder.starts_with(base)).unwrap_or(folder)
            }
            Source::Registered(_, owners) => {
                let mut folders = std::iter::successors(Some(folder), |f| f.rsplit_once('/').map(|(parent, _)| parent));
                folders.find(|folder| owners.contains_key(*folder)).unwrap_or(folder)
            }
        }
    }

    /// The values of the partition keys for a path below the table's folder.
    pub fn values_in(&self, path: &str) -> Result<Vec<ScalarValue>> {
        let keys = partition_keys(path);
        let value = |column: &super::ColumnDefinition| {
            let text = keys.iter().rev().find(|(k, _)| k.eq_ignore_ascii_case(&column.name));
            let text = text.and_then(|(_, text)| text.as_deref());
            partition_value(path, &column.name, text, &column.data_type()?)
        };
        self.table.partitioned_by.iter().map(value).collect()
    }
}

impl Placement for PartitionPlaces {
    fn place(&self, folder: &str) -> Result<Place> {
        if let Some(place) = self.asked.lock().get(folder) {
            return Ok(place.clone());
        }
        let place = self.place_of(&self.values_in(&format!("{folder}/"))?)?;
        self.asked.lock().insert(folder.to_string(), place.clone());
        Ok(place)
    }
}

fn place_name(place: &Place) -> String {
    match place {
        Place::Below(path) => path.clone(),
        Place::Elsewhere(folder, path) => folder.shown(path),
    }
}

/// A location as listings spell it.
fn canonical(location: &str) -> Result<String> {
    Ok(Location::exact(location)?.base().trim_end_matches('/').to_string())
}

fn values_of(table: &TableDefinition, texts: &[Option<String>]) -> Result<Vec<ScalarValue>> {
    let value = |(column, text): (&super::ColumnDefinition, &Option<String>)| {
        partition_value(&table.location, &column.name, text.as_deref(), &column.data_type()?)
    };
    table.partitioned_by.iter().zip(texts).map(value).collect()
}
