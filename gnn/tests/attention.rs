//! Keys of models with attention over a stored graph, against the formulas in the documentation of `Attention`.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod support;

use std::ops::ControlFlow;

use redknot_gnn::routing::{KeyEncoder, KeyModel, encode_nodes, normalize};
use redknot_index::{BuildOptions, Element, Error, IndexConfig, IndexRecord, Metric, Reader, Writer, build};
use redknot_storage::{Options, Storage};
use support::oracle::{assert_key, corrections};
use support::{random_attention, random_model};
use tempfile::TempDir;

const DIM: usize = 19;
const COORDINATES: usize = 11;
const LINKED: usize = 300;
const KEY_BYTES: usize = 32;

/// An index in a file, and one row behind it that is not linked.
struct Home {
    storage: Storage,
    record: IndexRecord,
    /// The rows as the model sees them.
    rows: Vec<Vec<f32>>,
    _folder: TempDir,
}

impl Home {
    fn new(metric: Metric) -> Home {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::create(folder.path().join("file"), &Options::default()).unwrap();
        let config =
            IndexConfig { dim: DIM, metric, element: Element::F32, m: 4, ef_construction: 40, seed: 7 };
        let mut rng = fastrand::Rng::with_seed(3);
        let mut rows: Vec<Vec<f32>> =
            (0..=LINKED).map(|_| (0..DIM).map(|_| rng.f32() - 0.5).collect()).collect();
        let bytes = |rows: &[Vec<f32>]| -> Vec<u8> {
            rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
        };
        let mut txn = storage.begin_write().unwrap();
        let mut record = IndexRecord::create(&mut txn, &config).unwrap();
        Writer::open(&mut txn, &mut record).unwrap().append_unlinked(&bytes(&rows[..LINKED])).unwrap();
        txn.commit().unwrap();
        let mut built = record.clone();
        let options = BuildOptions { reorder: Some(false), ..BuildOptions::default() };
        let mut save = |_: &mut _, record: &IndexRecord, _: Option<&_>| {
            built = record.clone();
            Ok::<(), Error>(())
        };
        build(storage.begin_write().unwrap(), record, &options, &|_| ControlFlow::Continue(()), &mut save)
            .unwrap();
        let mut txn = storage.begin_write().unwrap();
        Writer::open(&mut txn, &mut built).unwrap().append_unlinked(&bytes(&rows[LINKED..])).unwrap();
        txn.commit().unwrap();
        if metric == Metric::Cosine {
            rows.iter_mut().for_each(|row| normalize(row).unwrap());
        }
        Home { storage, record: built, rows, _folder: folder }
    }

    fn keys(&self, model: &KeyModel, nodes: &[u32]) -> Vec<u8> {
        let snapshot = self.storage.snapshot().unwrap();
        let reader = Reader::open(&*snapshot, &self.record).unwrap();
        let mut keys = vec![0xee; nodes.len() * KEY_BYTES];
        encode_nodes(&reader, &KeyEncoder::new(model).unwrap(), nodes, &mut keys).unwrap();
        keys
    }

    fn links(&self) -> Vec<Vec<usize>> {
        let snapshot = self.storage.snapshot().unwrap();
        let reader = Reader::open(&*snapshot, &self.record).unwrap();
        let of = |node| reader.neighbors(node).unwrap().map(|other| other as usize).collect();
        (0..LINKED as u32).map(of).collect()
    }
}

fn model(layers: &[(usize, usize)], seed: u64) -> KeyModel {
    let mut model = random_model(DIM, COORDINATES, KEY_BYTES, seed);
    model.attention = Some(random_attention([DIM, COORDINATES], 7, layers, seed));
    model
}

#[test]
fn keys_are_those_of_the_documentation() {
    for (metric, layers) in [
        (Metric::L2, &[(1, 1)][..]),
        (Metric::Cosine, &[(4, 6)][..]),
        (Metric::L2, &[(2, 5), (3, 4)][..]),
        (Metric::Cosine, &[(3, 33), (1, 40), (2, 3)][..]),
    ] {
        let home = Home::new(metric);
        let links = home.links();
        let model = model(layers, 5);
        let attention = model.attention.as_ref().unwrap();
        let added = corrections(attention, &model.mean, &home.rows[..LINKED], &links);
        let largest = added.iter().flatten().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        assert!(largest > 0.05, "attention that adds nothing says nothing: {largest}");
        let nodes: Vec<u32> = (0..=LINKED as u32).collect();
        let keys = home.keys(&model, &nodes);
        for (node, key) in keys.chunks(KEY_BYTES).take(LINKED).enumerate() {
            let neighbors = &links[node];
            let mean_of = |at| neighbors.iter().map(|&other| home.rows[other][at]).sum::<f32>();
            let mean: Vec<f32> = (0..DIM).map(|at| mean_of(at) / neighbors.len() as f32).collect();
            assert_key(&model, &home.rows[node], &mean, &added[node], key);
        }
        assert_eq!(keys[LINKED * KEY_BYTES..], [0; KEY_BYTES], "what is not linked has no key");
    }
}

#[test]
fn a_key_does_not_depend_on_what_is_encoded_with_it() {
    let home = Home::new(Metric::L2);
    let mut rng = fastrand::Rng::with_seed(8);
    for layers in [&[(4, 6)][..], &[(2, 5), (3, 4)], &[(2, 20), (2, 20), (2, 20)]] {
        let model = model(layers, 6);
        let all = home.keys(&model, &(0..=LINKED as u32).collect::<Vec<_>>());
        for count in [1, 2, 5, 63, 64, 65, 130] {
            let nodes: Vec<u32> = (0..count).map(|_| rng.u32(..=LINKED as u32)).collect();
            for (node, key) in nodes.iter().zip(home.keys(&model, &nodes).chunks(KEY_BYTES)) {
                assert_eq!(key, &all[*node as usize * KEY_BYTES..][..KEY_BYTES], "node {node} of {count}");
            }
        }
    }
}

#[test]
fn attention_that_learned_nothing_changes_no_key() {
    let home = Home::new(Metric::Cosine);
    let nodes: Vec<u32> = (0..LINKED as u32).collect();
    let mut model = model(&[(4, 8)], 9);
    let attending = home.keys(&model, &nodes);
    model.attention.as_mut().unwrap().output.fill(0.0);
    let silent = home.keys(&model, &nodes);
    model.attention = None;
    let linear = home.keys(&model, &nodes);
    assert_eq!(silent, linear);
    assert_ne!(attending, linear);
}

#[test]
fn scores_of_any_size_make_shares() {
    let home = Home::new(Metric::L2);
    let mut model = model(&[(2, 4)], 10);
    let layer = &mut model.attention.as_mut().unwrap().layers[0];
    layer.source.iter_mut().for_each(|x| *x *= 1e6);
    let keys = home.keys(&model, &[0, 1, 2]);
    assert!(keys.iter().any(|byte| *byte != 0));
    assert_eq!(KeyEncoder::new(&model).unwrap().hops(), 1);
}
