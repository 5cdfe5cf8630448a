//! EXPLAIN of every type, and previews of statements.

use super::describe::cell;
use super::explain_io::input_and_output;
use super::{Session, StatementResult, on_big_stack};
use crate::error::{Error, Result};
use crate::logical::{Expr, LogicalPlan};
use crate::physical;
use crate::sql::{self, Explain, Statement, StatementText};
use std::fmt::Write;

impl Session {
    pub(super) fn explain(&self, explain: &Explain, parameters: &[Expr]) -> Result<StatementResult> {
        if let Statement::InsertEach(all) = &*explain.statement {
            return self.explain_each(all, explain);
        }
        let Some(query) = explained_query(&explain.statement) else {
            return Err(Error::unsupported(
                "EXPLAIN of a statement that is no query and writes none",
            ));
        };
        let bound = self.bind(query, parameters)?;
        let (kind, format) = (explain.kind.as_deref(), explain.format.as_deref());
        let lines = |text: &str| StatementResult::lines("Query Plan", text);
        match (kind.unwrap_or("distributed"), format.unwrap_or("text")) {
            ("distributed", format) => lines(&self.explain_run(bound, explain.analyze, format)?),
            ("logical", "text") => lines(&bound.to_string()),
            ("rules", "text") => lines(&self.explain_rules(bound)?),
            ("validate", "text") => StatementResult::text(&["Valid"], vec![vec![cell("true")]]),
            // It is JSON in any case.
            ("io", "text" | "json") => {
                let output = written_table(&explain.statement).map(|name| self.qualified(name));
                lines(&input_and_output(&self.optimize(bound)?, output)?)
            }
            (kind, format) => {
                let (kind, format) = (kind.to_uppercase(), format.to_uppercase());
                Err(Error::unsupported(format!("EXPLAIN (TYPE {kind}, FORMAT {format})")))
            }
        }
    }

    /// How several writes of one source would run, one after the other.
    fn explain_each(&self, statements: &[Statement], explain: &Explain) -> Result<StatementResult> {
        let simple = explain.kind.as_deref().unwrap_or("distributed") == "distributed";
        if !simple || explain.format.as_deref().unwrap_or("text") != "text" {
            return Err(
                Error::unsupported("EXPLAIN of several INSERTs after one FROM with a TYPE or FORMAT")
                    .with_hint("explain each of them: INSERT … SELECT … FROM …"),
            );
        }
        let mut text = String::new();
        for statement in statements {
            let Some(query) = explained_query(statement) else {
                return Err(Error::internal("after FROM come writes of queries"));
            };
            let target = match (written_table(statement), statement) {
                (Some(name), _) => name.name.as_str(),
                (None, Statement::Copy(copy)) => copy.target.as_str(),
                (None, _) => "",
            };
            let plan = self.explain_run(self.bind(query, &[])?, explain.analyze, "text")?;
            let _ = writeln!(text, "INSERT {target}\n{}", plan.trim_end());
        }
        StatementResult::lines("Query Plan", &text)
    }

    fn explain_run(&self, bound: LogicalPlan, analyze: bool, format: &str) -> Result<String> {
        let plan = self.optimize(bound)?;
        let context = self.new_context();
        let explained = match analyze {
            true => physical::explain_analyze(&plan, &context)?,
            false => physical::explain(&plan, &context)?,
        };
        match format {
            "json" => explained.to_json(),
            "graphviz" => Ok(explained.to_graphviz()),
            _ => Ok(explained.to_string()),
        }
    }

    /// The plan as bound, and after each rule that changed it.
    fn explain_rules(&self, bound: LogicalPlan) -> Result<String> {
        let mut text = String::new();
        let mut tell = |step: &str, plan: &LogicalPlan| {
            let _ = writeln!(text, "{step}");
            plan.to_string().lines().for_each(|line| {
                let _ = writeln!(text, "  {line}");
            });
        };
        tell("as bound", &bound);
        self.optimize_traced(bound, Some(&mut tell))?;
        Ok(text)
    }
}

impl Session {
    /// Tells how a statement would run and reads and writes no rows. What it would create is known to the statements after
    /// it, without rows, until the session ends; what it would remove stays.
    pub fn preview(&self, statement: &StatementText) -> Result<StatementResult> {
        on_big_stack(|| {
            let parsed = sql::parse_statement(statement)?;
            let before = self.temporary_ddl();
            self.set_temporary_ddl(true);
            let result = self.preview_parsed(parsed);
            self.set_temporary_ddl(before);
            result
        })
    }

    fn preview_parsed(&self, statement: Statement) -> Result<StatementResult> {
        let removes = matches!(
            statement,
            Statement::DropTable { .. } | Statement::DropView { .. } | Statement::DropDatabase { .. }
        );
        let changes = matches!(
            statement,
            Statement::RepairTable { .. }
                | Statement::AlterTable { .. }
                | Statement::AlterDatabase { .. }
                | Statement::AlterView { .. }
                | Statement::Truncate { .. }
                | Statement::Load(_)
                | Statement::Call { .. }
        );
        if removes || changes {
            return Ok(StatementResult::done("left out"));
        }
        let runs = match &statement {
            Statement::CreateTable(table) => table.query.is_none(),
            Statement::Query(_) | Statement::Insert(_) | Statement::InsertEach(_) | Statement::Copy(_) => false,
            _ => true,
        };
        if runs {
            return self.run_statement(&statement, &[]);
        }
        let explain = Explain {
            analyze: false,
            verbose: false,
            kind: None,
            format: None,
            statement: Box::new(statement),
        };
        let told = self.explain(&explain, &[])?;
        if let Statement::CreateTable(mut table) = *explain.statement
            && let Some(query) = table.query.clone()
        {
            table.with_no_data = true;
            // Its own folder would have to be there to be read.
            table.location = None;
            self.create_table_as(&table, &query, &[])?;
        }
        Ok(told)
    }
}

/// The query inside a statement that can be explained.
fn explained_query(statement: &Statement) -> Option<&sqlparser::ast::Query> {
    match statement {
        Statement::Query(query) | Statement::DescribeQuery(query) => Some(query),
        Statement::CreateTable(table) => table.query.as_deref(),
        Statement::CreateView(view) => Some(&view.query),
        Statement::Insert(insert) => Some(&insert.query),
        Statement::Copy(copy) => Some(&copy.query),
        Statement::Explain(inner) => explained_query(&inner.statement),
        _ => None,
    }
}

/// The table that a statement writes to, when it has a name.
fn written_table(statement: &Statement) -> Option<&sql::ObjectName> {
    match statement {
        Statement::CreateTable(table) => table.name.as_ref(),
        Statement::Insert(insert) => Some(&insert.table),
        _ => None,
    }
}
