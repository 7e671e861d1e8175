//! From a request to a result, for snapshots and open transactions alike.

use redknot_index::{Found, Reader, SearchParams, VectorRef, encode};
use redknot_storage::View;

use crate::catalog::Record;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::query::{Completeness, Filter, Hit, Request, SearchResult, SearchStats};

/// Answers `request` from collection `name` in `view`.
pub(crate) fn run<K: Key>(
    view: &impl View,
    name: &str,
    record: &Record,
    request: &Request<'_, K>,
) -> Result<SearchResult<K::Owned>> {
    let query = encode_query(record, request.query)?;
    let reader = Reader::open(view, &record.index)?;
    let found = match &request.filter {
        Some(filter) => filtered(view, name, record, &reader, &query, request, filter)?,
        None if request.exact => reader.search_exact(&query, request.k, None)?,
        None => reader.search(&query, SearchParams { k: request.k, ef: request.effort() })?,
    };
    finish::<K>(view, name, record, request, found)
}

fn encode_query(record: &Record, query: VectorRef<'_>) -> Result<Vec<u8>> {
    let config = record.index.config();
    let mut bytes = Vec::with_capacity(config.row_bytes());
    encode(query, config.dim, config.element, config.metric, config.row_bytes(), &mut bytes)?;
    Ok(bytes)
}

fn filtered<K: Key>(
    view: &impl View,
    name: &str,
    record: &Record,
    reader: &Reader<'_>,
    query: &[u8],
    request: &Request<'_, K>,
    filter: &Filter<'_, K>,
) -> Result<Found> {
    // The index knows nothing of keys; what reading one fails with is kept here while it says "stop".
    let mut failure = None;
    let mut on_nodes = |node: u32| match key::<K>(view, name, record, node) {
        Ok(key) => Ok(filter(K::borrow(&key))),
        Err(error) => {
            failure = Some(error);
            Err(redknot_index::Error::Cancelled)
        }
    };
    let found = if request.exact {
        reader.search_exact(query, request.k, Some(&mut on_nodes))
    } else {
        let params = SearchParams { k: request.k, ef: request.effort() };
        reader.search_filtered(query, params, &mut on_nodes)
    };
    match failure {
        Some(error) => Err(error),
        None => Ok(found?),
    }
}

fn finish<K: Key>(
    view: &impl View,
    name: &str,
    record: &Record,
    request: &Request<'_, K>,
    found: Found,
) -> Result<SearchResult<K::Owned>> {
    let radius = request.within.unwrap_or(f32::INFINITY);
    let mut hits = Vec::with_capacity(found.neighbors.len());
    for neighbor in found.neighbors.iter().take_while(|neighbor| neighbor.distance <= radius) {
        hits.push(Hit { key: key::<K>(view, name, record, neighbor.id)?, distance: neighbor.distance });
    }
    let completeness = match (found.exact, found.neighbors.len() < request.k) {
        (_, true) if request.within.is_none() => Completeness::Short,
        (true, _) => Completeness::Exact,
        (false, _) => Completeness::Approximate,
    };
    let stats = SearchStats { distances: found.distances, hops: found.hops };
    Ok(SearchResult { hits, completeness, stats })
}

/// The key of a node.
pub(crate) fn key<K: Key>(view: &impl View, name: &str, record: &Record, node: u32) -> Result<K::Owned> {
    let bytes = record.keys.key(view, node, record.key_width)?;
    K::decode(bytes)
        .filter(|_| !bytes.is_empty())
        .ok_or_else(|| Error::corrupt(format!("node {node} of collection {name:?} has no valid key")))
}

/// A row whose key is there and whose payload is not.
pub(crate) fn no_payload(name: &str, key: &str) -> Error {
    Error::corrupt(format!("the row with key {key} of collection {name:?} has no payload"))
}

/// A payload that belongs to no row.
pub(crate) fn stray_payload(key: &[u8]) -> String {
    format!("key {key:02x?} has a payload and names no row")
}

/// The keys of all rows, in the order of their nodes.
pub(crate) fn all_keys<K: Key>(view: &impl View, name: &str, record: &Record) -> Result<Vec<K::Owned>> {
    let nodes = redknot_index::nodes_in_use(view, &record.index)?;
    nodes.into_iter().map(|node| key::<K>(view, name, record, node)).collect()
}
