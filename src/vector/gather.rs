//! Picking values by code and putting dense values at the rows that have one.

use crate::error::{Error, Result};
use arrow::array::{ArrayRef, DictionaryArray, Int32Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int32Type;
use std::sync::Arc;

/// The greatest code, 0 for none. Written so that the compiler vectorises it.
pub fn max_code(codes: &[u32]) -> u32 {
    codes.iter().fold(0, |max, &c| max.max(c))
}

/// Codes `first, first + 1, …`: a dictionary of values that never repeat.
fn is_sequence(codes: &[u32]) -> bool {
    let (Some(&first), Some(&last)) = (codes.first(), codes.last()) else {
        return false;
    };
    last.wrapping_sub(first) as usize == codes.len() - 1
        && codes
            .iter()
            .zip(0u32..)
            .fold(true, |all, (&c, i)| all & (c == first.wrapping_add(i)))
}

/// Appends `values[code]` for every code to `out`. The codes are checked all at once, not one by one; a run of
/// ascending codes is copied.
pub fn gather_into<T: Copy>(values: &[T], codes: &[u32], out: &mut Vec<T>) -> Result<()> {
    let max = max_code(codes) as usize;
    if max >= values.len() && !codes.is_empty() {
        return Err(Error::bad_file(format!(
            "dictionary code {max} where the dictionary has {} entries",
            values.len()
        )));
    }
    if is_sequence(codes) {
        out.extend_from_slice(&values[codes[0] as usize..codes[0] as usize + codes.len()]);
        return Ok(());
    }
    // SAFETY: every code is at most `max`, which is less than values.len().
    out.extend(codes.iter().map(|&c| unsafe { *values.get_unchecked(c as usize) }));
    Ok(())
}

/// Spreads the dense elements `out[start..]`, one for each set bit of `valid`, over `valid.len()` rows; rows whose bit
/// is not set get the default.
pub fn spread<T: Copy + Default>(out: &mut Vec<T>, start: usize, valid: &BooleanBuffer, dense: &mut Vec<T>) {
    dense.clear();
    dense.extend_from_slice(&out[start..]);
    // One more element, so that the element after the last may be looked at and thrown away.
    dense.push(T::default());
    out.truncate(start);
    out.reserve(valid.len());
    let (mut next, mut left) = (0, valid.len());
    for word in valid.bit_chunks().iter_padded() {
        let rows = left.min(64);
        left -= rows;
        let count = word.count_ones() as usize;
        if count == rows {
            out.extend_from_slice(&dense[next..next + rows]);
            next += rows;
        } else if count == 0 {
            out.resize(out.len() + rows, T::default());
        } else {
            out.extend((0..rows).map(|i| {
                let set = word >> i & 1 == 1;
                let value = dense[next.min(dense.len() - 1)];
                next += usize::from(set);
                if set { value } else { T::default() }
            }));
        }
        if left == 0 {
            break;
        }
    }
}

/// An arrow dictionary array over shared values; the codes are checked all at once.
pub fn dictionary_array(codes: Int32Array, values: ArrayRef) -> Result<ArrayRef> {
    let max = codes.values().iter().fold(0, |max, &c| max.max(c as u32));
    // Rows without a value hold code 0, also when the dictionary is empty.
    if max as usize >= values.len().max(1) || (values.is_empty() && codes_present(&codes)) {
        return Err(Error::bad_file(format!(
            "dictionary code {max} where the dictionary has {} entries",
            values.len()
        )));
    }
    // SAFETY: no code is negative (as u32 it would exceed every length) or reaches values.len(), except code 0 of an
    // empty dictionary, which only null rows hold.
    Ok(Arc::new(unsafe {
        DictionaryArray::<Int32Type>::new_unchecked(codes, values)
    }))
}

fn codes_present(codes: &Int32Array) -> bool {
    use arrow::array::Array;
    codes.null_count() < codes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray, StringViewArray};

    #[test]
    fn gather_equals_checked_indexing() {
        let values: Vec<i64> = (0..100).map(|i| i * i).collect();
        for codes in [
            vec![],
            vec![5],
            vec![99, 0, 99, 3],
            (10..60).collect(),
            vec![7, 8, 10, 10],
        ] {
            let mut out = vec![-1];
            gather_into(&values, &codes, &mut out).unwrap();
            let twin: Vec<i64> = codes.iter().map(|&c| values[c as usize]).collect();
            assert_eq!(out[1..], twin);
        }
        assert!(gather_into(&values, &[1, 100], &mut vec![]).is_err());
        assert!(gather_into::<i64>(&[], &[0], &mut vec![]).is_err());
        assert!(gather_into::<i64>(&[], &[], &mut vec![]).is_ok());
    }

    #[test]
    fn spread_puts_values_at_set_bits() {
        for (len, step) in [
            (0, 1),
            (1, 1),
            (64, 1),
            (130, 2),
            (200, 3),
            (200, 7),
            (70, 100),
            (129, 1),
        ] {
            let valid = BooleanBuffer::collect_bool(len + 3, |i| i % step != 1 || step == 1).slice(3, len);
            let dense: Vec<i32> = (1..=valid.count_set_bits() as i32).collect();
            let mut out = [vec![-5, -6], dense].concat();
            spread(&mut out, 2, &valid, &mut vec![]);
            let mut next = 0;
            let twin = valid.iter().map(|v| {
                if v {
                    next += 1;
                    next
                } else {
                    0
                }
            });
            assert_eq!(out[2..], twin.collect::<Vec<i32>>());
        }
    }

    #[test]
    fn dictionary_codes_are_checked() {
        let values: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b"]));
        let ok = dictionary_array(Int32Array::from(vec![Some(1), None, Some(0)]), values.clone()).unwrap();
        assert_eq!(ok.as_dictionary::<Int32Type>().keys().null_count(), 1);
        assert!(dictionary_array(Int32Array::from(vec![2]), values.clone()).is_err());
        assert!(dictionary_array(Int32Array::from(vec![-1]), values.clone()).is_err());
        assert!(dictionary_array(Int32Array::from(vec![0]), values.slice(0, 0)).is_err());
        assert!(dictionary_array(Int32Array::from(vec![None]), values.slice(0, 0)).is_ok());
    }
}
