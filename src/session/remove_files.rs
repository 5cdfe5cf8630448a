//! Files that go: of partitions that were dropped, of tables that are truncated.

use super::Session;
use crate::catalog::commit::{Changes, EVERYTHING, Staging};
use crate::catalog::{
    PartitionDefinition, PartitionFilter, PartitionPlaces, PartitionedTable, TableDefinition, TableFile, is_projected,
};
use crate::error::{Error, Result};
use crate::storage::Location;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

impl Session {
    /// Removes the files of the partitions that the filter keeps, or all of a table without partitions: all or none.
    pub(super) fn remove_files(&self, table: &TableDefinition, filter: &PartitionFilter) -> Result<()> {
        let registered = self.catalog().partitions(&table.database, &table.name)?;
        let places = self.places(table)?;
        if table.partitioned_by.is_empty() {
            return self.remove_found(table, places, |places| places.files(filter));
        }
        let partitions = PartitionedTable::new(table, registered, self.config().threads)?;
        self.remove_found(table, places, |places| places.files_of(&partitions, filter))
    }

    /// Removes the files of some partitions, wherever they are: all or none.
    pub(super) fn remove_partition_files(
        &self,
        table: &TableDefinition,
        dropped: &[PartitionDefinition],
    ) -> Result<()> {
        let threads = self.config().threads;
        let places = PartitionPlaces::registered(table, dropped, threads)?;
        let dropped = PartitionedTable::without_projection(table, Some(dropped.to_vec()), threads)?;
        self.remove_found(table, places, |places| {
            places.files_of(&dropped, &PartitionFilter::default())
        })
    }

    /// The files of partitions that are elsewhere than below the table's folder: of those with a location of their own, and
    /// of those that are projected.
    pub(super) fn files_elsewhere(&self, table: &TableDefinition) -> Result<Changes> {
        let mut apart = self
            .catalog()
            .partitions(&table.database, &table.name)?
            .unwrap_or_default();
        apart.retain(|partition| partition.location.is_some());
        let mut files = vec![];
        if !apart.is_empty() {
            let threads = self.config().threads;
            let places = PartitionPlaces::registered(table, &apart, threads)?;
            let partitions = PartitionedTable::without_projection(table, Some(apart), threads)?;
            files.extend(places.files_of(&partitions, &PartitionFilter::default())?);
        }
        files.extend(self.projected_elsewhere(table)?);
        // A partition may be both.
        let mut known = HashSet::new();
        files.retain(|file| match &file.elsewhere {
            Some(base) => known.insert(format!("{base}/{}", file.object.path)),
            None => false,
        });
        let mut changes = Changes::default();
        changes.replace(files)?;
        Ok(changes)
    }

    /// The files of projected partitions, when their template makes folders elsewhere than below the table's.
    fn projected_elsewhere(&self, table: &TableDefinition) -> Result<Vec<TableFile>> {
        if !is_projected(table) {
            return Ok(vec![]);
        }
        let places = PartitionPlaces::new(table, None, self.config().threads)?;
        let Some(template) = places.template_elsewhere() else {
            return Ok(vec![]);
        };
        // What else is around the folders that the template makes may be anybody's.
        places.files(&PartitionFilter::default()).map_err(|e| {
            Error::new(e.kind(), e.message()).context(format!("the files below {template}")).with_hint(format!(
                "ALTER TABLE {} UNSET TBLPROPERTIES ('projection.enabled') before leaves these files where they are",
                table.name
            ))
        })
    }

    /// Removes the files that `find` lists once the write has begun.
    fn remove_found(
        &self,
        table: &TableDefinition,
        places: PartitionPlaces,
        find: impl FnOnce(&PartitionPlaces) -> Result<Vec<TableFile>>,
    ) -> Result<()> {
        let location = Location::exact(&table.location)?;
        let places = Arc::new(places);
        let staging = Staging::partitions(&location, places.clone(), self.config().upload_part_size)?;
        let files = find(&places)?;
        if files.is_empty() {
            return Ok(());
        }
        let touched: BTreeSet<String> = files.iter().map(TableFile::place).collect();
        let mut changes = Changes {
            operation: "TRUNCATE",
            scope: match touched.contains("") {
                true => vec![EVERYTHING.into()],
                false => touched.into_iter().collect(),
            },
            ..Default::default()
        };
        changes.replace(files)?;
        staging.commit(changes)
    }
}
