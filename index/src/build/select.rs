//! Which candidates become links.

use crate::{
    Error, Neighbor, VectorRows,
    search::{Adjacency, Query, Searcher},
};

/// How many links a new row chooses. In the base layer, where rows keep twice `m`, a quarter more than `m`: the distances
/// that a search computes and its recall at equal `ef` both rise a little, to the same point of the trade.
pub(crate) fn new_links(m: usize, layer: u8) -> usize {
    if layer == 0 { m + m / 4 } else { m }
}

/// Chooses up to `limit` of the candidates of `target`, sorted from near to far, so that they lie in different directions:
/// a candidate that is nearer to a chosen one than to the target is left out, as it can be reached through that one
/// (Malkov & Yashunin 2016, algorithm 4; the same rule as hnswlib's `getNeighborsByHeuristic2`).
///
/// One rule is added, for copies of the target itself: they neither shadow others nor are shadowed, being where the target
/// is, and may take half of the links at most, or a group of copies would link to nothing but itself.
///
/// `shadowing` is working memory.
pub(crate) fn diverse<G: Adjacency, R: VectorRows + ?Sized>(
    searcher: &Searcher<'_, G, R>,
    target: u32,
    candidates: &[Neighbor],
    limit: usize,
    chosen: &mut Vec<Neighbor>,
    shadowing: &mut Vec<u32>,
) -> Result<(), Error> {
    chosen.clear();
    shadowing.clear();
    if candidates.len() <= limit {
        chosen.extend_from_slice(candidates);
        return Ok(());
    }
    let target_row = searcher.rows.row(target)?;
    let mut copies = 0;
    for &candidate in candidates {
        if chosen.len() == limit {
            break;
        }
        let row = searcher.rows.row(candidate.id)?;
        if row == target_row {
            copies += 1;
            if copies <= limit / 2 {
                chosen.push(candidate);
            }
        } else if !searcher.any_nearer(Query::new(searcher.kernel, row), shadowing, candidate.distance)? {
            chosen.push(candidate);
            shadowing.push(candidate.id);
        }
    }
    Ok(())
}
