//! Text: finding a text in another, and how alike two texts are.

use super::arguments::Values;
use super::string::chars_end;
use super::typing::{BIGINT, BOOLEAN, STRING, exactly, overload};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::DataType;
use crate::vector::Column;
use arrow::array::StringViewArray;
use arrow::datatypes::Int64Type;
use memchr::memmem::Finder;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    // Searching.
    function("strpos", |t, _| strpos_type(t), |a| strpos(a, 0, 1))
        .aliases(&["instr", "position"])
        .doc(
            "strpos(string, substring[, nth])",
            "Where the substring starts, for the nth time; 0 when it does not occur.",
            "SELECT strpos('hello', 'l')",
            "3",
        ),
    function("locate", |t, _| strpos_type(t), locate)
        .aliases(&["charindex"])
        .doc(
            "locate(substring, string[, start])",
            "Where the substring starts, at or after a position; 0 when it does not occur.",
            "SELECT locate('l', 'hello', 4)",
            "4",
        ),
    function(
        "starts_with",
        |t, _| exactly(t, &[STRING, STRING], BOOLEAN),
        |a| tested(a, |s, p| s.starts_with(p)),
    )
    .aliases(&["startswith"])
    .doc(
        "starts_with(string, prefix)",
        "Whether the text starts so.",
        "SELECT starts_with('hello', 'he')",
        "true",
    ),
    function(
        "ends_with",
        |t, _| exactly(t, &[STRING, STRING], BOOLEAN),
        |a| tested(a, |s, p| s.ends_with(p)),
    )
    .aliases(&["endswith"])
    .doc(
        "ends_with(string, suffix)",
        "Whether the text ends so.",
        "SELECT ends_with('hello', 'lo')",
        "true",
    ),
    function(
        "find_in_set",
        |t, _| exactly(t, &[STRING, STRING], BIGINT),
        |a| {
            let (item, list) = (a.strings_of(0)?, a.strings_of(1)?);
            a.primitives::<Int64Type>(|row| {
                let item = item.get(row);
                let position = list
                    .get(row)
                    .split(',')
                    .position(|part| part == item && !item.contains(','));
                Ok(Some(position.map_or(0, |p| p as i64 + 1)))
            })
        },
    )
    .doc(
        "find_in_set(string, list)",
        "The position of an item in a comma-separated list; 0 when it is not there.",
        "SELECT find_in_set('b', 'a,b,c')",
        "2",
    ),
    // Likeness.
    function(
        "levenshtein_distance",
        |t, _| exactly(t, &[STRING, STRING], BIGINT),
        |a| {
            let (x, y) = (a.strings_of(0)?, a.strings_of(1)?);
            a.primitives::<Int64Type>(|row| Ok(Some(strsim::levenshtein(x.get(row), y.get(row)) as i64)))
        },
    )
    .aliases(&["levenshtein"])
    .doc(
        "levenshtein_distance(a, b)",
        "How many characters must be inserted, removed or changed.",
        "SELECT levenshtein_distance('kitten', 'sitting')",
        "3",
    ),
    function(
        "hamming_distance",
        |t, _| exactly(t, &[STRING, STRING], BIGINT),
        hamming_distance,
    )
    .doc(
        "hamming_distance(a, b)",
        "In how many places two texts of one length differ.",
        "SELECT hamming_distance('karolin', 'kathrin')",
        "3",
    ),
    function(
        "soundex",
        |t, _| exactly(t, &[STRING], STRING),
        |a| {
            let s = a.strings_of(0)?;
            a.strings(|row, out| Ok(Some(soundex(s.get(row), out))))
        },
    )
    .doc(
        "soundex(string)",
        "The code of how an English name sounds.",
        "SELECT soundex('Robert')",
        "R163",
    ),
    function("luhn_check", |t, _| exactly(t, &[STRING], BOOLEAN), luhn_check).doc(
        "luhn_check(string)",
        "Whether digits pass the Luhn check, as those of payment cards do.",
        "SELECT luhn_check('79927398713')",
        "true",
    ),
];

fn strpos_type(found: &[DataType]) -> Option<Signature> {
    overload(
        found,
        &[(&[STRING, STRING], BIGINT), (&[STRING, STRING, BIGINT], BIGINT)],
    )
}

/// The position of the character at byte `at`.
fn position_of(s: &str, at: usize) -> i64 {
    s.get(..at).map_or(0, |before| before.chars().count() as i64 + 1)
}

/// Finds a text in others; prepared once when it is constant.
struct Needle<'a> {
    values: &'a Values<StringViewArray>,
    prepared: Option<Finder<'a>>,
}

impl<'a> Needle<'a> {
    fn new(values: &'a Values<StringViewArray>) -> Self {
        let prepared = (values.is_constant() && !values.is_null(0)).then(|| Finder::new(values.get(0)));
        Self { values, prepared }
    }

    fn find(&self, row: usize, s: &str) -> Option<usize> {
        match &self.prepared {
            Some(finder) => finder.find(s.as_bytes()),
            None => s.find(self.values.get(row)),
        }
    }
}

fn strpos(a: &Arguments, text: usize, substring: usize) -> Result<Column> {
    let (s, substring) = (a.strings_of(text)?, a.strings_of(substring)?);
    if a.count() == 2 {
        let needle = Needle::new(&substring);
        return a.primitives::<Int64Type>(|row| {
            let s = s.get(row);
            Ok(Some(needle.find(row, s).map_or(0, |at| position_of(s, at))))
        });
    }
    let nth = a.integers_of(2)?;
    a.primitives::<Int64Type>(|row| {
        let (s, sub, nth) = (s.get(row), substring.get(row), nth.get(row));
        let skipped = usize::try_from(nth.unsigned_abs().saturating_sub(1)).unwrap_or(usize::MAX);
        let at = match nth {
            0 => {
                return Err(Error::execution(
                    "strpos for the 0th time, expected 1 or more, or -1 or less",
                ));
            }
            _ if sub.is_empty() => Some(0),
            1.. => occurrences(s, sub).nth(skipped),
            _ => s.rmatch_indices(sub).nth(skipped).map(|(at, _)| at),
        };
        Ok(Some(at.map_or(0, |at| position_of(s, at))))
    })
}

/// Where `sub` starts in `s`; occurrences may overlap.
fn occurrences<'a>(s: &'a str, sub: &'a str) -> impl Iterator<Item = usize> + 'a {
    let step = sub.chars().next().map_or(1, char::len_utf8);
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + s.get(from..)?.find(sub)?;
        from = at + step;
        Some(at)
    })
}

fn locate(a: &Arguments) -> Result<Column> {
    if a.count() == 2 {
        return strpos(a, 1, 0);
    }
    let (sub, s, start) = (a.strings_of(0)?, a.strings_of(1)?, a.integers_of(2)?);
    a.primitives::<Int64Type>(|row| {
        let (s, start) = (s.get(row), start.get(row));
        if start < 1 {
            return Ok(Some(0));
        }
        let from = chars_end(s, start - 1);
        let found = s.get(from..).and_then(|rest| rest.find(sub.get(row)));
        Ok(Some(found.map_or(0, |at| position_of(s, from + at))))
    })
}

fn tested(a: &Arguments, f: impl Fn(&str, &str) -> bool) -> Result<Column> {
    let (s, other) = (a.strings_of(0)?, a.strings_of(1)?);
    a.booleans(|row| Ok(Some(f(s.get(row), other.get(row)))))
}

/// Whether text holds a substring.
pub(super) fn contains(a: &Arguments) -> Result<Column> {
    let (s, substring) = (a.strings_of(0)?, a.strings_of(1)?);
    let needle = Needle::new(&substring);
    a.booleans(|row| Ok(Some(needle.find(row, s.get(row)).is_some())))
}

// ---- Likeness ----

fn hamming_distance(a: &Arguments) -> Result<Column> {
    let (x, y) = (a.strings_of(0)?, a.strings_of(1)?);
    a.primitives::<Int64Type>(|row| {
        strsim::hamming(x.get(row), y.get(row))
            .map(|d| Some(d as i64))
            .map_err(|_| {
                Error::execution(format!(
                    "hamming_distance('{}', '{}'): expected two texts of one length",
                    x.get(row),
                    y.get(row)
                ))
            })
    })
}

/// American Soundex: the first letter and three digits for the consonants after it.
fn soundex(s: &str, out: &mut String) {
    let digit = |c: char| match c {
        'B' | 'F' | 'P' | 'V' => '1',
        'C' | 'G' | 'J' | 'K' | 'Q' | 'S' | 'X' | 'Z' => '2',
        'D' | 'T' => '3',
        'L' => '4',
        'M' | 'N' => '5',
        'R' => '6',
        _ => '0',
    };
    let mut letters = s
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|c| c.to_ascii_uppercase());
    let Some(first) = letters.next() else { return };
    out.push(first);
    let mut last = digit(first);
    for c in letters.filter(|c| !matches!(c, 'H' | 'W')) {
        let code = digit(c);
        if code != '0' && code != last {
            out.push(code);
        }
        last = code;
        if out.len() == 4 {
            return;
        }
    }
    while out.len() < 4 {
        out.push('0');
    }
}

fn luhn_check(a: &Arguments) -> Result<Column> {
    let s = a.strings_of(0)?;
    a.booleans(|row| {
        let s = s.get(row);
        let mut sum = 0;
        for (i, c) in s.chars().rev().enumerate() {
            let digit =
                (c.to_digit(10)).ok_or_else(|| Error::execution(format!("luhn_check('{s}'): expected digits")))?;
            sum += match (i % 2, digit) {
                (0, d) => d,
                (_, d) if d > 4 => 2 * d - 9,
                (_, d) => 2 * d,
            };
        }
        Ok(Some(!s.is_empty() && sum % 10 == 0))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, text};
    use crate::types::ScalarValue::Int64;

    #[test]
    fn positions() {
        assert_eq!(call("strpos", &[text("öä hello"), text("l")]), Int64(6));
        assert_eq!(call("strpos", &[text("hello"), text("l"), Int64(2)]), Int64(4));
        assert_eq!(call("strpos", &[text("hello"), text("l"), Int64(-2)]), Int64(3));
        assert_eq!(call("strpos", &[text("hello"), text("x")]), Int64(0));
        assert_eq!(call("locate", &[text("l"), text("hello"), Int64(4)]), Int64(4));
    }
}
