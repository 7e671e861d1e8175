//! The cost of a recall level that lies between two measured ones.

pub(in crate::cli) use super::sweep::Point;

/// The point at `recall`, between the two neighbouring points that bracket it; `None` where none do. Linear in recall;
/// queries/s through its inverse, the time a query takes. Points that another one beats in both recall and queries/s are
/// passed over: nobody would search like that. Where only such points bracket `recall` from below, the fastest point
/// that finds more is the answer, with its own recall.
pub(super) fn at_recall(points: &[Point], recall: f64) -> Option<Point> {
    if !points.iter().any(|point| point.recall <= recall) {
        return None;
    }
    let front = front(points);
    let above = front.iter().position(|point| point.recall >= recall)?;
    match above {
        0 => Some(front[0]),
        _ if front[above].recall == recall => Some(front[above]),
        _ => Some(between(&front[above - 1], &front[above], recall)),
    }
}

/// The points that no other one beats, by rising recall.
fn front(points: &[Point]) -> Vec<Point> {
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

    #[test]
    fn a_level_beyond_the_points_has_no_cost() {
        assert!(at_recall(&[point(10.0, 0.97, 1.0)], 0.99).is_none());
        assert!(at_recall(&[], 0.5).is_none());
    }
}
