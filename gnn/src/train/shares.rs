//! How much of what the code of a node loses its bias gives back: κ and ν of a key model.

use crate::routing::KeyModel;

use super::estimate::Estimator;
use super::neighborhood::Neighborhoods;
use super::vectors::{Vectors, dot, squared_length};
use super::{Corpus, TrainError};

/// Nodes that stand for queries, and neighbours of each of them.
const NODES: usize = 500;
const NEIGHBORS: usize = 16;

/// Sets κ, ν and the constant of queries of `model` to those that estimate the distances between nodes and their neighbours
/// best: κ and ν by least squares over what varies among the neighbours of a node, the constant by what is left on average.
/// A model that does not look at neighbours has no ν.
pub(super) fn fit_shares<C: Corpus>(
    vectors: Vectors<'_, C>,
    nodes: &[u32],
    model: &mut KeyModel,
) -> Result<(), TrainError> {
    let estimator = Estimator::new(model);
    let neighborhoods = Neighborhoods { vectors, lambda: model.lambda, mean: &model.mean };
    let (mut query, mut neighbors) = (vec![0.0; vectors.dim()], Vec::new());
    let mut lessons = Lessons::default();
    for &node in nodes.iter().take(NODES) {
        vectors.corpus.read_neighbors(node, &mut neighbors)?;
        neighbors.truncate(NEIGHBORS);
        vectors.read(node, &mut query)?;
        query.iter_mut().zip(&model.mean).for_each(|(x, mean)| *x -= mean);
        let encoded = estimator.query(&query);
        let near = neighborhoods.gather(&neighbors)?;
        let kept = estimator.kept(&near.centred, None);
        let missing = estimator.missing(&near, &kept);
        let pair = |row: usize| {
            let (kept, length) = (kept.row(row), near.lengths[row]);
            let square = squared_length(kept);
            let estimate = square - 2.0 * dot(&encoded.coordinates, kept);
            let target = length - 2.0 * dot(&query, near.centred.row(row));
            [length - square, missing[row], target - estimate].map(f64::from)
        };
        lessons.add(&(0..neighbors.len()).map(pair).collect::<Vec<_>>());
    }
    let [kappa, nu] = lessons.shares(model.lambda > 0.0);
    let [a, b, y] = lessons.means();
    let constant = y - kappa * a - nu * b;
    (model.kappa, model.nu, model.query_constant) = (kappa as f32, nu as f32, constant as f32);
    Ok(())
}

/// What a query and a node say: what κ = 1 would add to the estimate, what ν = 1 would, and what should be added.
type Pair = [f64; 3];

/// What was learned of all pairs.
#[derive(Default)]
struct Lessons {
    /// Products of the three numbers of pairs, less their means of the query.
    products: [[f64; 3]; 3],
    sums: [f64; 3],
    count: f64,
}

impl Lessons {
    /// Learns from the pairs of a query. An error that all of them share does not change their order.
    fn add(&mut self, pairs: &[Pair]) {
        let sums: [f64; 3] = std::array::from_fn(|i| pairs.iter().map(|pair| pair[i]).sum());
        let count = pairs.len() as f64;
        let off = |pair: &Pair, i: usize| pair[i] - sums[i] / count;
        for pair in pairs {
            for (i, row) in self.products.iter_mut().enumerate() {
                row.iter_mut().enumerate().for_each(|(j, product)| *product += off(pair, i) * off(pair, j));
            }
        }
        self.sums.iter_mut().zip(sums).for_each(|(sum, of_query)| *sum += of_query);
        self.count += count;
    }

    fn means(&self) -> [f64; 3] {
        self.sums.map(|sum| sum / self.count.max(1.0))
    }

    /// κ and ν, both from 0 to 1, that leave the least; where there is no ν, it is 0.
    fn shares(&self, with_nu: bool) -> [f64; 2] {
        let [[aa, ab, ay], [_, bb, by], _] = self.products;
        let alone =
            |square: f64, product: f64| if square > 0.0 { (product / square).clamp(0.0, 1.0) } else { 0.0 };
        if !with_nu {
            return [alone(aa, ay), 0.0];
        }
        let determinant = aa * bb - ab * ab;
        // Collinear ones have no single solution.
        if determinant > 1e-9 * aa * bb {
            let both = [(ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant];
            if both.into_iter().all(|share| (0.0..=1.0).contains(&share)) {
                return both;
            }
        }
        // Then one of them lies at an end of its range.
        let left = |[a, b]: &[f64; 2]| a * a * aa + 2.0 * a * b * ab + b * b * bb - 2.0 * (a * ay + b * by);
        let ends = [0.0, 1.0].into_iter();
        let edges = ends.flat_map(|end| [[alone(aa, ay - end * ab), end], [end, alone(bb, by - end * ab)]]);
        edges.min_by(|a, b| left(a).total_cmp(&left(b))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lessons(share: [f64; 2], noise: f64) -> Lessons {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut lessons = Lessons::default();
        for query in 0..50 {
            let pair = |_| {
                let (a, b) = (rng.f64(), rng.f64());
                [a, b, share[0] * a + share[1] * b + f64::from(query) + noise * (rng.f64() - 0.5)]
            };
            lessons.add(&(0..20).map(pair).collect::<Vec<_>>());
        }
        lessons
    }

    #[test]
    fn shares_are_found_whatever_a_query_adds_to_all_its_nodes() {
        for share in [[0.5, 0.4], [0.0, 1.0], [1.0, 0.0]] {
            for (noise, off) in [(0.0, 1e-9), (0.1, 0.05)] {
                let found = lessons(share, noise).shares(true);
                assert!(
                    found.iter().zip(share).all(|(found, share)| (found - share).abs() < off),
                    "{found:?}"
                );
            }
        }
        assert_eq!(lessons([0.5, 0.4], 0.0).shares(false)[1], 0.0);
    }

    #[test]
    fn shares_stay_in_range_and_are_the_best_there() {
        for share in [[1.5, 0.5], [-0.3, 0.5], [0.5, 1.7], [-1.0, -1.0], [2.0, 3.0]] {
            let lessons = lessons(share, 0.0);
            let [[aa, ab, ay], [_, bb, by], _] = lessons.products;
            let left = |a: f64, b: f64| a * a * aa + 2.0 * a * b * ab + b * b * bb - 2.0 * (a * ay + b * by);
            let [kappa, nu] = lessons.shares(true);
            assert!((0.0..=1.0).contains(&kappa) && (0.0..=1.0).contains(&nu), "{kappa} {nu}");
            for (a, b) in (0..=20).flat_map(|a| (0..=20).map(move |b| (a as f64 / 20.0, b as f64 / 20.0))) {
                assert!(left(kappa, nu) <= left(a, b) + 1e-9, "{share:?}: {kappa} {nu}, better {a} {b}");
            }
        }
    }

    #[test]
    fn nothing_to_learn_from_is_no_share_and_collinear_numbers_share() {
        let mut lessons = Lessons::default();
        lessons.add(&[]);
        assert_eq!((lessons.shares(true), lessons.means()), ([0.0, 0.0], [0.0; 3]));
        lessons.add(&(0..9).map(|i| [f64::from(i), f64::from(2 * i), f64::from(i)]).collect::<Vec<_>>());
        let [kappa, nu] = lessons.shares(true);
        assert!((kappa + 2.0 * nu - 1.0).abs() < 1e-9);
    }
}
