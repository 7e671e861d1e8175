//! The order in which rows are linked.

use rayon::prelude::*;

use super::Pending;
use crate::{
    Error, Kernel, MemGraph, VectorRows, reorder,
    search::{Query, Scratch, ScratchPool, Searcher},
};

/// Sorts rows of level 0 so that rows near each other are linked one after the other: what one search has brought into the
/// processor's cache serves the next, and the search for neighbours is a third faster.
///
/// Rows are near each other if they have the same nearest row in layer 1, which is complete by now, or nearest rows that
/// are near each other. Being a random sample of all rows, it also gives the graph the long links that an
/// order by place alone would leave out.
pub(super) fn sort<R: VectorRows + ?Sized>(
    pending: &mut [Pending],
    graph: &MemGraph,
    rows: &R,
    kernel: &Kernel,
) -> Result<(), Error> {
    let Some(entry) = graph.entry() else { return Ok(()) };
    let searcher = Searcher { graph, rows, kernel };
    let scratches = ScratchPool::<Scratch>::default();
    pending.par_chunks_mut(super::BATCH_ROWS).try_for_each(|batch| {
        scratches.with(|scratch| {
            for row in batch {
                let query = Query::new(kernel, rows.row(row.id)?);
                let layers = (1..=graph.top_level()).rev();
                row.start = Some(searcher.approach(query, entry, layers, scratch)?.id);
            }
            Ok::<(), Error>(())
        })
    })?;
    let places = reorder::cluster(graph, 1, rows, kernel, &|| true)?;
    pending.sort_by_key(|row| row.start.map(|start| places.new_id(start)));
    Ok(())
}
