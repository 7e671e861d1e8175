//! What is refused: a typed error, and nothing has changed.

use redknot::{CollectionDefinition, Database, Error, GraphOptions, Metric, Result};

use super::maps::label;

const POINTS: CollectionDefinition<u64, ()> = CollectionDefinition::new("points", 2, Metric::L2);

fn sample() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::create(folder.path().join("db")).unwrap();
    let mut txn = db.begin_write().unwrap();
    let mut points = txn.open_collection(POINTS).unwrap();
    for key in 0..10 {
        points.insert(key, &[key as f32, 1.0], ()).unwrap();
    }
    let mut graph = txn.create_graph(POINTS, "g", GraphOptions::default()).unwrap();
    graph.insert_edge(1, 2, 0.5, Some("old")).unwrap();
    txn.commit().unwrap();
    (folder, db)
}

fn refused<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) -> Error {
    let error = result.unwrap_err();
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    error
}

#[test]
fn bad_edges_are_refused_and_leave_the_graph_as_it_was() {
    let (_folder, db) = sample();
    let mut txn = db.begin_write().unwrap();
    let mut graph = txn.open_graph(POINTS, "g").unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        refused(graph.insert_edge(1, 2, bad, None), &["weight", &bad.to_string(), "finite"]);
        refused(graph.insert_edges([(1, 3, 1.0, None), (1, 2, bad, None)]), &["weight", "finite"]);
    }
    for (source, target) in [(1, 99), (99, 1), (99, 99)] {
        let error = refused(graph.insert_edge(source, target, 1.0, Some("new")), &["99", "\"points\""]);
        assert!(matches!(error, Error::UnknownKey { .. }), "{error:?}");
        refused(graph.insert_edges([(3, 4, 1.0, Some("new")), (source, target, 1.0, None)]), &["99"]);
    }
    refused(graph.insert_edge(1, 2, 1.0, Some("")), &["edge type", "empty", "255"]);
    refused(graph.insert_edge(1, 2, 1.0, Some(&"x".repeat(256))), &["edge type", "256", "255"]);
    // Asking for and removing what is not there is no error.
    assert!(!graph.remove_edge(1, 99).unwrap());
    assert_eq!((graph.remove_edges_of(99).unwrap(), graph.edge(99, 1).unwrap()), (0, None));
    txn.commit().unwrap();

    let read = db.begin_read().unwrap();
    let graph = read.open_graph(POINTS, "g").unwrap();
    let edges: Vec<_> = graph.edges().unwrap().map(|edge| edge.unwrap()).collect();
    assert_eq!(edges.len(), 1);
    assert_eq!((edges[0].source, edges[0].target, label(&edges[0])), (1, 2, (0.5, Some("old".into()))));
    assert_eq!(graph.edge_types().len(), 1);
    refused(graph.neighbors(99), &["99"]);
    refused(graph.degree(99), &["99"]);
    refused(graph.k_hop(99, 1), &["99"]);
    refused(graph.subgraph(99, 1), &["99"]);
    refused(graph.sample(&[1, 99], &[2], 0), &["99"]);
    refused(graph.subgraph_search(99, &[0.0, 0.0], 1, 1), &["99"]);
    refused(graph.subgraph_search(1, &[0.0, 0.0, 0.0], 1, 1), &["3", "2"]);
    refused(graph.subgraph_search(1, &[0.0, f32::NAN], 1, 1), &["NaN"]);
    refused(graph.subgraph_search(1, &[0.0, 0.0], 1, 0), &["k = 0"]);
    assert_eq!(db.verify().unwrap().findings, []);
}

#[test]
fn names_and_types_that_do_not_fit_are_refused() {
    let (_folder, db) = sample();
    let other: CollectionDefinition<&str, ()> = CollectionDefinition::new("points", 2, Metric::L2);
    let nowhere: CollectionDefinition<u64, ()> = CollectionDefinition::new("nowhere", 2, Metric::L2);
    let mut txn = db.begin_write().unwrap();
    let options = GraphOptions::default();
    let error = refused(txn.create_graph(POINTS, "g", options), &["\"g\"", "already"]);
    assert!(matches!(error, Error::GraphExists { .. }));
    let error = refused(txn.open_graph(POINTS, "h"), &["\"h\"", "it has g"]);
    assert!(matches!(error, Error::UnknownGraph { .. }));
    for bad in ["", "redknot.g", &"x".repeat(256)] {
        assert!(matches!(refused(txn.create_graph(POINTS, bad, options), &[]), Error::InvalidName { .. }));
    }
    refused(txn.create_graph(nowhere, "g", options), &["\"nowhere\"", "points"]);
    refused(txn.open_graph(nowhere, "g"), &["\"nowhere\""]);
    refused(txn.delete_graph("nowhere", "g"), &["\"nowhere\""]);
    assert!(!txn.delete_graph("points", "h").unwrap());
    assert!(matches!(refused(txn.open_graph(other, "g"), &["key type"]), Error::DefinitionMismatch { .. }));
    txn.commit().unwrap();
    let read = db.begin_read().unwrap();
    refused(read.open_graph(POINTS, "h"), &["\"h\"", "it has g"]);
    refused(read.open_graph(other, "g"), &["key type"]);
    refused(read.hnsw_graph(nowhere), &["\"nowhere\""]);
    refused(read.graphs("nowhere"), &["\"nowhere\""]);
    assert_eq!(read.graphs("points").unwrap().len(), 1);
}

#[test]
fn what_a_transaction_gives_up_was_never_there() {
    let (_folder, db) = sample();
    let mut txn = db.begin_write().unwrap();
    assert!(txn.delete_graph("points", "g").unwrap());
    // The name is free at once, and a graph that was created and deleted leaves nothing.
    txn.create_graph(POINTS, "g", GraphOptions { directed: false })
        .unwrap()
        .insert_edge(4, 5, 1.0, None)
        .unwrap();
    txn.create_graph(POINTS, "h", GraphOptions::default()).unwrap();
    assert!(txn.delete_graph("points", "h").unwrap());
    txn.abort().unwrap();
    let graph = db.begin_read().unwrap().open_graph(POINTS, "g").unwrap();
    assert!(graph.is_directed() && graph.edge(1, 2).unwrap().is_some());

    let mut txn = db.begin_write().unwrap();
    assert!(txn.delete_collection("points").unwrap());
    txn.open_collection(POINTS).unwrap().insert(1, &[0.0, 0.0], ()).unwrap();
    assert!(matches!(txn.open_graph(POINTS, "g"), Err(Error::UnknownGraph { .. })));
    txn.commit().unwrap();
    assert_eq!(db.verify().unwrap().findings, []);
    assert!(db.begin_read().unwrap().graphs("points").unwrap().is_empty());
}
