//! Scans of tables.

use super::{Planner, Required, Stream, lower_conjuncts};
use crate::catalog::TableSource;
use crate::error::{Error, Result};
use crate::format::{BadRows, ScanColumn, ScanProgress, ScanRequest};
use crate::logical;
use crate::physical::project::Filter;
use crate::physical::scan::{FileScan, MemoryScan};
use crate::types::{Field, Schema};
use crate::vector::{Batch, Column};
use std::sync::Arc;

impl Planner<'_> {
    pub(super) fn plan_scan(&mut self, node: &logical::Scan, required: &Required) -> Result<Stream> {
        let all = node
            .schema
            .iter()
            .cloned()
            .zip(node.columns.iter().copied())
            .chain(node.filter_columns.iter().cloned());
        let (given, mut others): (Vec<(Field, usize)>, Vec<_>) =
            all.partition(|(f, _)| required.contains(&f.id) && node.schema.contains(f.id));
        // Of the others, only those that a predicate or runtime filter looks at are read.
        let mut used = Required::new();
        node.filters.iter().for_each(|e| e.collect_columns(&mut used));
        used.extend(self.filters.iter().map(|(id, _)| *id));
        others.retain(|(f, _)| used.contains(&f.id));
        let output: Schema = given.iter().map(|(f, _)| f.clone()).collect();
        let layout: Schema = given.iter().chain(&others).map(|(f, _)| f.clone()).collect();
        let positions: Vec<usize> = given.iter().chain(&others).map(|(_, c)| *c).collect();
        let predicates = lower_conjuncts(&node.filters, &layout)?;
        match &node.table.source {
            TableSource::Partitions(_) | TableSource::Information(_) => Err(Error::internal(format!(
                "the files or rows of {} were not looked up",
                node.table.name
            ))),
            TableSource::Memory(batches) => {
                let batches = batches.iter().map(|b| {
                    let columns = positions.iter().map(|&c| Column::Array(b.column(c).clone())).collect();
                    Batch::new(columns, b.num_rows())
                });
                let mut stream = Stream::new(
                    format!("Scan {}", node.table.name),
                    Arc::new(MemoryScan::new(batches.collect())),
                    layout,
                );
                if !predicates.is_empty() {
                    let schema = stream.schema.clone();
                    stream.push(
                        "Filter",
                        Arc::new(Filter {
                            predicates: Arc::new(predicates),
                        }),
                        schema,
                    );
                }
                Ok(stream)
            }
            TableSource::Files(files) => {
                let columns = layout.iter().zip(&positions).map(|(field, &position)| {
                    let column = node
                        .table
                        .column_at(position)
                        .ok_or_else(|| Error::internal("a scan column exists"))?;
                    Ok(ScanColumn {
                        name: column.name.clone(),
                        position,
                        data_type: field.data_type.clone(),
                        partition_column: position.checked_sub(files.partition_start),
                    })
                });
                let runtime_filters = self
                    .filters
                    .iter()
                    .filter_map(|(id, filter)| Some((layout.position(*id)?, filter.clone())));
                let request = ScanRequest {
                    columns: columns.collect::<Result<_>>()?,
                    output: output.len(),
                    predicates,
                    runtime_filters: runtime_filters.collect(),
                    batch_rows: self.context.config.batch_size,
                    bad_rows: BadRows::new(files.format.bad_rows(), &self.context.config, &self.context.metrics)?,
                    progress: ScanProgress::default(),
                };
                let limit = node.limit.filter(|_| node.filters.is_empty());
                let scan = FileScan::new(node.table.clone(), request, limit);
                if self.context.config.guards.max_bytes.is_some() {
                    self.bytes_wanted = self.bytes_wanted.saturating_add(scan.bytes_wanted()?);
                }
                Ok(Stream::new(format!("Scan {}", node.table.name), Arc::new(scan), output))
            }
        }
    }
}
