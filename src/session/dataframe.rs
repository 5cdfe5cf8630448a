//! DataFrames: the same plans as SQL, built call by call. Nothing is read before an action.

use super::column::{Column, Typing, col};
use super::relations::Relations;
use super::{Rows, Session, on_big_stack};
use crate::catalog::{FilesReference, Table, TableColumn, TableName, TableSource, TableStatistics, resolve_files};
use crate::error::{Error, Result};
use crate::format::Options;
use crate::logical::{Expr, JoinKey, JoinKind, LogicalPlan, PlanBuilder, WindowCall};
use crate::sql::{Relation, TableReference};
use crate::types::{ColumnId, Field, Schema, normalize_type};
use crate::vector::display::ValueFormatter;
use arrow::array::RecordBatch;
use std::collections::HashMap;
use std::sync::Arc;

/// Rows that are not there yet: a plan and the session it will run in. Transformations check names and types at once and
/// read nothing but schemas and footers; actions (`show`, `take`, `head`, `collect`, `count`, `write`) run the plan.
#[derive(Debug, Clone)]
pub struct DataFrame {
    session: Session,
    plan: LogicalPlan,
}

/// Rows in groups, waiting for aggregates.
#[derive(Debug, Clone)]
pub struct GroupedData {
    frame: DataFrame,
    keys: Vec<Column>,
}

/// How [`DataFrame::write`] writes.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// The format's name; told by the target's name when `None`, else PARQUET.
    pub format: Option<String>,
    /// Columns whose values become `key=value` folders.
    pub partition_by: Vec<String>,
    pub mode: WriteMode,
    /// As COPY takes them.
    pub options: Vec<(String, String)>,
}

/// What a write does about files that are at its target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WriteMode {
    /// One file is replaced, as COPY does it; a folder must have no files.
    #[default]
    Create,
    /// Files are added to the folder.
    Append,
    /// They are replaced.
    Overwrite,
    /// Nothing is written when there are some.
    Ignore,
}

impl Session {
    /// The rows of a table or view, `name` or `database.name`.
    pub fn table(&self, name: &str) -> Result<DataFrame> {
        let query = crate::sql::parse_query(&format!("SELECT * FROM {name}"))?;
        let mut references = crate::sql::query_references(&query)?;
        let reference = references
            .pop()
            .ok_or_else(|| Error::plan(format!("\"{name}\" is no table name")))?;
        let qualifier = match &reference {
            TableReference::Named { name, .. } => name.clone(),
            other => other.to_string(),
        };
        let relations = Relations::resolve(self, vec![reference.clone()])?;
        let plan = match relations.with_context(self, &[], |context| (context.resolve)(&reference))? {
            Relation::Table(table) => PlanBuilder::scan(table, &qualifier),
            Relation::View(_) => PlanBuilder::from(self.bind(&query, &[])?).alias(&qualifier, &[])?,
        };
        Ok(DataFrame::new(self.clone(), plan.build()))
    }

    /// The rows of files: a file, a folder, a pattern.
    pub fn read(&self, location: &str, format: Option<&str>, options: &[(&str, &str)]) -> Result<DataFrame> {
        let reference = FilesReference {
            locations: vec![location.to_string()],
            format: format.map(str::to_string),
            options: Options::new(options.iter().copied()),
        };
        let table = Arc::new(resolve_files(&reference, self.config().threads)?);
        Ok(DataFrame::new(
            self.clone(),
            PlanBuilder::scan(table, &crate::sql::file_stem(location)).build(),
        ))
    }

    pub fn read_parquet(&self, location: &str) -> Result<DataFrame> {
        self.read(location, Some("parquet"), &[])
    }

    pub fn read_csv(&self, location: &str, options: &[(&str, &str)]) -> Result<DataFrame> {
        self.read(location, Some("csv"), options)
    }

    pub fn read_json(&self, location: &str) -> Result<DataFrame> {
        self.read(location, Some("json"), &[])
    }

    /// Rows that are in memory, all of one schema.
    ///
    /// # Errors
    /// When a column's type stands for no SQL type.
    pub fn from_batches(&self, batches: Vec<RecordBatch>) -> Result<DataFrame> {
        let schema = batches
            .first()
            .map(RecordBatch::schema)
            .ok_or_else(|| Error::plan("there are no batches"))?;
        let column = |f: &Arc<arrow::datatypes::Field>| match normalize_type(f.data_type()) {
            Some(data_type) => Ok(TableColumn {
                name: f.name().as_str().into(),
                data_type,
                nullable: true,
            }),
            None => Err(Error::unsupported(format!(
                "column \"{}\" of arrow type {}",
                f.name(),
                f.data_type()
            ))),
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let fields: Vec<_> = columns
            .iter()
            .map(|c| arrow::datatypes::Field::new(c.name.as_ref(), c.data_type.clone(), true))
            .collect();
        let target = Arc::new(arrow::datatypes::Schema::new(fields));
        let convert = |batch: &RecordBatch| {
            let cast = batch
                .columns()
                .iter()
                .zip(&columns)
                .map(|(a, c)| arrow::compute::cast(a, &c.data_type));
            Ok(RecordBatch::try_new(target.clone(), cast.collect::<Result<_, _>>()?)?)
        };
        let converted = batches.iter().map(convert).collect::<Result<Vec<_>>>()?;
        let rows = batches.iter().map(|b| b.num_rows() as u64).sum();
        let table = Table {
            name: TableName {
                database: None,
                name: "batches".into(),
            },
            columns,
            source: TableSource::Memory(converted),
            statistics: TableStatistics {
                rows: Some(rows),
                ..Default::default()
            },
        };
        Ok(DataFrame::new(
            self.clone(),
            PlanBuilder::scan(Arc::new(table), "").build(),
        ))
    }
}

impl DataFrame {
    pub(super) fn new(session: Session, plan: LogicalPlan) -> Self {
        Self { session, plan }
    }

    fn with(&self, plan: PlanBuilder) -> Self {
        Self::new(self.session.clone(), plan.build())
    }

    fn builder(&self) -> PlanBuilder {
        PlanBuilder::from(self.plan.clone())
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> &Schema {
        self.plan.schema()
    }

    /// The plan as built, before optimizing.
    pub fn logical_plan(&self) -> &LogicalPlan {
        &self.plan
    }

    /// The same rows under another name, for `name.column` after a join.
    pub fn alias(&self, name: &str) -> Result<Self> {
        Ok(self.with(match &self.plan {
            LogicalPlan::Scan(scan) => PlanBuilder::scan(scan.table.clone(), name),
            _ => self.builder().alias(name, &[])?,
        }))
    }

    /// These columns.
    pub fn select(&self, columns: impl IntoIterator<Item = Column>) -> Result<Self> {
        let columns: Vec<Column> = columns.into_iter().collect();
        let (plan, exprs) = self.typed(&columns)?;
        let items = exprs.into_iter().zip(columns.iter().map(Column::name)).collect();
        Ok(self.with(plan.project(items)))
    }

    /// All columns and one more; in the place of the one with that name, if there is one.
    pub fn with_column(&self, name: &str, column: Column) -> Result<Self> {
        let (plan, exprs) = self.typed(&[column])?;
        let mut items: Vec<(Expr, Option<Arc<str>>)> = self
            .schema()
            .iter()
            .map(|f| (Expr::Column(f.clone()), Some(f.name.clone())))
            .collect();
        let place = self.schema().iter().position(|f| f.name.eq_ignore_ascii_case(name));
        for expr in exprs {
            let item = (expr, Some(Arc::from(name)));
            match place.and_then(|i| items.get_mut(i)) {
                Some(old) => *old = item,
                None => items.push(item),
            }
        }
        Ok(self.with(plan.project(items)))
    }

    /// All columns but these.
    pub fn drop_columns(&self, names: &[&str]) -> Result<Self> {
        for name in names {
            if !self.schema().iter().any(|f| f.name.eq_ignore_ascii_case(name)) {
                return Err(crate::logical::Scope { schema: self.schema() }.unknown(None, name));
            }
        }
        let kept = self
            .schema()
            .iter()
            .filter(|f| !names.iter().any(|n| f.name.eq_ignore_ascii_case(n)));
        let items = kept.map(|f| (Expr::Column(f.clone()), Some(f.name.clone()))).collect();
        Ok(self.with(self.builder().project(items)))
    }

    /// All columns and one more for each window function; see [`Column::over`].
    pub fn window(&self, columns: impl IntoIterator<Item = Column>) -> Result<Self> {
        let mut all: Vec<Column> = vec![];
        let kept: Vec<Field> = self.schema().iter().cloned().collect();
        all.extend(columns);
        let (plan, exprs) = self.typed(&all)?;
        let mut items: Vec<(Expr, Option<Arc<str>>)> = kept
            .into_iter()
            .map(|f| (Expr::Column(f.clone()), Some(f.name)))
            .collect();
        items.extend(exprs.into_iter().zip(all.iter().map(Column::name)));
        Ok(self.with(plan.project(items)))
    }

    /// The rows for which the condition is true.
    pub fn filter(&self, condition: Column) -> Result<Self> {
        let (plan, exprs) = self.typed(&[condition])?;
        let Some(predicate) = exprs.into_iter().next() else {
            return Ok(self.clone());
        };
        let had = self.schema().len();
        let plan = plan.filter(predicate.to_boolean("filter")?)?;
        if plan.schema().len() == had {
            return Ok(self.with(plan));
        }
        // Columns of window functions that only the condition needed go again.
        let kept = self
            .schema()
            .iter()
            .map(|f| (Expr::Column(f.clone()), Some(f.name.clone())))
            .collect();
        Ok(self.with(plan.project(kept)))
    }

    /// The SQL text of a condition: `df.filter_sql("fare > 10")`.
    pub fn filter_sql(&self, condition: &str) -> Result<Self> {
        self.filter(super::expr(condition))
    }

    /// Pairs of rows for which the condition is true: `inner`, `left`, `right`, `full`, `cross`, `semi`, `anti`.
    pub fn join(&self, right: &DataFrame, kind: &str, condition: Option<Column>) -> Result<Self> {
        let kind = join_kind(kind)?;
        let right = right.beside(self)?;
        let both = self.schema().join(right.schema());
        let condition = match &condition {
            Some(condition) => Some(Typing::new(&self.session, &both).expr(condition)?),
            None => None,
        };
        Ok(self.with(self.builder().join(right, kind, condition)?))
    }

    /// As `join` on columns that both sides have; each comes once (`USING`).
    pub fn join_using(&self, right: &DataFrame, kind: &str, columns: &[&str]) -> Result<Self> {
        let kind = join_kind(kind)?;
        let right = right.beside(self)?;
        let mut keys = vec![];
        let mut named: Vec<(Expr, Expr, Arc<str>)> = vec![];
        for name in columns {
            let left_side = Typing::new(&self.session, self.schema()).expr(&col(*name))?;
            let right_side = Typing::new(&self.session, right.schema()).expr(&col(*name))?;
            let equal = Expr::comparison(crate::logical::BinaryOp::Equal, left_side.clone(), right_side.clone())?;
            if let Expr::Binary { left, right, .. } = equal {
                keys.push(JoinKey {
                    left: *left,
                    right: *right,
                    null_safe: false,
                });
            }
            named.push((left_side, right_side, Arc::from(*name)));
        }
        let hidden: Vec<ColumnId> = named
            .iter()
            .flat_map(|(l, r, _)| [l, r])
            .filter_map(|e| if let Expr::Column(f) = e { Some(f.id) } else { None })
            .collect();
        let semi = matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti);
        let (full, from_right) = (kind == JoinKind::Full, kind == JoinKind::Right);
        let joined = self.builder().join_on(right, kind, keys, None);
        if semi {
            return Ok(self.with(joined));
        }
        let mut items = vec![];
        for (left, right, name) in named {
            let value = match (full, from_right) {
                (true, _) => Expr::case(vec![(left.clone().is_present(), left)], Some(right))?,
                (_, true) => right,
                _ => left,
            };
            items.push((value, Some(name)));
        }
        let others = joined.schema().iter().filter(|f| !hidden.contains(&f.id));
        items.extend(
            others
                .map(|f| (Expr::Column(f.clone()), Some(f.name.clone())))
                .collect::<Vec<_>>(),
        );
        Ok(self.with(joined.project(items)))
    }

    /// This plan, under fresh identities when it shares columns with `left`: a join of a frame with itself.
    fn beside(&self, left: &DataFrame) -> Result<LogicalPlan> {
        match self.schema().ids().any(|id| left.schema().contains(id)) {
            true => self.plan.renewed(),
            false => Ok(self.plan.clone()),
        }
    }

    /// The rows in groups that agree in these columns.
    pub fn group_by(&self, keys: impl IntoIterator<Item = Column>) -> GroupedData {
        GroupedData {
            frame: self.clone(),
            keys: keys.into_iter().collect(),
        }
    }

    /// Aggregates over all rows.
    pub fn agg(&self, aggregates: impl IntoIterator<Item = Column>) -> Result<Self> {
        self.group_by([]).agg(aggregates)
    }

    /// All rows in this order; `col("a").desc()` for greatest first.
    pub fn order_by(&self, columns: impl IntoIterator<Item = Column>) -> Result<Self> {
        let columns: Vec<Column> = columns.into_iter().collect();
        let keys = Typing::new(&self.session, self.schema()).sort_keys(&columns)?;
        Ok(self.with(self.builder().sort(keys)))
    }

    /// At most `rows` rows.
    pub fn limit(&self, rows: u64) -> Self {
        self.with(self.builder().limit(0, Some(rows)))
    }

    /// The rows after the first `rows`.
    pub fn offset(&self, rows: u64) -> Self {
        self.with(self.builder().limit(rows, None))
    }

    /// The rows of both, columns by position (`UNION ALL`).
    pub fn union(&self, other: &DataFrame) -> Result<Self> {
        let other = other.beside(self)?;
        Ok(self.with(PlanBuilder::union(vec![self.plan.clone(), other])?))
    }

    /// Each row once.
    pub fn distinct(&self) -> Self {
        self.with(self.builder().distinct())
    }

    /// Each row once per element of the array or map, in the place of that column, under the names given for its elements.
    pub fn explode(&self, column: &str, names: &[&str]) -> Result<Self> {
        let array = Typing::new(&self.session, self.schema()).expr(&col(column))?;
        let kept: Vec<Field> = self
            .schema()
            .iter()
            .filter(|f| Expr::Column((*f).clone()) != array)
            .cloned()
            .collect();
        let default: Vec<Arc<str>> = vec![column.into()];
        let names = match names.is_empty() {
            true => default,
            false => names.iter().map(|n| Arc::from(*n)).collect(),
        };
        let had = self.schema().len();
        let plan = self.builder().unnest(vec![array], false, false, None, &names)?;
        let added = plan.schema().iter().skip(had).cloned();
        let items = kept
            .into_iter()
            .chain(added)
            .map(|f| (Expr::Column(f.clone()), Some(f.name)))
            .collect();
        Ok(self.with(plan.project(items)))
    }

    /// Typed expressions, over a plan to which the window functions in them were added.
    fn typed(&self, columns: &[Column]) -> Result<(PlanBuilder, Vec<Expr>)> {
        let mut typing = Typing::new(&self.session, self.schema());
        let exprs = typing.all(columns)?;
        let windows = std::mem::take(&mut typing.windows);
        let (plan, results) = add_windows(self.builder(), windows);
        let exprs = exprs
            .into_iter()
            .map(|e| e.replace_columns(&results))
            .collect::<Result<_>>()?;
        Ok((plan, exprs))
    }

    /// The optimized plan as text.
    pub fn explain(&self) -> Result<String> {
        on_big_stack(|| Ok(self.session.optimize(self.plan.clone())?.to_string()))
    }

    /// Runs the plan; rows come as they are asked for.
    pub fn stream(&self) -> Result<Rows> {
        on_big_stack(|| {
            self.session
                .optimize(self.plan.clone())
                .and_then(|plan| self.session.start(&plan))
        })
        .map(Into::into)
    }

    /// All rows.
    pub fn collect(&self) -> Result<Vec<RecordBatch>> {
        self.stream()?.collect()
    }

    /// The first `rows` rows.
    pub fn take(&self, rows: u64) -> Result<Vec<RecordBatch>> {
        self.limit(rows).collect()
    }

    /// The first row, if there is one.
    pub fn head(&self) -> Result<Option<RecordBatch>> {
        Ok(self.take(1)?.into_iter().find(|b| b.num_rows() > 0))
    }

    /// How many rows.
    pub fn count(&self) -> Result<u64> {
        let counted = self.agg([super::count_all()])?.collect()?;
        let value = counted.iter().find(|b| b.num_rows() > 0).map(|b| b.column(0));
        let value = value.map(|c| crate::types::ScalarValue::from_array(c, 0)).transpose()?;
        let count = value.and_then(|v| v.as_integer()).and_then(|n| u64::try_from(n).ok());
        count.ok_or_else(|| Error::internal("count gives one number"))
    }

    /// Prints the first `rows` rows as a table.
    pub fn show(&self, rows: u64) -> Result<()> {
        println!("{}", self.text(rows)?);
        Ok(())
    }

    /// The first `rows` rows as a table of text.
    pub fn text(&self, rows: u64) -> Result<String> {
        let batches = self.take(rows)?;
        let mut table = comfy_table::Table::new();
        table.set_header(self.schema().iter().map(|f| f.name.to_string()));
        for batch in &batches {
            let columns: Vec<ValueFormatter> = batch
                .columns()
                .iter()
                .map(|c| ValueFormatter::new(c.as_ref()))
                .collect();
            for row in 0..batch.num_rows() {
                let text = |column: &ValueFormatter| {
                    let mut text = String::new();
                    match column.is_null(row) {
                        true => text.push_str("NULL"),
                        false => column.write(row, &mut text),
                    }
                    text
                };
                table.add_row(columns.iter().map(text));
            }
        }
        Ok(table.to_string())
    }

    /// Writes the rows to a file or folder, all or none; how many there were.
    pub fn write(&self, target: &str, options: &WriteOptions) -> Result<u64> {
        on_big_stack(|| self.session.write_plan(self.plan.clone(), target, options))
    }
}

impl GroupedData {
    /// One row per group: the keys, then the aggregates.
    pub fn agg(&self, aggregates: impl IntoIterator<Item = Column>) -> Result<DataFrame> {
        let aggregates: Vec<Column> = aggregates.into_iter().collect();
        let schema = self.frame.schema();
        let mut typing = Typing::new(&self.frame.session, schema);
        let keys = typing.all(&self.keys)?;
        typing.aggregating = true;
        let results = typing.all(&aggregates)?;
        let (calls, placeholders): (Vec<_>, Vec<_>) = std::mem::take(&mut typing.aggregates).into_iter().unzip();
        let groups = keys
            .iter()
            .map(|e| (e.clone(), e.natural_name().unwrap_or_else(|| e.to_string().into())));
        let calls = calls.into_iter().map(|c| (c.clone(), Arc::from(c.to_string())));
        let plan = self.frame.builder().aggregate(groups.collect(), None, calls.collect());
        let output = plan.schema().clone();
        let (group_fields, call_fields) = output.split_at(keys.len());
        let made: HashMap<ColumnId, Expr> = placeholders
            .iter()
            .zip(call_fields)
            .map(|(p, f)| (p.id, Expr::Column(f.clone())))
            .collect();
        let mut items: Vec<(Expr, Option<Arc<str>>)> = vec![];
        for (field, key) in group_fields.iter().zip(&self.keys) {
            items.push((
                Expr::Column(field.clone()),
                Some(key.name().unwrap_or_else(|| field.name.clone())),
            ));
        }
        for (expr, column) in results.into_iter().zip(&aggregates) {
            let expr = expr.replace_columns(&made)?;
            if let Some(id) = expr.columns().into_iter().find(|id| !output.contains(*id)) {
                let name = schema.position(id).map_or("?", |i| &schema[i].name);
                return Err(Error::plan(format!(
                    "column \"{name}\" is neither a key of group_by nor inside an aggregate"
                )));
            }
            items.push((expr, column.name()));
        }
        Ok(self.frame.with(plan.project(items)))
    }

    /// How many rows each group has, as `count`.
    pub fn count(&self) -> Result<DataFrame> {
        self.agg([super::count_all().alias("count")])
    }
}

/// One Window node for each way of partitioning and ordering, and what the placeholders became.
fn add_windows(mut plan: PlanBuilder, windows: Vec<(WindowCall, Field)>) -> (PlanBuilder, HashMap<ColumnId, Expr>) {
    let mut results = HashMap::new();
    let mut rest = windows;
    while let Some((first, _)) = rest.first() {
        let (partition_by, order_by) = (first.partition_by.clone(), first.order_by.clone());
        let (same, others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|(c, _)| c.partition_by == partition_by && c.order_by == order_by);
        rest = others;
        let before = plan.schema().len();
        let (calls, placeholders): (Vec<WindowCall>, Vec<Field>) = same.into_iter().unzip();
        plan = plan.window(
            calls
                .into_iter()
                .map(|c| (c.clone(), Arc::from(c.to_string())))
                .collect(),
        );
        for (placeholder, field) in placeholders.iter().zip(plan.schema().iter().skip(before)) {
            results.insert(placeholder.id, Expr::Column(field.clone()));
        }
    }
    (plan, results)
}

fn join_kind(name: &str) -> Result<JoinKind> {
    Ok(match name.to_lowercase().replace([' ', '_'], "").as_str() {
        "inner" | "cross" => JoinKind::Inner,
        "left" | "leftouter" => JoinKind::Left,
        "right" | "rightouter" => JoinKind::Right,
        "full" | "outer" | "fullouter" => JoinKind::Full,
        "semi" | "leftsemi" => JoinKind::LeftSemi,
        "anti" | "leftanti" => JoinKind::LeftAnti,
        _ => {
            let known = ["inner", "left", "right", "full", "cross", "semi", "anti"];
            return Err(Error::plan(format!("there is no join \"{name}\"")).with_nearest(name, known));
        }
    })
}
