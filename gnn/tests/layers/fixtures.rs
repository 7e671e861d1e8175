//! What PyTorch Geometric computes, read from `tests/fixtures/layers`; `generate.py` there wrote it.

#[path = "../fixtures/layers/contents.rs"]
mod contents;

use std::path::Path;

use redknot_gnn::layers::{
    Aggregator, AggregatorDescription, AggregatorScratch, Graph, Matrix, Model, ModelDescription, Options,
    Tensor, Weights,
};
use safetensors::SafeTensors;

use contents::{GRAPHS, RELATIVE, VARIANTS, words};

fn bytes(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/layers").join(name);
    std::fs::read(path.with_extension("safetensors")).unwrap()
}

fn numbers(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    words(&file.tensor(name).unwrap(), f32::from_le_bytes)
}

fn matrix(file: &SafeTensors<'_>, name: &str) -> Matrix {
    let shape = file.tensor(name).unwrap().shape().to_vec();
    Matrix::new(shape[0], shape[1], numbers(file, name)).unwrap()
}

fn parameters(file: &SafeTensors<'_>, prefix: &str) -> Weights {
    let mut weights = Weights::default();
    for (name, view) in file.iter() {
        if let Some(name) = name.strip_prefix(prefix) {
            let tensor = Tensor::new(view.shape().to_vec(), words(&view, f32::from_le_bytes)).unwrap();
            weights.insert(name, tensor);
        }
    }
    weights
}

fn graph(file: &SafeTensors<'_>, g: usize) -> (Graph, Matrix) {
    let view = file.tensor(&format!("{g}.edges")).unwrap();
    let ends = words(&view, |word| u32::try_from(i32::from_le_bytes(word)).unwrap());
    let (sources, targets) = ends.split_at(ends.len() / 2);
    let edges: Vec<(u32, u32)> = sources.iter().copied().zip(targets.iter().copied()).collect();
    let x = matrix(file, &format!("{g}.x"));
    let weights = file.tensor(&format!("{g}.weights")).ok().map(|view| words(&view, f32::from_le_bytes));
    let features = file
        .names()
        .contains(&&*format!("{g}.edge_features"))
        .then(|| matrix(file, &format!("{g}.edge_features")));
    (Graph::from_edges(x.rows() as u32, &edges, weights.as_deref(), features.as_ref()).unwrap(), x)
}

/// The largest of some numbers without their signs, NaN if one is: [`f32::max`] would hide it.
fn largest(numbers: impl Iterator<Item = f32>) -> f32 {
    numbers.map(f32::abs).max_by(f32::total_cmp).unwrap_or(0.0)
}

/// The largest difference, relative to the largest number expected; NaN where either has a NaN.
fn difference(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let differences = got.iter().zip(expected).map(|(a, b)| a - b);
    largest(differences) / largest(expected.iter().copied()).max(1e-6)
}

#[test]
fn outputs_equal_those_of_pytorch_geometric() {
    for name in VARIANTS {
        let bytes = bytes(name);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let json = &header.metadata().as_ref().unwrap()["description"];
        let model =
            Model::new(&ModelDescription::from_json(json).unwrap(), &parameters(&file, "param.")).unwrap();
        for g in 0..GRAPHS {
            let (graph, x) = graph(&file, g);
            let expected = numbers(&file, &format!("{g}.out"));
            // Blocks of three nodes, so that graphs of a few nodes have several.
            let mut out = Matrix::new(1, 1_000, vec![f32::NAN; 1_000]).unwrap();
            for block in [3, 128] {
                let options = Options { block, ..Options::default() };
                model.forward_into(&graph, &x, &options, &mut out).unwrap();
                let difference = difference(out.data(), &expected);
                assert!(difference <= RELATIVE, "{name}, graph {g}, block {block}: {difference}");
            }
            // The last nodes first: what some nodes depend on is found, and results come in the order asked.
            let nodes: Vec<u32> = (0..graph.nodes()).rev().collect();
            let few = model.forward_nodes(&graph, &x, &nodes[..2], &Options::default()).unwrap();
            let width = few.cols();
            let expected = [nodes[0], nodes[1]].map(|node| &expected[node as usize * width..][..width]);
            let difference = difference(few.data(), &expected.concat());
            assert!(difference <= RELATIVE, "{name}, graph {g}, the last two nodes: {difference}");
        }
    }
}

#[test]
fn aggregators_equal_those_of_torch() {
    use AggregatorDescription::{Attention, Lstm, Max, Mean, Min, Set2Set, Sum};
    let bytes = bytes("aggregators");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let messages = numbers(&file, "messages");
    let width = 4;
    let mut scratch = AggregatorScratch::default();
    for (name, description) in [
        ("sum", Sum),
        ("mean", Mean),
        ("max", Max),
        ("min", Min),
        ("lstm", Lstm { width, hidden: 3 }),
        ("attention", Attention { width, heads: 2 }),
        ("attention_one_head", Attention { width, heads: 1 }),
        ("set2set", Set2Set { width, steps: 3 }),
    ] {
        let weights = parameters(&file, &format!("{name}.param."));
        let aggregator = Aggregator::new(&description, &weights).unwrap();
        let mut out = vec![f32::NAN; aggregator.output_width(width).unwrap()];
        for count in 0..7 {
            aggregator.aggregate(&messages[..count * width], width, &mut scratch, &mut out);
            let difference = difference(&out, &numbers(&file, &format!("{name}.{count}.out")));
            assert!(difference <= RELATIVE, "{name}, {count} messages: {difference}");
        }
    }
}
