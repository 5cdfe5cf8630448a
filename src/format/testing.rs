//! For tests of text formats: write a file, read it back.

use super::{BadRows, FileFormat, FileInfo, ScanColumn, ScanProgress, ScanRequest};
use crate::config::Config;
use crate::error::Result;
use crate::storage::{Location, list};
use crate::types::parse_type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;

/// A request for columns of these names and types, by position in this order.
pub(super) fn ask(columns: &[(&str, &str)]) -> ScanRequest {
    let column = |(position, (name, t)): (usize, &(&str, &str))| ScanColumn {
        name: (*name).into(),
        position,
        data_type: parse_type(t).unwrap(),
        partition_column: None,
    };
    ScanRequest {
        columns: columns.iter().enumerate().map(column).collect(),
        output: columns.len(),
        predicates: vec![],
        runtime_filters: vec![],
        batch_rows: 1000,
        bad_rows: BadRows::new(None, &Config::default(), &Default::default()).unwrap(),
        progress: ScanProgress::default(),
    }
}

/// The rows of a file with this content, fields joined by `|`, read partition by partition.
pub(super) fn read_file(
    format: &dyn FileFormat,
    name: &str,
    content: &[u8],
    sample: bool,
    request: impl Fn(&FileInfo) -> ScanRequest,
) -> Result<Vec<String>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join(name);
    std::fs::write(&path, content)?;
    let file = list(&Location::parse(path.to_str().unwrap())?)?.remove(0);
    let info = Arc::new(format.inspect(&file, sample)?);
    let request = Arc::new(request(&info));
    let partitions = format.partitions(&file, &info, &[], &request)?;
    let mut parts = vec![];
    // Backwards, so that no partition can lean on an earlier one having been read.
    for partition in partitions.iter().rev() {
        let mut reader = format.open(partition, &request)?;
        let mut rows = vec![];
        while let Some(batch) = reader.next()? {
            let columns: Vec<_> = (0..batch.width())
                .map(|i| batch.column(i).unwrap().to_array().unwrap())
                .collect();
            let shown: Vec<_> = columns
                .iter()
                .map(|c| ArrayFormatter::try_new(c, &FormatOptions::default()).unwrap())
                .collect();
            rows.extend((0..batch.len()).map(|row| {
                let fields: Vec<String> = shown.iter().map(|f| f.value(row).to_string()).collect();
                fields.join("|")
            }));
        }
        parts.push(rows);
    }
    Ok(parts.into_iter().rev().flatten().collect())
}
