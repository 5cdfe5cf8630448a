//! `min`, `max`, `any_value`, `min_by`, `max_by`.

use super::encoding::Encoder;
use super::groups::{Seen, for_each_valid, grow, nulls_of, take_states};
use super::logic::boolean;
use super::{Accumulator, AggregateFunction, AggregateSignature, documented, one_argument, signature};
use crate::error::Result;
use crate::functions::wrong_arguments;
use crate::types::DataType;
use arrow::array::{ArrayRef, ArrowNativeTypeOp, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::*;
use std::marker::PhantomData;
use std::sync::Arc;

pub(super) const MIN: AggregateFunction = AggregateFunction::new(
    "min",
    &[],
    documented(
        "min(x)",
        "The smallest value.",
        "SELECT min(x) FROM (VALUES 3, 1, 2) AS t(x)",
        "1",
    ),
    |found, _| one_argument(&MIN, found).map(same_type),
    |signature, _| extreme::<Smallest>(&signature.result),
)
.ignoring_duplicates();

pub(super) const MAX: AggregateFunction = AggregateFunction::new(
    "max",
    &[],
    documented(
        "max(x)",
        "The largest value.",
        "SELECT max(x) FROM (VALUES 3, 1, 2) AS t(x)",
        "3",
    ),
    |found, _| one_argument(&MAX, found).map(same_type),
    |signature, _| extreme::<Largest>(&signature.result),
)
.ignoring_duplicates();

pub(super) const ANY_VALUE: AggregateFunction = AggregateFunction::new(
    "any_value",
    &["arbitrary"],
    documented(
        "any_value(x)",
        "Some value that is not NULL, if there is one.",
        "SELECT any_value(x) FROM (VALUES NULL, 7) AS t(x)",
        "7",
    ),
    |found, _| one_argument(&ANY_VALUE, found).map(same_type),
    // For values of fixed width the smallest is found as fast as any.
    |signature, _| extreme::<Any>(&signature.result),
)
.ignoring_duplicates();

fn same_type(t: &DataType) -> AggregateSignature {
    signature(std::slice::from_ref(t), std::slice::from_ref(t), t.clone())
}

fn extreme<P: Pick>(t: &DataType) -> Result<Box<dyn Accumulator>> {
    use DataType::*;
    Ok(match t {
        Boolean => boolean(P::LARGEST),
        Int8 => Primitives::<Int8Type, P>::create(t),
        Int16 => Primitives::<Int16Type, P>::create(t),
        Int32 => Primitives::<Int32Type, P>::create(t),
        Int64 => Primitives::<Int64Type, P>::create(t),
        Float32 => Primitives::<Float32Type, P>::create(t),
        Float64 => Primitives::<Float64Type, P>::create(t),
        Decimal64(..) => Primitives::<Decimal64Type, P>::create(t),
        Decimal128(..) => Primitives::<Decimal128Type, P>::create(t),
        Date32 => Primitives::<Date32Type, P>::create(t),
        Time64(TimeUnit::Microsecond) => Primitives::<Time64MicrosecondType, P>::create(t),
        Timestamp(TimeUnit::Microsecond, _) => Primitives::<TimestampMicrosecondType, P>::create(t),
        Interval(IntervalUnit::YearMonth) => Primitives::<IntervalYearMonthType, P>::create(t),
        Duration(TimeUnit::Microsecond) => Primitives::<DurationMicrosecondType, P>::create(t),
        other => Box::new(Bytes::<P> {
            encoder: Encoder::new(other)?,
            values: vec![],
            heap: 0,
            pick: PhantomData,
        }),
    })
}

/// Which of two values stays.
trait Pick: Send + 'static {
    const LARGEST: bool;
    fn replaces<N: ArrowNativeTypeOp>(new: N, old: N) -> bool {
        if Self::LARGEST { new.is_gt(old) } else { new.is_lt(old) }
    }
    fn replaces_bytes(new: &[u8], old: &[u8]) -> bool {
        if Self::LARGEST { new > old } else { new < old }
    }
}

struct Smallest;
struct Largest;
struct Any;

impl Pick for Smallest {
    const LARGEST: bool = false;
}

impl Pick for Largest {
    const LARGEST: bool = true;
}

impl Pick for Any {
    const LARGEST: bool = false;
    fn replaces_bytes(_: &[u8], _: &[u8]) -> bool {
        false
    }
}

/// Extremes of values of fixed width; floats are in total order, NaN above all.
struct Primitives<T: ArrowPrimitiveType, P> {
    data_type: DataType,
    values: Vec<T::Native>,
    seen: Seen,
    pick: PhantomData<fn(P)>,
}

impl<T: ArrowPrimitiveType, P: Pick> Primitives<T, P> {
    /// Every value replaces this one or equals it.
    const START: T::Native = if P::LARGEST {
        T::Native::MIN_TOTAL_ORDER
    } else {
        T::Native::MAX_TOTAL_ORDER
    };

    fn create(data_type: &DataType) -> Box<dyn Accumulator> {
        Box::new(Self {
            data_type: data_type.clone(),
            values: vec![],
            seen: Seen::default(),
            pick: PhantomData,
        })
    }
}

impl<T: ArrowPrimitiveType, P: Pick> Accumulator for Primitives<T, P> {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.values, group_count, Self::START);
        let nulls = nulls_of(&arguments[0]);
        self.seen.mark(groups, group_count, nulls.as_ref());
        let (states, values) = (&mut self.values, arguments[0].as_primitive::<T>().values());
        for_each_valid(groups, nulls.as_ref(), |row, g| {
            let (new, old) = (values[row], &mut states[g]);
            if P::replaces(new, *old) {
                *old = new;
            }
        });
        Ok(())
    }

    fn update_single(&mut self, arguments: &[ArrayRef], _: usize) -> Result<()> {
        grow(&mut self.values, 1, Self::START);
        let array = arguments[0].as_primitive::<T>();
        let best = if P::LARGEST {
            compute::max(array)
        } else {
            compute::min(array)
        };
        if let Some(new) = best {
            self.seen.mark(&[0], 1, None);
            if P::replaces(new, self.values[0]) {
                self.values[0] = new;
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        self.update(states, groups, group_count)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(group_count)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let values = take_states(&mut self.values, group_count, Self::START);
        let array = PrimitiveArray::<T>::new(values.into(), self.seen.take(group_count));
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }

    fn memory_size(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.seen.memory_size()
    }
}

/// Extremes of strings and nested values, as bytes that compare like the values.
struct Bytes<P> {
    encoder: Encoder,
    values: Vec<Option<Box<[u8]>>>,
    heap: usize,
    pick: PhantomData<fn(P)>,
}

impl<P: Pick> Accumulator for Bytes<P> {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.values, group_count, None);
        let encoded = self.encoder.encode(&arguments[0])?;
        let nulls = nulls_of(&arguments[0]);
        for_each_valid(groups, nulls.as_ref(), |row, g| {
            let new = encoded.bytes(row);
            let state = &mut self.values[g];
            if state.as_ref().is_none_or(|old| P::replaces_bytes(new, old)) {
                self.heap += new.len();
                self.heap -= state.replace(new.into()).map_or(0, |old| old.len());
            }
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        self.update(states, groups, group_count)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(group_count)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        self.heap = 0;
        let values = take_states(&mut self.values, group_count, None);
        self.encoder.decode(values.iter().map(Option::as_deref))
    }

    fn memory_size(&self) -> usize {
        self.values.capacity() * size_of::<Option<Box<[u8]>>>() + self.heap
    }
}

pub(super) const MIN_BY: AggregateFunction = AggregateFunction::new(
    "min_by",
    &["argmin", "arg_min"],
    documented(
        "min_by(x, key)",
        "The x of the row with the smallest key.",
        "SELECT min_by(x, k) FROM (VALUES ('a', 2), ('b', 1)) AS t(x, k)",
        "b",
    ),
    |found, _| value_and_key(&MIN_BY, found),
    |signature, _| by::<Smallest>(signature),
)
.ignoring_duplicates();

pub(super) const MAX_BY: AggregateFunction = AggregateFunction::new(
    "max_by",
    &["argmax", "arg_max"],
    documented(
        "max_by(x, key)",
        "The x of the row with the largest key.",
        "SELECT max_by(x, k) FROM (VALUES ('a', 2), ('b', 1)) AS t(x, k)",
        "a",
    ),
    |found, _| value_and_key(&MAX_BY, found),
    |signature, _| by::<Largest>(signature),
)
.ignoring_duplicates();

fn value_and_key(function: &AggregateFunction, found: &[DataType]) -> Result<AggregateSignature> {
    match found {
        [value, _] => Ok(signature(found, found, value.clone())),
        _ => Err(wrong_arguments(function.name, function.doc.signature, found)),
    }
}

fn by<P: Pick>(signature: &AggregateSignature) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(By::<P> {
        value: Encoder::new(&signature.arguments[0])?,
        key: Encoder::new(&signature.arguments[1])?,
        states: vec![],
        winners: vec![],
        heap: 0,
        pick: PhantomData,
    }))
}

/// The value that stands beside the extreme key. A NULL key takes no part, a NULL value does.
struct By<P> {
    value: Encoder,
    key: Encoder,
    states: Vec<Beside>,
    /// Groups whose state changed in this batch and the row it changed to.
    winners: Vec<(usize, usize)>,
    heap: usize,
    pick: PhantomData<fn(P)>,
}

#[derive(Clone, Default)]
struct Beside {
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
}

impl Beside {
    fn heap(&self) -> usize {
        self.key.as_ref().map_or(0, |k| k.len()) + self.value.as_ref().map_or(0, |v| v.len())
    }
}

impl<P: Pick> By<P> {
    /// Finds the rows whose keys win first, so that values are copied once for each group and batch at most.
    fn find_winners(&mut self, keys: &ArrayRef, groups: &[u32]) -> Result<()> {
        self.winners.clear();
        let encoded = self.key.encode(keys)?;
        let nulls: Option<NullBuffer> = nulls_of(keys);
        for_each_valid(groups, nulls.as_ref(), |row, g| {
            let new = encoded.bytes(row);
            let state = &mut self.states[g];
            if state.key.as_ref().is_none_or(|old| P::replaces_bytes(new, old)) {
                self.heap += new.len();
                self.heap -= state.key.replace(new.into()).map_or(0, |old| old.len());
                self.winners.push((g, row));
            }
        });
        // Of several wins of one group the last counts.
        self.winners.reverse();
        self.winners.sort_by_key(|(g, _)| *g);
        self.winners.dedup_by_key(|(g, _)| *g);
        Ok(())
    }
}

impl<P: Pick> Accumulator for By<P> {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.states, group_count, Beside::default());
        self.find_winners(&arguments[1], groups)?;
        let rows: PrimitiveArray<UInt32Type> = self.winners.iter().map(|(_, row)| *row as u32).collect();
        let values = compute::take(&arguments[0], &rows, None)?;
        let encoded = self.value.encode(&values)?;
        let nulls = nulls_of(&values);
        for (i, (g, _)) in self.winners.iter().enumerate() {
            let state = &mut self.states[*g];
            self.heap -= state.heap();
            let valid = nulls.as_ref().is_none_or(|n| n.is_valid(i));
            state.value = valid.then(|| encoded.bytes(i).into());
            self.heap += state.heap();
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        self.update(states, groups, group_count)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        self.heap = 0;
        let states = take_states(&mut self.states, group_count, Beside::default());
        Ok(vec![
            self.value.decode(states.iter().map(|s| s.value.as_deref()))?,
            self.key.decode(states.iter().map(|s| s.key.as_deref()))?,
        ])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        self.heap = 0;
        let states = take_states(&mut self.states, group_count, Beside::default());
        self.value.decode(states.iter().map(|s| s.value.as_deref()))
    }

    fn memory_size(&self) -> usize {
        self.states.capacity() * size_of::<Beside>() + self.winners.capacity() * size_of::<(usize, usize)>() + self.heap
    }
}
