//! A predicate of a filter or scan.

use super::PhysicalExpr;
use super::evaluate::boolean;
use super::program::{Frame, Node, Program};
use crate::error::Result;
use crate::types::ScalarValue;
use crate::vector::dictionary::{DictionaryCache, dictionary_parts};
use crate::vector::mask::{lookup_mask, set_positions};
use crate::vector::{Batch, Column};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, NullArray};
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
    /// Which values of a dictionary are kept, for a predicate of one column.
    dictionaries: Arc<DictionaryCache>,
    observed: Arc<Observed>,
}

#[derive(Debug)]
struct Compiled {
    /// One root per conjunct.
    program: Program,
    observed: Vec<Observed>,
}

/// What a condition did so far.
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
            dictionaries: Arc::default(),
            observed: Arc::default(),
        }
    }

    /// The rows that both keep.
    pub fn and(&self, other: &Self) -> Self {
        Self::new(PhysicalExpr::And(vec![self.expr.clone(), other.expr.clone()]))
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
        let positions = match self.by_dictionary(batch)? {
            Some(mask) => (mask.count_set_bits() < batch.len()).then(|| set_positions(&mask)),
            None => self.by_rows(batch)?,
        };
        self.observed
            .add(batch.len(), positions.as_ref().map_or(batch.len(), Vec::len));
        Ok(positions)
    }

    /// Whether some value may raise an error.
    pub fn can_fail(&self) -> bool {
        let nodes = |compiled: &Compiled| compiled.program.nodes.iter().any(|node| node.can_fail);
        self.compiled().map_or(true, nodes)
    }

    /// Rough nanoseconds per row.
    pub fn cost(&self) -> u32 {
        let nodes = |compiled: &Compiled| compiled.conjuncts().map(|node| node.cost).sum();
        self.compiled().map_or(0, nodes)
    }

    /// The fraction of rows kept so far; one half before anything is known.
    pub fn selectivity(&self) -> f64 {
        self.observed.selectivity()
    }

    fn compiled(&self) -> Result<&Compiled> {
        let compiled = self.compiled.get_or_init(|| Compiled::new(&self.expr));
        compiled.as_ref().map_err(Clone::clone)
    }

    fn by_rows(&self, batch: &Batch) -> Result<Option<Vec<u32>>> {
        let compiled = self.compiled()?;
        let frame = Frame::new(&compiled.program, batch.clone());
        compiled.run(&frame, &compiled.order())
    }

    /// The rows that are kept, by looking up the codes of the only column in what the predicate says about the values of
    /// its dictionary; `None` where that cannot be done or does not pay.
    fn by_dictionary(&self, batch: &Batch) -> Result<Option<BooleanBuffer>> {
        let [index] = self.columns.as_slice() else {
            return Ok(None);
        };
        let coded = |column: &Column| dictionary_parts(column).is_some_and(|(codes, _)| codes.null_count() == 0);
        if self.is_volatile() || !batch.physical_columns().get(*index).is_some_and(coded) {
            return Ok(None);
        }
        let column = batch.column(*index)?;
        let Some((codes, values)) = dictionary_parts(&column) else {
            return Ok(None);
        };
        let of_values = |values: &ArrayRef| -> Result<ArrayRef> {
            let rows = values.len();
            let nothing: ArrayRef = Arc::new(NullArray::new(1));
            let mut columns = vec![Column::Constant { value: nothing, rows }; *index];
            columns.push(Column::Array(values.clone()));
            let mut kept = vec![true; rows];
            if let Some(positions) = self.by_rows(&Batch::new(columns, rows))? {
                kept = vec![false; rows];
                positions.iter().for_each(|&position| kept[position as usize] = true);
            }
            Ok(Arc::new(BooleanArray::from(kept)))
        };
        let table = self.dictionaries.evaluate(values, codes.len(), of_values);
        Ok(table.map(|table| lookup_mask(codes.values(), table.as_boolean().values())))
    }

    fn is_volatile(&self) -> bool {
        let volatile = |compiled: &Compiled| compiled.program.nodes.iter().any(Node::is_volatile);
        self.compiled().map_or(true, volatile)
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

    fn conjuncts(&self) -> impl Iterator<Item = &Node> {
        self.program
            .roots
            .iter()
            .filter_map(|&root| self.program.nodes.get(root))
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
                    let positions = set_positions(mask);
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
            .map(|mask| set_positions(&mask)))
    }

    fn observe(&self, conjunct: usize, rows: usize, passed: usize) {
        if let Some(observed) = self.observed.get(conjunct) {
            observed.add(rows, passed);
        }
    }
}

impl Observed {
    fn add(&self, rows: usize, passed: usize) {
        self.rows.fetch_add(rows as u64, Relaxed);
        self.passed.fetch_add(passed as u64, Relaxed);
    }

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
