//! What a statement gives.

use crate::error::Result;
use crate::physical::QueryStream;
use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// Rows, or a word that it is done.
#[derive(Debug)]
pub enum StatementResult {
    Rows(Rows),
    /// What was done, e.g. `CREATE TABLE`, and how many rows were written.
    Done {
        what: String,
        rows: Option<u64>,
    },
}

/// Rows that come as they are asked for.
pub struct Rows {
    schema: SchemaRef,
    source: RowSource,
    is_text: bool,
}

enum RowSource {
    Query(Box<QueryStream>),
    Memory(std::vec::IntoIter<RecordBatch>),
}

impl StatementResult {
    pub(super) fn done(what: impl Into<String>) -> Self {
        Self::Done {
            what: what.into(),
            rows: None,
        }
    }

    pub(super) fn written(what: impl Into<String>, rows: u64) -> Self {
        Self::Done {
            what: what.into(),
            rows: Some(rows),
        }
    }

    /// Rows of text.
    pub(super) fn text(names: &[&str], rows: Vec<Vec<Option<String>>>) -> Result<Self> {
        let column = |i: usize| -> ArrayRef {
            Arc::new(
                rows.iter()
                    .map(|row| row.get(i).cloned().flatten())
                    .collect::<StringViewArray>(),
            )
        };
        let fields: Vec<Field> = names.iter().map(|n| Field::new(*n, DataType::Utf8View, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), (0..names.len()).map(column).collect())?;
        Ok(Self::Rows(Rows {
            schema,
            source: RowSource::Memory(vec![batch].into_iter()),
            is_text: false,
        }))
    }

    /// One column of text, a row per line.
    pub(super) fn lines(name: &str, text: &str) -> Result<Self> {
        let lines = text.lines().map(|line| vec![Some(line.to_string())]);
        let mut rows = Self::text(&[name], lines.collect())?.rows();
        rows.is_text = true;
        Ok(Self::Rows(rows))
    }

    /// The rows; a statement without rows has none.
    pub fn rows(self) -> Rows {
        match self {
            Self::Rows(rows) => rows,
            Self::Done { .. } => Rows {
                schema: Arc::new(Schema::empty()),
                source: RowSource::Memory(vec![].into_iter()),
                is_text: false,
            },
        }
    }

    /// All rows.
    pub fn collect(self) -> Result<Vec<RecordBatch>> {
        self.rows().collect()
    }
}

impl Rows {
    /// Names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether the rows are the lines of one text (a plan, a statement) and not values.
    pub fn is_text(&self) -> bool {
        self.is_text
    }
}

impl From<QueryStream> for Rows {
    fn from(stream: QueryStream) -> Self {
        Self {
            schema: stream.schema().clone(),
            source: RowSource::Query(Box::new(stream)),
            is_text: false,
        }
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            RowSource::Query(stream) => stream.next(),
            RowSource::Memory(batches) => batches.next().map(Ok),
        }
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows({:?})", self.schema)
    }
}
