//! Text: cutting, searching, padding, changing case. Positions count code points from 1.

use super::arguments::Values;
use super::typing::{BIGINT, BINARY, STRING, exactly, overload};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, array_of, map_of};
use crate::vector::Column;
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Field, Int32Type, Int64Type};
use std::ops::Range;
use std::sync::Arc;

/// Code points that one call may produce by repetition or padding.
const MAX_GENERATED: i64 = 64 << 20;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    // Lengths.
    function(
        "length",
        |t, _| overload(t, &[(&[STRING], BIGINT), (&[BINARY], BIGINT)]),
        length,
    )
    .aliases(&["char_length", "character_length", "len"])
    .doc(
        "length(string)",
        "The number of code points, or of bytes of a varbinary.",
        "SELECT length('héllo')",
        "5",
    ),
    function(
        "octet_length",
        |t, _| overload(t, &[(&[STRING], BIGINT), (&[BINARY], BIGINT)]),
        |a| octets(a, 1),
    )
    .doc(
        "octet_length(string)",
        "The number of bytes.",
        "SELECT octet_length('é')",
        "2",
    ),
    function(
        "bit_length",
        |t, _| overload(t, &[(&[STRING], BIGINT), (&[BINARY], BIGINT)]),
        |a| octets(a, 8),
    )
    .doc(
        "bit_length(string)",
        "The number of bits.",
        "SELECT bit_length('ab')",
        "16",
    ),
    // Cutting.
    function("substr", |t, _| substr_type(t), substr)
        .aliases(&["substring"])
        .doc(
            "substr(string, start[, length])",
            "The part from a position on, counted from the end when negative.",
            "SELECT substr('hello', 2, 3)",
            "ell",
        ),
    function(
        "left",
        |t, _| exactly(t, &[STRING, BIGINT], STRING),
        |a| {
            let count = a.integers_of(1)?;
            a.pieces(|row, s| Ok(Some(0..chars_end(s, count.get(row)))))
        },
    )
    .doc(
        "left(string, n)",
        "The first n code points.",
        "SELECT left('hello', 2)",
        "he",
    ),
    function(
        "right",
        |t, _| exactly(t, &[STRING, BIGINT], STRING),
        |a| {
            let count = a.integers_of(1)?;
            a.pieces(|row, s| Ok(Some(chars_start_from_end(s, count.get(row)).unwrap_or(0)..s.len())))
        },
    )
    .doc(
        "right(string, n)",
        "The last n code points.",
        "SELECT right('hello', 2)",
        "lo",
    ),
    function("trim", |t, _| trim_type(t), |a| trimmed(a, true, true))
        .aliases(&["btrim"])
        .doc(
            "trim(string[, characters])",
            "Without white space, or the given characters, at both ends.",
            "SELECT trim('  hello ')",
            "hello",
        ),
    function("ltrim", |t, _| trim_type(t), |a| trimmed(a, true, false)).doc(
        "ltrim(string[, characters])",
        "Without white space, or the given characters, at the start.",
        "SELECT ltrim('xxhello', 'x')",
        "hello",
    ),
    function("rtrim", |t, _| trim_type(t), |a| trimmed(a, false, true)).doc(
        "rtrim(string[, characters])",
        "Without white space, or the given characters, at the end.",
        "SELECT rtrim('hello  ')",
        "hello",
    ),
    function("split", |t, _| split_type(t), split).doc(
        "split(string, delimiter[, limit])",
        "The parts between delimiters; with a limit, the last part is the rest.",
        "SELECT split('a.b.c', '.', 2)",
        "[a, b.c]",
    ),
    function(
        "split_part",
        |t, _| exactly(t, &[STRING, STRING, BIGINT], STRING),
        split_part,
    )
    .doc(
        "split_part(string, delimiter, index)",
        "The part of that number, from 1; NULL when there are fewer.",
        "SELECT split_part('a,b,c', ',', 2)",
        "b",
    ),
    function(
        "substring_index",
        |t, _| exactly(t, &[STRING, STRING, BIGINT], STRING),
        substring_index,
    )
    .doc(
        "substring_index(string, delimiter, count)",
        "All before the delimiter of that number, or after it when counted from the end.",
        "SELECT substring_index('www.example.com', '.', -2)",
        "example.com",
    ),
    function(
        "split_to_map",
        |t, _| exactly(t, &[STRING, STRING, STRING], map_of(STRING, STRING)),
        split_to_map,
    )
    .aliases(&["str_to_map"])
    .doc(
        "split_to_map(string, entry_delimiter, key_value_delimiter)",
        "Keys and values from text such as a=1,b=2.",
        "SELECT split_to_map('a=1,b=2', ',', '=')",
        "{a=1, b=2}",
    ),
    // Changing.
    function("lower", |t, _| exactly(t, &[STRING], STRING), lower)
        .aliases(&["lcase"])
        .doc("lower(string)", "In lower case.", "SELECT lower('HeLLo')", "hello"),
    function("upper", |t, _| exactly(t, &[STRING], STRING), upper)
        .aliases(&["ucase"])
        .doc("upper(string)", "In upper case.", "SELECT upper('hello')", "HELLO"),
    function("initcap", |t, _| exactly(t, &[STRING], STRING), initcap)
        .aliases(&["title_case"])
        .doc(
            "initcap(string)",
            "Each word with a capital first letter and the rest in lower case.",
            "SELECT initcap('hello WORLD')",
            "Hello World",
        ),
    function("concat_ws", |t, _| concat_ws_type(t), concat_ws).doc(
        "concat_ws(separator, string, ...) or concat_ws(separator, array)",
        "Joins texts with a separator, leaving out NULLs.",
        "SELECT concat_ws('-', 'a', NULL, 'b')",
        "a-b",
    ),
    function("replace", |t, _| replace_type(t), replace).doc(
        "replace(string, search[, replacement])",
        "Every occurrence replaced, or removed.",
        "SELECT replace('banana', 'an', 'AN')",
        "bANANa",
    ),
    function(
        "translate",
        |t, _| exactly(t, &[STRING, STRING, STRING], STRING),
        translate,
    )
    .doc(
        "translate(string, from, to)",
        "Each character of the second text replaced by the one at its place in the third, or removed.",
        "SELECT translate('abcd', 'abc', 'AB')",
        "ABd",
    ),
    function("lpad", |t, _| pad_type(t), |a| padded(a, true)).doc(
        "lpad(string, size[, padding])",
        "Filled up at the start, or cut, to a number of code points.",
        "SELECT lpad('7', 3, '0')",
        "007",
    ),
    function("rpad", |t, _| pad_type(t), |a| padded(a, false)).doc(
        "rpad(string, size[, padding])",
        "Filled up at the end, or cut, to a number of code points.",
        "SELECT rpad('a', 3, '.')",
        "a..",
    ),
    function("overlay", |t, _| overlay_type(t), overlay).doc(
        "overlay(string, replacement, start[, length])",
        "The part from a position on replaced.",
        "SELECT overlay('hello', 'EY', 2, 3)",
        "hEYo",
    ),
    function(
        "space",
        |t, _| exactly(t, &[BIGINT], STRING),
        |a| {
            let count = a.integers_of(0)?;
            a.strings(|row, out| {
                let count = check_generated("space", count.get(row).max(0))?;
                out.extend(std::iter::repeat_n(' ', count));
                Ok(Some(()))
            })
        },
    )
    .doc("space(n)", "n spaces.", "SELECT concat('a', space(2), 'b')", "a  b"),
    function(
        "quote",
        |t, _| exactly(t, &[STRING], STRING),
        |a| {
            let s = a.strings_of(0)?;
            a.strings(|row, out| {
                out.push('\'');
                out.push_str(&s.get(row).replace('\'', "''"));
                out.push('\'');
                Ok(Some(()))
            })
        },
    )
    .doc("quote(string)", "As a SQL literal.", "SELECT quote('it''s')", "'it''s'"),
    // Characters and bytes.
    function("chr", |t, _| exactly(t, &[BIGINT], STRING), chr)
        .aliases(&["char"])
        .doc("chr(n)", "The character of a code point.", "SELECT chr(65)", "A"),
    function("codepoint", |t, _| exactly(t, &[STRING], DataType::Int32), codepoint).doc(
        "codepoint(string)",
        "The code point of the only character.",
        "SELECT codepoint('A')",
        "65",
    ),
    function(
        "ascii",
        |t, _| exactly(t, &[STRING], DataType::Int32),
        |a| {
            let s = a.strings_of(0)?;
            a.primitives::<Int32Type>(|row| Ok(Some(s.get(row).chars().next().map_or(0, |c| c as i32))))
        },
    )
    .doc(
        "ascii(string)",
        "The code point of the first character, 0 when empty.",
        "SELECT ascii('Abc')",
        "65",
    ),
    function(
        "to_utf8",
        |t, _| exactly(t, &[STRING], BINARY),
        |a| {
            let s = a.strings_of(0)?;
            Ok(a.finish(Arc::new(s.array.to_binary_view())))
        },
    )
    .doc(
        "to_utf8(string)",
        "The bytes of the text in UTF-8.",
        "SELECT to_hex(to_utf8('é'))",
        "C3A9",
    ),
    function(
        "from_utf8",
        |t, _| overload(t, &[(&[BINARY], STRING), (&[BINARY, STRING], STRING)]),
        from_utf8,
    )
    .doc(
        "from_utf8(binary[, replacement])",
        "The text of UTF-8 bytes; invalid ones become U+FFFD or the replacement.",
        "SELECT from_utf8(to_utf8('héllo'))",
        "héllo",
    ),
];

fn length(a: &Arguments) -> Result<Column> {
    if a.column(0)?.data_type() == &BINARY {
        return octets(a, 1);
    }
    let s = a.strings_of(0)?;
    a.primitives::<Int64Type>(|row| Ok(Some(s.get(row).chars().count() as i64)))
}

/// The length in bytes, read from the views alone, times `factor`.
fn octets(a: &Arguments, factor: i64) -> Result<Column> {
    let (array, _) = a.column(0)?.as_array_or_single()?;
    let lengths: Vec<i64> = match array.data_type() {
        DataType::BinaryView => array.as_binary_view().lengths().map(|n| n as i64 * factor).collect(),
        _ => array.as_string_view().lengths().map(|n| n as i64 * factor).collect(),
    };
    Ok(a.finish(Arc::new(Int64Array::new(lengths.into(), array.nulls().cloned()))))
}

// ---- Cutting ----

/// The byte at which the first `count` code points end.
pub(super) fn chars_end(s: &str, count: i64) -> usize {
    let Ok(count) = usize::try_from(count) else { return 0 };
    let head = s.as_bytes().get(..count).unwrap_or(s.as_bytes());
    if head.is_ascii() {
        return head.len();
    }
    s.char_indices().nth(count).map_or(s.len(), |(at, _)| at)
}

/// The byte at which the last `count` code points start; `None` when there are fewer.
fn chars_start_from_end(s: &str, count: i64) -> Option<usize> {
    let Ok(count) = usize::try_from(count) else {
        return Some(s.len());
    };
    if count == 0 {
        return Some(s.len());
    }
    if s.is_ascii() {
        return s.len().checked_sub(count);
    }
    s.char_indices().rev().nth(count - 1).map(|(at, _)| at)
}

fn substr_type(found: &[DataType]) -> Option<Signature> {
    overload(
        found,
        &[
            (&[STRING, BIGINT], STRING),
            (&[STRING, BIGINT, BIGINT], STRING),
            (&[BINARY, BIGINT], BINARY),
            (&[BINARY, BIGINT, BIGINT], BINARY),
        ],
    )
}

fn substr(a: &Arguments) -> Result<Column> {
    let start = a.integers_of(1)?;
    let length = (a.count() > 2).then(|| a.integers_of(2)).transpose()?;
    let wanted = |row: usize| length.as_ref().map_or(i64::MAX, |l| l.get(row));
    if a.result_type == &BINARY {
        let bytes = a.read::<BinaryViewArray>(0)?;
        return a.binaries(|row, out| {
            let bytes = bytes.get(row);
            let range = byte_range(bytes.len(), start.get(row), wanted(row));
            out.extend_from_slice(bytes.get(range).unwrap_or_default());
            Ok(Some(()))
        });
    }
    a.pieces(|row, s| Ok(Some(substr_range(s, start.get(row), wanted(row)))))
}

/// The bytes of `substr(s, start, length)`; empty for start 0 and for starts before the first character.
fn substr_range(s: &str, start: i64, length: i64) -> Range<usize> {
    let from = match start {
        0 => return 0..0,
        1.. => chars_end(s, start - 1),
        _ => match chars_start_from_end(s, start.saturating_neg()) {
            Some(from) => from,
            None => return 0..0,
        },
    };
    let rest = s.get(from..).unwrap_or_default();
    from..from + chars_end(rest, length)
}

fn byte_range(len: usize, start: i64, length: i64) -> Range<usize> {
    let len = len as i64;
    let from = match start {
        0 => return 0..0,
        1.. => start - 1,
        _ => len.saturating_add(start),
    };
    if from < 0 || from >= len || length <= 0 {
        return 0..0;
    }
    from as usize..from.saturating_add(length).min(len) as usize
}

fn trim_type(found: &[DataType]) -> Option<Signature> {
    overload(found, &[(&[STRING], STRING), (&[STRING, STRING], STRING)])
}

fn trimmed(a: &Arguments, start: bool, end: bool) -> Result<Column> {
    let range = |s: &str, drops: &dyn Fn(char) -> bool| {
        let from = if start {
            s.len() - s.trim_start_matches(drops).len()
        } else {
            0
        };
        let rest = s.get(from..).unwrap_or_default();
        let to = if end {
            rest.trim_end_matches(drops).len()
        } else {
            rest.len()
        };
        Ok(Some(from..from + to))
    };
    if a.count() == 1 {
        return a.pieces(|_, s| range(s, &char::is_whitespace));
    }
    let characters = a.strings_of(1)?;
    a.pieces(|row, s| {
        let characters = characters.get(row);
        range(s, &|c| characters.contains(c))
    })
}

fn split_type(found: &[DataType]) -> Option<Signature> {
    overload(
        found,
        &[
            (&[STRING, STRING], array_of(STRING)),
            (&[STRING, STRING, BIGINT], array_of(STRING)),
        ],
    )
}

fn not_empty<'a>(function: &str, delimiter: &'a str) -> Result<&'a str> {
    match delimiter {
        "" => Err(Error::execution(format!(
            "{function} needs a delimiter that is not empty"
        ))),
        some => Ok(some),
    }
}

fn split(a: &Arguments) -> Result<Column> {
    let (s, delimiter) = (a.strings_of(0)?, a.strings_of(1)?);
    let limit = (a.count() > 2).then(|| a.integers_of(2)).transpose()?;
    a.string_lists(|row, out| {
        let delimiter = not_empty("split", delimiter.get(row))?;
        let limit = limit.as_ref().map_or(i64::MAX, |l| l.get(row));
        if limit < 1 {
            return Err(Error::execution(format!(
                "split with limit {limit}, expected at least 1"
            )));
        }
        for part in s.get(row).splitn(limit as usize, delimiter) {
            out.try_append_value(part)?;
        }
        Ok(Some(()))
    })
}

fn split_part(a: &Arguments) -> Result<Column> {
    let (delimiter, index) = (a.strings_of(1)?, a.integers_of(2)?);
    a.pieces(|row, s| {
        let Ok(index @ 1..) = usize::try_from(index.get(row)) else {
            return Err(Error::execution(format!(
                "split_part with index {}, expected 1 or more",
                index.get(row)
            )));
        };
        Ok(nth_part(s, delimiter.get(row), index - 1))
    })
}

/// The bytes of part `n` (from 0); with an empty delimiter, of character `n`.
fn nth_part(s: &str, delimiter: &str, n: usize) -> Option<Range<usize>> {
    if delimiter.is_empty() {
        return s.char_indices().nth(n).map(|(at, c)| at..at + c.len_utf8());
    }
    let mut start = 0;
    for _ in 0..n {
        start += s.get(start..)?.find(delimiter)? + delimiter.len();
    }
    let rest = s.get(start..)?;
    Some(start..start + rest.find(delimiter).unwrap_or(rest.len()))
}

fn substring_index(a: &Arguments) -> Result<Column> {
    let (delimiter, count) = (a.strings_of(1)?, a.integers_of(2)?);
    a.pieces(|row, s| {
        let (delimiter, count) = (delimiter.get(row), count.get(row));
        if delimiter.is_empty() || count == 0 {
            return Ok(Some(0..0));
        }
        let nth = usize::try_from(count.unsigned_abs() - 1).unwrap_or(usize::MAX);
        Ok(Some(if count > 0 {
            0..s.match_indices(delimiter).nth(nth).map_or(s.len(), |(at, _)| at)
        } else {
            s.rmatch_indices(delimiter)
                .nth(nth)
                .map_or(0, |(at, _)| at + delimiter.len())..s.len()
        }))
    })
}

fn split_to_map(a: &Arguments) -> Result<Column> {
    let (s, entry, pair) = (a.strings_of(0)?, a.strings_of(1)?, a.strings_of(2)?);
    let (nulls, rows) = (a.nulls(), a.work());
    let (mut keys, mut values) = (StringViewBuilder::new(), StringViewBuilder::new());
    let mut offsets = vec![0i32];
    for row in 0..rows {
        if !nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            let (entry, pair) = (
                not_empty("split_to_map", entry.get(row))?,
                not_empty("split_to_map", pair.get(row))?,
            );
            let mut seen = hashbrown::HashSet::new();
            for part in s.get(row).split(entry).filter(|part| !part.is_empty()) {
                let (key, value) = part.split_once(pair).ok_or_else(|| {
                    Error::execution(format!(
                        "split_to_map: \"{part}\" has no key-value delimiter \"{pair}\""
                    ))
                })?;
                if !seen.insert(key) {
                    return Err(Error::execution(format!(
                        "split_to_map: the key \"{key}\" occurs twice"
                    )));
                }
                keys.try_append_value(key)?;
                values.try_append_value(value)?;
            }
        }
        offsets.push(super::arguments::offset_of(keys.len())?);
    }
    let DataType::Map(entries, _) = a.result_type else {
        return Err(Error::internal("split_to_map without a map type"));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::internal("a map without entries"));
    };
    let pairs = StructArray::try_new(
        fields.clone(),
        vec![Arc::new(keys.finish()), Arc::new(values.finish())],
        None,
    )?;
    let map = MapArray::try_new(
        Arc::new(Field::clone(entries)),
        OffsetBuffer::new(offsets.into()),
        pairs,
        nulls,
        false,
    )?;
    Ok(a.finish(Arc::new(map)))
}

// ---- Searching ----

// ---- Changing ----

fn lower(a: &Arguments) -> Result<Column> {
    let s = a.strings_of(0)?;
    a.strings(|row, out| {
        out.push_str(s.get(row));
        match out.is_ascii() {
            true => out.make_ascii_lowercase(),
            false => *out = out.to_lowercase(),
        }
        Ok(Some(()))
    })
}

fn upper(a: &Arguments) -> Result<Column> {
    let s = a.strings_of(0)?;
    a.strings(|row, out| {
        out.push_str(s.get(row));
        match out.is_ascii() {
            true => out.make_ascii_uppercase(),
            false => *out = out.to_uppercase(),
        }
        Ok(Some(()))
    })
}

fn initcap(a: &Arguments) -> Result<Column> {
    let s = a.strings_of(0)?;
    a.strings(|row, out| {
        let mut inside = false;
        for c in s.get(row).chars() {
            match inside {
                true => out.extend(c.to_lowercase()),
                false => out.extend(c.to_uppercase()),
            }
            inside = !c.is_whitespace();
        }
        Ok(Some(()))
    })
}

/// Texts of all arguments one after the other.
pub(super) fn concat(a: &Arguments) -> Result<Column> {
    let parts = (0..a.count()).map(|i| a.strings_of(i)).collect::<Result<Vec<_>>>()?;
    a.strings(|row, out| {
        parts.iter().for_each(|part| out.push_str(part.get(row)));
        Ok(Some(()))
    })
}

/// Bytes of all arguments one after the other.
pub(super) fn concat_binary(a: &Arguments) -> Result<Column> {
    let parts = (0..a.count())
        .map(|i| a.read::<BinaryViewArray>(i))
        .collect::<Result<Vec<_>>>()?;
    a.binaries(|row, out| {
        parts.iter().for_each(|part| out.extend_from_slice(part.get(row)));
        Ok(Some(()))
    })
}

/// The code points from last to first.
pub(super) fn reverse(a: &Arguments) -> Result<Column> {
    let s = a.strings_of(0)?;
    a.strings(|row, out| {
        out.extend(s.get(row).chars().rev());
        Ok(Some(()))
    })
}

fn concat_ws_type(found: &[DataType]) -> Option<Signature> {
    match found {
        [_, DataType::List(_)] => exactly(found, &[STRING, array_of(STRING)], STRING),
        [_, ..] => exactly(found, &vec![STRING; found.len()], STRING),
        [] => None,
    }
}

fn concat_ws(a: &Arguments) -> Result<Column> {
    let separator = a.strings_of(0)?;
    let nulls = null_rows(&separator, a.work());
    if a.columns
        .get(1)
        .is_some_and(|c| matches!(c.data_type(), DataType::List(_)))
    {
        let lists = a.read::<ListArray>(1)?;
        return a.strings_unless(nulls, |row, out| {
            if lists.is_null(row) {
                return Ok(None);
            }
            let list = lists.get(row);
            join(list.as_string_view().iter(), separator.get(row), out);
            Ok(Some(()))
        });
    }
    let parts = (1..a.count()).map(|i| a.strings_of(i)).collect::<Result<Vec<_>>>()?;
    a.strings_unless(nulls, |row, out| {
        let values = parts.iter().map(|part| (!part.is_null(row)).then(|| part.get(row)));
        join(values, separator.get(row), out);
        Ok(Some(()))
    })
}

/// Which rows of one argument are NULL.
fn null_rows<A: Array>(values: &Values<A>, rows: usize) -> Option<NullBuffer> {
    match values.is_constant() {
        true => values.is_null(0).then(|| NullBuffer::new_null(rows)),
        false => values.array.nulls().cloned(),
    }
}

fn join<'a>(values: impl Iterator<Item = Option<&'a str>>, separator: &str, out: &mut String) {
    for (i, value) in values.flatten().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        out.push_str(value);
    }
}

fn replace_type(found: &[DataType]) -> Option<Signature> {
    overload(
        found,
        &[(&[STRING, STRING], STRING), (&[STRING, STRING, STRING], STRING)],
    )
}

fn replace(a: &Arguments) -> Result<Column> {
    let (s, search) = (a.strings_of(0)?, a.strings_of(1)?);
    let replacement = (a.count() > 2).then(|| a.strings_of(2)).transpose()?;
    a.strings(|row, out| {
        let (s, search) = (s.get(row), search.get(row));
        let replacement = replacement.as_ref().map_or("", |r| r.get(row));
        let mut end = 0;
        for (at, found) in s.match_indices(search) {
            out.push_str(s.get(end..at).unwrap_or_default());
            out.push_str(replacement);
            end = at + found.len();
        }
        out.push_str(s.get(end..).unwrap_or_default());
        Ok(Some(()))
    })
}

fn translate(a: &Arguments) -> Result<Column> {
    let (s, from, to) = (a.strings_of(0)?, a.strings_of(1)?, a.strings_of(2)?);
    a.strings(|row, out| {
        let (from, to) = (from.get(row), to.get(row));
        for c in s.get(row).chars() {
            match from.chars().position(|f| f == c) {
                None => out.push(c),
                Some(place) => out.extend(to.chars().nth(place)),
            }
        }
        Ok(Some(()))
    })
}

fn pad_type(found: &[DataType]) -> Option<Signature> {
    overload(
        found,
        &[(&[STRING, BIGINT, STRING], STRING), (&[STRING, BIGINT], STRING)],
    )
}

fn check_generated(function: &str, count: i64) -> Result<usize> {
    match usize::try_from(count) {
        Ok(fits) if count <= MAX_GENERATED => Ok(fits),
        _ => Err(Error::execution(format!(
            "{function} to {count} characters, expected 0 to {MAX_GENERATED}"
        ))),
    }
}

fn padded(a: &Arguments, at_start: bool) -> Result<Column> {
    let name = if at_start { "lpad" } else { "rpad" };
    let (s, size) = (a.strings_of(0)?, a.integers_of(1)?);
    let padding = (a.count() > 2).then(|| a.strings_of(2)).transpose()?;
    a.strings(|row, out| {
        let s = s.get(row);
        let size = check_generated(name, size.get(row))?;
        let padding = padding.as_ref().map_or(" ", |p| p.get(row));
        if padding.is_empty() {
            return Err(Error::execution(format!("{name} needs a padding that is not empty")));
        }
        let missing = size.saturating_sub(s.chars().count());
        let fill = padding.chars().cycle().take(missing);
        let kept = s.get(..chars_end(s, size as i64)).unwrap_or_default();
        if at_start {
            out.extend(fill);
            out.push_str(kept);
        } else {
            out.push_str(kept);
            out.extend(fill);
        }
        Ok(Some(()))
    })
}

fn overlay_type(found: &[DataType]) -> Option<Signature> {
    overload(
        found,
        &[
            (&[STRING, STRING, BIGINT], STRING),
            (&[STRING, STRING, BIGINT, BIGINT], STRING),
        ],
    )
}

fn overlay(a: &Arguments) -> Result<Column> {
    let (s, replacement, start) = (a.strings_of(0)?, a.strings_of(1)?, a.integers_of(2)?);
    let length = (a.count() > 3).then(|| a.integers_of(3)).transpose()?;
    a.strings(|row, out| {
        let (s, replacement) = (s.get(row), replacement.get(row));
        let length = length
            .as_ref()
            .map_or(replacement.chars().count() as i64, |l| l.get(row));
        let from = chars_end(s, start.get(row).saturating_sub(1).max(0));
        let rest = s.get(from..).unwrap_or_default();
        out.push_str(s.get(..from).unwrap_or_default());
        out.push_str(replacement);
        out.push_str(rest.get(chars_end(rest, length.max(0))..).unwrap_or_default());
        Ok(Some(()))
    })
}

// ---- Characters and bytes ----

fn chr(a: &Arguments) -> Result<Column> {
    let code = a.integers_of(0)?;
    a.strings(|row, out| {
        let code = code.get(row);
        let c = u32::try_from(code)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(|| Error::execution(format!("chr({code}) is not a Unicode code point")))?;
        out.push(c);
        Ok(Some(()))
    })
}

fn codepoint(a: &Arguments) -> Result<Column> {
    let s = a.strings_of(0)?;
    a.primitives::<Int32Type>(|row| {
        let mut characters = s.get(row).chars();
        match (characters.next(), characters.next()) {
            (Some(c), None) => Ok(Some(c as i32)),
            _ => Err(Error::execution(format!(
                "codepoint('{}'): expected exactly one character",
                s.get(row)
            ))),
        }
    })
}

fn from_utf8(a: &Arguments) -> Result<Column> {
    let bytes = a.read::<BinaryViewArray>(0)?;
    let replacement = (a.count() > 1).then(|| a.strings_of(1)).transpose()?;
    a.strings(|row, out| {
        let replacement = replacement.as_ref().map_or("\u{FFFD}", |r| r.get(row));
        for chunk in bytes.get(row).utf8_chunks() {
            out.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                out.push_str(replacement);
            }
        }
        Ok(Some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use crate::types::ScalarValue::{Int32, Int64, Null};

    #[test]
    fn substr_counts_from_one_and_from_the_end() {
        let substr = |s: &str, start: i64, length: i64| call("substr", &[text(s), Int64(start), Int64(length)]);
        assert_eq!(substr("hello", 0, 2), text(""));
        assert_eq!(substr("hello", 1, 2), text("he"));
        assert_eq!(substr("hello", 4, 9), text("lo"));
        assert_eq!(substr("hello", -3, 2), text("ll"));
        assert_eq!(substr("hello", -9, 2), text(""));
        assert_eq!(substr("hello", 9, 2), text(""));
        assert_eq!(substr("hello", 2, -1), text(""));
        assert_eq!(substr("héllo wörld, a long text", 2, 18), text("éllo wörld, a long"));
        assert_eq!(call("substr", &[text("héllo"), Int64(i64::MIN)]), text(""));
        assert_eq!(call("substr", &[text("héllo"), Int64(-4)]), text("éllo"));
        assert_eq!(call("substr", &[Null, Int64(1)]), Null);
        assert_eq!(call("right", &[text("héllo"), Int32(4)]), text("éllo"));
        assert_eq!(call("right", &[text("héllo"), Int32(40)]), text("héllo"));
    }

    #[test]
    fn parts() {
        let part = |i: i64| call("split_part", &[text("a,b,,d"), text(","), Int64(i)]);
        assert_eq!(
            (part(2), part(3), part(4), part(5)),
            (text("b"), text(""), text("d"), Null)
        );
        assert!(error("split_part", &[text("a"), text(","), Int64(0)]).contains("index 0"));
        let index = |n: i64| call("substring_index", &[text("a.b.c"), text("."), Int64(n)]);
        assert_eq!(
            (index(2), index(-1), index(0), index(7)),
            (text("a.b"), text("c"), text(""), text("a.b.c"))
        );
    }

    #[test]
    fn padding_and_trimming() {
        assert_eq!(call("lpad", &[text("hello"), Int64(2), text("x")]), text("he"));
        assert_eq!(call("rpad", &[text("é"), Int64(4), text("ab")]), text("éaba"));
        assert!(error("lpad", &[text("a"), Int64(1 << 40), text("x")]).contains("lpad to 1099511627776"));
        assert_eq!(call("trim", &[text("xyhixy"), text("yx")]), text("hi"));
        assert_eq!(call("rtrim", &[text(" hi\t ")]), text(" hi"));
    }

    #[test]
    fn nulls_and_joins() {
        assert_eq!(call("concat_ws", &[text("-"), text("a"), Null, text("b")]), text("a-b"));
        assert_eq!(call("concat_ws", &[Null, text("a")]), Null);
        assert_eq!(call("translate", &[text("abcd"), text("abc"), text("AB")]), text("ABd"));
        assert_eq!(call("soundex", &[text("Tymczak")]), text("T522"));
        assert_eq!(call("replace", &[text("aXbX"), text("X")]), text("ab"));
    }
}
