//! Changing the edges of nodes.

use redknot_index::Permutation;
use redknot_storage::{ArrayId, View, WriteTxn};

use super::options::MAX_EDGES_OF_ROW;
use super::record::{GraphRecord, create_rows};
use super::row::{self, ITEM_BYTES, Link, Rows};
use crate::error::{Error, Result};

/// One graph in an open transaction. The caller writes the record.
pub(crate) struct Editor<'t> {
    pub(crate) txn: &'t mut WriteTxn,
    pub(crate) record: &'t mut GraphRecord,
}

/// An edge by the numbers of its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NodeEdge {
    pub(crate) source: u32,
    pub(crate) target: u32,
    pub(crate) weight: f32,
    pub(crate) kind: u32,
}

/// A node that has as many edges as a row can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) u32);

impl Editor<'_> {
    fn row(&self, array: ArrayId, node: u32) -> Result<&[u8]> {
        Rows::open(self.txn, array, self.record.long)?.get(node)
    }

    fn set(&mut self, array: ArrayId, node: u32, row: &[u8]) -> Result<()> {
        row::set(self.txn, array, self.record.long, node, row)
    }

    /// Inserts an edge or replaces the one between the same nodes; whether there was one. Changes nothing where a node
    /// is full.
    pub(crate) fn insert(&mut self, edge: NodeEdge) -> Result<std::result::Result<bool, Full>> {
        let (out, into) = (self.record.out, self.record.incoming_or_both());
        let NodeEdge { source, target, weight, kind } = edge;
        let (there, replaced) = row::with(self.row(out, source)?, Link { node: target, weight, kind });
        let (back, _) = row::with(self.row(into, target)?, Link { node: source, weight, kind });
        for (row, node) in [(&there, source), (&back, target)] {
            if row.len() > MAX_EDGES_OF_ROW * ITEM_BYTES {
                return Ok(Err(Full(node)));
            }
        }
        self.set(out, source, &there)?;
        if !(into == out && source == target) {
            self.set(into, target, &back)?;
        }
        self.record.edges += u64::from(!replaced);
        Ok(Ok(replaced))
    }

    /// Removes an edge; `false` where there is none.
    pub(crate) fn remove(&mut self, source: u32, target: u32) -> Result<bool> {
        let (out, into) = (self.record.out, self.record.incoming_or_both());
        let Some(there) = row::without(self.row(out, source)?, target) else { return Ok(false) };
        self.set(out, source, &there)?;
        if !(into == out && source == target) {
            self.remove_link(into, target, source)?;
        }
        self.record.edges -= 1;
        Ok(true)
    }

    /// Removes all edges of a node; returns how many.
    pub(crate) fn remove_node(&mut self, node: u32) -> Result<u64> {
        let (out, into) = (self.record.out, self.record.incoming_or_both());
        let mut removed = 0;
        for (array, mirror) in self.sides() {
            let links: Vec<Link> = row::links(self.row(array, node)?).collect();
            self.set(array, node, &[])?;
            for link in links {
                // A loop of a directed graph is in both arrays, and removed with the first.
                removed += 1;
                if link.node != node {
                    self.remove_link(mirror, link.node, node)?;
                } else if into != out {
                    self.remove_link(mirror, node, node)?;
                }
            }
        }
        self.record.edges -= removed;
        Ok(removed)
    }

    /// Moves the edges of a node to another number, which has none.
    pub(crate) fn rename(&mut self, old: u32, new: u32) -> Result<()> {
        for (array, mirror) in self.sides() {
            let row = self.row(array, old)?;
            if row.is_empty() {
                continue;
            }
            let mut links: Vec<Link> = row::links(row).collect();
            self.set(array, old, &[])?;
            for link in &mut links {
                if link.node == old {
                    // A loop: both of its ends are in the rows that move.
                    link.node = new;
                } else {
                    self.rename_link(mirror, link.node, old, new)?;
                }
            }
            links.sort_unstable_by_key(|link| link.node);
            self.set(array, new, &row::encode(&links))?;
        }
        Ok(())
    }

    /// Gives all nodes new numbers; those below `nodes` are in use.
    pub(crate) fn renumber(&mut self, permutation: &Permutation, nodes: u32) -> Result<()> {
        let old_long = self.record.long;
        let long = self.txn.create_array(self.txn.array(old_long)?.spec)?;
        let out = self.renumbered(self.record.out, long, permutation, nodes)?;
        let incoming = match self.record.incoming {
            Some(array) => Some(self.renumbered(array, long, permutation, nodes)?),
            None => None,
        };
        self.record.drop_arrays(self.txn)?;
        (self.record.out, self.record.incoming, self.record.long) = (out, incoming, long);
        Ok(())
    }

    fn renumbered(
        &mut self,
        array: ArrayId,
        long: ArrayId,
        permutation: &Permutation,
        nodes: u32,
    ) -> Result<ArrayId> {
        let renumbered = create_rows(self.txn, self.txn.array(array)?.spec.rows_per_block())?;
        let mut links: Vec<Link> = Vec::new();
        for node in 0..nodes {
            links.clear();
            links.extend(row::links(self.row(array, permutation.old_id(node))?));
            for link in &mut links {
                if link.node >= permutation.len() {
                    return Err(Error::corrupt(format!(
                        "an edge leads to node {}, which there is not",
                        link.node
                    )));
                }
                link.node = permutation.new_id(link.node);
            }
            links.sort_unstable_by_key(|link| link.node);
            row::push(self.txn, renumbered, long, &row::encode(&links))?;
        }
        Ok(renumbered)
    }

    /// Each array with the one that has the same edges by their other end.
    fn sides(&self) -> impl Iterator<Item = (ArrayId, ArrayId)> + use<> {
        let (out, incoming) = (self.record.out, self.record.incoming);
        let there = (out, incoming.unwrap_or(out));
        [Some(there), incoming.map(|incoming| (incoming, out))].into_iter().flatten()
    }

    fn remove_link(&mut self, array: ArrayId, of: u32, node: u32) -> Result<()> {
        let row = row::without(self.row(array, of)?, node).ok_or_else(|| one_sided(of, node))?;
        self.set(array, of, &row)
    }

    fn rename_link(&mut self, array: ArrayId, of: u32, old: u32, new: u32) -> Result<()> {
        let row = self.row(array, of)?;
        let link = row::find(row, old).ok_or_else(|| one_sided(of, old))?;
        let row = row::without(row, old).ok_or_else(|| one_sided(of, old))?;
        let (row, _) = row::with(&row, Link { node: new, ..link });
        self.set(array, of, &row)
    }
}

fn one_sided(of: u32, node: u32) -> Error {
    Error::corrupt(format!("node {of} does not have the edge that it should share with node {node}"))
}
