//! `LIKE` and `ILIKE`: patterns without `_` become searches for their literal pieces, the rest a regular expression.

use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringViewArray};
use arrow::buffer::BooleanBuffer;
use memchr::memmem::Finder;
use std::sync::Arc;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct LikeMatcher(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// `%`
    Anything,
    /// `abc`
    Exact(String),
    /// `abc%`
    Prefix(String),
    /// `%abc`
    Suffix(String),
    /// `%abc%`
    Contains(Box<Finder<'static>>),
    /// `a%b%c`: prefix, pieces in order, suffix.
    Chain(String, Vec<Finder<'static>>, String),
    Regex(regex::Regex),
}

/// One character of a pattern after escapes are resolved.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    Many,
    One,
    Char(char),
}

impl LikeMatcher {
    /// # Errors
    /// An escape character that is not followed by `%`, `_` or itself.
    pub fn new(pattern: &str, escape: Option<char>, case_insensitive: bool) -> Result<Self> {
        let tokens = tokens(pattern, escape)?;
        if case_insensitive || tokens.contains(&Token::One) {
            return Ok(Self(Kind::Regex(regex_of(&tokens, case_insensitive)?)));
        }
        let mut pieces: Vec<String> = tokens.split(|t| *t == Token::Many).map(text).collect();
        let Some(suffix) = pieces.pop() else {
            return Ok(Self(Kind::Exact(String::new())));
        };
        if pieces.is_empty() {
            return Ok(Self(Kind::Exact(suffix)));
        }
        let prefix = pieces.remove(0);
        pieces.retain(|p| !p.is_empty());
        let finder = |p: &String| Finder::new(p.as_bytes()).into_owned();
        Ok(Self(match (prefix.is_empty(), pieces.as_slice(), suffix.is_empty()) {
            (true, [], true) => Kind::Anything,
            (false, [], true) => Kind::Prefix(prefix),
            (true, [], false) => Kind::Suffix(suffix),
            (true, [piece], true) => Kind::Contains(Box::new(finder(piece))),
            _ => Kind::Chain(prefix, pieces.iter().map(finder).collect(), suffix),
        }))
    }

    pub fn matches(&self, value: &str) -> bool {
        match &self.0 {
            Kind::Anything => true,
            Kind::Exact(text) => value == text,
            Kind::Prefix(text) => value.starts_with(text.as_str()),
            Kind::Suffix(text) => value.ends_with(text.as_str()),
            Kind::Contains(finder) => finder.find(value.as_bytes()).is_some(),
            Kind::Chain(prefix, pieces, suffix) => matches_chain(value.as_bytes(), prefix, pieces, suffix),
            Kind::Regex(regex) => regex.is_match(value),
        }
    }

    /// Matches every row; NULL stays NULL.
    pub fn matches_array(&self, values: &StringViewArray, negated: bool) -> BooleanArray {
        let bits = match &self.0 {
            Kind::Anything => BooleanBuffer::new_set(values.len()),
            Kind::Prefix(text) => rows(values, |v| v.starts_with(text.as_str())),
            Kind::Contains(finder) => rows(values, |v| finder.find(v.as_bytes()).is_some()),
            Kind::Chain(prefix, pieces, suffix) => {
                rows(values, |v| matches_chain(v.as_bytes(), prefix, pieces, suffix))
            }
            _ => rows(values, |v| self.matches(v)),
        };
        BooleanArray::new(if negated { !&bits } else { bits }, values.nulls().cloned())
    }
}

fn rows(values: &StringViewArray, f: impl Fn(&str) -> bool) -> BooleanBuffer {
    BooleanBuffer::collect_bool(values.len(), |i| f(values.value(i)))
}

fn matches_chain(value: &[u8], prefix: &str, pieces: &[Finder<'static>], suffix: &str) -> bool {
    // An empty `String` points nowhere, and comparing zero bytes there with masked vector loads costs a hundred times
    // what comparing some bytes costs.
    let mut rest = value;
    if !prefix.is_empty() {
        match rest.strip_prefix(prefix.as_bytes()) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    if !suffix.is_empty() {
        match rest.strip_suffix(suffix.as_bytes()) {
            Some(before) => rest = before,
            None => return false,
        }
    }
    for piece in pieces {
        let found = piece.find(rest).and_then(|at| rest.get(at + piece.needle().len()..));
        match found {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

fn tokens(pattern: &str, escape: Option<char>) -> Result<Vec<Token>> {
    let mut tokens = vec![];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            c if Some(c) == escape => match chars.next() {
                Some(next) if next == '%' || next == '_' || Some(next) == escape => Token::Char(next),
                _ => {
                    return Err(Error::execution(format!(
                        "escape character '{c}' in LIKE pattern '{pattern}' must be followed by '%', '_' or itself"
                    )));
                }
            },
            '%' => Token::Many,
            '_' => Token::One,
            c => Token::Char(c),
        });
    }
    Ok(tokens)
}

fn text(tokens: &[Token]) -> String {
    tokens
        .iter()
        .filter_map(|t| if let Token::Char(c) = t { Some(*c) } else { None })
        .collect()
}

fn regex_of(tokens: &[Token], case_insensitive: bool) -> Result<regex::Regex> {
    let mut source = String::from(if case_insensitive { "(?si)^" } else { "(?s)^" });
    for token in tokens {
        match token {
            Token::Many => source.push_str(".*"),
            Token::One => source.push('.'),
            Token::Char(c) => source.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    source.push('$');
    regex::RegexBuilder::new(&source)
        .size_limit(64 << 20)
        .build()
        .map_err(|e| Error::execution(format!("the LIKE pattern is too large: {e}")))
}

/// The literal text that every match starts with, and whether the pattern is nothing but that text followed by `%`.
pub fn literal_prefix(pattern: &str, escape: Option<char>) -> Option<(String, bool)> {
    let tokens = tokens(pattern, escape).ok()?;
    let end = tokens
        .iter()
        .position(|t| !matches!(t, Token::Char(_)))
        .unwrap_or(tokens.len());
    let (head, tail) = tokens.split_at(end);
    Some((text(head), tail == [Token::Many]))
}

/// `value LIKE pattern` row by row, for patterns that are not constant; equal neighbours are compiled once.
pub fn like_rows(
    values: &ArrayRef,
    patterns: &ArrayRef,
    escape: Option<char>,
    case_insensitive: bool,
    negated: bool,
) -> Result<BooleanArray> {
    let (values, patterns) = (values.as_string_view(), patterns.as_string_view());
    let mut last: Option<(Arc<str>, LikeMatcher)> = None;
    values
        .iter()
        .zip(patterns)
        .map(|(value, pattern)| {
            let (Some(value), Some(pattern)) = (value, pattern) else {
                return Ok(None);
            };
            if last.as_ref().is_none_or(|(text, _)| text.as_ref() != pattern) {
                last = Some((pattern.into(), LikeMatcher::new(pattern, escape, case_insensitive)?));
            }
            Ok(last.as_ref().map(|(_, matcher)| matcher.matches(value) != negated))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The textbook recursion.
    fn reference(value: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some(('%', rest)) => (0..=value.len()).any(|i| reference(&value[i..], rest)),
            Some(('_', rest)) => !value.is_empty() && reference(&value[1..], rest),
            Some((c, rest)) => value.first() == Some(c) && reference(&value[1..], rest),
        }
    }

    #[test]
    fn every_specialisation_agrees_with_the_definition() {
        let alphabet = ['a', 'b', '%', '_', 'é'];
        let mut patterns = vec![String::new()];
        for _ in 0..4 {
            let longer: Vec<String> = patterns
                .iter()
                .flat_map(|p| alphabet.iter().map(move |c| format!("{p}{c}")))
                .collect();
            patterns.extend(longer);
            patterns.dedup();
        }
        let values = ["", "a", "b", "ab", "aba", "abab", "bb", "é", "aéb", "aab\nb", "%"];
        for pattern in patterns.iter().step_by(3) {
            let matcher = LikeMatcher::new(pattern, None, false).unwrap();
            for value in values {
                let (v, p): (Vec<char>, Vec<char>) = (value.chars().collect(), pattern.chars().collect());
                assert_eq!(matcher.matches(value), reference(&v, &p), "'{value}' LIKE '{pattern}'");
            }
        }
    }

    #[test]
    fn escapes_and_case() {
        let like = |v: &str, p: &str| LikeMatcher::new(p, Some('\\'), false).unwrap().matches(v);
        assert!(like("50%", "50\\%"));
        assert!(!like("50x", "50\\%"));
        assert!(like("a_b\\", "a\\_b\\\\"));
        assert!(LikeMatcher::new("a\\b", Some('\\'), false).is_err());
        assert!(LikeMatcher::new("ÉT%", None, true).unwrap().matches("été"));
        assert_eq!(literal_prefix("ab\\%c%", Some('\\')), Some(("ab%c".into(), true)));
        assert_eq!(literal_prefix("ab_c%", None), Some(("ab".into(), false)));
        assert_eq!(literal_prefix("ab", None), Some(("ab".into(), false)));
    }
}
