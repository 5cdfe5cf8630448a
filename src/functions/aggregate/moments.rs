//! Statistics from moments: variance and its relatives, correlation, regression.
//!
//! One state is a few doubles: the number of rows, means, and sums of powers of distances from the mean. They are
//! updated and merged by the formulas of Pébay, "Formulas for robust, one-pass parallel computation of covariances and
//! arbitrary-order statistical moments" (2008), which do not lose digits when the mean is far from zero.

use super::groups::{for_each_valid, grow, take_states};
use super::{Accumulator, AggregateFunction, documented, signature};
use crate::error::Result;
use crate::functions::wrong_arguments;
use crate::types::{DataType, is_numeric};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Float64Type;
use std::sync::Arc;

/// How states of `N` doubles begin (all zero), take a row, take another state, and give a result. `state[0]` is the
/// number of rows.
struct Formula<const N: usize> {
    add: fn(&mut [f64; N], x: f64, y: f64),
    merge: fn(&mut [f64; N], &[f64; N]),
    result: fn(&[f64; N]) -> Option<f64>,
}

macro_rules! of_one {
    ($CONST:ident, $name:literal, $aliases:expr, $formula:expr, $summary:literal, $result:literal) => {
        pub(super) const $CONST: AggregateFunction = AggregateFunction::new(
            $name,
            $aliases,
            documented(
                concat!($name, "(x)"),
                $summary,
                concat!("SELECT round(", $name, "(x), 4) FROM (VALUES 1, 2, 4, 8) AS t(x)"),
                $result,
            ),
            |found, _| match found {
                [t] if is_numeric(t) || *t == DataType::Null => Ok($formula.signature(1)),
                _ => Err(wrong_arguments($name, $CONST.doc.signature, found)),
            },
            |_, _| Ok($formula.accumulator(1)),
        );
    };
}

macro_rules! of_two {
    ($CONST:ident, $name:literal, $result_of:expr, $summary:literal, $result:literal) => {
        pub(super) const $CONST: AggregateFunction = AggregateFunction::new(
            $name,
            &[],
            documented(
                concat!($name, "(y, x)"),
                $summary,
                concat!(
                    "SELECT ",
                    $name,
                    "(y, x) FROM (VALUES (2, 1), (4, 2), (9, 4)) AS t(y, x)"
                ),
                $result,
            ),
            |found, _| match found {
                [a, b] if [a, b].iter().all(|t| is_numeric(t) || **t == DataType::Null) => {
                    Ok(COVARIANCE.with($result_of).signature(2))
                }
                _ => Err(wrong_arguments($name, $CONST.doc.signature, found)),
            },
            |_, _| Ok(COVARIANCE.with($result_of).accumulator(2)),
        );
    };
}

of_one!(
    STDDEV,
    "stddev",
    &["stddev_samp"],
    VARIANCE_OF.with(|[n, _, m2]| (*n > 1.0).then(|| (m2 / (n - 1.0)).sqrt())),
    "The sample standard deviation.",
    "3.0957"
);
of_one!(
    STDDEV_POP,
    "stddev_pop",
    &[],
    VARIANCE_OF.with(|[n, _, m2]| (*n > 0.0).then(|| (m2 / n).sqrt())),
    "The population standard deviation.",
    "2.681"
);
of_one!(
    VARIANCE,
    "variance",
    &["var_samp"],
    VARIANCE_OF.with(|[n, _, m2]| (*n > 1.0).then(|| m2 / (n - 1.0))),
    "The sample variance.",
    "9.5833"
);
of_one!(
    VAR_POP,
    "var_pop",
    &[],
    VARIANCE_OF.with(|[n, _, m2]| (*n > 0.0).then(|| m2 / n)),
    "The population variance.",
    "7.1875"
);
of_one!(
    SKEWNESS,
    "skewness",
    &[],
    HIGHER.with(|[n, _, m2, m3, _]| (*n >= 3.0).then(|| n.sqrt() * m3 / m2.powf(1.5))),
    "The skewness; NULL below three rows.",
    "0.6568"
);
of_one!(
    KURTOSIS,
    "kurtosis",
    &[],
    HIGHER.with(|[n, _, m2, _, m4]| {
        let d = (n - 2.0) * (n - 3.0);
        (*n >= 4.0).then(|| (n - 1.0) * n * (n + 1.0) / d * m4 / (m2 * m2) - 3.0 * (n - 1.0) * (n - 1.0) / d)
    }),
    "The sample excess kurtosis; NULL below four rows.",
    "0.7577"
);
of_one!(
    GEOMETRIC_MEAN,
    "geometric_mean",
    &[],
    LOGARITHMS,
    "The n-th root of the product of n values.",
    "2.8284"
);
of_one!(
    ENTROPY,
    "entropy",
    &[],
    SHANNON,
    "The entropy in bits of counts.",
    "1.6402"
);

of_two!(
    CORR,
    "corr",
    |[n, _, _, c, m2y, m2x]| (*n > 1.0 && *m2x > 0.0 && *m2y > 0.0).then(|| c / (m2x * m2y).sqrt()),
    "The correlation coefficient.",
    "0.9986"
);
of_two!(
    COVAR_POP,
    "covar_pop",
    |[n, _, _, c, _, _]| (*n > 0.0).then(|| c / n),
    "The population covariance.",
    "3.6667"
);
of_two!(
    COVAR_SAMP,
    "covar_samp",
    |[n, _, _, c, _, _]| (*n > 1.0).then(|| c / (n - 1.0)),
    "The sample covariance.",
    "5.5"
);
of_two!(
    REGR_SLOPE,
    "regr_slope",
    |[n, _, _, c, _, m2x]| (*n > 0.0 && *m2x > 0.0).then(|| c / m2x),
    "The slope of the least-squares line.",
    "2.3571"
);
of_two!(
    REGR_INTERCEPT,
    "regr_intercept",
    |[n, my, mx, c, _, m2x]| (*n > 0.0 && *m2x > 0.0).then(|| my - c / m2x * mx),
    "The intercept of the least-squares line.",
    "-0.5"
);
of_two!(
    REGR_R2,
    "regr_r2",
    |[n, _, _, c, m2y, m2x]| match (*n > 0.0 && *m2x > 0.0, *m2y > 0.0) {
        (false, _) => None,
        (true, false) => Some(1.0),
        (true, true) => Some(c * c / (m2x * m2y)),
    },
    "The square of the correlation coefficient.",
    "0.9973"
);
of_two!(
    REGR_COUNT,
    "regr_count",
    |[n, ..]| Some(*n),
    "The number of rows where both are not NULL.",
    "3.0"
);
of_two!(
    REGR_AVGX,
    "regr_avgx",
    |[n, _, mx, ..]| (*n > 0.0).then_some(*mx),
    "The mean of x where both are not NULL.",
    "2.3333"
);
of_two!(
    REGR_AVGY,
    "regr_avgy",
    |[n, my, ..]| (*n > 0.0).then_some(*my),
    "The mean of y where both are not NULL.",
    "5.0"
);
of_two!(
    REGR_SXX,
    "regr_sxx",
    |[n, .., m2x]| (*n > 0.0).then_some(*m2x),
    "The sum of squared distances of x from its mean.",
    "4.6667"
);
of_two!(
    REGR_SYY,
    "regr_syy",
    |[n, .., m2y, _]| (*n > 0.0).then_some(*m2y),
    "The sum of squared distances of y from its mean.",
    "26.0"
);
of_two!(
    REGR_SXY,
    "regr_sxy",
    |[n, _, _, c, ..]| (*n > 0.0).then_some(*c),
    "The sum of products of distances from the means.",
    "11.0"
);

/// `[n, mean, m2]`.
const VARIANCE_OF: Formula<3> = Formula {
    add: |[n, mean, m2], x, _| {
        *n += 1.0;
        let delta = x - *mean;
        *mean += delta / *n;
        *m2 += delta * (x - *mean);
    },
    merge: |[n, mean, m2], [bn, bmean, bm2]| {
        let (total, delta) = (*n + bn, bmean - *mean);
        *m2 += bm2 + delta * delta * *n * bn / total;
        *mean += delta * bn / total;
        *n = total;
    },
    result: |_| None,
};

/// `[n, mean, m2, m3, m4]`.
const HIGHER: Formula<5> = Formula {
    add: |state, x, _| merge_higher(state, &[1.0, x, 0.0, 0.0, 0.0]),
    merge: merge_higher,
    result: |_| None,
};

fn merge_higher(a: &mut [f64; 5], b: &[f64; 5]) {
    let ([an, amean, am2, am3, am4], [bn, bmean, bm2, bm3, bm4]) = (*a, *b);
    let n = an + bn;
    let d = bmean - amean;
    let m2 = am2 + bm2 + d * d * an * bn / n;
    let m3 = am3 + bm3 + d.powi(3) * an * bn * (an - bn) / (n * n) + 3.0 * d * (an * bm2 - bn * am2) / n;
    let m4 = am4
        + bm4
        + d.powi(4) * an * bn * (an * an - an * bn + bn * bn) / n.powi(3)
        + 6.0 * d * d * (an * an * bm2 + bn * bn * am2) / (n * n)
        + 4.0 * d * (an * bm3 - bn * am3) / n;
    *a = [n, amean + d * bn / n, m2, m3, m4];
}

/// `[n, sum of logarithms]`.
const LOGARITHMS: Formula<2> = Formula {
    add: |[n, sum], x, _| {
        *n += 1.0;
        *sum += x.ln();
    },
    merge: add_sums,
    result: |[n, sum]| (*n > 0.0).then(|| (sum / n).exp()),
};

/// `[n, sum of counts, sum of counts times their logarithm]`.
const SHANNON: Formula<3> = Formula {
    add: |[n, sum, logs], x, _| {
        *n += 1.0;
        if x > 0.0 {
            *sum += x;
            *logs += x * x.log2();
        }
    },
    merge: add_sums,
    result: |[n, sum, logs]| {
        (*n > 0.0).then(|| {
            if *sum > 0.0 {
                (sum.log2() - logs / sum).max(0.0)
            } else {
                0.0
            }
        })
    },
};

fn add_sums<const N: usize>(a: &mut [f64; N], b: &[f64; N]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
}

/// `[n, mean of y, mean of x, sum of products, m2 of y, m2 of x]`.
const COVARIANCE: Formula<6> = Formula {
    add: |[n, my, mx, c, m2y, m2x], y, x| {
        *n += 1.0;
        let (dy, dx) = (y - *my, x - *mx);
        *my += dy / *n;
        *mx += dx / *n;
        *c += dy * (x - *mx);
        *m2y += dy * (y - *my);
        *m2x += dx * (x - *mx);
    },
    merge: |[n, my, mx, c, m2y, m2x], [bn, bmy, bmx, bc, bm2y, bm2x]| {
        let total = *n + bn;
        let (dy, dx, weight) = (bmy - *my, bmx - *mx, *n * bn / total);
        *c += bc + dy * dx * weight;
        *m2y += bm2y + dy * dy * weight;
        *m2x += bm2x + dx * dx * weight;
        *my += dy * bn / total;
        *mx += dx * bn / total;
        *n = total;
    },
    result: |_| None,
};

impl<const N: usize> Formula<N> {
    const fn with(mut self, result: fn(&[f64; N]) -> Option<f64>) -> Self {
        self.result = result;
        self
    }

    fn signature(&self, arguments: usize) -> super::AggregateSignature {
        signature(
            &vec![DataType::Float64; arguments],
            &[const { DataType::Float64 }; N],
            DataType::Float64,
        )
    }

    fn accumulator(self, arguments: usize) -> Box<dyn Accumulator> {
        Box::new(Moments {
            formula: self,
            y: arguments - 1,
            states: vec![],
        })
    }
}

struct Moments<const N: usize> {
    formula: Formula<N>,
    /// The argument that is the formula's second: the first again when there is one only.
    y: usize,
    states: Vec<[f64; N]>,
}

impl<const N: usize> Accumulator for Moments<N> {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.states, group_count, [0.0; N]);
        let x = arguments[0].as_primitive::<Float64Type>();
        let y = arguments[self.y].as_primitive::<Float64Type>();
        let nulls = NullBuffer::union(x.nulls(), y.nulls()).filter(|n| n.null_count() > 0);
        for_each_valid(groups, nulls.as_ref(), |row, g| {
            (self.formula.add)(&mut self.states[g], x.values()[row], y.values()[row]);
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.states, group_count, [0.0; N]);
        let columns: Vec<&[f64]> = states
            .iter()
            .map(|s| s.as_primitive::<Float64Type>().values().as_ref())
            .collect();
        for (row, &g) in groups.iter().enumerate() {
            let other: [f64; N] = std::array::from_fn(|i| columns[i][row]);
            // Groups without rows on either side have no mean to merge.
            let own = &mut self.states[g as usize];
            match (own[0] > 0.0, other[0] > 0.0) {
                (_, false) => {}
                (false, true) => *own = other,
                (true, true) => (self.formula.merge)(own, &other),
            }
        }
        Ok(())
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        let states = take_states(&mut self.states, group_count, [0.0; N]);
        let column = |i: usize| Arc::new(Float64Array::from_iter_values(states.iter().map(|s| s[i]))) as ArrayRef;
        Ok((0..N).map(column).collect())
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let states = take_states(&mut self.states, group_count, [0.0; N]);
        let results: Float64Array = states.iter().map(self.formula.result).collect();
        Ok(Arc::new(results))
    }

    fn memory_size(&self) -> usize {
        self.states.capacity() * size_of::<[f64; N]>()
    }
}
