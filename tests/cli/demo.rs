//! The demo, quick form, and what becomes of a check that fails.

use serde_json::Value;

use crate::support::Scratch;

#[test]
fn every_check_of_the_demo_holds() {
    let scratch = Scratch::new();
    let facts = scratch.run("demo --quick --keep kept --json").json(0);
    assert_eq!(facts["failed_checks"].as_array().unwrap().len(), 0);
    assert_eq!(
        (facts["import"]["rows"].as_u64(), facts["build"]["linked"].as_u64()),
        (Some(12_000), Some(12_000))
    );
    assert_eq!(facts["exact_recall"], 1.0);
    assert_eq!(facts["queries"].as_array().unwrap().len(), 4);
    let acknowledged = facts["crash"]["acknowledged"].as_u64().unwrap();
    assert!(acknowledged >= 20 && facts["crash"]["found"].as_u64().unwrap() >= acknowledged);
    assert_eq!(facts["size"]["compacted_bytes"], scratch.bytes_of("kept").len());
    assert!(String::from_utf8(scratch.bytes_of("redknot-demo.svg")).unwrap().starts_with("<svg"));

    let verified = scratch.run("verify kept --json").json(0);
    assert_eq!(verified["collections"], 2);
    let like = scratch.run("search kept -c definitions --like 0 -k 3 --json").json(0);
    assert!(like["hits"].as_array().unwrap().iter().all(|hit| hit["payload"].is_string()));
}

#[test]
fn the_demo_tells_when_its_data_is_wrong() {
    let scratch = Scratch::new();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data/demo");
    std::fs::create_dir(scratch.path("data")).unwrap();
    for name in ["base.npy", "base.txt", "query.npy", "query.txt", "gt.npy"] {
        std::fs::copy(format!("{data}/{name}"), scratch.path("data").join(name)).unwrap();
    }
    // A ground truth that names the farthest rows first.
    let truth = scratch.bytes_of("data/gt.npy");
    let table = npyz::NpyFile::new(&truth[..]).unwrap();
    let k = table.shape()[1] as usize;
    let rows: Vec<i32> = table.into_vec().unwrap();
    let wrong: Vec<Vec<i32>> =
        rows.chunks(k).map(|rows| rows.iter().map(|row| 11_999 - row).collect()).collect();
    scratch.npy("data/gt.npy", &wrong);
    let facts: Value = scratch.run("demo --quick --data data --json").json(1);
    assert!(!facts["failed_checks"].as_array().unwrap().is_empty());

    scratch.run("demo --data nowhere").refused(4, &["nowhere", "--data"]);
}
