//! Functions with a syntax of their own: EXTRACT, SUBSTRING, TRIM, CEIL and FLOOR.

use super::super::bind::{Binder, unsupported};
use crate::error::{Error, Result};
use crate::logical::Expr;
use crate::types::{INTERVAL_DAY, INTERVAL_MONTH, ScalarValue, type_name};
use sqlparser::ast::{CeilFloorKind, DateTimeField, Expr as Ast, TrimWhereField};

/// Fields of EXTRACT and the functions that compute them.
const FIELDS: &[(&str, &str)] = &[
    ("year", "year"),
    ("quarter", "quarter"),
    ("month", "month"),
    ("week", "week"),
    ("isoweek", "week"),
    ("day", "day"),
    ("day_of_month", "day"),
    ("day_of_week", "day_of_week"),
    ("dow", "day_of_week"),
    ("dayofweek", "day_of_week"),
    ("isodow", "day_of_week"),
    ("day_of_year", "day_of_year"),
    ("doy", "day_of_year"),
    ("dayofyear", "day_of_year"),
    ("year_of_week", "year_of_week"),
    ("yow", "year_of_week"),
    ("isoyear", "year_of_week"),
    ("hour", "hour"),
    ("minute", "minute"),
    ("second", "second"),
    ("millisecond", "millisecond"),
    ("timezone_hour", "timezone_hour"),
    ("timezone_minute", "timezone_minute"),
    ("epoch", "to_unixtime"),
];

impl Binder<'_> {
    /// `EXTRACT(field FROM x)` is a call of the function of that name.
    pub(super) fn extract(&mut self, field: &DateTimeField, e: &Ast) -> Result<Expr> {
        let name = match field {
            DateTimeField::Custom(ident) => ident.value.to_lowercase(),
            other => other.to_string().to_lowercase(),
        };
        let Some((_, function)) = FIELDS.iter().find(|(n, _)| *n == name) else {
            return Err(Error::plan(format!("EXTRACT has no field \"{name}\""))
                .with_nearest(&name, FIELDS.iter().map(|(n, _)| *n)));
        };
        let value = self.expr(e)?;
        let t = value.data_type();
        if t == INTERVAL_DAY || t == INTERVAL_MONTH {
            return Err(unsupported(&format!("EXTRACT from {}", type_name(&t)), e));
        }
        Expr::call(function, vec![value])
    }

    /// `SUBSTRING(s FROM a FOR n)` and `SUBSTRING(s, a, n)`.
    pub(super) fn substring(&mut self, e: &Ast, from: Option<&Ast>, length: Option<&Ast>) -> Result<Expr> {
        let value = self.expr(e)?;
        if from.is_none() && length.is_none() {
            return Err(Error::plan("substr needs a start").with_hint("write substr(string, start[, length])"));
        }
        let start = match from {
            Some(from) => self.expr(from)?,
            None => Expr::literal(ScalarValue::Int32(1)),
        };
        let mut arguments = vec![value, start];
        if let Some(length) = length {
            arguments.push(self.expr(length)?);
        }
        Expr::call("substr", arguments)
    }

    /// `TRIM([LEADING | TRAILING | BOTH] [characters] FROM s)` and `TRIM(s, characters)`.
    pub(super) fn trim(
        &mut self,
        side: Option<TrimWhereField>,
        what: Option<&Ast>,
        e: &Ast,
        characters: Option<&[Ast]>,
    ) -> Result<Expr> {
        let function = match side {
            None | Some(TrimWhereField::Both) => "trim",
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
        };
        let mut arguments = vec![self.expr(e)?];
        if let Some(what) = what.or_else(|| characters.and_then(<[Ast]>::first)) {
            arguments.push(self.expr(what)?);
        }
        Expr::call(function, arguments)
    }

    /// `CEIL(x)`, `FLOOR(x, digits)`.
    pub(super) fn round_toward(&mut self, function: &str, e: &Ast, field: &CeilFloorKind) -> Result<Expr> {
        let mut arguments = vec![self.expr(e)?];
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => {}
            CeilFloorKind::DateTimeField(_) => return Err(unsupported("rounding of dates with TO", e)),
            CeilFloorKind::Scale(digits) => arguments.push(self.value(digits)?),
        }
        Expr::call(function, arguments)
    }
}
