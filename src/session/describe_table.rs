//! DESCRIBE of tables, columns, partitions and databases, SHOW TBLPROPERTIES and SHOW TABLE EXTENDED.

use super::describe::{cell, matcher};
use super::show_create::escaped;
use super::{Session, StatementResult};
use crate::catalog::{
    CatalogObject, ColumnDefinition, DEFAULT_DATABASE, DatabaseDefinition, TableDefinition, hive_type_name,
    is_projected, partition_path,
};
use crate::error::{Error, Result};
use crate::format::hive_property;
use crate::sql::{Describe, ObjectName, PartitionSpec};
use crate::types::DataType;

/// A row of DESCRIBE: name, type or value, comment.
type Line = [String; 3];

fn line(a: impl Into<String>, b: impl Into<String>, c: impl Into<String>) -> Line {
    [a.into(), b.into(), c.into()]
}

impl Session {
    pub(super) fn describe(&self, statement: &Describe) -> Result<StatementResult> {
        let columns = self.columns_of_name(&statement.name)?;
        let rows = match statement.column.split_first() {
            Some((first, path)) => vec![described_column(&columns, first, path, statement)?],
            None => self.described_table(columns, statement)?,
        };
        let rows = rows
            .into_iter()
            .map(|row| row.into_iter().map(Some).collect())
            .collect();
        StatementResult::text(&["col_name", "data_type", "comment"], rows)
    }

    fn described_table(&self, columns: Vec<(String, DataType, String)>, statement: &Describe) -> Result<Vec<Line>> {
        let mut rows: Vec<Line> = columns
            .into_iter()
            .map(|(name, t, comment)| line(name, hive_type_name(&t), comment))
            .collect();
        let (database, object) = self.qualified(&statement.name);
        let found = self.catalog().object(&database, &object)?;
        if let Some(CatalogObject::Table(table)) = &found {
            if !table.partitioned_by.is_empty() {
                rows.extend([
                    line("", "", ""),
                    line("# Partition Information", "", ""),
                    line("# col_name", "data_type", "comment"),
                ]);
                rows.extend(
                    table
                        .partitioned_by
                        .iter()
                        .map(|c| line(c.name.clone(), type_text(c), c.comment.as_deref().unwrap_or_default())),
                );
            }
            if let Some(spec) = &statement.partition {
                rows.extend(self.described_partition(table, spec)?);
            }
        } else if statement.partition.is_some() {
            return Err(Error::plan(format!("\"{object}\" has no partitions")).with_span(statement.name.span));
        }
        if statement.extended {
            match &found {
                Some(CatalogObject::Table(table)) => rows.extend(self.table_details(table)?),
                Some(CatalogObject::View(view)) => {
                    rows.extend([
                        line("", "", ""),
                        line("# Detailed Table Information", "", ""),
                        line("Database:", view.database.clone(), ""),
                        line("Table Type:", "VIRTUAL_VIEW", ""),
                        line("Comment:", view.comment.clone().unwrap_or_default(), ""),
                    ]);
                    rows.extend(
                        view.properties
                            .iter()
                            .map(|(k, v)| line(format!("{k}:"), v.clone(), "")),
                    );
                    rows.push(line("View Text:", view.query.clone(), ""));
                }
                None => {}
            }
        }
        Ok(rows)
    }

    fn table_details(&self, table: &TableDefinition) -> Result<Vec<Line>> {
        let kind = match table.external {
            true => "EXTERNAL_TABLE",
            false => "MANAGED_TABLE",
        };
        let mut rows = vec![
            line("", "", ""),
            line("# Detailed Table Information", "", ""),
            line("Database:", table.database.clone(), ""),
            line("Location:", table.location.clone(), ""),
            line("Table Type:", kind, ""),
            line("Format:", table.format.clone(), ""),
        ];
        rows.extend(
            table
                .comment
                .iter()
                .map(|comment| line("Comment:", comment.clone(), "")),
        );
        if is_projected(table) {
            rows.push(line("Partitions known by:", "projection (table properties)", ""));
        } else if !table.partitioned_by.is_empty() {
            rows.push(line(
                "Partitions known by:",
                self.known_partitions(table)?.known_by(),
                "",
            ));
        }
        rows.extend(properties(table).into_iter().map(|(k, v)| line(format!("{k}:"), v, "")));
        Ok(rows)
    }

    fn described_partition(&self, table: &TableDefinition, spec: &PartitionSpec) -> Result<Vec<Line>> {
        let filter = self.spec_filter(table, Some(spec))?;
        let found = self.known_partitions(table)?.partitions(&filter)?.partitions;
        let Some(partition) = found.first() else {
            return Err(Error::plan(format!("table \"{}\" has no such partition", table.name))
                .with_span(spec.first().map(|c| c.span).unwrap_or_default()));
        };
        if found.len() > 1 {
            return Err(
                Error::plan(format!("{} partitions of table \"{}\" are so", found.len(), table.name))
                    .with_span(spec.first().map(|c| c.span).unwrap_or_default())
                    .with_hint("give each key a value"),
            );
        }
        Ok(vec![
            line("", "", ""),
            line("# Detailed Partition Information", "", ""),
            line("Partition Value:", partition_path(table, &partition.texts), ""),
            line("Location:", partition.location.clone(), ""),
        ])
    }

    pub(super) fn describe_database(&self, name: &ObjectName, extended: bool) -> Result<StatementResult> {
        let database = self
            .catalog()
            .require_database(&name.name)
            .map_err(|e| e.with_span(name.span))?;
        let mut rows = vec![
            vec![cell("Database"), cell(&database.name)],
            vec![cell("Comment"), cell(database.comment.clone().unwrap_or_default())],
            vec![cell("Location"), cell(self.database_location(&database)?)],
        ];
        if extended {
            let properties = database.properties.iter().map(|(k, v)| format!("{k}={v}"));
            rows.push(vec![
                cell("Properties"),
                cell(properties.collect::<Vec<_>>().join(", ")),
            ]);
        }
        StatementResult::text(&["info_name", "info_value"], rows)
    }

    /// The folder of a database's managed tables.
    fn database_location(&self, database: &DatabaseDefinition) -> Result<String> {
        let below = self.catalog().managed_location(&database.name, "x")?;
        Ok(below.strip_suffix("/x").unwrap_or(&below).to_string())
    }

    pub(super) fn show_properties(&self, name: &ObjectName, key: Option<&str>) -> Result<StatementResult> {
        let all = match self.require(name)? {
            CatalogObject::Table(table) => properties(&table),
            CatalogObject::View(view) => view.properties.into_iter().collect(),
        };
        let wanted = |k: &str| key.is_none_or(|key| key.eq_ignore_ascii_case(k));
        let rows: Vec<_> = all.into_iter().filter(|(k, _)| wanted(k)).collect();
        if let (Some(key), true) = (key, rows.is_empty()) {
            return Err(Error::plan(format!("\"{}\" has no property \"{key}\"", name.name)).with_span(name.span));
        }
        let rows = rows.into_iter().map(|(k, v)| vec![cell(k), cell(v)]).collect();
        StatementResult::text(&["prpt_name", "prpt_value"], rows)
    }

    /// One row per table whose name fits, with what there is to say about it; with a partition, about that.
    pub(super) fn show_table_extended(
        &self,
        database: Option<&str>,
        pattern: &str,
        partition: Option<&PartitionSpec>,
    ) -> Result<StatementResult> {
        let database = database.map_or_else(|| self.database(), str::to_string);
        self.catalog().require_database(&database)?;
        let fits = matcher(Some(pattern))?;
        let mut rows = vec![];
        for object in self
            .catalog()
            .objects(&database)?
            .into_iter()
            .filter(|o| fits(o.name()))
        {
            let lines = match (&object, partition) {
                (CatalogObject::Table(table), Some(spec)) => self.described_partition(table, spec)?,
                (CatalogObject::Table(table), None) => self.table_details(table)?,
                (CatalogObject::View(view), _) => vec![
                    line("Table Type:", "VIRTUAL_VIEW", ""),
                    line("View Text:", view.query.clone(), ""),
                ],
            };
            let told = lines
                .iter()
                .filter(|[name, value, _]| !(name.starts_with('#') || name.is_empty() && value.is_empty()));
            let text: Vec<String> = told.map(|[name, value, _]| format!("{name} {value}")).collect();
            let temporary = self.catalog().is_temporary(&database, object.name());
            rows.push(vec![
                cell(&database),
                cell(object.name()),
                cell(temporary.to_string()),
                cell(text.join(", ")),
            ]);
        }
        StatementResult::text(&["database", "table_name", "is_temporary", "information"], rows)
    }
}

/// The properties of a table under the names that Hive and Athena give them.
fn properties(table: &TableDefinition) -> Vec<(String, String)> {
    let own = table.properties.iter().map(|(k, v)| (k.clone(), v.clone()));
    let options = table
        .options
        .iter()
        .map(|(k, v)| (hive_property(&table.format, k).0, escaped(v)));
    own.chain(options).collect()
}

fn type_text(column: &ColumnDefinition) -> String {
    column
        .data_type()
        .map_or_else(|_| column.type_text.clone(), |t| hive_type_name(&t))
}

/// A column, or a part of it: a field of a row, `$elem$` of an array, `$key$` and `$value$` of a map.
fn described_column(
    columns: &[(String, DataType, String)],
    name: &str,
    path: &[String],
    statement: &Describe,
) -> Result<Line> {
    let found = columns.iter().find(|(n, _, _)| n.eq_ignore_ascii_case(name));
    let (name, mut data_type, mut comment) = found.cloned().ok_or_else(|| {
        Error::plan(format!("\"{}\" has no column \"{name}\"", statement.name.name))
            .with_span(statement.name.span)
            .with_nearest(name, columns.iter().map(|(n, _, _)| n.as_str()))
    })?;
    let mut shown = name;
    for part in path {
        let inner = match (&data_type, part.as_str()) {
            (DataType::List(item), "$elem$") => Some(item.data_type().clone()),
            (DataType::Map(entries, _), "$key$" | "$value$") => match entries.data_type() {
                DataType::Struct(pair) => pair.get((part == "$value$") as usize).map(|f| f.data_type().clone()),
                _ => None,
            },
            (DataType::Struct(fields), field) => {
                let field = fields.iter().find(|f| f.name().eq_ignore_ascii_case(field));
                field.map(|f| f.data_type().clone())
            }
            _ => None,
        };
        data_type = inner.ok_or_else(|| {
            Error::plan(format!(
                "{shown} is {}: it has no part \"{part}\"",
                hive_type_name(&data_type)
            ))
            .with_span(statement.name.span)
        })?;
        shown = part.clone();
        comment = String::new();
    }
    Ok(line(shown, hive_type_name(&data_type), comment))
}

/// Whether a database is one that nobody created.
pub(super) fn is_built_in(database: &DatabaseDefinition) -> bool {
    let plain = database.comment.is_none() && database.location.is_none() && database.properties.is_empty();
    database.name == DEFAULT_DATABASE && plain
}
