//! Operators. Chains lean to the left and may be thousands of links long, so their left side is walked in a loop.

use super::super::bind::{Binder, MAX_DEPTH, at, too_deep, unsupported};
use super::lambda_error;
use crate::error::{Error, Result};
use crate::logical::{BinaryOp, Expr};
use crate::types::{DataType, ScalarValue, is_integer, is_string, type_name};
use sqlparser::ast::{BinaryOperator, Expr as Ast, UnaryOperator, Value};

/// What a written operator means.
enum Meaning {
    Arithmetic(BinaryOp),
    Comparison(BinaryOp),
    Concat,
    /// A function of both operands.
    Function(&'static str),
    NotFunction(&'static str),
    IntegerDivision,
}

fn meaning(op: &BinaryOperator) -> Option<Meaning> {
    use BinaryOperator as O;
    Some(match op {
        O::Plus => Meaning::Arithmetic(BinaryOp::Add),
        O::Minus => Meaning::Arithmetic(BinaryOp::Subtract),
        O::Multiply => Meaning::Arithmetic(BinaryOp::Multiply),
        O::Divide => Meaning::Arithmetic(BinaryOp::Divide),
        O::Modulo => Meaning::Arithmetic(BinaryOp::Modulo),
        O::Eq => Meaning::Comparison(BinaryOp::Equal),
        O::NotEq => Meaning::Comparison(BinaryOp::NotEqual),
        O::Lt => Meaning::Comparison(BinaryOp::Less),
        O::LtEq => Meaning::Comparison(BinaryOp::LessOrEqual),
        O::Gt => Meaning::Comparison(BinaryOp::Greater),
        O::GtEq => Meaning::Comparison(BinaryOp::GreaterOrEqual),
        O::Spaceship => Meaning::Comparison(BinaryOp::IsNotDistinctFrom),
        O::StringConcat => Meaning::Concat,
        O::BitwiseAnd => Meaning::Function("bitwise_and"),
        O::BitwiseOr => Meaning::Function("bitwise_or"),
        O::BitwiseXor | O::PGBitwiseXor => Meaning::Function("bitwise_xor"),
        O::PGBitwiseShiftLeft => Meaning::Function("bitwise_left_shift"),
        O::PGBitwiseShiftRight => Meaning::Function("bitwise_right_shift"),
        O::PGExp => Meaning::Function("power"),
        O::Regexp | O::PGRegexMatch => Meaning::Function("regexp_like"),
        O::PGRegexNotMatch => Meaning::NotFunction("regexp_like"),
        O::MyIntegerDivide | O::DuckIntegerDivide => Meaning::IntegerDivision,
        _ => return None,
    })
}

impl Binder<'_> {
    /// `left op right`.
    pub(super) fn binary(&mut self, whole: &Ast, left: &Ast, op: &BinaryOperator, right: &Ast) -> Result<Expr> {
        match op {
            BinaryOperator::And => self.chain(whole, &BinaryOperator::And),
            BinaryOperator::Or => self.chain(whole, &BinaryOperator::Or),
            BinaryOperator::Arrow => Err(lambda_error("this expression", whole)),
            _ => self.left_spine(left, op, right),
        }
    }

    /// `a AND b AND c`, `a OR b OR c`: one flat node.
    fn chain(&mut self, whole: &Ast, link: &BinaryOperator) -> Result<Expr> {
        let mut operands = vec![];
        let mut current = whole;
        loop {
            match current {
                Ast::BinaryOp { left, op, right } if op == link => {
                    operands.push(right.as_ref());
                    current = left;
                }
                first => {
                    operands.push(first);
                    break;
                }
            }
        }
        let name = if *link == BinaryOperator::And { "AND" } else { "OR" };
        let mut parts = vec![];
        for operand in operands.into_iter().rev() {
            let bound = self.expr(operand)?;
            parts.push(at(bound.to_boolean(name), operand)?);
        }
        Ok(match link {
            BinaryOperator::And => Expr::and(parts),
            _ => Expr::or(parts),
        })
    }

    /// `a + b - c * d`: the operands from left to right.
    fn left_spine(&mut self, left: &Ast, op: &BinaryOperator, right: &Ast) -> Result<Expr> {
        let mut links = vec![(op, left, right)];
        let mut first = left;
        while let Ast::BinaryOp { left, op, right } = first {
            if matches!(op, BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Arrow) {
                break;
            }
            links.push((op, left, right));
            first = left;
        }
        if links.len() + self.depth > MAX_DEPTH {
            return Err(too_deep());
        }
        if let (Ast::Tuple(l), [(op, _, Ast::Tuple(r))]) = (first, links.as_slice()) {
            return self.tuple_comparison(op, l, r);
        }
        let mut value = self.expr(first)?;
        for (op, written_left, right) in links.into_iter().rev() {
            let operand = self.expr(right)?;
            value = apply(op, value, operand).map_err(|e| {
                let from = super::tokens::span(sqlparser::ast::Spanned::span(written_left));
                let to = super::tokens::span(sqlparser::ast::Spanned::span(right));
                e.with_span(crate::error::Span {
                    start: from.start,
                    end: to.end,
                })
            })?;
        }
        Ok(value)
    }

    pub(super) fn comparison(&mut self, op: BinaryOp, left: &Ast, right: &Ast) -> Result<Expr> {
        let (l, r) = (self.expr(left)?, self.expr(right)?);
        Expr::comparison(op, l, r)
    }

    /// `(a, b) = (c, d)`: part by part.
    fn tuple_comparison(&mut self, op: &BinaryOperator, left: &[Ast], right: &[Ast]) -> Result<Expr> {
        if left.len() != right.len() {
            return Err(Error::plan(format!(
                "rows of {} and {} values do not compare",
                left.len(),
                right.len()
            )));
        }
        let mut parts = vec![];
        for (l, r) in left.iter().zip(right) {
            parts.push(self.comparison(BinaryOp::Equal, l, r)?);
        }
        match op {
            BinaryOperator::Eq => Ok(Expr::and(parts)),
            BinaryOperator::NotEq => Expr::and(parts).not(),
            _ => self.tuple_order(op, left, right),
        }
    }

    /// `(a, b) < (c, d)`: the first parts that differ decide.
    fn tuple_order(&mut self, op: &BinaryOperator, left: &[Ast], right: &[Ast]) -> Result<Expr> {
        let (strict, last) = match op {
            BinaryOperator::Lt => (BinaryOp::Less, BinaryOp::Less),
            BinaryOperator::LtEq => (BinaryOp::Less, BinaryOp::LessOrEqual),
            BinaryOperator::Gt => (BinaryOp::Greater, BinaryOp::Greater),
            BinaryOperator::GtEq => (BinaryOp::Greater, BinaryOp::GreaterOrEqual),
            _ => return Err(Error::unsupported(format!("rows do not take the operator {op}"))),
        };
        let pairs: Vec<(&Ast, &Ast)> = left.iter().zip(right).collect();
        let Some(((l, r), before)) = pairs.split_last() else {
            return Err(Error::plan("rows without values do not compare"));
        };
        let mut result = self.comparison(last, l, r)?;
        for (l, r) in before.iter().rev() {
            let (less, equal) = (self.comparison(strict, l, r)?, self.comparison(BinaryOp::Equal, l, r)?);
            result = Expr::or([less, Expr::and([equal, result])]);
        }
        Ok(result)
    }

    pub(super) fn unary(&mut self, op: &UnaryOperator, e: &Ast) -> Result<Expr> {
        match op {
            UnaryOperator::Minus => {
                // The digits of the smallest bigint alone are no bigint.
                if let Ast::Value(v) = e
                    && let Value::Number(n, _) = &v.value
                    && n == "9223372036854775808"
                {
                    return Ok(Expr::literal(ScalarValue::Int64(i64::MIN)));
                }
                self.expr(e)?.negation()
            }
            UnaryOperator::Plus => self.expr(e),
            UnaryOperator::Not | UnaryOperator::BangNot => self.expr(e)?.not(),
            UnaryOperator::BitwiseNot => self.call("bitwise_not", &[e]),
            _ => Err(unsupported("this operator", e)),
        }
    }

    pub(super) fn is_null(&mut self, e: &Ast, negated: bool) -> Result<Expr> {
        Ok(Expr::IsNull {
            expr: Box::new(self.expr(e)?),
            negated,
        })
    }

    /// `x IS [NOT] TRUE`, `x IS [NOT] FALSE`: never NULL.
    pub(super) fn is_boolean(&mut self, e: &Ast, value: bool, negated: bool) -> Result<Expr> {
        let op = match negated {
            true => BinaryOp::IsDistinctFrom,
            false => BinaryOp::IsNotDistinctFrom,
        };
        let operand = self.expr(e)?.to_boolean("IS TRUE")?;
        Ok(Expr::compare(op, operand, Expr::boolean(value)))
    }

    /// `x BETWEEN low AND high` is `x >= low AND x <= high`.
    pub(super) fn between(&mut self, e: &Ast, negated: bool, low: &Ast, high: &Ast) -> Result<Expr> {
        let value = self.expr(e)?;
        let again = self.repeat(&value)?;
        let (low, high) = (self.expr(low)?, self.expr(high)?);
        let range = Expr::and([
            Expr::comparison(BinaryOp::GreaterOrEqual, value, low)?,
            Expr::comparison(BinaryOp::LessOrEqual, again, high)?,
        ]);
        match negated {
            true => range.not(),
            false => Ok(range),
        }
    }

    pub(super) fn in_list(&mut self, e: &Ast, list: &[Ast], negated: bool) -> Result<Expr> {
        if let Ast::Tuple(left) = e {
            return self.tuple_in_list(left, list, negated);
        }
        let value = self.expr(e)?;
        let list = list.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>>>()?;
        value.in_list(list, negated)
    }

    /// `(a, b) IN ((1, 2), (3, 4))`
    fn tuple_in_list(&mut self, left: &[Ast], list: &[Ast], negated: bool) -> Result<Expr> {
        let mut rows = vec![];
        for item in list {
            let Ast::Tuple(right) = item else {
                return Err(unsupported("a value that is no row in a list of rows", item));
            };
            rows.push(self.tuple_comparison(&BinaryOperator::Eq, left, right)?);
        }
        match negated {
            true => Expr::or(rows).not(),
            false => Ok(Expr::or(rows)),
        }
    }

    pub(super) fn like(
        &mut self,
        e: &Ast,
        pattern: &Ast,
        escape: Option<&Ast>,
        negated: bool,
        case_insensitive: bool,
    ) -> Result<Expr> {
        let escape = match escape {
            None => None,
            Some(written) => {
                let bound = self.expr(written)?;
                let text = match &bound {
                    Expr::Literal(value, _) => value.as_str().unwrap_or_default(),
                    _ => "",
                };
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => Some(c),
                    _ => return at(Err(Error::plan("ESCAPE needs one character")), written),
                }
            }
        };
        let (value, pattern) = (self.expr(e)?, self.expr(pattern)?);
        value.like(pattern, escape, negated, case_insensitive)
    }

    pub(super) fn regexp_like(&mut self, e: &Ast, pattern: &Ast, negated: bool) -> Result<Expr> {
        let matches = self.call("regexp_like", &[e, pattern])?;
        match negated {
            true => matches.not(),
            false => Ok(matches),
        }
    }
}

fn apply(op: &BinaryOperator, left: Expr, right: Expr) -> Result<Expr> {
    match meaning(op) {
        Some(Meaning::Arithmetic(op)) => with_text_as_dates(op, left, right),
        Some(Meaning::Comparison(op)) => Expr::comparison(op, left, right),
        Some(Meaning::Concat) => Expr::concatenation(left, right),
        Some(Meaning::Function(name)) => Expr::call(name, vec![left, right]),
        Some(Meaning::NotFunction(name)) => Expr::call(name, vec![left, right])?.not(),
        Some(Meaning::IntegerDivision) => {
            for side in [&left, &right] {
                let t = side.data_type();
                if !is_integer(&t) && t != DataType::Null {
                    return Err(Error::plan(format!("DIV needs integers, found {}", type_name(&t))));
                }
            }
            Expr::arithmetic(BinaryOp::Divide, left, right)
        }
        None => Err(Error::unsupported(format!("operator {op} is not supported"))),
    }
}

/// Arithmetic; the error for text says what to do.
fn with_text_as_dates(op: BinaryOp, left: Expr, right: Expr) -> Result<Expr> {
    let has_text = [&left, &right].iter().any(|e| is_string(&e.data_type()));
    let result = Expr::arithmetic(op, left, right);
    match has_text {
        true => result.map_err(|e| e.with_hint("cast text to a number, or join text with ||")),
        false => result,
    }
}
