//! What a write means for the partitions that the catalog knows.

use super::definition::{PartitionDefinition, TableDefinition};
use super::partitioned::partition_path;
use super::partitions::partition_keys;
use super::projection::is_projected;
use super::store::Catalog;
use crate::error::{Error, Result};
use std::collections::{BTreeSet, HashSet};

impl Catalog {
    /// Registers the partitions that files were written to. A table whose partitions are told by its folders stays one.
    /// `files` are paths below the table's location.
    pub fn register_written<'f>(
        &self,
        table: &TableDefinition,
        files: impl IntoIterator<Item = &'f str>,
    ) -> Result<()> {
        let written = written_partitions(table, files);
        if written.is_empty() {
            return Ok(());
        }
        if self.partitions(&table.database, &table.name)?.is_none() {
            return Ok(());
        }
        self.register_partitions(table, &written.into_iter().collect::<Vec<_>>())
    }

    /// Registers those of the partitions that are not yet, each by one text per key (`None` for NULL), in the table's
    /// folder. A table whose partitions are told by its folders stays one.
    pub fn register_partitions(&self, table: &TableDefinition, values: &[Vec<Option<String>>]) -> Result<()> {
        self.change_partitions(&table.database, &table.name, |all| {
            let Some(all) = all else { return Ok(()) };
            let known: HashSet<Vec<Option<String>>> = all.iter().map(|p| p.values.clone()).collect();
            let new = values.iter().filter(|v| !known.contains(*v));
            all.extend(new.map(|values| PartitionDefinition {
                values: values.clone(),
                location: None,
            }));
            Ok(())
        })
    }

    /// Before files are published: whether readers of the table will find them in their folders.
    ///
    /// # Errors
    /// `Unsupported` when one is for a partition that is registered with a location of its own.
    pub fn check_written<'f>(&self, table: &TableDefinition, files: impl IntoIterator<Item = &'f str>) -> Result<()> {
        if table.partitioned_by.is_empty() {
            return Ok(());
        }
        let template = ["storage.location.template", "partition_projection_location_template"];
        if is_projected(table) && template.iter().any(|name| table.properties.contains_key(*name)) {
            return Err(Error::unsupported(format!(
                "writing to table \"{}\", whose folders follow a template of partition projection",
                table.name
            )));
        }
        let registered = self.partitions(&table.database, &table.name)?.unwrap_or_default();
        let elsewhere: HashSet<&Vec<Option<String>>> = registered
            .iter()
            .filter(|p| p.location.is_some())
            .map(|p| &p.values)
            .collect();
        if elsewhere.is_empty() {
            return Ok(());
        }
        match written_partitions(table, files)
            .into_iter()
            .find(|values| elsewhere.contains(values))
        {
            None => Ok(()),
            Some(values) => Err(Error::unsupported(format!(
                "writing to partition {} of table \"{}\", which has a LOCATION of its own",
                partition_path(table, &values),
                table.name
            ))),
        }
    }
}

/// The partitions that files are in, each once.
fn written_partitions<'f>(
    table: &TableDefinition,
    files: impl IntoIterator<Item = &'f str>,
) -> BTreeSet<Vec<Option<String>>> {
    let values = |file: &str| -> Option<Vec<Option<String>>> {
        let found = partition_keys(file);
        let value = |name: &str| {
            let key = found.iter().rev().find(|(k, _)| k.eq_ignore_ascii_case(name));
            key.map(|(_, text)| text.clone())
        };
        table.partitioned_by.iter().map(|c| value(&c.name)).collect()
    };
    match table.partitioned_by.is_empty() {
        true => BTreeSet::new(),
        false => files.into_iter().filter_map(values).collect(),
    }
}
