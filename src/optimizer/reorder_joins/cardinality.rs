//! How many rows a join of some of the relations has, whatever the order.

use super::graph::{Edge, Graph, Relations};
use crate::logical::statistics::{
    ColumnEstimate, Estimate, HASH_TABLE_ROW, key_domain, keys_domain, match_share, selectivity,
};
use crate::logical::{Expr, JoinKind};
use crate::types::ColumnId;
use std::cell::RefCell;
use std::collections::HashMap;

pub(super) struct Cardinalities<'a> {
    graph: &'a Graph,
    relations: Vec<Estimate>,
    /// Columns of all relations.
    columns: Estimate,
    /// Pairs of relations with the classes of equal columns that they share.
    pairs: Vec<Pair>,
    /// Selectivity of each edge of inner joins beyond equal columns.
    selectivities: Vec<f64>,
    known: RefCell<HashMap<Relations, f64>>,
}

/// Two relations and their columns of the same classes.
struct Pair {
    a: usize,
    b: usize,
    keys: Vec<(ColumnId, ColumnEstimate, ColumnEstimate)>,
    domain: f64,
}

impl<'a> Cardinalities<'a> {
    pub fn new(graph: &'a Graph, relations: Vec<Estimate>) -> Self {
        let mut columns = Estimate {
            rows: 1e6,
            ..Estimate::default()
        };
        relations.iter().for_each(|r| columns.columns.extend(r.columns.clone()));
        let mut result = Self {
            graph,
            relations,
            columns,
            pairs: vec![],
            selectivities: vec![],
            known: RefCell::default(),
        };
        result.pairs = result.find_pairs();
        result.selectivities = graph.edges.iter().map(|e| result.edge_selectivity(e)).collect();
        result
    }

    /// Rows of one relation.
    pub fn rows(&self, relation: usize) -> f64 {
        self.relations.get(relation).map_or(1.0, |e| e.rows)
    }

    /// Bytes of one row of the relations together in a hash table.
    pub fn row_bytes(&self, relations: Relations) -> f64 {
        let widths = relations.iter().filter_map(|i| self.relations.get(i));
        widths.map(|e| e.row_bytes).sum::<f64>() + HASH_TABLE_ROW
    }

    fn find_pairs(&self) -> Vec<Pair> {
        let mut classes: HashMap<ColumnId, Vec<(usize, &ColumnEstimate)>> = HashMap::new();
        for (i, relation) in self.relations.iter().enumerate() {
            for (id, c) in &relation.columns {
                if let Some(class) = self.graph.class_of_column(*id) {
                    classes.entry(class).or_default().push((i, c));
                }
            }
        }
        let mut pairs: Vec<Pair> = vec![];
        for (class, members) in classes {
            for (i, (a, x)) in members.iter().enumerate() {
                for (b, y) in &members[i + 1..] {
                    if a == b {
                        continue;
                    }
                    let key = if a < b {
                        (class, (*x).clone(), (*y).clone())
                    } else {
                        (class, (*y).clone(), (*x).clone())
                    };
                    let (a, b) = (*a.min(b), *a.max(b));
                    match pairs.iter_mut().find(|p| (p.a, p.b) == (a, b)) {
                        Some(pair) if pair.keys.iter().any(|(c, ..)| *c == class) => {}
                        Some(pair) => pair.keys.push(key),
                        None => pairs.push(Pair {
                            a,
                            b,
                            keys: vec![key],
                            domain: 1.0,
                        }),
                    }
                }
            }
        }
        for pair in &mut pairs {
            let keys: Vec<_> = pair.keys.iter().map(|(_, x, y)| (x.clone(), y.clone())).collect();
            pair.domain = keys_domain(&keys);
        }
        // Pairs that share several classes first, as their combined domain is less than the product; then the smallest
        // domains, so that the largest of a class is what remains uncounted last.
        pairs.sort_by(|p, q| {
            let order = q.keys.len().cmp(&p.keys.len());
            order
                .then(p.domain.total_cmp(&q.domain))
                .then((p.a, p.b).cmp(&(q.a, q.b)))
        });
        pairs
    }

    /// Of what an inner edge tests beyond equalities of columns.
    fn edge_selectivity(&self, e: &Edge) -> f64 {
        if self.graph.operators[e.operator].kind != JoinKind::Inner || e.derived {
            return 1.0;
        }
        let filters: f64 = e.filter.iter().map(|f| selectivity(f, &self.columns)).product();
        let keys = e.keys.iter().filter(|k| self.graph.class_of(k).is_none());
        let keys = keys.map(|k| 1.0 / key_domain(&self.expression(&k.left), &self.expression(&k.right)));
        filters * keys.product::<f64>()
    }

    fn expression(&self, e: &Expr) -> ColumnEstimate {
        match e {
            Expr::Column(f) => self.columns.columns.get(&f.id).cloned(),
            _ => None,
        }
        .unwrap_or_else(|| {
            let inside = self.graph.relations_of(e);
            let rows: f64 = inside.iter().map(|i| self.rows(i)).fold(1.0, f64::max);
            let source = e.columns().into_iter().min().unwrap_or(ColumnId(0));
            let of_columns = e
                .columns()
                .iter()
                .filter_map(|id| self.columns.columns.get(id))
                .map(|c| c.ndv)
                .product::<f64>();
            ColumnEstimate {
                ndv: of_columns.min(rows).max(1.0),
                min: None,
                max: None,
                step: 0.0,
                null_fraction: 0.0,
                unique: false,
                normal: None,
                partition_rows: None,
                source,
                source_rows: rows * 2.0,
            }
        })
    }

    /// Rows of the inner join of a set: the product of its relations' rows over the domains of what must be equal.
    fn inner(&self, set: Relations) -> f64 {
        if let Some(rows) = self.known.borrow().get(&set) {
            return *rows;
        }
        let mut rows: f64 = set.iter().map(|i| self.rows(i)).product();
        // Per class, which relations of the set are connected by equalities counted so far.
        let mut connected: HashMap<ColumnId, Vec<Relations>> = HashMap::new();
        for pair in &self.pairs {
            let ends = Relations::single(pair.a).union(Relations::single(pair.b));
            if !ends.within(set) {
                continue;
            }
            let mut new: Vec<(ColumnEstimate, ColumnEstimate)> = vec![];
            for (class, x, y) in &pair.keys {
                let groups = connected.entry(*class).or_default();
                if groups.iter().any(|g| ends.within(*g)) {
                    continue;
                }
                let (touched, mut rest): (Vec<Relations>, Vec<Relations>) =
                    std::mem::take(groups).into_iter().partition(|g| g.meets(ends));
                rest.push(touched.into_iter().fold(ends, Relations::union));
                *groups = rest;
                new.push((x.clone(), y.clone()));
            }
            rows /= match new.len() == pair.keys.len() {
                true => pair.domain,
                false => keys_domain(&new),
            };
        }
        for (edge, s) in self.graph.edges.iter().zip(&self.selectivities) {
            if edge.relations().within(set) {
                rows *= s;
            }
        }
        let rows = rows.max(1e-6);
        self.known.borrow_mut().insert(set, rows);
        rows
    }

    /// Rows of the join of two sets of known rows; `edge` is the predicate of a join that is not inner.
    pub fn join(&self, l: Relations, left_rows: f64, r: Relations, right_rows: f64, edge: Option<&Edge>) -> f64 {
        let Some(edge) = edge else {
            let share = self.inner(l.union(r)) / (self.inner(l) * self.inner(r));
            return (left_rows * right_rows * share).max(1e-3);
        };
        let pairs: Vec<(ColumnEstimate, ColumnEstimate)> = edge
            .keys
            .iter()
            .map(|k| (self.expression(&k.left), self.expression(&k.right)))
            .collect();
        let domain = keys_domain(&pairs);
        let residual: f64 = edge.filter.iter().map(|f| selectivity(f, &self.columns)).product();
        let inner = left_rows * right_rows / domain * residual;
        let matching = match_share(&pairs, domain, right_rows, residual);
        match self.graph.operators[edge.operator].kind {
            JoinKind::LeftSemi => left_rows * matching,
            JoinKind::LeftAnti => left_rows * (1.0 - matching).max(0.1),
            JoinKind::LeftMark(_) | JoinKind::LeftSingle => left_rows,
            JoinKind::Full => inner.max(left_rows).max(right_rows),
            _ => inner.max(left_rows),
        }
    }
}
