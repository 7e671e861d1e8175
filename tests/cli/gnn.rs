//! `gnn`: models of layers over the graphs of a file.
#![cfg(all(feature = "train", feature = "gnn-all"))]

use crate::support::{Scratch, rows};

const ROWS: usize = 300;

/// Rows, and a file that says on which side of 0 the first coordinate of each is.
fn labelled() -> Scratch {
    let rows = rows(ROWS, 8, 31);
    let scratch = Scratch::with_points(&rows);
    let label = |(key, row): (usize, &Vec<f32>)| {
        let part = ["train", "train", "val", "test"][key % 4];
        format!("{key}\t{}\t{part}\n", u32::from(row[0] > 0.0))
    };
    scratch.text(
        "labels.tsv",
        &format!("# key, class, part\n{}", rows.iter().enumerate().map(label).collect::<String>()),
    );
    scratch
}

#[test]
fn a_model_is_trained_asked_exported_and_imported() {
    let scratch = labelled();
    assert_eq!(scratch.run("gnn models db --json").json(0)["models"].as_array().unwrap().len(), 0);
    let train = "gnn train db --labels labels.tsv --model side --layer graphsage --layers 1 --hidden 8 --dropout 0 --epochs 120";
    let trained = scratch.run(&format!("{train} --json")).json(0);
    assert!(trained["test_score"].as_f64().unwrap() > 0.85, "{trained}");
    assert_eq!(trained["description"]["output_dim"], 2);
    let models = scratch.run("gnn models db --json").json(0);
    assert_eq!(
        (&models["models"][0]["name"], &models["models"][0]["description"]),
        (&"side".into(), &trained["description"])
    );
    assert!(scratch.run("gnn models db").done().stdout().contains("graphsage"));
    let classes =
        |scratch: &Scratch| scratch.run("gnn classify db --model side --json").json(0)["rows"].clone();
    let before = classes(&scratch);
    assert_eq!(before.as_array().unwrap().len(), ROWS);
    scratch.run("verify db").done();

    scratch.run("gnn export db --model side side.safetensors").done();
    assert_eq!(scratch.run("gnn drop db --model side --json").json(0)["dropped"], true);
    assert_eq!(scratch.run("gnn drop db --model side --json").json(1)["dropped"], false);
    scratch.run("gnn classify db --model side").refused(2, &["no model", "side"]);
    assert_eq!(scratch.run("gnn import db --model side side.safetensors --json").json(0)["replaced"], false);
    assert_eq!(classes(&scratch), before);
    assert_eq!(scratch.run("gnn import db --model side side.safetensors --json").json(0)["replaced"], true);

    let linked =
        scratch.run("gnn train db --links --model near --layer gcn --hidden 8 --epochs 30 --json").json(0);
    assert_eq!(
        (linked["score"].as_str(), linked["description"]["output_dim"].as_u64()),
        (Some("auc"), Some(8))
    );
    let predicted = scratch.run("gnn predict db --model near 1 2 3 4 --json").json(0);
    let pairs = predicted["pairs"].as_array().unwrap();
    assert_eq!((pairs.len(), &pairs[1]["keys"][0]), (2, &3.into()));
    assert!(pairs.iter().all(|pair| (0.0..=1.0).contains(&pair["probability"].as_f64().unwrap())));
    assert!(scratch.run("gnn predict db --model near 1 2").done().stdout().contains("probability"));
    scratch.run("gnn predict db --model near 1 2 3").refused(2, &["3 keys", "pairs"]);
    scratch.run("gnn predict db --model near 1 9999").refused(1, &["9999"]);
    assert_eq!(scratch.run("info db --json").json(0)["models"], serde_json::json!(["near", "side"]));
}

#[test]
fn messages_pass_into_a_collection_and_a_file() {
    let scratch = labelled();
    let passed = scratch.run("gnn message-pass db --hops 2 --into means --metric l2 --json").json(0);
    assert_eq!((passed["rows"].as_u64(), passed["dim"].as_u64()), (Some(ROWS as u64), Some(8)));
    scratch.run("build db -c means").done();
    let found = scratch.run("search db -c means --like 3 -k 5 --json").json(0);
    assert_eq!(found["hits"].as_array().unwrap().len(), 5);
    scratch.run("gnn message-pass db -c points --hops 2 --out means.npy --keys keys.txt").done();
    let header = scratch.bytes_of("means.npy").len() - ROWS * 8 * 4;
    assert_eq!(header % 64, 0);
    assert_eq!(String::from_utf8(scratch.bytes_of("keys.txt")).unwrap().lines().count(), ROWS);
    // What is written is a collection like any other.
    scratch.npy("q.npy", &rows(1, 8, 1));
    scratch.run("search db -c means --vectors q.npy").done();
    scratch.run("verify db").done();
}

#[test]
fn rows_are_found_by_their_neighbourhoods() {
    let scratch = labelled();
    let found = scratch.run("gnn search db --hops 1 --like 3 -k 4 --ef 100 --json").json(0);
    let hits = found["rows"].as_array().unwrap();
    assert_eq!(hits.len(), 4);
    let best = hits[0]["score"].as_f64().unwrap();
    assert!(hits.windows(2).all(|pair| pair[0]["score"].as_f64() >= pair[1]["score"].as_f64()));
    let key = hits[0]["key"].as_u64().unwrap();
    let scored = scratch.run(&format!("gnn score db --hops 1 --like 3 --ef 100 {key} 7 --json")).json(0);
    let of_key = scored["rows"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
    assert!((of_key["score"].as_f64().unwrap() - best).abs() < 1e-5);
    let soft = scratch.run("gnn search db --hops 1 --like 3 -k 4 --temperature 0.5 --json").json(0);
    assert_eq!(soft["embedding"].as_array().unwrap().len(), 8);
    assert!(scratch.run("gnn search db --hops 1 --like 3 -k 4").done().stdout().contains("score"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let scratch = labelled();
    scratch.run("gnn search db --like 3").refused(2, &["--model", "--hops"]);
    scratch.run("gnn search db --hops 1 --like 3 --recall 0.9").refused(2, &["--recall"]);
    scratch.run("gnn search db --model none --like 3").refused(2, &["no model", "none"]);
    scratch.run("gnn search db --hops 1 --graph none --like 3").refused(2, &["none"]);
    scratch.run("gnn score db --hops 1 --like 3 9999").refused(1, &["9999"]);
    for ef in ["0", "18446744073709551615", "4294967295"] {
        scratch
            .run(&format!("gnn search db --hops 1 --like 3 --ef {ef}"))
            .refused(2, &["ef", ef, "1 to 1048576"]);
    }
    scratch.run("gnn train db --links --model redknot.x").refused(2, &["redknot.x", "cannot be a name"]);
    scratch.run("gnn train db --links --model m --epochs 0").refused(2, &["epochs"]);
    scratch.run("gnn train db --links --model m --memory-bytes 1000").refused(4, &["memory_bytes", "1000"]);
    scratch.run("gnn message-pass db -c points --hops 1 --into points").refused(2, &["--into", "replaced"]);
    scratch
        .run("gnn message-pass db --hops 1 --into more --out nowhere/means.npy")
        .refused(5, &["nowhere/means.npy"]);
    assert_eq!(scratch.run("info db --json").json(0)["collections"].as_array().unwrap().len(), 1);
    scratch.run("gnn message-pass db --hops 1").refused(2, &["--into", "--out"]);
    scratch.run("gnn message-pass db --hops 1 --out nowhere/means.npy").refused(5, &["nowhere/means.npy"]);
    let train = "gnn train db --model m --labels";
    scratch.run(&format!("{train} labels.tsv --layer perceptron")).refused(2, &["perceptron", "graphsage"]);
    scratch.text("wrong.tsv", "1\t0\ttrain\n2\tx\ttrain\n");
    scratch.run(&format!("{train} wrong.tsv")).refused(4, &["wrong.tsv", "line 2"]);
    scratch.text("stranger.tsv", "1\t0\ttrain\n9999\t1\tval\n");
    scratch.run(&format!("{train} stranger.tsv")).refused(1, &["9999"]);
    scratch.text("untested.tsv", "1\t0\ttrain\n");
    scratch.run(&format!("{train} untested.tsv")).refused(4, &["validate"]);
    scratch.text("noise.safetensors", "nothing of the kind");
    scratch.run("gnn import db --model m noise.safetensors").refused(4, &["cannot be read"]);
    scratch.run("gnn import db --model m none.safetensors").refused(4, &["none.safetensors"]);
    scratch.run("verify db").done();
}
