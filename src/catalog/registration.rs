//! What a write means for the partitions that the catalog knows.

use super::definition::{PartitionDefinition, TableDefinition};
use super::partitions::partition_keys;
use super::store::Catalog;
use crate::error::Result;
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
