//! Pieces of ONNX graphs: what a graph is written from, and what is read off one.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{AttributeProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto};

/// One dimension of an input or output.
pub(super) enum Dim<'n> {
    /// As many.
    Fixed(usize),
    /// Any number, under this name.
    Any(&'n str),
}

/// An input or output of f32.
pub(super) fn value_info(name: &str, dims: &[Dim<'_>]) -> ValueInfoProto {
    let dim = |dim: &Dim<'_>| {
        let value = match dim {
            Dim::Fixed(count) => dimension::Value::DimValue(*count as i64),
            Dim::Any(name) => dimension::Value::DimParam((*name).into()),
        };
        Dimension { value: Some(value), ..Dimension::default() }
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = Tensor { elem_type: DataType::Float as i32, shape };
    let r#type = Some(TypeProto { value: Some(Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
}

/// A node with one output, which gives it its name.
pub(super) fn node(op_type: &str, input: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op_type.into(),
        input: input.iter().map(|name| (*name).into()).collect(),
        output: vec![output.into()],
        name: output.into(),
        ..NodeProto::default()
    }
}

/// A transposition of a matrix.
pub(super) fn transpose(input: &str, output: &str) -> NodeProto {
    let perm = AttributeProto {
        name: "perm".into(),
        r#type: AttributeType::Ints as i32,
        ints: vec![1, 0],
        ..AttributeProto::default()
    };
    NodeProto { attribute: vec![perm], ..node("Transpose", &[input], output) }
}

/// An attribute of a node.
pub(super) fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// The shape of a tensor of f32, -1 for a dimension that may be any number; `None` for anything else.
pub(super) fn float_dims(info: &ValueInfoProto) -> Option<Vec<i64>> {
    let Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    if tensor.elem_type != DataType::Float as i32 {
        return None;
    }
    let dim = |dim: &Dimension| match dim.value {
        Some(dimension::Value::DimValue(count)) if count > 0 => count,
        _ => -1,
    };
    Some(tensor.shape.as_ref()?.dim.iter().map(dim).collect())
}
