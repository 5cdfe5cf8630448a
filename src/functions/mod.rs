//! Functions: a function is a value that carries its names, documentation, example, typing and code.
//!
//! The lists ([`scalar::FUNCTIONS`], [`aggregate::FUNCTIONS`], [`window::FUNCTIONS`]) are the only registry; binding,
//! help, completion and `SHOW FUNCTIONS` read them.

pub mod aggregate;
pub mod scalar;
pub mod window;

use crate::error::{Error, Result};
use crate::types::{DataType, type_name};

/// What people read about a function.
#[derive(Debug, Clone, Copy)]
pub struct Documentation {
    /// `substr(string, start[, length])`
    pub signature: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// A query and its result, e.g. `SELECT substr('hello', 2, 3)` and `ell`; a test runs it.
    pub example: (&'static str, &'static str),
}

/// The error for arguments that fit no overload.
pub fn wrong_arguments(name: &str, signature: &str, found: &[DataType]) -> Error {
    let found: Vec<String> = found.iter().map(type_name).collect();
    Error::plan(format!("{name}({}) is not defined", found.join(", "))).with_hint(format!("expected {signature}"))
}

/// Every function name with its signature, sorted: for help, completion and nearest-name hints.
pub fn all_names() -> Result<Vec<(&'static str, &'static str)>> {
    Ok(all()?.into_iter().map(|(name, doc)| (name, doc.signature)).collect())
}

/// What is written about each function under each of its names, sorted by them.
pub fn all() -> Result<Vec<(&'static str, Documentation)>> {
    let scalar = scalar::FUNCTIONS
        .iter()
        .flat_map(|list| list.iter())
        .flat_map(|f| names(f.name, f.aliases, f.doc));
    let lambda = scalar::lambda::FUNCTIONS
        .iter()
        .flat_map(|list| list.iter())
        .flat_map(|f| names(f.name, f.aliases, f.doc));
    let aggregate = aggregate::FUNCTIONS
        .iter()
        .flat_map(|f| names(f.name, f.aliases, f.doc));
    let window = window::FUNCTIONS.iter().flat_map(|f| names(f.name, f.aliases, f.doc));
    let mut all: Vec<_> = scalar.chain(lambda).chain(aggregate).chain(window).collect();
    all.sort_by_key(|(name, doc)| (*name, doc.signature));
    all.dedup_by_key(|(name, doc)| (*name, doc.signature));
    Ok(all)
}

fn names(
    name: &'static str,
    aliases: &'static [&'static str],
    doc: Documentation,
) -> impl Iterator<Item = (&'static str, Documentation)> {
    std::iter::once(name)
        .chain(aliases.iter().copied())
        .map(move |n| (n, doc))
}
