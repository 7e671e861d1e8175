//! What a file says of the graph features of one index.

use redknot_storage::ArrayId;
use roaring::RoaringBitmap;
use zerocopy::little_endian::{F64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Precision;
use crate::{Error, IndexRecord};

const FORMAT: u16 = 1;

/// Which arrays hold the features of an index, how betweenness was computed, and what has changed since.
///
/// Kept beside the record of the index, and written in the transaction that changed either.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureRecord {
    /// 12 bytes a node.
    pub(super) nodes: ArrayId,
    /// CSR of u32, four to a link, parallel to the links of the base layer.
    pub(super) edges: ArrayId,
    /// The array of the base layer that the features are of; a build replaces it.
    pub(super) links: ArrayId,
    /// Epoch of the index that everything but betweenness is of.
    pub(super) epoch: u64,
    /// Epoch of the index that betweenness was computed in.
    pub(super) betweenness_epoch: u64,
    pub(super) precision: Precision,
    /// Nodes whose links have changed since betweenness was computed.
    pub(super) stale_nodes: u32,
    /// Nodes that have changed and are not refreshed.
    pub(super) pending: RoaringBitmap,
}

/// What the features of an index are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// All features are those of the index as it is.
    Fresh,
    /// Betweenness is from before some changes; all else is that of the index as it is.
    StaleBetweenness,
    /// The index has changed, and the features have not been refreshed.
    Unrefreshed,
    /// They are of links that a build has replaced: only a new computation helps.
    OtherGraph,
}

/// Bytes of a record (docs/FORMAT.md, "Graph features"); the bitmap of pending nodes follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    format: U16,
    reserved: U16,
    stale_nodes: U32,
    nodes: U64,
    edges: U64,
    links: U64,
    epoch: U64,
    betweenness_epoch: U64,
    graph_nodes: U32,
    pivots: U32,
    seed: U64,
    bound: F64,
    node_standard_error: F64,
    edge_standard_error: F64,
}

impl FeatureRecord {
    /// How far the features are those of `index`.
    pub fn freshness(&self, index: &IndexRecord) -> Freshness {
        if self.links != index.arrays.links {
            Freshness::OtherGraph
        } else if self.epoch != index.epoch || !self.pending.is_empty() {
            Freshness::Unrefreshed
        } else if self.betweenness_epoch != index.epoch {
            Freshness::StaleBetweenness
        } else {
            Freshness::Fresh
        }
    }

    /// Remembers nodes that have changed, for the next [`crate::refresh_features`].
    pub fn mark_changed(&mut self, changed: &RoaringBitmap) {
        self.pending |= changed;
    }

    /// Remembers the nodes whose links the open transaction has changed in `index`. To be called before
    /// [`IndexRecord::take_relinked`] forgets them. Features of links that a build has replaced follow nothing.
    pub fn follow(&mut self, index: &IndexRecord) {
        if self.links == index.arrays.links {
            self.mark_changed(&index.changes.relinked);
        }
    }

    /// Nodes that have changed and are not refreshed.
    pub fn pending(&self) -> &RoaringBitmap {
        &self.pending
    }

    /// How betweenness was computed and how far it was off then.
    pub fn precision(&self) -> &Precision {
        &self.precision
    }

    /// Nodes whose links have changed since betweenness was computed, as far as they were refreshed.
    pub fn stale_nodes(&self) -> u32 {
        self.stale_nodes
    }

    /// Epoch of the index that everything but betweenness is of.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Epoch of the index that betweenness was computed in.
    pub fn betweenness_epoch(&self) -> u64 {
        self.betweenness_epoch
    }

    /// The arrays of the features.
    pub fn arrays(&self) -> [ArrayId; 2] {
        [self.nodes, self.edges]
    }

    /// The record as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = Head {
            format: FORMAT.into(),
            reserved: 0.into(),
            stale_nodes: self.stale_nodes.into(),
            nodes: self.nodes.0.into(),
            edges: self.edges.0.into(),
            links: self.links.0.into(),
            epoch: self.epoch.into(),
            betweenness_epoch: self.betweenness_epoch.into(),
            graph_nodes: self.precision.nodes.into(),
            pivots: self.precision.pivots.into(),
            seed: self.precision.seed.into(),
            bound: self.precision.bound.into(),
            node_standard_error: self.precision.node_standard_error.into(),
            edge_standard_error: self.precision.edge_standard_error.into(),
        };
        let mut bytes = head.as_bytes().to_vec();
        let mut pending = self.pending.clone();
        pending.optimize();
        pending.serialize_into(&mut bytes).expect("writing into a vector does not fail");
        bytes
    }

    /// The record of these bytes; an error where they are no record.
    pub fn from_bytes(bytes: &[u8]) -> Result<FeatureRecord, Error> {
        let (head, rest) = Head::read_from_prefix(bytes).map_err(|_| damaged("it is too short"))?;
        if head.format.get() != FORMAT {
            return Err(damaged("its format is unknown"));
        }
        let pending = RoaringBitmap::deserialize_from(rest)
            .map_err(|_| damaged("its set of changed nodes cannot be read"))?;
        let precision = Precision {
            nodes: head.graph_nodes.get(),
            pivots: head.pivots.get(),
            seed: head.seed.get(),
            bound: head.bound.get(),
            node_standard_error: head.node_standard_error.get(),
            edge_standard_error: head.edge_standard_error.get(),
        };
        if precision.pivots > precision.nodes {
            return Err(damaged("it has more pivots than nodes"));
        }
        let errors = [precision.bound, precision.node_standard_error, precision.edge_standard_error];
        if errors.iter().any(|error| !error.is_finite() || *error < 0.0) {
            return Err(damaged("its errors are no errors"));
        }
        Ok(FeatureRecord {
            nodes: ArrayId(head.nodes.get()),
            edges: ArrayId(head.edges.get()),
            links: ArrayId(head.links.get()),
            epoch: head.epoch.get(),
            betweenness_epoch: head.betweenness_epoch.get(),
            precision,
            stale_nodes: head.stale_nodes.get(),
            pending,
        })
    }

    pub(super) fn check_graph(&self, index: &IndexRecord) -> Result<(), Error> {
        let (expected, got) = (index.arrays.links.0, self.links.0);
        if expected == got { Ok(()) } else { Err(Error::FeaturesOfOtherGraph { expected, got }) }
    }
}

fn damaged(what: &'static str) -> Error {
    Error::Damaged { what: format!("the record of the graph features: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> FeatureRecord {
        FeatureRecord {
            nodes: ArrayId(5),
            edges: ArrayId(6),
            links: ArrayId(2),
            epoch: 9,
            betweenness_epoch: 4,
            precision: Precision {
                nodes: 100,
                pivots: 10,
                seed: 3,
                bound: 0.25,
                node_standard_error: 0.001,
                edge_standard_error: 0.0001,
            },
            stale_nodes: 12,
            pending: (40..60).collect(),
        }
    }

    #[test]
    fn records_come_back() {
        assert_eq!(FeatureRecord::from_bytes(&record().to_bytes()).unwrap(), record());
    }

    #[test]
    fn damaged_records_are_errors_and_not_panics() {
        let bytes = record().to_bytes();
        for len in 0..bytes.len() {
            assert!(FeatureRecord::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Either refused or another record; never a panic.
            if let Ok(other) = FeatureRecord::from_bytes(&flipped) {
                assert!(other.precision.pivots <= other.precision.nodes && other.precision.bound >= 0.0);
            }
        }
    }
}
