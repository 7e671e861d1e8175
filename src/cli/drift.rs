//! `redknot router --drift`

use std::io::{self, Write};

use redknot::{Database, Drift, DriftReport};
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::interrupt::Interrupt;
use super::output::{self, Output, Report};

/// Measures whether the router of a collection keeps what its calibration promised, with given or with logged queries.
pub(super) fn run(
    database: &Database,
    name: &str,
    queries: Option<&[f32]>,
    sample: usize,
    output: Output,
) -> Result<Outcome, CliError> {
    let interrupt = Interrupt::catch()?;
    let mut drift = database.router_drift(name).sample(sample).progress(|| interrupt.go_on());
    if let Some(queries) = queries {
        drift = drift.queries(queries);
    }
    let report = CliError::unless_interrupted(drift.run(), "nothing was changed")?;
    let outcome = if report.holds { Outcome::Done } else { Outcome::Findings };
    output.show(&Shown(report))?;
    Ok(outcome)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(DriftReport);

impl Report for Shown {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let DriftReport { collection, queries, logged, k, levels, holds, .. } = &self.0;
        let kind = if *logged { "logged " } else { "" };
        writeln!(
            out,
            "{collection}: asked {} {kind}queries for {k} rows each",
            output::count(*queries as u64)
        )?;
        let header =
            ["level", "search", "recall", "now", "may lack", "distances", "now", "µs", "now", "as promised"];
        let mut table = output::table(&header, &[1, 9]);
        for level in levels {
            for (search, drift) in [("greedy", &level.greedy), ("router", &level.router)] {
                if let Some(drift) = drift {
                    table.add_row(row(level.recall, search, drift));
                }
            }
        }
        writeln!(out, "{}", table.trim_fmt())?;
        match holds {
            true => writeln!(out, "the calibration holds"),
            false => writeln!(out, "the calibration does not hold for these queries: train again"),
        }
    }
}

fn row(level: f64, search: &str, drift: &Drift) -> Vec<String> {
    let (then, now) = (&drift.promised, &drift.measured);
    let mut row = vec![format!("{level:.3}"), search.to_owned()];
    row.extend([then.recall, now.recall, drift.tolerance].map(|recall| format!("{recall:.3}")));
    row.extend([then.distances, now.distances, then.micros, now.micros].map(|figure| format!("{figure:.0}")));
    row.push(if drift.holds { "yes" } else { "no" }.to_owned());
    row
}
