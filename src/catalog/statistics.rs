//! Statistics of a table from those of its files.

use super::table::{ColumnStatistics, FileTable, TableColumn, TableStatistics};
use crate::format::FileColumnStatistics;
use crate::types::{DataType, ScalarValue};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

/// Rows, bytes, and per column bounds, NULLs and an estimate of distinct values.
pub(super) fn table_statistics(columns: &[TableColumn], files: &FileTable) -> TableStatistics {
    let rows = files.files.iter().map(|f| f.info.rows).sum::<Option<u64>>();
    let bytes = files.files.iter().map(|f| f.file.size).sum();
    let (of_files, of_folders) = columns.split_at(files.partition_start.min(columns.len()));
    let mut all = column_statistics(of_files, files);
    if !all.is_empty() || of_files.is_empty() {
        all.extend((0..of_folders.len()).map(|i| partition_statistics(i, files)));
    }
    TableStatistics {
        rows,
        bytes,
        columns: all,
    }
}

/// Statistics of the columns in the files; empty when no file has any.
fn column_statistics(columns: &[TableColumn], files: &FileTable) -> Vec<ColumnStatistics> {
    if files.files.iter().all(|f| f.info.statistics.is_empty()) {
        return vec![];
    }
    let mut sums: Vec<Sum> = columns.iter().map(|c| Sum::new(c.data_type.clone())).collect();
    for file in &files.files {
        let places: HashMap<String, usize> = file
            .info
            .columns
            .iter()
            .enumerate()
            .map(|(i, (name, _))| (name.to_lowercase(), i))
            .collect();
        for (column, sum) in columns.iter().zip(&mut sums) {
            let place = places.get(&column.name.to_lowercase());
            match place.and_then(|i| file.info.statistics.get(*i)) {
                Some(found) => sum.add(found, file.info.rows),
                // All NULL.
                None => sum.nulls = sum.nulls.zip(file.info.rows).map(|(a, b)| a + b),
            }
        }
    }
    sums.into_iter().map(Sum::finish).collect()
}

/// The sum over files of one column.
struct Sum {
    data_type: DataType,
    /// Bounds per file with values; `None` from the first file with unknown bounds on.
    bounds: Option<Vec<(ScalarValue, ScalarValue, Option<u64>)>>,
    nulls: Option<u64>,
    values: Option<u64>,
    bytes: u64,
}

impl Sum {
    fn new(data_type: DataType) -> Self {
        Self {
            data_type,
            bounds: Some(vec![]),
            nulls: Some(0),
            values: Some(0),
            bytes: 0,
        }
    }

    fn add(&mut self, file: &FileColumnStatistics, rows: Option<u64>) {
        self.bytes += file.bytes;
        self.nulls = self.nulls.zip(file.nulls).map(|(a, b)| a + b);
        self.values = self
            .values
            .zip(rows)
            .map(|(a, b)| a + b.saturating_sub(file.nulls.unwrap_or(0)));
        if rows.is_some() && file.nulls == rows {
            return;
        }
        let bound = |v: &Option<ScalarValue>| convert(v.as_ref()?, &self.data_type);
        match (bound(&file.min), bound(&file.max), &mut self.bounds) {
            (Some(min), Some(max), Some(bounds)) => bounds.push((min, max, file.distinct)),
            _ => self.bounds = None,
        }
    }

    fn finish(self) -> ColumnStatistics {
        let bounds = self.bounds.unwrap_or_default();
        let min = extreme(bounds.iter().map(|(min, _, _)| min), Ordering::Less);
        let max = extreme(bounds.iter().map(|(_, max, _)| max), Ordering::Greater);
        let distinct = distinct_values(bounds, self.values);
        let span = match (&min, &max) {
            (Some(a), Some(b)) => whole(a).zip(whole(b)).map(|(a, b)| b.abs_diff(a).saturating_add(1)),
            _ => None,
        };
        // An integer column has no more distinct values than integers between its bounds, nor than values at all.
        let cap = |n: u64| n.min(span.unwrap_or(u64::MAX)).min(self.values.unwrap_or(u64::MAX));
        ColumnStatistics {
            min,
            max,
            nulls: self.nulls,
            distinct: distinct.map(cap),
            bytes: Some(self.bytes),
        }
    }
}

/// Distinct values over all files. Where files do not overlap their numbers add up; where they do, the same values are
/// likely to come again, unless nearly every value of a file is new, as in a key.
fn distinct_values(mut bounds: Vec<(ScalarValue, ScalarValue, Option<u64>)>, values: Option<u64>) -> Option<u64> {
    let counts = bounds.iter().map(|(_, _, n)| *n).collect::<Option<Vec<u64>>>()?;
    let (sum, largest) = (counts.iter().sum::<u64>(), counts.iter().copied().max()?);
    bounds.sort_by(|a, b| a.0.partial_compare(&b.0).unwrap_or(Ordering::Equal));
    let apart = bounds
        .windows(2)
        .all(|w| w[0].1.partial_compare(&w[1].0) == Some(Ordering::Less));
    let unique = values.is_some_and(|v| sum >= v / 10 * 9);
    Some(if apart || unique { sum } else { largest })
}

fn partition_statistics(i: usize, files: &FileTable) -> ColumnStatistics {
    let values = || files.files.iter().filter_map(move |f| f.partition_values.get(i));
    let known: HashSet<&ScalarValue> = values().filter(|v| !v.is_null()).collect();
    let null_rows = files
        .files
        .iter()
        .filter(|f| f.partition_values.get(i).is_some_and(ScalarValue::is_null));
    ColumnStatistics {
        min: extreme(known.iter().copied(), Ordering::Less),
        max: extreme(known.iter().copied(), Ordering::Greater),
        nulls: null_rows.map(|f| f.info.rows).sum(),
        distinct: Some(known.len() as u64),
        bytes: Some(0),
    }
}

fn extreme<'a>(values: impl Iterator<Item = &'a ScalarValue>, wanted: Ordering) -> Option<ScalarValue> {
    let better = |best: &'a ScalarValue, v: &'a ScalarValue| {
        if v.partial_compare(best) == Some(wanted) {
            v
        } else {
            best
        }
    };
    values.reduce(better).cloned()
}

fn whole(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Date(days) => Some(*days as i64),
        other => other.as_integer(),
    }
}

/// The value as one of the table's type, when the file's is another.
fn convert(value: &ScalarValue, data_type: &DataType) -> Option<ScalarValue> {
    let from = value.data_type();
    if from == *data_type {
        return Some(value.clone());
    }
    let array = value.to_array(&from, 1).ok()?;
    let array = arrow::compute::cast(&array, data_type).ok()?;
    ScalarValue::from_array(array.as_ref(), 0).ok().filter(|v| !v.is_null())
}
