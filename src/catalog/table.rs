//! A table as a query sees it: resolved, listed, its footers read. Planning does no IO after this.

use crate::format::{FileFormat, FileInfo};
use crate::storage::ObjectFile;
use crate::types::{DataType, ScalarValue};
use arrow::array::RecordBatch;
use std::fmt;
use std::sync::Arc;

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

impl Table {
    /// The position of a column, names compared without regard to case.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
    }
}
