//! Outputs and gradients of PyTorch Geometric: `tests/fixtures/layers/generate.py` says how they are computed.

#[path = "../../../tests/fixtures/layers/contents.rs"]
mod contents;

use std::path::PathBuf;

use candle_core::{Device, Tensor, Var};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use contents::{GRAPHS, RELATIVE, VARIANTS, words};

use super::*;
use crate::layers::{Graph, Matrix};

fn numbers(view: &TensorView<'_>) -> Vec<f32> {
    words(view, f32::from_le_bytes)
}

struct Fixture<'f> {
    file: SafeTensors<'f>,
    model: ModelDescription,
}

impl<'f> Fixture<'f> {
    fn read(bytes: &'f [u8]) -> Fixture<'f> {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let model = ModelDescription::from_json(&header.metadata().as_ref().unwrap()["description"]).unwrap();
        Fixture { file: SafeTensors::deserialize(bytes).unwrap(), model }
    }

    fn weights(&self) -> Weights {
        let mut weights = Weights::default();
        for (name, view) in self.file.iter() {
            if let Some(name) = name.strip_prefix("param.") {
                let tensor = layers::Tensor::new(view.shape().to_vec(), numbers(&view)).unwrap();
                weights.insert(name, tensor);
            }
        }
        weights
    }

    fn find(&self, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        let view = self.file.tensor(name).ok()?;
        Some((view.shape().to_vec(), numbers(&view)))
    }

    fn tensor(&self, name: &str) -> Tensor {
        let (shape, numbers) = self.find(name).unwrap();
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    fn graph(&self, at: usize, nodes: usize) -> Graph {
        let view = self.file.tensor(&format!("{at}.edges")).unwrap();
        let ends = words(&view, u32::from_le_bytes);
        let (sources, targets) = ends.split_at(ends.len() / 2);
        let edges: Vec<(u32, u32)> = sources.iter().copied().zip(targets.iter().copied()).collect();
        let weights = self.find(&format!("{at}.weights")).map(|(_, numbers)| numbers);
        let features = self.find(&format!("{at}.edge_features"));
        let features = features.map(|(shape, numbers)| Matrix::new(shape[0], shape[1], numbers).unwrap());
        Graph::from_edges(nodes as u32, &edges, weights.as_deref(), features.as_ref()).unwrap()
    }
}

/// The largest number without its sign, NaN if one is: `Tensor::max_all` would hide it.
fn most(x: &Tensor) -> f32 {
    let numbers = x.abs().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    numbers.into_iter().max_by(f32::total_cmp).unwrap()
}

/// The largest difference, relative to the largest number expected; NaN where either has a NaN.
fn difference(got: &Tensor, expected: &Tensor) -> f32 {
    // A gradient that is 0 because its terms cancel, as that of what all edges of a softmax share, is not exactly 0 in either
    // precision: below this it is rounding in float64, and relative to 0.1 in float32.
    let scale = if most(expected) < 1e-12 { 0.1 } else { most(expected) };
    most(&(got - expected).unwrap()) / scale
}

#[test]
fn outputs_and_gradients_are_those_of_pytorch_geometric() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/layers");
    let mut wrong = Vec::new();
    for variant in VARIANTS {
        let bytes = std::fs::read(folder.join(variant).with_extension("safetensors")).unwrap();
        let fixture = Fixture::read(&bytes);
        let network = Network::new(&fixture.model, &fixture.weights()).unwrap();
        for at in 0..GRAPHS {
            let x = Var::from_tensor(&fixture.tensor(&format!("{at}.x"))).unwrap();
            let graph = fixture.graph(at, x.dims()[0]);
            let prepared = Prepared::new(&graph, &fixture.model).unwrap();
            let input = Input::Hidden(x.as_tensor().clone());
            let outputs = network.forward(&prepared, &input, &mut Dropout::off()).unwrap();
            let factors = fixture.tensor(&format!("{at}.r"));
            let gradients = (&outputs * &factors).unwrap().sum_all().unwrap().backward().unwrap();
            let mut compare = |what: &str, got: &Tensor, expected: &Tensor| {
                let difference = difference(got, expected);
                // A NaN does not agree, which is why this is not asked the other way round.
                let agrees = difference <= RELATIVE;
                if !agrees {
                    wrong.push(format!("{variant}, graph {at}, {what}: {difference:e} of {expected}"));
                }
            };
            compare("outputs", &outputs, &fixture.tensor(&format!("{at}.out")));
            for (name, var) in network.variables().chain([("x", &x)]) {
                let expected = fixture.tensor(&format!("{at}.grad.{name}"));
                compare(name, gradients.get(var).unwrap(), &expected);
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
