//! Tables about a table: `"t$partitions"` and `"t$files"`.

use super::Session;
use crate::catalog::{
    CatalogObject, DataFile, PartitionFilter, Table, TableColumn, TableDefinition, TableName, TableSource,
    TableStatistics, partition_path, partition_text,
};
use crate::error::{Error, Result};
use crate::types::{DataType, ScalarValue, TIMESTAMP};
use arrow::array::{ArrayRef, RecordBatch, new_empty_array};
use arrow::datatypes::{Field, Schema};
use std::sync::Arc;

/// What follows the table's name in the name of a table with its partitions, …
const PARTITIONS: &str = "$partitions";
/// … the same with the partitions' paths, for SHOW PARTITIONS, …
pub(super) const PARTITION_NAMES: &str = "$partition_names";
/// … and of a table with its files.
const FILES: &str = "$files";

impl Session {
    /// The table about a table that a name such as `t$partitions` stands for; `None` for other names.
    ///
    /// # Errors
    /// When there is no such table, or it has no partitions.
    pub(super) fn metadata_table(&self, database: &str, name: &str) -> Result<Option<Table>> {
        let suffix = [PARTITIONS, PARTITION_NAMES, FILES]
            .into_iter()
            .find(|s| name.ends_with(s));
        let Some((suffix, base)) = suffix.and_then(|s| Some((s, name.strip_suffix(s)?))) else {
            return Ok(None);
        };
        // A table may really be called so.
        if self.catalog().object(database, name)?.is_some() {
            return Ok(None);
        }
        let table = match self.catalog().require_object(database, base)? {
            CatalogObject::Table(table) => table,
            CatalogObject::View(_) => return Err(Error::plan(format!("\"{base}\" is a view: it has no {suffix}"))),
        };
        let columns = match suffix {
            FILES => self.files_columns(&table)?,
            _ => self.partitions_columns(&table, suffix == PARTITION_NAMES)?,
        };
        in_memory(database, name, columns).map(Some)
    }

    fn partitions_columns(&self, table: &TableDefinition, with_paths: bool) -> Result<Vec<MetadataColumn>> {
        if table.partitioned_by.is_empty() {
            return Err(Error::plan(format!("table \"{}\" has no partitions", table.name)));
        }
        let known = self.known_partitions(table)?;
        let found = known.partitions(&PartitionFilter::default())?.partitions;
        let mut columns = vec![];
        for (i, key) in known.keys().iter().enumerate() {
            let values = found
                .iter()
                .map(|p| p.values.get(i).cloned().unwrap_or(ScalarValue::Null));
            columns.push((key.name.to_string(), key.data_type.clone(), values.collect()));
        }
        if with_paths {
            let paths = found
                .iter()
                .map(|p| ScalarValue::string(partition_path(table, &p.texts)));
            columns.push(("$partition".to_string(), DataType::Utf8View, paths.collect()));
        }
        Ok(columns)
    }

    fn files_columns(&self, table: &TableDefinition) -> Result<Vec<MetadataColumn>> {
        let resolved = self.listed(self.table_of(table)?)?;
        let TableSource::Files(files) = &resolved.source else {
            return Err(Error::internal("a listed table has files"));
        };
        let column = |name: &str, data_type: DataType, value: &dyn Fn(&DataFile) -> ScalarValue| {
            (name.to_string(), data_type, files.files.iter().map(value).collect())
        };
        let whole = |n: u64| ScalarValue::Int64(i64::try_from(n).unwrap_or(i64::MAX));
        let mut columns: Vec<MetadataColumn> = vec![
            column("path", DataType::Utf8View, &|f| {
                ScalarValue::string(f.file.location.as_ref())
            }),
            column("size", DataType::Int64, &|f| whole(f.file.size)),
            column("modified", TIMESTAMP, &|f| {
                ScalarValue::Timestamp(f.file.modified, None)
            }),
            column("rows", DataType::Int64, &|f| {
                f.info.rows.map_or(ScalarValue::Null, whole)
            }),
        ];
        if !table.partitioned_by.is_empty() {
            let path = |f: &DataFile| {
                let texts: Vec<Option<String>> = f.partition_values.iter().map(partition_text).collect();
                ScalarValue::string(partition_path(table, &texts))
            };
            columns.push(column("partition", DataType::Utf8View, &path));
        }
        for (i, key) in resolved.columns.iter().skip(files.partition_start).enumerate() {
            let value = |f: &DataFile| f.partition_values.get(i).cloned().unwrap_or(ScalarValue::Null);
            columns.push(column(&key.name, key.data_type.clone(), &value));
        }
        Ok(columns)
    }
}

/// Name, type and values of a column.
type MetadataColumn = (String, DataType, Vec<ScalarValue>);

fn in_memory(database: &str, name: &str, columns: Vec<MetadataColumn>) -> Result<Table> {
    let rows = columns.first().map_or(0, |(_, _, values)| values.len());
    let (mut described, mut arrays) = (vec![], vec![]);
    for (name, data_type, values) in columns {
        arrays.push(array(&values, &data_type)?);
        described.push(TableColumn {
            name: name.as_str().into(),
            data_type,
            nullable: true,
        });
    }
    let field = |c: &TableColumn| Field::new(c.name.as_ref(), c.data_type.clone(), true);
    let schema = Schema::new(described.iter().map(field).collect::<Vec<_>>());
    let batch = RecordBatch::try_new(Arc::new(schema), arrays)?;
    Ok(Table {
        name: TableName {
            database: Some(database.into()),
            name: name.into(),
        },
        columns: described,
        source: TableSource::Memory(vec![batch]),
        statistics: TableStatistics {
            rows: Some(rows as u64),
            ..Default::default()
        },
    })
}

fn array(values: &[ScalarValue], data_type: &DataType) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    let single = values
        .iter()
        .map(|v| v.to_array(data_type, 1))
        .collect::<Result<Vec<_>>>()?;
    let single: Vec<&dyn arrow::array::Array> = single.iter().map(AsRef::as_ref).collect();
    Ok(arrow::compute::concat(&single)?)
}
