//! Ctrl-C during an import.
#![cfg(unix)]

use std::fs::OpenOptions;
use std::io::{BufWriter, Read, Write};
use std::process::{Command, Stdio};

use crate::support::Scratch;

/// So that 16 MiB, the most that one transaction imports, are 512 rows.
const DIM: usize = 8192;
const BATCH: u64 = 512;

#[test]
fn what_was_committed_before_ctrl_c_stays() {
    let scratch = Scratch::new();
    scratch.run("create db").done();
    let pipe = scratch.path("rows.jsonl");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut import = scratch
        .command()
        .args(["import", "db", "rows.jsonl", "-c", "rows", "--metric", "l2", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    let line = format!("{{\"vector\":[{}0]}}\n", "0,".repeat(DIM - 1));
    let mut rows = BufWriter::new(OpenOptions::new().write(true).open(&pipe).unwrap());
    // A pipe holds a few rows only: once so many went through it, the first batch has been read, and the second
    // is only read after the first was committed.
    for _ in 0..BATCH + 200 {
        rows.write_all(line.as_bytes()).unwrap();
    }
    let interrupted = Command::new("kill").args(["-INT", &import.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    // The import ends at the end of a batch; until then it wants rows.
    let refused = loop {
        if let Err(error) = rows.write_all(line.as_bytes()) {
            break error;
        }
    };
    assert_eq!(refused.kind(), std::io::ErrorKind::BrokenPipe);
    let (buffered, _) = rows.into_parts();
    drop(buffered);

    let mut told = String::new();
    import.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(import.wait().unwrap().code(), Some(130), "{told}");
    let error: serde_json::Value = serde_json::from_str(&told).unwrap();
    let message = error["error"].as_str().unwrap();
    assert!(message.ends_with("rows are committed and stay"), "{message}");
    let said: String = message.chars().filter(char::is_ascii_digit).collect();
    let said: u64 = said.parse().unwrap();
    assert!(said >= BATCH && said.is_multiple_of(BATCH), "{message}");

    assert_eq!(scratch.run("info db --json").json(0)["collections"][0]["rows"], said);
    assert_eq!(scratch.run("verify db --json").json(0)["rows"], said);
}
