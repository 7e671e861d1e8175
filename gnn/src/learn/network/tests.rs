//! Gradients of whole models.

use candle_core::{Device, Tensor, Var};
use fastrand::Rng;

use super::*;
use crate::layers::{Graph, LayerType, Matrix, SageAggregator};
use crate::learn::{Features, SparseMatrix};

const NODES: u32 = 12;
const INPUT: usize = 6;
const EDGE_DIM: usize = 3;
const SEED: u64 = 21;

/// Every kind of layer, two of them deep.
fn variants() -> Vec<(&'static str, ModelDescription)> {
    let new = |layer_type| {
        let description = ModelDescription::new(layer_type, 2, INPUT, 8, 4);
        ModelDescription { activation: Activation::Elu, ..description }
    };
    let sage = |aggregator| ModelDescription { aggregator, ..new(LayerType::GraphSage) };
    let gat = || ModelDescription { heads: 2, ..new(LayerType::Gat) };
    vec![
        ("gcn", new(LayerType::Gcn)),
        ("gcn, plain", ModelDescription { normalize: false, ..new(LayerType::Gcn) }),
        ("gcn, no loops", ModelDescription { self_loops: false, bias: false, ..new(LayerType::Gcn) }),
        ("sage, mean", sage(SageAggregator::Mean)),
        ("sage, l2", ModelDescription { l2_normalize: true, ..sage(SageAggregator::Mean) }),
        ("sage, max", sage(SageAggregator::MaxPool)),
        ("sage, lstm", sage(SageAggregator::Lstm)),
        ("sage, gcn", sage(SageAggregator::Gcn)),
        ("gat", gat()),
        ("gat, mean", ModelDescription { concat: false, output_heads: 3, ..gat() }),
        ("gat, edges", ModelDescription { edge_dim: Some(EDGE_DIM), ..gat() }),
        ("gat, no loops", ModelDescription { self_loops: false, output_concat: true, ..gat() }),
        ("gin", ModelDescription { train_eps: true, eps: 0.3, ..new(LayerType::Gin) }),
        (
            "gin, deep",
            ModelDescription { mlp_layers: 3, mlp_hidden: Some(5), eps: 0.1, ..new(LayerType::Gin) },
        ),
        ("ruvector", ModelDescription { heads: 2, num_hops: 2, ..new(LayerType::RuVector) }),
    ]
}

/// With weights and features of edges, edges from nodes to themselves, edges twice, and nodes without any.
fn graph(rng: &mut Rng) -> Graph {
    let mut edges: Vec<(u32, u32)> = (0..40).map(|_| (rng.u32(..NODES), rng.u32(..NODES - 3))).collect();
    edges.extend([(2, 2), (5, 5), (5, 5), edges[0]]);
    let weights: Vec<f32> = edges.iter().map(|_| 0.2 + rng.f32()).collect();
    let features = random(edges.len(), EDGE_DIM, rng);
    Graph::from_edges(NODES, &edges, Some(&weights), Some(&features)).unwrap()
}

fn random(rows: usize, cols: usize, rng: &mut Rng) -> Matrix {
    Matrix::new(rows, cols, (0..rows * cols).map(|_| 2.0 * rng.f32() - 1.0).collect()).unwrap()
}

fn tensor(matrix: &Matrix) -> Tensor {
    Tensor::from_slice(matrix.data(), (matrix.rows(), matrix.cols()), &Device::Cpu).unwrap()
}

/// Weights none of which is 0.
fn weights(model: &ModelDescription, rng: &mut Rng) -> Weights {
    let mut weights = Weights::default();
    for (name, shape) in model.parameters().unwrap() {
        let numbers = (0..shape.iter().product()).map(|_| 1.2 * rng.f32() - 0.6).collect();
        weights.insert(name, layers::Tensor::new(shape, numbers).unwrap());
    }
    weights
}

/// Along a random direction, the values of a function change as its gradient says.
#[test]
fn gradients_are_slopes() {
    println!("seed {SEED}");
    for (name, model) in variants() {
        let mut rng = Rng::with_seed(SEED);
        let graph = graph(&mut rng);
        let network = Network::new(&model, &weights(&model, &mut rng)).unwrap();
        let prepared = Prepared::new(&graph, &model).unwrap();
        let x = Var::from_tensor(&tensor(&random(NODES as usize, INPUT, &mut rng))).unwrap();
        let factors = tensor(&random(NODES as usize, 4, &mut rng));
        let value = || {
            let input = Input::Hidden(x.as_tensor().clone());
            let outputs = network.forward(&prepared, &input, &mut Dropout::off()).unwrap();
            (outputs * &factors).unwrap().sum_all().unwrap()
        };
        let gradients = value().backward().unwrap();
        for (parameter, var) in network.variables().chain([("x", &x)]) {
            let direction: Vec<f32> = (0..var.elem_count()).map(|_| 2.0 * rng.f32() - 1.0).collect();
            let direction = Tensor::from_vec(direction, var.shape(), &Device::Cpu).unwrap();
            let gradient = gradients.get(var).unwrap();
            let expected = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            let start = var.as_tensor().copy().unwrap();
            let at = |step: f64| {
                var.set(&(&start + (&direction * step).unwrap()).unwrap()).unwrap();
                value().to_scalar::<f32>().unwrap()
            };
            let slope = (at(2e-3) - at(-2e-3)) / 4e-3;
            at(0.0);
            let off = (slope - expected).abs();
            assert!(off < 0.02 * (0.5 + expected.abs()), "{name}, {parameter}: {slope}, gradient {expected}");
        }
    }
}

/// What is trained is what is run later.
#[cfg(feature = "gnn-all")]
#[test]
fn models_compute_what_was_trained() {
    println!("seed {SEED}");
    for (name, model) in variants() {
        let mut rng = Rng::with_seed(SEED);
        let graph = graph(&mut rng);
        let weights = weights(&model, &mut rng);
        let x = random(NODES as usize, INPUT, &mut rng);
        let network = Network::new(&model, &weights).unwrap();
        let input = Input::new(Features::Dense(&x)).unwrap();
        let prepared = Prepared::new(&graph, &model).unwrap();
        let trained = network.forward(&prepared, &input, &mut Dropout::off()).unwrap();
        assert_eq!(network.weights().unwrap(), weights);
        let run = layers::Model::new(&model, &weights).unwrap();
        let run = run.forward(&graph, &x, &layers::Options::default()).unwrap();
        let scale = run.data().iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (a, b) in trained.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().zip(run.data()) {
            assert!((a - b).abs() <= 1e-5 * scale, "{name}: {a}, {b}");
        }
    }
}

#[test]
fn sparse_features_are_dense_ones_with_zeros() {
    println!("seed {SEED}");
    for (name, model) in variants() {
        let mut rng = Rng::with_seed(SEED);
        let graph = graph(&mut rng);
        let network = Network::new(&model, &weights(&model, &mut rng)).unwrap();
        let prepared = Prepared::new(&graph, &model).unwrap();
        let (mut indptr, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut dense = Matrix::zeros(NODES as usize, INPUT);
        for row in 0..NODES as usize {
            for column in (0..INPUT).filter(|column| (row + column).is_multiple_of(3)) {
                let value = rng.f32();
                columns.push(column as u32);
                values.push(value);
                dense.data_mut()[row * INPUT + column] = value;
            }
            indptr.push(columns.len());
        }
        let sparse = SparseMatrix::new(INPUT, indptr, columns, values).unwrap();
        let factors = tensor(&random(NODES as usize, 4, &mut rng));
        let outputs = |features| {
            let input = Input::new(features).unwrap();
            let outputs = network.forward(&prepared, &input, &mut Dropout::off()).unwrap();
            let gradients = (&outputs * &factors).unwrap().sum_all().unwrap().backward().unwrap();
            let gradients = network.variables().map(|(_, var)| gradients.get(var).unwrap().clone());
            [outputs].into_iter().chain(gradients).collect::<Vec<Tensor>>()
        };
        let both = outputs(Features::Dense(&dense)).into_iter().zip(outputs(Features::Sparse(&sparse)));
        for (dense, sparse) in both {
            let scale = dense.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            let off = (dense - sparse).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(off <= 1e-5 * scale + 1e-7, "{name}: off by {off} of {scale}");
        }
    }
}

#[test]
fn dropout_keeps_sums_on_the_average() {
    let ones = Tensor::ones((200, 50), candle_core::DType::F32, &Device::Cpu).unwrap();
    let mut dropout = Dropout::new(Rng::with_seed(SEED));
    let kept = dropout.apply(&ones, 0.6).unwrap();
    let numbers = kept.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(numbers.iter().all(|x| *x == 0.0 || (*x - 2.5).abs() < 1e-6));
    let mean = numbers.iter().sum::<f32>() / numbers.len() as f32;
    assert!((mean - 1.0).abs() < 0.05, "{mean}");
    let off = Dropout::off().apply(&ones, 0.6).unwrap();
    assert_eq!(off.to_vec2::<f32>().unwrap(), ones.to_vec2::<f32>().unwrap());
}

#[test]
fn few_neighbours_are_drawn() {
    let mut rng = Rng::with_seed(SEED);
    let graph = graph(&mut rng);
    let model = ModelDescription::new(LayerType::GraphSage, 1, INPUT, 8, 4);
    let all = Prepared::new(&graph, &model).unwrap();
    let drawn = all.sampled(2, &mut rng);
    for target in 0..NODES as usize {
        let (few, of_all) = (drawn.edges.edges_of(target).len(), all.edges.edges_of(target).len());
        assert_eq!(few, of_all.min(2));
        let sources: Vec<usize> = all.edges.incoming(target).map(|(_, source)| source).collect();
        assert!(drawn.edges.incoming(target).all(|(_, source)| sources.contains(&source)));
        let sum: f32 = drawn.edges.edges_of(target).map(|edge| drawn.weights.as_ref().unwrap()[edge]).sum();
        assert!(few == 0 || (sum - 1.0).abs() < 1e-6);
    }
}
