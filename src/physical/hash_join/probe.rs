//! The transform of a join's probe side.

use super::table::{JoinTable, excluded_rows};
use super::{Join, JoinColumn, JoinOutput};
use crate::error::{Error, Result};
use crate::physical::pipeline::{Emit, Flow, LocalTransform, Transform};
use crate::runtime::{CancelToken, QueryContext};
use crate::types::{DataType, ScalarValue};
use crate::vector::keys::EncodedKeys;
use crate::vector::{Batch, Column};
use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Looks up the partners of each row in a table that an earlier pipeline built.
pub struct Probe {
    join: Arc<Join>,
}

impl Probe {
    pub fn new(join: Arc<Join>) -> Self {
        Self { join }
    }
}

impl Transform for Probe {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalTransform>> {
        let table = self
            .join
            .table
            .get()
            .cloned()
            .ok_or_else(|| Error::internal("a join is built before it is probed"))?;
        Ok(Box::new(LocalProbe {
            join: self.join.clone(),
            table,
            pair_limit: context.config.batch_size.max(1) * 2,
            cancel: context.cancel.clone(),
            heads: vec![],
        }))
    }
}

struct LocalProbe {
    join: Arc<Join>,
    table: Arc<JoinTable>,
    /// Pairs looked at before they are given out.
    pair_limit: usize,
    cancel: CancelToken,
    heads: Vec<u32>,
}

/// Candidate pairs: positions among the batch's alive rows, and build rows.
#[derive(Default)]
struct Pairs {
    probe: Vec<u32>,
    build: Vec<u32>,
}

/// Where the walk over candidates stands.
struct Walk<'a> {
    table: &'a JoinTable,
    keys: &'a EncodedKeys,
    heads: &'a [u32],
    rows: usize,
    row: usize,
    /// Candidate of `row` to look at next: row + 1; 0 means its first.
    entry: u32,
    /// The first candidate decides: semi joins without further condition.
    first_only: bool,
}

impl Walk<'_> {
    /// Collects pairs up to the limit; false when nothing is left.
    fn fill(&mut self, pairs: &mut Pairs, limit: usize) -> bool {
        pairs.probe.clear();
        pairs.build.clear();
        if self.table.is_cross() {
            self.fill_cross(pairs, limit)
        } else {
            self.fill_matches(pairs, limit)
        }
        !pairs.probe.is_empty()
    }

    fn fill_cross(&mut self, pairs: &mut Pairs, limit: usize) {
        while self.row < self.rows && self.table.rows > 0 && pairs.probe.len() < limit {
            let from = self.entry as usize;
            let to = self.table.rows.min(from + limit - pairs.probe.len());
            pairs.probe.extend(std::iter::repeat_n(self.row as u32, to - from));
            pairs.build.extend(from as u32..to as u32);
            self.entry = if to == self.table.rows { 0 } else { to as u32 };
            self.row += (self.entry == 0) as usize;
        }
    }

    fn fill_matches(&mut self, pairs: &mut Pairs, limit: usize) {
        let stride = self.table.stride();
        while self.row < self.rows {
            let mut entry = if self.entry != 0 {
                self.entry
            } else {
                self.heads[self.row]
            };
            let key = &self.keys.words[self.row * stride..(self.row + 1) * stride];
            while entry != 0 {
                if pairs.probe.len() >= limit {
                    self.entry = entry;
                    return;
                }
                pairs.probe.push(self.row as u32);
                pairs.build.push(entry - 1);
                if self.first_only {
                    break;
                }
                entry = self.table.next_candidate(entry, key);
            }
            self.entry = 0;
            self.row += 1;
        }
    }
}

impl LocalTransform for LocalProbe {
    fn push(&mut self, batch: Batch, emit: &mut Emit) -> Result<Flow> {
        let join = self.join.clone();
        let table = self.table.clone();
        let spec = &join.spec;
        let rows = batch.len();
        if table.is_cross() && table.rows == 1 && spec.filter.is_none() && is_pairs(spec.output) {
            return self.emit_with_single_row(&batch, emit);
        }
        let (keys, unknown_null) = self.look_up(&batch)?;
        let semi = matches!(
            spec.output,
            JoinOutput::ProbeSemi | JoinOutput::ProbeAnti | JoinOutput::ProbeMark
        );
        let mut heads = std::mem::take(&mut self.heads);
        let mut walk = Walk {
            table: &table,
            keys: &keys,
            heads: &heads,
            rows,
            row: 0,
            entry: 0,
            first_only: semi && spec.filter.is_none() && !table.is_cross(),
        };
        let mut matched = vec![false; if keeps_probe_matches(spec.output) { rows } else { 0 }];
        let mut pairs = Pairs::default();
        let mut flow = Flow::More;
        while flow == Flow::More && walk.fill(&mut pairs, self.pair_limit) {
            self.cancel.check()?;
            self.check_filter(&batch, &mut pairs)?;
            if spec.output == JoinOutput::ProbeSingle {
                check_single(&pairs, &matched)?;
            }
            if !matched.is_empty() {
                pairs.probe.iter().for_each(|&row| matched[row as usize] = true);
            }
            if !table.matched.is_empty() {
                pairs
                    .build
                    .iter()
                    .for_each(|&row| table.matched[row as usize].store(true, Relaxed));
            }
            if is_pairs(spec.output) && !pairs.probe.is_empty() {
                flow = emit(self.pair_batch(&batch, &pairs)?)?;
            }
        }
        heads.clear();
        self.heads = heads;
        if flow == Flow::Done {
            return Ok(Flow::Done);
        }
        self.emit_by_match(batch, matched, unknown_null, emit)
    }
}

fn is_pairs(output: JoinOutput) -> bool {
    matches!(output, JoinOutput::Pairs { .. } | JoinOutput::ProbeSingle)
}

fn keeps_probe_matches(output: JoinOutput) -> bool {
    use JoinOutput::*;
    matches!(
        output,
        Pairs { probe_outer: true, .. } | ProbeSingle | ProbeSemi | ProbeAnti | ProbeMark
    )
}

fn check_single(pairs: &Pairs, matched: &[bool]) -> Result<()> {
    let again = pairs.probe.windows(2).any(|w| w[0] == w[1]) || pairs.probe.iter().any(|&row| matched[row as usize]);
    if again {
        Err(Error::execution("a scalar subquery returned more than one row"))
    } else {
        Ok(())
    }
}

impl LocalProbe {
    /// Encodes the keys and finds first candidates; also tells which rows have a NULL key.
    fn look_up(&mut self, batch: &Batch) -> Result<(EncodedKeys, Vec<bool>)> {
        let spec = &self.join.spec;
        if self.table.is_cross() {
            return Ok((EncodedKeys::default(), vec![]));
        }
        let columns = spec.probe_keys.evaluate(batch)?;
        let keys = self.table.encode(&columns, batch.len())?;
        let nulls = excluded_rows(&keys, &columns, &spec.null_safe)?;
        let mut excluded = nulls.clone();
        if !keys.unknown_rows.is_empty() {
            excluded.resize(batch.len(), false);
            excluded.iter_mut().zip(&keys.unknown_rows).for_each(|(e, u)| *e |= *u);
        }
        self.table.first_candidates(&keys, &excluded, &mut self.heads);
        Ok((keys, nulls))
    }

    /// Keeps the pairs that fulfil the join's further condition.
    fn check_filter(&self, batch: &Batch, pairs: &mut Pairs) -> Result<()> {
        let spec = &self.join.spec;
        let Some(filter) = &spec.filter else { return Ok(()) };
        let rows = pairs.probe.len();
        let probe_width = spec.probe_types.len();
        let types = spec.probe_types.iter().chain(&spec.build_types);
        let build = UInt32Array::from(pairs.build.clone());
        let columns = types.enumerate().map(|(i, t)| {
            if !filter.columns().contains(&i) {
                Column::constant(&ScalarValue::Null, t, rows)
            } else if i < probe_width {
                batch.column(i)?.gather(&pairs.probe)
            } else {
                Ok(Column::Array(take(&self.table.columns[i - probe_width], &build, None)?))
            }
        });
        let candidates = Batch::new(columns.collect::<Result<_>>()?, rows);
        if let Some(kept) = filter.select(candidates)?.selection() {
            pairs.probe = kept.iter().map(|&i| pairs.probe[i as usize]).collect();
            pairs.build = kept.iter().map(|&i| pairs.build[i as usize]).collect();
        }
        Ok(())
    }

    /// The output columns for pairs.
    fn pair_batch(&self, batch: &Batch, pairs: &Pairs) -> Result<Batch> {
        let build = UInt32Array::from(pairs.build.clone());
        let all = pairs.probe.len() == batch.len() && pairs.probe.iter().enumerate().all(|(i, &p)| i == p as usize);
        // One gather instead of two: straight from the physical rows.
        let probe: Vec<u32> = match batch.selection() {
            Some(selection) => pairs.probe.iter().map(|&p| selection[p as usize]).collect(),
            None => pairs.probe.clone(),
        };
        let probe = UInt32Array::from(probe);
        let columns = self.join.spec.columns.iter().map(|column| match column {
            JoinColumn::Probe(i) if all => batch.column(*i),
            JoinColumn::Probe(i) => batch.physical_columns()[*i].take(&probe),
            JoinColumn::Build(i) => Ok(Column::Array(take(&self.table.columns[*i], &build, None)?)),
            JoinColumn::Mark => Err(Error::internal("pairs have no mark")),
        });
        Ok(Batch::new(columns.collect::<Result<_>>()?, pairs.probe.len()))
    }

    /// A build side of one row is one constant for all probe rows.
    fn emit_with_single_row(&self, batch: &Batch, emit: &mut Emit) -> Result<Flow> {
        if let Some(matched) = self.table.matched.first() {
            matched.store(true, Relaxed);
        }
        let rows = batch.len();
        let columns = self.join.spec.columns.iter().map(|column| match column {
            JoinColumn::Probe(i) => batch.column(*i),
            JoinColumn::Build(i) => Ok(Column::Constant {
                value: self.table.columns[*i].clone(),
                rows,
            }),
            JoinColumn::Mark => Err(Error::internal("pairs have no mark")),
        });
        emit(Batch::new(columns.collect::<Result<_>>()?, rows))
    }

    /// What is given out once the batch's matches are known.
    fn emit_by_match(&self, batch: Batch, matched: Vec<bool>, null_key: Vec<bool>, emit: &mut Emit) -> Result<Flow> {
        let positions = |wanted: bool| -> Vec<u32> {
            matched
                .iter()
                .enumerate()
                .filter(|(_, m)| **m == wanted)
                .map(|(i, _)| i as u32)
                .collect()
        };
        let unknown = |row: usize| {
            let null_probe = null_key.get(row) == Some(&true);
            self.join.spec.null_aware && self.table.rows > 0 && (self.table.has_null_key || null_probe)
        };
        match self.join.spec.output {
            JoinOutput::Pairs { probe_outer: true, .. } | JoinOutput::ProbeSingle => {
                let alone = positions(false);
                if alone.is_empty() {
                    Ok(Flow::More)
                } else {
                    emit(self.outer_batch(&batch, &alone)?)
                }
            }
            JoinOutput::ProbeSemi => emit(self.probe_batch(batch.select(positions(true)))?),
            JoinOutput::ProbeAnti => {
                let alone: Vec<u32> = positions(false)
                    .into_iter()
                    .filter(|&row| !unknown(row as usize))
                    .collect();
                emit(self.probe_batch(batch.select(alone))?)
            }
            JoinOutput::ProbeMark => {
                let mark = |(row, &m): (usize, &bool)| if !m && unknown(row) { None } else { Some(m) };
                let marks: BooleanArray = matched.iter().enumerate().map(mark).collect();
                let marks: ArrayRef = Arc::new(marks);
                let columns = self.join.spec.columns.iter().map(|column| match column {
                    JoinColumn::Probe(i) => batch.column(*i),
                    JoinColumn::Mark => Ok(Column::Array(marks.clone())),
                    JoinColumn::Build(_) => Err(Error::internal("a mark join gives no build column")),
                });
                let rows = batch.len();
                emit(Batch::new(columns.collect::<Result<_>>()?, rows))
            }
            _ => Ok(Flow::More),
        }
    }

    /// The probe columns of the output, under the batch's selection.
    fn probe_batch(&self, batch: Batch) -> Result<Batch> {
        let positions = self.join.spec.columns.iter().map(|column| match column {
            JoinColumn::Probe(i) => Ok(*i),
            _ => Err(Error::internal("a semi join gives probe columns only")),
        });
        batch.project(&positions.collect::<Result<Vec<_>>>()?)
    }

    /// Probe rows with NULLs in place of build columns.
    fn outer_batch(&self, batch: &Batch, rows: &[u32]) -> Result<Batch> {
        let spec = &self.join.spec;
        let columns = spec.columns.iter().map(|column| match column {
            JoinColumn::Probe(i) => batch.column(*i)?.gather(rows),
            JoinColumn::Build(i) => Column::constant(&ScalarValue::Null, &spec.build_types[*i], rows.len()),
            JoinColumn::Mark => Column::constant(&ScalarValue::Null, &DataType::Boolean, rows.len()),
        });
        Ok(Batch::new(columns.collect::<Result<_>>()?, rows.len()))
    }
}
