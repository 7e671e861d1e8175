//! Small ONNX models.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
};

pub(crate) const NODE_DIM: usize = 2;
pub(crate) const EDGE_DIM: usize = 3;
pub(crate) const QUERY_DIM: usize = 4;
const HIDDEN: usize = 8;

/// An input or output of f32; -1 for a dimension that may be any number.
pub(crate) fn info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |dim: &i64| {
        let value = match dim {
            -1 => dimension::Value::DimParam("edges".into()),
            fixed => dimension::Value::DimValue(*fixed),
        };
        Dimension { value: Some(value), ..Dimension::default() }
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = Tensor { elem_type: DataType::Float as i32, shape };
    let value = Some(Value::TensorType(tensor));
    let r#type = Some(TypeProto { value, ..TypeProto::default() });
    ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
}

pub(crate) fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(|name| (*name).into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

pub(crate) fn int_attribute(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..AttributeProto::default() }
}

pub(crate) fn floats(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.iter().map(|dim| *dim as i64).collect(),
        data_type: DataType::Float as i32,
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

pub(crate) fn ints(name: &str, dims: &[usize], values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.iter().map(|dim| *dim as i64).collect(),
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

pub(crate) fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: 7,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 14 }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// The inputs of the contract.
pub(crate) fn inputs() -> Vec<ValueInfoProto> {
    vec![
        info("node_features", &[1, NODE_DIM as i64]),
        info("edge_features", &[-1, EDGE_DIM as i64]),
        info("query", &[1, QUERY_DIM as i64]),
    ]
}

/// Weights of the two layers.
pub(crate) struct Mlp {
    pub(crate) first: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) second: Vec<f32>,
}

impl Mlp {
    pub(crate) fn random(seed: u64) -> Mlp {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut numbers = |count: usize| (0..count).map(|_| rng.f32() - 0.5).collect::<Vec<f32>>();
        let width = EDGE_DIM + NODE_DIM + QUERY_DIM;
        Mlp { first: numbers(width * HIDDEN), bias: numbers(HIDDEN), second: numbers(HIDDEN) }
    }

    /// `edge_scores [E]`: two layers over `[edge, node, query]`, the latter two repeated for each edge.
    pub(crate) fn graph(&self) -> GraphProto {
        let gather = NodeProto {
            attribute: vec![int_attribute("axis", 0)],
            ..node("Gather", &["shape", "zero"], "edges")
        };
        let concat = |inputs: &[&str], output, axis| NodeProto {
            attribute: vec![int_attribute("axis", axis)],
            ..node("Concat", inputs, output)
        };
        GraphProto {
            name: "mlp".into(),
            node: vec![
                node("Shape", &["edge_features"], "shape"),
                gather,
                concat(&["edges", "one"], "rows", 0),
                node("Expand", &["node_features", "rows"], "nodes"),
                node("Expand", &["query", "rows"], "queries"),
                concat(&["edge_features", "nodes", "queries"], "all", 1),
                node("MatMul", &["all", "first"], "hidden"),
                node("Add", &["hidden", "bias"], "biased"),
                node("Relu", &["biased"], "active"),
                node("MatMul", &["active", "second"], "edge_scores"),
            ],
            initializer: vec![
                ints("zero", &[1], &[0]),
                ints("one", &[1], &[1]),
                floats("first", &[EDGE_DIM + NODE_DIM + QUERY_DIM, HIDDEN], &self.first),
                floats("bias", &[HIDDEN], &self.bias),
                floats("second", &[HIDDEN], &self.second),
            ],
            input: inputs(),
            output: vec![info("edge_scores", &[-1])],
            ..GraphProto::default()
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        model(self.graph()).encode_to_vec()
    }

    /// The same in plain Rust.
    pub(crate) fn score(&self, node: &[f32], edge: &[f32], query: &[f32]) -> f32 {
        let all = [edge, node, query].concat();
        (0..HIDDEN)
            .map(|unit| {
                let sum: f32 = all.iter().enumerate().map(|(at, x)| x * self.first[at * HIDDEN + unit]).sum();
                (sum + self.bias[unit]).max(0.0) * self.second[unit]
            })
            .sum()
    }
}
