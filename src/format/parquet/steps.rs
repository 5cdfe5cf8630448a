//! In which order a window's rows are filtered.

use crate::error::Result;
use crate::expression::{Predicate, RuntimeFilter, Sealed};
use crate::format::ScanRequest;
use crate::types::DataType;
use crate::vector::{Batch, Column};
use arrow::array::{ArrayRef, NullArray};
use std::sync::Arc;

/// A test of the rows that are left.
pub(super) enum Step<'a> {
    Predicate(&'a Predicate),
    /// Of one column.
    Filter([usize; 1], &'a RuntimeFilter, &'a Sealed),
}

impl<'a> Step<'a> {
    /// Everything that filters the rows of a request, as far as it is known and worth its time.
    pub fn all(request: &'a ScanRequest) -> Vec<Self> {
        let predicates = request.predicates.iter().map(Step::Predicate);
        let filters = request
            .runtime_filters
            .iter()
            .filter_map(|(column, filter)| Some(Step::Filter([*column], filter, filter.get_worthwhile()?)));
        predicates.chain(filters).collect()
    }

    /// Takes the step that costs least per row it drops. Predicates that can fail come last, in their order, so that one
    /// may guard the next.
    pub fn take_next(steps: &mut Vec<Self>, request: &ScanRequest, decoded: &[Option<Column>]) -> Option<Self> {
        let safe = steps.iter().enumerate().filter(|(_, step)| !step.can_fail());
        let best = safe
            .map(|(i, step)| (i, step.rank(request, decoded)))
            .min_by(|(_, a), (_, b)| a.total_cmp(b));
        match best {
            Some((i, _)) => Some(steps.remove(i)),
            None => (!steps.is_empty()).then(|| steps.remove(0)),
        }
    }

    /// The columns it looks at.
    pub fn columns(&self) -> &[usize] {
        match self {
            Self::Predicate(predicate) => predicate.columns(),
            Self::Filter(column, ..) => column,
        }
    }

    fn can_fail(&self) -> bool {
        match self {
            Self::Predicate(predicate) => predicate.can_fail(),
            Self::Filter(..) => false,
        }
    }

    /// Rough nanoseconds per row that is dropped.
    fn rank(&self, request: &ScanRequest, decoded: &[Option<Column>]) -> f64 {
        let missing = self.columns().iter().filter(|&&column| decoded[column].is_none());
        let decoding: u32 = missing.map(|&c| decoding_cost(&request.columns[c].data_type)).sum();
        let (testing, kept) = match self {
            Self::Predicate(predicate) => (predicate.cost(), predicate.selectivity()),
            Self::Filter(_, filter, _) => (TEST_COST, filter.selectivity()),
        };
        f64::from(decoding + testing) / (1.0 - kept).max(0.001)
    }

    /// The positions that pass among `rows` rows whose columns are `decoded`; `None` for all.
    pub fn select(&self, decoded: &[Option<Column>], rows: usize) -> Result<Option<Vec<u32>>> {
        match self {
            Self::Predicate(predicate) => {
                // No predicate looks at columns that are not decoded for it.
                let value: ArrayRef = Arc::new(NullArray::new(1));
                let nothing = Column::Constant { value, rows };
                let columns = decoded.iter().map(|column| column.as_ref().unwrap_or(&nothing).clone());
                predicate.select_positions(&Batch::new(columns.collect(), rows))
            }
            Self::Filter([column], filter, sealed) => {
                let Some(values) = &decoded[*column] else {
                    return Ok(None);
                };
                let passed = sealed.select(values)?;
                filter.record(rows, passed.as_ref().map_or(rows, Vec::len));
                Ok(passed)
            }
        }
    }
}

/// What a runtime filter costs per row, in rough nanoseconds.
const TEST_COST: u32 = 2;

/// What decoding a value costs, in rough nanoseconds.
fn decoding_cost(data_type: &DataType) -> u32 {
    match data_type {
        DataType::Utf8View | DataType::BinaryView => 4,
        t if t.is_nested() => 20,
        t => 1 + t.primitive_width().unwrap_or(1) as u32 / 8,
    }
}
