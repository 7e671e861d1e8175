//! A model in plain Rust.

use serde::{Deserialize, Serialize};

use super::scorer::check_inputs;
use super::{EDGE_NUMBERS, EdgeScorer, Layout, ScoreError};

/// Farther than that the sigmoid is 0 or 1 for f32, and no longer tells edges apart.
const LARGEST_LOGIT: f32 = 80.0;

/// A model that is linear in the features, and in how much nearer to the query a link leads.
///
/// With c the node, t the target and q the query, each a vector of `dim` components, x the node's features and e the
/// edge's ([`Layout`]), the score is σ of
///
/// ```text
/// bias + ⟨node, x⟩ + ⟨edge, e⟩ − pull · Σ wⱼ (tⱼ − qⱼ)² / Σ wⱼ (cⱼ − qⱼ)²      sums over `gaps`
/// ```
///
/// The quotient does not depend on the scale of the vectors; it is 0 for a target that agrees with the query in the
/// coordinates of `gaps`, and 1 where it is as far as the node. It needs the target's vector, so a model with gaps is wide. As JSON
/// (serde) it is an object with these names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearScorer {
    /// Components of a vector.
    pub dim: usize,
    /// Added to each logit.
    pub bias: f32,
    /// Weights of the node's features: `dim` + 4, or none where they are all 0.
    pub node: Vec<f32>,
    /// Weights of the edge's first four features (the target's vector has none of its own), or none where they are all 0.
    pub edge: Vec<f32>,
    /// How much the quotient counts.
    pub pull: f32,
    /// The coordinates that are compared; none for a model that does not see the target.
    pub gaps: Vec<Gap>,
}

/// A coordinate in which the target is compared with the query.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Which one, counted from 0.
    pub coordinate: usize,
    /// wⱼ, how much it counts; not negative.
    pub weight: f32,
}

impl LinearScorer {
    /// A model that prefers targets nearer to the query, as seen in `coordinates` evenly spaced coordinates of `dim` (all of
    /// them where there are no more). With all it orders links by their distance under L2 and cosine.
    pub fn nearer(dim: usize, coordinates: usize) -> LinearScorer {
        let count = coordinates.clamp(1, dim.max(1));
        let gaps = (0..count).map(|at| Gap { coordinate: at * dim / count, weight: 1.0 }).collect();
        LinearScorer { dim, bias: 4.0, node: Vec::new(), edge: Vec::new(), pull: 8.0, gaps }
    }

    /// Fails where the weights do not fit together. To be called on weights that were read from a file.
    ///
    /// # Errors
    /// [`ScoreError::Weights`] names those at fault.
    pub fn check(&self) -> Result<(), ScoreError> {
        let wrong = |what, got: String, expected: String| Err(ScoreError::Weights { what, got, expected });
        if self.dim == 0 {
            return wrong("dim", "0".into(), "at least 1".into());
        }
        let node_dim = self.dim + super::NODE_NUMBERS;
        for (what, weights, len) in [("node", &self.node, node_dim), ("edge", &self.edge, EDGE_NUMBERS)] {
            if !weights.is_empty() && weights.len() != len {
                return wrong(what, format!("{} weights", weights.len()), format!("none or {len}"));
            }
        }
        let numbers = self.node.iter().chain(&self.edge).chain([&self.bias, &self.pull]);
        if let Some(number) = numbers.copied().find(|number| !number.is_finite()) {
            return wrong("bias, pull, node and edge", number.to_string(), "finite numbers".into());
        }
        for gap in &self.gaps {
            if gap.coordinate >= self.dim {
                return wrong("gaps", gap.coordinate.to_string(), format!("coordinates below {}", self.dim));
            }
            if !(gap.weight.is_finite() && gap.weight >= 0.0) {
                return wrong("gaps", gap.weight.to_string(), "weights of 0 or more".into());
            }
        }
        Ok(())
    }

    /// Σ wⱼ (xⱼ − qⱼ)².
    fn gap(&self, x: &[f32], query: &[f32]) -> f32 {
        let squares = self.gaps.iter().map(|gap| {
            let off = x[gap.coordinate] - query[gap.coordinate];
            gap.weight * off * off
        });
        squares.sum()
    }
}

impl EdgeScorer for LinearScorer {
    fn node_dim(&self) -> usize {
        self.dim + super::NODE_NUMBERS
    }

    fn edge_dim(&self) -> usize {
        if self.gaps.is_empty() { EDGE_NUMBERS } else { EDGE_NUMBERS + self.dim }
    }

    fn query_dim(&self) -> usize {
        self.dim
    }

    fn score(
        &self,
        node_features: &[f32],
        edge_features: &[f32],
        query: &[f32],
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        check_inputs(self, node_features, edge_features, query)?;
        let of_node = self.bias + dot(&self.node, node_features);
        // A node in the place of the query leads nowhere nearer: every target is then infinitely far off.
        let here = self.gap(node_features, query).max(f32::MIN_POSITIVE);
        scores.clear();
        scores.extend(edge_features.chunks_exact(self.edge_dim()).map(|edge| {
            let (numbers, target) = edge.split_at(EDGE_NUMBERS);
            let mut logit = of_node + dot(&self.edge, numbers);
            if !self.gaps.is_empty() {
                logit -= self.pull * (self.gap(target, query) / here);
            }
            sigmoid(logit.clamp(-LARGEST_LOGIT, LARGEST_LOGIT))
        }));
        Ok(())
    }
}

impl LinearScorer {
    /// The layout of its inputs.
    ///
    /// # Errors
    /// [`crate::online::PolicyError::Layout`] for `dim` 0.
    pub fn layout(&self) -> Result<Layout, super::PolicyError> {
        Layout::new(self.dim, !self.gaps.is_empty())
    }
}

/// `⟨weights, x⟩`; no weights are zeros.
fn dot(weights: &[f32], x: &[f32]) -> f32 {
    weights.iter().zip(x).map(|(weight, x)| weight * x).sum()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_formula() {
        let scorer = LinearScorer {
            dim: 2,
            bias: 0.5,
            node: vec![0.1, -0.2, 0.01, 0.0, 1.0, 0.3],
            edge: vec![-0.5, 1.0, 2.0, 0.25],
            pull: 3.0,
            gaps: vec![Gap { coordinate: 1, weight: 2.0 }],
        };
        scorer.check().unwrap();
        assert_eq!((scorer.node_dim(), scorer.edge_dim(), scorer.query_dim()), (6, 6, 2));
        let (node, query) = ([1.0, 2.0, 20.0, 1.0, 0.4, 5.0], [3.0, 4.0]);
        let edges = [0.2, 0.9, 0.001, 1.0, 7.0, 3.0, 0.4, 0.8, 0.0, 0.0, 0.0, 9.0];
        let mut scores = vec![9.0; 5];
        scorer.score(&node, &edges, &query, &mut scores).unwrap();
        let of_node = 0.5 + 0.1 - 0.4 + 0.2 + 0.4 + 1.5;
        let here = 2.0 * 4.0;
        let first: f64 = of_node + (-0.1 + 0.9 + 0.002 + 0.25) - 3.0 * (2.0 * 1.0 / here);
        let second: f64 = of_node + (-0.2 + 0.8) - 3.0 * (2.0 * 25.0 / here);
        for (score, logit) in scores.iter().zip([first, second]) {
            let expected = 1.0 / (1.0 + (-logit).exp());
            assert!((f64::from(*score) - expected).abs() < 1e-6 * expected, "{score} {expected}");
        }
        assert_eq!(scores.len(), 2);
        for (node, edges, query) in
            [(&node[1..], &edges[..], &query[..]), (&node, &edges[1..], &query), (&node, &edges, &query[1..])]
        {
            let refused = scorer.score(node, edges, query, &mut scores);
            assert!(matches!(refused, Err(ScoreError::Shape { .. })));
        }
    }

    #[test]
    fn nothing_is_scored_beyond_what_a_share_can_be() {
        let scorer = LinearScorer { bias: -1e30, ..LinearScorer::nearer(3, 8) };
        assert_eq!(scorer.gaps.len(), 3);
        let mut scores = Vec::new();
        // The node lies where the query does.
        let node = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        scorer.score(&node, &[0.0, 0.0, 0.0, 0.0, 9.0, 9.0, 9.0], &[1.0; 3], &mut scores).unwrap();
        assert!(scores[0] > 0.0 && scores[0] < 1e-30, "{scores:?}");
    }

    #[test]
    fn weights_that_do_not_fit_are_named() {
        let good = LinearScorer::nearer(8, 4);
        assert!(good.check().is_ok());
        let coordinates: Vec<usize> = good.gaps.iter().map(|gap| gap.coordinate).collect();
        assert_eq!(coordinates, [0, 2, 4, 6]);
        let gap =
            |coordinate, weight| LinearScorer { gaps: vec![Gap { coordinate, weight }], ..good.clone() };
        for (named, wrong) in [
            ("dim", LinearScorer { dim: 0, ..good.clone() }),
            ("node", LinearScorer { node: vec![1.0; 8], ..good.clone() }),
            ("edge", LinearScorer { edge: vec![1.0; 12], ..good.clone() }),
            ("bias", LinearScorer { bias: f32::NAN, ..good.clone() }),
            ("gaps", gap(8, 1.0)),
            ("gaps", gap(0, -1.0)),
        ] {
            match wrong.check() {
                Err(ScoreError::Weights { what, .. }) => assert!(what.starts_with(named), "{what}"),
                other => panic!("{named}: {other:?}"),
            }
        }
    }
}
