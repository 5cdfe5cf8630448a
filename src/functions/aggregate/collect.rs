//! Aggregates that collect values: `array_agg`, `collect_list`, `collect_set`, `listagg`.

use super::groups::nulls_of;
use super::modifiers::distinct;
use super::rows::{RowLists, complete_rows, lists_type};
use super::{Accumulator, AggregateFunction, documented, one_argument, signature};
use crate::error::{Error, Result};
use crate::functions::wrong_arguments;
use crate::types::{DataType, ScalarValue, array_of};
use arrow::array::{ArrayRef, AsArray, StringViewBuilder};
use std::sync::Arc;

pub(super) const ARRAY_AGG: AggregateFunction = AggregateFunction::new(
    "array_agg",
    &[],
    documented(
        "array_agg(x [ORDER BY …])",
        "All values as an array, NULLs included.",
        "SELECT array_agg(x ORDER BY x) FROM (VALUES 2, 1, 3) AS t(x)",
        "[1, 2, 3]",
    ),
    |found, _| one_argument(&ARRAY_AGG, found).map(lists_of),
    |signature, _| Ok(Box::new(ArrayAgg::new(&signature.arguments[0], true))),
)
.in_row_order();

pub(super) const COLLECT_LIST: AggregateFunction = AggregateFunction::new(
    "collect_list",
    &[],
    documented(
        "collect_list(x [ORDER BY …])",
        "All values that are not NULL as an array; an empty one when there are none.",
        "SELECT collect_list(x ORDER BY x) FROM (VALUES 2, NULL, 3) AS t(x)",
        "[2, 3]",
    ),
    |found, _| one_argument(&COLLECT_LIST, found).map(lists_of),
    |signature, _| Ok(Box::new(ArrayAgg::new(&signature.arguments[0], false))),
)
.in_row_order();

pub(super) const COLLECT_SET: AggregateFunction = AggregateFunction::new(
    "collect_set",
    &[],
    documented(
        "collect_set(x)",
        "The different values that are not NULL as an array.",
        "SELECT array_sort(collect_set(x)) FROM (VALUES 2, 1, 2) AS t(x)",
        "[1, 2]",
    ),
    |found, _| one_argument(&COLLECT_SET, found).map(lists_of),
    |signature, _| {
        let t = &signature.arguments[0];
        distinct(Box::new(ArrayAgg::new(t, false)), std::slice::from_ref(t))
    },
)
.ignoring_duplicates()
.in_row_order();

pub(super) const LISTAGG: AggregateFunction = AggregateFunction::new(
    "listagg",
    &["string_agg", "group_concat"],
    documented(
        "listagg(text[, separator]) WITHIN GROUP (ORDER BY …)",
        "All texts that are not NULL in one, with the separator between them.",
        "SELECT listagg(x, ', ') WITHIN GROUP (ORDER BY x) FROM (VALUES 'b', 'a') AS t(x)",
        "a, b",
    ),
    |found, constants| {
        let text = |t: &DataType| matches!(t, DataType::Utf8View | DataType::Null);
        match found {
            [t] | [t, _] if text(t) && found.iter().all(text) => {}
            _ => return Err(wrong_arguments(LISTAGG.name, LISTAGG.doc.signature, found)),
        }
        separator(constants, found.len())?;
        Ok(signature(
            &vec![DataType::Utf8View; found.len()],
            &[lists_type(&[DataType::Utf8View])],
            DataType::Utf8View,
        ))
    },
    |signature, constants| {
        Ok(Box::new(ListAgg {
            lists: RowLists::new(&[DataType::Utf8View]),
            separator: separator(constants, signature.arguments.len())?,
        }))
    },
)
.in_row_order();

fn lists_of(t: &DataType) -> super::AggregateSignature {
    signature(
        std::slice::from_ref(t),
        &[lists_type(std::slice::from_ref(t))],
        array_of(t.clone()),
    )
}

/// The constant second argument; nothing stands between the texts without one.
fn separator(constants: &[Option<ScalarValue>], arguments: usize) -> Result<String> {
    match (arguments, constants.get(1)) {
        (0 | 1, _) => Ok(String::new()),
        (_, Some(Some(ScalarValue::String(s)))) => Ok(s.to_string()),
        (_, Some(Some(ScalarValue::Null))) => Ok(String::new()),
        _ => Err(Error::plan("listagg: the separator is not a constant").with_hint("write it as a text literal")),
    }
}

struct ArrayAgg {
    lists: RowLists,
    /// `array_agg` keeps NULLs and is NULL without rows; `collect_list` drops them and is empty.
    keeps_nulls: bool,
}

impl ArrayAgg {
    fn new(t: &DataType, keeps_nulls: bool) -> Self {
        Self {
            lists: RowLists::new(std::slice::from_ref(t)),
            keeps_nulls,
        }
    }
}

impl Accumulator for ArrayAgg {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        let keep = if self.keeps_nulls {
            None
        } else {
            nulls_of(&arguments[0])
        };
        self.lists.push(arguments, groups, keep.as_ref())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        self.lists.push_lists(&states[0], groups)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.lists.take(group_count)?.into_lists(None)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let gathered = self.lists.take(group_count)?;
        let nulls = if self.keeps_nulls { gathered.not_empty() } else { None };
        gathered.into_lists(nulls)
    }

    fn memory_size(&self) -> usize {
        self.lists.memory_size()
    }
}

struct ListAgg {
    lists: RowLists,
    separator: String,
}

impl Accumulator for ListAgg {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        let texts = &arguments[..1];
        self.lists.push(texts, groups, complete_rows(texts).as_ref())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        self.lists.push_lists(&states[0], groups)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.lists.take(group_count)?.into_lists(None)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let gathered = self.lists.take(group_count)?;
        let texts = gathered.columns[0].as_string_view();
        let mut builder = StringViewBuilder::with_capacity(group_count);
        let mut joined = String::new();
        for range in gathered.offsets.windows(2) {
            let rows = range[0] as usize..range[1] as usize;
            if rows.is_empty() {
                builder.append_null();
                continue;
            }
            joined.clear();
            for row in rows.clone() {
                if row > rows.start {
                    joined.push_str(&self.separator);
                }
                joined.push_str(texts.value(row));
            }
            builder.try_append_value(&joined)?;
        }
        Ok(Arc::new(builder.finish()))
    }

    fn memory_size(&self) -> usize {
        self.lists.memory_size()
    }
}
