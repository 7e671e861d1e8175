//! Where searches read keys.

use redknot_gnn::routing::ResidentGraph;
use redknot_index::Reader;
use redknot_storage::{Snapshot, View};

use super::cache::Routers;
use super::encode::from_route;
use crate::catalog;
use crate::error::{Error, Result};

/// Where routed searches read links and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RoutingLayout {
    /// In the file.
    #[default]
    Compact,
    /// In a copy in memory, in large pages where the system has them. It takes a key, and room for as many links as any node
    /// has, for each node: 160 bytes with the default `m` and keys of 32 bytes. For databases that are read far more often
    /// than written: it is made for one committed state, and later ones read the file until it is asked for again.
    Resident {
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
        RoutingLayout::Resident { max_bytes } => {
            let reader = Reader::open(snapshot, &record.index)?;
            Some(ResidentGraph::new(&reader, snapshot.rows(keys.keys)?, max_bytes).map_err(from_route)?)
        }
    };
    let bytes = graph.as_ref().map_or(0, ResidentGraph::bytes);
    loaded.set_resident(record.index.epoch(), graph);
    Ok(bytes)
}
