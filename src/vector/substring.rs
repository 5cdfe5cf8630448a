//! Substrings that share the bytes of the strings they were cut from.

use arrow::array::{Array, ByteView, MAX_INLINE_VIEW_LEN, StringViewArray, make_view};
use arrow::buffer::NullBuffer;
use std::ops::Range;

/// Cuts a piece out of each value: row `i` of `rows` is `source[i][range(i, source[i])]`, or a piece of the only value
/// when `source` has one row and `rows` differs. Rows that `nulls` hides are not computed; `None` makes NULL.
/// Pieces longer than twelve bytes point into the buffers of `source`, so nothing is copied.
/// A range that does not lie on character boundaries gives the empty string.
pub fn substrings<E>(
    source: &StringViewArray,
    rows: usize,
    nulls: Option<&NullBuffer>,
    mut range: impl FnMut(usize, &str) -> Result<Option<Range<usize>>, E>,
) -> Result<StringViewArray, E> {
    let mask = if source.len() == rows { usize::MAX } else { 0 };
    let mut views: Vec<u128> = Vec::with_capacity(rows);
    let mut valid = nulls.map(|n| n.iter().collect::<Vec<bool>>());
    for row in 0..rows {
        if nulls.is_some_and(|n| n.is_null(row)) {
            views.push(0);
            continue;
        }
        let at = row & mask;
        let value = source.value(at);
        match range(row, value)? {
            Some(range) => views.push(piece(value, range, source.views()[at])),
            None => {
                valid.get_or_insert_with(|| vec![true; rows])[row] = false;
                views.push(0);
            }
        }
    }
    let (_, buffers, _) = source.clone().into_parts();
    // SAFETY: every view is either empty, inline (made by `make_view` from at most twelve bytes of valid UTF-8), or a view
    // of `source` narrowed by `piece` to a range on character boundaries inside it, with the buffers of `source`.
    // `valid`, when present, has one element per row.
    Ok(unsafe { StringViewArray::new_unchecked(views.into(), buffers, valid.map(NullBuffer::from)) })
}

/// The view of `value[range]`, where `view` is the view of `value`; of the empty string when there is no such piece.
fn piece(value: &str, range: Range<usize>, view: u128) -> u128 {
    let start = range.start;
    match value.get(range) {
        None => 0,
        Some(part) if part.len() <= MAX_INLINE_VIEW_LEN as usize => make_view(part.as_bytes(), 0, 0),
        Some(part) => {
            let whole = ByteView::from(view);
            make_view(part.as_bytes(), whole.buffer_index, whole.offset + start as u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// The safe twin: the same pieces, copied.
    fn copied(source: &StringViewArray, mut range: impl FnMut(usize, &str) -> Option<Range<usize>>) -> StringViewArray {
        (0..source.len())
            .map(|i| {
                (source.is_valid(i))
                    .then(|| range(i, source.value(i)).map(|r| source.value(i).get(r).unwrap_or("").to_string()))
                    .flatten()
            })
            .collect()
    }

    #[test]
    fn pieces_equal_their_copies() {
        let source: StringViewArray = [
            Some("a string that is longer than twelve bytes"),
            None,
            Some("short"),
            Some("äöü and some more äöü with many letters"),
            Some(""),
        ]
        .into_iter()
        .collect();
        for start in 0..20 {
            for len in 0..30 {
                let range =
                    |i: usize, s: &str| (i != 2 || len != 3).then(|| start.min(s.len())..(start + len).min(s.len()));
                let cut = substrings(&source, source.len(), source.nulls(), |i, s| {
                    Ok::<_, Infallible>(range(i, s))
                })
                .unwrap();
                cut.to_data().validate_full().unwrap();
                assert_eq!(cut, copied(&source, range));
            }
        }
    }

    #[test]
    fn one_value_serves_all_rows_and_slices_keep_their_offset() {
        let source = StringViewArray::from(vec!["zero", "a value of more than twelve bytes"]).slice(1, 1);
        let cut = substrings(&source, 3, None, |i, _| Ok::<_, Infallible>(Some(i..i + 15))).unwrap();
        let texts: Vec<_> = cut.iter().flatten().collect();
        assert_eq!(texts, ["a value of more", " value of more ", "value of more t"]);
    }
}
