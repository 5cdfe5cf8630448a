//! `FROM` before what reads it: Hive's `FROM src SELECT …` and `FROM src INSERT … SELECT … INSERT … SELECT …`.
//!
//! ```text
//! [WITH c AS (…)] FROM src [LATERAL VIEW …] [WHERE a]     the source, parsed once
//! INSERT OVERWRITE TABLE t SELECT x [WHERE b]             a statement of its own, …
//! INSERT INTO TABLE u SELECT y                            … to which the source is added: FROM src WHERE a AND b
//! ```

use super::parse::{Parser, parse_statement};
use super::statement::*;
use super::tokens::{self, StatementText, position};
use crate::error::{Error, Result};
use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Whether common table expressions come before FROM.
pub(super) fn begins_after_with(p: &Parser) -> bool {
    let rest = rest_of(p);
    let first = top_level(rest).find(|(_, word)| matches!(word, Keyword::FROM | Keyword::SELECT | Keyword::VALUES));
    first.is_some_and(|(_, word)| word == Keyword::FROM)
}

/// `[WITH …] FROM src {SELECT … | INSERT … SELECT … [INSERT …]…}`
pub(super) fn from_first(p: &mut Parser) -> Result<Statement> {
    let rest = rest_of(p);
    let ends = |wanted: Keyword| top_level(rest).filter(move |(_, word)| *word == wanted).map(|(i, _)| i);
    let mut starts: Vec<usize> = ends(Keyword::INSERT).collect();
    if starts.is_empty() {
        starts.extend(ends(Keyword::SELECT).next());
    }
    let Some(first) = starts.first() else {
        while !p.is_end() {
            p.inner.advance_token();
        }
        return Err(p.unexpected("SELECT or INSERT after FROM"));
    };
    let source = Source::parse(p, &rest[..*first])?;
    let mut statements = vec![];
    for (i, start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(rest.len());
        let mut statement = parse_statement(&piece(p, &rest[*start..end]))?;
        match &mut statement {
            Statement::Query(query) => source.add_to(query)?,
            Statement::Insert(insert) => source.add_to(&mut insert.query)?,
            Statement::Copy(copy) => source.add_to(&mut copy.query)?,
            _ => return Err(Error::internal("after FROM comes SELECT or INSERT")),
        }
        statements.push(statement);
    }
    while !p.is_end() {
        p.inner.advance_token();
    }
    Ok(match statements.len() {
        1 => statements.remove(0),
        _ => Statement::InsertEach(statements),
    })
}

/// The tokens from the next one on.
fn rest_of<'a>(p: &Parser<'a>) -> &'a [TokenWithSpan] {
    let (tokens, next) = (&p.statement.tokens, p.peek().span.start);
    let at = tokens.iter().position(|t| t.span.start == next);
    &tokens[at.unwrap_or(tokens.len())..]
}

/// The keywords outside of brackets.
fn top_level(tokens: &[TokenWithSpan]) -> impl Iterator<Item = (usize, Keyword)> {
    let mut depth = 0usize;
    tokens.iter().enumerate().filter_map(move |(i, t)| {
        match &t.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            Token::Word(w) if depth == 0 && w.quote_style.is_none() => return Some((i, w.keyword)),
            _ => {}
        }
        None
    })
}

/// Some tokens of the statement as one of their own.
fn piece(p: &Parser, tokens: &[TokenWithSpan]) -> StatementText {
    let start = tokens.first().map_or(p.peek().span.start, |t| t.span.start);
    let end = tokens.last().map_or(start, |t| t.span.end);
    StatementText {
        text: tokens::slice(p.statement, start, end),
        start: position(start),
        end: position(end),
        tokens: tokens.to_vec(),
    }
}

/// What stands before the first SELECT or INSERT.
struct Source {
    with: Option<ast::With>,
    select: Box<ast::Select>,
}

impl Source {
    fn parse(p: &Parser, source: &[TokenWithSpan]) -> Result<Self> {
        let from = top_level(source).find(|(_, word)| *word == Keyword::FROM);
        let (before, from) = source.split_at(from.map_or(0, |(i, _)| i));
        let mut text = piece(p, source);
        let written = [Token::make_keyword("SELECT"), Token::Mul].map(|token| TokenWithSpan {
            token,
            span: from.first().map_or(sqlparser::tokenizer::Span::empty(), |t| t.span),
        });
        text.tokens = [before, &written, from].concat();
        let Statement::Query(query) = parse_statement(&text)? else {
            return Err(Error::internal("a query that was put together is one"));
        };
        let simple = query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
        match *query.body {
            ast::SetExpr::Select(select) if simple && has_no_groups(&select) => Ok(Self {
                with: query.with,
                select,
            }),
            _ => Err(
                Error::unsupported("FROM with more than tables, LATERAL VIEW and WHERE before SELECT or INSERT")
                    .with_hint("put it into a subquery: FROM (SELECT … GROUP BY …) AS s INSERT …"),
            ),
        }
    }

    /// Makes a query that has no FROM read the source.
    fn add_to(&self, query: &mut ast::Query) -> Result<()> {
        let ast::SetExpr::Select(select) = query.body.as_mut() else {
            return Err(Error::unsupported(
                "a query after FROM that is not one SELECT: nothing would read what FROM names",
            )
            .with_hint("put a UNION into a subquery of FROM, or write each part with its own FROM"));
        };
        if !select.from.is_empty() {
            return Err(
                Error::syntax("the SELECT has a FROM of its own besides the one before it")
                    .with_span(tokens::span(select.select_token.0.span)),
            );
        }
        select.from.clone_from(&self.select.from);
        let own = std::mem::take(&mut select.lateral_views);
        select.lateral_views = self.select.lateral_views.iter().cloned().chain(own).collect();
        select.selection = match (self.select.selection.clone(), select.selection.take()) {
            (Some(left), Some(right)) => Some(ast::Expr::BinaryOp {
                left: Box::new(left),
                op: ast::BinaryOperator::And,
                right: Box::new(right),
            }),
            (common, own) => common.or(own),
        };
        match (&self.with, &mut query.with) {
            (Some(common), Some(own)) => {
                own.recursive |= common.recursive;
                own.cte_tables.splice(0..0, common.cte_tables.iter().cloned());
            }
            (common, own @ None) => own.clone_from(common),
            (None, Some(_)) => {}
        }
        Ok(())
    }
}

fn has_no_groups(select: &ast::Select) -> bool {
    matches!(&select.group_by, ast::GroupByExpr::Expressions(keys, more) if keys.is_empty() && more.is_empty())
        && select.having.is_none()
        && select.qualify.is_none()
        && select.named_window.is_empty()
        && select.sort_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
}
