//! `checksum`.

use super::encoding::Encoder;
use super::groups::{Seen, grow, nulls_of, take_states};
use super::keys::canonical;
use super::{Accumulator, AggregateFunction, documented, one_argument, signature};
use crate::error::{Error, Result};
use crate::types::DataType;
use arrow::array::{ArrayRef, AsArray, BinaryViewArray};
use std::sync::Arc;

pub(super) const CHECKSUM: AggregateFunction = AggregateFunction::new(
    "checksum",
    &[],
    documented(
        "checksum(x)",
        "Eight bytes that are equal for equal rows in any order; NULLs and duplicates count.",
        "SELECT checksum(x) = checksum(y) FROM (VALUES (1, 2), (2, 1)) AS t(x, y)",
        "true",
    ),
    |found, _| {
        one_argument(&CHECKSUM, found)?;
        Ok(signature(found, &[DataType::BinaryView], DataType::BinaryView))
    },
    |signature, _| {
        Ok(Box::new(Checksum {
            encoder: Encoder::new(&signature.arguments[0])?,
            sums: vec![],
            seen: Seen::default(),
        }))
    },
);

/// What a NULL adds.
const NULL_HASH: u64 = 0x9E37_79B1_85EB_CA87;

/// Wrapping sums of the hashes of all rows.
struct Checksum {
    encoder: Encoder,
    sums: Vec<u64>,
    seen: Seen,
}

impl Accumulator for Checksum {
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.sums, group_count, 0);
        self.seen.mark(groups, group_count, None);
        let values = canonical(&arguments[0]);
        let encoded = self.encoder.encode(&values)?;
        let nulls = nulls_of(&values);
        for (row, &g) in groups.iter().enumerate() {
            let valid = nulls.as_ref().is_none_or(|n| n.is_valid(row));
            let hash = if valid {
                stable_hash(encoded.bytes(row))
            } else {
                NULL_HASH
            };
            let sum = &mut self.sums[g as usize];
            *sum = sum.wrapping_add(hash);
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.sums, group_count, 0);
        let nulls = nulls_of(&states[0]);
        self.seen.mark(groups, group_count, nulls.as_ref());
        for (state, &g) in states[0].as_binary_view().iter().zip(groups) {
            if let Some(bytes) = state {
                let bytes = bytes
                    .try_into()
                    .map_err(|_| Error::internal("a checksum that is not eight bytes"))?;
                let sum = &mut self.sums[g as usize];
                *sum = sum.wrapping_add(u64::from_be_bytes(bytes));
            }
        }
        Ok(())
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(group_count)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let sums = take_states(&mut self.sums, group_count, 0);
        let nulls = self.seen.take(group_count);
        let rows = sums.iter().enumerate().map(|(g, sum)| {
            let valid = nulls.as_ref().is_none_or(|n| n.is_valid(g));
            valid.then(|| sum.to_be_bytes())
        });
        Ok(Arc::new(rows.collect::<BinaryViewArray>()))
    }

    fn memory_size(&self) -> usize {
        self.sums.capacity() * size_of::<u64>() + self.seen.memory_size()
    }
}

/// FNV-1a with the finalizer of MurmurHash3: the same in every version and on every machine.
fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xCBF2_9CE4_8422_2325u64, |hash, &b| {
        (hash ^ b as u64).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    mixed ^ (mixed >> 33)
}
