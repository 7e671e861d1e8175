//! Every command's happy path.

use serde_json::json;

use crate::support::{Scratch, keys, nearest, rows};

#[test]
fn a_database_lives_from_create_to_backup() {
    let points = rows(500, 8, 1);
    let scratch = Scratch::with_points(&points);

    let info = scratch.run("info db --json").json(0);
    let collection = &info["collections"][0];
    assert_eq!(collection["rows"], 500);
    assert_eq!(collection["unlinked"], 0);
    assert_eq!(collection["dim"], 8);
    assert_eq!(collection["metric"], "l2");
    assert_eq!(collection["key_type"], "u64");
    assert_eq!(info["file_bytes"], scratch.bytes_of("db").len());

    let deleted = scratch.run("delete db 3 4 5 --json").json(0);
    assert_eq!((deleted["deleted"].as_u64(), deleted["missing"].clone()), (Some(3), json!([])));
    assert_eq!(scratch.run("info db --json").json(0)["collections"][0]["rows"], 497);

    let compacted = scratch.run("compact db --json").json(0);
    assert!(compacted["bytes_after"].as_u64().unwrap() <= compacted["bytes_before"].as_u64().unwrap());
    for words in ["verify db --json", "verify db --pages --json"] {
        let verified = scratch.run(words).json(0);
        assert_eq!((verified["clean"].as_bool(), verified["rows"].as_u64()), (Some(true), Some(497)));
    }

    let backup = scratch.run("backup db copy --json").json(0);
    assert_eq!(backup["bytes"], scratch.bytes_of("copy").len());
    assert_eq!(scratch.run("verify copy --json").json(0)["rows"], 497);
    let query = ["search", "copy", "--json", "--like", "7", "-k", "3", "--exact"];
    let mut without = points.clone();
    for gone in [3, 4, 5, 7] {
        without[gone] = vec![1e6; 8];
    }
    assert_eq!(keys(&scratch.run_words(&query).json(0)), nearest(&without, &points[7], 3));
}

#[test]
fn people_get_text() {
    let scratch = Scratch::with_points(&rows(100, 4, 2));
    for (words, part) in [
        ("info db", "points"),
        ("search db --like 3 -k 5", "5 rows, approximate, "),
        ("get db 3 --vector", "(no payload)"),
        ("delete db 3", "deleted 1 rows of points"),
        ("verify db", "links, clean"),
        ("compact db", "before"),
        ("build db", "all rows are linked already"),
        ("--help", "Exit codes:"),
        ("--version", "redknot 0"),
    ] {
        let told = scratch.run(words).done().stdout();
        assert!(told.contains(part), "{words}: {told}");
    }
}

#[test]
fn a_search_takes_a_vector_a_row_of_a_file_or_a_key() {
    let points = rows(400, 6, 3);
    let scratch = Scratch::with_points(&points);
    let queries = rows(5, 6, 4);
    scratch.npy("queries.npy", &queries);

    let text = queries[2].iter().map(f32::to_string).collect::<Vec<_>>().join(",");
    for vector in [text.clone(), format!("[{text}]")] {
        let found = scratch.run_words(&["search", "db", "--json", "--vector", &vector, "--exact"]).json(0);
        assert_eq!(keys(&found), nearest(&points, &queries[2], 10));
        assert_eq!(found["completeness"], "exact");
        assert_eq!(found["distances"], 400);
    }
    let found = scratch.run("search db --vectors queries.npy --row 2 -k 4 --ef 200 --json").json(0);
    assert_eq!(keys(&found), nearest(&points, &queries[2], 4));
    assert_eq!(found["completeness"], "approximate");

    let like = scratch.run("search db --like 17 -k 400 --ef 400 --json").json(0);
    assert_eq!(keys(&like).len(), 399);
    assert_eq!(like["completeness"], "short");
    assert!(!keys(&like).contains(&json!(17)));

    let all = scratch.run("search db --vectors queries.npy -k 5 --exact --json").json(0);
    let third = all["hits"][2]["distance"].as_f64().unwrap();
    let within = format!("search db --vectors queries.npy -k 5 --exact --within {third} --json");
    assert_eq!(keys(&scratch.run(&within).json(0)).len(), 3);
}

#[test]
fn missing_rows_are_told_by_the_exit_code() {
    let scratch = Scratch::with_points(&rows(20, 4, 5));
    assert_eq!(scratch.run("get db 19 --vector --json").json(0)["vector"].as_array().unwrap().len(), 4);
    assert_eq!(scratch.run("get db 20 --json").json(1)["found"], false);
    let deleted = scratch.run("delete db 1 77 --json").json(1);
    assert_eq!((deleted["deleted"].as_u64(), deleted["missing"].clone()), (Some(1), json!(["77"])));
    assert_eq!(scratch.run("get db 1 --json").json(1)["found"], false);
    scratch.run("search db --like 1").refused(1, &["no row with key 1", "\"points\""]);
}

#[test]
fn a_collection_can_be_created_with_the_file() {
    let scratch = Scratch::new();
    scratch
        .run("create db -c names --dim 4 --metric cosine --element f16 --key-type str --payload none -m 8")
        .done();
    let info = scratch.run("info db --json").json(0);
    let collection = &info["collections"][0];
    assert_eq!(collection["name"], "names");
    assert_eq!(collection["element"], "f16");
    assert_eq!(collection["key_type"], "str");
    assert_eq!(collection["payload_type"], "()");
    assert_eq!((collection["m"].as_u64(), collection["rows"].as_u64()), (Some(8), Some(0)));
}
