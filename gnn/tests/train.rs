//! Training on small clustered data held in memory.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use redknot_gnn::routing::{AttentionLayer, KeyModel};
use redknot_gnn::train::{
    AttentionOptions, Corpus, Encoder, PcaOptions, Queries, TrainError, TrainOptions, TrainPhase,
    TrainProgress, TrainReport, Trajectories, collect, fit, pca_model, quality, resume, train,
};
use redknot_index::{
    BuildOptions, Element, Error, IndexConfig, IndexRecord, Metric, Permutation, Reader, Writer, build,
};
use redknot_storage::{Options, Storage, WriteTxn};

const DIM: usize = 144;
const NODES: usize = 1000;
const NEIGHBORS: usize = 16;

/// Vectors with the graph of their nearest neighbours.
struct Memory {
    metric: Metric,
    dim: usize,
    rows: Vec<f32>,
    neighbors: Vec<Vec<u32>>,
}

impl Memory {
    fn new(metric: Metric, dim: usize, rows: Vec<f32>) -> Memory {
        let nodes = rows.len() / dim;
        let row = |at: usize| &rows[at * dim..][..dim];
        let neighbors = (0..nodes)
            .map(|at| {
                let mut others: Vec<(f32, u32)> = (0..nodes)
                    .filter(|&other| other != at)
                    .map(|other| {
                        (row(at).iter().zip(row(other)).map(|(a, b)| (a - b) * (a - b)).sum(), other as u32)
                    })
                    .collect();
                others.select_nth_unstable_by(NEIGHBORS, |a, b| a.0.total_cmp(&b.0));
                others[..NEIGHBORS].iter().map(|other| other.1).collect()
            })
            .collect();
        Memory { metric, dim, rows, neighbors }
    }
}

impl Corpus for Memory {
    fn metric(&self) -> Metric {
        self.metric
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn nodes(&self) -> u32 {
        self.neighbors.len() as u32
    }

    fn is_linked(&self, _node: u32) -> Result<bool, TrainError> {
        Ok(true)
    }

    fn read_vector(&self, node: u32, out: &mut [f32]) -> Result<(), TrainError> {
        out.copy_from_slice(&self.rows[node as usize * self.dim..][..self.dim]);
        Ok(())
    }

    fn read_neighbors(&self, node: u32, out: &mut Vec<u32>) -> Result<(), TrainError> {
        out.clone_from(&self.neighbors[node as usize]);
        Ok(())
    }
}

/// Rows around a few centres. Distances between centres lie in other directions than those within a cluster, so that
/// the axes of the largest variance are not those that near nodes differ in.
fn clustered(count: usize, seed: u64) -> Vec<f32> {
    let mut centres = fastrand::Rng::with_seed(17);
    let centres: Vec<Vec<f32>> =
        (0..8).map(|_| (0..DIM / 2).map(|_| (centres.f32() - 0.5) * 6.0).collect()).collect();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut rows = Vec::with_capacity(count * DIM);
    for _ in 0..count {
        let centre = &centres[rng.usize(..centres.len())];
        for at in 0..DIM {
            let width = if at < DIM / 2 { 0.3 } else { 1.5 / (1.0 + (at - DIM / 2) as f32 / 20.0) };
            rows.push(centre.get(at).unwrap_or(&0.0) + (rng.f32() + rng.f32() - 1.0) * width);
        }
    }
    rows
}

/// Embeddings of definitions, of `DEFINITION_DIM` numbers each: real neighbourhoods are what keys are learned for.
fn definitions(range: std::ops::Range<usize>) -> Vec<f32> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/demo/base.npy");
    let bytes = std::fs::read(file).unwrap();
    let rows = &bytes[NPY_HEADER..][range.start * DEFINITION_DIM..range.end * DEFINITION_DIM];
    rows.iter().map(|byte| f32::from(byte.cast_signed())).collect()
}

const DEFINITION_DIM: usize = 384;
const NPY_HEADER: usize = 128;

fn corpus(metric: Metric) -> Memory {
    Memory::new(metric, DIM, clustered(NODES, 1))
}

fn options() -> TrainOptions {
    TrainOptions {
        pca: PcaOptions { key_bytes: Some(32), ..PcaOptions::default() },
        queries: 300,
        near: 30,
        far: 10,
        steps: 120,
        batch_queries: 16,
        batch_nodes: 32,
        learning_rate: 3e-3,
        evaluate_every: 40,
        ..TrainOptions::default()
    }
}

fn go_on(_: TrainProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn layer_numbers(layer: &AttentionLayer) -> [&Vec<f32>; 4] {
    [&layer.weights, &layer.source, &layer.target, &layer.bias]
}

/// The bytes of every number of a model.
fn bytes(model: &KeyModel) -> Vec<u8> {
    let slots = model.slots.iter().flat_map(|slot| [f32::from(slot.coordinate), slot.step]);
    let numbers =
        [model.query_constant, model.lambda, model.kappa, model.nu, model.bias_base, model.bias_step];
    let arrays = [&model.mean, &model.nodes, &model.queries, &model.query_linear];
    let attention = model.attention.iter().flat_map(|attention| {
        let layers = attention.layers.iter().flat_map(layer_numbers);
        layers.chain([&attention.input, &attention.output])
    });
    arrays
        .into_iter()
        .chain(attention)
        .flatten()
        .copied()
        .chain(slots)
        .chain(numbers)
        .flat_map(f32::to_le_bytes)
        .collect()
}

/// The report of training on these queries, once it was seen to have done what every training has to.
fn report(corpus: &Memory, queries: &Queries<'_>, options: &TrainOptions) -> TrainReport {
    let report = train(corpus, queries, options, &go_on).unwrap().report;
    let (first, last) = (report.losses[0], report.losses[report.losses.len() - 1]);
    assert!(last.held_out < first.held_out && last.training < first.training, "{report:?}");
    assert!(report.learned.correlation > report.pca.correlation, "{report:?}");
    // The network and the model that is made of it agree on how good they are.
    let best = report.losses.iter().find(|losses| losses.step == report.best_step).unwrap();
    assert!((best.order - report.learned.order).abs() < 0.01, "{report:?}");
    assert!(best.recall > 0.5 && best.recall <= 1.0 && best.recall > first.recall - 0.02, "{report:?}");
    report
}

#[test]
fn training_orders_near_nodes_better_than_principal_axes_do() {
    let held_out = clustered(100, 3);
    let options = TrainOptions { encoder: Encoder::Linear, ..options() };
    for metric in [Metric::L2, Metric::Cosine] {
        let queries = Queries { training: None, held_out: Some(&held_out) };
        let report = report(&corpus(metric), &queries, &options);
        assert!(report.synthesised && report.training_queries == 300 && report.held_out_queries == 100);
        assert_eq!(report.exact_queries, 400);
        assert!(report.pca.order > 0.6, "{metric}: {report:?}");
        assert!(report.learned.order > report.pca.order + 0.01, "{metric}: {report:?}");
    }
}

/// What biases give back at the mean of the neighbours leaves less to learn, in clusters next to nothing.
#[test]
fn training_goes_beyond_what_the_means_of_neighbours_give_back() {
    let (given, held_out) = (definitions(2000..3000), definitions(3000..3100));
    let queries = Queries { training: Some(&given), held_out: Some(&held_out) };
    let options = TrainOptions { queries: 1000, steps: 400, learning_rate: 1e-3, ..options() };
    for metric in [Metric::L2, Metric::Cosine] {
        let corpus = Memory::new(metric, DEFINITION_DIM, definitions(0..2000));
        let report = report(&corpus, &queries, &options);
        assert!(!report.synthesised && report.training_queries == 1000);
        assert!(report.learned.order > report.pca.order, "{metric}: {report:?}");
        assert!(report.learned.exact_order > report.pca.exact_order, "{metric}: {report:?}");
    }
}

#[test]
fn the_means_of_neighbours_give_back_what_is_lost_between_clusters() {
    let held_out = clustered(100, 3);
    let queries = Queries { training: None, held_out: Some(&held_out) };
    for metric in [Metric::L2, Metric::Cosine] {
        let corpus = corpus(metric);
        let trajectories = collect(&corpus, &queries, &options(), &go_on).unwrap();
        let model = pca_model(&corpus, &options().pca).unwrap();
        let order = |model: &KeyModel| quality(&corpus, &trajectories, model).unwrap().order;
        let (with, without) = (order(&model), order(&KeyModel { nu: 0.0, kappa: 0.0, ..model }));
        assert!(with > without + 0.01, "{metric}: {with} and {without}");
    }
}

#[test]
fn the_model_without_queries_has_the_form_that_keys_need() {
    let corpus = corpus(Metric::L2);
    let model = pca_model(&corpus, &PcaOptions::default()).unwrap();
    assert_eq!((model.dim, model.key_bytes, model.slots.len()), (DIM, 64, 62 * 4));
    assert_eq!(model.nodes.len(), model.coordinates() * DIM);
    assert_eq!(model.nodes, model.queries);
    assert!(
        model.slots.iter().all(|slot| usize::from(slot.coordinate) < model.coordinates() && slot.step > 0.0)
    );
    assert!((0.0..=1.0).contains(&model.kappa) && model.bias_step > 0.0);
    assert!(model.nu > 0.0 && model.nu <= 1.0);
    // Twice the bytes tell near nodes apart better.
    let trajectories = collect(&corpus, &Queries::default(), &options(), &go_on).unwrap();
    let small = pca_model(&corpus, &PcaOptions { key_bytes: Some(32), ..PcaOptions::default() }).unwrap();
    let order = |model| quality(&corpus, &trajectories, model).unwrap().order;
    assert!(order(&model) > order(&small) + 0.02);
}

#[test]
fn the_same_seed_yields_the_same_model_on_one_thread() {
    let corpus = corpus(Metric::L2);
    let options = TrainOptions { steps: 30, evaluate_every: 10, ..attending(2, 2, 4) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let run = |seed| {
        let pca = PcaOptions { seed, ..options.pca.clone() };
        let options = TrainOptions { pca, ..options.clone() };
        pool.install(|| bytes(&train(&corpus, &Queries::default(), &options, &go_on).unwrap().model))
    };
    let first = run(4);
    assert_eq!(first, run(4));
    assert_ne!(first, run(5));
}

fn attending(layers: usize, heads: usize, hidden: usize) -> TrainOptions {
    let attention = AttentionOptions { layers, heads, hidden, steps: 80, ..AttentionOptions::default() };
    TrainOptions { encoder: Encoder::Attention(attention), ..options() }
}

#[test]
fn attention_goes_on_from_what_was_learned_without_it() {
    let corpus = Memory::new(Metric::L2, DEFINITION_DIM, definitions(0..2000));
    let (given, held_out) = (definitions(2000..3000), definitions(3000..3100));
    let queries = Queries { training: Some(&given), held_out: Some(&held_out) };
    let options = TrainOptions { queries: 1000, learning_rate: 1e-3, ..attending(1, 4, 16) };
    let trained = train(&corpus, &queries, &options, &go_on).unwrap();
    let (model, report) = (&trained.model, &trained.report);
    model.check().unwrap();
    let attention = model.attention.as_ref().unwrap();
    assert_eq!((attention.layers.len(), attention.inputs(DEFINITION_DIM)), (1, 64));
    assert!(attention.output.iter().any(|x| *x != 0.0), "{report:?}");
    let steps: Vec<usize> = report.losses.iter().map(|losses| losses.step).collect();
    assert!(steps.is_sorted_by(|a, b| a < b), "{steps:?}");
    // What it had before was the best so far, so the best is no worse.
    let at = |step: usize| report.losses.iter().find(|losses| losses.step == step).unwrap();
    let before = report.losses.iter().filter(|losses| losses.step <= 120);
    let before = before.map(|losses| losses.held_out).fold(f32::INFINITY, f32::min);
    assert!(at(report.best_step).held_out <= before, "{report:?}");
    assert!(report.without_attention.unwrap().order > report.pca.order, "{report:?}");
    // The keys that are made with all neighbours are as good as the network says.
    assert!((at(report.best_step).order - report.learned.order).abs() < 0.01, "{report:?}");
}

/// What is kept of a training that is cancelled when it has done so many steps of a phase.
fn interrupted(
    corpus: &Memory,
    trajectories: &Trajectories,
    options: &TrainOptions,
    at: (TrainPhase, usize),
) -> HashMap<u128, Vec<u8>> {
    let mut kept = HashMap::new();
    let stop = |progress: TrainProgress| match (progress.phase, progress.done) == at {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let cancelled = resume(corpus, trajectories, options, &mut kept, &stop);
    assert!(matches!(cancelled, Err(TrainError::Cancelled)), "{at:?}");
    kept
}

#[test]
fn a_training_that_was_interrupted_comes_to_the_same_end() {
    let corpus = corpus(Metric::L2);
    let attention =
        AttentionOptions { layers: 1, heads: 2, hidden: 4, steps: 30, ..AttentionOptions::default() };
    let encoder = Encoder::Attention(attention);
    let options = TrainOptions { encoder, steps: 50, evaluate_every: 20, ..options() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let trajectories = collect(&corpus, &Queries::default(), &options, &go_on).unwrap();
        let whole = fit(&corpus, &trajectories, &options, &go_on).unwrap();
        assert_eq!(whole.report.resumed, 0);
        let again = |kept: &mut HashMap<u128, Vec<u8>>, options: &TrainOptions| {
            resume(&corpus, &trajectories, options, kept, &go_on).unwrap()
        };
        // Where it is cancelled, how many steps are not done again: between two looks those since the last one are.
        let stops = [
            (TrainPhase::Fit, 10, 0),
            (TrainPhase::Fit, 30, 20),
            (TrainPhase::Fit, 50, 50),
            (TrainPhase::Attend, 0, 50),
            (TrainPhase::Attend, 20, 70),
            (TrainPhase::Attend, 30, 80),
        ];
        for (phase, done, resumed) in stops {
            let mut kept = interrupted(&corpus, &trajectories, &options, (phase, done));
            let trained = again(&mut kept, &options);
            assert_eq!(trained.report.resumed, resumed, "{phase:?} {done}");
            assert_eq!(bytes(&trained.model), bytes(&whole.model), "{phase:?} {done}");
            assert_eq!(trained.report.losses, whole.report.losses);
            assert_eq!(trained.report.best_step, whole.report.best_step);
            // What has come to its end is there at once.
            assert_eq!(bytes(&again(&mut kept, &options).model), bytes(&whole.model));
        }
        // Other options are another training, but what attention begins with is what there is without it.
        let mut kept = interrupted(&corpus, &trajectories, &options, (TrainPhase::Attend, 20));
        let others = TrainOptions { learning_rate: 1e-3, ..options.clone() };
        assert_eq!(again(&mut kept.clone(), &others).report.resumed, 0);
        let without = TrainOptions { encoder: Encoder::Mean, ..options.clone() };
        assert_eq!(again(&mut kept.clone(), &without).report.resumed, 50);
        // What was damaged counts for nothing.
        for state in kept.values_mut() {
            let middle = state.len() / 2;
            state[middle] ^= 1;
        }
        let trained = again(&mut kept, &options);
        assert_eq!((trained.report.resumed, bytes(&trained.model)), (0, bytes(&whole.model)));
        for cut in [0, 7, 100] {
            let mut kept = interrupted(&corpus, &trajectories, &options, (TrainPhase::Fit, 50));
            kept.values_mut().for_each(|state| state.truncate(cut));
            assert_eq!(again(&mut kept, &options).report.resumed, 0);
        }
    });
}

#[test]
fn the_largest_attention_of_the_plan_can_be_trained() {
    let corpus = corpus(Metric::Cosine);
    let attention = AttentionOptions {
        layers: 3,
        heads: 4,
        hidden: 128,
        neighbors: 4,
        steps: 4,
        ..AttentionOptions::default()
    };
    let options = TrainOptions {
        encoder: Encoder::Attention(attention),
        steps: 10,
        batch_queries: 2,
        evaluate_every: 2,
        held_out: 16,
        ..options()
    };
    let rows = clustered(170, 4);
    let queries = Queries { training: Some(&rows), held_out: None };
    let trained = train(&corpus, &queries, &options, &go_on).unwrap();
    let layers = &trained.model.attention.as_ref().unwrap().layers;
    assert_eq!(layers.iter().map(|layer| (layer.heads, layer.width)).collect::<Vec<_>>(), [(4, 128); 3]);
    assert!(trained.report.losses.iter().all(|losses| losses.held_out.is_finite()));
    let bytes = trained.model.to_bytes().unwrap();
    assert_eq!(bytes[8], 8, "projections of two bytes a weight, attention, and ν");
    assert_eq!(trained.model, KeyModel::from_bytes(&bytes).unwrap());
}

#[test]
fn a_linear_encoder_knows_no_neighbours() {
    let corpus = corpus(Metric::L2);
    let options = TrainOptions { encoder: Encoder::Linear, steps: 20, ..options() };
    let model = train(&corpus, &Queries::default(), &options, &go_on).unwrap().model;
    assert_eq!((model.lambda, model.nu, model.attention), (0.0, 0.0, None));
}

#[test]
fn given_queries_are_split_and_trajectories_serve_several_models() {
    let corpus = corpus(Metric::L2);
    let logged = clustered(350, 8);
    let queries = Queries { training: Some(&logged), held_out: None };
    let options = TrainOptions { steps: 20, ..options() };
    let trajectories = collect(&corpus, &queries, &options, &go_on).unwrap();
    // All that are asked for, and of those a tenth at most is held out.
    assert_eq!((trajectories.training_queries(), trajectories.held_out_queries()), (315, 35));
    assert!(trajectories.pairs() >= 350 * options.near);
    for lambda in [0.0, 0.5] {
        let pca = PcaOptions { lambda, ..options.pca.clone() };
        let options = TrainOptions { pca, ..options.clone() };
        let trained = fit(&corpus, &trajectories, &options, &go_on).unwrap();
        assert_eq!(trained.model.lambda, lambda);
        assert!(!trained.report.synthesised);
    }
    let other = Memory::new(Metric::Cosine, DIM, clustered(300, 1));
    let error = fit(&other, &trajectories, &options, &go_on).unwrap_err();
    assert!(matches!(error, TrainError::ForeignTrajectories { .. }), "{error}");
}

#[test]
fn without_work_to_spare_wide_searches_answer() {
    let corpus = corpus(Metric::L2);
    let options = TrainOptions { exact_work: 50.5 * (NODES * DIM) as f64, steps: 20, ..options() };
    let report = train(&corpus, &Queries::default(), &options, &go_on).unwrap().report;
    assert_eq!(report.exact_queries, 50);
}

#[test]
fn bad_queries_are_refused() {
    let corpus = corpus(Metric::Cosine);
    let good = clustered(200, 5);
    let with = |change: &dyn Fn(&mut Vec<f32>)| {
        let mut rows = good.clone();
        change(&mut rows);
        let training = Queries { training: Some(&rows), held_out: None };
        let held_out = Queries { training: None, held_out: Some(&rows) };
        let errors =
            [training, held_out].map(|queries| collect(&corpus, &queries, &options(), &go_on).unwrap_err());
        assert_eq!(std::mem::discriminant(&errors[0]), std::mem::discriminant(&errors[1]));
        errors.into_iter().next().unwrap()
    };
    let error = with(&|rows| rows[3 * DIM + 7] = f32::NAN);
    assert!(matches!(error, TrainError::NotFinite { query: 3, component: 7, .. }), "{error}");
    let error = with(&|rows| rows[0] = f32::INFINITY);
    assert!(matches!(error, TrainError::NotFinite { query: 0, component: 0, .. }), "{error}");
    let error = with(&|rows| rows.truncate(DIM * 20 - 1));
    assert!(matches!(error, TrainError::Dimension { dim: DIM, .. }), "{error}");
    let error = with(&|rows| rows.truncate(DIM * 10));
    assert!(matches!(error, TrainError::TooFewQueries { got: 9 | 10, .. }), "{error}");
    let error = with(&|rows| rows[DIM..2 * DIM].fill(0.0));
    assert!(matches!(error, TrainError::ZeroQuery { query: 1 }), "{error}");
}

#[test]
fn collections_that_no_router_serves_are_refused() {
    let train = |corpus: &Memory| train(corpus, &Queries::default(), &options(), &go_on).unwrap_err();
    let error = train(&corpus(Metric::InnerProduct));
    assert!(matches!(error, TrainError::Metric { got: Metric::InnerProduct }), "{error}");
    let error = train(&Memory::new(Metric::L2, DIM, clustered(100, 1)));
    assert!(matches!(error, TrainError::TooFewNodes { got: 100, .. }), "{error}");
    let error = train(&Memory::new(Metric::L2, 4, vec![2.5; 4 * 300]));
    assert!(matches!(error, TrainError::NoVariance { .. }), "{error}");
}

#[test]
fn every_phase_can_be_cancelled() {
    let corpus = corpus(Metric::L2);
    let phases =
        [TrainPhase::Exact, TrainPhase::Trajectories, TrainPhase::Nodes, TrainPhase::Fit, TrainPhase::Attend];
    for wanted in phases {
        let seen = AtomicUsize::new(0);
        let cancel = |progress: TrainProgress| {
            assert!(progress.done <= progress.total, "{progress:?}");
            if progress.phase != wanted {
                return ControlFlow::Continue(());
            }
            seen.fetch_add(1, Relaxed);
            ControlFlow::Break(())
        };
        let error = train(&corpus, &Queries::default(), &attending(1, 2, 4), &cancel).unwrap_err();
        assert!(matches!(error, TrainError::Cancelled), "{wanted:?}: {error}");
        assert_eq!(seen.load(Relaxed), 1, "{wanted:?}");
    }
}

/// An index of `linked` rows of bytes in a graph, and one row that is not.
fn stored(storage: &Storage, rows: &[u8], dim: usize, linked: usize) -> IndexRecord {
    let config =
        IndexConfig { dim, metric: Metric::Cosine, element: Element::U8, m: 8, ef_construction: 60, seed: 1 };
    let mut txn = storage.begin_write().unwrap();
    let mut record = IndexRecord::create(&mut txn, &config).unwrap();
    Writer::open(&mut txn, &mut record).unwrap().append_unlinked(&rows[..linked * dim]).unwrap();
    txn.commit().unwrap();
    let built = RefCell::new(record.clone());
    let mut save = |_: &mut WriteTxn, record: &IndexRecord, _: Option<&Permutation>| {
        *built.borrow_mut() = record.clone();
        Ok::<_, Error>(())
    };
    // Rows keep their numbers, so that they can be compared.
    let options = BuildOptions { checkpoint_every: None, reorder: Some(false), threads: None };
    let txn = storage.begin_write().unwrap();
    build(txn, record, &options, &|_| ControlFlow::Continue(()), &mut save).unwrap();
    let mut record = built.into_inner();
    let mut txn = storage.begin_write().unwrap();
    Writer::open(&mut txn, &mut record).unwrap().append_unlinked(&rows[linked * dim..]).unwrap();
    txn.commit().unwrap();
    record
}

#[test]
fn a_stored_index_is_a_corpus() {
    let (dim, linked) = (32, 400);
    let mut rng = fastrand::Rng::with_seed(9);
    let rows: Vec<u8> = (0..(linked + 1) * dim).map(|_| rng.u8(1..)).collect();
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::create(folder.path().join("file"), &Options::default()).unwrap();
    let record = stored(&storage, &rows, dim, linked);
    let snapshot = storage.snapshot().unwrap();
    let reader = Reader::open(&*snapshot, &record).unwrap();
    assert_eq!((Corpus::nodes(&reader), Corpus::dim(&reader)), (linked as u32 + 1, dim));
    let (mut vector, mut neighbors) = (vec![0.0; dim], vec![7; 3]);
    for node in 0..linked as u32 {
        assert!(Corpus::is_linked(&reader, node).unwrap());
        reader.read_vector(node, &mut vector).unwrap();
        let row = &rows[node as usize * dim..][..dim];
        assert!(vector.iter().zip(row).all(|(&x, &byte)| x == f32::from(byte)));
        reader.read_neighbors(node, &mut neighbors).unwrap();
        assert!((1..=16).contains(&neighbors.len()), "{neighbors:?}");
        assert!(neighbors.iter().all(|&other| other != node && (other as usize) < linked));
    }
    assert!(!Corpus::is_linked(&reader, linked as u32).unwrap());
    let beyond = reader.read_neighbors(linked as u32 + 1, &mut neighbors).unwrap_err();
    assert!(matches!(beyond, TrainError::Index(_)), "{beyond}");
    let options = TrainOptions { steps: 20, ..options() };
    let trained = train(&reader, &Queries::default(), &options, &go_on).unwrap();
    // 120 slots for 32 coordinates lose little.
    assert!(trained.report.learned.order > 0.85, "{:?}", trained.report);
}
