//! Recall by distance, where ties stand at rank k, and what it says between two measured points.

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::npy::Neighbours;

/// The judge of answers: knows how far the k-th exact neighbour of each query is.
pub(crate) struct Judge<'d> {
    data: &'d Dataset,
    farthest_allowed: Vec<f64>,
}

impl<'d> Judge<'d> {
    pub(crate) fn new(data: &'d Dataset, k: usize) -> Self {
        let farthest_allowed = (0..data.queries.rows())
            .map(|query| {
                let row = data.truth.of(query)[k - 1] as usize;
                // Two rows at the same cosine may differ in the last bits, because the norms are divided out.
                data.metric.distance(data.queries.row(query), data.base.row(row)) + 1e-12
            })
            .collect();
        Self { data, farthest_allowed }
    }

    /// Share of the returned rows that are no farther than the k-th exact neighbour. A row that does not
    /// exist or is returned twice for one query is an error of the engine, not a miss.
    pub(crate) fn recall(&self, engine: &'static str, answers: &Neighbours) -> Result<f64> {
        let (k, rows) = (answers.k, self.data.base.rows());
        let mut hits = 0;
        for query in 0..answers.queries() {
            let ids: Vec<u32> = answers.of(query).iter().copied().filter(|&id| id != u32::MAX).collect();
            let distinct = ids.iter().enumerate().all(|(place, id)| !ids[..place].contains(id));
            if !distinct || ids.iter().any(|&id| id as usize >= rows) {
                return Err(Error::Answer { engine, query, got: format!("{ids:?}"), k, rows });
            }
            let vector = self.data.queries.row(query);
            let near = |id: u32| self.data.metric.distance(vector, self.data.base.row(id as usize));
            hits += ids.iter().filter(|&&id| near(id) <= self.farthest_allowed[query]).count();
        }
        Ok(hits as f64 / answers.ids.len() as f64)
    }
}

/// Where a recall target lies between two measured points: weights of the lower and the upper one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bracket {
    pub(crate) lower: usize,
    /// Share of the way from point `lower` to point `lower + 1`, linear in recall.
    pub(crate) share: f64,
}

impl Bracket {
    /// Finds the first two neighbouring points (in order of effort) that enclose `target`; `None` where the
    /// first point is already above it or no point reaches it.
    pub(crate) fn find(recalls: &[f64], target: f64) -> Option<Self> {
        recalls.windows(2).enumerate().find_map(|(lower, pair)| {
            let encloses = pair[0] <= target && target <= pair[1] && pair[0] < pair[1];
            encloses.then(|| Self { lower, share: (target - pair[0]) / (pair[1] - pair[0]) })
        })
    }

    /// Log-linear interpolation: the logarithm of the value is taken as linear in recall between the points.
    pub(crate) fn interpolate(self, values: impl Fn(usize) -> f64) -> f64 {
        let (low, high) = (values(self.lower).ln(), values(self.lower + 1).ln());
        (low + self.share * (high - low)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;
    use crate::metric::Metric;

    /// One query at the origin; rows at distance 1, 2, 2 and 3.
    fn tied() -> Dataset {
        Dataset {
            base: Matrix::new(vec![1.0, 0.0, 0.0, 2.0, 2.0, 0.0, 3.0, 0.0], 2),
            queries: Matrix::new(vec![0.0, 0.0], 2),
            truth: Neighbours { k: 2, ids: vec![0, 1] },
            metric: Metric::L2,
        }
    }

    #[test]
    fn a_tie_at_rank_k_counts_and_a_farther_row_does_not() {
        let data = tied();
        let judge = Judge::new(&data, 2);
        let recall = |ids: &[u32]| judge.recall("test", &Neighbours { k: 2, ids: ids.to_vec() }).unwrap();
        assert_eq!(recall(&[0, 1]), 1.0);
        assert_eq!(recall(&[0, 2]), 1.0);
        assert_eq!(recall(&[0, 3]), 0.5);
        assert_eq!(recall(&[0, u32::MAX]), 0.5);
    }

    #[test]
    fn repeated_and_unknown_rows_are_refused() {
        let data = tied();
        let judge = Judge::new(&data, 2);
        for ids in [[0, 0], [0, 4]] {
            let answers = Neighbours { k: 2, ids: ids.to_vec() };
            assert!(matches!(judge.recall("test", &answers), Err(Error::Answer { query: 0, .. })), "{ids:?}");
        }
    }

    #[test]
    fn a_target_is_interpolated_only_between_points_that_bracket_it() {
        let recalls = [0.80, 0.90, 0.98];
        assert_eq!(Bracket::find(&recalls, 0.79), None);
        assert_eq!(Bracket::find(&recalls, 0.99), None);
        let bracket = Bracket::find(&recalls, 0.94).unwrap();
        assert_eq!(bracket.lower, 1);
        assert!((bracket.share - 0.5).abs() < 1e-9);
        // Halfway on a logarithmic scale is the geometric mean.
        let qps = [0.0, 4000.0, 1000.0];
        assert!((bracket.interpolate(|point| qps[point]) - 2000.0).abs() < 1e-6);
    }
}
