//! Batches and the kernels that arrow lacks. The only room where `unsafe` may live.

pub mod allocator;
mod batch;
pub mod bitselect;
pub mod bitunpack;
pub mod block;
mod column;
pub mod gather;
pub mod hash;
mod interner;
pub mod keys;
pub mod mask;
pub mod memory;
mod prefetch;
pub mod row_hash;
pub mod snappy;
mod substring;
pub mod views;

pub mod arithmetic;
pub mod calendar;
pub mod cast;
pub mod compare;
pub mod concat;
pub mod decimal;
pub mod dictionary;
pub mod display;
pub mod in_set;
pub mod like;
pub mod operand;
pub mod parse;
mod temporal;

pub use batch::{Batch, Selection};
pub use column::Column;
pub use prefetch::prefetch;
pub use substring::substrings;
