//! A process that is killed in the middle of a write, and what is left of its work.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use redknot::Database;
use serde::Serialize;

use super::Stage;
use crate::cli::crash_script::{Row, rows_after};
use crate::cli::crash_writer::CRASH;
use crate::cli::error::CliError;
use crate::cli::output::duration;

/// What the kill and the reopening showed.
#[derive(Debug, Serialize)]
pub(super) struct Crashed {
    /// The last transaction that the killed process reported as committed.
    acknowledged: u64,
    /// The last transaction found in the file: the same, or one whose report was cut off.
    found: Option<u64>,
    rows: u64,
    reopen_ms: f64,
    findings: Vec<String>,
}

/// Starts a writer on the file, kills it, and looks at the file.
pub(super) fn play(path: &Path, quick: bool, stage: &mut Stage) -> Result<Crashed, CliError> {
    stage.title("7. A kill in the middle of a write");
    let kill_after = if quick { 20 } else { 200 };
    let acknowledged = write_until_killed(path, kill_after)?;
    stage.say(format_args!(
        "  another process inserted, changed and deleted rows, and was killed (SIGKILL) after it had reported {acknowledged} transactions as committed"
    ));
    let start = Instant::now();
    let database = Database::open(path)?;
    let rows = contents(&database)?;
    let reopened = start.elapsed();
    stage.say(format_args!("  reopened and read {} rows in {}", rows.len(), duration(reopened)));

    // The report of a transaction comes after its commit: one more may be there, but only whole.
    let found = [acknowledged, acknowledged + 1].into_iter().find(|&last| rows == rows_after(last));
    stage.check(
        format_args!(
            "all {acknowledged} reported transactions are there; what was cut off is whole or absent"
        ),
        found.is_some(),
    );
    let missed = missed_by_search(&database, &rows)?;
    stage.check(format_args!("every row is found by a search for its own vector"), missed == 0);
    let report = database.verify()?;
    let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    stage.check(format_args!("verify finds nothing wrong in {} rows", report.rows), findings.is_empty());
    let reopen_ms = reopened.as_secs_f64() * 1e3;
    Ok(Crashed { acknowledged, found, rows: rows.len() as u64, reopen_ms, findings })
}

/// Runs this program's crash writer until it has reported `kill_after` transactions; the last one it reported.
fn write_until_killed(path: &Path, kill_after: u64) -> Result<u64, CliError> {
    let system = |what| move |source| CliError::System { what, source };
    let program = std::env::current_exe().map_err(system("find this program"))?;
    let mut writer = Command::new(program)
        .arg("crash-writer")
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(system("start the writer"))?;
    let acknowledged = listen(&mut writer, kill_after).map_err(system("listen to the writer"));
    // Whatever happened, the process must not outlive the demo.
    let killed = writer.kill().and_then(|()| writer.wait()).map_err(system("kill the writer"));
    let acknowledged = acknowledged?;
    killed?;
    if acknowledged < kill_after {
        let expected = format!("{kill_after} transactions before the kill");
        return Err(CliError::Demo {
            what: "writer ended by itself",
            expected,
            got: acknowledged.to_string(),
        });
    }
    Ok(acknowledged)
}

/// Reads reports until there are `kill_after`, kills the writer, and reads those that were under way.
fn listen(writer: &mut Child, kill_after: u64) -> std::io::Result<u64> {
    let Some(out) = writer.stdout.take() else { return Ok(0) };
    let mut last = 0;
    let mut killed = false;
    for line in BufReader::new(out).lines() {
        if let Some(number) = line?.strip_prefix("committed ").and_then(|number| number.parse().ok()) {
            last = number;
        }
        if last >= kill_after && !killed {
            writer.kill()?;
            killed = true;
        }
    }
    Ok(last)
}

/// The rows of the collection that the writer wrote.
fn contents(database: &Database) -> Result<BTreeMap<u64, Row>, CliError> {
    let collection = database.begin_read()?.open_collection(CRASH)?;
    let mut rows = BTreeMap::new();
    for key in collection.keys()? {
        let vector = collection.vector(key)?.unwrap_or_default();
        let payload = collection.get(key)?.map(|text| text.value().to_owned()).unwrap_or_default();
        let vector = vector.try_into().unwrap_or_default();
        rows.insert(key, Row { vector, payload });
    }
    Ok(rows)
}

/// Rows that a search for their own vector does not find.
fn missed_by_search(database: &Database, rows: &BTreeMap<u64, Row>) -> Result<usize, CliError> {
    let collection = database.begin_read()?.open_collection(CRASH)?;
    let mut missed = 0;
    for (key, row) in rows {
        let found = collection.search(&row.vector).k(1).ef(200).run()?;
        missed += usize::from(found.hits.first().is_none_or(|hit| hit.key != *key));
    }
    Ok(missed)
}
