//! Searches that follow an ONNX model.

use std::collections::BTreeSet;

use prost::Message;
use redknot_gnn::online::{Budget, GnnRoutingPolicy, PolicyError, RoutingConfig};
use redknot_gnn::onnx::{OnnxEdgeModel, OnnxError};
use redknot_index::{Metric, SearchParams};
use tract_onnx::pb::{GraphProto, ModelProto, StringStringEntryProto};

use crate::build::{floats, info, model, node};
use crate::home::{DIM, Home, bytes, points};

const EDGE_DIM: usize = 4 + DIM;
const PARAMS: SearchParams = SearchParams { k: 10, ef: 60 };

/// The nearer the target of a link is to the query, the higher its score: sigmoid(−‖target − query‖²).
fn nearer() -> ModelProto {
    let target: Vec<f32> =
        (0..EDGE_DIM * DIM).map(|at| f32::from(u8::from(at / DIM == 4 + at % DIM))).collect();
    model(GraphProto {
        name: "nearer".into(),
        input: vec![
            info("node_features", &[1, 4 + DIM as i64]),
            info("edge_features", &[-1, EDGE_DIM as i64]),
            info("query", &[1, DIM as i64]),
        ],
        output: vec![info("edge_scores", &[-1, 1])],
        initializer: vec![
            floats("target", &[EDGE_DIM, DIM], &target),
            floats("minus", &[DIM, 1], &[-1.0; DIM]),
        ],
        node: vec![
            node("MatMul", &["edge_features", "target"], "targets"),
            node("Sub", &["targets", "query"], "gaps"),
            node("Mul", &["gaps", "gaps"], "squares"),
            node("MatMul", &["squares", "minus"], "nearness"),
            node("Sigmoid", &["nearness"], "edge_scores"),
        ],
        ..GraphProto::default()
    })
}

#[test]
fn a_policy_from_a_file_guides_searches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nearer.onnx");
    std::fs::write(&path, nearer().encode_to_vec()).unwrap();
    let config = RoutingConfig { hybrid_alpha: 1.0, budget: Budget::Unlimited, ..RoutingConfig::default() };
    let policy = GnnRoutingPolicy::from_onnx(&path, config).unwrap();
    let home = Home::new(Metric::L2);
    let queries = points(60, 21);
    home.with(false, |graph| {
        let reader = graph.reader();
        let (mut found, mut greedy) = (0, 0);
        for query in queries.iter().map(|query| bytes(query)) {
            let exact = reader.search_exact(&query, PARAMS.k, None).unwrap().neighbors;
            let exact: BTreeSet<u32> = exact.iter().map(|neighbor| neighbor.id).collect();
            let guided = policy.search(graph, &query, PARAMS).unwrap();
            assert!(guided.guided && guided.inferences > 0, "{:?}", guided.failure);
            let hits = |neighbors: &[redknot_index::Neighbor]| {
                neighbors.iter().filter(|neighbor| exact.contains(&neighbor.id)).count()
            };
            found += hits(&guided.found.neighbors);
            greedy += hits(&reader.search(&query, PARAMS).unwrap().neighbors);
        }
        assert!(found as f64 >= 0.95 * greedy as f64, "{found} of {greedy}");

        // One hop: the order of the scores is that of the targets' distances.
        let links: Vec<u32> = reader.neighbors(0).unwrap().collect();
        let query = bytes(&queries[0]);
        let scored = policy.score_edges(graph, 0, &links, &query).unwrap();
        let mut by_distance = Vec::new();
        let probe = reader.probe(&query).unwrap();
        probe.distances(&links, |neighbor| by_distance.push(neighbor)).unwrap();
        by_distance.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        let order = |ids: &mut dyn Iterator<Item = u32>| ids.take(3).collect::<Vec<_>>();
        assert_eq!(
            order(&mut scored.iter().map(|score| score.target_node)),
            order(&mut by_distance.iter().map(|neighbor| neighbor.id))
        );
    });
    let metrics = policy.metrics();
    assert_eq!((metrics.queries, metrics.fallbacks), (60, 0));
}

#[test]
fn a_file_that_is_no_model_makes_no_policy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.onnx");
    let bytes = nearer().encode_to_vec();
    for broken in [&bytes[..bytes.len() / 2], &[0x5a; 300][..], &[]] {
        std::fs::write(&path, broken).unwrap();
        let made = GnnRoutingPolicy::from_onnx(&path, RoutingConfig::default());
        assert!(matches!(made, Err(PolicyError::Onnx(_))), "{:?}", made.err());
    }
    let missing = GnnRoutingPolicy::from_onnx(folder.path().join("none"), RoutingConfig::default());
    assert!(matches!(missing, Err(PolicyError::Onnx(OnnxError::Read { .. }))), "{:?}", missing.err());
}

#[test]
fn a_model_for_another_metric_is_not_followed() {
    let with_metric = |name: &str| {
        let entry = StringStringEntryProto { key: "redknot.metric".into(), value: name.into() };
        let model = ModelProto { metadata_props: vec![entry], ..nearer() };
        OnnxEdgeModel::from_bytes(&model.encode_to_vec())
    };
    let home = Home::new(Metric::L2);
    let query = bytes(&points(1, 5)[0]);
    let config = RoutingConfig { budget: Budget::Unlimited, ..RoutingConfig::default() };
    for (name, metric) in [("l2", Metric::L2), ("cosine", Metric::Cosine)] {
        let model = with_metric(name).unwrap();
        assert_eq!(model.metric(), Some(metric));
        let policy = GnnRoutingPolicy::new(model, config).unwrap();
        home.with(false, |graph| {
            let answer = policy.search(graph, &query, PARAMS).unwrap();
            let link = graph.reader().neighbors(0).unwrap().next().unwrap();
            let scored = policy.score_edges(graph, 0, &[link], &query);
            if metric == Metric::L2 {
                assert!(answer.guided && scored.is_ok(), "{:?}", answer.failure);
                return;
            }
            let greedy = graph.reader().search(&query, PARAMS).unwrap();
            assert_eq!((answer.guided, &answer.found.neighbors), (false, &greedy.neighbors));
            for failure in [answer.failure, scored.err()] {
                let Some(PolicyError::Metric { expected, got }) = failure else { panic!("{failure:?}") };
                assert_eq!((expected, got), (Metric::Cosine, Metric::L2));
            }
        });
        assert_eq!(policy.metrics().fallbacks, u64::from(metric != Metric::L2));
    }
    let error = with_metric("euclid").unwrap_err();
    assert!(
        matches!(&error, OnnxError::Contract { what: "redknot.metric", got, .. } if got == "euclid"),
        "{error}"
    );
}
