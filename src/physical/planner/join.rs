//! Joins: which side builds, which columns come out, which runtime filters the build side gives.

use super::ranges::Ranges;
use super::{Planner, Required, Stream};
use crate::config::format_bytes;
use crate::error::Result;
use crate::expression::{ExpressionList, Predicate, RuntimeFilter};
use crate::logical::statistics::Estimate;
use crate::logical::{self, Expr, JoinHint, JoinKey, JoinKind};
use crate::physical::hash_join::{
    BuildSink, Join, JoinColumn, JoinOutput, JoinSpec, Probe, UnmatchedScan, spilled_scan,
};
use crate::physical::merge_join::{KeySink, OrderKey, merge_scan};
use crate::physical::pipeline::{Pipeline, Source};
use crate::physical::range_join::RangeFilter;
use crate::physical::sort::sort_for_ranges;
use crate::runtime::PARTITIONS;
use crate::types::{ColumnId, DataType, Schema};
use std::sync::Arc;

impl Planner<'_> {
    pub(super) fn plan_join(&mut self, node: &logical::Join, required: &Required) -> Result<Stream> {
        let build_left = self.builds_left(node);
        let built = self
            .estimator
            .estimate(if build_left { &node.left } else { &node.right });
        let merges = self.merges(node, &built, build_left);
        let resident = match merges {
            true => 0,
            false => self.resident_partitions(node, &built, build_left),
        };
        let (on, filter) = keys_and_filter(node, build_left);
        let (probe_plan, build_plan) = if build_left {
            (&node.right, &node.left)
        } else {
            (&node.left, &node.right)
        };
        let ranges = match node.null_aware {
            true => None,
            false => Ranges::of(filter.as_ref(), probe_plan.schema(), build_plan.schema()),
        };
        if let Some(ranges) = &ranges {
            self.note(|| ranges.describe(!on.is_empty()));
        }
        let mut inner: Required = required.clone();
        on.iter().for_each(|k| {
            k.left.collect_columns(&mut inner);
            k.right.collect_columns(&mut inner);
        });
        filter.iter().for_each(|f| f.collect_columns(&mut inner));
        let side = |schema: &Schema| -> Required { schema.ids().filter(|id| inner.contains(id)).collect() };

        let build = self.plan(build_plan, &side(build_plan.schema()))?;
        let (probe_keys, build_keys): (Vec<&Expr>, Vec<&Expr>) = on.iter().map(|k| (&k.left, &k.right)).unzip();

        // The filters of this join are in force for the probe side only.
        let mut builders = vec![];
        let saved = self.filters.len();
        let drops_probe_rows = drops_unmatched_probe_rows(&node.kind, build_left);
        for (position, key) in on.iter().enumerate().filter(|(_, k)| !k.null_safe && drops_probe_rows) {
            if let Expr::Column(field) = &key.left {
                let (runtime_filter, builder) = RuntimeFilter::new();
                self.filters.push((field.id, runtime_filter));
                builders.push((position, builder));
            }
        }
        let mut range_filters = vec![];
        for (id, conditions) in ranges
            .iter()
            .filter(|_| drops_probe_rows)
            .flat_map(|r| r.filtered(on.is_empty()))
        {
            let (runtime_filter, builder) = RuntimeFilter::new();
            self.filters.push((id, runtime_filter));
            range_filters.push(RangeFilter::new(conditions, builder));
        }
        // Build pipelines stand before those of the probe side, which wait for the table and the filters.
        let at = self.pipelines.len();
        let mut probe = self.plan(probe_plan, &side(probe_plan.schema()))?;
        self.filters.truncate(saved);
        let probe_pipelines = self.pipelines.split_off(at);

        let output = output_of(&node.kind, build_left);
        let (columns, schema) = output_columns(node, required, &probe.schema, &build.schema);
        let combined = probe.schema.join(&build.schema);
        let types = |schema: &Schema| -> Vec<DataType> { schema.iter().map(|f| f.data_type.clone()).collect() };
        let lower = |keys: &[&Expr], schema: &Schema| -> Result<ExpressionList> {
            Ok(ExpressionList::new(
                keys.iter().map(|e| e.lower(schema)).collect::<Result<_>>()?,
            ))
        };
        let spec = JoinSpec {
            output,
            probe_keys: lower(&probe_keys, &probe.schema)?,
            build_keys: lower(&build_keys, &build.schema)?,
            key_types: probe_keys.iter().map(|e| e.data_type()).collect(),
            null_safe: on.iter().map(|k| k.null_safe).collect(),
            null_aware: node.null_aware,
            filter: filter
                .map(|f| Ok::<_, crate::Error>(Predicate::new(f.lower(&combined)?)))
                .transpose()?,
            ranges: ranges
                .map(|r| r.lower(&probe.schema, &build.schema, &combined))
                .transpose()?,
            columns,
            probe_types: types(&probe.schema),
            build_types: types(&build.schema),
            resident,
            expected_rows: built.rows,
        };
        let metrics = self.meter().map_or_else(Arc::default, |m| m.work.clone());
        let join = Join::new(spec, builders, range_filters, metrics, self.context);
        if merges {
            return self.plan_merge(join, build, probe, probe_pipelines, schema);
        }
        self.finish(build, Arc::new(BuildSink::new(join.clone())));
        self.pipelines.extend(probe_pipelines);
        probe.push("Probe", Arc::new(Probe::new(join.clone())), schema.clone());
        probe.ordered = false;
        let mut also = |name: &str, source: Arc<dyn Source>| {
            probe
                .branches
                .extend(Stream::new(name, source, schema.clone()).branches);
        };
        if output.emits_build_rows() {
            also("Unmatched", Arc::new(UnmatchedScan::new(join.clone())));
        }
        also("Spilled", Arc::new(spilled_scan(join)));
        Ok(probe)
    }
}

impl Planner<'_> {
    /// Sorts both sides by their keys and joins range by range, see [`merge_join`](crate::physical::merge_join).
    fn plan_merge(
        &mut self,
        join: Arc<Join>,
        mut build: Stream,
        mut probe: Stream,
        probe_pipelines: Vec<Pipeline>,
        schema: Schema,
    ) -> Result<Stream> {
        let spec = &join.spec;
        let sorted_by = |stream: &mut Stream, keys: &ExpressionList, types: &[DataType]| {
            let schema = stream.schema.clone();
            stream.push(
                "Order key",
                Arc::new(OrderKey::new(keys.clone(), &spec.null_safe)),
                schema,
            );
            let types: Vec<DataType> = types.iter().cloned().chain([DataType::Int64]).collect();
            sort_for_ranges(&types, self.context)
        };
        let (build_sink, build_rows) = sorted_by(&mut build, &spec.build_keys, &spec.build_types)?;
        let (probe_sink, probe_rows) = sorted_by(&mut probe, &spec.probe_keys, &spec.probe_types)?;
        self.finish(build, Arc::new(KeySink::new(join.clone(), build_sink)));
        self.pipelines.extend(probe_pipelines);
        self.finish(probe, probe_sink);
        Ok(Stream::new(
            "Merge",
            Arc::new(merge_scan(join, build_rows, probe_rows)),
            schema,
        ))
    }

    /// Whether a join is a merge join.
    fn merges(&mut self, node: &logical::Join, built: &Estimate, build_left: bool) -> bool {
        let why = match node.hint {
            Some(JoinHint::Merge) => "by hint",
            None if self.context.config.prefer_merge_join => "as prefer_merge_join says",
            _ => return false,
        };
        if let Some(obstacle) = merge_obstacle(node) {
            self.note(|| format!("no merge join, though wanted {why}: {obstacle}"));
            return false;
        }
        self.note(|| {
            let side = if build_left { "left" } else { "right" };
            let (rows, bytes) = (built.rows, format_bytes(built.build_bytes() as usize));
            format!("build {side}, merge: both sides sorted by key, ~{rows:.0} rows, {bytes}, {why}")
        });
        true
    }

    /// How many partitions of the build side are expected to fit into memory: all of them make a broadcast join.
    fn resident_partitions(&mut self, node: &logical::Join, built: &Estimate, build_left: bool) -> u32 {
        let limit = self.context.config.broadcast_limit();
        let bytes = built.build_bytes();
        let all = PARTITIONS as u32;
        let (resident, why) = match node.hint.filter(|hint| *hint != JoinHint::Merge) {
            Some(hint) => (if hint.is_broadcast() { all } else { 0 }, "by hint".into()),
            None if bytes <= limit as f64 => (all, format!("within broadcast_limit {}", format_bytes(limit))),
            None => {
                let fit = (all as f64 * limit as f64 / bytes) as u32;
                (
                    fit.min(all - 1),
                    format!("above broadcast_limit {}", format_bytes(limit)),
                )
            }
        };
        self.note(|| {
            let side = if build_left { "left" } else { "right" };
            let strategy = if resident == all { "broadcast" } else { "partitioned" };
            let (rows, bytes) = (built.rows, format_bytes(bytes as usize));
            format!("build {side}, {strategy}: ~{rows:.0} rows, {bytes}, {why}")
        });
        resident
    }

    /// Whether the left side is the one kept in memory: when it is clearly smaller, or a hint says so.
    fn builds_left(&mut self, node: &logical::Join) -> bool {
        match (node.hint.and_then(JoinHint::builds_left), &node.kind) {
            (_, JoinKind::LeftSingle) => false,
            _ if node.null_aware => false,
            (Some(builds_left), _) => builds_left,
            // The first match of a left row decides; a left side that builds would have to see them all.
            (None, JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::LeftMark(_)) if only_ranges(node) => false,
            (_, kind) => {
                let left = self.estimator.estimate(&node.left);
                let right = self.estimator.estimate(&node.right);
                match kind {
                    JoinKind::Inner | JoinKind::Full => left.build_bytes() < right.build_bytes(),
                    // The right side of the others keeps less per row: keys, without the columns given out.
                    JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::LeftMark(_) => left.rows * 1.5 < right.rows,
                    _ => left.rows * left.row_bytes * 1.2 < right.rows * right.row_bytes,
                }
            }
        }
    }
}

/// Why a join cannot be a merge join.
fn merge_obstacle(node: &logical::Join) -> Option<&'static str> {
    match node.kind {
        _ if node.on.is_empty() => Some("it has no equality"),
        _ if node.null_aware => Some("NOT IN asks for all NULLs of both sides"),
        JoinKind::LeftSingle => Some("a scalar subquery is looked up row by row"),
        _ => None,
    }
}

/// Whether rows match by range conditions and nothing else.
fn only_ranges(node: &logical::Join) -> bool {
    let ranges = Ranges::of(node.filter.as_ref(), node.left.schema(), node.right.schema());
    node.on.is_empty() && ranges.is_some_and(|r| r.are_all())
}

/// The keys with the probe side's expression as `left`, and the further condition.
///
/// A null-aware join with more than one equality asks for three-valued logic per pair, which only the condition has.
fn keys_and_filter(node: &logical::Join, build_left: bool) -> (Vec<JoinKey>, Option<Expr>) {
    let mut on = node.on.clone();
    if build_left {
        on.iter_mut().for_each(|k| std::mem::swap(&mut k.left, &mut k.right));
    }
    (on, node.filter.clone())
}

/// Whether a probe row without partner gives no output, so that it need not be read.
fn drops_unmatched_probe_rows(kind: &JoinKind, build_left: bool) -> bool {
    use JoinKind::*;
    match kind {
        Inner | LeftSemi => true,
        Right => !build_left,
        Left | LeftAnti | LeftMark(_) => build_left,
        Full | LeftSingle => false,
    }
}

fn output_of(kind: &JoinKind, build_left: bool) -> JoinOutput {
    use JoinKind::*;
    match (kind, build_left) {
        (Inner, _) => JoinOutput::Pairs {
            probe_outer: false,
            build_outer: false,
        },
        (Left, false) | (Right, true) => JoinOutput::Pairs {
            probe_outer: true,
            build_outer: false,
        },
        (Left, true) | (Right, false) => JoinOutput::Pairs {
            probe_outer: false,
            build_outer: true,
        },
        (Full, _) => JoinOutput::Pairs {
            probe_outer: true,
            build_outer: true,
        },
        (LeftSingle, _) => JoinOutput::ProbeSingle,
        (LeftSemi, false) => JoinOutput::ProbeSemi,
        (LeftAnti, false) => JoinOutput::ProbeAnti,
        (LeftMark(_), false) => JoinOutput::ProbeMark,
        (LeftSemi, true) => JoinOutput::BuildSemi,
        (LeftAnti, true) => JoinOutput::BuildAnti,
        (LeftMark(_), true) => JoinOutput::BuildMark,
    }
}

/// The required columns of the join's schema and where they come from.
fn output_columns(
    node: &logical::Join,
    required: &Required,
    probe: &Schema,
    build: &Schema,
) -> (Vec<JoinColumn>, Schema) {
    let mark: Option<ColumnId> = match &node.kind {
        JoinKind::LeftMark(field) => Some(field.id),
        _ => None,
    };
    let place = |id: ColumnId| match (probe.position(id), build.position(id)) {
        _ if mark == Some(id) => Some(JoinColumn::Mark),
        (Some(i), _) => Some(JoinColumn::Probe(i)),
        (_, Some(i)) => Some(JoinColumn::Build(i)),
        _ => None,
    };
    let wanted = node.schema.iter().filter(|f| required.contains(&f.id));
    let (columns, fields): (Vec<JoinColumn>, Vec<_>) = wanted.filter_map(|f| Some((place(f.id)?, f.clone()))).unzip();
    (columns, Schema::new(fields))
}
