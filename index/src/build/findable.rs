//! Makes every row findable by a search for its own vector.
//!
//! That a row can be reached does not mean that a search reaches it: where every row that leads to it lies farther from
//! it than the local minimum that the search ends in, it is not found however often it is asked for (one row in 1,000
//! to 40,000 of real data). So each row is searched for, and one that is not found is linked to from where its search
//! ended: the next search that ends there finds it.

use rayon::prelude::*;

use crate::{
    Error, Kernel, MemGraph, Scratch, VectorRows,
    search::{Adjacency, Query, ScratchPool, Searcher},
};

/// Candidates kept by a search for a row's own vector. A wider search passes through the same rows.
const FIND_EF: usize = 64;
/// What most rows are found with.
const QUICK_EF: usize = 16;
/// Rows that are searched for between two questions whether to go on.
const ROWS_PER_REPORT: usize = 1024;
/// How often rows are looked for around those that had to be linked to.
const ROUNDS: usize = 4;

/// Adds a link to each row of the base layer that a search for its own vector does not find, until all are found; `false`
/// where a row was full and lost a link to make room, after which reachability has to be proved again.
///
/// `go_on` is asked now and then.
pub(super) fn make_findable<R: VectorRows + ?Sized>(
    graph: &MemGraph,
    rows: &R,
    kernel: &Kernel,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<bool, Error> {
    let Some(entry) = graph.entry() else { return Ok(true) };
    let finder = Finder { searcher: Searcher { graph, rows, kernel }, entry };
    let all: Vec<u32> = (0..graph.len()).filter(|&id| graph.level(id).is_some()).collect();
    let mut sound = true;
    for _ in 0..ROUNDS {
        let mut lost = finder.lost(&all, go_on)?;
        if lost.is_empty() {
            break;
        }
        // Most of what the new links hide is near to where they are; the next round through all finds the rest.
        for _ in 0..ROUNDS {
            let mut suspects = Vec::new();
            for id in lost {
                sound &= finder.link_to(id, &mut suspects)?;
            }
            suspects.sort_unstable();
            suspects.dedup();
            lost = finder.lost(&suspects, go_on)?;
        }
    }
    Ok(sound)
}

struct Finder<'a, R: ?Sized> {
    searcher: Searcher<'a, MemGraph, R>,
    entry: u32,
}

impl<R: VectorRows + ?Sized> Finder<'_, R> {
    /// Those of `suspects` that searches do not find.
    fn lost(&self, suspects: &[u32], go_on: &(dyn Fn() -> bool + Sync)) -> Result<Vec<u32>, Error> {
        let scratches = ScratchPool::default();
        let lost_in = |ids: &[u32]| {
            if !go_on() {
                return Err(Error::Cancelled);
            }
            scratches.with(|scratch| {
                let mut lost = Vec::new();
                for &id in ids {
                    if !self.finds(id, scratch)? {
                        lost.push(id);
                    }
                }
                Ok(lost)
            })
        };
        let lost = suspects.par_chunks(ROWS_PER_REPORT).map(lost_in).collect::<Result<Vec<_>, Error>>()?;
        Ok(lost.concat())
    }

    fn finds(&self, id: u32, scratch: &mut Scratch) -> Result<bool, Error> {
        finds(&self.searcher, self.entry, self.searcher.graph.top_level(), id, scratch)
    }

    /// Links to `id` from where the search for it ended, and adds the rows around to `suspects`: their searches go
    /// another way now. `false` where a link was lost.
    fn link_to(&self, id: u32, suspects: &mut Vec<u32>) -> Result<bool, Error> {
        let graph = self.searcher.graph;
        let mut scratch = Scratch::default();
        // A link made for another row may have helped this one.
        if self.finds(id, &mut scratch)? {
            return Ok(true);
        }
        let ended: Vec<u32> = scratch.candidates.iter().map(|candidate| candidate.id).collect();
        suspects.push(id);
        suspects.extend(&ended);
        let room = |from: u32| graph.links(from, 0).count() < graph.capacity(0);
        if let Some(from) = ended.iter().copied().find(|from| room(*from)) {
            graph.append(from, 0, id);
            return Ok(true);
        }
        if let Some(from) = ended.first().copied() {
            let mut links: Vec<u32> = graph.links(from, 0).collect();
            suspects.extend(links.pop());
            graph.store(from, 0, links.into_iter().chain([id]));
        }
        Ok(false)
    }
}

/// Whether a search for the vector of `id` finds it, or a row at the same place. Where it does not, the rows that the
/// search ended with are left in `scratch.candidates`.
pub(crate) fn finds<G: Adjacency, R: VectorRows + ?Sized>(
    searcher: &Searcher<'_, G, R>,
    entry: u32,
    top_level: u8,
    id: u32,
    scratch: &mut Scratch,
) -> Result<bool, Error> {
    let query = Query::new(searcher.kernel, searcher.rows.row(id)?);
    let own = searcher.neighbor(query, id)?;
    let start = searcher.approach(query, entry, (1..=top_level).rev(), scratch)?;
    for ef in [QUICK_EF, FIND_EF] {
        searcher.beam(query, start, 0, ef, scratch)?;
        if scratch.candidates.nearest().is_some_and(|nearest| nearest.distance <= own.distance) {
            return Ok(true);
        }
    }
    Ok(false)
}
