//! Runs the graphs that layers are exported as: slowly, in f64, with nothing but the operators that the exporter writes.
//!
//! tract cannot: its ScatterND knows no reductions, so that of the edges into a node one would be left instead of their sum. The
//! ONNX Runtime, which `check_layers.py` compares with, is not on every machine.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{ModelProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::tract_ndarray::ArrayD;

use super::operators::apply;

#[derive(Debug, Clone)]
pub(super) enum Value {
    Floats(ArrayD<f64>),
    Ints(ArrayD<i64>),
    Bools(ArrayD<bool>),
}

impl Value {
    pub(super) fn of_floats(shape: &[usize], numbers: &[f32]) -> Value {
        let numbers = numbers.iter().map(|number| f64::from(*number)).collect();
        Value::Floats(ArrayD::from_shape_vec(shape, numbers).unwrap())
    }

    pub(super) fn of_ints(shape: &[usize], numbers: Vec<i64>) -> Value {
        Value::Ints(ArrayD::from_shape_vec(shape, numbers).unwrap())
    }

    pub(super) fn of_tensor(tensor: &TensorProto) -> Value {
        let shape: Vec<usize> = tensor.dims.iter().map(|length| usize::try_from(*length).unwrap()).collect();
        let raw = &tensor.raw_data;
        match DataType::from_i32(tensor.data_type).unwrap() {
            DataType::Float => {
                let words = raw.as_chunks::<4>().0;
                let numbers: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
                Value::of_floats(&shape, &numbers)
            }
            DataType::Int64 => {
                let words = raw.as_chunks::<8>().0;
                Value::of_ints(&shape, words.iter().map(|word| i64::from_le_bytes(*word)).collect())
            }
            other => panic!("{} is of {other:?}", tensor.name),
        }
    }

    pub(super) fn as_floats(&self) -> &ArrayD<f64> {
        let Value::Floats(array) = self else { panic!("expected numbers of floating point, got {self:?}") };
        array
    }

    pub(super) fn as_ints(&self) -> &ArrayD<i64> {
        let Value::Ints(array) = self else { panic!("expected whole numbers, got {self:?}") };
        array
    }

    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Value::Floats(array) => array.shape(),
            Value::Ints(array) => array.shape(),
            Value::Bools(array) => array.shape(),
        }
    }
}

/// The only output of a model. `inputs` may hold more than the model reads.
pub(super) fn evaluate(model: &ModelProto, inputs: &HashMap<&str, Value>) -> Value {
    let mut outputs = evaluate_all(model, inputs);
    assert_eq!(outputs.len(), 1, "{:?}", outputs.keys());
    outputs.drain().next().unwrap().1
}

/// All outputs of a model, by name.
pub(super) fn evaluate_all(model: &ModelProto, inputs: &HashMap<&str, Value>) -> HashMap<String, Value> {
    // What operators mean depends on the set.
    assert!(model.opset_import.iter().all(|set| set.domain.is_empty() && set.version == 18));
    let graph = model.graph.as_ref().unwrap();
    let mut values: HashMap<&str, Value> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), Value::of_tensor(tensor))).collect();
    for declared in &graph.input {
        let value = &inputs[declared.name.as_str()];
        assert_declared(declared, value);
        values.insert(&declared.name, value.clone());
    }
    for node in &graph.node {
        let operands: Vec<&Value> = node.input.iter().map(|name| &values[name.as_str()]).collect();
        let value = apply(node, &operands);
        values.insert(&node.output[0], value);
    }
    let outputs = graph.output.iter().map(|declared| {
        let value = values[declared.name.as_str()].clone();
        assert_declared(declared, &value);
        (declared.name.clone(), value)
    });
    outputs.collect()
}

/// A value has the type and the shape that the graph says, as runtimes demand.
fn assert_declared(declared: &ValueInfoProto, value: &Value) {
    let Some(Type::TensorType(tensor)) = &declared.r#type.as_ref().unwrap().value else {
        panic!("{declared:?} is no tensor");
    };
    let data_type = match value {
        Value::Floats(_) => DataType::Float,
        Value::Ints(_) => DataType::Int64,
        Value::Bools(_) => DataType::Bool,
    };
    let dims = &tensor.shape.as_ref().unwrap().dim;
    let fits = dims.len() == value.shape().len()
        && dims.iter().zip(value.shape()).all(|(dim, length)| match dim.value {
            Some(dimension::Value::DimValue(expected)) => expected == *length as i64,
            _ => true,
        });
    assert!(fits && tensor.elem_type == data_type as i32, "expected {declared:?}, got {value:?}");
}
