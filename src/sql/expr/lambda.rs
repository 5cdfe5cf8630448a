//! Lambdas: `x -> body` and `(x, y) -> body` as arguments of functions.

use super::super::bind::{Binder, at, unsupported};
use super::super::reference::identifier;
use crate::error::{Error, Result};
use crate::functions::scalar::lambda::{self, LambdaFunction, LambdaTypes};
use crate::logical::{Expr, Lambda};
use crate::types::{DataType, Field};
use sqlparser::ast::{self, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

/// Whether a call has a lambda among its arguments.
pub(super) fn has_lambda(f: &Function) -> bool {
    let FunctionArguments::List(list) = &f.args else {
        return false;
    };
    list.args
        .iter()
        .any(|a| matches!(a, FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Lambda(_)))))
}

impl Binder<'_> {
    /// `function(argument, …, lambda, …)`
    pub(super) fn lambda_call(&mut self, function: &'static LambdaFunction, f: &Function) -> Result<Expr> {
        let (mut arguments, mut lambdas) = (vec![], vec![]);
        let FunctionArguments::List(list) = &f.args else {
            return Err(unsupported("this form of a function call", f));
        };
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Lambda(lambda))) => lambdas.push(lambda),
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) if lambdas.is_empty() => arguments.push(self.expr(e)?),
                other => {
                    let error = Error::plan(format!("{}: {other} stands where a lambda is expected", function.name));
                    return at(Err(error.with_hint(format!("expected {}", function.doc.signature))), f);
                }
            }
        }
        let types: Vec<DataType> = arguments.iter().map(Expr::data_type).collect();
        let mut bound: Vec<Option<Lambda>> = vec![None; lambdas.len()];
        let mut bind = |i: usize, types: &[DataType]| {
            let (Some(lambda), Some(slot)) = (lambdas.get(i), bound.get_mut(i)) else {
                return Err(Error::plan(format!("{} lacks a lambda", function.name)));
            };
            let lambda = self.lambda(lambda, types)?;
            Ok(slot.insert(lambda).body.data_type())
        };
        let mut lambda_types = LambdaTypes {
            count: lambdas.len(),
            bind: &mut bind,
        };
        let signature = at(function.signature(&types, &mut lambda_types), f)?;
        let arguments = arguments.into_iter().zip(&signature.arguments);
        let lambdas = bound.into_iter().flatten().zip(&signature.lambdas);
        Ok(Expr::LambdaCall {
            function,
            arguments: arguments.map(|(e, t)| e.coerce_to(t)).collect::<Result<_>>()?,
            lambdas: lambdas
                .map(|(l, t)| {
                    Ok(Lambda {
                        body: l.body.coerce_to(t)?,
                        ..l
                    })
                })
                .collect::<Result<_>>()?,
            data_type: signature.result,
        })
    }

    /// `reduce_agg(x, start, step, combine)`: what `reduce` makes of the values that are not NULL. All values of a group are
    /// taken up in one go, so that the lambda which combines two states has nothing to do.
    pub(super) fn reduce_aggregate(&mut self, f: &Function) -> Result<Expr> {
        let FunctionArguments::List(list) = &f.args else {
            return Err(unsupported("this form of a function call", f));
        };
        let [value @ FunctionArg::Unnamed(FunctionArgExpr::Expr(x)), start, step, _] = list.args.as_slice() else {
            let error = Error::plan("reduce_agg is not defined for these arguments");
            let error = error.with_hint("expected reduce_agg(x, start, (state, x) -> state, (state, state) -> state)");
            return at(Err(error), f);
        };
        let call = |name: &str, args: Vec<FunctionArg>, filter: Option<Ast>| Function {
            name: ast::ObjectName::from(vec![ast::Ident::new(name)]),
            args: FunctionArguments::List(ast::FunctionArgumentList { args, ..list.clone() }),
            filter: filter.map(Box::new),
            ..f.clone()
        };
        let present = Ast::IsNotNull(Box::new(x.clone()));
        let filter = match f.filter.as_deref() {
            Some(filter) => Ast::BinaryOp {
                left: Box::new(Ast::Nested(Box::new(filter.clone()))),
                op: ast::BinaryOperator::And,
                right: Box::new(present),
            },
            None => present,
        };
        let values = Ast::Function(call("array_agg", vec![value.clone()], Some(filter)));
        let values = FunctionArg::Unnamed(FunctionArgExpr::Expr(values));
        let reduced = call("reduce", vec![values, start.clone(), step.clone()], None);
        let reduce = lambda::find("reduce").ok_or_else(|| Error::internal("there is no function reduce"))?;
        self.lambda_call(reduce, &reduced)
    }

    /// A lambda whose parameters have these types.
    fn lambda(&mut self, lambda: &ast::LambdaFunction, types: &[DataType]) -> Result<Lambda> {
        let names: Vec<&ast::Ident> = lambda.params.iter().map(|p| &p.name).collect();
        if names.len() != types.len() {
            let error = Error::plan(format!(
                "the lambda has {} parameters, and {} are expected",
                names.len(),
                types.len()
            ));
            return at(Err(error), lambda.body.as_ref());
        }
        let parameters = names.iter().zip(types);
        let parameters: Vec<Field> = parameters
            .map(|(name, t)| Field::new(identifier(name).as_str(), t.clone(), true))
            .collect();
        self.parameters_in_scope.push(parameters);
        let body = self.expr(&lambda.body);
        let parameters = self.parameters_in_scope.pop().unwrap_or_default();
        Ok(Lambda {
            parameters,
            body: body?,
        })
    }

    /// The parameter of a lambda around here that a name stands for, innermost first; fields may follow it.
    pub(in crate::sql) fn parameter_named(&self, parts: &[ast::Ident]) -> Result<Option<Expr>> {
        let [first, fields @ ..] = parts else {
            return Ok(None);
        };
        let name = identifier(first);
        let mut parameters = self.parameters_in_scope.iter().rev().flatten();
        let Some(found) = parameters.find(|p| p.name.eq_ignore_ascii_case(&name)) else {
            return Ok(None);
        };
        fields
            .iter()
            .try_fold(Expr::Parameter(found.clone()), |e, field| e.field(&field.value))
            .map(Some)
    }

    /// # Errors
    /// Inside of a lambda, where only values of the row and of the parameters can be used.
    pub(in crate::sql) fn outside_of_lambdas(&self, what: &str) -> Result<()> {
        match self.parameters_in_scope.is_empty() {
            true => Ok(()),
            false => Err(Error::unsupported(format!(
                "{what} inside of a lambda is not supported"
            ))),
        }
    }
}
