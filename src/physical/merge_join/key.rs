//! The order key of each row, and the sink of a merge join's build side.

use crate::error::Result;
use crate::expression::ExpressionList;
use crate::physical::hash_join::Join;
use crate::physical::pipeline::{Emit, Flow, LocalSink, LocalTransform, Sink, Transform};
use crate::physical::range_join::numbers;
use crate::runtime::QueryContext;
use crate::vector::row_hash::hash_rows;
use crate::vector::{Batch, Column};
use arrow::array::{Array, Int64Array};
use std::sync::Arc;

/// Adds the order key of each row as the last column.
pub struct OrderKey {
    keys: Arc<ExpressionList>,
    /// Whether NULL equals NULL, per key.
    null_safe: Arc<[bool]>,
}

impl OrderKey {
    pub fn new(keys: ExpressionList, null_safe: &[bool]) -> Self {
        Self {
            keys: Arc::new(keys),
            null_safe: null_safe.into(),
        }
    }
}

impl Transform for OrderKey {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalOrderKey {
            keys: self.keys.clone(),
            null_safe: self.null_safe.clone(),
            fixed_hash: context.fixed_hash(),
            before: 0,
        }))
    }
}

struct LocalOrderKey {
    keys: Arc<ExpressionList>,
    null_safe: Arc<[bool]>,
    fixed_hash: Option<u64>,
    /// The last order key.
    before: i64,
}

impl LocalTransform for LocalOrderKey {
    fn push(&mut self, batch: Batch, emit: &mut Emit) -> Result<Flow> {
        let batch = batch.compact()?;
        let keys = self.keys.evaluate(&batch)?;
        let order = order_keys(&keys, &self.null_safe, batch.len(), self.fixed_hash, self.before)?;
        self.before = order.last().copied().unwrap_or(self.before);
        let mut columns = batch.physical_columns().to_vec();
        columns.push(Column::from(Arc::new(Int64Array::from(order))));
        emit(Batch::new(columns, batch.len()))
    }
}

/// The order key of each row. Rows with a NULL that equals nothing may be anywhere: they stay beside the row before them,
/// whose order key is `before` at first, so that they neither make a range of their own nor disturb an order.
fn order_keys(
    keys: &[Column],
    null_safe: &[bool],
    rows: usize,
    fixed_hash: Option<u64>,
    before: i64,
) -> Result<Vec<i64>> {
    let signed = |word: u64| (word ^ 1 << 63) as i64;
    let (mut order, known): (Vec<i64>, bool) = match (keys, fixed_hash) {
        ([key], None) => {
            let array = key.to_array()?;
            match numbers(&array) {
                // What has no place among the numbers is NULL, or NaN.
                Some(words) => {
                    let of_row = |(row, word): (usize, Option<u64>)| match word {
                        Some(word) => signed(word),
                        None if array.is_null(row) => i64::MIN,
                        None => i64::MAX,
                    };
                    (words.into_iter().enumerate().map(of_row).collect(), true)
                }
                None => (vec![], false),
            }
        }
        _ => (vec![], false),
    };
    if !known {
        order = hash_rows(keys, rows, fixed_hash)?.into_iter().map(signed).collect();
    }
    for (key, _) in keys.iter().zip(null_safe).filter(|(_, safe)| !**safe) {
        let Some(nulls) = key.to_array()?.logical_nulls().filter(|n| n.null_count() > 0) else {
            continue;
        };
        let mut before = before;
        for (row, order) in order.iter_mut().enumerate() {
            match nulls.is_null(row) {
                true => *order = before,
                false => before = *order,
            }
        }
    }
    Ok(order)
}

/// Hands build rows to their sort, and their keys to the runtime filters, which are complete when the sort is.
pub struct KeySink {
    join: Arc<Join>,
    sort: Arc<dyn Sink>,
}

impl KeySink {
    pub fn new(join: Arc<Join>, sort: Arc<dyn Sink>) -> Self {
        Self { join, sort }
    }
}

impl Sink for KeySink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalKeySink {
            join: self.join.clone(),
            sort: self.sort.local(context)?,
        }))
    }

    fn end_pipeline(&self) -> Result<()> {
        self.sort.end_pipeline()
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        self.sort.finish(context)?;
        self.join.seal_learned_filters()
    }
}

struct LocalKeySink {
    join: Arc<Join>,
    sort: Box<dyn LocalSink>,
}

impl LocalSink for LocalKeySink {
    fn start_partition(&mut self, ordinal: usize) -> Result<()> {
        self.sort.start_partition(ordinal)
    }

    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        self.join.learn_keys(&batch)?;
        self.sort.consume(batch)
    }

    fn end_partition(&mut self) -> Result<()> {
        self.sort.end_partition()
    }

    fn combine(self: Box<Self>) -> Result<()> {
        self.sort.combine()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float64Array, StringViewArray};

    fn order(array: ArrayRef, null_safe: bool) -> Vec<i64> {
        let rows = array.len();
        order_keys(&[Column::from(array)], &[null_safe], rows, None, 7).unwrap()
    }

    #[test]
    fn equal_keys_have_equal_order_keys() {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![
            Some(0.0),
            Some(-0.0),
            Some(-1.0),
            Some(f64::NAN),
            None,
        ]));
        let of = order(numbers.clone(), true);
        assert!(of[0] == of[1] && of[2] < of[0] && of[0] < of[3], "{of:?}");
        assert_eq!(of[4], i64::MIN);
        assert_eq!(
            order(numbers, false)[4],
            of[3],
            "NULL without partner stays where it is"
        );
        let leading: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(1.0)]));
        assert_eq!(order(leading, false)[0], 7, "beside the row of the batch before");
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b", "a"]));
        let of = order(texts, false);
        assert!(of[0] == of[2] && of[0] != of[1]);
    }
}
