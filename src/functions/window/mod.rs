//! Window functions that are not aggregates: ranking and access to other rows of the partition.

use super::{Documentation, wrong_arguments};
use crate::error::Result;
use crate::types::{DataType, common_type, is_integer};

/// A ranking or navigation function.
pub struct WindowFunction {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub doc: Documentation,
    /// From argument types to the types the arguments are cast to and the result type.
    pub signature: ChooseOverload,
    pub kind: WindowKind,
}

/// From argument types to what the arguments are cast to and the result type.
pub type ChooseOverload = fn(&[DataType]) -> Result<(Vec<DataType>, DataType)>;

/// Which function it is; the window operator has one arm for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile,
    FirstValue,
    LastValue,
    NthValue,
    Lag,
    Lead,
}

/// All window functions.
pub static FUNCTIONS: &[WindowFunction] = &[
    WindowFunction {
        name: "row_number",
        aliases: &[],
        doc: documented(
            "row_number() OVER (…)",
            "The row's place in its partition: 1, 2, 3, …",
            "SELECT row_number() OVER (ORDER BY x) FROM (VALUES 'a') AS t(x)",
            "1",
        ),
        signature: |found| no_arguments("row_number", found, DataType::Int64),
        kind: WindowKind::RowNumber,
    },
    WindowFunction {
        name: "rank",
        aliases: &[],
        doc: documented(
            "rank() OVER (ORDER BY …)",
            "One more than the number of rows before the row and its peers.",
            "SELECT max(r) FROM (SELECT rank() OVER (ORDER BY x) AS r FROM (VALUES 1, 1, 2) AS t(x))",
            "3",
        ),
        signature: |found| no_arguments("rank", found, DataType::Int64),
        kind: WindowKind::Rank,
    },
    WindowFunction {
        name: "dense_rank",
        aliases: &[],
        doc: documented(
            "dense_rank() OVER (ORDER BY …)",
            "The number of different values up to the row's own.",
            "SELECT max(r) FROM (SELECT dense_rank() OVER (ORDER BY x) AS r FROM (VALUES 1, 1, 2) AS t(x))",
            "2",
        ),
        signature: |found| no_arguments("dense_rank", found, DataType::Int64),
        kind: WindowKind::DenseRank,
    },
    WindowFunction {
        name: "percent_rank",
        aliases: &[],
        doc: documented(
            "percent_rank() OVER (ORDER BY …)",
            "(rank - 1) / (rows - 1), and 0 in a partition of one row.",
            "SELECT max(r) FROM (SELECT percent_rank() OVER (ORDER BY x) AS r FROM (VALUES 1, 2) AS t(x))",
            "1.0",
        ),
        signature: |found| no_arguments("percent_rank", found, DataType::Float64),
        kind: WindowKind::PercentRank,
    },
    WindowFunction {
        name: "cume_dist",
        aliases: &[],
        doc: documented(
            "cume_dist() OVER (ORDER BY …)",
            "The share of rows that come before the row or are its peers.",
            "SELECT min(r) FROM (SELECT cume_dist() OVER (ORDER BY x) AS r FROM (VALUES 1, 2) AS t(x))",
            "0.5",
        ),
        signature: |found| no_arguments("cume_dist", found, DataType::Float64),
        kind: WindowKind::CumeDist,
    },
    WindowFunction {
        name: "ntile",
        aliases: &[],
        doc: documented(
            "ntile(n) OVER (…)",
            "The bucket of the row when the partition is cut into n of nearly equal size: 1 … n.",
            "SELECT max(b) FROM (SELECT ntile(2) OVER (ORDER BY x) AS b FROM (VALUES 1, 2, 3) AS t(x))",
            "2",
        ),
        signature: |found| match found {
            [n] if is_count(n) => Ok((vec![DataType::Int64], DataType::Int64)),
            _ => Err(wrong_arguments("ntile", "ntile(integer)", found)),
        },
        kind: WindowKind::Ntile,
    },
    WindowFunction {
        name: "first_value",
        aliases: &[],
        doc: documented(
            "first_value(x) [IGNORE NULLS] OVER (…)",
            "x of the frame's first row.",
            "SELECT max(f) FROM (SELECT first_value(x) OVER (ORDER BY x) AS f FROM (VALUES 1, 2) AS t(x))",
            "1",
        ),
        signature: |found| one_value("first_value", found),
        kind: WindowKind::FirstValue,
    },
    WindowFunction {
        name: "last_value",
        aliases: &[],
        doc: documented(
            "last_value(x) [IGNORE NULLS] OVER (…)",
            "x of the frame's last row; the frame ends at the current row and its peers unless told otherwise.",
            "SELECT max(l) FROM (SELECT last_value(x) OVER (ORDER BY x) AS l FROM (VALUES 1, 2) AS t(x))",
            "2",
        ),
        signature: |found| one_value("last_value", found),
        kind: WindowKind::LastValue,
    },
    WindowFunction {
        name: "nth_value",
        aliases: &[],
        doc: documented(
            "nth_value(x, n) [IGNORE NULLS] OVER (…)",
            "x of the frame's n-th row, counted from 1; NULL when the frame is shorter.",
            "SELECT max(v) FROM (SELECT nth_value(x, 2) OVER (ORDER BY x) AS v FROM (VALUES 5, 6) AS t(x))",
            "6",
        ),
        signature: |found| match found {
            [x, n] if is_count(n) => Ok((vec![x.clone(), DataType::Int64], x.clone())),
            _ => Err(wrong_arguments("nth_value", "nth_value(x, integer)", found)),
        },
        kind: WindowKind::NthValue,
    },
    WindowFunction {
        name: "lag",
        aliases: &[],
        doc: documented(
            "lag(x[, offset[, default]]) [IGNORE NULLS] OVER (ORDER BY …)",
            "x of the row that stands offset (1) rows before; the default (NULL) when there is none.",
            "SELECT max(l) FROM (SELECT lag(x) OVER (ORDER BY x) AS l FROM (VALUES 1, 2) AS t(x))",
            "1",
        ),
        signature: |found| neighbour("lag", found),
        kind: WindowKind::Lag,
    },
    WindowFunction {
        name: "lead",
        aliases: &[],
        doc: documented(
            "lead(x[, offset[, default]]) [IGNORE NULLS] OVER (ORDER BY …)",
            "x of the row that stands offset (1) rows after; the default (NULL) when there is none.",
            "SELECT max(l) FROM (SELECT lead(x) OVER (ORDER BY x) AS l FROM (VALUES 1, 2) AS t(x))",
            "2",
        ),
        signature: |found| neighbour("lead", found),
        kind: WindowKind::Lead,
    },
];

const fn documented(
    signature: &'static str,
    summary: &'static str,
    query: &'static str,
    result: &'static str,
) -> Documentation {
    Documentation {
        signature,
        summary,
        example: (query, result),
    }
}

fn no_arguments(name: &str, found: &[DataType], result: DataType) -> Result<(Vec<DataType>, DataType)> {
    match found {
        [] => Ok((vec![], result)),
        _ => Err(wrong_arguments(name, &format!("{name}()"), found)),
    }
}

fn one_value(name: &str, found: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match found {
        [x] => Ok((vec![x.clone()], x.clone())),
        _ => Err(wrong_arguments(name, &format!("{name}(x)"), found)),
    }
}

fn neighbour(name: &str, found: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    let wrong = || wrong_arguments(name, &format!("{name}(x[, offset[, default]])"), found);
    match found {
        [x] => Ok((vec![x.clone()], x.clone())),
        [x, offset] if is_count(offset) => Ok((vec![x.clone(), DataType::Int64], x.clone())),
        [x, offset, default] if is_count(offset) => {
            let t = common_type(x, default).ok_or_else(wrong)?;
            Ok((vec![t.clone(), DataType::Int64, t.clone()], t))
        }
        _ => Err(wrong()),
    }
}

fn is_count(t: &DataType) -> bool {
    is_integer(t) || *t == DataType::Null
}

/// The function of that name (lower case).
pub fn find(name: &str) -> Option<&'static WindowFunction> {
    FUNCTIONS.iter().find(|f| f.name == name || f.aliases.contains(&name))
}

impl std::fmt::Debug for WindowFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
