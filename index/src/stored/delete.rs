//! Removing a node from the graph, with repair of the links around the hole.

use redknot_storage::View;

use super::links::NodeLinks;
use super::writer::Writer;
use super::{FREE, UNLINKED};
use crate::search::{Query, Searcher};
use crate::{Error, Neighbor, VectorRows};

impl Writer<'_> {
    /// Removes a row: its links, those to it, its vector. The nodes that linked to it take over its links where
    /// these lead elsewhere than their own (Singh et al. 2021, FreshDiskANN, algorithm 4).
    pub fn delete(&mut self, node: u32) -> Result<(), Error> {
        if node >= self.record.nodes {
            return Err(Error::RowOutOfRange { id: node, len: self.record.nodes });
        }
        let level = self.level(node)?;
        match level {
            FREE => return Err(Error::NotInUse { id: node }),
            UNLINKED => {
                self.record.unlinked.remove(node);
                self.extend_graph(node + 1)?;
            }
            level => self.unlink(node, level)?,
        }
        self.release(node)?;
        self.record.live -= 1;
        self.record.epoch += 1;
        Ok(())
    }

    /// Takes a linked node out of all its layers; it is then in use and unlinked, but not in the set of those.
    pub(crate) fn unlink(&mut self, node: u32, level: u8) -> Result<(), Error> {
        let mut orphans = Vec::new();
        for layer in (0..=level).rev() {
            let links = self.links(node, layer)?;
            for from in self.linking_to(node, &links, layer)? {
                self.bridge(from, node, &links, layer)?;
            }
            // Nobody links here any more, so each of these holds the node as incoming.
            for to in self.links(node, layer)?.out {
                self.remove_link(node, to, layer)?;
                orphans.push((layer, to));
            }
        }
        self.txn.set_csr_row(self.record.arrays.upper, node, &[])?;
        self.txn.set_csr_row(self.record.arrays.links, node, &[])?;
        self.set_level(node, UNLINKED)?;
        for (layer, orphan) in orphans {
            self.ensure_linked_to(orphan, layer)?;
        }
        if self.record.entry == Some(node) {
            self.choose_entry()?;
        }
        self.record.unchecked += DELETE_WEIGHT;
        Ok(())
    }

    /// Replaces the link `from → gone` by links to nodes that `gone` linked to and that no other link of `from`
    /// leads towards.
    fn bridge(&mut self, from: u32, gone: u32, hole: &NodeLinks, layer: u8) -> Result<(), Error> {
        self.remove_link(from, gone, layer)?;
        let kept = self.links(from, layer)?.out;
        for to in self.detours(from, &kept, hole, layer)? {
            self.add_link(from, to, layer)?;
        }
        Ok(())
    }

    fn detours(&self, from: u32, kept: &[u32], hole: &NodeLinks, layer: u8) -> Result<Vec<u32>, Error> {
        let room = self.capacity(layer).saturating_sub(kept.len());
        let (rows, graph) = self.graph()?;
        let searcher = Searcher { graph: &graph, rows: &rows, kernel: &self.kernel };
        let new: Vec<u32> = hole.out.iter().copied().filter(|to| *to != from && !kept.contains(to)).collect();
        let mut candidates = Vec::with_capacity(new.len());
        let query = Query::new(&self.kernel, rows.row(from)?);
        searcher.neighbors(query, &new, |neighbor| candidates.push(neighbor))?;
        candidates.sort_unstable_by(Neighbor::order);
        let mut leading = kept.to_vec();
        let mut added = Vec::new();
        for candidate in &candidates {
            if added.len() == room {
                break;
            }
            let query = Query::new(&self.kernel, rows.row(candidate.id)?);
            if !searcher.any_nearer(query, &leading, candidate.distance)? {
                leading.push(candidate.id);
                added.push(candidate.id);
            }
        }
        // Rather a link that another one nearly leads to than one less with every row that goes.
        if added.is_empty() && room > 0 {
            added.extend(candidates.first().map(|nearest| nearest.id));
        }
        Ok(added)
    }

    /// Wipes the vector of a node without links, and lets another row take its number.
    fn release(&mut self, node: u32) -> Result<(), Error> {
        self.txn.row_mut(self.record.arrays.vectors, node)?.fill(0);
        self.set_level(node, FREE)?;
        self.record.free_from = self.record.free_from.min(node);
        self.record.changes.suspects.remove(node);
        self.record.changes.rows += 1;
        Ok(())
    }

    /// Lets searches start at a node of the highest level that there is.
    fn choose_entry(&mut self) -> Result<(), Error> {
        let levels = self.txn.rows(self.record.arrays.levels)?;
        let mut highest: Option<(u8, u32)> = None;
        let mut node = 0;
        'rows: for row in 0..levels.len() {
            for &code in levels.get(row)? {
                if node >= self.record.nodes {
                    break 'rows;
                }
                if code < UNLINKED && highest.is_none_or(|(level, _)| code > level) {
                    highest = Some((code, node));
                }
                node += 1;
            }
        }
        self.record.entry = highest.map(|(_, node)| node);
        self.record.top_level = highest.map_or(0, |(level, _)| level);
        Ok(())
    }
}

/// A deletion counts this much more than an insertion towards the next check that all nodes can be reached.
const DELETE_WEIGHT: u32 = 8;
