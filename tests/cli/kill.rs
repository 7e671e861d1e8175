//! `kill -9` at random moments: nothing that was acknowledged is lost, and nothing is there by halves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use redknot::{CollectionDefinition, Database, Metric};

use crate::crash_script::{COLLECTION, DIM, Row, rows_after};
use crate::support::Scratch;

const CRASH: CollectionDefinition<u64, &str> = CollectionDefinition::new(COLLECTION, DIM, Metric::L2);

#[test]
fn killed_writers_lose_nothing_that_they_acknowledged() {
    let rounds: u32 = std::env::var("REDKNOT_KILLS").map_or(5, |rounds| rounds.parse().unwrap());
    let seed = std::env::var("REDKNOT_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("REDKNOT_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let scratch = Scratch::new();
    scratch.run("create db").done();
    let mut last = 0;
    for round in 0..rounds {
        let acknowledged = write_until_killed(&scratch, last, Duration::from_micros(rng.u64(0..60_000)));
        assert!(acknowledged >= last, "round {round}");
        last = check(&scratch, acknowledged, &format!("round {round}, seed {seed}"));
    }
}

/// Starts a writer that goes on after transaction `last`, and kills it this long after it is ready; the last
/// transaction that it acknowledged.
fn write_until_killed(scratch: &Scratch, last: u64, delay: Duration) -> u64 {
    let next = (last + 1).to_string();
    let mut writer = scratch
        .command()
        .args(["crash-writer", "db", "--from", &next])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let acknowledged = kill_after(&mut writer, lines, delay, last);
    assert_eq!(writer.wait().unwrap().code(), None, "the writer ended by itself");
    acknowledged
}

/// Kills the writer when `delay` is over, reading acknowledgements meanwhile and those that are still under way.
fn kill_after(
    writer: &mut Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    delay: Duration,
    last: u64,
) -> u64 {
    std::thread::scope(|scope| {
        let (never, timer) = mpsc::channel::<()>();
        let reader = scope.spawn(move || {
            let numbers = lines.map_while(Result::ok);
            numbers.filter_map(|line| line.strip_prefix("committed ")?.parse().ok()).last()
        });
        // Nothing is ever sent: this is a timer.
        let waited = timer.recv_timeout(delay);
        assert_eq!(waited, Err(mpsc::RecvTimeoutError::Timeout));
        writer.kill().unwrap();
        drop(never);
        reader.join().unwrap().unwrap_or(last)
    })
}

/// Opens the file and holds it against the script; the last transaction that is in it.
fn check(scratch: &Scratch, acknowledged: u64, context: &str) -> u64 {
    // The first to open the file: it was not closed, and is repaired on the way.
    scratch.run("verify db").done();
    let db = Database::open(scratch.path("db")).unwrap();
    let rows = contents(&db);
    let found = [acknowledged, acknowledged + 1].into_iter().find(|&last| rows == rows_after(last));
    let Some(found) = found else {
        panic!("{context}: {} rows are those of no transaction from {acknowledged} on", rows.len());
    };
    let report = db.verify().unwrap();
    assert_eq!(report.findings, [], "{context}");
    if !rows.is_empty() {
        let collection = db.begin_read().unwrap().open_collection(CRASH).unwrap();
        for (key, row) in &rows {
            let result = collection.search(&row.vector).k(1).ef(200).run().unwrap();
            assert_eq!(result.hits[0].key, *key, "{context}");
        }
    }
    found
}

fn contents(db: &Database) -> BTreeMap<u64, Row> {
    let collection = match db.begin_read().unwrap().open_collection(CRASH) {
        Ok(collection) => collection,
        Err(redknot::Error::UnknownCollection { .. }) => return BTreeMap::new(),
        Err(error) => panic!("{error}"),
    };
    let row = |key: u64| {
        let vector = collection.vector(key).unwrap().unwrap();
        let payload = collection.get(key).unwrap().unwrap().value().to_owned();
        Row { vector: vector.try_into().unwrap(), payload }
    };
    collection.keys().unwrap().into_iter().map(|key| (key, row(key))).collect()
}
