//! Filter, projection, limit, expansion of grouping sets: transforms that look at one batch at a time.

use super::pipeline::{Emit, Flow, LocalTransform, Transform};
use crate::error::Result;
use crate::expression::{ExpressionList, Predicate};
use crate::runtime::QueryContext;
use crate::types::{DataType, ScalarValue};
use crate::vector::{Batch, Column};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keeps the rows for which all predicates are true. Rows in: any. Rows out: a selection of them.
pub struct Filter {
    pub predicates: Arc<Vec<Predicate>>,
}

impl Transform for Filter {
    fn local(&self, _context: &QueryContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalFilter {
            predicates: self.predicates.clone(),
        }))
    }
}

struct LocalFilter {
    predicates: Arc<Vec<Predicate>>,
}

impl LocalTransform for LocalFilter {
    fn push(&mut self, mut batch: Batch, emit: &mut Emit) -> Result<Flow> {
        for predicate in self.predicates.iter() {
            batch = predicate.select(batch)?;
            if batch.is_empty() {
                return Ok(Flow::More);
            }
        }
        emit(batch)
    }
}

/// Computes other columns for the same rows.
pub struct Project {
    pub expressions: Arc<ExpressionList>,
}

impl Transform for Project {
    fn local(&self, _context: &QueryContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalProject {
            expressions: self.expressions.clone(),
        }))
    }
}

struct LocalProject {
    expressions: Arc<ExpressionList>,
}

impl LocalTransform for LocalProject {
    fn push(&mut self, batch: Batch, emit: &mut Emit) -> Result<Flow> {
        emit(Batch::new(self.expressions.evaluate(&batch)?, batch.len()))
    }
}

/// Keeps some columns, in some order; touches no data.
pub struct Pick {
    pub columns: Vec<usize>,
}

impl Transform for Pick {
    fn local(&self, _context: &QueryContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalPick {
            columns: self.columns.clone(),
        }))
    }
}

struct LocalPick {
    columns: Vec<usize>,
}

impl LocalTransform for LocalPick {
    fn push(&mut self, batch: Batch, emit: &mut Emit) -> Result<Flow> {
        emit(batch.project(&self.columns)?)
    }
}

/// Lets the rows after the first `skip` pass, at most `fetch` of them, over all workers.
pub struct Limit {
    pub skip: u64,
    pub fetch: Option<u64>,
    seen: Arc<AtomicU64>,
}

impl Limit {
    pub fn new(skip: u64, fetch: Option<u64>) -> Self {
        Self {
            skip,
            fetch,
            seen: Arc::default(),
        }
    }
}

impl Transform for Limit {
    fn local(&self, _context: &QueryContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalLimit {
            skip: self.skip,
            fetch: self.fetch,
            seen: self.seen.clone(),
        }))
    }
}

struct LocalLimit {
    skip: u64,
    fetch: Option<u64>,
    seen: Arc<AtomicU64>,
}

impl LocalTransform for LocalLimit {
    fn push(&mut self, batch: Batch, emit: &mut Emit) -> Result<Flow> {
        let rows = batch.len() as u64;
        let end = self.fetch.map_or(u64::MAX, |fetch| self.skip.saturating_add(fetch));
        let before = self.seen.fetch_add(rows, Ordering::Relaxed);
        if before >= end {
            return Ok(Flow::Done);
        }
        let from = self.skip.saturating_sub(before).min(rows);
        let to = (end - before).min(rows);
        if from < to {
            let part = if to - from == rows {
                batch
            } else {
                batch.slice(from as usize, (to - from) as usize)
            };
            if emit(part)? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        Ok(if before + rows >= end { Flow::Done } else { Flow::More })
    }
}

/// Gives each row once per grouping set: group columns outside the set become NULL, the set's id is appended.
///
/// Rows in: groups first, then other columns. Rows out: the same columns, then the grouping id (bigint).
pub struct ExpandGroupingSets {
    pub group_types: Vec<DataType>,
    pub sets: Vec<Vec<usize>>,
}

impl Transform for ExpandGroupingSets {
    fn local(&self, _context: &QueryContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalExpand {
            group_types: self.group_types.clone(),
            sets: self.sets.clone(),
        }))
    }
}

struct LocalExpand {
    group_types: Vec<DataType>,
    sets: Vec<Vec<usize>>,
}

/// The id of each set: bit `groups - 1 - i` is 1 when group `i` is outside the set; a set that stands there again differs
/// from the earlier ones in the bits above, because its groups are rows of their own.
pub fn grouping_ids(sets: &[Vec<usize>], groups: usize) -> Vec<i64> {
    let id = |set: &Vec<usize>| {
        let outside = (0..groups).filter(|i| !set.contains(i));
        outside.fold(0i64, |id, i| id | 1 << ((groups - 1 - i) % 63))
    };
    let ids: Vec<i64> = sets.iter().map(id).collect();
    let again = |i: usize| ids[..i].iter().filter(|earlier| **earlier == ids[i]).count() as i64;
    (0..ids.len()).map(|i| ids[i] | again(i) << (groups % 63)).collect()
}

impl LocalTransform for LocalExpand {
    fn push(&mut self, batch: Batch, emit: &mut Emit) -> Result<Flow> {
        let batch = batch.compact()?;
        let rows = batch.len();
        let ids = grouping_ids(&self.sets, self.group_types.len());
        for (set, id) in self.sets.iter().zip(ids) {
            let mut columns = batch.physical_columns().to_vec();
            for (i, t) in self.group_types.iter().enumerate().filter(|(i, _)| !set.contains(i)) {
                columns[i] = Column::constant(&ScalarValue::Null, t, rows)?;
            }
            let id = ScalarValue::Int64(id);
            columns.push(Column::constant(&id, &DataType::Int64, rows)?);
            if emit(Batch::new(columns, rows))? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        Ok(Flow::More)
    }
}
