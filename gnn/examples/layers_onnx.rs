//! Every kind of model of layers as an ONNX file, with what it computes on a random graph: `layers_onnx DIR`.
//!
//! Writes `NAME.onnx` and, for each of its inputs and for what redknot computes, `NAME.INPUT.npy` and `NAME.expected.npy`.
//! `tests/onnx/check_layers.py` has the ONNX Runtime compute the same.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use npyz::{AutoSerialize, WriterBuilder};
use redknot_gnn::layers::{
    Activation, Graph, LayerType, Matrix, Model, ModelDescription, Options, SageAggregator, Tensor, Weights,
};
use redknot_gnn::onnx::{Metadata, export_layers};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SEED: u64 = 5;
const NODES: u32 = 200;
const EDGES: usize = 900;
const INPUT: usize = 12;
const EDGE_DIM: usize = 3;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: layers_onnx DIR")?);
    std::fs::create_dir_all(&folder)?;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut random = |count: usize| -> Vec<f32> { (0..count).map(|_| 2.0 * rng.f32() - 1.0).collect() };
    let x = Matrix::new(NODES as usize, INPUT, random(NODES as usize * INPUT))?;
    let weights_of_edges: Vec<f32> = random(EDGES).iter().map(|weight| weight.abs() + 0.1).collect();
    let features = Matrix::new(EDGES, EDGE_DIM, random(EDGES * EDGE_DIM))?;
    let edges = edges();
    let graph = Graph::from_edges(NODES, &edges, Some(&weights_of_edges), Some(&features))?;
    let ends: Vec<i64> =
        edges.iter().map(|edge| edge.0).chain(edges.iter().map(|edge| edge.1)).map(i64::from).collect();
    for (name, model) in models() {
        let mut weights = Weights::default();
        for (parameter, shape) in model.parameters()? {
            let numbers = random(shape.iter().product()).iter().map(|x| 0.5 * x).collect();
            weights.insert(parameter, Tensor::new(shape, numbers)?);
        }
        std::fs::write(
            folder.join(name).with_extension("onnx"),
            export_layers(&model, &weights, &Metadata::new())?,
        )?;
        let expected = Model::new(&model, &weights)?.forward(&graph, &x, &Options::default())?;
        let file = |what: &str| folder.join(format!("{name}.{what}.npy"));
        write(&file("x"), &[NODES as usize, INPUT], x.data())?;
        write(&file("edge_index"), &[2, EDGES], &ends)?;
        write(&file("edge_weight"), &[EDGES], &weights_of_edges)?;
        write(&file("edge_attr"), &[EDGES, EDGE_DIM], features.data())?;
        write(&file("expected"), &[NODES as usize, expected.cols()], expected.data())?;
        println!("{name}");
    }
    Ok(())
}

/// Loops, repeated edges and loops, and ten nodes that no edge leads to.
fn edges() -> Vec<(u32, u32)> {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut edges: Vec<(u32, u32)> =
        (0..EDGES - 4).map(|_| (rng.u32(..NODES), rng.u32(..NODES - 10))).collect();
    edges.extend([(3, 3), (7, 7), (7, 7), edges[0]]);
    edges
}

fn models() -> Vec<(&'static str, ModelDescription)> {
    let new = |layer_type| ModelDescription::new(layer_type, 2, INPUT, 8, 5);
    let sage = |aggregator| ModelDescription { aggregator, ..new(LayerType::GraphSage) };
    let gat = || ModelDescription { heads: 4, activation: Activation::Elu, ..new(LayerType::Gat) };
    vec![
        ("gcn", new(LayerType::Gcn)),
        ("gcn_without_loops", ModelDescription { self_loops: false, bias: false, ..new(LayerType::Gcn) }),
        ("gcn_plain", ModelDescription { normalize: false, ..new(LayerType::Gcn) }),
        ("sage_mean", sage(SageAggregator::Mean)),
        ("sage_l2", ModelDescription { l2_normalize: true, ..sage(SageAggregator::Mean) }),
        ("sage_max_pool", sage(SageAggregator::MaxPool)),
        ("sage_gcn", sage(SageAggregator::Gcn)),
        ("gat", gat()),
        ("gat_edges", ModelDescription { edge_dim: Some(EDGE_DIM), output_heads: 3, ..gat() }),
        ("gat_without_loops", ModelDescription { self_loops: false, concat: false, ..gat() }),
        ("gin", ModelDescription { train_eps: true, mlp_layers: 3, ..new(LayerType::Gin) }),
        ("gin_eps", ModelDescription { eps: 0.25, bias: false, ..new(LayerType::Gin) }),
        ("ruvector", ModelDescription { heads: 4, num_hops: 2, ..new(LayerType::RuVector) }),
    ]
}

fn write<T: AutoSerialize + Copy>(path: &Path, shape: &[usize], numbers: &[T]) -> Result<()> {
    let shape: Vec<u64> = shape.iter().map(|length| *length as u64).collect();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&shape)
        .writer(BufWriter::new(File::create(path)?))
        .begin_nd()?;
    writer.extend(numbers.iter().copied())?;
    Ok(writer.finish()?)
}
