//! The nodes of a logical plan: a closed enum, so that the compiler lists every place to extend.

use super::expr::{AggregateCall, Expr, SortKey, WindowCall};
use crate::catalog::Table;
use crate::types::{ColumnId, Field, Schema};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A relational operator over its inputs. Each variant says what rows go in and come out.
#[derive(Debug, Clone, PartialEq)]
pub enum LogicalPlan {
    /// Rows of a table: the columns in `fields`, only rows that pass `filters`.
    Scan(Scan),
    /// Literal rows.
    Values(Values),
    /// One row out per row in, with other columns.
    Project(Project),
    /// The rows for which the predicate is true.
    Filter(Filter),
    /// Pairs of rows that match, by join kind.
    Join(Join),
    /// One row per group.
    Aggregate(Aggregate),
    /// Every row, with window results appended.
    Window(Window),
    /// All rows in order, or only the first `fetch`.
    Sort(Sort),
    /// The rows after the first `skip`, at most `fetch`.
    Limit(Limit),
    /// The rows of all inputs, one after another.
    Union(Union),
    /// Each row once per element of its arrays or maps.
    Unnest(Unnest),
    /// The rows of `body`, in which `CteReference`s read the rows of `definition`, computed once.
    Cte(Cte),
    /// The rows of the definition with that id.
    CteReference(CteReference),
}

#[derive(Debug, Clone)]
pub struct Scan {
    pub table: Arc<Table>,
    /// The output columns, …
    pub schema: Schema,
    /// … and which column of the table each of them is.
    pub columns: Vec<usize>,
    /// Conjuncts over columns of this scan that hold for every row that comes out. Columns that only filters need are
    /// part of `schema` until pruning moves them to `filter_columns`.
    pub filters: Vec<Expr>,
    /// Columns that only the filters mention: read, tested, not given out.
    pub filter_columns: Vec<(Field, usize)>,
    /// No more than this many rows are needed; any will do.
    pub limit: Option<u64>,
}

impl PartialEq for Scan {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
            && (&self.schema, &self.columns, &self.filters, self.limit)
                == (&other.schema, &other.columns, &other.filters, other.limit)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    pub schema: Schema,
    /// Each row has one expression per column, without column references, already of the column's type.
    pub rows: Vec<Vec<Expr>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    pub input: Arc<LogicalPlan>,
    /// The output: `expressions[i]` computes `schema[i]`. A column passed through keeps its id.
    pub expressions: Vec<Expr>,
    pub schema: Schema,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    pub input: Arc<LogicalPlan>,
    pub predicate: Expr,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    pub left: Arc<LogicalPlan>,
    pub right: Arc<LogicalPlan>,
    pub kind: JoinKind,
    /// Equalities that rows must fulfil to match.
    pub on: Vec<JoinKey>,
    /// What else must be true of a pair of rows to match.
    pub filter: Option<Expr>,
    /// `NOT IN` / `IN` semantics for `LeftAnti` and `LeftMark`: a NULL key on either side makes the match unknown.
    pub null_aware: bool,
    /// Columns of the left side that the right side mentions (LATERAL, correlated subqueries). Unnesting empties it;
    /// no plan with a dependent join is run.
    pub dependent: Vec<Field>,
    pub hint: Option<JoinHint>,
    /// The output columns, see [`JoinKind`].
    pub schema: Schema,
}

/// `left = right`, each over columns of its own side, of one type; `null_safe` means IS NOT DISTINCT FROM.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinKey {
    pub left: Expr,
    pub right: Expr,
    pub null_safe: bool,
}

/// What comes out of a join.
#[derive(Debug, Clone, PartialEq)]
pub enum JoinKind {
    /// Left and right columns of every matching pair. Without keys and filter: the cross product.
    Inner,
    /// As `Inner`, and each left row without match once, right columns NULL.
    Left,
    Right,
    Full,
    /// The left rows that have a match.
    LeftSemi,
    /// The left rows that have no match.
    LeftAnti,
    /// Every left row and one boolean: has it a match?
    LeftMark(Field),
    /// As `Left`, but a second match of a left row is an error: a scalar subquery.
    LeftSingle,
}

/// What the query text says about how to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinHint {
    BroadcastLeft,
    BroadcastRight,
    PartitionedLeft,
    PartitionedRight,
    Merge,
}

impl JoinHint {
    /// Whether the left side is to be built, when the hint says which.
    pub fn builds_left(self) -> Option<bool> {
        match self {
            Self::BroadcastLeft | Self::PartitionedLeft => Some(true),
            Self::BroadcastRight | Self::PartitionedRight => Some(false),
            Self::Merge => None,
        }
    }

    pub fn is_broadcast(self) -> bool {
        matches!(self, Self::BroadcastLeft | Self::BroadcastRight)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    pub input: Arc<LogicalPlan>,
    /// Grouping expressions; `schema` begins with one column for each.
    pub groups: Vec<Expr>,
    /// For GROUPING SETS, ROLLUP, CUBE: the positions in `groups` of each set; groups outside the set are NULL. The
    /// output has one more column after the groups, the grouping id (bigint, bit `groups.len() - 1 - i` is 1 when group
    /// `i` is outside the set). `None` is the plain GROUP BY.
    pub grouping_sets: Option<Vec<Vec<usize>>>,
    pub aggregates: Vec<AggregateCall>,
    /// Groups, then the grouping id when there are grouping sets, then aggregates.
    pub schema: Schema,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub input: Arc<LogicalPlan>,
    pub calls: Vec<WindowCall>,
    /// The input's columns, then one for each call.
    pub schema: Schema,
}

impl Window {
    /// Whether all calls partition by this column, so that its values come and go by whole partitions.
    pub fn partitions_by(&self, id: ColumnId) -> bool {
        let is_column = |e: &Expr| matches!(e, Expr::Column(f) if f.id == id);
        self.calls.iter().all(|c| c.partition_by.iter().any(is_column))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sort {
    pub input: Arc<LogicalPlan>,
    pub keys: Vec<SortKey>,
    /// Only the first rows are needed: top-N.
    pub fetch: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    pub input: Arc<LogicalPlan>,
    pub skip: u64,
    pub fetch: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Union {
    /// Each input has as many columns as `schema`, by position and of the same types.
    pub inputs: Vec<Arc<LogicalPlan>>,
    /// Fresh columns, because a value comes from different columns of different inputs.
    pub schema: Schema,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Unnest {
    pub input: Arc<LogicalPlan>,
    /// Arrays give one column, maps two, arrays of rows one per field (Trino); shorter ones are filled with NULL.
    pub expressions: Vec<Expr>,
    /// `WITH ORDINALITY`: one more column, from 1.
    pub ordinality: bool,
    /// Keep rows whose arrays are all empty or NULL, with NULLs (`LEFT JOIN UNNEST … ON TRUE`).
    pub outer: bool,
    /// The input's columns, then the unnested ones, then the ordinal.
    pub schema: Schema,
}

/// Identity of a common table expression that is computed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CteId(pub u32);

impl CteId {
    /// An id that no other common table expression of this process has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Cte {
    pub id: CteId,
    pub name: Arc<str>,
    pub definition: Arc<LogicalPlan>,
    pub body: Arc<LogicalPlan>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CteReference {
    pub id: CteId,
    pub name: Arc<str>,
    /// Fresh columns, by position the same as the definition's, unless pruned: then `columns` says which.
    pub schema: Schema,
    pub columns: Vec<usize>,
}

impl LogicalPlan {
    /// The output columns.
    pub fn schema(&self) -> &Schema {
        match self {
            Self::Scan(n) => &n.schema,
            Self::Values(n) => &n.schema,
            Self::Project(n) => &n.schema,
            Self::Filter(n) => n.input.schema(),
            Self::Join(n) => &n.schema,
            Self::Aggregate(n) => &n.schema,
            Self::Window(n) => &n.schema,
            Self::Sort(n) => n.input.schema(),
            Self::Limit(n) => n.input.schema(),
            Self::Union(n) => &n.schema,
            Self::Unnest(n) => &n.schema,
            Self::Cte(n) => n.body.schema(),
            Self::CteReference(n) => &n.schema,
        }
    }

    /// The inputs, left to right; a `Cte` has its definition first.
    pub fn inputs(&self) -> Vec<&Arc<LogicalPlan>> {
        match self {
            Self::Scan(_) | Self::Values(_) | Self::CteReference(_) => vec![],
            Self::Project(n) => vec![&n.input],
            Self::Filter(n) => vec![&n.input],
            Self::Join(n) => vec![&n.left, &n.right],
            Self::Aggregate(n) => vec![&n.input],
            Self::Window(n) => vec![&n.input],
            Self::Sort(n) => vec![&n.input],
            Self::Limit(n) => vec![&n.input],
            Self::Union(n) => n.inputs.iter().collect(),
            Self::Unnest(n) => vec![&n.input],
            Self::Cte(n) => vec![&n.definition, &n.body],
        }
    }

    /// A relation without rows and with these columns.
    pub fn empty(schema: Schema) -> Self {
        Self::Values(Values { schema, rows: vec![] })
    }

    /// One row without columns: what `SELECT 1` selects from.
    pub fn one_row() -> Self {
        Self::Values(Values {
            schema: Schema::default(),
            rows: vec![vec![]],
        })
    }
}

impl JoinKind {
    /// The output columns of a join of this kind.
    pub fn schema(&self, left: &Schema, right: &Schema) -> Schema {
        let nullable = |s: &Schema| Schema::new(s.iter().map(|f| f.clone().with_nullable(true)));
        match self {
            Self::Inner => left.join(right),
            Self::Left | Self::LeftSingle => left.join(&nullable(right)),
            Self::Right => nullable(left).join(right),
            Self::Full => nullable(left).join(&nullable(right)),
            Self::LeftSemi | Self::LeftAnti => left.clone(),
            Self::LeftMark(mark) => left.join(&Schema::new([mark.clone()])),
        }
    }
}
