//! Window functions that are not aggregates: ranking and access to other rows of the partition.

use super::Documentation;
use crate::error::Result;
use crate::types::DataType;

/// A ranking or navigation function.
pub struct WindowFunction {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub doc: Documentation,
    /// From argument types to the types the arguments are cast to and the result type.
    pub signature: ChooseOverload,
    pub kind: WindowKind,
}

/// From argument types to what the arguments are cast to and the result type.
pub type ChooseOverload = fn(&[DataType]) -> Result<(Vec<DataType>, DataType)>;

/// Which function it is; the window operator has one arm for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile,
    FirstValue,
    LastValue,
    NthValue,
    Lag,
    Lead,
}

/// All window functions.
pub static FUNCTIONS: &[WindowFunction] = &[];

/// The function of that name (lower case).
pub fn find(name: &str) -> Option<&'static WindowFunction> {
    FUNCTIONS.iter().find(|f| f.name == name || f.aliases.contains(&name))
}

impl std::fmt::Debug for WindowFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
