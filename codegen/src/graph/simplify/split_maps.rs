//! Expressions of several computed tensors in steps of one operation each, and operations on two tensors that have no
//! kernel in terms of those that have.

use super::affine::affine_of;
use crate::graph::expr::{Binary, Unary};
use crate::graph::{Expr, Graph, Kind, Node, Op, TensorId};

/// Splits what quantization has no rule for; true if anything was.
pub(super) fn split(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut k = 0;
    while k < graph.nodes.len() {
        if let Some(expr) = to_split(graph, k) {
            let node = graph.nodes[k].clone();
            let mut new = Builder { graph, node: &node, nodes: Vec::new() };
            let (expr, inputs) = new.top(&expr);
            let nodes = new.nodes;
            let added = nodes.len();
            let node = &mut graph.nodes[k];
            (node.op, node.inputs) = (Op::Map(expr), inputs);
            graph.nodes.splice(k..k, nodes);
            k += added;
            changed = true;
        }
        k += 1;
    }
    changed
}

/// The expression of node `k`, rewritten, if it has several computed operands and is none of the operations that have
/// kernels.
fn to_split(graph: &Graph, k: usize) -> Option<Expr> {
    let node = &graph.nodes[k];
    let Op::Map(expr) = &node.op else { return None };
    let computed = node.inputs.iter().filter(|&&i| !graph.tensors[i].is_constant()).count();
    if computed < 2 || affine_of(graph, node).is_some() {
        return None;
    }
    let rewritten = rewrite(expr)?;
    let input = |e: &Expr| matches!(e, Expr::Input(_));
    match &rewritten {
        Expr::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div, a, b) if input(a) && input(b) => None,
        _ => Some(rewritten),
    }
}

/// The top operation in terms of sums, products and functions of one number; `None` where there is no such form.
fn rewrite(expr: &Expr) -> Option<Expr> {
    let zero = || Expr::Const(0.0);
    let sub = |a: &Expr, b: &Expr| Expr::binary(Binary::Sub, a.clone(), b.clone());
    Some(match expr {
        Expr::Binary(op, a, b) => match op {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div => expr.clone(),
            // max(a, b) = a + relu(b - a); min likewise. Truth values are 0 and 1.
            Binary::Max | Binary::Or => Expr::binary(Binary::Add, (**a).clone(), Expr::unary(Unary::Relu, sub(b, a))),
            Binary::Min => Expr::binary(Binary::Sub, (**a).clone(), Expr::unary(Unary::Relu, sub(a, b))),
            Binary::And => Expr::binary(Binary::Mul, (**a).clone(), (**b).clone()),
            Binary::Xor => Expr::unary(Unary::Abs, sub(a, b)),
            Binary::Less | Binary::LessOrEqual | Binary::Greater | Binary::GreaterOrEqual | Binary::Equal => {
                Expr::binary(*op, sub(a, b), zero())
            }
            Binary::Pow | Binary::Mod => return None,
        },
        Expr::Unary(..) => expr.clone(),
        // c ? a : b = b + c (a - b)
        Expr::Select(c, a, b) => {
            Expr::binary(Binary::Add, (**b).clone(), Expr::binary(Binary::Mul, (**c).clone(), sub(a, b)))
        }
        Expr::Input(_) | Expr::Const(_) => return None,
    })
}

struct Builder<'a> {
    graph: &'a mut Graph,
    node: &'a Node,
    nodes: Vec<Node>,
}

impl Builder<'_> {
    /// The top operation over operands that are tensors or numbers.
    fn top(&mut self, expr: &Expr) -> (Expr, Vec<TensorId>) {
        let mut inputs = Vec::new();
        let expr = match expr {
            Expr::Unary(f, x) => Expr::unary(*f, self.leaf(x, &mut inputs)),
            Expr::Binary(f, a, b) => {
                let a = self.leaf(a, &mut inputs);
                Expr::binary(*f, a, self.leaf(b, &mut inputs))
            }
            other => other.substitute(&|j| Expr::Input(j)),
        };
        (expr, inputs)
    }

    /// A subexpression as an operand: computed by a node of its own unless it is one already.
    fn leaf(&mut self, expr: &Expr, inputs: &mut Vec<TensorId>) -> Expr {
        let tensor = match expr {
            Expr::Const(c) => return Expr::Const(*c),
            Expr::Input(j) => self.node.inputs[*j],
            _ => self.compute(expr),
        };
        let at = inputs.iter().position(|&i| i == tensor).unwrap_or_else(|| {
            inputs.push(tensor);
            inputs.len() - 1
        });
        Expr::Input(at)
    }

    fn compute(&mut self, expr: &Expr) -> TensorId {
        let (expr, inputs) = self.top(&rewrite(expr).unwrap_or_else(|| expr.clone()));
        let shape = self.graph.tensors[self.node.output].shape.clone();
        let name = format!("{}/part{}", self.node.name, self.nodes.len() + 1);
        let output = self.graph.tensor(name.clone(), shape, Kind::Real);
        self.nodes.push(Node { name, origin: self.node.origin.clone(), op: Op::Map(expr), inputs, output });
        output
    }
}
