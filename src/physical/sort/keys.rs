//! Sort keys as integers.
//!
//! The columns of a key are packed, most significant first, into the fewest bits that the values seen need; rows are then
//! sorted and merged by comparing one or two words:
//!
//! ```text
//! order by l_extendedprice, l_orderkey desc, l_linenumber
//!          price − min      max − key        number − min
//!          24 bits          26 bits          3 bits              = 53 bits: one u64
//! ```
//!
//! A nullable column has one more bit before its value. A coded string is the rank of its value; a plain string is its bytes
//! after the prefix that all values share. When not everything fits into 128 bits the key holds the first bits, and rows
//! with equal keys are compared value by value.
//!
//! Floating point numbers are mapped so that −0 = 0 and NaN is the greatest.

use crate::types::DataType;
use crate::vector::block::{Block, BlockColumn, DictionaryValues, Layout, Values};
use std::cmp::Ordering;
use std::fmt::Debug;
use std::sync::Arc;

const SIGN: u64 = 1 << 63;

/// One column of the sort order.
#[derive(Debug, Clone)]
pub struct KeyColumn {
    /// Position in the layout.
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
    class: Class,
}

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Null,
    Signed,
    Float32,
    Float64,
    Wide,
    Text,
}

impl KeyColumn {
    pub fn new(column: usize, data_type: &DataType, descending: bool, nulls_first: bool) -> Self {
        let class = match data_type {
            DataType::Null => Class::Null,
            DataType::Float32 => Class::Float32,
            DataType::Float64 => Class::Float64,
            DataType::Decimal128(..) => Class::Wide,
            DataType::Utf8View | DataType::BinaryView => Class::Text,
            DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => Class::Text,
            _ => Class::Signed,
        };
        Self {
            column,
            descending,
            nulls_first,
            class,
        }
    }

    fn ordered(&self, values: Ordering) -> Ordering {
        if self.descending { values.reverse() } else { values }
    }

    fn nulls(&self, left_valid: bool, right_valid: bool) -> Ordering {
        // The null bit: 0 comes first.
        (left_valid == self.nulls_first).cmp(&(right_valid == self.nulls_first))
    }

    /// Compares two rows by this column.
    fn compare(
        &self,
        left: &BlockColumn,
        i: usize,
        right: &BlockColumn,
        j: usize,
        values: &DictionaryValues,
    ) -> Ordering {
        let (left_valid, right_valid) = (left.is_valid(i), right.is_valid(j));
        if !left_valid || !right_valid {
            return self.nulls(left_valid, right_valid);
        }
        self.ordered(match self.class {
            Class::Null => Ordering::Equal,
            Class::Text => left.values().string(i, values).cmp(right.values().string(j, values)),
            Class::Wide => wide(left.values(), i).cmp(&wide(right.values(), j)),
            _ => self.word(left.values(), i).cmp(&self.word(right.values(), j)),
        })
    }

    /// The value as a number that sorts like it.
    #[inline(always)]
    fn word(&self, values: &Values, row: usize) -> u64 {
        match values {
            Values::W1(v) => signed(i64::from(v[row] as i8)),
            Values::W2(v) => signed(i64::from(v[row] as i16)),
            Values::W4(v) if self.class == Class::Float32 => float32(v[row]),
            Values::W4(v) => signed(i64::from(v[row] as i32)),
            Values::W8(v) if self.class == Class::Float64 => float64(v[row]),
            Values::W8(v) => signed(v[row] as i64),
            _ => 0,
        }
    }
}

#[inline(always)]
fn signed(value: i64) -> u64 {
    value as u64 ^ SIGN
}

#[inline(always)]
fn float64(bits: u64) -> u64 {
    let value = f64::from_bits(bits);
    match value {
        _ if value.is_nan() => u64::MAX,
        0.0 => SIGN,
        _ => bits ^ ((bits as i64 >> 63) as u64 | SIGN),
    }
}

#[inline(always)]
fn float32(bits: u32) -> u64 {
    let value = f32::from_bits(bits);
    u64::from(match value {
        _ if value.is_nan() => u32::MAX,
        0.0 => 1 << 31,
        _ => bits ^ ((bits as i32 >> 31) as u32 | 1 << 31),
    })
}

#[inline(always)]
fn wide(values: &Values, row: usize) -> u128 {
    match values {
        Values::W16(v) => v[row] as u128 ^ (1 << 127),
        _ => 0,
    }
}

/// Calls `each(row, word)` for the rows that have a value.
fn for_each_word(key: &KeyColumn, column: &BlockColumn, mut each: impl FnMut(usize, u64)) {
    macro_rules! run {
        ($v:expr, $map:expr) => {
            match column.valid() {
                None => $v.iter().enumerate().for_each(|(row, &v)| each(row, $map(v))),
                Some(valid) => {
                    let rows = $v
                        .iter()
                        .zip(valid)
                        .enumerate()
                        .filter(|(_, (_, valid))| **valid != 0);
                    rows.for_each(|(row, (&v, _))| each(row, $map(v)));
                }
            }
        };
    }
    match column.values() {
        Values::W1(v) => run!(v, |v| signed(i64::from(v as i8))),
        Values::W2(v) => run!(v, |v| signed(i64::from(v as i16))),
        Values::W4(v) if key.class == Class::Float32 => run!(v, float32),
        Values::W4(v) => run!(v, |v| signed(i64::from(v as i32))),
        Values::W8(v) if key.class == Class::Float64 => run!(v, float64),
        Values::W8(v) => run!(v, |v| signed(v as i64)),
        _ => {}
    }
}

/// What the values of one key column look like, so that few bits tell them apart.
#[derive(Debug, Clone, Default)]
pub struct KeyStatistics {
    nulls: bool,
    /// Least and greatest word, when there is a value.
    range: Option<(u128, u128)>,
    text: Option<TextStatistics>,
    /// Some rows hold plain strings and not codes.
    plain: bool,
}

#[derive(Debug, Clone)]
struct TextStatistics {
    /// What all strings begin with.
    prefix: Vec<u8>,
    longest: usize,
}

impl KeyStatistics {
    /// Statistics of each key over some blocks.
    pub fn of(keys: &[KeyColumn], layout: &Layout, blocks: &[Block]) -> Vec<Self> {
        let of_key = |key: &KeyColumn| {
            let mut statistics = Self::default();
            let dictionary = layout.dictionary(key.column);
            for block in blocks.iter().filter(|b| b.rows() > 0) {
                statistics.add(key, block.column(key.column), block.rows(), &dictionary);
            }
            statistics
        };
        keys.iter().map(of_key).collect()
    }

    fn add(&mut self, key: &KeyColumn, column: &BlockColumn, rows: usize, dictionary: &DictionaryValues) {
        self.nulls |= column.valid().is_some();
        match key.class {
            Class::Null => {}
            Class::Text => self.add_text(column, rows, dictionary),
            Class::Wide => {
                let words = (0..rows)
                    .filter(|&row| column.is_valid(row))
                    .map(|row| wide(column.values(), row));
                let range = words.fold(None, |range, word| Some(widen(range, word, word)));
                self.range = merge_ranges(self.range, range);
            }
            _ => {
                let (mut min, mut max, mut any) = (u64::MAX, 0, false);
                for_each_word(key, column, |_, word| {
                    (min, max, any) = (min.min(word), max.max(word), true);
                });
                self.range = merge_ranges(self.range, any.then_some((u128::from(min), u128::from(max))));
            }
        }
    }

    fn add_text(&mut self, column: &BlockColumn, rows: usize, dictionary: &DictionaryValues) {
        if let Values::Codes1(_) | Values::Codes2(_) = column.values() {
            let mut seen = vec![false; dictionary.len()];
            for row in (0..rows).filter(|&row| column.is_valid(row)) {
                let code = usize::from(column.values().code(row));
                if !std::mem::replace(&mut seen[code], true) {
                    self.add_string(dictionary.get(code));
                }
            }
            return;
        }
        self.plain = true;
        for row in (0..rows).filter(|&row| column.is_valid(row)) {
            self.add_string(column.values().string(row, dictionary));
        }
    }

    fn add_string(&mut self, value: &[u8]) {
        match &mut self.text {
            None => {
                self.text = Some(TextStatistics {
                    prefix: value.to_vec(),
                    longest: value.len(),
                })
            }
            Some(text) => {
                if !value.starts_with(&text.prefix) {
                    text.prefix.truncate(common_prefix(&text.prefix, value));
                }
                text.longest = text.longest.max(value.len());
            }
        }
    }

    /// Adds what another part of the rows looks like.
    pub fn merge(&mut self, other: &Self) {
        self.nulls |= other.nulls;
        self.plain |= other.plain;
        self.range = merge_ranges(self.range, other.range);
        if let Some(text) = &other.text {
            self.add_string(&text.prefix);
            if let Some(mine) = &mut self.text {
                mine.longest = mine.longest.max(text.longest);
            }
        }
    }
}

fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(a, b)| a == b).count()
}

fn widen(range: Option<(u128, u128)>, min: u128, max: u128) -> (u128, u128) {
    range.map_or((min, max), |(least, greatest)| (least.min(min), greatest.max(max)))
}

fn merge_ranges(left: Option<(u128, u128)>, right: Option<(u128, u128)>) -> Option<(u128, u128)> {
    match right {
        Some((min, max)) => Some(widen(left, min, max)),
        None => left,
    }
}

/// A packed key.
pub trait PackedKey: Copy + Ord + Default + Debug + Send + Sync + 'static {
    /// Sets the bits of `value`, moved up by `shift`.
    fn put(&mut self, value: u64, shift: u32);
    fn put_wide(&mut self, value: u128, shift: u32);
}

impl PackedKey for u64 {
    #[inline(always)]
    fn put(&mut self, value: u64, shift: u32) {
        *self |= value << shift;
    }

    #[inline(always)]
    fn put_wide(&mut self, value: u128, shift: u32) {
        *self |= (value as u64) << shift;
    }
}

/// 128 bits, aligned like 64 so that a key and a row number take 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct WideKey {
    high: u64,
    low: u64,
}

impl PackedKey for WideKey {
    #[inline(always)]
    fn put(&mut self, value: u64, shift: u32) {
        self.put_wide(u128::from(value), shift);
    }

    #[inline(always)]
    fn put_wide(&mut self, value: u128, shift: u32) {
        let value = value << shift;
        self.high |= (value >> 64) as u64;
        self.low |= value as u64;
    }
}

/// How keys are packed: the same for all rows that are compared with each other.
#[derive(Debug)]
pub struct KeyPlan {
    keys: Vec<KeyColumn>,
    parts: Vec<Part>,
    bits: u32,
    /// Keys from this one on are not told apart by the packed key alone.
    exact: usize,
    /// The dictionary of each key's column, as far as the rows need it.
    dictionaries: Vec<Arc<DictionaryValues>>,
}

/// The bits of one key column.
#[derive(Debug)]
struct Part {
    key: usize,
    /// Bits of the value, and whether a null bit stands before them.
    bits: u32,
    nullable: bool,
    shift: u32,
    kind: PartKind,
}

#[derive(Debug)]
enum PartKind {
    /// `word − min` without its lowest `drop` bits.
    Word { min: u128, drop: u32 },
    /// The rank of each code's value.
    Rank(Vec<u32>),
    /// `bytes` bytes after the first `skip`, then the length if `length_bits` is not 0.
    Text {
        skip: usize,
        bytes: usize,
        length_bits: u32,
    },
}

fn bits_for(max: u128) -> u32 {
    u128::BITS - max.leading_zeros()
}

impl KeyPlan {
    /// A packing for rows with these statistics, one per key.
    pub fn new(keys: Vec<KeyColumn>, statistics: &[KeyStatistics], layout: &Layout) -> Self {
        let dictionaries: Vec<_> = keys.iter().map(|k| layout.dictionary(k.column)).collect();
        let mut parts = vec![];
        let mut left = u128::BITS;
        let mut exact = keys.len();
        for (i, (key, statistics)) in keys.iter().zip(statistics).enumerate() {
            let nullable = statistics.nulls && key.class != Class::Null;
            let room = left.saturating_sub(u32::from(nullable));
            let (kind, bits, whole) = part(key, statistics, &dictionaries[i], room);
            if left < u32::from(nullable) {
                exact = i;
                break;
            }
            left = room - bits;
            parts.push(Part {
                key: i,
                bits,
                nullable,
                shift: 0,
                kind,
            });
            if !whole {
                exact = i;
                break;
            }
        }
        let bits = u128::BITS - left;
        let mut shift = bits;
        for part in &mut parts {
            shift -= part.bits + u32::from(part.nullable);
            part.shift = shift;
        }
        parts.retain(|p| p.bits > 0 || p.nullable);
        Self {
            keys,
            parts,
            bits,
            exact,
            dictionaries,
        }
    }

    /// Whether keys need more than 64 bits.
    pub fn is_wide(&self) -> bool {
        self.bits > 64
    }

    /// Whether equal packed keys mean equal keys.
    pub fn is_exact(&self) -> bool {
        self.exact == self.keys.len()
    }

    /// The packed key of each row. `index` says that the block has the key columns only, in order.
    pub fn encode<K: PackedKey>(&self, block: &Block, index: bool, out: &mut Vec<K>) {
        out.clear();
        out.resize(block.rows(), K::default());
        for part in &self.parts {
            let key = &self.keys[part.key];
            let column = block.column(if index { part.key } else { key.column });
            part.encode(key, column, &self.dictionaries[part.key], out);
        }
    }

    /// Compares two rows whose packed keys are equal.
    pub fn compare_rest(&self, left: (&Block, usize), right: (&Block, usize)) -> Ordering {
        let keys = self.keys.iter().zip(&self.dictionaries).skip(self.exact);
        let mut orders = keys.map(|(key, dictionary)| {
            let (a, b) = (left.0.column(key.column), right.0.column(key.column));
            key.compare(a, left.1, b, right.1, dictionary)
        });
        orders.find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// How one key is packed into at most `room` bits: kind, bits, and whether nothing is lost.
fn part(
    key: &KeyColumn,
    statistics: &KeyStatistics,
    dictionary: &DictionaryValues,
    room: u32,
) -> (PartKind, u32, bool) {
    if key.class == Class::Text {
        if !statistics.plain {
            let bits = bits_for(dictionary.len().saturating_sub(1) as u128);
            if bits <= room {
                return (PartKind::Rank(ranks(dictionary)), bits, true);
            }
        }
        let (skip, longest) = statistics.text.as_ref().map_or((0, 0), |t| (t.prefix.len(), t.longest));
        let bytes = longest - skip;
        let length_bits = bits_for(bytes as u128);
        if bytes <= 16 && bytes as u32 * 8 + length_bits <= room {
            return (
                PartKind::Text {
                    skip,
                    bytes,
                    length_bits,
                },
                bytes as u32 * 8 + length_bits,
                true,
            );
        }
        let bytes = bytes.min(room as usize / 8);
        return (
            PartKind::Text {
                skip,
                bytes,
                length_bits: 0,
            },
            bytes as u32 * 8,
            false,
        );
    }
    let (min, max) = statistics.range.unwrap_or((0, 0));
    let bits = bits_for(max - min);
    let drop = bits.saturating_sub(room);
    (PartKind::Word { min, drop }, bits - drop, drop == 0)
}

fn ranks(dictionary: &DictionaryValues) -> Vec<u32> {
    let mut codes: Vec<u32> = (0..dictionary.len() as u32).collect();
    codes.sort_unstable_by_key(|&code| dictionary.get(code as usize));
    let mut ranks = vec![0; codes.len()];
    for (rank, code) in (0..).zip(codes) {
        ranks[code as usize] = rank;
    }
    ranks
}

impl Part {
    fn encode<K: PackedKey>(
        &self,
        key: &KeyColumn,
        column: &BlockColumn,
        dictionary: &DictionaryValues,
        out: &mut [K],
    ) {
        let mask = if self.bits == 0 {
            0
        } else {
            u128::MAX >> (u128::BITS - self.bits)
        };
        let flip = if key.descending { mask } else { 0 };
        match &self.kind {
            PartKind::Word { .. } if self.bits == 0 => {}
            PartKind::Word { min, drop } if key.class == Class::Wide => {
                for (row, out) in out.iter_mut().enumerate().filter(|(row, _)| column.is_valid(*row)) {
                    out.put_wide(
                        (wide(column.values(), row).wrapping_sub(*min) >> drop) ^ flip,
                        self.shift,
                    );
                }
            }
            PartKind::Word { min, drop } => {
                let (min, drop, flip, shift) = (*min as u64, *drop, flip as u64, self.shift);
                for_each_word(key, column, |row, word| {
                    out[row].put((word.wrapping_sub(min) >> drop) ^ flip, shift)
                });
            }
            PartKind::Rank(ranks) if self.bits > 0 => {
                for (row, out) in out.iter_mut().enumerate().filter(|(row, _)| column.is_valid(*row)) {
                    let rank = ranks.get(usize::from(column.values().code(row))).copied().unwrap_or(0);
                    out.put(u64::from(rank) ^ flip as u64, self.shift);
                }
            }
            PartKind::Text {
                skip,
                bytes,
                length_bits,
            } if self.bits > 0 => {
                for (row, out) in out.iter_mut().enumerate().filter(|(row, _)| column.is_valid(*row)) {
                    let value = column.values().string(row, dictionary);
                    let word = text_word(value.get(*skip..).unwrap_or_default(), *bytes, *length_bits);
                    out.put_wide(word ^ flip, self.shift);
                }
            }
            PartKind::Rank(_) | PartKind::Text { .. } => {}
        }
        if self.nullable {
            let shift = self.shift + self.bits;
            for (row, out) in out.iter_mut().enumerate() {
                out.put(u64::from(column.is_valid(row) == key.nulls_first), shift);
            }
        }
    }
}

/// The first `bytes` (at most 16) bytes, padded with zeros, then the length.
#[inline(always)]
fn text_word(value: &[u8], bytes: usize, length_bits: u32) -> u128 {
    let mut padded = [0; 16];
    let len = value.len().min(bytes);
    padded[..len].copy_from_slice(&value[..len]);
    let word = if bytes == 0 {
        0
    } else {
        u128::from_be_bytes(padded) >> (128 - 8 * bytes as u32)
    };
    if length_bits == 0 {
        word
    } else {
        word << length_bits | value.len() as u128
    }
}

/// The value of the first key in one row: what rows of a top-N must not exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    valid: bool,
    word: u128,
    text: Vec<u8>,
}

impl KeyColumn {
    /// The value in `row` of a column of this key.
    pub fn bound(&self, column: &BlockColumn, row: usize, dictionary: &DictionaryValues) -> Bound {
        let valid = column.is_valid(row);
        let mut bound = Bound {
            valid,
            word: 0,
            text: vec![],
        };
        match self.class {
            _ if !valid => {}
            Class::Text => bound.text = column.values().string(row, dictionary).to_vec(),
            Class::Wide => bound.word = wide(column.values(), row),
            _ => bound.word = u128::from(self.word(column.values(), row)),
        }
        bound
    }

    /// The order of two values of this key.
    pub fn compare_bounds(&self, left: &Bound, right: &Bound) -> Ordering {
        if !left.valid || !right.valid {
            return self.nulls(left.valid, right.valid);
        }
        self.ordered(left.word.cmp(&right.word).then_with(|| left.text.cmp(&right.text)))
    }

    /// The rows that do not come after `bound`.
    pub fn rows_within(&self, column: &BlockColumn, rows: usize, bound: &Bound, values: &DictionaryValues) -> Vec<u32> {
        let null_stays = !self.nulls(false, bound.valid).is_gt();
        let value_stays = |order: Ordering| match bound.valid {
            true => !self.ordered(order).is_gt(),
            false => !self.nulls(true, false).is_gt(),
        };
        let mut kept = vec![];
        match self.class {
            Class::Text | Class::Wide | Class::Null => {
                for row in 0..rows {
                    let stays = match (column.is_valid(row), self.class) {
                        (false, _) => null_stays,
                        (true, Class::Text) => value_stays(column.values().string(row, values).cmp(&bound.text)),
                        (true, _) => value_stays(wide(column.values(), row).cmp(&bound.word)),
                    };
                    if stays {
                        kept.push(row as u32);
                    }
                }
            }
            _ if column.valid().is_none() && bound.valid => {
                let limit = bound.word as u64;
                for_each_word(self, column, |row, word| {
                    if !self.ordered(word.cmp(&limit)).is_gt() {
                        kept.push(row as u32);
                    }
                });
            }
            _ => {
                for row in 0..rows {
                    let stays = match column.is_valid(row) {
                        false => null_stays,
                        true => value_stays(u128::from(self.word(column.values(), row)).cmp(&bound.word)),
                    };
                    if stays {
                        kept.push(row as u32);
                    }
                }
            }
        }
        kept
    }
}
