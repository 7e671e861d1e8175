//! The neighbours of one row.

use redknot_index::{Neighbor, Reader, SearchParams};

use crate::error::Result;

/// Neighbours that a search within a radius asks for first.
const FIRST_WIDTH: usize = 64;
/// How much wider it asks where all of them are within.
const WIDER: usize = 4;

/// Which rows are neighbours of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Only the nearest of them.
    pub(super) most: usize,
    /// Only those at most so far away.
    pub(super) radius: Option<f32>,
    /// Effort of a search.
    pub(super) ef: usize,
}

/// Neighbours of a row.
#[derive(Clone, Debug)]
pub(super) struct Near {
    /// Nearest first.
    pub(super) rows: Vec<Neighbor>,
    /// Whether there are more within the radius.
    pub(super) cut: bool,
}

impl Wanted {
    /// Through the index, ever wider until the farthest row found is beyond the radius.
    pub(super) fn approximate(&self, reader: &Reader<'_>, node: u32) -> Result<Near> {
        let most = self.looked_for();
        let mut width = if self.radius.is_some() { FIRST_WIDTH.min(most) } else { most };
        loop {
            let params = SearchParams { k: width, ef: self.ef.max(2 * width) };
            let found = reader.search_near(node, params)?.neighbors;
            let is_beyond = |last: &Neighbor| self.radius.is_some_and(|radius| last.distance > radius);
            if width == most || found.len() < width || found.last().is_some_and(is_beyond) {
                return Ok(self.keep(found));
            }
            width = (WIDER * width).min(most);
        }
    }

    /// By looking at all rows.
    pub(super) fn exact(&self, reader: &Reader<'_>, nodes: &[u32]) -> Result<Vec<Near>> {
        let radius = self.radius.unwrap_or(f32::INFINITY);
        let found = reader.exact_near(nodes, self.looked_for(), radius)?;
        Ok(found.into_iter().map(|rows| self.keep(rows)).collect())
    }

    /// One more than are kept tells whether there are more within the radius.
    fn looked_for(&self) -> usize {
        self.most + usize::from(self.radius.is_some())
    }

    fn keep(&self, mut rows: Vec<Neighbor>) -> Near {
        if let Some(radius) = self.radius {
            rows.retain(|neighbor| neighbor.distance <= radius);
        }
        let cut = rows.len() > self.most;
        rows.truncate(self.most);
        Near { rows, cut }
    }
}
