//! What the names of a statement stand for: the only IO between its text and its plan.

use super::Session;
use crate::catalog::{
    CatalogObject, FilesReference, INFORMATION_SCHEMA, Table, TableDefinition, ViewDefinition, in_parallel,
    information_table, resolve_files, resolve_table,
};
use crate::error::{Error, Result};
use crate::format::Options;
use crate::logical::Expr;
use crate::sql::{self, BindContext, Relation, TableReference, View};
use crate::types::DataType;
use std::collections::HashMap;
use std::sync::Arc;

/// Relations looked up at the same time: of tables in buckets that takes little but waiting.
const AT_ONCE: usize = 16;

/// Every relation that a statement mentions, those inside views included.
#[derive(Debug, Default)]
pub(super) struct Relations {
    found: HashMap<TableReference, Result<Relation>>,
}

impl Relations {
    /// Looks up the references, several at a time, then those of the views among them, and so on.
    pub(super) fn resolve(session: &Session, references: Vec<TableReference>) -> Result<Self> {
        let threads = session.config().threads.max(AT_ONCE);
        let mut found: HashMap<TableReference, Result<Relation>> = HashMap::new();
        let mut wanted = references;
        while !wanted.is_empty() {
            // An error stays with its name until the binder comes to the place in the text that it belongs to.
            let relations = in_parallel(&wanted, threads, |r| Ok(session.relation(r)))?;
            let mut inside = vec![];
            for relation in &relations {
                if let Ok(Relation::View(view)) = relation {
                    let query =
                        sql::parse_query(&view.text).map_err(|e| e.context(format!("view \"{}\"", view.name)))?;
                    let names = sql::query_references(&query)?.into_iter();
                    inside.extend(names.map(|r| r.in_database(view.database.as_deref())));
                }
            }
            found.extend(wanted.into_iter().zip(relations));
            inside.retain(|r| !found.contains_key(r));
            inside.dedup();
            wanted = inside;
        }
        Ok(Self { found })
    }

    /// Calls `f` with what binding needs.
    pub(super) fn with_context<T>(
        &self,
        session: &Session,
        parameters: &[Expr],
        f: impl FnOnce(&BindContext) -> Result<T>,
    ) -> Result<T> {
        let resolve = |reference: &TableReference| match self.found.get(reference) {
            Some(relation) => relation.clone(),
            None => Err(Error::internal(format!(
                "\"{reference}\" was not resolved before binding"
            ))),
        };
        f(&BindContext {
            resolve: &resolve,
            config: &session.config(),
            statement_time: chrono::Utc::now().timestamp_micros(),
            parameters,
            database: &session.database(),
        })
    }
}

impl Session {
    /// The table or view that a reference stands for.
    pub(super) fn relation(&self, reference: &TableReference) -> Result<Relation> {
        let threads = self.config().threads;
        match reference {
            TableReference::Named {
                catalog,
                database,
                name,
                ..
            } => {
                if let Some(catalog) = catalog
                    && !["awsdatacatalog", "hive", "lakebed"].contains(&catalog.to_lowercase().as_str())
                {
                    return Err(Error::plan(format!("there is no catalog \"{catalog}\"")));
                }
                let database = database.clone().unwrap_or_else(|| self.database());
                if database == INFORMATION_SCHEMA {
                    return Ok(Relation::Table(Arc::new(information_table(name)?)));
                }
                if let Some(table) = self.metadata_table(&database, name)? {
                    return Ok(Relation::Table(Arc::new(table)));
                }
                match self.catalog().require_object(&database, name)? {
                    CatalogObject::Table(table) => Ok(Relation::Table(Arc::new(self.table_of(&table)?))),
                    CatalogObject::View(view) => Ok(Relation::View(view_relation(&view))),
                }
            }
            TableReference::Files {
                format,
                locations,
                options,
                ..
            } => {
                let reference = FilesReference {
                    locations: locations.clone(),
                    format: format.clone(),
                    options: Options::new(options.iter().map(|(k, v)| (k, v.clone()))),
                };
                Ok(Relation::Table(Arc::new(resolve_files(&reference, threads)?)))
            }
            TableReference::Function { name, .. } => Err(Error::plan(format!("there is no table function \"{name}\""))
                .with_nearest(name, ["read_parquet", "read_csv", "read_json", "unnest", "sequence"])),
        }
    }

    /// The table that a definition describes, with the partitions that the catalog knows.
    pub(super) fn table_of(&self, definition: &TableDefinition) -> Result<Table> {
        let registered = match definition.partitioned_by.is_empty() {
            true => None,
            false => self.catalog().partitions(&definition.database, &definition.name)?,
        };
        resolve_table(definition, registered, self.config().threads)
    }

    /// Names and types of a table's or view's columns.
    pub(super) fn columns_of(&self, object: &CatalogObject) -> Result<Vec<(String, DataType)>> {
        match object {
            CatalogObject::Table(table) => self.table_columns(table),
            CatalogObject::View(view) => {
                let query = sql::parse_query(&format!(
                    "SELECT * FROM \"{}\".\"{}\"",
                    view.database.replace('"', "\"\""),
                    view.name.replace('"', "\"\"")
                ))?;
                let plan = self.bind(&query, &[])?;
                Ok(plan
                    .schema()
                    .iter()
                    .map(|f| (f.name.to_string(), f.data_type.clone()))
                    .collect())
            }
        }
    }

    /// As declared; only undeclared columns are looked for in the files.
    fn table_columns(&self, table: &TableDefinition) -> Result<Vec<(String, DataType)>> {
        if !table.columns.is_empty() {
            let declared = table.columns.iter().chain(&table.partitioned_by);
            return declared.map(|c| Ok((c.name.clone(), c.data_type()?))).collect();
        }
        Ok(self
            .table_of(table)?
            .columns
            .iter()
            .map(|c| (c.name.to_string(), c.data_type.clone()))
            .collect())
    }
}

fn view_relation(view: &ViewDefinition) -> View {
    View {
        name: view.name.clone(),
        text: view.query.as_str().into(),
        columns: view.columns.clone(),
        database: Some(view.current_database.clone()),
    }
}
