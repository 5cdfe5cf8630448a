//! Function calls: aggregates, window functions, scalar functions, and the few that binding answers itself.

use super::super::bind::{Binder, Name, at, unsupported};
use super::super::scope::Clause;
use super::super::tokens;
use super::lambda::has_lambda;
use super::lambda_error;
use crate::error::{Error, Result};
use crate::functions::{self, aggregate::AggregateFunction};
use crate::logical::{AggregateCall, Expr, SortKey, unknown_function};
use crate::types::{DataType, Field, ScalarValue, TIMESTAMP, type_name};
use arrow::datatypes::TimeUnit;
use sqlparser::ast::{
    self, DuplicateTreatment, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, ListAggOnOverflow, NullTreatment,
};

const MICROS_PER_DAY: i64 = 86_400_000_000;

impl Binder<'_> {
    /// A function call of any kind.
    pub(super) fn function(&mut self, f: &Function) -> Result<Expr> {
        let name = function_name(f)?;
        if f.uses_odbc_syntax || !matches!(f.parameters, FunctionArguments::None) {
            return Err(unsupported("this form of a function call", f));
        }
        if let Some(over) = &f.over {
            return self.window_function(&name, f, over);
        }
        if let FunctionArguments::None = f.args {
            // `user`, `current_date`, … may be a column's name.
            if let [ast::ObjectNamePart::Identifier(ident)] = f.name.0.as_slice()
                && let Some(column) = self.try_resolve(std::slice::from_ref(ident))?
            {
                return Ok(column);
            }
        }
        if name == "reduce_agg" {
            return self.reduce_aggregate(f);
        }
        if let Some(function) = functions::aggregate::find(&name) {
            return self.aggregate_function(&name, function, f);
        }
        if let Some(clause) = modifier(f) {
            return Err(Error::plan(format!(
                "{clause} is for aggregates and window functions, not for {name}"
            )));
        }
        if let Some(function) = functions::scalar::lambda::find(&name)
            && (has_lambda(f) || functions::scalar::find(&name).is_none())
        {
            return self.lambda_call(function, f);
        }
        if let Some(constant) = self.session_constant(&name, f)? {
            return Ok(constant);
        }
        if matches!(name.as_str(), "grouping" | "grouping_id") {
            return self.grouping_function(f);
        }
        let arguments = expressions(&name, f)?;
        match name.as_str() {
            "try" => return self.try_function(&arguments, f),
            "typeof" => return self.typeof_function(&arguments, f),
            "explode" | "posexplode" | "unnest" | "explode_outer" => {
                return Err(unsupported(&format!("{name} in an expression"), f)
                    .with_hint("write FROM t CROSS JOIN UNNEST(array) AS u (x)"));
            }
            _ => {}
        }
        if let Some(case) = self.conditional(&name, &arguments)? {
            return Ok(case);
        }
        if functions::window::find(&name).is_some() {
            return Err(Error::plan(format!("{name} is a window function and needs OVER (…)")));
        }
        let Some(function) = functions::scalar::find(&name) else {
            return Err(unknown_function(&name).with_span(tokens::span(ast::Spanned::span(&f.name))));
        };
        let bound = arguments.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?;
        Expr::call_function(function, bound)
    }

    /// What is the same for the whole statement: `now()`, `current_date`, `current_user`, …
    pub(super) fn session_value(&self, name: &str) -> Option<ScalarValue> {
        let time = self.context.statement_time;
        Some(match name {
            "now" | "current_timestamp" => ScalarValue::Timestamp(time, Some("UTC".into())),
            "localtimestamp" => ScalarValue::Timestamp(time, None),
            "current_date" | "curdate" => {
                let days = time.div_euclid(MICROS_PER_DAY);
                ScalarValue::Date(i32::try_from(days).unwrap_or(i32::MAX))
            }
            "current_time" | "localtime" => ScalarValue::Time(time.rem_euclid(MICROS_PER_DAY)),
            "current_timezone" => ScalarValue::string("UTC"),
            "current_schema" | "current_database" => ScalarValue::string(self.context.database),
            "current_catalog" => ScalarValue::string("lakebed"),
            "current_user" | "session_user" | "user" => {
                ScalarValue::string(std::env::var("USER").unwrap_or_else(|_| "user".into()))
            }
            "version" => ScalarValue::string(concat!("lakebed ", env!("CARGO_PKG_VERSION"))),
            _ => return None,
        })
    }

    /// The same, called as a function. A precision, as in `current_timestamp(3)`, changes nothing that shows.
    fn session_constant(&mut self, name: &str, f: &Function) -> Result<Option<Expr>> {
        let Some(value) = self.session_value(name) else {
            return Ok(None);
        };
        match expressions(name, f)?.len() {
            0 | 1 => Ok(Some(Expr::literal(value))),
            _ => Err(Error::plan(format!("{name} takes no arguments"))),
        }
    }

    /// `try(x)`: NULL where x fails.
    fn try_function(&mut self, arguments: &[&Ast], f: &Function) -> Result<Expr> {
        match arguments {
            [e] => Ok(Expr::Try(Box::new(self.expr(e)?))),
            _ => at(Err(Error::plan("try takes one argument")), f),
        }
    }

    fn typeof_function(&mut self, arguments: &[&Ast], f: &Function) -> Result<Expr> {
        match arguments {
            [e] => {
                let t = self.expr(e)?.data_type();
                let name = match &t {
                    // Trino shows the precision that it keeps.
                    t if *t == TIMESTAMP => "timestamp(6)".to_string(),
                    DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp(6) with time zone".into(),
                    t => type_name(t),
                };
                Ok(Expr::literal(ScalarValue::string(name)))
            }
            _ => at(Err(Error::plan("typeof takes one argument")), f),
        }
    }

    /// `grouping(a, b)`: a column that stands for its value until the grouping is known.
    fn grouping_function(&mut self, f: &Function) -> Result<Expr> {
        self.outside_of_lambdas("grouping()")?;
        let clause = self.level()?.clause;
        if !clause.allows_aggregates() {
            return Err(Error::plan(format!("grouping() is not allowed in {}", clause.name())));
        }
        let arguments = expressions("grouping", f)?;
        if arguments.is_empty() {
            return Err(Error::plan("grouping() needs expressions of GROUP BY"));
        }
        let bound = self.clause(Clause::AggregateArgument, |b| {
            arguments.iter().map(|e| b.expr(e)).collect::<Result<Vec<_>>>()
        })?;
        let field = Field::new("grouping", DataType::Int64, false);
        self.level()?.groupings.push((bound, field.clone()));
        Ok(Expr::Column(field))
    }

    /// An aggregate: a column that stands for its result until the Aggregate node is made.
    fn aggregate_function(&mut self, name: &str, function: &'static AggregateFunction, f: &Function) -> Result<Expr> {
        self.outside_of_lambdas(&format!("the aggregate {name}"))?;
        let clause = self.level()?.clause;
        if !clause.allows_aggregates() {
            let error = Error::plan(format!("aggregate {name} is not allowed in {}", clause.name()));
            return Err(match clause {
                Clause::Where => error.with_hint("filter groups with HAVING, or compute it in a subquery"),
                Clause::AggregateArgument => error.with_hint("compute the inner aggregate in a subquery"),
                _ => error,
            });
        }
        let call = self.aggregate_call(function, f)?;
        let level = self.level()?;
        let volatile = call.expressions().any(Expr::is_volatile);
        if !volatile && let Some((_, field)) = level.aggregates.iter().find(|(c, _)| *c == call) {
            return Ok(Expr::Column(field.clone()));
        }
        let field = Field::new(name, call.signature.result.clone(), true);
        level.aggregates.push((call, field.clone()));
        Ok(Expr::Column(field))
    }

    /// The call itself, with DISTINCT, FILTER and ORDER BY.
    pub(in crate::sql) fn aggregate_call(
        &mut self,
        function: &'static AggregateFunction,
        f: &Function,
    ) -> Result<AggregateCall> {
        let inside = match self.level()?.clause {
            // An aggregate over a window may have aggregates of the groups as arguments.
            Clause::WindowArgument if f.over.is_some() => Clause::WindowArgument,
            _ => Clause::AggregateArgument,
        };
        let (arguments, order_by, filter) = self.clause(inside, |b| {
            let mut arguments = b.aggregate_arguments(function.name, f)?;
            let mut order_by = b.order_clause(f)?;
            if !f.within_group.is_empty() {
                let keys = b.order_keys(&f.within_group)?;
                match function.name {
                    "percentile_cont" | "percentile_disc" | "percentile" => {
                        arguments.splice(0..0, keys.into_iter().map(|k| k.expr));
                    }
                    _ => order_by = keys,
                }
            }
            let filter = f.filter.as_deref().map(|e| b.expr(e)).transpose()?;
            Ok((arguments, order_by, filter))
        })?;
        let distinct = match &f.args {
            FunctionArguments::List(list) => list.duplicate_treatment == Some(DuplicateTreatment::Distinct),
            _ => false,
        };
        if f.null_treatment.is_some() {
            return Err(unsupported("IGNORE NULLS with an aggregate", f));
        }
        at(AggregateCall::new(function, arguments, distinct, filter, order_by), f)
    }

    /// Arguments; `count(*)` has none.
    fn aggregate_arguments(&mut self, name: &str, f: &Function) -> Result<Vec<Expr>> {
        if let FunctionArguments::List(list) = &f.args
            && let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_))] =
                list.args.as_slice()
        {
            return match name {
                "count" if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) => {
                    Err(Error::plan("count(DISTINCT *) is not defined")
                        .with_hint("count the rows of SELECT DISTINCT * in a subquery"))
                }
                "count" => Ok(vec![]),
                _ => Err(Error::plan(format!("{name}(*) is not defined")).with_hint("only count takes *")),
            };
        }
        let arguments = expressions(name, f)?;
        arguments.iter().map(|e| self.expr(e)).collect()
    }

    /// `ORDER BY` inside the parentheses.
    fn order_clause(&mut self, f: &Function) -> Result<Vec<SortKey>> {
        let FunctionArguments::List(list) = &f.args else {
            return Ok(vec![]);
        };
        let mut keys = vec![];
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(order) => keys = self.order_keys(order)?,
                FunctionArgumentClause::OnOverflow(ListAggOnOverflow::Error) => {}
                FunctionArgumentClause::IgnoreOrRespectNulls(NullTreatment::RespectNulls) => {}
                other => {
                    return Err(Error::unsupported(format!(
                        "{other} in a function call is not supported"
                    )));
                }
            }
        }
        Ok(keys)
    }

    /// The arguments of a ranking or navigation function, and what it says about NULLs.
    pub(in crate::sql) fn plain_arguments(
        &mut self,
        name: &str,
        f: &Function,
    ) -> Result<(Vec<Expr>, Option<NullTreatment>)> {
        let mut nulls = f.null_treatment;
        if let FunctionArguments::List(list) = &f.args {
            if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
                return Err(unsupported("DISTINCT with this window function", f));
            }
            for clause in &list.clauses {
                match clause {
                    FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => nulls = Some(*treatment),
                    other => {
                        return Err(Error::unsupported(format!(
                            "{other} in a function call is not supported"
                        )));
                    }
                }
            }
        }
        let arguments = expressions(name, f)?;
        let bound = arguments.iter().map(|e| self.expr(e)).collect::<Result<_>>()?;
        Ok((bound, nulls))
    }
}

/// The name in lower case.
fn function_name(f: &Function) -> Result<String> {
    match f.name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(name)] => Ok(name.value.to_lowercase()),
        _ => Err(Error::plan(format!("function \"{}\" does not exist", f.name)).with_hint("functions have no schema")),
    }
}

/// The plain arguments of a call.
fn expressions<'f>(name: &str, f: &'f Function) -> Result<Vec<&'f Ast>> {
    let list = match &f.args {
        FunctionArguments::None => return Ok(vec![]),
        FunctionArguments::List(list) => &list.args,
        FunctionArguments::Subquery(query) => {
            return Err(unsupported(&format!("a query as argument of {name}"), query.as_ref()));
        }
    };
    let mut arguments = vec![];
    for argument in list {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => {
                if matches!(e, Ast::Lambda(_)) {
                    return Err(lambda_error(name, e));
                }
                arguments.push(e);
            }
            FunctionArg::Unnamed(other) => return Err(Error::plan(format!("{name}({other}) is not defined"))),
            FunctionArg::Named { name: argument, .. } => {
                return Err(unsupported(
                    &format!("the named argument {argument} of {name}"),
                    &Name(argument),
                ));
            }
            FunctionArg::ExprNamed { name: argument, .. } => {
                return Err(unsupported(
                    &format!("the named argument {argument} of {name}"),
                    argument,
                ));
            }
        }
    }
    Ok(arguments)
}

/// A clause of the call that only aggregates and window functions have.
fn modifier(f: &Function) -> Option<&'static str> {
    if f.filter.is_some() {
        return Some("FILTER");
    }
    if !f.within_group.is_empty() {
        return Some("WITHIN GROUP");
    }
    match &f.args {
        FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) => {
            Some("DISTINCT")
        }
        _ => None,
    }
}
