//! The operators that layers are exported with, as the ONNX standard defines them in operator set 18.
//!
//! What is not written here is a panic, never a guess: other operators, attributes, types. A NaN that goes in comes out.

use std::ops::{Add, Div, Mul, Sub};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::prelude::tract_ndarray::{ArrayD, ArrayViewD, Axis, Ix1, Ix2, Zip, concatenate};

use super::evaluator::Value::{self, Bools, Floats, Ints};

/// The same done to an array of whatever type.
macro_rules! any {
    ($value:expr, $array:ident => $result:expr) => {
        match $value {
            Floats($array) => Floats($result),
            Ints($array) => Ints($result),
            Bools($array) => Bools($result),
        }
    };
}

pub(super) fn apply(node: &NodeProto, operands: &[&Value]) -> Value {
    let known: &[&str] = match node.op_type.as_str() {
        "Cast" => &["to"],
        "Concat" | "Gather" => &["axis"],
        "ConstantOfShape" => &["value"],
        "Gemm" => &["transB"],
        "ReduceL2" | "ReduceMean" | "ReduceSum" => &["keepdims"],
        "ScatterND" => &["reduction"],
        "Shape" => &["start", "end"],
        "Transpose" => &["perm"],
        _ => &[],
    };
    let is_known = |attribute: &AttributeProto| known.contains(&attribute.name.as_str());
    assert!(node.domain.is_empty() && node.attribute.iter().all(is_known), "{node:?}");
    by_element(node, operands)
        .or_else(|| arranged(node, operands))
        .or_else(|| made(node, operands))
        .or_else(|| summed(node, operands))
        .unwrap_or_else(|| panic!("{node:?} of {operands:?}"))
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn int(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|attribute| attribute.i)
}

/// What computes each number from those at its place.
fn by_element(node: &NodeProto, operands: &[&Value]) -> Option<Value> {
    Some(match (node.op_type.as_str(), operands) {
        ("Add", [Ints(a), Ints(b)]) => Ints(pairs(a, b, Add::add)),
        ("Add", [Floats(a), Floats(b)]) => Floats(pairs(a, b, Add::add)),
        ("Sub", [Floats(a), Floats(b)]) => Floats(pairs(a, b, Sub::sub)),
        ("Mul", [Floats(a), Floats(b)]) => Floats(pairs(a, b, Mul::mul)),
        ("Div", [Floats(a), Floats(b)]) => Floats(pairs(a, b, Div::div)),
        ("Max", [Floats(a), Floats(b)]) => Floats(pairs(a, b, larger)),
        ("Min", [Floats(a), Floats(b)]) => Floats(pairs(a, b, |a, b| -larger(-a, -b))),
        ("Equal", [Ints(a), Ints(b)]) => Bools(pairs(a, b, |a, b| a == b)),
        ("Equal", [Floats(a), Floats(b)]) => Bools(pairs(a, b, |a, b| a == b)),
        ("Greater", [Floats(a), Floats(b)]) => Bools(pairs(a, b, |a, b| a > b)),
        ("Where", [Bools(which), Ints(a), Ints(b)]) => Ints(chosen(which, a, b)),
        ("Where", [Bools(which), Floats(a), Floats(b)]) => Floats(chosen(which, a, b)),
        ("Not", [Bools(a)]) => Bools(a.mapv(|a| !a)),
        ("Cast", [Bools(a)]) if int(node, "to") == Some(DataType::Float as i64) => {
            Floats(a.mapv(|a| f64::from(u8::from(a))))
        }
        ("Sqrt", [Floats(a)]) => Floats(a.mapv(f64::sqrt)),
        ("Reciprocal", [Floats(a)]) => Floats(a.mapv(f64::recip)),
        ("Exp", [Floats(a)]) => Floats(a.mapv(f64::exp)),
        ("Relu", [Floats(a)]) => Floats(a.mapv(|a| larger(a, 0.0))),
        ("Elu", [Floats(a)]) => Floats(a.mapv(|a| if a < 0.0 { a.exp_m1() } else { a })),
        _ => return None,
    })
}

/// What brings numbers to other places.
fn arranged(node: &NodeProto, operands: &[&Value]) -> Option<Value> {
    let axis = int(node, "axis").map_or(0, length);
    Some(match (node.op_type.as_str(), operands) {
        ("Squeeze", [value]) => {
            let shape: Vec<usize> = value.shape().iter().copied().filter(|length| *length != 1).collect();
            any!(value, array => reshaped(array, &shape))
        }
        ("Unsqueeze", [value, Ints(axes)]) => {
            any!(value, array => array.clone().insert_axis(Axis(length(only(axes)))))
        }
        ("Reshape", [value, Ints(shape)]) => {
            let shape = inferred(&row(shape), value.shape().iter().product());
            any!(value, array => reshaped(array, &shape))
        }
        ("Transpose", [Floats(a)]) if attribute(node, "perm")?.ints == [1, 0] => Floats(a.t().to_owned()),
        ("Gather", [value, Ints(at)]) => any!(value, array => gathered(array, axis, at)),
        ("Concat", [Ints(_), ..]) => Ints(joined(axis, operands.iter().map(|value| value.as_ints().view()))),
        ("Concat", [Floats(_), ..]) => {
            Floats(joined(axis, operands.iter().map(|value| value.as_floats().view())))
        }
        _ => return None,
    })
}

/// What makes numbers from lengths, and lengths from what there is.
fn made(node: &NodeProto, operands: &[&Value]) -> Option<Value> {
    Some(match (node.op_type.as_str(), operands) {
        ("Shape", [value]) => {
            let shape: Vec<i64> = value.shape().iter().map(|length| *length as i64).collect();
            let end = int(node, "end").map_or(shape.len(), length);
            let shape = shape[int(node, "start").map_or(0, length)..end].to_vec();
            Value::of_ints(&[shape.len()], shape)
        }
        ("ConstantOfShape", [Ints(shape)]) => {
            let shape: Vec<usize> = row(shape).into_iter().map(length).collect();
            let value = Value::of_tensor(attribute(node, "value")?.t.as_ref()?);
            any!(value, array => ArrayD::from_elem(shape, only(&array)))
        }
        ("Range", [Ints(start), Ints(end), Ints(step)]) => {
            let numbers: Vec<i64> = (only(start)..only(end)).step_by(length(only(step))).collect();
            Value::of_ints(&[numbers.len()], numbers)
        }
        _ => return None,
    })
}

/// What combines numbers of several places.
fn summed(node: &NodeProto, operands: &[&Value]) -> Option<Value> {
    let reduction = attribute(node, "reduction").map_or(&b""[..], |attribute| &attribute.s);
    Some(match (node.op_type.as_str(), operands, reduction) {
        ("Gemm", [Floats(a), Floats(b), bias @ ..], _) => {
            let [a, b] = [a, b].map(|matrix| matrix.view().into_dimensionality::<Ix2>().unwrap());
            let product = if int(node, "transB") == Some(1) { a.dot(&b.t()) } else { a.dot(&b) }.into_dyn();
            match bias {
                [] => Floats(product),
                [Floats(bias)] => Floats(&product + &bias.broadcast(product.shape())?),
                _ => return None,
            }
        }
        ("MatMul", [Floats(a), Floats(b)], _) => {
            let a = a.view().into_dimensionality::<Ix2>().unwrap();
            match b.view().into_dimensionality::<Ix1>() {
                Ok(b) => Floats(a.dot(&b).into_dyn()),
                Err(_) => Floats(a.dot(&b.view().into_dimensionality::<Ix2>().unwrap()).into_dyn()),
            }
        }
        (operator @ ("ReduceL2" | "ReduceMean" | "ReduceSum"), [Floats(a), Ints(axes)], _) => {
            let axis = Axis(length(only(axes)));
            let reduced = match operator {
                "ReduceSum" => a.sum_axis(axis),
                "ReduceMean" => a.sum_axis(axis) / a.len_of(axis) as f64,
                _ => a.mapv(|a| a * a).sum_axis(axis).mapv(f64::sqrt),
            };
            Floats(if int(node, "keepdims") == Some(0) { reduced } else { reduced.insert_axis(axis) })
        }
        ("ScatterND", [Floats(onto), Ints(at), Floats(rows)], b"add") => {
            Floats(scattered(onto, at, rows, Add::add))
        }
        ("ScatterND", [Floats(onto), Ints(at), Floats(rows)], b"max") => {
            Floats(scattered(onto, at, rows, larger))
        }
        ("ScatterND", [Ints(onto), Ints(at), Ints(rows)], b"max") => {
            Ints(scattered(onto, at, rows, Ord::max))
        }
        _ => return None,
    })
}

/// The larger number, NaN if one is: [`f64::max`] would hide it.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// The shape that all of these are stretched to: lengths of 1, and what is missing in front, give way.
fn common_shape(shapes: &[&[usize]]) -> Vec<usize> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut common = vec![1; rank];
    for shape in shapes {
        for (common, length) in common[rank - shape.len()..].iter_mut().zip(*shape) {
            assert!(*common == 1 || *length == 1 || common == length, "{shapes:?}");
            if *common == 1 {
                *common = *length;
            }
        }
    }
    common
}

fn pairs<A: Copy, B>(a: &ArrayD<A>, b: &ArrayD<A>, combine: impl Fn(A, A) -> B) -> ArrayD<B> {
    let shape = common_shape(&[a.shape(), b.shape()]);
    let [a, b] = [a, b].map(|array| array.broadcast(shape.as_slice()).unwrap());
    Zip::from(a).and(b).map_collect(|a, b| combine(*a, *b))
}

fn chosen<A: Copy>(which: &ArrayD<bool>, a: &ArrayD<A>, b: &ArrayD<A>) -> ArrayD<A> {
    let shape = common_shape(&[which.shape(), a.shape(), b.shape()]);
    let which = which.broadcast(shape.as_slice()).unwrap();
    let [a, b] = [a, b].map(|array| array.broadcast(shape.as_slice()).unwrap());
    Zip::from(which).and(a).and(b).map_collect(|which, a, b| if *which { *a } else { *b })
}

/// Numbers in the same order in another shape.
fn reshaped<A: Clone>(array: &ArrayD<A>, shape: &[usize]) -> ArrayD<A> {
    array.to_shape(shape).unwrap().into_owned()
}

/// A shape for `count` numbers, in which -1 stands for what the other lengths leave.
fn inferred(shape: &[i64], count: usize) -> Vec<usize> {
    let others: usize = shape.iter().filter(|wanted| **wanted != -1).map(|wanted| length(*wanted)).product();
    shape.iter().map(|wanted| if *wanted == -1 { count / others } else { length(*wanted) }).collect()
}

/// The slices of `array` at these places of an axis, which the shape of `at` takes the place of.
fn gathered<A: Copy>(array: &ArrayD<A>, axis: usize, at: &ArrayD<i64>) -> ArrayD<A> {
    let places: Vec<usize> = at.iter().map(|place| length(*place)).collect();
    let (before, after) = (&array.shape()[..axis], &array.shape()[axis + 1..]);
    reshaped(&array.select(Axis(axis), &places), &[before, at.shape(), after].concat())
}

fn joined<'v, A: Clone + 'v>(axis: usize, parts: impl Iterator<Item = ArrayViewD<'v, A>>) -> ArrayD<A> {
    concatenate(Axis(axis), &parts.collect::<Vec<_>>()).unwrap()
}

/// `onto`, of which the rows that the column `at` names were combined with `rows`, one after the other.
fn scattered<A: Copy>(
    onto: &ArrayD<A>,
    at: &ArrayD<i64>,
    rows: &ArrayD<A>,
    combine: impl Fn(A, A) -> A,
) -> ArrayD<A> {
    assert_eq!(at.shape(), [rows.shape()[0], 1]);
    let mut result = onto.clone();
    for (place, row) in at.iter().zip(rows.outer_iter()) {
        let mut onto = result.index_axis_mut(Axis(0), length(*place));
        assert_eq!(onto.shape(), row.shape());
        onto.zip_mut_with(&row, |onto, number| *onto = combine(*onto, *number));
    }
    result
}

/// The number of an array of one.
fn only<A: Copy>(array: &ArrayD<A>) -> A {
    assert_eq!(array.len(), 1);
    array.iter().copied().next().unwrap()
}

fn row(array: &ArrayD<i64>) -> Vec<i64> {
    array.view().into_dimensionality::<Ix1>().unwrap().to_vec()
}

/// A length, an axis or a place. Those below 0, which ONNX counts from the end, the exporter has no use for.
fn length(number: i64) -> usize {
    usize::try_from(number).unwrap()
}
