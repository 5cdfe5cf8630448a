//! Expressions compiled for many batches: a graph in which equal sub-expressions are one node.
//!
//! Evaluation happens in a [`Frame`]: some rows, and the results of shared nodes on those rows. `CASE`, `AND` and `OR`
//! evaluate parts for fewer rows in a narrower frame, which looks up results of the wider frame but never gives
//! its own back, so that a value computed for some rows is not taken for a value of all rows.

use super::{BinaryOp, PhysicalExpr};
use crate::error::{Error, ErrorKind, Result};
use crate::functions::scalar::lambda::LambdaFunction;
use crate::functions::scalar::{Properties, ScalarFunction};
use crate::types::{DataType, DecimalType, ScalarValue, is_decimal, is_integer};
use crate::vector::arithmetic::Arithmetic;
use crate::vector::compare::Comparison;
use crate::vector::dictionary::DictionaryCache;
use crate::vector::in_set::InSet;
use crate::vector::like::LikeMatcher;
use crate::vector::{Batch, Column};
use arrow::array::{ArrayRef, new_empty_array};
use std::cell::RefCell;
use std::collections::HashMap;

pub(super) type NodeId = usize;

/// A graph of nodes; children come before their parents.
#[derive(Debug)]
pub(super) struct Program {
    pub nodes: Vec<Node>,
    pub roots: Vec<NodeId>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub kind: Kind,
    pub data_type: DataType,
    /// Used by more than one parent or root.
    pub shared: bool,
    /// Some value may raise an error, so rows that do not need it must not see it.
    pub can_fail: bool,
    /// Rough nanoseconds per row.
    pub cost: u32,
}

#[derive(Debug)]
pub(super) enum Kind {
    Column(usize),
    /// An array of one element.
    Literal(ArrayRef),
    Arithmetic(Arithmetic, NodeId, NodeId),
    Compare(Comparison, NodeId, NodeId, DictionaryCache),
    Concat(NodeId, NodeId),
    And(Vec<NodeId>),
    Or(Vec<NodeId>),
    Not(NodeId),
    Negate(NodeId),
    IsNull {
        child: NodeId,
        negated: bool,
    },
    Cast {
        child: NodeId,
        safe: bool,
        cache: DictionaryCache,
    },
    Case {
        branches: Vec<(NodeId, NodeId)>,
        otherwise: NodeId,
    },
    /// `LIKE` with a constant pattern.
    Like {
        child: NodeId,
        matcher: LikeMatcher,
        negated: bool,
        cache: DictionaryCache,
    },
    LikeRows {
        child: NodeId,
        pattern: NodeId,
        escape: Option<char>,
        case_insensitive: bool,
        negated: bool,
    },
    /// `IN` with a constant list.
    InSet {
        child: NodeId,
        set: InSet,
        negated: bool,
        cache: DictionaryCache,
    },
    InList {
        child: NodeId,
        list: Vec<NodeId>,
        negated: bool,
    },
    Function {
        function: &'static ScalarFunction,
        arguments: Vec<NodeId>,
        cache: DictionaryCache,
    },
    LambdaCall {
        function: &'static LambdaFunction,
        arguments: Vec<NodeId>,
        captured: Vec<NodeId>,
        lambdas: Vec<Program>,
    },
    FieldAccess(NodeId, usize),
    Try(NodeId),
}

/// What makes two nodes the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    shape: Shape,
    children: Vec<NodeId>,
    data_type: DataType,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Shape {
    Column(usize),
    Literal(ScalarValue),
    Binary(BinaryOp),
    And,
    Or,
    Not,
    Negate,
    IsNull(bool),
    Cast(bool),
    Case,
    Like(ScalarValue, Option<char>, bool, bool),
    LikeRows(Option<char>, bool, bool),
    InSet(Vec<ScalarValue>, bool),
    InList(bool),
    Function(&'static str),
    /// Never equal to another: the number of nodes made so far. Also of calls with lambdas, which are not compared.
    Volatile(usize),
    FieldAccess(usize),
    Try,
}

impl Program {
    /// # Errors
    /// A constant that cannot be represented in its type, or a malformed constant `LIKE` pattern.
    pub fn compile<'a>(expressions: impl IntoIterator<Item = &'a PhysicalExpr>) -> Result<Self> {
        let mut compiler = Compiler::default();
        let mut roots = vec![];
        for expression in expressions {
            let root = compiler.add(expression)?;
            compiler.used(root);
            roots.push(root);
        }
        Ok(Self {
            nodes: compiler.nodes,
            roots,
        })
    }

    /// Whether a volatile function is called.
    pub fn is_volatile(&self) -> bool {
        self.nodes.iter().any(|node| match &node.kind {
            Kind::Function { function, .. } => function.properties == Properties::Volatile,
            Kind::LambdaCall { lambdas, .. } => lambdas.iter().any(Self::is_volatile),
            _ => false,
        })
    }

    /// One column per root.
    pub fn evaluate(&self, batch: &Batch) -> Result<Vec<Column>> {
        let frame = Frame::new(self, batch.clone());
        self.roots.iter().map(|&root| frame.value(root)).collect()
    }
}

#[derive(Default)]
struct Compiler {
    nodes: Vec<Node>,
    uses: Vec<usize>,
    known: HashMap<Key, NodeId>,
}

impl Compiler {
    fn used(&mut self, id: NodeId) {
        if let (Some(uses), Some(node)) = (self.uses.get_mut(id), self.nodes.get_mut(id)) {
            *uses += 1;
            node.shared = *uses > 1;
        }
    }

    fn all<'a>(&mut self, list: impl IntoIterator<Item = &'a PhysicalExpr>) -> Result<Vec<NodeId>> {
        list.into_iter().map(|e| self.add(e)).collect()
    }

    /// The node of an expression, made when there is none yet.
    fn add(&mut self, expr: &PhysicalExpr) -> Result<NodeId> {
        let data_type = expr.data_type();
        let (shape, children) = self.shape(expr)?;
        let key = Key {
            shape,
            children,
            data_type,
        };
        if let Some(&id) = self.known.get(&key) {
            return Ok(id);
        }
        let kind = self.kind(expr, &key)?;
        let id = self.nodes.len();
        key.children.iter().for_each(|&child| self.used(child));
        let node = self.node(kind, &key);
        self.nodes.push(node);
        self.uses.push(0);
        self.known.insert(key, id);
        Ok(id)
    }

    fn shape(&mut self, expr: &PhysicalExpr) -> Result<(Shape, Vec<NodeId>)> {
        Ok(match expr {
            PhysicalExpr::Column { index, .. } => (Shape::Column(*index), vec![]),
            PhysicalExpr::Literal(value, _) => (Shape::Literal(value.clone()), vec![]),
            PhysicalExpr::Binary { op, left, right, .. } => {
                (Shape::Binary(*op), vec![self.add(left)?, self.add(right)?])
            }
            PhysicalExpr::And(parts) => (Shape::And, self.parts(parts)?),
            PhysicalExpr::Or(parts) => (Shape::Or, self.parts(parts)?),
            PhysicalExpr::Not(e) => (Shape::Not, vec![self.add(e)?]),
            PhysicalExpr::Negate(e) => (Shape::Negate, vec![self.add(e)?]),
            PhysicalExpr::IsNull { expr, negated } => (Shape::IsNull(*negated), vec![self.add(expr)?]),
            PhysicalExpr::Cast { expr, safe, .. } => (Shape::Cast(*safe), vec![self.add(expr)?]),
            PhysicalExpr::Case {
                branches,
                otherwise,
                data_type,
            } => {
                let mut children = self.all(branches.iter().flat_map(|(c, v)| [c, v]))?;
                children.push(match otherwise {
                    Some(otherwise) => self.add(otherwise)?,
                    None => self.add(&PhysicalExpr::Literal(ScalarValue::Null, data_type.clone()))?,
                });
                (Shape::Case, children)
            }
            PhysicalExpr::Like {
                expr,
                pattern,
                escape,
                negated,
                case_insensitive,
            } => match pattern.fold() {
                Some(pattern) => (
                    Shape::Like(pattern, *escape, *negated, *case_insensitive),
                    vec![self.add(expr)?],
                ),
                None => (
                    Shape::LikeRows(*escape, *negated, *case_insensitive),
                    vec![self.add(expr)?, self.add(pattern)?],
                ),
            },
            PhysicalExpr::InList { expr, list, negated } => {
                let constants: Option<Vec<ScalarValue>> = list.iter().map(PhysicalExpr::fold).collect();
                let constants = constants.filter(|list| InSet::new(list, &expr.data_type()).is_some());
                match constants {
                    Some(list) => (Shape::InSet(list, *negated), vec![self.add(expr)?]),
                    None => (
                        Shape::InList(*negated),
                        self.all([expr.as_ref()].into_iter().chain(list))?,
                    ),
                }
            }
            PhysicalExpr::Function {
                function, arguments, ..
            } => {
                let shape = match function.properties {
                    Properties::Volatile => Shape::Volatile(self.nodes.len()),
                    _ => Shape::Function(function.name),
                };
                (shape, self.all(arguments)?)
            }
            PhysicalExpr::LambdaCall {
                arguments, captured, ..
            } => (
                Shape::Volatile(self.nodes.len()),
                self.all(arguments.iter().chain(captured))?,
            ),
            PhysicalExpr::FieldAccess { expr, index, .. } => (Shape::FieldAccess(*index), vec![self.add(expr)?]),
            PhysicalExpr::Try(e) => (Shape::Try, vec![self.add(e)?]),
        })
    }

    /// Operands of `AND` and `OR`: those that cannot fail first, the cheap ones of them before the dear ones. The others
    /// keep their order, so that one may guard the next.
    fn parts(&mut self, parts: &[PhysicalExpr]) -> Result<Vec<NodeId>> {
        let mut ids = self.all(parts)?;
        ids.sort_by_key(|&id| self.nodes.get(id).map_or((false, 0), Node::rank));
        Ok(ids)
    }

    fn kind(&self, expr: &PhysicalExpr, key: &Key) -> Result<Kind> {
        let child = |i: usize| -> Result<NodeId> {
            let child = key.children.get(i).copied();
            child.ok_or_else(|| Error::internal("an expression lacks an operand"))
        };
        let cache = DictionaryCache::default;
        Ok(match (expr, &key.shape) {
            (PhysicalExpr::Column { index, .. }, _) => Kind::Column(*index),
            (PhysicalExpr::Literal(value, t), _) => Kind::Literal(value.to_array(t, 1)?),
            (PhysicalExpr::Binary { op, .. }, _) => match (arithmetic_of(*op), comparison_of(*op)) {
                (Some(op), _) => Kind::Arithmetic(op, child(0)?, child(1)?),
                (_, Some(op)) => Kind::Compare(op, child(0)?, child(1)?, cache()),
                _ => Kind::Concat(child(0)?, child(1)?),
            },
            (PhysicalExpr::And(_), _) => Kind::And(key.children.clone()),
            (PhysicalExpr::Or(_), _) => Kind::Or(key.children.clone()),
            (PhysicalExpr::Not(_), _) => Kind::Not(child(0)?),
            (PhysicalExpr::Negate(_), _) => Kind::Negate(child(0)?),
            (PhysicalExpr::IsNull { negated, .. }, _) => Kind::IsNull {
                child: child(0)?,
                negated: *negated,
            },
            (PhysicalExpr::Cast { safe, .. }, _) => Kind::Cast {
                child: child(0)?,
                safe: *safe,
                cache: cache(),
            },
            (PhysicalExpr::Case { .. }, _) => {
                let pairs = key
                    .children
                    .chunks_exact(2)
                    .filter_map(|p| Some((*p.first()?, *p.get(1)?)));
                Kind::Case {
                    branches: pairs.collect(),
                    otherwise: child(key.children.len() - 1)?,
                }
            }
            (PhysicalExpr::Like { .. }, Shape::Like(pattern, escape, negated, case_insensitive)) => {
                match pattern.as_str() {
                    Some(pattern) => Kind::Like {
                        child: child(0)?,
                        matcher: LikeMatcher::new(pattern, *escape, *case_insensitive)?,
                        negated: *negated,
                        cache: cache(),
                    },
                    None => Kind::Literal(ScalarValue::Null.to_array(&DataType::Boolean, 1)?),
                }
            }
            (
                PhysicalExpr::Like {
                    escape,
                    negated,
                    case_insensitive,
                    ..
                },
                _,
            ) => Kind::LikeRows {
                child: child(0)?,
                pattern: child(1)?,
                escape: *escape,
                case_insensitive: *case_insensitive,
                negated: *negated,
            },
            (PhysicalExpr::InList { expr, .. }, Shape::InSet(list, negated)) => Kind::InSet {
                child: child(0)?,
                set: InSet::new(list, &expr.data_type()).ok_or_else(|| Error::internal("an IN list without a set"))?,
                negated: *negated,
                cache: cache(),
            },
            (PhysicalExpr::InList { negated, .. }, _) => Kind::InList {
                child: child(0)?,
                list: key.children.get(1..).unwrap_or_default().to_vec(),
                negated: *negated,
            },
            (PhysicalExpr::Function { function, .. }, _) => Kind::Function {
                function,
                arguments: key.children.clone(),
                cache: cache(),
            },
            (
                PhysicalExpr::LambdaCall {
                    function,
                    arguments,
                    lambdas,
                    ..
                },
                _,
            ) => {
                let (arguments, captured) = key.children.split_at(arguments.len().min(key.children.len()));
                Kind::LambdaCall {
                    function,
                    arguments: arguments.to_vec(),
                    captured: captured.to_vec(),
                    lambdas: lambdas.iter().map(|l| Program::compile([l])).collect::<Result<_>>()?,
                }
            }
            (PhysicalExpr::FieldAccess { index, .. }, _) => Kind::FieldAccess(child(0)?, *index),
            (PhysicalExpr::Try(_), _) => Kind::Try(child(0)?),
        })
    }

    fn node(&self, kind: Kind, key: &Key) -> Node {
        let children = || key.children.iter().filter_map(|&id| self.nodes.get(id));
        let own = self.own_cost(&kind, key);
        let fails = self.fails_itself(&kind, key) || children().any(|c| c.can_fail);
        Node {
            can_fail: fails && !matches!(kind, Kind::Try(_)),
            cost: children().fold(own, |sum, c| sum.saturating_add(c.cost)),
            kind,
            data_type: key.data_type.clone(),
            shared: false,
        }
    }

    fn child_type(&self, key: &Key, i: usize) -> &DataType {
        let child = key.children.get(i).and_then(|&id| self.nodes.get(id));
        child.map_or(&DataType::Null, |c| &c.data_type)
    }

    fn own_cost(&self, kind: &Kind, key: &Key) -> u32 {
        let operand = self.child_type(key, 0);
        let text = matches!(operand, DataType::Utf8View | DataType::BinaryView);
        match kind {
            Kind::Column(_) | Kind::Literal(_) => 0,
            Kind::Arithmetic(Arithmetic::Divide | Arithmetic::Modulo, ..) => 8,
            Kind::Arithmetic(..) => 2,
            Kind::Compare(..) if operand.is_nested() => 100,
            Kind::Compare(..) if text => 5,
            Kind::Like { .. } => 15,
            Kind::LikeRows { .. } => 200,
            Kind::InSet { .. } => {
                if text {
                    15
                } else {
                    4
                }
            }
            Kind::Concat(..) => 30,
            Kind::Function { .. } => 30,
            Kind::LambdaCall { .. } => 200,
            Kind::Cast { .. } if text || key.data_type == DataType::Utf8View => 30,
            Kind::Case { .. } => 5,
            _ => 1,
        }
    }

    fn fails_itself(&self, kind: &Kind, key: &Key) -> bool {
        match kind {
            Kind::Arithmetic(op, ..) => {
                arithmetic_fails(*op, self.child_type(key, 0), self.child_type(key, 1), &key.data_type)
            }
            Kind::Cast { safe: false, .. } => !is_widening(self.child_type(key, 0), &key.data_type),
            Kind::Negate(_) => !key.data_type.is_floating() && !is_decimal(&key.data_type),
            Kind::Function { .. } | Kind::LambdaCall { .. } | Kind::LikeRows { .. } => true,
            _ => false,
        }
    }
}

impl Node {
    /// The order in which conditions are tried: (can fail, cost), without a cost for those that can fail.
    pub fn rank(&self) -> (bool, u32) {
        (self.can_fail, if self.can_fail { 0 } else { self.cost })
    }

    /// Whether the same arguments may give another value the next time.
    pub fn is_volatile(&self) -> bool {
        matches!(&self.kind, Kind::Function { function, .. } if function.properties == Properties::Volatile)
    }
}

fn arithmetic_fails(op: Arithmetic, left: &DataType, right: &DataType, result: &DataType) -> bool {
    if result.is_floating() {
        return false;
    }
    let (Some(a), Some(b), true) = (DecimalType::of(left), DecimalType::of(right), is_decimal(result)) else {
        return true;
    };
    let Some(r) = DecimalType::of(result) else {
        return true;
    };
    let whole = |d: DecimalType| i32::from(d.precision) - i32::from(d.scale);
    match op {
        Arithmetic::Add | Arithmetic::Subtract => whole(r) <= whole(a).max(whole(b)),
        Arithmetic::Multiply => i32::from(r.precision) < i32::from(a.precision) + i32::from(b.precision),
        Arithmetic::Divide | Arithmetic::Modulo => true,
    }
}

/// Casts that succeed for every value.
fn is_widening(from: &DataType, to: &DataType) -> bool {
    if let (Some(a), Some(b)) = (DecimalType::of(from), DecimalType::of(to)) {
        return if is_integer(to) {
            is_integer(from) && from.primitive_width() <= to.primitive_width()
        } else {
            b.scale >= a.scale
                && i32::from(b.precision) - i32::from(b.scale) >= i32::from(a.precision) - i32::from(a.scale)
        };
    }
    match (from, to) {
        (DataType::Null, _) => true,
        (a, b) if a == b => true,
        (DataType::BinaryView, DataType::Utf8View) => false,
        (_, DataType::Utf8View) => true,
        (a, b) if b.is_floating() => a.is_numeric(),
        (DataType::Boolean, b) => b.is_numeric(),
        _ => false,
    }
}

fn arithmetic_of(op: BinaryOp) -> Option<Arithmetic> {
    Some(match op {
        BinaryOp::Add => Arithmetic::Add,
        BinaryOp::Subtract => Arithmetic::Subtract,
        BinaryOp::Multiply => Arithmetic::Multiply,
        BinaryOp::Divide => Arithmetic::Divide,
        BinaryOp::Modulo => Arithmetic::Modulo,
        _ => return None,
    })
}

fn comparison_of(op: BinaryOp) -> Option<Comparison> {
    Some(match op {
        BinaryOp::Equal => Comparison::Equal,
        BinaryOp::NotEqual => Comparison::NotEqual,
        BinaryOp::Less => Comparison::Less,
        BinaryOp::LessOrEqual => Comparison::LessOrEqual,
        BinaryOp::Greater => Comparison::Greater,
        BinaryOp::GreaterOrEqual => Comparison::GreaterOrEqual,
        BinaryOp::IsDistinctFrom => Comparison::Distinct,
        BinaryOp::IsNotDistinctFrom => Comparison::NotDistinct,
        _ => return None,
    })
}

/// Some rows of a batch and what is already known about them.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub program: &'a Program,
    batch: Batch,
    known: RefCell<Vec<Option<Column>>>,
    /// The frame this one was cut out of, and the positions in it.
    outer: Option<(&'a Frame<'a>, &'a [u32])>,
}

impl<'a> Frame<'a> {
    pub fn new(program: &'a Program, batch: Batch) -> Self {
        Self {
            program,
            batch,
            known: RefCell::new(vec![None; program.nodes.len()]),
            outer: None,
        }
    }

    /// The rows at `positions` (ascending) of this frame.
    pub fn narrow<'b>(&'b self, positions: &'b [u32]) -> Frame<'b> {
        Frame {
            program: self.program,
            batch: self.batch.clone().select(positions.to_vec()),
            known: RefCell::new(vec![None; self.program.nodes.len()]),
            outer: Some((self, positions)),
        }
    }

    pub fn rows(&self) -> usize {
        self.batch.len()
    }

    pub fn node(&self, id: NodeId) -> Result<&'a Node> {
        let node = self.program.nodes.get(id);
        node.ok_or_else(|| Error::internal(format!("no node {id} in a program")))
    }

    /// The value of a node for the rows of this frame.
    pub fn value(&self, id: NodeId) -> Result<Column> {
        let node = self.node(id)?;
        if self.rows() == 0 {
            return Ok(Column::Array(new_empty_array(&node.data_type)));
        }
        let gathered = matches!(node.kind, Kind::Column(_)) && self.batch.selection().is_some();
        if !node.shared && !gathered {
            return self.compute(node);
        }
        if let Some(column) = self.recall(id)? {
            return Ok(column);
        }
        let column = self.compute(node)?;
        self.remember(id, &column);
        Ok(column)
    }

    fn recall(&self, id: NodeId) -> Result<Option<Column>> {
        if let Some(column) = self.known.borrow().get(id).and_then(Option::as_ref) {
            return Ok(Some(column.clone()));
        }
        let Some((outer, positions)) = self.outer else {
            return Ok(None);
        };
        let Some(column) = outer.recall(id)? else {
            return Ok(None);
        };
        let column = column.gather(positions)?;
        self.remember(id, &column);
        Ok(Some(column))
    }

    fn remember(&self, id: NodeId, column: &Column) {
        if let Some(slot) = self.known.borrow_mut().get_mut(id) {
            *slot = Some(column.clone());
        }
    }

    pub fn column(&self, index: usize) -> Result<Column> {
        self.batch.column(index)
    }

    /// NULL for each row where `id` fails: halves the rows until the failing ones are alone.
    pub fn try_value(&self, id: NodeId, data_type: &DataType) -> Result<Column> {
        match self.value(id) {
            Err(e) if e.kind() == ErrorKind::Execution => {}
            other => return other,
        }
        if self.rows() <= 1 {
            return Column::constant(&ScalarValue::Null, data_type, self.rows());
        }
        let all: Vec<u32> = (0..self.rows() as u32).collect();
        let (first, second) = all.split_at(all.len() / 2);
        let first = self.narrow(first).try_value(id, data_type)?.to_array()?;
        let second = self.narrow(second).try_value(id, data_type)?.to_array()?;
        Ok(Column::Array(arrow::compute::concat(&[
            first.as_ref(),
            second.as_ref(),
        ])?))
    }
}
