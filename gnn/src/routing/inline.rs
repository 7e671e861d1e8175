//! The graph with the keys of its links beside them, in memory.

use rayon::prelude::*;
use redknot_index::Reader;
use redknot_storage::{Rows, prefetch};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::RouteError;

/// A cache line.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

const LINE: usize = 64;
/// Nodes that a thread copies together.
const NODES_AT_ONCE: u32 = 1024;
/// Lines of a row that are fetched ahead; the processor follows the rest by itself.
const LINES_AHEAD: usize = 12;

/// A copy of the base layer in which each node's links and their keys lie one behind the other.
///
/// A hop of a routed search reads the links of a node, and then one key for each of them, from as many places. Here it
/// reads one place. That takes a key for each link instead of one for each node, some twenty times as much memory:
/// for databases that are read far more often than written, on machines that have it. The copy stands for one
/// committed state; when the graph changes, searches go back to the keys in the file.
pub struct InlineGraph {
    /// Where the row of each node begins, and behind the last one the end, in lines.
    starts: Vec<u32>,
    lines: Vec<Line>,
    key_bytes: usize,
}

/// The links of a node, with their keys.
#[derive(Clone, Copy)]
pub(super) struct InlineRow<'a> {
    /// The nodes that are linked to.
    pub(super) links: &'a [u32],
    /// Their keys, one behind the other.
    pub(super) keys: &'a [u8],
}

impl InlineGraph {
    /// Copies the graph and the keys, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`RouteError::Memory`] where that would take more than `max_bytes`; what reading the index or the keys fails
    /// with.
    pub fn new(reader: &Reader<'_>, keys: Rows<'_>, max_bytes: u64) -> Result<InlineGraph, RouteError> {
        let key_bytes = keys.row_bytes();
        let nodes = reader.linked_below();
        let lines_of = |node| Ok::<_, RouteError>(lines(reader.neighbors(node)?.count(), key_bytes));
        let sizes = (0..nodes).into_par_iter().map(lines_of).collect::<Result<Vec<usize>, _>>()?;
        let total: u64 = sizes.iter().map(|lines| *lines as u64).sum();
        let needed = total * LINE as u64 + 4 * (u64::from(nodes) + 1);
        let max = max_bytes.min(u64::from(u32::MAX) * LINE as u64);
        if needed > max {
            return Err(RouteError::Memory { needed, max });
        }
        let mut starts = Vec::with_capacity(sizes.len() + 1);
        let mut start = 0;
        starts.push(start);
        starts.extend(sizes.iter().map(|lines| {
            start += *lines as u32;
            start
        }));
        let lines = vec![Line::new_zeroed(); total as usize];
        let mut graph = InlineGraph { starts, lines, key_bytes };
        graph.fill(reader, keys)?;
        Ok(graph)
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> u64 {
        (self.lines.len() * LINE + 4 * self.starts.len()) as u64
    }

    /// Nodes are numbered below this.
    pub(super) fn nodes(&self) -> u32 {
        self.starts.len() as u32 - 1
    }

    pub(super) fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    fn fill(&mut self, reader: &Reader<'_>, keys: Rows<'_>) -> Result<(), RouteError> {
        let (starts, key_bytes) = (&self.starts, self.key_bytes);
        let mut rest = self.lines.as_mut_slice();
        let mut parts = Vec::new();
        let nodes = starts.len() as u32 - 1;
        for first in (0..nodes).step_by(NODES_AT_ONCE as usize) {
            let end = (first + NODES_AT_ONCE).min(nodes);
            let (part, others) = rest.split_at_mut((starts[end as usize] - starts[first as usize]) as usize);
            parts.push((first..end, part));
            rest = others;
        }
        parts.into_par_iter().try_for_each(|(nodes, mut part)| {
            for node in nodes {
                let own = (starts[node as usize + 1] - starts[node as usize]) as usize;
                let (row, others) = part.split_at_mut(own);
                write_row(reader, keys, node, key_bytes, row.as_mut_bytes())?;
                part = others;
            }
            Ok(())
        })
    }

    /// The links of a node, which lies below [`InlineGraph::nodes`].
    #[inline]
    pub(super) fn row(&self, node: u32) -> InlineRow<'_> {
        let bytes = self.lines(node).as_bytes();
        let Some(count) = bytes.first_chunk() else { return InlineRow { links: &[], keys: &[] } };
        let count = u32::from_ne_bytes(*count) as usize;
        let links = <[u32]>::ref_from_bytes(&bytes[4..4 + 4 * count]);
        InlineRow {
            links: links.expect("rows begin at lines, and links four bytes later"),
            keys: &bytes[keys_start(count, self.key_bytes)..][..count * self.key_bytes],
        }
    }

    /// Fetches the beginning of a row into the cache.
    #[inline]
    pub(super) fn prefetch(&self, node: u32) {
        let lines = self.lines(node);
        prefetch(&lines[..lines.len().min(LINES_AHEAD)]);
    }

    #[inline]
    fn lines(&self, node: u32) -> &[Line] {
        let node = node as usize;
        &self.lines[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

/// Where the keys of a row of `count` links begin: behind the count and the links, where no key lies in more lines than it
/// has to.
const fn keys_start(count: usize, key_bytes: usize) -> usize {
    let align = if key_bytes.is_multiple_of(LINE) { LINE } else { LINE / 2 };
    (4 + 4 * count).next_multiple_of(align)
}

fn lines(count: usize, key_bytes: usize) -> usize {
    if count == 0 { 0 } else { (keys_start(count, key_bytes) + count * key_bytes).div_ceil(LINE) }
}

fn write_row(
    reader: &Reader<'_>,
    keys: Rows<'_>,
    node: u32,
    key_bytes: usize,
    row: &mut [u8],
) -> Result<(), RouteError> {
    let links: Vec<u32> = reader.neighbors(node)?.collect();
    if links.is_empty() {
        return Ok(());
    }
    row[..4].copy_from_slice(&(links.len() as u32).to_ne_bytes());
    row[4..4 + 4 * links.len()].copy_from_slice(links.as_bytes());
    let room = row[keys_start(links.len(), key_bytes)..].chunks_exact_mut(key_bytes);
    for (room, &link) in room.zip(&links) {
        room.copy_from_slice(keys.get(link).map_err(RouteError::Keys)?);
    }
    Ok(())
}

impl std::fmt::Debug for InlineGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InlineGraph").field("nodes", &self.nodes()).field("bytes", &self.bytes()).finish()
    }
}
