//! What an explanation tells is what the search did.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::collections::HashSet;
use std::sync::OnceLock;

use proptest::prelude::*;
use redknot::routing::{Effort, Mode, Plan, StopReason};
use redknot::train::TrainOptions;
use redknot::{Collection, CollectionDefinition, Database, Error, Explanation, Metric, Unrouted, Walk};
use tempfile::TempDir;

const DIM: usize = 12;
const ROWS: usize = 1500;
const POINTS: CollectionDefinition<'static, u64, ()> = CollectionDefinition::new("points", DIM, Metric::L2);

fn rows(count: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count * dim).map(|_| rng.f32() * 2.0 - 1.0).collect()
}

fn open(db: &Database, definition: CollectionDefinition<'static, u64, ()>) -> Collection<u64, ()> {
    db.begin_read().unwrap().open_collection(definition).unwrap()
}

/// A file with a trained router, made once.
fn trained() -> &'static (TempDir, Database) {
    static MADE: OnceLock<(TempDir, Database)> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::create(folder.path().join("db")).unwrap();
        fill(&db, POINTS, ROWS, 3);
        db.build(POINTS).run().unwrap();
        let options = TrainOptions { queries: 300, steps: 10, ..TrainOptions::default() };
        db.train_router(POINTS).options(options).run().unwrap();
        (folder, db)
    })
}

fn fill(db: &Database, definition: CollectionDefinition<'static, u64, ()>, count: usize, seed: u64) {
    let mut txn = db.begin_write().unwrap();
    let mut points = txn.open_collection(definition).unwrap();
    let rows = rows(count, points.config().dim, seed);
    points.import(&(0..count as u64).collect::<Vec<_>>(), rows.as_slice(), &[]).unwrap();
    txn.commit().unwrap();
}

/// The steps of a walk add up to its counts, and hang together.
fn assert_whole(explained: &Explanation<u64>, walk: &Walk<u64>, scanned: u64) {
    let seen: u64 = walk.hops.iter().map(|hop| hop.seen.len() as u64).sum();
    let greedy = matches!(walk.plan, Plan::Greedy(_));
    let in_graph = walk.stop != StopReason::NoGraph;
    assert_eq!(walk.entry.is_some(), in_graph);
    if greedy {
        // The distance of the entry point, and of whatever a hop led to.
        assert_eq!(walk.distances, seen + u64::from(in_graph) + scanned, "{walk:?}");
        assert_eq!(walk.key_scores, 0);
    } else {
        let nodes = walk.hops.iter().map(|hop| (hop.node, hop.distance));
        let seen_nodes = walk.hops.iter().flat_map(|hop| &hop.seen).chain(&walk.reranked);
        let all = nodes.chain(seen_nodes.map(|seen| (seen.node, seen.distance)));
        let measured: HashSet<usize> = all.filter_map(|(node, distance)| distance.map(|_| node)).collect();
        assert_eq!(walk.distances, measured.len() as u64 + scanned, "{walk:?}");
        assert!(walk.key_scores >= seen);
    }
    let mut known: HashSet<usize> = walk.entry.into_iter().collect();
    for hop in &walk.hops {
        assert!(known.contains(&hop.node), "a hop goes where another one led");
        if let (Some(bound), Some(near)) = (hop.bound, hop.estimate.or(hop.distance)) {
            let filtered = matches!(walk.plan, Plan::Routed(effort) if effort.mode == Mode::Filter);
            assert!(filtered || near <= bound, "{hop:?}");
        }
        for seen in &hop.seen {
            assert!(known.insert(seen.node) || hop.layer > 0 || greedy, "seen twice: {seen:?}");
            if let Some(distance) = seen.distance {
                assert_eq!(distance, explained.nodes[seen.node].distance);
            }
        }
    }
    assert!(explained.nodes.iter().all(|node| node.x.is_finite() && node.y.is_finite()));
    for hit in walk.hits.iter().filter(|_| !walk.exact && scanned == 0) {
        assert!(explained.nodes.iter().any(|node| (node.key, node.distance) == (hit.key, hit.distance)));
    }
}

fn metrics() -> impl Strategy<Value = Metric> {
    prop_oneof![Just(Metric::L2), Just(Metric::Cosine), Just(Metric::InnerProduct), Just(Metric::L1)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn greedy_steps_are_those_of_the_search(
        (metric, dim, seed) in (metrics(), 1usize..9, any::<u64>()),
        (linked, inserted, removed, unlinked) in (0usize..300, 0u64..4, 0u64..20, 0usize..20),
        (k, ef) in (1usize..30, 1usize..80),
    ) {
        let definition = CollectionDefinition::<u64, ()>::new("rows", dim, metric).m(4);
        let folder = tempfile::tempdir().unwrap();
        let db = Database::create(folder.path().join("db")).unwrap();
        fill(&db, definition, linked, seed);
        db.build(definition).run().unwrap();
        let mut txn = db.begin_write().unwrap();
        let mut changing = txn.open_collection(definition).unwrap();
        for key in 0..inserted {
            changing.insert(1000 + key, rows(1, dim, seed ^ key ^ 77).as_slice(), ()).unwrap();
        }
        for key in 0..removed.min(linked as u64) {
            changing.remove(key).unwrap();
        }
        let tail: Vec<u64> = (0..unlinked as u64).map(|key| 2000 + key).collect();
        changing.import(&tail, rows(unlinked, dim, !seed).as_slice(), &[]).unwrap();
        let query = rows(1, dim, seed ^ 1);
        let inside = changing.search(&query).k(k).ef(ef).explain().unwrap();
        prop_assert_eq!(inside.unrouted, Some(Unrouted::Writing));
        prop_assert_eq!(inside.greedy.hits, changing.search(&query).k(k).ef(ef).run().unwrap().hits);
        txn.commit().unwrap();

        let collection = open(&db, definition);
        let found = collection.search(&query).k(k).ef(ef).run().unwrap();
        let explained = collection.search(&query).k(k).ef(ef).explain().unwrap();
        prop_assert_eq!(&explained.unrouted, &Some(Unrouted::NoRouter));
        prop_assert!(explained.router.is_none() && explained.distances_saved.is_none());
        let walk = &explained.greedy;
        prop_assert_eq!(&walk.hits, &found.hits);
        prop_assert_eq!((walk.distances, walk.hops.len() as u64), (found.stats.distances, found.stats.hops));
        prop_assert_eq!(walk.plan, Plan::Greedy(ef.max(k)));
        let all = collection.len();
        let scanned = if walk.stop == StopReason::Scanned { all } else { 0 };
        assert_whole(&explained, walk, scanned + collection.unlinked());
    }

    #[test]
    fn routed_steps_are_those_of_the_search(
        mode in prop_oneof![Just(Mode::Route), Just(Mode::Lazy), Just(Mode::Filter)],
        (gamma, slack) in (1.0f32..1.5, 1.0f32..2.0),
        (rerank, ef, k, max_hops) in (0usize..60, 1usize..200, 1usize..25, 1u64..60),
        seed in any::<u64>(),
    ) {
        let effort = Effort { mode, gamma, rerank, slack, ef, max_hops, farthest: None };
        let collection = open(&trained().1, POINTS);
        let query = rows(1, DIM, seed);
        let found = collection.search(&query).k(k).routed(effort).run().unwrap();
        let explained = collection.search(&query).k(k).routed(effort).explain().unwrap();
        prop_assert_eq!(&explained.unrouted, &None);
        let walk = explained.router.as_ref().unwrap();
        prop_assert_eq!(walk.plan, Plan::Routed(effort));
        prop_assert_eq!(&walk.hits, &found.hits);
        let counts = (walk.distances, walk.key_scores, walk.hops.len() as u64);
        prop_assert_eq!(counts, (found.stats.distances, found.stats.key_scores, found.stats.hops));
        let scanned = if walk.stop == StopReason::Scanned { collection.len() } else { 0 };
        assert_whole(&explained, walk, scanned);
        let greedy = collection.search(&query).k(k).greedy(None).run().unwrap();
        prop_assert_eq!(&explained.greedy.hits, &greedy.hits);
        assert_whole(&explained, &explained.greedy, 0);
        let saved = greedy.stats.distances as i64 - found.stats.distances as i64;
        prop_assert_eq!(explained.distances_saved, Some(saved));
    }
}

#[test]
fn a_router_that_does_not_answer_is_shown_with_the_reason() {
    let (folder, _) = trained();
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("db"), copy.path().join("db")).unwrap();
    let db = Database::open(copy.path().join("db")).unwrap();
    let query = rows(1, DIM, 6);
    let explain = |db: &Database| open(db, POINTS).search(&query).explain().unwrap();

    let asked = open(&db, POINTS).search(&query).greedy(None).explain().unwrap();
    assert_eq!(asked.unrouted, Some(Unrouted::Asked));
    assert!(asked.router.is_some());
    db.enable_router("points", false).unwrap();
    let disabled = explain(&db);
    assert_eq!(disabled.unrouted, Some(Unrouted::Disabled));
    let (greedy, router) = (&disabled.greedy, disabled.router.as_ref().unwrap());
    assert_eq!(disabled.distances_saved, Some(greedy.distances as i64 - router.distances as i64));
    let recall = open(&db, POINTS).search(&query).recall(0.9).explain().unwrap();
    assert!(matches!(recall.router.unwrap().plan, Plan::Routed(_)));
    db.enable_router("points", true).unwrap();
    let many = open(&db, POINTS).search(&query).k(11).explain().unwrap();
    assert!(matches!(many.unrouted, Some(Unrouted::TooManyRows | Unrouted::NoGain)), "{:?}", many.unrouted);
    db.drop_router("points").unwrap();
    assert_eq!((explain(&db).unrouted, explain(&db).router), (Some(Unrouted::NoRouter), None));
}

#[test]
fn an_explanation_is_data_and_what_is_not_explained_is_refused() {
    let points = open(&trained().1, POINTS);
    let query = rows(1, DIM, 9);
    let explained = points.search(&query).within(1.5).explain().unwrap();
    assert!(explained.greedy.hits.iter().all(|hit| hit.distance <= 1.5));
    let json = serde_json::to_value(&explained).unwrap();
    assert_eq!(json["greedy"]["hops"].as_array().unwrap().len(), explained.greedy.hops.len());
    assert_eq!(json["nodes"][0]["key"], explained.nodes[0].key);
    assert!(explained.plane_share > 0.1 && explained.plane_share <= 1.0);

    let exact = points.search(&query).exact().explain().unwrap_err();
    let filtered = points.search(&query).filter(|key| key > 3).explain().unwrap_err();
    for error in [exact, filtered] {
        assert!(matches!(error, Error::InvalidParameter { name: "explain", .. }), "{error}");
    }
    assert!(matches!(points.search(&[0.0; 3]).explain(), Err(Error::Vector(_))));
    assert!(matches!(points.search(&query).k(0).explain(), Err(Error::InvalidParameter { name: "k", .. })));
}
