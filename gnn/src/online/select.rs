//! Selecting links by their scores.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{EdgeScore, RoutingConfig};

/// Moves the `k` selected scores to the front of `scores`, the best first, and cuts the rest off.
///
/// At temperature 0 these are the highest combined scores. Above, they are drawn without replacement from the softmax of
/// combined score / temperature: adding independent Gumbel noise to the logits and taking the highest k is the same
/// (Kool, van Hoof & Welling 2019). The noise of a link is a hash of the seed, `salt`, its target and its score, so it
/// depends neither on the thread nor on the order of the links.
pub(super) fn select(scores: &mut Vec<EdgeScore>, k: usize, config: &RoutingConfig, salt: u64) {
    scores.sort_unstable_by(EdgeScore::order);
    if config.temperature > 0.0 && k < scores.len() {
        let highest = f64::from(scores[0].combined_score);
        let temperature = f64::from(config.temperature);
        let seed = config.seed ^ salt;
        // Differences of scores over any f32 above 0 are finite in f64.
        let perturbed = |score: &EdgeScore| {
            (f64::from(score.combined_score) - highest) / temperature + gumbel(uniform(score, seed))
        };
        scores.sort_by_cached_key(|score| Descending(perturbed(score)));
    }
    scores.truncate(k);
}

/// Orders numbers from the highest down.
#[derive(PartialEq)]
struct Descending(f64);

impl Eq for Descending {}

impl PartialOrd for Descending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Descending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.total_cmp(&self.0)
    }
}

/// More than 0 and less than 1.
fn uniform(score: &EdgeScore, seed: u64) -> f64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&score.target_node.to_le_bytes());
    bytes[4..].copy_from_slice(&score.combined_score.to_bits().to_le_bytes());
    let bits = xxh3_64_with_seed(&bytes, seed) >> 11;
    (bits as f64 + 0.5) / (1_u64 << 53) as f64
}

/// Gumbel noise from a uniform number.
fn gumbel(uniform: f64) -> f64 {
    -(-uniform.ln()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scores(combined: &[f32]) -> Vec<EdgeScore> {
        let of = |(at, score): (usize, &f32)| EdgeScore {
            target_node: at as u32,
            gnn_score: *score,
            distance_score: 1.0,
            combined_score: *score,
        };
        combined.iter().enumerate().map(of).collect()
    }

    fn selected(combined: &[f32], k: usize, temperature: f32, seed: u64) -> Vec<u32> {
        let mut scores = scores(combined);
        let config = RoutingConfig { temperature, seed, ..RoutingConfig::default() };
        select(&mut scores, k, &config, 0);
        scores.iter().map(|score| score.target_node).collect()
    }

    proptest! {
        #[test]
        fn without_temperature_the_highest_are_selected(
            combined in prop::collection::vec(0.0f32..=1.0, 0..60), k in 0usize..70,
        ) {
            let mut oracle: Vec<u32> = (0..combined.len() as u32).collect();
            oracle.sort_by(|a, b| combined[*b as usize].total_cmp(&combined[*a as usize]).then(a.cmp(b)));
            oracle.truncate(k);
            prop_assert_eq!(selected(&combined, k, 0.0, 1), oracle.clone());
            // All but no temperature: noise only decides between equal scores.
            for tiny in [f32::from_bits(1), f32::MIN_POSITIVE] {
                let at_tiny = selected(&combined, k, tiny, 1);
                let score_of = |nodes: &[u32]| nodes.iter().map(|node| combined[*node as usize]).collect::<Vec<_>>();
                prop_assert_eq!(score_of(&at_tiny), score_of(&oracle));
            }
        }

        #[test]
        fn drawn_links_are_distinct_and_do_not_depend_on_their_order(
            combined in prop::collection::vec(0.0f32..=1.0, 1..60), k in 1usize..70, seed: u64, temperature in 1e-6f32..10.0,
        ) {
            let forward = selected(&combined, k, temperature, seed);
            let mut sorted = forward.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), k.min(combined.len()));
            let mut backward = scores(&combined);
            backward.reverse();
            select(&mut backward, k, &RoutingConfig { temperature, seed, ..RoutingConfig::default() }, 0);
            prop_assert!(forward.iter().eq(backward.iter().map(|score| &score.target_node)));
        }
    }

    #[test]
    fn draws_have_the_probabilities_of_the_softmax() {
        const DRAWS: u64 = 40_000;
        let (combined, temperature) = ([0.9_f32, 0.5, 0.1, 0.7], 0.4_f64);
        let weights = combined.map(|score| (f64::from(score) / temperature).exp());
        let total: f64 = weights.iter().sum();
        // How often each pair of first and second link is drawn.
        let mut pairs = [[0.0; 4]; 4];
        for seed in 0..DRAWS {
            let drawn = selected(&combined, 2, temperature as f32, seed);
            pairs[drawn[0] as usize][drawn[1] as usize] += 1.0 / DRAWS as f64;
        }
        for first in 0..4 {
            for second in (0..4).filter(|second| *second != first) {
                let expected = weights[first] / total * weights[second] / (total - weights[first]);
                let off = (pairs[first][second] - expected).abs();
                // Five standard errors.
                assert!(
                    off < 5.0 * (expected / DRAWS as f64).sqrt(),
                    "{first} {second}: {off} off {expected}"
                );
            }
        }
    }
}
