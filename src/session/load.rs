//! LOAD DATA: files that are there already become a table's, as they are. They are copied to where they wait for the commit;
//! with it the copies appear, and without LOCAL the files that they were made of are removed, by whoever finishes the write.

use super::insert::{InsertTarget, StagedInsert};
use super::{Session, StatementResult};
use crate::catalog::{
    FileTable, TableDefinition, TableSource, in_parallel, object_of, partition_path, partition_text, resolve_table,
};
use crate::error::{Error, Result, nearest};
use crate::runtime::Current;
use crate::sql::Load;
use crate::storage::{Compression, Folder, Location, Object, ObjectFile, check_allowed, is_inside, open_text};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

impl Session {
    pub(super) fn load(&self, load: &Load) -> Result<StatementResult> {
        let table = self.writable_table(&load.table)?;
        let wrong = |e: Error| e.with_span(load.table.span);
        check_loadable(&table).map_err(wrong)?;
        let fixed = self.fixed_partitions(&load.partition, &table)?;
        if let Some(open) = table
            .partitioned_by
            .iter()
            .find(|c| !fixed.iter().any(|(key, _)| *key == c.name))
        {
            return Err(wrong(Error::plan(format!(
                "LOAD DATA into table \"{}\" needs a value for its partition key \"{}\"",
                table.name, open.name
            )))
            .with_hint("files are loaded into one partition: PARTITION (k = v, …); INSERT … SELECT finds partitions"));
        }
        let files = self.files_to_load(load, &table)?;
        let target = InsertTarget {
            table,
            fixed,
            overwrite: load.overwrite,
        };
        // Beside others, because removing files elsewhere needs the table's log.
        let mut staged = self.begin_insert(target, "LOAD DATA", true)?;
        if !load.local {
            staged.moved = sources(&files)?;
        }
        let folder = folder_of(&staged.target)?;
        let numbered: Vec<(usize, &ObjectFile)> = files.iter().enumerate().collect();
        in_parallel(&numbered, self.config().threads, |(number, file)| {
            copy(file, *number, &folder, &staged)
        })?;
        let count = files.len();
        self.commit_insert(staged)?;
        Ok(StatementResult::done(format!("LOAD DATA: {count} files")))
    }

    /// The files at the source, once they have been found to be what the table's are.
    fn files_to_load(&self, load: &Load, table: &TableDefinition) -> Result<Vec<ObjectFile>> {
        let source = Location::parse(&load.source)?;
        check_allowed(&load.source)?;
        if load.local && !source.is_local() {
            return Err(Error::plan(format!(
                "LOAD DATA LOCAL takes files on this machine's disk, not {}",
                source.text
            ))
            .with_hint("without LOCAL files of buckets are loaded, and removed where they are"));
        }
        if !load.local {
            source.check_writable()?;
        }
        if is_inside(source.base(), &table.location)? || is_inside(&table.location, source.base())? {
            return Err(Error::plan(format!(
                "the files to load ({}) are in the folder of table \"{}\" or around it",
                source.text, table.name
            )));
        }
        let alone = TableDefinition {
            location: load.source.clone(),
            external: true,
            partitioned_by: vec![],
            ..table.clone()
        };
        let TableSource::Files(found) = resolve_table(&alone, None, self.config().threads)?.source else {
            return Err(Error::internal("a table without partitions has files"));
        };
        check_columns(table, &found)?;
        let files: Vec<ObjectFile> = found.files.into_iter().map(|file| file.file).collect();
        if files.is_empty() {
            return Err(Error::plan(format!("there are no files to load in {}", source.text)));
        }
        let deeper = |file: &&ObjectFile| {
            let rest = file.location.strip_prefix(source.base()).unwrap_or_default();
            rest.trim_start_matches('/').contains('/')
        };
        match files.iter().find(deeper).filter(|_| !source.is_pattern()) {
            Some(file) => Err(Error::plan(format!(
                "LOAD DATA takes the files of one folder, but {} is in a folder below",
                file.location
            ))
            .with_hint("load each folder by itself, or name the files with a pattern")),
            None => Ok(files),
        }
    }
}

/// # Errors
/// When files that were written elsewhere cannot be the table's as they are.
fn check_loadable(table: &TableDefinition) -> Result<()> {
    match table.bucketing {
        None => Ok(()),
        Some(_) => Err(Error::unsupported(format!(
            "LOAD DATA into table \"{}\", whose rows are in buckets or sorted",
            table.name
        ))
        .with_hint("INSERT INTO … SELECT puts rows where they belong")),
    }
}

/// # Errors
/// When a file says what its columns are called, and none of them is the table's: each of its rows would be of NULLs.
fn check_columns(table: &TableDefinition, found: &FileTable) -> Result<()> {
    if table.columns.is_empty() {
        return Ok(());
    }
    let declared: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let is_declared = |name: &&str| declared.iter().any(|column| column.eq_ignore_ascii_case(name));
    for file in &found.files {
        let names: Vec<&str> = file.info.columns.iter().map(|(name, _)| name.as_ref()).collect();
        if names.is_empty() || names.iter().any(is_declared) {
            continue;
        }
        let error = Error::plan(format!(
            "{} has no column of table \"{}\": the file has {}, the table has {}",
            file.file.location,
            table.name,
            listed(&names),
            listed(&declared)
        ));
        let near = names
            .iter()
            .find_map(|name| Some((*name, nearest(name, declared.iter().copied())?)));
        return Err(match near {
            Some((name, column)) => error.with_hint(format!(
                "is \"{name}\" of the file the table's \"{column}\"? INSERT INTO … SELECT {name} FROM '…' gives it that name"
            )),
            None => error,
        });
    }
    Ok(())
}

/// Names in quotes, of many the first ones.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("\"{name}\"")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The files by the folders that they are in.
fn sources(files: &[ObjectFile]) -> Result<Vec<(Folder, Vec<Object>)>> {
    let mut folders: BTreeMap<&str, Vec<Object>> = BTreeMap::new();
    for file in files {
        let (folder, name) = file.location.rsplit_once('/').unwrap_or(("", &file.location));
        folders.entry(folder).or_default().push(object_of(file, name));
    }
    let located = |(folder, objects): (&str, Vec<Object>)| Ok((Folder::parse(folder)?, objects));
    folders.into_iter().map(located).collect()
}

/// The folder `k=v/…` of the partition that the files are for, with a slash at its end; nothing without partitions.
fn folder_of(target: &InsertTarget) -> Result<String> {
    let text = |column: &crate::catalog::ColumnDefinition| {
        let value = target.fixed.iter().find(|(key, _)| *key == column.name);
        value.and_then(|(_, value)| partition_text(value))
    };
    let texts: Vec<Option<String>> = target.table.partitioned_by.iter().map(text).collect();
    Ok(match texts.is_empty() {
        true => String::new(),
        false => partition_path(&target.table, &texts) + "/",
    })
}

/// Copies a file to where it waits. Its name gets the write's id, by which readers know that it is not to be seen yet, and
/// keeps its end, which says how it is compressed.
fn copy(file: &ObjectFile, number: usize, folder: &str, staged: &StagedInsert) -> Result<()> {
    let name = file.location.rsplit('/').next().unwrap_or_default();
    let prefix = staged.staging.file_prefix();
    let mut to = staged
        .staging
        .files()
        .create(&format!("{folder}{prefix}_{number:05}_{name}"))?;
    let mut from = open_text(file, Compression::None, 0..file.size)?;
    let mut chunk = vec![0; CHUNK.min(usize::try_from(file.size).unwrap_or(CHUNK)).max(1)];
    loop {
        Current::get().map_or(Ok(()), |current| current.cancel.check())?;
        let read = from
            .read(&mut chunk)
            .map_err(|e| Error::of_reader(e).context(file.location.to_string()))?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        to.write_all(bytes).map_err(|e| Error::storage(e.to_string()))?;
    }
    match to.finish()? == file.size {
        true => Ok(()),
        false => Err(Error::storage(format!("{} changed while it was read", file.location))),
    }
}
