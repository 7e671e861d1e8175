//! What churn does to a router, and what keeping its keys up to date takes.
//!
//! `cargo bench --bench router_churn -- BASE.npy TRAIN_QUERIES.npy TEST_QUERIES.npy METRIC [TEST_LIMIT]` builds a file over ten
//! twelfths of the rows, trains a router with the one queries, deletes a fifth of the rows and inserts as many new ones
//! in transactions of 1,000 rows, and trains again. Before, between and after: recall@10, against an exact scan, that `.recall(r)`
//! reaches with the other queries, distances and hops of a query, and how many were routed. Of each insertion of 1,000
//! rows: how many keys its commit made anew, and what that took. f4, i1 and u1 files are stored as f32.

mod npy;

use std::path::Path;
use std::time::{Duration, Instant};

use npy::{Outcome, Rows};
use redknot::{Collection, CollectionDefinition, Database, Metric};

const BATCH: usize = 1000;
const RECALLS: [f64; 3] = [0.9, 0.95, 0.99];
const K: usize = 10;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [base, train, test, metric, rest @ ..] = args.as_slice() else {
        println!(
            "usage: cargo bench --bench router_churn -- BASE.npy TRAIN.npy TEST.npy METRIC [TEST_LIMIT]"
        );
        return Ok(());
    };
    let [base, train, test] = [base, train, test].map(|path| Rows::read(Path::new(path)));
    let (base, train, test) = (base?, train?, test?);
    let limit = rest.first().map_or(Ok(1000), |limit| limit.parse())?.min(test.len());
    let metric: Metric = metric.parse()?;
    let definition = CollectionDefinition::new("churn", base.dim, metric);
    let folder = tempfile::tempdir()?;
    let db = Database::create(folder.path().join("churn.redknot"))?;

    let first = base.len() * 10 / 12;
    for part in (0..first as u64).collect::<Vec<_>>().chunks(10 * BATCH) {
        let flat: Vec<f32> = part.iter().flat_map(|key| base.row(*key as usize)).copied().collect();
        let mut txn = db.begin_write()?;
        txn.open_collection(definition)?.import(part, flat.as_slice(), &[])?;
        txn.commit()?;
    }
    db.build(definition).run()?;
    let queries: Vec<f32> = (0..train.len()).flat_map(|i| train.row(i)).copied().collect();
    let learn = || -> Outcome<f64> {
        let start = Instant::now();
        let report = db.train_router(definition).queries(&queries).run()?;
        println!("trained in {:.1} s, accepted: {}", start.elapsed().as_secs_f64(), report.accepted);
        Ok(start.elapsed().as_secs_f64())
    };
    learn()?;
    show("before churn", &db.begin_read()?.open_collection(definition)?, &test, limit)?;

    let mut keys: Vec<u64> = (0..first as u64).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut keys);
    let deleted = &keys[..first / 5];
    let new: Vec<u64> = (first as u64..(first + deleted.len()) as u64).collect();
    let mut kept_up = Vec::new();
    for (gone, come) in deleted.chunks(BATCH).zip(new.chunks(BATCH)) {
        let mut txn = db.begin_write()?;
        let mut collection = txn.open_collection(definition)?;
        for key in gone {
            assert!(collection.remove(*key)?, "key {key} was there");
        }
        txn.commit()?;
        let before = keys_made(&db, definition)?;
        let mut txn = db.begin_write()?;
        let mut collection = txn.open_collection(definition)?;
        for key in come {
            assert!(!collection.insert(*key, base.row(*key as usize), ())?, "key {key} is new");
        }
        txn.commit()?;
        let after = keys_made(&db, definition)?;
        if come.len() == BATCH {
            kept_up.push((after.1 - before.1, after.0 - before.0));
        }
    }
    kept_up.sort_unstable();
    if let Some((time, made)) = kept_up.get(kept_up.len() / 2) {
        println!("{} insertions of {BATCH} rows: {time:.1?} for {made} keys (median)", kept_up.len());
    }
    show("after churn", &db.begin_read()?.open_collection(definition)?, &test, limit)?;
    learn()?;
    show("trained again", &db.begin_read()?.open_collection(definition)?, &test, limit)?;
    let report = db.verify()?;
    assert!(report.is_clean(), "{:?}", report.findings.first());
    Ok(())
}

/// Keys that commits made anew since the file was opened or the router changed, and what that took.
fn keys_made(
    db: &Database,
    definition: CollectionDefinition<'_, u64, ()>,
) -> redknot::Result<(u64, Duration)> {
    let metrics = db.begin_read()?.open_collection(definition)?.routing_metrics().unwrap_or_default();
    Ok((metrics.keys_made, metrics.keys_time))
}

fn show(when: &str, rows: &Collection<u64, ()>, test: &Rows, limit: usize) -> redknot::Result<()> {
    let mut tenths = Vec::with_capacity(limit);
    for i in 0..limit {
        let exact = rows.search(test.row(i)).k(K).exact().run()?.hits;
        tenths.push(exact.last().map_or(0.0, |hit| hit.distance));
    }
    for recall in RECALLS {
        let (mut found, mut distances, mut hops, mut routed) = (0, 0, 0, 0);
        for (i, tenth) in tenths.iter().enumerate() {
            let answer = rows.search(test.row(i)).k(K).recall(recall).run()?;
            found += answer.hits.iter().filter(|hit| hit.distance <= *tenth).count();
            distances += answer.stats.distances;
            hops += answer.stats.hops;
            routed += usize::from(answer.stats.routed);
        }
        let mean = |sum: u64| sum as f64 / limit as f64;
        println!(
            "{when}: asked for {recall}: recall {:.4}, {:.0} distances, {:.1} hops, {routed} of {limit} routed",
            found as f64 / (limit * K) as f64,
            mean(distances),
            mean(hops)
        );
    }
    Ok(())
}
