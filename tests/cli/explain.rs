//! `explain`: what it tells, and the page it writes.
#![cfg(feature = "routing")]

use serde_json::Value;

use crate::support::{Scratch, keys, rows};

/// The data in a page, after it was seen to hold nothing else that a browser acts on.
fn data_of(page: &str) -> Value {
    let (before, rest) = page.split_once(r#"<script id="data" type="application/json">"#).unwrap();
    let (json, after) = rest.split_once("</script>").unwrap();
    assert!(!json.contains(['<', '>', '&']));
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(!before.contains(outside) && !after.contains(outside), "{outside}");
    }
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (2, 2));
    serde_json::from_str(json).unwrap()
}

#[test]
fn greedy_search_is_explained_where_there_is_no_router() {
    let scratch = Scratch::with_points(&rows(800, 8, 21));
    scratch.npy("queries.npy", &rows(3, 8, 22));
    let found = scratch.run("search db --vectors queries.npy --row 2 --json").json(0);
    let explained = scratch.run("explain db --vectors queries.npy --row 2 --json --html route.html").json(0);
    assert_eq!(explained["unrouted"], "no_router");
    assert!(explained["router"].is_null());
    let greedy = &explained["greedy"];
    assert_eq!(keys(greedy), keys(&found));
    assert_eq!(greedy["distances"], found["distances"]);
    assert_eq!(greedy["hops"].as_array().unwrap().len() as u64, found["hops"].as_u64().unwrap());
    assert_eq!(greedy["stop"], "Converged");

    let data = data_of(&String::from_utf8(scratch.bytes_of("route.html")).unwrap());
    assert_eq!(data["walks"][0]["hops"], greedy["hops"]);
    assert_eq!(data["nodes"].as_array().unwrap().len(), explained["nodes"].as_array().unwrap().len());
    assert_eq!(data["walks"][0]["hits"][0]["key"], keys(greedy)[0].to_string());
    assert_eq!(data["query"], "row 2 of queries.npy");

    // What a command writes takes the place of no database.
    scratch.run("explain db --like 5 --html db").refused(5, &["is a database", "another file"]);
    scratch.run("verify db").done();

    let told = scratch.run("explain db --like 5 -k 3 --ef 20").done().stdout();
    for part in ["Greedy search answers: the collection has no router", "ef 20", "no candidate lay within"] {
        assert!(told.contains(part), "{told}");
    }
    scratch.run("explain db").refused(2, &["--vector"]);
    scratch.run("explain db --like 5 --recall 0.9").refused(2, &["recall of 0.9", "train"]);
    scratch.run("explain db --vector 1,2").refused(4, &["2", "8"]);
    scratch.run("explain db --like 5 --html no/such/folder.html").refused(5, &["folder.html"]);
}

#[test]
fn hostile_keys_and_payloads_stay_text() {
    const HOSTILE: [&str; 4] = [
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "<img src=x onerror=alert(1)> & \"'`\u{2028}",
        "@DATA@ @SCRIPT@ \\u003c ${1}",
    ];
    let scratch = Scratch::new();
    let lines = HOSTILE.iter().enumerate().map(|(at, text)| {
        let row = serde_json::json!({ "vector": [at, 1.0], "key": text, "payload": text });
        format!("{row}\n")
    });
    scratch.text("rows.jsonl", &lines.collect::<String>());
    scratch.run("create db").done();
    scratch.run("import db rows.jsonl -c <b>x</b> --metric l2").done();
    scratch.run("build db").done();
    scratch.run_words(&["explain", "db", "--like", HOSTILE[0], "--html", "route.html"]).done();
    let data = data_of(&String::from_utf8(scratch.bytes_of("route.html")).unwrap());
    let mut told: Vec<&str> =
        data["nodes"].as_array().unwrap().iter().map(|node| node["key"].as_str().unwrap()).collect();
    told.sort_unstable();
    let mut all = HOSTILE;
    all.sort_unstable();
    assert_eq!(told, all);
    assert!(data["nodes"].as_array().unwrap().iter().all(|node| node["key"] == node["payload"]));
    assert_eq!(data["collection"], "<b>x</b>");
    assert_eq!(data["query"], format!("row {}", HOSTILE[0]));
}

#[cfg(feature = "train")]
#[test]
fn the_router_is_explained_beside_greedy_search() {
    let scratch = Scratch::with_points(&rows(2000, 12, 23));
    scratch.run("train db --steps 10 --limit 400").done();
    scratch.run("router db --set disabled").done();
    let explained = scratch.run("explain db --like 7 --recall 0.9 --json --html route.html").json(0);
    assert_eq!(explained["unrouted"], "disabled");
    let router = &explained["router"];
    assert!(router["key_scores"].as_u64().unwrap() > 0);
    let saved = explained["greedy"]["distances"].as_i64().unwrap() - router["distances"].as_i64().unwrap();
    assert_eq!(explained["distances_saved"].as_i64(), Some(saved));
    let data = data_of(&String::from_utf8(scratch.bytes_of("route.html")).unwrap());
    assert_eq!(data["walks"].as_array().unwrap().len(), 2);
    assert_eq!(data["walks"][1]["reranked"], router["reranked"]);
    assert!(data["walks"][1]["landmarks"].as_u64().unwrap() > 1);
    let told = scratch.run("explain db --like 7 --recall 0.9").done().stdout();
    assert!(told.contains("the router is switched off") && told.contains("Router"), "{told}");
}
