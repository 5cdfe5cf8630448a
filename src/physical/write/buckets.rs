//! The bucket of each row of a bucketed table, as Hive, Trino and Spark number them.

use crate::error::{Error, Result};
use crate::types::{DataType, type_name};
use crate::vector::Batch;
use arrow::array::{Array, AsArray, Int32Array};
use arrow::datatypes::*;

/// How rows are dealt out to buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// Positions of the columns that are hashed.
    pub columns: Vec<usize>,
    pub count: u32,
    pub hash: BucketHash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketHash {
    /// `bucketing_version` 1: Java's hash codes.
    HiveV1,
    /// `bucketing_version` 2, since Hive 3: Murmur3 of each column.
    HiveV2,
    /// `bucketing_format = 'spark'`: Murmur3 chained through the columns.
    Spark,
}

impl Buckets {
    /// # Errors
    /// `Unsupported` for columns of types that have no hash, which other engines refuse too.
    pub fn check(&self, schema: &SchemaRef) -> Result<()> {
        let fields = self.columns.iter().filter_map(|&i| schema.fields().get(i));
        for field in fields {
            let known = match field.data_type() {
                DataType::Boolean
                | DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float32
                | DataType::Float64
                | DataType::Utf8View
                | DataType::Date32 => true,
                DataType::Timestamp(..) => self.hash != BucketHash::HiveV2,
                DataType::Decimal64(..) | DataType::Decimal128(..) => self.hash == BucketHash::Spark,
                _ => false,
            };
            if !known {
                return Err(Error::unsupported(format!(
                    "buckets by column \"{}\" of type {}",
                    field.name(),
                    type_name(field.data_type())
                )));
            }
        }
        Ok(())
    }

    /// The number of each row's bucket.
    pub fn numbers(&self, batch: &Batch) -> Result<Int32Array> {
        let start = if self.hash == BucketHash::Spark { 42 } else { 0 };
        let mut hashes = vec![start; batch.len()];
        for &column in &self.columns {
            let array = batch.column(column)?.to_array()?;
            self.hash_column(array.as_ref(), &mut hashes)?;
        }
        let count = self.count.max(1) as i32;
        let number = |hash: i32| match self.hash {
            BucketHash::Spark => hash.rem_euclid(count),
            _ => (hash & i32::MAX) % count,
        };
        Ok(hashes.into_iter().map(number).collect::<Vec<i32>>().into())
    }

    fn hash_column(&self, array: &dyn Array, hashes: &mut [i32]) -> Result<()> {
        /// Adds the value of each row to its hash.
        macro_rules! each {
            ($values:expr, |$value:ident| $v1:expr, $v2:expr, $spark:expr) => {{
                let values = $values;
                for (row, hash) in hashes.iter_mut().enumerate() {
                    let value = (!values.is_null(row)).then(|| values.value(row));
                    *hash = match (self.hash, value) {
                        (BucketHash::Spark, None) => *hash,
                        (_, None) => hash.wrapping_mul(31),
                        (BucketHash::HiveV1, Some($value)) => hash.wrapping_mul(31).wrapping_add($v1),
                        (BucketHash::HiveV2, Some($value)) => hash.wrapping_mul(31).wrapping_add($v2),
                        (BucketHash::Spark, Some($value)) => $spark(*hash),
                    };
                }
            }};
        }
        match array.data_type() {
            DataType::Boolean => {
                each!(array.as_boolean(), |v| v as i32, v as i32, |h| spark_word(h, v as i32))
            }
            DataType::Int8 => {
                each!(
                    array.as_primitive::<Int8Type>(),
                    |v| v as i32,
                    v as i32,
                    |h| spark_word(h, v as i32)
                )
            }
            DataType::Int16 => {
                each!(
                    array.as_primitive::<Int16Type>(),
                    |v| v as i32,
                    hive(&v.to_be_bytes()),
                    |h| { spark_word(h, v as i32) }
                )
            }
            DataType::Int32 => {
                each!(array.as_primitive::<Int32Type>(), |v| v, hive(&v.to_be_bytes()), |h| {
                    spark_word(h, v)
                })
            }
            DataType::Date32 => {
                each!(array.as_primitive::<Date32Type>(), |v| v, hive(&v.to_be_bytes()), |h| {
                    spark_word(h, v)
                })
            }
            DataType::Int64 => {
                each!(
                    array.as_primitive::<Int64Type>(),
                    |v| fold(v),
                    hive(&v.to_be_bytes()),
                    |h| spark_long(h, v)
                )
            }
            DataType::Float32 => {
                each!(
                    array.as_primitive::<Float32Type>(),
                    |v| float_bits(v),
                    // Hive turns the bits into a number once more before it takes their bytes.
                    hive(&(float_bits(v) as f32).to_bits().to_be_bytes()),
                    |h| spark_word(h, float_bits(if v == 0.0 { 0.0 } else { v }))
                )
            }
            DataType::Float64 => {
                each!(
                    array.as_primitive::<Float64Type>(),
                    |v| fold(double_bits(v)),
                    hive(&(double_bits(v) as f64).to_bits().to_be_bytes()),
                    |h| spark_long(h, double_bits(if v == 0.0 { 0.0 } else { v }))
                )
            }
            DataType::Utf8View => {
                each!(
                    array.as_string_view(),
                    |v| java_string(v.as_bytes()),
                    hive(v.as_bytes()),
                    |h| spark_bytes(h, v.as_bytes())
                )
            }
            DataType::Timestamp(..) => {
                each!(
                    array.as_primitive::<TimestampMicrosecondType>(),
                    |v| java_timestamp(v),
                    java_timestamp(v),
                    |h| spark_long(h, v)
                )
            }
            DataType::Decimal64(..) => {
                each!(array.as_primitive::<Decimal64Type>(), |_v| 0, 0, |h| spark_long(h, _v))
            }
            DataType::Decimal128(..) => {
                each!(array.as_primitive::<Decimal128Type>(), |_v| 0, 0, |h| spark_bytes(
                    h,
                    &java_big_integer(_v)
                ))
            }
            other => {
                return Err(Error::unsupported(format!(
                    "buckets by a column of type {}",
                    type_name(other)
                )));
            }
        }
        Ok(())
    }
}

/// Java's hash of a long.
fn fold(v: i64) -> i32 {
    (v ^ ((v as u64) >> 32) as i64) as i32
}

/// Java's bits of a float: one for all that is no number.
fn float_bits(v: f32) -> i32 {
    (if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() }) as i32
}

fn double_bits(v: f64) -> i64 {
    (if v.is_nan() { 0x7ff8_0000_0000_0000 } else { v.to_bits() }) as i64
}

fn java_string(bytes: &[u8]) -> i32 {
    bytes
        .iter()
        .fold(0i32, |hash, b| hash.wrapping_mul(31).wrapping_add(*b as i8 as i32))
}

/// Hive's hash of a timestamp: seconds and nanoseconds in one long.
fn java_timestamp(micros: i64) -> i32 {
    let (seconds, nanos) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000) * 1000);
    fold((seconds << 30) | nanos)
}

/// The fewest bytes that hold the number, the highest first.
fn java_big_integer(v: i128) -> Vec<u8> {
    let bytes = v.to_be_bytes();
    let sign = if v < 0 { 0xff } else { 0 };
    let needless = bytes
        .windows(2)
        .take_while(|w| matches!(w, [a, b] if *a == sign && (b ^ sign) < 0x80))
        .count();
    bytes.get(needless..).unwrap_or_default().to_vec()
}

fn mix(hash: i32, word: i32) -> i32 {
    let word = word.wrapping_mul(0xcc9e_2d51_u32 as i32).rotate_left(15);
    let word = word.wrapping_mul(0x1b87_3593);
    (hash ^ word)
        .rotate_left(13)
        .wrapping_mul(5)
        .wrapping_add(0xe654_6b64_u32 as i32)
}

fn finish(hash: i32, length: usize) -> i32 {
    let mut hash = (hash ^ length as i32) as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    (hash ^ (hash >> 16)) as i32
}

fn words(bytes: &[u8]) -> (impl Iterator<Item = i32>, &[u8]) {
    let (blocks, tail) = bytes.as_chunks::<4>();
    (blocks.iter().map(|b| i32::from_le_bytes(*b)), tail)
}

/// Murmur3 as Hive has it: with its own seed, and bytes behind the last whole word with their sign.
fn hive(bytes: &[u8]) -> i32 {
    let (blocks, tail) = words(bytes);
    let hash = blocks.fold(104_729, mix);
    let signed = tail.iter().enumerate().map(|(i, b)| (*b as i8 as i32) << (8 * i));
    let last = signed.fold(0, |word, part| word ^ part);
    let last = last.wrapping_mul(0xcc9e_2d51_u32 as i32).rotate_left(15);
    finish(hash ^ last.wrapping_mul(0x1b87_3593), bytes.len())
}

fn spark_word(hash: i32, v: i32) -> i32 {
    finish(mix(hash, v), 4)
}

fn spark_long(hash: i32, v: i64) -> i32 {
    finish(mix(mix(hash, v as i32), (v >> 32) as i32), 8)
}

/// Murmur3 as Spark has it: each byte behind the last whole word is a word of its own.
fn spark_bytes(hash: i32, bytes: &[u8]) -> i32 {
    let (blocks, tail) = words(bytes);
    let hash = blocks.fold(hash, mix);
    finish(
        tail.iter().fold(hash, |hash, b| mix(hash, *b as i8 as i32)),
        bytes.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;
    use std::sync::Arc;

    fn hashes(hash: BucketHash, arrays: Vec<ArrayRef>) -> Vec<i32> {
        let buckets = Buckets {
            columns: vec![],
            count: 1,
            hash,
        };
        let mut all = vec![if hash == BucketHash::Spark { 42 } else { 0 }; arrays[0].len()];
        for array in arrays {
            buckets.hash_column(array.as_ref(), &mut all).unwrap();
        }
        all
    }

    fn one(hash: BucketHash, array: impl Array + 'static) -> i32 {
        hashes(hash, vec![Arc::new(array)])[0]
    }

    /// What `SELECT hash(…)` gives in Spark 4.3.
    #[test]
    fn hashes_are_those_of_spark() {
        let one = |array: ArrayRef| hashes(BucketHash::Spark, vec![array])[0];
        assert_eq!(one(Arc::new(Int32Array::from(vec![1]))), -559580957);
        assert_eq!(one(Arc::new(BooleanArray::from(vec![true]))), -559580957);
        assert_eq!(one(Arc::new(Int64Array::from(vec![1]))), -1712319331);
        assert_eq!(one(Arc::new(Date32Array::from(vec![18262]))), -725858435);
        assert_eq!(
            one(Arc::new(TimestampMicrosecondArray::from(vec![1_577_836_801_000_000]))),
            -1394303199
        );
        assert_eq!(one(Arc::new(Float64Array::from(vec![1.5]))), 1290763749);
        assert_eq!(one(Arc::new(Float64Array::from(vec![-0.0]))), -1670924195);
        assert_eq!(one(Arc::new(Float32Array::from(vec![1.5]))), -221251528);
        for (text, expected) in [
            ("Spark", 228093765),
            ("", 142593372),
            ("abcde", 814637928),
            ("é", 2119106806),
        ] {
            assert_eq!(one(Arc::new(StringViewArray::from(vec![text]))), expected, "{text}");
        }
        let decimal = Decimal64Array::from(vec![1234])
            .with_precision_and_scale(10, 2)
            .unwrap();
        assert_eq!(one(Arc::new(decimal)), -1028144669);
        let decimal = Decimal128Array::from(vec![-1234])
            .with_precision_and_scale(25, 2)
            .unwrap();
        assert_eq!(one(Arc::new(decimal)), -378694793);
        let several: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![1])),
            Arc::new(StringViewArray::from(vec!["a"])),
            Arc::new(Int32Array::from(vec![None])),
        ];
        assert_eq!(hashes(BucketHash::Spark, several), [-936062819]);
    }

    /// Known values of both versions, version 1 first.
    #[test]
    fn hashes_are_those_of_hive() {
        let both = |array: ArrayRef| {
            (
                hashes(BucketHash::HiveV1, vec![array.clone()])[0],
                hashes(BucketHash::HiveV2, vec![array])[0],
            )
        };
        assert_eq!(both(Arc::new(BooleanArray::from(vec![true]))), (1, 1));
        assert_eq!(both(Arc::new(Int8Array::from(vec![-128]))), (-128, -128));
        assert_eq!(both(Arc::new(Int16Array::from(vec![300]))), (300, 2107031704));
        assert_eq!(both(Arc::new(Int32Array::from(vec![300_000]))), (300_000, -678663480));
        assert_eq!(
            both(Arc::new(Int64Array::from(vec![300_000_000_000]))),
            (-647710651, -888935297)
        );
        assert_eq!(
            both(Arc::new(Float32Array::from(vec![12.34]))),
            (1095069860, -381747602)
        );
        assert_eq!(
            both(Arc::new(StringViewArray::from(vec!["Trino rocks"]))),
            (1132136730, -399107423)
        );
        assert_eq!(both(Arc::new(StringViewArray::from(vec![None::<&str>]))), (0, 0));
        let buckets = |hash: i32| (hash & i32::MAX) % 4;
        assert_eq!((buckets(1132136730), buckets(-399107423)), (2, 1));
        assert_eq!(one(BucketHash::HiveV2, Date32Array::from(vec![300_000])), -678663480);
    }

    #[test]
    fn numbers_have_as_many_bytes_as_they_need() {
        for (v, bytes) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![0, 128]),
            (-1, vec![255]),
            (-128, vec![128]),
            (-129, vec![255, 127]),
        ] {
            assert_eq!(java_big_integer(v), bytes, "{v}");
        }
    }
}
