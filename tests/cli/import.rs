//! Every format, every source of keys and payloads.

use half::f16;
use serde_json::{Value, json};

use crate::support::{Scratch, floats, keys, nearest, rows};

/// Whole numbers, which every element type holds.
fn small_numbers(count: usize, dim: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (0..dim).map(|_| rng.u8(0..100)).collect()).collect()
}

fn converted<T>(rows: &[Vec<u8>], convert: impl Fn(u8) -> T) -> Vec<Vec<T>> {
    rows.iter().map(|row| row.iter().map(|&value| convert(value)).collect()).collect()
}

fn info(scratch: &Scratch, name: &str) -> Value {
    let info = scratch.run("info db --json").json(0);
    info["collections"].as_array().unwrap().iter().find(|info| info["name"] == name).unwrap().clone()
}

#[test]
fn every_format_gives_the_same_rows_in_its_own_element_type() {
    let numbers = small_numbers(200, 8, 6);
    let floats = converted(&numbers, f32::from);
    let scratch = Scratch::new();
    scratch.run("create db").done();
    scratch.npy("f32.npy", &floats);
    scratch.npy_f16("f16.npy", &converted(&numbers, |value| f16::from_f32(value.into())));
    scratch.npy("i8.npy", &converted(&numbers, |value| value as i8));
    scratch.npy("u8.npy", &numbers);
    let as_bytes = |row: &Vec<f32>| row.iter().flat_map(|value| value.to_le_bytes()).collect();
    scratch.vecs("rows.fvecs", &floats.iter().map(|row| (8, as_bytes(row))).collect::<Vec<_>>());
    scratch.vecs("rows.bvecs", &numbers.iter().map(|row| (8, row.clone())).collect::<Vec<_>>());
    let lines: Vec<_> = floats.iter().map(|row| json!({ "vector": row }).to_string()).collect();
    scratch.text("rows.jsonl", &lines.join("\n"));

    let files = [
        ("f32.npy", "f32"),
        ("f16.npy", "f16"),
        ("i8.npy", "i8"),
        ("u8.npy", "u8"),
        ("rows.fvecs", "f32"),
        ("rows.bvecs", "u8"),
        ("rows.jsonl", "f32"),
    ];
    for (file, element) in files {
        let words = format!("import db {file} -c {file} --metric l2 --json");
        let imported = scratch.run(&words).json(0);
        assert_eq!((imported["rows"].as_u64(), imported["replaced"].as_u64()), (Some(200), Some(0)));
        assert_eq!(info(&scratch, file)["element"], element, "{file}");
        // Before the rows are linked, and after: every search finds them.
        for build in [false, true] {
            if build {
                assert_eq!(scratch.run(&format!("build db -c {file} --json")).json(0)["linked"], 200);
            }
            let found = scratch.run(&format!("search db -c {file} --vectors u8.npy --row 9 --json")).json(0);
            assert_eq!(keys(&found), nearest(&floats, &floats[9], 10), "{file}, linked: {build}");
        }
    }
    scratch.run("verify db --json").json(0);
}

#[test]
fn an_element_type_can_be_chosen() {
    let numbers = small_numbers(50, 8, 7);
    let scratch = Scratch::new();
    scratch.npy("u8.npy", &numbers);
    scratch.run("create db").done();
    for element in ["f32", "f16", "bf16", "i8", "u8"] {
        scratch.run(&format!("import db u8.npy -c {element} --metric l2 --element {element}")).done();
        assert_eq!(info(&scratch, element)["element"], element);
        let row = scratch.run(&format!("get db -c {element} 7 --vector --json")).json(0);
        assert_eq!(floats(&row["vector"]), converted(&numbers, f32::from)[7], "{element}");
    }
}

#[test]
fn keys_and_payloads_come_from_text_files() {
    let points = rows(3, 4, 8);
    let scratch = Scratch::new();
    scratch.npy("base.npy", &points);
    scratch.text("keys.txt", "anna\nbéla\ncarl\n");
    scratch.text("texts.txt", "first\n\nthird, last\n");
    scratch.text("numbers.txt", "30\n10\n20\n");
    scratch.run("create db").done();
    scratch.run("import db base.npy -c a --metric l2 --keys keys.txt --payloads texts.txt").done();
    assert_eq!(scratch.run("get db -c a carl --json").json(0)["payload"], "third, last");
    assert_eq!(scratch.run("get db -c a béla --json").json(0)["payload"], "");
    let found = scratch.run("search db -c a --like béla --exact --json").json(0);
    assert_eq!(keys(&found).len(), 2);

    scratch.run("import db base.npy -c n --metric l2 --keys numbers.txt --key-type u64").done();
    let found = scratch.run("search db -c n --vectors base.npy --row 1 -k 1 --json").json(0);
    assert_eq!(keys(&found), [10]);
    assert_eq!(found["hits"][0]["payload"], Value::Null);
}

#[test]
fn json_lines_carry_keys_and_payloads() {
    let scratch = Scratch::new();
    scratch.text(
        "texts.jsonl",
        "{\"vector\": [1, 0], \"key\": \"east\", \"payload\": \"sunrise\"}\n\n{\"key\": \"north\", \"vector\": [0, 1]}\n",
    );
    scratch.text("numbers.jsonl", "{\"vector\": [1, 0], \"key\": 7, \"payload\": {\"a\": [1, 2]}}\n");
    scratch.run("create db").done();
    scratch.run("import db texts.jsonl -c t --metric cosine").done();
    assert_eq!(info(&scratch, "t")["key_type"], "str");
    assert_eq!(scratch.run("get db -c t east --json").json(0)["payload"], "sunrise");
    assert_eq!(scratch.run("get db -c t north --json").json(0)["payload"], "");
    scratch.run("import db numbers.jsonl -c n --metric cosine").done();
    assert_eq!(info(&scratch, "n")["key_type"], "u64");
    let payload = scratch.run("get db -c n 7 --json").json(0)["payload"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&payload).unwrap(), json!({"a": [1, 2]}));
}

#[test]
fn a_second_file_is_numbered_on_or_replaces() {
    let (first, second) = (rows(30, 4, 9), rows(20, 4, 10));
    let scratch = Scratch::with_points(&first);
    scratch.npy("second.npy", &second);
    scratch.run("import db second.npy -c points").refused(2, &["30 rows", "--first-key 30", "--keys"]);
    assert_eq!(info(&scratch, "points")["rows"], 30);

    let more = scratch.run("import db second.npy -c points --first-key 30 --json").json(0);
    assert_eq!((more["rows"].as_u64(), more["replaced"].as_u64()), (Some(20), Some(0)));
    let vector = |key: u64| floats(&scratch.run(&format!("get db {key} --vector --json")).json(0)["vector"]);
    assert_eq!(vector(35), second[5]);

    let again = scratch.run("import db second.npy -c points --first-key 0 --json").json(0);
    assert_eq!((again["rows"].as_u64(), again["replaced"].as_u64()), (Some(20), Some(20)));
    assert_eq!((vector(5), vector(25)), (second[5].clone(), first[25].clone()));
    scratch.run("build db").done();
    assert_eq!(scratch.run("verify db --json").json(0)["rows"], 50);
}
