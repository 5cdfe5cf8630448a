//! Hash joins, and joins without keys.
//!
//! ```text
//! build pipeline:  … ─▶ BuildSink: rows of the build side; what memory does not hold goes to disk, partition by partition
//! probe pipeline:  … ─▶ Probe (transform): makes the JoinTable of the rows in memory when it starts; each row looks up its
//!                       partners ─▶ pairs ─▶ …; rows of partitions that are on disk go to disk
//! afterwards:      UnmatchedScan (source): build rows by whether they had a partner, for outer, semi, anti, mark on that side
//!                  TaskScan (source): joins the partitions on disk, several workers each
//! ```
//!
//! The rows are cut by the hash of their keys into [`PARTITIONS`]. Partitions below [`Join::resident`] are in memory: all of
//! them in a broadcast join, none in a partitioned join whose build side is far too large, some of them in between. The
//! choice is the planner's, and is corrected while the build side comes in: when memory gets short, half of the partitions
//! in memory go to disk; and those on disk come back when all of them fit after all.

mod board;
mod build;
mod matcher;
mod parts;
mod probe;
mod rows;
mod spilled;
mod table;
mod unmatched;

pub use board::TaskScan;
pub use build::BuildSink;
pub use parts::{Part, Task};
pub use probe::Probe;
pub use spilled::spilled_scan;
pub use table::JoinTable;
pub use unmatched::UnmatchedScan;

use crate::error::{Error, Result};
use crate::expression::{ExpressionList, FilterBuilder, Predicate};
use crate::physical::range_join::{RangeFilter, RangeSpec, outermost};
use crate::runtime::{Operator, OperatorMetrics, PARTITIONS, QueryContext, Shrink, SpillRun, partition_of};
use crate::types::DataType;
use crate::vector::block::Layout;
use crate::vector::row_hash::hash_rows;
use crate::vector::{Batch, Column};
use parking_lot::Mutex;
use rows::BuildRows;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What comes out, told from the point of view of the side that probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinOutput {
    /// Matching pairs; with `probe_outer` also probe rows without partner, with `build_outer` also such build rows.
    Pairs {
        probe_outer: bool,
        build_outer: bool,
    },
    /// As pairs with `probe_outer`; a second partner is an error (scalar subquery).
    ProbeSingle,
    /// Probe rows that have a partner, or have none.
    ProbeSemi,
    ProbeAnti,
    /// Every probe row and whether it has a partner.
    ProbeMark,
    /// Build rows that have a partner, or have none, or all with a mark; given out after the probing.
    BuildSemi,
    BuildAnti,
    BuildMark,
}

impl JoinOutput {
    /// Whether build rows are given out after the probing, by whether they had a partner.
    pub fn emits_build_rows(self) -> bool {
        matches!(
            self,
            Self::BuildSemi | Self::BuildAnti | Self::BuildMark | Self::Pairs { build_outer: true, .. }
        )
    }

    fn is_pairs(self) -> bool {
        matches!(self, Self::Pairs { .. } | Self::ProbeSingle)
    }

    /// Whether it matters which probe rows had a partner.
    fn keeps_probe_matches(self) -> bool {
        use JoinOutput::*;
        matches!(
            self,
            Pairs { probe_outer: true, .. } | ProbeSingle | ProbeSemi | ProbeAnti | ProbeMark
        )
    }

    /// Whether probe rows can come out that have no partner.
    fn emits_unmatched_probe_rows(self) -> bool {
        self.keeps_probe_matches() && self != Self::ProbeSemi
    }

    /// Whether build rows can come out that have no partner.
    fn emits_unmatched_build_rows(self) -> bool {
        self.emits_build_rows() && self != Self::BuildSemi
    }
}

/// A column of a join's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinColumn {
    /// Position in the probe side's batches.
    Probe(usize),
    /// Position in the build side's batches.
    Build(usize),
    Mark,
}

/// What both sides of a join agree on.
#[derive(Debug)]
pub struct JoinSpec {
    pub output: JoinOutput,
    /// The key expressions of each side, in the same order; none at all makes every pair a candidate.
    pub probe_keys: ExpressionList,
    pub build_keys: ExpressionList,
    pub key_types: Vec<DataType>,
    /// Per key: NULL equals NULL.
    pub null_safe: Vec<bool>,
    /// NULL keys make a match unknown (`NOT IN`); only with a single key.
    pub null_aware: bool,
    /// What else must be true of a pair, over the probe side's columns followed by the build side's.
    pub filter: Option<Predicate>,
    /// Conditions of `filter` that can be looked up in sorted build rows.
    pub ranges: Option<RangeSpec>,
    pub columns: Vec<JoinColumn>,
    pub probe_types: Vec<DataType>,
    pub build_types: Vec<DataType>,
    /// Partitions that the planner expects to fit into memory.
    pub resident: u32,
    /// Rows that the planner expects of the build side.
    pub expected_rows: f64,
}

/// A join while it runs.
pub struct Join {
    pub spec: JoinSpec,
    operator: Arc<Operator>,
    metrics: Arc<OperatorMetrics>,
    /// Partitions below this are in memory. Only goes down while the build side comes in.
    resident: AtomicU32,
    /// Build rows in all, on disk or not.
    build_rows: AtomicU64,
    /// Bytes that the build rows on disk would take in memory.
    bytes_on_disk: AtomicUsize,
    /// Some build key is NULL, where that matters.
    has_null_key: AtomicBool,
    stage: Mutex<Stage>,
    /// Key position and builder; taken when the build side is complete.
    filters: Mutex<Vec<(usize, FilterBuilder)>>,
    range_filters: Mutex<Vec<RangeFilter>>,
    spilled: Mutex<Spilled>,
}

/// Where the build rows in memory are.
enum Stage {
    Building,
    AtRest(Box<BuildRows>),
    Probing(Arc<JoinTable>),
    /// All rows in memory have been probed.
    Probed,
}

/// The rows on disk, per partition.
#[derive(Default)]
struct Spilled {
    build: Vec<Vec<SpillRun>>,
    probe: Vec<Vec<SpillRun>>,
}

impl Join {
    /// A join that has not begun. `filters` are the runtime filters to fill, with the position of their key.
    pub fn new(
        spec: JoinSpec,
        filters: Vec<(usize, FilterBuilder)>,
        range_filters: Vec<RangeFilter>,
        metrics: Arc<OperatorMetrics>,
        context: &QueryContext,
    ) -> Arc<Self> {
        let resident = match context.config.debug_force_spill {
            true => spec.resident.min(PARTITIONS as u32 / 2),
            false => spec.resident,
        };
        Arc::new(Self {
            resident: AtomicU32::new(resident),
            spec,
            operator: context.memory.operator("hash join"),
            metrics,
            build_rows: AtomicU64::new(0),
            bytes_on_disk: AtomicUsize::new(0),
            has_null_key: AtomicBool::new(false),
            stage: Mutex::new(Stage::Building),
            filters: Mutex::new(filters),
            range_filters: Mutex::new(range_filters),
            spilled: Mutex::default(),
        })
    }

    fn resident(&self) -> u32 {
        self.resident.load(Relaxed)
    }

    fn all_resident(&self) -> bool {
        self.resident() == PARTITIONS as u32
    }

    /// Sends half of the partitions that are in memory to disk, unless another worker has done so since `seen`.
    fn lower_resident(&self, seen: u32) {
        let _ = self.resident.compare_exchange(seen, seen / 2, Relaxed, Relaxed);
    }

    /// The partition of each row by its keys.
    fn partitions(&self, keys: &[Column], rows: usize, level: u32, context: &QueryContext) -> Result<Vec<u32>> {
        let hashes = hash_rows(keys, rows, context.fixed_hash())?;
        Ok(hashes.into_iter().map(|hash| partition_of(hash, level)).collect())
    }

    /// The table of the build rows in memory; made when first asked for.
    fn start_probing(&self, context: &QueryContext) -> Result<Arc<JoinTable>> {
        let mut stage = self.stage.lock();
        match std::mem::replace(&mut *stage, Stage::Probed) {
            Stage::AtRest(rows) => {
                let table = Arc::new(rows.into_table(&self.spec, context)?);
                *stage = Stage::Probing(table.clone());
                Ok(table)
            }
            Stage::Probing(table) => {
                *stage = Stage::Probing(table.clone());
                Ok(table)
            }
            _ => Err(Error::internal("a join is built before it is probed, and probed once")),
        }
    }

    /// The table, while rows are probed.
    fn table(&self) -> Option<Arc<JoinTable>> {
        match &*self.stage.lock() {
            Stage::Probing(table) => Some(table.clone()),
            _ => None,
        }
    }

    /// All rows in memory have been probed: lets go of the table.
    fn end_probing(&self) {
        let stage = std::mem::replace(&mut *self.stage.lock(), Stage::Probed);
        let by_ranges = match stage {
            Stage::Probing(table) if table.ranges.is_some() => ", ranges looked up",
            _ => "",
        };
        self.metrics.note_outcome(match self.resident() {
            resident if resident == PARTITIONS as u32 => format!("joined in memory{by_ranges}"),
            resident => format!("{resident} of {PARTITIONS} partitions in memory{by_ranges}"),
        });
        self.metrics.note_peak_memory(self.operator.peak());
    }

    fn has_build_rows(&self) -> bool {
        self.build_rows.load(Relaxed) > 0
    }

    fn has_null_key(&self) -> bool {
        self.has_null_key.load(Relaxed)
    }

    fn build_layout(&self) -> Result<Arc<Layout>> {
        Layout::new(&self.spec.build_types)
    }

    fn probe_layout(&self) -> Result<Arc<Layout>> {
        Layout::new(&self.spec.probe_types)
    }

    /// Counts build rows before any of them goes to disk.
    fn note_build_rows(&self, batch: &Batch) -> Result<()> {
        self.build_rows.fetch_add(batch.len() as u64, Relaxed);
        self.learn_bounds(batch)?;
        if self.spec.null_aware && !self.has_null_key.load(Relaxed) {
            for column in self.spec.build_keys.evaluate(batch)? {
                if column.to_array()?.logical_nulls().is_some_and(|n| n.null_count() > 0) {
                    self.has_null_key.store(true, Relaxed);
                }
            }
        }
        Ok(())
    }

    /// Adds the keys of build rows that leave memory to the runtime filters, which have all keys that way.
    fn add_to_filters(&self, keys: &[Column], rows: &[u32]) -> Result<()> {
        for (position, filter) in self.filters.lock().iter_mut() {
            let leaving = keys[*position].gather(rows)?.to_array()?;
            filter.add(&leaving, self.spec.expected_rows as usize)?;
        }
        Ok(())
    }

    /// Adds the bounds of build rows to the runtime filters of ranges.
    fn learn_bounds(&self, batch: &Batch) -> Result<()> {
        let Some(ranges) = self
            .spec
            .ranges
            .as_ref()
            .filter(|_| !self.range_filters.lock().is_empty())
        else {
            return Ok(());
        };
        let bounds = outermost(&ranges.bounds, batch)?;
        self.range_filters.lock().iter_mut().for_each(|f| f.learn(&bounds));
        Ok(())
    }

    fn seal_range_filters(&self) {
        let filters = std::mem::take(&mut *self.range_filters.lock());
        filters.into_iter().for_each(RangeFilter::seal);
    }

    /// Adds all rows of a batch to the runtime filters: for rows that are kept elsewhere.
    pub fn learn_keys(&self, batch: &Batch) -> Result<()> {
        self.learn_bounds(batch)?;
        if self.filters.lock().is_empty() {
            return Ok(());
        }
        let keys = self.spec.build_keys.evaluate(batch)?;
        for (position, filter) in self.filters.lock().iter_mut() {
            filter.add(&keys[*position].to_array()?, self.spec.expected_rows as usize)?;
        }
        Ok(())
    }

    /// Publishes the runtime filters, once the keys of all build rows were learnt.
    pub fn seal_learned_filters(&self) -> Result<()> {
        self.seal_range_filters();
        let filters = std::mem::take(&mut *self.filters.lock());
        filters.into_iter().try_for_each(|(_, filter)| filter.seal(&[]))
    }

    /// How much more memory the join may hold without holding more than it leaves to others.
    pub fn fair_room(&self) -> usize {
        self.operator.fair_room()
    }

    /// Bytes that a table takes per row beside the row itself, without strings of keys.
    pub fn index_row_bytes(&self) -> usize {
        rows::index_row_bytes(&self.spec)
    }

    /// `how` says what else is worth knowing of the merge.
    pub fn note_merged(&self, ranges: usize, how: &str) {
        self.metrics
            .note_outcome(format!("merged in {ranges} ranges of keys{how}"));
    }

    /// Adds runs to the rows on disk; `of` chooses the side.
    fn add_spilled(&self, of: impl FnOnce(&mut Spilled) -> &mut Vec<Vec<SpillRun>>, runs: Vec<SpillRun>) {
        let mut spilled = self.spilled.lock();
        let side = of(&mut spilled);
        side.resize_with(PARTITIONS, Vec::new);
        let runs = side.iter_mut().zip(runs).filter(|(_, run)| run.rows() > 0);
        runs.for_each(|(all, run)| {
            self.metrics.add_spilled_run(run.bytes());
            all.push(run);
        });
    }
}

impl Shrink for Join {
    fn shrink(&self, bytes: usize) -> Result<usize> {
        // A worker that holds the lock is using the rows.
        let Some(mut stage) = self.stage.try_lock() else {
            return Ok(0);
        };
        let Stage::AtRest(rows) = &mut *stage else { return Ok(0) };
        let before = rows.reserved();
        while before - rows.reserved() < bytes && self.resident() > 0 {
            self.lower_resident(self.resident());
            rows.split_held(self)?;
            rows.fit_reservation();
        }
        let freed = before - rows.reserved();
        rows.seal_spilled(self)?;
        Ok(freed)
    }
}
