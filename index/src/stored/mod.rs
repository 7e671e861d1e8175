//! The graph and its vectors as they lie in the blocks of a file.

mod build;
mod connect;
mod delete;
mod findable;
mod insert;
mod links;
mod near;
mod nodes;
mod probe;
mod reader;
mod scan;
mod verify;
mod writer;

use redknot_storage::{Csr, Rows};

use crate::record::LEVELS_PER_ROW;
use crate::search::Adjacency;
use crate::{Error, VectorRows};
pub use build::{BuildOptions, BuildPhase, BuildProgress, Built, OnProgress, Save, build};
pub(crate) use links::INCOMING;
pub use nodes::{count_links, nodes_by_level, nodes_in_use};
pub use probe::Probe;
pub use reader::{Found, Reader, SearchParams};
pub use verify::{Finding, verify};
pub use writer::Writer;

/// Level code of a node that is in use and not in the graph.
pub(crate) const UNLINKED: u8 = 254;
/// Level code of a node that is not in use.
pub(crate) const FREE: u8 = 255;

/// The stored vectors.
#[derive(Clone, Copy)]
pub(crate) struct StoredRows<'v> {
    rows: Rows<'v>,
    /// Whether reading them waits for the disk.
    waits: bool,
}

impl<'v> StoredRows<'v> {
    /// For a search, which reads ahead if those before it had to wait for the disk.
    pub(crate) fn new(rows: Rows<'v>) -> StoredRows<'v> {
        let waits = rows.waits_for_disk();
        StoredRows { rows, waits }
    }
}

impl VectorRows for StoredRows<'_> {
    fn len(&self) -> u32 {
        self.rows.len()
    }

    #[inline(always)]
    fn row(&self, id: u32) -> Result<&[u8], Error> {
        Ok(self.rows.get(id)?)
    }

    #[inline(always)]
    fn prefetch(&self, id: u32) {
        self.rows.prefetch(id);
    }

    #[inline(always)]
    fn request(&self, ids: &[u32]) {
        if self.waits {
            ids.iter().for_each(|id| self.rows.request(*id));
        }
    }
}

/// The stored links.
#[derive(Clone, Copy)]
pub(crate) struct StoredLinks<'v> {
    pub(crate) base: Csr<'v>,
    pub(crate) upper: Csr<'v>,
}

impl<'v> StoredLinks<'v> {
    /// The links of `id` in `layer`, and those to it, as little-endian u32s.
    #[inline(always)]
    pub(crate) fn bytes(&self, id: u32, layer: u8) -> Result<&'v [u8], Error> {
        if layer == 0 { Ok(self.base.get(id)?) } else { layer_of(id, self.upper.get(id)?, layer) }
    }
}

impl StoredLinks<'_> {
    /// The rows that `id` links to in the base layer, and those that link to it: `most` of them at most.
    #[inline(always)]
    pub(crate) fn links_both_ways(&self, id: u32, most: usize) -> Result<impl Iterator<Item = u32>, Error> {
        let row = self.base.get(id)?;
        Ok(words(&row[..row.len().min(4 * most)]).map(|word| word & !INCOMING))
    }
}

impl Adjacency for StoredLinks<'_> {
    fn len(&self) -> u32 {
        self.base.len()
    }

    #[inline(always)]
    fn links(&self, id: u32, layer: u8) -> Result<impl Iterator<Item = u32>, Error> {
        Ok(words(self.bytes(id, layer)?).take_while(|word| word & INCOMING == 0))
    }

    #[inline(always)]
    fn prefetch_place(&self, id: u32, layer: u8) {
        if layer == 0 {
            self.base.prefetch_ends(id);
        }
    }

    #[inline(always)]
    fn prefetch(&self, id: u32, layer: u8) {
        if layer == 0 {
            self.base.prefetch(id);
        }
    }
}

/// The numbers of a row of u32s.
#[inline]
pub(crate) fn words(bytes: &[u8]) -> impl ExactSizeIterator<Item = u32> + Clone + '_ {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word))
}

/// The links of one layer in a row of `upper`: for each layer from 1 on a count and that many links.
fn layer_of(id: u32, row: &[u8], layer: u8) -> Result<&[u8], Error> {
    let damaged =
        || Error::Damaged { what: format!("the upper links of node {id} do not reach layer {layer}") };
    let mut rest = row;
    for at in 1.. {
        let count = words(rest).next().ok_or_else(damaged)? as usize;
        let links = rest.get(4..4 + 4 * count).ok_or_else(damaged)?;
        if at == layer {
            return Ok(links);
        }
        rest = &rest[4 + 4 * count..];
    }
    Err(damaged())
}

/// The level code of a node. Imports leave the array short.
pub(crate) fn level_of(levels: Rows<'_>, id: u32) -> Result<u8, Error> {
    if id / LEVELS_PER_ROW >= levels.len() {
        return Ok(UNLINKED);
    }
    Ok(levels.get(id / LEVELS_PER_ROW)?[(id % LEVELS_PER_ROW) as usize])
}
