//! `count` and `count_if`.

use super::groups::{count_rows, grow, nulls_of, take_states};
use super::{Accumulator, AggregateFunction, AggregateSignature, documented, one_argument, signature};
use crate::error::Result;
use crate::functions::wrong_arguments;
use crate::types::{DataType, ScalarValue};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int64Type;
use std::sync::Arc;

pub(super) const COUNT: AggregateFunction = AggregateFunction::new(
    "count",
    &[],
    documented(
        "count(*) or count(x)",
        "The number of rows, or of rows where x is not NULL.",
        "SELECT count(x) FROM (VALUES 1, NULL, 3) AS t(x)",
        "2",
    ),
    |found, _| match found {
        [] | [_] => Ok(signature(found, &[DataType::Int64], DataType::Int64)),
        _ => Err(wrong_arguments(COUNT.name, COUNT.doc.signature, found)),
    },
    |signature, _| {
        let rows = if signature.arguments.is_empty() {
            Rows::All
        } else {
            Rows::NotNull
        };
        Ok(Box::new(Count { rows, counts: vec![] }))
    },
);

pub(super) const COUNT_IF: AggregateFunction = AggregateFunction::new(
    "count_if",
    &["countif"],
    documented(
        "count_if(condition)",
        "The number of rows for which the condition is true.",
        "SELECT count_if(x > 1) FROM (VALUES 1, 2, 3) AS t(x)",
        "2",
    ),
    |found, _| match one_argument(&COUNT_IF, found)? {
        DataType::Boolean | DataType::Null => Ok(signature(&[DataType::Boolean], &[DataType::Int64], DataType::Int64)),
        _ => Err(wrong_arguments(COUNT_IF.name, COUNT_IF.doc.signature, found)),
    },
    |_: &AggregateSignature, _: &[Option<ScalarValue>]| {
        Ok(Box::new(Count {
            rows: Rows::True,
            counts: vec![],
        }))
    },
);

/// Which rows count.
enum Rows {
    All,
    NotNull,
    True,
}

struct Count {
    rows: Rows,
    counts: Vec<i64>,
}

impl Count {
    /// The rows that count, as the valid ones of a mask; `None` when all do.
    fn mask(&self, arguments: &[ArrayRef]) -> Option<NullBuffer> {
        let argument = arguments.first()?;
        match self.rows {
            Rows::All => None,
            Rows::NotNull => nulls_of(argument),
            Rows::True => {
                let condition = argument.as_boolean();
                let truth = NullBuffer::new(condition.values().clone());
                NullBuffer::union(Some(&truth), condition.nulls())
            }
        }
    }
}

impl Accumulator for Count {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        let mask = self.mask(arguments);
        count_rows(&mut self.counts, groups, group_count, mask.as_ref());
        Ok(())
    }

    fn update_single(&mut self, arguments: &[ArrayRef], rows: usize) -> Result<()> {
        let skipped = self.mask(arguments).map_or(0, |m| m.null_count());
        grow(&mut self.counts, 1, 0);
        self.counts[0] += (rows - skipped) as i64;
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.counts, group_count, 0);
        let partial = states[0].as_primitive::<Int64Type>();
        for (&g, count) in groups.iter().zip(partial.values()) {
            self.counts[g as usize] += count;
        }
        Ok(())
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(group_count)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let counts = take_states(&mut self.counts, group_count, 0);
        Ok(Arc::new(Int64Array::from(counts)))
    }

    fn memory_size(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
