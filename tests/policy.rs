//! Online policies and graph features through the database.
#![cfg(feature = "routing")]
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::ops::ControlFlow;

use redknot::online::{Budget, EdgeScorer, GnnRoutingPolicy, LinearScorer, RoutingConfig, ScoreError};
use redknot::{
    BetweennessOptions, Collection, CollectionDefinition, Database, Error, Freshness, Hit, Metric,
};
use tempfile::TempDir;

const DIM: usize = 12;
const ROWS: u64 = 1500;
const POINTS: CollectionDefinition<'static, u64, ()> = CollectionDefinition::new("points", DIM, Metric::L2);

fn rows(count: u64, seed: u64) -> Vec<Vec<f32>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (0..DIM).map(|_| rng.f32()).collect()).collect()
}

/// A file with linked rows, keys 0 to [`ROWS`].
fn database() -> (TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::create(folder.path().join("db")).unwrap();
    import(&db, 0, ROWS, 1);
    db.build(POINTS).run().unwrap();
    (folder, db)
}

fn import(db: &Database, first: u64, count: u64, seed: u64) {
    let mut txn = db.begin_write().unwrap();
    let keys: Vec<u64> = (first..first + count).collect();
    txn.open_collection(POINTS).unwrap().import(&keys, rows(count, seed).concat().as_slice(), &[]).unwrap();
    txn.commit().unwrap();
}

fn points(db: &Database) -> Collection<u64, ()> {
    db.begin_read().unwrap().open_collection(POINTS).unwrap()
}

fn policy() -> GnnRoutingPolicy {
    let config = RoutingConfig { budget: Budget::Unlimited, ..RoutingConfig::default() };
    GnnRoutingPolicy::new(LinearScorer::nearer(DIM, DIM), config).unwrap()
}

fn freshness(db: &Database) -> Freshness {
    db.graph_features("points").unwrap().unwrap().freshness
}

#[test]
fn a_policy_guides_searches_and_batches() {
    let (_folder, db) = database();
    db.compute_graph_features(POINTS).run().unwrap();
    let (points, policy, queries) = (points(&db), policy(), rows(60, 2));
    let (mut same, mut saved) = (0, 0);
    let mut alone = Vec::new();
    for query in &queries {
        let guided = points.search(query).ef(80).policy(&policy).run().unwrap();
        let greedy = points.search(query).greedy(Some(80)).run().unwrap();
        assert!(guided.stats.routed && guided.stats.inferences > 0 && guided.stats.key_scores == 0);
        assert!(!greedy.stats.routed && greedy.stats.inferences == 0);
        same += guided.hits.iter().filter(|hit| greedy.hits.contains(hit)).count();
        saved += u64::from(guided.stats.distances < greedy.stats.distances);
        alone.push(guided.hits);
    }
    assert!(same >= 60 * 10 * 95 / 100 && saved >= 50, "{same} {saved}");
    let batch = points.search_batch(&queries).ef(80).policy(&policy).run().unwrap();
    assert_eq!(batch.into_iter().map(|found| found.hits).collect::<Vec<_>>(), alone);
    assert_eq!((policy.metrics().queries, policy.metrics().fallbacks), (120, 0));
    // What a policy has no part in.
    let even = points.search(&queries[0]).filter(|key| key % 2 == 0).policy(&policy).run().unwrap();
    assert!(even.hits.iter().all(|hit| hit.key % 2 == 0) && !even.stats.routed);
    assert!(!points.search(&queries[0]).exact().policy(&policy).run().unwrap().stats.routed);
    assert_eq!(policy.metrics().queries, 120);
}

#[test]
fn a_transaction_is_searched_with_its_own_changes() {
    let (_folder, db) = database();
    let (policy, far) = (policy(), [9.0; DIM]);
    let mut txn = db.begin_write().unwrap();
    let mut points = txn.open_collection(POINTS).unwrap();
    points.insert(ROWS, &far, ()).unwrap();
    let found = points.search(&far).k(1).policy(&policy).run().unwrap();
    assert_eq!((found.hits, found.stats.routed), (vec![Hit { key: ROWS, distance: 0.0 }], true));
}

/// A model that fails.
struct Broken;

impl EdgeScorer for Broken {
    fn node_dim(&self) -> usize {
        DIM + 4
    }

    fn edge_dim(&self) -> usize {
        4
    }

    fn query_dim(&self) -> usize {
        DIM
    }

    fn score(&self, _: &[f32], _: &[f32], _: &[f32], scores: &mut Vec<f32>) -> Result<(), ScoreError> {
        scores.clear();
        Ok(())
    }
}

#[test]
fn a_model_that_fails_means_greedy_search() {
    let (_folder, db) = database();
    let points = points(&db);
    let policy = GnnRoutingPolicy::new(
        Broken,
        RoutingConfig { budget: Budget::Unlimited, ..RoutingConfig::default() },
    );
    let policy = policy.unwrap();
    for query in rows(200, 3) {
        let found = points.search(&query).policy(&policy).run().unwrap();
        assert!(!found.stats.routed);
        assert_eq!(found.hits, points.search(&query).greedy(None).run().unwrap().hits);
    }
    assert_eq!((policy.metrics().fallbacks, policy.metrics().queries), (200, 200));
}

/// Removes a row and inserts another, each time in a commit of its own.
fn edit(db: &Database, keys: std::ops::Range<u64>) {
    for key in keys {
        let mut txn = db.begin_write().unwrap();
        let mut points = txn.open_collection(POINTS).unwrap();
        assert!(points.remove(key * 7).unwrap());
        points.insert(ROWS + key, &rows(1, 50 + key)[0], ()).unwrap();
        txn.commit().unwrap();
    }
}

#[test]
fn features_follow_the_collection() {
    let (folder, db) = database();
    assert_eq!(db.graph_features("points").unwrap(), None);
    assert!(matches!(db.refresh_graph_features("points"), Err(Error::NoFeatures { .. })));
    let cancelled = db.compute_graph_features(POINTS).progress(|_| ControlFlow::Break(())).run();
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    assert_eq!(db.graph_features("points").unwrap(), None);
    let computed = db.compute_graph_features(POINTS).run().unwrap();
    assert_eq!((computed.freshness, computed.rows, computed.pivots), (Freshness::Fresh, 1500, 1500));
    assert!(computed.bytes > 12 * ROWS);
    assert_eq!(db.verify().unwrap().findings, []);

    // Two edits concern a part of so small a graph, many all of it.
    edit(&db, 0..2);
    let refreshed = db.refresh_graph_features("points").unwrap();
    assert!(refreshed.nodes > 2 && refreshed.nodes < ROWS as usize && refreshed.edges > 0, "{refreshed:?}");
    assert_eq!(db.verify().unwrap().findings, []);

    // Over several commits, and another opening of the file.
    edit(&db, 2..40);
    assert_eq!(freshness(&db), Freshness::Unrefreshed);
    assert_eq!(db.verify().unwrap().findings, [], "what says that it is behind is not wrong");
    drop(db);
    let db = Database::open(folder.path().join("db")).unwrap();
    assert!(db.refresh_graph_features("points").unwrap().nodes > 40);
    let info = db.graph_features("points").unwrap().unwrap();
    assert_eq!((info.freshness, info.changed_rows), (Freshness::StaleBetweenness, 0));
    assert!(info.stale_rows > 0);
    assert_eq!(
        db.verify().unwrap().findings,
        [],
        "clustering and lengths of links are those of a computation"
    );

    // A build writes all links anew.
    import(&db, 10_000, 400, 9);
    db.build(POINTS).run().unwrap();
    assert_eq!(freshness(&db), Freshness::OtherGraph);
    let refused = db.refresh_graph_features("points").unwrap_err();
    assert!(refused.to_string().contains("compute them anew"), "{refused}");
    assert_eq!(db.verify().unwrap().findings, []);
    let options = BetweennessOptions { exact_up_to: 100, pivots: 50, ..BetweennessOptions::default() };
    let sampled = db.compute_graph_features(POINTS).betweenness(options).run().unwrap();
    assert_eq!((sampled.freshness, sampled.rows, sampled.pivots), (Freshness::Fresh, 1900, 50));
    assert!(sampled.bound > 0.0 && sampled.node_standard_error > 0.0);
    assert_eq!(db.verify().unwrap().findings, []);
    assert!(db.drop_graph_features("points").unwrap() && !db.drop_graph_features("points").unwrap());
    assert_eq!(db.graph_features("points").unwrap(), None);

    db.compute_graph_features(POINTS).run().unwrap();
    let mut txn = db.begin_write().unwrap();
    assert!(txn.delete_collection("points").unwrap());
    txn.commit().unwrap();
    assert!(matches!(db.graph_features("points"), Err(Error::UnknownCollection { .. })));
    assert_eq!(db.verify().unwrap().findings, []);
}
