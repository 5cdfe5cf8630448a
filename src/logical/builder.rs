//! The only place plans are made: both SQL and DataFrame build through these functions, which check types and keep the
//! schema of every node right.

use super::expr::{AggregateCall, Expr, SortKey, Subquery, WindowCall};
use super::plan::*;
use crate::catalog::Table;
use crate::error::{Error, Result, nearest};
use crate::types::{ColumnId, DataType, Field, Schema, common_type, type_name};
use std::collections::HashSet;
use std::sync::Arc;

/// Builds a plan node by node, from the inputs up.
#[derive(Debug, Clone)]
pub struct PlanBuilder {
    plan: LogicalPlan,
}

impl PlanBuilder {
    pub fn from(plan: LogicalPlan) -> Self {
        Self { plan }
    }

    /// All columns of a table, qualified with `qualifier`.
    pub fn scan(table: Arc<Table>, qualifier: &str) -> Self {
        Self::scan_columns(table, qualifier, false)
    }

    /// The same with the table's hidden columns after the others.
    pub fn scan_with_hidden(table: Arc<Table>, qualifier: &str) -> Self {
        Self::scan_columns(table, qualifier, true)
    }

    fn scan_columns(table: Arc<Table>, qualifier: &str, hidden: bool) -> Self {
        let qualifier: Arc<str> = qualifier.into();
        let hidden = if hidden { table.hidden_columns() } else { &[] };
        let schema: Schema = table
            .columns
            .iter()
            .chain(hidden)
            .map(|c| Field::new(c.name.clone(), c.data_type.clone(), c.nullable).with_qualifier(qualifier.clone()))
            .collect();
        let columns = (0..schema.len()).collect();
        Self::from(LogicalPlan::Scan(Scan {
            table,
            schema,
            columns,
            filters: vec![],
            filter_columns: vec![],
            limit: None,
        }))
    }

    /// Literal rows; each column gets the common type of its values.
    pub fn values(rows: Vec<Vec<Expr>>, names: Option<Vec<Arc<str>>>) -> Result<Self> {
        let width = rows.first().map_or(0, Vec::len);
        if let Some(row) = rows.iter().find(|r| r.len() != width) {
            return Err(Error::plan(format!(
                "VALUES rows differ in length: {width} and {} values",
                row.len()
            )));
        }
        let mut types = vec![DataType::Null; width];
        for row in &rows {
            for (t, e) in types.iter_mut().zip(row) {
                let found = e.data_type();
                *t = common_type(t, &found).ok_or_else(|| {
                    Error::plan(format!(
                        "VALUES column mixes {} and {}",
                        type_name(t),
                        type_name(&found)
                    ))
                })?;
            }
        }
        let nullable: Vec<bool> = (0..width).map(|i| rows.iter().any(|r| r[i].nullable())).collect();
        let schema = types.iter().enumerate().map(|(i, t)| {
            let name = names
                .as_ref()
                .and_then(|n| n.get(i).cloned())
                .unwrap_or_else(|| format!("_col{i}").into());
            Field::new(name, t.clone(), nullable[i])
        });
        let schema = schema.collect();
        let rows = rows
            .into_iter()
            .map(|r| {
                r.into_iter()
                    .zip(&types)
                    .map(|(e, t)| e.cast_to(t))
                    .collect::<Result<Vec<_>>>()
            })
            .collect::<Result<_>>()?;
        Ok(Self::from(LogicalPlan::Values(Values { schema, rows })))
    }

    /// The given expressions under the given names. A bare column keeps its identity.
    pub fn project(self, items: Vec<(Expr, Option<Arc<str>>)>) -> Self {
        let mut fields: Vec<Field> = vec![];
        let mut own: HashSet<ColumnId> = self.plan.schema().ids().collect();
        for (i, (expr, name)) in items.iter().enumerate() {
            let name = name
                .clone()
                .or_else(|| expr.natural_name())
                .unwrap_or_else(|| format!("_col{i}").into());
            let field = match expr {
                // A column selected twice is two columns of the output; only the first keeps the identity. A column of an
                // enclosing query becomes another one here.
                Expr::Column(f) if own.remove(&f.id) => Field { name, ..f.clone() },
                other => Field::new(name, other.data_type(), other.nullable()),
            };
            fields.push(field);
        }
        let expressions = items.into_iter().map(|(e, _)| e).collect();
        let schema = Schema::new(fields);
        Self::from(LogicalPlan::Project(Project {
            input: Arc::new(self.plan),
            expressions,
            schema,
        }))
    }

    /// The same columns under another qualifier and, where given, other names: `AS t (a, b)`. Identities stay.
    pub fn alias(self, qualifier: &str, names: &[Arc<str>]) -> Result<Self> {
        let schema = self.plan.schema();
        if !names.is_empty() && names.len() != schema.len() {
            return Err(Error::plan(format!(
                "alias \"{qualifier}\" names {} columns, the relation has {}",
                names.len(),
                schema.len()
            )));
        }
        let qualifier: Arc<str> = qualifier.into();
        let expressions = schema.iter().cloned().map(Expr::Column).collect();
        let schema = schema
            .iter()
            .enumerate()
            .map(|(i, f)| Field {
                qualifier: Some(qualifier.clone()),
                name: names.get(i).cloned().unwrap_or_else(|| f.name.clone()),
                ..f.clone()
            })
            .collect();
        Ok(Self::from(LogicalPlan::Project(Project {
            input: Arc::new(self.plan),
            expressions,
            schema,
        })))
    }

    /// The rows for which `predicate` is true.
    pub fn filter(self, predicate: Expr) -> Result<Self> {
        let predicate = boolean(predicate, "a filter")?;
        Ok(Self::from(LogicalPlan::Filter(Filter {
            input: Arc::new(self.plan),
            predicate,
        })))
    }

    /// A join. Equalities between the sides inside `condition` become keys.
    pub fn join(self, right: LogicalPlan, kind: JoinKind, condition: Option<Expr>) -> Result<Self> {
        let condition = condition.map(|c| boolean(c, "a join condition")).transpose()?;
        let (on, filter) = split_condition(condition, self.plan.schema(), right.schema());
        Ok(self.join_on(right, kind, on, filter))
    }

    /// A join on explicit keys.
    pub fn join_on(self, right: LogicalPlan, kind: JoinKind, on: Vec<JoinKey>, filter: Option<Expr>) -> Self {
        let schema = kind.schema(self.plan.schema(), right.schema());
        Self::from(LogicalPlan::Join(Join {
            left: Arc::new(self.plan),
            right: Arc::new(right),
            kind,
            on,
            filter,
            null_aware: false,
            dependent: vec![],
            hint: None,
            schema,
        }))
    }

    /// The same join with advice on how to run it; anything but a join stays as it is.
    pub fn with_hint(mut self, hint: Option<JoinHint>) -> Self {
        if let LogicalPlan::Join(join) = &mut self.plan {
            join.hint = hint;
        }
        self
    }

    /// `plan` with a common table expression that its `CteReference`s read.
    pub fn with_cte(self, id: CteId, name: Arc<str>, definition: Arc<LogicalPlan>) -> Self {
        Self::from(LogicalPlan::Cte(Cte {
            id,
            name,
            definition,
            body: Arc::new(self.plan),
        }))
    }

    /// The rows of a common table expression, under fresh identities.
    pub fn cte_reference(id: CteId, name: Arc<str>, definition: &Schema) -> Self {
        Self::from(LogicalPlan::CteReference(CteReference {
            id,
            name,
            schema: definition.iter().map(Field::renewed).collect(),
            columns: (0..definition.len()).collect(),
        }))
    }

    /// A join whose right side mentions columns of the left side (LATERAL).
    pub fn join_lateral(self, right: Subquery, kind: JoinKind, condition: Option<Expr>) -> Result<Self> {
        let mut built = self.join(Arc::unwrap_or_clone(right.plan), kind, condition)?;
        if let LogicalPlan::Join(join) = &mut built.plan {
            join.dependent = right.outer;
        }
        Ok(built)
    }

    /// One row per distinct value of `groups`, then the aggregates. Names are for display and for whoever selects them.
    pub fn aggregate(
        self,
        groups: Vec<(Expr, Arc<str>)>,
        grouping_sets: Option<Vec<Vec<usize>>>,
        aggregates: Vec<(AggregateCall, Arc<str>)>,
    ) -> Self {
        let sets = grouping_sets.is_some();
        let mut fields: Vec<Field> = vec![];
        let mut own: HashSet<ColumnId> = self.plan.schema().ids().collect();
        for (expr, name) in &groups {
            let field = match expr {
                // With grouping sets a group may be NULL where the input is not: another value, another identity.
                Expr::Column(f) if !sets && own.remove(&f.id) => f.clone(),
                other => Field::new(name.clone(), other.data_type(), sets || other.nullable()),
            };
            fields.push(field);
        }
        if sets {
            fields.push(Field::new("grouping_id", DataType::Int64, false));
        }
        for (call, name) in &aggregates {
            let never_null = call.function.name == "count";
            fields.push(Field::new(name.clone(), call.signature.result.clone(), !never_null));
        }
        Self::from(LogicalPlan::Aggregate(Aggregate {
            input: Arc::new(self.plan),
            groups: groups.into_iter().map(|(e, _)| e).collect(),
            grouping_sets,
            aggregates: aggregates.into_iter().map(|(a, _)| a).collect(),
            schema: Schema::new(fields),
        }))
    }

    /// Each distinct row once.
    pub fn distinct(self) -> Self {
        let groups = self
            .plan
            .schema()
            .iter()
            .map(|f| (Expr::Column(f.clone()), f.name.clone()))
            .collect();
        self.aggregate(groups, None, vec![])
    }

    /// The input's columns and one more for each call.
    pub fn window(self, calls: Vec<(WindowCall, Arc<str>)>) -> Self {
        let fields = calls
            .iter()
            .map(|(c, name)| Field::new(name.clone(), c.data_type.clone(), true));
        let schema = self.plan.schema().join(&fields.collect());
        let calls = calls.into_iter().map(|(c, _)| c).collect();
        Self::from(LogicalPlan::Window(Window {
            input: Arc::new(self.plan),
            calls,
            schema,
        }))
    }

    /// All rows in this order.
    pub fn sort(self, keys: Vec<SortKey>) -> Self {
        Self::from(LogicalPlan::Sort(Sort {
            input: Arc::new(self.plan),
            keys,
            fetch: None,
        }))
    }

    /// The rows after the first `skip`, at most `fetch` of them.
    pub fn limit(self, skip: u64, fetch: Option<u64>) -> Self {
        Self::from(LogicalPlan::Limit(Limit {
            input: Arc::new(self.plan),
            skip,
            fetch,
        }))
    }

    /// The rows of all inputs (`UNION ALL`), columns by position, each with the common type. Names come from the first.
    pub fn union(inputs: Vec<LogicalPlan>) -> Result<Self> {
        let first = inputs
            .first()
            .ok_or_else(|| Error::internal("a union has inputs"))?
            .schema()
            .clone();
        let mut types: Vec<DataType> = first.iter().map(|f| f.data_type.clone()).collect();
        let mut nullable: Vec<bool> = first.iter().map(|f| f.nullable).collect();
        for input in &inputs[1..] {
            let schema = input.schema();
            if schema.len() != first.len() {
                return Err(Error::plan(format!(
                    "the queries of a set operation have {} and {} columns",
                    first.len(),
                    schema.len()
                )));
            }
            for (i, f) in schema.iter().enumerate() {
                types[i] = common_type(&types[i], &f.data_type).ok_or_else(|| {
                    Error::plan(format!(
                        "column {} of a set operation (\"{}\") is {} in one query and {} in another",
                        i + 1,
                        first[i].name,
                        type_name(&types[i]),
                        type_name(&f.data_type)
                    ))
                })?;
                nullable[i] |= f.nullable;
            }
        }
        let inputs = inputs
            .into_iter()
            .map(|p| Ok(Arc::new(Self::from(p).cast_columns(&types)?.build())))
            .collect::<Result<_>>()?;
        let schema = first
            .iter()
            .zip(types)
            .zip(nullable)
            .map(|((f, t), n)| Field::new(f.name.clone(), t, n))
            .collect();
        Ok(Self::from(LogicalPlan::Union(Union { inputs, schema })))
    }

    /// Casts the columns, by position, to `types`; nothing is added when they have them.
    pub fn cast_columns(self, types: &[DataType]) -> Result<Self> {
        let schema = self.plan.schema().clone();
        if schema.iter().zip(types).all(|(f, t)| f.data_type == *t) {
            return Ok(self);
        }
        let items = schema
            .iter()
            .zip(types)
            .map(|(f, t)| Ok((Expr::Column(f.clone()).cast_to(t)?, Some(f.name.clone()))))
            .collect::<Result<_>>()?;
        Ok(self.project(items))
    }

    /// Each row once per element. `names` are for the unnested columns (and the ordinal), as far as given.
    pub fn unnest(
        self,
        expressions: Vec<Expr>,
        ordinality: bool,
        outer: bool,
        qualifier: Option<Arc<str>>,
        names: &[Arc<str>],
    ) -> Result<Self> {
        let mut types: Vec<(Option<Arc<str>>, DataType)> = vec![];
        for e in &expressions {
            match e.data_type() {
                DataType::List(item) => match item.data_type() {
                    DataType::Struct(fields) => {
                        types.extend(
                            fields
                                .iter()
                                .map(|f| (Some(f.name().as_str().into()), f.data_type().clone())),
                        );
                    }
                    other => types.push((None, other.clone())),
                },
                DataType::Map(entries, _) => match entries.data_type() {
                    DataType::Struct(kv) => types.extend(kv.iter().map(|f| (None, f.data_type().clone()))),
                    other => return Err(Error::internal(format!("map entries of type {other}"))),
                },
                other => {
                    return Err(Error::plan(format!("cannot unnest {}", type_name(&other)))
                        .with_hint("UNNEST takes arrays and maps"));
                }
            }
        }
        if ordinality {
            types.push((Some("ordinality".into()), DataType::Int64));
        }
        let added = types.into_iter().enumerate().map(|(i, (name, t))| {
            let name = names
                .get(i)
                .cloned()
                .or(name)
                .unwrap_or_else(|| format!("_col{i}").into());
            Field {
                qualifier: qualifier.clone(),
                ..Field::new(name, t, true)
            }
        });
        let schema = self.plan.schema().join(&added.collect());
        Ok(Self::from(LogicalPlan::Unnest(Unnest {
            input: Arc::new(self.plan),
            expressions,
            ordinality,
            outer,
            schema,
        })))
    }

    pub fn schema(&self) -> &Schema {
        self.plan.schema()
    }

    pub fn build(self) -> LogicalPlan {
        self.plan
    }
}

fn boolean(expr: Expr, what: &str) -> Result<Expr> {
    match expr.data_type() {
        DataType::Boolean => Ok(expr),
        DataType::Null => expr.cast_to(&DataType::Boolean),
        other => Err(Error::plan(format!(
            "{what} must be boolean, found {}",
            type_name(&other)
        ))),
    }
}

/// Splits a join condition into equalities between the sides and the rest.
pub(crate) fn split_condition(condition: Option<Expr>, left: &Schema, right: &Schema) -> (Vec<JoinKey>, Option<Expr>) {
    use super::BinaryOp::{Equal, IsNotDistinctFrom};
    let of = |e: &Expr, side: &Schema| {
        let ids = e.columns();
        !ids.is_empty() && !e.has_subquery() && ids.iter().all(|id| side.contains(*id))
    };
    let (mut keys, mut rest) = (vec![], vec![]);
    for conjunct in condition.into_iter().flat_map(Expr::into_conjuncts) {
        match conjunct {
            Expr::Binary {
                op: op @ (Equal | IsNotDistinctFrom),
                left: l,
                right: r,
                ..
            } if of(&l, left) && of(&r, right) => {
                keys.push(JoinKey {
                    left: *l,
                    right: *r,
                    null_safe: op == IsNotDistinctFrom,
                });
            }
            Expr::Binary {
                op: op @ (Equal | IsNotDistinctFrom),
                left: l,
                right: r,
                ..
            } if of(&r, left) && of(&l, right) => {
                keys.push(JoinKey {
                    left: *r,
                    right: *l,
                    null_safe: op == IsNotDistinctFrom,
                });
            }
            other => rest.push(other),
        }
    }
    (keys, (!rest.is_empty()).then(|| Expr::and(rest)))
}

/// The columns that names can refer to at some point of a query.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub schema: &'a Schema,
}

impl Scope<'_> {
    /// The column called `name`, of relation `qualifier` if given; names are compared without regard to case.
    /// `Ok(None)` when there is none, so that an outer scope can be asked.
    ///
    /// # Errors
    /// When several columns have the name.
    pub fn find(&self, qualifier: Option<&str>, name: &str) -> Result<Option<&Field>> {
        let same = |f: &&Field| {
            f.name.eq_ignore_ascii_case(name)
                && qualifier.is_none_or(|q| f.qualifier.as_ref().is_some_and(|fq| fq.eq_ignore_ascii_case(q)))
        };
        let mut found = self.schema.iter().filter(same);
        let first = found.next();
        match (first, found.next()) {
            (Some(a), Some(b)) if a.id != b.id => {
                let shown = |f: &Field| {
                    f.qualifier
                        .as_ref()
                        .map_or(f.name.to_string(), |q| format!("{q}.{}", f.name))
                };
                Err(
                    Error::plan(format!("column \"{name}\" is ambiguous")).with_hint(format!(
                        "it could be {} or {}",
                        shown(a),
                        shown(b)
                    )),
                )
            }
            _ => Ok(first),
        }
    }

    /// The error for a name that no scope knows.
    pub fn unknown(&self, qualifier: Option<&str>, name: &str) -> Error {
        let shown = qualifier.map_or(name.to_string(), |q| format!("{q}.{name}"));
        let error = Error::plan(format!("column \"{shown}\" does not exist"));
        match nearest(name, self.schema.iter().map(|f| f.name.as_ref())) {
            Some(best) => error.with_hint(format!("did you mean \"{best}\"?")),
            None if self.schema.is_empty() => error,
            None => {
                let names: Vec<&str> = self.schema.iter().take(20).map(|f| f.name.as_ref()).collect();
                error.with_hint(format!("columns here: {}", names.join(", ")))
            }
        }
    }
}
