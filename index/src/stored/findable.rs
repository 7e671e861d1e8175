//! Keeping every row findable by a search for its own vector; see `build::findable`.
//!
//! Before a commit the rows are searched for that the transaction may have made hard to find: those that it added, and
//! those that lost a link and are left with few. As a row may also be lost in other ways (the links that a search passes
//! through on its way change, too), the search goes on a few rows further through the whole index with every commit.

use redknot_storage::View;

use super::writer::Writer;
use super::{StoredLinks, StoredRows, UNLINKED};
use crate::Error;
use crate::build::finds;
use crate::search::{SCRATCHES, Searcher};

/// A row that so many link to is not searched for when it loses one of them.
const WELL_LINKED: usize = 16;
/// Other rows that are searched for, for each that was added or removed.
const PATROL: u32 = 2;
/// How often rows are looked for around those that had to be linked to.
const ROUNDS: usize = 3;

impl Writer<'_> {
    /// Links to the rows that searches for their own vectors do not find, out of those that are suspected.
    pub(crate) fn make_findable(&mut self) -> Result<(), Error> {
        let changes = std::mem::take(&mut self.record.changes);
        for _ in 0..PATROL.saturating_mul(changes.rows).min(self.record.nodes) {
            let node = self.record.patrol % self.record.nodes;
            self.record.patrol = node + 1;
            if self.level(node)? < UNLINKED {
                self.find(node)?;
            }
        }
        let mut suspects = changes.suspects;
        for _ in 0..ROUNDS {
            for node in suspects {
                if node < self.record.nodes && self.level(node)? < UNLINKED && self.has_few_links(node)? {
                    self.find(node)?;
                }
            }
            // Those around the rows that had to be linked to, and those that lost a link to one.
            suspects = std::mem::take(&mut self.record.changes.suspects);
        }
        Ok(())
    }

    fn has_few_links(&self, node: u32) -> Result<bool, Error> {
        let links = self.links(node, 0)?;
        Ok(links.incoming.len() < WELL_LINKED && self.linking_to(node, &links, 0)?.len() < WELL_LINKED)
    }

    /// Searches for a linked node, and links to it from where the search ended if that was elsewhere.
    fn find(&mut self, node: u32) -> Result<(), Error> {
        let Some(entry) = self.record.entry else { return Ok(()) };
        let ended = {
            let rows = StoredRows(self.txn.rows(self.record.arrays.vectors)?);
            let graph = StoredLinks {
                base: self.txn.csr(self.record.arrays.links)?,
                upper: self.txn.csr(self.record.arrays.upper)?,
            };
            let searcher = Searcher { graph: &graph, rows: &rows, kernel: &self.kernel };
            SCRATCHES.with(|scratch| {
                let found = finds(&searcher, entry, self.record.top_level, node, scratch)?;
                let ended = scratch.candidates.iter().map(|candidate| candidate.id);
                Ok::<_, Error>(if found { Vec::new() } else { ended.collect() })
            })?
        };
        let Some(nearest) = ended.first().copied() else { return Ok(()) };
        // Their searches go another way from now on.
        self.record.changes.suspects.extend(ended.iter().copied());
        for from in ended {
            let links = self.links(from, 0)?;
            if links.out.len() < self.capacity(0) && !links.out.contains(&node) {
                return self.add_link(from, node, 0);
            }
        }
        self.make_room(nearest, 0)?;
        self.record.unchecked += 1;
        self.add_link(nearest, node, 0)
    }
}
