//! Apache Parquet.

pub mod decode;
