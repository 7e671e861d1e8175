//! The index against looking at every row, both held against the exact answers.

use std::path::Path;

use redknot::Database;

use super::data::Data;
use super::{COLLECTION, K, Stage};
use crate::cli::bench::interpolate::Point;
use crate::cli::bench::measure::{Calls, Costs, Effort, Pass, pass};
use crate::cli::bench::plot::{self, Series};
use crate::cli::error::CliError;
use crate::cli::output::{rate, table};

/// Efforts shown.
const EFFORTS: [usize; 5] = [10, 20, 40, 80, 160];

/// Times each effort is measured; the fastest counts, as a demo has no time for medians of many.
const ROUNDS: usize = 3;

/// What was measured.
pub(super) struct Speeds {
    pub(super) exact_qps: f64,
    pub(super) exact_recall: f64,
    pub(super) points: Vec<Point>,
}

/// Answers the queries exactly and through the graph, on one thread.
pub(super) fn measure(
    database: &Database,
    data: &Data,
    quick: bool,
    stage: &mut Stage,
) -> Result<Speeds, CliError> {
    stage.title("4. Recall and speed: the graph against looking at every row, one thread");
    let read = database.begin_read()?;
    let collection = read.open_collection_named::<u64, &'static str>(COLLECTION)?;
    let (queries, truth) = data.questions(&collection, quick)?;
    let one_pass = |effort| -> Result<Pass<u64>, CliError> {
        let mut best = pass(&collection, &queries, K, effort, Calls::ONE)?;
        for _ in 1..if effort == Effort::Exact { 1 } else { ROUNDS } {
            let again = pass(&collection, &queries, K, effort, Calls::ONE)?;
            if again.speed().qps > best.speed().qps {
                best = again;
            }
        }
        Ok(best)
    };
    let recall = |pass: &Pass<u64>| truth.recall(&collection, &queries, &pass.results);

    let exact = one_pass(Effort::Exact)?;
    let (exact_qps, exact_recall) = (exact.speed().qps, recall(&exact)?);
    let mut shown = table(&["", "recall@10", "queries/s", "× exact", "distances a query"], &[0]);
    shown.add_row([
        "  every row".to_owned(),
        format!("{exact_recall:.4}"),
        rate(exact_qps),
        "1.0".to_owned(),
        rate(exact.costs().distances),
    ]);
    let mut points = Vec::new();
    for ef in EFFORTS {
        let pass = one_pass(Effort::Ef(ef))?;
        let point = point(ef, recall(&pass)?, &pass);
        shown.add_row([
            format!("  ef = {ef}"),
            format!("{:.4}", point.recall),
            rate(point.qps),
            format!("{:.1}", point.qps / exact_qps),
            rate(point.distances),
        ]);
        points.push(point);
    }
    stage.say(format_args!("{}", shown.trim_fmt()));
    let answered = queries.len();
    stage.check(
        format_args!("looking at every row gives the exact answer to {answered} of {answered} queries"),
        exact_recall == 1.0,
    );
    let best = points.iter().map(|point| point.recall).fold(0.0, f64::max);
    stage.check(format_args!("the graph reaches recall 0.98 (it reached {best:.4})"), best >= 0.98);
    Ok(Speeds { exact_qps, exact_recall, points })
}

fn point(ef: usize, recall: f64, pass: &Pass<u64>) -> Point {
    let speed = pass.speed();
    let Costs { distances, hops, key_scores } = pass.costs();
    Point {
        effort: ef as f64,
        setting: Effort::Ef(ef),
        recall,
        qps: speed.qps,
        p50_us: speed.p50_us,
        p99_us: speed.p99_us,
        distances,
        key_scores,
        hops,
        disk: speed.reads,
    }
}

impl Speeds {
    /// Draws the curve, with the exact search as a point of its own; returns where.
    pub(super) fn draw(&self, path: &Path) -> Result<String, CliError> {
        let exact = Point {
            effort: 0.0,
            setting: Effort::Exact,
            recall: self.exact_recall,
            qps: self.exact_qps,
            p50_us: 0.0,
            p99_us: 0.0,
            distances: 0.0,
            key_scores: 0.0,
            hops: 0.0,
            disk: None,
        };
        let series =
            [Series { name: "graph", points: &self.points }, Series { name: "every row", points: &[exact] }];
        plot::draw(path, "12,000 definitions: recall@10 against queries/s, one thread", &series)?;
        Ok(path.display().to_string())
    }
}
