//! The groups of one worker and their states.

use super::table::GroupTable;
use super::{AggregateSpec, accumulators, evaluate};
use crate::error::Result;
use crate::functions::aggregate::Accumulator;
use crate::runtime::{Operator, QueryContext, Reservation, Transit};
use crate::vector::memory::HeldBytes;
use crate::vector::{Batch, Column};
use arrow::array::ArrayRef;
use std::sync::Arc;

/// Memory is asked for in steps of at least this.
pub(super) const STEP: usize = 64 << 10;

/// Group columns, then the state columns of each aggregate: one row per group.
pub(super) type States = Vec<ArrayRef>;

/// A table and the accumulators of its groups.
pub(super) struct Local {
    spec: Arc<AggregateSpec>,
    pub table: GroupTable,
    accumulators: Vec<Box<dyn Accumulator>>,
    pub groups: Vec<u32>,
    pub reservation: Reservation,
    workers: usize,
}

/// Bytes that arrays keep allocated, shared buffers once.
pub(super) fn held_bytes(arrays: &[ArrayRef]) -> usize {
    let mut held = HeldBytes::default();
    arrays.iter().map(|a| held.add(a.as_ref())).sum()
}

/// Whether the groups may stay in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// The operator holds as much as it should.
    None,
    /// The operator might hold more, but this worker has its share of it.
    ShareUsed,
}

impl Local {
    /// No groups yet, for one of all workers.
    pub fn new(spec: &Arc<AggregateSpec>, operator: &Arc<Operator>, context: &QueryContext) -> Result<Self> {
        Self::for_workers(spec, operator, context, context.threads())
    }

    /// As [`Local::new`], for one of `workers` that share the operator's memory.
    pub fn for_workers(
        spec: &Arc<AggregateSpec>,
        operator: &Arc<Operator>,
        context: &QueryContext,
        workers: usize,
    ) -> Result<Self> {
        Ok(Self {
            spec: spec.clone(),
            table: GroupTable::new(&spec.group_types, &spec.group_nullable, context.fixed_hash())?,
            accumulators: accumulators(spec)?,
            groups: vec![],
            reservation: operator.reservation(),
            workers,
        })
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Adds rows of the operator's input.
    pub fn update(&mut self, batch: &Batch) -> Result<()> {
        let columns = evaluate(&self.spec, batch)?;
        self.table
            .groups_of(&columns[..self.spec.group_types.len()], batch.len(), &mut self.groups)?;
        let count = self.table.len();
        for (aggregate, accumulator) in self.spec.aggregates.iter().zip(&mut self.accumulators) {
            match aggregate.inputs(&columns)? {
                (inputs, None) => accumulator.update(&inputs, &self.groups, count)?,
                (inputs, Some(rows)) => {
                    let groups: Vec<u32> = rows.values().iter().map(|&r| self.groups[r as usize]).collect();
                    accumulator.update(&inputs, &groups, count)?;
                }
            }
        }
        Ok(())
    }

    /// Adds partial states.
    pub fn merge(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (keys, states) = states.split_at(self.spec.group_types.len());
        let rows = keys.first().map_or(0, |k| k.len());
        let keys: Vec<Column> = keys.iter().cloned().map(Column::Array).collect();
        self.table.groups_of(&keys, rows, &mut self.groups)?;
        let mut at = 0;
        for (aggregate, accumulator) in self.spec.aggregates.iter().zip(&mut self.accumulators) {
            let end = at + aggregate.state.len();
            accumulator.merge(&states[at..end], &self.groups, self.table.len())?;
            at = end;
        }
        Ok(())
    }

    /// Takes the partial states out of the accumulators; they are counted as long as what comes with them lives. The groups
    /// stay in the table until it is cleared.
    pub fn take_states(&mut self) -> Result<(States, Transit)> {
        let mut arrays = self.table.key_columns()?;
        for accumulator in &mut self.accumulators {
            arrays.extend(accumulator.state(self.table.len())?);
        }
        let copies = self.copies(&arrays);
        Ok((arrays, copies))
    }

    /// Takes the groups and results out; what is left of the reservation is the memory of the results.
    pub fn finish(mut self) -> Result<(Vec<ArrayRef>, Reservation)> {
        let rows = self.table.len();
        let mut arrays = self.table.key_columns()?;
        for accumulator in &mut self.accumulators {
            arrays.push(accumulator.finish(rows)?);
        }
        let copies = self.copies(&arrays);
        let bytes = held_bytes(&arrays);
        drop((self.table, self.accumulators));
        let mut reservation = self.reservation;
        reservation.shrink(reservation.bytes().saturating_sub(bytes));
        drop(copies);
        Ok((arrays, reservation))
    }

    /// Bytes allocated.
    pub fn needed(&self) -> usize {
        let states: usize = self.accumulators.iter().map(|a| a.memory_size()).sum();
        self.table.memory_size() + states
    }

    /// Counts arrays that were taken out, as far as they are copies, as long as it lives.
    fn copies(&self, arrays: &[ArrayRef]) -> Transit {
        let mut transit = self.reservation.operator().arbiter().transit();
        transit.set((held_bytes(arrays) + self.needed()).saturating_sub(self.reservation.bytes()));
        transit
    }

    /// Reserves the memory that the groups need.
    pub fn reserve(&mut self) -> Result<Room> {
        let (needed, held) = (self.needed(), self.reservation.bytes());
        if needed <= held {
            return Ok(Room::Enough);
        }
        let missing = needed - held;
        let share = share(self.reservation.operator(), self.workers);
        if needed > share {
            return Ok(Room::ShareUsed);
        }
        let ahead = missing.max(held / 16).max(STEP).min(share - held.min(share));
        let grown = self.reservation.try_grow_fairly(ahead)? || self.reservation.try_grow_fairly(missing)?;
        Ok(if grown { Room::Enough } else { Room::None })
    }

    /// Reserves the memory that the groups need, taking it from state at rest if need be.
    ///
    /// # Errors
    /// `ResourcesExhausted`, with the size and the setting.
    pub fn reserve_all(&mut self) -> Result<()> {
        let needed = self.needed();
        if needed <= self.reservation.bytes() {
            return Ok(());
        }
        self.reservation.resize(needed).map_err(|e| match self.table.len() {
            1 => e.context("the state of one group"),
            _ => e,
        })
    }

    /// Forgets the groups, whose states were taken out. Keeps the memory when there is enough of it.
    pub fn clear(&mut self, keep_memory: bool) -> Result<()> {
        if keep_memory {
            self.table.clear()?;
        } else {
            self.table.reset()?;
            self.accumulators = accumulators(&self.spec)?;
            self.groups = vec![];
        }
        Ok(())
    }
}

/// What one of several workers may hold: their part of what the operator holds and may grow by.
pub(super) fn share(operator: &Operator, workers: usize) -> usize {
    (operator.held() + operator.fair_room()) / workers.max(1)
}
