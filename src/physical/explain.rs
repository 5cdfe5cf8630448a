//! EXPLAIN and EXPLAIN ANALYZE: the plan as a tree, with what is expected and what happened.

use super::executor::run_pipelines;
use super::meter::{Discard, NodeMeter};
use super::planner::plan_metered;
use crate::config::format_bytes;
use crate::error::{Error, Result};
use crate::logical::LogicalPlan;
use crate::logical::statistics::Estimator;
use crate::runtime::{OperatorMetrics, QueryContext, RemoteCounters};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Instant;

/// The meters of the nodes of one plan, by the node's address.
pub type Meters = HashMap<*const LogicalPlan, NodeMeter>;

/// A plan with what is expected of it, and what happened.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    plan: Node,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Total>,
}

#[derive(Debug, Clone, Serialize)]
struct Node {
    operator: String,
    expected_rows: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// Of work, on all threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<f64>,
    /// Memory, what was spilled, and what the planner chose, as text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<Node>,
}

#[derive(Debug, Clone, Serialize)]
struct Total {
    milliseconds: f64,
    threads: usize,
    bytes_read: u64,
    bytes_total: u64,
    partitions_read: u64,
    partitions_total: u64,
    peak_memory: u64,
    bytes_spilled: u64,
    /// Requests to remote stores, those for listings and footers included, and bytes of files that came.
    requests: u64,
    bytes_fetched: u64,
    /// Bytes of files that needed no request.
    bytes_cached: u64,
    #[serde(skip)]
    remote: Option<String>,
    /// Rows of text that could not be read as declared.
    #[serde(skip_serializing_if = "is_zero")]
    bad_rows: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The plan that would run: a tree with estimates and the planner's choices. Reads no rows.
pub fn explain(plan: &LogicalPlan, context: &QueryContext) -> Result<Explanation> {
    let (_, meters) = plan_metered(plan, context, Arc::new(Discard))?;
    let mut tree = Tree {
        meters,
        estimator: Estimator::default(),
        measured: false,
    };
    Ok(Explanation {
        plan: tree.node(plan),
        total: None,
    })
}

/// Runs the plan, forgets its rows, and tells what each node did.
pub fn explain_analyze(plan: &LogicalPlan, context: &QueryContext) -> Result<Explanation> {
    let start = Instant::now();
    let (pipelines, meters) = plan_metered(plan, context, Arc::new(Discard))?;
    run_pipelines(pipelines, context)?;
    let elapsed = start.elapsed();
    let mut tree = Tree {
        meters,
        estimator: Estimator::default(),
        measured: true,
    };
    let metrics = &context.metrics;
    Ok(Explanation {
        plan: tree.node(plan),
        total: Some(Total {
            milliseconds: elapsed.as_secs_f64() * 1e3,
            threads: context.threads(),
            bytes_read: metrics.bytes_read.get(),
            bytes_total: metrics.bytes_total.get(),
            partitions_read: metrics.partitions_read.get(),
            partitions_total: metrics.partitions_total.get().max(metrics.partitions_planned.get()),
            peak_memory: context.memory.peak() as u64,
            bytes_spilled: metrics.bytes_spilled.get(),
            requests: metrics.remote.requests(),
            bytes_fetched: metrics.remote.bytes.get(),
            bytes_cached: metrics.remote.bytes_cached(),
            remote: remote_facts(&metrics.remote),
            bad_rows: metrics.bad_rows.get(),
        }),
    })
}

impl Explanation {
    /// `(FORMAT JSON)`: `plan` with its `inputs`, and `total` of a plan that was run.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::internal(format!("plan as JSON: {e}")))
    }

    /// `(FORMAT GRAPHVIZ)`: a graph in the language of `dot`, from inputs to results.
    pub fn to_graphviz(&self) -> String {
        let mut text = String::from("digraph plan {\n  node [shape = box]\n");
        let mut next = 0;
        self.plan.graph(&mut next, &mut text);
        text.push('}');
        text
    }
}

/// A tree, each node with a line of facts.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.draw(f, "", "")?;
        match &self.total {
            Some(total) => write!(f, "\n{total}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bad_rows = match self.bad_rows {
            0 => String::new(),
            n => format!("; bad rows {n}"),
        };
        write!(
            f,
            "{} in all, {} threads; read {} of {} in {} of {} partitions; peak memory {}; spilled {}{bad_rows}",
            duration(self.milliseconds),
            self.threads,
            bytes(self.bytes_read),
            bytes(self.bytes_total),
            self.partitions_read,
            self.partitions_total,
            bytes(self.peak_memory),
            bytes(self.bytes_spilled),
        )?;
        match &self.remote {
            Some(remote) => writeln!(f, "; {remote}"),
            None => writeln!(f),
        }
    }
}

impl Node {
    fn draw(&self, f: &mut fmt::Formatter<'_>, first: &str, rest: &str) -> fmt::Result {
        writeln!(f, "{first}{}", self.operator)?;
        let bar = if self.inputs.is_empty() { "   " } else { "│  " };
        writeln!(f, "{rest}{bar}  {}", self.all_facts().join(" · "))?;
        for (i, input) in self.inputs.iter().enumerate() {
            let last = i + 1 == self.inputs.len();
            let (branch, continuation) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            input.draw(f, &format!("{rest}{branch}"), &format!("{rest}{continuation}"))?;
        }
        Ok(())
    }

    /// Writes the node and what is below it; its number.
    fn graph(&self, next: &mut usize, text: &mut String) -> usize {
        let number = *next;
        *next += 1;
        let label = format!("{}\n{}", self.operator, self.all_facts().join("\n"));
        let label = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(text, "  {number} [label = \"{label}\"]");
        for input in &self.inputs {
            let input = input.graph(next, text);
            let _ = writeln!(text, "  {input} -> {number}");
        }
        number
    }

    fn all_facts(&self) -> Vec<String> {
        let expected = count(self.expected_rows);
        let mut facts = match self.rows {
            Some(rows) => vec![format!("{} rows (expected {expected})", count(rows))],
            None => vec![format!("~{expected} rows")],
        };
        facts.extend(self.milliseconds.map(|ms| format!("{} of work", duration(ms))));
        facts.extend(self.facts.iter().cloned());
        facts
    }
}

struct Tree {
    meters: Meters,
    estimator: Estimator,
    measured: bool,
}

impl Tree {
    fn node(&mut self, plan: &LogicalPlan) -> Node {
        let estimate = self.estimator.estimate(plan);
        let meter = self.meters.get(&(plan as *const LogicalPlan));
        let meter = meter.cloned().unwrap_or_default();
        let mut node = Node {
            operator: plan.describe(),
            expected_rows: estimate.rows.round().max(0.0) as u64,
            rows: None,
            milliseconds: None,
            facts: vec![],
            inputs: vec![],
        };
        if self.measured {
            node.rows = Some(meter.output.rows.get());
            node.milliseconds = Some(self.own_time(plan, &meter) as f64 / 1e6);
            node.facts = meter.sources.iter().flat_map(|s| s.facts()).collect();
            node.facts.extend(remote_facts(&meter.remote));
            node.facts.extend(memory_facts(&meter.work));
        }
        node.facts.extend(meter.notes.iter().cloned());
        for (i, input) in plan.inputs().into_iter().enumerate() {
            if let LogicalPlan::Cte(cte) = plan
                && i == 0
            {
                self.estimator.define(cte.id, input);
            }
            node.inputs.push(self.node(input));
        }
        node
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
            LogicalPlan::Join(_) if meter.notes.iter().any(|n| n.contains(", merge: ")) => 0,
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

/// What was asked of remote stores and what came, if anything.
fn remote_facts(remote: &RemoteCounters) -> Option<String> {
    remote.describe(bytes)
}

/// The operator's peak memory and what it spilled, where it keeps rows.
fn memory_facts(work: &OperatorMetrics) -> Vec<String> {
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

/// `1234567` as `1,234,567`.
fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn duration(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms >= 1000.0 => format!("{:.2} s", ms / 1e3),
        ms => format!("{ms:.1} ms"),
    }
}

fn bytes(n: u64) -> String {
    format_bytes(usize::try_from(n).unwrap_or(usize::MAX))
}
