//! Keys of nodes: all of them, or those that a transaction changed.

use std::time::Instant;

use redknot_gnn::routing::{KeyEncoder, Landmarks, RouteError, encode_nodes};
use redknot_index::{IndexRecord, Reader};
use redknot_storage::{ArrayId, ArraySpec, PageSize, View, WriteTxn};

use super::cache::Loaded;
use super::record;
use crate::catalog::{Record, RouterKeys};
use crate::error::{Error, Result};

/// 16 KiB: headers and what is left behind the last row take .4 % of it, and 1.6 % of 4 KiB (.8 and 3.1 % with keys of 128
/// bytes). Keys that a commit changes are mostly those of nodes near each other, which share pages.
const PAGE: PageSize = PageSize::KIB_16;
/// Keys that are made and written at a time.
const KEYS_AT_ONCE: usize = 1 << 16;

pub(crate) fn from_route(error: RouteError) -> Error {
    match error {
        RouteError::Index(error) => error.into(),
        RouteError::Keys(error) => error.into(),
        other => Error::Router { why: other.to_string() },
    }
}

/// Writes the keys of all nodes to a new array.
pub(crate) fn make_keys(txn: &mut WriteTxn, index: &IndexRecord, encoder: &KeyEncoder) -> Result<ArrayId> {
    let base = txn.base().clone();
    let reader = Reader::open(&*base, index)?;
    let array = txn.create_array(ArraySpec::rows(encoder.key_bytes(), PAGE)?)?;
    let mut keys = Vec::new();
    // Rows that the graph does not reach are not linked.
    let nodes: Vec<u32> = (0..base.csr(index.links())?.len()).collect();
    // Attention computes what keys share once a call.
    let at_once = if encoder.attends() { nodes.len() } else { KEYS_AT_ONCE };
    for nodes in nodes.chunks(at_once.max(1)) {
        keys.clear();
        keys.resize(nodes.len() * encoder.key_bytes(), 0);
        encode_nodes(&reader, encoder, nodes, &mut keys).map_err(from_route)?;
        txn.push_rows(array, &keys)?;
    }
    Ok(array)
}

/// Nodes of the upper layers, from the top down: spread over the data as the levels are drawn at random.
pub(crate) fn landmarks(view: &impl View, index: &IndexRecord) -> Result<Vec<u32>> {
    let mut nodes = redknot_index::nodes_by_level(view, index)?;
    nodes.truncate(Landmarks::worth(index.live() as usize));
    Ok(nodes)
}

/// Makes all keys anew with the same model: after a build, which renumbers nodes.
pub(crate) fn make_keys_anew(
    txn: &mut WriteTxn,
    name: &str,
    record: &mut Record,
    loaded: &Loaded,
) -> Result<()> {
    let Some(old) = record.router else { return Ok(()) };
    let keys = make_keys(txn, &record.index, &loaded.encoder)?;
    txn.drop_array(old.keys)?;
    let mut router = loaded.record.clone();
    router.landmarks = landmarks(&**txn.base(), &record.index)?;
    record::write(txn, name, &router, None)?;
    record.router = Some(RouterKeys { keys, epoch: record.index.epoch(), serial: old.serial + 1 });
    Ok(())
}

/// Makes the keys of the nodes anew whose neighbourhoods the transaction changed.
pub(crate) fn keep_keys(txn: &mut WriteTxn, record: &mut Record, loaded: &Loaded) -> Result<()> {
    let Some(router) = &mut record.router else { return Ok(()) };
    let begun = Instant::now();
    let end = txn.array(record.index.links())?.rows;
    let changed: Vec<u32> = record.index.take_relinked().filter(|node| *node < end).collect();
    let encoder = &loaded.encoder;
    let mut keys = vec![0; changed.len() * encoder.key_bytes()];
    encode_nodes(&Reader::open(txn, &record.index)?, encoder, &changed, &mut keys).map_err(from_route)?;
    if txn.array(router.keys)?.rows < end {
        txn.set_len(router.keys, end)?;
    }
    for (node, key) in changed.iter().zip(keys.chunks_exact(encoder.key_bytes())) {
        txn.set_row(router.keys, *node, key)?;
    }
    router.epoch = record.index.epoch();
    loaded.counts.count_keys(changed.len(), begun.elapsed());
    Ok(())
}
