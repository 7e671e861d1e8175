//! Linking one row into the graph.

use parking_lot::Mutex;

use super::{Pending, select};
use crate::{
    Error, Kernel, MemGraph, Neighbor, Scratch, VectorRows,
    search::{Query, Searcher},
};

/// What the threads of a build share.
pub(super) struct Linker<'a, R: ?Sized> {
    pub(super) graph: &'a MemGraph,
    pub(super) rows: &'a R,
    pub(super) kernel: &'a Kernel,
    pub(super) locks: &'a [Mutex<()>],
    pub(super) ef: usize,
}

/// The working memory of one thread of a build.
#[derive(Default)]
pub(super) struct LinkScratch {
    search: Scratch,
    candidates: Vec<Neighbor>,
    chosen: Vec<Neighbor>,
    shadowing: Vec<u32>,
    /// The links chosen for the new row, the top layer first.
    planned: Vec<(u8, Neighbor)>,
}

impl<R: VectorRows + ?Sized> Linker<'_, R> {
    /// Finds neighbours for a row in every layer it is in, and links both ways.
    ///
    /// All neighbours are chosen before the first link to the row is made, and its own links are written before any other
    /// row links to it: a search never arrives at a row without links, and two rows that are linked at the same
    /// time do not see each other, so no row is linked to the same one twice.
    pub(super) fn link(&self, row: &Pending, scratch: &mut LinkScratch) -> Result<(), Error> {
        let &Pending { id, level, start } = row;
        let Some(entry) = self.graph.entry() else { return Ok(()) };
        let top = self.graph.top_level();
        let searcher = self.searcher();
        let query = Query::new(self.kernel, self.rows.row(id)?);
        let mut nearest = match start {
            Some(start) => searcher.neighbor(query, start)?,
            None => searcher.approach(query, entry, (level + 1..=top).rev(), &mut scratch.search)?,
        };
        scratch.planned.clear();
        for layer in (0..=level.min(top)).rev() {
            searcher.beam(query, nearest, layer, self.ef, &mut scratch.search)?;
            let LinkScratch { search, candidates, chosen, shadowing, planned } = scratch;
            nearest = search.candidates.nearest().unwrap_or(nearest);
            candidates.clear();
            candidates.extend(search.candidates.iter());
            self.look_past_copies(id, layer, search, candidates)?;
            let limit = select::new_links(self.graph.m(), layer);
            select::diverse(&searcher, id, candidates, limit, chosen, shadowing)?;
            planned.extend(chosen.iter().map(|&neighbor| (layer, neighbor)));
        }
        self.publish(id, scratch)
    }

    /// Where the search found nothing but copies of the row, adds the neighbours of a copy: it was linked when there were fewer.
    fn look_past_copies(
        &self,
        id: u32,
        layer: u8,
        search: &mut Scratch,
        candidates: &mut Vec<Neighbor>,
    ) -> Result<(), Error> {
        let (Some(&nearest), Some(&farthest)) = (candidates.first(), candidates.last()) else {
            return Ok(());
        };
        let row = self.rows.row(id)?;
        if candidates.len() < self.ef || self.rows.row(farthest.id)? != row {
            return Ok(());
        }
        search.links.clear();
        search.links.extend(self.graph.links(nearest.id, layer));
        search.links.retain(|link| candidates.iter().all(|candidate| candidate.id != *link));
        let query = Query::new(self.kernel, row);
        self.searcher().neighbors(query, &search.links, |neighbor| candidates.push(neighbor))?;
        candidates.sort_unstable_by(Neighbor::order);
        Ok(())
    }

    fn searcher(&self) -> Searcher<'_, MemGraph, R> {
        Searcher { graph: self.graph, rows: self.rows, kernel: self.kernel }
    }

    /// Writes the planned links of a row, then the links back to it, the base layer first.
    fn publish(&self, id: u32, scratch: &mut LinkScratch) -> Result<(), Error> {
        let planned = std::mem::take(&mut scratch.planned);
        {
            // Not for exclusion, nobody knows the row yet: whoever learns of it takes this lock, and then sees these links.
            let _lock = self.locks[id as usize].lock();
            for links in planned.chunk_by(|a, b| a.0 == b.0) {
                self.graph.store(id, links[0].0, links.iter().map(|(_, neighbor)| neighbor.id));
            }
        }
        for &(layer, neighbor) in planned.iter().rev() {
            let back = Neighbor { id, distance: neighbor.distance };
            self.link_back(neighbor.id, layer, back, scratch)?;
        }
        scratch.planned = planned;
        Ok(())
    }

    /// Adds the link `from → to`. A row that is full chooses anew among its links and the new one.
    fn link_back(&self, from: u32, layer: u8, to: Neighbor, scratch: &mut LinkScratch) -> Result<(), Error> {
        let _lock = self.locks[from as usize].lock();
        if self.graph.append(from, layer, to.id) {
            return Ok(());
        }
        let LinkScratch { search, candidates, chosen, shadowing, .. } = scratch;
        let searcher = self.searcher();
        search.links.clear();
        search.links.extend(self.graph.links(from, layer));
        candidates.clear();
        candidates.push(to);
        let query = Query::new(self.kernel, self.rows.row(from)?);
        searcher.neighbors(query, &search.links, |neighbor| candidates.push(neighbor))?;
        candidates.sort_unstable_by(Neighbor::order);
        select::diverse(&searcher, from, candidates, self.graph.capacity(layer), chosen, shadowing)?;
        self.graph.store(from, layer, chosen.iter().map(|neighbor| neighbor.id));
        Ok(())
    }
}
