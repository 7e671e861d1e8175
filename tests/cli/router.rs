//! `train`, `router`, and what the other commands make of a router.
#![cfg(feature = "train")]

use serde_json::Value;

use crate::support::{Scratch, nearest, rows};

const K: usize = 10;

#[test]
fn a_router_is_trained_shown_measured_switched_and_dropped() {
    let points = rows(3000, 16, 11);
    let queries = rows(600, 16, 12);
    let truth: Vec<_> = queries[..40].iter().map(|query| nearest(&points, query, K)).collect();
    let scratch = Scratch::with_points(&points);
    scratch.npy("log.npy", &queries);
    scratch.npy("queries.npy", &queries[..40]);
    scratch.npy("gt.npy", &truth);
    scratch.run("router db").refused(2, &["no router", "redknot train"]);
    scratch.run("search db --like 0 --recall 0.9").refused(2, &["recall of 0.9", "train"]);

    let trained = scratch.run("train db --queries log.npy --steps 50 --json").json(0);
    assert_eq!(
        (trained["collection"].as_str(), trained["training"]["queries"].as_u64()),
        (Some("points"), Some(480))
    );
    assert_eq!(trained["training"]["held_out"], 120);
    let shown = scratch.run("router db --json").json(0);
    assert_eq!((shown["fresh"].as_bool(), shown["enabled"].as_bool()), (Some(true), Some(true)));
    assert_eq!(shown["levels"].as_array().unwrap().len(), trained["levels"].as_array().unwrap().len());
    assert!(scratch.run("router db").done().stdout().contains("calibrated for k ≤ 10"));
    assert_eq!(
        scratch.run("search db --like 0 --recall 0.9 --json").json(0)["hits"].as_array().unwrap().len(),
        K
    );

    let bench = "bench db --queries queries.npy --gt gt.npy --policy greedy,router --rounds 1 --json";
    let policies = scratch.run(bench).json(0)["policies"].take();
    let router: &Value = &policies["router"];
    let points = router["points"].as_array().unwrap();
    assert!(!points.is_empty() && points.iter().all(|point| point["key_scores"].as_f64().unwrap() > 0.0));
    assert!(points.iter().any(|point| point["recall"].as_f64().unwrap() > 0.9), "{points:?}");
    assert_eq!(router["asked"].as_object().unwrap().len(), 3);
    assert!(policies["greedy"]["asked"].is_null());

    let off = scratch.run("router db --set disabled --json").json(0);
    assert_eq!(off["enabled"], false);
    assert!(scratch.run("router db").done().stdout().contains("disabled"));
    assert_eq!(scratch.run("router db --set enabled --json").json(0)["enabled"], true);
    assert_eq!(scratch.run("router db --set dropped --json").json(0)["dropped"], true);
    assert_eq!(scratch.run("router db --set dropped --json").json(1)["dropped"], false);
    scratch.run("verify db").done();
}

#[test]
fn encoders_compete_and_an_ablation_is_kept() {
    let scratch = Scratch::with_points(&rows(2000, 16, 11));
    scratch.npy("log.npy", &rows(400, 16, 12));
    let options = "--queries log.npy --steps 10 --hidden 8 --heads 2";
    let auto = format!("train db {options} --encoder auto --ablation --json");
    let trained = scratch.run(&auto).json(0);
    let ablation = trained["ablation"].as_array().unwrap();
    let names: Vec<&str> = ablation.iter().map(|it| it["encoder"].as_str().unwrap()).collect();
    let attention = "neighbour mean and attention 2 × 8";
    assert_eq!(names, ["principal axes, untrained", "linear", "neighbour mean", attention]);
    let kept: Vec<usize> = (0..4).filter(|place| ablation[*place]["kept"] == true).collect();
    assert!(kept.len() == 1 && kept[0] > 0, "{kept:?}");
    for it in ablation {
        let recalls: Vec<f64> =
            it["levels"].as_array().unwrap().iter().map(|level| level["recall"].as_f64().unwrap()).collect();
        assert_eq!(recalls, [0.9, 0.95, 0.99]);
        // Greedy search was measured once.
        assert_eq!(it["levels"][0]["greedy"], ablation[0]["levels"][0]["greedy"]);
    }
    let shown = scratch.run("router db --json").json(0);
    assert_eq!(shown["ablation"], trained["ablation"]);
    assert_eq!(shown["encoder"], names[kept[0]]);
    let text = scratch.run("router db").done().stdout();
    assert!(names.iter().all(|name| text.contains(name)) && text.contains("greedy"), "{text}");
    scratch.run("verify db").done();

    // What the encoder leaves out is measured, and never kept.
    let linear = format!("train db {options} --encoder linear --ablation --json");
    scratch.run("router db --set dropped").done();
    let ablation = scratch.run(&linear).json(0)["ablation"].take();
    assert_eq!((ablation.as_array().unwrap().len(), &ablation[1]["kept"]), (4, &Value::Bool(true)));
    let trained = scratch.run(&format!("train db {options} --encoder attention --json")).json(0);
    assert_eq!(trained["ablation"].as_array().unwrap().len(), 0);
    scratch
        .run(&format!("train db {options} --encoder attention --layers 9"))
        .refused(4, &["layers", "1 to 6"]);
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let scratch = Scratch::with_points(&rows(500, 16, 11));
    scratch.npy("few.npy", &rows(20, 16, 1));
    scratch.npy("wide.npy", &rows(900, 17, 1));
    scratch.run("train db --queries few.npy").refused(4, &["queries to calibrate with", "ten times as many"]);
    scratch.run("train db --queries wide.npy").refused(4, &["wide.npy", "17", "16"]);
    scratch.run("train db --lambda 2").refused(4, &["lambda", "0 to 0.9"]);
    scratch.run("train db --queries none.npy").refused(4, &["none.npy"]);
    scratch.run("router db").refused(2, &["no router"]);
}

#[test]
fn queries_are_logged_learned_from_and_drift_is_measured() {
    let points = rows(1500, 12, 31);
    let scratch = Scratch::with_points(&points);
    scratch.npy("queries.npy", &rows(120, 12, 33));
    assert!(scratch.run("query-log db").done().stdout().contains("not logged"));
    assert!(scratch.run("query-log db --json").json(0)["log"].is_null());
    scratch.run("query-log db --set much").refused(2, &["number or off"]);
    scratch.run("query-log db --set 0").refused(2, &["capacity", "1 to 100000"]);
    assert_eq!(scratch.run("query-log db --set 800 --json").json(0)["log"]["capacity"], 800);
    scratch.run("train db --from-log").refused(4, &["0 different queries", "500"]);
    scratch.run("router db --drift").refused(2, &["no router"]);

    let db = redknot::Database::open(scratch.path("db")).unwrap();
    let collection = db.begin_read().unwrap().open_collection_named::<u64, ()>("points").unwrap();
    for query in rows(900, 12, 32) {
        collection.search(&query).run().unwrap();
    }
    drop((collection, db));
    let shown = scratch.run("query-log db --json").json(0)["log"].take();
    assert_eq!((shown["seen"].as_u64(), shown["kept"].as_u64()), (Some(900), Some(800)));
    assert!(scratch.run("query-log db").done().stdout().contains("800 of 900"));
    let trained = scratch.run("train db --steps 10 --json").json(0);
    assert_eq!(trained["training"]["logged"], true);
    assert!(scratch.run("router db").done().stdout().contains("logged queries"));

    let drift = |words: &str| {
        let run = scratch.run(words);
        let code = run.code();
        let report = run.json(code);
        assert_eq!(code, i32::from(report["holds"] == false), "{report}");
        report
    };
    let report = drift("router db --drift 100 --json");
    assert_eq!((report["queries"].as_u64(), report["logged"].as_bool()), (Some(100), Some(true)));
    assert_eq!(report["levels"].as_array().unwrap().len(), 8);
    let report = drift("router db --drift --queries queries.npy --json");
    assert_eq!((report["queries"].as_u64(), report["logged"].as_bool()), (Some(120), Some(false)));
    let told = scratch.run("router db --drift 60").stdout();
    assert!(told.contains("60 logged queries") && told.contains("as promised"), "{told}");
    scratch.run("router db --drift 20").refused(4, &["at least 50"]);
    scratch.run("router db --queries queries.npy").refused(2, &["--drift"]);
    assert!(scratch.run("query-log db --set off --json").json(0)["log"].is_null());
    scratch.run("verify db").done();
}
#[cfg(feature = "onnx")]
#[test]
fn a_router_is_exported_and_imported() {
    let points = rows(3000, 16, 11);
    let scratch = Scratch::with_points(&points);
    scratch.npy("held_out.npy", &rows(60, 16, 12));
    scratch.run("router db --export model.onnx").refused(2, &["no router"]);
    assert!(!scratch.path("model.onnx").exists());
    scratch.run("train db --steps 20 --limit 300").done();
    let exported = scratch.run("router db --export model.onnx --json").json(0);
    let bytes = std::fs::metadata(scratch.path("model.onnx")).unwrap().len();
    assert_eq!((exported["collection"].as_str(), exported["bytes"].as_u64()), (Some("points"), Some(bytes)));
    scratch.run("router db --set dropped").done();

    let imported = scratch.run("router db --import model.onnx --held-out held_out.npy -k 5 --json").json(0);
    assert_eq!(
        (imported["fitted"].as_bool(), imported["training"]["held_out"].as_u64()),
        (Some(false), Some(60))
    );
    assert_eq!(imported["metadata"]["redknot.metric"], "l2");
    let shown = scratch.run("router db --json").json(0);
    assert_eq!((&shown["calibration"]["k"], &shown["gains"]), (&Value::from(5), &imported["accepted"]));
    assert!(scratch.run("router db --import model.onnx").done().stdout().contains("quantiser from the file"));

    std::fs::write(scratch.path("model.onnx"), b"no model").unwrap();
    scratch.run("router db --import model.onnx").refused(4, &["not an ONNX model"]);
    scratch.run("router db --import none.onnx").refused(4, &["none.onnx"]);
    scratch.run("router db --export folder/none.onnx").refused(5, &["folder/none.onnx"]);
    scratch.run("verify db").done();
}

#[cfg(not(feature = "onnx"))]
#[test]
fn onnx_files_take_a_program_that_knows_them() {
    let scratch = Scratch::with_points(&rows(300, 16, 11));
    for option in ["--export", "--import"] {
        scratch.run(&format!("router db {option} model.onnx")).refused(2, &["built without", "\"onnx\""]);
    }
}
