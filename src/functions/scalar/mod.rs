//! Scalar functions: columns in, column out, row by row.
#![expect(
    clippy::unit_arg,
    reason = "Ok(Some(out.push_str(text))) writes a row and says that it is not NULL"
)]

mod arguments;
mod array;
mod array_making;
mod array_sets;
mod binary;
mod bits;
mod calendar;
mod conditional;
mod conversion;
mod datetime;
mod datetime_arithmetic;
mod datetime_format;
mod datetime_pattern;
mod json;
pub mod lambda;
mod map;
mod math;
mod nested;
mod regex;
mod rounding;
mod string;
mod string_search;
#[cfg(test)]
mod testing;
mod text_pattern;
mod typing;
mod url;

pub(crate) use datetime_pattern::Pattern as TimePattern;
pub(crate) use json::push_compact as push_compact_json;
pub use text_pattern::DatePattern;

use super::{Documentation, wrong_arguments};
use crate::error::Result;
use crate::types::{DataType, ScalarValue};
use crate::vector::Column;

/// A function of one row.
pub struct ScalarFunction {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub doc: Documentation,
    /// Chooses the overload; `None` when none fits. Callers use [`ScalarFunction::signature`].
    pub typing: fn(&[DataType], &[Option<ScalarValue>]) -> Option<Signature>,
    /// Computes the result for all rows. Arguments have the coerced types; NULL handling is the function's own.
    pub evaluate: fn(&Arguments) -> Result<Column>,
    pub properties: Properties,
}

impl ScalarFunction {
    /// Chooses the overload: from argument types to the types the arguments are cast to and the result type.
    /// `constants` has the value of each argument that is a literal (a time zone is part of a type).
    ///
    /// # Errors
    /// When no overload fits, with the expected signature as hint.
    pub fn signature(&self, types: &[DataType], constants: &[Option<ScalarValue>]) -> Result<Signature> {
        (self.typing)(types, constants).ok_or_else(|| wrong_arguments(self.name, self.doc.signature, types))
    }
}

/// What the optimizer may assume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Properties {
    /// Same arguments, same result; may be folded, moved and evaluated once per dictionary value.
    Pure,
    /// One value per statement (`now()`): folded when a statement starts.
    Stable,
    /// A new value at each call (`random()`): never moved or folded.
    Volatile,
}

/// A resolved overload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub arguments: Vec<DataType>,
    pub result: DataType,
}

/// What a function sees when it runs.
#[derive(Debug)]
pub struct Arguments<'a> {
    /// Arrays (never dictionary-coded) or constants, each of `rows` rows.
    pub columns: &'a [Column],
    pub rows: usize,
    pub result_type: &'a DataType,
}

/// All scalar functions, group by group.
pub static FUNCTIONS: &[&[ScalarFunction]] = &[
    conditional::FUNCTIONS,
    math::FUNCTIONS,
    rounding::FUNCTIONS,
    bits::FUNCTIONS,
    string::FUNCTIONS,
    string_search::FUNCTIONS,
    regex::FUNCTIONS,
    datetime::FUNCTIONS,
    datetime_arithmetic::FUNCTIONS,
    datetime_format::FUNCTIONS,
    array_making::FUNCTIONS,
    array::FUNCTIONS,
    array_sets::FUNCTIONS,
    map::FUNCTIONS,
    json::FUNCTIONS,
    conversion::FUNCTIONS,
    binary::FUNCTIONS,
    url::FUNCTIONS,
];

/// A pure function without aliases; the methods below add the rest.
const fn function(
    name: &'static str,
    typing: fn(&[DataType], &[Option<ScalarValue>]) -> Option<Signature>,
    evaluate: fn(&Arguments) -> Result<Column>,
) -> ScalarFunction {
    ScalarFunction {
        name,
        aliases: &[],
        doc: Documentation {
            signature: "",
            summary: "",
            example: ("", ""),
        },
        typing,
        evaluate,
        properties: Properties::Pure,
    }
}

impl ScalarFunction {
    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Signature, one sentence, an example query and its result.
    const fn doc(
        mut self,
        signature: &'static str,
        summary: &'static str,
        query: &'static str,
        result: &'static str,
    ) -> Self {
        self.doc = Documentation {
            signature,
            summary,
            example: (query, result),
        };
        self
    }

    const fn stable(mut self) -> Self {
        self.properties = Properties::Stable;
        self
    }

    const fn volatile(mut self) -> Self {
        self.properties = Properties::Volatile;
        self
    }
}

/// The function of that name (lower case).
pub fn find(name: &str) -> Option<&'static ScalarFunction> {
    FUNCTIONS
        .iter()
        .flat_map(|group| group.iter())
        .find(|f| f.name == name || f.aliases.contains(&name))
}

impl std::fmt::Debug for ScalarFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_belongs_to_one_function() {
        let mut seen = std::collections::HashSet::new();
        for function in FUNCTIONS.iter().flat_map(|group| group.iter()) {
            for name in std::iter::once(&function.name).chain(function.aliases) {
                assert!(seen.insert(*name), "{name} is there twice");
                assert_eq!(name.to_lowercase(), **name);
            }
        }
    }

    #[test]
    fn every_function_is_documented() {
        for function in FUNCTIONS.iter().flat_map(|group| group.iter()) {
            let doc = function.doc;
            assert!(
                doc.signature.starts_with(function.name),
                "{}: {}",
                function.name,
                doc.signature
            );
            assert!(doc.summary.ends_with('.'), "{}", function.name);
            assert!(doc.example.0.starts_with("SELECT "), "{}", function.name);
        }
    }
}
