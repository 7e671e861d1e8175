//! A router from training to searching: what it finds, how it is kept up to date, and what happens when it is broken.
//!
//! Nothing here depends on speed: whether the gate lets searches follow a router does, so most tests ask for routed search.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use npyz::NpyFile;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use redknot::routing::{Effort, Mode};
use redknot::train::{AttentionOptions, Encoder, PcaOptions, TrainOptions, TrainProgress};
use redknot::{
    BetweennessOptions, Collection, CollectionDefinition, Database, Element, Error, Finding, Freshness, Hit,
    Metric, RouterProgress, RoutingLayout, Unrouted,
};
use serde_json::Value;
use tempfile::TempDir;

const DIM: usize = 384;
const ROWS: usize = 12_000;
const K: usize = 10;
const TEXTS: CollectionDefinition<'static, u64, ()> =
    CollectionDefinition::new("texts", DIM, Metric::Cosine).element(Element::I8);
const MODELS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.models");
const TRAININGS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.trainings");
const ROUTERS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.routers");
/// Wide enough that what is missed is the graph's doing.
const WIDE: Effort = Effort {
    mode: Mode::Route,
    gamma: 1.3,
    rerank: 80,
    slack: 1.4,
    ef: 400,
    max_hops: u64::MAX,
    farthest: None,
};

fn load(name: &str) -> Vec<i8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/demo").join(name);
    NpyFile::new(BufReader::new(File::open(path).unwrap())).unwrap().into_vec().unwrap()
}

fn queries() -> Vec<i8> {
    load("query.npy")
}

/// A file with a trained router, made once and copied for each test.
fn trained() -> (TempDir, Database) {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::create(folder.path().join("db")).unwrap();
        let keys: Vec<u64> = (0..ROWS as u64).collect();
        let mut txn = db.begin_write().unwrap();
        txn.open_collection(TEXTS).unwrap().import(&keys, load("base.npy").as_slice(), &[]).unwrap();
        txn.commit().unwrap();
        db.build(TEXTS).run().unwrap();
        // Short: the models of the studies take minutes.
        let options = TrainOptions { queries: 1_000, steps: 60, ..TrainOptions::default() };
        let report = db.train_router(TEXTS).options(options).run().unwrap();
        assert!(report.training.synthesised && report.training.held_out >= 100);
        assert!(report.training.order_after > 0.6, "{:?}", report.training);
        folder
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(made.path().join("db"), folder.path().join("db")).unwrap();
    let db = Database::open(folder.path().join("db")).unwrap();
    (folder, db)
}

fn texts(db: &Database) -> Collection<u64, ()> {
    db.begin_read().unwrap().open_collection(TEXTS).unwrap()
}

/// Hits of all bundled queries, distances and how many were routed.
fn answers(texts: &Collection<u64, ()>, effort: Option<Effort>) -> (Vec<Vec<Hit<u64>>>, u64, usize) {
    let (mut hits, mut distances, mut routed) = (Vec::new(), 0, 0);
    for query in queries().chunks_exact(DIM) {
        let search = texts.search(query).k(K);
        let search = match effort {
            Some(effort) => search.routed(effort),
            None => search.greedy(Some(100)),
        };
        let found = search.run().unwrap();
        distances += found.stats.distances;
        routed += usize::from(found.stats.routed);
        assert_eq!(found.stats.key_scores > 0, found.stats.routed);
        hits.push(found.hits);
    }
    (hits, distances, routed)
}

/// Share of the true nearest that were found, by distance.
fn recall(texts: &Collection<u64, ()>, hits: &[Vec<Hit<u64>>]) -> f64 {
    let mut found = 0;
    for (query, hits) in queries().chunks_exact(DIM).zip(hits) {
        let exact = texts.search(query).k(K).exact().run().unwrap().hits;
        let farthest = exact.last().unwrap().distance;
        found += hits.iter().filter(|hit| hit.distance <= farthest).count();
    }
    found as f64 / (hits.len() * K) as f64
}

#[test]
fn routed_searches_find_what_greedy_ones_do_with_a_fraction_of_the_distances() {
    let (_folder, db) = trained();
    let texts = texts(&db);
    let (greedy, greedy_distances, _) = answers(&texts, None);
    let greedy = recall(&texts, &greedy);
    for mode in [Mode::Route, Mode::Lazy] {
        let (routed, distances, count) = answers(&texts, Some(Effort { mode, ..WIDE }));
        assert_eq!(count, routed.len(), "all were routed");
        let routed = recall(&texts, &routed);
        assert!(routed >= greedy - 0.02, "{mode:?}: recall {routed}, greedy {greedy}");
        assert!(
            distances < greedy_distances / 2,
            "{mode:?}: {distances} distances, greedy {greedy_distances}"
        );
    }
    let metrics = texts.routing_metrics().unwrap();
    assert_eq!((metrics.routed, metrics.fallbacks), (2 * queries().len() as u64 / DIM as u64, 0));
    assert!(metrics.key_scores > metrics.hops && metrics.hops > 0);
}

#[test]
fn attention_routes_and_its_keys_follow_changes() {
    let (_folder, db) = trained();
    let attention = AttentionOptions { hidden: 8, steps: 30, ..AttentionOptions::default() };
    let options = TrainOptions {
        encoder: Encoder::Attention(attention),
        queries: 500,
        steps: 30,
        ..TrainOptions::default()
    };
    db.drop_router(TEXTS.name()).unwrap();
    db.train_router(TEXTS).options(options).run().unwrap();
    assert_eq!(db.router(TEXTS.name()).unwrap().unwrap().encoder, "neighbour mean and attention 4 × 8");
    let base = load("base.npy");
    let mut txn = db.begin_write().unwrap();
    let mut open = txn.open_collection(TEXTS).unwrap();
    for key in 0..300_u64 {
        open.remove(key).unwrap();
        open.insert(100_000 + key, &base[key as usize * DIM..][..DIM], ()).unwrap();
    }
    drop(open);
    txn.commit().unwrap();
    assert!(db.router(TEXTS.name()).unwrap().unwrap().fresh);
    let texts = texts(&db);
    let (greedy, ..) = answers(&texts, None);
    let (routed, _, count) = answers(&texts, Some(WIDE));
    assert_eq!(count, routed.len(), "all were routed");
    let (greedy, routed) = (recall(&texts, &greedy), recall(&texts, &routed));
    assert!(routed >= greedy - 0.03, "recall {routed}, greedy {greedy}");
}

#[test]
fn a_recall_is_reached_that_is_asked_for() {
    let (_folder, db) = trained();
    let texts = texts(&db);
    for wanted in [0.8, 0.9, 0.95] {
        let search = |query| texts.search(query).k(K).recall(wanted).run().unwrap().hits;
        let queries = queries();
        let hits: Vec<_> = queries.chunks_exact(DIM).map(search).collect();
        let reached = recall(&texts, &hits);
        // Calibrated on queries made up from the data; those of the test are others.
        assert!(reached >= wanted - 0.05, "asked for {wanted}, got {reached}");
    }
    let error = texts.search(&queries()[..DIM]).k(K + 1).recall(0.9).run().unwrap_err();
    assert!(matches!(error, Error::NotCalibrated { calibrated: Some(K), .. }), "{error}");
    let error = texts.search(&queries()[..DIM]).recall(1.5).run().unwrap_err();
    assert!(matches!(error, Error::InvalidParameter { name: "recall", .. }), "{error}");
}

#[test]
fn keys_follow_what_transactions_change() {
    let (_folder, db) = trained();
    // Graph features follow the same changes.
    let pivots = BetweennessOptions { exact_up_to: 100, pivots: 4, ..BetweennessOptions::default() };
    db.compute_graph_features(TEXTS).betweenness(pivots).run().unwrap();
    assert!(db.router("texts").unwrap().unwrap().fresh);
    let base = load("base.npy");
    let row = |key: u64| &base[key as usize * DIM..][..DIM];
    // A fifth of the rows goes and comes back under other keys.
    let moved: Vec<u64> = (0..ROWS as u64).filter(|key| key % 5 == 0).collect();
    for keys in moved.chunks(400) {
        let mut txn = db.begin_write().unwrap();
        let mut texts = txn.open_collection(TEXTS).unwrap();
        for key in keys {
            assert!(texts.remove(*key).unwrap());
        }
        for key in keys {
            assert!(!texts.insert(key + 1_000_000, row(*key), ()).unwrap());
        }
        txn.commit().unwrap();
    }
    assert!(db.router("texts").unwrap().unwrap().fresh);
    let texts = texts(&db);
    let (greedy, ..) = answers(&texts, None);
    let (routed, _, count) = answers(&texts, Some(WIDE));
    assert_eq!(count, routed.len());
    let metrics = texts.routing_metrics().unwrap();
    assert!(metrics.keys_made >= 2400 && !metrics.keys_time.is_zero(), "{metrics:?}");
    let gone: BTreeSet<u64> = moved.into_iter().collect();
    assert!(routed.iter().flatten().all(|hit| !gone.contains(&hit.key)), "a removed key was found");
    let (greedy, routed) = (recall(&texts, &greedy), recall(&texts, &routed));
    assert!(routed >= greedy - 0.02, "recall {routed} after changes, greedy {greedy}");
    assert!(db.refresh_graph_features("texts").unwrap().nodes >= 2400);
    let features = db.graph_features("texts").unwrap().unwrap();
    assert_eq!(features.freshness, Freshness::StaleBetweenness);
    assert!(db.router("texts").unwrap().unwrap().fresh, "both are up to date");
    assert_eq!(db.verify().unwrap().findings, []);
}

#[test]
fn a_build_makes_keys_anew() {
    let (_folder, db) = trained();
    let extra: Vec<i8> = load("base.npy")[..2000 * DIM].iter().map(|x| x.wrapping_add(1)).collect();
    let keys: Vec<u64> = (0..2000).map(|key| 2_000_000 + key).collect();
    let mut txn = db.begin_write().unwrap();
    txn.open_collection(TEXTS).unwrap().import(&keys, extra.as_slice(), &[]).unwrap();
    txn.commit().unwrap();
    let unlinked = texts(&db).search(&extra[..DIM]).k(1).routed(WIDE).run().unwrap();
    assert!(
        unlinked.stats.routed && unlinked.hits[0].distance < 1e-3,
        "rows that are not linked are scanned"
    );
    db.build(TEXTS).reorder(true).run().unwrap();
    let texts = texts(&db);
    let (greedy, ..) = answers(&texts, None);
    let (routed, _, count) = answers(&texts, Some(WIDE));
    assert_eq!(count, routed.len());
    assert!(recall(&texts, &routed) >= recall(&texts, &greedy) - 0.02);
}

#[test]
fn a_router_that_cannot_be_used_means_greedy_search() {
    let (folder, db) = trained();
    let (greedy, ..) = answers(&texts(&db), None);
    drop(db);
    let path = folder.path().join("db");
    type Spoil<'s> = &'s dyn Fn(&[u8]) -> Vec<u8>;
    let garbage: [Spoil<'_>; 4] = [
        &|_| Vec::new(),
        &|model| model[..model.len() / 2].to_vec(),
        &|model| model.iter().map(|byte| byte ^ 0x55).collect(),
        &|_| vec![0xff; 100_000],
    ];
    let model = {
        let raw = redb::Database::open(&path).unwrap();
        let txn = raw.begin_read().unwrap();
        txn.open_table(MODELS).unwrap().get("texts").unwrap().unwrap().value().to_vec()
    };
    for spoil in garbage {
        {
            let raw = redb::Database::open(&path).unwrap();
            let txn = raw.begin_write().unwrap();
            txn.open_table(MODELS).unwrap().insert("texts", spoil(&model).as_slice()).unwrap();
            txn.commit().unwrap();
        }
        let db = Database::open(&path).unwrap();
        let texts = texts(&db);
        let found: Vec<_> = queries()
            .chunks_exact(DIM)
            .map(|query| texts.search(query).k(K).ef(100).run().unwrap())
            .collect();
        assert!(found.iter().all(|found| !found.stats.routed));
        assert_eq!(found.into_iter().map(|found| found.hits).collect::<Vec<_>>(), greedy);
        assert!(matches!(db.router("texts"), Err(Error::Storage(_))), "the damage is said");
        let findings = db.verify().unwrap().findings;
        assert!(
            matches!(&findings[..], [Finding::Unreadable { what, .. }] if what.contains("router")),
            "{findings:?}"
        );
        let error = texts.search(&queries()[..DIM]).k(K).recall(0.9).run().unwrap_err();
        assert!(matches!(error, Error::NotCalibrated { .. }), "{error}");
        // The collection can still be written, and the router be replaced.
        let mut txn = db.begin_write().unwrap();
        assert!(txn.open_collection(TEXTS).unwrap().remove(0).unwrap());
        txn.open_collection(TEXTS).unwrap().insert(0, &load("base.npy")[..DIM], ()).unwrap();
        txn.commit().unwrap();
        std::fs::copy(&path, folder.path().join("spoilt")).unwrap();
    }
    let db = Database::open(&path).unwrap();
    assert!(db.drop_router("texts").unwrap() && !db.drop_router("texts").unwrap());
    assert_eq!(db.router("texts").unwrap(), None);
    assert_eq!(db.verify().unwrap().findings, []);
}

#[test]
fn a_vector_far_outside_of_what_the_model_saw_is_kept_and_found() {
    const POINTS: CollectionDefinition<'static, u64, ()> = CollectionDefinition::new("points", 8, Metric::L2);
    let folder = tempfile::tempdir().unwrap();
    let db = Database::create(folder.path().join("db")).unwrap();
    let mut rng = fastrand::Rng::with_seed(5);
    let rows: Vec<f32> = (0..600 * 8).map(|_| rng.f32()).collect();
    let mut txn = db.begin_write().unwrap();
    txn.open_collection(POINTS).unwrap().import(&(0..600).collect::<Vec<_>>(), rows.as_slice(), &[]).unwrap();
    txn.commit().unwrap();
    db.build(POINTS).run().unwrap();
    let options = TrainOptions { queries: 200, steps: 5, ..TrainOptions::default() };
    db.train_router(POINTS).options(options).run().unwrap();
    let points = || db.begin_read().unwrap().open_collection(POINTS).unwrap();
    assert!(points().search(&rows[..8]).routed(WIDE).run().unwrap().stats.routed);

    let far = [3e18; 8];
    let mut txn = db.begin_write().unwrap();
    txn.open_collection(POINTS).unwrap().insert(600, &far, ()).unwrap();
    txn.commit().unwrap();
    assert_eq!(points().search(&rows[..8]).k(1).routed(WIDE).run().unwrap().hits[0].key, 0);
    // Keys tell such rows badly apart: a query out there is answered greedily, if it was not asked to be routed.
    for search in [points().search(&far), points().search(&far).recall(0.9), points().search(&far).ef(200)] {
        let found = search.k(1).run().unwrap();
        assert!(found.hits[0].key == 600 && !found.stats.routed, "{found:?}");
    }
    assert_eq!(db.verify().unwrap().findings, []);
}

#[test]
fn keys_kept_in_memory_change_no_answer_and_stand_for_one_state() {
    let (_folder, db) = trained();
    let before = answers(&texts(&db), Some(WIDE));
    let refused = db.set_routing_layout("texts", RoutingLayout::Resident { max_bytes: 1000 });
    assert!(
        matches!(&refused, Err(Error::Router { why }) if why.contains("1000 are allowed")),
        "{refused:?}"
    );
    let bytes = db.set_routing_layout("texts", RoutingLayout::Resident { max_bytes: 1 << 30 }).unwrap();
    assert!(bytes > (ROWS * 64) as u64, "{bytes} bytes");
    assert_eq!(answers(&texts(&db), Some(WIDE)), before);

    let mut txn = db.begin_write().unwrap();
    txn.open_collection(TEXTS).unwrap().remove(hit_of(&before)).unwrap();
    txn.commit().unwrap();
    let (after, _, routed) = answers(&texts(&db), Some(WIDE));
    assert_eq!(routed, after.len(), "the keys in the file are up to date");
    assert!(after.iter().flatten().all(|hit| hit.key != hit_of(&before)));
    assert_eq!(db.set_routing_layout("texts", RoutingLayout::Compact).unwrap(), 0);
    assert!(matches!(
        db.set_routing_layout("nothing", RoutingLayout::Compact),
        Err(Error::UnknownCollection { .. })
    ));
}

/// The first row that was found.
fn hit_of((hits, ..): &(Vec<Vec<Hit<u64>>>, u64, usize)) -> u64 {
    hits[0][0].key
}

#[test]
fn threads_get_the_answers_that_one_thread_gets() {
    let (_folder, db) = trained();
    let texts = texts(&db);
    let (alone, ..) = answers(&texts, Some(WIDE));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| answers(&texts, Some(WIDE)).0)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });
}

#[test]
fn a_batch_gives_what_its_queries_give_one_by_one() {
    let (_folder, db) = trained();
    let texts = texts(&db);
    let queries = queries();
    let queries: Vec<&[i8]> = queries.chunks_exact(DIM).collect();
    let routed: &[Option<Effort>] = &[
        None,
        Some(WIDE),
        Some(Effort { mode: Mode::Lazy, ..WIDE }),
        Some(Effort { farthest: Some(0.8), ..WIDE }),
    ];
    for effort in routed {
        let before = texts.routing_metrics().unwrap();
        let alone = queries.iter().map(|query| {
            let search = texts.search(*query).k(K);
            effort.map_or_else(|| texts.search(*query).k(K).ef(50), |effort| search.routed(effort)).run()
        });
        let alone: Vec<_> = alone.map(Result::unwrap).collect();
        let between = texts.routing_metrics().unwrap();
        for threads in [1, 3] {
            let batch = texts.search_batch(&queries).k(K).threads(NonZero::new(threads).unwrap());
            let batch = effort
                .map_or_else(|| texts.search_batch(&queries).k(K).ef(50), |effort| batch.routed(effort));
            assert_eq!(batch.run().unwrap(), alone, "{effort:?}, {threads} threads");
        }
        let after = texts.routing_metrics().unwrap();
        assert_eq!(after.routed - between.routed, 2 * (between.routed - before.routed));
        assert_eq!(after.fallbacks - between.fallbacks, 2 * (between.fallbacks - before.fallbacks));
        assert_eq!(after.strange - between.strange, 2 * (between.strange - before.strange));
        assert_eq!(after.key_scores - between.key_scores, 2 * (between.key_scores - before.key_scores));
    }
    let greedy = texts.search_batch(&queries).k(K).greedy(Some(50)).run().unwrap();
    assert!(greedy.iter().all(|found| !found.stats.routed));
    let short = [queries[0], &queries[1][..7]];
    let refused = texts.search_batch(&short).k(K).routed(WIDE).run();
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("384") && message.contains('7'), "{message}");
}

/// Has the stored calibration say that greedy search is slow: whether a router gains depends on the machine.
fn gain(path: &Path) {
    let raw = redb::Database::open(path).unwrap();
    let txn = raw.begin_write().unwrap();
    {
        let mut routers = txn.open_table(ROUTERS).unwrap();
        let mut record: Value =
            serde_json::from_slice(routers.get("texts").unwrap().unwrap().value()).unwrap();
        for point in record["calibration"]["greedy"].as_array_mut().unwrap() {
            point["figures"]["micros"] = 1e9.into();
        }
        routers.insert("texts", serde_json::to_vec(&record).unwrap().as_slice()).unwrap();
    }
    txn.commit().unwrap();
}

#[test]
fn a_router_that_stays_is_calibrated_anew() {
    let (folder, db) = trained();
    drop(db);
    let path = folder.path().join("db");
    // Long keys, of little but the neighbours: slow to score, and no better.
    let pca = PcaOptions { key_bytes: Some(128), lambda: 0.9, ..PcaOptions::default() };
    let poor = TrainOptions { pca, steps: 1, ..TrainOptions::default() };
    let log: Vec<f32> = queries().iter().map(|&number| number.into()).collect();
    for _ in 0..3 {
        gain(&path);
        let db = Database::open(&path).unwrap();
        let old = db.router("texts").unwrap().unwrap();
        let report = db.train_router(TEXTS).queries(&log).options(poor.clone()).run().unwrap();
        let router = db.router("texts").unwrap().unwrap();
        if report.accepted {
            assert_eq!(router.levels, report.levels);
            continue;
        }
        assert_eq!((&router.training, router.key_bytes), (&old.training, old.key_bytes));
        assert_eq!(Some(router.levels), report.before);
        assert!(router.fresh && router.calibration != old.calibration);
        let found = texts(&db).search(&queries()[..DIM]).k(K).recall(0.9).run().unwrap();
        assert_eq!(found.hits.len(), K);
        assert_eq!(db.verify().unwrap().findings, []);
        return;
    }
    panic!("the poor router was better three times");
}

/// Whichever way a search is asked for.
#[test]
fn searches_follow_a_router_that_gains() {
    let (folder, db) = trained();
    drop(db);
    let path = folder.path().join("db");
    gain(&path);
    let db = Database::open(&path).unwrap();
    let texts = texts(&db);
    let query = &queries()[..DIM];
    let search = || texts.search(query).k(K);
    for (found, how) in [
        (search().run().unwrap(), "by default"),
        (search().ef(40).run().unwrap(), "by effort"),
        (search().recall(0.9).run().unwrap(), "by recall"),
    ] {
        assert!(found.stats.routed && found.stats.key_scores > 0, "{how}");
        assert!(found.stats.distances < 200, "{how}: {} distances", found.stats.distances);
    }
    assert!(!search().greedy(None).run().unwrap().stats.routed);

    // More like a row that is there.
    let base = load("base.npy");
    let like = || texts.search(&base[17 * DIM..][..DIM]).k(K);
    let found = like().leave_out(17).run().unwrap();
    assert!(found.stats.routed);
    assert!(found.hits.len() == K && found.hits.iter().all(|hit| hit.key != 17));
    let mut exact = like().k(K + 1).exact().run().unwrap();
    assert_eq!(exact.hits.remove(0).key, 17);
    assert_eq!(like().leave_out(17).exact().run().unwrap().hits, exact.hits);
    let (odd, even) =
        (like().leave_out(17).filter(|key| key % 2 == 1), like().leave_out(17).filter(|key| key % 2 == 0));
    assert!(odd.run().unwrap().hits.iter().all(|hit| hit.key != 17 && hit.key % 2 == 1));
    assert_eq!(even.run().unwrap().hits.len(), K);
    let unknown = like().leave_out(u64::MAX).run().unwrap();
    assert_eq!((unknown.hits[0].key, unknown.hits.len()), (17, K));
}

/// The opposite of a text is near to none, though not each is farther from all than any query. Calibrated with queries that were
/// asked; those that are made up reach farther.
#[test]
fn queries_unlike_all_others_are_answered_greedily_with_more_effort() {
    let (folder, db) = trained();
    let log: Vec<f32> = queries().iter().map(|&number| number.into()).collect();
    let options = TrainOptions { steps: 30, ..TrainOptions::default() };
    db.drop_router("texts").unwrap();
    db.train_router(TEXTS).queries(&log).options(options).run().unwrap();
    drop(db);
    let path = folder.path().join("db");
    gain(&path);
    let db = Database::open(&path).unwrap();
    let texts = texts(&db);
    let opposites: Vec<i8> = queries().iter().map(|x| x.saturating_neg()).collect();
    let (mut distances, mut more, mut strange) = (0, 0, 0);
    for (query, opposite) in queries().chunks_exact(DIM).zip(opposites.chunks_exact(DIM)) {
        let found = texts.search(opposite).k(K).recall(0.9).run().unwrap();
        let explained = texts.search(opposite).k(K).recall(0.9).explain().unwrap();
        assert_eq!(explained.unrouted == Some(Unrouted::Strange), !found.stats.routed);
        if !found.stats.routed {
            strange += 1;
            assert_eq!(explained.greedy.distances, found.stats.distances);
            more += found.stats.distances;
            distances += texts.search(query).k(K).greedy(Some(K)).run().unwrap().stats.distances;
        }
    }
    assert!(strange > 0);
    assert!(more > distances, "{more} {distances}");
    assert_eq!(texts.routing_metrics().unwrap().strange, strange as u64);
}

/// What is measured together takes turns: no run drops what another one is about to adopt.
#[test]
fn routers_can_be_trained_at_the_same_time() {
    let (_folder, db) = trained();
    let options = TrainOptions { queries: 300, steps: 5, ..TrainOptions::default() };
    let held_out: Vec<f32> = queries()[..60 * DIM].iter().map(|&number| number.into()).collect();
    std::thread::scope(|scope| {
        let train = || db.train_router(TEXTS).held_out(&held_out).options(options.clone()).run().unwrap();
        let handles = [scope.spawn(train), scope.spawn(train), scope.spawn(train)];
        handles.into_iter().for_each(|handle| drop(handle.join().unwrap()));
    });
    assert_eq!(db.verify().unwrap().findings, []);
    let (_, _, routed) = answers(&texts(&db), Some(WIDE));
    assert_eq!(routed, queries().len() / DIM);
    assert!(db.drop_router("texts").unwrap());
    assert_eq!(db.verify().unwrap().findings, []);
}

/// Cancels a training of the collection at its first look at the held-out queries from this step on; returns at which step
/// the training began.
fn interrupt(db: &Database, held_out: &[f32], options: &TrainOptions, step: usize) -> usize {
    let first = AtomicUsize::new(usize::MAX);
    let cancel = |progress| match progress {
        RouterProgress::Learning(TrainProgress { losses: Some(losses), .. }) => {
            first.fetch_min(losses.step, Relaxed);
            if losses.step >= step { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    };
    let training = db.train_router(TEXTS).held_out(held_out).options(options.clone());
    let cancelled = training.progress(cancel).run();
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    first.into_inner()
}

#[test]
fn an_interrupted_training_goes_on_where_it_stopped() {
    let (folder, db) = trained();
    let path = folder.path().join("db");
    let options = TrainOptions { queries: 300, steps: 30, evaluate_every: 10, ..TrainOptions::default() };
    let held_out: Vec<f32> = queries()[..60 * DIM].iter().map(|&number| number.into()).collect();
    let begins = |db: &Database, options: &TrainOptions| interrupt(db, &held_out, options, 0);
    let before = answers(&texts(&db), None);
    assert_eq!(interrupt(&db, &held_out, &options, 20), 0);
    assert_eq!(answers(&texts(&db), None), before, "searches go on as before");
    assert_eq!(db.verify().unwrap().findings, []);
    drop(db);
    let db = Database::open(&path).unwrap();
    assert_eq!(begins(&db, &options), 20);
    assert_eq!(begins(&db, &TrainOptions { steps: 20, ..options.clone() }), 0, "other options");
    assert_eq!(begins(&db, &options), 20, "which changed nothing");
    let run = || db.train_router(TEXTS).held_out(&held_out).options(options.clone()).run().unwrap();
    let report = run();
    assert_eq!((report.resumed, report.fit.resumed), (true, 20));
    assert_eq!(begins(&db, &options), 0, "a training that has ended is over");

    interrupt(&db, &held_out, &options, 10);
    let mut txn = db.begin_write().unwrap();
    txn.open_collection(TEXTS).unwrap().remove(7).unwrap();
    txn.commit().unwrap();
    assert_eq!(begins(&db, &options), 0, "other rows");

    // What cannot be read is no reason to refuse a training.
    interrupt(&db, &held_out, &options, 10);
    drop(db);
    let raw = redb::Database::open(&path).unwrap();
    let txn = raw.begin_write().unwrap();
    txn.open_table(TRAININGS).unwrap().insert("texts", b"nonsense".as_slice()).unwrap();
    txn.commit().unwrap();
    drop(raw);
    let db = Database::open(&path).unwrap();
    assert_eq!(begins(&db, &options), 0);

    interrupt(&db, &held_out, &options, 10);
    let mut txn = db.begin_write().unwrap();
    txn.delete_collection("texts").unwrap();
    txn.commit().unwrap();
    drop(db);
    let raw = redb::Database::open(&path).unwrap();
    let left = raw.begin_read().unwrap().open_table(TRAININGS).unwrap();
    assert!(left.get("texts").unwrap().is_none());
}

#[test]
fn a_router_that_is_switched_off_stays_so_when_it_is_trained_again() {
    let (_folder, db) = trained();
    db.enable_router("texts", false).unwrap();
    let held_out: Vec<f32> = queries()[..60 * DIM].iter().map(|&number| number.into()).collect();
    for steps in [5, 6] {
        let options = TrainOptions { queries: 300, steps, ..TrainOptions::default() };
        db.train_router(TEXTS).held_out(&held_out).options(options).run().unwrap();
        assert!(!db.router("texts").unwrap().unwrap().enabled);
        assert!(!texts(&db).search(&queries()[..DIM]).run().unwrap().stats.routed);
    }
}

#[test]
fn the_switch_is_kept_and_bad_input_changes_nothing() {
    let (folder, db) = trained();
    let before = db.router("texts").unwrap().unwrap();
    assert!(before.enabled && before.fresh && before.calibration.k == K);
    db.enable_router("texts", false).unwrap();
    drop(db);
    let db = Database::open(folder.path().join("db")).unwrap();
    assert!(!db.router("texts").unwrap().unwrap().enabled);
    let hits = texts(&db).search(&queries()[..DIM]).run().unwrap();
    assert!(!hits.stats.routed, "a router that is switched off answers nothing");
    db.enable_router("texts", true).unwrap();
    assert_eq!(db.router("texts").unwrap().unwrap(), before);

    assert!(matches!(db.enable_router("nothing", true), Err(Error::UnknownCollection { .. })));
    let narrow = vec![0.5; DIM + 1];
    let nan = vec![f32::NAN; 100 * DIM];
    let few = vec![0.5; 20 * DIM];
    for queries in [&narrow, &nan, &few] {
        let error = db.train_router(TEXTS).queries(queries).run().unwrap_err();
        assert!(matches!(error, Error::Router { .. } | Error::Vector(_)), "{error}");
    }
    assert!(matches!(db.train_router(TEXTS).k(0).run(), Err(Error::InvalidParameter { name: "k", .. })));
    let same: Vec<f32> = queries().iter().map(|&number| number.into()).collect();
    let error = db.train_router(TEXTS).queries(&same).held_out(&same[..100 * DIM]).run().unwrap_err();
    assert!(matches!(&error, Error::Router { why } if why.contains("all among those")), "{error}");
    let cancelled = db.train_router(TEXTS).progress(|_| ControlFlow::Break(())).run();
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    assert_eq!(db.router("texts").unwrap().unwrap(), before);

    let mut txn = db.begin_write().unwrap();
    assert!(txn.delete_collection("texts").unwrap());
    txn.commit().unwrap();
    assert!(matches!(db.router("texts"), Err(Error::UnknownCollection { .. })));
}
