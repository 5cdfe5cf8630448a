//! Finds the partners of probe rows in a table, and gives out what the join makes of them, batch by batch.

use super::table::{JoinTable, excluded_rows};
use super::{Join, JoinColumn, JoinOutput};
use crate::error::{Error, Result};
use crate::expression::Predicate;
use crate::physical::range_join::{RangeIndex, Span};
use crate::runtime::{CancelToken, QueryContext};
use crate::types::{DataType, ScalarValue};
use crate::vector::keys::EncodedKeys;
use crate::vector::{Batch, Column};
use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// One worker's look-ups. Takes a probe batch with [`Matcher::begin`] and gives its output with [`Matcher::next`].
pub(super) struct Matcher {
    join: Arc<Join>,
    table: Arc<JoinTable>,
    /// Pairs looked at before they are given out.
    pair_limit: usize,
    cancel: CancelToken,
    current: Option<Current>,
    pairs: Pairs,
    /// Scratch.
    heads: Vec<u32>,
    spans: Vec<Span>,
}

/// Candidate pairs: positions among the batch's alive rows, and build rows.
#[derive(Default)]
struct Pairs {
    probe: Vec<u32>,
    build: Vec<u32>,
}

/// The probe batch at work, and where the walk over its candidates stands.
struct Current {
    batch: Batch,
    keys: EncodedKeys,
    heads: Vec<u32>,
    /// Where the matches of each row are in the table's range index, if it has one.
    spans: Vec<Span>,
    /// Probe rows whose key is NULL; empty when there is none.
    null_key: Vec<bool>,
    /// Which rows have had a partner; empty when that does not matter.
    matched: Vec<bool>,
    row: usize,
    /// Candidate of `row` to look at next: row + 1, or position + 1 in the range index; 0 means its first.
    entry: u32,
    /// Everything has been given out.
    finished: bool,
    /// More build rows follow in other tables: rows without partner are not given out yet.
    more_tables: bool,
}

impl Matcher {
    pub fn new(join: Arc<Join>, table: Arc<JoinTable>, context: &QueryContext) -> Self {
        Self {
            join,
            table,
            pair_limit: context.config.batch_size.max(1) * 2,
            cancel: context.cancel.clone(),
            current: None,
            pairs: Pairs::default(),
            heads: vec![],
            spans: vec![],
        }
    }

    /// Begins with a probe batch. All output of the one before has been taken.
    pub fn begin(&mut self, batch: Batch) -> Result<()> {
        let matched = match self.join.spec.output.keeps_probe_matches() {
            true => vec![false; batch.len()],
            false => vec![],
        };
        self.begin_with(batch, matched, false)
    }

    /// As [`Matcher::begin`], for one of several tables that each hold a part of the build rows. `matched` says which rows
    /// had a partner in the tables before.
    pub fn begin_with(&mut self, batch: Batch, matched: Vec<bool>, more_tables: bool) -> Result<()> {
        let (keys, null_key) = self.look_up(&batch)?;
        let mut spans = std::mem::take(&mut self.spans);
        if let (Some(index), Some(ranges)) = (&self.table.ranges, &self.join.spec.ranges) {
            let heads = (!self.table.is_cross()).then_some(self.heads.as_slice());
            index.spans(ranges, &batch, heads, &mut spans)?;
        }
        self.current = Some(Current {
            batch,
            keys,
            heads: std::mem::take(&mut self.heads),
            spans,
            null_key,
            matched,
            row: 0,
            entry: 0,
            finished: false,
            more_tables,
        });
        Ok(())
    }

    /// The next output for the batch, or `None` when there is no more.
    pub fn next(&mut self) -> Result<Option<Batch>> {
        let Some(mut current) = self.current.take() else {
            return Ok(None);
        };
        let output = self.advance(&mut current)?;
        match output {
            Some(output) => {
                self.current = Some(current);
                Ok(Some(output))
            }
            None => {
                self.keep_scratch(&mut current);
                Ok(None)
            }
        }
    }

    /// As [`Matcher::next`], also giving back at the end which rows had a partner.
    pub fn next_or_matched(&mut self) -> Result<std::result::Result<Batch, Vec<bool>>> {
        let Some(mut current) = self.current.take() else {
            return Ok(Err(vec![]));
        };
        match self.advance(&mut current)? {
            Some(output) => {
                self.current = Some(current);
                Ok(Ok(output))
            }
            None => {
                self.keep_scratch(&mut current);
                Ok(Err(current.matched))
            }
        }
    }

    fn keep_scratch(&mut self, current: &mut Current) {
        self.heads = std::mem::take(&mut current.heads);
        self.spans = std::mem::take(&mut current.spans);
    }

    fn advance(&mut self, current: &mut Current) -> Result<Option<Batch>> {
        if current.finished {
            return Ok(None);
        }
        if self.is_single_row() {
            current.finished = true;
            return self.with_single_row(&current.batch).map(Some);
        }
        let mut pairs = std::mem::take(&mut self.pairs);
        let output = self.next_pairs(current, &mut pairs)?;
        self.pairs = pairs;
        if output.is_some() {
            return Ok(output);
        }
        current.finished = true;
        match current.more_tables {
            true => Ok(None),
            false => self.by_match(current),
        }
    }

    /// Walks on over the candidates, until there are pairs to give out or none is left.
    fn next_pairs(&self, current: &mut Current, pairs: &mut Pairs) -> Result<Option<Batch>> {
        let output = self.join.spec.output;
        while self.fill(current, pairs) {
            self.cancel.check()?;
            self.check_filter(&current.batch, pairs)?;
            if output == JoinOutput::ProbeSingle {
                check_single(pairs, &current.matched)?;
            }
            if !current.matched.is_empty() {
                pairs.probe.iter().for_each(|&row| current.matched[row as usize] = true);
            }
            let matched = &self.table.matched;
            if !matched.is_empty() {
                pairs
                    .build
                    .iter()
                    .for_each(|&row| matched[row as usize].store(true, Relaxed));
            }
            if output.is_pairs() && !pairs.probe.is_empty() {
                return self.pair_batch(&current.batch, pairs).map(Some);
            }
        }
        Ok(None)
    }

    /// Collects pairs up to the limit; false when nothing is left.
    fn fill(&self, current: &mut Current, pairs: &mut Pairs) -> bool {
        pairs.probe.clear();
        pairs.build.clear();
        match &self.table.ranges {
            Some(index) => self.fill_ranges(index, current, pairs),
            None if self.table.is_cross() => self.fill_cross(current, pairs),
            None if self.table.is_unique() => self.fill_single_matches(current, pairs),
            None => self.fill_matches(current, pairs),
        }
        !pairs.probe.is_empty()
    }

    fn fill_cross(&self, current: &mut Current, pairs: &mut Pairs) {
        let rows = current.batch.len();
        while current.row < rows && self.table.rows > 0 && pairs.probe.len() < self.pair_limit {
            let from = current.entry as usize;
            let to = self.table.rows.min(from + self.pair_limit - pairs.probe.len());
            pairs.probe.extend(std::iter::repeat_n(current.row as u32, to - from));
            pairs.build.extend(from as u32..to as u32);
            current.entry = if to == self.table.rows { 0 } else { to as u32 };
            current.row += (current.entry == 0) as usize;
        }
    }

    /// No row has a second candidate.
    fn fill_single_matches(&self, current: &mut Current, pairs: &mut Pairs) {
        while current.row < current.heads.len() && pairs.probe.is_empty() {
            let end = current.heads.len().min(current.row + self.pair_limit);
            let heads = &current.heads[current.row..end];
            pairs.probe.reserve(heads.len());
            pairs.build.reserve(heads.len());
            for (row, &head) in (current.row as u32..).zip(heads) {
                if head != 0 {
                    pairs.probe.push(row);
                    pairs.build.push(head - 1);
                }
            }
            current.row = end;
        }
    }

    /// Whether the first candidate decides: semi joins without further condition.
    fn first_only(&self) -> bool {
        let output = self.join.spec.output;
        !output.is_pairs() && output.keeps_probe_matches() && self.filter().is_none()
    }

    /// What must be true of candidates.
    fn filter(&self) -> Option<&Predicate> {
        match (&self.table.ranges, &self.join.spec.ranges) {
            (Some(_), Some(ranges)) => ranges.rest.as_ref(),
            _ => self.join.spec.filter.as_ref(),
        }
    }

    fn fill_ranges(&self, index: &RangeIndex, current: &mut Current, pairs: &mut Pairs) {
        let first_only = self.first_only();
        while let Some(span) = current.spans.get(current.row) {
            let mut from = current.entry.checked_sub(1).unwrap_or(span.start);
            while let Some((position, row)) = index.next_match(span, from) {
                if pairs.probe.len() >= self.pair_limit {
                    current.entry = position + 1;
                    return;
                }
                pairs.probe.push(current.row as u32);
                pairs.build.push(row);
                if first_only {
                    break;
                }
                from = position + 1;
            }
            current.entry = 0;
            current.row += 1;
        }
    }

    fn fill_matches(&self, current: &mut Current, pairs: &mut Pairs) {
        let stride = self.table.stride();
        let first_only = self.first_only();
        let rows = current.heads.len();
        while current.row < rows {
            let mut entry = match current.entry {
                0 => current.heads[current.row],
                entry => entry,
            };
            let key = &current.keys.words[current.row * stride..(current.row + 1) * stride];
            while entry != 0 {
                if pairs.probe.len() >= self.pair_limit {
                    current.entry = entry;
                    return;
                }
                pairs.probe.push(current.row as u32);
                pairs.build.push(entry - 1);
                if first_only {
                    break;
                }
                entry = self.table.next_candidate(entry, key);
            }
            current.entry = 0;
            current.row += 1;
        }
    }

    /// Encodes the keys and finds first candidates, into `heads`; also tells which rows have a NULL key.
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
        let Some(filter) = self.filter() else { return Ok(()) };
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

    /// Whether every probe row has the same partner: a build side of one row, without keys or condition.
    fn is_single_row(&self) -> bool {
        let spec = &self.join.spec;
        self.table.is_cross()
            && self.table.rows == 1
            && spec.filter.is_none()
            && spec.output.is_pairs()
            && self.join.all_resident()
    }

    /// A build side of one row is one constant for all probe rows.
    fn with_single_row(&self, batch: &Batch) -> Result<Batch> {
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
        Ok(Batch::new(columns.collect::<Result<_>>()?, rows))
    }

    /// What is given out once the batch's matches are known.
    fn by_match(&self, current: &Current) -> Result<Option<Batch>> {
        let Current { batch, matched, .. } = current;
        let positions = |wanted: bool| -> Vec<u32> {
            let rows = matched.iter().enumerate().filter(|(_, m)| **m == wanted);
            rows.map(|(i, _)| i as u32).collect()
        };
        let unknown = |row: usize| {
            let null_probe = current.null_key.get(row) == Some(&true);
            self.join.spec.null_aware && self.join.has_build_rows() && (self.join.has_null_key() || null_probe)
        };
        let output = match self.join.spec.output {
            JoinOutput::Pairs { probe_outer: true, .. } | JoinOutput::ProbeSingle => {
                let alone = positions(false);
                match alone.is_empty() {
                    true => return Ok(None),
                    false => self.outer_batch(batch, &alone)?,
                }
            }
            JoinOutput::ProbeSemi => self.probe_batch(batch.clone().select(positions(true)))?,
            JoinOutput::ProbeAnti => {
                let mut alone = positions(false);
                alone.retain(|&row| !unknown(row as usize));
                self.probe_batch(batch.clone().select(alone))?
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
                Batch::new(columns.collect::<Result<_>>()?, batch.len())
            }
            _ => return Ok(None),
        };
        Ok(Some(output))
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

fn check_single(pairs: &Pairs, matched: &[bool]) -> Result<()> {
    let again = pairs.probe.windows(2).any(|w| w[0] == w[1]) || pairs.probe.iter().any(|&row| matched[row as usize]);
    if again {
        Err(Error::execution("a scalar subquery returned more than one row"))
    } else {
        Ok(())
    }
}
