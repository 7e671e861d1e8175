//! Adding a node to the graph (Malkov & Yashunin 2016, algorithm 1).

use redknot_storage::View;

use super::links::{NodeLinks, encode_upper};
use super::writer::Writer;
use super::{FREE, UNLINKED};
use crate::build::{diverse, level_of_row, new_links};
use crate::record::LEVELS_PER_ROW;
use crate::search::{Query, SCRATCHES, Searcher};
use crate::{Error, Neighbor, VectorRows};

impl Writer<'_> {
    /// Adds a row, links it, and returns its number. Numbers of deleted rows are taken first.
    pub fn insert(&mut self, row: &[u8]) -> Result<u32, Error> {
        let expected = self.record.config.row_bytes();
        if row.len() != expected {
            return Err(Error::RowLength { expected, got: row.len() });
        }
        let node = self.take_node(row)?;
        self.link(node)?;
        self.record.live += 1;
        self.record.changes.rows += 1;
        self.record.unchecked += 1;
        self.record.epoch += 1;
        Ok(node)
    }

    /// Puts another row in the place of `node` and returns its number, which may be another.
    pub fn replace(&mut self, node: u32, row: &[u8]) -> Result<u32, Error> {
        let expected = self.record.config.row_bytes();
        if row.len() != expected {
            return Err(Error::RowLength { expected, got: row.len() });
        }
        self.delete(node)?;
        self.insert(row)
    }

    /// A node that is not in use, with `row` as its vector.
    fn take_node(&mut self, row: &[u8]) -> Result<u32, Error> {
        if self.record.live == self.record.nodes {
            let end = self.room_for(1)?;
            self.txn.push_rows(self.record.arrays.vectors, row)?;
            self.extend_graph(end)?;
            self.record.nodes = end;
            return Ok(end - 1);
        }
        let node = self.first_free()?;
        self.record.free_from = node + 1;
        self.set_level(node, UNLINKED)?;
        self.txn.set_row(self.record.arrays.vectors, node, row)?;
        Ok(node)
    }

    /// The first free node. The first rather than the last freed: rows that are added together then lie together.
    fn first_free(&self) -> Result<u32, Error> {
        let levels = self.txn.rows(self.record.arrays.levels)?;
        for row in self.record.free_from / LEVELS_PER_ROW..levels.len() {
            if let Some(at) = levels.get(row)?.iter().position(|code| *code == FREE) {
                return Ok(row * LEVELS_PER_ROW + at as u32);
            }
        }
        Err(Error::Damaged { what: "fewer nodes are free than the record says".into() })
    }

    /// Links a node that is in use and in no layer.
    pub(crate) fn link(&mut self, node: u32) -> Result<(), Error> {
        let level = level_of_row(self.record.config.seed, node, self.record.config.m);
        let planned = self.plan(node, level)?;
        let mut bytes = Vec::new();
        encode_upper(&vec![NodeLinks::default(); usize::from(level)], &mut bytes);
        self.txn.set_csr_row(self.record.arrays.upper, node, &bytes)?;
        self.set_level(node, level)?;
        for (layer, neighbors) in planned {
            let out = neighbors.iter().map(|neighbor| neighbor.id).collect();
            self.set_links(node, layer, NodeLinks { out, incoming: Vec::new() })?;
            for neighbor in &neighbors {
                self.link_back(neighbor.id, Neighbor { id: node, distance: neighbor.distance }, layer)?;
            }
            self.ensure_linked_to(node, layer)?;
        }
        self.record.changes.suspects.insert(node);
        if self.record.entry.is_none() || level > self.record.top_level {
            self.record.entry = Some(node);
            self.record.top_level = level;
        }
        Ok(())
    }

    /// The nodes to link to in each layer, the top layer first.
    fn plan(&self, node: u32, level: u8) -> Result<Vec<(u8, Vec<Neighbor>)>, Error> {
        let Some(entry) = self.record.entry else { return Ok(Vec::new()) };
        let top = self.record.top_level;
        let (rows, graph) = self.graph()?;
        let searcher = Searcher { graph: &graph, rows: &rows, kernel: &self.kernel };
        let query = Query::new(&self.kernel, rows.row(node)?);
        SCRATCHES.with(|scratch| {
            let mut nearest = searcher.neighbor(query, entry)?;
            for layer in (level + 1..=top).rev() {
                nearest = searcher.descend(query, nearest, layer, scratch)?;
            }
            let mut planned = Vec::with_capacity(usize::from(level) + 1);
            let (mut chosen, mut chosen_ids) = (Vec::new(), Vec::new());
            for layer in (0..=level.min(top)).rev() {
                searcher.beam(query, nearest, layer, self.record.config.ef_construction, scratch)?;
                nearest = scratch.candidates.nearest().unwrap_or(nearest);
                let candidates: Vec<Neighbor> =
                    scratch.candidates.iter().filter(|candidate| candidate.id != node).collect();
                let limit = new_links(self.record.config.m, layer);
                diverse(&searcher, node, &candidates, limit, &mut chosen, &mut chosen_ids)?;
                planned.push((layer, chosen.clone()));
            }
            Ok(planned)
        })
    }

    /// Adds the link `from → to.id`, the other way round being there. A node that is full chooses anew.
    fn link_back(&mut self, from: u32, to: Neighbor, layer: u8) -> Result<(), Error> {
        let mut links = self.links(from, layer)?;
        if links.out.len() < self.capacity(layer) {
            links.out.push(to.id);
            return self.set_links(from, layer, links);
        }
        let kept = self.choose(from, &links.out, to, layer)?;
        let dropped: Vec<u32> = links.out.iter().copied().filter(|old| !kept.contains(old)).collect();
        // `to` links here: without a link back it is incoming.
        if kept.contains(&to.id) {
            links.out.push(to.id)
        } else {
            links.incoming.push(to.id)
        }
        self.set_links(from, layer, links)?;
        for old in dropped {
            self.remove_link(from, old, layer)?;
        }
        Ok(())
    }

    /// Which of its links and the new one a full node keeps.
    fn choose(&self, from: u32, out: &[u32], new: Neighbor, layer: u8) -> Result<Vec<u32>, Error> {
        let (rows, graph) = self.graph()?;
        let searcher = Searcher { graph: &graph, rows: &rows, kernel: &self.kernel };
        let mut candidates = Vec::with_capacity(out.len() + 1);
        candidates.push(new);
        let query = Query::new(&self.kernel, rows.row(from)?);
        searcher.neighbors(query, out, |neighbor| candidates.push(neighbor))?;
        candidates.sort_unstable_by(Neighbor::order);
        let (mut chosen, mut ids) = (Vec::new(), Vec::new());
        diverse(&searcher, from, &candidates, self.capacity(layer), &mut chosen, &mut ids)?;
        Ok(chosen.into_iter().map(|neighbor| neighbor.id).collect())
    }

    /// Lets a node that nobody links to be linked to by the nearest of those that it links to.
    pub(crate) fn ensure_linked_to(&mut self, node: u32, layer: u8) -> Result<(), Error> {
        if self.is_linked_to(node, layer, node)? {
            return Ok(());
        }
        let Some(from) = self.links(node, layer)?.out.first().copied() else { return Ok(()) };
        self.make_room(from, layer)?;
        self.add_link(from, node, layer)
    }

    /// Drops a link of a full node: the last to one that is linked to by somebody else, where there is one.
    pub(crate) fn make_room(&mut self, node: u32, layer: u8) -> Result<(), Error> {
        let out = self.links(node, layer)?.out;
        if out.len() < self.capacity(layer) {
            return Ok(());
        }
        let mut evicted = out.last().copied();
        for old in out.iter().rev() {
            if self.is_linked_to(*old, layer, node)? {
                evicted = Some(*old);
                break;
            }
        }
        evicted.map_or(Ok(()), |old| self.remove_link(node, old, layer))
    }
}
