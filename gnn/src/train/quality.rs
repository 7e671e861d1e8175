//! How well keys tell which of the near nodes is nearer.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::routing::KeyModel;

use super::attention::corrections;
use super::estimate::Estimator;
use super::examples::threshold;
use super::neighborhood::Neighborhoods;
use super::trajectories::Trajectories;
use super::vectors::{Vectors, dot, squared_length};
use super::{Corpus, TrainError};

/// Nodes up to so many thresholds away are near.
const NEAR: f32 = 1.3;
/// Queries of which fewer nodes are near say nothing.
const MIN_NEAR: usize = 5;
/// Queries whose nodes are in memory at once.
const QUERIES_PER_BLOCK: usize = 64;

/// How well the estimates of a model, at the precision of its keys, follow distances among the near nodes of a
/// held-out query. Means over queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Pearson's correlation of estimates and what they estimate, the mix of the distances to a node and to its neighbours.
    pub correlation: f32,
    /// Share of the pairs of near nodes that estimates put in the order of what they estimate; a coin yields 0.5.
    pub order: f32,
    /// The same in the order of the distances to the nodes themselves, whatever λ is.
    pub exact_order: f32,
}

/// The quality of `model` on the held-out queries of `trajectories`.
///
/// # Errors
/// Trajectories or a model of another collection.
pub fn quality<C: Corpus>(
    corpus: &C,
    trajectories: &Trajectories,
    model: &KeyModel,
) -> Result<Quality, TrainError> {
    let vectors = Vectors::new(corpus)?;
    trajectories.check(corpus)?;
    if model.dim != corpus.dim() {
        return Err(TrainError::Dimension { dim: corpus.dim(), got: model.dim });
    }
    let estimator = Estimator::new(model);
    let neighborhoods = Neighborhoods { vectors, lambda: model.lambda, mean: &model.mean };
    let held_out: Vec<usize> = (trajectories.training..trajectories.queries.rows).collect();
    let begin = trajectories.starts[trajectories.training];
    let nodes: Vec<u32> = trajectories.scored[begin..].iter().map(|scored| scored.node).collect();
    let corrections = corrections(vectors, model, &nodes)?;
    let mut judged: Vec<Quality> = Vec::new();
    for queries in held_out.chunks(QUERIES_PER_BLOCK) {
        let first = trajectories.starts[queries[0]];
        let end = trajectories.starts[queries[queries.len() - 1] + 1];
        let vectors = neighborhoods.gather(&nodes[first - begin..end - begin])?;
        let corrections = corrections.as_ref();
        let corrections =
            corrections.map(|all| &all.data[(first - begin) * all.cols..(end - begin) * all.cols]);
        let keys = estimator.keys(&vectors, corrections);
        judged.par_extend(queries.par_iter().filter_map(|&query| {
            let scored = trajectories.of(query);
            let centred: Vec<f32> =
                trajectories.queries.row(query).iter().zip(&model.mean).map(|(x, m)| x - m).collect();
            let encoded = estimator.query(&centred);
            let rows = trajectories.starts[query] - first..trajectories.starts[query + 1] - first;
            let estimates: Vec<f32> = rows.clone().map(|row| keys.estimate(&encoded, row)).collect();
            let targets = rows.map(|row| {
                squared_length(&centred) + vectors.lengths[row]
                    - 2.0 * dot(&centred, vectors.centred.row(row))
            });
            let distances: Vec<f32> = scored.iter().map(|scored| scored.distance).collect();
            judge(&estimates, &targets.collect::<Vec<f32>>(), &distances)
        }));
    }
    let count = judged.len().max(1) as f32;
    let mean = |of: fn(&Quality) -> f32| judged.iter().map(of).sum::<f32>() / count;
    Ok(Quality {
        correlation: mean(|quality| quality.correlation),
        order: mean(|quality| quality.order),
        exact_order: mean(|quality| quality.exact_order),
    })
}

/// What one query says.
fn judge(estimates: &[f32], targets: &[f32], distances: &[f32]) -> Option<Quality> {
    let by_target = near(estimates, targets)?;
    Some(Quality {
        correlation: correlation(&by_target),
        order: order(&by_target)?,
        exact_order: near_order(estimates, distances)?,
    })
}

/// Estimates and distances of the near nodes.
fn near(estimates: &[f32], distances: &[f32]) -> Option<Vec<(f32, f32)>> {
    let limit = NEAR * threshold(distances);
    let pairs = estimates.iter().copied().zip(distances.iter().copied());
    let near: Vec<_> = pairs.filter(|(_, distance)| *distance <= limit).collect();
    (near.len() > MIN_NEAR).then_some(near)
}

/// Share of the pairs that are in the same order in both; pairs of equal distances do not count.
fn order(pairs: &[(f32, f32)]) -> Option<f32> {
    let (mut agreeing, mut all) = (0_u32, 0_u32);
    for (at, a) in pairs.iter().enumerate() {
        for b in pairs[..at].iter().filter(|b| b.1 != a.1) {
            all += 1;
            agreeing += u32::from((a.0 < b.0) == (a.1 < b.1) && a.0 != b.0);
        }
    }
    (all > 0).then(|| agreeing as f32 / all as f32)
}

/// The share of the pairs of near nodes of a query that `estimates` put in the order of `distances`.
pub(super) fn near_order(estimates: &[f32], distances: &[f32]) -> Option<f32> {
    order(&near(estimates, distances)?)
}

/// The nodes that are looked for by [`found`], and how many times as many are looked at.
const SOUGHT: usize = 10;
const LOOKED_AT: usize = 2;

/// The share of the 10 nearest nodes of a query that are among the 20 of the least estimates; of a quarter of the nodes where
/// there are fewer than 40.
pub(super) fn found(estimates: &[f32], distances: &[f32]) -> f32 {
    let sought = SOUGHT.min(distances.len() / 4).max(1);
    let order = |numbers: &[f32], count: usize| {
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
        order.truncate(count);
        order
    };
    let looked_at = order(estimates, LOOKED_AT * sought);
    let nearest = order(distances, sought);
    nearest.iter().filter(|node| looked_at.contains(node)).count() as f32 / sought as f32
}

fn correlation(pairs: &[(f32, f32)]) -> f32 {
    let count = pairs.len() as f32;
    let sums = pairs.iter().fold((0.0, 0.0), |sums, pair| (sums.0 + pair.0, sums.1 + pair.1));
    let (mean_a, mean_b) = (sums.0 / count, sums.1 / count);
    let (mut aa, mut bb, mut ab) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (a, b) in pairs {
        aa += (a - mean_a).powi(2);
        bb += (b - mean_b).powi(2);
        ab += (a - mean_a) * (b - mean_b);
    }
    if aa * bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_correlation_of_known_pairs() {
        let pairs = |estimates: [f32; 4]| estimates.into_iter().zip([1.0, 2.0, 3.0, 4.0]).collect::<Vec<_>>();
        assert_eq!(order(&pairs([2.0, 4.0, 6.0, 8.0])), Some(1.0));
        assert_eq!(order(&pairs([8.0, 6.0, 4.0, 2.0])), Some(0.0));
        assert_eq!(order(&pairs([1.0, 3.0, 2.0, 4.0])), Some(5.0 / 6.0));
        assert_eq!(order(&[(1.0, 1.0), (2.0, 1.0)]), None, "equal distances have no order");
        assert!((correlation(&pairs([2.0, 4.0, 6.0, 8.0])) - 1.0).abs() < 1e-6);
        assert!((correlation(&pairs([8.0, 6.0, 4.0, 2.0])) + 1.0).abs() < 1e-6);
        assert_eq!(correlation(&pairs([1.0; 4])), 0.0);
    }

    #[test]
    fn what_estimates_find_of_the_nearest() {
        let distances: Vec<f32> = (0..60).map(|at| at as f32).collect();
        assert_eq!(found(&distances, &distances), 1.0);
        let backwards: Vec<f32> = distances.iter().map(|x| -x).collect();
        assert_eq!(found(&backwards, &distances), 0.0);
        // Ten others are estimated nearer: the twenty best still have all that are sought, and with twelve two are missing.
        let intruders = |count: usize| {
            let estimates: Vec<f32> =
                distances.iter().map(|x| if *x >= (60 - count) as f32 { x - 100.0 } else { *x }).collect();
            found(&estimates, &distances)
        };
        assert_eq!((intruders(10), intruders(12)), (1.0, 0.8));
        assert_eq!(found(&[3.0, 1.0, 2.0], &[1.0, 2.0, 3.0]), 0.0, "one is sought, among two");
    }
}
