//! The rows on disk: each partition is a task.
//!
//! A partition that is far too large is cut again by other bits of the hash. Where that does not help, because one key has
//! most of the rows, its build rows are read in several chunks, and its probe rows once for each chunk.

use super::board::TaskScan;
use super::parts::{Part, Rows, Task};
use super::rows::partition_writer;
use super::{Join, Spilled};
use crate::error::Result;
use crate::expression::ExpressionList;
use crate::runtime::{LEVELS, PARTITIONS, QueryContext, SpillRun};
use crate::vector::block::Layout;
use std::collections::VecDeque;
use std::sync::Arc;

/// A partition is cut again when it is this many times larger than what may be in memory.
const TOO_LARGE: usize = 4;

/// Joins what is on disk when all rows have been probed.
pub fn spilled_scan(join: Arc<Join>) -> TaskScan {
    let ended = join.clone();
    let begin = move |_: &QueryContext| {
        ended.end_probing();
        let Spilled { build, probe } = std::mem::take(&mut *ended.spilled.lock());
        Ok(tasks(build, probe, 0, usize::MAX, &ended))
    };
    let cut = join.clone();
    let cut_again = move |task: &Task, context: &QueryContext, chunk_bytes: usize| match is_too_large(
        &cut,
        task,
        context,
        chunk_bytes,
    ) {
        true => cut_again(&cut, task, context).map(Some),
        false => Ok(None),
    };
    TaskScan::new(join, Box::new(begin), Box::new(cut_again))
}

/// The partitions that can give rows. `parent` is how many build rows they were cut from.
fn tasks(
    mut build: Vec<Vec<SpillRun>>,
    mut probe: Vec<Vec<SpillRun>>,
    level: u32,
    parent: usize,
    join: &Join,
) -> VecDeque<Task> {
    build.resize_with(PARTITIONS, Vec::new);
    probe.resize_with(PARTITIONS, Vec::new);
    let parts = |runs: Vec<SpillRun>| runs.into_iter().map(Part::of_run).collect();
    let tasks = build.into_iter().zip(probe).map(|(build, probe)| {
        let mut task = Task {
            build: parts(build),
            probe: parts(probe),
            level,
            divisible: false,
        };
        task.divisible = level + 1 < LEVELS && !join.spec.key_types.is_empty() && task.build_rows() < parent / 4 * 3;
        task
    });
    tasks.filter(|t| t.is_worthwhile(join)).collect()
}

fn is_too_large(join: &Join, task: &Task, context: &QueryContext, chunk_bytes: usize) -> bool {
    let rows = task.build_rows();
    if context.config.debug_force_spill && task.level == 0 {
        return task.divisible && rows > 1;
    }
    let in_memory = task.build_bytes() + rows * crate::vector::keys::key_bytes(&join.spec.key_types);
    task.divisible && in_memory > chunk_bytes.saturating_mul(TOO_LARGE)
}

/// Cuts both sides by other bits of the hash, into tasks of their own.
fn cut_again(join: &Arc<Join>, task: &Task, context: &QueryContext) -> Result<VecDeque<Task>> {
    let level = task.level + 1;
    let build = cut(
        join,
        &task.build,
        &join.spec.build_keys,
        &join.build_layout()?,
        level,
        context,
    )?;
    let probe = cut(
        join,
        &task.probe,
        &join.spec.probe_keys,
        &join.probe_layout()?,
        level,
        context,
    )?;
    join.metrics.note_passes(u64::from(level) + 1);
    Ok(tasks(build, probe, level, task.build_rows(), join))
}

fn cut(
    join: &Arc<Join>,
    parts: &[Part],
    keys: &ExpressionList,
    layout: &Arc<Layout>,
    level: u32,
    context: &QueryContext,
) -> Result<Vec<Vec<SpillRun>>> {
    let (mut writer, _reservation) = partition_writer(join, layout, context)?;
    let mut rows = Rows::new(parts);
    while let Some(batch) = rows.next()? {
        context.cancel.check()?;
        let keys = keys.evaluate(&batch)?;
        let partitions = join.partitions(&keys, batch.len(), level, context)?;
        writer.append(&batch, &partitions)?;
    }
    let runs = writer.finish()?;
    runs.iter().for_each(|run| join.metrics.add_spilled_run(run.bytes()));
    Ok(runs.into_iter().map(|run| vec![run]).collect())
}
