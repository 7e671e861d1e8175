//! Which graph is read: a stored one, or the links of the index.

use redknot_index::Reader;
use redknot_storage::View;

use super::record::GraphRecord;
use super::row::{self, Link, Rows};
use crate::catalog::Record;
use crate::error::{Error, Result};

/// Where the edges of a graph are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// In arrays of their own.
    Stored(GraphRecord),
    /// The base layer of the HNSW graph, whose links have weight 1.
    Hnsw,
}

/// Which edges of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Those that lead from it.
    Out,
    /// Those that lead to it, which messages come along.
    In,
}

/// The edges of all nodes, read in place.
#[derive(Clone, Copy)]
pub(crate) enum Neighborhoods<'v> {
    /// By the node that they lead from, and by the one that they lead to.
    Stored { out: Rows<'v>, incoming: Rows<'v> },
    /// The links of the index.
    Hnsw(Reader<'v>),
}

impl<'v> Neighborhoods<'v> {
    pub(crate) fn open(view: &'v impl View, rows: &'v Record, source: &Source) -> Result<Neighborhoods<'v>> {
        Ok(match source {
            Source::Hnsw => Neighborhoods::Hnsw(Reader::open(view, &rows.index)?),
            Source::Stored(graph) => Neighborhoods::Stored {
                out: Rows::open(view, graph.out, graph.long)?,
                incoming: Rows::open(view, graph.incoming_or_both(), graph.long)?,
            },
        })
    }

    /// Replaces `links` by those of a node: of a stored graph in the order of the nodes, of the index in that of the file.
    pub(crate) fn read(&self, node: u32, direction: Direction, links: &mut Vec<Link>) -> Result<()> {
        links.clear();
        match (self, direction) {
            (Neighborhoods::Stored { out, .. }, Direction::Out) => links.extend(row::links(out.get(node)?)),
            (Neighborhoods::Stored { incoming, .. }, Direction::In) => {
                links.extend(row::links(incoming.get(node)?));
            }
            (Neighborhoods::Hnsw(reader), Direction::Out) => {
                links.extend(reader.links_of(node).map_err(Error::from)?.map(unweighted));
            }
            (Neighborhoods::Hnsw(reader), Direction::In) => {
                let mut from = Vec::new();
                reader.links_to(node, &mut from)?;
                links.extend(from.into_iter().map(unweighted));
            }
        }
        Ok(())
    }

    /// The link from one node to another.
    pub(crate) fn find(&self, source: u32, target: u32) -> Result<Option<Link>> {
        match self {
            Neighborhoods::Stored { out, .. } => Ok(row::find(out.get(source)?, target)),
            Neighborhoods::Hnsw(reader) => {
                Ok(reader.links_of(source)?.find(|node| *node == target).map(unweighted))
            }
        }
    }

    /// How many edges lead from a node.
    pub(crate) fn degree(&self, node: u32) -> Result<usize> {
        match self {
            Neighborhoods::Stored { out, .. } => Ok(row::links(out.get(node)?).len()),
            Neighborhoods::Hnsw(reader) => Ok(reader.links_of(node)?.count()),
        }
    }

    /// Nodes from here on have no edges that lead from them.
    pub(crate) fn end(&self) -> u32 {
        match self {
            Neighborhoods::Stored { out, .. } => out.len(),
            Neighborhoods::Hnsw(reader) => reader.linked_below(),
        }
    }
}

fn unweighted(node: u32) -> Link {
    Link { node, weight: 1.0, kind: 0 }
}
