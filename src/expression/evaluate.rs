//! The value of each kind of node.

use super::lambda;
use super::program::{Frame, Kind, Node, NodeId};
use crate::error::{Error, Result};
use crate::functions::scalar::{Arguments, Properties, ScalarFunction};
use crate::types::{DataType, ScalarValue};
use crate::vector::arithmetic::{arithmetic, negate};
use crate::vector::cast::{cast_array, cast_column, mask_nulls};
use crate::vector::compare::{Comparison, compare};
use crate::vector::concat::concat;
use crate::vector::dictionary::{DictionaryCache, dictionary_parts, map_column, spread};
use crate::vector::like::like_rows;
use crate::vector::mask::set_positions;
use crate::vector::{Batch, Column};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Scalar, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::boolean::{and_kleene, or_kleene};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{interleave, not};
use std::sync::Arc;

/// `CASE` with at most this many branches that cannot fail evaluates them all and picks.
const PICKED_BRANCHES: usize = 3;
/// Up to this cost per row, a value is computed for all rows rather than for those that need it.
const CHEAP: u32 = 12;

impl Frame<'_> {
    pub(super) fn compute(&self, node: &Node) -> Result<Column> {
        match &node.kind {
            Kind::Column(index) => self.column(*index),
            Kind::Literal(value) => Ok(Column::Constant {
                value: value.clone(),
                rows: self.rows(),
            }),
            Kind::Arithmetic(op, l, r) => arithmetic(*op, &self.value(*l)?, &self.value(*r)?, &node.data_type),
            Kind::Compare(op, l, r, cache) => compare_coded(*op, &self.value(*l)?, &self.value(*r)?, cache),
            Kind::Concat(l, r) => concat(&self.value(*l)?, &self.value(*r)?, &node.data_type),
            Kind::And(parts) => self.connect(parts, false),
            Kind::Or(parts) => self.connect(parts, true),
            Kind::Not(child) => map_array(&self.value(*child)?, |a| Ok(Arc::new(not(&boolean(a)?)?))),
            Kind::Negate(child) => negate(&self.value(*child)?),
            Kind::IsNull { child, negated } => Ok(is_null(&self.value(*child)?, *negated)),
            Kind::Cast { child, safe, cache } => {
                map_column(&self.value(*child)?, cache, |a| cast_array(a, &node.data_type, *safe))
            }
            Kind::Case { branches, otherwise } => self.case(branches, *otherwise, &node.data_type),
            Kind::Like {
                child,
                matcher,
                negated,
                cache,
            } => map_column(&self.value(*child)?, cache, |a| {
                Ok(Arc::new(matcher.matches_array(text(a)?, *negated)))
            }),
            Kind::LikeRows {
                child,
                pattern,
                escape,
                case_insensitive,
                negated,
            } => {
                let (values, patterns) = (self.value(*child)?.to_array()?, self.value(*pattern)?.to_array()?);
                text(&values)?;
                text(&patterns)?;
                let found = like_rows(&values, &patterns, *escape, *case_insensitive, *negated)?;
                Ok(Column::Array(Arc::new(found)))
            }
            Kind::InSet {
                child,
                set,
                negated,
                cache,
            } => map_column(&self.value(*child)?, cache, |a| {
                Ok(Arc::new(set.contains(a, *negated)?))
            }),
            Kind::InList { child, list, negated } => self.in_list(*child, list, *negated),
            Kind::Function {
                function,
                arguments,
                cache,
            } => {
                let arguments = arguments.iter().map(|&a| self.value(a)).collect::<Result<Vec<_>>>()?;
                call(function, arguments, &node.data_type, self.rows(), cache)
            }
            Kind::LambdaCall {
                function,
                arguments,
                captured,
                lambdas,
            } => {
                let values = |ids: &[NodeId]| ids.iter().map(|&id| self.value(id)).collect::<Result<Vec<_>>>();
                let (arguments, captured) = (values(arguments)?, values(captured)?);
                lambda::call(function, arguments, &captured, lambdas, &node.data_type, self.rows())
            }
            Kind::FieldAccess(child, index) => map_array(&self.value(*child)?, |a| field(a, *index)),
            Kind::Try(child) => self.try_value(*child, &node.data_type),
        }
    }

    /// `AND` (`decisive` false) or `OR` (`decisive` true) in three-valued logic. Parts that can fail or are dear see
    /// only the rows that earlier parts have not decided.
    fn connect(&self, parts: &[NodeId], decisive: bool) -> Result<Column> {
        let rows = self.rows();
        let constant = |value: bool| Column::constant(&ScalarValue::Boolean(value), &DataType::Boolean, rows);
        let mut result: Option<BooleanArray> = None;
        for &part in parts {
            let Some(known) = &result else {
                let column = self.value(part)?;
                match column.constant_value().and_then(|v| v.as_bool()) {
                    Some(value) if value == decisive => return constant(decisive),
                    Some(_) => {}
                    None => result = Some(boolean(&column.to_array()?)?),
                }
                continue;
            };
            let open = undecided(known, decisive);
            let count = open.count_set_bits();
            if count == 0 {
                break;
            }
            let next = if self.should_narrow(part, count)? {
                let positions = set_positions(&open);
                let some = boolean(&self.narrow(&positions).value(part)?.to_array()?)?;
                scatter(&some, &positions, rows, decisive)
            } else {
                boolean(&self.value(part)?.to_array()?)?
            };
            result = Some(if decisive {
                or_kleene(known, &next)?
            } else {
                and_kleene(known, &next)?
            });
        }
        match result {
            Some(result) => Ok(Column::Array(Arc::new(result))),
            None => constant(!decisive),
        }
    }

    /// Whether a node is better (or must be) evaluated only for `count` of this frame's rows.
    pub(super) fn should_narrow(&self, id: NodeId, count: usize) -> Result<bool> {
        let node = self.node(id)?;
        let rows = self.rows();
        Ok(count < rows && (node.can_fail || count * 16 < rows || (node.cost > CHEAP && count * 2 < rows)))
    }

    /// `x = a OR x = b OR …`
    fn in_list(&self, child: NodeId, list: &[NodeId], negated: bool) -> Result<Column> {
        let value = self.value(child)?;
        let mut found = BooleanArray::new(BooleanBuffer::new_unset(self.rows()), None);
        for &item in list {
            let open = undecided(&found, true);
            let count = open.count_set_bits();
            if count == 0 {
                break;
            }
            let next = if self.node(item)?.can_fail && count < self.rows() {
                let positions = set_positions(&open);
                let item = self.narrow(&positions).value(item)?;
                let equal = compare(Comparison::Equal, &value.gather(&positions)?, &item)?;
                scatter(&boolean(&equal.to_array()?)?, &positions, self.rows(), true)
            } else {
                boolean(&compare(Comparison::Equal, &value, &self.value(item)?)?.to_array()?)?
            };
            found = or_kleene(&found, &next)?;
        }
        let found = if negated { not(&found)? } else { found };
        Ok(Column::Array(Arc::new(found)))
    }

    fn case(&self, branches: &[(NodeId, NodeId)], otherwise: NodeId, data_type: &DataType) -> Result<Column> {
        let mut nodes = branches.iter().flat_map(|&(c, v)| [c, v]).chain([otherwise]);
        let all_cheap = nodes.try_fold(true, |all, id| {
            let node = self.node(id)?;
            Ok::<_, Error>(all && !node.can_fail && node.cost <= CHEAP)
        })?;
        // The first condition is evaluated for all rows in any case.
        let first_cheap = match branches {
            [(_, v)] => {
                let (v, e) = (self.node(*v)?, self.node(otherwise)?);
                !v.can_fail && !e.can_fail && v.cost <= CHEAP && e.cost <= CHEAP
            }
            _ => false,
        };
        if first_cheap || (all_cheap && branches.len() <= PICKED_BRANCHES) {
            return self.case_by_picking(branches, otherwise, data_type);
        }
        let mut pieces = Pieces::new(self.rows());
        let all: Vec<u32> = (0..self.rows() as u32).collect();
        self.case_by_rows(branches, otherwise, &all, &mut pieces)?;
        pieces.assemble(data_type)
    }

    fn case_by_picking(
        &self,
        branches: &[(NodeId, NodeId)],
        otherwise: NodeId,
        data_type: &DataType,
    ) -> Result<Column> {
        let mut result = self.value(otherwise)?;
        for &(condition, value) in branches.iter().rev() {
            let condition = self.value(condition)?;
            match condition.constant_value() {
                Some(ScalarValue::Boolean(true)) => result = self.value(value)?,
                Some(_) => {}
                None => {
                    let mask = boolean(&condition.to_array()?)?;
                    let (yes, no) = (datum(&self.value(value)?, data_type)?, datum(&result, data_type)?);
                    result = Column::Array(zip(&mask, yes.as_ref(), no.as_ref())?);
                }
            }
        }
        Ok(result)
    }

    /// Takes the branches one after the other, each for the rows that are left; `rows` are this frame's rows as
    /// positions in the result.
    fn case_by_rows(
        &self,
        branches: &[(NodeId, NodeId)],
        otherwise: NodeId,
        rows: &[u32],
        pieces: &mut Pieces,
    ) -> Result<()> {
        let Some((&(condition, value), rest)) = branches.split_first() else {
            return pieces.add(self.value(otherwise)?, rows);
        };
        let condition = boolean(&self.value(condition)?.to_array()?)?;
        let taken = undecided_not(&condition);
        let (yes, no): (Vec<u32>, Vec<u32>) = (0..self.rows() as u32).partition(|&i| taken.value(i as usize));
        let at = |positions: &[u32]| -> Vec<u32> {
            positions
                .iter()
                .filter_map(|&i| rows.get(i as usize).copied())
                .collect()
        };
        if no.is_empty() {
            return pieces.add(self.value(value)?, rows);
        }
        if !yes.is_empty() {
            pieces.add(self.narrow(&yes).value(value)?, &at(&yes))?;
        }
        if yes.is_empty() {
            return self.case_by_rows(rest, otherwise, rows, pieces);
        }
        self.narrow(&no).case_by_rows(rest, otherwise, &at(&no), pieces)
    }
}

/// Results of branches and which row takes its value from where.
struct Pieces {
    arrays: Vec<ArrayRef>,
    places: Vec<(usize, usize)>,
    whole: Option<Column>,
}

impl Pieces {
    fn new(rows: usize) -> Self {
        Self {
            arrays: vec![],
            places: vec![(0, 0); rows],
            whole: None,
        }
    }

    fn add(&mut self, column: Column, rows: &[u32]) -> Result<()> {
        let piece = self.arrays.len();
        let (array, single) = column.as_array_or_single()?;
        for (i, &row) in rows.iter().enumerate() {
            if let Some(place) = self.places.get_mut(row as usize) {
                *place = (piece, if single { 0 } else { i });
            }
        }
        self.arrays.push(array);
        self.whole = (rows.len() == self.places.len()).then_some(column);
        Ok(())
    }

    fn assemble(self, data_type: &DataType) -> Result<Column> {
        if let Some(column) = self.whole {
            return Ok(column);
        }
        let arrays = self.arrays.iter().map(|a| cast_array(a, data_type, false));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let views: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
        Ok(Column::Array(interleave(&views, &self.places)?))
    }
}

/// Comparison; with a dictionary on one side and a constant on the other, once per dictionary value.
fn compare_coded(op: Comparison, left: &Column, right: &Column, cache: &DictionaryCache) -> Result<Column> {
    let null_safe = matches!(op, Comparison::Distinct | Comparison::NotDistinct);
    let by_value = |coded: &Column, function: &dyn Fn(Column, Column) -> Result<Column>, constant: &ArrayRef| {
        map_column(coded, cache, |values| {
            let rows = values.len();
            let constant = Column::Constant {
                value: constant.clone(),
                rows,
            };
            function(Column::Array(values.clone()), constant)?.to_array()
        })
    };
    match (left, right) {
        (Column::Array(_), Column::Constant { value, .. }) if !null_safe && dictionary_parts(left).is_some() => {
            by_value(left, &|l, r| compare(op, &l, &r), value)
        }
        (Column::Constant { value, .. }, Column::Array(_)) if !null_safe && dictionary_parts(right).is_some() => {
            by_value(right, &|r, l| compare(op, &l, &r), value)
        }
        _ => compare(op, left, right),
    }
}

/// Applies a function of an array to the plain form of a column, once for a constant.
fn map_array(column: &Column, function: impl FnOnce(&ArrayRef) -> Result<ArrayRef>) -> Result<Column> {
    Ok(match column {
        Column::Constant { value, rows } => Column::Constant {
            value: function(value)?,
            rows: *rows,
        },
        Column::Array(_) => Column::Array(function(&column.to_array()?)?),
    })
}

pub(super) fn boolean(array: &ArrayRef) -> Result<BooleanArray> {
    match array.data_type() {
        DataType::Boolean => Ok(array.as_boolean().clone()),
        DataType::Null => Ok(BooleanArray::new_null(array.len())),
        other => Err(Error::internal(format!("{other} where a condition was expected"))),
    }
}

fn text(array: &ArrayRef) -> Result<&arrow::array::StringViewArray> {
    let text = array.as_string_view_opt();
    text.ok_or_else(|| Error::internal(format!("LIKE over {}", array.data_type())))
}

/// Rows that are not `decisive` yet: the opposite or NULL.
fn undecided(known: &BooleanArray, decisive: bool) -> BooleanBuffer {
    let opposite = if decisive {
        !known.values()
    } else {
        known.values().clone()
    };
    match known.nulls() {
        Some(nulls) => &opposite | &!nulls.inner(),
        None => opposite,
    }
}

/// Rows that are true.
fn undecided_not(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        Some(nulls) => condition.values() & nulls.inner(),
        None => condition.values().clone(),
    }
}

/// `values` at `positions` of `rows` rows, `filler` elsewhere.
fn scatter(values: &BooleanArray, positions: &[u32], rows: usize, filler: bool) -> BooleanArray {
    let (mut bits, mut valid) = (vec![filler; rows], vec![true; rows]);
    for (i, &position) in positions.iter().enumerate() {
        if let (Some(bit), Some(slot)) = (bits.get_mut(position as usize), valid.get_mut(position as usize)) {
            *bit = values.value(i);
            *slot = values.is_valid(i);
        }
    }
    let nulls = values.nulls().map(|_| NullBuffer::from(valid));
    BooleanArray::new(BooleanBuffer::from(bits), nulls)
}

/// The column as arrow's array-or-scalar, of exactly the type `t` (names of nested fields included).
fn datum(column: &Column, t: &DataType) -> Result<Box<dyn Datum>> {
    Ok(match column {
        Column::Constant { value, .. } => Box::new(Scalar::new(cast_array(value, t, false)?)),
        Column::Array(_) => Box::new(cast_array(&column.to_array()?, t, false)?),
    })
}

fn is_null(column: &Column, negated: bool) -> Column {
    let of = |array: &ArrayRef| -> ArrayRef {
        let bits = match array.logical_nulls() {
            Some(nulls) if negated => nulls.inner().clone(),
            Some(nulls) => !nulls.inner(),
            None if negated => BooleanBuffer::new_set(array.len()),
            None => BooleanBuffer::new_unset(array.len()),
        };
        Arc::new(BooleanArray::new(bits, None))
    };
    match column {
        Column::Constant { value, rows } => Column::Constant {
            value: of(value),
            rows: *rows,
        },
        Column::Array(array) if array.logical_null_count() == 0 => {
            let value: ArrayRef = Arc::new(BooleanArray::from(vec![negated]));
            Column::Constant {
                value,
                rows: array.len(),
            }
        }
        Column::Array(array) => Column::Array(of(array)),
    }
}

/// Field `index` of a row; NULL where the row is NULL.
fn field(array: &ArrayRef, index: usize) -> Result<ArrayRef> {
    let row = array
        .as_struct_opt()
        .ok_or_else(|| Error::internal(format!("a field of {}", array.data_type())))?;
    let column = row
        .columns()
        .get(index)
        .ok_or_else(|| Error::internal(format!("field {index} of a row with {} fields", row.num_columns())))?;
    match row.nulls() {
        Some(nulls) => mask_nulls(column, nulls),
        None => Ok(column.clone()),
    }
}

/// Calls a function: once when everything is constant, once per dictionary value when one argument is coded and the
/// others are constant, else on plain arrays.
fn call(
    function: &'static ScalarFunction,
    arguments: Vec<Column>,
    result_type: &DataType,
    rows: usize,
    cache: &DictionaryCache,
) -> Result<Column> {
    let run = |columns: &[Column], rows: usize| {
        (function.evaluate)(&Arguments {
            columns,
            rows,
            result_type,
        })
        .and_then(|column| checked_result(function.name, column, rows, result_type))
    };
    let with_rows = |rows: usize, coded: Option<&ArrayRef>| -> Vec<Column> {
        let one = |argument: &Column| match (argument, coded) {
            (Column::Constant { value, .. }, _) => Column::Constant {
                value: value.clone(),
                rows,
            },
            (Column::Array(_), Some(values)) => Column::Array(values.clone()),
            (Column::Array(array), None) => Column::Array(array.clone()),
        };
        arguments.iter().map(one).collect()
    };
    let deterministic = function.properties != Properties::Volatile;
    let mut varying = arguments.iter().filter(|a| !a.is_constant());
    match (varying.next(), varying.next()) {
        (None, _) if deterministic => {
            let value = run(&with_rows(1, None), 1)?.to_array()?;
            return Ok(Column::Constant { value, rows });
        }
        (Some(only), None) if deterministic => {
            if let Some((keys, values)) = dictionary_parts(only)
                && let Some(result) =
                    cache.evaluate(values, rows, |v| run(&with_rows(v.len(), Some(v)), v.len())?.to_array())
                && (keys.null_count() == 0 || null_gives_null(&run, &with_rows, values.data_type()))
            {
                return spread(keys, &result);
            }
        }
        _ => {}
    }
    let plain = |column: &Column| match column {
        Column::Constant { .. } => Ok(column.clone()),
        Column::Array(_) => column.to_array().map(Column::Array),
    };
    run(&arguments.iter().map(plain).collect::<Result<Vec<_>>>()?, rows)
}

/// Whether NULL codes may stay NULL: `coalesce(x, 'a')` and its like give them a value.
fn null_gives_null(
    run: &dyn Fn(&[Column], usize) -> Result<Column>,
    with_rows: &dyn Fn(usize, Option<&ArrayRef>) -> Vec<Column>,
    t: &DataType,
) -> bool {
    let null = new_null_array(t, 1);
    let result = run(&with_rows(1, Some(&null)), 1).and_then(|column| column.to_array());
    result.is_ok_and(|array| array.is_null(0))
}

/// The result when it has the right number of rows; nested types take the field names that the plan gave them.
pub(super) fn checked_result(function: &str, column: Column, rows: usize, t: &DataType) -> Result<Column> {
    if column.len() == rows {
        let renamed = t.is_nested() && column.data_type() != t;
        return if renamed {
            cast_column(&column, t, false)
        } else {
            Ok(column)
        };
    }
    Err(Error::internal(format!(
        "function {function} gave {} rows for {rows}",
        column.len()
    )))
}

impl super::PhysicalExpr {
    /// The value of an expression without columns and volatile functions; `None` when it has some or fails.
    pub fn fold(&self) -> Option<ScalarValue> {
        if let Self::Literal(value, _) = self {
            return Some(value.clone());
        }
        if !self.is_constant() {
            return None;
        }
        let one_row = Batch::new(vec![], 1);
        self.evaluate(&one_row).ok()?.scalar(0).ok()
    }
}
