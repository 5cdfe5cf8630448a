//! CASE, and the functions that are CASE in disguise: their arguments are evaluated only when needed.

use super::super::bind::Binder;
use crate::error::{Error, Result};
use crate::logical::{BinaryOp, Expr};
use sqlparser::ast::{CaseWhen, Expr as Ast};

impl Binder<'_> {
    /// `CASE WHEN …` and `CASE x WHEN …`.
    pub(super) fn case(
        &mut self,
        operand: Option<&Ast>,
        conditions: &[CaseWhen],
        otherwise: Option<&Ast>,
    ) -> Result<Expr> {
        let operand = operand.map(|e| self.expr(e)).transpose()?;
        let mut branches = vec![];
        for branch in conditions {
            let condition = self.expr(&branch.condition)?;
            let condition = match &operand {
                Some(operand) => {
                    let operand = self.repeat(operand)?;
                    super::at(Expr::comparison(BinaryOp::Equal, operand, condition), &branch.condition)?
                }
                None => condition,
            };
            branches.push((condition, self.expr(&branch.result)?));
        }
        let otherwise = otherwise.map(|e| self.expr(e)).transpose()?;
        Expr::case(branches, otherwise)
    }

    /// The function as CASE; `None` when `name` is another function.
    pub(super) fn conditional(&mut self, name: &str, arguments: &[&Ast]) -> Result<Option<Expr>> {
        let expects = |n: std::ops::RangeInclusive<usize>, signature: &str| match n.contains(&arguments.len()) {
            true => Ok(()),
            false => {
                Err(Error::plan(format!("{name} takes other arguments")).with_hint(format!("expected {signature}")))
            }
        };
        let bound = |b: &mut Self| arguments.iter().map(|e| b.expr(e)).collect::<Result<Vec<Expr>>>();
        Ok(Some(match name {
            "if" | "iff" => {
                expects(2..=3, "if(condition, value[, otherwise])")?;
                let mut values = bound(self)?.into_iter();
                match (values.next(), values.next(), values.next()) {
                    (Some(condition), Some(value), otherwise) => Expr::case(vec![(condition, value)], otherwise)?,
                    _ => return Err(Error::internal("if has two arguments")),
                }
            }
            "coalesce" | "nvl" | "ifnull" => {
                match name {
                    "coalesce" => expects(1..=usize::MAX, "coalesce(value, …)")?,
                    _ => expects(2..=2, &format!("{name}(value, value_if_null)"))?,
                }
                let values = bound(self)?;
                self.coalesce(values)?
            }
            "nullif" => {
                expects(2..=2, "nullif(value, null_value)")?;
                let values = bound(self)?;
                let [value, null_value] = two(values)?;
                let again = self.repeat(&value)?;
                let equal = Expr::comparison(BinaryOp::Equal, again, null_value)?;
                let null = Expr::null(value.data_type());
                Expr::case(vec![(equal, null)], Some(value))?
            }
            "nvl2" => {
                expects(3..=3, "nvl2(value, if_not_null, if_null)")?;
                let mut values = bound(self)?;
                let (if_null, if_present) = (values.pop(), values.pop());
                match (values.pop(), if_present) {
                    (Some(value), Some(if_present)) => Expr::case(vec![(value.is_present(), if_present)], if_null)?,
                    _ => return Err(Error::internal("nvl2 has three arguments")),
                }
            }
            "decode" if arguments.len() > 2 => {
                let values = bound(self)?;
                self.decode(values)?
            }
            "equal_null" => {
                expects(2..=2, "equal_null(a, b)")?;
                let [a, b] = two(bound(self)?)?;
                Expr::comparison(BinaryOp::IsNotDistinctFrom, a, b)?
            }
            "isnull" | "isnotnull" => {
                expects(1..=1, &format!("{name}(value)"))?;
                let values = bound(self)?;
                match values.into_iter().next() {
                    Some(value) => Expr::IsNull {
                        expr: Box::new(value),
                        negated: name == "isnotnull",
                    },
                    None => return Err(Error::internal("isnull has one argument")),
                }
            }
            _ => return Ok(None),
        }))
    }

    /// The first value that is not NULL.
    fn coalesce(&mut self, mut values: Vec<Expr>) -> Result<Expr> {
        let last = values.pop();
        let mut branches = vec![];
        for value in values {
            let again = self.repeat(&value)?;
            branches.push((again.is_present(), value));
        }
        match (branches.is_empty(), last) {
            (true, Some(only)) => Ok(only),
            (_, last) => Expr::case(branches, last),
        }
    }

    /// `decode(x, a, 1, b, 2, 0)`: like CASE, but NULL is equal to NULL.
    fn decode(&mut self, values: Vec<Expr>) -> Result<Expr> {
        let mut values = values.into_iter();
        let Some(operand) = values.next() else {
            return Err(Error::internal("decode has arguments"));
        };
        let mut branches = vec![];
        let mut otherwise = None;
        while let Some(search) = values.next() {
            match values.next() {
                None => otherwise = Some(search),
                Some(result) => {
                    let operand = self.repeat(&operand)?;
                    let same = Expr::comparison(BinaryOp::IsNotDistinctFrom, operand, search)?;
                    branches.push((same, result));
                }
            }
        }
        Expr::case(branches, otherwise)
    }
}

fn two(values: Vec<Expr>) -> Result<[Expr; 2]> {
    values
        .try_into()
        .map_err(|_| Error::internal("the function has two arguments"))
}
