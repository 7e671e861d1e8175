//! `bench`: the object that bars read, against what the test computes by itself.

use std::fs::File;

use serde_json::Value;

use crate::support::{Scratch, nearest, rows};

const K: usize = 10;

struct Benched {
    scratch: Scratch,
    truth: Vec<Vec<i32>>,
}

/// A database of 3,000 points, 40 queries, and their exact nearest rows.
fn prepared() -> Benched {
    let points = rows(3000, 16, 11);
    let queries = rows(40, 16, 12);
    let truth: Vec<_> = queries.iter().map(|query| nearest(&points, query, 20)).collect();
    let scratch = Scratch::with_points(&points);
    scratch.npy("queries.npy", &queries);
    scratch.npy("gt.npy", &truth);
    Benched { scratch, truth }
}

fn points(bench: &Value) -> &Vec<Value> {
    bench["policies"]["greedy"]["points"].as_array().unwrap()
}

fn number(point: &Value, field: &str) -> f64 {
    point[field].as_f64().unwrap_or_else(|| panic!("{field} in {point}"))
}

/// Fraction of the first `K` true rows that a table of row numbers has.
fn recall_of(path: &std::path::Path, truth: &[Vec<i32>]) -> f64 {
    let table = npyz::NpyFile::new(File::open(path).unwrap()).unwrap();
    assert_eq!(table.shape(), [truth.len() as u64, K as u64]);
    let ids: Vec<i32> = table.into_vec().unwrap();
    let found =
        ids.chunks(K).zip(truth).flat_map(|(ids, truth)| ids.iter().filter(|id| truth[..K].contains(id)));
    found.count() as f64 / (truth.len() * K) as f64
}

#[test]
fn the_object_is_as_documented_and_its_recall_can_be_recomputed() {
    let Benched { scratch, truth } = prepared();
    let told = scratch
        .run("bench db --collection points --queries queries.npy --gt gt.npy -k 10 --policy greedy --recalls 0.9,0.95,0.99 --threads 1 --rounds 2 --json out.json --results ids.npy --plot out.svg")
        .done()
        .stdout();
    assert!(told.contains("queries/s") && told.contains("at 0.95"), "{told}");
    let bench: Value = serde_json::from_slice(&scratch.bytes_of("out.json")).unwrap();
    assert_eq!((bench["k"].as_u64(), bench["threads"].as_u64()), (Some(10), Some(1)));
    assert!(bench["file"] == "db" && bench.as_object().unwrap().contains_key("commit"));

    let points = points(&bench);
    assert!(points.len() >= 5, "{points:?}");
    for field in ["effort", "recall", "qps", "p50_us", "p99_us", "distances", "hops"] {
        assert!(points.iter().all(|point| number(point, field) > 0.0), "{field}: {points:?}");
    }
    assert!(points.iter().all(|point| number(point, "p50_us") <= number(point, "p99_us")));
    if cfg!(target_os = "linux") {
        for field in ["read_bytes", "major_faults"] {
            assert!(points.iter().all(|point| number(&point["disk"], field) >= 0.0), "{field}: {points:?}");
        }
    }
    assert!(points.is_sorted_by(|a, b| number(a, "distances") < number(b, "distances")), "{points:?}");
    let highest = number(points.last().unwrap(), "recall");
    assert!(highest >= 0.99, "the ladder ended below the highest level: {points:?}");

    let middle = &points[points.len() / 2];
    let recomputed = recall_of(&scratch.path("ids.npy"), &truth);
    assert!((recomputed - number(middle, "recall")).abs() < 1e-9, "{recomputed}, {middle}");

    let lowest = number(&points[0], "recall");
    for level in [0.9, 0.95, 0.99] {
        let at = &bench["policies"]["greedy"]["at_recall"][level.to_string()];
        if level < lowest || level > highest {
            assert!(at.is_null(), "{at}");
        } else {
            let near = |field: &str| {
                let values = points.iter().map(|point| number(point, field));
                (values.clone().fold(f64::MAX, f64::min), values.fold(0.0, f64::max))
            };
            let (low, high) = near("distances");
            assert!(number(at, "recall") >= level, "{at}");
            assert!((low..=high).contains(&number(at, "distances")), "{at}");
        }
    }
    assert!(String::from_utf8(scratch.bytes_of("out.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn searching_uses_little_private_memory() {
    let Benched { scratch, .. } = prepared();
    let bench =
        scratch.run("bench db --queries queries.npy --gt gt.npy --rounds 1 --cache-mib 1 --json").json(0);
    if cfg!(target_os = "linux") {
        let peak = bench["peak_private_bytes"].as_u64().unwrap();
        assert!(peak < 64 << 20, "{peak}");
    }
}

#[test]
fn without_ground_truth_it_is_computed() {
    let Benched { scratch, .. } = prepared();
    let given = scratch
        .run("bench db --queries queries.npy --gt gt.npy --efforts 40,10,20 --rounds 1 --json")
        .json(0);
    let computed = scratch
        .run("bench db --queries queries.npy --efforts 10,20,40 --rounds 1 --threads 2 --batch 7 --json")
        .json(0);
    for (given, computed) in points(&given).iter().zip(points(&computed)) {
        for field in ["effort", "recall", "distances", "hops"] {
            assert_eq!(given[field], computed[field]);
        }
    }
    let limited =
        scratch.run("bench db --queries queries.npy --limit 7 --batch 18446744073709551615 --threads 3 --efforts 10 --rounds 1 --json").json(0);
    assert_eq!(limited["queries"], 7);
}

#[test]
fn rows_as_near_as_the_last_true_one_count() {
    // All rows are the same point: any 10 of them are as good as the 10 that the ground truth lists.
    let scratch = Scratch::with_points(&vec![vec![1.0, 2.0]; 100]);
    scratch.npy("queries.npy", &[vec![0.0, 0.0]]);
    scratch.npy("gt.npy", &[(90..100).collect::<Vec<i32>>()]);
    let bench =
        scratch.run("bench db --queries queries.npy --gt gt.npy --efforts 10 --rounds 1 --json").json(0);
    assert_eq!(points(&bench)[0]["recall"], 1.0);
}

#[test]
fn text_keys_become_row_numbers_through_the_file_of_keys() {
    let (points, queries) = (rows(300, 8, 13), rows(10, 8, 14));
    let truth: Vec<_> = queries.iter().map(|query| nearest(&points, query, K)).collect();
    let scratch = Scratch::new();
    scratch.npy("base.npy", &points);
    scratch.npy("queries.npy", &queries);
    scratch.npy("gt.npy", &truth);
    scratch.text("keys.txt", &(0..300).rev().map(|row| format!("key {row}\n")).collect::<String>());
    scratch.run("create db").done();
    scratch.run("import db base.npy -c named --metric l2 --keys keys.txt").done();
    scratch.run("build db").done();
    let words =
        "bench db --queries queries.npy --gt gt.npy --efforts 300 --rounds 1 --json --results ids.npy";
    scratch.run(words).refused(4, &["--keys"]);
    scratch
        .run(&format!("{words} --keys keys.txt").replace("ids", "nowhere/ids"))
        .refused(5, &["nowhere/ids"]);
    let bench = scratch.run(&format!("{words} --keys keys.txt")).json(0);
    assert_eq!(self::points(&bench)[0]["recall"], 1.0);
    assert_eq!(recall_of(&scratch.path("ids.npy"), &truth), 1.0);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let Benched { scratch, .. } = prepared();
    scratch.npy("narrow.npy", &[vec![1_i32, 2], vec![3, 4]]);
    scratch.npy("stranger.npy", &vec![vec![3000_i32; 10]; 40]);
    scratch.npy("wide.npy", &rows(3, 17, 15));
    let bench = |rest: &str| scratch.run(&format!("bench db --queries queries.npy {rest}"));
    bench("--policy greedy,router").refused(2, &["no router", "redknot train"]);
    bench("-k 0").refused(2, &["k = 0", "1 to 1048576"]);
    bench("--recalls 0.9,1.5").refused(2, &["--recalls", "1.5"]);
    bench("--efforts 0").refused(2, &["--efforts", "1 or more"]);
    bench("--gt narrow.npy").refused(4, &["narrow.npy", "10 rows a query", "got 2"]);
    bench("--gt narrow.npy -k 2").refused(4, &["narrow.npy", "40 queries", "got 2"]);
    bench("--gt stranger.npy").refused(4, &["stranger.npy", "not in the collection", "3000"]);
    bench("--efforts 10 --rounds 1 --json no/folder.json").refused(5, &["cannot write no/folder.json"]);
    scratch.run("bench db --queries wide.npy").refused(4, &["wide.npy", "17", "16"]);
}
