//! What a call asks for around its function: DISTINCT and ORDER BY.

use super::keys::KeySet;
use super::rows::{RowLists, lists_type};
use super::{Accumulator, AggregateFunction, AggregateSignature};
use crate::error::Result;
use crate::types::{DataType, ScalarValue};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{SortOptions, take};
use arrow::row::{RowConverter, SortField};

/// One key of an aggregate's ORDER BY; its values come as a column after the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderKey {
    pub data_type: DataType,
    pub descending: bool,
    pub nulls_first: bool,
}

/// The accumulator of a call. With `order`, `update` expects one more column for each key after the arguments, also
/// when the function does not care for order.
///
/// # Errors
/// When an argument that must be constant is not, or a type cannot be compared.
pub fn create(
    function: &AggregateFunction,
    signature: &AggregateSignature,
    constants: &[Option<ScalarValue>],
    is_distinct: bool,
    order: &[OrderKey],
) -> Result<Box<dyn Accumulator>> {
    let mut accumulator = (function.create)(signature, constants)?;
    if must_deduplicate(function, signature, is_distinct) {
        accumulator = distinct(accumulator, &signature.arguments)?;
    }
    if must_order(function, order) {
        accumulator = ordered(accumulator, &signature.arguments, order)?;
        if must_deduplicate(function, signature, is_distinct) {
            // Keys are mostly arguments or made of them: then this leaves few rows to be sorted.
            accumulator = distinct(accumulator, &with_keys(&signature.arguments, order))?;
        }
    }
    Ok(accumulator)
}

/// The column types of the partial state of the accumulator that [`create`] makes.
pub fn state_types(
    function: &AggregateFunction,
    signature: &AggregateSignature,
    is_distinct: bool,
    order: &[OrderKey],
) -> Vec<DataType> {
    if must_order(function, order) {
        vec![lists_type(&with_keys(&signature.arguments, order))]
    } else if must_deduplicate(function, signature, is_distinct) {
        vec![lists_type(&signature.arguments)]
    } else {
        signature.state.clone()
    }
}

fn must_deduplicate(function: &AggregateFunction, signature: &AggregateSignature, is_distinct: bool) -> bool {
    is_distinct && !function.ignores_duplicates && !signature.arguments.is_empty()
}

fn must_order(function: &AggregateFunction, order: &[OrderKey]) -> bool {
    function.order_sensitive && !order.is_empty()
}

fn with_keys(arguments: &[DataType], order: &[OrderKey]) -> Vec<DataType> {
    let keys = order.iter().map(|k| k.data_type.clone());
    arguments.iter().cloned().chain(keys).collect()
}

/// `inner` over the different argument rows of each group. They reach it in the order in which they first came.
///
/// # Errors
/// When an argument's type cannot be compared.
pub fn distinct(inner: Box<dyn Accumulator>, arguments: &[DataType]) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(Distinct {
        inner,
        keys: KeySet::new(arguments)?,
    }))
}

struct Distinct {
    inner: Box<dyn Accumulator>,
    keys: KeySet,
}

impl Accumulator for Distinct {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        self.keys.insert(arguments, groups, None, |_, _, _| {})
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        self.keys.insert_lists(&states[0], groups)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.keys.take_gathered(group_count)?.into_lists(None)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let (arguments, groups) = self.keys.take()?;
        self.inner.update(&arguments, &groups, group_count)?;
        self.inner.finish(group_count)
    }

    fn memory_size(&self) -> usize {
        self.keys.memory_size() + self.inner.memory_size()
    }
}

/// `inner` over the rows of each group in the order of the keys that follow the arguments; equal keys stay in the order
/// in which they came.
///
/// # Errors
/// When a key's type cannot be compared.
pub fn ordered(
    inner: Box<dyn Accumulator>,
    arguments: &[DataType],
    order: &[OrderKey],
) -> Result<Box<dyn Accumulator>> {
    let field = |k: &OrderKey| {
        let options = SortOptions {
            descending: k.descending,
            nulls_first: k.nulls_first,
        };
        SortField::new_with_options(k.data_type.clone(), options)
    };
    Ok(Box::new(Ordered {
        inner,
        arguments: arguments.len(),
        keys: RowConverter::new(order.iter().map(field).collect())?,
        rows: RowLists::new(&with_keys(arguments, order)),
    }))
}

struct Ordered {
    inner: Box<dyn Accumulator>,
    arguments: usize,
    keys: RowConverter,
    rows: RowLists,
}

impl Accumulator for Ordered {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        self.rows.push(arguments, groups, None)
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        self.rows.push_lists(&states[0], groups)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.rows.take(group_count)?.into_lists(None)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let (columns, groups) = self.rows.take_rows()?;
        let (arguments, keys) = columns.split_at(self.arguments);
        let keys = self.keys.convert_columns(keys)?;
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        let place = |row: &u32| (groups[*row as usize], keys.row(*row as usize));
        order.sort_by(|a, b| place(a).cmp(&place(b)));
        let groups: Vec<u32> = order.iter().map(|&row| groups[row as usize]).collect();
        let order = UInt32Array::from(order);
        let arguments = arguments
            .iter()
            .map(|a| Ok(take(a, &order, None)?))
            .collect::<Result<Vec<_>>>()?;
        self.inner.update(&arguments, &groups, group_count)?;
        self.inner.finish(group_count)
    }

    fn memory_size(&self) -> usize {
        self.rows.memory_size() + self.inner.memory_size()
    }
}
