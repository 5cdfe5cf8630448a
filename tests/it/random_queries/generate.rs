//! Random query trees.

use super::reference::*;
use fastrand::Rng;

/// Makes one query.
pub struct Generator<'a> {
    random: Rng,
    tables: &'a [Table],
    aliases: usize,
    /// Whether everything joins, and by ranges.
    by_ranges: bool,
}

/// What an expression may refer to: names and types, in the order of the row.
type Scope = Vec<(String, Type)>;

impl<'a> Generator<'a> {
    pub fn new(seed: u64, tables: &'a [Table]) -> Self {
        Self {
            random: Rng::with_seed(seed),
            tables,
            aliases: 0,
            by_ranges: false,
        }
    }

    /// One whose queries join by ranges.
    pub fn by_ranges(seed: u64, tables: &'a [Table]) -> Self {
        Self {
            by_ranges: true,
            ..Self::new(seed, tables)
        }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.u32(..n) == 0
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.usize(..from.len())]
    }

    pub fn query(&mut self) -> Query {
        self.query_at(2).0
    }

    /// A query and the types of its columns; `depth` is how far it may nest.
    fn query_at(&mut self, depth: usize) -> (Query, Vec<Type>) {
        let (first, types) = self.select(depth, None);
        let other = self.one_in(4).then(|| {
            let operation = self.choose(&["UNION ALL", "UNION", "INTERSECT", "EXCEPT"]);
            (operation, self.select(depth.saturating_sub(1), Some(&types)).0)
        });
        let mut order = vec![];
        let mut limit = None;
        if self.one_in(2) {
            order = (0..types.len())
                .map(|i| (i, self.random.bool(), self.one_in(3)))
                .collect();
            self.random.shuffle(&mut order);
            if self.one_in(2) {
                let offset = if self.one_in(3) { self.random.usize(..5) } else { 0 };
                limit = Some((offset, self.random.usize(..20)));
            }
        }
        (
            Query {
                first,
                other,
                order,
                limit,
            },
            types,
        )
    }

    /// A SELECT whose columns have the types `wanted`, if given.
    fn select(&mut self, depth: usize, wanted: Option<&[Type]>) -> (Select, Vec<Type>) {
        let (from, scope) = self.relation(depth);
        let filter = self.one_in(2).then(|| self.condition(&scope, 2, depth > 0));
        let types: Vec<Type> = match wanted {
            Some(types) => types.to_vec(),
            None => (0..self.random.usize(1..4))
                .map(|_| self.choose(&[Type::Int, Type::Text, Type::Double]))
                .collect(),
        };
        let mut select = Select {
            distinct: self.one_in(5),
            from,
            filter,
            groups: None,
            having: None,
            outputs: vec![],
        };
        if self.one_in(3) {
            let mut keys = vec![];
            for &t in &types {
                // The first columns are keys, until the first aggregate.
                if keys.len() == select.outputs.len() && self.random.bool() {
                    let key = self.key(&scope, t);
                    select.outputs.push(Output::Plain(Box::new(key.clone())));
                    keys.push(key);
                } else {
                    let aggregate = self.aggregate(&scope, t);
                    select.outputs.push(Output::Aggregate(Box::new(aggregate)));
                }
            }
            if self.one_in(4) {
                select.having = Some((self.aggregate(&scope, Type::Int), self.random.i64(-2..6)));
            }
            let has_aggregate = keys.len() < types.len() || select.having.is_some();
            // Without keys and without an aggregate nothing would say that rows are grouped.
            select.groups = (has_aggregate || !keys.is_empty()).then_some(keys);
        } else {
            for &t in &types {
                let output = self.expression(&scope, t, 2, depth > 0);
                select.outputs.push(Output::Plain(Box::new(output)));
            }
        }
        (select, types)
    }

    fn relation(&mut self, depth: usize) -> (Relation, Scope) {
        let (mut relation, mut scope) = self.primary(depth);
        let joins = if self.by_ranges {
            [1, 1, 1, 1, 2]
        } else {
            [0, 0, 1, 1, 2]
        };
        for _ in 0..self.choose(&joins) {
            let (right, right_scope) = self.primary(depth);
            let kind = self.choose(&[
                Join::Inner,
                Join::Inner,
                Join::Left,
                Join::Right,
                Join::Full,
                Join::Cross,
            ]);
            let left_scope = scope.clone();
            scope.extend(right_scope.clone());
            let condition = (kind != Join::Cross).then(|| self.join_condition(&left_scope, &right_scope, &scope, kind));
            relation = Relation::Join(Box::new(relation), Box::new(right), kind, condition);
        }
        (relation, scope)
    }

    fn primary(&mut self, depth: usize) -> (Relation, Scope) {
        let alias = self.alias();
        if depth > 0 && self.one_in(4) {
            let (query, types) = self.query_at(depth - 1);
            let scope = types
                .iter()
                .enumerate()
                .map(|(i, t)| (format!("{alias}.c{i}"), *t))
                .collect();
            return (Relation::Derived(Box::new(query), alias), scope);
        }
        let table = self.table();
        let scope = table_scope(&alias);
        (Relation::Table(table, alias), scope)
    }

    /// Mostly one of the tables with rows.
    fn table(&mut self) -> usize {
        if self.one_in(12) {
            self.tables.len() - 1
        } else {
            self.random.usize(..self.tables.len() - 1)
        }
    }

    /// Equal columns, perhaps and something else, or ranges.
    fn join_condition(&mut self, left: &Scope, right: &Scope, both: &Scope, kind: Join) -> Expr {
        let t = self.choose(&[Type::Int, Type::Int, Type::Text]);
        let range = match self.by_ranges || self.one_in(3) {
            true => self.range_condition(left, right),
            false => None,
        };
        let equal = self.column_of(left, 0, t).zip(self.column_of(right, left.len(), t));
        let Some((a, b)) = equal else {
            return range.unwrap_or_else(|| self.condition(both, 1, false));
        };
        let op = if self.one_in(8) { "IS NOT DISTINCT FROM" } else { "=" };
        let equal = Expr::Compare(op, Box::new(a), Box::new(b));
        match (range, self.random.u8(..6)) {
            (Some(range), 0..3) => range,
            (Some(range), _) => Expr::And(Box::new(equal), Box::new(range)),
            (None, 0) => Expr::And(Box::new(equal), Box::new(self.condition(both, 1, false))),
            (None, 1) if kind != Join::Full => self.condition(both, 1, false),
            _ => equal,
        }
    }

    /// One or two comparisons of a side's column with the other's, such as `l.x >= r.y AND l.x < r.z + 3`.
    fn range_condition(&mut self, left: &Scope, right: &Scope) -> Option<Expr> {
        let t = self.choose(&[Type::Int, Type::Int, Type::Double, Type::Text]);
        let a = self.column_of(left, 0, t)?;
        let mut compare = |op: &'static str| {
            let mut b = self.column_of(right, left.len(), t)?;
            if t == Type::Int && self.one_in(3) {
                b = Expr::Arithmetic('+', Box::new(b), Box::new(self.literal(Type::Int)));
            }
            let (a, b) = (Box::new(a.clone()), Box::new(b));
            Some(match self.one_in(4) {
                true => Expr::Compare(op, b, a),
                false => Expr::Compare(op, a, b),
            })
        };
        let first = compare(if t == Type::Text { "<" } else { ">=" })?;
        let second = compare("<=")?;
        Some(match self.random.bool() {
            true => Expr::And(Box::new(first), Box::new(second)),
            false => first,
        })
    }

    /// A column of one side of a join whose columns begin at `from`.
    fn column_of(&mut self, scope: &Scope, from: usize, t: Type) -> Option<Expr> {
        match self.column(scope, t)? {
            Expr::Column(i, name) => Some(Expr::Column(from + i, name)),
            _ => None,
        }
    }

    fn column(&mut self, scope: &Scope, t: Type) -> Option<Expr> {
        let fitting: Vec<usize> = (0..scope.len()).filter(|&i| scope[i].1 == t).collect();
        (!fitting.is_empty()).then(|| {
            let i = self.choose(&fitting);
            Expr::Column(i, scope[i].0.clone())
        })
    }

    /// What rows are grouped by: a column or something made of one, never a constant.
    fn key(&mut self, scope: &Scope, t: Type) -> Expr {
        let Some(column) = self.column(scope, t) else {
            let any = self.choose(&(0..scope.len()).collect::<Vec<_>>());
            let null = Expr::IsNull(Box::new(Expr::Column(any, scope[any].0.clone())), false);
            let (a, b) = (self.literal(t), self.literal(t));
            return Expr::Case(Box::new(null), Box::new(a), Box::new(b));
        };
        if t == Type::Int && self.one_in(4) {
            return Expr::Arithmetic('+', Box::new(column), Box::new(self.literal(Type::Int)));
        }
        column
    }

    fn aggregate(&mut self, scope: &Scope, t: Type) -> Aggregate {
        let filter = self.one_in(6).then(|| self.condition(scope, 1, false));
        let function = match t {
            Type::Int => self.choose(&["count(*)", "count", "sum", "min", "max"]),
            Type::Double => self.choose(&["avg", "min", "max", "sum"]),
            _ => self.choose(&["min", "max"]),
        };
        if function == "count(*)" {
            return Aggregate {
                function: "count",
                distinct: false,
                argument: None,
                filter,
            };
        }
        let argument = match function {
            "count" => self.choose(&[Type::Int, Type::Text, Type::Double]),
            "avg" => Type::Int,
            _ => t,
        };
        let argument = Some(self.expression(scope, argument, 1, false));
        Aggregate {
            function,
            distinct: self.one_in(4),
            argument,
            filter,
        }
    }

    fn literal(&mut self, t: Type) -> Expr {
        let value = match t {
            _ if self.one_in(10) => Value::Null,
            Type::Bool => Value::Bool(self.random.bool()),
            Type::Int => Value::Int(self.random.i64(-3..9)),
            Type::Double => Value::Double(self.random.i64(-8..8) as f64 / 2.0),
            Type::Text => Value::Text(self.choose(&["", "a", "b", "ab", "c"]).into()),
        };
        Expr::Literal(value, t)
    }

    fn expression(&mut self, scope: &Scope, t: Type, depth: usize, subqueries: bool) -> Expr {
        if t == Type::Bool {
            return self.condition(scope, depth, subqueries);
        }
        let simple = |g: &mut Self| {
            let column = if g.one_in(5) { None } else { g.column(scope, t) };
            column.unwrap_or_else(|| g.literal(t))
        };
        if depth == 0 {
            return simple(self);
        }
        let below = |g: &mut Self| Box::new(g.expression(scope, t, depth - 1, false));
        match self.random.u8(..10) {
            0 | 1 if t != Type::Text => {
                let op = self.choose(&['+', '-', '*']);
                let (a, b) = (below(self), below(self));
                Expr::Arithmetic(op, a, b)
            }
            2 => {
                let (a, b) = (below(self), below(self));
                Expr::Case(Box::new(self.condition(scope, 1, false)), a, b)
            }
            3 => {
                let (a, b) = (below(self), below(self));
                Expr::Coalesce(a, b)
            }
            4 if subqueries => {
                let aggregate = |g: &mut Self, inside: &Scope| Output::Aggregate(Box::new(g.aggregate(inside, t)));
                Expr::Scalar(self.subquery(scope, aggregate))
            }
            _ => simple(self),
        }
    }

    fn condition(&mut self, scope: &Scope, depth: usize, subqueries: bool) -> Expr {
        if depth > 0 {
            let below = |g: &mut Self| Box::new(g.condition(scope, depth - 1, subqueries));
            match self.random.u8(..10) {
                0 | 1 => {
                    let (a, b) = (below(self), below(self));
                    return Expr::And(a, b);
                }
                2 => {
                    let (a, b) = (below(self), below(self));
                    return Expr::Or(a, b);
                }
                3 => return Expr::Not(below(self)),
                _ => {}
            }
        }
        let t = self.choose(&[Type::Int, Type::Int, Type::Text, Type::Double]);
        match self.random.u8(..10) {
            0 => Expr::IsNull(Box::new(self.expression(scope, t, 0, false)), self.random.bool()),
            1 => {
                let values = (0..self.random.usize(1..5)).map(|_| match self.literal(t) {
                    Expr::Literal(value, _) => value,
                    _ => Value::Null,
                });
                let values = values.collect();
                Expr::InList(Box::new(self.expression(scope, t, 0, false)), values, self.one_in(3))
            }
            2 if subqueries => {
                let value = |_: &mut Self, _: &Scope| Output::Plain(Box::new(Expr::Literal(Value::Int(1), Type::Int)));
                Expr::Exists(self.subquery(scope, value), self.random.bool())
            }
            3 if subqueries => {
                let value = |g: &mut Self, inside: &Scope| Output::Plain(Box::new(g.expression(inside, t, 0, false)));
                let subquery = self.subquery(scope, value);
                Expr::InSubquery(
                    Box::new(self.expression(scope, t, 0, false)),
                    subquery,
                    self.random.bool(),
                )
            }
            _ => {
                let ops = [
                    "=",
                    "=",
                    "<>",
                    "<",
                    "<=",
                    ">",
                    ">=",
                    "IS DISTINCT FROM",
                    "IS NOT DISTINCT FROM",
                ];
                let op = self.choose(&ops);
                let (a, b) = (
                    self.expression(scope, t, depth.min(1), false),
                    self.expression(scope, t, 0, false),
                );
                Expr::Compare(op, Box::new(a), Box::new(b))
            }
        }
    }

    /// Over one table, mostly tied to the row outside by an equality. What it gives looks at its own columns only.
    fn subquery(&mut self, outside: &Scope, value: impl Fn(&mut Self, &Scope) -> Output) -> Subquery {
        let (table, alias) = (self.table(), self.alias());
        let own = table_scope(&alias);
        let mut scope = own.clone();
        scope.extend(outside.iter().cloned());
        let mut condition = self.condition(&own, 1, false);
        let tied: Vec<usize> = (0..outside.len()).filter(|&i| outside[i].1 == Type::Int).collect();
        if !tied.is_empty() && !self.one_in(4) {
            let i = own.len() + self.choose(&tied);
            let outer = Expr::Column(i, scope[i].0.clone());
            let inner = self.choose(&[0, 1]);
            let op = if self.one_in(6) { "<" } else { "=" };
            let tie = Expr::Compare(op, Box::new(Expr::Column(inner, own[inner].0.clone())), Box::new(outer));
            condition = Expr::And(Box::new(tie), Box::new(condition));
        }
        let value = value(self, &own);
        Subquery {
            table,
            alias,
            condition: Box::new(condition),
            value,
        }
    }
}

fn table_scope(alias: &str) -> Scope {
    COLUMNS
        .iter()
        .map(|(name, t)| (format!("{alias}.{name}"), *t))
        .collect()
}
