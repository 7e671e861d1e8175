//! Rows with very many edges, which lie apart from the others.

use std::collections::BTreeSet;

use redknot::{CollectionDefinition, Database, Error, GraphOptions, Metric};

use super::maps::{Map, check};

const POINTS: CollectionDefinition<u64, ()> = CollectionDefinition::new("points", 2, Metric::L2);

fn with_rows(rows: u64) -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::create(folder.path().join("db")).unwrap();
    let mut txn = db.begin_write().unwrap();
    let keys: Vec<u64> = (0..rows).collect();
    let vectors: Vec<f32> = keys.iter().flat_map(|key| [*key as f32, (*key % 7) as f32]).collect();
    txn.open_collection(POINTS).unwrap().import(&keys, vectors.as_slice(), &[]).unwrap();
    txn.commit().unwrap();
    (folder, db)
}

/// Hubs grow, are renumbered by a build, renamed, shrink and go; short rows share their blocks.
#[test]
fn hubs_live_and_go_as_other_rows_do() {
    const ROWS: u64 = 2600;
    for directed in [true, false] {
        let (_folder, db) = with_rows(ROWS);
        let mut map = Map::new(directed);
        let mut keys: BTreeSet<u64> = (0..ROWS).collect();
        let verified = |map: &Map<u64>, keys: &BTreeSet<u64>| {
            assert_eq!(db.verify().unwrap().findings, []);
            // Every row is looked at in the other suites; here the hubs and some others.
            let some = keys.iter().copied().filter(|key| *key < 8 || key % 500 == 0).collect();
            check(&db.begin_read().unwrap().open_graph(POINTS, "hubs").unwrap(), map, &some);
        };
        let mut txn = db.begin_write().unwrap();
        let mut graph = txn.create_graph(POINTS, "hubs", GraphOptions { directed }).unwrap();
        for hub in 0..4 {
            let edges: Vec<(u64, u64, f32)> =
                (0..ROWS / 2 + 300 * hub).map(|other| (hub, (other * 7) % ROWS, other as f32)).collect();
            graph.insert_edges(edges.iter().map(|(from, to, weight)| (*from, *to, *weight, None))).unwrap();
            for (from, to, weight) in edges {
                map.insert(&from, &to, (weight, None));
            }
        }
        txn.commit().unwrap();
        verified(&map, &keys);
        db.build(POINTS).reorder(true).run().unwrap();
        verified(&map, &keys);

        let mut txn = db.begin_write().unwrap();
        // Another number for a hub: the slot of row 100 is free before its own is.
        let mut points = txn.open_collection(POINTS).unwrap();
        for gone in [100, 2] {
            points.remove(gone).unwrap();
            keys.remove(&gone);
            map.remove_edges_of(&gone);
        }
        points.insert(1, &[5000.0, 1.0], ()).unwrap();
        txn.commit().unwrap();
        verified(&map, &keys);

        let mut txn = db.begin_write().unwrap();
        let mut graph = txn.open_graph(POINTS, "hubs").unwrap();
        let shrinking: Vec<(u64, u64)> =
            map.edges.keys().copied().filter(|ends| ends.0.min(ends.1) == 0).collect();
        for (from, to) in shrinking.into_iter().skip(5) {
            assert!(graph.remove_edge(from, to).unwrap());
            map.remove(&from, &to);
        }
        assert_eq!(graph.remove_edges_of(3).unwrap(), map.remove_edges_of(&3));
        assert!(!graph.insert_edge(5, 6, 0.5, Some("short")).unwrap());
        map.insert(&5, &6, (0.5, Some("short".into())));
        txn.commit().unwrap();
        verified(&map, &keys);
    }
}

#[test]
fn a_row_has_65535_edges_and_no_more() {
    const MOST: u64 = 65_535;
    let (_folder, db) = with_rows(MOST + 2);
    let mut txn = db.begin_write().unwrap();
    let mut graph = txn.create_graph(POINTS, "star", GraphOptions::default()).unwrap();
    assert_eq!(graph.insert_edges((0..MOST).map(|to| (9, to, 1.0, None))).unwrap(), 0);
    let full = |result: redknot::Result<bool>| match result {
        Err(Error::TooManyEdges { graph, key, limit }) => {
            assert_eq!((graph.as_str(), key.as_str(), limit), ("star", "9", 65_535));
        }
        other => panic!("{other:?}"),
    };
    full(graph.insert_edge(9, MOST, 1.0, Some("new")));
    full(graph.insert_edges([(1, 2, 1.0, None), (9, MOST, 1.0, Some("new"))]).map(|_| true));
    // Another weight for an edge that is there takes no room.
    assert!(graph.insert_edge(9, 4, 2.0, None).unwrap());
    // Nothing else has changed, and the row is full in one direction only.
    assert_eq!((graph.len(), graph.edge(1, 2).unwrap()), (MOST, None));
    assert!(!graph.insert_edge(MOST + 1, 9, 1.0, None).unwrap());
    txn.commit().unwrap();
    let report = db.verify().unwrap();
    assert_eq!((report.findings, report.edges), (vec![], MOST + 1));
    let read = db.begin_read().unwrap();
    assert!(read.graphs("points").unwrap()[0].edge_types.is_empty());
    assert_eq!(read.open_graph(POINTS, "star").unwrap().degree(9).unwrap(), 65_535);
}
