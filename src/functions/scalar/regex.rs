//! Regular expressions, in the syntax of the regex crate, which is Java's without look-around and back-references.

use super::typing::{BIGINT, BOOLEAN, STRING, exactly, overload};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, array_of};
use crate::vector::Column;
use arrow::array::*;
use arrow::datatypes::Int64Type;
use regex::{Captures, Regex};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    function(
        "regexp_like",
        |t, _| exactly(t, &[STRING, STRING], BOOLEAN),
        |a| {
            let (s, pattern) = (a.strings_of(0)?, Pattern::of(a)?);
            a.booleans(|row| Ok(Some(pattern.get(row)?.is_match(s.get(row)))))
        },
    )
    .aliases(&["rlike", "regexp"])
    .doc(
        "regexp_like(string, pattern)",
        "Whether the pattern matches some part.",
        "SELECT regexp_like('1a 2b', '\\d+b')",
        "true",
    ),
    function("regexp_extract", |t, _| extract_type(t, STRING), regexp_extract)
        .aliases(&["regexp_substr"])
        .doc(
            "regexp_extract(string, pattern[, group])",
            "The first match, or a group of it; NULL when there is none.",
            "SELECT regexp_extract('1a 2b', '(\\d+)([a-z]+)', 2)",
            "a",
        ),
    function(
        "regexp_extract_all",
        |t, _| extract_type(t, array_of(STRING)),
        extract_all,
    )
    .doc(
        "regexp_extract_all(string, pattern[, group])",
        "All matches, or a group of each.",
        "SELECT regexp_extract_all('1a 2b', '\\d+')",
        "[1, 2]",
    ),
    function("regexp_replace", |t, _| replace_type(t), replace).doc(
        "regexp_replace(string, pattern[, replacement])",
        "Every match removed, or replaced by a text in which $1 or ${name} stands for a group.",
        "SELECT regexp_replace('1a 2b', '(\\d)([a-z])', '$2$1')",
        "a1 b2",
    ),
    function(
        "regexp_split",
        |t, _| exactly(t, &[STRING, STRING], array_of(STRING)),
        |a| {
            let (s, pattern) = (a.strings_of(0)?, Pattern::of(a)?);
            a.string_lists(|row, out| {
                pattern
                    .get(row)?
                    .split(s.get(row))
                    .try_for_each(|part| out.try_append_value(part))?;
                Ok(Some(()))
            })
        },
    )
    .doc(
        "regexp_split(string, pattern)",
        "The parts between matches.",
        "SELECT regexp_split('1, 2;3', '[,;] *')",
        "[1, 2, 3]",
    ),
    function(
        "regexp_count",
        |t, _| exactly(t, &[STRING, STRING], BIGINT),
        |a| {
            let (s, pattern) = (a.strings_of(0)?, Pattern::of(a)?);
            a.primitives::<Int64Type>(|row| Ok(Some(pattern.get(row)?.find_iter(s.get(row)).count() as i64)))
        },
    )
    .doc(
        "regexp_count(string, pattern)",
        "How often the pattern matches.",
        "SELECT regexp_count('1a 2b 14m', '\\d')",
        "4",
    ),
    function("regexp_position", |t, _| position_type(t), |a| position(a, -1)).doc(
        "regexp_position(string, pattern[, start[, occurrence]])",
        "Where a match starts; -1 when there is none.",
        "SELECT regexp_position('1a 2b', '[a-z]', 3)",
        "5",
    ),
    function("regexp_instr", |t, _| position_type(t), |a| position(a, 0)).doc(
        "regexp_instr(string, pattern[, start[, occurrence]])",
        "Where a match starts; 0 when there is none.",
        "SELECT regexp_instr('1a 2b', 'x')",
        "0",
    ),
];

/// The pattern in argument 1, compiled once when it is constant.
pub(super) enum Pattern {
    Constant(Rc<Regex>),
    Varying(super::arguments::Values<StringViewArray>),
}

impl Pattern {
    pub fn of(a: &Arguments) -> Result<Self> {
        Ok(match a.constant_string(1)? {
            Some(pattern) => Self::Constant(compile(&pattern)?),
            None => Self::Varying(a.strings_of(1)?),
        })
    }

    pub fn get(&self, row: usize) -> Result<Rc<Regex>> {
        match self {
            Self::Constant(regex) => Ok(regex.clone()),
            Self::Varying(patterns) => compile(patterns.get(row)),
        }
    }
}

/// Compiles a pattern; the patterns used last are kept by each thread, since every batch asks again. They are shared
/// and not cloned, because a cloned `Regex` starts with empty caches.
fn compile(pattern: &str) -> Result<Rc<Regex>> {
    const KEPT: usize = 16;
    thread_local! {
        static RECENT: RefCell<Vec<Rc<Regex>>> = const { RefCell::new(vec![]) };
    }
    RECENT.with_borrow_mut(|recent| {
        if let Some(known) = recent.iter().find(|regex| regex.as_str() == pattern) {
            return Ok(known.clone());
        }
        let regex = Rc::new(Regex::new(pattern).map_err(|e| bad_pattern(pattern, &e))?);
        if recent.len() == KEPT {
            recent.remove(0);
        }
        recent.push(regex.clone());
        Ok(regex)
    })
}

fn bad_pattern(pattern: &str, error: &regex::Error) -> Error {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    let error = Error::execution(format!("\"{pattern}\" is not a regular expression: {reason}"));
    match reason.contains("look-around") || reason.contains("backreference") {
        true => error.with_hint("look-around and back-references are not supported; use a group and regexp_extract"),
        false => error,
    }
}

fn extract_type(found: &[DataType], result: DataType) -> Option<Signature> {
    overload(
        found,
        &[(&[STRING, STRING], result.clone()), (&[STRING, STRING, BIGINT], result)],
    )
}

/// The number of the group in argument 2, checked against the pattern; 0, the whole match, without that argument.
fn group_of(a: &Arguments) -> Result<impl Fn(usize, &Regex) -> Result<usize>> {
    let group = (a.count() > 2).then(|| a.integers_of(2)).transpose()?;
    Ok(move |row: usize, regex: &Regex| {
        let wanted = group.as_ref().map_or(0, |g| g.get(row));
        match usize::try_from(wanted) {
            Ok(group) if group < regex.captures_len() => Ok(group),
            _ => Err(Error::execution(format!(
                "group {wanted} of \"{}\", which has {} groups",
                regex.as_str(),
                regex.captures_len() - 1
            ))),
        }
    })
}

fn regexp_extract(a: &Arguments) -> Result<Column> {
    let (pattern, group) = (Pattern::of(a)?, group_of(a)?);
    a.pieces(|row, s| {
        let regex = pattern.get(row)?;
        Ok(match group(row, &regex)? {
            0 => regex.find(s).map(|m| m.range()),
            group => regex.captures(s).and_then(|c| c.get(group)).map(|m| m.range()),
        })
    })
}

fn extract_all(a: &Arguments) -> Result<Column> {
    let (s, pattern, group) = (a.strings_of(0)?, Pattern::of(a)?, group_of(a)?);
    a.string_lists(|row, out| {
        let regex = pattern.get(row)?;
        let group = group(row, &regex)?;
        for captures in regex.captures_iter(s.get(row)) {
            match captures.get(group) {
                Some(m) => out.try_append_value(m.as_str())?,
                None => out.append_null(),
            }
        }
        Ok(Some(()))
    })
}

fn replace_type(found: &[DataType]) -> Option<Signature> {
    overload(
        found,
        &[(&[STRING, STRING], STRING), (&[STRING, STRING, STRING], STRING)],
    )
}

fn replace(a: &Arguments) -> Result<Column> {
    let (s, pattern) = (a.strings_of(0)?, Pattern::of(a)?);
    let replacement = (a.count() > 2).then(|| a.strings_of(2)).transpose()?;
    let constant = match (&pattern, a.constant_string(2)?) {
        (Pattern::Constant(regex), Some(text)) => Some(Template::parse(&text, regex)?),
        _ => None,
    };
    a.strings(|row, out| {
        let (s, regex) = (s.get(row), pattern.get(row)?);
        let parsed;
        let template = match (&constant, &replacement) {
            (Some(template), _) => template,
            (None, replacement) => {
                parsed = Template::parse(replacement.as_ref().map_or("", |r| r.get(row)), &regex)?;
                &parsed
            }
        };
        template.replace_all(&regex, s, out);
        Ok(Some(()))
    })
}

/// A replacement in Java's syntax: `$1`, `${name}`, and a backslash before a character that means itself.
struct Template(Vec<Part>);

enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    fn parse(text: &str, regex: &Regex) -> Result<Self> {
        let fail = |what: String| {
            Error::execution(format!("replacement \"{text}\" for \"{}\": {what}", regex.as_str()))
                .with_hint("write \\$ for a dollar sign")
        };
        let mut parts = vec![];
        let mut literal = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let group = match c {
                '\\' => {
                    literal.push(rest.next().ok_or_else(|| fail("ends with a backslash".into()))?);
                    continue;
                }
                '$' if rest.next_if_eq(&'{').is_some() => {
                    let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                    regex
                        .capture_names()
                        .position(|n| n == Some(name.as_str()))
                        .ok_or_else(|| fail(format!("there is no group {{{name}}}")))?
                }
                '$' => {
                    let digit = |c: Option<&char>| c.and_then(|c| c.to_digit(10)).map(|d| d as usize);
                    let mut number = digit(rest.peek()).ok_or_else(|| fail("a group must follow $".into()))?;
                    rest.next();
                    if number >= regex.captures_len() {
                        return Err(fail(format!("there is no group {number}")));
                    }
                    // Further digits belong to the number as long as such a group exists.
                    while let Some(longer) = digit(rest.peek()).map(|d| number * 10 + d) {
                        if longer >= regex.captures_len() {
                            break;
                        }
                        number = longer;
                        rest.next();
                    }
                    number
                }
                other => {
                    literal.push(other);
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Group(group));
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    fn replace_all(&self, regex: &Regex, s: &str, out: &mut String) {
        let mut end = 0;
        let mut before = |range: Range<usize>, out: &mut String| {
            out.push_str(s.get(end..range.start).unwrap_or_default());
            end = range.end;
        };
        if self.0.iter().all(|part| matches!(part, Part::Text(_))) {
            for found in regex.find_iter(s) {
                before(found.range(), out);
                self.push(None, out);
            }
        } else {
            for captures in regex.captures_iter(s) {
                before(captures.get_match().range(), out);
                self.push(Some(&captures), out);
            }
        }
        out.push_str(s.get(end..).unwrap_or_default());
    }

    fn push(&self, captures: Option<&Captures>, out: &mut String) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(group) => {
                    out.push_str(captures.and_then(|c| c.get(*group)).map_or("", |m| m.as_str()));
                }
            }
        }
    }
}

fn position_type(found: &[DataType]) -> Option<Signature> {
    overload(
        found,
        &[
            (&[STRING, STRING], BIGINT),
            (&[STRING, STRING, BIGINT], BIGINT),
            (&[STRING, STRING, BIGINT, BIGINT], BIGINT),
        ],
    )
}

fn position(a: &Arguments, missing: i64) -> Result<Column> {
    let (s, pattern) = (a.strings_of(0)?, Pattern::of(a)?);
    let start = (a.count() > 2).then(|| a.integers_of(2)).transpose()?;
    let occurrence = (a.count() > 3).then(|| a.integers_of(3)).transpose()?;
    a.primitives::<Int64Type>(|row| {
        let s = s.get(row);
        let start = start.as_ref().map_or(1, |v| v.get(row));
        let occurrence = occurrence.as_ref().map_or(1, |v| v.get(row));
        let (Ok(skipped), Ok(nth)) = (usize::try_from(start - 1), usize::try_from(occurrence - 1)) else {
            return Err(Error::execution(format!(
                "a match from position {start}, occurrence {occurrence}: both count from 1"
            )));
        };
        let Some((from, _)) = s.char_indices().nth(skipped) else {
            return Ok(Some(missing));
        };
        let regex = pattern.get(row)?;
        let found = s.get(from..).and_then(|rest| regex.find_iter(rest).nth(nth));
        let characters = |m: regex::Match| {
            s.get(..from + m.start())
                .map_or(0, |before| before.chars().count() as i64)
        };
        Ok(Some(found.map_or(missing, |m| characters(m) + 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use crate::types::ScalarValue::{Int32, Int64, Null};

    #[test]
    fn groups() {
        let extract = |s: &str, p: &str| call("regexp_extract", &[text(s), text(p)]);
        assert_eq!(extract("1a", "([0-9]+)([a-z])"), text("1a"));
        assert_eq!(extract("x", "[0-9]"), Null);
        assert_eq!(call("regexp_extract", &[text("1a"), text("(x)?1"), Int32(1)]), Null);
        assert!(error("regexp_extract", &[text("1a"), text("1"), Int32(1)]).contains("which has 0 groups"));
        assert!(error("regexp_like", &[text("1a"), text("(")]).contains("\"(\" is not a regular expression"));
        assert!(error("regexp_like", &[text("1a"), text("a(?=b)")]).contains("hint"));
    }

    #[test]
    fn replacements() {
        let replace = |s: &str, p: &str, r: &str| call("regexp_replace", &[text(s), text(p), text(r)]);
        assert_eq!(replace("1a 2b", "[0-9]", "#"), text("#a #b"));
        assert_eq!(replace("1a 2b", "([0-9])([a-z])", "$2$1"), text("a1 b2"));
        assert_eq!(replace("1a", "([0-9])", "$12"), text("12a"));
        assert_eq!(replace("1a", "(?<n>[0-9])", "<${n}>\\$"), text("<1>$a"));
        assert_eq!(call("regexp_replace", &[text("1a2"), text("[0-9]")]), text("a"));
        assert!(error("regexp_replace", &[text("a"), text("a"), text("$1")]).contains("no group 1"));
    }

    #[test]
    fn positions() {
        assert_eq!(call("regexp_position", &[text("é1 2"), text("[0-9]")]), Int64(2));
        assert_eq!(
            call("regexp_position", &[text("é1 2"), text("[0-9]"), Int32(1), Int32(2)]),
            Int64(4)
        );
        assert_eq!(call("regexp_position", &[text("a"), text("[0-9]")]), Int64(-1));
        assert_eq!(call("regexp_count", &[text("aXbX"), text("X")]), Int64(2));
    }
}
