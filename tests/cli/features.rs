//! `features` and `trajectories`.
#![cfg(feature = "train")]

use crate::support::{Scratch, rows};

#[test]
fn features_are_computed_followed_and_dropped() {
    let scratch = Scratch::with_points(&rows(700, 8, 11));
    scratch.run("features db").refused(2, &["no graph features", "--compute"]);
    scratch.run("features db --refresh").refused(2, &["no graph features"]);
    scratch.run("features db --compute --drop").refused(2, &["cannot be used with"]);
    let computed = scratch.run("features db --compute --json").json(0);
    assert_eq!((computed["freshness"].as_str(), computed["exact"].as_bool()), (Some("fresh"), Some(true)));
    assert_eq!((computed["rows"].as_u64(), computed["bound"].as_f64()), (Some(700), Some(0.0)));
    assert!(scratch.run("features db").done().stdout().contains("exact, over 700 rows"));
    scratch.run("verify db").done();

    scratch.run("delete db 3 4 5").done();
    let behind = scratch.run("features db --json").json(0);
    assert_eq!(behind["freshness"], "unrefreshed");
    assert!(behind["changed_rows"].as_u64().unwrap() >= 3);
    let refreshed = scratch.run("features db --refresh --json").json(0);
    assert_eq!(
        (refreshed["freshness"].as_str(), refreshed["changed_rows"].as_u64()),
        (Some("stale betweenness"), Some(0))
    );
    scratch.run("verify db").done();

    let sampled = scratch.run("features db --compute --exact-up-to 100 --pivots 64 --json").json(0);
    assert_eq!((sampled["rows"].as_u64(), sampled["pivots"].as_u64()), (Some(697), Some(64)));
    assert!(sampled["bound"].as_f64().unwrap() > 0.0);
    scratch.run("features db --compute --exact-up-to 100 --pivots 1").refused(2, &["pivots"]);
    scratch.run("verify db").done();
    assert_eq!(scratch.run("features db --drop --json").json(0)["dropped"], true);
    assert_eq!(scratch.run("features db --drop --json").json(1)["dropped"], false);
}

#[test]
fn trajectories_are_written_for_other_programs() {
    let scratch = Scratch::with_points(&rows(700, 8, 11));
    scratch.npy("queries.npy", &rows(30, 8, 12));
    let traced = scratch.run("trajectories db --queries queries.npy --out paths --limit 20 --json").json(0);
    assert_eq!((traced["queries"].as_u64(), traced["stored_features"].as_bool()), (Some(20), Some(false)));
    assert!(traced["right_edges"].as_u64().unwrap() > 0);
    let meta: serde_json::Value = serde_json::from_slice(&scratch.bytes_of("paths/meta.json")).unwrap();
    assert_eq!(meta["edges"], traced["edges"]);
    // A header of 64 bytes or more, then a byte for each link.
    let labels = scratch.bytes_of("paths/edge_label.npy");
    assert_eq!(labels.len() % 64, traced["edges"].as_u64().unwrap() as usize % 64);
    assert!(
        scratch
            .run("trajectories db --queries queries.npy --out paths")
            .done()
            .stdout()
            .contains("betweenness is 0")
    );
    scratch.npy("wide.npy", &rows(3, 9, 12));
    scratch.run("trajectories db --queries wide.npy --out paths").refused(4, &["wide.npy", "9", "8"]);
    scratch
        .run("trajectories db --queries queries.npy --out base.npy")
        .refused(5, &["cannot write", "base.npy"]);
    scratch.run("trajectories db --queries queries.npy --out paths -k 0").refused(2, &["k is 0"]);
}
