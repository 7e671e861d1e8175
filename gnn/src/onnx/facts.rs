//! What is known of the values of a graph before it runs: shapes, and small constants.
//!
//! Only as much as it takes to tell that indices are in range. What is not known is left open, never guessed.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::graph::{attribute, float_dims};
use super::tensor::ints;

/// Longest constant whose values are kept.
const MAX_INTS: usize = 4096;

/// What is known of a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Fact {
    /// Its dimensions, `None` for one of any length.
    pub(super) dims: Option<Vec<Option<i64>>>,
    /// Its values, for a small constant of whole numbers.
    pub(super) ints: Option<Vec<i64>>,
}

/// What is known of the values defined so far, by name.
pub(super) struct Facts<'g>(HashMap<&'g str, Fact>);

impl<'g> Facts<'g> {
    /// What the inputs and weights of a graph say.
    pub(super) fn new(graph: &'g GraphProto) -> Facts<'g> {
        let input = |dims: Vec<i64>| dims.iter().map(|dim| (*dim > 0).then_some(*dim)).collect();
        let inputs = graph
            .input
            .iter()
            .map(|info| (info.name.as_str(), Fact { dims: float_dims(info).map(input), ints: None }));
        let weights = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), constant(tensor)));
        // Weights may be listed among the inputs, as their defaults.
        Facts(inputs.chain(weights).collect())
    }

    /// What is known of an input of a node.
    pub(super) fn of(&self, node: &NodeProto, input: usize) -> Option<&Fact> {
        self.0.get(node.input.get(input)?.as_str())
    }

    fn dims(&self, node: &NodeProto, input: usize) -> Option<&[Option<i64>]> {
        self.of(node, input)?.dims.as_deref()
    }

    fn ints(&self, node: &NodeProto, input: usize) -> Option<&[i64]> {
        self.of(node, input)?.ints.as_deref()
    }

    /// Adds what follows for the outputs of a node.
    pub(super) fn learn(&mut self, node: &'g NodeProto) {
        let fact = match node.op_type.as_str() {
            "Constant" => attribute(node, "value").and_then(|value| value.t.as_ref()).map(constant),
            _ => self.shape_after(node).map(|dims| Fact { dims: Some(dims), ints: None }),
        };
        // Of the other outputs of a node, such as the parts of a Split, nothing is known.
        if let (Some(output), Some(fact)) = (node.output.first(), fact) {
            self.0.insert(output, fact);
        }
    }

    /// The shape of the first output of a node.
    fn shape_after(&self, node: &NodeProto) -> Option<Vec<Option<i64>>> {
        let first = || self.dims(node, 0).map(<[_]>::to_vec);
        match node.op_type.as_str() {
            "Shape" if node.attribute.is_empty() => Some(vec![Some(first()?.len() as i64)]),
            "Add" | "And" | "Div" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual"
            | "Max" | "Mean" | "Min" | "Mul" | "Or" | "Pow" | "Sub" | "Sum" | "Where" | "Xor" => {
                self.broadcast(node)
            }
            "Abs" | "Cast" | "Ceil" | "Clip" | "Cos" | "Elu" | "Erf" | "Exp" | "Floor" | "HardSigmoid"
            | "HardSwish" | "Identity" | "LeakyRelu" | "Log" | "LogSoftmax" | "Neg" | "Not" | "PRelu"
            | "Reciprocal" | "Relu" | "Round" | "Selu" | "Sigmoid" | "Sign" | "Sin" | "Softmax"
            | "Softplus" | "Softsign" | "Sqrt" | "Tanh" | "LayerNormalization" | "BatchNormalization" => {
                first()
            }
            "MatMul" => match (first()?.as_slice(), self.dims(node, 1)?) {
                ([rows, _], [_, columns]) => Some(vec![*rows, *columns]),
                _ => None,
            },
            "Gemm" => {
                let flag = |name| attribute(node, name).is_some_and(|flag| flag.i != 0);
                let pick = |dims: &[Option<i64>], at: usize| dims.get(at).copied();
                let rows = pick(&first()?, usize::from(flag("transA")))?;
                let columns = pick(self.dims(node, 1)?, usize::from(!flag("transB")))?;
                Some(vec![rows, columns])
            }
            "Concat" => self.concat(node),
            "Unsqueeze" => {
                let added = self.ints(node, 1)?.len();
                // Which ones are new depends on the axes: how many there are does not.
                Some(vec![None; first()?.len() + added])
            }
            "Gather" => {
                let (data, indices) = (first()?, self.dims(node, 1)?);
                let axis = attribute(node, "axis").map_or(0, |axis| axis.i);
                let axis = axis.rem_euclid(data.len().max(1) as i64) as usize;
                Some([data.get(..axis)?, indices, data.get(axis + 1..)?].concat())
            }
            "Reshape" => match (self.ints(node, 1), self.dims(node, 1)?) {
                (Some(shape), _) => Some(shape.iter().map(|dim| (*dim > 0).then_some(*dim)).collect()),
                (None, [Some(rank @ 0..=64)]) => Some(vec![None; *rank as usize]),
                _ => None,
            },
            _ => None,
        }
    }

    /// The shape of an operator that works on pairs of numbers.
    fn broadcast(&self, node: &NodeProto) -> Option<Vec<Option<i64>>> {
        let mut all = Vec::new();
        for input in 0..node.input.len() {
            let dims = self.dims(node, input)?;
            let rank = dims.len().max(all.len());
            let at = |dims: &[Option<i64>], at: usize| {
                // Missing dimensions are in front, and 1.
                (at + dims.len()).checked_sub(rank).map_or(Some(1), |at| dims[at])
            };
            let joined = (0..rank).map(|dim| match (at(&all, dim), at(dims, dim)) {
                (Some(1), other) | (other, Some(1)) => other,
                (one, other) if one == other => one,
                _ => None,
            });
            all = joined.collect();
        }
        Some(all)
    }

    fn concat(&self, node: &NodeProto) -> Option<Vec<Option<i64>>> {
        let mut all = self.dims(node, 0)?.to_vec();
        let rank = all.len() as i64;
        let axis = attribute(node, "axis")?.i;
        if !(-rank..rank).contains(&axis) {
            return None;
        }
        let axis = axis.rem_euclid(rank) as usize;
        for input in 1..node.input.len() {
            let length = self.dims(node, input)?.get(axis).copied()?;
            all[axis] = all[axis].zip(length).and_then(|(a, b)| a.checked_add(b));
        }
        Some(all)
    }
}

fn constant(tensor: &TensorProto) -> Fact {
    let dims = tensor.dims.iter().map(|dim| Some(*dim)).collect();
    Fact { dims: Some(dims), ints: ints(tensor).filter(|ints| ints.len() <= MAX_INTS) }
}
