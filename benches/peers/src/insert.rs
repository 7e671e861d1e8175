//! The insert comparison: rows added to a built index, the engines taking turns batch by batch.

use std::path::Path;

use serde::Serialize;

use crate::cache::{Built, build_or_load};
use crate::dataset::Dataset;
use crate::engine::{BuildPlan, Engine, SearchPlan};
use crate::error::{Error, Result};
use crate::npy::Neighbours;
use crate::recall::Judge;
use crate::report::median;

/// What is added, and how.
pub(crate) struct Insertion<'a> {
    /// The last rows of the base, which are left out of the build.
    pub(crate) rows: usize,
    /// Rows in one call; an engine with transactions commits each durably.
    pub(crate) batch: usize,
    pub(crate) threads: usize,
    pub(crate) build_threads: usize,
    pub(crate) k: usize,
    /// Effort of the search that checks the outcome.
    pub(crate) ef: usize,
    pub(crate) cache: Option<&'a Path>,
}

/// The outcome for one engine.
#[derive(Serialize)]
pub(crate) struct InsertReport {
    name: &'static str,
    details: String,
    build: Built,
    /// Median, least and greatest rows per second over the batches.
    rows_per_second: f64,
    rows_per_second_min: f64,
    rows_per_second_max: f64,
    /// Median over the batches of the ratio to the first engine in the same batch.
    ratio_to_first: f64,
    /// Against the exact neighbours among all rows, after the last batch.
    recall_after: f64,
}

pub(crate) fn measure(
    engines: &mut [Box<dyn Engine>],
    data: &Dataset,
    what: &Insertion<'_>,
) -> Result<Vec<InsertReport>> {
    let rows = data.base.rows();
    if what.rows == 0 || what.rows >= rows || what.batch == 0 {
        let reason = format!("{} rows in batches of {}, the base has {rows}", what.rows, what.batch);
        return Err(Error::Option { option: "--rows", reason });
    }
    let first = rows - what.rows;
    let base = data.base.copy_rows(0..first);
    let plan = BuildPlan { metric: data.metric, threads: what.build_threads, capacity: rows };
    let mut builds = Vec::new();
    for engine in engines.iter_mut() {
        builds.push(build_or_load(engine.as_mut(), &base, plan, what.cache)?);
    }
    let mut rates = vec![Vec::new(); engines.len()];
    for start in (first..rows).step_by(what.batch) {
        let batch = data.base.copy_rows(start..(start + what.batch).min(rows));
        for (engine, rates) in engines.iter_mut().zip(&mut rates) {
            let elapsed = engine.add(&batch, start as u32, what.threads)?;
            rates.push(batch.rows() as f64 / elapsed.as_secs_f64());
        }
    }
    let judge = Judge::new(data, what.k);
    let search = SearchPlan { k: what.k, ef: what.ef, threads: what.threads };
    let mut reports = Vec::new();
    for ((engine, build), own) in engines.iter_mut().zip(builds).zip(&rates) {
        let mut answers = Neighbours { k: what.k, ids: vec![u32::MAX; data.queries.rows() * what.k] };
        engine.search(&data.queries, search, &mut answers.ids)?;
        let ratios: Vec<f64> = own.iter().zip(&rates[0]).map(|(own, first)| own / first).collect();
        reports.push(InsertReport {
            name: engine.name(),
            details: engine.details()?,
            build,
            rows_per_second: median(own),
            rows_per_second_min: own.iter().copied().fold(f64::INFINITY, f64::min),
            rows_per_second_max: own.iter().copied().fold(0.0, f64::max),
            ratio_to_first: median(&ratios),
            recall_after: judge.recall(engine.name(), &answers)?,
        });
    }
    Ok(reports)
}

pub(crate) fn print_table(reports: &[InsertReport], ef: usize) {
    let Some(first) = reports.first() else { return };
    let against = format!("of {}", first.name);
    let checked = format!("recall at ef {ef}");
    println!("{:8} {:>9} {:>9} {:>9} {against:>12} {checked:>17}", "engine", "rows/s", "min", "max");
    for report in reports {
        println!(
            "{:8} {:>9.0} {:>9.0} {:>9.0} {:>12.2} {:>17.4}",
            report.name,
            report.rows_per_second,
            report.rows_per_second_min,
            report.rows_per_second_max,
            report.ratio_to_first,
            report.recall_after
        );
    }
}
