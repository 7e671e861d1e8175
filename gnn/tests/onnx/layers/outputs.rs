//! The graph of an exported model computes what the model does. (Not whether it overflows f32: the evaluator has f64.)

use std::collections::HashMap;

use fastrand::Rng;
use prost::Message;
use redknot_gnn::layers::{
    Activation, Graph, LayerType, Matrix, Model, ModelDescription, Options, SageAggregator, Tensor, Weights,
};
use redknot_gnn::onnx::export_layers;
use tract_onnx::pb::ModelProto;

use super::evaluator::{Value, evaluate};
use super::{SEED, others};

/// The bar of `check_layers.py`: largest difference by largest number of a result.
const RELATIVE: f64 = 1e-5;
const INPUT: usize = 6;
const EDGE_DIM: usize = 3;

/// Every kind that is exported, and what its graph is written otherwise for.
fn models() -> Vec<(&'static str, ModelDescription)> {
    use LayerType::{Gat, Gcn, Gin, GraphSage, RuVector};
    let new = |layer_type| ModelDescription::new(layer_type, 2, INPUT, 8, 5);
    let sage = |aggregator| ModelDescription { aggregator, ..new(GraphSage) };
    let gat = || ModelDescription { heads: 2, activation: Activation::Elu, ..new(Gat) };
    let no_loops = |model| ModelDescription { self_loops: false, bias: false, ..model };
    let deep_gin = ModelDescription { mlp_layers: 3, mlp_hidden: Some(7), train_eps: true, ..new(Gin) };
    vec![
        ("gcn", new(Gcn)),
        ("gcn, one layer", ModelDescription { num_layers: 1, ..new(Gcn) }),
        ("gcn, no loops", no_loops(new(Gcn))),
        ("gcn, plain", ModelDescription { normalize: false, activation: Activation::Identity, ..new(Gcn) }),
        ("sage, mean", sage(SageAggregator::Mean)),
        ("sage, l2", ModelDescription { l2_normalize: true, ..sage(SageAggregator::Mean) }),
        ("sage, sampled", ModelDescription { sample_size: Some(1), ..sage(SageAggregator::Mean) }),
        ("sage, max_pool", sage(SageAggregator::MaxPool)),
        ("sage, gcn", ModelDescription { bias: false, ..sage(SageAggregator::Gcn) }),
        ("gat", gat()),
        ("gat, mean", ModelDescription { concat: false, output_heads: 3, negative_slope: -0.5, ..gat() }),
        ("gat, no loops", ModelDescription { output_heads: 5, output_concat: true, ..no_loops(gat()) }),
        ("gat, edges", ModelDescription { edge_dim: Some(EDGE_DIM), ..gat() }),
        ("gat, edges, no loops", ModelDescription { edge_dim: Some(EDGE_DIM), ..no_loops(gat()) }),
        ("gin", ModelDescription { eps: 0.25, bias: false, ..new(Gin) }),
        ("gin, deep", deep_gin),
        ("ruvector", new(RuVector)),
        ("ruvector, hops", ModelDescription { heads: 2, num_hops: 3, bias: false, ..new(RuVector) }),
    ]
}

fn numbers(count: usize, rng: &mut Rng) -> Vec<f32> {
    (0..count).map(|_| 2.0 * rng.f32() - 1.0).collect()
}

/// Parameters none of which is 0, as biases are at first. They are small: with numbers from -1 to 1, six hops of attention give
/// thousands, and rounding each step to f32 moved them by 1.5e-4 of the largest, which is more than the bar.
fn random_weights(model: &ModelDescription, rng: &mut Rng) -> Weights {
    let mut weights = Weights::default();
    for (name, shape) in model.parameters().unwrap() {
        let data = numbers(shape.iter().product(), rng).iter().map(|number| 0.5 * number).collect();
        weights.insert(name, Tensor::new(shape, data).unwrap());
    }
    weights
}

/// A graph as the library has it and as the inputs of a file.
struct Case {
    graph: Graph,
    x: Matrix,
    inputs: HashMap<&'static str, Value>,
}

/// A tenth of the nodes has no edges, and another one only an edge out of it. Node 0 has two loops, node 1 has one; there are
/// repeated edges, and some that weigh 0.
fn random_case(nodes: usize, edges: usize, weighted: bool, rng: &mut Rng) -> Case {
    let linked = (nodes - nodes / 10) as u32;
    let mut ends: Vec<(u32, u32)> =
        (0..edges).map(|_| (rng.u32(..linked - 1), rng.u32(..linked - 1))).collect();
    if let Some(&twice) = ends.last() {
        ends.splice(..5, [(0, 0), (0, 0), (1, 1), (linked - 1, 0), twice]);
    }
    let mut weight = || match (weighted, rng.u8(..8)) {
        (false, _) => 1.0,
        (true, 0) => 0.0,
        (true, _) => 0.1 + rng.f32(),
    };
    let weights: Vec<f32> = ends.iter().map(|_| weight()).collect();
    let features = Matrix::new(edges, EDGE_DIM, numbers(edges * EDGE_DIM, rng)).unwrap();
    let x = Matrix::new(nodes, INPUT, numbers(nodes * INPUT, rng)).unwrap();
    let (sources, targets) = (ends.iter().map(|end| end.0), ends.iter().map(|end| end.1));
    let edge_index = sources.chain(targets).map(i64::from).collect();
    let inputs = HashMap::from([
        ("x", Value::of_floats(&[nodes, INPUT], x.data())),
        ("edge_index", Value::of_ints(&[2, edges], edge_index)),
        ("edge_weight", Value::of_floats(&[edges], &weights)),
        ("edge_attr", Value::of_floats(&[edges, EDGE_DIM], features.data())),
    ]);
    let given = weighted.then_some(weights.as_slice());
    let graph = Graph::from_edges(nodes as u32, &ends, given, Some(&features)).unwrap();
    Case { graph, x, inputs }
}

/// The largest of some numbers without their signs, NaN if one is: [`f64::max`] would hide it.
fn largest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(f64::abs).max_by(f64::total_cmp).unwrap()
}

fn difference(got: &Value, expected: &Matrix) -> f64 {
    assert_eq!(got.shape(), [expected.rows(), expected.cols()]);
    let expected = || expected.data().iter().map(|number| f64::from(*number));
    largest(got.as_floats().iter().zip(expected()).map(|(a, b)| a - b)) / largest(expected()).max(1e-6)
}

#[test]
fn exported_graphs_compute_what_models_do() {
    println!("seed {SEED}");
    let mut rng = Rng::with_seed(SEED);
    let mut wrong = Vec::new();
    for (name, model) in models() {
        for (nodes, edges) in [(1, 0), (4, 0), (6, 9), (12, 30), (20, 50), (40, 160)] {
            for weighted in [false, true] {
                let weights = random_weights(&model, &mut rng);
                let case = random_case(nodes, edges, weighted, &mut rng);
                let file = export_layers(&model, &weights, &others()).unwrap();
                let file = ModelProto::decode(file.as_slice()).unwrap();
                // Files hold no samples.
                let whole = ModelDescription { sample_size: None, ..model.clone() };
                let native = Model::new(&whole, &weights).unwrap();
                let expected = native.forward(&case.graph, &case.x, &Options::default()).unwrap();
                let difference = difference(&evaluate(&file, &case.inputs), &expected);
                // A NaN does not agree.
                let agrees = difference <= RELATIVE;
                if !agrees {
                    wrong.push(format!("{name}, {nodes} nodes, {edges} edges, {weighted}: {difference:e}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
