//! How good predictions are.

/// The share of `nodes` whose largest output is that of their label. `outputs` are `classes` numbers for each node of the
/// graph; 0 where there are no nodes.
pub(super) fn accuracy(outputs: &[f32], classes: usize, labels: &[u32], nodes: &[u32]) -> f64 {
    let is_right = |node: &&u32| {
        let outputs = &outputs[**node as usize * classes..][..classes];
        // Of equal outputs the first counts.
        let best = (1..classes).fold(0, |best, at| if outputs[at] > outputs[best] { at } else { best });
        best == labels[**node as usize] as usize
    };
    nodes.iter().filter(is_right).count() as f64 / nodes.len().max(1) as f64
}

/// The probability that a positive scores higher than a negative, ties counting half: the area under the ROC curve
/// (Mann & Whitney 1947). 0.5 where there are none of one kind.
#[must_use]
pub fn area_under_curve(positives: &[f32], negatives: &[f32]) -> f64 {
    if positives.is_empty() || negatives.is_empty() {
        return 0.5;
    }
    let mut scores: Vec<(f32, bool)> = positives.iter().map(|score| (*score, true)).collect();
    scores.extend(negatives.iter().map(|score| (*score, false)));
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut wins, mut below) = (0.0, 0_usize);
    for tied in scores.chunk_by(|a, b| a.0 == b.0) {
        let positives = tied.iter().filter(|score| score.1).count();
        let negatives = tied.len() - positives;
        wins += positives as f64 * (below as f64 + negatives as f64 / 2.0);
        below += negatives;
    }
    wins / (positives.len() as f64 * negatives.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_output_is_the_class() {
        let outputs = [0.1, 0.9, 0.5, 0.5, -2.0, -1.0];
        assert_eq!(accuracy(&outputs, 2, &[1, 0, 0], &[0, 1, 2]), 2.0 / 3.0);
        assert_eq!(accuracy(&outputs, 2, &[1, 0, 0], &[]), 0.0);
    }

    #[test]
    fn area_is_the_share_of_pairs_in_order() {
        let seed = 3;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for (positives, negatives) in [(1, 1), (7, 30), (40, 11)] {
            // Few values, so that there are ties.
            let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.u8(..12).into()).collect() };
            let (p, n) = (draw(positives), draw(negatives));
            let pairs = p.iter().flat_map(|p| n.iter().map(move |n| (p, n)));
            let wins: f64 = pairs
                .map(|(p, n)| {
                    if p > n {
                        1.0
                    } else if p == n {
                        0.5
                    } else {
                        0.0
                    }
                })
                .sum();
            let naive = wins / (positives * negatives) as f64;
            assert!((area_under_curve(&p, &n) - naive).abs() < 1e-12);
        }
        assert_eq!(area_under_curve(&[], &[1.0]), 0.5);
    }
}
