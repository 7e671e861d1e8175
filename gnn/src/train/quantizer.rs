//! The quantiser of coordinates: 2-bit slots, filled like water.

use crate::routing::Slot;

use super::matrix::Matrix;

/// Steps that are tried for a slot, in standard deviations of what is left of its coordinate.
const STEPS: [f32; 10] = [0.2, 0.25, 0.3, 0.37, 0.45, 0.55, 0.7, 0.85, 1.0, 1.1];
/// A slot of a coordinate without variance has this step, in units of the coordinate: any positive number serves.
const SMALLEST_STEP: f32 = 1e-12;

/// The level of 0..=3 that stands for `x`, less 1.5.
#[inline(always)]
pub(super) fn nearest_level(x: f32, step: f32) -> f32 {
    // Without a division and without rounding, so that loops over many are compiled to vector instructions.
    let reached = |border: f32| f32::from(u8::from(x >= border));
    reached(-step) + reached(0.0) + reached(step) - 1.5
}

/// The slots that lose the least of the coordinates of `sample`: each goes to the coordinate with the largest variance
/// left, with the step that leaves the least of it.
pub(super) fn fill_slots(sample: &Matrix, slots: usize) -> Vec<Slot> {
    // A row per coordinate: what the slots so far have left of it.
    let mut left = sample.transposed();
    let mut variances: Vec<f32> = left.iter().map(mean_square).collect();
    (0..slots)
        .map(|_| {
            let largest =
                (0..variances.len()).max_by(|&a, &b| variances[a].total_cmp(&variances[b]).then(b.cmp(&a)));
            let coordinate = largest.unwrap_or(0);
            let row = left.row_mut(coordinate);
            let step = best_step(row, variances[coordinate].sqrt());
            row.iter_mut().for_each(|x| *x -= nearest_level(*x, step) * step);
            // A slot that helps no further must not be chosen for ever.
            variances[coordinate] = mean_square(row).min(variances[coordinate] * 0.9999);
            Slot { coordinate: coordinate as u16, step }
        })
        .collect()
}

fn best_step(values: &[f32], deviation: f32) -> f32 {
    let error =
        |step: f32| -> f32 { values.iter().map(|&x| (x - nearest_level(x, step) * step).powi(2)).sum() };
    let steps = STEPS.iter().map(|step| (step * deviation).max(SMALLEST_STEP));
    let best = steps.map(|step| (step, error(step))).min_by(|a, b| a.1.total_cmp(&b.1));
    best.map_or(SMALLEST_STEP, |(step, _)| step)
}

fn mean_square(values: &[f32]) -> f32 {
    values.iter().map(|x| x * x).sum::<f32>() / values.len().max(1) as f32
}

/// Writes what the slots keep of `coordinates` to `kept`.
pub(super) fn reconstruct(slots: &[Slot], coordinates: &[f32], kept: &mut [f32]) {
    kept.fill(0.0);
    for slot in slots {
        let at = usize::from(slot.coordinate);
        kept[at] += nearest_level(coordinates[at] - kept[at], slot.step) * slot.step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::vectors::squared_distance;

    fn sample() -> Matrix {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut sample = Matrix::zeros(2000, 6);
        for row in 0..sample.rows {
            for (at, x) in sample.row_mut(row).iter_mut().enumerate() {
                *x = (rng.f32() + rng.f32() - 1.0) * 4.0 / (1.0 + at as f32);
            }
        }
        sample
    }

    #[test]
    fn each_slot_reduces_the_error() {
        let sample = sample();
        let slots = fill_slots(&sample, 20);
        let mut kept = vec![0.0; sample.cols];
        let errors: Vec<f32> = (0..=slots.len())
            .map(|count| {
                let of = |row: &[f32]| {
                    reconstruct(&slots[..count], row, &mut kept);
                    squared_distance(row, &kept)
                };
                sample.iter().map(of).sum()
            })
            .collect();
        assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{errors:?}");
        assert!(errors[20] < errors[0] * 0.01, "{errors:?}");
    }

    #[test]
    fn wide_coordinates_get_more_slots() {
        let slots = fill_slots(&sample(), 12);
        let count = |at| slots.iter().filter(|slot| slot.coordinate == at).count();
        assert_eq!(slots[0].coordinate, 0);
        assert!(count(0) > count(5), "{slots:?}");
    }

    #[test]
    fn coordinates_without_variance_are_quantised_to_about_nothing() {
        let slots = fill_slots(&Matrix::zeros(300, 2), 9);
        let mut kept = [1.0; 2];
        reconstruct(&slots, &[0.0, 0.0], &mut kept);
        assert!(slots.iter().all(|slot| slot.step > 0.0) && kept.iter().all(|x| x.abs() < 1e-9));
    }
}
