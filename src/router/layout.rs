//! Where searches read keys.

use redknot_gnn::routing::InlineGraph;
use redknot_index::Reader;
use redknot_storage::{Snapshot, View};

use super::cache::Routers;
use super::encode::from_route;
use crate::catalog;
use crate::error::{Error, Result};

/// Where routed searches read the keys of the nodes that a node links to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RoutingLayout {
    /// In the file, one key for each node.
    #[default]
    Compact,
    /// In memory, one key for each link, beside the links: a hop reads one place instead of some twenty. For databases
    /// that are read far more often than written: it is made for one committed state, and later ones read the file
    /// until it is asked for again.
    Inline {
        /// Bytes that it may take.
        max_bytes: u64,
    },
}

/// Sets the layout for searches in the committed state `snapshot`; returns the bytes of memory that it takes.
pub(crate) fn set_layout(
    routers: &Routers,
    snapshot: &Snapshot,
    name: &str,
    layout: RoutingLayout,
) -> Result<u64> {
    let record = catalog::existing(snapshot, name)?;
    let none = || Error::NoRouter { name: name.into() };
    let keys = record.fresh_router().ok_or_else(none)?;
    let loaded = routers.get(snapshot, name, keys).ok_or_else(none)?;
    let graph = match layout {
        RoutingLayout::Compact => None,
        RoutingLayout::Inline { max_bytes } => {
            let reader = Reader::open(snapshot, &record.index)?;
            Some(InlineGraph::new(&reader, snapshot.rows(keys.keys)?, max_bytes).map_err(from_route)?)
        }
    };
    let bytes = graph.as_ref().map_or(0, InlineGraph::bytes);
    loaded.set_inline(record.index.epoch(), graph);
    Ok(bytes)
}
