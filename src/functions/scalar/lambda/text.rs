//! `regexp_replace` with a lambda that makes the replacement of each match.

use super::super::Documentation;
use super::super::arguments::offset_of;
use super::super::regex::Pattern;
use super::super::typing::STRING;
use super::{LambdaArguments, LambdaFunction, signature};
use crate::error::{Error, Result};
use crate::types::{DataType, array_of};
use crate::vector::Column;
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use std::ops::Range;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[LambdaFunction] = &[LambdaFunction {
    name: "regexp_replace",
    aliases: &[],
    doc: Documentation {
        signature: "regexp_replace(string, pattern, groups -> string)",
        summary: "Every match replaced by what the lambda makes of its groups; NULL when that is NULL for one.",
        example: (
            "SELECT regexp_replace('new york', '(\\w)(\\w*)', x -> upper(x[1]) || x[2])",
            "New York",
        ),
    },
    typing: |t, lambdas| {
        let text = |t: &DataType| matches!(t, DataType::Utf8View | DataType::Null);
        match t {
            [s, pattern] if text(s) && text(pattern) => match (lambdas.bind)(0, &[array_of(STRING)])? {
                value if text(&value) => signature(&[STRING, STRING], STRING, STRING),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    },
    evaluate: regexp_replace,
}];

fn regexp_replace(a: &LambdaArguments) -> Result<Column> {
    let (s, pattern) = (a.values.strings_of(0)?, Pattern::of(&a.values)?);
    let nulls = a.values.nulls();
    let (mut groups, mut offsets) = (StringViewBuilder::new(), vec![0]);
    // The matches of all rows, and which of them a row has.
    let (mut rows, mut matches, mut own): (Vec<u32>, Vec<Range<usize>>, Vec<Range<usize>>) = (vec![], vec![], vec![]);
    for row in 0..a.values.work() {
        let before = rows.len();
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            for captures in pattern.get(row)?.captures_iter(s.get(row)) {
                for group in captures.iter().skip(1) {
                    match group {
                        Some(group) => groups.try_append_value(group.as_str())?,
                        None => groups.append_null(),
                    }
                }
                offsets.push(offset_of(groups.len())?);
                matches.push(captures.get_match().range());
                rows.push(row as u32);
            }
        }
        own.push(before..rows.len());
    }
    let DataType::List(field) = array_of(STRING) else {
        return Err(Error::internal("an array of texts is a list"));
    };
    let groups = ListArray::try_new(
        field,
        OffsetBuffer::new(offsets.into()),
        Arc::new(groups.finish()),
        None,
    )?;
    let replaced = a.lambda(0)?.call(&rows, vec![Arc::new(groups)])?;
    let replaced = replaced.as_string_view_opt();
    let replaced = replaced.ok_or_else(|| Error::internal("a replacement that is no text"))?;
    a.values.strings_unless(nulls, |row, out| {
        let (s, mut end) = (s.get(row), 0);
        for i in own[row].clone() {
            if replaced.is_null(i) {
                return Ok(None);
            }
            let found = matches[i].clone();
            out.push_str(s.get(end..found.start).unwrap_or_default());
            out.push_str(replaced.value(i));
            end = found.end;
        }
        out.push_str(s.get(end..).unwrap_or_default());
        Ok(Some(()))
    })
}
