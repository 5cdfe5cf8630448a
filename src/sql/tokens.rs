//! Text → tokens → statements: where each statement begins, and whether the text is complete.

use super::dialect::QueryDialect;
use crate::error::{Error, Position, Result, Span};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError, Whitespace};

/// Operators that one statement may have; more would make trees too deep to handle.
const MAX_OPERATORS: usize = 200_000;

/// One statement of a text, without its semicolon.
#[derive(Debug, Clone)]
pub struct StatementText {
    /// From the first token to the last.
    pub text: String,
    /// Where the statement begins in the whole text.
    pub start: Position,
    /// Where the statement ends: just after its last character.
    pub end: Position,
    /// Tokens with positions in the whole text.
    pub(super) tokens: Vec<TokenWithSpan>,
}

/// Splits a text at its semicolons; strings, quoted names and comments may contain semicolons. Empty statements are
/// left out.
///
/// # Errors
/// `Syntax` when a string, a quoted name or a comment does not end.
pub fn split_statements(text: &str) -> Result<Vec<StatementText>> {
    let tokens = tokenize(text).map_err(|e| tokenizer_error(&e))?;
    let offsets = LineOffsets::new(text);
    let mut statements = vec![];
    for group in tokens.split(|t| t.token == Token::SemiColon) {
        let significant = |t: &&TokenWithSpan| !matches!(t.token, Token::Whitespace(_));
        let (Some(first), Some(last)) = (group.iter().find(significant), group.iter().rev().find(significant)) else {
            continue;
        };
        let hint = |t: &&TokenWithSpan| matches!(&t.token, Token::Whitespace(Whitespace::MultiLineComment(c)) if c.starts_with('+'));
        statements.push(StatementText {
            text: offsets.slice(first.span.start, last.span.end).to_string(),
            start: position(first.span.start),
            end: position(last.span.end),
            tokens: group.iter().filter(|t| significant(t) || hint(t)).cloned().collect(),
        });
    }
    Ok(statements)
}

/// Whether a reader of lines may run the text: every statement in it ends with a semicolon, or the text can never
/// become right by adding lines.
pub fn is_complete(text: &str) -> bool {
    match tokenize(text) {
        Ok(tokens) => tokens
            .iter()
            .rev()
            .find(|t| !matches!(t.token, Token::Whitespace(_)))
            .is_none_or(|t| t.token == Token::SemiColon),
        Err(e) => !is_unterminated(&e),
    }
}

fn is_unterminated(error: &TokenizerError) -> bool {
    let m = &error.message;
    m.contains("Unterminated") || m.contains("EOF")
}

fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>, TokenizerError> {
    Tokenizer::new(&QueryDialect, text).tokenize_with_location()
}

fn tokenizer_error(error: &TokenizerError) -> Error {
    let start = position(error.location);
    let end = Position {
        column: start.column + 1,
        ..start
    };
    let message = match error.message.as_str() {
        m if m.contains("Unterminated") => "string does not end".to_string(),
        m if m.contains("comment") => "comment does not end".to_string(),
        m if m.contains("close delimiter") => "quoted name does not end".to_string(),
        other => other.to_string(),
    };
    Error::syntax(format!("syntax error: {message}")).with_span(Span { start, end })
}

/// Refuses statements whose trees would be too deep.
pub(super) fn check_size(tokens: &[TokenWithSpan]) -> Result<()> {
    use sqlparser::keywords::Keyword::{AND, EXCEPT, INTERSECT, JOIN, NOT, OR, UNION};
    let operators = tokens.iter().filter(|t| match &t.token {
        Token::Word(w) => matches!(w.keyword, AND | OR | NOT | UNION | INTERSECT | EXCEPT | JOIN),
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat => true,
        Token::Eq | Token::Lt | Token::Gt | Token::LBracket | Token::Period | Token::Pipe => true,
        _ => false,
    });
    match operators.count() {
        n if n > MAX_OPERATORS => Err(Error::new(
            crate::ErrorKind::ResourcesExhausted,
            format!("the statement has {n} operators, more than {MAX_OPERATORS}"),
        )
        .with_hint("use an IN list or a join with a table of values")),
        _ => Ok(()),
    }
}

pub(super) fn position(location: Location) -> Position {
    Position {
        line: location.line,
        column: location.column,
    }
}

pub(super) fn span(span: sqlparser::tokenizer::Span) -> Span {
    Span {
        start: position(span.start),
        end: position(span.end),
    }
}

/// Byte offsets of lines, to cut pieces out of a text by line and column.
struct LineOffsets<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> LineOffsets<'a> {
    fn new(text: &'a str) -> Self {
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(i, _)| i + 1))
            .collect();
        Self { text, lines }
    }

    fn offset(&self, location: Location) -> usize {
        let Some(start) = self.lines.get((location.line as usize).saturating_sub(1)) else {
            return self.text.len();
        };
        let line = self.text.get(*start..).unwrap_or_default();
        let column = (location.column as usize).saturating_sub(1);
        line.char_indices()
            .nth(column)
            .map_or(self.text.len(), |(i, _)| start + i)
    }

    fn slice(&self, from: Location, to: Location) -> &'a str {
        self.text.get(self.offset(from)..self.offset(to)).unwrap_or_default()
    }
}

/// The piece of `statement`'s text between two places given as positions in the whole text.
pub(super) fn slice(statement: &StatementText, from: Location, to: Location) -> String {
    let relative = |l: Location| Location {
        line: (l.line + 1).saturating_sub(statement.start.line),
        column: if l.line == statement.start.line {
            (l.column + 1).saturating_sub(statement.start.column)
        } else {
            l.column
        },
    };
    LineOffsets::new(&statement.text)
        .slice(relative(from), relative(to))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_strings_and_comments_split_nothing() {
        let text = "SELECT ';' -- a; b\n;\n\n/* ; */ SELECT \"a;b\"\nFROM `c;d`;;  ";
        let found = split_statements(text).unwrap();
        let texts: Vec<&str> = found.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts, ["SELECT ';'", "SELECT \"a;b\"\nFROM `c;d`"]);
        assert_eq!((found[1].start.line, found[1].start.column), (4, 9));
    }

    #[test]
    fn a_text_is_complete_when_its_last_statement_ends() {
        assert!(is_complete("SELECT 1; -- done"));
        assert!(is_complete("  "));
        assert!(!is_complete("SELECT 1"));
        assert!(!is_complete("SELECT ';"));
        assert!(!is_complete("SELECT 1; /* not yet"));
    }

    #[test]
    fn a_string_without_end_is_an_error_with_a_place() {
        let error = split_statements("SELECT 1,\n  'abc").unwrap_err();
        assert_eq!(error.span().unwrap().start.line, 2);
    }
}
