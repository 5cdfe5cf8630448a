//! Batches and the kernels that arrow lacks. The only room where `unsafe` may live.

mod batch;
mod column;

pub use batch::{Batch, Selection};
pub use column::Column;
