//! How far sampled betweenness may be off.
//!
//! Let x be what one pivot contributes to the normalised value of a node or edge, times n: 0 ≤ x < 2 n / (n−1), since one
//! source has at most n−2 pairs that a node lies between, n−1 that an edge does, and each counts less than 2. The estimate is
//! the mean of x over k pivots drawn without replacement. Hoeffding's inequality in Serfling's form (1974, corollary 1.1), for N values
//! at once by the union bound, says that with probability 1 − δ every one of them is off by less than
//!
//! ```text
//! ε = 2 n / (n−1) · √( (1 − (k−1)/n) · ln(2 N / δ) / (2 k) )
//! ```
//!
//! It holds for every graph and is wide for one in which nothing lies between many pairs. What the error is like on the
//! graph at hand is told by the standard error, estimated from how much groups of pivots differ.

/// The probability with which [`Precision::bound`] holds for all nodes and edges at once: 1 − δ.
pub const CONFIDENCE: f64 = 0.95;

/// How betweenness was computed and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Precision {
    /// Nodes of the graph, which the values are normalised by.
    pub nodes: u32,
    /// Nodes that were searched from: all of them where the values are exact.
    pub pivots: u32,
    /// Seed that the pivots were drawn with; 0 where the values are exact.
    pub seed: u64,
    /// Every value is off by less than that with probability [`CONFIDENCE`]; 0 where they are exact.
    pub bound: f64,
    /// The largest standard error of all nodes, as estimated from the pivots; 0 where the values are exact.
    pub node_standard_error: f64,
    /// The largest standard error of all edges.
    pub edge_standard_error: f64,
}

impl Precision {
    /// What is said of a computation from all nodes.
    pub(crate) fn exact(nodes: u32) -> Precision {
        Precision {
            nodes,
            pivots: nodes,
            seed: 0,
            bound: 0.0,
            node_standard_error: 0.0,
            edge_standard_error: 0.0,
        }
    }

    /// Whether all nodes were searched from.
    pub fn is_exact(&self) -> bool {
        self.pivots == self.nodes
    }
}

/// The error that `values` values stay below at once, after `k` of `n` pivots.
pub(super) fn bound(n: f64, k: f64, values: f64) -> f64 {
    let logarithm = (2.0 * values / (1.0 - CONFIDENCE)).ln();
    2.0 * n / (n - 1.0) * ((1.0 - (k - 1.0) / n) * logarithm / (2.0 * k)).sqrt()
}

/// What drawing without replacement leaves of the variance.
pub(super) fn unsampled_share(n: f64, k: f64) -> f64 {
    (1.0 - k / n).max(0.0)
}

/// The largest standard deviation of a sum over `k` pivots, from the sums of `groups` groups (their squares divided by the
/// pivots of each): k times the variance between pivots, which is (Σ squares − sum² / k) / (groups − 1).
pub(super) fn largest_spread(sums: &[f64], squares: &[f64], k: f64, groups: f64) -> f64 {
    let largest = sums.iter().zip(squares).map(|(sum, squares)| squares - sum * sum / k).fold(0.0, f64::max);
    (k * largest / (groups - 1.0).max(1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_shrinks_with_pivots_and_ends_near_zero() {
        let n = 10_000.0;
        let mut before = f64::INFINITY;
        for k in [2.0, 16.0, 256.0, 4096.0, n] {
            let now = bound(n, k, 200_000.0);
            assert!(now < before, "{k} pivots: {now}");
            before = now;
        }
        assert!(before < 0.001, "{before}");
        assert_eq!(unsampled_share(n, n), 0.0);
    }

    #[test]
    fn the_spread_of_single_pivots_is_the_standard_deviation() {
        // Groups of one pivot each, whose contributions are 1, 2, 3 and 6: mean 3, sample variance 14 / 3.
        let spread = largest_spread(&[0.0, 12.0], &[0.0, 1.0 + 4.0 + 9.0 + 36.0], 4.0, 4.0);
        assert!((spread - (4.0_f64 * 14.0 / 3.0).sqrt()).abs() < 1e-12, "{spread}");
    }
}
