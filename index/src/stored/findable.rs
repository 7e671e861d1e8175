//! Keeping every row findable by a search for its own vector; see `build::findable`.
//!
//! Before a commit the rows are searched for that the transaction may have made hard to find: those that it added, and
//! those that lost a link and are left with few. That does not prove that all are found, as the links that a search
//! passes through on its way change, too. What is lost in this way is nearly always an outlier that a handful of rows link
//! to, so once enough has changed all rows of that kind are searched for.

use std::ops::Range;

use rayon::prelude::*;
use redknot_storage::View;

use super::links::INCOMING;
use super::writer::Writer;
use super::{StoredLinks, StoredRows, UNLINKED, words};
use crate::Error;
use crate::build::finds;
use crate::search::{SCRATCHES, Searcher};

/// A row that so many link to is not searched for when it loses one of them.
const WELL_LINKED: usize = 16;
/// A row that so many link to is searched for now and then.
const FRAGILE: Range<u8> = 1..6;
/// All fragile rows are searched for after this share of the rows has changed.
const SHARE: u32 = 64;
/// How often rows are looked for around those that had to be linked to.
const ROUNDS: usize = 4;

impl Writer<'_> {
    /// Links to the rows that searches for their own vectors do not find, out of those that are suspected.
    pub(crate) fn make_findable(&mut self) -> Result<(), Error> {
        let changed_rows = std::mem::take(&mut self.record.changes.rows);
        self.record.unsearched = self.record.unsearched.saturating_add(changed_rows);
        let all = changed_rows > 0 && self.record.unsearched >= self.record.nodes / SHARE;
        for _ in 0..ROUNDS {
            let mut suspects = Vec::new();
            for node in std::mem::take(&mut self.record.changes.suspects) {
                if node < self.record.nodes && self.level(node)? < UNLINKED && self.has_few_links(node)? {
                    suspects.push(node);
                }
            }
            if all {
                suspects.extend(self.fragile()?);
                suspects.sort_unstable();
                suspects.dedup();
            }
            let lost = self.lost(&suspects)?;
            if lost.is_empty() {
                break;
            }
            for node in lost {
                // What this hides in turn is suspected in the next round.
                self.link_to(node)?;
            }
        }
        if all {
            self.record.unsearched = 0;
        }
        Ok(())
    }

    fn has_few_links(&self, node: u32) -> Result<bool, Error> {
        let links = self.links(node, 0)?;
        Ok(links.incoming.len() < WELL_LINKED && self.linking_to(node, &links, 0)?.len() < WELL_LINKED)
    }

    /// Linked nodes that few nodes link to.
    fn fragile(&self) -> Result<Vec<u32>, Error> {
        let links = self.txn.csr(self.record.arrays.links)?;
        let mut incoming = vec![0_u8; self.record.nodes as usize];
        for node in 0..links.len() {
            for to in words(links.get(node)?).take_while(|word| word & INCOMING == 0) {
                if let Some(count) = incoming.get_mut(to as usize) {
                    *count = count.saturating_add(1);
                }
            }
        }
        let fragile = (0..).zip(incoming).filter(|(_, count)| FRAGILE.contains(count));
        Ok(fragile.map(|(node, _)| node).collect())
    }

    /// Those of these linked nodes that searches do not find.
    fn lost(&self, nodes: &[u32]) -> Result<Vec<u32>, Error> {
        let Some(entry) = self.record.entry else { return Ok(Vec::new()) };
        let (rows, graph) = self.graph()?;
        let searcher = Searcher { graph: &graph, rows: &rows, kernel: &self.kernel };
        let lost = nodes.par_iter().map(|&node| {
            let found =
                SCRATCHES.with(|scratch| finds(&searcher, entry, self.record.top_level, node, scratch))?;
            Ok((!found).then_some(node))
        });
        lost.filter_map(Result::transpose).collect()
    }

    /// Links to a node from where the search for it ends, if that is elsewhere.
    fn link_to(&mut self, node: u32) -> Result<(), Error> {
        let Some(entry) = self.record.entry else { return Ok(()) };
        let ended: Vec<u32> = {
            let (rows, graph) = self.graph()?;
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

    /// Vectors and links as they are now.
    pub(crate) fn graph(&self) -> Result<(StoredRows<'_>, StoredLinks<'_>), Error> {
        let rows = StoredRows::new(self.txn.rows(self.record.arrays.vectors)?);
        let base = self.txn.csr(self.record.arrays.links)?;
        Ok((rows, StoredLinks { base, upper: self.txn.csr(self.record.arrays.upper)? }))
    }
}
