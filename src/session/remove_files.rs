//! Files that go: of partitions that were dropped, of tables that are truncated.

use super::Session;
use crate::catalog::commit::{self, Changes, EVERYTHING, Staging};
use crate::catalog::{PartitionDefinition, PartitionFilter, PartitionedTable, Table, TableDefinition, TableSource};
use crate::error::{Error, Result};
use crate::storage::Location;
use std::collections::{BTreeSet, HashSet};

impl Session {
    /// Removes the files of the partitions that the filter keeps, or all of a table without partitions: all or none.
    pub(super) fn remove_files(&self, table: &TableDefinition, filter: &PartitionFilter) -> Result<()> {
        let resolved = self.table_of(table)?;
        let listed: Table = match &resolved.source {
            TableSource::Partitions(partitions) => partitions.list(filter)?,
            _ => resolved,
        };
        let TableSource::Files(files) = &listed.source else {
            return Err(Error::internal("a listed table has files"));
        };
        let files = files.files.iter().map(|f| f.file.location.to_string());
        self.remove_listed(table, files.collect())
    }

    /// Removes the files of partitions that the catalog has just forgotten.
    pub(super) fn remove_partition_files(
        &self,
        table: &TableDefinition,
        dropped: &[PartitionDefinition],
    ) -> Result<()> {
        let dropped = PartitionedTable::without_projection(table, Some(dropped.to_vec()), self.config().threads)?;
        let files = dropped.file_names()?;
        self.remove_listed(table, files)
    }

    /// Files outside of the table's folder stay: they were not written by us.
    fn remove_listed(&self, table: &TableDefinition, files: Vec<String>) -> Result<()> {
        let location = Location::exact(&table.location)?;
        let root = format!("{}/", location.base().trim_end_matches('/'));
        let gone: HashSet<&str> = files.iter().filter_map(|f| f.strip_prefix(&root)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let staging = Staging::folder(&location, self.config().upload_part_size)?;
        let mut replaced = commit::files_of(&location)?;
        replaced.retain(|file| gone.contains(file.path.as_str()));
        let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_string());
        let folders: Option<BTreeSet<String>> = replaced.iter().map(|file| folder(&file.path)).collect();
        staging.commit(Changes {
            operation: "TRUNCATE",
            scope: match folders {
                Some(folders) => folders.into_iter().collect(),
                None => vec![EVERYTHING.into()],
            },
            replaced,
            alone: false,
        })
    }
}
