//! A graph under construction.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use crate::onnx::graph::node;
use crate::onnx::tensor::float_tensor;

/// Nodes in the order of evaluation and constants, each value under a name of its own.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: Vec<TensorProto>,
    /// What the values of nodes to come are named after.
    prefix: String,
    values: usize,
}

impl Builder {
    /// Names values after `part` from now on.
    pub(super) fn enter(&mut self, part: &str) {
        part.clone_into(&mut self.prefix);
    }

    /// A node; returns the name of its value.
    pub(super) fn op(&mut self, operator: &str, inputs: &[&str]) -> String {
        self.op_with(operator, inputs, Vec::new())
    }

    /// A node with attributes.
    pub(super) fn op_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let name = format!("{}/{operator}_{}", self.prefix, self.values);
        self.values += 1;
        self.nodes.push(NodeProto { attribute, ..node(operator, inputs, &name) });
        name
    }

    /// A constant scalar.
    pub(super) fn float(&mut self, value: f32) -> String {
        let name = self.constant_name();
        self.constants.push(float_tensor(&name, &[], &[value]));
        name
    }

    /// A constant row of one number.
    pub(super) fn one_float(&mut self, value: f32) -> String {
        let name = self.constant_name();
        self.constants.push(float_tensor(&name, &[1], &[value]));
        name
    }

    /// A constant scalar.
    pub(super) fn int(&mut self, value: i64) -> String {
        self.int_tensor(&[], &[value])
    }

    /// A constant row.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        self.int_tensor(&[values.len() as i64], values)
    }

    fn int_tensor(&mut self, dims: &[i64], values: &[i64]) -> String {
        let name = self.constant_name();
        self.constants.push(ints(&name, dims, values));
        name
    }

    fn constant_name(&mut self) -> String {
        self.values += 1;
        format!("constant_{}", self.values - 1)
    }

    pub(super) fn gather(&mut self, rows: &str, at: &str) -> String {
        self.op_with("Gather", &[rows, at], vec![int("axis", 0)])
    }

    pub(super) fn concat(&mut self, parts: &[&str]) -> String {
        self.op_with("Concat", parts, vec![int("axis", 0)])
    }

    pub(super) fn unsqueeze(&mut self, value: &str, axis: i64) -> String {
        let axes = self.ints(&[axis]);
        self.op("Unsqueeze", &[value, &axes])
    }

    pub(super) fn reshape(&mut self, value: &str, shape: &[i64]) -> String {
        let shape = self.ints(shape);
        self.op("Reshape", &[value, &shape])
    }

    /// `x · weightᵀ`, and a bias if there is one.
    pub(super) fn linear(&mut self, x: &str, weight: &str, bias: Option<&str>) -> String {
        let inputs: Vec<&str> = [x, weight].into_iter().chain(bias).collect();
        self.op_with("Gemm", &inputs, vec![int("transB", 1)])
    }

    /// Rows of `width` numbers that are all `value`, as many as `rows`, a row of one whole number, says.
    pub(super) fn filled(&mut self, rows: &str, width: usize, value: f32) -> String {
        let width = self.ints(&[width as i64]);
        let shape = self.concat(&[rows, &width]);
        let value = tensor("value", float_tensor("value", &[1], &[value]));
        self.op_with("ConstantOfShape", &[&shape], vec![value])
    }

    /// As many whole zeros in a column as `rows` says.
    pub(super) fn zeros(&mut self, rows: &str) -> String {
        let width = self.ints(&[1]);
        let shape = self.concat(&[rows, &width]);
        let value = tensor("value", ints("value", &[1], &[0]));
        self.op_with("ConstantOfShape", &[&shape], vec![value])
    }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..AttributeProto::default() }
}

pub(super) fn text(name: &str, s: &str) -> AttributeProto {
    let r#type = AttributeType::String as i32;
    AttributeProto { name: name.into(), r#type, s: s.into(), ..AttributeProto::default() }
}

fn tensor(name: &str, t: TensorProto) -> AttributeProto {
    let r#type = AttributeType::Tensor as i32;
    AttributeProto { name: name.into(), r#type, t: Some(t), ..AttributeProto::default() }
}

fn ints(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Int64 as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}
