//! Features as bytes (docs/FORMAT.md, "Graph features").

use zerocopy::little_endian::{F32, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{EdgeFeatures, NodeFeatures};
use crate::stored::UNLINKED;
use redknot_storage::ArrayId;

use crate::Error;

/// Bytes of a row of node features.
pub(super) const NODE_BYTES: usize = size_of::<NodeRow>();
/// Bytes of the features of one link.
pub(super) const EDGE_BYTES: usize = size_of::<EdgeRow>();
/// Bytes of an item of the CSR rows of edge features.
pub(super) const EDGE_ITEM_BYTES: usize = 4;

/// Betweenness is from before the last change of the node's links.
const STALE: u8 = 1;
/// The highest bit of a target: the link crosses layers.
const CROSS_LAYER: u32 = 1 << 31;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct NodeRow {
    betweenness: F32,
    clustering: F32,
    degree: U16,
    level: u8,
    flags: u8,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EdgeRow {
    target: U32,
    distance: F32,
    cosine: F32,
    betweenness: F32,
}

pub(super) fn encode_node(node: &NodeFeatures, bytes: &mut Vec<u8>) {
    let row = NodeRow {
        betweenness: node.betweenness.into(),
        clustering: node.clustering.into(),
        degree: node.degree.into(),
        level: node.level.unwrap_or(UNLINKED),
        flags: if node.is_stale { STALE } else { 0 },
    };
    bytes.extend_from_slice(row.as_bytes());
}

pub(super) fn decode_node(bytes: &[u8]) -> Option<NodeFeatures> {
    let row = NodeRow::ref_from_bytes(bytes).ok()?;
    Some(NodeFeatures {
        degree: row.degree.get(),
        level: Some(row.level).filter(|code| *code < UNLINKED),
        clustering: row.clustering.get(),
        betweenness: row.betweenness.get(),
        is_stale: row.flags & STALE != 0,
    })
}

pub(super) fn encode_edges(edges: &[EdgeFeatures], bytes: &mut Vec<u8>) {
    for edge in edges {
        let row = EdgeRow {
            target: (edge.target | if edge.is_cross_layer { CROSS_LAYER } else { 0 }).into(),
            distance: edge.distance.into(),
            cosine: edge.cosine.into(),
            betweenness: edge.betweenness.into(),
        };
        bytes.extend_from_slice(row.as_bytes());
    }
}

/// The features of the links of `node`, of whose row in `array` these are the bytes.
pub(super) fn decode_edges(
    array: ArrayId,
    node: u32,
    bytes: &[u8],
) -> Result<impl ExactSizeIterator<Item = EdgeFeatures> + '_, Error> {
    let rows = <[EdgeRow]>::ref_from_bytes(bytes).map_err(|_| Error::Damaged {
        what: format!("row {node} of array {array} has {} bytes, no multiple of {EDGE_BYTES}", bytes.len()),
    })?;
    Ok(rows.iter().map(|row| EdgeFeatures {
        target: row.target.get() & !CROSS_LAYER,
        distance: row.distance.get(),
        cosine: row.cosine.get(),
        betweenness: row.betweenness.get(),
        is_cross_layer: row.target.get() & CROSS_LAYER != 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        let node =
            NodeFeatures { degree: 31, level: Some(2), clustering: 0.5, betweenness: 1e-7, is_stale: true };
        let mut bytes = Vec::new();
        for node in [node, NodeFeatures { level: None, is_stale: false, ..node }] {
            bytes.clear();
            encode_node(&node, &mut bytes);
            assert_eq!((bytes.len(), decode_node(&bytes)), (NODE_BYTES, Some(node)));
        }
        assert_eq!(decode_node(&bytes[1..]), None);
        let edges = [(7, true), (CROSS_LAYER - 1, false)].map(|(target, is_cross_layer)| EdgeFeatures {
            target,
            distance: 2.0,
            cosine: -0.25,
            betweenness: 1e-9,
            is_cross_layer,
        });
        bytes.clear();
        encode_edges(&edges, &mut bytes);
        assert!(decode_edges(ArrayId(1), 0, &bytes).unwrap().eq(edges));
        assert!(matches!(decode_edges(ArrayId(1), 0, &bytes[4..]), Err(Error::Damaged { .. })));
    }
}
