//! Runtime filters of range conditions: no value beyond the outermost bounds of the build side has a partner.

use crate::error::Result;
use crate::expression::{ExpressionList, FilterBuilder, integer_bounds};
use crate::vector::Batch;

/// The filter of one column of the probe side.
#[derive(Debug)]
pub struct RangeFilter {
    /// What the column is compared with: the bound's position among the build side's expressions, and whether the bound must
    /// be at least the column's value.
    conditions: Vec<(usize, bool)>,
    /// The loosest bound of each condition so far; `None` when no row has one.
    loosest: Vec<Option<i64>>,
    builder: FilterBuilder,
}

impl RangeFilter {
    pub fn new(conditions: Vec<(usize, bool)>, builder: FilterBuilder) -> Self {
        Self {
            loosest: vec![None; conditions.len()],
            conditions,
            builder,
        }
    }

    /// Adds the least and greatest value of each bound in some build rows.
    pub fn learn(&mut self, bounds: &[Option<(i64, i64)>]) {
        for (&(bound, at_least), loosest) in self.conditions.iter().zip(&mut self.loosest) {
            let Some((min, max)) = bounds.get(bound).copied().flatten() else {
                continue;
            };
            let known = loosest.unwrap_or(if at_least { max } else { min });
            *loosest = Some(if at_least { known.max(max) } else { known.min(min) });
        }
    }

    /// Publishes the filter once all build rows were learnt.
    pub fn seal(self) {
        let mut range = Some((i64::MIN, i64::MAX));
        for ((_, at_least), loosest) in self.conditions.into_iter().zip(self.loosest) {
            range = range.zip(loosest).map(|((least, greatest), bound)| match at_least {
                true => (least, greatest.min(bound)),
                false => (least.max(bound), greatest),
            });
        }
        self.builder.seal_range(range);
    }
}

/// The least and greatest value of each bound in a batch of build rows.
pub fn outermost(bounds: &ExpressionList, batch: &Batch) -> Result<Vec<Option<(i64, i64)>>> {
    let columns = bounds.evaluate(batch)?;
    columns
        .iter()
        .map(|column| integer_bounds(&column.to_array()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::RuntimeFilter;
    use crate::types::ScalarValue;

    #[test]
    fn values_outside_of_all_bounds_are_left_out() {
        // lo <= x, hi >= x: the bounds are [lo, hi].
        let range = |rows: &[[Option<(i64, i64)>; 2]]| {
            let (filter, builder) = RuntimeFilter::new();
            let mut range = RangeFilter::new(vec![(0, false), (1, true)], builder);
            rows.iter().for_each(|row| range.learn(row));
            assert!(filter.get().is_none(), "not before it is complete");
            range.seal();
            filter
        };
        let may = |filter: &RuntimeFilter, x: i64| {
            let x = ScalarValue::Int64(x);
            filter.get().unwrap().may_overlap(&x, &x)
        };
        let filter = range(&[[Some((5, 9)), Some((6, 20))], [Some((3, 3)), None]]);
        assert_eq!([2, 3, 20, 21].map(|x| may(&filter, x)), [false, true, true, false]);
        // A bound that no row has: nothing fulfils its condition.
        assert!(!may(&range(&[[Some((5, 9)), None]]), 7));
        assert!(!may(&range(&[[Some((9, 9)), Some((1, 1))]]), 5));
    }
}
