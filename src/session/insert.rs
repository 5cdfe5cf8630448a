//! INSERT: rows are written where nobody sees them, and then committed. Several inserts of one source (`FROM src INSERT …
//! INSERT …`) are all written before the first is committed, so that each reads what was there before the statement.

use super::ddl::unique;
use super::overwrite::Overwrite;
use super::relations::Relations;
use super::write::{StagedCopy, Target, writer_options};
use super::{Session, StatementResult};
use crate::catalog::commit::{Changes, Staging};
use crate::catalog::{
    CatalogObject, ColumnDefinition, PartitionFilter, PartitionPlaces, TableDefinition, TableFile, is_projected,
};
use crate::error::{Error, Result};
use crate::logical::{Expr, LogicalPlan, PlanBuilder};
use crate::sql::{self, Insert, ObjectName, Statement};
use crate::storage::{Folder, Location, Object};
use crate::types::{DataType, Field, ScalarValue, is_castable, is_string, type_name};
use sqlparser::ast;
use std::sync::Arc;

/// The table that rows are for, and the values that the statement gives to some of its partition keys.
#[derive(Debug)]
pub(super) struct InsertTarget {
    pub table: TableDefinition,
    pub fixed: Vec<(String, ScalarValue)>,
    pub overwrite: bool,
}

/// Files for a table that wait to be committed.
#[derive(Debug)]
pub(super) struct StagedInsert {
    pub target: InsertTarget,
    pub staging: Staging,
    pub places: Arc<PartitionPlaces>,
    /// What is replaced, and the files among which that was before the write.
    pub overwrite: Option<(Overwrite, Vec<TableFile>)>,
    pub operation: &'static str,
    /// Files elsewhere that become the table's, and go from where they are.
    pub moved: Vec<(Folder, Vec<Object>)>,
    pub rows: u64,
}

/// What one of several writes of one source has staged.
enum Staged {
    Insert(Box<StagedInsert>),
    Copy(Box<StagedCopy>),
    /// The partition has rows and is to keep them.
    Kept,
}

impl Session {
    pub(super) fn insert(&self, statement: &Insert, parameters: &[Expr]) -> Result<StatementResult> {
        let target = self.insert_target(statement)?;
        let plan = self.bind(&statement.query, parameters)?;
        let rows = match self.stage_insert(statement, target, plan, false)? {
            Some(staged) => self.commit_insert(staged)?,
            None => 0,
        };
        Ok(StatementResult::written("INSERT", rows))
    }

    /// `FROM src INSERT … INSERT …`: what their sources are is looked up once; all of them are written before the first is
    /// committed. Each is a commit of its own, in their order.
    pub(super) fn insert_each(&self, statements: &[Statement], parameters: &[Expr]) -> Result<StatementResult> {
        if !parameters.is_empty() {
            return Err(Error::unsupported("parameters in several INSERTs after one FROM"));
        }
        let mut targets = vec![];
        for statement in statements {
            targets.push(match statement {
                Statement::Insert(insert) => Some(self.insert_target(insert)?),
                _ => None,
            });
        }
        let shared = shared_tables(&targets)?;
        let mut references = vec![];
        for statement in statements {
            references.extend(sql::table_references(statement)?);
        }
        let mut seen = std::collections::HashSet::new();
        references.retain(|reference| seen.insert(reference.clone()));
        let relations = Relations::resolve(self, references)?;
        let bind = |query: &ast::Query| relations.with_context(self, &[], |context| sql::bind_query(query, context));
        let mut staged = vec![];
        for (statement, target) in statements.iter().zip(targets) {
            staged.push(match (statement, target) {
                (Statement::Insert(insert), Some(target)) => {
                    let is_shared = shared.contains(&(target.table.database.clone(), target.table.name.clone()));
                    let insert = self.stage_insert(insert, target, bind(&insert.query)?, is_shared)?;
                    insert.map_or(Staged::Kept, |insert| Staged::Insert(Box::new(insert)))
                }
                (Statement::Copy(copy), _) => Staged::Copy(Box::new(self.stage_copy(copy, bind(&copy.query)?)?)),
                _ => return Err(Error::internal("after FROM come INSERTs")),
            });
        }
        let (count, mut rows) = (staged.len(), 0);
        for (done, staged) in staged.into_iter().enumerate() {
            let written = match staged {
                Staged::Insert(insert) => self.commit_insert(*insert),
                Staged::Copy(copy) => copy.commit(),
                Staged::Kept => Ok(0),
            };
            rows += written.map_err(|e| match done {
                0 => e,
                _ => e.context(format!("{done} of the {count} INSERTs are committed, this one is not")),
            })?;
        }
        Ok(StatementResult::written("INSERT", rows))
    }

    fn insert_target(&self, statement: &Insert) -> Result<InsertTarget> {
        let table = self.writable_table(&statement.table)?;
        Ok(InsertTarget {
            fixed: self.fixed_partitions(&statement.partition, &table)?,
            overwrite: statement.overwrite,
            table,
        })
    }

    /// The table of that name.
    ///
    /// # Errors
    /// When it is a view.
    pub(super) fn writable_table(&self, name: &ObjectName) -> Result<TableDefinition> {
        match self.require(name)? {
            CatalogObject::Table(table) => Ok(table),
            CatalogObject::View(view) => {
                let text = format!("\"{}\" is a view: rows cannot be inserted", view.name);
                Err(Error::plan(text).with_span(name.span))
            }
        }
    }

    /// Begins a write of files into a table. `beside` says that another of this statement's is into the same.
    pub(super) fn begin_insert(
        &self,
        target: InsertTarget,
        operation: &'static str,
        beside: bool,
    ) -> Result<StagedInsert> {
        let location = Location::exact(&target.table.location)?;
        let places = Arc::new(self.places(&target.table)?);
        let part_size = self.config().upload_part_size;
        let staging = match places.are_plain() && !beside {
            true => Staging::folder(&location, part_size)?,
            false => Staging::partitions(&location, places.clone(), part_size)?,
        };
        let overwrite = match target.overwrite {
            true => {
                let all = self.config().partition_overwrite == "static";
                let overwrite = Overwrite::of(&target.table, target.fixed.clone(), all);
                let before = self.replaceable(&target.table, &places, &overwrite, &[])?;
                Some((overwrite, before))
            }
            false => None,
        };
        Ok(StagedInsert {
            target,
            staging,
            places,
            overwrite,
            operation,
            moved: vec![],
            rows: 0,
        })
    }

    /// Writes the plan's rows; nothing when the partition that they are for is to keep those that it has.
    fn stage_insert(
        &self,
        statement: &Insert,
        target: InsertTarget,
        plan: LogicalPlan,
        beside: bool,
    ) -> Result<Option<StagedInsert>> {
        let columns = self.columns_of(&CatalogObject::Table(target.table.clone()))?;
        let plan =
            insert_columns(plan, &columns, statement, &target.fixed).map_err(|e| e.with_span(statement.table.span))?;
        let operation = match statement.overwrite {
            true => "INSERT OVERWRITE",
            false => "INSERT",
        };
        let mut staged = self.begin_insert(target, operation, beside)?;
        let table = &staged.target.table;
        if let Some((overwrite, before)) = staged.overwrite.as_ref().filter(|_| statement.keep_existing)
            && overwrite
                .changes(&staged.places, table, before, before, &[])?
                .replaces()
        {
            return Ok(None);
        }
        let writer = Target {
            format: table.format.clone(),
            options: writer_options(table),
            partition_columns: table.partitioned_by.len(),
            single_file: false,
            file_pattern: None,
            table: Some(table.clone()),
        };
        staged.rows = self.write_rows(plan, &staged.staging, &writer)?;
        Ok(Some(staged))
    }

    /// Makes the files of a write the table's.
    pub(super) fn commit_insert(&self, staged: StagedInsert) -> Result<u64> {
        let (table, places) = (&staged.target.table, &staged.places);
        let folders = match places.are_plain() {
            true => staged.staging.files().folders(),
            false => places.asked(),
        };
        let folders: Vec<String> = folders.iter().map(|f| format!("{f}/")).collect();
        let mut changes = match &staged.overwrite {
            None => Changes::default(),
            Some((overwrite, before)) => {
                let written = folders.iter().map(|f| places.values_in(f));
                let written = written.collect::<Result<Vec<_>>>()?;
                let now = self.replaceable(table, places, overwrite, &written)?;
                // Which partitions of a projection are replaced is known only once they are written.
                let before = match before.is_empty() && is_projected(table) {
                    true => &now,
                    false => before,
                };
                overwrite.changes(places, table, before, &now, &written)?
            }
        };
        changes.operation = staged.operation;
        changes.replaced_elsewhere.extend(staged.moved);
        let registered = self.catalog().partitions(&table.database, &table.name)?;
        places.check_written(&folders, registered.as_deref())?;
        // A partition that is registered before its files are there has no rows; files of one that is not would be missed.
        self.catalog()
            .register_written(table, folders.iter().map(String::as_str))?;
        staged.staging.commit(changes)?;
        Ok(staged.rows)
    }

    /// Where the partitions of a table are.
    pub(super) fn places(&self, table: &TableDefinition) -> Result<PartitionPlaces> {
        let registered = self.catalog().partitions(&table.database, &table.name)?;
        PartitionPlaces::new(table, registered.as_deref(), self.config().threads)
    }

    /// The files among which are those that an INSERT OVERWRITE replaces. `written` are the partitions that it wrote to.
    fn replaceable(
        &self,
        table: &TableDefinition,
        places: &PartitionPlaces,
        overwrite: &Overwrite,
        written: &[Vec<ScalarValue>],
    ) -> Result<Vec<TableFile>> {
        match (overwrite, overwrite.only_partition(table)) {
            (Overwrite::Written, _) if is_projected(table) => places.files_in(written),
            (_, Some(partition)) if is_projected(table) => places.files_in(&[partition]),
            _ => places.files(&equal_keys(table, overwrite.fixed())?),
        }
    }

    /// The partition keys to which `PARTITION (k = v, …)` gives a value.
    pub(super) fn fixed_partitions(
        &self,
        given: &[(String, Option<ast::Expr>)],
        table: &TableDefinition,
    ) -> Result<Vec<(String, ScalarValue)>> {
        let mut fixed = vec![];
        for (key, value) in given {
            let Some(column) = table.partitioned_by.iter().find(|c| c.name.eq_ignore_ascii_case(key)) else {
                return Err(
                    Error::plan(format!("table \"{}\" has no partition column \"{key}\"", table.name))
                        .with_nearest(key, table.partitioned_by.iter().map(|c| c.name.as_str())),
                );
            };
            let Some(value) = value else { continue };
            let relations = Relations::default();
            let bound = relations.with_context(self, &[], |context| sql::bind_constant(value, context))?;
            let text = match bound {
                Expr::Literal(ScalarValue::Null, _) => None,
                Expr::Literal(ScalarValue::String(text), _) => Some(text.to_string()),
                Expr::Literal(other, _) => crate::catalog::partition_text(&other),
                other => {
                    return Err(Error::plan(format!(
                        "partition \"{key}\" needs a constant, found {other}"
                    )));
                }
            };
            let value = crate::catalog::partition_value("PARTITION", key, text.as_deref(), &column.data_type()?)?;
            fixed.push((column.name.clone(), value));
        }
        Ok(fixed)
    }
}

/// The tables that several of a statement's inserts are for, by database and name.
///
/// # Errors
/// When one of them would replace what another adds. Each may replace a partition of its own.
fn shared_tables(targets: &[Option<InsertTarget>]) -> Result<Vec<(String, String)>> {
    let mut shared = vec![];
    let targets: Vec<&InsertTarget> = targets.iter().flatten().collect();
    for (i, one) in targets.iter().enumerate() {
        for other in targets.iter().skip(i + 1) {
            let (table, same) = (&one.table, &other.table);
            if (&table.database, &table.name) != (&same.database, &same.name) {
                continue;
            }
            shared.push((table.database.clone(), table.name.clone()));
            let keys = table.partitioned_by.len();
            let whole = |target: &InsertTarget| keys > 0 && target.fixed.len() == keys;
            let differ = || one.fixed.iter().any(|key| !other.fixed.contains(key));
            if (one.overwrite || other.overwrite) && !(whole(one) && whole(other) && differ()) {
                return Err(Error::plan(format!(
                    "two INSERTs of one statement are for table \"{}\", and one would replace what the other adds",
                    table.name
                ))
                .with_hint("give each a partition of its own with a value for every key, or write two statements"));
            }
        }
    }
    Ok(shared)
}

/// The partitions of which some keys have the given values.
fn equal_keys(table: &TableDefinition, fixed: &[(String, ScalarValue)]) -> Result<PartitionFilter> {
    let types = table.partitioned_by.iter().map(ColumnDefinition::data_type);
    let position = |name: &String| table.partitioned_by.iter().position(|c| c.name == *name);
    let values = fixed
        .iter()
        .filter_map(|(name, value)| Some((position(name)?, value.clone())));
    Ok(PartitionFilter::equal(types.collect::<Result<_>>()?, values.collect()))
}

/// The query's columns as the table's: named ones in their places, the others NULL, each cast to the column's type.
fn insert_columns(
    plan: LogicalPlan,
    columns: &[(String, DataType)],
    statement: &Insert,
    fixed: &[(String, ScalarValue)],
) -> Result<LogicalPlan> {
    let schema = plan.schema().clone();
    let is_fixed = |name: &str| fixed.iter().find(|(k, _)| k.eq_ignore_ascii_case(name));
    let open: Vec<&str> = columns
        .iter()
        .map(|(n, _)| n.as_str())
        .filter(|n| is_fixed(n).is_none())
        .collect();
    for name in &statement.columns {
        if !columns.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
            return Err(
                Error::plan(format!("table \"{}\" has no column \"{name}\"", statement.table.name))
                    .with_nearest(name, columns.iter().map(|(n, _)| n.as_str())),
            );
        }
    }
    let names: Vec<&str> = match statement.columns.is_empty() {
        true => open,
        false => statement.columns.iter().map(String::as_str).collect(),
    };
    unique(&names, "the list of columns")?;
    if schema.len() != names.len() {
        return Err(Error::plan(format!(
            "table \"{}\" takes {} columns ({}), the query has {}",
            statement.table.name,
            names.len(),
            names.join(", "),
            schema.len()
        )));
    }
    let mut items: Vec<(Expr, Option<Arc<str>>)> = vec![];
    for (name, data_type) in columns {
        let place = names.iter().position(|n| n.eq_ignore_ascii_case(name));
        let expr = match (place.and_then(|i| schema.get(i)), is_fixed(name)) {
            (Some(field), _) => assigned(field, name, data_type)?,
            (None, Some((_, value))) => Expr::Literal(value.clone(), data_type.clone()),
            (None, None) => Expr::null(data_type.clone()),
        };
        items.push((expr, Some(name.as_str().into())));
    }
    Ok(PlanBuilder::from(plan).project(items).build())
}

/// A column of the query as a value for a column of the table. Text and other types are not mixed up silently.
fn assigned(field: &Field, name: &str, data_type: &DataType) -> Result<Expr> {
    let column = Expr::Column(field.clone());
    let found = &field.data_type;
    let mixed = is_string(found) != is_string(data_type) && *found != DataType::Null;
    if found != data_type && (mixed || !is_castable(found, data_type)) {
        return Err(Error::plan(format!(
            "column \"{name}\" is {}, the query gives {}",
            type_name(data_type),
            type_name(found)
        ))
        .with_hint(format!("CAST it to {}", type_name(data_type))));
    }
    column.cast_to(data_type)
}
