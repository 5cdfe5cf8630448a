//! Statements that are neither queries nor DDL: INSERT, COPY, UNLOAD, SHOW, DESCRIBE, SET, EXPLAIN, PREPARE and others.

use super::alter::partition_spec;
use super::ddl::{properties, property_key, property_value};
use super::parse::Parser;
use super::statement::*;
use crate::error::{Error, Result};
use crate::format::format_of_serde;
use sqlparser::ast;
use sqlparser::tokenizer::Token;
use std::collections::BTreeMap;

/// `EXPLAIN [ANALYZE] [VERBOSE] [(TYPE …, FORMAT …)] statement`
pub(super) fn explain(p: &mut Parser) -> Result<Statement> {
    p.expect_words("EXPLAIN")?;
    let mut explain = Explain {
        analyze: p.word("ANALYZE"),
        verbose: p.word("VERBOSE") || p.word("EXTENDED"),
        kind: None,
        format: None,
        statement: Box::new(Statement::Reset(None)),
    };
    let options = p.peek().token == Token::LParen
        && ["TYPE", "FORMAT", "ANALYZE", "VERBOSE"]
            .iter()
            .any(|w| p.peek_nth_word(1, w));
    if options {
        p.list(|p| {
            if p.word("TYPE") {
                explain.kind = Some(p.identifier()?.0.to_lowercase());
            } else if p.word("FORMAT") {
                explain.format = Some(p.identifier()?.0.to_lowercase());
            } else if p.word("ANALYZE") {
                explain.analyze = true;
            } else if p.word("VERBOSE") {
                explain.verbose = true;
            } else {
                return Err(p.unexpected("TYPE or FORMAT"));
            }
            Ok(())
        })?;
    }
    for (value, known) in [
        (
            &explain.kind,
            ["logical", "distributed", "validate", "io", "rules"].as_slice(),
        ),
        (&explain.format, ["text", "json", "graphviz"].as_slice()),
    ] {
        if let Some(value) = value
            && !known.contains(&value.as_str())
        {
            return Err(Error::plan(format!("EXPLAIN has no option \"{value}\""))
                .with_hint(format!("known are {}", known.join(", "))));
        }
    }
    explain.statement = Box::new(inner_statement(p, "EXPLAIN")?);
    Ok(Statement::Explain(explain))
}

/// The statement inside EXPLAIN or PREPARE, which is none of these itself.
fn inner_statement(p: &mut Parser, outer: &str) -> Result<Statement> {
    let inner = ["EXPLAIN", "PREPARE", "EXECUTE"].into_iter().find(|w| p.peek_word(w));
    match inner {
        Some("EXPLAIN") if outer == "PREPARE" => p.statement(),
        Some(inner) => {
            Err(Error::unsupported(format!("{inner} inside {outer} is not supported")).with_span(p.span_of(&p.peek())))
        }
        None => p.statement(),
    }
}

/// `INSERT {INTO | OVERWRITE} [TABLE] t [PARTITION (…)] [(columns)] query`
pub(super) fn insert(p: &mut Parser) -> Result<Statement> {
    p.expect_words("INSERT")?;
    let overwrite = p.word("OVERWRITE");
    if !overwrite {
        p.expect_words("INTO")?;
    }
    if overwrite && (p.words("LOCAL DIRECTORY") || p.word("DIRECTORY")) {
        return overwrite_directory(p);
    }
    p.word("TABLE");
    let table = p.object_name()?;
    let partition = written_partition(p)?;
    let keep_existing = p.words("IF NOT EXISTS");
    if keep_existing && (!overwrite || partition.is_empty() || partition.iter().any(|(_, value)| value.is_none())) {
        return Err(p.unexpected("IF NOT EXISTS only in INSERT OVERWRITE with a value for each partition key"));
    }
    let query_follows = ["SELECT", "WITH", "VALUES", "TABLE"]
        .iter()
        .any(|w| p.peek_nth_word(1, w));
    let columns =
        match p.peek().token == Token::LParen && !query_follows && p.inner.peek_nth_token_ref(1).token != Token::LParen
        {
            true => p.list(|p| Ok(p.identifier()?.0))?,
            false => vec![],
        };
    Ok(Statement::Insert(Box::new(Insert {
        table,
        columns,
        overwrite,
        partition,
        keep_existing,
        query: p.query()?,
    })))
}

/// `[PARTITION (k = v, d, …)]`: keys with and without a value.
pub(super) fn written_partition(p: &mut Parser) -> Result<Vec<(String, Option<ast::Expr>)>> {
    if !p.word("PARTITION") {
        return Ok(vec![]);
    }
    p.list(|p| {
        let key = p.identifier()?.0;
        let value = p.symbol(&Token::Eq).then(|| p.expression()).transpose()?;
        Ok((key, value))
    })
}

/// `'folder' [ROW FORMAT …] [STORED AS f | USING f [OPTIONS (…)]] query` after `INSERT OVERWRITE [LOCAL] DIRECTORY`.
fn overwrite_directory(p: &mut Parser) -> Result<Statement> {
    let target = p.string()?;
    let mut described = CreateTable::default();
    let mut options = BTreeMap::new();
    loop {
        if p.words("ROW FORMAT") {
            super::ddl::row_format(p, &mut described)?;
        } else if p.words("STORED AS") || p.word("USING") {
            super::ddl::stored_as(p, &mut described)?;
        } else if p.word("OPTIONS") {
            properties(p, &mut options)?;
        } else if p.words("WITH SERDEPROPERTIES") {
            properties(p, &mut described.serde_properties)?;
        } else {
            break;
        }
    }
    let row = described.row_format.unwrap_or_default();
    if let Some(class) = row.serde {
        described.format = Some(format_of_serde(&class)?.name().to_string());
        options.extend(described.serde_properties);
    }
    let given = [
        ("delimiter", row.delimiter),
        ("escape", row.escape),
        ("collection.delim", row.collection_delimiter),
        ("mapkey.delim", row.map_key_delimiter),
        ("null", row.null),
    ];
    options.extend(
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_string(), value?))),
    );
    options.insert("overwrite".into(), "true".into());
    Ok(Statement::Copy(Box::new(Copy {
        query: p.query()?,
        target,
        format: Some(described.format.unwrap_or_else(|| "TEXTFILE".into())),
        partitioned_by: vec![],
        options,
        folder: Some("INSERT OVERWRITE DIRECTORY"),
    })))
}

/// `COPY {(query) | table} TO 'target' …` in the spellings of DataFusion and DuckDB.
pub(super) fn copy(p: &mut Parser) -> Result<Statement> {
    p.expect_words("COPY")?;
    let query = copied_query(p)?;
    p.expect_words("TO")?;
    let mut copy = Copy {
        query,
        target: p.string()?,
        format: None,
        partitioned_by: vec![],
        options: Default::default(),
        folder: None,
    };
    p.word("WITH");
    if p.peek().token == Token::LParen {
        copy_options(p, &mut copy)?;
    }
    while !p.is_end() {
        if p.words("STORED AS") {
            copy.format = Some(p.identifier()?.0.to_uppercase());
        } else if p.words("PARTITIONED BY") {
            copy.partitioned_by = p.list(|p| Ok(p.identifier()?.0))?;
        } else if p.word("OPTIONS") {
            properties(p, &mut copy.options)?;
        } else {
            return Err(p.unexpected("STORED AS, PARTITIONED BY or OPTIONS"));
        }
    }
    take_common_options(&mut copy);
    Ok(Statement::Copy(Box::new(copy)))
}

fn copied_query(p: &mut Parser) -> Result<Box<ast::Query>> {
    if p.symbol(&Token::LParen) {
        let query = p.query()?;
        p.expect_symbol(&Token::RParen)?;
        return Ok(query);
    }
    if p.peek_word("SELECT") || p.peek_word("WITH") {
        return p.query();
    }
    let name = p.inner.parse_object_name(false);
    let name = p.checked(name)?;
    super::parse::parse_query(&format!("SELECT * FROM {name}"))
}

/// DuckDB's list: `(FORMAT parquet, PARTITION_BY (a, b), COMPRESSION zstd, OVERWRITE)`.
fn copy_options(p: &mut Parser, copy: &mut Copy) -> Result<()> {
    let options = p.list(|p| {
        let key = property_key(p)?.to_lowercase();
        p.symbol(&Token::Eq);
        let values = match p.peek().token {
            Token::Comma | Token::RParen => vec!["true".to_string()],
            _ => property_value(p)?,
        };
        Ok((key, values))
    })?;
    for (key, values) in options {
        match key.as_str() {
            "partition_by" | "partitioned_by" => copy.partitioned_by = values,
            _ => {
                copy.options.insert(key, values.join(","));
            }
        }
    }
    Ok(())
}

fn take_common_options(copy: &mut Copy) {
    if let Some(format) = copy.options.remove("format") {
        copy.format.get_or_insert(format.to_uppercase());
    }
    for name in &mut copy.partitioned_by {
        *name = name.to_lowercase();
    }
}

/// `UNLOAD (query) TO 'target' WITH (format = 'PARQUET', …)`
pub(super) fn unload(p: &mut Parser) -> Result<Statement> {
    p.expect_words("UNLOAD")?;
    let query = copied_query(p)?;
    p.expect_words("TO")?;
    let mut copy = Copy {
        query,
        target: p.string()?,
        format: None,
        partitioned_by: vec![],
        options: Default::default(),
        folder: Some("UNLOAD"),
    };
    if p.word("WITH") {
        copy_options(p, &mut copy)?;
    }
    take_common_options(&mut copy);
    Ok(Statement::Copy(Box::new(copy)))
}

pub(super) fn use_database(p: &mut Parser) -> Result<Statement> {
    p.expect_words("USE")?;
    let _ = p.word("DATABASE") || p.word("SCHEMA");
    Ok(Statement::Use(p.object_name()?))
}

pub(super) fn show(p: &mut Parser) -> Result<Statement> {
    p.expect_words("SHOW")?;
    let show = if p.word("DATABASES") || p.word("SCHEMAS") {
        if p.word("FROM") || p.word("IN") {
            p.identifier()?;
        }
        Show::Databases { pattern: pattern(p)? }
    } else if p.word("TABLES") {
        Show::Tables {
            database: in_database(p)?,
            pattern: pattern(p)?,
        }
    } else if p.word("VIEWS") {
        Show::Views {
            database: in_database(p)?,
            pattern: pattern(p)?,
        }
    } else if p.word("COLUMNS") {
        if !p.word("FROM") {
            p.expect_words("IN")?;
        }
        let mut name = p.object_name()?;
        if let Some(database) = in_database(p)? {
            name.database = Some(database);
        }
        Show::Columns {
            name,
            pattern: pattern(p)?,
        }
    } else if p.words("CREATE TABLE") {
        Show::CreateTable(p.object_name()?)
    } else if p.words("CREATE VIEW") {
        Show::CreateView(p.object_name()?)
    } else if p.words("CREATE DATABASE") || p.words("CREATE SCHEMA") {
        Show::CreateDatabase(p.object_name()?)
    } else if p.words("TABLE EXTENDED") {
        let database = in_database(p)?;
        p.word("LIKE");
        Show::TableExtended {
            database,
            pattern: p.string()?,
            partition: match p.peek_word("PARTITION") {
                true => Some(partition_spec(p)?),
                false => None,
            },
        }
    } else if p.word("FUNCTIONS") {
        Show::Functions { pattern: pattern(p)? }
    } else if p.word("PARTITIONS") {
        let _ = p.word("FROM") || p.word("IN");
        Show::Partitions(Box::new(show_partitions(p)?))
    } else if p.word("TBLPROPERTIES") {
        let name = p.object_name()?;
        let key = match p.peek().token == Token::LParen {
            true => p.list(property_key)?.pop(),
            false => None,
        };
        Show::TableProperties { name, key }
    } else if p.words("STATS FOR") {
        Show::Statistics(p.object_name()?)
    } else if p.word("SESSION") || p.word("SETTINGS") || p.word("ALL") || p.is_end() {
        Show::Settings(None)
    } else {
        let start = p.peek();
        let name = property_key(p)?;
        if !p.is_end() {
            return Err(
                Error::unsupported(format!("SHOW {} is not supported", name.to_uppercase()))
                    .with_span(p.span_of(&start)),
            );
        }
        Show::Settings(Some(name))
    };
    Ok(Statement::Show(show))
}

fn show_partitions(p: &mut Parser) -> Result<ShowPartitions> {
    let mut show = ShowPartitions {
        name: p.object_name()?,
        partition: None,
        filter: None,
        order_by: vec![],
        limit: None,
    };
    if p.peek_word("PARTITION") {
        show.partition = Some(partition_spec(p)?);
    }
    if p.word("WHERE") {
        show.filter = Some(p.expression()?);
    }
    if p.words("ORDER BY") {
        loop {
            let key = p.inner.parse_order_by_expr();
            show.order_by.push(p.checked(key)?);
            if !p.symbol(&Token::Comma) {
                break;
            }
        }
    }
    if p.word("LIMIT") {
        let wrong = p.unexpected("a number");
        show.limit = Some(property_value(p)?.concat().parse().map_err(|_| wrong)?);
    }
    Ok(show)
}

fn in_database(p: &mut Parser) -> Result<Option<String>> {
    match p.word("FROM") || p.word("IN") {
        true => Ok(Some(p.object_name()?.name)),
        false => Ok(None),
    }
}

/// `[LIKE] 'pattern'`
fn pattern(p: &mut Parser) -> Result<Option<String>> {
    match p.word("LIKE") || p.is_string_next() {
        true => Ok(Some(p.string()?)),
        false => Ok(None),
    }
}

pub(super) fn describe(p: &mut Parser) -> Result<Statement> {
    if !p.word("DESCRIBE") {
        p.expect_words("DESC")?;
    }
    if p.peek_word("SELECT") || p.peek_word("WITH") || p.peek_word("VALUES") || p.peek().token == Token::LParen {
        return Ok(Statement::DescribeQuery(p.query()?));
    }
    if p.word("DATABASE") || p.word("SCHEMA") {
        return Ok(Statement::DescribeDatabase {
            extended: p.word("EXTENDED"),
            name: p.object_name()?,
        });
    }
    p.word("TABLE");
    let extended = p.word("EXTENDED") || p.word("FORMATTED");
    let name = p.object_name()?;
    let partition = match p.peek_word("PARTITION") {
        true => Some(partition_spec(p)?),
        false => None,
    };
    let mut column = vec![];
    while !p.is_end() {
        column.push(match p.is_string_next() {
            true => p.string()?,
            false => p.identifier()?.0,
        });
        if !p.symbol(&Token::Period) {
            break;
        }
    }
    Ok(Statement::Describe(Describe {
        name,
        extended,
        partition,
        column,
    }))
}

/// `SET name = value`, `SET name TO value`, `SET SESSION name = value`, `SET` alone.
pub(super) fn set(p: &mut Parser) -> Result<Statement> {
    p.expect_words("SET")?;
    p.word("SESSION");
    if p.is_end() {
        return Ok(Statement::Show(Show::Settings(None)));
    }
    let name = property_key(p)?;
    if !p.symbol(&Token::Eq) {
        p.expect_words("TO")?;
    }
    // A size such as 2GB is two tokens.
    let mut value = property_value(p)?.join(",");
    while !p.is_end() {
        let next = p.peek();
        match next.token {
            Token::Word(w) => value.push_str(&w.value),
            Token::Number(n, _) => value.push_str(&n),
            _ => return Err(p.unexpected("the end of the statement")),
        }
        p.inner.advance_token();
    }
    Ok(Statement::Set { name, value })
}

pub(super) fn reset(p: &mut Parser) -> Result<Statement> {
    p.expect_words("RESET")?;
    p.word("SESSION");
    Ok(Statement::Reset(match p.is_end() || p.word("ALL") {
        true => None,
        false => Some(property_key(p)?),
    }))
}

/// `PREPARE name FROM statement`
pub(super) fn prepare(p: &mut Parser) -> Result<Statement> {
    p.expect_words("PREPARE")?;
    let name = p.identifier()?.0;
    if !p.word("FROM") {
        p.expect_words("AS")?;
    }
    Ok(Statement::Prepare {
        name,
        statement: Box::new(inner_statement(p, "PREPARE")?),
    })
}

/// `EXECUTE name [USING a, b]`, `EXECUTE IMMEDIATE 'statement' [USING a, b]`
pub(super) fn execute(p: &mut Parser) -> Result<Statement> {
    p.expect_words("EXECUTE")?;
    if p.word("IMMEDIATE") {
        let place = p.peek();
        let text = p.string()?;
        let within = |e: Error| Error::new(e.kind(), format!("EXECUTE IMMEDIATE: {}", e.message()));
        let parsed = super::parse(&text).map_err(|e| within(e).with_span(p.span_of(&place)))?;
        let [statement] = parsed.as_slice() else {
            return Err(Error::syntax("EXECUTE IMMEDIATE takes one statement").with_span(p.span_of(&place)));
        };
        return Ok(Statement::ExecuteImmediate {
            statement: Box::new(statement.clone()),
            parameters: using(p)?,
        });
    }
    let name = p.identifier()?.0;
    Ok(Statement::Execute {
        name,
        parameters: using(p)?,
    })
}

/// `USING a, b`
fn using(p: &mut Parser) -> Result<Vec<sqlparser::ast::Expr>> {
    let mut parameters = vec![];
    if p.word("USING") {
        parameters.push(p.expression()?);
        while p.symbol(&Token::Comma) {
            parameters.push(p.expression()?);
        }
    }
    Ok(parameters)
}

pub(super) fn deallocate(p: &mut Parser) -> Result<Statement> {
    p.expect_words("DEALLOCATE")?;
    p.word("PREPARE");
    Ok(Statement::Deallocate(p.identifier()?.0))
}
