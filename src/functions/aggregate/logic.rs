//! Aggregates over bits: `bool_and`, `bool_or`, `bitwise_and_agg`, `bitwise_or_agg`, `bitwise_xor_agg`.

use super::groups::{Seen, for_each_valid, grow, nulls_of, take_states};
use super::{Accumulator, AggregateFunction, documented, one_argument, signature};
use crate::error::Result;
use crate::functions::wrong_arguments;
use crate::types::{DataType, is_integer};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::Int64Type;
use std::sync::Arc;

macro_rules! boolean_aggregate {
    ($CONST:ident, $name:literal, $aliases:expr, $or:literal, $summary:literal, $result:literal) => {
        pub(super) const $CONST: AggregateFunction = AggregateFunction::new(
            $name,
            $aliases,
            documented(
                concat!($name, "(condition)"),
                $summary,
                concat!("SELECT ", $name, "(x) FROM (VALUES true, false, NULL) AS t(x)"),
                $result,
            ),
            |found, _| match one_argument(&$CONST, found)? {
                DataType::Boolean | DataType::Null => Ok(signature(
                    &[DataType::Boolean],
                    &[DataType::Boolean],
                    DataType::Boolean,
                )),
                _ => Err(wrong_arguments($name, $CONST.doc.signature, found)),
            },
            |_, _| Ok(boolean($or)),
        )
        .ignoring_duplicates();
    };
}

boolean_aggregate!(
    BOOL_AND,
    "bool_and",
    &["every"],
    false,
    "Whether the condition is true in all rows.",
    "false"
);
boolean_aggregate!(
    BOOL_OR,
    "bool_or",
    &[],
    true,
    "Whether the condition is true in some row.",
    "true"
);

/// True where any (`or`) or all values of a group are true; also the largest and the smallest boolean.
pub(super) fn boolean(or: bool) -> Box<dyn Accumulator> {
    Box::new(Truth {
        or,
        values: vec![],
        seen: Seen::default(),
    })
}

struct Truth {
    or: bool,
    values: Vec<bool>,
    seen: Seen,
}

impl Accumulator for Truth {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.values, group_count, !self.or);
        let conditions = arguments[0].as_boolean();
        let nulls = nulls_of(&arguments[0]);
        self.seen.mark(groups, group_count, nulls.as_ref());
        let (values, or) = (&mut self.values, self.or);
        for_each_valid(groups, nulls.as_ref(), |row, g| {
            if conditions.value(row) == or {
                values[g] = or;
            }
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        self.update(states, groups, group_count)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(group_count)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let values = take_states(&mut self.values, group_count, !self.or);
        Ok(Arc::new(BooleanArray::new(values.into(), self.seen.take(group_count))))
    }

    fn memory_size(&self) -> usize {
        self.values.capacity() + self.seen.memory_size()
    }
}

macro_rules! bitwise_aggregate {
    ($CONST:ident, $name:literal, $alias:literal, $start:literal, $op:expr, $summary:literal, $result:literal) => {
        pub(super) const $CONST: AggregateFunction = AggregateFunction::new(
            $name,
            &[$alias],
            documented(
                concat!($name, "(integer)"),
                $summary,
                concat!("SELECT ", $name, "(x) FROM (VALUES 7, 14) AS t(x)"),
                $result,
            ),
            |found, _| match one_argument(&$CONST, found)? {
                t if is_integer(t) || *t == DataType::Null => {
                    Ok(signature(&[DataType::Int64], &[DataType::Int64], DataType::Int64))
                }
                _ => Err(wrong_arguments($name, $CONST.doc.signature, found)),
            },
            |_, _| {
                Ok(Box::new(Bits {
                    start: $start,
                    op: $op,
                    values: vec![],
                    seen: Seen::default(),
                }))
            },
        );
    };
}

bitwise_aggregate!(
    BITWISE_AND_AGG,
    "bitwise_and_agg",
    "bit_and",
    -1,
    |a, b| a & b,
    "The bits set in all values.",
    "6"
);
bitwise_aggregate!(
    BITWISE_OR_AGG,
    "bitwise_or_agg",
    "bit_or",
    0,
    |a, b| a | b,
    "The bits set in any value.",
    "15"
);
bitwise_aggregate!(
    BITWISE_XOR_AGG,
    "bitwise_xor_agg",
    "bit_xor",
    0,
    |a, b| a ^ b,
    "The bits set in an odd number of values.",
    "9"
);

struct Bits {
    start: i64,
    op: fn(i64, i64) -> i64,
    values: Vec<i64>,
    seen: Seen,
}

impl Accumulator for Bits {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.values, group_count, self.start);
        let bits = arguments[0].as_primitive::<Int64Type>().values();
        let nulls = nulls_of(&arguments[0]);
        self.seen.mark(groups, group_count, nulls.as_ref());
        let (values, op) = (&mut self.values, self.op);
        for_each_valid(groups, nulls.as_ref(), |row, g| values[g] = op(values[g], bits[row]));
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        self.update(states, groups, group_count)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(group_count)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let values = take_states(&mut self.values, group_count, self.start);
        Ok(Arc::new(Int64Array::new(values.into(), self.seen.take(group_count))))
    }

    fn memory_size(&self) -> usize {
        self.values.capacity() * size_of::<i64>() + self.seen.memory_size()
    }
}
