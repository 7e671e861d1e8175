//! The object that bars read.

use std::collections::BTreeMap;
use std::io::{self, Write};

use redknot::{CollectionInfo, Database};
use serde::Serialize;

use super::Args;
use super::interpolate::{Point, at_recall, front};
use super::plot::Series;
use super::sweep::Measured;
use crate::cli::output::{self, Report, count, rate};

/// What a benchmark measured, and on what.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Bench {
    file: String,
    /// The commit that this program was built from, where the build said so (`REDKNOT_COMMIT`).
    commit: Option<&'static str>,
    version: &'static str,
    pub(super) collection: String,
    pub(super) rows: u64,
    dim: usize,
    metric: String,
    element: String,
    m: usize,
    ef_construction: usize,
    /// Rows that were imported and not linked: every search looked at each of them.
    unlinked: u64,
    query_file: String,
    gt_file: Option<String>,
    pub(super) queries: usize,
    pub(super) k: usize,
    threads: usize,
    /// Queries of one call.
    batch: usize,
    rounds: usize,
    file_bytes: Option<u64>,
    cache_bytes: usize,
    /// `Anonymous` of /proc/self/smaps_rollup, the most seen after any pass; queries and answers are in it.
    peak_private_bytes: Option<u64>,
    policies: BTreeMap<&'static str, PolicyResult>,
}

#[derive(Debug, Serialize)]
struct PolicyResult {
    points: Vec<Point>,
    /// By recall level; null where no two points bracket it.
    at_recall: BTreeMap<String, Option<Point>>,
    /// What asking for a recall level gave.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    asked: BTreeMap<String, Point>,
}

/// Which policy a ladder belongs to, and what of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Curve {
    /// Rising efforts.
    Swept(&'static str),
    /// One point for each recall level that was asked for.
    Asked(&'static str),
}

impl Bench {
    pub(super) fn new(
        args: &Args,
        database: &Database,
        info: &CollectionInfo,
        queries: usize,
        curves: Vec<Curve>,
        measured: Measured,
    ) -> Self {
        let mut policies: BTreeMap<&'static str, PolicyResult> = BTreeMap::new();
        for (curve, points) in curves.into_iter().zip(measured.points) {
            let levels = args.recalls.iter();
            match curve {
                Curve::Swept(policy) => {
                    let front = front(&points);
                    let at_recall =
                        levels.map(|&level| (level.to_string(), at_recall(&points, &front, level))).collect();
                    let asked = BTreeMap::new();
                    policies.insert(policy, PolicyResult { points, at_recall, asked });
                }
                Curve::Asked(policy) => {
                    if let Some(result) = policies.get_mut(policy) {
                        result.asked = levels.map(f64::to_string).zip(points).collect();
                    }
                }
            }
        }
        Self {
            file: args.database.file.display().to_string(),
            commit: option_env!("REDKNOT_COMMIT"),
            version: env!("CARGO_PKG_VERSION"),
            collection: info.name.clone(),
            rows: info.rows,
            dim: info.config.dim,
            metric: info.config.metric.to_string(),
            element: info.config.element.to_string(),
            m: info.config.m,
            ef_construction: info.config.ef_construction,
            unlinked: info.unlinked,
            query_file: args.queries.display().to_string(),
            gt_file: args.gt.as_ref().map(|path| path.display().to_string()),
            queries,
            k: args.k,
            threads: args.threads.get(),
            batch: args.batch.get(),
            rounds: args.rounds.get(),
            file_bytes: database.stats().ok().map(|stats| stats.file_bytes),
            cache_bytes: args.database.cache_mib.saturating_mul(1 << 20),
            peak_private_bytes: measured.peak_private_bytes,
            policies,
        }
    }

    /// The curve of each policy.
    pub(super) fn series(&self) -> Vec<Series<'_>> {
        self.policies.iter().map(|(name, result)| Series { name, points: &result.points }).collect()
    }
}

impl Report for Bench {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}: {} rows, {} × {} {}, {} queries, k = {}, {} thread(s), {} a call, medians of {} rounds",
            self.collection,
            count(self.rows),
            self.dim,
            self.element,
            self.metric,
            count(self.queries as u64),
            self.k,
            self.threads,
            self.batch,
            self.rounds
        )?;
        if self.unlinked > 0 {
            writeln!(
                out,
                "{} rows are not linked and are scanned: run `redknot build`",
                count(self.unlinked)
            )?;
        }
        for (name, result) in &self.policies {
            let disk = result.points().any(|point| point.disk.is_some_and(|disk| disk.read_bytes > 0.0));
            let mut header =
                vec!["", "effort", "recall", "queries/s", "p50 µs", "p99 µs", "distances", "keys", "hops"];
            if disk {
                header.extend(["KiB read", "waits"]);
            }
            let cells = |label: &str, point: &Point| cells(label, point, disk);
            let mut table = output::table(&header, &[0]);
            for point in &result.points {
                table.add_row(cells(name, point));
            }
            for (level, point) in &result.at_recall {
                let label = format!("at {level}");
                match point {
                    Some(point) => table.add_row(cells(&label, point)),
                    None => table.add_row([label.as_str(), "-", "not bracketed by the points"]),
                };
            }
            for (level, point) in &result.asked {
                table.add_row(cells(&format!("asked {level}"), point));
            }
            writeln!(out, "{}", table.trim_fmt())?;
        }
        match self.peak_private_bytes {
            Some(peak) => writeln!(out, "private memory while searching: at most {}", output::bytes(peak)),
            None => Ok(()),
        }
    }
}

impl PolicyResult {
    fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().chain(self.asked.values())
    }
}

/// A line of the table, with what was read from disks where that is told.
fn cells(label: &str, point: &Point, disk: bool) -> Vec<String> {
    let mut cells = vec![
        label.to_owned(),
        if point.effort < 10.0 { format!("{:.3}", point.effort) } else { format!("{:.0}", point.effort) },
        format!("{:.4}", point.recall),
        rate(point.qps),
        format!("{:.0}", point.p50_us),
        format!("{:.0}", point.p99_us),
        format!("{:.0}", point.distances),
        format!("{:.0}", point.key_scores),
        format!("{:.0}", point.hops),
    ];
    if disk {
        let told = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1}"));
        cells.push(told(point.disk.map(|disk| disk.read_bytes / 1024.0)));
        cells.push(told(point.disk.map(|disk| disk.major_faults)));
    }
    cells
}
