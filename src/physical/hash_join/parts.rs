//! Rows of one side of a join that can be read again and again, by several workers.

use super::Join;
use crate::error::Result;
use crate::physical::sort::{SortedPart, SortedRows};
use crate::runtime::{SpillReader, SpillRun};
use crate::vector::Batch;
use std::collections::VecDeque;
use std::ops::Range;

/// Neighbouring rows of one place.
#[derive(Clone)]
pub enum Part {
    /// Blocks of a run on disk.
    Spilled(SpillRun, Range<usize>),
    /// Rows of a sort, those in a range of its key.
    Sorted(SortedPart),
}

impl Part {
    pub fn of_run(run: SpillRun) -> Self {
        let blocks = 0..run.blocks().len();
        Self::Spilled(run, blocks)
    }

    /// Rows at most.
    pub fn rows(&self) -> usize {
        match self {
            Self::Spilled(run, blocks) => run.blocks()[blocks.clone()].iter().map(|b| b.rows as usize).sum(),
            Self::Sorted(part) => part.rows(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Spilled(run, blocks) => run.blocks()[blocks.clone()].iter().map(|b| b.length as usize).sum(),
            Self::Sorted(part) => part.bytes(),
        }
    }

    /// The same rows in parts of about `rows`.
    fn cut(&self, rows: usize) -> Vec<Part> {
        match self {
            Self::Spilled(run, blocks) => cut_blocks(run, blocks.clone(), rows)
                .into_iter()
                .map(|blocks| Self::Spilled(run.clone(), blocks))
                .collect(),
            Self::Sorted(part) => part.cut(rows).into_iter().map(Self::Sorted).collect(),
        }
    }
}

/// Ranges of blocks with about `rows` rows each.
pub fn cut_blocks(run: &SpillRun, blocks: Range<usize>, rows: usize) -> Vec<Range<usize>> {
    let mut cuts = vec![];
    let (mut start, mut filled) = (blocks.start, 0);
    for block in blocks.clone() {
        filled += run.blocks()[block].rows as usize;
        if filled >= rows || block + 1 == blocks.end {
            cuts.push(start..block + 1);
            (start, filled) = (block + 1, 0);
        }
    }
    cuts
}

/// The parts in pieces of about `rows` each, for the workers to take.
pub fn pieces(parts: &[Part], rows: usize) -> Vec<Vec<Part>> {
    let mut pieces: Vec<Vec<Part>> = vec![];
    let mut filled = rows;
    for part in parts.iter().flat_map(|p| p.cut(rows)) {
        if filled >= rows {
            pieces.push(vec![]);
            filled = 0;
        }
        filled += part.rows();
        if let Some(piece) = pieces.last_mut() {
            piece.push(part);
        }
    }
    pieces
}

/// Build rows that may have partners among some probe rows, and nowhere else; nor have these elsewhere.
pub struct Task {
    pub build: Vec<Part>,
    pub probe: Vec<Part>,
    /// How often the rows were cut by their hash.
    pub level: u32,
    /// Cutting them again may help.
    pub divisible: bool,
}

impl Task {
    pub fn build_rows(&self) -> usize {
        self.build.iter().map(Part::rows).sum()
    }

    pub fn build_bytes(&self) -> usize {
        self.build.iter().map(Part::bytes).sum()
    }

    /// Whether anything can come out.
    pub fn is_worthwhile(&self, join: &Join) -> bool {
        match (self.build_rows(), self.probe.iter().map(Part::rows).sum()) {
            (0, 0) => false,
            (0, _) => join.spec.output.emits_unmatched_probe_rows(),
            (_, 0) => join.spec.output.emits_unmatched_build_rows(),
            _ => true,
        }
    }
}

/// Reads parts, one after the other.
pub struct Rows {
    parts: VecDeque<Part>,
    reader: Option<Reader>,
    /// A batch that was read and given back.
    pub pending: Option<Batch>,
}

enum Reader {
    /// And how many blocks are left of its part.
    Spilled(SpillReader, usize),
    Sorted(SortedRows),
}

impl Rows {
    pub fn new(parts: &[Part]) -> Self {
        Self {
            parts: parts.iter().cloned().collect(),
            reader: None,
            pending: None,
        }
    }

    pub fn next(&mut self) -> Result<Option<Batch>> {
        if self.pending.is_some() {
            return Ok(self.pending.take());
        }
        loop {
            let batch = match &mut self.reader {
                Some(Reader::Spilled(_, 0)) | None => None,
                Some(Reader::Spilled(reader, left)) => {
                    *left -= 1;
                    reader.next_batch()?
                }
                Some(Reader::Sorted(rows)) => rows.next()?,
            };
            if batch.is_some() {
                return Ok(batch);
            }
            self.reader = match self.parts.pop_front() {
                Some(Part::Spilled(run, blocks)) => Some(Reader::Spilled(run.reader_from(blocks.start), blocks.len())),
                Some(Part::Sorted(part)) => Some(Reader::Sorted(part.rows_in_order())),
                None => {
                    self.reader = None;
                    return Ok(None);
                }
            };
        }
    }
}
