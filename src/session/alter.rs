//! ALTER TABLE, ALTER VIEW and ALTER DATABASE, CREATE TABLE … LIKE, and TRUNCATE.

use super::guards::declared_location;
use super::show_create::create_statement;
use super::{Session, StatementResult};
use crate::catalog::{
    CatalogObject, ColumnDefinition, DatabaseDefinition, IfExists, PURGED, PartitionFilter, TableDefinition,
};
use crate::error::{Error, Result};
use crate::format::{find_format, format_of_serde};
use crate::sql::{
    self, AlterDatabase, AlterTable, ColumnPosition, CreateTable, CreateTableLike, Named, ObjectName, PartitionSpec,
    Statement,
};

impl Session {
    pub(super) fn alter_table(
        &self,
        name: &ObjectName,
        kind: &'static str,
        change: &AlterTable,
    ) -> Result<StatementResult> {
        let object = self.require(name)?;
        if object.kind() != kind {
            return Err(
                Error::plan(format!("\"{}\" is a {}, not a {kind}", name.name, object.kind()))
                    .with_span(name.span)
                    .with_hint(format!("ALTER {} changes it", object.kind().to_uppercase())),
            );
        }
        match change {
            AlterTable::AddPartitions {
                if_not_exists,
                partitions,
            } => return self.add_partitions(name, *if_not_exists, partitions),
            AlterTable::DropPartitions { if_exists, specs } => return self.drop_partitions(name, *if_exists, specs),
            AlterTable::RenamePartition { from, to } => return self.rename_partition(name, from, to),
            AlterTable::RecoverPartitions => return self.repair(name, sql::Repair::Add, None),
            AlterTable::SetLocation {
                partition: Some(partition),
                location,
            } => return self.set_partition_location(name, partition, location),
            AlterTable::SetLocation {
                partition: None,
                location,
            } => {
                let location = declared_location(location)?;
                self.catalog()
                    .set_location(object.database(), object.name(), &location)?;
            }
            AlterTable::Rename(new) => self.rename(object, new)?,
            _ => self.change_definition(object, change).map_err(|e| match e.span() {
                Some(_) => e,
                None => e.with_span(name.span),
            })?,
        }
        Ok(StatementResult::done(format!("ALTER {}", kind.to_uppercase())))
    }

    fn change_definition(&self, object: CatalogObject, change: &AlterTable) -> Result<()> {
        let (database, name) = (object.database().to_string(), object.name().to_string());
        self.catalog().change(&database, &name, |object| match object {
            CatalogObject::Table(table) => Ok(CatalogObject::Table(self.changed(table, change)?)),
            CatalogObject::View(mut view) => {
                match change {
                    AlterTable::SetProperties(pairs) => set_view_properties(&mut view, pairs),
                    AlterTable::UnsetProperties { names, .. } => names.iter().for_each(|n| {
                        view.properties.remove(&n.to_lowercase());
                    }),
                    _ => return Err(Error::unsupported("ALTER VIEW with this change")),
                }
                Ok(CatalogObject::View(view))
            }
        })
    }

    /// The table after a change of its definition.
    fn changed(&self, mut table: TableDefinition, change: &AlterTable) -> Result<TableDefinition> {
        match change {
            AlterTable::AddColumns(columns) => {
                declared(&table)?;
                table.columns.extend(definitions(columns));
            }
            AlterTable::ReplaceColumns(columns) => table.columns = definitions(columns),
            AlterTable::ChangeColumn { old, new, position } => {
                let at = column_position(&table, old)?;
                let mut column = definitions(std::slice::from_ref(new)).remove(0);
                let before = table.columns.remove(at);
                column.comment = column.comment.or(before.comment);
                let to = match position {
                    None => at,
                    Some(ColumnPosition::First) => 0,
                    Some(ColumnPosition::After(other)) => column_position(&table, other)? + 1,
                };
                table.columns.insert(to.min(table.columns.len()), column);
            }
            AlterTable::RenameColumn { old, new } => {
                let at = column_position(&table, old)?;
                if let Some(column) = table.columns.get_mut(at) {
                    column.name = new.to_lowercase();
                }
            }
            AlterTable::DropColumns(names) => {
                for name in names {
                    let at = column_position(&table, name)?;
                    table.columns.remove(at);
                }
                if table.columns.is_empty() {
                    return Err(Error::plan(format!("table \"{}\" would have no columns", table.name)));
                }
            }
            AlterTable::SetProperties(pairs) => {
                return self.redefined(table, |statement| {
                    for (name, value) in pairs {
                        match name.to_lowercase().as_str() {
                            "comment" => statement.comment = Some(value.clone()),
                            "external" => statement.external = value.eq_ignore_ascii_case("true"),
                            _ => {
                                remove_property(statement, name);
                                statement.properties.insert(name.clone(), value.clone());
                            }
                        }
                    }
                    Ok(())
                });
            }
            AlterTable::UnsetProperties { names, if_exists } => {
                return self.redefined(table, |statement| {
                    for name in names {
                        let known = match name.eq_ignore_ascii_case("comment") {
                            true => statement.comment.take().is_some(),
                            false => remove_property(statement, name),
                        };
                        if !known && !if_exists {
                            return Err(Error::plan(format!("the table has no property \"{name}\""))
                                .with_nearest(name, statement.properties.keys().map(String::as_str)));
                        }
                    }
                    Ok(())
                });
            }
            AlterTable::SetSerde { class, properties } => {
                return self.redefined(table, |statement| {
                    let text = format!(
                        "CREATE TABLE t (c int) ROW FORMAT SERDE '{}'",
                        class.replace('\'', "''")
                    );
                    let Some(Statement::CreateTable(with)) = sql::parse(&text)?.pop() else {
                        return Err(Error::internal("a CREATE TABLE is one"));
                    };
                    (statement.format, statement.input_format) = (None, None);
                    statement.row_format = with.row_format;
                    // The properties of another SerDe would mean nothing to this one.
                    statement.serde_properties = properties.clone();
                    Ok(())
                });
            }
            AlterTable::SetFormat { format, input_format } => {
                return self.redefined(table, |statement| {
                    (statement.format, statement.input_format) = (format.clone(), input_format.clone());
                    statement.row_format = None;
                    statement.serde_properties.clear();
                    Ok(())
                });
            }
            AlterTable::AddPartitions { .. }
            | AlterTable::DropPartitions { .. }
            | AlterTable::RenamePartition { .. }
            | AlterTable::RecoverPartitions
            | AlterTable::SetLocation { .. }
            | AlterTable::Rename(_) => return Err(Error::internal("no change of a definition")),
        }
        table.check_columns()?;
        Ok(table)
    }

    /// The table as its own CREATE TABLE makes it after `change`: what a property means is decided there alone.
    fn redefined(
        &self,
        table: TableDefinition,
        change: impl FnOnce(&mut CreateTable) -> Result<()>,
    ) -> Result<TableDefinition> {
        let Some(Statement::CreateTable(mut statement)) = sql::parse(&create_statement(&table))?.pop() else {
            return Err(Error::internal("SHOW CREATE TABLE gives a CREATE TABLE"));
        };
        statement.external = table.external;
        statement.location = Some(table.location.clone());
        change(&mut statement)?;
        let external = statement.external;
        let mut changed = self.table_definition(&statement)?;
        changed.external = external;
        changed.location = table.location;
        Ok(changed)
    }

    /// Gives an object another name. The files of a table stay where they are.
    fn rename(&self, object: CatalogObject, new: &ObjectName) -> Result<()> {
        let (database, name) = (object.database().to_string(), object.name().to_string());
        let new_database = new.database.clone().unwrap_or_else(|| database.clone());
        let renamed = self.catalog().rename(&database, &name, &new_database, &new.name);
        renamed.map_err(|e| e.with_span(new.span))
    }

    pub(super) fn alter_database(&self, name: &ObjectName, change: &AlterDatabase) -> Result<StatementResult> {
        let changed = |mut database: DatabaseDefinition| {
            match change {
                AlterDatabase::SetProperties(pairs) => database.properties.extend(pairs.clone()),
                AlterDatabase::SetLocation(location) => {
                    database.location = Some(declared_location(location)?);
                }
            }
            Ok(database)
        };
        self.catalog()
            .change_database(&name.name, changed)
            .map_err(|e| e.with_span(name.span))?;
        Ok(StatementResult::done("ALTER DATABASE"))
    }

    pub(super) fn alter_view(
        &self,
        name: &ObjectName,
        query: &sqlparser::ast::Query,
        text: &str,
    ) -> Result<StatementResult> {
        let CatalogObject::View(view) = self.require(name)? else {
            return Err(Error::plan(format!("\"{}\" is a table, not a view", name.name)).with_span(name.span));
        };
        // Bound once so that a view that cannot work is not made.
        let plan = self.bind(query, &[])?;
        if !view.columns.is_empty() && view.columns.len() != plan.schema().len() {
            return Err(Error::plan(format!(
                "view \"{}\" names {} columns, the query has {}",
                view.name,
                view.columns.len(),
                plan.schema().len()
            ))
            .with_span(name.span));
        }
        let current_database = self.database();
        self.catalog()
            .change(&view.database, &view.name, |object| match object {
                CatalogObject::View(view) => Ok(CatalogObject::View(crate::catalog::ViewDefinition {
                    query: text.to_string(),
                    current_database: current_database.clone(),
                    ..view
                })),
                table => Ok(table),
            })?;
        Ok(StatementResult::done("ALTER VIEW"))
    }

    pub(super) fn create_table_like(&self, statement: &CreateTableLike) -> Result<StatementResult> {
        let done = Ok(StatementResult::done("CREATE TABLE"));
        let like = self.require(&statement.like)?;
        let (database, name) = self.qualified(&statement.name);
        self.catalog()
            .require_open_database(&database)
            .map_err(|e| e.with_span(statement.name.span))?;
        if statement.if_not_exists && self.existing(&database, &name, statement.temporary)?.is_some() {
            return done;
        }
        let temporary = statement.temporary || self.temporary_ddl();
        let external = statement.external || statement.location.is_some();
        let location = match &statement.location {
            Some(location) => declared_location(location)?,
            None if statement.external => {
                return Err(
                    Error::plan(format!("external table \"{name}\" needs a LOCATION")).with_span(statement.name.span)
                );
            }
            None if temporary => self.temporary_location()?,
            None => self.free_location(&database, &name)?,
        };
        let columns = self.columns_of(&like)?;
        let definition = match like {
            CatalogObject::Table(table) => {
                let declared = match table.columns.is_empty() {
                    true => {
                        let own = columns.len().saturating_sub(table.partitioned_by.len());
                        let own = columns.iter().take(own);
                        own.map(|(n, t)| ColumnDefinition::new(n.clone(), t, None)).collect()
                    }
                    false => table.columns.clone(),
                };
                TableDefinition {
                    columns: declared,
                    ..table
                }
            }
            CatalogObject::View(_) => TableDefinition {
                format: find_format("PARQUET")?.name().to_string(),
                columns: columns
                    .iter()
                    .map(|(n, t)| ColumnDefinition::new(n.to_lowercase(), t, None))
                    .collect(),
                ..Default::default()
            },
        };
        let definition = TableDefinition {
            database,
            name,
            external,
            location,
            ..definition
        };
        definition.check_columns()?;
        let if_exists = match self.temporary_ddl() {
            true => IfExists::Replace,
            false => IfExists::Error,
        };
        self.catalog()
            .create(CatalogObject::Table(definition), if_exists, temporary)
            .map_err(|e| e.with_span(statement.name.span))?;
        done
    }

    /// The folder for the files of a new managed table: its own, unless a table that was renamed still has its files there.
    pub(super) fn free_location(&self, database: &str, name: &str) -> Result<String> {
        let location = self.catalog().managed_location(database, name)?;
        let numbered = (2..).map(|i| format!("{location}_{i}"));
        for candidate in std::iter::once(location.clone()).chain(numbered) {
            if !self.catalog().is_taken(&candidate)? {
                return Ok(candidate);
            }
        }
        Err(Error::internal("there are more names than tables"))
    }

    /// Removes all rows of a table, or of those partitions that fulfil `PARTITION (…)`: all or none.
    pub(super) fn truncate(&self, name: &ObjectName, partition: Option<&PartitionSpec>) -> Result<StatementResult> {
        let table = self.require_table(name)?;
        if !table.owns_files() {
            return Err(Error::plan(format!(
                "table \"{}\" is external: its files are not ours to remove",
                name.name
            ))
            .with_span(name.span)
            .with_hint(format!(
                "INSERT OVERWRITE replaces its rows; ALTER TABLE … DROP PARTITION forgets partitions; with the property \
                 {PURGED} = 'true' its files go as those of a managed table do"
            )));
        }
        let filter = match table.partitioned_by.is_empty() {
            true if partition.is_some() => {
                return Err(Error::plan(format!("table \"{}\" has no partitions", name.name)).with_span(name.span));
            }
            true => PartitionFilter::default(),
            false => self.spec_filter(&table, partition)?,
        };
        self.remove_files(&table, &filter)?;
        Ok(StatementResult::done("TRUNCATE TABLE"))
    }
}

fn set_view_properties(view: &mut crate::catalog::ViewDefinition, pairs: &std::collections::BTreeMap<String, String>) {
    for (name, value) in pairs {
        match name.to_lowercase().as_str() {
            "comment" => view.comment = Some(value.clone()),
            lower => {
                view.properties.insert(lower.to_string(), value.clone());
            }
        }
    }
}

/// Takes a property away under any name that the table's format has for it.
fn remove_property(statement: &mut CreateTable, name: &str) -> bool {
    let serde = statement.row_format.as_ref().and_then(|r| r.serde.as_deref());
    let entry = match (serde, statement.format.as_deref()) {
        (Some(class), _) => format_of_serde(class).ok(),
        (None, Some(format)) => find_format(format).ok(),
        (None, None) => None,
    };
    let lower = name.to_lowercase();
    let option = entry.and_then(|e| e.option(&lower));
    let other = |k: &String| {
        let k = k.to_lowercase();
        k != lower && (option.is_none() || entry.and_then(|e| e.option(&k)) != option)
    };
    let before = statement.properties.len() + statement.serde_properties.len();
    statement.properties.retain(|k, _| other(k));
    statement.serde_properties.retain(|k, _| other(k));
    statement.properties.len() + statement.serde_properties.len() < before
}

fn definitions(columns: &[sql::ColumnDefinition]) -> Vec<ColumnDefinition> {
    let typed = columns.iter().filter_map(|c| Some((c, c.data_type.as_ref()?)));
    typed
        .map(|(c, t)| ColumnDefinition::new(c.name.to_lowercase(), t, c.comment.clone()))
        .collect()
}

/// # Errors
/// When the table's columns are whatever its files have.
fn declared(table: &TableDefinition) -> Result<()> {
    match table.columns.is_empty() {
        true => Err(Error::plan(format!(
            "table \"{}\" declares no columns: its files tell them",
            table.name
        ))
        .with_hint("declare all of them with ALTER TABLE … REPLACE COLUMNS (…)")),
        false => Ok(()),
    }
}

/// Where a column stands that is no partition column.
fn column_position(table: &TableDefinition, (name, span): &Named) -> Result<usize> {
    declared(table)?;
    let found = table.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let key = table.partitioned_by.iter().any(|c| c.name.eq_ignore_ascii_case(name));
        let error = match key {
            true => Error::plan(format!(
                "\"{name}\" is a partition column: its folders cannot be changed"
            )),
            false => Error::plan(format!("table \"{}\" has no column \"{name}\"", table.name))
                .with_nearest(name, table.columns.iter().map(|c| c.name.as_str())),
        };
        error.with_span(*span)
    })
}
