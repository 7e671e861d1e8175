//! What churn does to recall, to reachability and to the size of the file.
//!
//! `cargo bench --bench churn -- BASE.npy QUERIES.npy METRIC [QUERIES_LIMIT]` builds a file over ten thirteenths of the rows,
//! deletes 30 % of them and inserts as many new ones, in transactions of 1,000 rows, and compares it with a fresh
//! build over the same rows: recall@10 at equal ef against an exact scan, a search for every live key's own vector
//! at ef = 200, no deleted key in any answer, file size. f4, i1 and u1 files are stored as f32.

mod npy;

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use npy::{Outcome, Rows};
use redknot::{Collection, CollectionDefinition, Database, Metric};

const BATCH: usize = 1000;
const EFS: [usize; 4] = [20, 40, 80, 160];
const K: usize = 10;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let (Some(base), Some(queries), Some(metric)) = (args.first(), args.get(1), args.get(2)) else {
        println!("usage: cargo bench --bench churn -- BASE.npy QUERIES.npy METRIC [QUERIES_LIMIT]");
        return Ok(());
    };
    let (base, queries) = (Rows::read(Path::new(base))?, Rows::read(Path::new(queries))?);
    let limit = args.get(3).map_or(Ok(1000), |limit| limit.parse())?.min(queries.len());
    let metric: Metric = metric.parse()?;
    let definition = CollectionDefinition::new("churn", base.dim, metric);
    let folder = tempfile::tempdir()?;

    let first = base.len() * 10 / 13;
    let churned = Database::create(folder.path().join("churned.redknot"))?;
    fill(&churned, definition, &base, &(0..first as u64).collect::<Vec<_>>())?;
    let mut keys: Vec<u64> = (0..first as u64).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut keys);
    let (deleted, kept) = keys.split_at(first * 3 / 10);
    let new: Vec<u64> = (first as u64..(first + deleted.len()) as u64).collect();
    let start = Instant::now();
    for (gone, come) in deleted.chunks(BATCH).zip(new.chunks(BATCH)) {
        let mut txn = churned.begin_write()?;
        let mut collection = txn.open_collection(definition)?;
        for key in gone {
            assert!(collection.remove(*key)?, "key {key} was there");
        }
        txn.commit()?;
        let mut txn = churned.begin_write()?;
        let mut collection = txn.open_collection(definition)?;
        for key in come {
            assert!(!collection.insert(*key, base.row(*key as usize), ())?, "key {key} is new");
        }
        txn.commit()?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let report = churned.verify()?;
    assert!(report.is_clean(), "{:?}", report.findings.first());

    let mut live: Vec<u64> = kept.iter().chain(&new).copied().collect();
    live.sort_unstable();
    let fresh = Database::create(folder.path().join("fresh.redknot"))?;
    fill(&fresh, definition, &base, &live)?;
    let churned_rows = churned.begin_read()?.open_collection(definition)?;
    let fresh_rows = fresh.begin_read()?.open_collection(definition)?;
    let gone: HashSet<u64> = deleted.iter().copied().collect();

    let truth: Vec<f32> = (0..limit)
        .map(|i| {
            Ok(fresh_rows
                .search(queries.row(i))
                .k(K)
                .exact()
                .run()?
                .hits
                .last()
                .map_or(0.0, |hit| hit.distance))
        })
        .collect::<redknot::Result<_>>()?;
    for ef in EFS {
        let churned_recall = recall(&churned_rows, &queries, &truth, ef, &gone)?;
        let fresh_recall = recall(&fresh_rows, &queries, &truth, ef, &gone)?;
        println!(
            "ef {ef:>3}: recall {churned_recall:.4} after churn, {fresh_recall:.4} fresh, {:+.4}",
            churned_recall - fresh_recall
        );
    }
    let lost = not_found(&churned_rows, &base, &live, &gone)?;
    let lost_fresh = not_found(&fresh_rows, &base, &live, &gone)?;
    drop((churned_rows, fresh_rows));
    let open_bytes = churned.stats()?.file_bytes;
    let start = Instant::now();
    drop((churned, fresh));
    let closing = start.elapsed().as_secs_f64();
    let bytes = |name: &str| std::fs::metadata(folder.path().join(name)).map(|file| file.len());
    let (churned_bytes, fresh_bytes) = (bytes("churned.redknot")?, bytes("fresh.redknot")?);
    println!(
        "{} live keys, {lost} not found at ef = 200 ({lost_fresh} in the fresh file); {} rows deleted and inserted in {seconds:.1} s; file {:.2} × a fresh one, {:.2} × before it was closed (in {closing:.2} s)",
        live.len(),
        deleted.len(),
        churned_bytes as f64 / fresh_bytes as f64,
        open_bytes as f64 / fresh_bytes as f64
    );
    Ok(())
}

/// How many of the live keys a search for their own vector does not find. A row at the same place, which may hide
/// it among more than k copies, counts as found.
fn not_found(
    collection: &Collection<u64, ()>,
    base: &Rows,
    live: &[u64],
    gone: &HashSet<u64>,
) -> redknot::Result<usize> {
    let mut lost = 0;
    for key in live {
        let vector = base.row(*key as usize);
        let hits = collection.search(vector).k(K).ef(200).run()?.hits;
        assert!(hits.iter().all(|hit| !gone.contains(&hit.key)), "a deleted key was found");
        lost += usize::from(hits.iter().all(|hit| hit.key != *key && base.row(hit.key as usize) != vector));
    }
    Ok(lost)
}

fn fill(
    db: &Database,
    definition: CollectionDefinition<'_, u64, ()>,
    base: &Rows,
    keys: &[u64],
) -> Outcome<()> {
    for part in keys.chunks(10_000) {
        let flat: Vec<f32> = part.iter().flat_map(|key| base.row(*key as usize)).copied().collect();
        let mut txn = db.begin_write()?;
        txn.open_collection(definition)?.import(part, flat.as_slice(), &[])?;
        txn.commit()?;
    }
    db.build(definition).run()?;
    Ok(())
}

/// Recall@10 by distance: a hit counts if it is no farther than the true tenth.
fn recall(
    collection: &Collection<u64, ()>,
    queries: &Rows,
    truth: &[f32],
    ef: usize,
    gone: &HashSet<u64>,
) -> redknot::Result<f64> {
    let mut hits = 0;
    for (i, tenth) in truth.iter().enumerate() {
        let found = collection.search(queries.row(i)).k(K).ef(ef).run()?;
        assert!(found.hits.iter().all(|hit| !gone.contains(&hit.key)), "a deleted key was found");
        hits += found.hits.iter().filter(|hit| hit.distance <= *tenth).count();
    }
    Ok(hits as f64 / (truth.len() * K) as f64)
}
