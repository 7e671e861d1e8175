//! Models of layers over the graphs of a file: what they compute, how they are kept, and what is refused.

#![cfg(feature = "gnn-all")]
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use redb::ReadableTable;
use redknot::layers::{Adjacency, GnnError, LayerType, Model, ModelDescription, NodeFeatures, Weights};
#[cfg(feature = "train")]
use redknot::learn::{LearnError, LearnOptions};
use redknot::{CollectionDefinition, Database, Error, Graph, GraphOptions, Metric};
#[cfg(feature = "train")]
use redknot::{Label, Part};

const DIM: usize = 6;
const DOCS: CollectionDefinition<'_, u64, ()> = CollectionDefinition::new("docs", DIM, Metric::L2);

/// Vectors by key, and edges.
struct World {
    db: Database,
    vectors: BTreeMap<u64, Vec<f32>>,
    edges: BTreeMap<(u64, u64), f32>,
    _dir: tempfile::TempDir,
}

/// 120 rows, some removed again, and random edges between those that are left.
fn world(seed: u64, directed: bool) -> World {
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let db = Database::create(dir.path().join("layers.redknot")).unwrap();
    let mut vectors = BTreeMap::new();
    let mut txn = db.begin_write().unwrap();
    let mut docs = txn.open_collection(DOCS).unwrap();
    for key in 0..120 {
        let vector: Vec<f32> = (0..DIM).map(|_| rng.f32() - 0.5).collect();
        docs.insert(key, vector.as_slice(), ()).unwrap();
        vectors.insert(key, vector);
    }
    for key in (0..120).step_by(11) {
        assert!(docs.remove(key).unwrap());
        vectors.remove(&key);
    }
    let keys: Vec<u64> = vectors.keys().copied().collect();
    let mut edges = BTreeMap::new();
    let mut graph = txn.create_graph(DOCS, "cites", GraphOptions { directed }).unwrap();
    for _ in 0..300 {
        let (a, b) = (keys[rng.usize(..keys.len())], keys[rng.usize(..keys.len())]);
        let weight = rng.f32();
        graph.insert_edge(a, b, weight, None).unwrap();
        edges.insert((a, b), weight);
        if !directed {
            edges.insert((b, a), weight);
        }
    }
    txn.commit().unwrap();
    World { db, vectors, edges, _dir: dir }
}

impl World {
    fn graph(&self) -> Graph<u64> {
        self.db.begin_read().unwrap().open_graph(DOCS, "cites").unwrap()
    }

    /// The mean of each row and of those with an edge to it, so many times.
    fn naive_mean(&self, hops: usize) -> BTreeMap<u64, Vec<f32>> {
        let mut rows = self.vectors.clone();
        for _ in 0..hops {
            let mean = |key: &u64| {
                // A row counts once, whether it has an edge to itself or not.
                let from = self.edges.keys().filter(|edge| edge.1 == *key && edge.0 != *key);
                let from = from.map(|edge| edge.0);
                let all: Vec<&Vec<f32>> = from.chain([*key]).map(|key| &rows[&key]).collect();
                (0..DIM).map(|at| all.iter().map(|row| row[at]).sum::<f32>() / all.len() as f32).collect()
            };
            rows = rows.keys().map(|key| (*key, mean(key))).collect();
        }
        rows
    }
}

fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
}

fn random_weights(layer: LayerType) -> (ModelDescription, Weights) {
    let description = ModelDescription::new(layer, 2, DIM, 8, 3);
    let weights = Weights::initialised(&description, 7).unwrap();
    (description, weights)
}

fn random_model(layer: LayerType) -> Model {
    let (description, weights) = random_weights(layer);
    Model::new(&description, &weights).unwrap()
}

#[test]
fn means_of_neighbourhoods_are_those_of_a_naive_walk() {
    for (seed, directed) in [(1, true), (2, false)] {
        let world = world(seed, directed);
        for hops in 1..=3 {
            let graph = world.graph();
            let embeddings = graph.layers().message_pass(&Model::mean(DIM, hops).unwrap()).unwrap();
            let naive = world.naive_mean(hops);
            assert_eq!(embeddings.len(), naive.len());
            embeddings.iter().for_each(|(key, row)| close(row, &naive[key]));
        }
    }
}

#[test]
fn every_layer_runs_on_a_stored_graph_and_on_the_hnsw_graph() {
    let world = world(3, true);
    let read = world.db.begin_read().unwrap();
    for graph in [world.graph(), read.hnsw_graph(DOCS).unwrap()] {
        for layer in LayerType::ALL {
            let embeddings = graph.layers().message_pass(&random_model(layer)).unwrap();
            assert_eq!((embeddings.len(), embeddings.dim()), (world.vectors.len(), 3));
            assert!(embeddings.iter().all(|(_, row)| row.iter().all(|x| x.is_finite())));
            assert!(embeddings.iter().any(|(_, row)| row.iter().any(|x| *x != 0.0)));
        }
    }
}

#[test]
fn weights_count_where_they_are_asked_for() {
    let world = world(4, true);
    let graph = world.graph();
    let model = random_model(LayerType::Gcn);
    let rows = |weighted| {
        let embeddings = graph.layers().weighted(weighted).message_pass(&model).unwrap();
        embeddings.iter().map(|(key, row)| (*key, row.to_vec())).collect::<BTreeMap<_, _>>()
    };
    assert_ne!(rows(true), rows(false));
    let own = graph.layers().message_pass(&model).unwrap();
    own.iter().for_each(|(key, row)| close(row, &rows(true)[key]));
}

#[test]
fn results_become_a_collection_in_the_transaction_they_were_computed_in() {
    let world = world(5, true);
    let into = CollectionDefinition::<u64, ()>::new("means", DIM, Metric::L2);
    let mut txn = world.db.begin_write().unwrap();
    let graph = txn.last_commit().open_graph(DOCS, "cites").unwrap();
    let embeddings = graph.layers().message_pass(&Model::mean(DIM, 2).unwrap()).unwrap();
    txn.write_embeddings(into, &embeddings).unwrap();
    txn.commit().unwrap();
    let read = world.db.begin_read().unwrap();
    let means = read.open_collection(into).unwrap();
    let naive = world.naive_mean(2);
    assert_eq!(means.len(), naive.len() as u64);
    for (key, row) in &naive {
        close(&means.vector(*key).unwrap().unwrap(), row);
    }
    assert!(world.db.verify().unwrap().is_clean());

    let narrow = CollectionDefinition::<u64, ()>::new("narrow", DIM - 1, Metric::L2);
    let mut txn = world.db.begin_write().unwrap();
    assert!(matches!(txn.write_embeddings(narrow, &embeddings), Err(Error::Vector(_))));
    let paid = CollectionDefinition::<u64, &str>::new("paid", DIM, Metric::L2);
    assert!(matches!(txn.write_embeddings(paid, &embeddings), Err(Error::InvalidParameter { .. })));
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn scores_are_similarities_of_neighbourhoods() {
    let world = world(6, true);
    let graph = world.graph();
    let model = Model::mean(DIM, 1).unwrap();
    let query: Vec<f32> = (0..DIM).map(|at| at as f32 / 10.0 - 0.2).collect();
    // The query's own neighbourhood: the ten rows nearest to it, and itself.
    let mut near: Vec<&Vec<f32>> = world.vectors.values().collect();
    let distance = |row: &[f32]| row.iter().zip(&query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    near.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    near.truncate(10);
    let of_query: Vec<f32> =
        (0..DIM).map(|at| (near.iter().map(|row| row[at]).sum::<f32>() + query[at]) / 11.0).collect();
    let naive = world.naive_mean(1);
    let keys: Vec<u64> = naive.keys().copied().collect();
    let expected: Vec<f32> = keys.iter().map(|key| cosine(&naive[key], &of_query)).collect();
    let layers = graph.layers().ef(200);
    close(&layers.gnn_score(&model, query.as_slice(), &keys).unwrap(), &expected);

    // With ten candidates a hit, every row is one.
    let k = 11;
    let found = layers.graphsage_search(&model, query.as_slice(), k).unwrap();
    let mut best: Vec<(u64, f32)> = keys.iter().copied().zip(expected).collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (hit, (key, score)) in found.iter().zip(&best) {
        assert_eq!(hit.key, *key);
        assert!((hit.score - score).abs() < 1e-5);
    }
    assert_eq!(found.len(), k);

    let soft = layers.differentiable_search(&model, query.as_slice(), k, 0.1).unwrap();
    assert_eq!(
        soft.hits.iter().map(|hit| hit.key).collect::<Vec<_>>(),
        best[..k].iter().map(|hit| hit.0).collect::<Vec<_>>()
    );
    let shares: Vec<f32> = best.iter().map(|hit| (hit.1 / 0.1).exp()).collect();
    let sum: f32 = shares.iter().sum();
    soft.hits.iter().zip(shares).for_each(|(hit, share)| assert!((hit.score - share / sum).abs() < 1e-4));
    close(&soft.embedding, &of_query);
}

#[test]
fn a_score_does_not_depend_on_how_many_rows_are_asked_for() {
    let world = world(12, true);
    let graph = world.graph();
    // Joined to more rows than a search for one looks at.
    let description = ModelDescription { sample_size: Some(40), ..random_weights(LayerType::GraphSage).0 };
    let model = Model::new(&description, &Weights::initialised(&description, 7).unwrap()).unwrap();
    let query = [0.1, -0.2, 0.3, 0.0, 0.2, -0.1];
    let layers = graph.layers().ef(200);
    for k in [1, 5] {
        for hit in layers.graphsage_search(&model, &query, k).unwrap() {
            let score = layers.gnn_score(&model, &query, &[hit.key]).unwrap();
            close(&score, &[hit.score]);
        }
    }
}

#[test]
fn rows_are_in_the_class_of_their_largest_number() {
    let world = world(7, true);
    let graph = world.graph();
    let model = random_model(LayerType::GraphSage);
    let embeddings = graph.layers().message_pass(&model).unwrap();
    let classified = graph.layers().classify(&model).unwrap();
    for (class, (key, row)) in classified.iter().zip(embeddings.iter()) {
        assert_eq!(class.key, *key);
        assert!(row.iter().all(|x| *x <= row[class.class]));
        let sum: f32 = row.iter().map(|x| x.exp()).sum();
        assert!((class.probability - row[class.class].exp() / sum).abs() < 1e-5);
    }
}

#[test]
fn models_are_kept_replaced_and_removed() {
    let world = world(8, true);
    let (description, weights) = random_weights(LayerType::Gat);
    let txn = world.db.begin_write().unwrap();
    assert!(!txn.write_model("attention", &description, &weights).unwrap());
    txn.commit().unwrap();
    let read = world.db.begin_read().unwrap();
    assert_eq!(read.model_weights("attention").unwrap(), (description.clone(), weights.clone()));
    assert_eq!(read.model("attention").unwrap().description(), &description);
    let info = &read.models().unwrap()[0];
    assert_eq!((info.name.as_str(), &info.description), ("attention", &description));
    assert!(world.db.verify().unwrap().is_clean());

    let (other, of_other) = random_weights(LayerType::Gin);
    let txn = world.db.begin_write().unwrap();
    assert!(txn.write_model("attention", &other, &of_other).unwrap());
    assert!(matches!(txn.write_model("mixed", &other, &weights), Err(Error::Gnn(_))));
    txn.commit().unwrap();
    // A reader sees what was there when it began.
    assert_eq!(read.model_weights("attention").unwrap().1, weights);
    assert_eq!(world.db.begin_read().unwrap().model_weights("attention").unwrap().1, of_other);

    let txn = world.db.begin_write().unwrap();
    assert!(txn.delete_model("attention").unwrap());
    assert!(!txn.delete_model("attention").unwrap());
    txn.commit().unwrap();
    let gone = world.db.begin_read().unwrap().model("attention");
    assert!(matches!(gone, Err(Error::UnknownModel { known, .. }) if known.is_empty()));
}

#[test]
fn damaged_models_are_told_by_verify() {
    let world = world(9, true);
    let txn = world.db.begin_write().unwrap();
    let (description, weights) = random_weights(LayerType::Gcn);
    txn.write_model("gcn", &description, &weights).unwrap();
    txn.commit().unwrap();
    drop(world.db);
    let path = world._dir.path().join("layers.redknot");
    let raw = redb::Database::open(&path).unwrap();
    let table = redb::TableDefinition::<&str, &[u8]>::new("redknot.layers");
    let txn = raw.begin_write().unwrap();
    let mut bytes = txn.open_table(table).unwrap().get("gcn").unwrap().unwrap().value().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    txn.open_table(table).unwrap().insert("gcn", bytes.as_slice()).unwrap();
    txn.commit().unwrap();
    drop(raw);
    let db = Database::open(&path).unwrap();
    let error = db.begin_read().unwrap().model("gcn").unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
    assert_eq!(db.verify().unwrap().findings.len(), 1);
    // Everything else goes on.
    assert_eq!(db.begin_read().unwrap().open_collection(DOCS).unwrap().len(), world.vectors.len() as u64);
}

#[test]
fn what_does_not_fit_is_refused() {
    let world = world(10, true);
    let graph = world.graph();
    let wide = Model::mean(DIM + 1, 1).unwrap();
    assert!(matches!(graph.layers().message_pass(&wide), Err(Error::Gnn(GnnError::Shape { .. }))));
    let model = Model::mean(DIM, 1).unwrap();
    let query = [0.1; DIM];
    let short = [0.1; DIM - 1];
    assert!(matches!(graph.layers().graphsage_search(&model, &short, 3), Err(Error::Vector(_))));
    assert!(matches!(
        graph.layers().graphsage_search(&model, &query, 0),
        Err(Error::InvalidParameter { .. })
    ));
    // Key 0 was removed.
    assert!(matches!(graph.layers().gnn_score(&model, &query, &[0]), Err(Error::UnknownKey { .. })));
    for temperature in [0.0, -1.0, f32::NAN] {
        let refused = graph.layers().differentiable_search(&model, &query, 3, temperature);
        assert!(matches!(refused, Err(Error::InvalidParameter { .. })));
    }
    let cancelled = graph.layers().progress(|_| ControlFlow::Break(())).message_pass(&model);
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    let txn = world.db.begin_write().unwrap();
    let (description, weights) = random_weights(LayerType::Gcn);
    assert!(matches!(txn.write_model("redknot.x", &description, &weights), Err(Error::InvalidName { .. })));
}

#[cfg(feature = "train")]
#[test]
fn a_classifier_learns_what_neighbours_say() {
    // The class of a row is decided by the row that points at it, its own vector says nothing.
    let dir = tempfile::tempdir().unwrap();
    let db = Database::create(dir.path().join("classes.redknot")).unwrap();
    let mut rng = fastrand::Rng::with_seed(11);
    let mut labels = Vec::new();
    let mut txn = db.begin_write().unwrap();
    let mut docs = txn.open_collection(DOCS).unwrap();
    for key in 0..400_u64 {
        let class = (key / 2 % 2) as f32 * 2.0 - 1.0;
        let mut vector: Vec<f32> = (0..DIM).map(|_| rng.f32() - 0.5).collect();
        // Even keys carry the class of the odd one behind them.
        vector[0] = if key % 2 == 0 { class } else { 0.0 };
        docs.insert(key, vector.as_slice(), ()).unwrap();
        if key % 2 == 1 {
            let part = [Part::Training, Part::Training, Part::Validation, Part::Test][rng.usize(..4)];
            labels.push(Label { key, class: (class > 0.0) as u32, part });
        }
    }
    let mut graph = txn.create_graph(DOCS, "points", GraphOptions { directed: true }).unwrap();
    for key in (0..400_u64).step_by(2) {
        graph.insert_edge(key, key + 1, 1.0, None).unwrap();
    }
    txn.commit().unwrap();
    let graph = db.begin_read().unwrap().open_graph(DOCS, "points").unwrap();
    let description = ModelDescription::new(LayerType::GraphSage, 1, DIM, 8, 2);
    let options = LearnOptions { epochs: 150, learning_rate: 0.05, ..LearnOptions::default() };
    let train =
        || graph.layers().train_classifier(&description, &labels, &options, &|_| ControlFlow::Continue(()));
    let learned = train().unwrap();
    let report = &learned.report;
    let model = Model::new(&description, &learned.weights).unwrap();
    assert!(report.test_score.unwrap() > 0.95, "{report:?}");
    // What is kept classifies as well as what was trained.
    let classified = graph.layers().classify(&model).unwrap();
    let classes: BTreeMap<u64, usize> = classified.iter().map(|row| (row.key, row.class)).collect();
    let right = labels.iter().filter(|label| classes[&label.key] == label.class as usize).count();
    assert!(right as f64 > 0.95 * labels.len() as f64, "{right} of {}", labels.len());
    assert_eq!(train().unwrap().weights, learned.weights, "the same seed gives the same weights");

    let unknown = [Label { key: 9999, class: 0, part: Part::Training }];
    let refused =
        graph.layers().train_classifier(&description, &unknown, &options, &|_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(Error::UnknownKey { .. })));
}

#[cfg(feature = "train")]
#[test]
fn a_classifier_is_trained_on_the_rows_that_are_left() {
    let world = world(9, false);
    let graph = world.graph();
    let description = ModelDescription::new(LayerType::Gcn, 1, DIM, 4, 2);
    let options = LearnOptions { epochs: 3, ..LearnOptions::default() };
    let parts = [Part::Training, Part::Validation, Part::Test];
    let labels: Vec<Label<u64>> = world
        .vectors
        .iter()
        .zip(parts.into_iter().cycle())
        .map(|((key, row), part)| Label { key: *key, class: u32::from(row[0] > 0.0), part })
        .collect();
    let train = |labels: &[Label<u64>]| {
        graph.layers().train_classifier(&description, labels, &options, &|_| ControlFlow::Continue(()))
    };
    let learned = train(&labels).unwrap();
    // The same once more changes nothing.
    let twice: Vec<Label<u64>> = labels.iter().chain(&labels[..5]).cloned().collect();
    assert_eq!(train(&twice).unwrap().weights, learned.weights);

    let refused = |label: Label<u64>, why: &str| {
        let key = label.key.to_string();
        let more: Vec<Label<u64>> = labels.iter().cloned().chain([label]).collect();
        match train(&more) {
            Err(Error::Row { key: got, why: found }) => {
                assert_eq!(got, key);
                assert!(found.contains(why), "{found}");
            }
            other => panic!("{other:?}"),
        }
    };
    let first = labels[0].clone();
    let both = format!("label {} and label {}", first.class, 1 - first.class);
    refused(Label { class: 1 - first.class, ..first }, &both);
    refused(Label { part: Part::Test, ..first }, "both in the training and in the test part");
    let (few, first) = (&labels[1..], Label { class: 2, ..first });
    let found = train(&few.iter().cloned().chain([first]).collect::<Vec<_>>()).unwrap_err();
    assert!(matches!(&found, Error::Row { key, .. } if key == "1"), "{found}");
    let tight = LearnOptions { memory_bytes: 1000, ..options };
    let found =
        graph.layers().train_classifier(&description, &labels, &tight, &|_| ControlFlow::Continue(()));
    assert!(matches!(found, Err(Error::Learn(LearnError::Memory { limit: 1000, .. }))));
}

/// Ten rows of which each is linked with each other one, in a collection of 200 of which the others were removed: there is
/// no pair without a link.
#[cfg(feature = "train")]
#[test]
fn links_are_not_told_from_rows_that_were_removed() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::create(dir.path().join("few.redknot")).unwrap();
    let mut txn = db.begin_write().unwrap();
    let mut docs = txn.open_collection(DOCS).unwrap();
    let mut rng = fastrand::Rng::with_seed(4);
    for key in 0..200 {
        docs.insert(key, (0..DIM).map(|_| rng.f32()).collect::<Vec<f32>>().as_slice(), ()).unwrap();
    }
    (0..190).for_each(|key| assert!(docs.remove(key).unwrap()));
    let mut graph = txn.create_graph(DOCS, "cites", GraphOptions { directed: false }).unwrap();
    for a in 190..200 {
        for b in a + 1..200 {
            graph.insert_edge(a, b, 1.0, None).unwrap();
        }
    }
    txn.commit().unwrap();
    let graph = db.begin_read().unwrap().open_graph(DOCS, "cites").unwrap();
    let description = ModelDescription::new(LayerType::Gcn, 1, DIM, 4, 4);
    let learned = graph.layers().train_link_prediction(
        &description,
        0.1,
        &LearnOptions { epochs: 2, ..LearnOptions::default() },
        &|_| ControlFlow::Continue(()),
    );
    assert!(matches!(learned, Err(Error::Learn(LearnError::TooDense { .. }))), "{learned:?}");
}

#[test]
fn links_are_predicted_by_the_products_of_embeddings() {
    let world = world(10, false);
    let graph = world.graph();
    let model = random_model(LayerType::Gcn);
    let rows: BTreeMap<u64, Vec<f32>> =
        graph.layers().message_pass(&model).unwrap().iter().map(|(key, row)| (*key, row.to_vec())).collect();
    let pairs: Vec<(u64, u64)> = rows.keys().copied().zip(rows.keys().rev().copied()).take(30).collect();
    let predicted = graph.layers().predict_links(&model, &pairs).unwrap();
    for ((a, b), got) in pairs.iter().zip(predicted) {
        let dot: f32 = rows[a].iter().zip(&rows[b]).map(|(x, y)| x * y).sum();
        assert!((got - 1.0 / (1.0 + (-dot).exp())).abs() < 1e-4, "{got}");
    }
    let unknown = graph.layers().predict_links(&model, &[(1, 0)]);
    assert!(matches!(unknown, Err(Error::UnknownKey { .. })));
}

#[test]
fn queries_attend_to_what_the_index_finds() {
    let world = world(11, true);
    let graph = world.graph();
    let description = ModelDescription::new(LayerType::RuVector, 1, DIM, 8, 3);
    let model = Model::new(&description, &Weights::initialised(&description, 7).unwrap()).unwrap();
    let query = [0.1, -0.2, 0.3, 0.0, 0.2, -0.1];
    let docs = world.db.begin_read().unwrap().open_collection(DOCS).unwrap();
    let layers = graph.layers();
    let got = layers.attend_query(&model, &query, 5).unwrap();
    // From the rows that an exact search finds; node numbers are those of the adjacency.
    let nearest = docs.search(&query).k(5).exact().run().unwrap();
    let keys = layers.message_pass(&Model::mean(DIM, 1).unwrap()).unwrap().keys().to_vec();
    assert_eq!(keys.len(), world.vectors.len());
    let (adjacency, features) = (layers.adjacency().unwrap(), layers.features().unwrap());
    let node_of = |key: u64| {
        let mut row = [0.0; DIM];
        (0..adjacency.nodes())
            .find(|node| {
                features.read(*node, &mut row).unwrap();
                row[..] == world.vectors[&key][..]
            })
            .unwrap()
    };
    let seeds: Vec<u32> = nearest.hits.iter().map(|hit| node_of(hit.key)).collect();
    close(&got, &model.attend_query(&adjacency, &features, &query, &seeds).unwrap());
    assert!(matches!(layers.attend_query(&random_model(LayerType::Gcn), &query, 5), Err(Error::Gnn(_))));
    assert!(matches!(layers.attend_query(&model, &query, 0), Err(Error::InvalidParameter { .. })));
}

#[test]
fn efforts_and_samples_are_bounded() {
    let world = world(12, true);
    let graph = world.graph();
    let query = [0.1; DIM];
    let model = random_model(LayerType::Gcn);
    for ef in [0, usize::MAX, u32::MAX as usize] {
        let found = graph.layers().ef(ef).graphsage_search(&model, &query, 3);
        assert!(matches!(found, Err(Error::InvalidParameter { name: "ef", .. })), "{found:?}");
    }
    let mut description = ModelDescription::new(LayerType::GraphSage, 1, DIM, 8, 3);
    description.sample_size = Some(u32::MAX as usize);
    let model = Model::new(&description, &Weights::initialised(&description, 7).unwrap()).unwrap();
    assert_eq!(graph.layers().graphsage_search(&model, &query, 3).unwrap().len(), 3);
}

/// Weights of edges that no sum of them can have, and a sum below 0: errors that name the row.
#[test]
fn rows_that_a_model_cannot_be_used_on_are_named() {
    let world = world(13, true);
    let keys: Vec<u64> = world.vectors.keys().copied().collect();
    let mut txn = world.db.begin_write().unwrap();
    let mut heavy = txn.create_graph(DOCS, "heavy", GraphOptions { directed: true }).unwrap();
    for key in &keys {
        heavy.insert_edge(*key, keys[2], 3e38, None).unwrap();
    }
    let mut negative = txn.create_graph(DOCS, "negative", GraphOptions { directed: true }).unwrap();
    negative.insert_edge(keys[0], keys[1], -3.0, None).unwrap();
    txn.commit().unwrap();
    let read = world.db.begin_read().unwrap();
    let description =
        |normalize| ModelDescription { normalize, ..ModelDescription::new(LayerType::Gcn, 1, DIM, 8, 3) };
    let run = |name: &str, normalize| {
        let description = description(normalize);
        let model = Model::new(&description, &Weights::initialised(&description, 7).unwrap()).unwrap();
        match read.open_graph(DOCS, name).unwrap().layers().message_pass(&model) {
            Err(Error::Row { key, why }) => (key, why),
            other => panic!("{other:?}"),
        }
    };
    let (key, why) = run("heavy", false);
    assert!(key == keys[2].to_string() && why.contains("too large"), "{key} {why}");
    let (key, why) = run("negative", true);
    assert!(key == keys[1].to_string() && why.contains("sum to -"), "{key} {why}");
}
