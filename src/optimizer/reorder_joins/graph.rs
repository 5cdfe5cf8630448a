//! The join graph: relations, the predicates between them, and the rules that keep reordering correct.
//!
//! The conflict rules are those of Moerkotte, Fender and Eich, "On the Correct and Complete Enumeration of the Core
//! Search Space" (SIGMOD 2013), algorithm CD-C. A rule `(a, b)` of an operator says: once a relation of `a` takes part
//! in the join, all of `b` must.

use crate::logical::{Expr, Join, JoinKey, JoinKind, LogicalPlan};
use crate::types::ColumnId;
use std::collections::{HashMap, HashSet};

/// A set of relations, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(super) struct Relations(pub u64);

impl Relations {
    pub const MAX: usize = 64;

    pub fn single(i: usize) -> Self {
        Self(1 << i)
    }

    pub fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The relation with the lowest number, as a set.
    pub fn lowest(self) -> Self {
        Self(self.0 & self.0.wrapping_neg())
    }

    /// Numbers of the relations, ascending.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = usize> {
        (0..Self::MAX).filter(move |i| self.0 & (1 << i) != 0)
    }

    /// All relations with numbers up to and including that of `i`.
    pub fn up_to(i: usize) -> Self {
        Self(u64::MAX >> (63 - i.min(63)))
    }

    /// Every non-empty subset, the set itself last.
    pub fn subsets(self) -> impl Iterator<Item = Self> {
        let mut next = Some(self.lowest().0).filter(|s| *s != 0);
        std::iter::from_fn(move || {
            let current = next?;
            let following = current.wrapping_sub(self.0) & self.0;
            next = (following != 0).then_some(following);
            Some(Self(current))
        })
    }
}

/// A join of the original tree.
#[derive(Debug)]
pub(super) struct Operator {
    pub kind: JoinKind,
    pub null_aware: bool,
    /// Relations below each side in the original tree.
    pub left: Relations,
    pub right: Relations,
    pub rules: Vec<(Relations, Relations)>,
}

/// A predicate between relations. Each conjunct of an inner join is one; another join has all its conjuncts in one.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub operator: usize,
    pub left: Relations,
    pub right: Relations,
    pub keys: Vec<JoinKey>,
    pub filter: Vec<Expr>,
    /// Follows from other edges: may be left out.
    pub derived: bool,
}

impl Edge {
    pub fn relations(&self) -> Relations {
        self.left.union(self.right)
    }
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    pub relations: Vec<LogicalPlan>,
    pub operators: Vec<Operator>,
    pub edges: Vec<Edge>,
    /// Which relation a column comes from.
    home: HashMap<ColumnId, usize>,
    /// For columns that inner joins make equal: one of them that stands for all.
    classes: HashMap<ColumnId, ColumnId>,
    /// Classes of which one equality may be missing between some two relations when they are joined: several columns of
    /// one relation belong to it, or conflict rules may forbid derived edges.
    loose: HashSet<ColumnId>,
}

/// A part of the original tree.
struct Part {
    relations: Relations,
    /// Operators in it.
    operators: Vec<usize>,
}

impl Graph {
    /// The graph of the joins at the root of `plan`; `None` when there are too many relations for a set.
    pub fn of(plan: &LogicalPlan) -> Option<Self> {
        let mut graph = Self::default();
        let part = graph.add(plan)?;
        (part.relations.len() > 1).then_some(graph)
    }

    fn add(&mut self, plan: &LogicalPlan) -> Option<Part> {
        match plan {
            LogicalPlan::Join(join) if takes_part(join) => self.add_join(join),
            // A projection that only leaves columns out is made again above the tree.
            LogicalPlan::Project(p)
                if matches!(p.input.as_ref(), LogicalPlan::Join(j) if takes_part(j))
                    && p.expressions
                        .iter()
                        .zip(p.schema.iter())
                        .all(|(e, f)| matches!(e, Expr::Column(c) if c.id == f.id)) =>
            {
                self.add(&p.input)
            }
            other => {
                let i = self.relations.len();
                if i == Relations::MAX {
                    return None;
                }
                self.home.extend(other.schema().ids().map(|id| (id, i)));
                self.relations.push(other.clone());
                Some(Part {
                    relations: Relations::single(i),
                    operators: vec![],
                })
            }
        }
    }

    fn add_join(&mut self, join: &Join) -> Option<Part> {
        // A RIGHT join is a LEFT join seen in the mirror.
        let mirrored = join.kind == JoinKind::Right;
        let (first, second) = match mirrored {
            false => (&join.left, &join.right),
            true => (&join.right, &join.left),
        };
        let (left, right) = (self.add(first)?, self.add(second)?);
        if let JoinKind::LeftMark(mark) = &join.kind {
            let home = right.relations.iter().next()?;
            self.home.insert(mark.id, home);
        }
        let operator = self.operators.len();
        let kind = match mirrored {
            true => JoinKind::Left,
            false => join.kind.clone(),
        };
        let rules = self.rules(&kind, &left, &right);
        let keys = join.on.iter().map(|k| match mirrored {
            false => k.clone(),
            true => JoinKey {
                left: k.right.clone(),
                right: k.left.clone(),
                null_safe: k.null_safe,
            },
        });
        let filter = join.filter.iter().flat_map(|f| f.clone().into_conjuncts());
        if kind == JoinKind::Inner {
            for key in keys {
                self.add_edge(operator, &left, &right, vec![key], vec![]);
            }
            for conjunct in filter {
                self.add_edge(operator, &left, &right, vec![], vec![conjunct]);
            }
        } else {
            let (keys, filter) = (keys.collect(), filter.collect());
            self.add_edge(operator, &left, &right, keys, filter);
        }
        self.operators.push(Operator {
            kind,
            null_aware: join.null_aware,
            left: left.relations,
            right: right.relations,
            rules,
        });
        Some(Part {
            relations: left.relations.union(right.relations),
            operators: left
                .operators
                .into_iter()
                .chain(right.operators)
                .chain([operator])
                .collect(),
        })
    }

    /// A side that the predicate does not mention counts as mentioned in full: then it stays where it is.
    fn add_edge(&mut self, operator: usize, left: &Part, right: &Part, keys: Vec<JoinKey>, filter: Vec<Expr>) {
        let mut mentioned = Relations::default();
        for e in keys.iter().flat_map(|k| [&k.left, &k.right]).chain(&filter) {
            mentioned = mentioned.union(self.relations_of(e));
        }
        let side = |part: &Part| {
            let both = Relations(mentioned.0 & part.relations.0);
            if both.is_empty() { part.relations } else { both }
        };
        self.edges.push(Edge {
            operator,
            left: side(left),
            right: side(right),
            keys,
            filter,
            derived: false,
        });
    }

    /// The conflict rules of an operator over two parts.
    fn rules(&self, kind: &JoinKind, left: &Part, right: &Part) -> Vec<(Relations, Relations)> {
        let mut rules = vec![];
        for &i in &left.operators {
            let below = &self.operators[i];
            if !associative(&below.kind, kind) {
                rules.push((below.right, below.left));
            }
            if !left_asscom(&below.kind, kind) {
                rules.push((below.left, below.right));
            }
        }
        for &i in &right.operators {
            let below = &self.operators[i];
            if !associative(kind, &below.kind) {
                rules.push((below.left, below.right));
            }
            // Right-asscom holds between inner joins only.
            if !(*kind == JoinKind::Inner && below.kind == JoinKind::Inner) {
                rules.push((below.right, below.left));
            }
        }
        rules
    }

    /// The relations whose columns an expression mentions.
    pub fn relations_of(&self, e: &Expr) -> Relations {
        let homes = e.columns().into_iter().filter_map(|id| self.home.get(&id).copied());
        homes.fold(Relations::default(), |all, i| all.union(Relations::single(i)))
    }

    pub fn all(&self) -> Relations {
        match self.relations.len() {
            0 => Relations::default(),
            n => Relations::up_to(n - 1),
        }
    }

    /// Adds the equalities that follow from others (`a = b`, `b = c`, hence `a = c`), so that any two relations of a
    /// class can be joined directly; and makes the graph connected.
    pub fn derive_edges(&mut self) {
        let inner_core = self.inner_core();
        let mut members: Vec<(Expr, ColumnId, usize)> = vec![];
        let mut rules: HashMap<ColumnId, Vec<(Relations, Relations)>> = HashMap::new();
        for edge in &self.edges {
            let operator = &self.operators[edge.operator];
            if operator.kind != JoinKind::Inner || !edge.relations().within(inner_core) {
                continue;
            }
            for key in edge.keys.iter().filter(|k| !k.null_safe) {
                let (Expr::Column(a), Expr::Column(b)) = (&key.left, &key.right) else {
                    continue;
                };
                let (x, y) = (find(&self.classes, a.id), find(&self.classes, b.id));
                let joined = x.min(y);
                for id in [a.id, b.id, x, y] {
                    self.classes.insert(id, joined);
                }
                let moved = rules.remove(&x).into_iter().chain(rules.remove(&y)).flatten();
                let all = moved.chain(operator.rules.iter().copied()).collect();
                rules.insert(joined, all);
                for f in [a, b] {
                    if let Some(&home) = self.home.get(&f.id)
                        && !members.iter().any(|(_, id, _)| *id == f.id)
                    {
                        members.push((Expr::Column(f.clone()), f.id, home));
                    }
                }
            }
        }
        for id in self.classes.keys().copied().collect::<Vec<_>>() {
            let class = find(&self.classes, id);
            self.classes.insert(id, class);
        }
        for (i, (a, a_id, a_home)) in members.iter().enumerate() {
            for (b, b_id, b_home) in &members[i + 1..] {
                let class = find(&self.classes, *a_id);
                if class == find(&self.classes, *b_id)
                    && (a_home == b_home || rules.get(&class).is_some_and(|r| !r.is_empty()))
                {
                    self.loose.insert(class);
                }
                let known = |e: &Edge| {
                    e.keys
                        .iter()
                        .any(|k| (&k.left == a && &k.right == b) || (&k.left == b && &k.right == a))
                };
                if a_home == b_home || class != find(&self.classes, *b_id) || self.edges.iter().any(known) {
                    continue;
                }
                self.operators.push(Operator {
                    kind: JoinKind::Inner,
                    null_aware: false,
                    left: Relations::single(*a_home),
                    right: Relations::single(*b_home),
                    rules: rules.get(&class).cloned().unwrap_or_default(),
                });
                self.edges.push(Edge {
                    operator: self.operators.len() - 1,
                    left: Relations::single(*a_home),
                    right: Relations::single(*b_home),
                    keys: vec![JoinKey {
                        left: a.clone(),
                        right: b.clone(),
                        null_safe: false,
                    }],
                    filter: vec![],
                    derived: true,
                });
            }
        }
        self.connect();
    }

    /// Relations that are on no optional or testing side of another join: equalities between them hold for all rows.
    fn inner_core(&self) -> Relations {
        let mut core = self.all();
        for o in &self.operators {
            match o.kind {
                JoinKind::Inner => {}
                JoinKind::Full | JoinKind::Right => core = core.minus(o.left.union(o.right)),
                _ => core = core.minus(o.right),
            }
        }
        core
    }

    /// Parts that no predicate connects are joined as wholes, by cross products.
    fn connect(&mut self) {
        let mut parts: Vec<Relations> = (0..self.relations.len()).map(Relations::single).collect();
        for edge in &self.edges {
            let (touched, mut rest): (Vec<Relations>, Vec<Relations>) =
                parts.into_iter().partition(|p| p.meets(edge.relations()));
            rest.push(touched.into_iter().fold(Relations::default(), Relations::union));
            parts = rest;
        }
        for (i, &left) in parts.iter().enumerate() {
            for &right in &parts[i + 1..] {
                self.operators.push(Operator {
                    kind: JoinKind::Inner,
                    null_aware: false,
                    left,
                    right,
                    rules: vec![],
                });
                self.edges.push(Edge {
                    operator: self.operators.len() - 1,
                    left,
                    right,
                    keys: vec![],
                    filter: vec![],
                    derived: true,
                });
            }
        }
    }

    /// The representative of the columns that a key makes equal, when it is such a key.
    pub fn class_of(&self, key: &JoinKey) -> Option<ColumnId> {
        match (&key.left, &key.right) {
            (Expr::Column(a), Expr::Column(_)) if !key.null_safe => self.classes.get(&a.id).copied(),
            _ => None,
        }
    }

    /// Whether any two relations with columns of the class have made them equal as soon as they are joined.
    pub fn is_tight(&self, class: ColumnId) -> bool {
        !self.loose.contains(&class)
    }

    /// The class of a column, when it is in one.
    pub fn class_of_column(&self, id: ColumnId) -> Option<ColumnId> {
        self.classes.get(&id).copied()
    }

    /// Predicates that become decidable when `l` and `r` are joined.
    pub fn due(&self, l: Relations, r: Relations) -> impl Iterator<Item = &Edge> {
        let both = l.union(r);
        self.edges.iter().filter(move |e| {
            let mentioned = e.relations();
            mentioned.within(both) && !mentioned.within(l) && !mentioned.within(r) && self.may_apply(e, both)
        })
    }

    /// A derived edge that its rules forbid is left out; others are judged by [`Graph::join_of`].
    fn may_apply(&self, e: &Edge, both: Relations) -> bool {
        !e.derived || self.allowed(&self.operators[e.operator], both)
    }

    pub fn allowed(&self, o: &Operator, both: Relations) -> bool {
        o.rules.iter().all(|(a, b)| !a.meets(both) || b.within(both))
    }
}

fn find(classes: &HashMap<ColumnId, ColumnId>, id: ColumnId) -> ColumnId {
    let mut current = id;
    while let Some(&next) = classes.get(&current) {
        if next == current {
            break;
        }
        current = next;
    }
    current
}

/// Joins that a user placed by hint, and lateral ones, stay as they are.
fn takes_part(join: &Join) -> bool {
    join.hint.is_none() && join.dependent.is_empty()
}

/// `(e1 a e2) b e3 = e1 a (e2 b e3)`.
fn associative(a: &JoinKind, b: &JoinKind) -> bool {
    *a == JoinKind::Inner && !matches!(b, JoinKind::Full | JoinKind::Right)
}

/// `(e1 a e2) b e3 = (e1 b e3) a e2`.
fn left_asscom(a: &JoinKind, b: &JoinKind) -> bool {
    let keeps = |k: &JoinKind| !matches!(k, JoinKind::Full | JoinKind::Right);
    keeps(a) && keeps(b)
}
