//! What the catalog remembers: databases, tables, views. Each is one readable JSON file.

use crate::error::{Error, Result};
use crate::types::{DataType, parse_type};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The property of an external table whose files go with it, as those of a managed one do.
pub const PURGED: &str = "external.table.purge";

/// A database: a name and where its managed tables are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DatabaseDefinition {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The folder of its managed tables, when it is not the warehouse's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// A table over files.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TableDefinition {
    pub database: String,
    pub name: String,
    /// Whether DROP TABLE leaves the files alone, unless [a property](PURGED) says otherwise.
    pub external: bool,
    /// As the list of formats names it.
    pub format: String,
    /// The SerDe class, when the table was declared with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serde: Option<String>,
    /// Options of the format under its own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// A folder, absolute, or a URL.
    pub location: String,
    /// Without partition columns; empty when the files tell.
    #[serde(default)]
    pub columns: Vec<ColumnDefinition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitioned_by: Vec<ColumnDefinition>,
    /// CLUSTERED BY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucketing: Option<Bucketing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// TBLPROPERTIES that are no options of the format.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// Rows in files by the hash of some columns, and in the order of others inside of the files.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Bucketing {
    /// Empty when rows are only sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// 0 when rows are only sorted.
    #[serde(default)]
    pub count: u32,
    /// Columns by which the rows of each file are sorted, and whether downwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sorted_by: Vec<(String, bool)>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ColumnDefinition {
    pub name: String,
    /// The SQL type as Hive spells it.
    #[serde(rename = "type")]
    pub type_text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A partition of a table that the catalog has registered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PartitionDefinition {
    /// One text per partition column, in their order; `None` is NULL.
    pub values: Vec<Option<String>>,
    /// Where its files are, when that is not the folder `k=v/…` below the table's location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// A stored query.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ViewDefinition {
    pub database: String,
    pub name: String,
    /// The query as written.
    pub query: String,
    /// The database that was current when the view was made: names in the query are looked up there.
    pub current_database: String,
    /// Names that replace those of the query's columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Comments of columns that have one, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub column_comments: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// What a name in a database stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum CatalogObject {
    Table(TableDefinition),
    View(ViewDefinition),
}

impl CatalogObject {
    pub fn database(&self) -> &str {
        match self {
            Self::Table(t) => &t.database,
            Self::View(v) => &v.database,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Table(t) => &t.name,
            Self::View(v) => &v.name,
        }
    }

    /// `table` or `view`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "table",
            Self::View(_) => "view",
        }
    }
}

impl ColumnDefinition {
    pub fn new(name: impl Into<String>, data_type: &DataType, comment: Option<String>) -> Self {
        Self {
            name: name.into(),
            type_text: hive_type_name(data_type),
            comment,
        }
    }

    pub fn data_type(&self) -> Result<DataType> {
        parse_type(&self.type_text).map_err(|e| e.context(format!("column \"{}\"", self.name)))
    }
}

impl TableDefinition {
    /// Whether its files go when it is dropped, a partition with that, and rows with TRUNCATE.
    pub fn owns_files(&self) -> bool {
        let purged = self.properties.get(PURGED);
        !self.external || purged.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// # Errors
    /// When two columns have one name.
    pub fn check_columns(&self) -> Result<()> {
        let mut seen = std::collections::HashSet::new();
        for column in self.columns.iter().chain(&self.partitioned_by) {
            if !seen.insert(column.name.to_lowercase()) {
                return Err(Error::plan(format!(
                    "column \"{}\" occurs more than once in table \"{}\"",
                    column.name, self.name
                )));
            }
        }
        Ok(())
    }
}

/// The Hive spelling of a type: what DDL takes and DESCRIBE shows.
pub fn hive_type_name(t: &DataType) -> String {
    match t {
        DataType::Int32 => "int".into(),
        DataType::Float32 => "float".into(),
        DataType::Utf8View => "string".into(),
        DataType::BinaryView => "binary".into(),
        DataType::List(f) => format!("array<{}>", hive_type_name(f.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(kv) if kv.len() == 2 => {
                format!(
                    "map<{},{}>",
                    hive_type_name(kv[0].data_type()),
                    hive_type_name(kv[1].data_type())
                )
            }
            other => crate::types::type_name(other),
        },
        DataType::Struct(fields) => {
            let field =
                |f: &arrow::datatypes::FieldRef| format!("{}:{}", quoted(f.name()), hive_type_name(f.data_type()));
            format!("struct<{}>", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
        other => crate::types::type_name(other),
    }
}

/// A field name of a row type, in backticks when it is no plain word.
fn quoted(name: &str) -> String {
    match !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    {
        true => name.to_string(),
        false => format!("`{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hive_types_are_read_back() {
        for text in [
            "int",
            "array<struct<a:string,b:map<string,float>>>",
            "decimal(10,2)",
            "binary",
            "struct<`A b`:date>",
        ] {
            assert_eq!(hive_type_name(&parse_type(text).unwrap()), text);
        }
    }
}
