//! What a statement says: our own tree, with sqlparser's trees for queries and expressions inside.

use crate::error::Span;
use sqlparser::ast;
use std::collections::BTreeMap;

/// One statement.
#[derive(Debug, Clone)]
pub enum Statement {
    Query(Box<ast::Query>),
    Explain(Explain),
    CreateTable(Box<CreateTable>),
    CreateView(Box<CreateView>),
    CreateDatabase(CreateDatabase),
    Insert(Box<Insert>),
    /// `FROM src INSERT … INSERT …`: each an [`Insert`] or a [`Copy`] of the one source.
    InsertEach(Vec<Statement>),
    Load(Box<Load>),
    /// `COPY … TO` and `UNLOAD`: rows into files that are no table.
    Copy(Box<Copy>),
    DropTable {
        name: ObjectName,
        if_exists: bool,
    },
    DropView {
        name: ObjectName,
        if_exists: bool,
    },
    DropDatabase {
        name: ObjectName,
        if_exists: bool,
        cascade: bool,
    },
    Use(ObjectName),
    Show(Show),
    /// Columns and types of a table.
    Describe(Describe),
    DescribeDatabase {
        name: ObjectName,
        extended: bool,
    },
    /// Columns and types of a query's result.
    DescribeQuery(Box<ast::Query>),
    Set {
        name: String,
        value: String,
    },
    /// Back to the default: one setting, or all.
    Reset(Option<String>),
    Prepare {
        name: String,
        statement: Box<Statement>,
    },
    Execute {
        name: String,
        parameters: Vec<ast::Expr>,
    },
    ExecuteImmediate {
        statement: Box<Statement>,
        parameters: Vec<ast::Expr>,
    },
    Deallocate(String),
    /// Makes the registered partitions those found under a table's location.
    RepairTable {
        name: ObjectName,
        mode: Repair,
        /// Only partitions that fulfil this.
        partition: Option<PartitionSpec>,
    },
    AlterTable {
        name: ObjectName,
        /// `table` or `view`: what the statement says that it changes.
        kind: &'static str,
        change: AlterTable,
    },
    AlterDatabase {
        name: ObjectName,
        change: AlterDatabase,
    },
    /// `ALTER VIEW v AS query`
    AlterView {
        name: ObjectName,
        query: Box<ast::Query>,
        /// The query as written.
        text: String,
    },
    /// `CREATE TABLE t LIKE t0`
    CreateTableLike(CreateTableLike),
    /// Removes all rows, of a table or of some partitions.
    Truncate {
        name: ObjectName,
        partition: Option<PartitionSpec>,
    },
    /// A procedure, with names of arguments that are named.
    Call {
        name: ObjectName,
        arguments: Vec<(Option<String>, ast::Expr)>,
    },
}

/// What MSCK does: register folders that are not, forget partitions without folder, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    Add,
    Drop,
    Sync,
}

/// `PARTITION (k = v, …)`: all conditions hold.
pub type PartitionSpec = Vec<PartitionCondition>;

/// `k = v` or another comparison of a partition key.
#[derive(Debug, Clone)]
pub struct PartitionCondition {
    pub key: String,
    pub op: ast::BinaryOperator,
    pub value: ast::Expr,
    pub span: Span,
}

/// A name and where it stands.
pub type Named = (String, Span);

/// `ALTER TABLE t …`
#[derive(Debug, Clone)]
pub enum AlterTable {
    AddPartitions {
        if_not_exists: bool,
        /// With locations of their own, where given.
        partitions: Vec<(PartitionSpec, Option<String>)>,
    },
    DropPartitions {
        if_exists: bool,
        specs: Vec<PartitionSpec>,
    },
    RenamePartition {
        from: PartitionSpec,
        to: PartitionSpec,
    },
    RecoverPartitions,
    /// Added before the partition columns.
    AddColumns(Vec<ColumnDefinition>),
    /// All columns but the partition columns.
    ReplaceColumns(Vec<ColumnDefinition>),
    ChangeColumn {
        old: Named,
        new: ColumnDefinition,
        position: Option<ColumnPosition>,
    },
    RenameColumn {
        old: Named,
        new: String,
    },
    DropColumns(Vec<Named>),
    Rename(ObjectName),
    SetLocation {
        partition: Option<PartitionSpec>,
        location: String,
    },
    SetProperties(BTreeMap<String, String>),
    UnsetProperties {
        names: Vec<String>,
        if_exists: bool,
    },
    SetSerde {
        class: String,
        properties: BTreeMap<String, String>,
    },
    /// As in CREATE TABLE.
    SetFormat {
        format: Option<String>,
        input_format: Option<String>,
    },
}

#[derive(Debug, Clone)]
pub enum ColumnPosition {
    First,
    After(Named),
}

/// `ALTER DATABASE db SET …`
#[derive(Debug, Clone)]
pub enum AlterDatabase {
    SetProperties(BTreeMap<String, String>),
    SetLocation(String),
}

/// `CREATE [EXTERNAL] TABLE t LIKE t0 [LOCATION 'l']`
#[derive(Debug, Clone)]
pub struct CreateTableLike {
    pub name: ObjectName,
    pub like: ObjectName,
    pub if_not_exists: bool,
    pub external: bool,
    pub temporary: bool,
    pub location: Option<String>,
}

/// `SHOW PARTITIONS t [PARTITION (…)] [WHERE c] [ORDER BY …] [LIMIT n]`
#[derive(Debug, Clone)]
pub struct ShowPartitions {
    pub name: ObjectName,
    pub partition: Option<PartitionSpec>,
    pub filter: Option<ast::Expr>,
    pub order_by: Vec<ast::OrderByExpr>,
    pub limit: Option<u64>,
}

/// `[catalog.][database.]name`. Unquoted parts are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    pub database: Option<String>,
    pub name: String,
    pub span: Span,
}

/// `DESCRIBE [EXTENDED | FORMATTED] t [PARTITION (…)] [column[.part]…]`
#[derive(Debug, Clone)]
pub struct Describe {
    pub name: ObjectName,
    pub extended: bool,
    pub partition: Option<PartitionSpec>,
    /// A column and the way into it: names of fields, `$elem$`, `$key$`, `$value$`. Empty for the table itself.
    pub column: Vec<String>,
}

/// `EXPLAIN [ANALYZE]`.
#[derive(Debug, Clone)]
pub struct Explain {
    /// Run it and show what happened.
    pub analyze: bool,
    pub verbose: bool,
    /// `TYPE LOGICAL`, `DISTRIBUTED`, `VALIDATE`, `IO`, `RULES`, in lower case.
    pub kind: Option<String>,
    /// `FORMAT TEXT`, `JSON`, `GRAPHVIZ`, in lower case.
    pub format: Option<String>,
    pub statement: Box<Statement>,
}

/// One column of a `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    pub name: String,
    /// `None` when only the name is given: a partition column of a CTAS.
    pub data_type: Option<crate::types::DataType>,
    pub comment: Option<String>,
    pub span: Span,
}

/// `CREATE [EXTERNAL] TABLE`, with or without `AS query`.
#[derive(Debug, Clone, Default)]
pub struct CreateTable {
    pub name: Option<ObjectName>,
    pub if_not_exists: bool,
    pub external: bool,
    /// Whether it ends with the session.
    pub temporary: bool,
    /// Without partition columns; empty when the files or the query tell.
    pub columns: Vec<ColumnDefinition>,
    pub partitioned_by: Vec<ColumnDefinition>,
    /// `CLUSTERED BY … SORTED BY … INTO n BUCKETS`.
    pub bucketing: Option<Bucketing>,
    /// `PARQUET`, `CSV`, … in upper case, from STORED AS, USING, WITH (format = …) or the SerDe.
    pub format: Option<String>,
    pub row_format: Option<RowFormat>,
    /// The class of `STORED AS INPUTFORMAT`.
    pub input_format: Option<String>,
    pub location: Option<String>,
    /// TBLPROPERTIES and WITH.
    pub properties: BTreeMap<String, String>,
    /// `extra_properties` in WITH: TBLPROPERTIES of any name.
    pub extra_properties: BTreeMap<String, String>,
    /// SERDEPROPERTIES and OPTIONS: all of them are about the format.
    pub serde_properties: BTreeMap<String, String>,
    pub comment: Option<String>,
    pub query: Option<Box<ast::Query>>,
    /// `WITH NO DATA`: the columns of the query, none of its rows.
    pub with_no_data: bool,
}

/// Buckets of a table: columns that are hashed, columns that files are sorted by (and whether downwards), their number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bucketing {
    pub columns: Vec<String>,
    pub sorted_by: Vec<(String, bool)>,
    pub count: Option<u32>,
}

/// `ROW FORMAT …`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowFormat {
    /// The SerDe class, when one is named.
    pub serde: Option<String>,
    pub delimiter: Option<String>,
    pub escape: Option<String>,
    pub quote: Option<String>,
    pub collection_delimiter: Option<String>,
    pub map_key_delimiter: Option<String>,
    pub line_delimiter: Option<String>,
    pub null: Option<String>,
}

/// `CREATE [OR REPLACE] VIEW`.
#[derive(Debug, Clone)]
pub struct CreateView {
    pub name: ObjectName,
    pub or_replace: bool,
    pub if_not_exists: bool,
    /// Whether it ends with the session.
    pub temporary: bool,
    /// Column names given after the view's name.
    pub columns: Vec<String>,
    /// Comments of columns that have one, by name.
    pub column_comments: BTreeMap<String, String>,
    /// TBLPROPERTIES, names in lower case.
    pub properties: BTreeMap<String, String>,
    pub comment: Option<String>,
    pub query: Box<ast::Query>,
    /// The query as written.
    pub text: String,
}

/// `CREATE DATABASE`.
#[derive(Debug, Clone)]
pub struct CreateDatabase {
    pub name: ObjectName,
    pub if_not_exists: bool,
    pub comment: Option<String>,
    pub location: Option<String>,
    pub properties: BTreeMap<String, String>,
}

/// `INSERT INTO` and `INSERT OVERWRITE`.
#[derive(Debug, Clone)]
pub struct Insert {
    pub table: ObjectName,
    /// The columns named; empty means all.
    pub columns: Vec<String>,
    pub overwrite: bool,
    /// `PARTITION (k = v, d)`: keys with and without a value.
    pub partition: Vec<(String, Option<ast::Expr>)>,
    /// Whether a partition that has rows stays as it is.
    pub keep_existing: bool,
    pub query: Box<ast::Query>,
}

/// `LOAD DATA`: files that are there become a table's.
#[derive(Debug, Clone)]
pub struct Load {
    pub source: String,
    /// Whether the files are on this machine's disk, and stay.
    pub local: bool,
    pub overwrite: bool,
    pub table: ObjectName,
    /// As in [`Insert`].
    pub partition: Vec<(String, Option<ast::Expr>)>,
}

/// Rows into files: `COPY … TO` and `UNLOAD`.
#[derive(Debug, Clone)]
pub struct Copy {
    pub query: Box<ast::Query>,
    pub target: String,
    /// In upper case.
    pub format: Option<String>,
    pub partitioned_by: Vec<String>,
    /// Names in lower case.
    pub options: BTreeMap<String, String>,
    /// The target is a folder whatever its name: the statement's name, such as UNLOAD.
    pub folder: Option<&'static str>,
}

/// `SHOW …`.
#[derive(Debug, Clone)]
pub enum Show {
    Databases {
        pattern: Option<String>,
    },
    Tables {
        database: Option<String>,
        pattern: Option<String>,
    },
    Views {
        database: Option<String>,
        pattern: Option<String>,
    },
    Columns {
        name: ObjectName,
        pattern: Option<String>,
    },
    CreateTable(ObjectName),
    CreateView(ObjectName),
    CreateDatabase(ObjectName),
    /// `SHOW TABLE EXTENDED [IN db] LIKE 'p' [PARTITION (…)]`
    TableExtended {
        database: Option<String>,
        pattern: String,
        partition: Option<PartitionSpec>,
    },
    Functions {
        pattern: Option<String>,
    },
    /// All settings, or one.
    Settings(Option<String>),
    Partitions(Box<ShowPartitions>),
    TableProperties {
        name: ObjectName,
        key: Option<String>,
    },
    /// `SHOW STATS FOR t`.
    Statistics(ObjectName),
}
