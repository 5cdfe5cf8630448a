//! Which partitions a query wants: its conditions, judged by the values of partition keys that are known so far.

use crate::expression::pruning::{Bounds, Verdict, verdict};
use crate::expression::{BinaryOp, ExpressionList, PhysicalExpr};
use crate::types::{DataType, ScalarValue};
use crate::vector::{Batch, Column};

/// Conditions of a query on a table in partitions. In their expressions column `i` is partition key `i`; columns from the
/// number of keys on stand for anything else, of which nothing is known.
#[derive(Debug, Clone, Default)]
pub struct PartitionFilter {
    types: Vec<DataType>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone)]
struct Condition {
    expr: PhysicalExpr,
    compiled: ExpressionList,
    /// The keys it reads.
    keys: Vec<usize>,
    /// Whether it reads nothing else.
    exact: bool,
}

impl PartitionFilter {
    /// A filter for keys of these types. Conditions that mention no key are left out.
    pub fn new(types: Vec<DataType>, conditions: Vec<PhysicalExpr>) -> Self {
        let condition = |expr: PhysicalExpr| {
            let columns = expr.columns();
            let keys: Vec<usize> = columns.iter().copied().filter(|c| *c < types.len()).collect();
            (!keys.is_empty()).then(|| Condition {
                exact: keys.len() == columns.len(),
                compiled: ExpressionList::new(vec![expr.clone()]),
                expr,
                keys,
            })
        };
        let conditions = conditions.into_iter().filter_map(condition).collect();
        Self { types, conditions }
    }

    /// A filter for partitions whose keys, given by their positions, have these values.
    pub fn equal(types: Vec<DataType>, values: Vec<(usize, ScalarValue)>) -> Self {
        let condition = |(key, value): (usize, ScalarValue)| {
            let data_type = types.get(key).cloned().unwrap_or(DataType::Null);
            key_condition(key, data_type, BinaryOp::Equal, value)
        };
        let conditions = values.into_iter().map(condition).collect();
        Self::new(types, conditions)
    }

    /// Whether every partition is wanted.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether two filters want the same partitions.
    pub fn is_same(&self, other: &Self) -> bool {
        let expressions = |f: &Self| f.conditions.iter().map(|c| c.expr.clone()).collect::<Vec<_>>();
        expressions(self) == expressions(other)
    }

    /// Whether a partition may have wanted rows, of which these values are known, one per key.
    pub fn may_match(&self, values: &[Option<ScalarValue>]) -> bool {
        self.conditions.iter().all(|c| self.holds(c, values))
    }

    fn holds(&self, condition: &Condition, values: &[Option<ScalarValue>]) -> bool {
        let known = |key: &usize| values.get(*key).is_some_and(Option::is_some);
        if condition.exact && condition.keys.iter().all(known) {
            return self.evaluate(condition, values);
        }
        let bounds = |i: usize| values.get(i)?.as_ref().map(|v| Bounds::constant(v, 1));
        verdict(&condition.expr, &bounds) != Verdict::Never
    }

    /// Whether the condition is true of the values. An error in it is left to the rows, if there are any.
    fn evaluate(&self, condition: &Condition, values: &[Option<ScalarValue>]) -> bool {
        let column = |(t, value): (&DataType, &Option<ScalarValue>)| {
            Column::constant(value.as_ref().unwrap_or(&ScalarValue::Null), t, 1)
        };
        let columns: Result<Vec<Column>, _> = self.types.iter().zip(values).map(column).collect();
        let value = columns.and_then(|columns| {
            let result = condition.compiled.evaluate(&Batch::new(columns, 1))?;
            result.first().map(|c| c.scalar(0)).transpose()
        });
        match value {
            Ok(value) => value.and_then(|v| v.as_bool()).unwrap_or(false),
            Err(_) => true,
        }
    }

    /// Whether some value of a key between two others may be wanted, when those of other keys are known as given.
    pub fn may_match_between(
        &self,
        key: usize,
        (min, max): (&ScalarValue, &ScalarValue),
        values: &[Option<ScalarValue>],
    ) -> bool {
        let bounds = |i: usize| match i == key {
            true => Some(Bounds {
                min: Some(min.clone()),
                max: Some(max.clone()),
                nulls: Some(0),
                rows: None,
            }),
            false => values.get(i)?.as_ref().map(|v| Bounds::constant(v, 1)),
        };
        let mut conditions = self.conditions.iter();
        conditions.all(|c| verdict(&c.expr, &bounds) != Verdict::Never)
    }

    /// The only values that a key may have, when some condition lists them: `k = 'a'`, `k IN ('a', 'b')`.
    pub fn listed_values(&self, key: usize) -> Option<Vec<ScalarValue>> {
        self.conditions.iter().find_map(|c| listed(&c.expr, key))
    }
}

/// The condition that compares a key with a value. Only NULL equals NULL.
pub fn key_condition(key: usize, data_type: DataType, op: BinaryOp, value: ScalarValue) -> PhysicalExpr {
    let column = Box::new(PhysicalExpr::Column {
        index: key,
        data_type: data_type.clone(),
    });
    match value {
        ScalarValue::Null => PhysicalExpr::IsNull {
            expr: column,
            negated: op == BinaryOp::NotEqual,
        },
        value => PhysicalExpr::Binary {
            op,
            left: column,
            right: Box::new(PhysicalExpr::Literal(value, data_type)),
            data_type: DataType::Boolean,
        },
    }
}

/// The values that an equality or a list allows for a column.
fn listed(expr: &PhysicalExpr, key: usize) -> Option<Vec<ScalarValue>> {
    let is_key = |e: &PhysicalExpr| matches!(e, PhysicalExpr::Column { index, .. } if *index == key);
    let literal = |e: &PhysicalExpr| match e {
        PhysicalExpr::Literal(value, _) => Some(value.clone()),
        _ => None,
    };
    match expr {
        PhysicalExpr::Binary {
            op: BinaryOp::Equal,
            left,
            right,
            ..
        } if is_key(left) => literal(right).map(|v| vec![v]),
        PhysicalExpr::Binary {
            op: BinaryOp::Equal,
            left,
            right,
            ..
        } if is_key(right) => literal(left).map(|v| vec![v]),
        PhysicalExpr::InList {
            expr,
            list,
            negated: false,
        } if is_key(expr) => list.iter().map(literal).collect(),
        PhysicalExpr::Or(parts) => {
            let lists: Option<Vec<_>> = parts.iter().map(|p| listed(p, key)).collect();
            lists.map(|l| l.concat())
        }
        PhysicalExpr::And(parts) => parts.iter().find_map(|p| listed(p, key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: usize) -> PhysicalExpr {
        PhysicalExpr::Column {
            index,
            data_type: DataType::Int32,
        }
    }

    fn compare(op: BinaryOp, left: PhysicalExpr, value: i32) -> PhysicalExpr {
        PhysicalExpr::Binary {
            op,
            left: Box::new(left),
            right: Box::new(PhysicalExpr::Literal(ScalarValue::Int32(value), DataType::Int32)),
            data_type: DataType::Boolean,
        }
    }

    #[test]
    fn what_is_known_of_the_keys_decides() {
        // (y = 2020 AND m = 1) OR (y = 2021 AND x > 5), where x is no key.
        let first = PhysicalExpr::And(vec![
            compare(BinaryOp::Equal, key(0), 2020),
            compare(BinaryOp::Equal, key(1), 1),
        ]);
        let second = PhysicalExpr::And(vec![
            compare(BinaryOp::Equal, key(0), 2021),
            compare(BinaryOp::Greater, key(2), 5),
        ]);
        let filter = PartitionFilter::new(
            vec![DataType::Int32, DataType::Int32],
            vec![PhysicalExpr::Or(vec![first, second])],
        );
        let may = |y: i32, m: Option<i32>| filter.may_match(&[Some(ScalarValue::Int32(y)), m.map(ScalarValue::Int32)]);
        assert!(may(2020, None));
        assert!(may(2020, Some(1)));
        assert!(!may(2020, Some(2)));
        assert!(may(2021, Some(2)));
        assert!(!may(2022, None));
        assert!(filter.listed_values(0).is_some_and(|v| v.len() == 2));
        assert!(filter.listed_values(1).is_none());
        assert!(!filter.may_match_between(0, (&ScalarValue::Int32(2022), &ScalarValue::Int32(2030)), &[None, None]));
    }

    #[test]
    fn a_null_key_fulfils_no_comparison() {
        let filter = PartitionFilter::new(vec![DataType::Int32], vec![compare(BinaryOp::Equal, key(0), 1)]);
        assert!(!filter.may_match(&[Some(ScalarValue::Null)]));
        assert!(filter.may_match(&[None]));
    }
}
