//! Damaged files: an error, or a model that works. Never a panic, never the end of the process.

use redknot_gnn::onnx::{
    Backend, Imported, Metadata, OnnxEdgeModel, export_key_model, import_model, onnx_runtime_problem,
};

use crate::build::{EDGE_DIM, Mlp, NODE_DIM, QUERY_DIM};
use crate::support::random_model;

const SEED: u64 = 20_240_917;

/// Truncated, with some bytes replaced, or with a piece taken out.
pub(crate) fn mutated(file: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = file.to_vec();
    match rng.u8(..8) {
        0 => bytes.truncate(rng.usize(..bytes.len())),
        1 => {
            let start = rng.usize(..bytes.len());
            let end = (start + rng.usize(1..20)).min(bytes.len());
            bytes.drain(start..end);
        }
        2 => {
            let at = rng.usize(..bytes.len());
            bytes.insert(at, rng.u8(..));
        }
        _ => {
            for _ in 0..rng.usize(1..6) {
                let at = rng.usize(..bytes.len());
                bytes[at] = if rng.bool() { rng.u8(..) } else { bytes[at] ^ 1 << rng.u8(..8) };
            }
        }
    }
    bytes
}

pub(crate) fn random_bytes(rng: &mut fastrand::Rng) -> Vec<u8> {
    (0..rng.usize(..300)).map(|_| rng.u8(..)).collect()
}

#[test]
fn damaged_key_models_are_refused_or_whole() {
    println!("seed {SEED}");
    let mut rng = fastrand::Rng::with_seed(SEED);
    let file = export_key_model(&random_model(7, 5, 32, 1), &Metadata::new()).unwrap();
    let mut whole = 0;
    for round in 0..2000 {
        let bytes = if round % 10 == 0 { random_bytes(&mut rng) } else { mutated(&file, &mut rng) };
        match import_model(&bytes) {
            Ok((Imported::KeyModel(model), _)) => {
                model.check().unwrap();
                whole += 1;
            }
            Ok((Imported::Projection(projection), _)) => projection.check().unwrap(),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    // Damage to names of nodes and the like does not matter; damage to the content does.
    assert!(whole < 1500, "{whole} of 2000 damaged files were taken for whole");
}

#[test]
fn damaged_edge_models_are_refused_or_run() {
    println!("seed {SEED}");
    let mut rng = fastrand::Rng::with_seed(SEED);
    let file = Mlp::random(1).bytes();
    let backends: &[Backend] = match onnx_runtime_problem() {
        None => &[Backend::Tract, Backend::OnnxRuntime],
        Some(_) => &[Backend::Tract],
    };
    let mut refused = 0;
    for round in 0..600 {
        let bytes = if round % 10 == 0 { random_bytes(&mut rng) } else { mutated(&file, &mut rng) };
        for &backend in backends {
            let Ok(model) = OnnxEdgeModel::from_bytes_on(&bytes, backend) else {
                refused += 1;
                continue;
            };
            let (node, query) = (vec![0.1; model.node_dim()], vec![0.1; model.query_dim()]);
            let mut scores = Vec::new();
            for edges in [1, 3, 32] {
                let features = vec![0.1; edges * model.edge_dim()];
                if model.score(&node, &features, &query, &mut scores).is_ok() {
                    assert!(scores.len() == edges && scores.iter().all(|score| score.is_finite()));
                }
            }
        }
    }
    assert!(refused > 60 * backends.len(), "{refused} refused");
    let whole = OnnxEdgeModel::from_bytes(&file).unwrap();
    assert_eq!((whole.node_dim(), whole.edge_dim(), whole.query_dim()), (NODE_DIM, EDGE_DIM, QUERY_DIM));
}
