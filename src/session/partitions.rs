//! Statements about the partitions of a table: ADD, DROP, RENAME and SET LOCATION of partitions, MSCK, SHOW PARTITIONS,
//! and the tables `t$partitions` and `t$files`.

use super::guards::declared_location;
use super::relations::Relations;
use super::{Session, StatementResult};
use crate::catalog::{
    ColumnDefinition, PartitionDefinition, PartitionFilter, PartitionedTable, TableDefinition, TablePartition,
    default_location, in_parallel, key_condition, partition_path, partition_text, partition_value,
};
use crate::error::{Error, Result};
use crate::expression::BinaryOp;
use crate::logical::Expr;
use crate::sql::{self, ObjectName, PartitionSpec, Repair, ShowPartitions};
use crate::storage::{Location, exists};
use crate::types::{DataType, ScalarValue, Schema};
use crate::vector::Batch;
use sqlparser::ast;
use std::collections::HashSet;

/// So many partitions and folders are named by MSCK.
const NAMED: usize = 1000;

/// One comparison of `PARTITION (…)` with its value.
#[derive(Debug)]
struct BoundCondition {
    /// Which of the table's partition columns.
    key: usize,
    op: BinaryOp,
    /// `None` is NULL.
    text: Option<String>,
    value: ScalarValue,
}

impl Session {
    /// The partitions of a table as the catalog or the folders know them; a projection is left aside.
    pub(super) fn known_partitions(&self, table: &TableDefinition) -> Result<PartitionedTable> {
        let registered = self.catalog().partitions(&table.database, &table.name)?;
        PartitionedTable::without_projection(table, registered, self.config().threads)
    }

    /// # Errors
    /// When the table has no partition columns.
    fn require_partitioned(&self, name: &ObjectName) -> Result<TableDefinition> {
        let table = self.require_table(name)?;
        match table.partitioned_by.is_empty() {
            true => Err(Error::plan(format!("table \"{}\" has no partitions", name.name)).with_span(name.span)),
            false => Ok(table),
        }
    }

    /// The comparisons of `PARTITION (…)`, each with a partition column of the table and a value of its type.
    fn bound_spec(&self, table: &TableDefinition, spec: &PartitionSpec) -> Result<Vec<BoundCondition>> {
        let relations = Relations::default();
        let mut bound = vec![];
        for condition in spec {
            let key = &condition.key;
            let found = table
                .partitioned_by
                .iter()
                .position(|c| c.name.eq_ignore_ascii_case(key));
            let (Some(position), Some(column)) = (found, found.and_then(|i| table.partitioned_by.get(i))) else {
                return Err(
                    Error::plan(format!("table \"{}\" has no partition column \"{key}\"", table.name))
                        .with_span(condition.span)
                        .with_nearest(key, table.partitioned_by.iter().map(|c| c.name.as_str())),
                );
            };
            let value = relations.with_context(self, &[], |context| sql::bind_constant(&condition.value, context))?;
            let text = constant_text(&value).map_err(|e| e.with_span(condition.span))?;
            let value = partition_value("PARTITION", key, text.as_deref(), &column.data_type()?)
                .map_err(|e| e.with_span(condition.span))?;
            bound.push(BoundCondition {
                key: position,
                op: operator(&condition.op)?,
                text,
                value,
            });
        }
        Ok(bound)
    }

    /// A filter for the partitions that fulfil `PARTITION (…)`; all without one.
    pub(super) fn spec_filter(&self, table: &TableDefinition, spec: Option<&PartitionSpec>) -> Result<PartitionFilter> {
        let types: Vec<DataType> = table
            .partitioned_by
            .iter()
            .map(ColumnDefinition::data_type)
            .collect::<Result<_>>()?;
        let Some(spec) = spec else {
            return Ok(PartitionFilter::new(types, vec![]));
        };
        let condition = |c: BoundCondition| {
            let data_type = types.get(c.key).cloned().unwrap_or(DataType::Null);
            key_condition(c.key, data_type, c.op, c.value)
        };
        let conditions = self.bound_spec(table, spec)?.into_iter().map(condition).collect();
        Ok(PartitionFilter::new(types, conditions))
    }

    /// The values that `PARTITION (k = v, …)` gives to all keys, in their order.
    fn full_values(&self, table: &TableDefinition, spec: &PartitionSpec) -> Result<Vec<Option<String>>> {
        let bound = self.bound_spec(table, spec)?;
        let span = spec.first().map(|c| c.span).unwrap_or_default();
        let wrong = |what: String| Err(Error::plan(what).with_span(span));
        if bound.iter().any(|c| c.op != BinaryOp::Equal) {
            return wrong("one partition is named by k = v for each key".into());
        }
        let mut values = vec![];
        for (i, column) in table.partitioned_by.iter().enumerate() {
            let mut given = bound.iter().filter(|c| c.key == i);
            match (given.next(), given.next()) {
                (Some(condition), None) => values.push(condition.text.clone().filter(|t| !t.is_empty())),
                (None, _) => return wrong(format!("PARTITION (…) gives no value to the key \"{}\"", column.name)),
                _ => {
                    return wrong(format!(
                        "PARTITION (…) gives several values to the key \"{}\"",
                        column.name
                    ));
                }
            }
        }
        Ok(values)
    }

    /// The partitions that a change of some begins with: those registered, or those in the folders.
    fn adopted(&self, table: &TableDefinition) -> Result<Vec<PartitionDefinition>> {
        let found = self.known_partitions(table)?.partitions(&PartitionFilter::default())?;
        Ok(found.partitions.iter().map(|p| definition_of(table, p)).collect())
    }

    pub(super) fn add_partitions(
        &self,
        name: &ObjectName,
        if_not_exists: bool,
        partitions: &[(PartitionSpec, Option<String>)],
    ) -> Result<StatementResult> {
        let table = self.require_partitioned(name)?;
        let mut new = vec![];
        for (spec, location) in partitions {
            let values = self.full_values(&table, spec)?;
            let location = match location {
                Some(location) => Some(declared_location(location)?),
                None => None,
            };
            let location = location.filter(|l| *l != default_location(&table, &values));
            new.push((PartitionDefinition { values, location }, spec.first().map(|c| c.span)));
        }
        // What we wrote ourselves stays part of the table; what others wrote is what they say it is.
        let before = match table.external {
            true => vec![],
            false => self.adopted(&table)?,
        };
        let mut added = 0;
        self.catalog().change_partitions(&table.database, &table.name, |all| {
            let all = all.get_or_insert_with(|| before.clone());
            let mut known: HashSet<Vec<ScalarValue>> = HashSet::new();
            for partition in all.iter() {
                known.insert(typed(&table, &partition.values)?);
            }
            added = 0;
            for (partition, span) in &new {
                if known.insert(typed(&table, &partition.values)?) {
                    all.push(partition.clone());
                    added += 1;
                } else if !if_not_exists {
                    let path = partition_path(&table, &partition.values);
                    return Err(
                        Error::plan(format!("partition {path} of table \"{}\" exists already", table.name))
                            .with_span(span.unwrap_or_default())
                            .with_hint("ADD IF NOT EXISTS leaves it as it is"),
                    );
                }
            }
            Ok(())
        })?;
        Ok(StatementResult::done(format!("ALTER TABLE: {added} partitions added")))
    }

    /// Which of the partitions fulfil one of the specs.
    ///
    /// # Errors
    /// With `must_match`, when no partition fulfils one of them.
    fn matching(
        &self,
        table: &TableDefinition,
        all: &[PartitionDefinition],
        specs: &[PartitionSpec],
        must_match: bool,
    ) -> Result<HashSet<usize>> {
        let mut matching = HashSet::new();
        for spec in specs {
            let filter = self.spec_filter(table, Some(spec))?;
            let mut found = false;
            for (i, partition) in all.iter().enumerate() {
                let values: Vec<Option<ScalarValue>> = typed(table, &partition.values)?.into_iter().map(Some).collect();
                if filter.may_match(&values) {
                    matching.insert(i);
                    found = true;
                }
            }
            if !found && must_match {
                let shown: Vec<String> = spec.iter().map(|c| format!("{} {} {}", c.key, c.op, c.value)).collect();
                return Err(Error::plan(format!(
                    "table \"{}\" has no partition ({})",
                    table.name,
                    shown.join(", ")
                ))
                .with_span(spec.first().map(|c| c.span).unwrap_or_default()));
            }
        }
        Ok(matching)
    }

    /// The registered partitions of a table, or, when none ever was, those in its folders.
    fn registered_or_adopted(&self, table: &TableDefinition) -> Result<Vec<PartitionDefinition>> {
        match self.catalog().partitions(&table.database, &table.name)? {
            Some(registered) => Ok(registered),
            None => self.adopted(table),
        }
    }

    /// The registered partitions of a table after `f` changed those that fulfil one of the specs. `before` are those that it
    /// has when none is registered.
    fn change_matching(
        &self,
        table: &TableDefinition,
        before: &[PartitionDefinition],
        specs: &[PartitionSpec],
        must_match: bool,
        mut f: impl FnMut(&mut Vec<PartitionDefinition>, &HashSet<usize>) -> Result<()>,
    ) -> Result<()> {
        self.catalog().change_partitions(&table.database, &table.name, |all| {
            let all = all.get_or_insert_with(|| before.to_vec());
            let matching = self.matching(table, all, specs, must_match)?;
            f(all, &matching)
        })
    }

    pub(super) fn drop_partitions(
        &self,
        name: &ObjectName,
        if_exists: bool,
        specs: &[PartitionSpec],
    ) -> Result<StatementResult> {
        let table = self.require_partitioned(name)?;
        let before = self.registered_or_adopted(&table)?;
        // The files first: a partition without files has no rows, but files of a partition that nobody knows are found by
        // nobody.
        if table.owns_files() {
            let matching = self.matching(&table, &before, specs, !if_exists)?;
            let dropped: Vec<PartitionDefinition> = matching.iter().filter_map(|i| before.get(*i).cloned()).collect();
            self.remove_partition_files(&table, &dropped)?;
        }
        let mut dropped = 0;
        let forgotten = self.change_matching(&table, &before, specs, !if_exists, |all, matching| {
            dropped = matching.len();
            let mut i = 0;
            all.retain(|_| {
                i += 1;
                !matching.contains(&(i - 1))
            });
            Ok(())
        });
        forgotten.map_err(|e| match table.owns_files() && e.span().is_none() {
            true => e.context("the removal of the partitions' files is committed, but they may be registered yet"),
            false => e,
        })?;
        Ok(StatementResult::done(format!(
            "ALTER TABLE: {dropped} partitions dropped"
        )))
    }

    pub(super) fn rename_partition(
        &self,
        name: &ObjectName,
        from: &PartitionSpec,
        to: &PartitionSpec,
    ) -> Result<StatementResult> {
        let table = self.require_partitioned(name)?;
        self.full_values(&table, from)?;
        let new = self.full_values(&table, to)?;
        let before = self.registered_or_adopted(&table)?;
        self.change_matching(&table, &before, std::slice::from_ref(from), true, |all, matching| {
            let new_typed = typed(&table, &new)?;
            for (i, partition) in all.iter().enumerate() {
                if !matching.contains(&i) && typed(&table, &partition.values)? == new_typed {
                    let path = partition_path(&table, &new);
                    return Err(Error::plan(format!(
                        "partition {path} of table \"{}\" exists already",
                        table.name
                    )));
                }
            }
            for i in matching {
                let Some(partition) = all.get_mut(*i) else { continue };
                // The files stay where they are.
                let location = partition.location.take();
                let location = location.unwrap_or_else(|| default_location(&table, &partition.values));
                partition.values = new.clone();
                partition.location = Some(location).filter(|l| *l != default_location(&table, &new));
            }
            Ok(())
        })?;
        Ok(StatementResult::done("ALTER TABLE"))
    }

    pub(super) fn set_partition_location(
        &self,
        name: &ObjectName,
        spec: &PartitionSpec,
        location: &str,
    ) -> Result<StatementResult> {
        let table = self.require_partitioned(name)?;
        self.full_values(&table, spec)?;
        let location = declared_location(location)?;
        let before = self.registered_or_adopted(&table)?;
        self.change_matching(&table, &before, std::slice::from_ref(spec), true, |all, matching| {
            for i in matching {
                if let Some(partition) = all.get_mut(*i) {
                    let own = location != default_location(&table, &partition.values);
                    partition.location = own.then(|| location.clone());
                }
            }
            Ok(())
        })?;
        Ok(StatementResult::done("ALTER TABLE"))
    }

    /// Compares the registered partitions with the folders below the table's location, and registers or forgets the
    /// difference. Folders that are no partition are named with the reason.
    pub(super) fn repair(
        &self,
        name: &ObjectName,
        mode: Repair,
        partition: Option<&PartitionSpec>,
    ) -> Result<StatementResult> {
        let table = self.require_partitioned(name)?;
        let filter = self.spec_filter(&table, partition)?;
        let threads = self.config().threads;
        let folders = PartitionedTable::without_projection(&table, None, threads)?;
        let (found, skipped) = folders.folders(&filter)?;
        let mut seen: HashSet<Vec<ScalarValue>> = HashSet::new();
        let (mut new, mut twice) = (vec![], vec![]);
        for partition in &found.partitions {
            match seen.insert(partition.values.clone()) {
                true => new.push((partition.values.clone(), definition_of(&table, partition))),
                false => twice.push(format!("{}: another folder has these values", partition.location)),
            }
        }
        let gone = match mode {
            Repair::Add => HashSet::new(),
            Repair::Drop | Repair::Sync => self.partitions_without_folder(&table, &filter, &seen)?,
        };
        let (mut added, mut dropped) = (vec![], vec![]);
        self.catalog().change_partitions(&table.database, &table.name, |all| {
            (added, dropped) = (vec![], vec![]);
            let all = all.get_or_insert_default();
            let mut kept = vec![];
            let mut known: HashSet<Vec<ScalarValue>> = HashSet::new();
            for partition in all.drain(..) {
                let values = typed(&table, &partition.values)?;
                if gone.contains(&values) {
                    dropped.push(partition_path(&table, &partition.values));
                    continue;
                }
                known.insert(values);
                kept.push(partition);
            }
            if mode != Repair::Drop {
                for (values, partition) in &new {
                    if known.insert(values.clone()) {
                        added.push(partition_path(&table, &partition.values));
                        kept.push(partition.clone());
                    }
                }
            }
            *all = kept;
            Ok(())
        })?;
        let skipped: Vec<String> = skipped.into_iter().chain(twice).collect();
        let mut lines = vec![format!(
            "{} partitions added, {} dropped, {} folders skipped",
            added.len(),
            dropped.len(),
            skipped.len()
        )];
        for (what, all) in [("added", added), ("dropped", dropped), ("skipped", skipped)] {
            lines.extend(all.iter().take(NAMED).map(|line| format!("{what} {line}")));
            if all.len() > NAMED {
                lines.push(format!("… and {} more {what}", all.len() - NAMED));
            }
        }
        StatementResult::lines("result", &lines.join("\n"))
    }

    /// Registered partitions that the filter keeps and whose folder is not there: neither among those seen below the
    /// table's location, nor, for one with a location of its own, there.
    fn partitions_without_folder(
        &self,
        table: &TableDefinition,
        filter: &PartitionFilter,
        seen: &HashSet<Vec<ScalarValue>>,
    ) -> Result<HashSet<Vec<ScalarValue>>> {
        let registered = self
            .catalog()
            .partitions(&table.database, &table.name)?
            .unwrap_or_default();
        let mut candidates = vec![];
        for partition in registered {
            let values = typed(table, &partition.values)?;
            let wanted = filter.may_match(&values.iter().cloned().map(Some).collect::<Vec<_>>());
            if wanted && !seen.contains(&values) {
                candidates.push((values, partition.location));
            }
        }
        let is_there = in_parallel(
            &candidates,
            self.config().threads.max(16),
            |(_, location)| match location {
                Some(location) => exists(&Location::exact(location)?),
                None => Ok(false),
            },
        )?;
        let gone = candidates.into_iter().zip(is_there).filter(|(_, there)| !there);
        Ok(gone.map(|((values, _), _)| values).collect())
    }

    pub(super) fn show_partitions(&self, show: &ShowPartitions) -> Result<StatementResult> {
        let table = self.require_partitioned(&show.name)?;
        if show.filter.is_none() && show.order_by.is_empty() {
            let filter = self.spec_filter(&table, show.partition.as_ref())?;
            let found = self.known_partitions(&table)?.partitions(&filter)?;
            let limit = show
                .limit
                .map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
            let rows = found.partitions.iter().take(limit);
            let rows = rows.map(|p| vec![Some(partition_path(&table, &p.texts))]).collect();
            return StatementResult::text(&["partition"], rows);
        }
        if show.partition.is_some() {
            return Err(
                Error::unsupported("SHOW PARTITIONS with both PARTITION (…) and WHERE or ORDER BY")
                    .with_span(show.name.span)
                    .with_hint("write all conditions after WHERE"),
            );
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let limit = show.limit.map_or(String::new(), |n| format!(" LIMIT {n}"));
        let text = format!(
            "SELECT \"$partition\" AS partition FROM {}.{}{limit}",
            quoted(&table.database),
            quoted(&format!("{}{}", table.name, super::metadata::PARTITION_NAMES)),
        );
        let mut query = sql::parse_query(&text)?;
        if let ast::SetExpr::Select(select) = query.body.as_mut() {
            select.selection = show.filter.clone();
        }
        if !show.order_by.is_empty() {
            query.order_by = Some(ast::OrderBy {
                kind: ast::OrderByKind::Expressions(show.order_by.clone()),
                interpolate: None,
            });
        }
        Ok(StatementResult::Rows(self.query(&query, &[])?.into()))
    }

    /// `CALL system.sync_partition_metadata('schema', 'table', 'ADD' | 'DROP' | 'FULL')` and other procedures.
    pub(super) fn call(&self, name: &ObjectName, arguments: &[(Option<String>, ast::Expr)]) -> Result<StatementResult> {
        let known = [
            (
                "sync_partition_metadata",
                &["schema_name", "table_name", "mode", "case_sensitive"] as &[&str],
            ),
            (
                "register_partition",
                &[
                    "schema_name",
                    "table_name",
                    "partition_columns",
                    "partition_values",
                    "location",
                ],
            ),
            (
                "unregister_partition",
                &["schema_name", "table_name", "partition_columns", "partition_values"],
            ),
            (
                "create_empty_partition",
                &["schema_name", "table_name", "partition_columns", "partition_values"],
            ),
        ];
        let found = known.iter().find(|(n, _)| *n == name.name);
        let Some((procedure, parameters)) = found else {
            return Err(Error::plan(format!("there is no procedure \"{}\"", name.name))
                .with_span(name.span)
                .with_nearest(&name.name, known.iter().map(|(n, _)| *n)));
        };
        let mut values: Vec<Option<Expr>> = vec![None; parameters.len()];
        let relations = Relations::default();
        for (i, (parameter, value)) in arguments.iter().enumerate() {
            let place = match parameter {
                Some(parameter) => parameters.iter().position(|p| p == parameter),
                None => Some(i).filter(|i| *i < parameters.len()),
            };
            let Some(place) = place.and_then(|i| values.get_mut(i)) else {
                return Err(
                    Error::plan(format!("procedure {procedure} takes {}", parameters.join(", "))).with_span(name.span),
                );
            };
            *place = Some(relations.with_context(self, &[], |context| sql::bind_constant(value, context))?);
        }
        let text = |i: usize| -> Result<String> {
            let value = values
                .get(i)
                .and_then(Option::as_ref)
                .map(constant_text)
                .transpose()?
                .flatten();
            let parameter = parameters.get(i).copied().unwrap_or_default();
            value.ok_or_else(|| {
                Error::plan(format!("procedure {procedure} needs a value for {parameter}")).with_span(name.span)
            })
        };
        let table = ObjectName {
            database: Some(text(0)?.to_lowercase()),
            name: text(1)?.to_lowercase(),
            span: name.span,
        };
        if *procedure == "sync_partition_metadata" {
            let mode = match text(2)?.to_uppercase().as_str() {
                "ADD" => Repair::Add,
                "DROP" => Repair::Drop,
                "FULL" => Repair::Sync,
                other => {
                    return Err(
                        Error::plan(format!("mode \"{other}\" is not known")).with_hint("expected ADD, DROP or FULL")
                    );
                }
            };
            return self.repair(&table, mode, None);
        }
        let list = |i: usize| -> Result<Vec<String>> {
            let value = values.get(i).and_then(Option::as_ref);
            let value = value
                .ok_or_else(|| Error::plan(format!("procedure {procedure} needs two arrays of keys and values")))?;
            array_texts(value)
        };
        let condition = |(key, value): (String, String)| sql::PartitionCondition {
            key,
            op: ast::BinaryOperator::Eq,
            value: ast::Expr::Value(ast::Value::SingleQuotedString(value).with_empty_span()),
            span: name.span,
        };
        let spec: PartitionSpec = list(2)?.into_iter().zip(list(3)?).map(condition).collect();
        match *procedure {
            "unregister_partition" => self.drop_partitions(&table, false, &[spec]),
            "register_partition" if values.get(4).is_some_and(Option::is_some) => {
                self.add_partitions(&table, false, &[(spec, Some(text(4)?))])
            }
            _ => self.add_partitions(&table, false, &[(spec, None)]),
        }
    }
}

/// The partition as the catalog remembers it.
fn definition_of(table: &TableDefinition, partition: &TablePartition) -> PartitionDefinition {
    let own = partition.location != default_location(table, &partition.texts);
    PartitionDefinition {
        values: partition.texts.clone(),
        location: own.then(|| partition.location.clone()),
    }
}

/// The values of a partition in the types of the keys.
fn typed(table: &TableDefinition, texts: &[Option<String>]) -> Result<Vec<ScalarValue>> {
    let value = |(column, text): (&ColumnDefinition, &Option<String>)| {
        partition_value(&table.location, &column.name, text.as_deref(), &column.data_type()?)
    };
    table.partitioned_by.iter().zip(texts).map(value).collect()
}

/// The value of an expression without columns, as it would stand in a folder's name.
fn constant_text(e: &Expr) -> Result<Option<String>> {
    Ok(partition_text(&constant(e)?))
}

fn constant(e: &Expr) -> Result<ScalarValue> {
    e.lower(&Schema::default())?.evaluate(&Batch::new(vec![], 1))?.scalar(0)
}

/// The elements of a constant array as texts.
fn array_texts(e: &Expr) -> Result<Vec<String>> {
    use arrow::array::Array;
    let wrong = || Error::plan("expected an array of texts");
    let ScalarValue::Nested(array) = constant(e)? else {
        return Err(wrong());
    };
    let list = array
        .as_any()
        .downcast_ref::<arrow::array::ListArray>()
        .ok_or_else(wrong)?;
    let items = list.value(0);
    let text = |i: usize| partition_text(&ScalarValue::from_array(items.as_ref(), i)?).ok_or_else(wrong);
    (0..items.len()).map(text).collect()
}

fn operator(op: &ast::BinaryOperator) -> Result<BinaryOp> {
    Ok(match op {
        ast::BinaryOperator::Eq => BinaryOp::Equal,
        ast::BinaryOperator::NotEq => BinaryOp::NotEqual,
        ast::BinaryOperator::Lt => BinaryOp::Less,
        ast::BinaryOperator::LtEq => BinaryOp::LessOrEqual,
        ast::BinaryOperator::Gt => BinaryOp::Greater,
        ast::BinaryOperator::GtEq => BinaryOp::GreaterOrEqual,
        other => return Err(Error::unsupported(format!("{other} in PARTITION (…)"))),
    })
}
