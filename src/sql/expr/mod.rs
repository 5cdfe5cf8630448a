//! Expressions: sqlparser's tree → typed [`Expr`]s over the columns of the scopes.

mod conditional;
mod functions;
mod lambda;
mod literal;
mod operators;
mod special;
mod subquery;

use super::bind::{Binder, Name, at, unsupported};
use super::tokens;
use crate::error::{Error, Result};
use crate::logical::{BinaryOp, Expr};
use crate::types::{DataType, ScalarValue, parse_type, type_name};
use sqlparser::ast::{self, AccessExpr, CastKind, Expr as Ast, Subscript};

impl Binder<'_> {
    /// One expression. Errors carry the place of the innermost part that has one.
    pub(super) fn expr(&mut self, e: &Ast) -> Result<Expr> {
        let bound = self.deeper(|b| b.expr_without_place(e));
        at(bound, e)
    }

    fn expr_without_place(&mut self, e: &Ast) -> Result<Expr> {
        match e {
            // Names and constants.
            Ast::Identifier(name) => self.name(name),
            Ast::CompoundIdentifier(parts) => self.resolve(parts),
            Ast::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Ast::Value(value) => self.value(value),
            Ast::TypedString(typed) => literal::typed_string(typed),
            Ast::Interval(interval) => self.interval(interval),
            Ast::Nested(inner) => self.expr(inner),

            // Operators.
            Ast::BinaryOp { left, op, right } => self.binary(e, left, op, right),
            Ast::UnaryOp { op, expr } => self.unary(op, expr),
            Ast::IsNull(x) => self.is_null(x, false),
            Ast::IsNotNull(x) => self.is_null(x, true),
            Ast::IsTrue(x) => self.is_boolean(x, true, false),
            Ast::IsNotTrue(x) => self.is_boolean(x, true, true),
            Ast::IsFalse(x) => self.is_boolean(x, false, false),
            Ast::IsNotFalse(x) => self.is_boolean(x, false, true),
            Ast::IsUnknown(x) => self.is_null(x, false),
            Ast::IsNotUnknown(x) => self.is_null(x, true),
            Ast::IsDistinctFrom(l, r) => self.comparison(BinaryOp::IsDistinctFrom, l, r),
            Ast::IsNotDistinctFrom(l, r) => self.comparison(BinaryOp::IsNotDistinctFrom, l, r),
            Ast::Between {
                expr,
                negated,
                low,
                high,
            } => self.between(expr, *negated, low, high),
            Ast::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Ast::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like(expr, pattern, escape_char.as_deref(), *negated, false),
            Ast::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like(expr, pattern, escape_char.as_deref(), *negated, true),
            Ast::RLike {
                negated, expr, pattern, ..
            } => self.regexp_like(expr, pattern, *negated),

            // Subqueries.
            Ast::Subquery(query) => self.scalar_subquery(query),
            Ast::Exists { subquery, negated } => self.exists(subquery, *negated),
            Ast::InSubquery {
                expr,
                subquery,
                negated,
            } => self.in_subquery(expr, subquery, *negated),
            Ast::InUnnest {
                expr,
                array_expr,
                negated,
            } => self.in_array(expr, array_expr, *negated),
            Ast::AnyOp {
                left,
                compare_op,
                right,
                ..
            } => self.any(left, compare_op, right, false),
            Ast::AllOp {
                left,
                compare_op,
                right,
            } => self.any(left, compare_op, right, true),

            // Functions and what looks like them.
            Ast::Function(f) => self.function(f),
            Ast::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref()),
            Ast::Cast {
                kind,
                expr,
                data_type,
                format,
            } => {
                if format.is_some() {
                    return Err(unsupported("CAST with FORMAT", e));
                }
                self.cast(expr, data_type, matches!(kind, CastKind::TryCast | CastKind::SafeCast))
            }
            Ast::Extract { field, expr, .. } => self.extract(field, expr),
            Ast::Ceil { expr, field } => self.round_toward("ceil", expr, field),
            Ast::Floor { expr, field } => self.round_toward("floor", expr, field),
            Ast::Position { expr, r#in } => self.call("strpos", &[r#in, expr]),
            Ast::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => self.substring(expr, substring_from.as_deref(), substring_for.as_deref()),
            Ast::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters,
            } => self.trim(*trim_where, trim_what.as_deref(), expr, trim_characters.as_deref()),
            Ast::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let mut arguments: Vec<&Ast> = vec![expr, overlay_what, overlay_from];
                arguments.extend(overlay_for.as_deref());
                self.call("overlay", &arguments)
            }
            Ast::AtTimeZone { timestamp, time_zone } => self.call("at_timezone", &[timestamp, time_zone]),

            // Arrays, maps, rows.
            Ast::Array(array) => self.call("array", &array.elem.iter().collect::<Vec<_>>()),
            Ast::Map(map) => self.map_literal(map),
            Ast::Tuple(parts) => self.call("row", &parts.iter().collect::<Vec<_>>()),

            other => Err(unsupported(rare_name(other), other)),
        }
    }

    /// A column, or one of the constants that are written without parentheses.
    fn name(&mut self, name: &ast::Ident) -> Result<Expr> {
        if let Some(found) = self.try_resolve(std::slice::from_ref(name))? {
            return Ok(found);
        }
        match name
            .quote_style
            .is_none()
            .then(|| self.session_value(&name.value.to_lowercase()))
        {
            Some(Some(value)) => Ok(Expr::literal(value)),
            _ => self.resolve(std::slice::from_ref(name)),
        }
    }

    /// A call of a scalar function by name.
    fn call(&mut self, name: &str, arguments: &[&Ast]) -> Result<Expr> {
        let arguments = arguments.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?;
        Expr::call(name, arguments)
    }

    fn cast(&mut self, e: &Ast, data_type: &ast::DataType, safe: bool) -> Result<Expr> {
        let name = data_type.to_string();
        let target = parse_type(&name)?;
        let value = self.expr(e)?;
        let was_text = value.data_type() == target;
        let value = value.cast_explicitly(&target, safe)?;
        // What is longer is cut, and only text can be too long without being wrong.
        match varchar_length(&name).filter(|_| was_text) {
            Some(length) => {
                let bounds = [1, length].map(|n| Expr::literal(ScalarValue::Int64(n)));
                Expr::call("substr", std::iter::once(value).chain(bounds).collect())
            }
            None => Ok(value),
        }
    }

    /// `a[1]`, `m['k']`, `r.f`, in any order.
    fn access(&mut self, root: &Ast, chain: &[AccessExpr]) -> Result<Expr> {
        // Leading points belong to the name: `t.a[1]` is column a of t.
        let mut name = match root {
            Ast::Identifier(first) => vec![first.clone()],
            _ => vec![],
        };
        let mut taken = 0;
        if !name.is_empty() {
            for step in chain {
                let AccessExpr::Dot(Ast::Identifier(part)) = step else {
                    break;
                };
                name.push(part.clone());
                taken += 1;
            }
        }
        let mut value = match name.is_empty() {
            true => self.expr(root)?,
            false => self.resolve(&name)?,
        };
        for step in chain.iter().skip(taken) {
            value = match step {
                AccessExpr::Dot(Ast::Identifier(field)) => at(value.field(&field.value), &Name(field))?,
                AccessExpr::Dot(other) => return Err(unsupported("this after a point", other)),
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let bound = self.expr(index)?;
                    at(subscript(value, bound), index)?
                }
                AccessExpr::Subscript(Subscript::Slice { .. }) => {
                    return Err(unsupported("a slice of an array", step).with_hint("use slice(array, start, length)"));
                }
            };
        }
        Ok(value)
    }

    /// `MAP {'a': 1}`
    fn map_literal(&mut self, map: &ast::Map) -> Result<Expr> {
        let keys: Vec<&Ast> = map.entries.iter().map(|e| e.key.as_ref()).collect();
        let values: Vec<&Ast> = map.entries.iter().map(|e| e.value.as_ref()).collect();
        let (keys, values) = (self.call("array", &keys)?, self.call("array", &values)?);
        Expr::call("map", vec![keys, values])
    }
}

/// `value[index]`: an element of an array, the value of a key, a field of a row by position.
fn subscript(value: Expr, index: Expr) -> Result<Expr> {
    let t = value.data_type();
    match &t {
        DataType::Struct(fields) => {
            let position = super::query::literal_integer(&index).and_then(|i| usize::try_from(i).ok());
            match position
                .and_then(|i| i.checked_sub(1))
                .and_then(|i| Some((i, fields.get(i)?)))
            {
                Some((i, f)) => Ok(Expr::FieldAccess {
                    expr: Box::new(value),
                    index: i,
                    data_type: f.data_type().clone(),
                }),
                None => Err(Error::plan(format!(
                    "{} is subscripted with a constant from 1 to {}",
                    type_name(&t),
                    fields.len()
                ))),
            }
        }
        DataType::List(_) | DataType::Map(..) | DataType::Null => Expr::call("subscript", vec![value, index]),
        other => Err(Error::plan(format!("{} has no elements", type_name(other)))),
    }
}

/// What an expression that is not supported is called.
fn rare_name(e: &Ast) -> &'static str {
    match e {
        Ast::JsonAccess { .. } => "the JSON path operator",
        Ast::IsJson { .. } => "IS JSON",
        Ast::IsNormalized { .. } => "IS NORMALIZED",
        Ast::SimilarTo { .. } => "SIMILAR TO",
        Ast::Like { .. } | Ast::ILike { .. } => "LIKE ANY",
        Ast::Convert { .. } => "CONVERT",
        Ast::Collate { .. } => "COLLATE",
        Ast::Lambda(_) => "a lambda function",
        Ast::GroupingSets(_) | Ast::Cube(_) | Ast::Rollup(_) => "GROUPING SETS, CUBE or ROLLUP outside of GROUP BY",
        Ast::Wildcard(_) | Ast::QualifiedWildcard(..) => "* in an expression",
        Ast::MatchAgainst { .. } => "MATCH … AGAINST",
        Ast::Prefixed { .. } => "a character set before a string",
        Ast::Named { .. } => "a named value outside of a row",
        Ast::Struct { .. } | Ast::Dictionary(_) => "a struct literal",
        _ => "this expression",
    }
}

/// The error for a lambda where values are expected.
pub(super) fn lambda_error(function: &str, part: &impl ast::Spanned) -> Error {
    Error::plan(format!("{function} takes no lambda")).with_span(tokens::span(part.span()))
}

/// The `n` of `varchar(n)`.
fn varchar_length(type_name: &str) -> Option<i64> {
    let (name, rest) = type_name.split_once('(')?;
    let is_varchar = ["varchar", "char varying", "character varying"]
        .iter()
        .any(|v| name.trim().eq_ignore_ascii_case(v));
    rest.strip_suffix(')')?.trim().parse().ok().filter(|_| is_varchar)
}
