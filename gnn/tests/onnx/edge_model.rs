//! The contract of edge scoring.

use std::thread;

use prost::Message;
use redknot_gnn::onnx::{Backend, MAX_EDGES, OnnxEdgeModel, OnnxError, onnx_runtime_problem};

use crate::build::{EDGE_DIM, Mlp, NODE_DIM, QUERY_DIM, floats, info, inputs, model, node};

/// Those that there are.
fn backends() -> Vec<Backend> {
    match onnx_runtime_problem() {
        None => vec![Backend::Tract, Backend::OnnxRuntime],
        Some(_) => vec![Backend::Tract],
    }
}

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| rng.f32() - 0.5).collect()
}

#[test]
fn scores_are_those_of_the_network_for_any_number_of_edges() {
    let mlp = Mlp::random(1);
    for backend in backends() {
        let model = OnnxEdgeModel::from_bytes_on(&mlp.bytes(), backend).unwrap();
        assert_eq!(model.backend(), backend);
        assert_eq!((model.node_dim(), model.edge_dim(), model.query_dim()), (NODE_DIM, EDGE_DIM, QUERY_DIM));
        let (node, query) = (numbers(NODE_DIM, 2), numbers(QUERY_DIM, 3));
        let mut scores = vec![7.0];
        for edges in [1, 2, 32, 33, 500, 0] {
            let features = numbers(edges * EDGE_DIM, 4 + edges as u64);
            model.score(&node, &features, &query, &mut scores).unwrap();
            assert_eq!(scores.len(), edges);
            for (score, edge) in scores.iter().zip(features.chunks(EDGE_DIM)) {
                let expected = mlp.score(&node, edge, &query);
                assert!((score - expected).abs() <= 1e-5, "{backend}: {score}, expected {expected}");
            }
        }
    }
}

#[test]
fn many_threads_get_the_same_scores_as_one() {
    let (node, query) = (numbers(NODE_DIM, 2), numbers(QUERY_DIM, 3));
    let features = numbers(32 * EDGE_DIM, 5);
    for backend in backends() {
        let model = OnnxEdgeModel::from_bytes_on(&Mlp::random(1).bytes(), backend).unwrap();
        let score = || {
            let mut scores = Vec::new();
            model.score(&node, &features, &query, &mut scores).unwrap();
            scores
        };
        let alone = score();
        thread::scope(|scope| {
            let threads: Vec<_> =
                (0..16).map(|_| scope.spawn(|| (0..20).map(|_| score()).collect::<Vec<_>>())).collect();
            for thread in threads {
                assert!(thread.join().unwrap().iter().all(|scores| *scores == alone));
            }
        });
    }
}

#[test]
fn inputs_of_the_wrong_length_are_refused() {
    let model = OnnxEdgeModel::from_bytes(&Mlp::random(1).bytes()).unwrap();
    let (node, edges, query) = ([0.5; NODE_DIM], [0.5; 2 * EDGE_DIM], [0.5; QUERY_DIM]);
    let mut scores = Vec::new();
    let mut refused = |node: &[f32], edges: &[f32], query: &[f32], expected: usize| {
        scores.push(1.0);
        match model.score(node, edges, query, &mut scores) {
            Err(OnnxError::Shape { expected: found, .. }) => assert_eq!(found, expected),
            other => panic!("{other:?}"),
        }
        assert!(scores.is_empty());
    };
    refused(&node[1..], &edges, &query, NODE_DIM);
    refused(&[], &edges, &query, NODE_DIM);
    refused(&node, &edges[1..], &query, EDGE_DIM);
    refused(&node, &edges, &[0.5; QUERY_DIM + 1], QUERY_DIM);
    let many = vec![0.0; (MAX_EDGES + 1) * EDGE_DIM];
    let error = model.score(&node, &many, &query, &mut scores).unwrap_err();
    assert!(matches!(error, OnnxError::TooManyEdges { got, .. } if got == MAX_EDGES + 1), "{error}");
}

#[test]
fn scores_that_are_no_numbers_are_refused() {
    let mut graph = Mlp::random(1).graph();
    // log(x) for a negative x.
    graph.node.last_mut().unwrap().output = vec!["raw".into()];
    graph.node.push(node("Log", &["raw"], "edge_scores"));
    let file = model(graph).encode_to_vec();
    for backend in backends() {
        let model = OnnxEdgeModel::from_bytes_on(&file, backend).unwrap();
        let mut scores = Vec::new();
        let edges = numbers(64 * EDGE_DIM, 9);
        let error = model.score(&[0.1; NODE_DIM], &edges, &[0.1; QUERY_DIM], &mut scores).unwrap_err();
        assert!(matches!(error, OnnxError::NotFinite { what: "edge_scores", .. }), "{error}");
        assert!(scores.is_empty());
    }
}

#[test]
fn a_model_without_one_score_for_each_edge_is_refused_at_once() {
    for backend in backends() {
        for (operator, inputs_of, shape) in
            [("Identity", "query", &[-1][..]), ("Identity", "edge_features", &[-1])]
        {
            let mut graph = Mlp::random(1).graph();
            graph.node = vec![node(operator, &[inputs_of], "edge_scores")];
            graph.output = vec![info("edge_scores", shape)];
            let opened = OnnxEdgeModel::from_bytes_on(&model(graph).encode_to_vec(), backend);
            // Runtimes may find that the shape is another than the file says before it is run.
            let error = opened.unwrap_err();
            assert!(matches!(error, OnnxError::Scores { .. } | OnnxError::Runtime { .. }), "{error}");
        }
    }
}

#[test]
fn scores_may_be_a_column() {
    for backend in backends() {
        let mut graph = Mlp::random(1).graph();
        graph.node = vec![node("MatMul", &["edge_features", "column"], "edge_scores")];
        graph.initializer = vec![floats("column", &[EDGE_DIM, 1], &[1.0, 2.0, 3.0])];
        graph.output = vec![info("edge_scores", &[-1, 1])];
        let model = OnnxEdgeModel::from_bytes_on(&model(graph).encode_to_vec(), backend).unwrap();
        let mut scores = Vec::new();
        model
            .score(&[0.0; NODE_DIM], &[1.0, 1.0, 1.0, 0.0, 0.0, 2.0], &[0.0; QUERY_DIM], &mut scores)
            .unwrap();
        assert_eq!(scores, [6.0, 6.0]);
    }
}

#[test]
fn other_contracts_are_refused() {
    let graph = || Mlp::random(1).graph();
    let mut renamed = graph();
    renamed.input[2].name = "question".into();
    for node in &mut renamed.node {
        node.input.iter_mut().filter(|name| *name == "query").for_each(|name| *name = "question".into());
    }
    let mut extra = graph();
    extra.input.push(info("more", &[1, 1]));
    let mut fixed = graph();
    fixed.input[1] = info("edge_features", &[32, EDGE_DIM as i64]);
    let mut open = graph();
    open.input[0] = info("node_features", &[1, -1]);
    let mut flat = graph();
    flat.input[0] = info("node_features", &[NODE_DIM as i64]);
    let mut two = graph();
    two.output.push(info("hidden", &[-1, 8]));
    let mut missing = graph();
    missing.input = inputs()[..2].to_vec();
    missing.initializer.push(floats("query", &[1, QUERY_DIM], &[0.0; QUERY_DIM]));
    for graph in [renamed, extra, fixed, open, flat, two, missing] {
        let error = OnnxEdgeModel::from_bytes(&model(graph).encode_to_vec()).unwrap_err();
        assert!(matches!(error, OnnxError::Contract { .. }), "{error}");
    }
}
