//! The working memory of a search, kept from one search to the next.

use parking_lot::Mutex;

use super::{Candidates, visited::Visited};

/// What one search needs while it runs: nothing is allocated per search once these have grown.
#[derive(Default)]
pub struct Scratch {
    pub(crate) candidates: Candidates,
    pub(crate) visited: Visited,
    /// The links of a row.
    pub(crate) links: Vec<u32>,
    /// Full-precision distances computed since the scratch was made.
    pub(crate) distances: u64,
    /// Rows expanded since the scratch was made, all layers.
    pub(crate) hops: u64,
}

impl Scratch {
    /// Full-precision distances computed with this scratch so far.
    pub fn distances(&self) -> u64 {
        self.distances
    }

    /// Rows expanded with this scratch so far, upper layers included.
    pub fn hops(&self) -> u64 {
        self.hops
    }
}

/// Scratches lent to threads: as many as were ever in use at once.
pub struct ScratchPool<T = Scratch>(Mutex<Vec<T>>);

impl<T> Default for ScratchPool<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> ScratchPool<T> {
    /// A pool without scratches; they are made as they are needed.
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T: Default> ScratchPool<T> {
    /// Runs `work` with a scratch of its own. A scratch whose work panics is not put back.
    pub fn with<O>(&self, work: impl FnOnce(&mut T) -> O) -> O {
        let mut scratch = self.0.lock().pop().unwrap_or_default();
        let output = work(&mut scratch);
        self.0.lock().push(scratch);
        output
    }
}
