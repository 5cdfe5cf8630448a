//! `CREATE …` and `DROP …`: Hive's clauses in any order, Trino's WITH properties, Spark's USING.

use super::dialect::parse_type_text;
use super::parse::Parser;
use super::statement::*;
use super::tokens;
use crate::error::{Error, Result};
use crate::types::parse_type;
use sqlparser::tokenizer::Token;
use std::collections::BTreeMap;

pub(super) fn create(p: &mut Parser) -> Result<Statement> {
    let create = p.peek();
    p.expect_words("CREATE")?;
    let or_replace = p.words("OR REPLACE");
    let temporary = p.word("TEMPORARY") || p.word("TEMP");
    if p.word("VIEW") {
        return create_view(p, or_replace, temporary);
    }
    if or_replace {
        return Err(Error::unsupported("CREATE OR REPLACE is supported for views only").with_span(p.span_of(&create)));
    }
    let external = p.word("EXTERNAL");
    if p.word("TABLE") {
        return create_table(p, external, temporary);
    }
    if external || temporary {
        return Err(p.unexpected("TABLE"));
    }
    if p.word("DATABASE") || p.word("SCHEMA") {
        return create_database(p);
    }
    if let Token::Word(w) = &p.peek().token
        && ["FUNCTION", "INDEX", "MATERIALIZED", "ROLE", "MACRO", "SEQUENCE", "TYPE"]
            .iter()
            .any(|known| w.value.eq_ignore_ascii_case(known))
    {
        return Err(
            Error::unsupported(format!("CREATE {} is not supported", w.value.to_uppercase()))
                .with_span(p.span_of(&create)),
        );
    }
    Err(p.unexpected("TABLE, VIEW, DATABASE or SCHEMA"))
}

fn create_database(p: &mut Parser) -> Result<Statement> {
    let mut database = CreateDatabase {
        if_not_exists: p.words("IF NOT EXISTS"),
        name: p.object_name()?,
        comment: None,
        location: None,
        properties: BTreeMap::new(),
    };
    while !p.is_end() {
        if p.word("COMMENT") {
            database.comment = Some(p.string()?);
        } else if p.word("LOCATION") {
            database.location = Some(p.string()?);
        } else if p.words("WITH DBPROPERTIES") || p.word("WITH") {
            properties(p, &mut database.properties)?;
        } else {
            return Err(p.unexpected("COMMENT, LOCATION or WITH DBPROPERTIES"));
        }
    }
    if let Some(location) = database.properties.remove("location") {
        database.location.get_or_insert(location);
    }
    Ok(Statement::CreateDatabase(database))
}

fn create_view(p: &mut Parser, or_replace: bool, temporary: bool) -> Result<Statement> {
    let if_not_exists = p.words("IF NOT EXISTS");
    let name = p.object_name()?;
    let (mut columns, mut column_comments) = (vec![], BTreeMap::new());
    if p.peek().token == Token::LParen {
        columns = p.list(|p| {
            let (name, _) = p.identifier()?;
            if p.word("COMMENT") {
                column_comments.insert(name.clone(), p.string()?);
            }
            Ok(name)
        })?;
    }
    let comment = p.word("COMMENT").then(|| p.string()).transpose()?;
    let mut pairs = BTreeMap::new();
    if p.word("TBLPROPERTIES") {
        properties(p, &mut pairs)?;
    }
    p.expect_words("AS")?;
    let start = p.peek().span.start;
    let query = p.query()?;
    let end = p.inner.get_current_token().span.end;
    Ok(Statement::CreateView(Box::new(CreateView {
        name,
        or_replace,
        if_not_exists,
        temporary,
        columns,
        column_comments,
        properties: pairs.into_iter().map(|(k, v)| (k.to_lowercase(), v)).collect(),
        comment,
        query,
        text: tokens::slice(p.statement, start, end),
    })))
}

fn create_table(p: &mut Parser, external: bool, temporary: bool) -> Result<Statement> {
    let mut table = CreateTable {
        external,
        temporary,
        if_not_exists: p.words("IF NOT EXISTS"),
        ..Default::default()
    };
    table.name = Some(p.object_name()?);
    if p.word("LIKE") {
        return create_table_like(p, table);
    }
    if p.peek().token == Token::LParen {
        table.columns = p.list(column_definition)?;
    }
    while !p.is_end() {
        if p.word("AS") || p.peek_word("SELECT") || (p.peek_word("WITH") && begins_query(p)) {
            table.query = Some(p.query()?);
            if p.words("WITH NO DATA") {
                table.with_no_data = true;
            } else {
                p.words("WITH DATA");
            }
            break;
        }
        table_clause(p, &mut table)?;
    }
    check_columns(&table)?;
    Ok(Statement::CreateTable(Box::new(table)))
}

/// `CREATE TABLE t LIKE t0 [LOCATION 'l']`
fn create_table_like(p: &mut Parser, table: CreateTable) -> Result<Statement> {
    let name = table
        .name
        .ok_or_else(|| Error::internal("CREATE TABLE without a name"))?;
    let like = p.object_name()?;
    let location = p.word("LOCATION").then(|| p.string()).transpose()?;
    Ok(Statement::CreateTableLike(CreateTableLike {
        name,
        like,
        if_not_exists: table.if_not_exists,
        external: table.external,
        temporary: table.temporary,
        location,
    }))
}

/// `WITH name AS (` begins a query; `WITH (` and `WITH SERDEPROPERTIES (` do not.
fn begins_query(p: &Parser) -> bool {
    !matches!(p.inner.peek_nth_token_ref(1).token, Token::LParen)
        && !p.peek_nth_word(1, "SERDEPROPERTIES")
        && !p.peek_nth_word(1, "HEADER")
}

/// `(a, b) [SORTED BY (c [ASC | DESC], …)] INTO n BUCKETS`
fn clustered_by(p: &mut Parser) -> Result<Bucketing> {
    let columns = p.list(|p| Ok(p.identifier()?.0.to_lowercase()))?;
    let mut sorted_by = vec![];
    if p.words("SORTED BY") {
        sorted_by = p.list(|p| {
            let name = p.identifier()?.0.to_lowercase();
            let down = p.word("DESC");
            if !down {
                p.word("ASC");
            }
            Ok((name, down))
        })?;
    }
    p.expect_words("INTO")?;
    let start = p.peek();
    let count = property_scalar(p)?.parse();
    let count = count.map_err(|_| Error::syntax("expected a number of buckets").with_span(p.span_of(&start)))?;
    p.expect_words("BUCKETS")?;
    Ok(Bucketing {
        columns,
        sorted_by,
        count: Some(count),
    })
}

/// `b`, `b ASC` or `b DESC` in `sorted_by`.
fn sort_column(text: &str) -> Result<(String, bool)> {
    let mut words = text.split_whitespace();
    let (name, order) = (words.next().unwrap_or_default(), words.next().unwrap_or("ASC"));
    match (name, order.to_uppercase().as_str(), words.next()) {
        ("", ..) | (_, _, Some(_)) => Err(Error::plan(format!(
            "sorted_by takes names of columns, found \"{text}\""
        ))),
        (name, "ASC", None) => Ok((name.to_lowercase(), false)),
        (name, "DESC", None) => Ok((name.to_lowercase(), true)),
        _ => Err(Error::plan(format!("sorted_by takes ASC or DESC, found \"{text}\""))),
    }
}

/// One clause after the column list; they come in any order.
fn table_clause(p: &mut Parser, table: &mut CreateTable) -> Result<()> {
    let clause = p.peek();
    let unsupported = |what: &str| Err(Error::unsupported(format!("{what} is not supported")));
    if p.word("COMMENT") {
        table.comment = Some(p.string()?);
    } else if p.words("PARTITIONED BY") || p.words("PARTITION BY") {
        table.partitioned_by = p.list(partition_column)?;
    } else if p.words("ROW FORMAT") {
        row_format(p, table)?;
    } else if p.words("STORED AS") {
        stored_as(p, table)?;
    } else if p.word("USING") {
        table.format = Some(p.identifier()?.0.to_uppercase());
    } else if p.word("LOCATION") {
        table.location = Some(p.string()?);
    } else if p.word("TBLPROPERTIES") {
        properties(p, &mut table.properties)?;
    } else if p.word("OPTIONS") || p.words("WITH SERDEPROPERTIES") {
        properties(p, &mut table.serde_properties)?;
    } else if p.words("WITH HEADER ROW") {
        table.properties.insert("header".into(), "true".into());
    } else if p.word("WITH") {
        trino_properties(p, table)?;
    } else if p.words("CLUSTERED BY") {
        table.bucketing = Some(clustered_by(p)?);
    } else if p.words("SKEWED BY") || p.words("STORED BY") {
        return unsupported("SKEWED BY and STORED BY").map_err(|e| e.with_span(p.span_of(&clause)));
    } else {
        return Err(p.unexpected("a clause of CREATE TABLE such as STORED AS, LOCATION, PARTITIONED BY or AS"));
    }
    Ok(())
}

pub(super) fn column_definition(p: &mut Parser) -> Result<ColumnDefinition> {
    let (name, span) = p.identifier()?;
    let type_start = p.peek();
    let text = parse_type_text(&mut p.inner);
    let text = p.checked(text)?;
    let data_type = parse_type(&text).map_err(|e| e.with_span(p.span_of(&type_start)))?;
    if p.words("NOT NULL") || p.words("PRIMARY KEY") || p.word("DEFAULT") || p.word("CHECK") {
        return Err(Error::unsupported("constraints and defaults of columns are not supported").with_span(span));
    }
    let comment = p.word("COMMENT").then(|| p.string()).transpose()?;
    Ok(ColumnDefinition {
        name,
        data_type: Some(data_type),
        comment,
        span,
    })
}

/// `name type` (Hive) or `name` alone (Spark, CTAS).
fn partition_column(p: &mut Parser) -> Result<ColumnDefinition> {
    if let Token::Comma | Token::RParen = p.inner.peek_nth_token_ref(1).token {
        let (name, span) = p.identifier()?;
        return Ok(ColumnDefinition {
            name,
            data_type: None,
            comment: None,
            span,
        });
    }
    column_definition(p)
}

fn check_columns(table: &CreateTable) -> Result<()> {
    let typed = table.partitioned_by.iter().filter(|c| c.data_type.is_some());
    let mut seen: Vec<&str> = vec![];
    for column in table.columns.iter().chain(typed) {
        if seen.iter().any(|s| s.eq_ignore_ascii_case(&column.name)) {
            return Err(Error::plan(format!("column \"{}\" is declared twice", column.name))
                .with_span(column.span)
                .with_hint("partition columns are declared in PARTITIONED BY only"));
        }
        seen.push(&column.name);
    }
    Ok(())
}

pub(super) fn row_format(p: &mut Parser, table: &mut CreateTable) -> Result<()> {
    let mut format = table.row_format.take().unwrap_or_default();
    if p.word("SERDE") {
        format.serde = Some(p.string()?);
        table.row_format = Some(format);
        return Ok(());
    }
    p.expect_words("DELIMITED")?;
    loop {
        if p.words("FIELDS TERMINATED BY") {
            format.delimiter = Some(unescape(&p.string()?));
        } else if p.words("ESCAPED BY") {
            format.escape = Some(unescape(&p.string()?));
        } else if p.words("COLLECTION ITEMS TERMINATED BY") {
            format.collection_delimiter = Some(unescape(&p.string()?));
        } else if p.words("MAP KEYS TERMINATED BY") {
            format.map_key_delimiter = Some(unescape(&p.string()?));
        } else if p.words("LINES TERMINATED BY") {
            format.line_delimiter = Some(unescape(&p.string()?));
        } else if p.words("NULL DEFINED AS") {
            format.null = Some(p.string()?);
        } else {
            break;
        }
    }
    table.row_format = Some(format);
    Ok(())
}

pub(super) fn stored_as(p: &mut Parser, table: &mut CreateTable) -> Result<()> {
    if p.word("INPUTFORMAT") {
        table.input_format = Some(p.string()?);
        if p.word("OUTPUTFORMAT") {
            p.string()?;
        }
        return Ok(());
    }
    let (name, _) = p.identifier()?;
    table.format = Some(name.to_uppercase());
    Ok(())
}

/// `WITH (format = 'PARQUET', external_location = '…', partitioned_by = ARRAY['a'])`.
fn trino_properties(p: &mut Parser, table: &mut CreateTable) -> Result<()> {
    let pairs = p.list(|p| {
        let key = property_key(p)?;
        p.expect_symbol(&Token::Eq)?;
        let span = p.span_of(&p.peek());
        if key == "extra_properties" {
            table.extra_properties.extend(constant_map(p)?);
            return Ok((key, vec![], span));
        }
        Ok((key, property_value(p)?, span))
    })?;
    for (key, values, span) in pairs {
        let text = values.join(",");
        match key.as_str() {
            "format" => table.format = Some(text.to_uppercase()),
            "external_location" | "location" => table.location = Some(text),
            "is_external" => table.external = text.eq_ignore_ascii_case("true"),
            "partitioned_by" | "partitioning" => {
                table.partitioned_by = values
                    .into_iter()
                    .map(|name| ColumnDefinition {
                        name: name.to_lowercase(),
                        data_type: None,
                        comment: None,
                        span,
                    })
                    .collect();
            }
            "bucketed_by" => {
                let bucketing = table.bucketing.get_or_insert_default();
                bucketing.columns = values.iter().map(|name| name.to_lowercase()).collect();
            }
            "bucket_count" => {
                let count = text.parse().map_err(|_| {
                    Error::plan(format!("bucket_count is a number of buckets, found \"{text}\"")).with_span(span)
                });
                table.bucketing.get_or_insert_default().count = Some(count?);
            }
            "sorted_by" => {
                let columns = values.iter().map(|text| sort_column(text)).collect::<Result<_>>();
                let columns = columns.map_err(|e| e.with_span(span))?;
                table.bucketing.get_or_insert_default().sorted_by = columns;
            }
            "extra_properties" => {}
            // Which is what all tables are.
            "table_type" if text.eq_ignore_ascii_case("hive") => {}
            "table_type" => {
                return Err(Error::unsupported(format!("table_type '{text}' is not supported")).with_span(span));
            }
            _ => {
                table.properties.insert(key, text);
            }
        }
    }
    Ok(())
}

/// `MAP(ARRAY['k', …], ARRAY['v', …])` or `MAP()`
fn constant_map(p: &mut Parser) -> Result<BTreeMap<String, String>> {
    let start = p.peek();
    p.expect_words("MAP")?;
    let lists = p.list(property_value)?;
    let (keys, values) = match lists.as_slice() {
        [] => return Ok(BTreeMap::new()),
        [keys, values] => (keys, values),
        _ => return Err(Error::syntax("MAP takes an array of keys and one of values").with_span(p.span_of(&start))),
    };
    if keys.len() != values.len() {
        let text = format!("MAP has {} keys and {} values", keys.len(), values.len());
        return Err(Error::plan(text).with_span(p.span_of(&start)));
    }
    let map: BTreeMap<String, String> = keys.iter().cloned().zip(values.iter().cloned()).collect();
    match map.len() == keys.len() {
        true => Ok(map),
        false => Err(Error::plan("MAP has a key twice").with_span(p.span_of(&start))),
    }
}

/// `( 'k' = 'v', k = v, 'k' 'v', … )`
pub(super) fn properties(p: &mut Parser, into: &mut BTreeMap<String, String>) -> Result<()> {
    let pairs = p.list(|p| {
        let key = property_key(p)?;
        if !p.symbol(&Token::Eq) {
            p.symbol(&Token::RArrow);
        }
        Ok((key, property_value(p)?.join(",")))
    })?;
    into.extend(pairs);
    Ok(())
}

/// A property's name: a string as it is, or words joined by points in lower case.
pub(super) fn property_key(p: &mut Parser) -> Result<String> {
    if p.is_string_next() {
        return p.string();
    }
    let mut key = p.identifier()?.0;
    while p.symbol(&Token::Period) {
        key.push('.');
        key.push_str(&p.identifier()?.0);
    }
    Ok(key)
}

/// A string, number, word, or a list of these in `ARRAY[…]` or parentheses; one element for each.
pub(super) fn property_value(p: &mut Parser) -> Result<Vec<String>> {
    if p.peek().token == Token::LParen {
        return p.list(property_scalar);
    }
    if !p.word("ARRAY") {
        return Ok(vec![property_scalar(p)?]);
    }
    p.expect_symbol(&Token::LBracket)?;
    let mut values = vec![];
    while !p.symbol(&Token::RBracket) {
        values.push(property_scalar(p)?);
        p.symbol(&Token::Comma);
    }
    Ok(values)
}

fn property_scalar(p: &mut Parser) -> Result<String> {
    if p.is_string_next() {
        return p.string();
    }
    let negative = p.symbol(&Token::Minus);
    let value = match p.peek().token {
        Token::Number(n, _) => n,
        Token::Word(w) => w.value,
        _ => return Err(p.unexpected("a value")),
    };
    p.inner.advance_token();
    Ok(if negative { format!("-{value}") } else { value })
}

/// Hive's escapes in delimiters: `\t`, `\001` (octal), `\u0001`, `\\`.
pub(super) fn unescape(text: &str) -> String {
    let Some(escaped) = text.strip_prefix('\\') else {
        return text.to_string();
    };
    let code = match escaped.strip_prefix('u') {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => u32::from_str_radix(escaped, 8).ok(),
    };
    match escaped {
        "" => "\\".into(),
        "t" => "\t".into(),
        "n" => "\n".into(),
        "r" => "\r".into(),
        "\\" => "\\".into(),
        _ => code.and_then(char::from_u32).map_or(escaped.to_string(), String::from),
    }
}

pub(super) fn drop(p: &mut Parser) -> Result<Statement> {
    p.expect_words("DROP")?;
    if p.word("TABLE") {
        let if_exists = p.words("IF EXISTS");
        let name = p.object_name()?;
        p.word("PURGE");
        return Ok(Statement::DropTable { name, if_exists });
    }
    if p.word("VIEW") {
        let if_exists = p.words("IF EXISTS");
        let name = p.object_name()?;
        return Ok(Statement::DropView { name, if_exists });
    }
    if p.word("DATABASE") || p.word("SCHEMA") {
        let if_exists = p.words("IF EXISTS");
        let name = p.object_name()?;
        let cascade = p.word("CASCADE");
        if !cascade {
            p.word("RESTRICT");
        }
        return Ok(Statement::DropDatabase {
            name,
            if_exists,
            cascade,
        });
    }
    Err(p.unexpected("TABLE, VIEW, DATABASE or SCHEMA"))
}
