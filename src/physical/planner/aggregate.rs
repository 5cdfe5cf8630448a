//! Aggregations.

use super::{Planner, Required, Stream};
use crate::error::Result;
use crate::expression::PhysicalExpr;
use crate::functions::aggregate::{OrderKey, state_types};
use crate::logical::{self, AggregateCall, Expr};
use crate::physical::aggregate::{AggregateSpec, HashAggregate, PhysicalAggregate, SingleAggregate};
use crate::physical::project::{ExpandGroupingSets, grouping_ids};
use crate::types::{DataType, Field, Schema};
use std::sync::Arc;

impl Planner<'_> {
    pub(super) fn plan_aggregate(&mut self, node: &logical::Aggregate) -> Result<Stream> {
        let mut inner = Required::new();
        node.groups.iter().for_each(|e| e.collect_columns(&mut inner));
        node.aggregates
            .iter()
            .flat_map(|a| a.expressions())
            .for_each(|e| e.collect_columns(&mut inner));
        let mut stream = self.plan(&node.input, &inner)?;
        let metrics = self.meter().map_or_else(Arc::default, |m| m.work.clone());
        if node.groups.is_empty() && node.grouping_sets.is_none() {
            let mut expressions = vec![];
            let aggregates = lower_aggregates(&node.aggregates, &stream.schema, &mut expressions)?;
            let spec = AggregateSpec::new(expressions, 0, vec![], aggregates, vec![]);
            let operator = SingleAggregate::new(spec, metrics);
            self.finish(stream, operator.clone());
            return Ok(Stream::new("Aggregate", operator, node.schema.clone()));
        }
        let mut empty_sets = vec![];
        let groups: Vec<Expr> = match &node.grouping_sets {
            None => node.groups.clone(),
            Some(sets) => {
                let ids = grouping_ids(sets, node.groups.len());
                empty_sets = sets
                    .iter()
                    .zip(ids)
                    .filter(|(s, _)| s.is_empty())
                    .map(|(_, id)| id)
                    .collect();
                self.expand(&mut stream, node, sets)?
            }
        };
        let mut expressions = groups
            .iter()
            .map(|e| e.lower(&stream.schema))
            .collect::<Result<Vec<_>>>()?;
        let nullable = groups.iter().map(Expr::nullable).collect();
        let aggregates = lower_aggregates(&node.aggregates, &stream.schema, &mut expressions)?;
        let spec = AggregateSpec::new(expressions, groups.len(), nullable, aggregates, empty_sets);
        let operator = HashAggregate::new(spec, metrics);
        self.finish(stream, operator.clone());
        Ok(Stream::new("Aggregate", operator, node.schema.clone()))
    }

    /// Adds a copy of each row for each grouping set; gives the group columns of the copies.
    fn expand(&mut self, stream: &mut Stream, node: &logical::Aggregate, sets: &[Vec<usize>]) -> Result<Vec<Expr>> {
        let fields: Vec<Field> = node
            .groups
            .iter()
            .map(|e| Field::new("group", e.data_type(), true))
            .collect();
        let inputs: Vec<Expr> = stream.schema.iter().cloned().map(Expr::Column).collect();
        let before = stream.schema.clone();
        let items = node
            .groups
            .iter()
            .zip(&fields)
            .chain(inputs.iter().zip(before.iter()))
            .collect();
        self.project(stream, items)?;
        let id = Field::new("grouping_id", DataType::Int64, false);
        let schema = stream.schema.join(&Schema::new([id.clone()]));
        let group_types = fields.iter().map(|f| f.data_type.clone()).collect();
        stream.push(
            "Expand",
            Arc::new(ExpandGroupingSets {
                group_types,
                sets: sets.to_vec(),
            }),
            schema,
        );
        Ok(fields.into_iter().chain([id]).map(Expr::Column).collect())
    }
}

/// Lowers the calls; their expressions go to the end of `expressions`.
fn lower_aggregates(
    calls: &[AggregateCall],
    schema: &Schema,
    expressions: &mut Vec<PhysicalExpr>,
) -> Result<Vec<PhysicalAggregate>> {
    let mut place = |expr: &Expr| -> Result<usize> {
        let lowered = expr.lower(schema)?;
        if let Some(at) = expressions.iter().position(|e| *e == lowered) {
            return Ok(at);
        }
        expressions.push(lowered);
        Ok(expressions.len() - 1)
    };
    let lower = |call: &AggregateCall| -> Result<PhysicalAggregate> {
        let order: Vec<OrderKey> = call
            .order_by
            .iter()
            .map(|k| OrderKey {
                data_type: k.expr.data_type(),
                descending: k.descending,
                nulls_first: k.nulls_first,
            })
            .collect();
        let constant = |e: &Expr| match e {
            Expr::Literal(value, _) => Some(value.clone()),
            _ => None,
        };
        Ok(PhysicalAggregate {
            function: call.function,
            signature: call.signature.clone(),
            arguments: call.arguments.iter().map(&mut place).collect::<Result<_>>()?,
            constants: call.arguments.iter().map(constant).collect(),
            filter: call.filter.as_ref().map(&mut place).transpose()?,
            distinct: call.distinct,
            order_positions: call.order_by.iter().map(|k| place(&k.expr)).collect::<Result<_>>()?,
            state: state_types(call.function, &call.signature, call.distinct, &order),
            order,
        })
    };
    calls.iter().map(lower).collect()
}
