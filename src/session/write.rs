//! Statements that write the rows of a query into files: CREATE TABLE … AS, COPY and UNLOAD, and `DataFrame::write`; INSERT is
//! in `insert.rs`. All of them stage what they write and publish it when the query has succeeded.

use super::ddl::unique;
use super::write_format::{
    FILENAME_PATTERN, UNIQUE, buckets, check_pattern, check_write_options, file_size, has_compression, is_ordered,
    with_compression_of, write_format,
};
use super::{Session, StatementResult, WriteMode, WriteOptions};
use crate::catalog::commit::{self, Changes, EVERYTHING, Staging};
use crate::catalog::{ColumnDefinition, Journal, PartitionPlaces, TableDefinition, check_projection};
use crate::error::{Error, Result};
use crate::format::{Options, find_format, format_of_file};
use crate::logical::{Expr, LogicalPlan, PlanBuilder, SortKey};
use crate::physical;
use crate::sql::{Copy, CreateTable};
use crate::storage::{Location, exists, list};
use crate::types::{DataType, Field};
use std::path::Path;
use std::sync::Arc;

/// What a writer has to know besides the rows.
#[derive(Debug)]
pub(super) struct Target {
    /// As the list of formats names it.
    pub format: String,
    /// Options of the format and of writing: delimiter, compression, rows per row group.
    pub options: Options,
    /// How many of the plan's last columns are partition keys.
    pub partition_columns: usize,
    /// Whether all rows go into one file.
    pub single_file: bool,
    /// What files are called, when the statement says it.
    pub file_pattern: Option<String>,
    /// The table that the files belong to, if they do.
    pub table: Option<TableDefinition>,
}

/// Files that are no table's and wait to be committed.
#[derive(Debug, Default)]
pub(super) struct StagedCopy {
    /// Nothing when what is there stays.
    staged: Option<(Staging, Changes)>,
    rows: u64,
}

impl StagedCopy {
    /// Makes them visible; gives the number of their rows.
    pub fn commit(self) -> Result<u64> {
        match self.staged {
            Some((staging, changes)) => staging.commit(changes).map(|()| self.rows),
            None => Ok(self.rows),
        }
    }
}

impl Session {
    pub(super) fn create_table_as(
        &self,
        statement: &CreateTable,
        query: &sqlparser::ast::Query,
        parameters: &[Expr],
    ) -> Result<StatementResult> {
        let mut definition = self.table_definition(statement)?;
        if let Some(existing) = self.existing(&definition.database, &definition.name, statement.temporary)? {
            if statement.if_not_exists {
                return Ok(StatementResult::done("CREATE TABLE"));
            }
            if !self.temporary_ddl() {
                let error = Error::plan(format!("{} \"{}\" exists already", existing.kind(), definition.name));
                return Err(match &statement.name {
                    Some(name) => error.with_span(name.span),
                    None => error,
                });
            }
        }
        if !statement.columns.is_empty() {
            return Err(Error::plan("CREATE TABLE … AS takes the columns of its query").with_hint("name them with AS"));
        }
        let plan = self.bind(query, parameters)?;
        let names: Vec<&str> = plan.schema().iter().map(|f| f.name.as_ref()).collect();
        unique(&names, &format!("table \"{}\"", definition.name))?;
        let keys: Vec<String> = statement.partitioned_by.iter().map(|c| c.name.to_lowercase()).collect();
        let plan = partition_columns_last(plan, &keys)?;
        let (columns, partitioned_by) = plan.schema().split_at(plan.schema().len() - keys.len());
        let describe = |fields: &[Field]| -> Vec<ColumnDefinition> {
            fields
                .iter()
                .map(|f| ColumnDefinition::new(f.name.to_lowercase(), &stored_type(&f.data_type), None))
                .collect()
        };
        definition.columns = describe(columns);
        definition.partitioned_by = describe(partitioned_by);
        definition.check_columns()?;
        if definition.columns.is_empty() {
            return Err(Error::plan("a table needs a column that is no partition key"));
        }
        check_projection(&definition)?;
        let location = Location::exact(&definition.location)?;
        require_empty(&location)?;
        if statement.with_no_data {
            self.register(definition, statement)?;
            return Ok(StatementResult::written("CREATE TABLE", 0));
        }
        let places = Arc::new(PartitionPlaces::new(&definition, None, self.config().threads)?);
        if places.template_elsewhere().is_some() {
            return Err(Error::unsupported(
                "CREATE TABLE … AS with a storage.location.template outside of the table's folder",
            )
            .with_hint("create the table first, then INSERT INTO it"));
        }
        let part_size = self.config().upload_part_size;
        let staging = match places.are_plain() {
            true => Staging::folder(&location, part_size)?,
            false => Staging::partitions(&location, places, part_size)?,
        };
        let target = Target {
            format: definition.format.clone(),
            options: writer_options(&definition),
            partition_columns: keys.len(),
            single_file: false,
            file_pattern: None,
            table: Some(definition.clone()),
        };
        let rows = self.write_rows(named(plan, &definition), &staging, &target)?;
        let changes = Changes {
            operation: "CREATE TABLE",
            alone: true,
            ..Default::default()
        };
        if statement.temporary || self.temporary_ddl() {
            staging.commit(changes)?;
            self.register(definition, statement)?;
        } else {
            let prefix = staging.file_prefix().to_string();
            let journal = Journal::create(self.catalog(), &definition, &prefix)?;
            if let Err(e) = staging.commit(changes) {
                journal.failed(&definition, &prefix);
                return Err(e);
            }
            journal.add_table(self.catalog(), definition, &prefix)?;
        }
        Ok(StatementResult::written("CREATE TABLE", rows))
    }

    pub(super) fn copy(&self, statement: &Copy, parameters: &[Expr]) -> Result<StatementResult> {
        let plan = self.bind(&statement.query, parameters)?;
        let rows = self.stage_copy(statement, plan)?.commit()?;
        Ok(StatementResult::written(statement.folder.unwrap_or("COPY"), rows))
    }

    /// Writes the rows of a COPY where nobody sees them.
    pub(super) fn stage_copy(&self, statement: &Copy, plan: LogicalPlan) -> Result<StagedCopy> {
        let mut mode = WriteMode::Create;
        let mut options = vec![];
        for (name, value) in &statement.options {
            let on = !value.eq_ignore_ascii_case("false");
            match name.to_lowercase().as_str() {
                "overwrite" | "overwrite_or_ignore" if on => mode = WriteMode::Overwrite,
                "append" if on => mode = WriteMode::Append,
                "overwrite" | "overwrite_or_ignore" | "append" => {}
                _ => options.push((name.clone(), value.clone())),
            }
        }
        let unload = statement.folder == Some("UNLOAD");
        let text = |format: &String| find_format(format).is_ok_and(|f| f.name() != "PARQUET");
        if unload && statement.format.as_ref().is_some_and(text) && !has_compression(&options) {
            // What Athena unloads as text is compressed, unless it is told otherwise.
            options.push(("compression".into(), "gzip".into()));
        }
        let options = WriteOptions {
            format: statement
                .format
                .clone()
                .or_else(|| unload.then(|| "PARQUET".to_string())),
            partition_by: statement.partitioned_by.clone(),
            mode,
            options,
        };
        let target = match statement.folder {
            Some(_) => format!("{}/", statement.target.trim_end_matches('/')),
            None => statement.target.clone(),
        };
        self.stage_plan(plan, &target, &options)
    }

    /// Writes rows to a place that is no table: one file when its name says its format, otherwise a folder.
    pub(super) fn write_plan(&self, plan: LogicalPlan, target: &str, options: &WriteOptions) -> Result<u64> {
        self.stage_plan(plan, target, options)?.commit()
    }

    fn stage_plan(&self, plan: LogicalPlan, target: &str, options: &WriteOptions) -> Result<StagedCopy> {
        self.check_read_only("writing files")?;
        let names: Vec<&str> = plan.schema().iter().map(|f| f.name.as_ref()).collect();
        unique(&names, "the result")?;
        let keys: Vec<String> = options.partition_by.iter().map(|k| k.to_lowercase()).collect();
        let by_name = format_of_file(target);
        let single_file = keys.is_empty() && by_name.is_ok() && !target.ends_with('/');
        let format = match &options.format {
            Some(name) => find_format(name)?,
            None if single_file => by_name?,
            None => find_format("PARQUET")?,
        };
        let (pattern, rest): (Vec<_>, Vec<_>) = options
            .options
            .iter()
            .cloned()
            .partition(|(name, _)| name.eq_ignore_ascii_case(FILENAME_PATTERN));
        let pattern = pattern.into_iter().next().map(|(_, pattern)| pattern);
        if let Some(pattern) = &pattern {
            check_pattern(pattern, single_file, options.mode)?;
        }
        let mut rest = Options::new(rest);
        check_write_options(format, &rest)?;
        if single_file {
            rest = with_compression_of(target, rest)?;
        }
        let plan = partition_columns_last(plan, &keys)?;
        let location = Location::exact(target)?;
        let writer = Target {
            format: format.name().to_string(),
            options: rest,
            partition_columns: keys.len(),
            single_file,
            file_pattern: pattern,
            table: None,
        };
        if options.mode == WriteMode::Ignore && has_files(&location)? {
            return Ok(StagedCopy::default());
        }
        if single_file && !(location.is_local() && location.local_path()?.is_dir()) {
            if options.mode == WriteMode::Append {
                return Err(Error::unsupported(format!("appending to the file {target}"))
                    .with_hint("write to a folder: files are added to it"));
            }
            let staging = Staging::file(&location, self.config().upload_part_size)?;
            let rows = self.write_rows(plan, &staging, &writer)?;
            return Ok(StagedCopy {
                staged: Some((staging, Changes::default())),
                rows,
            });
        }
        let alone = matches!(options.mode, WriteMode::Create | WriteMode::Ignore);
        if alone {
            require_empty(&location)?;
        }
        let staging = Staging::folder(&location, self.config().upload_part_size)?;
        let overwrite = options.mode == WriteMode::Overwrite;
        let replaced = match overwrite {
            true => commit::files_of(&location)?,
            false => vec![],
        };
        let own_names = writer.file_pattern.as_ref().is_some_and(|p| !p.contains(UNIQUE));
        let rows = self.write_rows(
            plan,
            &staging,
            &Target {
                single_file: false,
                ..writer
            },
        )?;
        let changes = Changes {
            operation: "COPY",
            scope: if overwrite { vec![EVERYTHING.into()] } else { vec![] },
            replaced,
            alone,
            own_names,
            ..Default::default()
        };
        Ok(StagedCopy {
            staged: Some((staging, changes)),
            rows,
        })
    }

    /// Runs the plan and writes its rows into the staging folder.
    pub(super) fn write_rows(&self, plan: LogicalPlan, staging: &Staging, target: &Target) -> Result<u64> {
        let types: Vec<DataType> = plan.schema().iter().map(|f| stored_type(&f.data_type)).collect();
        let plan = PlanBuilder::from(plan).cast_columns(&types)?;
        let plan = match &target.table {
            Some(table) => sort_as_declared(plan, table)?,
            None => plan,
        };
        let plan = self.optimize(plan.build())?;
        let context = self.new_context();
        let format = write_format(&target.format, &target.options, target.table.is_some(), &context.config)?;
        let buckets = match &target.table {
            Some(table) => buckets(table, plan.schema())?,
            None => None,
        };
        let columns = plan.schema().len();
        let prefix = staging.file_prefix().to_string();
        let (sink, result) = physical::write_sink(
            physical::WriteTarget {
                files: staging.files().clone(),
                single_file: target.single_file.then(|| format!("{prefix}.{}", format.extension())),
                file_prefix: prefix,
                file_pattern: target.file_pattern.clone(),
                format,
                schema: plan.schema().to_arrow(),
                partition_by: (columns - target.partition_columns..columns).collect(),
                ordered: is_ordered(&plan),
                file_size: file_size(&target.options, &context.config)?,
                buckets,
            },
            &context,
        )?;
        physical::run_into(&plan, &context, sink)?;
        Ok(result.rows())
    }
}

/// Whether there are files at the location.
fn has_files(location: &Location) -> Result<bool> {
    Ok(exists(location)? && !commit::list_consistently(location, || list(location), |file| file)?.is_empty())
}

/// # Errors
/// When there are files at the location.
fn require_empty(location: &Location) -> Result<()> {
    let shown = location.base();
    if !exists(location)? {
        return Ok(());
    }
    let files = commit::list_consistently(location, || list(location), |file| file)?;
    match files.first() {
        None => Ok(()),
        Some(file) if *file.location == *location.base() => {
            Err(Error::plan(format!("{shown} is a file, not an empty folder")))
        }
        Some(file) => Err(Error::plan(format!(
            "the folder {shown} is not empty: it has {}",
            file_name(&file.location)
        ))
        .with_hint("choose another folder, or remove the files")),
    }
}

fn file_name(location: &str) -> &str {
    Path::new(location)
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or(location)
}

/// The plan with the partition keys as its last columns, in the order of the keys.
fn partition_columns_last(plan: LogicalPlan, keys: &[String]) -> Result<LogicalPlan> {
    if keys.is_empty() {
        return Ok(plan);
    }
    let schema = plan.schema().clone();
    let mut last = vec![];
    for key in keys {
        let found = schema.iter().find(|f| f.name.eq_ignore_ascii_case(key));
        last.push(found.cloned().ok_or_else(|| {
            Error::plan(format!("partition column \"{key}\" is not among the query's columns"))
                .with_nearest(key, schema.iter().map(|f| f.name.as_ref()))
        })?);
    }
    let first = schema.iter().filter(|f| !last.iter().any(|l| l.id == f.id)).cloned();
    let items: Vec<_> = first
        .chain(last.iter().cloned())
        .map(|f| (Expr::Column(f.clone()), Some(f.name)))
        .collect();
    if items.len() == keys.len() {
        return Err(Error::plan(
            "every column is a partition key: no column is left for the files",
        ));
    }
    Ok(PlanBuilder::from(plan).project(items).build())
}

/// The rows in the order that the files of the table shall have.
fn sort_as_declared(plan: PlanBuilder, table: &TableDefinition) -> Result<PlanBuilder> {
    let columns = table.bucketing.iter().flat_map(|b| &b.sorted_by);
    let key = |(name, down): &(String, bool)| {
        let schema = plan.schema();
        let found = schema.iter().find(|f| f.name.eq_ignore_ascii_case(name));
        let field = found.ok_or_else(|| {
            Error::plan(format!("\"{name}\" of SORTED BY is not among the table's columns"))
                .with_nearest(name, schema.iter().map(|f| f.name.as_ref()))
        })?;
        Ok(SortKey {
            expr: Expr::Column(field.clone()),
            descending: *down,
            nulls_first: false,
        })
    };
    let keys = columns.map(key).collect::<Result<Vec<_>>>()?;
    Ok(match keys.is_empty() {
        true => plan,
        false => plan.sort(keys),
    })
}

/// The type that a column of a query has in a file: a NULL without type is text.
fn stored_type(t: &DataType) -> DataType {
    match t {
        DataType::Null => DataType::Utf8View,
        other => other.clone(),
    }
}

/// What the writer looks at: the format's options, and properties such as `write_compression`.
pub(super) fn writer_options(table: &TableDefinition) -> Options {
    let properties = table.properties.iter().chain(&table.options);
    Options::new(properties.map(|(k, v)| (k, v.clone())))
}

/// The plan with its columns under the table's names.
fn named(plan: LogicalPlan, table: &TableDefinition) -> LogicalPlan {
    let names = table
        .columns
        .iter()
        .chain(&table.partitioned_by)
        .map(|c| Arc::from(c.name.as_str()));
    let items = plan
        .schema()
        .iter()
        .zip(names)
        .map(|(f, name)| (Expr::Column(f.clone()), Some(name)))
        .collect();
    PlanBuilder::from(plan).project(items).build()
}
