//! `array_sort` with a comparison. The arrays of all rows are merged together, one comparison of each merge at a time.
//!
//! ```text
//! width 1:  3 1 | 4 2 | 5      pairs of runs are merged
//! width 2:  1 3   2 4 | 5      …
//! width 4:  1 2 3 4     5
//! ```

use super::super::Documentation;
use super::super::nested::Nested;
use super::{Elements, LambdaArguments, LambdaFunction, signature};
use crate::error::{Error, Result};
use crate::types::{DataType, is_integer};
use crate::vector::Column;
use arrow::array::*;
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use std::ops::Range;

pub(super) static FUNCTIONS: &[LambdaFunction] = &[LambdaFunction {
    name: "array_sort",
    aliases: &[],
    doc: Documentation {
        signature: "array_sort(array, (x, y) -> integer)",
        summary: "The elements in the order of a comparison, which is negative where x comes before y.",
        example: (
            "SELECT array_sort(ARRAY[3, 1, 2], (x, y) -> IF(x < y, 1, IF(x = y, 0, -1)))",
            "[3, 2, 1]",
        ),
    },
    typing: |t, lambdas| {
        let [list @ DataType::List(element)] = t else {
            return Ok(None);
        };
        let element = element.data_type();
        match (lambdas.bind)(0, &[element.clone(), element.clone()])? {
            order if is_integer(&order) => signature(t, DataType::Int64, list.clone()),
            _ => Ok(None),
        }
    },
    evaluate: array_sort,
}];

/// Two neighbouring runs that become one.
struct Merge {
    row: u32,
    left: Range<usize>,
    right: Range<usize>,
    /// Where the next one of them goes.
    to: usize,
}

fn array_sort(a: &LambdaArguments) -> Result<Column> {
    let lists = Nested::of(&a.values, 0)?;
    let elements = Elements::of(&a.values, &lists)?;
    let rows = || (0..a.values.work()).map(|row| (row as u32, elements.range(row)));
    let longest = rows().map(|(_, range)| range.len()).max().unwrap_or_default();
    let mut order = elements.positions.values().to_vec();
    let mut width = 1;
    while width < longest {
        let merges = rows().flat_map(|(row, range)| {
            let end = range.end;
            range
                .step_by(2 * width)
                .filter(move |start| start + width < end)
                .map(move |start| Merge {
                    row,
                    left: start..start + width,
                    right: start + width..end.min(start + 2 * width),
                    to: start,
                })
        });
        order = merged(a, lists.elements(), &order, merges.collect())?;
        width *= 2;
    }
    a.values
        .lists_unless(elements.nulls.clone(), &[lists.elements()], |row, out| {
            elements.range(row).for_each(|i| out.append_value(order[i]));
            Ok(Some(()))
        })
}

/// The positions `order` after the merges. Of equal elements the left one stays first.
fn merged(a: &LambdaArguments, child: &ArrayRef, order: &[u32], mut merges: Vec<Merge>) -> Result<Vec<u32>> {
    let mut result = order.to_vec();
    while !merges.is_empty() {
        let side = |i: fn(&Merge) -> usize| -> Result<ArrayRef> {
            let positions: UInt32Array = merges.iter().map(|m| order[i(m)]).collect();
            Ok(take(child, &positions, None)?)
        };
        let rows: Vec<u32> = merges.iter().map(|m| m.row).collect();
        let compared = a
            .lambda(0)?
            .call(&rows, vec![side(|m| m.left.start)?, side(|m| m.right.start)?])?;
        let compared = compared.as_primitive_opt::<Int64Type>();
        let compared = compared.ok_or_else(|| Error::internal("a comparison of elements gives no numbers"))?;
        if compared.null_count() > 0 {
            return Err(Error::execution("the comparison in array_sort gave NULL")
                .with_hint("NULL elements are compared, too: say where they belong"));
        }
        for (merge, order_of_two) in merges.iter_mut().zip(compared.values()) {
            let from = if *order_of_two <= 0 {
                &mut merge.left
            } else {
                &mut merge.right
            };
            result[merge.to] = order[from.start];
            from.start += 1;
            merge.to += 1;
            for rest in [merge.left.clone(), merge.right.clone()] {
                let alone = merge.left.is_empty() || merge.right.is_empty();
                if alone && !rest.is_empty() {
                    result[merge.to..merge.to + rest.len()].copy_from_slice(&order[rest]);
                }
            }
        }
        merges.retain(|m| !m.left.is_empty() && !m.right.is_empty());
    }
    Ok(result)
}
