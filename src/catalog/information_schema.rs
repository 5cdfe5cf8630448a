//! `information_schema`: databases, tables, columns and views as tables.

use super::PartitionFilter;
use super::definition::{CatalogObject, TableDefinition};
use super::store::{Catalog, INFORMATION_SCHEMA};
use super::table::{Table, TableColumn, TableName, TableSource, TableStatistics};
use crate::error::{Error, Result};
use crate::types::{DataType, ScalarValue, type_name};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Field, Schema};
use std::sync::Arc;

/// What the first column of each table says.
const CATALOG_NAME: &str = "lakebed";

/// The tables: name, columns, rows. Columns are text but for those called `ordinal_position`.
struct InformationTable {
    name: &'static str,
    columns: &'static [&'static str],
    rows: fn(&Selection, &Columns<'_>) -> Result<TextRows>,
}

/// Rows of texts, `None` for NULL.
type TextRows = Vec<Vec<Option<String>>>;

/// How the columns of a table or view are found out: resolving and binding is not this room's business.
pub type Columns<'a> = dyn Fn(&CatalogObject) -> Result<Vec<(String, DataType)>> + 'a;

static TABLES: &[InformationTable] = &[
    InformationTable {
        name: "schemata",
        columns: &["catalog_name", "schema_name"],
        rows: schemata,
    },
    InformationTable {
        name: "tables",
        columns: &["table_catalog", "table_schema", "table_name", "table_type"],
        rows: tables,
    },
    InformationTable {
        name: "columns",
        columns: &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "column_default",
            "is_nullable",
            "data_type",
            "comment",
            "extra_info",
        ],
        rows: columns,
    },
    InformationTable {
        name: "views",
        columns: &["table_catalog", "table_schema", "table_name", "view_definition"],
        rows: views,
    },
];

/// The names of its tables.
pub fn information_tables() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|t| t.name)
}

/// A table of `information_schema`, whose rows [`information_rows`] finds when the query's conditions are known.
///
/// # Errors
/// When there is no such table, with the nearest name.
pub fn information_table(name: &str) -> Result<Table> {
    let Some(table) = TABLES.iter().find(|t| t.name == name) else {
        return Err(
            Error::plan(format!("table \"{INFORMATION_SCHEMA}.{name}\" does not exist"))
                .with_nearest(name, information_tables()),
        );
    };
    let column = |name: &&'static str| TableColumn {
        name: (*name).into(),
        data_type: match *name {
            "ordinal_position" => DataType::Int64,
            _ => DataType::Utf8View,
        },
        nullable: true,
    };
    Ok(Table {
        name: TableName {
            database: Some(INFORMATION_SCHEMA.into()),
            name: name.into(),
        },
        columns: table.columns.iter().map(column).collect(),
        statistics: TableStatistics::default(),
        source: TableSource::Information(Information {
            name: table.name,
            schema: table
                .columns
                .iter()
                .position(|c| ["table_schema", "schema_name"].contains(c)),
            object: table.columns.iter().position(|c| *c == "table_name"),
        }),
    })
}

/// A table of `information_schema` before its rows are found.
#[derive(Debug)]
pub struct Information {
    name: &'static str,
    /// The column with the database's name, …
    schema: Option<usize>,
    /// … and the one with the name of the table or view.
    object: Option<usize>,
}

impl Information {
    /// Positions of the columns whose conditions leave out databases and objects: the keys of the filter.
    pub fn keys(&self) -> Vec<usize> {
        self.schema.into_iter().chain(self.object).collect()
    }
}

/// The table with its rows as of now. Databases and objects that the filter leaves out are not looked at.
pub fn information_rows(
    catalog: &Catalog,
    information: &Information,
    filter: &PartitionFilter,
    columns: &Columns<'_>,
) -> Result<Table> {
    let table = information_table(information.name)?;
    let found = TABLES.iter().find(|t| t.name == information.name);
    let find = found
        .ok_or_else(|| Error::internal("a table of information_schema is one"))?
        .rows;
    let rows = find(&Selection { catalog, filter }, columns)?;
    let mut arrays: Vec<ArrayRef> = vec![];
    for (i, column) in table.columns.iter().enumerate() {
        let texts = rows.iter().map(|row| row.get(i).cloned().flatten());
        arrays.push(match column.data_type {
            DataType::Int64 => Arc::new(texts.map(|t| t.and_then(|t| t.parse().ok())).collect::<Int64Array>()),
            _ => Arc::new(texts.collect::<StringViewArray>()),
        });
    }
    let field = |c: &TableColumn| Field::new(c.name.as_ref(), c.data_type.clone(), true);
    let schema = Schema::new(table.columns.iter().map(field).collect::<Vec<_>>());
    let batch = RecordBatch::try_new(Arc::new(schema), arrays)?;
    Ok(Table {
        statistics: TableStatistics {
            rows: Some(rows.len() as u64),
            ..Default::default()
        },
        source: TableSource::Memory(vec![batch]),
        ..table
    })
}

/// The catalog as far as a query wants it.
struct Selection<'a> {
    catalog: &'a Catalog,
    /// Over the names of a database and of an object.
    filter: &'a PartitionFilter,
}

impl Selection<'_> {
    fn wants(&self, database: &str, object: Option<&str>) -> bool {
        let known = [Some(ScalarValue::string(database)), object.map(ScalarValue::string)];
        self.filter.may_match(&known)
    }

    fn databases(&self) -> Result<Vec<String>> {
        let all = self.catalog.databases()?.into_iter().map(|d| d.name);
        Ok(all.filter(|name| self.wants(name, None)).collect())
    }

    fn objects(&self) -> Result<Vec<CatalogObject>> {
        let mut all = vec![];
        let names = self.filter.listed_values(1);
        for database in self.databases()? {
            match &names {
                // Each is one look, however many others there are.
                Some(names) => {
                    for name in names.iter().filter_map(ScalarValue::as_str) {
                        all.extend(self.catalog.object(&database, name)?);
                    }
                }
                None => all.extend(self.catalog.objects(&database)?),
            }
        }
        all.retain(|o| self.wants(o.database(), Some(o.name())));
        Ok(all)
    }
}

fn text(s: impl Into<String>) -> Option<String> {
    Some(s.into())
}

fn schemata(selection: &Selection, _: &Columns<'_>) -> Result<TextRows> {
    let databases = selection.databases()?;
    Ok(databases
        .into_iter()
        .map(|d| vec![text(CATALOG_NAME), text(d)])
        .collect())
}

fn tables(selection: &Selection, _: &Columns<'_>) -> Result<TextRows> {
    let row = |schema: &str, name: &str, kind: &str| vec![text(CATALOG_NAME), text(schema), text(name), text(kind)];
    let own = information_tables().filter(|name| selection.wants(INFORMATION_SCHEMA, Some(name)));
    let own = own.map(|name| row(INFORMATION_SCHEMA, name, "BASE TABLE"));
    let of = |o: CatalogObject| match &o {
        CatalogObject::Table(TableDefinition { database, name, .. }) => row(database, name, "BASE TABLE"),
        CatalogObject::View(v) => row(&v.database, &v.name, "VIEW"),
    };
    Ok(selection.objects()?.into_iter().map(of).chain(own).collect())
}

fn columns(selection: &Selection, find: &Columns<'_>) -> Result<TextRows> {
    let mut rows = vec![];
    for object in selection.objects()? {
        // A table whose files are gone or a view that no longer binds has no columns to tell, and hides no others.
        let Ok(columns) = find(&object) else { continue };
        for (i, (name, data_type)) in columns.into_iter().enumerate() {
            let comment = match &object {
                CatalogObject::Table(t) => {
                    let mut all = t.columns.iter().chain(&t.partitioned_by);
                    all.find(|c| c.name == name).and_then(|c| c.comment.clone())
                }
                CatalogObject::View(_) => None,
            };
            let extra = match &object {
                CatalogObject::Table(t) if t.partitioned_by.iter().any(|c| c.name == name) => text("partition key"),
                _ => None,
            };
            rows.push(vec![
                text(CATALOG_NAME),
                text(object.database()),
                text(object.name()),
                text(name),
                text((i + 1).to_string()),
                None,
                text("YES"),
                text(type_name(&data_type)),
                comment,
                extra,
            ]);
        }
    }
    Ok(rows)
}

fn views(selection: &Selection, _: &Columns<'_>) -> Result<TextRows> {
    let of = |o: CatalogObject| match o {
        CatalogObject::View(v) => Some(vec![text(CATALOG_NAME), text(v.database), text(v.name), text(v.query)]),
        CatalogObject::Table(_) => None,
    };
    Ok(selection.objects()?.into_iter().filter_map(of).collect())
}
