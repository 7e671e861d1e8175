//! How hard to search.

use serde::{Deserialize, Serialize};

use super::RouteError;

/// What keys decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Mode {
    /// Everything: nodes are expanded in the order of their estimates, and the best are re-ranked at the end. The fewest
    /// distances; the default.
    Route,
    /// The order of expansion; every expanded node gets its exact distance, and those decide when to stop. For high
    /// recall, and for queries unlike those the model was trained on.
    Lazy,
    /// Which nodes get a distance at all; these are then expanded in the order of their exact distances. Where keys
    /// are not to be trusted.
    Filter,
}

/// How hard to search: more of each finds more, and takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// What keys decide.
    pub mode: Mode,
    /// The search stops where the next node is farther than γ times the k-th; at least 1. The main dial: 1.05 to 1.25.
    pub gamma: f32,
    /// Nodes that get an exact distance once the search has stopped, the best estimates first; of those that were not
    /// expanded in [`Mode::Lazy`], none in [`Mode::Filter`]. Raised to k in [`Mode::Route`].
    pub rerank: usize,
    /// An estimate above `slack` times the k-th exact distance is taken for a miss: once the k best are measured, re-ranking
    /// passes over such nodes, and [`Mode::Filter`] looks no further at them. At least 1.
    pub slack: f32,
    /// Candidates kept, those that were expanded included; raised to k and `rerank`. Rarely what ends a search.
    pub ef: usize,
    /// Nodes that are expanded at most.
    pub max_hops: u64,
    /// Queries whose nearest landmark is estimated to be farther away, as a squared distance, are refused with
    /// [`RouteError::Strange`]: they are unlike what the effort was calibrated with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub farthest: Option<f32>,
}

impl Default for Effort {
    fn default() -> Effort {
        Effort {
            mode: Mode::Route,
            gamma: 1.15,
            rerank: 40,
            slack: 1.25,
            ef: 400,
            max_hops: u64::MAX,
            farthest: None,
        }
    }
}

impl Effort {
    /// Whether a search can be made with these settings.
    ///
    /// # Errors
    /// [`RouteError::Effort`] with the first that does not work.
    pub fn check(&self) -> Result<(), RouteError> {
        for (name, factor) in [("gamma", self.gamma), ("slack", self.slack)] {
            if !(factor >= 1.0 && factor.is_finite()) {
                return Err(RouteError::Effort {
                    name,
                    got: factor.into(),
                    expected: "a finite number of at least 1",
                });
            }
        }
        if self.ef == 0 {
            return Err(RouteError::Effort { name: "ef", got: 0.0, expected: "at least 1" });
        }
        if self.max_hops == 0 {
            return Err(RouteError::Effort { name: "max_hops", got: 0.0, expected: "at least 1" });
        }
        Ok(())
    }
}

/// `factor` times a distance or an estimate. Estimates of near nodes may lie below 0; a factor above 1 raises these
/// too.
pub(super) fn widen(distance: f32, factor: f32) -> f32 {
    distance + (factor - 1.0) * distance.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let good = Effort::default();
        assert!(good.check().is_ok());
        let bad = [
            Effort { gamma: 0.99, ..good },
            Effort { gamma: f32::NAN, ..good },
            Effort { slack: f32::INFINITY, ..good },
            Effort { slack: 0.0, ..good },
            Effort { ef: 0, ..good },
            Effort { max_hops: 0, ..good },
        ];
        for effort in bad {
            assert!(matches!(effort.check(), Err(RouteError::Effort { .. })), "{effort:?}");
        }
    }

    #[test]
    fn a_factor_never_brings_a_distance_nearer() {
        for distance in [-2.0, -0.0, 0.0, 3.0] {
            assert!(widen(distance, 1.25) >= distance);
        }
        assert_eq!(widen(2.0, 1.5), 3.0);
        assert_eq!(widen(-2.0, 1.5), -1.0);
    }
}
