//! How a graph is built.

use crate::Error;

/// Parameters of a build. The number of links a row, `m`, belongs to the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildParams {
    /// Length of the candidate list while a row is linked: more is slower and better connected. 200 by default.
    pub ef_construction: usize,
    /// Seed of the generator that draws the rows' levels. The level of a row depends on the seed and its number only.
    pub seed: u64,
}

impl Default for BuildParams {
    fn default() -> Self {
        Self { ef_construction: 200, seed: 0x7265_646b_6e6f_7421 }
    }
}

impl BuildParams {
    const MAX_EF: usize = 1 << 20;

    pub(super) fn check(&self) -> Result<(), Error> {
        if (1..=Self::MAX_EF).contains(&self.ef_construction) {
            return Ok(());
        }
        let got = self.ef_construction as u64;
        Err(Error::Parameter { name: "ef_construction", got, min: 1, max: Self::MAX_EF as u64 })
    }
}
