//! What the parts of a search take, fitted to noisy times.

use super::{Figures, Measured};

/// The time of a query as a sum over what it counts: one number for the query itself, and one for each hop, key score and
/// distance. None is negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost([f64; PARTS]);

const PARTS: usize = 4;
/// Fewer measurements say less than their own times do.
const ENOUGH: usize = 2 * PARTS;
/// A time this far off, as a share of what is expected, counts in proportion to the distance, no longer to its square:
/// another program ran meanwhile.
const OUTLIER: f64 = 0.05;
/// Rounds of reweighting, and sweeps over the parts in each.
const ROUNDS: usize = 20;
const SWEEPS: usize = 200;

impl Cost {
    /// Fitted to plans of one kind; `None` where these are too few.
    ///
    /// Least squares of relative errors, with outliers weighted down (Huber 1964) and parts kept at 0 or above by
    /// coordinate descent.
    pub(super) fn fit(measured: &[Measured]) -> Option<Cost> {
        let points: Vec<([f64; PARTS], f64)> = measured
            .iter()
            .map(|point| (parts(&point.figures), point.figures.micros))
            .filter(|(_, micros)| *micros > 0.0)
            .collect();
        if points.len() < ENOUGH {
            return None;
        }
        let mut cost = Cost([0.0; PARTS]);
        let mut weights = vec![1.0; points.len()];
        for _ in 0..ROUNDS {
            for _ in 0..SWEEPS {
                (0..PARTS).for_each(|part| cost.improve(part, &points, &weights));
            }
            for (weight, (counts, micros)) in weights.iter_mut().zip(&points) {
                let error = (cost.of(counts) / micros - 1.0).abs();
                *weight = OUTLIER / error.max(OUTLIER);
            }
        }
        Some(cost)
    }

    /// The same times a factor, so that half of these plans took no more than it says; but no less.
    pub(super) fn raised_to(self, measured: &[Measured]) -> Cost {
        let over = |point: &Measured| point.figures.micros / self.micros(&point.figures);
        let mut factors: Vec<f64> = measured.iter().map(over).filter(|factor| factor.is_finite()).collect();
        factors.sort_unstable_by(f64::total_cmp);
        let factor = factors.get(factors.len() / 2).map_or(1.0, |median| median.max(1.0));
        Cost(self.0.map(|part| part * factor))
    }

    /// Microseconds of a query with these counts.
    pub(super) fn micros(&self, figures: &Figures) -> f64 {
        self.of(&parts(figures))
    }

    fn of(&self, counts: &[f64; PARTS]) -> f64 {
        self.0.iter().zip(counts).map(|(cost, count)| cost * count).sum()
    }

    /// The best value of one part while the others stay.
    fn improve(&mut self, part: usize, points: &[([f64; PARTS], f64)], weights: &[f64]) {
        let (mut product, mut square) = (0.0, 0.0);
        for ((counts, micros), weight) in points.iter().zip(weights) {
            let share = counts[part] / micros;
            let missing = 1.0 - (self.of(counts) - self.0[part] * counts[part]) / micros;
            product += weight * share * missing;
            square += weight * share * share;
        }
        if square > 0.0 {
            self.0[part] = (product / square).max(0.0);
        }
    }
}

fn parts(figures: &Figures) -> [f64; PARTS] {
    [1.0, figures.hops, figures.key_scores, figures.distances]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::Plan;

    fn measured(noise: impl Fn(usize) -> f64) -> Vec<Measured> {
        let figures = |i: usize| {
            let (hops, distances) = (10.0 + 2.0 * i as f64, [20.0, 40.0, 60.0][i % 3]);
            let figures = Figures { hops, distances, key_scores: 20.0 * hops.sqrt(), ..Figures::default() };
            let micros = 5.0 + 0.5 * figures.hops + 0.02 * figures.key_scores + 0.1 * figures.distances;
            Figures { micros: micros * noise(i), ..figures }
        };
        (0..30).map(|i| Measured { plan: Plan::Greedy(1), figures: figures(i) }).collect()
    }

    #[test]
    fn exact_times_are_explained_and_outliers_are_not_followed() {
        let exact = measured(|_| 1.0);
        for measured in [exact.clone(), measured(|i| if i % 5 == 4 { 2.0 } else { 1.0 })] {
            let cost = Cost::fit(&measured).unwrap();
            for (figures, exact) in measured.iter().map(|point| &point.figures).zip(&exact) {
                let (got, expected) = (cost.micros(figures), exact.figures.micros);
                assert!((got / expected - 1.0).abs() < 0.02, "{got} {expected}");
            }
        }
        assert!(Cost::fit(&exact).unwrap().0.iter().all(|part| *part >= 0.0));
    }

    #[test]
    fn a_cost_is_raised_to_what_others_took_and_not_lowered() {
        let cost = Cost::fit(&measured(|_| 1.0)).unwrap();
        let factor = |luck: &[f64]| {
            let points = measured(|i| luck[i % luck.len()]);
            let raised = cost.raised_to(&points[..luck.len()]);
            raised.micros(&points[0].figures) / cost.micros(&points[0].figures)
        };
        assert!((factor(&[1.3, 1.4, 9.0]) - 1.4).abs() < 0.02);
        assert!((factor(&[0.5]) - 1.0).abs() < 1e-9);
        assert_eq!(cost.raised_to(&[]), cost);
    }

    #[test]
    fn few_measurements_are_not_fitted() {
        assert_eq!(Cost::fit(&measured(|_| 1.0)[..ENOUGH - 1]), None);
    }
}
