//! Searches for the cheapest join tree: exactly by DPhyp (Moerkotte and Neumann, "Dynamic Programming Strikes Back",
//! SIGMOD 2008), or greedily by smallest result first when there are too many relations or pairs.

use super::cardinality::Cardinalities;
use super::graph::{Edge, Graph, Relations};
use crate::logical::JoinKind;
use std::collections::HashMap;

/// Relations up to which the search is exact.
const EXACT_RELATIONS: usize = 12;
/// Pairs of sub-plans looked at before the search turns greedy.
const PAIR_BUDGET: usize = 10_000;

/// An order of joins.
#[derive(Debug)]
pub(super) enum Tree {
    Relation(usize),
    Join(Box<Tree>, Box<Tree>),
}

impl Tree {
    pub fn relations(&self) -> Relations {
        match self {
            Self::Relation(i) => Relations::single(*i),
            Self::Join(left, right) => left.relations().union(right.relations()),
        }
    }
}

/// The cheapest way found to join a set.
#[derive(Debug, Clone, Copy)]
struct Best {
    cost: f64,
    rows: f64,
    /// Left and right side; both empty for a single relation.
    sides: (Relations, Relations),
}

/// The best tree over all relations; `None` when no order but the original one is known to be correct.
pub(super) fn search(graph: &Graph, cardinalities: &Cardinalities) -> Option<Tree> {
    let mut search = Search {
        graph,
        cardinalities,
        best: HashMap::new(),
        pairs: 0,
    };
    let exact = graph.relations.len() <= EXACT_RELATIONS && search.exact();
    if !exact || !search.best.contains_key(&graph.all()) {
        search.greedy();
    }
    search.tree(graph.all())
}

struct Search<'a> {
    graph: &'a Graph,
    cardinalities: &'a Cardinalities<'a>,
    best: HashMap<Relations, Best>,
    pairs: usize,
}

impl Search<'_> {
    fn start(&mut self) {
        self.best.clear();
        for i in 0..self.graph.relations.len() {
            let rows = self.cardinalities.rows(i);
            let alone = Best {
                cost: 0.0,
                rows,
                sides: Default::default(),
            };
            self.best.insert(Relations::single(i), alone);
        }
    }

    fn tree(&self, set: Relations) -> Option<Tree> {
        let best = self.best.get(&set)?;
        match best.sides {
            (l, _) if l.is_empty() => set.iter().next().map(Tree::Relation),
            (l, r) => Some(Tree::Join(Box::new(self.tree(l)?), Box::new(self.tree(r)?))),
        }
    }

    /// The join of two disjoint sets when it is one the original query allows.
    fn combine(&self, a: Relations, b: Relations) -> Option<Best> {
        let (x, y) = (self.best.get(&a)?, self.best.get(&b)?);
        let both = a.union(b);
        let due: Vec<&Edge> = self.graph.due(a, b).collect();
        let operator = |e: &Edge| &self.graph.operators[e.operator];
        if due.is_empty() || !due.iter().all(|e| self.graph.allowed(operator(e), both)) {
            return None;
        }
        let special = due.iter().copied().find(|e| operator(e).kind != JoinKind::Inner);
        let required = due.iter().filter(|e| !e.derived).count();
        let bytes = |set, best: &Best| best.rows * self.cardinalities.row_bytes(set);
        let a_is_larger = bytes(a, x) >= bytes(b, y);
        let (l, r) = match special {
            Some(_) if required > 1 => return None,
            Some(e) if e.left.within(a) && e.right.within(b) => ((a, x), (b, y)),
            Some(e) if e.left.within(b) && e.right.within(a) => ((b, y), (a, x)),
            Some(_) => return None,
            None if a_is_larger => ((a, x), (b, y)),
            None => ((b, y), (a, x)),
        };
        // The smaller side is built, except that scalar and null-aware joins are only made with the right side built.
        let fixed = special.is_some_and(|e| operator(e).null_aware || operator(e).kind == JoinKind::LeftSingle);
        let built = match !fixed && bytes(l.0, l.1) < bytes(r.0, r.1) {
            true => l.1.rows,
            false => r.1.rows,
        };
        let rows = match self.best.get(&both) {
            Some(known) => known.rows,
            None => self.cardinalities.join(l.0, l.1.rows, r.0, r.1.rows, special),
        };
        // Without a key every pair is looked at; against a single row that is a mere filter.
        let pairs = match due.iter().any(|e| !e.keys.is_empty()) || r.1.rows <= 1.0 {
            true => 0.0,
            false => l.1.rows * r.1.rows,
        };
        Some(Best {
            cost: x.cost + y.cost + rows + built + pairs,
            rows,
            sides: (l.0, r.0),
        })
    }

    fn consider(&mut self, a: Relations, b: Relations) {
        self.pairs += 1;
        if let Some(found) = self.combine(a, b) {
            let best = self.best.entry(a.union(b)).or_insert(found);
            if found.cost < best.cost {
                *best = found;
            }
        }
    }

    /// Joins the two sets with the smallest result, until one is left.
    fn greedy(&mut self) {
        self.start();
        let mut sets: Vec<Relations> = (0..self.graph.relations.len()).map(Relations::single).collect();
        while sets.len() > 1 {
            let mut found: Option<(usize, usize, Best)> = None;
            for i in 0..sets.len() {
                for j in i + 1..sets.len() {
                    let better = self
                        .combine(sets[i], sets[j])
                        .filter(|c| found.is_none_or(|(_, _, f)| (c.rows, c.cost) < (f.rows, f.cost)));
                    if let Some(c) = better {
                        found = Some((i, j, c));
                    }
                }
            }
            let Some((i, j, best)) = found else { return };
            let right = sets.swap_remove(j);
            sets[i] = sets[i].union(right);
            self.best.insert(sets[i], best);
        }
    }

    /// Every connected sub-graph with every connected complement, smaller ones first. False when there are too many.
    fn exact(&mut self) -> bool {
        self.start();
        for i in (0..self.graph.relations.len()).rev() {
            let start = Relations::single(i);
            self.pair_up(start);
            self.grow(start, Relations::up_to(i));
        }
        self.pairs <= PAIR_BUDGET
    }

    /// Extends `set` by its neighbours outside `excluded`.
    fn grow(&mut self, set: Relations, excluded: Relations) {
        let neighbours = self.neighbours(set, excluded);
        if neighbours.is_empty() || self.pairs > PAIR_BUDGET {
            return;
        }
        for more in neighbours.subsets() {
            if self.best.contains_key(&set.union(more)) {
                self.pair_up(set.union(more));
            }
        }
        for more in neighbours.subsets() {
            self.grow(set.union(more), excluded.union(neighbours));
        }
    }

    /// Finds complements of `set`, beginning at its neighbours with higher numbers.
    fn pair_up(&mut self, set: Relations) {
        let lowest = set.iter().next().unwrap_or(0);
        let excluded = set.union(Relations::up_to(lowest));
        let neighbours = self.neighbours(set, excluded);
        for i in neighbours.iter().rev() {
            let other = Relations::single(i);
            if self.connected(set, other) {
                self.consider(set, other);
            }
            let lower = Relations(neighbours.0 & Relations::up_to(i).0);
            self.grow_complement(set, other, excluded.union(lower));
        }
    }

    fn grow_complement(&mut self, set: Relations, other: Relations, excluded: Relations) {
        let neighbours = self.neighbours(other, excluded);
        if neighbours.is_empty() || self.pairs > PAIR_BUDGET {
            return;
        }
        for more in neighbours.subsets() {
            let larger = other.union(more);
            if self.best.contains_key(&larger) && self.connected(set, larger) {
                self.consider(set, larger);
            }
        }
        for more in neighbours.subsets() {
            self.grow_complement(set, other.union(more), excluded.union(neighbours));
        }
    }

    fn connected(&self, a: Relations, b: Relations) -> bool {
        let between = |e: &Edge| (e.left.within(a) && e.right.within(b)) || (e.left.within(b) && e.right.within(a));
        self.graph.edges.iter().any(between)
    }

    /// One relation of each side that an edge leads to from within `set`.
    fn neighbours(&self, set: Relations, excluded: Relations) -> Relations {
        let forbidden = set.union(excluded);
        let mut found = Relations::default();
        for e in &self.graph.edges {
            for (from, to) in [(e.left, e.right), (e.right, e.left)] {
                if from.within(set) && !to.meets(forbidden) {
                    found = found.union(to.lowest());
                }
            }
        }
        found
    }
}
