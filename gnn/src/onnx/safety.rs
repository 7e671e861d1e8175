//! Which nodes are run at all.
//!
//! A runtime checks less than one would think: tract trusts the indices of a Gather, and both allocate whatever a model
//! asks for. So operators are those that a small network is made of, none of which loops,
//! indexes by data or draws at random.

use tract_onnx::pb::{GraphProto, NodeProto};

use super::OnnxError;
use super::facts::{Fact, Facts};
use super::graph::attribute;
use super::tensor::check_tensor;
use super::validate::{is_standard, named};

/// Operators that are run, by name.
const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Cos",
    "Div",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gemm",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "PRelu",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Round",
    "Selu",
    "Shape",
    "Sigmoid",
    "Sign",
    "Sin",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
    "Xor",
];
/// Most numbers of a tensor whose shape the model spells out.
const MAX_SPELLED_OUT: i64 = 16 << 20;

/// Whether all nodes of a graph whose names hold together can be run safely.
pub(super) fn check(graph: &GraphProto) -> Result<(), OnnxError> {
    let mut facts = Facts::new(graph);
    for node in &graph.node {
        if !is_standard(&node.domain) || !OPERATORS.contains(&node.op_type.as_str()) {
            return Err(OnnxError::Operator {
                node: named(node).into(),
                operator: node.op_type.clone(),
                domain: node.domain.clone(),
            });
        }
        check_attributes(node)?;
        match node.op_type.as_str() {
            "Gather" => check_gather(node, &facts)?,
            "Expand" => check_spelled_out(node, facts.of(node, 1))?,
            "ConstantOfShape" => check_spelled_out(node, facts.of(node, 0))?,
            _ => {}
        }
        facts.learn(node);
    }
    Ok(())
}

/// Attributes hold numbers and whole tensors, no graphs.
fn check_attributes(node: &NodeProto) -> Result<(), OnnxError> {
    for attribute in &node.attribute {
        let graphs = attribute.g.is_some() || !attribute.graphs.is_empty();
        let sparse = attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty();
        if graphs || sparse || !attribute.ref_attr_name.is_empty() {
            let what = format!(
                "attribute {:?} of node {:?} is not a number, text or tensor",
                attribute.name,
                named(node)
            );
            return Err(OnnxError::invalid(what));
        }
        attribute.t.iter().chain(&attribute.tensors).try_for_each(check_tensor)?;
    }
    Ok(())
}

/// All indices are known, and lie in a dimension that is known.
fn check_gather(node: &NodeProto, facts: &Facts<'_>) -> Result<(), OnnxError> {
    let refuse = |why: String| Err(OnnxError::Gather { node: named(node).into(), why });
    let Some(indices) = facts.of(node, 1).and_then(|indices| indices.ints.as_ref()) else {
        return refuse("its indices are not constant".into());
    };
    let axis = attribute(node, "axis").map_or(0, |axis| axis.i);
    let Some(data) = facts.of(node, 0).and_then(|data| data.dims.as_ref()) else {
        return refuse("the rank of what it takes from is not known".into());
    };
    let rank = data.len() as i64;
    if !(-rank..rank).contains(&axis) {
        return refuse(format!("axis {axis} of {rank} dimensions"));
    }
    let Some(length) = data[axis.rem_euclid(rank) as usize] else {
        return refuse(format!("axis {axis} may have any length"));
    };
    match indices.iter().find(|index| !(-length..length).contains(index)) {
        Some(index) => refuse(format!("index {index} of {length}")),
        None => Ok(()),
    }
}

/// A shape that is written out in the file is not huge.
fn check_spelled_out(node: &NodeProto, shape: Option<&Fact>) -> Result<(), OnnxError> {
    let Some(shape) = shape.and_then(|shape| shape.ints.as_ref()) else { return Ok(()) };
    let size = shape.iter().try_fold(1_i64, |size, dim| size.checked_mul((*dim).max(1)));
    if size.is_some_and(|size| size <= MAX_SPELLED_OUT) && shape.iter().all(|dim| *dim >= -1) {
        return Ok(());
    }
    Err(OnnxError::invalid(format!("node {:?} makes a tensor of shape {shape:?}", named(node))))
}
