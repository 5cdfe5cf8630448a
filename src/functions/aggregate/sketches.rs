//! Answers from small summaries: `approx_distinct`, `approx_percentile`; and the exact `percentile` and `median`.

use super::encoding::Encoder;
use super::groups::{for_each_valid, grow, nulls_of, take_states};
use super::keys::canonical;
use super::rows::{RowLists, lists_type};
use super::{Accumulator, AggregateFunction, AggregateSignature, documented, signature};
use crate::error::{Error, Result};
use crate::functions::wrong_arguments;
use crate::types::{DataType, ScalarValue, array_of, is_decimal, is_integer, is_numeric};
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder, Float64Array, Float64Builder, Int64Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::Float64Type;
use datasketches::hll::{HllSketch, HllType, HllUnion};
use datasketches::tdigest::TDigestMut;
use std::sync::Arc;

pub(super) const APPROX_DISTINCT: AggregateFunction = AggregateFunction::new(
    "approx_distinct",
    &["approx_count_distinct"],
    documented(
        "approx_distinct(x[, error])",
        "About how many different values there are; the standard error is 0.023 unless given.",
        "SELECT approx_distinct(x) FROM (VALUES 1, 2, 2) AS t(x)",
        "2",
    ),
    |found, constants| match found {
        [_] => Ok(signature(found, &[DataType::BinaryView], DataType::Int64)),
        [_, e] if is_numeric(e) => {
            registers(constants)?;
            Ok(signature(found, &[DataType::BinaryView], DataType::Int64))
        }
        _ => Err(wrong_arguments(
            APPROX_DISTINCT.name,
            APPROX_DISTINCT.doc.signature,
            found,
        )),
    },
    |signature, constants| {
        Ok(Box::new(ApproxDistinct {
            encoder: Encoder::new(&signature.arguments[0])?,
            registers: if signature.arguments.len() > 1 {
                registers(constants)?
            } else {
                DEFAULT_REGISTERS
            },
            sketches: vec![],
            heap: 0,
        }))
    },
)
.ignoring_duplicates();

/// Binary logarithm of the number of registers: 2048 give a standard error of 1.04 / √2048 = 2.3 %.
const DEFAULT_REGISTERS: u8 = 11;

/// The binary logarithm of the number of registers for the standard error that the second argument asks for.
fn registers(constants: &[Option<ScalarValue>]) -> Result<u8> {
    let error = constants.get(1).and_then(|c| c.as_ref()?.as_f64());
    match error {
        Some(e) if (0.0040625..=0.26).contains(&e) => Ok((1.04 / e).powi(2).log2().ceil().clamp(4.0, 16.0) as u8),
        Some(e) => Err(Error::plan(format!("approx_distinct: the standard error is {e}"))
            .with_hint("it must lie between 0.0040625 and 0.26")),
        None => Err(Error::plan(
            "approx_distinct: the standard error is not a constant number",
        )),
    }
}

/// HyperLogLog sketches (Flajolet et al. 2007, as in Apache DataSketches), which start as short lists.
struct ApproxDistinct {
    encoder: Encoder,
    registers: u8,
    sketches: Vec<Option<Box<HllUnion>>>,
    heap: usize,
}

impl ApproxDistinct {
    fn change(&mut self, group: usize, change: impl FnOnce(&mut HllUnion)) -> Result<()> {
        let state = &mut self.sketches[group];
        let before = state.as_ref().map_or(0, |s| s.estimated_size());
        let sketch = match state {
            Some(sketch) => sketch,
            None => state.insert(Box::new(HllUnion::new(self.registers).map_err(damaged)?)),
        };
        change(sketch);
        self.heap = self.heap + sketch.estimated_size() - before;
        Ok(())
    }
}

/// Our own states are read back: an error here is ours.
fn damaged(e: datasketches::error::Error) -> Error {
    Error::internal(format!("sketch: {e}"))
}

impl Accumulator for ApproxDistinct {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.sketches, group_count, None);
        let values = canonical(&arguments[0]);
        let encoded = self.encoder.encode(&values)?;
        let nulls = nulls_of(&values);
        let mut result = Ok(());
        for_each_valid(groups, nulls.as_ref(), |row, g| {
            if let Err(e) = self.change(g, |sketch| sketch.update_value(encoded.bytes(row))) {
                result = Err(e);
            }
        });
        result
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.sketches, group_count, None);
        for (state, &g) in states[0].as_binary_view().iter().zip(groups) {
            if let Some(bytes) = state {
                let other = HllSketch::deserialize(bytes).map_err(damaged)?;
                self.change(g as usize, |sketch| sketch.update(&other))?;
            }
        }
        Ok(())
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        self.heap = 0;
        let mut builder = BinaryViewBuilder::with_capacity(group_count);
        for sketch in take_states(&mut self.sketches, group_count, None) {
            builder.append_option(sketch.map(|s| s.to_sketch(HllType::Hll8).serialize()));
        }
        Ok(vec![Arc::new(builder.finish())])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        self.heap = 0;
        let sketches = take_states(&mut self.sketches, group_count, None);
        // The composite estimate depends on the registers alone, the other one also on the order of rows.
        let count = |s: &Option<Box<HllUnion>>| s.as_ref().map_or(0, |s| s.composite_estimate().round() as i64);
        Ok(Arc::new(Int64Array::from_iter_values(sketches.iter().map(count))))
    }

    fn memory_size(&self) -> usize {
        self.sketches.capacity() * size_of::<Option<Box<HllUnion>>>() + self.heap
    }
}

pub(super) const APPROX_PERCENTILE: AggregateFunction = AggregateFunction::new(
    "approx_percentile",
    &["percentile_approx", "approx_quantile"],
    documented(
        "approx_percentile(x, percentage), approx_percentile(x, array of percentages)",
        "The value below which about that share of values lies; exact for up to 4096 values.",
        "SELECT approx_percentile(x, 0.5) FROM (VALUES 1, 2, 3) AS t(x)",
        "2",
    ),
    |found, constants| percentile_signature(&APPROX_PERCENTILE, found, constants, true),
    |signature, constants| {
        Ok(Box::new(ApproxPercentile {
            wanted: Percentages::read(APPROX_PERCENTILE.name, constants.get(1))?,
            result: signature.result.clone(),
            states: vec![],
            heap: 0,
        }))
    },
);

pub(super) const PERCENTILE: AggregateFunction = AggregateFunction::new(
    "percentile",
    &["quantile_cont"],
    documented(
        "percentile(x, percentage), percentile(x, array of percentages)",
        "The exact percentile, interpolated between the two nearest values.",
        "SELECT percentile(x, 0.5) FROM (VALUES 1, 2, 3, 4) AS t(x)",
        "2.5",
    ),
    |found, constants| percentile_signature(&PERCENTILE, found, constants, false),
    |_, constants| {
        Ok(Box::new(ExactPercentile {
            wanted: Percentages::read(PERCENTILE.name, constants.get(1))?,
            values: RowLists::new(&[DataType::Float64]),
        }))
    },
);

pub(super) const MEDIAN: AggregateFunction = AggregateFunction::new(
    "median",
    &[],
    documented(
        "median(x)",
        "The value in the middle, or the mean of the two in the middle.",
        "SELECT median(x) FROM (VALUES 1, 2, 3, 4) AS t(x)",
        "2.5",
    ),
    |found, _| match found {
        [t] if is_numeric(t) || *t == DataType::Null => Ok(signature(
            &[DataType::Float64],
            &[lists_type(&[DataType::Float64])],
            DataType::Float64,
        )),
        _ => Err(wrong_arguments(MEDIAN.name, MEDIAN.doc.signature, found)),
    },
    |_, _| {
        Ok(Box::new(ExactPercentile {
            wanted: Percentages::One(0.5),
            values: RowLists::new(&[DataType::Float64]),
        }))
    },
);

fn percentile_signature(
    function: &AggregateFunction,
    found: &[DataType],
    constants: &[Option<ScalarValue>],
    approximate: bool,
) -> Result<AggregateSignature> {
    let [t, p] = found else {
        return Err(wrong_arguments(function.name, function.doc.signature, found));
    };
    if !is_numeric(t) && *t != DataType::Null {
        return Err(wrong_arguments(function.name, function.doc.signature, found));
    }
    let wanted = Percentages::read(function.name, constants.get(1))?;
    let one = match (approximate, t) {
        (true, t) if is_numeric(t) => t.clone(),
        _ => DataType::Float64,
    };
    let result = match wanted {
        Percentages::One(_) => one,
        Percentages::Many(_) => array_of(one),
    };
    let state = match approximate {
        true => DataType::BinaryView,
        false => lists_type(&[DataType::Float64]),
    };
    Ok(signature(&[DataType::Float64, p.clone()], &[state], result))
}

/// The shares asked for, each in 0 to 1.
enum Percentages {
    One(f64),
    Many(Vec<f64>),
}

impl Percentages {
    fn read(function: &str, constant: Option<&Option<ScalarValue>>) -> Result<Self> {
        let checked = |p: Option<f64>| match p {
            Some(p) if (0.0..=1.0).contains(&p) => Ok(p),
            Some(p) => Err(Error::plan(format!(
                "{function}: the percentage {p} is not between 0 and 1"
            ))),
            None => Err(Error::plan(format!("{function}: the percentage is not a number"))),
        };
        match constant {
            Some(Some(ScalarValue::Nested(list))) => {
                let list = list
                    .as_list_opt::<i32>()
                    .ok_or_else(|| Error::plan(format!("{function}: the percentages are not an array of numbers")))?;
                let values = list.value(0);
                let each = (0..values.len()).map(|i| checked(ScalarValue::from_array(&values, i)?.as_f64()));
                Ok(Self::Many(each.collect::<Result<_>>()?))
            }
            Some(Some(value)) => Ok(Self::One(checked(value.as_f64())?)),
            _ => Err(Error::plan(format!("{function}: the percentage is not a constant"))
                .with_hint("write it as a literal, e.g. 0.95")),
        }
    }

    /// One column out of the quantiles of all groups; `quantile(group, p)` is `None` for a group without values.
    fn column(
        &self,
        group_count: usize,
        result: &DataType,
        mut quantile: impl FnMut(usize, f64) -> Result<Option<f64>>,
    ) -> Result<ArrayRef> {
        match self {
            Self::One(p) => {
                let mut builder = Float64Builder::with_capacity(group_count);
                for g in 0..group_count {
                    builder.append_option(quantile(g, *p)?);
                }
                from_f64(builder.finish(), result)
            }
            Self::Many(list) => {
                let mut builder = Float64Builder::with_capacity(group_count * list.len());
                let mut valid = Vec::with_capacity(group_count);
                for g in 0..group_count {
                    let values: Option<Vec<f64>> =
                        list.iter().map(|&p| quantile(g, p)).collect::<Result<Option<_>>>()?;
                    valid.push(values.is_some());
                    match values {
                        Some(values) => builder.append_slice(&values),
                        None => builder.append_nulls(list.len()),
                    }
                }
                let DataType::List(item) = result else {
                    return Err(Error::internal("percentiles that are not a list"));
                };
                let offsets = OffsetBuffer::from_repeated_length(list.len(), group_count);
                let values = from_f64(builder.finish(), item.data_type())?;
                let nulls = Some(NullBuffer::from(valid)).filter(|n| n.null_count() > 0);
                Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, nulls)?))
            }
        }
    }
}

/// Values in the type of the argument that they came from.
fn from_f64(values: Float64Array, t: &DataType) -> Result<ArrayRef> {
    if is_integer(t) {
        let rounded: Float64Array = values.unary(|v| v.round());
        return Ok(cast(&rounded, t)?);
    }
    match is_decimal(t) || *t == DataType::Float32 {
        true => Ok(cast(&values, t)?),
        false => Ok(Arc::new(values)),
    }
}

/// Values that one group may keep before it turns to a digest.
const EXACT_VALUES: usize = 4096;
/// The digest's compression: about 400 centroids, errors of a few hundredths of a percent, less at the ends.
const COMPRESSION: u16 = 200;

#[derive(Clone)]
enum Quantiles {
    Exact(Vec<f64>),
    /// Dunning and Ertl, "Computing extremely accurate quantiles using t-digests" (2019).
    Digest(Box<TDigestMut>),
}

impl Quantiles {
    fn add(&mut self, value: f64) -> Result<()> {
        match self {
            Self::Exact(values) if values.len() < EXACT_VALUES => values.push(value),
            Self::Exact(_) => {
                self.digest()?.update(value);
            }
            Self::Digest(digest) => digest.update(value),
        }
        Ok(())
    }

    /// The digest, made from the exact values if need be.
    fn digest(&mut self) -> Result<&mut TDigestMut> {
        if let Self::Exact(values) = self {
            let mut digest = TDigestMut::new(COMPRESSION).map_err(damaged)?;
            values.iter().for_each(|&v| digest.update(v));
            *self = Self::Digest(Box::new(digest));
        }
        match self {
            Self::Digest(digest) => Ok(digest),
            Self::Exact(_) => Err(Error::internal("a digest was made and is not there")),
        }
    }

    /// A first byte that tells which, then the values or the digest's own form.
    fn serialize(&mut self) -> Vec<u8> {
        match self {
            Self::Exact(values) => std::iter::once(0)
                .chain(values.iter().flat_map(|v| v.to_le_bytes()))
                .collect(),
            Self::Digest(digest) => std::iter::once(1).chain(digest.serialize()).collect(),
        }
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        match bytes.split_first() {
            Some((0, values)) => values
                .as_chunks::<8>()
                .0
                .iter()
                .try_for_each(|v| self.add(f64::from_le_bytes(*v))),
            Some((_, digest)) => {
                let other = TDigestMut::deserialize(digest).map_err(damaged)?;
                self.digest()?.merge(&other);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The value at share `p`; exact values must be sorted.
    fn at(&mut self, p: f64) -> Result<Option<f64>> {
        match self {
            Self::Exact(values) => {
                let place = (p * values.len() as f64).floor() as usize;
                Ok(values.get(place).or(values.last()).copied())
            }
            Self::Digest(digest) => digest.quantile(p).map_err(damaged),
        }
    }

    fn memory_size(&self) -> usize {
        match self {
            Self::Exact(values) => values.capacity() * size_of::<f64>(),
            Self::Digest(digest) => digest.estimated_size(),
        }
    }
}

struct ApproxPercentile {
    wanted: Percentages,
    result: DataType,
    states: Vec<Quantiles>,
    heap: usize,
}

const NO_VALUES: Quantiles = Quantiles::Exact(vec![]);

impl ApproxPercentile {
    fn change(&mut self, group: usize, change: impl FnOnce(&mut Quantiles) -> Result<()>) -> Result<()> {
        let state = &mut self.states[group];
        let before = state.memory_size();
        change(state)?;
        self.heap = self.heap + state.memory_size() - before;
        Ok(())
    }
}

impl Accumulator for ApproxPercentile {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.states, group_count, NO_VALUES);
        let values = arguments[0].as_primitive::<Float64Type>();
        for (&g, value) in groups.iter().zip(values) {
            if let Some(value) = value {
                self.change(g as usize, |state| state.add(value))?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.states, group_count, NO_VALUES);
        for (state, &g) in states[0].as_binary_view().iter().zip(groups) {
            if let Some(bytes) = state {
                self.change(g as usize, |state| state.merge(bytes))?;
            }
        }
        Ok(())
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        self.heap = 0;
        let mut builder = BinaryViewBuilder::with_capacity(group_count);
        for mut state in take_states(&mut self.states, group_count, NO_VALUES) {
            builder.try_append_value(state.serialize())?;
        }
        Ok(vec![Arc::new(builder.finish())])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        self.heap = 0;
        let mut states = take_states(&mut self.states, group_count, NO_VALUES);
        for state in &mut states {
            if let Quantiles::Exact(values) = state {
                values.sort_by(f64::total_cmp);
            }
        }
        self.wanted.column(group_count, &self.result, |g, p| states[g].at(p))
    }

    fn memory_size(&self) -> usize {
        self.states.capacity() * size_of::<Quantiles>() + self.heap
    }
}

struct ExactPercentile {
    wanted: Percentages,
    values: RowLists,
}

impl Accumulator for ExactPercentile {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        self.values.push(arguments, groups, nulls_of(&arguments[0]).as_ref())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        self.values.push_lists(&states[0], groups)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.values.take(group_count)?.into_lists(None)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let gathered = self.values.take(group_count)?;
        let mut values = gathered.columns[0].as_primitive::<Float64Type>().values().to_vec();
        let ends = gathered.offsets.windows(2);
        let ranges: Vec<_> = ends.map(|w| w[0] as usize..w[1] as usize).collect();
        for range in &ranges {
            values[range.clone()].sort_by(f64::total_cmp);
        }
        let result = match self.wanted {
            Percentages::One(_) => DataType::Float64,
            Percentages::Many(_) => array_of(DataType::Float64),
        };
        self.wanted.column(group_count, &result, |g, p| {
            Ok(interpolate(&values[ranges[g].clone()], p))
        })
    }

    fn memory_size(&self) -> usize {
        self.values.memory_size()
    }
}

/// The value at share `p` of sorted values, on the line between its two neighbours.
fn interpolate(sorted: &[f64], p: f64) -> Option<f64> {
    let place = p * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}
