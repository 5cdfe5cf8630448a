//! `LOAD DATA [LOCAL] INPATH 'p' [OVERWRITE] INTO TABLE t [PARTITION (k = v, …)]`

use super::commands::written_partition;
use super::parse::Parser;
use super::statement::*;
use crate::error::{Error, Result};

pub(super) fn load(p: &mut Parser) -> Result<Statement> {
    p.expect_words("LOAD DATA")?;
    let local = p.word("LOCAL");
    p.expect_words("INPATH")?;
    let source = p.string()?;
    let overwrite = p.word("OVERWRITE");
    p.expect_words("INTO TABLE")?;
    let table = p.object_name()?;
    let partition = written_partition(p)?;
    if p.peek_word("INPUTFORMAT") || p.peek_word("SERDE") {
        return Err(
            Error::unsupported("LOAD DATA of files in another format than the table's")
                .with_span(p.span_of(&p.peek()))
                .with_hint("INSERT INTO … SELECT reads files of any format"),
        );
    }
    Ok(Statement::Load(Box::new(Load {
        source,
        local,
        overwrite,
        table,
        partition,
    })))
}
