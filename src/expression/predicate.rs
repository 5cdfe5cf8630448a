//! A predicate of a filter or scan.

use super::PhysicalExpr;
use super::evaluate::boolean;
use super::program::{Frame, Program};
use crate::error::Result;
use crate::types::ScalarValue;
use crate::vector::{Batch, Column};
use arrow::array::Array;
use arrow::buffer::BooleanBuffer;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// A boolean expression that keeps the rows for which it is true. Cheap to clone; clones learn together.
///
/// Conjuncts that cannot fail run first, in the order of what they cost per row they drop, as observed so far; those
/// that can fail (a division, a cast of text, a function) see only the rows that all others keep.
#[derive(Debug, Clone)]
pub struct Predicate {
    expr: PhysicalExpr,
    columns: Vec<usize>,
    compiled: Arc<OnceLock<Result<Compiled>>>,
}

#[derive(Debug)]
struct Compiled {
    /// One root per conjunct.
    program: Program,
    observed: Vec<Observed>,
}

/// What a conjunct did so far.
#[derive(Debug, Default)]
struct Observed {
    rows: AtomicU64,
    passed: AtomicU64,
}

impl Predicate {
    pub fn new(expr: PhysicalExpr) -> Self {
        let columns = expr.columns();
        Self {
            expr,
            columns,
            compiled: Arc::default(),
        }
    }

    pub fn expr(&self) -> &PhysicalExpr {
        &self.expr
    }

    /// Positions of the columns it reads, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The batch with only the rows for which the predicate is true.
    pub fn select(&self, batch: Batch) -> Result<Batch> {
        Ok(match self.select_positions(&batch)? {
            None => batch,
            Some(positions) => batch.select(positions),
        })
    }

    /// Positions, among the alive rows and ascending, of those for which the predicate is true; `None` for all.
    pub fn select_positions(&self, batch: &Batch) -> Result<Option<Vec<u32>>> {
        if batch.is_empty() {
            return Ok(None);
        }
        let compiled = self.compiled.get_or_init(|| Compiled::new(&self.expr));
        let compiled = compiled.as_ref().map_err(Clone::clone)?;
        let frame = Frame::new(&compiled.program, batch.clone());
        compiled.run(&frame, &compiled.order())
    }
}

/// What a condition says about a batch.
enum Truth {
    All,
    Nothing,
    Some(BooleanBuffer),
}

impl Truth {
    fn of(column: &Column) -> Result<Self> {
        if let Some(value) = column.constant_value() {
            return Ok(if value == ScalarValue::Boolean(true) {
                Self::All
            } else {
                Self::Nothing
            });
        }
        let array = boolean(&column.to_array()?)?;
        Ok(Self::Some(match array.nulls() {
            Some(nulls) => array.values() & nulls.inner(),
            None => array.values().clone(),
        }))
    }
}

impl Compiled {
    fn new(expr: &PhysicalExpr) -> Result<Self> {
        let mut conjuncts = vec![];
        split(expr, &mut conjuncts);
        Ok(Self {
            program: Program::compile(conjuncts.iter().copied())?,
            observed: conjuncts.iter().map(|_| Observed::default()).collect(),
        })
    }

    /// Conjuncts by (can fail, cost per dropped row).
    fn order(&self) -> Vec<usize> {
        let rank = |&i: &usize| {
            let node = self.program.roots.get(i).and_then(|&root| self.program.nodes.get(root));
            let (can_fail, cost) = node.map_or((true, 0), |n| n.rank());
            let kept = self.observed.get(i).map_or(0.5, Observed::selectivity);
            let worth = f64::from(cost + 1) / (1.0 - kept).max(0.001);
            // Conjuncts that can fail keep their order, so that one may guard the next.
            (can_fail, if can_fail { 0 } else { (worth * 16.0) as u64 })
        };
        let mut order: Vec<usize> = (0..self.program.roots.len()).collect();
        if order.len() > 1 {
            order.sort_by_cached_key(rank);
        }
        order
    }

    /// Runs the conjuncts on the rows of `frame`, going on in a narrower frame once that pays.
    fn run(&self, frame: &Frame<'_>, order: &[usize]) -> Result<Option<Vec<u32>>> {
        let rows = frame.rows();
        let mut kept: Option<BooleanBuffer> = None;
        for (done, &conjunct) in order.iter().enumerate() {
            let Some(&root) = self.program.roots.get(conjunct) else {
                continue;
            };
            if let Some(mask) = &kept {
                let alive = mask.count_set_bits();
                if alive == 0 {
                    return Ok(Some(vec![]));
                }
                if frame.should_narrow(root, alive)? {
                    let positions: Vec<u32> = mask.set_indices_u32().collect();
                    let rest = order.get(done..).unwrap_or_default();
                    let narrower = self.run(&frame.narrow(&positions), rest)?;
                    return Ok(Some(match narrower {
                        None => positions,
                        Some(inner) => inner
                            .iter()
                            .filter_map(|&i| positions.get(i as usize).copied())
                            .collect(),
                    }));
                }
            }
            match Truth::of(&frame.value(root)?)? {
                Truth::All => self.observe(conjunct, rows, rows),
                Truth::Nothing => {
                    self.observe(conjunct, rows, 0);
                    return Ok(Some(vec![]));
                }
                Truth::Some(mask) => {
                    self.observe(conjunct, rows, mask.count_set_bits());
                    kept = Some(match kept {
                        Some(before) => &before & &mask,
                        None => mask,
                    });
                }
            }
        }
        Ok(kept
            .filter(|mask| mask.count_set_bits() < rows)
            .map(|mask| mask.set_indices_u32().collect()))
    }

    fn observe(&self, conjunct: usize, rows: usize, passed: usize) {
        if let Some(observed) = self.observed.get(conjunct) {
            observed.rows.fetch_add(rows as u64, Relaxed);
            observed.passed.fetch_add(passed as u64, Relaxed);
        }
    }
}

impl Observed {
    /// The fraction of rows that passed; one half before anything is known.
    fn selectivity(&self) -> f64 {
        let (rows, passed) = (self.rows.load(Relaxed) as f64, self.passed.load(Relaxed) as f64);
        (passed + 50.0) / (rows + 100.0)
    }
}

fn split<'a>(expr: &'a PhysicalExpr, into: &mut Vec<&'a PhysicalExpr>) {
    match expr {
        PhysicalExpr::And(parts) => parts.iter().for_each(|part| split(part, into)),
        other => into.push(other),
    }
}
