//! A table as a query sees it: resolved, listed, its footers read. Planning does no IO after this.

use super::information_schema::Information;
use super::partitioned::PartitionedTable;
use super::partitions::{partition_folder, partition_text};
use crate::format::{FileFormat, FileInfo};
use crate::storage::ObjectFile;
use crate::types::{DataType, ScalarValue, TIMESTAMP};
use arrow::array::RecordBatch;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// `database.table`, in lower case; files queried directly have only the location as name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    pub database: Option<Arc<str>>,
    pub name: Arc<str>,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.database {
            Some(db) => write!(f, "{db}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A resolved table, the same for all its mentions in one statement.
#[derive(Debug)]
pub struct Table {
    pub name: TableName,
    pub columns: Vec<TableColumn>,
    pub source: TableSource,
    pub statistics: TableStatistics,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TableColumn {
    /// As declared; lower case in the Athena dialect.
    pub name: Arc<str>,
    pub data_type: DataType,
    pub nullable: bool,
}

/// Where the rows are.
#[derive(Debug)]
pub enum TableSource {
    Files(FileTable),
    /// Files in partitions that are listed when the query's conditions on the partition keys are known; no plan runs
    /// before that.
    Partitions(Box<PartitionedTable>),
    /// A table of `information_schema`, whose rows are found when the query's conditions on names are known.
    Information(Information),
    /// Rows in memory: `information_schema`, DataFrames over arrow data. Columns have the table's types.
    Memory(Vec<RecordBatch>),
}

/// Files of one format.
#[derive(Debug)]
pub struct FileTable {
    pub format: Arc<dyn FileFormat>,
    pub files: Vec<DataFile>,
    /// The table's columns from this position on are partition columns, taken from `DataFile::partition_values`.
    pub partition_start: usize,
    /// How many of the table's partitions the files are from, and how many were looked at; `None` without partitions.
    pub partitions: Option<PartitionCounts>,
}

/// Partitions of a table that a query reads, of those there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionCounts {
    pub read: usize,
    pub known: usize,
    /// Whether `known` is all: a folder that was left out counts as one, whatever is in it.
    pub complete: bool,
}

impl fmt::Display for PartitionCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.complete { "" } else { "+" };
        write!(f, "{}/{}{more}", self.read, self.known)
    }
}

/// One file of a table.
#[derive(Debug, Clone)]
pub struct DataFile {
    pub file: ObjectFile,
    /// One value per partition column.
    pub partition_values: Vec<ScalarValue>,
    /// What `FileFormat::inspect` found.
    pub info: Arc<FileInfo>,
}

/// What is known about a table before reading it.
#[derive(Debug, Clone, Default)]
pub struct TableStatistics {
    /// Rows: exact when every footer told it.
    pub rows: Option<u64>,
    /// Bytes of all files.
    pub bytes: u64,
    /// One per column of the table, or empty when nothing is known.
    pub columns: Vec<ColumnStatistics>,
}

/// Bounds and counts of one column over the whole table.
#[derive(Debug, Clone, Default)]
pub struct ColumnStatistics {
    pub min: Option<ScalarValue>,
    pub max: Option<ScalarValue>,
    pub nulls: Option<u64>,
    /// Estimated number of distinct values.
    pub distinct: Option<u64>,
    /// Compressed bytes in the files.
    pub bytes: Option<u64>,
}

/// Columns of every table over files that only queries see which name them: where a row comes from.
static HIDDEN_COLUMNS: LazyLock<[TableColumn; 4]> = LazyLock::new(|| {
    [
        ("$path", DataType::Utf8View),
        ("$file_size", DataType::Int64),
        ("$file_modified_time", TIMESTAMP),
        ("$partition", DataType::Utf8View),
    ]
    .map(|(name, data_type)| TableColumn {
        name: name.into(),
        data_type,
        nullable: true,
    })
});

impl Table {
    /// The hidden columns; their positions follow those of the others.
    pub fn hidden_columns(&self) -> &'static [TableColumn] {
        match self.source {
            TableSource::Memory(_) | TableSource::Information(_) => &[],
            _ => HIDDEN_COLUMNS.as_slice(),
        }
    }

    /// The column at a position, a hidden one from the number of columns on.
    pub fn column_at(&self, position: usize) -> Option<&TableColumn> {
        match position.checked_sub(self.columns.len()) {
            None => self.columns.get(position),
            Some(i) => self.hidden_columns().get(i),
        }
    }

    /// What is the same in all rows of a file: the values of its partition, then those of the hidden columns.
    pub fn constants_of(&self, file: &DataFile) -> Vec<ScalarValue> {
        let keys = self
            .columns
            .iter()
            .skip(self.columns.len().saturating_sub(file.partition_values.len()));
        let folder =
            |(key, value): (&TableColumn, &ScalarValue)| partition_folder(&key.name, partition_text(value).as_deref());
        let folders: Vec<String> = keys.zip(&file.partition_values).map(folder).collect();
        let mut values = file.partition_values.clone();
        values.extend([
            ScalarValue::String(file.file.location.clone()),
            ScalarValue::Int64(i64::try_from(file.file.size).unwrap_or(i64::MAX)),
            ScalarValue::Timestamp(file.file.modified, None),
            ScalarValue::string(folders.join("/")),
        ]);
        values
    }

    /// The position of a column, names compared without regard to case.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
    }
}
