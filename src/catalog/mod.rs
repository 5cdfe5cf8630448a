//! Databases, tables, partitions, views: what names stand for.

mod table;

pub use table::{ColumnStatistics, DataFile, FileTable, Table, TableColumn, TableName, TableSource, TableStatistics};
