//! What the tokenizer and the expression parser accept: Trino's queries and Hive's extensions that do not conflict.

use sqlparser::ast::{CastKind, DataType, Expr, Ident, ObjectName};
use sqlparser::dialect::{Dialect, GenericDialect};
use sqlparser::keywords::{Keyword, RESERVED_FOR_IDENTIFIER};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};
use std::any::TypeId;

/// The grammar of queries. Where sqlparser asks for a dialect by type, it answers as its generic one.
#[derive(Debug)]
pub(super) struct QueryDialect;

macro_rules! accept {
    ($($feature:ident),* $(,)?) => {$(
        fn $feature(&self) -> bool {
            true
        }
    )*};
}

impl Dialect for QueryDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    /// Words that begin an expression of their own and are no names: their errors are the ones to show.
    fn is_reserved_for_identifier(&self, word: Keyword) -> bool {
        RESERVED_FOR_IDENTIFIER.contains(&word)
            || matches!(word, Keyword::NOT | Keyword::CASE | Keyword::CAST | Keyword::TRY_CAST)
    }

    accept!(
        supports_filter_during_aggregation,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_window_clause_named_window_reference,
        supports_window_function_null_treatment_arg,
        supports_left_associative_joins_without_parens,
        supports_parens_around_table_factor,
        supports_values_as_table_factor,
        supports_limit_comma,
        supports_bitwise_shift_operators,
        supports_unicode_string_literal,
        supports_select_wildcard_except,
        supports_select_wildcard_exclude,
        supports_select_wildcard_replace,
        supports_comment_optimizer_hint,
        support_map_literal_syntax,
        supports_lambda_functions,
        supports_numeric_literal_underscores,
        allow_extract_custom,
        allow_extract_single_quotes,
    );

    /// `CAST(x AS type)`: the type is kept as text for `types::parse_type`, which knows all spellings.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let kind = match &parser.peek_token_ref().token {
            Token::Word(w) if w.quote_style.is_none() => match w.keyword {
                Keyword::CAST => CastKind::Cast,
                Keyword::TRY_CAST => CastKind::TryCast,
                _ => return None,
            },
            _ => return None,
        };
        if parser.peek_nth_token_ref(1).token != Token::LParen {
            return None;
        }
        Some(parse_cast(parser, kind))
    }
}

/// Turns the word of `a DIV b` into the operator `//`, which is parsed without recursion. A name `div` stays a name.
pub(super) fn with_division_operators(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let ends_operand = |t: &Token| match t {
        Token::Word(w) => w.quote_style.is_some() || w.keyword == Keyword::NoKeyword,
        Token::Number(..) | Token::SingleQuotedString(_) | Token::RParen | Token::RBracket => true,
        _ => false,
    };
    let begins_operand = |t: &Token| ends_operand(t) && !matches!(t, Token::RParen | Token::RBracket);
    for i in 1..tokens.len().saturating_sub(1) {
        let is_division = matches!(&tokens[i].token, Token::Word(w) if w.keyword == Keyword::DIV)
            && ends_operand(&tokens[i - 1].token)
            && (begins_operand(&tokens[i + 1].token) || matches!(tokens[i + 1].token, Token::LParen | Token::Minus));
        if is_division {
            tokens[i].token = Token::DuckIntDiv;
        }
    }
    tokens
}

/// Writes `TABLE t` as the `SELECT * FROM t` that it means.
pub(super) fn with_tables_as_queries(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let inserts = matches!(tokens.first().map(|t| &t.token), Some(Token::Word(w)) if w.keyword == Keyword::INSERT);
    let mut result: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for (i, token) in tokens.iter().enumerate() {
        let begins_query = match i.checked_sub(1).map(|before| &tokens[before].token) {
            None | Some(Token::LParen | Token::RParen) => true,
            // INSERT INTO t TABLE s
            Some(Token::Word(w)) if w.keyword == Keyword::NoKeyword => inserts,
            Some(Token::Word(w)) => matches!(
                w.keyword,
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::ALL | Keyword::DISTINCT | Keyword::AS
            ),
            _ => false,
        };
        let is_table = matches!(&token.token, Token::Word(w) if w.keyword == Keyword::TABLE && w.quote_style.is_none());
        // `TABLE(sequence(1, 3))` is an item of FROM.
        let names_one = matches!(tokens.get(i + 1).map(|t| &t.token), Some(Token::Word(_)));
        if begins_query && is_table && names_one {
            let word = |word: &str| Token::make_keyword(word);
            let written = [word("SELECT"), Token::Mul, word("FROM")];
            result.extend(written.map(|t| TokenWithSpan {
                token: t,
                span: token.span,
            }));
        } else {
            result.push(token.clone());
        }
    }
    result
}

/// Puts the rows of `VALUES 1, 2` into parentheses: rows of one column do not need any.
pub(super) fn with_parentheses_in_values(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_word = |t: Option<&TokenWithSpan>, word: Keyword| {
        t.is_some_and(|t| matches!(&t.token, Token::Word(w) if w.quote_style.is_none() && w.keyword == word))
    };
    let mut result: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        result.push(token.clone());
        at += 1;
        let before = (at >= 2).then(|| &tokens[at - 2].token);
        let begins_query = match before {
            None | Some(Token::LParen | Token::RParen) => true,
            Some(Token::Word(w)) => w.keyword != Keyword::SELECT,
            _ => false,
        };
        if !(begins_query && is_word(Some(token), Keyword::VALUES)) {
            continue;
        }
        loop {
            let row = &tokens[at..end_of_row(&tokens, at)];
            at += row.len();
            let (Some(first), Some(last)) = (row.first(), row.last()) else {
                break;
            };
            let begins = matches!(
                first.token,
                Token::Number(..) | Token::SingleQuotedString(_) | Token::Word(_) | Token::Minus | Token::LParen
            );
            let is_row =
                is_word(Some(first), Keyword::ROW) || (first.token == Token::LParen && closes(row) == row.len() - 1);
            match begins && !is_row {
                true => {
                    let parenthesis = |token, span| TokenWithSpan { token, span };
                    result.push(parenthesis(Token::LParen, first.span));
                    result.extend_from_slice(row);
                    result.push(parenthesis(Token::RParen, last.span));
                }
                false => result.extend_from_slice(row),
            }
            match tokens.get(at).map(|t| &t.token) {
                Some(Token::Comma) => {
                    result.push(tokens[at].clone());
                    at += 1;
                }
                _ => break,
            }
        }
    }
    result
}

/// Where the row of VALUES that starts at a token ends: at a comma, a closing bracket, a word that begins a clause, or
/// the name of the table that the rows are (`FROM VALUES (1), (2) AS v`).
fn end_of_row(tokens: &[TokenWithSpan], start: usize) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(start) {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace if depth == 0 => return i,
            Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
            Token::Comma if depth == 0 => return i,
            Token::Word(w) if depth == 0 && w.quote_style.is_none() => match w.keyword {
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::ORDER => return i,
                Keyword::LIMIT | Keyword::OFFSET | Keyword::FETCH | Keyword::WITH | Keyword::AS => return i,
                Keyword::NoKeyword if i > start && tokens[i - 1].token == Token::RParen => return i,
                _ => {}
            },
            _ => {}
        }
    }
    tokens.len()
}

/// The position of the bracket that closes the one which the tokens start with.
fn closes(tokens: &[TokenWithSpan]) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => return i,
            Token::RParen => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

fn parse_cast(parser: &mut Parser, kind: CastKind) -> Result<Expr, ParserError> {
    parser.advance_token();
    parser.advance_token();
    let expr = parser.parse_expr()?;
    parser.expect_keyword_is(Keyword::AS)?;
    let text = parse_type_text(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Cast {
        kind,
        expr: Box::new(expr),
        data_type: type_text(text),
        format: None,
    })
}

/// A type as text, wrapped so that it can stand in sqlparser's tree.
fn type_text(text: String) -> DataType {
    DataType::Custom(ObjectName::from(vec![Ident::new(text)]), vec![])
}

/// Levels of brackets in a type.
const MAX_TYPE_DEPTH: i32 = 100;

/// The tokens of a type: up to a comma, a closing bracket or a word that cannot continue a type, outside of brackets.
pub(super) fn parse_type_text(parser: &mut Parser) -> Result<String, ParserError> {
    let mut text = String::new();
    let mut depth = 0i32;
    loop {
        let next = parser.peek_token_ref();
        let closes = match &next.token {
            Token::LParen | Token::Lt | Token::LBracket => -1,
            Token::RParen | Token::Gt | Token::RBracket => 1,
            Token::ShiftRight => 2,
            Token::EOF | Token::SemiColon => break,
            Token::Comma if depth == 0 => break,
            Token::Word(w) if depth == 0 && ends_type(w.keyword) => break,
            // The type of a row's field may be followed by a comment, which is no part of the type.
            Token::Word(w) if w.keyword == Keyword::COMMENT => {
                parser.advance_token();
                parser.advance_token();
                continue;
            }
            _ => 0,
        };
        if depth - closes < 0 {
            break;
        }
        depth -= closes;
        if depth > MAX_TYPE_DEPTH {
            return parser.expected_ref("a type with fewer levels", parser.peek_token_ref());
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&next.token.to_string());
        parser.advance_token();
    }
    if text.is_empty() {
        return parser.expected_ref("a type", parser.peek_token_ref());
    }
    Ok(text)
}

/// Words that follow a column's type in a column definition.
fn ends_type(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::COMMENT
            | Keyword::NOT
            | Keyword::NULL
            | Keyword::DEFAULT
            | Keyword::PRIMARY
            | Keyword::CHECK
            | Keyword::FIRST
            | Keyword::AFTER
            | Keyword::CASCADE
            | Keyword::RESTRICT
    )
}
