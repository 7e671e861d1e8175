//! `graph`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Scratch, keys, nearest, rows};

/// The ends of the edges of a text that `graph export` wrote.
fn ends(text: &[u8]) -> BTreeSet<(u64, u64)> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let number = |field: Option<&str>| field.unwrap().parse().unwrap();
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t');
            (number(fields.next()), number(fields.next()))
        })
        .collect()
}

#[test]
fn edges_go_in_and_come_out_again() {
    let scratch = Scratch::with_points(&rows(30, 4, 31));
    let list = "# source target weight type\n1\t2\n2\t3\t0.5\n3\t1\t-1.5\tcites\n4\t4\t2\tknows\n";
    scratch.text("edges.tsv", list);
    let imported = scratch.run("graph import db cited edges.tsv --json").json(0);
    assert_eq!(
        (&imported["edges"], &imported["total"], &imported["created"]),
        (&4.into(), &4.into(), &true.into())
    );
    let listed = scratch.run("graph list db --json").json(0);
    assert_eq!(
        (&listed["graphs"][0]["name"], &listed["graphs"][0]["directed"]),
        (&"cited".into(), &true.into())
    );
    assert_eq!(listed["graphs"][0]["edge_types"], serde_json::json!(["cites", "knows"]));
    let info = scratch.run("info db --json").json(0);
    assert_eq!(info["collections"][0]["graphs"], listed["graphs"]);
    assert!(scratch.run("info db").done().stdout().contains("cited"));

    let next = scratch.run("graph neighbors db cited 3 --json").json(0);
    assert_eq!(next["neighbors"], serde_json::json!([{"key": 1, "weight": -1.5, "type": "cites"}]));
    let before = scratch.run("graph neighbors db cited 3 --incoming --json").json(0);
    assert_eq!(before["neighbors"], serde_json::json!([{"key": 2, "weight": 0.5, "type": null}]));
    let part = scratch.run("graph subgraph db cited 1 --hops 1 --json").json(0);
    assert_eq!(part["rows"], serde_json::json!([{"key": 1, "hops": 0}, {"key": 2, "hops": 1}]));
    assert_eq!(part["edges"], serde_json::json!([{"source": 1, "target": 2, "weight": 1.0, "type": null}]));
    assert!(scratch.run("graph subgraph db cited 1").done().stdout().contains("source"));

    scratch.run("graph export db cited out.tsv").done();
    scratch.run("graph import db again out.tsv").done();
    scratch.run("graph export db again twice.tsv").done();
    assert_eq!(scratch.bytes_of("out.tsv"), scratch.bytes_of("twice.tsv"));
    scratch.run("graph export db cited ends.npy --weights weights.npy").done();
    scratch.run("graph import db npy ends.npy --weights weights.npy").done();
    scratch.run("graph export db npy untyped.tsv").done();
    assert_eq!(ends(&scratch.bytes_of("untyped.tsv")), ends(&scratch.bytes_of("out.tsv")));
    let weighed = scratch.run("graph neighbors db npy 3 --json").json(0);
    assert_eq!(weighed["neighbors"][0]["weight"], -1.5);

    let again = scratch.run("graph import db cited edges.tsv --json").json(0);
    assert_eq!((&again["replaced"], &again["total"]), (&4.into(), &4.into()));
    scratch.run("delete db 2").done();
    assert!(scratch.run("verify db").done().stdout().contains("clean"));
    scratch.run("graph neighbors db cited 2").refused(1, &["2", "points"]);
    assert_eq!(scratch.run("graph neighbors db cited 1 --json").json(0)["neighbors"], serde_json::json!([]));
    assert_eq!(scratch.run("graph drop db cited --json").json(0)["dropped"], true);
    assert_eq!(scratch.run("graph drop db cited --json").json(1)["dropped"], false);
}

#[test]
fn graphs_are_built_and_searched() {
    let points = rows(400, 8, 32);
    let scratch = Scratch::with_points(&points);
    let built = scratch.run("graph build-knn db knn -k 5 --ef 100 --json").json(0);
    assert_eq!(
        (&built["rows"], &built["edges"], &built["sampled_rows"]),
        (&400.into(), &2000.into(), &400.into())
    );
    assert!(built["recall"].as_f64().unwrap() > 0.95, "{built}");
    scratch.run("graph build-knn db knn -k 5").refused(2, &["knn", "already"]);
    let exact = scratch.run("graph build-knn db knn -k 5 --exact --replace --json").json(0);
    assert_eq!(exact["recall"], 1.0);
    let next = scratch.run("graph neighbors db knn 17 --json").json(0);
    let found: BTreeSet<i64> =
        next["neighbors"].as_array().unwrap().iter().map(|next| next["key"].as_i64().unwrap()).collect();
    let expected = nearest(&points, &points[17], 6).into_iter().map(i64::from).filter(|key| *key != 17);
    assert_eq!(found, expected.collect());
    let text = scratch.run("graph build-eps db eps --epsilon 1.5 --max-neighbors 2").done().stdout();
    assert!(text.contains("raise --max-neighbors"), "{text}");
    let listed = scratch.run("graph list db --json").json(0);
    assert_eq!(
        (&listed["graphs"][0]["origin"], &listed["graphs"][0]["epsilon"]),
        (&"eps".into(), &1.5.into())
    );

    // Rows that can be reached in any number of hops, and those that cannot, by what the subgraph says.
    for graph in ["knn", "redknot.hnsw"] {
        let part = scratch.run(&format!("graph subgraph db {graph} 9 --hops 2 --json")).json(0);
        let reached: BTreeSet<i32> =
            part["rows"].as_array().unwrap().iter().map(|row| row["key"].as_i64().unwrap() as i32).collect();
        assert!(reached.len() > 5 && reached.len() < 400, "{}", reached.len());
        let words = format!("graph search db {graph} --center 9 --max-hops 2 --like 40 -k 6 --json");
        let found = scratch.run(&words).json(0);
        assert_eq!(found["reached"], reached.len());
        let expected: Vec<Value> = nearest(&points, &points[40], 400)
            .into_iter()
            .filter(|key| reached.contains(key))
            .take(6)
            .map(Value::from)
            .collect();
        assert_eq!(keys(&found), expected);
    }
    assert!(
        scratch.run("graph search db knn --center 9 --like 9").done().stdout().contains("within the hops")
    );
    scratch.run("verify db").done();
}

#[test]
fn bad_files_and_names_change_nothing() {
    let scratch = Scratch::with_points(&rows(20, 4, 33));
    scratch.run("graph create db g --undirected").done();
    let before = scratch.run("info db --json").json(0);
    scratch.text("unknown.tsv", "1\t2\n\n# more\n3\t99\n");
    scratch.text("short.tsv", "1\t2\n3\n");
    scratch.text("nan.tsv", "1\t2\tNaN\n");
    scratch.text("words.tsv", "one\ttwo\n");
    scratch.npy("pairs.npy", &[vec![1_i64, 2, 3], vec![4, 5, 6], vec![7, 8, 9]]);
    scratch.npy("below.npy", &[vec![1_i64, -2], vec![3, 4]]);
    scratch.npy("gone.npy", &[vec![1_i64, 2], vec![3, 99]]);
    scratch.npy("floats.npy", &[vec![1.0_f32, 2.0], vec![3.0, 4.0]]);
    scratch.npy("ends.npy", &[vec![1_i64, 2], vec![3, 4]]);
    let cases: &[(&str, i32, &[&str])] = &[
        ("graph import db g unknown.tsv", 4, &["line 4 of unknown.tsv", "99"]),
        ("graph import db g short.tsv", 4, &["short.tsv", "line 2", "1 fields", "SOURCE"]),
        ("graph import db g nan.tsv", 4, &["line 1", "NaN", "finite"]),
        ("graph import db g words.tsv", 2, &["one", "whole numbers"]),
        ("graph import db g pairs.npy", 4, &["[3, 3]", "(2, edges)", "transpose"]),
        ("graph import db g below.npy", 4, &["-2"]),
        ("graph import db g gone.npy", 4, &["edge 1 of gone.npy", "99"]),
        ("graph import db g floats.npy", 4, &["f4", "int64"]),
        ("graph import db g ends.npy --weights floats.npy", 4, &["[2, 2]", "(edges,)"]),
        ("graph import db g unknown.tsv --weights floats.npy", 2, &["--weights"]),
        ("graph import db g nowhere.tsv", 4, &["nowhere.tsv"]),
        ("graph create db g", 2, &["\"g\"", "already"]),
        ("graph create db redknot.hnsw", 2, &["redknot."]),
        ("graph neighbors db h 1", 2, &["\"h\"", "it has g"]),
        ("graph neighbors db g 99", 1, &["99"]),
        ("graph neighbors db g one", 2, &["one", "whole numbers"]),
        ("graph search db g --center 1 --vector 1,2,3", 4, &["3", "4"]),
        ("graph search db g --center 1", 2, &["--vector"]),
        ("graph build-knn db h -k 0", 2, &["k = 0", "1 to 65535"]),
        ("graph build-eps db h --epsilon nan", 2, &["epsilon", "finite"]),
        ("graph build-knn db h -c lines", 2, &["lines"]),
        ("graph export db g no/where.tsv", 5, &["no/where.tsv"]),
    ];
    for (words, code, parts) in cases {
        scratch.run(words).refused(*code, parts);
    }
    assert_eq!(scratch.run("info db --json").json(0)["collections"], before["collections"]);
    scratch.run("graph import db directed ends.npy").done();
    scratch.run("graph import db directed ends.npy --undirected").refused(2, &["direction", "undirected"]);
    scratch.run("verify db").done();
}
