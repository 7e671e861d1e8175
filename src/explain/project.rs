//! A plane to draw vectors in.

/// Axes are found from at most this many rows.
const SAMPLE: usize = 2000;
/// Power iterations, at most.
const ITERATIONS: usize = 100;
/// An axis that turns by less than this (as 1 − cos) is found.
const TURN: f64 = 1e-9;

/// Rows in a plane.
#[derive(Debug, PartialEq)]
pub(super) struct Plane {
    /// A point for each row.
    pub(super) points: Vec<[f32; 2]>,
    /// Share of the rows' squared lengths that the plane shows.
    pub(super) share: f64,
}

/// The rows of `rows` (each of `dim` numbers, the origin subtracted) in the plane through the origin that shows most of
/// their squared lengths: that of the two first principal axes about the origin, found by power iteration. What the
/// plane does not show is left in `rows`.
pub(super) fn project(rows: &mut [f32], dim: usize) -> Plane {
    let squares = |rows: &[f32]| rows.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    let total = squares(rows);
    let mut points = vec![[0.0; 2]; rows.len() / dim];
    for place in 0..2 {
        let Some(axis) = principal_axis(rows, dim) else { break };
        for (row, point) in rows.chunks_exact_mut(dim).zip(&mut points) {
            let along = dot(row, &axis);
            point[place] = along as f32;
            row.iter_mut().zip(&axis).for_each(|(x, a)| *x = (f64::from(*x) - along * a) as f32);
        }
    }
    let share = if total > 0.0 { 1.0 - squares(rows) / total } else { 1.0 };
    Plane { points, share: share.clamp(0.0, 1.0) }
}

/// The direction in which the rows reach farthest, its largest component positive; `None` where all are zero.
fn principal_axis(rows: &[f32], dim: usize) -> Option<Vec<f64>> {
    let step = (rows.len() / dim).div_ceil(SAMPLE).max(1);
    let sample = || rows.chunks_exact(dim).step_by(step);
    let length = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    let longest = sample().max_by(|a, b| length(a).total_cmp(&length(b)))?;
    let mut axis = unit(longest.iter().map(|x| f64::from(*x)).collect())?;
    for _ in 0..ITERATIONS {
        let mut next = vec![0.0; dim];
        for row in sample() {
            let along = dot(row, &axis);
            next.iter_mut().zip(row).for_each(|(sum, x)| *sum += along * f64::from(*x));
        }
        let Some(next) = unit(next) else { break };
        let cosine: f64 = next.iter().zip(&axis).map(|(a, b)| a * b).sum();
        axis = next;
        if 1.0 - cosine < TURN {
            break;
        }
    }
    // An axis has no sign of its own; the picture should not depend on where the iteration began.
    let largest = axis.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
    axis.iter_mut().for_each(|x| *x *= largest.signum());
    Some(axis)
}

fn dot(row: &[f32], axis: &[f64]) -> f64 {
    row.iter().zip(axis).map(|(x, a)| f64::from(*x) * a).sum()
}

fn unit(mut vector: Vec<f64>) -> Option<Vec<f64>> {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
    (length > 0.0 && length.is_finite()).then_some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plane_shows_what_lies_in_it_and_says_how_much_does_not() {
        // 3 in the first direction, 2 in the third, 1 in the second.
        let rows = [[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, -2.0], [0.0, 1.0, 0.0]];
        let plane = project(&mut rows.concat(), 3);
        for (point, row) in plane.points.iter().zip(rows) {
            assert!((point[0] - row[0]).abs() < 1e-4 && (point[1] - row[2]).abs() < 1e-4, "{plane:?}");
        }
        assert!((plane.share - 26.0 / 27.0).abs() < 1e-6, "{}", plane.share);
    }

    #[test]
    fn few_and_zero_rows_have_a_plane_too() {
        assert_eq!(project(&mut [], 3), Plane { points: vec![], share: 1.0 });
        assert_eq!(project(&mut [0.0; 6], 3).points, [[0.0; 2]; 2]);
        let plane = project(&mut [-4.0], 1);
        assert_eq!((plane.points, plane.share), (vec![[-4.0, 0.0]], 1.0));
        let far = project(&mut [3e38, 3e38, -3e38, -3e38], 2);
        assert!(far.points.iter().flatten().all(|x| !x.is_nan()), "{far:?}");
    }

    #[test]
    fn points_are_no_farther_apart_than_rows() {
        let mut rng = fastrand::Rng::with_seed(8);
        let rows: Vec<f32> = (0..300 * 20).map(|at| (rng.f32() - 0.3) / (1 + at % 20) as f32).collect();
        let plane = project(&mut rows.clone(), 20);
        for (row, point) in rows.chunks_exact(20).zip(&plane.points) {
            let [long, short] = [row, point].map(|v| v.iter().map(|x| x * x).sum::<f32>().sqrt());
            assert!(short <= long * 1.0001);
        }
        assert!(plane.share > 0.5 && plane.share < 1.0, "{}", plane.share);
    }
}
