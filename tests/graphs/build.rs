//! Graphs built from vectors, against distances by their definition.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::ControlFlow;

use fastrand::Rng;
use redknot::{CollectionDefinition, Database, Element, Error, Graph, GraphOrigin, Metric};

use super::seed;
use super::support::oracle::distance;

const DIM: usize = 8;
const ROWS: u64 = 600;

fn definition(metric: Metric) -> CollectionDefinition<'static, u64, ()> {
    CollectionDefinition::new("points", DIM, metric).element(Element::F32)
}

/// Rows around a few centres, most of them linked, some removed, some not linked.
fn sample(metric: Metric, rng: &mut Rng) -> (tempfile::TempDir, Database, BTreeMap<u64, Vec<f32>>) {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::create(folder.path().join("db")).unwrap();
    let centres: Vec<Vec<f32>> = (0..12).map(|_| (0..DIM).map(|_| rng.f32() * 4.0 - 2.0).collect()).collect();
    let mut rows = BTreeMap::new();
    for first in [0, ROWS - 20] {
        let keys: Vec<u64> = (first..if first == 0 { ROWS - 20 } else { ROWS }).collect();
        for key in &keys {
            let centre = &centres[rng.usize(..centres.len())];
            rows.insert(*key, centre.iter().map(|x| x + rng.f32() - 0.5).collect::<Vec<f32>>());
        }
        let flat: Vec<f32> = keys.iter().flat_map(|key| rows[key].clone()).collect();
        let mut txn = db.begin_write().unwrap();
        let mut points = txn.open_collection(definition(metric)).unwrap();
        points.import(&keys, flat.as_slice(), &[]).unwrap();
        for gone in (first..first + 10).step_by(3) {
            points.remove(gone).unwrap();
            rows.remove(&gone);
        }
        txn.commit().unwrap();
        if first == 0 {
            db.build(definition(metric)).run().unwrap();
        }
    }
    (folder, db, rows)
}

/// The other rows by their distance to `key`.
fn ranked(metric: Metric, rows: &BTreeMap<u64, Vec<f32>>, key: u64) -> Vec<(f64, u64)> {
    let others = rows.iter().filter(|(other, _)| **other != key);
    let mut ranked: Vec<(f64, u64)> =
        others.map(|(other, row)| (distance(metric, &rows[&key], row), *other)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked
}

fn neighbors(graph: &Graph<u64>, key: u64) -> BTreeMap<u64, f32> {
    graph.neighbors(key).unwrap().into_iter().map(|next| (next.key, next.weight)).collect()
}

fn is_near(found: f32, expected: f64) -> bool {
    (f64::from(found) - expected).abs() <= 2e-5 * (1.0 + expected.abs())
}

#[test]
fn exact_knn_graphs_have_the_nearest_rows() {
    let mut rng = Rng::with_seed(seed());
    for metric in [Metric::L2, Metric::Cosine, Metric::InnerProduct] {
        let (_folder, db, rows) = sample(metric, &mut rng);
        let report = db.build_knn_graph(definition(metric), "knn", 7).exact(true).run().unwrap();
        assert_eq!((report.rows, report.edges), (rows.len() as u64, 7 * rows.len() as u64));
        assert_eq!((report.recall, report.sampled_rows, report.cut_rows), (Some(1.0), 0, 0));
        assert_eq!(db.verify().unwrap().findings, []);
        let graph = db.begin_read().unwrap().open_graph(definition(metric), "knn").unwrap();
        for key in rows.keys() {
            let (found, expected) = (neighbors(&graph, *key), ranked(metric, &rows, *key));
            assert_eq!(found.len(), 7);
            let farthest = expected[6].0;
            for (other, weight) in found {
                let exact = distance(metric, &rows[key], &rows[&other]);
                assert!(is_near(weight, exact) && exact <= farthest + 1e-4, "{metric}: {key} → {other}");
            }
        }
        let info = &db.collections().unwrap()[0].graphs[0];
        assert_eq!((info.origin, info.directed), (GraphOrigin::Knn { k: 7, exact: true }, true));
    }
}

#[test]
fn knn_graphs_through_the_index_reach_their_recall() {
    let mut rng = Rng::with_seed(seed());
    let (_folder, db, rows) = sample(Metric::L2, &mut rng);
    let build = |ef: usize| {
        let build = db.build_knn_graph(definition(Metric::L2), "knn", 5).replace(true).ef(ef);
        build.recall_sample(10_000).threads(NonZero::new(2).unwrap()).run().unwrap()
    };
    let report = build(100);
    assert_eq!(report.sampled_rows, rows.len() as u64);
    assert!(report.recall > Some(0.95), "{report:?}");
    // What is reported is what is there.
    let graph = db.begin_read().unwrap().open_graph(definition(Metric::L2), "knn").unwrap();
    let mut found = 0;
    for key in rows.keys() {
        let there = neighbors(&graph, *key);
        assert_eq!(there.len(), 5);
        found += ranked(Metric::L2, &rows, *key)[..5]
            .iter()
            .filter(|(_, other)| there.contains_key(other))
            .count();
    }
    let recall = found as f64 / (5 * rows.len()) as f64;
    assert!((recall - report.recall.unwrap()).abs() < 0.002, "{recall} is not {report:?}");
    assert_eq!(db.verify().unwrap().findings, []);
}

#[test]
fn eps_graphs_join_all_rows_within_the_distance() {
    let mut rng = Rng::with_seed(seed());
    let (_folder, db, rows) = sample(Metric::L2, &mut rng);
    let epsilon = 0.9;
    let within = |key: u64| ranked(Metric::L2, &rows, key).into_iter().take_while(|(far, _)| *far <= epsilon);
    let pairs: usize = rows.keys().map(|key| within(*key).count()).sum();
    assert!(pairs > 3000, "{pairs}");
    for exact in [true, false] {
        let build = db.build_eps_graph(definition(Metric::L2), "eps", epsilon as f32, 500);
        let report = build.exact(exact).replace(true).recall_sample(300).run().unwrap();
        assert_eq!(report.cut_rows, 0);
        // From either end, so an index that misses one way mostly finds the other.
        let found = report.edges as f64 * 2.0 / pairs as f64;
        assert!(if exact { found == 1.0 } else { found > 0.97 }, "{report:?}: {found}");
        assert!(report.recall > Some(0.95), "{report:?}");
        assert_eq!(db.verify().unwrap().findings, []);
        let graph = db.begin_read().unwrap().open_graph(definition(Metric::L2), "eps").unwrap();
        assert!(!graph.is_directed());
        for edge in graph.edges().unwrap() {
            let edge = edge.unwrap();
            let exact = distance(Metric::L2, &rows[&edge.source], &rows[&edge.target]);
            assert!(is_near(edge.weight, exact) && exact <= epsilon + 1e-4);
        }
    }
    // A cap is reported, and keeps the nearest.
    let most = 3;
    let cut = rows.keys().filter(|key| within(**key).count() > most).count();
    let build = db.build_eps_graph(definition(Metric::L2), "eps", epsilon as f32, most).directed(true);
    let report = build.exact(true).replace(true).run().unwrap();
    assert_eq!(report.cut_rows, cut as u64);
    let graph = db.begin_read().unwrap().open_graph(definition(Metric::L2), "eps").unwrap();
    for key in rows.keys() {
        let expected: Vec<u64> = within(*key).take(most).map(|(_, other)| other).collect();
        let found = neighbors(&graph, *key);
        assert_eq!(found.len(), expected.len());
        assert!(expected.iter().all(|other| found.contains_key(other)));
    }
}

#[test]
fn builds_that_are_refused_or_cancelled_change_nothing() {
    let mut rng = Rng::with_seed(seed());
    let (_folder, db, _) = sample(Metric::L2, &mut rng);
    let points = definition(Metric::L2);
    db.build_knn_graph(points, "g", 3).run().unwrap();
    let edges = || {
        let graph = db.begin_read().unwrap().open_graph(points, "g").unwrap();
        let edges: Vec<_> = graph.edges().unwrap().map(|edge| edge.unwrap()).collect();
        edges
    };
    let before = edges();
    assert!(matches!(db.build_knn_graph(points, "g", 4).run(), Err(Error::GraphExists { .. })));
    let cancelled = db
        .build_knn_graph(points, "g", 4)
        .replace(true)
        .progress(|step| if step.done > 100 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
    assert!(matches!(cancelled.run(), Err(Error::Cancelled)));
    for bad in [0, 65_536, usize::MAX] {
        assert!(matches!(
            db.build_knn_graph(points, "h", bad).run(),
            Err(Error::InvalidParameter { name: "k", .. })
        ));
        let eps = db.build_eps_graph(points, "h", 1.0, bad).run();
        assert!(matches!(eps, Err(Error::InvalidParameter { name: "max_neighbors", .. })));
    }
    let eps = db.build_eps_graph(points, "h", f32::NAN, 5).run();
    assert!(matches!(eps, Err(Error::InvalidParameter { name: "epsilon", .. })));
    let ef = db.build_knn_graph(points, "h", 5).ef(0).run();
    assert!(matches!(ef, Err(Error::InvalidParameter { name: "ef", .. })));
    assert!(matches!(db.build_knn_graph(points, "", 5).run(), Err(Error::InvalidName { .. })));
    let nowhere = db.build_knn_graph_named("nowhere", "h", 5).run();
    assert!(matches!(nowhere, Err(Error::UnknownCollection { .. })));
    assert_eq!(edges(), before);
    assert_eq!(db.begin_read().unwrap().graphs("points").unwrap().len(), 1);
    assert_eq!(db.verify().unwrap().findings, []);
}

#[test]
fn small_collections_have_what_neighbours_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::create(folder.path().join("db")).unwrap();
    let points = definition(Metric::L2);
    let mut txn = db.begin_write().unwrap();
    txn.open_collection(points).unwrap();
    txn.commit().unwrap();
    for rows in 0..4_u64 {
        for exact in [true, false] {
            let build = db.build_knn_graph(points, "knn", 10).replace(true).exact(exact);
            let report = build.run().unwrap();
            assert_eq!((report.rows, report.edges), (rows, rows * rows.saturating_sub(1)));
            assert_eq!(report.recall, Some(1.0));
        }
        let mut txn = db.begin_write().unwrap();
        txn.open_collection(points).unwrap().insert(rows, &[rows as f32; DIM], ()).unwrap();
        txn.commit().unwrap();
    }
    assert_eq!(db.verify().unwrap().findings, []);
}
