//! The cost of a recall level that lies between two measured ones.

#[cfg(feature = "routing")]
use super::measure::Effort;
pub(in crate::cli) use super::sweep::Point;

/// The point at `recall`, between the two neighbouring points of a front that bracket it; `None` where none do. Linear in
/// recall; queries/s through its inverse, the time a query takes. Where only points that are not on the front bracket
/// `recall` from below, its first point is the answer, with its own recall.
pub(super) fn at_recall(points: &[Point], front: &[Point], recall: f64) -> Option<Point> {
    if !points.iter().any(|point| point.recall <= recall) {
        return None;
    }
    let above = front.iter().position(|point| point.recall >= recall)?;
    match above {
        0 => Some(front[0]),
        _ if front[above].recall == recall => Some(front[above]),
        _ => Some(between(&front[above - 1], &front[above], recall)),
    }
}

/// The points that searches would be made with, by rising recall: those that a calibration would keep had it measured them.
/// Without calibrations, those that no other one beats in both recall and queries/s.
pub(super) fn front(points: &[Point]) -> Vec<Point> {
    #[cfg(feature = "routing")]
    if let Some(front) = calibrated_front(points) {
        return front;
    }
    let mut points = points.to_vec();
    points.sort_by(|a, b| b.recall.total_cmp(&a.recall).then(b.qps.total_cmp(&a.qps)));
    let mut fastest = f64::NEG_INFINITY;
    points.retain(|point| {
        let keep = point.qps > fastest;
        fastest = fastest.max(point.qps);
        keep
    });
    points.reverse();
    points
}

/// `None` where some points are made with no plan that a calibration has.
#[cfg(feature = "routing")]
fn calibrated_front(points: &[Point]) -> Option<Vec<Point>> {
    use redknot::routing::{Figures, Measured, Plan, worth_considering};

    let plan = |point: &Point| match point.setting {
        Effort::Greedy(ef) => Some(Plan::Greedy(ef)),
        Effort::Routed(effort) => Some(Plan::Routed(effort)),
        _ => None,
    };
    let measured = |point: &Point| {
        let figures = Figures {
            recall: point.recall,
            recall_error: 0.0,
            micros: 1e6 / point.qps,
            distances: point.distances,
            key_scores: point.key_scores,
            hops: point.hops,
        };
        Some(Measured { plan: plan(point)?, figures })
    };
    let front = worth_considering(points.iter().map(measured).collect::<Option<_>>()?);
    let of = |kept: &Measured| points.iter().find(|point| plan(point) == Some(kept.plan)).copied();
    front.iter().map(of).collect()
}

fn between(low: &Point, high: &Point, recall: f64) -> Point {
    let t = (recall - low.recall) / (high.recall - low.recall);
    let between = |low: f64, high: f64| low + t * (high - low);
    let mix = |get: fn(&Point) -> f64| between(get(low), get(high));
    Point {
        effort: mix(|point| point.effort),
        setting: high.setting,
        recall,
        qps: 1.0 / mix(|point| 1.0 / point.qps),
        p50_us: mix(|point| point.p50_us),
        p99_us: mix(|point| point.p99_us),
        distances: mix(|point| point.distances),
        key_scores: mix(|point| point.key_scores),
        hops: mix(|point| point.hops),
        disk: low.disk.zip(high.disk).map(|(low, high)| low.with(high, between)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::Effort;
    use super::*;
    use crate::cli::disk::Reads;

    fn at_recall(points: &[Point], recall: f64) -> Option<Point> {
        super::at_recall(points, &front(points), recall)
    }

    fn point(effort: f64, recall: f64, qps: f64) -> Point {
        let (p50_us, p99_us) = (1e6 / qps, 2e6 / qps);
        let setting = Effort::Greedy(effort as usize);
        Point {
            effort,
            setting,
            recall,
            qps,
            p50_us,
            p99_us,
            distances: effort * 10.0,
            key_scores: 0.0,
            hops: effort,
            disk: Some(Reads { read_bytes: effort * 4096.0, major_faults: effort }),
        }
    }

    #[test]
    fn a_level_between_two_points_is_interpolated() {
        let points = [point(10.0, 0.8, 10_000.0), point(20.0, 0.9, 5_000.0), point(40.0, 1.0, 2_500.0)];
        let half = at_recall(&points, 0.85).unwrap();
        assert!((half.effort - 15.0).abs() < 1e-9 && (half.distances - 150.0).abs() < 1e-9, "{half:?}");
        // 100 µs and 200 µs a query: 150 µs.
        assert!((half.qps - 1e6 / 150.0).abs() < 1e-6 && (half.p50_us - 150.0).abs() < 1e-9, "{half:?}");
        let disk = half.disk.unwrap();
        assert!((disk.read_bytes - 15.0 * 4096.0).abs() < 1e-6, "{disk:?}");
        assert!((disk.major_faults - 15.0).abs() < 1e-9, "{disk:?}");
        assert_eq!(at_recall(&points, 0.9).unwrap().effort, 20.0);
        assert!(at_recall(&points, 0.79).is_none());
    }

    #[test]
    fn points_that_another_beats_are_passed_over() {
        let points = [point(10.0, 0.8, 10_000.0), point(15.0, 0.82, 4_000.0), point(20.0, 0.9, 5_000.0)];
        assert!((at_recall(&points, 0.85).unwrap().effort - 15.0).abs() < 1e-9);
        // Where the point with the lowest recall is slower than the next, the next is the way to reach 0.81.
        let points = [point(10.0, 0.8, 4_000.0), point(15.0, 0.82, 6_000.0), point(20.0, 0.9, 5_000.0)];
        let at = at_recall(&points, 0.81).unwrap();
        assert_eq!((at.effort, at.recall), (15.0, 0.82));
        assert!(at_recall(&points, 0.79).is_none());
    }

    /// Efforts whose times are what their counts take, but for one of which another program took half; and one that takes
    /// five times the distances for nothing.
    #[cfg(feature = "routing")]
    #[test]
    fn noise_does_not_choose_between_points() {
        let routed = |number: usize, hops: f64, distances: f64| {
            let micros = (5.0 + hops / 2.0 + distances / 10.0) * if number == 6 { 2.0 } else { 1.0 };
            let gamma = 1.0 + number as f32 / 100.0;
            let recall = 0.8 + 0.015 * number as f64;
            let setting = Effort::Routed(redknot::routing::Effort { gamma, ..Default::default() });
            Point { setting, distances, hops, ..point(gamma.into(), recall, 1e6 / micros) }
        };
        let mut points: Vec<Point> =
            (0..12).map(|number| routed(number, 20.0 + 3.0 * number as f64, 30.0)).collect();
        points[4] = routed(4, 32.0, 150.0);
        let numbers: Vec<usize> =
            front(&points).iter().map(|point| ((point.recall - 0.8) / 0.015).round() as usize).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]);
        let at = at_recall(&points, points[6].recall).unwrap();
        assert!((at.qps - points[6].qps).abs() < 1e-9, "speeds stay as they were measured");
        // The same of greedy search: both are compared by one rule.
        let greedy = |(ef, point): (usize, &Point)| Point { setting: Effort::Greedy(ef), ..*point };
        let greedy: Vec<Point> = points.iter().enumerate().map(greedy).collect();
        assert_eq!(front(&greedy).len(), 11);
    }

    #[test]
    fn a_level_beyond_the_points_has_no_cost() {
        assert!(at_recall(&[point(10.0, 0.97, 1.0)], 0.99).is_none());
        assert!(at_recall(&[], 0.5).is_none());
    }
}
