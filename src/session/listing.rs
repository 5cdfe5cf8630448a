//! The last IO before execution for tables in partitions: the files of those that the plan's conditions leave.

use super::Session;
use crate::catalog::{PartitionFilter, PartitionedTable, Table, TableSource};
use crate::error::{Error, Result};
use crate::logical::{Expr, Filter, LogicalPlan, Scan};
use crate::types::Schema;
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
        list_scans(plan, &[], &mut vec![])
    }

    /// A table with all of its files.
    pub(super) fn listed(&self, table: Table) -> Result<Table> {
        match &table.source {
            TableSource::Partitions(partitions) => partitions.list(&PartitionFilter::default()),
            _ => Ok(table),
        }
    }
}

/// `above` are conditions that hold for every row of the plan that is wanted.
fn list_scans(plan: LogicalPlan, above: &[Expr], listed: &mut Listed) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Scan(scan) => Ok(LogicalPlan::Scan(list_scan(scan, above, listed)?)),
        LogicalPlan::Filter(Filter { input, predicate }) => {
            let input = list_scans(Arc::unwrap_or_clone(input), &[predicate.clone()], listed)?;
            Ok(LogicalPlan::Filter(Filter {
                input: Arc::new(input),
                predicate,
            }))
        }
        other => other.map_inputs(&mut |input| list_scans(input, &[], listed)),
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
        TableSource::Memory(_) => return Ok(()),
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

fn list_scan(scan: Scan, above: &[Expr], listed: &mut Listed) -> Result<Scan> {
    let TableSource::Partitions(partitions) = &scan.table.source else {
        return Ok(scan);
    };
    let filter = partition_filter(&scan, partitions, above);
    let known = listed
        .iter()
        .find(|(t, f, _)| Arc::ptr_eq(t, &scan.table) && f.is_same(&filter));
    let table = match known {
        Some((_, _, table)) => table.clone(),
        None => {
            let table = Arc::new(partitions.list(&filter)?);
            if table.columns != scan.table.columns {
                return Err(Error::internal("a table has other columns once it is listed"));
            }
            listed.push((scan.table.clone(), filter, table.clone()));
            table
        }
    };
    Ok(Scan { table, ..scan })
}

/// The conditions over the table's keys: keys first, then all other columns of the scan.
fn partition_filter(scan: &Scan, partitions: &PartitionedTable, above: &[Expr]) -> PartitionFilter {
    let keys = partitions.keys().len();
    let start = scan.table.columns.len() - keys;
    let columns = scan.schema.iter().cloned().zip(scan.columns.iter().copied());
    let columns: Vec<_> = columns.chain(scan.filter_columns.iter().cloned()).collect();
    // A key that the scan does not have any more is in no condition; any column stands in for it.
    let key = |k: usize| {
        columns
            .iter()
            .find(|(_, position)| *position == start + k)
            .map(|(f, _)| f.clone())
    };
    let layout =
        (0..keys).map(|k| key(k).unwrap_or_else(|| crate::types::Field::new("", crate::types::DataType::Null, true)));
    let is_key = |position: usize| (start..start + keys).contains(&position);
    let others = columns
        .iter()
        .filter(|(_, position)| !is_key(*position))
        .map(|(f, _)| f.clone());
    let layout: Schema = layout.chain(others).collect();
    let conjuncts = |e: &Expr| match e {
        Expr::And(parts) => parts.clone(),
        other => vec![other.clone()],
    };
    let all = scan.filters.iter().chain(above).flat_map(conjuncts);
    let certain = all.filter(|e| !e.is_volatile());
    // What has no physical form (a subquery that was left) is judged by the rows.
    let conditions = certain.filter_map(|e| e.lower(&layout).ok()).collect();
    let types = partitions.keys().iter().map(|c| c.data_type.clone()).collect();
    PartitionFilter::new(types, conditions)
}
