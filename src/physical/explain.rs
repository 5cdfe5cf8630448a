//! EXPLAIN and EXPLAIN ANALYZE: the plan as a tree, with what is expected and what happened.

use super::executor::run_pipelines;
use super::meter::{Discard, NodeMeter};
use super::planner::plan_metered;
use crate::config::format_bytes;
use crate::error::Result;
use crate::logical::LogicalPlan;
use crate::logical::statistics::Estimator;
use crate::runtime::{OperatorMetrics, QueryContext};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The meters of the nodes of one plan, by the node's address.
pub type Meters = HashMap<*const LogicalPlan, NodeMeter>;

/// The plan that would run: a tree with estimates and the planner's choices. Reads no rows.
pub fn explain(plan: &LogicalPlan, context: &QueryContext) -> Result<String> {
    let (_, meters) = plan_metered(plan, context, Arc::new(Discard))?;
    let mut tree = Tree {
        text: String::new(),
        meters,
        estimator: Estimator::default(),
        measured: false,
    };
    tree.node(plan, "", "");
    Ok(tree.text)
}

/// Runs the plan, forgets its rows, and tells what each node did.
pub fn explain_analyze(plan: &LogicalPlan, context: &QueryContext) -> Result<String> {
    let start = Instant::now();
    let (pipelines, meters) = plan_metered(plan, context, Arc::new(Discard))?;
    run_pipelines(pipelines, context)?;
    let elapsed = start.elapsed();
    let mut tree = Tree {
        text: String::new(),
        meters,
        estimator: Estimator::default(),
        measured: true,
    };
    tree.node(plan, "", "");
    let metrics = &context.metrics;
    let _ = writeln!(
        tree.text,
        "\n{} in all, {} threads; read {} of {} in {} of {} partitions; peak memory {}; spilled {}",
        duration(elapsed),
        context.threads(),
        format_bytes(metrics.bytes_read.get() as usize),
        format_bytes(metrics.bytes_total.get() as usize),
        metrics.partitions_read.get(),
        metrics.partitions_total.get().max(metrics.partitions_planned.get()),
        format_bytes(context.memory.peak()),
        format_bytes(metrics.bytes_spilled.get() as usize),
    );
    Ok(tree.text)
}

struct Tree {
    text: String,
    meters: Meters,
    estimator: Estimator,
    measured: bool,
}

impl Tree {
    fn node(&mut self, plan: &LogicalPlan, first: &str, rest: &str) {
        let estimate = self.estimator.estimate(plan);
        let _ = writeln!(self.text, "{first}{}", plan.describe());
        let mut facts = vec![format!("~{} rows", count(estimate.rows))];
        let meter = self
            .meters
            .get(&(plan as *const LogicalPlan))
            .cloned()
            .unwrap_or_default();
        if self.measured {
            facts = vec![format!(
                "{} rows (expected {})",
                count(meter.output.rows.get() as f64),
                count(estimate.rows)
            )];
            facts.push(format!(
                "{} of work",
                duration(Duration::from_nanos(self.own_time(plan, &meter)))
            ));
            facts.extend(memory_facts(&meter.work));
        }
        facts.extend(meter.notes.iter().cloned());
        let inputs = plan.inputs();
        let bar = if inputs.is_empty() { "   " } else { "│  " };
        let _ = writeln!(self.text, "{rest}{bar}  {}", facts.join(" · "));
        for (i, input) in inputs.iter().enumerate() {
            if let LogicalPlan::Cte(cte) = plan
                && i == 0
            {
                self.estimator.define(cte.id, input);
            }
            let last = i + 1 == inputs.len();
            let (branch, continuation) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.node(input, &format!("{rest}{branch}"), &format!("{rest}{continuation}"));
        }
    }

    /// Nanoseconds of the node itself: its source and sink, and, where it passes rows on, the time below its inputs' meters
    /// that is not below its own.
    fn own_time(&self, plan: &LogicalPlan, meter: &NodeMeter) -> u64 {
        let below = |p: &LogicalPlan| {
            self.meters
                .get(&(p as *const LogicalPlan))
                .map_or(0, |m| m.output.nanoseconds.get())
        };
        let streamed = match plan {
            LogicalPlan::Filter(_)
            | LogicalPlan::Project(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Unnest(_)
            | LogicalPlan::Union(_) => plan.inputs().iter().map(|i| below(i)).sum::<u64>(),
            // The build side's rows end in the join's own sink, which is part of its work.
            LogicalPlan::Join(join) => below(if meter.notes.iter().any(|n| n.starts_with("build left")) {
                &join.right
            } else {
                &join.left
            }),
            _ => return meter.work.nanoseconds.get(),
        };
        streamed.saturating_sub(meter.output.nanoseconds.get()) + meter.work.nanoseconds.get()
    }
}

/// The operator's peak memory and what it spilled, where it keeps rows.
fn memory_facts(work: &OperatorMetrics) -> Vec<String> {
    let bytes = |b: u64| format_bytes(usize::try_from(b).unwrap_or(usize::MAX));
    let mut facts: Vec<String> = work.outcome().into_iter().collect();
    if work.peak_memory() > 0 {
        facts.push(format!("peak {}", bytes(work.peak_memory())));
    }
    if work.bytes_spilled.get() > 0 {
        facts.push(format!(
            "spilled {} in {} runs, {} passes",
            bytes(work.bytes_spilled.get()),
            work.runs_spilled.get(),
            work.passes()
        ));
    }
    facts
}

/// `1234567` as `1,234,567`; large estimates are rounded by nature.
fn count(n: f64) -> String {
    let digits = format!("{:.0}", n.max(0.0));
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn duration(d: Duration) -> String {
    match d.as_secs_f64() {
        s if s >= 1.0 => format!("{s:.2} s"),
        s => format!("{:.1} ms", s * 1e3),
    }
}
