//! `information_schema`: databases, tables, columns and views as tables.

use super::definition::{CatalogObject, TableDefinition};
use super::store::{Catalog, INFORMATION_SCHEMA};
use super::table::{Table, TableColumn, TableName, TableSource, TableStatistics};
use crate::error::{Error, Result};
use crate::types::{DataType, type_name};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Field, Schema};
use std::sync::Arc;

/// What the first column of each table says.
const CATALOG_NAME: &str = "lakebed";

/// The tables: name, columns, rows. Columns are text but for those called `ordinal_position`.
struct InformationTable {
    name: &'static str,
    columns: &'static [&'static str],
    rows: fn(&Catalog, &Columns<'_>) -> Result<TextRows>,
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

/// A table of `information_schema`, with its rows as of now.
///
/// # Errors
/// When there is no such table, with the nearest name.
pub fn information_table(catalog: &Catalog, name: &str, columns: &Columns<'_>) -> Result<Table> {
    let Some(table) = TABLES.iter().find(|t| t.name == name) else {
        return Err(
            Error::plan(format!("table \"{INFORMATION_SCHEMA}.{name}\" does not exist"))
                .with_nearest(name, information_tables()),
        );
    };
    let rows = (table.rows)(catalog, columns)?;
    let mut arrays: Vec<ArrayRef> = vec![];
    let mut described = vec![];
    for (i, &column) in table.columns.iter().enumerate() {
        let texts = rows.iter().map(|row| row.get(i).cloned().flatten());
        let array: ArrayRef = match column {
            "ordinal_position" => Arc::new(texts.map(|t| t.and_then(|t| t.parse().ok())).collect::<Int64Array>()),
            _ => Arc::new(texts.collect::<StringViewArray>()),
        };
        described.push(TableColumn {
            name: column.into(),
            data_type: array.data_type().clone(),
            nullable: true,
        });
        arrays.push(array);
    }
    let field = |c: &TableColumn| Field::new(c.name.as_ref(), c.data_type.clone(), true);
    let schema = Schema::new(described.iter().map(field).collect::<Vec<_>>());
    let batch = RecordBatch::try_new(Arc::new(schema), arrays)?;
    Ok(Table {
        name: TableName {
            database: Some(INFORMATION_SCHEMA.into()),
            name: name.into(),
        },
        columns: described,
        statistics: TableStatistics {
            rows: Some(rows.len() as u64),
            ..Default::default()
        },
        source: TableSource::Memory(vec![batch]),
    })
}

fn text(s: impl Into<String>) -> Option<String> {
    Some(s.into())
}

fn schemata(catalog: &Catalog, _: &Columns<'_>) -> Result<TextRows> {
    let databases = catalog.databases()?;
    Ok(databases
        .into_iter()
        .map(|d| vec![text(CATALOG_NAME), text(d.name)])
        .collect())
}

fn objects(catalog: &Catalog) -> Result<Vec<CatalogObject>> {
    let mut all = vec![];
    for database in catalog.databases()? {
        all.extend(catalog.objects(&database.name)?);
    }
    Ok(all)
}

fn tables(catalog: &Catalog, _: &Columns<'_>) -> Result<TextRows> {
    let row = |schema: &str, name: &str, kind: &str| vec![text(CATALOG_NAME), text(schema), text(name), text(kind)];
    let own = information_tables().map(|name| row(INFORMATION_SCHEMA, name, "BASE TABLE"));
    let of = |o: CatalogObject| match &o {
        CatalogObject::Table(TableDefinition { database, name, .. }) => row(database, name, "BASE TABLE"),
        CatalogObject::View(v) => row(&v.database, &v.name, "VIEW"),
    };
    Ok(objects(catalog)?.into_iter().map(of).chain(own).collect())
}

fn columns(catalog: &Catalog, find: &Columns<'_>) -> Result<TextRows> {
    let mut rows = vec![];
    for object in objects(catalog)? {
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

fn views(catalog: &Catalog, _: &Columns<'_>) -> Result<TextRows> {
    let of = |o: CatalogObject| match o {
        CatalogObject::View(v) => Some(vec![text(CATALOG_NAME), text(v.database), text(v.name), text(v.query)]),
        CatalogObject::Table(_) => None,
    };
    Ok(objects(catalog)?.into_iter().filter_map(of).collect())
}
