//! Hash values of columns.
//!
//! Fixed-width values go through one multiply-and-fold step (the wyhash family's `mum`), strings through foldhash. The
//! same SQL value has the same hash in every thread, batch and coding, because partitions and Bloom filters rely on it.

use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// The hash of NULL.
pub const NULL_HASH: u64 = 0x9E37_79B9_7F4A_7C15;

/// The hash of a fixed-width value.
#[inline(always)]
pub fn hash_word(word: u64) -> u64 {
    let product = ((word ^ 0x2D35_8DCC_AA6C_78A5) as u128).wrapping_mul(0x8BB8_4B93_962E_ACC9);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The hash of two values in order.
#[inline(always)]
pub fn combine_hashes(left: u64, right: u64) -> u64 {
    hash_word(left.rotate_left(23) ^ right)
}

/// The hash of a byte string.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    FixedState::with_seed(0x51_7C_C1_B7).hash_one(bytes)
}
