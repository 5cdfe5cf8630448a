//! Columns of a plan: every column has an identity that outlives renames, joins and reordering.

use super::DataType;
use crate::error::{Error, Result};
use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The identity of a column inside one process. A plan node that passes a column through keeps its id;
/// a node that computes a new value makes a fresh one, so that no two different values ever share an id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnId(pub u32);

impl ColumnId {
    /// An id that no other column has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Debug for ColumnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// One output column of a plan node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    pub id: ColumnId,
    /// The table name or alias that a query may put before the name.
    pub qualifier: Option<Arc<str>>,
    pub name: Arc<str>,
    pub data_type: DataType,
    pub nullable: bool,
}

impl Field {
    /// A field with a fresh id and no qualifier.
    pub fn new(name: impl Into<Arc<str>>, data_type: DataType, nullable: bool) -> Self {
        Self {
            id: ColumnId::fresh(),
            qualifier: None,
            name: name.into(),
            data_type,
            nullable,
        }
    }

    pub fn with_qualifier(mut self, qualifier: impl Into<Arc<str>>) -> Self {
        self.qualifier = Some(qualifier.into());
        self
    }

    /// The same column, now nullable (the inner side of an outer join).
    pub fn with_nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// The same description under a fresh id: for a second scan of the same table.
    pub fn renewed(&self) -> Self {
        Self {
            id: ColumnId::fresh(),
            ..self.clone()
        }
    }
}

/// The output columns of a plan node, in order. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Schema(Arc<[Field]>);

impl Schema {
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        Self(fields.into_iter().collect())
    }

    /// The position of the column with this id.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.0.iter().position(|f| f.id == id)
    }

    /// The position of the column with this id; its absence is a bug in a plan.
    pub fn require(&self, id: ColumnId) -> Result<usize> {
        self.position(id).ok_or_else(|| {
            let have: Vec<String> = self.0.iter().map(|f| format!("{}{:?}", f.name, f.id)).collect();
            Error::internal(format!("column {id:?} is not among [{}]", have.join(", ")))
        })
    }

    pub fn contains(&self, id: ColumnId) -> bool {
        self.position(id).is_some()
    }

    pub fn ids(&self) -> impl Iterator<Item = ColumnId> + '_ {
        self.0.iter().map(|f| f.id)
    }

    /// `self`'s columns followed by `other`'s.
    pub fn join(&self, other: &Schema) -> Schema {
        Self(self.0.iter().chain(other.0.iter()).cloned().collect())
    }

    /// The arrow schema for output; names are kept as they are, also when two are equal.
    pub fn to_arrow(&self) -> SchemaRef {
        let fields: Vec<ArrowField> = self
            .0
            .iter()
            .map(|f| ArrowField::new(f.name.as_ref(), f.data_type.clone(), f.nullable))
            .collect();
        Arc::new(ArrowSchema::new(fields))
    }
}

impl Deref for Schema {
    type Target = [Field];
    fn deref(&self) -> &[Field] {
        &self.0
    }
}

impl FromIterator<Field> for Schema {
    fn from_iter<T: IntoIterator<Item = Field>>(iter: T) -> Self {
        Self::new(iter)
    }
}
