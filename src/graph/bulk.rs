//! Inserting many edges: each row that gets some is written once.

use redknot_storage::ArrayId;

use super::edit::{Editor, Full, NodeEdge};
use super::options::MAX_EDGES_OF_ROW;
use super::row::{self, Link, Rows};
use crate::error::Result;

/// An end of an edge: the row that it goes to, and what goes there.
type Entry = (u32, Link);

impl Editor<'_> {
    /// Inserts edges, of equal ones the last; returns how many were there before. Changes nothing where a node would
    /// have too many.
    pub(crate) fn insert_all(&mut self, edges: &[NodeEdge]) -> Result<std::result::Result<u64, Full>> {
        let from_source = |edge: &NodeEdge| (edge.source, link(edge.target, edge));
        let from_target = |edge: &NodeEdge| (edge.target, link(edge.source, edge));
        let (out, incoming) = match self.record.incoming {
            Some(_) => (
                sorted(edges.iter().map(from_source).collect()),
                sorted(edges.iter().map(from_target).collect()),
            ),
            None => {
                // Both ends in the order of the edges, so that of equal ones the last stays at both.
                let ends = edges.iter().flat_map(|edge| [from_source(edge), from_target(edge)]);
                (sorted(ends.collect()), Vec::new())
            }
        };
        let array = self.record.out;
        let replaced = match self.count_replaced(array, &out)? {
            Ok(replaced) => replaced,
            Err(full) => return Ok(Err(full)),
        };
        if let Err(full) = self.count_replaced(self.record.incoming_or_both(), &incoming)? {
            return Ok(Err(full));
        }
        let inserted = match self.record.incoming {
            Some(_) => out.len() as u64,
            // Each is at both ends; a loop has one.
            None => out.iter().filter(|(node, link)| *node <= link.node).count() as u64,
        };
        self.merge(array, &out)?;
        self.merge(self.record.incoming_or_both(), &incoming)?;
        self.record.edges += inserted - replaced;
        Ok(Ok(replaced))
    }

    /// How many entries are in the rows already; those of an undirected graph by their lower end.
    fn count_replaced(&self, array: ArrayId, entries: &[Entry]) -> Result<std::result::Result<u64, Full>> {
        let rows = Rows::open(self.txn, array, self.record.long)?;
        let mut replaced = 0;
        for group in entries.chunk_by(|a, b| a.0 == b.0) {
            let node = group[0].0;
            let row = rows.get(node)?;
            let there = group.iter().filter(|(_, link)| row::find(row, link.node).is_some());
            let (mut known, mut counted) = (0, 0);
            for (_, link) in there {
                known += 1;
                counted += u64::from(self.record.directed || node <= link.node);
            }
            if row::links(row).len() + group.len() - known > MAX_EDGES_OF_ROW {
                return Ok(Err(Full(node)));
            }
            replaced += counted;
        }
        Ok(Ok(replaced))
    }

    fn merge(&mut self, array: ArrayId, entries: &[Entry]) -> Result<()> {
        for group in entries.chunk_by(|a, b| a.0 == b.0) {
            let node = group[0].0;
            let old: Vec<Link> =
                row::links(Rows::open(self.txn, array, self.record.long)?.get(node)?).collect();
            let mut merged = Vec::with_capacity(old.len() + group.len());
            let mut rest = old.into_iter().peekable();
            for (_, link) in group {
                while let Some(before) = rest.next_if(|before| before.node < link.node) {
                    merged.push(before);
                }
                rest.next_if(|same| same.node == link.node);
                merged.push(*link);
            }
            merged.extend(rest);
            row::set(self.txn, array, self.record.long, node, &row::encode(&merged))?;
        }
        Ok(())
    }
}

fn link(node: u32, edge: &NodeEdge) -> Link {
    Link { node, weight: edge.weight, kind: edge.kind }
}

/// By row and node, the last of equal ones.
fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    // Stable, so that equal ones keep their order.
    entries.sort_by_key(|(node, link)| (*node, link.node));
    entries.dedup_by(|next, kept| {
        let same = (next.0, next.1.node) == (kept.0, kept.1.node);
        if same {
            *kept = *next;
        }
        same
    });
    entries
}
