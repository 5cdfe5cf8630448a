//! UNNEST: each row once per element of its arrays and maps.

use super::pipeline::{Emit, Flow, LocalTransform, Transform};
use crate::error::{Error, Result};
use crate::expression::ExpressionList;
use crate::runtime::{CancelToken, QueryContext};
use crate::types::DataType;
use crate::vector::{Batch, Column};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::take;
use std::sync::Arc;

/// Rows in: any. Rows out: the input's columns picked by `keep`, then the columns of the elements, then the ordinal.
/// Arrays of a row that are shorter than its longest are filled with NULL.
pub struct Unnest {
    pub expressions: Arc<ExpressionList>,
    pub keep: Vec<usize>,
    pub ordinality: bool,
    /// Rows without elements stay, with NULLs.
    pub outer: bool,
}

impl Transform for Unnest {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalUnnest {
            cancel: context.cancel.clone(),
            expressions: self.expressions.clone(),
            keep: self.keep.clone(),
            ordinality: self.ordinality,
            outer: self.outer,
        }))
    }
}

struct LocalUnnest {
    /// One batch may become very many rows.
    cancel: CancelToken,
    expressions: Arc<ExpressionList>,
    keep: Vec<usize>,
    ordinality: bool,
    outer: bool,
}

/// The elements of one unnested expression: row `i` has elements `start..end` of `columns`.
struct Elements {
    /// One for each row, or one for all rows.
    ranges: Vec<(u32, u32)>,
    columns: Vec<ArrayRef>,
}

impl Elements {
    fn range(&self, row: usize) -> (u32, u32) {
        let last = self.ranges.len().saturating_sub(1);
        self.ranges.get(row.min(last)).copied().unwrap_or_default()
    }
}

/// Rows given out at a time.
const OUT_ROWS: usize = 1 << 14;

impl LocalTransform for LocalUnnest {
    fn push(&mut self, batch: Batch, emit: &mut Emit) -> Result<Flow> {
        let lists = self.expressions.evaluate(&batch)?;
        // A constant array, which may be long, is not repeated for each row.
        let lists = lists
            .iter()
            .map(|c| elements(&c.as_array_or_single()?.0))
            .collect::<Result<Vec<_>>>()?;
        // (row, position of its element from 0); position u32::MAX stands for a row without elements.
        let mut places: Vec<(u32, u32)> = vec![];
        for row in 0..batch.len() {
            let longest = lists
                .iter()
                .map(|l| l.range(row))
                .map(|(start, end)| end - start)
                .max()
                .unwrap_or(0);
            if longest == 0 && self.outer {
                places.push((row as u32, u32::MAX));
            }
            for at in 0..longest {
                places.push((row as u32, at));
                if places.len() >= OUT_ROWS {
                    self.cancel.check()?;
                    if emit(self.output(&batch, &lists, &places)?)? == Flow::Done {
                        return Ok(Flow::Done);
                    }
                    places.clear();
                }
            }
        }
        if places.is_empty() {
            Ok(Flow::More)
        } else {
            emit(self.output(&batch, &lists, &places)?)
        }
    }
}

impl LocalUnnest {
    fn output(&self, batch: &Batch, lists: &[Elements], places: &[(u32, u32)]) -> Result<Batch> {
        let rows: Vec<u32> = places.iter().map(|(row, _)| *row).collect();
        let mut columns = self
            .keep
            .iter()
            .map(|&i| batch.column(i)?.gather(&rows))
            .collect::<Result<Vec<_>>>()?;
        for list in lists {
            let positions: UInt32Array = places
                .iter()
                .map(|&(row, at)| {
                    let (start, end) = list.range(row as usize);
                    start.checked_add(at).filter(|p| *p < end)
                })
                .collect();
            for column in &list.columns {
                columns.push(Column::Array(take(column, &positions, None)?));
            }
        }
        if self.ordinality {
            let ordinals: Int64Array = places
                .iter()
                .map(|&(_, at)| (at != u32::MAX).then_some(at as i64 + 1))
                .collect();
            columns.push(Column::Array(Arc::new(ordinals)));
        }
        Ok(Batch::new(columns, places.len()))
    }
}

fn elements(array: &ArrayRef) -> Result<Elements> {
    let (offsets, entries) = match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            (list.offsets(), list.values().clone())
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            (map.offsets(), Arc::new(map.entries().clone()) as ArrayRef)
        }
        other => return Err(Error::internal(format!("unnest of {other}"))),
    };
    let range = |i: usize| match (array.is_null(i), offsets.get(i), offsets.get(i + 1)) {
        (false, Some(&start), Some(&end)) => (start as u32, end as u32),
        _ => (0, 0),
    };
    let ranges = (0..array.len()).map(range).collect();
    let columns = match entries.data_type() {
        DataType::Struct(_) => fields(&entries)?,
        _ => vec![entries],
    };
    Ok(Elements { ranges, columns })
}

/// The fields of an array of rows; a NULL row has NULL fields.
fn fields(entries: &ArrayRef) -> Result<Vec<ArrayRef>> {
    let rows = entries.as_struct();
    let Some(nulls) = rows.nulls().filter(|n| n.null_count() > 0) else {
        return Ok(rows.columns().to_vec());
    };
    let positions: UInt32Array = (0..rows.len()).map(|i| nulls.is_valid(i).then_some(i as u32)).collect();
    rows.columns().iter().map(|c| Ok(take(c, &positions, None)?)).collect()
}
