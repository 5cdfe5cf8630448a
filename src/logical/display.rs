//! Plans and expressions as text: what EXPLAIN shows and what plan tests compare. Identities are left out, so that the
//! same query always gives the same text.

use super::expr::*;
use super::plan::*;
use crate::catalog::{FileTable, TableSource};
use crate::types::type_name;
use std::fmt::{self, Display, Formatter, Write};

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Column(c) => match &c.qualifier {
                Some(q) => write!(f, "{q}.{}", c.name),
                None => f.write_str(&c.name),
            },
            Expr::Literal(v, _) => write!(f, "{v}"),
            Expr::Binary { op, left, right, .. } => write!(f, "{} {} {}", Operand(left), op.symbol(), Operand(right)),
            Expr::And(parts) if parts.is_empty() => f.write_str("true"),
            Expr::Or(parts) if parts.is_empty() => f.write_str("false"),
            Expr::And(parts) => f.write_str(
                &parts
                    .iter()
                    .map(|p| Operand(p).to_string())
                    .collect::<Vec<_>>()
                    .join(" AND "),
            ),
            Expr::Or(parts) => f.write_str(
                &parts
                    .iter()
                    .map(|p| Operand(p).to_string())
                    .collect::<Vec<_>>()
                    .join(" OR "),
            ),
            Expr::Not(e) => write!(f, "NOT {}", Operand(e)),
            Expr::Negate(e) => write!(f, "-{}", Operand(e)),
            Expr::IsNull { expr, negated } => {
                write!(f, "{} IS {}NULL", Operand(expr), if *negated { "NOT " } else { "" })
            }
            Expr::Cast { expr, data_type, safe } => {
                write!(
                    f,
                    "{}CAST({expr} AS {})",
                    if *safe { "TRY_" } else { "" },
                    type_name(data_type)
                )
            }
            Expr::Case {
                branches, otherwise, ..
            } => {
                f.write_str("CASE")?;
                for (condition, value) in branches {
                    write!(f, " WHEN {condition} THEN {value}")?;
                }
                if let Some(e) = otherwise {
                    write!(f, " ELSE {e}")?;
                }
                f.write_str(" END")
            }
            Expr::Like {
                expr,
                pattern,
                escape,
                negated,
                case_insensitive,
            } => {
                let not = if *negated { "NOT " } else { "" };
                let like = if *case_insensitive { "ILIKE" } else { "LIKE" };
                write!(f, "{} {not}{like} {pattern}", Operand(expr))?;
                escape.map_or(Ok(()), |c| write!(f, " ESCAPE '{c}'"))
            }
            Expr::InList {
                expr,
                list: items,
                negated,
            } => {
                write!(f, "{} {}IN (", Operand(expr), if *negated { "NOT " } else { "" })?;
                f.write_str(&list(items.iter().take(10)))?;
                if items.len() > 10 {
                    write!(f, ", … {} more", items.len() - 10)?;
                }
                f.write_char(')')
            }
            Expr::Function {
                function, arguments, ..
            } => write!(f, "{}({})", function.name, list(arguments)),
            Expr::LambdaCall {
                function,
                arguments,
                lambdas,
                ..
            } => write!(f, "{}({}, {})", function.name, list(arguments), list(lambdas)),
            Expr::Parameter(field) => f.write_str(&field.name),
            Expr::FieldAccess { expr, index, .. } => match self.natural_name() {
                Some(name) => write!(f, "{}.{name}", Operand(expr)),
                None => write!(f, "{}[{}]", Operand(expr), index + 1),
            },
            Expr::Try(e) => write!(f, "TRY({e})"),
            Expr::ScalarSubquery(_) => f.write_str("(subquery)"),
            Expr::Exists { negated, .. } => write!(f, "{}EXISTS (subquery)", if *negated { "NOT " } else { "" }),
            Expr::AnySubquery { expr, op, negated, .. } => {
                write!(
                    f,
                    "{}{} {} ANY (subquery)",
                    if *negated { "NOT " } else { "" },
                    Operand(expr),
                    op.symbol()
                )
            }
        }
    }
}

impl Display for Lambda {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = list(self.parameters.iter().map(|p| &p.name));
        match self.parameters.len() {
            1 => write!(f, "{names} -> {}", self.body),
            _ => write!(f, "({names}) -> {}", self.body),
        }
    }
}

/// An expression in parentheses when it would not bind tightly by itself.
struct Operand<'a>(&'a Expr);

impl Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let loose = matches!(
            self.0,
            Expr::Binary { .. }
                | Expr::And(_)
                | Expr::Or(_)
                | Expr::Not(_)
                | Expr::Like { .. }
                | Expr::InList { .. }
                | Expr::IsNull { .. }
        );
        if loose {
            write!(f, "({})", self.0)
        } else {
            write!(f, "{}", self.0)
        }
    }
}

impl Display for SortKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)?;
        if self.descending {
            f.write_str(" DESC")?;
        }
        if self.nulls_first {
            f.write_str(" NULLS FIRST")?;
        }
        Ok(())
    }
}

impl Display for AggregateCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let arguments = if self.arguments.is_empty() {
            "*".to_string()
        } else {
            list(&self.arguments)
        };
        write!(
            f,
            "{}({}{arguments}",
            self.function.name,
            if self.distinct { "DISTINCT " } else { "" }
        )?;
        if !self.order_by.is_empty() {
            write!(f, " ORDER BY {}", list(&self.order_by))?;
        }
        f.write_char(')')?;
        self.filter
            .as_ref()
            .map_or(Ok(()), |e| write!(f, " FILTER (WHERE {e})"))
    }
}

impl Display for FrameBound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnboundedPreceding => f.write_str("UNBOUNDED PRECEDING"),
            Self::Preceding(e) => write!(f, "{e} PRECEDING"),
            Self::CurrentRow => f.write_str("CURRENT ROW"),
            Self::Following(e) => write!(f, "{e} FOLLOWING"),
            Self::UnboundedFollowing => f.write_str("UNBOUNDED FOLLOWING"),
        }
    }
}

impl Display for WindowCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.target {
            WindowTarget::Window {
                function, arguments, ..
            } => write!(f, "{}({})", function.name, list(arguments))?,
            WindowTarget::Aggregate(call) => write!(f, "{call}")?,
        }
        f.write_str(" OVER (")?;
        if !self.partition_by.is_empty() {
            write!(f, "PARTITION BY {} ", list(&self.partition_by))?;
        }
        if !self.order_by.is_empty() {
            write!(f, "ORDER BY {} ", list(&self.order_by))?;
        }
        let units = format!("{:?}", self.frame.units).to_uppercase();
        write!(f, "{units} BETWEEN {} AND {})", self.frame.start, self.frame.end)
    }
}

impl Display for JoinKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.left,
            if self.null_safe { "IS NOT DISTINCT FROM" } else { "=" },
            self.right
        )
    }
}

impl LogicalPlan {
    /// One line for this node, without its inputs.
    pub fn describe(&self) -> String {
        let names = |schema: &crate::types::Schema| list(schema.iter().map(|f| f.name.as_ref()));
        match self {
            Self::Scan(n) => {
                let mut line = format!("Scan {} [{}]", n.table.name, names(&n.schema));
                if !n.filters.is_empty() {
                    let _ = write!(line, " where {}", list(&n.filters));
                }
                if let TableSource::Files(FileTable {
                    partitions: Some(counts),
                    ..
                }) = &n.table.source
                {
                    let _ = write!(line, " partitions {counts}");
                }
                if let Some(limit) = n.limit {
                    let _ = write!(line, " limit {limit}");
                }
                line
            }
            Self::Values(n) => format!("Values {} rows [{}]", n.rows.len(), names(&n.schema)),
            Self::Project(n) => {
                let items = n.expressions.iter().zip(n.schema.iter()).map(|(e, f)| match e {
                    Expr::Column(c) if c.name == f.name => e.to_string(),
                    _ => format!("{e} AS {}", f.name),
                });
                format!("Project {}", list(items))
            }
            Self::Filter(n) => format!("Filter {}", n.predicate),
            Self::Join(n) => {
                let kind = match &n.kind {
                    JoinKind::Inner if n.on.is_empty() && n.filter.is_none() => "Cross".to_string(),
                    JoinKind::LeftMark(_) => "LeftMark".to_string(),
                    other => format!("{other:?}"),
                };
                let mut line = format!("{kind}Join");
                if n.null_aware {
                    line.push_str(" null-aware");
                }
                if !n.dependent.is_empty() {
                    line.push_str(" dependent");
                }
                match n.hint {
                    Some(JoinHint::BroadcastLeft) => line.push_str(" broadcasting left"),
                    Some(JoinHint::BroadcastRight) => line.push_str(" broadcasting right"),
                    Some(JoinHint::PartitionedLeft) => line.push_str(" partitioned, building left"),
                    Some(JoinHint::PartitionedRight) => line.push_str(" partitioned, building right"),
                    Some(JoinHint::Merge) => line.push_str(" merging"),
                    None => {}
                }
                if !n.on.is_empty() {
                    let _ = write!(line, " on {}", list(&n.on));
                }
                if let Some(filter) = &n.filter {
                    let _ = write!(line, " where {filter}");
                }
                line
            }
            Self::Aggregate(n) => {
                let mut line = format!("Aggregate by [{}]", list(&n.groups));
                if let Some(sets) = &n.grouping_sets {
                    let _ = write!(line, " sets {sets:?}");
                }
                if !n.aggregates.is_empty() {
                    let _ = write!(line, " compute {}", list(&n.aggregates));
                }
                line
            }
            Self::Window(n) => format!("Window {}", list(&n.calls)),
            Self::Sort(n) => match n.fetch {
                Some(fetch) => format!("TopN {fetch} by {}", list(&n.keys)),
                None => format!("Sort by {}", list(&n.keys)),
            },
            Self::Limit(n) => match n.fetch {
                Some(fetch) => format!("Limit {fetch} skip {}", n.skip),
                None => format!("Limit none skip {}", n.skip),
            },
            Self::Union(n) => format!("Union [{}]", names(&n.schema)),
            Self::Unnest(n) => {
                let outer = if n.outer { " outer" } else { "" };
                format!(
                    "Unnest{outer} {}{}",
                    list(&n.expressions),
                    if n.ordinality { " with ordinality" } else { "" }
                )
            }
            Self::Cte(n) => format!("Cte {}", n.name),
            Self::CteReference(n) => format!("CteReference {} [{}]", n.name, names(&n.schema)),
        }
    }
}

/// The whole tree, two spaces of indentation per level.
impl Display for LogicalPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fn write_node(plan: &LogicalPlan, depth: usize, f: &mut Formatter<'_>) -> fmt::Result {
            writeln!(f, "{:indent$}{}", "", plan.describe(), indent = depth * 2)?;
            plan.inputs()
                .into_iter()
                .try_for_each(|input| write_node(input, depth + 1, f))
        }
        write_node(self, 0, f)
    }
}
