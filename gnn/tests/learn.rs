//! Training of models of layers.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use redknot_gnn::layers::{GnnError, Graph, LayerType, Matrix, ModelDescription, SageAggregator, Weights};
use redknot_gnn::learn::{
    Features, LearnError, LearnOptions, LearnProgress, Learned, LinkPrediction, NodeClassification,
    Selection, split_links,
};

const SEED: u64 = 17;
const NODES: usize = 120;
const CLASSES: usize = 3;
const DIM: usize = 8;

/// Communities: nodes are linked to others of their class, and their features say little of it.
struct Communities {
    graph: Graph,
    features: Matrix,
    labels: Vec<u32>,
    nodes: Vec<u32>,
}

impl Communities {
    fn new() -> Communities {
        println!("seed {SEED}");
        let mut rng = fastrand::Rng::with_seed(SEED);
        let labels: Vec<u32> = (0..NODES).map(|node| (node % CLASSES) as u32).collect();
        let mut edges = Vec::new();
        // The last two nodes have no links.
        for a in 0..NODES as u32 - 2 {
            for _ in 0..4 {
                let b = loop {
                    let b = rng.u32(..NODES as u32 - 2);
                    if labels[b as usize] == labels[a as usize] || rng.f32() < 0.05 {
                        break b;
                    }
                };
                edges.extend([(a, b), (b, a)]);
            }
        }
        let mut features = Matrix::zeros(NODES, DIM);
        for (node, row) in features.data_mut().chunks_exact_mut(DIM).enumerate() {
            row.iter_mut().for_each(|x| *x = rng.f32() - 0.5);
            row[labels[node] as usize] += 0.5;
        }
        let mut nodes: Vec<u32> = (0..NODES as u32).collect();
        rng.shuffle(&mut nodes);
        let graph = Graph::from_edges(NODES as u32, &edges, None, None).unwrap();
        Communities { graph, features, labels, nodes }
    }

    fn task(&self) -> NodeClassification<'_> {
        NodeClassification {
            graph: &self.graph,
            features: Features::Dense(&self.features),
            labels: &self.labels,
            training: &self.nodes[..30],
            validation: &self.nodes[30..60],
            test: &self.nodes[60..],
        }
    }
}

fn models() -> Vec<ModelDescription> {
    let new = |layer_type| ModelDescription::new(layer_type, 2, DIM, 16, CLASSES);
    let sage = |aggregator| ModelDescription { aggregator, ..new(LayerType::GraphSage) };
    vec![
        new(LayerType::Gcn),
        sage(SageAggregator::Mean),
        ModelDescription { sample_size: Some(3), ..sage(SageAggregator::MaxPool) },
        sage(SageAggregator::Lstm),
        sage(SageAggregator::Gcn),
        ModelDescription { heads: 4, dropout: 0.2, attention_dropout: 0.2, ..new(LayerType::Gat) },
        ModelDescription { train_eps: true, ..new(LayerType::Gin) },
        ModelDescription { heads: 2, ..new(LayerType::RuVector) },
    ]
}

fn go_on(_: LearnProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn options() -> LearnOptions {
    LearnOptions { epochs: 80, selection: Selection::Score, seed: SEED, ..LearnOptions::default() }
}

#[test]
fn communities_are_told_apart() {
    let communities = Communities::new();
    for model in models() {
        let Learned { weights, report } = communities.task().train(&model, &options(), &go_on).unwrap();
        weights.check(&model).unwrap();
        let name = format!("{} {:?}", model.layer_type, model.aggregator);
        let score = report.test_score.unwrap();
        assert!(score > 0.75, "{name}: {score}");
        assert_eq!(report.validation_score, report.epochs[report.best_epoch].validation_score);
        assert!(report.epochs.iter().all(|epoch| epoch.validation_score <= report.validation_score));
        let losses: Vec<f32> = report.epochs.iter().map(|epoch| epoch.training_loss).collect();
        assert!(losses[losses.len() - 1] < 0.8 * losses[0], "{name}: {losses:?}");
    }
}

#[test]
fn a_seed_says_everything() {
    let communities = Communities::new();
    for model in models() {
        let model = ModelDescription { dropout: 0.3, ..model };
        let train = |seed| {
            let options = LearnOptions { seed, epochs: 8, ..options() };
            communities.task().train(&model, &options, &go_on).unwrap()
        };
        let (first, second) = (train(1), train(1));
        assert_eq!(first.weights, second.weights);
        assert_eq!(first.report.epochs, second.report.epochs);
        assert_ne!(first.weights, train(2).weights);
    }
}

#[test]
fn training_stops_when_nothing_gets_better() {
    let communities = Communities::new();
    let model = &models()[0];
    let options = LearnOptions { learning_rate: 1.0, patience: 5, epochs: 500, ..options() };
    let report = communities.task().train(model, &options, &go_on).unwrap().report;
    assert!(report.stopped_early && report.epochs.len() < 500);
}

#[test]
fn training_can_be_cancelled() {
    let communities = Communities::new();
    let seen = AtomicUsize::new(0);
    let stop = |progress: LearnProgress| {
        assert_eq!((progress.done, progress.total), (seen.fetch_add(1, Ordering::Relaxed) + 1, 80));
        if progress.done == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = communities.task().train(&models()[0], &options(), &stop).unwrap_err();
    assert!(matches!(error, LearnError::Cancelled));
    assert_eq!(seen.into_inner(), 3);
}

#[test]
fn decay_makes_weights_small() {
    let communities = Communities::new();
    let length = |weight_decay: f64| {
        let options = LearnOptions { weight_decay, epochs: 30, patience: 1000, ..options() };
        let options = LearnOptions { selection: Selection::Loss, ..options };
        let weights = communities.task().train(&models()[0], &options, &go_on).unwrap().weights;
        weights.iter().flat_map(|(_, tensor)| tensor.data()).map(|x| x * x).sum::<f32>()
    };
    assert!(length(1.0) < 0.9 * length(0.0));
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let communities = Communities::new();
    let (task, model) = (communities.task(), &models()[0]);
    let refused = |task: NodeClassification<'_>| task.train(model, &options(), &go_on).unwrap_err();
    let error = refused(NodeClassification { training: &[], ..task });
    assert!(matches!(error, LearnError::Empty { what: "nodes to learn from" }), "{error}");
    let error = refused(NodeClassification { validation: &[], ..task });
    assert!(matches!(error, LearnError::Empty { what: "nodes to validate by" }), "{error}");
    let error = refused(NodeClassification { test: &communities.nodes[25..], ..task });
    assert!(matches!(error, LearnError::Overlap { first: "training", second: "test", .. }), "{error}");
    let error = refused(NodeClassification { validation: &[NODES as u32], ..task });
    assert!(
        matches!(error, LearnError::MissingNode { part: "validation", node: 120, nodes: 120 }),
        "{error}"
    );
    let error = refused(NodeClassification { labels: &communities.labels[1..], ..task });
    assert!(matches!(error, LearnError::Gnn(GnnError::Shape { expected: 120, got: 119, .. })), "{error}");
    let mut labels = communities.labels.clone();
    labels[communities.nodes[0] as usize] = 3;
    let error = refused(NodeClassification { labels: &labels, ..task });
    assert!(matches!(error, LearnError::Label { got: 3, classes: 3, .. }), "{error}");
    let narrow = Matrix::zeros(NODES, DIM - 1);
    let error = refused(NodeClassification { features: Features::Dense(&narrow), ..task });
    assert!(matches!(error, LearnError::Gnn(GnnError::Shape { expected: DIM, .. })), "{error}");
    let mut nan = communities.features.clone();
    nan.data_mut()[3 * DIM + 1] = f32::NAN;
    let error = refused(NodeClassification { features: Features::Dense(&nan), ..task });
    assert!(matches!(error, LearnError::Gnn(GnnError::NotFinite { index: 3, .. })), "{error}");
    let with = |options| task.train(model, &options, &go_on).unwrap_err();
    let error = with(LearnOptions { memory_bytes: 1000, ..options() });
    assert!(matches!(error, LearnError::Memory { limit: 1000, needed } if needed > 1000), "{error}");
    let wide = ModelDescription { hidden_dim: 1 << 16, input_dim: DIM, num_layers: 9, ..model.clone() };
    let error = task.train(&wide, &options(), &go_on).unwrap_err();
    assert!(matches!(error, LearnError::Memory { .. }), "{error}");
    let error = with(LearnOptions { patience: 0, ..options() });
    assert!(matches!(error, LearnError::Gnn(GnnError::Config { name: "patience", .. })), "{error}");
}

#[test]
fn a_graph_without_edges_can_be_learned_from() {
    let communities = Communities::new();
    let graph = Graph::from_edges(NODES as u32, &[], None, None).unwrap();
    let task = NodeClassification { graph: &graph, ..communities.task() };
    for model in models() {
        let model = ModelDescription { self_loops: false, ..model };
        let options = LearnOptions { epochs: 3, ..options() };
        let learned = task.train(&model, &options, &go_on).unwrap();
        assert_eq!(learned.report.epochs.len(), 3);
    }
}

#[test]
fn numbers_that_are_none_end_training() {
    let communities = Communities::new();
    let mut huge = communities.features.clone();
    huge.data_mut().iter_mut().for_each(|x| *x *= 1e38);
    let task = NodeClassification { features: Features::Dense(&huge), ..communities.task() };
    let error = task.train(&models()[6], &options(), &go_on).unwrap_err();
    assert!(matches!(error, LearnError::Diverged { .. }), "{error}");
}

#[test]
fn links_are_told_from_pairs_without_one() {
    let communities = Communities::new();
    let split = split_links(&communities.graph, 0.1, 0.2, SEED).unwrap();
    let links = LinkPrediction {
        graph: &split.graph,
        features: Features::Dense(&communities.features),
        training: &split.training,
        validation: &split.validation,
        test: &split.test,
    };
    for model in models() {
        let model = ModelDescription { output_dim: 16, ..model };
        let Learned { weights, report } = links.train(&model, &options(), &go_on).unwrap();
        weights.check(&model).unwrap();
        assert!(report.test_score.unwrap() > 0.7, "{}: {:?}", model.layer_type, report.test_score);
    }
    let model = &models()[0];
    let train = || links.train(model, &LearnOptions { epochs: 5, ..options() }, &go_on).unwrap().weights;
    assert_eq!(train(), train());
    let refused = |links: LinkPrediction<'_>| links.train(model, &options(), &go_on).unwrap_err();
    let error = refused(LinkPrediction { training: &[], ..links });
    assert!(matches!(error, LearnError::Empty { what: "links to learn from" }), "{error}");
    let error = refused(LinkPrediction { test: &split.training[..1], ..links });
    assert!(matches!(error, LearnError::Overlap { first: "training", second: "test", .. }), "{error}");
    let error = refused(LinkPrediction { test: &[(3, 120)], ..links });
    assert!(matches!(error, LearnError::MissingNode { part: "test", node: 120, .. }), "{error}");
}

#[test]
fn a_graph_without_pairs_to_tell_apart_is_refused() {
    let edges: Vec<(u32, u32)> = (0..4).flat_map(|a| (0..4).map(move |b| (a, b))).collect();
    let graph = Graph::from_edges(4, &edges, None, None).unwrap();
    let features = Matrix::zeros(4, DIM);
    let links = LinkPrediction {
        graph: &graph,
        features: Features::Dense(&features),
        training: &[(0, 1)],
        validation: &[(2, 3)],
        test: &[],
    };
    let error = links.train(&models()[0], &options(), &go_on).unwrap_err();
    assert!(matches!(error, LearnError::TooDense { wanted: 1, got: 0 }), "{error}");
}

#[test]
fn weights_of_a_trained_model_survive_a_file() {
    let communities = Communities::new();
    let model = &models()[5];
    let options = LearnOptions { epochs: 3, ..options() };
    let weights = communities.task().train(model, &options, &go_on).unwrap().weights;
    let bytes = weights.to_safetensors(model).unwrap();
    assert_eq!(Weights::from_safetensors(&bytes).unwrap(), (weights, Some(model.clone())));
}
