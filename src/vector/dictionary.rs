//! Work once per dictionary value instead of once per row.

use super::Column;
use super::mask::lookup_mask;
use crate::error::{Error, Result};
use crate::types::DataType;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array, types::Int32Type};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// The codes and values of a dictionary-coded column.
pub fn dictionary_parts(column: &Column) -> Option<(&Int32Array, &ArrayRef)> {
    match column {
        Column::Array(array) => {
            let coded = array.as_dictionary_opt::<Int32Type>()?;
            Some((coded.keys(), coded.values()))
        }
        Column::Constant { .. } => None,
    }
}

/// Results of a pure function of one column on whole dictionaries, kept while the dictionaries live: the batches of a
/// row group share one.
#[derive(Debug, Default)]
pub struct DictionaryCache(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    dictionary: Weak<dyn Array>,
    /// Rows that asked before it paid to evaluate the whole dictionary.
    rows: usize,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Waiting,
    Done(ArrayRef),
    /// The function fails on some value of the dictionary, which need not occur among the rows asked for.
    Fails,
}

/// Dictionaries remembered at once: about one per worker.
const REMEMBERED: usize = 16;

impl DictionaryCache {
    /// `function` of every value of the dictionary, when that is known or costs no more than the rows asked for so
    /// far; `None` when the caller had better work row by row.
    pub fn evaluate(
        &self,
        values: &ArrayRef,
        rows: usize,
        function: impl FnOnce(&ArrayRef) -> Result<ArrayRef>,
    ) -> Option<ArrayRef> {
        match self.note(values, rows) {
            (State::Done(result), _) => return Some(result),
            (State::Fails, _) => return None,
            (State::Waiting, seen) if seen < values.len() => return None,
            (State::Waiting, _) => {}
        }
        // Two workers may do this at once; they get the same result.
        let result = function(values).ok().filter(|r| r.len() == values.len());
        let state = result.clone().map_or(State::Fails, State::Done);
        let mut entries = self.0.lock();
        if let Some(entry) = entries.iter_mut().find(|e| e.is_of(values)) {
            entry.state = state;
        }
        result
    }

    fn note(&self, values: &ArrayRef, rows: usize) -> (State, usize) {
        let mut entries = self.0.lock();
        if let Some(entry) = entries.iter_mut().find(|e| e.is_of(values)) {
            entry.rows += rows;
            return (entry.state.clone(), entry.rows);
        }
        entries.retain(|e| e.dictionary.strong_count() > 0);
        if entries.len() >= REMEMBERED {
            entries.remove(0);
        }
        entries.push(Entry {
            dictionary: Arc::downgrade(values),
            rows,
            state: State::Waiting,
        });
        (State::Waiting, rows)
    }
}

impl Entry {
    fn is_of(&self, values: &ArrayRef) -> bool {
        // A live weak reference keeps its allocation, so equal addresses mean the same dictionary.
        std::ptr::addr_eq(self.dictionary.as_ptr(), Arc::as_ptr(values))
    }
}

/// The result per row from the result per dictionary value. Booleans and fixed-width values become plain arrays, text
/// stays coded (its dictionary may then hold a value twice, or NULL).
pub fn spread(keys: &Int32Array, result: &ArrayRef) -> Result<Column> {
    Ok(Column::Array(match result.data_type() {
        DataType::Boolean => Arc::new(spread_booleans(keys, result.as_boolean())),
        DataType::Utf8View | DataType::BinaryView => {
            Arc::new(DictionaryArray::<Int32Type>::try_new(keys.clone(), result.clone())?)
        }
        _ => take(result, keys, None)?,
    }))
}

/// Looks up one bit per code. Codes of NULL rows may be anything.
fn spread_booleans(keys: &Int32Array, result: &BooleanArray) -> BooleanArray {
    let values = lookup_mask(keys.values(), result.values());
    let nulls = result
        .nulls()
        .map(|n| NullBuffer::new(lookup_mask(keys.values(), n.inner())));
    BooleanArray::new(values, NullBuffer::union(keys.nulls(), nulls.as_ref()))
}

/// Applies a function of one array to a column of any coding: once for a constant, once per dictionary value where
/// that pays, else to the plain array.
pub fn map_column(
    column: &Column,
    cache: &DictionaryCache,
    function: impl Fn(&ArrayRef) -> Result<ArrayRef>,
) -> Result<Column> {
    if let Column::Constant { value, rows } = column {
        let value = function(value)?;
        return Ok(Column::Constant { value, rows: *rows });
    }
    if let Some((keys, values)) = dictionary_parts(column)
        && let Some(result) = cache.evaluate(values, keys.len(), &function)
    {
        return spread(keys, &result);
    }
    let result = function(&column.to_array()?)?;
    if result.len() != column.len() {
        return Err(Error::internal(format!(
            "a function of {} rows gave {} rows",
            column.len(),
            result.len()
        )));
    }
    Ok(Column::Array(result))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn coded(keys: Vec<Option<i32>>, values: Vec<Option<&str>>) -> Column {
        let values: ArrayRef = Arc::new(StringViewArray::from(values));
        let keys = Int32Array::from(keys);
        Column::Array(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).unwrap()))
    }

    #[test]
    fn null_codes_and_null_values_stay_null() {
        let column = coded(
            vec![Some(0), None, Some(1), Some(2), Some(0)],
            vec![Some("abc"), None, Some("d")],
        );
        let calls = AtomicUsize::new(0);
        let is_long = |a: &ArrayRef| -> Result<ArrayRef> {
            calls.fetch_add(1, Ordering::Relaxed);
            let values: BooleanArray = a.as_string_view().iter().map(|v| v.map(|v| v.len() > 1)).collect();
            Ok(Arc::new(values))
        };
        let cache = DictionaryCache::default();
        for _ in 0..3 {
            let result = map_column(&column, &cache, is_long).unwrap().to_array().unwrap();
            let result: Vec<_> = result.as_boolean().iter().collect();
            assert_eq!(result, [Some(true), None, None, Some(false), Some(true)]);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let length = |a: &ArrayRef| -> Result<ArrayRef> {
            let lengths: Int64Array = a.as_string_view().iter().map(|v| v.map(|v| v.len() as i64)).collect();
            Ok(Arc::new(lengths))
        };
        let result = map_column(&column, &DictionaryCache::default(), length).unwrap();
        let expected = Int64Array::from(vec![Some(3), None, None, Some(1), Some(3)]);
        assert_eq!(result.to_array().unwrap().as_primitive(), &expected);
    }

    #[test]
    fn a_failing_value_that_no_row_has_does_not_fail() {
        let column = coded(vec![Some(0), Some(0), Some(0)], vec![Some("1"), Some("bad")]);
        let parse = |a: &ArrayRef| -> Result<ArrayRef> {
            if a.as_string_view().iter().any(|v| v == Some("bad")) {
                return Err(Error::execution("bad"));
            }
            Ok(a.clone())
        };
        assert_eq!(
            map_column(&column, &DictionaryCache::default(), parse).unwrap().len(),
            3
        );
    }

    #[test]
    fn large_dictionaries_wait_until_enough_rows_asked() {
        let values: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
        let column = coded(
            vec![Some(999), Some(300)],
            values.iter().map(|v| Some(v.as_str())).collect(),
        );
        let largest = AtomicUsize::new(0);
        let cache = DictionaryCache::default();
        for _ in 0..500 {
            let result = map_column(&column, &cache, |a| {
                largest.fetch_max(a.len(), Ordering::Relaxed);
                let odd: BooleanArray = a.as_string_view().iter().map(|v| v.map(|v| v.ends_with('9'))).collect();
                Ok(Arc::new(odd))
            });
            assert_eq!(
                result.unwrap().to_array().unwrap().as_boolean(),
                &BooleanArray::from(vec![true, false])
            );
        }
        assert_eq!(largest.load(Ordering::Relaxed), 1000);
    }
}
