//! Text → [`Statement`]. Queries and expressions are sqlparser's; everything around them is read here, word by word,
//! because Hive's DDL, Trino's properties and DataFusion's COPY meet in no single grammar.

use super::dialect::{QueryDialect, with_division_operators, with_parentheses_in_values, with_tables_as_queries};
use super::statement::*;
use super::tokens::{self, StatementText, check_size, split_statements};
use super::{alter, commands, ddl, from_first, load};
use crate::error::{Error, ErrorKind, Position, Result, Span};
use sqlparser::ast;
use sqlparser::parser::{Parser as SqlParser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// How deep expressions and queries may nest in the text. The thread that parses needs about 100 KB of stack per level.
const MAX_NESTING: usize = 3000;

/// All statements of a text.
///
/// # Errors
/// `Syntax` with the place of the first word that does not fit.
pub fn parse(text: &str) -> Result<Vec<Statement>> {
    split_statements(text)?.iter().map(parse_statement).collect()
}

/// One statement of a text that was split before; positions in errors are those of the whole text.
pub fn parse_statement(statement: &StatementText) -> Result<Statement> {
    let mut parser = Parser::new(statement)?;
    let parsed = parser.statement()?;
    parser.expect_end()?;
    Ok(parsed)
}

/// A query alone, as in a view's stored text.
pub fn parse_query(text: &str) -> Result<Box<ast::Query>> {
    match parse(text)?.as_slice() {
        [Statement::Query(query)] => Ok(query.clone()),
        _ => Err(Error::syntax("expected one query")),
    }
}

/// An expression alone, as in `DataFrame::filter("fare > 10")`.
pub fn parse_expression(text: &str) -> Result<ast::Expr> {
    let statements = split_statements(text)?;
    let [statement] = statements.as_slice() else {
        return Err(Error::syntax("expected one expression"));
    };
    let mut parser = Parser::new(statement)?;
    let expr = parser.expression()?;
    parser.expect_end()?;
    Ok(expr)
}

/// Reads one statement.
pub(super) struct Parser<'a> {
    pub(super) inner: SqlParser<'a>,
    pub(super) statement: &'a StatementText,
}

/// Statements that are known and not run, by their first words.
const UNSUPPORTED: &[&str] = &[
    "MERGE", "DELETE", "UPDATE", "OPTIMIZE", "VACUUM", "ANALYZE", "GRANT", "REVOKE", "REFRESH", "CACHE", "START",
    "COMMIT", "ROLLBACK", "BEGIN", "COMMENT", "DENY", "EXPORT", "IMPORT", "REPLACE",
];

/// Words that a statement can begin with, for hints.
const FIRST_WORDS: &[&str] = &[
    "SELECT",
    "WITH",
    "VALUES",
    "TABLE",
    "EXPLAIN",
    "CREATE",
    "INSERT",
    "FROM",
    "LOAD",
    "COPY",
    "UNLOAD",
    "DROP",
    "USE",
    "SHOW",
    "DESCRIBE",
    "SET",
    "RESET",
    "PREPARE",
    "EXECUTE",
    "DEALLOCATE",
    "MSCK",
    "ALTER",
    "TRUNCATE",
    "CALL",
];

impl<'a> Parser<'a> {
    fn new(statement: &'a StatementText) -> Result<Self> {
        check_size(&statement.tokens)?;
        let tokens = with_division_operators(statement.tokens.clone());
        let tokens = with_parentheses_in_values(with_tables_as_queries(tokens));
        Ok(Self {
            inner: SqlParser::new(&QueryDialect)
                .with_recursion_limit(MAX_NESTING)
                .with_tokens_with_locations(tokens),
            statement,
        })
    }

    /// One statement, from its first word.
    pub(super) fn statement(&mut self) -> Result<Statement> {
        let first = self.peek();
        let word = match &first.token {
            Token::Word(w) if w.quote_style.is_none() => w.value.to_uppercase(),
            Token::LParen => "SELECT".into(),
            _ => return Err(self.unexpected("a statement")),
        };
        match word.as_str() {
            "WITH" if from_first::begins_after_with(self) => from_first::from_first(self),
            "SELECT" | "WITH" | "VALUES" | "TABLE" => Ok(Statement::Query(self.query()?)),
            "FROM" => from_first::from_first(self),
            "EXPLAIN" => commands::explain(self),
            "CREATE" => ddl::create(self),
            "DROP" => ddl::drop(self),
            "INSERT" => commands::insert(self),
            "LOAD" => load::load(self),
            "COPY" => commands::copy(self),
            "UNLOAD" => commands::unload(self),
            "USE" => commands::use_database(self),
            "SHOW" => commands::show(self),
            "DESCRIBE" | "DESC" => commands::describe(self),
            "SET" => commands::set(self),
            "RESET" => commands::reset(self),
            "PREPARE" => commands::prepare(self),
            "EXECUTE" => commands::execute(self),
            "DEALLOCATE" => commands::deallocate(self),
            "MSCK" => alter::repair(self),
            "ALTER" => alter::alter(self),
            "TRUNCATE" => alter::truncate(self),
            "CALL" => alter::call(self),
            known if UNSUPPORTED.contains(&known) => Err(self.unsupported_statement()),
            other => Err(self
                .unexpected("a statement")
                .with_nearest(other, FIRST_WORDS.iter().copied())),
        }
    }

    fn unsupported_statement(&self) -> Error {
        let words: Vec<String> = (0..2)
            .filter_map(|i| match &self.inner.peek_nth_token_ref(i).token {
                Token::Word(w) if i == 0 || w.keyword == sqlparser::keywords::Keyword::TABLE => {
                    Some(w.value.to_uppercase())
                }
                _ => None,
            })
            .collect();
        Error::unsupported(format!("{} is not supported", words.join(" "))).with_span(self.span_of(&self.peek()))
    }

    /// A query: SELECT, VALUES, WITH, set operations, parentheses.
    pub(super) fn query(&mut self) -> Result<Box<ast::Query>> {
        let parsed = self.inner.parse_query();
        self.checked(parsed)
    }

    pub(super) fn expression(&mut self) -> Result<ast::Expr> {
        let parsed = self.inner.parse_expr();
        self.checked(parsed)
    }

    // Words and symbols.

    pub(super) fn peek(&self) -> TokenWithSpan {
        self.inner.peek_token()
    }

    pub(super) fn peek_word(&self, expected: &str) -> bool {
        self.peek_nth_word(0, expected)
    }

    pub(super) fn peek_nth_word(&self, n: usize, expected: &str) -> bool {
        matches!(&self.inner.peek_nth_token_ref(n).token,
            Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(expected))
    }

    /// Takes the word if it is next.
    pub(super) fn word(&mut self, expected: &str) -> bool {
        let found = self.peek_word(expected);
        if found {
            self.inner.advance_token();
        }
        found
    }

    /// Takes the words, separated by blanks in `expected`, if all of them are next.
    pub(super) fn words(&mut self, expected: &str) -> bool {
        let found = expected.split(' ').enumerate().all(|(i, w)| self.peek_nth_word(i, w));
        if found {
            expected.split(' ').for_each(|_| self.inner.advance_token());
        }
        found
    }

    pub(super) fn expect_words(&mut self, expected: &str) -> Result<()> {
        expected.split(' ').try_for_each(|w| match self.word(w) {
            true => Ok(()),
            false => Err(self.unexpected(w)),
        })
    }

    pub(super) fn symbol(&mut self, expected: &Token) -> bool {
        self.inner.consume_token(expected)
    }

    pub(super) fn expect_symbol(&mut self, expected: &Token) -> Result<()> {
        match self.symbol(expected) {
            true => Ok(()),
            false => Err(self.unexpected(&expected.to_string())),
        }
    }

    /// `( item, item, … )`
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_symbol(&Token::LParen)?;
        let mut items = vec![];
        if self.symbol(&Token::RParen) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.symbol(&Token::RParen) {
                return Ok(items);
            }
            if !self.symbol(&Token::Comma) {
                return Err(self.unexpected(", or )"));
            }
        }
    }

    /// A name: in lower case unless quoted.
    pub(super) fn identifier(&mut self) -> Result<(String, Span)> {
        let next = self.peek();
        match &next.token {
            Token::Word(w) => {
                self.inner.advance_token();
                Ok((fold_case(&w.value, w.quote_style), self.span_of(&next)))
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// `name`, `database.name` or `catalog.database.name`.
    pub(super) fn object_name(&mut self) -> Result<ObjectName> {
        let (name, span) = self.identifier()?;
        let mut parts = vec![name];
        let mut end = span.end;
        while self.symbol(&Token::Period) {
            let (name, span) = self.identifier()?;
            parts.push(name);
            end = span.end;
        }
        let span = Span { start: span.start, end };
        let name = parts.pop().unwrap_or_default();
        let database = parts.pop();
        // A catalog's name in front says nothing, since there is one catalog.
        if parts.len() > 1 {
            return Err(Error::syntax("a table name has at most three parts").with_span(span));
        }
        Ok(ObjectName { database, name, span })
    }

    /// A string in single quotes, or in double quotes where Hive reads them as a string.
    pub(super) fn string(&mut self) -> Result<String> {
        let next = self.peek();
        let value = match next.token {
            Token::SingleQuotedString(s) | Token::DoubleQuotedString(s) | Token::NationalStringLiteral(s) => s,
            Token::Word(w) if w.quote_style == Some('"') => w.value,
            _ => return Err(self.unexpected("a string")),
        };
        self.inner.advance_token();
        Ok(value)
    }

    pub(super) fn is_string_next(&self) -> bool {
        match &self.inner.peek_token_ref().token {
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => true,
            Token::Word(w) => w.quote_style == Some('"'),
            _ => false,
        }
    }

    pub(super) fn is_end(&self) -> bool {
        self.inner.peek_token_ref().token == Token::EOF
    }

    fn expect_end(&self) -> Result<()> {
        match self.is_end() {
            true => Ok(()),
            false => Err(self.unexpected("the end of the statement")),
        }
    }

    // Errors.

    pub(super) fn span_of(&self, token: &TokenWithSpan) -> Span {
        if token.token == Token::EOF {
            let end = self.statement.end;
            let after = Position {
                column: end.column + 1,
                ..end
            };
            return Span { start: end, end: after };
        }
        tokens::span(token.span)
    }

    /// The error for the next token, where `expected` was expected.
    pub(super) fn unexpected(&self, expected: &str) -> Error {
        let found = self.peek();
        found_error(&found.token, Some(expected)).with_span(self.span_of(&found))
    }

    pub(super) fn checked<T>(&self, parsed: std::result::Result<T, ParserError>) -> Result<T> {
        parsed.map_err(|e| self.syntax_error(e))
    }

    /// Turns sqlparser's message `Expected: an expression, found: FROM at Line: 1, Column: 8` into ours.
    fn syntax_error(&self, error: ParserError) -> Error {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return Error::new(
                    ErrorKind::ResourcesExhausted,
                    format!("the statement nests deeper than {MAX_NESTING} levels"),
                );
            }
            ParserError::TokenizerError(m) | ParserError::ParserError(m) => m,
        };
        let (text, location) = split_location(&message);
        let token = location.and_then(|l| self.statement.tokens.iter().find(|t| t.span.start == l));
        let expected = text
            .strip_prefix("Expected: ")
            .map(|t| t.split_once(", found: ").map_or(t, |(e, _)| e));
        match (expected, token) {
            (Some(expected), Some(token)) => {
                found_error(&token.token, Some(expected)).with_span(tokens::span(token.span))
            }
            (Some(expected), None) => {
                found_error(&Token::EOF, Some(expected)).with_span(self.span_of(&TokenWithSpan {
                    token: Token::EOF,
                    span: sqlparser::tokenizer::Span::empty(),
                }))
            }
            (None, Some(token)) => Error::syntax(format!("syntax error: {text}")).with_span(tokens::span(token.span)),
            (None, None) => Error::syntax(format!("syntax error: {text}")),
        }
    }
}

fn found_error(found: &Token, expected: Option<&str>) -> Error {
    let place = match found {
        Token::EOF => "at end of statement".to_string(),
        token => format!("at or near \"{token}\""),
    };
    let error = Error::syntax(match expected {
        Some(expected) => format!("syntax error {place}: expected {expected}"),
        None => format!("syntax error {place}"),
    });
    match found {
        Token::Word(w)
            if w.quote_style.is_none() && expected.is_some_and(|e| e.contains("name") || e == "identifier") =>
        {
            error.with_hint(format!(
                "put a name that is a keyword in double quotes: \"{}\"",
                w.value.to_lowercase()
            ))
        }
        _ => error,
    }
}

/// Cuts ` at Line: 1, Column: 8` off a message.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((text, place)) = message.rsplit_once(" at Line: ") else {
        return (message, None);
    };
    let location = place.split_once(", Column: ").and_then(|(line, column)| {
        let line = line.trim().parse().ok()?;
        let column = column.trim().parse().ok()?;
        Some(Location { line, column })
    });
    (text, location.filter(|l| l.line > 0))
}

/// The name an identifier stands for: unquoted ones are in lower case, as Athena keeps them.
pub(super) fn fold_case(value: &str, quote: Option<char>) -> String {
    match quote {
        None => value.to_lowercase(),
        Some(_) => value.to_string(),
    }
}
