//! How a policy selects links, and what it may cost.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::PolicyError;

/// How a policy selects the links that get a distance, and what that may cost. Checked where it enters
/// ([`crate::online::GnnRoutingPolicy::new`], [`crate::online::GnnRoutingPolicy::update_config`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoutingConfig {
    /// Links of an expanded node that get a distance, of those to nodes without one; 1 to 65,536. Where there are no more
    /// than that, all of them do, and the model is not asked.
    pub top_k_edges: usize,
    /// 0 selects the links with the highest combined scores. Above, links are drawn without replacement, with probabilities
    /// that are the softmax of combined score / temperature; 0 to 1,000,000.
    pub temperature: f32,
    /// α in `combined = α · model's score + (1 − α) · distance score`; 0 to 1. The higher, the more the model decides.
    pub hybrid_alpha: f32,
    /// Links that the model scores in one call, at most; 1 to 65,536.
    pub inference_batch_size: usize,
    /// Whether searches follow the model at all. If not, they are greedy, which does not count as a fallback.
    pub enabled: bool,
    /// How many hops around the expanded node the model sees. Only 1 works: the node's own row of links. More would
    /// add features of the neighbours' neighbours to the tensors, which no model of this contract has inputs for.
    pub context_hops: usize,
    /// Seed of the selection at temperatures above 0. The same seed, query and scores select the same links, on
    /// whichever thread.
    pub seed: u64,
    /// What inference may cost in a query; past it, the query is answered greedily.
    pub budget: Budget,
    /// Memory of the feature cache in bytes; 0 for no cache, at most 2^40.
    pub cache_bytes: usize,
}

/// What the calls of the model may cost in one query. It is looked at after every call: a call that takes too long is
/// not interrupted, but is the last one of its query.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Budget {
    /// Inference may take as long as it likes.
    Unlimited,
    /// This share (more than 0, at most 1,000) of the time that the query takes without a model. That time is measured: the first
    /// few queries, and one in 256 from then on, are answered greedily and timed
    /// ([`crate::online::PolicyMetrics::references`]); the mean is kept per candidate (`ef`), to which the time of a
    /// greedy search is nearly proportional.
    Share(f32),
    /// This much time a query.
    Time(Duration),
}

impl Default for RoutingConfig {
    /// Five links a hop, all by the model, in a tenth of the query's own time, with a cache of 64 MiB.
    ///
    /// A model at each hop keeps to that where distances are dear, as with long vectors or pages that have to be read;
    /// elsewhere searches fall back until [`RoutingConfig::budget`] allows more.
    fn default() -> RoutingConfig {
        RoutingConfig {
            top_k_edges: 5,
            temperature: 0.0,
            hybrid_alpha: 1.0,
            inference_batch_size: 64,
            enabled: true,
            context_hops: 1,
            seed: 0,
            budget: Budget::Share(0.1),
            cache_bytes: 64 << 20,
        }
    }
}

impl RoutingConfig {
    /// Fails where no search can be made like this.
    ///
    /// # Errors
    /// [`PolicyError::Config`] names the field, its value and what works.
    pub fn check(&self) -> Result<(), PolicyError> {
        within("top_k_edges", self.top_k_edges, 1..=1 << 16)?;
        within("temperature", self.temperature, 0.0..=1e6)?;
        within("hybrid_alpha", self.hybrid_alpha, 0.0..=1.0)?;
        within("inference_batch_size", self.inference_batch_size, 1..=1 << 16)?;
        within("context_hops", self.context_hops, 1..=1)?;
        within("cache_bytes", self.cache_bytes, 0..=1 << 40)?;
        match self.budget {
            Budget::Share(share) if !(share > 0.0 && share <= 1000.0) => {
                Err(wrong("budget", format!("a share of {share}"), "more than 0, at most 1000".into()))
            }
            Budget::Time(time) if time.is_zero() => Err(wrong(
                "budget",
                "no time at all".into(),
                "more than 0; to search without the model set enabled to false".into(),
            )),
            _ => Ok(()),
        }
    }
}

fn within<T: PartialOrd + Display>(
    name: &'static str,
    got: T,
    range: RangeInclusive<T>,
) -> Result<(), PolicyError> {
    // NaN is in no range.
    if range.contains(&got) {
        return Ok(());
    }
    let expected = if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{} to {}", range.start(), range.end())
    };
    Err(wrong(name, got.to_string(), expected))
}

fn wrong(name: &'static str, got: String, expected: String) -> PolicyError {
    PolicyError::Config { name, got, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        let defaults = RoutingConfig::default;
        assert!(defaults().check().is_ok());
        let wrong = [
            ("top_k_edges", RoutingConfig { top_k_edges: 0, ..defaults() }),
            ("temperature", RoutingConfig { temperature: -0.1, ..defaults() }),
            ("temperature", RoutingConfig { temperature: f32::NAN, ..defaults() }),
            ("hybrid_alpha", RoutingConfig { hybrid_alpha: 1.1, ..defaults() }),
            ("inference_batch_size", RoutingConfig { inference_batch_size: 0, ..defaults() }),
            ("context_hops", RoutingConfig { context_hops: 0, ..defaults() }),
            ("context_hops", RoutingConfig { context_hops: 2, ..defaults() }),
            ("budget", RoutingConfig { budget: Budget::Share(0.0), ..defaults() }),
            ("budget", RoutingConfig { budget: Budget::Share(f32::NAN), ..defaults() }),
            ("budget", RoutingConfig { budget: Budget::Time(Duration::ZERO), ..defaults() }),
            ("cache_bytes", RoutingConfig { cache_bytes: usize::MAX, ..defaults() }),
        ];
        for (expected, config) in wrong {
            match config.check() {
                Err(PolicyError::Config { name, .. }) => assert_eq!(name, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
        let alone =
            RoutingConfig { context_hops: 3, ..defaults() }.check().map_err(|error| error.to_string());
        assert_eq!(alone.unwrap_err(), "context_hops is 3, expected 1");
    }
}
