//! `EXPLAIN (TYPE IO)`: the tables that a statement reads and writes as JSON, laid out as Trino does it.
//!
//! A column's constraint is what the conditions at its scan say of its values by comparisons with constants. Every row that
//! is used fulfils it; conditions of other forms are left out.

use crate::error::{Error, Result};
use crate::logical::statistics::estimate;
use crate::logical::{BinaryOp, Expr, LogicalPlan, Scan};
use crate::types::{ColumnId, ScalarValue, type_name};
use crate::vector::display::format_value;
use serde::Serialize;
use std::cmp::Ordering;

/// The only catalog, by the name that Athena gives it.
const CATALOG: &str = "awsdatacatalog";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputAndOutput {
    input_table_column_infos: Vec<Input>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_table: Option<TableId>,
    estimate: Rows,
}

#[derive(Serialize)]
struct Input {
    table: TableId,
    constraint: Constraint,
    estimate: Rows,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TableId {
    catalog: &'static str,
    schema_table: SchemaTable,
}

#[derive(Serialize)]
struct SchemaTable {
    schema: String,
    table: String,
}

/// What is expected to come out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rows {
    output_row_count: u64,
    output_size_in_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Constraint {
    /// Whether no row can fulfil it.
    none: bool,
    column_constraints: Vec<ColumnConstraint>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ColumnConstraint {
    column_name: String,
    #[serde(rename = "type")]
    data_type: String,
    domain: Domain,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Domain {
    nulls_allowed: bool,
    ranges: Vec<Range>,
}

#[derive(Serialize)]
struct Range {
    low: Marker,
    high: Marker,
}

/// An end of a range: at the value, or next to it; without a value there is no end.
#[derive(Serialize)]
struct Marker {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    bound: &'static str,
}

/// The tables that `plan` reads, each scan once, and the table with this schema and name that is written.
pub(super) fn input_and_output(plan: &LogicalPlan, output: Option<(String, String)>) -> Result<String> {
    let mut inputs = vec![];
    let mut failed = None;
    plan.visit(&mut |node| {
        if let LogicalPlan::Scan(scan) = node {
            match column_constraints(scan) {
                Ok(column_constraints) => inputs.push(Input {
                    table: table_id(
                        scan.table.name.database.as_deref().unwrap_or_default(),
                        &scan.table.name.name,
                    ),
                    constraint: Constraint {
                        none: false,
                        column_constraints,
                    },
                    estimate: rows(node),
                }),
                Err(e) => failed = Some(e),
            }
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let told = InputAndOutput {
        input_table_column_infos: inputs,
        output_table: output.map(|(schema, table)| table_id(&schema, &table)),
        estimate: rows(plan),
    };
    serde_json::to_string_pretty(&told).map_err(|e| Error::internal(format!("tables as JSON: {e}")))
}

fn table_id(schema: &str, table: &str) -> TableId {
    TableId {
        catalog: CATALOG,
        schema_table: SchemaTable {
            schema: schema.into(),
            table: table.into(),
        },
    }
}

fn rows(plan: &LogicalPlan) -> Rows {
    let expected = estimate(plan);
    Rows {
        output_row_count: expected.rows.round() as u64,
        output_size_in_bytes: (expected.rows * expected.row_bytes).round() as u64,
    }
}

fn column_constraints(scan: &Scan) -> Result<Vec<ColumnConstraint>> {
    let hidden = scan.filter_columns.iter().map(|(f, _)| f);
    let mut found = vec![];
    for field in scan.schema.iter().chain(hidden) {
        let mut values = Values::default();
        for filter in &scan.filters {
            values.narrow(filter, field.id);
        }
        if let Some(domain) = values.domain()? {
            found.push(ColumnConstraint {
                column_name: field.name.to_string(),
                data_type: type_name(&field.data_type),
                domain,
            });
        }
    }
    Ok(found)
}

/// The values that conditions leave to a column.
#[derive(Default)]
struct Values {
    /// Only NULL, or anything but NULL.
    null: Option<bool>,
    /// Some of these.
    listed: Option<Vec<ScalarValue>>,
    /// A bound, and whether it belongs to the values.
    low: Option<(ScalarValue, bool)>,
    high: Option<(ScalarValue, bool)>,
}

impl Values {
    fn narrow(&mut self, condition: &Expr, column: ColumnId) {
        let is_column = |e: &Expr| matches!(e, Expr::Column(f) if f.id == column);
        match condition {
            Expr::IsNull { expr, negated } if is_column(expr) => self.null = Some(!negated),
            Expr::InList {
                expr,
                list,
                negated: false,
            } if is_column(expr) => {
                let values: Option<Vec<ScalarValue>> = list.iter().map(constant).collect();
                if let Some(values) = values {
                    self.keep(values);
                }
            }
            Expr::Binary { op, left, right, .. } if is_column(left) => {
                if let Some(value) = constant(right) {
                    self.compare(*op, value);
                }
            }
            _ => {}
        }
    }

    fn compare(&mut self, op: BinaryOp, value: ScalarValue) {
        let tighter = |known: &Option<(ScalarValue, bool)>, closed: bool, when: Ordering| match known {
            None => true,
            Some((bound, _)) => match value.partial_compare(bound) {
                Some(Ordering::Equal) => !closed,
                order => order == Some(when),
            },
        };
        match op {
            BinaryOp::Equal => return self.keep(vec![value]),
            BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                let closed = op == BinaryOp::GreaterOrEqual;
                if tighter(&self.low, closed, Ordering::Greater) {
                    self.low = Some((value, closed));
                }
            }
            BinaryOp::Less | BinaryOp::LessOrEqual => {
                let closed = op == BinaryOp::LessOrEqual;
                if tighter(&self.high, closed, Ordering::Less) {
                    self.high = Some((value, closed));
                }
            }
            _ => return,
        }
        self.null = Some(false);
    }

    fn keep(&mut self, values: Vec<ScalarValue>) {
        self.null = Some(false);
        self.listed = Some(match self.listed.take() {
            None => values,
            Some(known) => known.into_iter().filter(|v| values.contains(v)).collect(),
        });
    }

    /// `None` when nothing is known.
    fn domain(self) -> Result<Option<Domain>> {
        let Some(only_null) = self.null else { return Ok(None) };
        let ranges = match (only_null, self.listed) {
            (true, _) => vec![],
            (false, Some(values)) => values
                .iter()
                .filter(|v| is_within(v, &self.low, Ordering::Greater) && is_within(v, &self.high, Ordering::Less))
                .map(|v| {
                    Ok(Range {
                        low: marker(Some(&(v.clone(), true)), "ABOVE")?,
                        high: marker(Some(&(v.clone(), true)), "BELOW")?,
                    })
                })
                .collect::<Result<_>>()?,
            (false, None) => vec![Range {
                low: marker(self.low.as_ref(), "ABOVE")?,
                high: marker(self.high.as_ref(), "BELOW")?,
            }],
        };
        Ok(Some(Domain {
            nulls_allowed: only_null,
            ranges,
        }))
    }
}

fn constant(e: &Expr) -> Option<ScalarValue> {
    match e {
        Expr::Literal(value, _) if !value.is_null() => Some(value.clone()),
        _ => None,
    }
}

/// Whether the value is on the side `inside` of the bound.
fn is_within(value: &ScalarValue, bound: &Option<(ScalarValue, bool)>, inside: Ordering) -> bool {
    bound
        .as_ref()
        .is_none_or(|(bound, closed)| match value.partial_compare(bound) {
            Some(Ordering::Equal) => *closed,
            order => order == Some(inside),
        })
}

/// `open` is the word for an end beside the value, and for no end.
fn marker(end: Option<&(ScalarValue, bool)>, open: &'static str) -> Result<Marker> {
    let Some((value, closed)) = end else {
        return Ok(Marker {
            value: None,
            bound: open,
        });
    };
    let mut text = String::new();
    format_value(&value.to_array(&value.data_type(), 1)?, 0, &mut text);
    Ok(Marker {
        value: Some(text),
        bound: if *closed { "EXACTLY" } else { open },
    })
}
