//! The last IO before execution: the files of those partitions that the plan's conditions leave, and the rows of
//! `information_schema` that they may want.

use super::Session;
use crate::catalog::{PartitionFilter, Table, TableSource, information_rows};
use crate::error::{Error, Result};
use crate::logical::{Expr, Filter, LogicalPlan, Scan};
use crate::types::{DataType, Field, Schema};
use std::collections::HashSet;
use std::sync::Arc;

/// Tables that were listed for a plan: the one before, what was asked of it, and the one with files.
type Listed = Vec<(Arc<Table>, PartitionFilter, Arc<Table>)>;

impl Session {
    /// The plan with the files of its tables: those of partitions that the conditions at each scan leave.
    ///
    /// # Errors
    /// When folders cannot be listed or files cannot be read.
    pub(super) fn list_partitions(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if self.config().guards.require_partition_filter {
            require_partition_filters(&plan, &[])?;
        }
        self.list_scans(plan, &[], &mut vec![])
    }

    /// `above` are conditions that hold for every row of the plan that is wanted.
    fn list_scans(&self, plan: LogicalPlan, above: &[Expr], listed: &mut Listed) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::Scan(scan) => Ok(LogicalPlan::Scan(self.list_scan(scan, above, listed)?)),
            LogicalPlan::Filter(Filter { input, predicate }) => {
                let input = self.list_scans(Arc::unwrap_or_clone(input), std::slice::from_ref(&predicate), listed)?;
                Ok(LogicalPlan::Filter(Filter {
                    input: Arc::new(input),
                    predicate,
                }))
            }
            other => other.map_inputs(&mut |input| self.list_scans(input, &[], listed)),
        }
    }

    fn list_scan(&self, scan: Scan, above: &[Expr], listed: &mut Listed) -> Result<Scan> {
        let columns = scan.table.columns.len();
        let keys = match &scan.table.source {
            TableSource::Partitions(partitions) => (columns.saturating_sub(partitions.keys().len())..columns).collect(),
            TableSource::Information(information) => information.keys(),
            TableSource::Memory(_) | TableSource::Files(_) => return Ok(scan),
        };
        let filter = key_filter(&scan, &keys, above);
        let known = listed
            .iter()
            .find(|(t, f, _)| Arc::ptr_eq(t, &scan.table) && f.is_same(&filter));
        if let Some((_, _, table)) = known {
            let table = table.clone();
            return Ok(Scan { table, ..scan });
        }
        let table = Arc::new(match &scan.table.source {
            TableSource::Partitions(partitions) => partitions.list(&filter)?,
            TableSource::Information(information) => {
                information_rows(self.catalog(), information, &filter, &|object| self.columns_of(object))?
            }
            TableSource::Memory(_) | TableSource::Files(_) => return Ok(scan),
        });
        if table.columns != scan.table.columns {
            return Err(Error::internal("a table has other columns once it is listed"));
        }
        listed.push((scan.table.clone(), filter, table.clone()));
        Ok(Scan { table, ..scan })
    }

    /// A table with all of its files.
    pub(super) fn listed(&self, table: Table) -> Result<Table> {
        match &table.source {
            TableSource::Partitions(partitions) => partitions.list(&PartitionFilter::default()),
            _ => Ok(table),
        }
    }
}

/// # Errors
/// `Refused` when a table in partitions is scanned without a condition on one of its keys.
fn require_partition_filters(plan: &LogicalPlan, above: &[&Expr]) -> Result<()> {
    match plan {
        LogicalPlan::Filter(filter) => require_partition_filters(&filter.input, &[&filter.predicate]),
        LogicalPlan::Scan(scan) => require_partition_filter(scan, above),
        other => other
            .inputs()
            .into_iter()
            .try_for_each(|input| require_partition_filters(input, &[])),
    }
}

fn require_partition_filter(scan: &Scan, above: &[&Expr]) -> Result<()> {
    let columns = &scan.table.columns;
    let start = match &scan.table.source {
        TableSource::Partitions(partitions) => columns.len() - partitions.keys().len(),
        TableSource::Files(files) => files.partition_start,
        TableSource::Memory(_) | TableSource::Information(_) => return Ok(()),
    };
    let Some(keys) = columns.get(start..).filter(|keys| !keys.is_empty()) else {
        return Ok(());
    };
    let mut used = HashSet::new();
    scan.filters
        .iter()
        .chain(above.iter().copied())
        .for_each(|e| e.collect_columns(&mut used));
    let output = scan.schema.iter().zip(scan.columns.iter().copied());
    let others = scan.filter_columns.iter().map(|(field, position)| (field, *position));
    let filtered = output
        .chain(others)
        .any(|(field, position)| position >= start && used.contains(&field.id));
    if filtered {
        return Ok(());
    }
    let names: Vec<&str> = keys.iter().map(|k| k.name.as_ref()).collect();
    let hint = match names.as_slice() {
        [one] => format!("add a condition on {one}"),
        [first @ .., last] => format!("add a condition on {} or {last}", first.join(", ")),
        [] => String::new(),
    };
    Err(Error::refused(format!(
        "{} is read without a condition on a partition key",
        scan.table.name
    ))
    .with_hint(hint))
}

/// The conditions over some columns of the table, its keys: these first, then all other columns of the scan.
fn key_filter(scan: &Scan, keys: &[usize], above: &[Expr]) -> PartitionFilter {
    let columns = scan.schema.iter().cloned().zip(scan.columns.iter().copied());
    let columns: Vec<_> = columns.chain(scan.filter_columns.iter().cloned()).collect();
    // A key that the scan does not have any more is in no condition; any column stands in for it.
    let key = |k: &usize| {
        let found = columns.iter().find(|(_, position)| position == k);
        found.map_or_else(|| Field::new("", DataType::Null, true), |(f, _)| f.clone())
    };
    let others = columns.iter().filter(|(_, position)| !keys.contains(position));
    let layout: Schema = keys.iter().map(key).chain(others.map(|(f, _)| f.clone())).collect();
    let conjuncts = |e: &Expr| match e {
        Expr::And(parts) => parts.clone(),
        other => vec![other.clone()],
    };
    let all = scan.filters.iter().chain(above).flat_map(conjuncts);
    let certain = all.filter(|e| !e.is_volatile());
    // What has no physical form (a subquery that was left) is judged by the rows.
    let conditions = certain.filter_map(|e| e.lower(&layout).ok()).collect();
    let types = keys
        .iter()
        .filter_map(|k| scan.table.columns.get(*k))
        .map(|c| c.data_type.clone());
    PartitionFilter::new(types.collect(), conditions)
}
