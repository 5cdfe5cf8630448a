//! Aggregates that make maps: `histogram`, `map_agg`, `map_union`, `multimap_agg`.

use super::groups::{grow, nulls_of};
use super::keys::KeySet;
use super::rows::{Gathered, RowLists, complete_rows, flatten, flatten_lists, lists_type};
use super::{Accumulator, AggregateFunction, AggregateSignature, documented, one_argument, signature};
use crate::error::{Error, Result};
use crate::functions::wrong_arguments;
use crate::types::{DataType, array_of, map_of};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, MapArray, StructArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use std::sync::Arc;

pub(super) const HISTOGRAM: AggregateFunction = AggregateFunction::new(
    "histogram",
    &[],
    documented(
        "histogram(x)",
        "A map from each value to how often it comes.",
        "SELECT histogram(x) FROM (VALUES 'a', 'b', 'a') AS t(x)",
        "{a=2, b=1}",
    ),
    |found, _| {
        let t = one_argument(&HISTOGRAM, found)?;
        let pair = [t.clone(), DataType::Int64];
        Ok(signature(
            found,
            &[lists_type(&pair)],
            map_of(t.clone(), DataType::Int64),
        ))
    },
    |signature, _| {
        Ok(Box::new(Histogram {
            keys: KeySet::new(&signature.arguments)?,
            counts: vec![],
        }))
    },
)
.in_row_order();

pub(super) const MAP_AGG: AggregateFunction = AggregateFunction::new(
    "map_agg",
    &[],
    documented(
        "map_agg(key, value)",
        "A map of all pairs; of several values for a key one stays.",
        "SELECT map_agg(k, v) FROM (VALUES ('a', 1), ('b', 2)) AS t(k, v)",
        "{a=1, b=2}",
    ),
    |found, _| match found {
        [k, v] => Ok(signature(found, &[lists_type(found)], map_of(k.clone(), v.clone()))),
        _ => Err(wrong_arguments(MAP_AGG.name, MAP_AGG.doc.signature, found)),
    },
    |signature, _| Ok(Box::new(MapAgg::new(&signature.arguments, false)?)),
)
.in_row_order();

pub(super) const MAP_UNION: AggregateFunction = AggregateFunction::new(
    "map_union",
    &[],
    documented(
        "map_union(map)",
        "The union of all maps; of several values for a key one stays.",
        "SELECT map_union(m) FROM (VALUES MAP(ARRAY['a'], ARRAY[1]), MAP(ARRAY['b'], ARRAY[2])) AS t(m)",
        "{a=1, b=2}",
    ),
    |found, _| {
        let map = one_argument(&MAP_UNION, found)?;
        let pair = entry_types(map).ok_or_else(|| wrong_arguments("map_union", MAP_UNION.doc.signature, found))?;
        Ok(signature(found, &[lists_type(&pair)], map.clone()))
    },
    |signature, _| {
        let pair = entry_types(&signature.result).ok_or_else(|| Error::internal("map_union of no map"))?;
        Ok(Box::new(MapAgg::new(&pair, true)?))
    },
)
.in_row_order();

pub(super) const MULTIMAP_AGG: AggregateFunction = AggregateFunction::new(
    "multimap_agg",
    &[],
    documented(
        "multimap_agg(key, value)",
        "A map from each key to the array of its values.",
        "SELECT multimap_agg(k, v) FROM (VALUES ('a', 1), ('a', 2)) AS t(k, v)",
        "{a=[1, 2]}",
    ),
    |found, _| match found {
        [k, v] => Ok(multimap_signature(k, v)),
        _ => Err(wrong_arguments(MULTIMAP_AGG.name, MULTIMAP_AGG.doc.signature, found)),
    },
    |signature, _| {
        Ok(Box::new(MultimapAgg {
            keys: KeySet::new(&signature.arguments[..1])?,
            values: RowLists::new(&signature.arguments[1..]),
            rows: RowLists::new(&signature.arguments),
        }))
    },
)
.in_row_order();

fn multimap_signature(k: &DataType, v: &DataType) -> AggregateSignature {
    let pair = [k.clone(), v.clone()];
    signature(&pair, &[lists_type(&pair)], map_of(k.clone(), array_of(v.clone())))
}

/// Key and value type of a map.
fn entry_types(map: &DataType) -> Option<[DataType; 2]> {
    match map {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => match fields.as_ref() {
                [k, v] => Some([k.data_type().clone(), v.data_type().clone()]),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// One map for each group out of its (key, value) rows; NULL for groups without rows.
fn into_maps(gathered: Gathered) -> Result<ArrayRef> {
    let nulls = gathered.not_empty();
    let types: Vec<DataType> = gathered.columns.iter().map(|c| c.data_type().clone()).collect();
    let DataType::Map(entries, sorted) = map_of(types[0].clone(), types[1].clone()) else {
        return Err(Error::internal("a map type that is not a map"));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::internal("map entries that are not rows"));
    };
    let pairs = StructArray::try_new(fields.clone(), gathered.columns, None)?;
    let maps = MapArray::try_new(entries.clone(), gathered.offsets, pairs, nulls, sorted)?;
    Ok(Arc::new(maps))
}

struct Histogram {
    keys: KeySet,
    /// How often each entry of `keys` came.
    counts: Vec<i64>,
}

impl Histogram {
    fn take(&mut self, group_count: usize) -> Result<Gathered> {
        let (mut columns, groups) = self.keys.take()?;
        columns.push(Arc::new(Int64Array::from(std::mem::take(&mut self.counts))));
        Gathered::new(columns, &groups, group_count)
    }
}

impl Accumulator for Histogram {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        let counts = &mut self.counts;
        let keep = nulls_of(&arguments[0]);
        self.keys.insert(arguments, groups, keep.as_ref(), |_, entry, _| {
            grow(counts, entry + 1, 0);
            counts[entry] += 1;
        })
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        let (columns, groups) = flatten_lists(&states[0], groups, 2);
        let (counts, partial) = (&mut self.counts, columns[1].as_primitive::<Int64Type>());
        self.keys.insert(&columns, &groups, None, |row, entry, _| {
            grow(counts, entry + 1, 0);
            counts[entry] += partial.value(row);
        })
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(group_count)?.into_lists(None)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        into_maps(self.take(group_count)?)
    }

    fn memory_size(&self) -> usize {
        self.keys.memory_size() + self.counts.capacity() * size_of::<i64>()
    }
}

struct MapAgg {
    keys: KeySet,
    /// The value of each entry of `keys`, in the same order.
    values: RowLists,
    /// Arguments are maps and not pairs.
    of_maps: bool,
}

impl MapAgg {
    fn new(pair: &[DataType], of_maps: bool) -> Result<Self> {
        Ok(Self {
            keys: KeySet::new(&pair[..1])?,
            values: RowLists::new(&pair[1..]),
            of_maps,
        })
    }

    fn add(&mut self, pairs: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let mut fresh = vec![];
        let keep = nulls_of(&pairs[0]);
        self.keys.insert(pairs, groups, keep.as_ref(), |row, _, new| {
            if new {
                fresh.push(row as u32);
            }
        })?;
        let fresh_groups: Vec<u32> = fresh.iter().map(|&row| groups[row as usize]).collect();
        let values = take(&pairs[1], &UInt32Array::from(fresh), None)?;
        self.values.push(&[values], &fresh_groups, None)
    }

    fn take(&mut self, group_count: usize) -> Result<Gathered> {
        let (mut columns, groups) = self.keys.take()?;
        columns.extend(self.values.take_rows()?.0);
        Gathered::new(columns, &groups, group_count)
    }
}

impl Accumulator for MapAgg {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        if !self.of_maps {
            return self.add(arguments, groups);
        }
        let maps = arguments[0].as_map();
        let entries: ArrayRef = Arc::new(maps.entries().clone());
        let (entries, groups) = flatten(&entries, maps.offsets(), groups);
        self.add(entries.as_struct().columns(), &groups)
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        let (columns, groups) = flatten_lists(&states[0], groups, 2);
        self.add(&columns, &groups)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(group_count)?.into_lists(None)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        into_maps(self.take(group_count)?)
    }

    fn memory_size(&self) -> usize {
        self.keys.memory_size() + self.values.memory_size()
    }
}

struct MultimapAgg {
    /// Filled at the end only: until then the pairs are kept as they came.
    keys: KeySet,
    values: RowLists,
    rows: RowLists,
}

impl Accumulator for MultimapAgg {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        let keep: Option<NullBuffer> = complete_rows(&arguments[..1]);
        self.rows.push(arguments, groups, keep.as_ref())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], _: usize) -> Result<()> {
        self.rows.push_lists(&states[0], groups)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.rows.take(group_count)?.into_lists(None)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let (pairs, groups) = self.rows.take_rows()?;
        let mut entries = Vec::with_capacity(groups.len());
        self.keys
            .insert(&pairs, &groups, None, |_, entry, _| entries.push(entry as u32))?;
        self.values.push(&pairs[1..], &entries, None)?;
        let lists = self.values.take(self.keys.len())?.into_lists(None)?;
        let (mut columns, groups) = self.keys.take()?;
        columns.push(lists);
        into_maps(Gathered::new(columns, &groups, group_count)?)
    }

    fn memory_size(&self) -> usize {
        self.rows.memory_size()
    }
}
