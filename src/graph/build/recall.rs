//! How many of the true neighbours were found.

use redknot_index::Reader;

use super::near::Near;
use super::{GraphBuild, GraphPhase};
use crate::error::Result;

/// Which rows are looked at is decided by their number alone.
const SEED: u64 = 0x5EED;

impl GraphBuild<'_> {
    /// Recall on a sample of the rows, and how many that were. `lists` are those of `nodes`.
    pub(super) fn measure(&self, reader: &Reader<'_>, nodes: &[u32], lists: &[Near]) -> Result<(f64, u64)> {
        let mut rng = fastrand::Rng::with_seed(SEED);
        let mut places = rng.choose_multiple(0..nodes.len(), self.sample);
        places.sort_unstable();
        let sampled: Vec<u32> = places.iter().map(|place| nodes[*place]).collect();
        let truth = self.each(GraphPhase::Measure, &sampled, |some| self.wanted.exact(reader, some))?;
        let (mut found, mut expected) = (0, 0);
        for (place, truth) in places.iter().zip(&truth) {
            expected += truth.rows.len();
            found += hits(&lists[*place], truth);
        }
        let recall = if expected == 0 { 1.0 } else { found as f64 / expected as f64 };
        Ok((recall, sampled.len() as u64))
    }
}

/// Found rows that are as near as the farthest of the true ones.
fn hits(found: &Near, truth: &Near) -> usize {
    let Some(farthest) = truth.rows.last() else { return 0 };
    let near = found.rows.iter().filter(|neighbor| neighbor.distance <= farthest.distance);
    near.count().min(truth.rows.len())
}
