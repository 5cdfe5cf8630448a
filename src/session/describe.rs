//! Statements that tell: SHOW, DESCRIBE, MSCK REPAIR TABLE.

use super::show_create::{create_database, create_statement, create_view};
use super::{Session, StatementResult};
use crate::catalog::{CatalogObject, INFORMATION_SCHEMA, TableDefinition, information_tables};
use crate::config::SETTINGS;
use crate::error::{Error, Result};
use crate::functions;
use crate::logical::Expr;
use crate::sql::{ObjectName, Relation, Show, TableReference};
use crate::types::{DataType, type_name};
use regex::RegexBuilder;

/// A cell of a row of text.
pub(super) fn cell(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}

impl Session {
    pub(super) fn show(&self, show: &Show) -> Result<StatementResult> {
        match show {
            Show::Databases { pattern } => {
                let all = self.catalog().databases()?;
                names("database_name", all.into_iter().map(|d| d.name), pattern.as_deref())
            }
            Show::Tables { database, pattern } => {
                self.show_objects(database.as_deref(), pattern.as_deref(), "tab_name", false)
            }
            Show::Views { database, pattern } => {
                self.show_objects(database.as_deref(), pattern.as_deref(), "views", true)
            }
            Show::Columns { name, pattern } => {
                let columns = self.columns_of_name(name)?;
                names(
                    "field",
                    columns.into_iter().map(|(name, _, _)| name),
                    pattern.as_deref(),
                )
            }
            Show::CreateTable(name) => match self.require(name)? {
                CatalogObject::Table(table) => StatementResult::lines("createtab_stmt", &create_statement(&table)),
                CatalogObject::View(_) => Err(Error::plan(format!("\"{}\" is a view", name.name))
                    .with_span(name.span)
                    .with_hint("SHOW CREATE VIEW shows it")),
            },
            Show::CreateView(name) => match self.require(name)? {
                CatalogObject::View(view) => StatementResult::lines("Create View", &create_view(&view)),
                CatalogObject::Table(_) => Err(Error::plan(format!("\"{}\" is a table", name.name))
                    .with_span(name.span)
                    .with_hint("SHOW CREATE TABLE shows it")),
            },
            Show::Functions { pattern } => {
                let fits = matcher(pattern.as_deref())?;
                let all = functions::all()?.into_iter().filter(|(name, _)| fits(name));
                let rows = all.map(|(name, doc)| {
                    let example = format!("{} → {}", doc.example.0, doc.example.1);
                    vec![cell(name), cell(doc.signature), cell(doc.summary), cell(example)]
                });
                StatementResult::text(&["function", "signature", "description", "example"], rows.collect())
            }
            Show::Settings(None) => {
                let config = self.config();
                let row = |s: &crate::config::Setting| vec![cell(s.name), cell((s.get)(&config)), cell(s.doc)];
                StatementResult::text(&["name", "value", "description"], SETTINGS.iter().map(row).collect())
            }
            Show::Settings(Some(name)) => {
                let value = self.config().get(name)?;
                StatementResult::text(&[name], vec![vec![cell(value)]])
            }
            Show::Partitions(show) => self.show_partitions(show),
            Show::TableProperties { name, key } => self.show_properties(name, key.as_deref()),
            Show::TableExtended {
                database,
                pattern,
                partition,
            } => self.show_table_extended(database.as_deref(), pattern, partition.as_ref()),
            Show::CreateDatabase(name) => {
                let database = self.catalog().require_database(&name.name);
                let text = create_database(&database.map_err(|e| e.with_span(name.span))?);
                StatementResult::lines("createdb_stmt", text.trim_end().trim_end_matches(';'))
            }
            Show::Statistics(name) => self.show_statistics(name),
        }
    }

    fn show_objects(
        &self,
        database: Option<&str>,
        pattern: Option<&str>,
        column: &str,
        only_views: bool,
    ) -> Result<StatementResult> {
        let database = database.map_or_else(|| self.database(), str::to_string);
        self.catalog().require_database(&database)?;
        let objects = self.catalog().objects(&database)?;
        let wanted = objects.into_iter().filter(|o| !only_views || o.kind() == "view");
        let mut all: Vec<String> = wanted.map(|o| o.name().to_string()).collect();
        if database == INFORMATION_SCHEMA && !only_views {
            all.extend(information_tables().map(str::to_string));
        }
        names(column, all.into_iter(), pattern)
    }

    /// The table or view that a statement names.
    pub(super) fn require(&self, name: &ObjectName) -> Result<CatalogObject> {
        let (database, object) = self.qualified(name);
        self.catalog()
            .require_object(&database, &object)
            .map_err(|e| e.with_span(name.span))
    }

    /// The table that a statement names.
    pub(super) fn require_table(&self, name: &ObjectName) -> Result<TableDefinition> {
        match self.require(name)? {
            CatalogObject::Table(table) => Ok(table),
            CatalogObject::View(_) => {
                Err(Error::plan(format!("\"{}\" is a view, not a table", name.name)).with_span(name.span))
            }
        }
    }

    /// Name, type and comment of each column.
    pub(super) fn columns_of_name(&self, name: &ObjectName) -> Result<Vec<(String, DataType, String)>> {
        let (database, object) = self.qualified(name);
        if database == INFORMATION_SCHEMA {
            let reference = TableReference::Named {
                catalog: None,
                database: Some(database),
                name: object,
                span: name.span,
            };
            let Relation::Table(table) = self.relation(&reference)? else {
                return Err(Error::internal("information_schema has tables only"));
            };
            let row = |c: &crate::catalog::TableColumn| (c.name.to_string(), c.data_type.clone(), String::new());
            return Ok(table.columns.iter().map(row).collect());
        }
        let object = self.require(name)?;
        let comments: Vec<(String, String)> = match &object {
            CatalogObject::Table(table) => {
                let all = table.columns.iter().chain(&table.partitioned_by);
                all.filter_map(|c| Some((c.name.clone(), c.comment.clone()?))).collect()
            }
            CatalogObject::View(view) => view.column_comments.clone().into_iter().collect(),
        };
        let columns = self.columns_of(&object)?.into_iter().map(|(name, data_type)| {
            let comment = comments.iter().find(|(n, _)| *n == name).map(|(_, c)| c.clone());
            (name, data_type, comment.unwrap_or_default())
        });
        Ok(columns.collect())
    }

    pub(super) fn describe_query(&self, query: &sqlparser::ast::Query, parameters: &[Expr]) -> Result<StatementResult> {
        let plan = self.bind(query, parameters)?;
        let row = |f: &crate::types::Field| vec![cell(f.name.as_ref()), cell(type_name(&f.data_type)), cell("")];
        StatementResult::text(
            &["col_name", "data_type", "comment"],
            plan.schema().iter().map(row).collect(),
        )
    }

    /// What the footers tell, column by column (Trino's SHOW STATS).
    fn show_statistics(&self, name: &ObjectName) -> Result<StatementResult> {
        let table = self.listed(self.table_of(&self.require_table(name)?)?)?;
        let rows = table.statistics.rows.map(|n| n.to_string());
        let number = |n: Option<u64>| n.map(|n| n.to_string());
        let mut out: Vec<Vec<Option<String>>> = vec![];
        for (i, column) in table.columns.iter().enumerate() {
            let found = table.statistics.columns.get(i).cloned().unwrap_or_default();
            let bound = |v: &Option<crate::types::ScalarValue>| v.as_ref().map(|v| v.to_string());
            out.push(vec![
                cell(column.name.as_ref()),
                number(found.bytes),
                number(found.distinct),
                number(found.nulls),
                None,
                bound(&found.min),
                bound(&found.max),
            ]);
        }
        out.push(vec![
            None,
            cell(table.statistics.bytes.to_string()),
            None,
            None,
            rows,
            None,
            None,
        ]);
        let names = [
            "column_name",
            "data_size",
            "distinct_values_count",
            "nulls_count",
            "row_count",
            "low_value",
            "high_value",
        ];
        StatementResult::text(&names, out)
    }
}

/// One column of names that fit the pattern.
fn names(column: &str, all: impl Iterator<Item = String>, pattern: Option<&str>) -> Result<StatementResult> {
    let fits = matcher(pattern)?;
    StatementResult::text(
        &[column],
        all.filter(|name| fits(name)).map(|name| vec![cell(name)]).collect(),
    )
}

/// Patterns of SHOW: Hive's, where `*` stands for anything and `|` for or, its regular expressions, and `%` as in LIKE.
pub(super) fn matcher(pattern: Option<&str>) -> Result<impl Fn(&str) -> bool + use<>> {
    let regex = match pattern {
        None => None,
        Some(pattern) => {
            let mut text = String::from("^(?:");
            let mut last = ' ';
            for c in pattern.chars() {
                match c {
                    '*' if !matches!(last, '.' | ']' | ')') => text.push_str(".*"),
                    '%' => text.push_str(".*"),
                    c => text.push(c),
                }
                last = c;
            }
            text.push_str(")$");
            let regex = RegexBuilder::new(&text)
                .case_insensitive(true)
                .size_limit(1 << 20)
                .build();
            Some(regex.map_err(|_| Error::plan(format!("'{pattern}' is not a pattern")))?)
        }
    };
    Ok(move |name: &str| regex.as_ref().is_none_or(|r| r.is_match(name)))
}
