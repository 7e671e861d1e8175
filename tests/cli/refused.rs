//! Bad input: an exit code, a message that says what to do, and a file that has not changed.

use redknot::redb::{self, ReadableTable, TableDefinition};
use redknot::{CollectionDefinition, Database, Metric};

use crate::support::{Scratch, rows};

/// Runs each of the commands; none may change the database.
fn refused(scratch: &Scratch, cases: &[(&str, i32, &[&str])]) {
    let before = scratch.run("info db --json").json(0);
    for (words, code, parts) in cases {
        scratch.run(words).refused(*code, parts);
    }
    let after = scratch.run("info db --json").json(0);
    assert_eq!(before["collections"], after["collections"]);
    scratch.run("verify db").done();
}

#[test]
fn vectors_that_do_not_fit_are_refused() {
    let scratch = Scratch::with_points(&rows(50, 4, 20));
    scratch.npy("wide.npy", &rows(10, 5, 21));
    let mut broken = rows(10, 4, 22);
    broken[6][1] = f32::NAN;
    scratch.npy("nan.npy", &broken);
    broken[6][1] = f32::INFINITY;
    scratch.npy("infinite.npy", &broken);
    broken[6] = vec![0.0; 4];
    scratch.npy("zero.npy", &broken);
    broken[6][1] = 0.5;
    scratch.npy("half.npy", &broken);
    refused(
        &scratch,
        &[
            ("import db wide.npy -c points --first-key 50", 4, &["wide.npy", "dimension 5", "has 4"]),
            ("import db nan.npy -c points --first-key 50", 4, &["row 6 of nan.npy", "coordinate 1", "NaN"]),
            ("import db infinite.npy -c new --metric l2", 4, &["row 6 of infinite.npy", "inf"]),
            ("import db zero.npy -c new --metric cosine", 4, &["row 6 of zero.npy", "zero"]),
            (
                "import db half.npy -c new --metric l2 --element u8",
                4,
                &["row 0 of half.npy", "u8 cannot hold"],
            ),
            ("search db --vector 1,2,3", 4, &["3 coordinates", "has 4"]),
            ("search db --vector 1,2,3,1e39", 4, &["1e39", "out of range"]),
            ("search db --vector 1;2;3;4", 4, &["1;2;3;4", "is not a vector", "0.1,-2,3"]),
            ("search db --vectors wide.npy", 4, &["5 coordinates"]),
            ("search db --vectors nan.npy --row 6", 4, &["NaN"]),
            ("search db --vectors nan.npy --row 10", 4, &["nan.npy has 10 rows", "row 10"]),
        ],
    );
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let scratch = Scratch::with_points(&rows(50, 4, 23));
    scratch.npy("good.npy", &rows(10, 4, 24));
    let whole = scratch.bytes_of("good.npy");
    std::fs::write(scratch.path("short.npy"), &whole[..whole.len() - 3]).unwrap();
    scratch.text("text.npy", "no numpy file at all");
    scratch.text("data.csv", "1,2,3,4\n");
    scratch.vecs("ragged.bvecs", &[(4, vec![1; 4]), (3, vec![1; 3]), (4, vec![1; 4])]);
    scratch.text("ragged.jsonl", "{\"vector\": [1, 2, 3, 4]}\n{\"vector\": [1, 2]}\n");
    scratch.text("broken.jsonl", "{\"vector\": [1, 2, 3, 4]}\n{\"vector\": [1, 2,\n");
    scratch.text("empty.jsonl", "");
    scratch.text("few.txt", "one\ntwo\n");
    let import = "import db";
    for (file, parts) in [
        ("absent.npy", &["absent.npy", "No such file"][..]),
        ("short.npy", &["short.npy", "truncated in row 9", "fetch or write it again"]),
        ("text.npy", &["text.npy", "expected"]),
        ("data.csv", &["data.csv", ".npy, .fvecs, .bvecs, .jsonl"]),
        ("ragged.bvecs", &["row 1", "dimension 3", "expected 4"]),
        ("ragged.jsonl", &["line 2", "2 coordinates", "expected 4"]),
        ("broken.jsonl", &["line 2", "expected"]),
        ("empty.jsonl", &["no row"]),
        ("good.npy --keys few.txt", &["few.txt", "2 lines", "expected 10"]),
        ("good.npy --payloads few.txt", &["few.txt", "2 lines", "expected 10"]),
        ("good.npy --keys absent.txt", &["absent.txt"]),
    ] {
        refused(&scratch, &[(&format!("{import} {file} -c new --metric l2"), 4, parts)]);
    }
}

#[test]
fn commands_that_make_no_sense_are_refused() {
    let scratch = Scratch::with_points(&rows(50, 4, 25));
    scratch.npy("more.npy", &rows(10, 4, 26));
    scratch.text("keys.txt", &"key\n".repeat(10));
    scratch.text("empty.txt", &"\n".repeat(10));
    scratch.text("long.txt", &format!("{}\n", "x".repeat(5000)).repeat(10));
    refused(
        &scratch,
        &[
            ("search db -c other --like 1", 2, &["no collection \"other\"", "points"]),
            ("build db --threads 100000", 2, &["threads", "100000", "1 to 1024"]),
            ("bench db --queries more.npy --threads 100000", 2, &["--threads", "1 to 1024"]),
            ("import db more.npy -c new", 2, &["--metric"]),
            ("import db more.npy -c new --metric euclid", 2, &["l2, cosine, ip, l1, hamming"]),
            ("import db more.npy -c points --metric cosine", 2, &["metric l2", "says cosine"]),
            ("import db more.npy -c points --element f16", 2, &["element type f32", "says f16"]),
            ("import db more.npy -c points --ef-construction 50", 2, &["ef_construction 200", "says 50"]),
            ("import db more.npy -c points --key-type str", 2, &["key type u64", "says str"]),
            ("import db more.npy -c points --keys keys.txt", 2, &["\"key\"", "whole numbers"]),
            ("import db more.npy -c redknot.own --metric l2", 2, &["redknot.own", "choose another"]),
            ("import db more.npy -c new --metric l2 --keys empty.txt", 2, &["key is empty"]),
            ("import db more.npy -c new --metric l2 --keys long.txt", 2, &["5000 bytes", "4096"]),
            ("import db more.npy -c new --metric l2 -m 1", 2, &["m"]),
            ("search db --like cat", 2, &["\"cat\"", "whole numbers"]),
            ("search db --like 1 -k 0", 2, &["k = 0"]),
            ("search db --like 1 --ef 0", 2, &["ef = 0"]),
            ("search db", 2, &["--vector", "--like"]),
            ("search db --like 1 --vector 1,2,3,4", 2, &["cannot be used with"]),
            ("info db --cache-mib 0", 2, &["cache_bytes", "1 MiB"]),
            ("fly db", 2, &["fly"]),
            ("create other --collection c", 2, &["--dim"]),
            ("create other -c c --dim 0 --metric l2", 2, &["dimension is 0"]),
            ("create db", 3, &["db exists already"]),
            ("backup db db", 3, &["db exists already"]),
            ("info absent", 3, &["absent does not exist", "create it first"]),
        ],
    );
    assert!(!scratch.path("other").exists(), "a refused create left a file");

    scratch.run("import db more.npy -c second --metric l2").done();
    scratch.run("search db --like 1").refused(2, &["points, second", "--collection"]);
    scratch.run("create empty").done();
    scratch.run("search empty --like 1").refused(2, &["no collection yet", "redknot import"]);
}

#[test]
fn errors_are_objects_for_programs() {
    let scratch = Scratch::new();
    let run = scratch.run("info absent --json");
    let error: serde_json::Value = serde_json::from_str(&run.stderr()).unwrap();
    assert_eq!((error["exit_code"].as_i64(), run.code()), (Some(3), 3));
    assert!(error["error"].as_str().unwrap().contains("absent"));
}

#[test]
fn files_of_others_are_refused() {
    let scratch = Scratch::new();
    scratch.text("text", &"not a database\n".repeat(1000));
    scratch.text("empty", "");
    let other = redb::Database::create(scratch.path("redb")).unwrap();
    drop(other);
    for file in ["text", "empty", "redb"] {
        let before = scratch.bytes_of(file);
        for command in ["info", "verify", "compact", "build"] {
            scratch.run(&format!("{command} {file}")).refused(3, &["not a redknot database"]);
        }
        assert_eq!(scratch.bytes_of(file), before, "{file}");
    }
}

#[test]
fn a_newer_format_is_refused() {
    const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.meta");
    let scratch = Scratch::with_points(&rows(20, 4, 27));
    let db = redb::Database::open(scratch.path("db")).unwrap();
    let write = db.begin_write().unwrap();
    {
        let mut meta = write.open_table(META).unwrap();
        let mut format = meta.get("format").unwrap().unwrap().value().to_vec();
        let version = format.len() - 4;
        format[version..].copy_from_slice(&(redknot::FORMAT_VERSION + 1).to_le_bytes());
        meta.insert("format", format.as_slice()).unwrap();
    }
    write.commit().unwrap();
    drop(db);
    for words in ["info db", "search db --like 1", "build db", "verify db"] {
        scratch.run(words).refused(3, &["has format 2", "newer redknot"]);
    }
}

#[test]
fn a_damaged_file_has_findings() {
    let scratch = Scratch::with_points(&rows(5000, 32, 28));
    let whole = scratch.bytes_of("db");
    // Wherever the row lies: pages that earlier commits left behind hold copies of it.
    let row = rows(5000, 32, 28)[2500].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let copies: Vec<usize> =
        (0..whole.len() - row.len()).step_by(4).filter(|&at| whole[at..].starts_with(&row)).collect();
    assert!(!copies.is_empty());
    let mut damaged = whole.clone();
    for at in copies {
        damaged[at + 5] ^= 0x10;
    }
    std::fs::write(scratch.path("db"), &damaged).unwrap();
    let verified = scratch.run("verify db --json").json(1);
    assert_eq!(verified["clean"], false);
    assert!(!verified["findings"].as_array().unwrap().is_empty());
    std::fs::write(scratch.path("db"), &whole).unwrap();
    scratch.run("verify db").done();
}

#[test]
fn one_process_writes_or_several_read() {
    let scratch = Scratch::with_points(&rows(50, 4, 29));
    scratch.npy("more.npy", &rows(10, 4, 30));
    let writer = Database::open(scratch.path("db")).unwrap();
    for words in ["info db", "delete db 1", "import db more.npy -c points --first-key 50", "compact db"] {
        scratch.run(words).refused(3, &["open elsewhere"]);
    }
    drop(writer);
    let reader = Database::open_read_only(scratch.path("db")).unwrap();
    scratch.run("delete db 1").refused(3, &["open elsewhere"]);
    scratch.run("search db --like 1").done();
    scratch.run("verify db").done();
    drop(reader);
    scratch.run("delete db 1").done();
}

#[test]
fn collections_of_other_types_are_named() {
    const SIGNED: CollectionDefinition<i64, &str> = CollectionDefinition::new("signed", 2, Metric::L2);
    const COUNTED: CollectionDefinition<u64, u32> = CollectionDefinition::new("counted", 2, Metric::L2);
    let scratch = Scratch::new();
    let db = Database::create(scratch.path("db")).unwrap();
    let mut write = db.begin_write().unwrap();
    write.open_collection(SIGNED).unwrap().insert(-1, &[1.0, 2.0], "one").unwrap();
    write.open_collection(COUNTED).unwrap().insert(1, &[1.0, 2.0], 7).unwrap();
    write.commit().unwrap();
    drop(db);
    refused(
        &scratch,
        &[
            ("get db -c signed 1", 2, &["keys of type i64", "u64 and str", "Rust program"]),
            ("search db -c counted --like 1", 2, &["payloads of type u32", "&str and ()"]),
        ],
    );
}

/// Where the system enforces it: to root, no file is read-only.
#[cfg(unix)]
#[test]
fn a_read_only_file_is_read_and_not_written() {
    use std::fs::{OpenOptions, Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::with_points(&rows(50, 4, 31));
    let before = scratch.bytes_of("db");
    set_permissions(scratch.path("db"), Permissions::from_mode(0o444)).unwrap();
    scratch.run("search db --like 1").done();
    if OpenOptions::new().write(true).open(scratch.path("db")).is_err() {
        scratch.run("delete db 1").refused(3, &["ermission denied"]);
    }
    assert_eq!(scratch.bytes_of("db"), before);
}
