#![doc = include_str!("README.md")]

pub mod catalog;
pub mod cli;
pub mod config;
pub mod error;
pub mod expression;
pub mod format;
pub mod functions;
pub mod logical;
pub mod optimizer;
pub mod physical;
pub mod runtime;
pub mod session;
pub mod sql;
pub mod storage;
pub mod types;
pub mod vector;

pub use error::{Error, ErrorKind, Result};

/// The example of the project's front page, which is run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;
