//! Running a plan: the doors to this room.

use super::executor::run_pipelines;
use super::pipeline::Sink;
use super::planner::{plan_into, plan_query};
use crate::error::{Error, Result};
use crate::logical::LogicalPlan;
use crate::runtime::QueryContext;
use crate::vector::Batch;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Batches that wait for the reader of a result.
const WAITING: usize = 4;

/// The rows of a running query, in order. Dropping it stops the query.
pub struct QueryStream {
    schema: SchemaRef,
    receiver: Option<Receiver<Batch>>,
    runner: Option<JoinHandle<Result<()>>>,
    context: QueryContext,
}

/// Plans `plan` and starts running it.
///
/// # Errors
/// When it cannot be planned; errors of execution come from the stream.
pub fn execute(plan: &LogicalPlan, context: &QueryContext) -> Result<QueryStream> {
    let (sender, receiver) = sync_channel(WAITING);
    let pipelines = plan_query(plan, context, sender)?;
    let runner_context = context.clone();
    let runner = std::thread::Builder::new()
        .name("query".into())
        .stack_size(64 << 20)
        .spawn(move || {
            let _entered = runner_context.enter();
            run_pipelines(pipelines, &runner_context)
        })
        .map_err(|e| Error::resources(format!("a thread for the query cannot be started: {e}")))?;
    Ok(QueryStream {
        schema: plan.schema().to_arrow(),
        receiver: Some(receiver),
        runner: Some(runner),
        context: context.clone(),
    })
}

/// Runs `plan` to its end with `sink` as the last operator.
pub fn run_into(plan: &LogicalPlan, context: &QueryContext, sink: Arc<dyn Sink>) -> Result<()> {
    let _entered = context.enter();
    run_pipelines(plan_into(plan, context, sink)?, context)
}

impl QueryStream {
    /// Names and types of the result's columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn outcome(&mut self) -> Option<Result<RecordBatch>> {
        let outcome = self
            .runner
            .take()?
            .join()
            .unwrap_or_else(|_| Err(Error::internal("the query panicked")));
        outcome.err().map(Err)
    }
}

impl Iterator for QueryStream {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.receiver.as_ref()?.recv() {
            Ok(batch) => Some(batch.to_record_batch(&self.schema)),
            Err(_) => {
                self.receiver = None;
                self.outcome()
            }
        }
    }
}

impl Drop for QueryStream {
    fn drop(&mut self) {
        if self.receiver.take().is_some() {
            self.context.cancel.cancel();
        }
        if let Some(runner) = self.runner.take() {
            let _ = runner.join();
        }
    }
}
