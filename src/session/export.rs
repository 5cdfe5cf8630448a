//! The catalog as statements that make it again: databases, tables with their partitions, views after what they read.

use super::Session;
use super::describe_table::is_built_in;
use super::show_create::{create_database, create_statement, create_view, identifier, quote};
use crate::catalog::{CatalogObject, INFORMATION_SCHEMA, PartitionDefinition, TableDefinition, ViewDefinition};
use crate::error::Result;
use crate::sql::{self, TableReference};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

/// Partitions that one ALTER TABLE adds.
const PARTITIONS: usize = 500;

impl Session {
    /// Statements that make these databases, or all, with their tables, partitions and views in an empty warehouse. Files
    /// are not copied: external tables stay over theirs, managed ones begin empty. What ends with the session is left out.
    ///
    /// # Errors
    /// When there is no such database, or the catalog cannot be read.
    pub fn export_catalog(&self, databases: &[String]) -> Result<String> {
        let mut chosen = vec![];
        for name in databases {
            chosen.push(self.catalog().require_database(&name.to_lowercase())?);
        }
        if databases.is_empty() {
            chosen = self.catalog().databases()?;
        }
        chosen.retain(|d| d.name != INFORMATION_SCHEMA);
        let mut out = String::from("-- The catalog of lakebed. Run it with: lakebed -f FILE\n");
        let (mut tables, mut views) = (vec![], BTreeMap::new());
        for database in &chosen {
            if !is_built_in(database) {
                let _ = write!(out, "\n{}", create_database(database));
            }
            for object in self.catalog().objects(&database.name)? {
                if self.catalog().is_temporary(object.database(), object.name()) {
                    continue;
                }
                match object {
                    CatalogObject::Table(table) => tables.push(table),
                    CatalogObject::View(view) => {
                        views.insert((view.database.clone(), view.name.clone()), view);
                    }
                }
            }
        }
        for table in &tables {
            let _ = writeln!(out, "\n{};", create_statement(table));
            let partitions = self.catalog().partitions(&table.database, &table.name)?;
            add_partitions(&mut out, table, &partitions.unwrap_or_default());
        }
        let mut current = None;
        for view in in_order(views) {
            if current.as_ref() != Some(&view.current_database) {
                let _ = writeln!(out, "\nUSE {};", identifier(&view.current_database));
                current = Some(view.current_database.clone());
            }
            let _ = writeln!(out, "\n{};", create_view(&view));
        }
        if current.is_some_and(|c| c != self.database()) {
            let _ = writeln!(out, "\nUSE {};", identifier(&self.database()));
        }
        Ok(out)
    }
}

fn add_partitions(out: &mut String, table: &TableDefinition, partitions: &[PartitionDefinition]) {
    for chunk in partitions.chunks(PARTITIONS) {
        let _ = write!(
            out,
            "\nALTER TABLE {}.{} ADD IF NOT EXISTS",
            identifier(&table.database),
            identifier(&table.name)
        );
        for partition in chunk {
            let value = |(column, value): (&crate::catalog::ColumnDefinition, &Option<String>)| {
                let value = value.as_deref().map_or("NULL".to_string(), quote);
                format!("{} = {value}", identifier(&column.name))
            };
            let values: Vec<String> = table.partitioned_by.iter().zip(&partition.values).map(value).collect();
            let _ = write!(out, "\n  PARTITION ({})", values.join(", "));
            if let Some(location) = &partition.location {
                let _ = write!(out, " LOCATION {}", quote(location));
            }
        }
        out.push_str(";\n");
    }
}

/// Views after those that they read; those that read each other, which cannot be queried, in the order of their names.
fn in_order(mut views: BTreeMap<(String, String), ViewDefinition>) -> Vec<ViewDefinition> {
    let mut ordered = vec![];
    while !views.is_empty() {
        let waiting: HashSet<(String, String)> = views.keys().cloned().collect();
        let free = |(name, view): &(&(String, String), &ViewDefinition)| {
            reads(view).iter().all(|read| read == *name || !waiting.contains(read))
        };
        let next = views
            .iter()
            .find(free)
            .or(views.iter().next())
            .map(|(name, _)| name.clone());
        ordered.extend(next.and_then(|name| views.remove(&name)));
    }
    ordered
}

/// The relations that a view's query names.
fn reads(view: &ViewDefinition) -> Vec<(String, String)> {
    let references = sql::parse_query(&view.query).and_then(|query| sql::query_references(&query));
    let named = references.unwrap_or_default().into_iter().filter_map(|reference| {
        match reference.in_database(Some(&view.current_database)) {
            TableReference::Named { database, name, .. } => Some((database?, name)),
            _ => None,
        }
    });
    named.collect()
}
