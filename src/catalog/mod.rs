//! Databases, tables, partitions, views: what names stand for, where that is remembered, and how files come to a table.

pub mod commit;
mod definition;
mod drift;
mod elsewhere;
mod information_schema;
mod journal;
mod lock;
mod log;
mod looks;
mod partition_filter;
mod partitioned;
mod partitions;
mod places;
mod projection;
mod registration;
mod rename;
mod resolve;
mod statistics;
mod store;
mod table;
mod transactions;
mod visible;

pub use definition::{
    Bucketing, CatalogObject, ColumnDefinition, DatabaseDefinition, PURGED, PartitionDefinition, TableDefinition,
    ViewDefinition, hive_type_name,
};
pub use information_schema::{Information, information_rows, information_table, information_tables};
pub use journal::{Journal, recover_older};
pub use partition_filter::{PartitionFilter, key_condition};
pub use partitioned::{FoundPartitions, PartitionedTable, TablePartition, default_location, partition_path};
pub use partitions::{NULL_PARTITION, partition_folder, partition_keys, partition_text, partition_value};
pub use places::{PartitionPlaces, TableFile};
pub use projection::{TEMPLATES, check_projection, is_projected, template_base};
pub use resolve::{FilesReference, in_parallel, resolve_files, resolve_table};
pub use store::{Catalog, DEFAULT_DATABASE, INFORMATION_SCHEMA, IfExists};
pub use table::{
    ColumnStatistics, DataFile, FileTable, PartitionCounts, Table, TableColumn, TableName, TableSource, TableStatistics,
};
pub use transactions::{ABANDONED_AFTER, Swept, Transaction, TransactionState, abort, gc, resume, transactions};
pub use visible::object_of;
