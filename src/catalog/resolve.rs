//! From a definition or a location to a [`Table`]: list the files, look into them, make one schema of theirs.
//!
//! This is the last IO before execution. What a look into a file found is kept for the process under the file's location,
//! size and time, so that a second statement over the same files only lists them.

use super::commit;
use super::definition::{PartitionDefinition, TableDefinition};
use super::drift::{check_declared, unify};
use super::looks::inspect_all;
use super::partition_filter::PartitionFilter;
use super::partitioned::{PartitionFile, PartitionedTable};
use super::partitions::{partition_keys, partition_value};
use super::statistics::table_statistics;
use super::table::{DataFile, FileTable, PartitionCounts, Table, TableColumn, TableName, TableSource, TableStatistics};
use crate::error::{Error, Result};
use crate::format::{FileFormat, FileInfo, FormatEntry, Options, TypeGuess, find_format, format_of_file};
use crate::storage::{Location, ObjectFile, file_at_location, list};
use crate::types::{DataType, ScalarValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files that a query names directly.
#[derive(Debug, Clone)]
pub struct FilesReference {
    /// One or more files, folders or patterns.
    pub locations: Vec<String>,
    /// The format's name; told by the files' names when `None`.
    pub format: Option<String>,
    pub options: Options,
}

/// The table that a definition describes. When it is in partitions and its columns are declared, its files are not listed
/// yet: [`PartitionedTable`] does it when the query's conditions are known. `registered` are its partitions as far as the
/// catalog knows them.
///
/// # Errors
/// When files cannot be listed or read, or have columns that do not fit those declared.
pub fn resolve_table(
    definition: &TableDefinition,
    registered: Option<Vec<PartitionDefinition>>,
    threads: usize,
) -> Result<Table> {
    if definition.partitioned_by.is_empty() {
        let name = table_name(definition);
        let location = Location::parse(&definition.location)?;
        let files = match list_table(&location) {
            // A managed table without rows has no folder yet.
            Err(_) if !definition.external && !crate::storage::exists(&location)? => vec![],
            other => other.map_err(|e| e.context(format!("table {name}")))?,
        };
        return over_files(definition, files, vec![], None, threads);
    }
    let table = PartitionedTable::new(definition, registered, threads)?;
    if definition.columns.is_empty() {
        return table.list(&PartitionFilter::default());
    }
    let mut columns = declared_columns(&definition.columns)?;
    columns.extend(table.keys().iter().cloned());
    Ok(Table {
        name: table_name(definition),
        columns,
        source: TableSource::Partitions(Box::new(table)),
        statistics: TableStatistics::default(),
    })
}

impl PartitionedTable {
    /// The table over the files of those partitions that may have rows for the filter.
    ///
    /// # Errors
    /// As [`resolve_table`].
    pub fn list(&self, filter: &PartitionFilter) -> Result<Table> {
        let (files, counts) = self.files(filter)?;
        let (files, values) = files.into_iter().unzip();
        over_files(&self.definition, files, values, Some(counts), self.threads)
    }
}

fn table_name(definition: &TableDefinition) -> TableName {
    TableName {
        database: Some(definition.database.as_str().into()),
        name: definition.name.as_str().into(),
    }
}

/// The table over a definition's files, each with the values of its partition.
fn over_files(
    definition: &TableDefinition,
    files: Vec<ObjectFile>,
    values: Vec<Vec<ScalarValue>>,
    counts: Option<PartitionCounts>,
    threads: usize,
) -> Result<Table> {
    let name = table_name(definition);
    let entry = find_format(&definition.format)?;
    let options = Options::new(definition.options.iter().map(|(k, v)| (k, v.clone())));
    let format = entry.create(&options)?;
    let declared = declared_columns(&definition.columns)?;
    let infos = inspect_all(entry, &format, &options, &files, declared.is_empty(), threads)?;
    let columns = match declared.is_empty() {
        false => {
            check_declared(&name, &declared, &files, &infos)?;
            declared
        }
        true if files.is_empty() => {
            return Err(Error::plan(format!(
                "table {name} has neither declared columns nor files at {} that tell them",
                definition.location
            )));
        }
        true => lower_case(unify(entry, &files, &infos)?),
    };
    let partitions = declared_columns(&definition.partitioned_by)?;
    let mut values = values.into_iter();
    let next = |_: &ObjectFile| Ok(values.next().unwrap_or_default());
    assemble(
        name.clone(),
        columns,
        partitions.clone(),
        format,
        files,
        infos,
        counts,
        next,
    )
}

/// The table over files that a query names directly.
///
/// # Errors
/// When there are none, they cannot be read, or have columns whose types do not meet.
pub fn resolve_files(reference: &FilesReference, threads: usize) -> Result<Table> {
    let (mut files, mut shown) = (vec![], vec![]);
    for location in &reference.locations {
        let location = Location::parse(location)?;
        files.extend(list_table(&location)?);
        // Without what is secret in it.
        shown.push(location.text.to_string());
    }
    let shown = shown.join(", ");
    let Some(first) = files.first() else {
        return Err(Error::storage(format!("there are no files in \"{shown}\"")));
    };
    let entry = match &reference.format {
        Some(name) => find_format(name)?,
        None => common_format(first, &files)?,
    };
    entry.check_options(&reference.options)?;
    let format = entry.create(&reference.options)?;
    let infos = inspect_all(entry, &format, &reference.options, &files, true, threads)?;
    let partitions = inferred_partitions(&files)?;
    let of_file = unify(entry, &files, &infos)?;
    let mut columns = of_file;
    // What the folder says wins over what the file says, as in Spark.
    columns.retain(|c| !partitions.iter().any(|p| p.name.eq_ignore_ascii_case(&c.name)));
    let values = |file: &ObjectFile| {
        let found = partition_keys(&file.location);
        let value = |(column, (key, text)): (&TableColumn, &(String, Option<String>))| {
            partition_value(&file.location, key, text.as_deref(), &column.data_type)
        };
        partitions.iter().zip(&found).map(value).collect::<Result<Vec<_>>>()
    };
    let name = TableName {
        database: None,
        name: shown.into(),
    };
    assemble(name, columns, partitions.clone(), format, files, infos, None, values)
}

/// The files of a location, without those that an unfinished write of ours is just publishing.
fn list_table(location: &Location) -> Result<Vec<ObjectFile>> {
    // What looks like the name of one file in a bucket mostly is one, and there is no log below it to be asked for.
    let name = location.base().rsplit('/').next().unwrap_or_default();
    if !location.is_local()
        && name.contains('.')
        && let Some(file) = file_at_location(location)?
    {
        return Ok(vec![file]);
    }
    let listed = || Ok(list(location)?.into_iter().map(|file| (file, vec![])).collect());
    let files = published(location, listed)?;
    Ok(files.into_iter().map(|(file, _)| file).collect())
}

/// What `list` finds at a location, without files that an unfinished write of ours is just publishing there.
pub(super) fn published(
    location: &Location,
    list: impl Fn() -> Result<Vec<PartitionFile>>,
) -> Result<Vec<PartitionFile>> {
    commit::list_consistently(location, list, |(file, _)| file)
}

#[expect(clippy::too_many_arguments, reason = "the parts of a table, each once")]
fn assemble(
    name: TableName,
    mut columns: Vec<TableColumn>,
    partitions: Vec<TableColumn>,
    format: Arc<dyn FileFormat>,
    files: Vec<ObjectFile>,
    infos: Vec<Arc<FileInfo>>,
    partition_counts: Option<PartitionCounts>,
    mut values: impl FnMut(&ObjectFile) -> Result<Vec<ScalarValue>>,
) -> Result<Table> {
    let partition_start = columns.len();
    columns.extend(partitions);
    let files = files.into_iter().zip(infos).map(|(file, info)| {
        Ok(DataFile {
            partition_values: values(&file)?,
            file,
            info,
        })
    });
    let files = FileTable {
        format,
        files: files.collect::<Result<_>>()?,
        partition_start,
        partitions: partition_counts,
    };
    let statistics = table_statistics(&columns, &files);
    Ok(Table {
        name,
        columns,
        source: TableSource::Files(files),
        statistics,
    })
}

pub(super) fn declared_columns(definitions: &[super::definition::ColumnDefinition]) -> Result<Vec<TableColumn>> {
    let column = |c: &super::definition::ColumnDefinition| Ok(column(&c.name, c.data_type()?));
    definitions.iter().map(column).collect()
}

fn column(name: &str, data_type: DataType) -> TableColumn {
    TableColumn {
        name: name.into(),
        data_type,
        nullable: true,
    }
}

fn lower_case(columns: Vec<TableColumn>) -> Vec<TableColumn> {
    columns
        .into_iter()
        .map(|c| TableColumn {
            name: c.name.to_lowercase().into(),
            ..c
        })
        .collect()
}

/// The format that all the names tell.
fn common_format(first: &ObjectFile, files: &[ObjectFile]) -> Result<&'static FormatEntry> {
    let format = format_of_file(&first.location)?;
    for file in files {
        let other = format_of_file(&file.location)?;
        if !std::ptr::eq(other, format) {
            return Err(Error::plan(format!(
                "{} is {}, but {} is {}",
                first.location,
                format.name(),
                file.location,
                other.name()
            ))
            .with_hint("name the files of one format with a pattern such as '…/*.parquet'"));
        }
    }
    Ok(format)
}

/// The task's result for each item, in order; the first error in order when there are some.
pub fn in_parallel<I: Sync, T: Send>(
    items: &[I],
    threads: usize,
    task: impl Fn(&I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let workers = threads.min(items.len());
    if workers <= 1 {
        return items.iter().map(task).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Result<T>)>> {
        let mut done = vec![];
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(i) else { return Ok(done) };
            let result = task(item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            done.push((i, result));
        }
    };
    let parts = crate::runtime::on_workers(workers, work);
    let mut done: Vec<_> = parts
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Partition columns of files that a query names: those keys that all files have, with the narrowest type of all values.
fn inferred_partitions(files: &[ObjectFile]) -> Result<Vec<TableColumn>> {
    let Some(first) = files.first() else { return Ok(vec![]) };
    let keys: Vec<String> = partition_keys(&first.location).into_iter().map(|(k, _)| k).collect();
    let mut guesses = vec![TypeGuess::default(); keys.len()];
    for file in files {
        let found = partition_keys(&file.location);
        if found.len() != keys.len() || found.iter().zip(&keys).any(|((a, _), b)| a != b) {
            return Err(Error::plan(format!(
                "{} and {} are in folders with different partition keys",
                first.location, file.location
            ))
            .with_hint("name the files of one table with a pattern"));
        }
        for (guess, (_, text)) in guesses.iter_mut().zip(&found) {
            if let Some(text) = text {
                guess.add(text.as_bytes());
            }
        }
    }
    let mut columns: Vec<TableColumn> = vec![];
    for (key, guess) in keys.iter().zip(&guesses) {
        if columns.iter().any(|c| c.name.eq_ignore_ascii_case(key)) {
            return Err(Error::plan(format!("{} has two folders \"{key}=…\"", first.location)));
        }
        columns.push(column(key, guess.data_type()));
    }
    Ok(columns)
}

#[cfg(test)]
mod tests;
