//! From a logical plan to pipelines.
//!
//! A node is planned into a [`Stream`]: branches of source and transforms that give its rows. A pipeline breaker ends
//! the branches in its sink and begins a new stream with what the sink made. Builds of joins are planned before their
//! probe sides, so that pipelines stand in the order in which they must run and runtime filters are complete when the
//! scans that use them start.

mod aggregate;
mod join;
mod ranges;
mod scan;

use super::collect::ResultSink;
use super::collected::{CollectSink, Collected, CollectedScan};
use super::explain::Meters;
use super::meter::{Meter, MeteredSink, MeteredSource, NodeMeter};
use super::pipeline::{Pipeline, Sink, Source, Transform};
use super::project::{Filter, Limit, Pick, Project};
use super::scan::check_bytes;
use super::scan::{MemoryScan, Sequential};
use super::sort::sort;
use super::unnest::Unnest;
use super::window::{WindowSpec, window};
use crate::error::{Error, Result};
use crate::expression::{ExpressionList, PhysicalExpr, Predicate, RuntimeFilter};
use crate::logical::statistics::Estimator;
use crate::logical::{self, CteId, Expr, LogicalPlan};
use crate::runtime::{QueryContext, RemoteCounters};
use crate::types::{ColumnId, DataType, Field, Schema};
use crate::vector::{Batch, Column};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// The pipelines whose last one sends the result, with the columns of `plan`'s schema in order, to `sender`.
pub fn plan_query(plan: &LogicalPlan, context: &QueryContext, sender: SyncSender<Batch>) -> Result<Vec<Pipeline>> {
    plan_into(plan, context, Arc::new(ResultSink::new(sender, &context.memory)))
}

/// The pipelines whose last one gives the result, with the columns of `plan`'s schema in order, to `sink`.
pub fn plan_into(plan: &LogicalPlan, context: &QueryContext, sink: Arc<dyn Sink>) -> Result<Vec<Pipeline>> {
    let mut planner = Planner::new(context);
    planner.plan_to_sink(plan, sink)?;
    check_bytes(planner.bytes_wanted, context.config.guards.max_bytes, "would read")?;
    Ok(planner.pipelines)
}

/// As [`plan_into`], with every node measured.
pub fn plan_metered(
    plan: &LogicalPlan,
    context: &QueryContext,
    sink: Arc<dyn Sink>,
) -> Result<(Vec<Pipeline>, Meters)> {
    let mut planner = Planner::new(context);
    planner.meters = Some(Meters::new());
    planner.plan_to_sink(plan, sink)?;
    Ok((planner.pipelines, planner.meters.unwrap_or_default()))
}

/// The state of planning one query.
pub(super) struct Planner<'a> {
    context: &'a QueryContext,
    /// In the order in which they must run.
    pipelines: Vec<Pipeline>,
    /// Where the rows of common table expressions will be.
    ctes: HashMap<CteId, Arc<Collected>>,
    /// Runtime filters of joins above, by the column they apply to.
    filters: Vec<(ColumnId, RuntimeFilter)>,
    estimator: Estimator,
    /// Present when the nodes are measured; by address.
    meters: Option<Meters>,
    /// Bytes that all scans together read, when somebody wants to know.
    bytes_wanted: u64,
    /// The nodes being planned, outermost first.
    path: Vec<*const LogicalPlan>,
}

/// The rows of a node.
pub(super) struct Stream {
    branches: Vec<Branch>,
    /// The layout of the batches.
    schema: Schema,
    /// Rows come in a meaningful order, as long as partitions are taken in their order.
    ordered: bool,
}

struct Branch {
    name: String,
    source: Arc<dyn Source>,
    transforms: Vec<Arc<dyn Transform>>,
}

impl Stream {
    fn new(name: impl Into<String>, source: Arc<dyn Source>, schema: Schema) -> Self {
        Self {
            branches: vec![Branch {
                name: name.into(),
                source,
                transforms: vec![],
            }],
            schema,
            ordered: false,
        }
    }

    /// Adds a transform to every branch; batches then have the layout `schema`.
    fn push(&mut self, name: &str, transform: Arc<dyn Transform>, schema: Schema) {
        for branch in &mut self.branches {
            branch.name = format!("{} → {name}", branch.name);
            branch.transforms.push(transform.clone());
        }
        self.schema = schema;
    }

    /// Puts the columns in the order of `schema`, leaving out all others.
    fn arrange(&mut self, schema: &Schema) -> Result<()> {
        let columns = schema
            .ids()
            .map(|id| self.schema.require(id))
            .collect::<Result<Vec<_>>>()?;
        if columns.len() != self.schema.len() || columns.iter().enumerate().any(|(i, c)| i != *c) {
            self.push("Pick", Arc::new(Pick { columns }), schema.clone());
        }
        Ok(())
    }
}

type Required = HashSet<ColumnId>;

impl<'a> Planner<'a> {
    fn new(context: &'a QueryContext) -> Self {
        Self {
            context,
            pipelines: vec![],
            ctes: HashMap::new(),
            filters: vec![],
            estimator: Estimator::default(),
            meters: None,
            bytes_wanted: 0,
            path: vec![],
        }
    }

    fn plan_to_sink(&mut self, plan: &LogicalPlan, sink: Arc<dyn Sink>) -> Result<()> {
        let mut stream = self.plan(plan, &plan.schema().ids().collect())?;
        stream.arrange(plan.schema())?;
        self.finish(stream, sink);
        Ok(())
    }

    /// Notes a decision about the node being planned, for EXPLAIN.
    fn note(&mut self, text: impl FnOnce() -> String) {
        if let (Some(meters), Some(node)) = (&mut self.meters, self.path.last()) {
            meters.entry(*node).or_default().notes.push(text());
        }
    }

    /// The meter of the node being planned, when nodes are measured.
    fn meter(&mut self) -> Option<&mut NodeMeter> {
        let node = self.path.last()?;
        Some(self.meters.as_mut()?.entry(*node).or_default())
    }

    /// Plans a node and, when nodes are measured, puts its meter behind it.
    pub(super) fn plan(&mut self, plan: &LogicalPlan, required: &Required) -> Result<Stream> {
        self.path.push(plan);
        let mut stream = self.plan_node(plan, required)?;
        let remote = RemoteCounters::part_of(self.context.metrics.remote.clone());
        if let Some(meter) = self.meter() {
            meter.remote = remote;
            for branch in stream.branches.iter_mut().filter(|b| b.transforms.is_empty()) {
                meter.sources.push(branch.source.clone());
                branch.source = Arc::new(MeteredSource {
                    source: branch.source.clone(),
                    work: meter.work.clone(),
                    remote: meter.remote.clone(),
                });
            }
            let meter = meter.clone();
            let (ordered, schema) = (stream.ordered, stream.schema.clone());
            stream.push("Meter", Arc::new(Meter(meter.output)), schema);
            stream.ordered = ordered;
        }
        self.path.pop();
        Ok(stream)
    }

    /// Plans a node; the stream has at least the `required` columns of the node's schema, in any order.
    fn plan_node(&mut self, plan: &LogicalPlan, required: &Required) -> Result<Stream> {
        match plan {
            LogicalPlan::Scan(node) => self.plan_scan(node, required),
            LogicalPlan::Values(node) => plan_values(node),
            LogicalPlan::Project(node) => self.plan_project(node, required),
            LogicalPlan::Filter(node) => self.plan_filter(node, required),
            LogicalPlan::Join(node) => self.plan_join(node, required),
            LogicalPlan::Aggregate(node) => self.plan_aggregate(node),
            LogicalPlan::Window(node) => self.with_filters(|id| node.partitions_by(id), |p| p.plan_window(node)),
            LogicalPlan::Sort(node) if node.fetch.is_some() => {
                self.with_filters(|_| false, |p| p.plan_sort(node, required))
            }
            LogicalPlan::Sort(node) => self.plan_sort(node, required),
            LogicalPlan::Limit(node) => self.with_filters(|_| false, |p| p.plan_limit(node, required)),
            LogicalPlan::Union(node) => self.plan_union(node, required),
            LogicalPlan::Unnest(node) => self.plan_unnest(node, required),
            LogicalPlan::Cte(node) => self.plan_cte(node, required),
            LogicalPlan::CteReference(node) => self.plan_cte_reference(node, required),
        }
    }

    /// Plans with only those runtime filters from above whose columns pass: below a limit or window, leaving rows out
    /// changes other rows, unless whole partitions of a window are left out.
    fn with_filters(
        &mut self,
        passes: impl Fn(ColumnId) -> bool,
        f: impl FnOnce(&mut Self) -> Result<Stream>,
    ) -> Result<Stream> {
        let saved = self.filters.clone();
        self.filters.retain(|(id, _)| passes(*id));
        let stream = f(self);
        self.filters = saved;
        stream
    }

    /// Ends the stream's branches in `sink`.
    fn finish(&mut self, stream: Stream, sink: Arc<dyn Sink>) {
        let sink: Arc<dyn Sink> = match self.meter() {
            Some(meter) => Arc::new(MeteredSink {
                sink,
                work: meter.work.clone(),
            }),
            None => sink,
        };
        let last = stream.branches.len().saturating_sub(1);
        for (i, branch) in stream.branches.into_iter().enumerate() {
            self.pipelines.push(Pipeline {
                name: branch.name,
                source: branch.source,
                transforms: branch.transforms,
                sink: sink.clone(),
                finishes_sink: i == last,
            });
        }
    }

    fn plan_project(&mut self, node: &logical::Project, required: &Required) -> Result<Stream> {
        let items: Vec<(&Expr, &Field)> = node
            .expressions
            .iter()
            .zip(node.schema.iter())
            .filter(|(_, f)| required.contains(&f.id))
            .collect();
        let mut inner = Required::new();
        items.iter().for_each(|(e, _)| e.collect_columns(&mut inner));
        // A filter on a renamed column is a filter on the column itself.
        let added: Vec<(ColumnId, RuntimeFilter)> = items
            .iter()
            .filter_map(|(e, f)| match e {
                Expr::Column(c) if c.id != f.id => Some((c.id, f.id)),
                _ => None,
            })
            .flat_map(|(from, to)| {
                self.filters
                    .iter()
                    .filter(move |(id, _)| *id == to)
                    .map(move |(_, filter)| (from, filter.clone()))
            })
            .collect();
        self.filters.extend(added);
        let mut stream = self.plan(&node.input, &inner)?;
        self.project(&mut stream, items)?;
        Ok(stream)
    }

    /// Computes the given expressions under the given fields.
    fn project(&mut self, stream: &mut Stream, items: Vec<(&Expr, &Field)>) -> Result<()> {
        let schema: Schema = items.iter().map(|(_, f)| (*f).clone()).collect();
        let expressions = items
            .iter()
            .map(|(e, _)| e.lower(&stream.schema))
            .collect::<Result<Vec<_>>>()?;
        let columns: Option<Vec<usize>> = expressions
            .iter()
            .map(|e| match e {
                PhysicalExpr::Column { index, .. } => Some(*index),
                _ => None,
            })
            .collect();
        match columns {
            Some(columns)
                if columns.len() == stream.schema.len() && columns.iter().enumerate().all(|(i, c)| i == *c) =>
            {
                stream.schema = schema;
            }
            Some(columns) => stream.push("Pick", Arc::new(Pick { columns }), schema),
            None => {
                let expressions = Arc::new(ExpressionList::new(expressions));
                stream.push("Project", Arc::new(Project { expressions }), schema);
            }
        }
        Ok(())
    }

    fn plan_filter(&mut self, node: &logical::Filter, required: &Required) -> Result<Stream> {
        let mut inner = required.clone();
        node.predicate.collect_columns(&mut inner);
        let mut stream = self.plan(&node.input, &inner)?;
        let predicates = lower_conjuncts(std::slice::from_ref(&node.predicate), &stream.schema)?;
        let schema = stream.schema.clone();
        stream.push(
            "Filter",
            Arc::new(Filter {
                predicates: Arc::new(predicates),
            }),
            schema,
        );
        Ok(stream)
    }

    fn plan_limit(&mut self, node: &logical::Limit, required: &Required) -> Result<Stream> {
        let mut stream = self.plan(&node.input, required)?;
        if stream.ordered {
            for branch in &mut stream.branches {
                branch.source = Arc::new(Sequential::new(branch.source.clone()));
            }
        }
        let schema = stream.schema.clone();
        stream.push("Limit", Arc::new(Limit::new(node.skip, node.fetch)), schema);
        Ok(stream)
    }

    fn plan_sort(&mut self, node: &logical::Sort, required: &Required) -> Result<Stream> {
        let mut inner = required.clone();
        node.keys.iter().for_each(|k| k.expr.collect_columns(&mut inner));
        let stream = self.plan(&node.input, &inner)?;
        let schema = stream.schema.clone();
        let types: Vec<DataType> = schema.iter().map(|f| f.data_type.clone()).collect();
        let keys = node
            .keys
            .iter()
            .map(|k| Ok((k.expr.lower(&schema)?, k.descending, k.nulls_first)));
        let (sink, source) = sort(&types, keys.collect::<Result<_>>()?, node.fetch, self.context)?;
        self.finish(stream, sink);
        let mut sorted = Stream::new("Sort", source, schema);
        sorted.ordered = true;
        Ok(sorted)
    }

    fn plan_window(&mut self, node: &logical::Window) -> Result<Stream> {
        let stream = self.plan(&node.input, &node.input.schema().ids().collect())?;
        let specs = node
            .calls
            .iter()
            .map(|call| WindowSpec::lower(call, &stream.schema))
            .collect::<Result<Vec<_>>>()?;
        let (sink, source) = window(&stream.schema, specs, self.context);
        let results = node.schema.iter().skip(node.input.schema().len()).cloned();
        let schema = stream.schema.join(&Schema::new(results));
        self.finish(stream, sink);
        Ok(Stream::new("Window", source, schema))
    }

    fn plan_union(&mut self, node: &logical::Union, required: &Required) -> Result<Stream> {
        let positions: Vec<usize> = (0..node.schema.len())
            .filter(|&i| required.contains(&node.schema[i].id))
            .collect();
        let schema: Schema = positions.iter().map(|&i| node.schema[i].clone()).collect();
        let mut branches = vec![];
        let from_above = self.filters.clone();
        for input in &node.inputs {
            let wanted: Schema = positions.iter().map(|&i| input.schema()[i].clone()).collect();
            for (field, inner) in schema.iter().zip(wanted.iter()) {
                let same = from_above.iter().filter(|(id, _)| *id == field.id);
                self.filters.extend(same.map(|(_, filter)| (inner.id, filter.clone())));
            }
            let mut stream = self.plan(input, &wanted.ids().collect())?;
            stream.arrange(&wanted)?;
            branches.extend(stream.branches);
        }
        if branches.is_empty() {
            return Ok(Stream::new("Empty", Arc::new(MemoryScan::new(vec![])), schema));
        }
        Ok(Stream {
            branches,
            schema,
            ordered: false,
        })
    }

    fn plan_unnest(&mut self, node: &logical::Unnest, required: &Required) -> Result<Stream> {
        let width = node.input.schema().len();
        let mut inner: Required = node.input.schema().ids().filter(|id| required.contains(id)).collect();
        let kept = inner.clone();
        node.expressions.iter().for_each(|e| e.collect_columns(&mut inner));
        let mut stream = self.plan(&node.input, &inner)?;
        let keep: Vec<usize> = (0..stream.schema.len())
            .filter(|&i| kept.contains(&stream.schema[i].id))
            .collect();
        let expressions = node
            .expressions
            .iter()
            .map(|e| e.lower(&stream.schema))
            .collect::<Result<Vec<_>>>()?;
        let fields = keep
            .iter()
            .map(|&i| stream.schema[i].clone())
            .chain(node.schema.iter().skip(width).cloned());
        let schema = fields.collect();
        let expressions = Arc::new(ExpressionList::new(expressions));
        let unnest = Unnest {
            expressions,
            keep,
            ordinality: node.ordinality,
            outer: node.outer,
        };
        stream.push("Unnest", Arc::new(unnest), schema);
        Ok(stream)
    }

    fn plan_cte(&mut self, node: &logical::Cte, required: &Required) -> Result<Stream> {
        let saved = std::mem::take(&mut self.filters);
        let mut stream = self.plan(&node.definition, &node.definition.schema().ids().collect())?;
        self.filters = saved;
        self.estimator.define(node.id, &node.definition);
        stream.arrange(node.definition.schema())?;
        let types: Vec<DataType> = stream.schema.iter().map(|f| f.data_type.clone()).collect();
        let collected = Collected::new("common table expression", &types, self.context);
        self.ctes.insert(node.id, collected.clone());
        self.finish(stream, Arc::new(CollectSink::new(collected)));
        self.plan(&node.body, required)
    }

    fn plan_cte_reference(&mut self, node: &logical::CteReference, required: &Required) -> Result<Stream> {
        let collected = self.ctes.get(&node.id).cloned();
        let collected = collected
            .ok_or_else(|| Error::internal(format!("common table expression {} is not planned", node.name)))?;
        let wanted: Vec<usize> = (0..node.schema.len())
            .filter(|&i| required.contains(&node.schema[i].id))
            .collect();
        let schema = wanted.iter().map(|&i| node.schema[i].clone()).collect();
        let columns = wanted.iter().map(|&i| node.columns[i]).collect();
        Ok(Stream::new(
            format!("Read {}", node.name),
            Arc::new(CollectedScan::new(collected, columns)),
            schema,
        ))
    }
}

/// The conjuncts of predicates over batches laid out as `schema`; those of the same columns that cannot fail as one.
fn lower_conjuncts(predicates: &[Expr], schema: &Schema) -> Result<Vec<Predicate>> {
    let mut lowered: Vec<Predicate> = vec![];
    for conjunct in predicates.iter().cloned().flat_map(Expr::into_conjuncts) {
        let new = Predicate::new(conjunct.lower(schema)?);
        let alike = |p: &&mut Predicate| p.columns() == new.columns() && !p.can_fail() && !new.can_fail();
        match lowered.iter_mut().find(alike) {
            Some(alike) => *alike = alike.and(&new),
            None => lowered.push(new),
        }
    }
    Ok(lowered)
}

/// Rows of expressions without columns.
fn plan_values(node: &logical::Values) -> Result<Stream> {
    let one = Batch::new(vec![], 1);
    let none = Schema::default();
    let mut columns: Vec<Vec<arrow::array::ArrayRef>> = vec![vec![]; node.schema.len()];
    for row in &node.rows {
        for (expr, column) in row.iter().zip(&mut columns) {
            column.push(expr.lower(&none)?.evaluate(&one)?.to_array()?);
        }
    }
    let rows = node.rows.len();
    let arrays = columns.iter().zip(node.schema.iter()).map(|(parts, field)| {
        let parts: Vec<&dyn arrow::array::Array> = parts.iter().map(|a| a.as_ref()).collect();
        Ok(Column::Array(match parts.as_slice() {
            [] => arrow::array::new_empty_array(&field.data_type),
            parts => arrow::compute::concat(parts)?,
        }))
    });
    let batch = Batch::new(arrays.collect::<Result<_>>()?, rows);
    Ok(Stream::new(
        "Values",
        Arc::new(MemoryScan::new(if rows > 0 { vec![batch] } else { vec![] })),
        node.schema.clone(),
    ))
}
