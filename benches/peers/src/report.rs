//! What a search comparison says: a table for people, JSON for programs.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Serialize;

use crate::cache::Built;
use crate::recall::Bracket;
use crate::rounds::Point;

/// The outcome for one engine.
#[derive(Serialize)]
pub(crate) struct EngineReport {
    pub(crate) name: &'static str,
    pub(crate) details: String,
    pub(crate) build: Built,
    points: Vec<PointReport>,
    /// By recall target; null where no two measured points bracket it.
    at_recall: BTreeMap<String, Option<AtRecall>>,
}

#[derive(Serialize)]
struct PointReport {
    ef: usize,
    recall: f64,
    /// Median, least and greatest queries per second over the rounds.
    qps: f64,
    qps_min: f64,
    qps_max: f64,
}

/// Log-linear between the two measured points that bracket the recall; medians over the rounds.
#[derive(Clone, Copy, Serialize)]
struct AtRecall {
    ef: f64,
    qps: f64,
    /// Queries per second over those of the first engine in the same round.
    ratio_to_first: Option<f64>,
}

/// Builds the reports; the first engine is the one that ratios refer to.
pub(crate) fn reports(
    engines: Vec<(&'static str, String, Built)>,
    measured: &[Vec<Point>],
    targets: &[f64],
) -> Vec<EngineReport> {
    let first = measured.first().map(Vec::as_slice).unwrap_or_default();
    let report = |((name, details, build), points): ((&'static str, String, Built), &Vec<Point>)| {
        let at = targets.iter().map(|&target| (target.to_string(), at_recall(points, first, target)));
        let at_recall = at.collect();
        EngineReport { name, details, build, points: points.iter().map(point_report).collect(), at_recall }
    };
    engines.into_iter().zip(measured).map(report).collect()
}

fn point_report(point: &Point) -> PointReport {
    PointReport {
        ef: point.ef,
        recall: median(&point.recalls),
        qps: median(&point.qps),
        qps_min: point.qps.iter().copied().fold(f64::INFINITY, f64::min),
        qps_max: point.qps.iter().copied().fold(0.0, f64::max),
    }
}

fn at_recall(points: &[Point], first: &[Point], target: f64) -> Option<AtRecall> {
    let bracket = |points: &[Point]| {
        let recalls: Vec<f64> = points.iter().map(|point| median(&point.recalls)).collect();
        Bracket::find(&recalls, target)
    };
    let by_round = |points: &[Point], bracket: Bracket| -> Vec<f64> {
        (0..points[0].qps.len()).map(|round| bracket.interpolate(|point| points[point].qps[round])).collect()
    };
    let here = bracket(points)?;
    let qps = by_round(points, here);
    let ratio_to_first = bracket(first).map(|there| {
        let ratios: Vec<f64> = qps.iter().zip(by_round(first, there)).map(|(a, b)| a / b).collect();
        median(&ratios)
    });
    let ef = here.interpolate(|point| points[point].ef as f64);
    Some(AtRecall { ef, qps: median(&qps), ratio_to_first })
}

/// The middle value, or the mean of the two middle ones; there is at least one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

pub(crate) fn print_table(reports: &[EngineReport]) {
    let Some(first) = reports.first() else { return };
    for report in reports {
        let build = &report.build;
        let kept = if build.cached { " (kept from an earlier run)" } else { "" };
        let (seconds, threads, mib) = (build.seconds, build.threads, build.bytes >> 20);
        println!(
            "{:8} {}; built in {seconds:.1} s with {threads} threads, {mib} MiB{kept}",
            report.name, report.details
        );
    }
    println!("\n{:8} {:>5} {:>8} {:>9} {:>9} {:>9}", "engine", "ef", "recall", "qps", "min", "max");
    for report in reports {
        for PointReport { ef, recall, qps, qps_min, qps_max } in &report.points {
            println!("{:8} {ef:>5} {recall:>8.4} {qps:>9.0} {qps_min:>9.0} {qps_max:>9.0}", report.name);
        }
    }
    println!(
        "\n{:8} {:>8} {:>7} {:>9} {:>12}",
        "engine",
        "recall",
        "ef",
        "qps",
        format!("of {}", first.name)
    );
    for report in reports {
        for (target, at) in &report.at_recall {
            match at {
                Some(AtRecall { ef, qps, ratio_to_first }) => {
                    let ratio = ratio_to_first.map_or("–".into(), |ratio| format!("{ratio:.2}"));
                    println!("{:8} {target:>8} {ef:>7.0} {qps:>9.0} {ratio:>12}", report.name);
                }
                None => println!("{:8} {target:>8} {:>7} {:>9} {:>12}", report.name, "–", "–", "–"),
            }
        }
    }
}

/// The commit that the sources stand at, `-dirty` where they differ from it; empty outside a git checkout.
pub(crate) fn commit() -> String {
    let describe = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--abbrev=12"];
    let output = Command::new("git").args(describe).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The machine's load averages; empty where the system does not tell.
pub(crate) fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy::Neighbours;

    fn point(ef: usize, recall: f64, qps: &[f64]) -> Point {
        Point { ef, recalls: vec![recall], qps: qps.to_vec(), answers: Neighbours { k: 1, ids: vec![0] } }
    }

    #[test]
    fn ratios_pair_rounds_and_medians_are_taken_last() {
        let reference = [point(10, 0.90, &[100.0, 200.0, 50.0]), point(20, 0.99, &[100.0, 200.0, 50.0])];
        // Always twice the reference of the same round, whose own speed drifts fourfold.
        let twice = [point(16, 0.94, &[200.0, 400.0, 100.0]), point(32, 0.96, &[200.0, 400.0, 100.0])];
        let at = at_recall(&twice, &reference, 0.95).unwrap();
        assert!((at.ratio_to_first.unwrap() - 2.0).abs() < 1e-9);
        assert!((at.qps - 200.0).abs() < 1e-9);
        assert!((at.ef - 16.0 * 2f64.sqrt()).abs() < 1e-6);
        assert!(at_recall(&twice, &reference, 0.97).is_none());
    }

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
