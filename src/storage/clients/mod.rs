//! How clients of stores are made: what they have in common, and one file for each kind.

#[cfg(feature = "azure")]
mod azure;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "http"))]
mod common;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(feature = "http")]
mod http;
mod left_out;
#[cfg(feature = "s3")]
mod s3;
#[cfg(any(feature = "s3", feature = "gcs"))]
mod uploads;

#[cfg(feature = "azure")]
pub(super) use azure::azure;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "http"))]
pub(super) use common::*;
#[cfg(feature = "gcs")]
pub(super) use gcs::gcs;
#[cfg(feature = "http")]
pub(super) use http::http;
#[allow(unused_imports, reason = "empty when all kinds of stores are built in")]
pub(super) use left_out::*;
#[cfg(feature = "s3")]
pub(super) use s3::s3;
