//! Features of stored indexes: against the definitions, in the file, and after edits.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use redknot_storage::{Options, Storage, View, WriteTxn};
use roaring::RoaringBitmap;
use tempfile::TempDir;

use super::*;
use crate::stored::{FREE, INCOMING, UNLINKED, level_of, words};
use crate::{Element, Error, IndexConfig, IndexRecord, Kernel, Metric, Reader, Writer};

const DIM: usize = 6;

/// A file with one index, of which nothing is committed unless a test does it.
struct Home {
    _dir: TempDir,
    storage: Storage,
}

fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { cache_bytes: 8 << 20, idle_commit: None, ..Options::default() };
    let storage = Storage::create(dir.path().join("file"), &options).unwrap();
    Home { _dir: dir, storage }
}

fn config(metric: Metric) -> IndexConfig {
    IndexConfig { dim: DIM, metric, element: Element::F32, m: 4, ef_construction: 30, seed: 3 }
}

fn row(rng: &mut fastrand::Rng) -> Vec<u8> {
    (0..DIM).flat_map(|_| (rng.f32() - 0.5).to_le_bytes()).collect()
}

/// An index of `linked` linked rows and some that are not linked or not in use.
fn index(txn: &mut WriteTxn, metric: Metric, linked: usize, rng: &mut fastrand::Rng) -> IndexRecord {
    let mut record = IndexRecord::create(txn, &config(metric)).unwrap();
    let mut writer = Writer::open(txn, &mut record).unwrap();
    for _ in 0..linked + linked / 10 {
        writer.insert(&row(rng)).unwrap();
    }
    for at in 0..linked / 10 {
        writer.delete(3 * at as u32).unwrap();
    }
    let tail: Vec<u8> = (0..linked / 20).flat_map(|_| row(rng)).collect();
    writer.append_unlinked(&tail).unwrap();
    record
}

fn go_on(_: FeatureProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn compute(view: &impl View, record: &IndexRecord) -> Features {
    let reader = Reader::open(view, record).unwrap();
    compute_features(&reader, &BetweennessOptions::default(), &go_on).unwrap()
}

/// Out-links of each linked node.
fn links(view: &impl View, record: &IndexRecord) -> BTreeMap<u32, Vec<u32>> {
    let (csr, levels) = (view.csr(record.arrays.links).unwrap(), view.rows(record.arrays.levels).unwrap());
    (0..record.nodes)
        .filter(|node| level_of(levels, *node).unwrap() < UNLINKED)
        .map(|node| (node, words(csr.get(node).unwrap()).filter(|word| word & INCOMING == 0).collect()))
        .collect()
}

#[test]
fn features_are_those_of_the_definitions() {
    for (seed, metric) in [(1, Metric::L2), (2, Metric::Cosine), (3, Metric::InnerProduct)] {
        let home = home();
        let mut txn = home.storage.begin_write().unwrap();
        let record = index(&mut txn, metric, 150, &mut fastrand::Rng::with_seed(seed));
        let features = compute(&txn, &record);
        let (links, levels) = (links(&txn, &record), txn.rows(record.arrays.levels).unwrap());
        let vectors = txn.rows(record.arrays.vectors).unwrap();
        assert_eq!((features.nodes().len(), links.len()), (record.nodes as usize, 150));
        let mut around: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for (node, to) in links.iter().flat_map(|(node, row)| row.iter().map(move |to| (*node, *to))) {
            around.entry(node).or_default().insert(to);
            around.entry(to).or_default().insert(node);
        }
        let kernels = [metric, Metric::Cosine].map(|metric| Kernel::new(metric, Element::F32).unwrap());
        for (node, features_of_node) in (0..).zip(features.nodes()) {
            let Some(row) = links.get(&node) else {
                assert_eq!(*features_of_node, NodeFeatures::default(), "node {node} is not linked");
                assert!(features.edges(node).is_empty());
                continue;
            };
            let code = level_of(levels, node).unwrap();
            assert_eq!((features_of_node.degree as usize, features_of_node.level), (row.len(), Some(code)));
            let neighbors = &around[&node];
            let closed: usize =
                neighbors.iter().map(|other| around[other].intersection(neighbors).count()).sum();
            let pairs = neighbors.len() * (neighbors.len() - 1);
            let share = if pairs == 0 { 0.0 } else { closed as f32 / pairs as f32 };
            assert!((features_of_node.clustering - share).abs() < 1e-6);
            assert!(!features_of_node.is_stale);
            assert_eq!(features.edges(node).len(), row.len());
            for (edge, to) in features.edges(node).iter().zip(row) {
                let [distance, cosine] = kernels.map(|kernel| {
                    let query = vectors.get(node).unwrap();
                    kernel.distance(query, kernel.scale(query), vectors.get(*to).unwrap())
                });
                assert_eq!((edge.target, edge.distance), (*to, distance));
                assert!((edge.cosine - (1.0 - cosine)).abs() < 1e-6);
                assert_eq!(edge.is_cross_layer, code != level_of(levels, *to).unwrap());
                assert!(edge.betweenness > 0.0, "at least the pair of its ends");
                if let Some(back) = features.edges(*to).iter().find(|back| back.target == node) {
                    assert_eq!(back.betweenness, edge.betweenness);
                }
            }
        }
        assert!(features.nodes().iter().any(|node| node.betweenness > 0.0));
        assert_eq!((features.precision().nodes, features.precision().is_exact()), (150, true));
    }
}

/// What the file holds is what was computed.
fn check_stored(view: &impl View, record: &FeatureRecord, features: &Features) {
    let reader = FeatureReader::open(view, record).unwrap();
    assert_eq!(reader.len() as usize, features.nodes().len());
    for (node, expected) in (0..).zip(features.nodes()) {
        assert_eq!(reader.node(node).unwrap(), *expected);
        assert!(reader.edges(node).unwrap().eq(features.edges(node).iter().copied()));
    }
    let beyond = reader.node(reader.len());
    assert!(matches!(beyond, Err(Error::RowOutOfRange { .. })));
    assert!(reader.edges(reader.len()).is_err());
}

#[test]
fn features_come_back_from_the_file_and_go() {
    let home = home();
    let mut txn = home.storage.begin_write().unwrap();
    let index = index(&mut txn, Metric::L2, 2500, &mut fastrand::Rng::with_seed(5));
    let features = compute(&txn, &index);
    let record = features.store(&mut txn).unwrap();
    check_stored(&txn, &record, &features);
    txn.commit().unwrap();
    let snapshot = home.storage.snapshot().unwrap();
    let record = FeatureRecord::from_bytes(&record.to_bytes()).unwrap();
    assert_eq!(record.freshness(&index), Freshness::Fresh);
    check_stored(&*snapshot, &record, &features);

    // The same in many transactions.
    let mut txn = home.storage.begin_write().unwrap();
    let in_steps = features.create(&mut txn).unwrap();
    let mut steps = 1;
    while !features.append(&mut txn, &in_steps, 1).unwrap() {
        txn = txn.commit_and_begin().unwrap();
        steps += 1;
    }
    assert_eq!(steps, features.nodes().len().div_ceil(1024));
    check_stored(&txn, &in_steps, &features);
    record.drop_arrays(&mut txn).unwrap();
    txn.commit().unwrap();
    let snapshot = home.storage.snapshot().unwrap();
    check_stored(&*snapshot, &in_steps, &features);
    assert!(FeatureReader::open(&*snapshot, &record).is_err());
}

#[test]
fn an_empty_index_has_features_and_a_cancelled_computation_none() {
    let home = home();
    let mut txn = home.storage.begin_write().unwrap();
    let empty = IndexRecord::create(&mut txn, &config(Metric::L2)).unwrap();
    let record = compute(&txn, &empty).store(&mut txn).unwrap();
    assert!(FeatureReader::open(&txn, &record).unwrap().is_empty());

    let index = index(&mut txn, Metric::L2, 100, &mut fastrand::Rng::with_seed(6));
    let reader = Reader::open(&txn, &index).unwrap();
    for phase in [FeaturePhase::Local, FeaturePhase::Betweenness] {
        let stop = |progress: FeatureProgress| match progress.phase == phase {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let result = compute_features(&reader, &BetweennessOptions::default(), &stop);
        assert!(matches!(result, Err(Error::Cancelled)), "{phase:?}");
    }
}

/// The bytes that features are computed from, by node: level, vector, links both ways.
fn content(view: &impl View, record: &IndexRecord) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let (csr, levels) = (view.csr(record.arrays.links).unwrap(), view.rows(record.arrays.levels).unwrap());
    let vectors = view.rows(record.arrays.vectors).unwrap();
    let row = |node| if node < csr.len() { csr.get(node).unwrap().to_vec() } else { Vec::new() };
    (0..record.nodes)
        .map(|node| (level_of(levels, node).unwrap(), vectors.get(node).unwrap().to_vec(), row(node)))
        .collect()
}

/// Nodes whose content differs, and those that link to one whose vector or level does: its number may have been given
/// to a new node that is linked as the old one was.
fn changed(before: &[(u8, Vec<u8>, Vec<u8>)], after: &[(u8, Vec<u8>, Vec<u8>)]) -> RoaringBitmap {
    let mut changed = RoaringBitmap::new();
    for (node, now) in after.iter().enumerate() {
        let then = before.get(node);
        if then != Some(now) {
            changed.insert(node as u32);
        }
        if now.0 < UNLINKED && then.is_none_or(|then| (then.0, &then.1) != (now.0, &now.1)) {
            changed.extend(words(&now.2).map(|word| word & !INCOMING));
        }
    }
    changed
}

/// Everything but betweenness agrees with a new computation; betweenness is kept, or 0.
fn check_refreshed(txn: &WriteTxn, index: &IndexRecord, record: &FeatureRecord, original: &Features) {
    let (fresh, stored) = (compute(txn, index), FeatureReader::open(txn, record).unwrap());
    assert_eq!(stored.len(), index.nodes);
    let mut stale = 0;
    for (node, expected) in (0..).zip(fresh.nodes()) {
        let got = stored.node(node).unwrap();
        stale += u32::from(got.is_stale);
        let (betweenness, is_stale) = (got.betweenness, got.is_stale);
        assert_eq!(got, NodeFeatures { betweenness, is_stale, ..*expected }, "node {node}");
        let before = original.nodes().get(node as usize).copied().unwrap_or_default();
        assert!(betweenness == 0.0 || betweenness == before.betweenness, "node {node}");
        assert!(is_stale || got.level.is_none() || betweenness == before.betweenness, "node {node}");
        let edges: Vec<EdgeFeatures> = stored.edges(node).unwrap().collect();
        assert_eq!(edges.len(), fresh.edges(node).len());
        for (edge, expected) in edges.iter().zip(fresh.edges(node)) {
            assert_eq!(*edge, EdgeFeatures { betweenness: edge.betweenness, ..*expected }, "node {node}");
            let known = (node as usize) < original.nodes().len()
                && original.edges(node).iter().any(|before| before.betweenness == edge.betweenness);
            assert!(edge.betweenness == 0.0 || known, "node {node} → {}", edge.target);
        }
    }
    assert_eq!(record.stale_nodes(), stale);
    assert!(stale > 0);
    assert_eq!(record.freshness(index), Freshness::StaleBetweenness);
}

#[test]
fn a_refresh_after_edits_equals_a_new_computation() {
    let mut free_nodes = 0;
    for seed in 0..6 {
        let home = home();
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut txn = home.storage.begin_write().unwrap();
        let mut index = index(&mut txn, Metric::L2, 120, &mut rng);
        let original = compute(&txn, &index);
        let mut record = original.store(&mut txn).unwrap();
        for round in 0..8 {
            let before = content(&txn, &index);
            let mut writer = Writer::open(&mut txn, &mut index).unwrap();
            for _ in 0..rng.usize(1..8) {
                match rng.u8(..4) {
                    0 => drop(writer.append_unlinked(&row(&mut rng)).unwrap()),
                    1 => drop(writer.insert(&row(&mut rng)).unwrap()),
                    _ => {
                        let node = rng.u32(..writer.record.nodes);
                        match writer.delete(node) {
                            Ok(()) | Err(Error::NotInUse { .. }) => {}
                            Err(error) => panic!("seed {seed}, round {round}: {error}"),
                        }
                    }
                }
            }
            writer.insert(&row(&mut rng)).unwrap();
            writer.finish().unwrap();
            assert_eq!(record.freshness(&index), Freshness::Unrefreshed);
            let mut changed = changed(&before, &content(&txn, &index));
            // Half of the nodes are given, half were remembered.
            let later: RoaringBitmap = changed.iter().filter(|node| node % 2 == 0).collect();
            changed -= &later;
            record.mark_changed(&later);
            refresh_features(&mut txn, &index, &mut record, &changed).unwrap();
            check_refreshed(&txn, &index, &record, &original);
            let levels = txn.rows(index.arrays.levels).unwrap();
            free_nodes += (0..index.nodes).filter(|node| level_of(levels, *node).unwrap() == FREE).count();
        }
    }
    assert!(free_nodes > 0, "a refresh has to see nodes that are not in use");
}

#[test]
fn a_refresh_touches_little_and_refuses_what_does_not_fit() {
    let home = home();
    let mut rng = fastrand::Rng::with_seed(9);
    let mut txn = home.storage.begin_write().unwrap();
    let mut index = index(&mut txn, Metric::L2, 1500, &mut rng);
    let features = compute(&txn, &index);
    let mut record = features.store(&mut txn).unwrap();
    let before = content(&txn, &index);
    Writer::open(&mut txn, &mut index).unwrap().insert(&row(&mut rng)).unwrap();
    let changed = changed(&before, &content(&txn, &index));
    let beyond: RoaringBitmap = [index.nodes].into_iter().collect();
    let unchanged = record.clone();
    let refused = refresh_features(&mut txn, &index, &mut record, &beyond);
    assert!(matches!(refused, Err(Error::RowOutOfRange { .. })));
    let mut other = record.clone();
    other.links = other.nodes;
    assert_eq!(other.freshness(&index), Freshness::OtherGraph);
    let refused = refresh_features(&mut txn, &index, &mut other, &changed);
    assert!(matches!(refused, Err(Error::FeaturesOfOtherGraph { .. })));
    assert_eq!(record, unchanged);
    check_stored(&txn, &record, &features);

    let refreshed = refresh_features(&mut txn, &index, &mut record, &changed).unwrap();
    assert!(refreshed.nodes < 400, "{refreshed:?}");
    let fewer = refresh_features(&mut txn, &index, &mut record, &RoaringBitmap::new()).unwrap();
    assert_eq!(fewer, Refreshed { nodes: 0, edges: 0 });
    check_refreshed(&txn, &index, &record, &features);
}

#[test]
fn rows_that_are_not_those_of_their_nodes_are_found() {
    let home = home();
    let mut txn = home.storage.begin_write().unwrap();
    let index = index(&mut txn, Metric::L2, 300, &mut fastrand::Rng::with_seed(8));
    let features = compute(&txn, &index);
    let record = features.store(&mut txn).unwrap();
    txn.commit().unwrap();
    let findings = || verify_features(&*home.storage.snapshot().unwrap(), &index, &record).unwrap();
    assert_eq!(findings(), []);
    let node = features.nodes().iter().rposition(|node| node.degree > 2).unwrap() as u32;
    let write = |of_node: &NodeFeatures, edges: &[EdgeFeatures]| {
        let mut txn = home.storage.begin_write().unwrap();
        let mut bytes = Vec::new();
        row::encode_node(of_node, &mut bytes);
        txn.set_row(record.arrays()[0], node, &bytes).unwrap();
        bytes.clear();
        row::encode_edges(edges, &mut bytes);
        txn.set_csr_row(record.arrays()[1], node, &bytes).unwrap();
        txn.commit().unwrap();
    };
    let (good, edges) = (features.nodes()[node as usize], features.edges(node).to_vec());
    let spoilt_nodes = [
        NodeFeatures { degree: good.degree + 1, ..good },
        NodeFeatures { level: Some(30), ..good },
        NodeFeatures { clustering: f32::NAN, ..good },
        NodeFeatures { clustering: good.clustering + 0.01, ..good },
        NodeFeatures { betweenness: -0.1, ..good },
    ];
    let with_first = |edge: EdgeFeatures| [&[edge], &edges[1..]].concat();
    let first = edges[0];
    let spoilt_edges = [
        edges[1..].to_vec(),
        [&edges[..], &[first]].concat(),
        with_first(EdgeFeatures { target: edges[1].target, ..first }),
        with_first(EdgeFeatures { is_cross_layer: !first.is_cross_layer, ..first }),
        with_first(EdgeFeatures { distance: 2.0 * first.distance + 1.0, ..first }),
        with_first(EdgeFeatures { cosine: f32::NAN, ..first }),
        with_first(EdgeFeatures { betweenness: f32::INFINITY, ..first }),
    ];
    let spoilt_nodes = spoilt_nodes.iter().map(|spoilt| (*spoilt, edges.clone()));
    for (spoilt, edges) in spoilt_nodes.chain(spoilt_edges.into_iter().map(|edges| (good, edges))) {
        write(&spoilt, &edges);
        let found = findings();
        assert!(matches!(&found[..], [finding] if finding.node == node), "{spoilt:?} {edges:?}: {found:?}");
    }
    write(&good, &edges);
    assert_eq!(findings(), []);
}
