//! What a sample of a delimited file says about it: delimiter, header, names, types.

use super::records::{Dialect, RowReader, last_lines};
use super::{CsvOptions, is_null};
use crate::error::Result;
use crate::format::values::TypeGuess;
use crate::storage::{Compression, ObjectFile};
use crate::types::DataType;
use std::sync::Arc;

/// Rows and bytes of a file that are looked at.
const SAMPLE_ROWS: usize = 20_000;
const SAMPLE_BYTES: u64 = 2 << 20;
/// Delimiters that a file may have when none is given; the first wins a draw.
const DELIMITERS: &[u8] = b",\t|;";

/// The findings.
#[derive(Debug)]
pub(super) struct Sample {
    pub dialect: Dialect,
    pub header: bool,
    pub columns: Vec<(Arc<str>, DataType)>,
}

/// Looks at the first rows of a file.
pub(super) fn sample(file: &ObjectFile, compression: Compression, options: &CsvOptions) -> Result<Sample> {
    let dialect = match options.delimiter {
        Some(delimiter) => options.dialect(delimiter),
        None => likely_dialect(file, compression, options)?,
    };
    let rows = first_rows(file, compression, options, &dialect, SAMPLE_ROWS)?;
    let mut rows = rows.into_iter();
    let first = rows.next().unwrap_or_default();
    let width = first.len();
    let mut types = vec![TypeGuess::default(); width];
    for row in rows.filter(|r| r.len() == width) {
        for (guess, text) in types.iter_mut().zip(&row) {
            if let Some(text) = text {
                guess.add_as(text.as_bytes(), &options.spelling);
            }
        }
    }
    let header = options.header.unwrap_or_else(|| is_header(&first, &types));
    let columns = match header {
        true => names(&first)
            .into_iter()
            .zip(types.iter().map(TypeGuess::data_type))
            .collect(),
        false => {
            for (guess, text) in types.iter_mut().zip(&first) {
                if let Some(text) = text {
                    guess.add_as(text.as_bytes(), &options.spelling);
                }
            }
            let numbered = |(i, guess): (usize, &TypeGuess)| (format!("column{i}").into(), guess.data_type());
            types.iter().enumerate().map(numbered).collect()
        }
    };
    Ok(Sample {
        dialect,
        header,
        columns,
    })
}

/// The first rows after those to skip; NULL fields are `None`.
fn first_rows(
    file: &ObjectFile,
    compression: Compression,
    options: &CsvOptions,
    dialect: &Dialect,
    count: usize,
) -> Result<Vec<Vec<Option<String>>>> {
    let mut reader = RowReader::open(file, compression, dialect.clone(), 0..file.size)?;
    reader.skip_lines(options.skip)?;
    let end = match options.footer {
        0 => u64::MAX,
        count => last_lines(file, compression, count)?,
    };
    let (mut rows, mut scratch) = (vec![], vec![]);
    while rows.len() < count && reader.position() < SAMPLE_BYTES.min(end) {
        let Some(row) = reader.next()? else { break };
        if row.is_blank() && rows.is_empty() {
            continue;
        }
        // A quote that is out of place is told when the row is read; here it is a row without fields.
        if row.fault.is_some() {
            rows.push(vec![]);
            continue;
        }
        let field = |i: usize, scratch: &mut Vec<u8>| {
            let field = row.field(i)?;
            let text = row.text(field, scratch);
            let empty = text.is_empty() || is_null(options, row.raw(field), field.quoted);
            let lossy = || String::from_utf8_lossy(text);
            (!empty).then(|| options.spelling.decode(text).unwrap_or_else(lossy).into_owned())
        };
        rows.push((0..row.width()).map(|i| field(i, &mut scratch)).collect());
    }
    Ok(rows)
}

/// The delimiter that cuts the first rows into the most fields, equally many in each.
fn likely_dialect(file: &ObjectFile, compression: Compression, options: &CsvOptions) -> Result<Dialect> {
    let mut best = (1, options.dialect(b','));
    for &delimiter in DELIMITERS {
        let dialect = options.dialect(delimiter);
        let rows = first_rows(file, compression, options, &dialect, 20)?;
        // Quotes that are out of place under a wrong delimiter only say that it is the wrong one.
        let whole = rows.iter().filter(|r| !r.is_empty());
        if whole.clone().count() * 2 < rows.len() {
            continue;
        }
        let rows: Vec<_> = whole.collect();
        let width = rows.first().map_or(0, |r| r.len());
        if width > best.0 && rows.iter().all(|r| r.len() == width || r.len() == 1) {
            best = (width, dialect);
        }
    }
    Ok(best.1)
}

/// The first row is a header when it has text in a column whose other values are not text; when all columns are text, when
/// it looks like a list of names: different words without digits at the start.
fn is_header(first: &[Option<String>], types: &[TypeGuess]) -> bool {
    let text = |t: &Option<String>| {
        let mut guess = TypeGuess::default();
        t.iter().for_each(|t| guess.add(t.as_bytes()));
        guess.data_type() == DataType::Utf8View
    };
    if !first.iter().all(|t| t.is_some() && text(t)) {
        return false;
    }
    let clash = types.iter().any(|t| t.data_type() != DataType::Utf8View);
    let word = |t: &Option<String>| {
        t.as_deref().is_some_and(|t| {
            t.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && t.chars().all(|c| c.is_alphanumeric() || "_ .-()/%#".contains(c))
        })
    };
    let mut seen = std::collections::HashSet::new();
    clash || first.iter().all(|t| word(t) && seen.insert(t))
}

/// Column names from a header: as they are, empty ones numbered, repeated ones with a number behind.
fn names(header: &[Option<String>]) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = vec![];
    for (i, text) in header.iter().enumerate() {
        let wanted = match text.as_deref().map(str::trim) {
            None | Some("") => format!("column{i}"),
            Some(text) => text.to_string(),
        };
        let taken = |name: &str, names: &[Arc<str>]| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        let mut name = wanted.clone();
        let mut copy = 1;
        while taken(&name, &names) {
            name = format!("{wanted}_{copy}");
            copy += 1;
        }
        names.push(name.into());
    }
    names
}
