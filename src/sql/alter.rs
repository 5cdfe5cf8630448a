//! `ALTER …`, `TRUNCATE`, `MSCK` and `CALL`: changes to what is there already, in Hive's, Spark's and Trino's spellings.

use super::ddl::{column_definition, properties, property_key, stored_as};
use super::parse::Parser;
use super::statement::*;
use super::tokens;
use crate::error::{Error, Result};
use sqlparser::ast;
use sqlparser::tokenizer::Token;
use std::collections::BTreeMap;

/// `ALTER {DATABASE | SCHEMA | TABLE | VIEW} …`
pub(super) fn alter(p: &mut Parser) -> Result<Statement> {
    p.expect_words("ALTER")?;
    if p.word("DATABASE") || p.word("SCHEMA") {
        return alter_database(p);
    }
    if p.word("VIEW") {
        return alter_view(p);
    }
    if p.word("TABLE") {
        return alter_table(p);
    }
    Err(p.unexpected("TABLE, VIEW, DATABASE or SCHEMA"))
}

fn alter_database(p: &mut Parser) -> Result<Statement> {
    let name = p.object_name()?;
    p.expect_words("SET")?;
    let start = p.peek();
    let change = if p.word("DBPROPERTIES") || p.word("PROPERTIES") {
        let mut pairs = BTreeMap::new();
        properties(p, &mut pairs)?;
        AlterDatabase::SetProperties(pairs)
    } else if p.word("LOCATION") || p.word("MANAGEDLOCATION") {
        AlterDatabase::SetLocation(p.string()?)
    } else if p.word("OWNER") {
        return Err(Error::unsupported("ALTER DATABASE … SET OWNER is not supported").with_span(p.span_of(&start)));
    } else {
        return Err(p.unexpected("DBPROPERTIES or LOCATION"));
    };
    Ok(Statement::AlterDatabase { name, change })
}

fn alter_view(p: &mut Parser) -> Result<Statement> {
    let name = p.object_name()?;
    if p.words("RENAME TO") {
        return Ok(Statement::AlterTable {
            name,
            kind: "view",
            change: AlterTable::Rename(p.object_name()?),
        });
    }
    if p.peek_word("SET") || p.peek_word("UNSET") {
        let change = set(p, None)?;
        if !matches!(
            change,
            AlterTable::SetProperties(_) | AlterTable::UnsetProperties { .. }
        ) {
            return Err(Error::unsupported("ALTER VIEW with this change is not supported").with_span(name.span));
        }
        return Ok(Statement::AlterTable {
            name,
            kind: "view",
            change,
        });
    }
    p.expect_words("AS")?;
    let start = p.peek().span.start;
    let query = p.query()?;
    let end = p.inner.get_current_token().span.end;
    Ok(Statement::AlterView {
        name,
        query,
        text: tokens::slice(p.statement, start, end),
    })
}

fn alter_table(p: &mut Parser) -> Result<Statement> {
    let if_exists = p.words("IF EXISTS");
    let name = p.object_name()?;
    if if_exists {
        return Err(Error::unsupported("ALTER TABLE IF EXISTS is not supported").with_span(name.span));
    }
    let partition = match p.peek_word("PARTITION") {
        true => Some(partition_spec(p)?),
        false => None,
    };
    let change = table_change(p, partition)?;
    Ok(Statement::AlterTable {
        name,
        kind: "table",
        change,
    })
}

fn table_change(p: &mut Parser, partition: Option<PartitionSpec>) -> Result<AlterTable> {
    let start = p.peek();
    let unsupported = |what: &str| Err(Error::unsupported(format!("{what} is not supported")));
    if p.peek_word("SET") || p.peek_word("UNSET") {
        return set(p, partition);
    }
    if let Some(from) = partition {
        if p.words("RENAME TO") {
            return Ok(AlterTable::RenamePartition {
                from,
                to: partition_spec(p)?,
            });
        }
        return unsupported("ALTER TABLE … PARTITION with this change")
            .map_err(|e| e.with_span(p.span_of(&start)))
            .map_err(|e| e.with_hint("all partitions of a table have its columns and its format"));
    }
    if p.words("RECOVER PARTITIONS") {
        return Ok(AlterTable::RecoverPartitions);
    }
    if p.word("ADD") {
        if p.words("IF NOT EXISTS") {
            return add_partitions(p, true);
        }
        if p.peek_word("PARTITION") {
            return add_partitions(p, false);
        }
        return add_columns(p);
    }
    if p.word("DROP") {
        let if_exists = p.words("IF EXISTS");
        if p.peek_word("PARTITION") {
            return drop_partitions(p, if_exists);
        }
        let _ = p.word("COLUMNS") || p.word("COLUMN");
        let names = match p.peek().token == Token::LParen {
            true => p.list(Parser::identifier)?,
            false => vec![p.identifier()?],
        };
        return Ok(AlterTable::DropColumns(names));
    }
    if p.words("REPLACE COLUMNS") {
        let columns = p.list(column_definition)?;
        cascade(p);
        return Ok(AlterTable::ReplaceColumns(columns));
    }
    if p.word("CHANGE") {
        p.word("COLUMN");
        return change_column(p);
    }
    if p.words("RENAME TO") {
        return Ok(AlterTable::Rename(p.object_name()?));
    }
    if p.words("RENAME COLUMN") {
        let old = p.identifier()?;
        p.expect_words("TO")?;
        return Ok(AlterTable::RenameColumn {
            old,
            new: p.identifier()?.0,
        });
    }
    let known = [
        "EXCHANGE",
        "CLUSTERED",
        "NOT",
        "SKEWED",
        "TOUCH",
        "ARCHIVE",
        "UNARCHIVE",
        "COMPACT",
        "CONCATENATE",
        "ENABLE",
        "DISABLE",
        "EXECUTE",
        "ALTER",
        "UPDATE",
    ];
    if let Some(word) = known.into_iter().find(|w| p.peek_word(w)) {
        return unsupported(&format!("ALTER TABLE … {word}")).map_err(|e| e.with_span(p.span_of(&start)));
    }
    Err(p.unexpected("ADD, DROP, RENAME, SET, UNSET, CHANGE, REPLACE, RECOVER or PARTITION"))
}

/// Whether partitions get a change of columns, too: they have none of their own here, so both words change nothing.
fn cascade(p: &mut Parser) {
    let _ = p.word("CASCADE") || p.word("RESTRICT");
}

fn add_columns(p: &mut Parser) -> Result<AlterTable> {
    let listed = p.word("COLUMNS");
    let columns = match listed || p.peek().token == Token::LParen {
        true => p.list(column_definition)?,
        false => {
            p.expect_words("COLUMN")?;
            vec![column_definition(p)?]
        }
    };
    cascade(p);
    Ok(AlterTable::AddColumns(columns))
}

/// `old new type [COMMENT 'c'] [FIRST | AFTER c] [CASCADE | RESTRICT]`
fn change_column(p: &mut Parser) -> Result<AlterTable> {
    let old = p.identifier()?;
    let new = column_definition(p)?;
    let position = if p.word("FIRST") {
        Some(ColumnPosition::First)
    } else if p.word("AFTER") {
        Some(ColumnPosition::After(p.identifier()?))
    } else {
        None
    };
    cascade(p);
    Ok(AlterTable::ChangeColumn { old, new, position })
}

fn add_partitions(p: &mut Parser, if_not_exists: bool) -> Result<AlterTable> {
    let mut partitions = vec![];
    while p.peek_word("PARTITION") {
        let spec = partition_spec(p)?;
        let location = p.word("LOCATION").then(|| p.string()).transpose()?;
        partitions.push((spec, location));
        p.symbol(&Token::Comma);
    }
    match partitions.is_empty() {
        true => Err(p.unexpected("PARTITION")),
        false => Ok(AlterTable::AddPartitions {
            if_not_exists,
            partitions,
        }),
    }
}

fn drop_partitions(p: &mut Parser, if_exists: bool) -> Result<AlterTable> {
    let mut specs = vec![];
    while p.peek_word("PARTITION") {
        specs.push(partition_spec(p)?);
        p.symbol(&Token::Comma);
    }
    p.word("PURGE");
    Ok(AlterTable::DropPartitions { if_exists, specs })
}

/// `SET …` and `UNSET …` after a table's name.
fn set(p: &mut Parser, partition: Option<PartitionSpec>) -> Result<AlterTable> {
    let start = p.peek();
    if p.word("UNSET") {
        let _ = p.word("TBLPROPERTIES") || p.word("PROPERTIES");
        let if_exists = p.words("IF EXISTS");
        return Ok(AlterTable::UnsetProperties {
            names: p.list(property_key)?,
            if_exists,
        });
    }
    p.expect_words("SET")?;
    if p.word("LOCATION") {
        return Ok(AlterTable::SetLocation {
            partition,
            location: p.string()?,
        });
    }
    if partition.is_some() {
        return Err(
            Error::unsupported("ALTER TABLE … PARTITION … SET is supported for LOCATION only")
                .with_span(p.span_of(&start))
                .with_hint("all partitions of a table have its columns and its format"),
        );
    }
    let mut pairs = BTreeMap::new();
    if p.word("TBLPROPERTIES") || p.word("PROPERTIES") {
        properties(p, &mut pairs)?;
        return Ok(AlterTable::SetProperties(pairs));
    }
    if p.word("SERDEPROPERTIES") {
        properties(p, &mut pairs)?;
        return Ok(AlterTable::SetProperties(pairs));
    }
    if p.word("SERDE") {
        let class = p.string()?;
        if p.words("WITH SERDEPROPERTIES") {
            properties(p, &mut pairs)?;
        }
        return Ok(AlterTable::SetSerde {
            class,
            properties: pairs,
        });
    }
    if p.word("FILEFORMAT") {
        let mut stored = CreateTable::default();
        stored_as(p, &mut stored)?;
        return Ok(AlterTable::SetFormat {
            format: stored.format,
            input_format: stored.input_format,
        });
    }
    if p.peek_word("OWNER") || p.peek_word("AUTHORIZATION") || p.peek_word("SKEWED") {
        return Err(
            Error::unsupported("ALTER TABLE … SET with this change is not supported").with_span(p.span_of(&start)),
        );
    }
    Err(p.unexpected("TBLPROPERTIES, LOCATION, SERDE, SERDEPROPERTIES or FILEFORMAT"))
}

/// `PARTITION (k = v, k < v, …)`
pub(super) fn partition_spec(p: &mut Parser) -> Result<PartitionSpec> {
    p.expect_words("PARTITION")?;
    partition_conditions(p)
}

fn partition_conditions(p: &mut Parser) -> Result<PartitionSpec> {
    let start = p.peek();
    let conditions = p.list(|p| {
        let (key, span) = p.identifier()?;
        let op = match p.peek().token {
            Token::Eq | Token::DoubleEq => ast::BinaryOperator::Eq,
            Token::Neq => ast::BinaryOperator::NotEq,
            Token::Lt => ast::BinaryOperator::Lt,
            Token::LtEq => ast::BinaryOperator::LtEq,
            Token::Gt => ast::BinaryOperator::Gt,
            Token::GtEq => ast::BinaryOperator::GtEq,
            _ => return Err(p.unexpected("= or another comparison")),
        };
        p.inner.advance_token();
        let value = match p.is_string_next() {
            true => ast::Expr::Value(ast::Value::SingleQuotedString(p.string()?).with_empty_span()),
            false => p.expression()?,
        };
        Ok(PartitionCondition { key, op, value, span })
    })?;
    match conditions.is_empty() {
        true => Err(Error::syntax("PARTITION () names no key").with_span(p.span_of(&start))),
        false => Ok(conditions),
    }
}

/// `TRUNCATE [TABLE] t [PARTITION (…)]`
pub(super) fn truncate(p: &mut Parser) -> Result<Statement> {
    p.expect_words("TRUNCATE")?;
    p.word("TABLE");
    let name = p.object_name()?;
    let partition = match p.peek_word("PARTITION") {
        true => Some(partition_spec(p)?),
        false => None,
    };
    Ok(Statement::Truncate { name, partition })
}

/// `MSCK [REPAIR] TABLE t [{ADD | DROP | SYNC} PARTITIONS] [[PARTITION] (k > v, …)]`
pub(super) fn repair(p: &mut Parser) -> Result<Statement> {
    p.expect_words("MSCK")?;
    p.word("REPAIR");
    p.expect_words("TABLE")?;
    let name = p.object_name()?;
    let mode = if p.words("SYNC PARTITIONS") {
        Repair::Sync
    } else if p.words("DROP PARTITIONS") {
        Repair::Drop
    } else {
        p.words("ADD PARTITIONS");
        Repair::Add
    };
    p.word("PARTITION");
    let partition = match p.peek().token == Token::LParen {
        true => Some(partition_conditions(p)?),
        false => None,
    };
    Ok(Statement::RepairTable { name, mode, partition })
}

/// `CALL [catalog.]system.procedure(argument, name => argument, …)`
pub(super) fn call(p: &mut Parser) -> Result<Statement> {
    p.expect_words("CALL")?;
    let name = p.object_name()?;
    let arguments = p.list(|p| {
        let named = matches!(p.inner.peek_nth_token_ref(1).token, Token::RArrow);
        let parameter = match named {
            true => {
                let parameter = p.identifier()?.0;
                p.symbol(&Token::RArrow);
                Some(parameter)
            }
            false => None,
        };
        Ok((parameter, p.expression()?))
    })?;
    Ok(Statement::Call { name, arguments })
}
