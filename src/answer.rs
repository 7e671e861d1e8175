//! From a request to a result, for snapshots and open transactions alike.

use redb::Value;
use redknot_index::{Found, Reader, SearchParams, VectorRef, decode, encode};
use redknot_storage::View;
use tracing::field::Empty;

use crate::catalog::{Record, Values, values_name};
use crate::collection::Payload;
use crate::collection_mut::stores_nothing;
use crate::error::{Error, Result};
use crate::key::{Key, number_of};
use crate::keys::{self, KeyView};
use crate::query::{Ask, Completeness, Filter, Hit, Request, SearchResult, SearchStats};
use crate::router::Guide;

/// A predicate on nodes.
type NodeFilter<'f> = &'f mut dyn FnMut(u32) -> Result<bool, redknot_index::Error>;

/// What a search found, and what following keys cost.
pub(crate) struct Answer {
    pub(crate) found: Found,
    pub(crate) key_scores: u64,
    pub(crate) inferences: u64,
    pub(crate) routed: bool,
}

impl Answer {
    /// Of a search that follows no keys.
    pub(crate) fn unrouted(found: Found) -> Answer {
        Answer { found, key_scores: 0, inferences: 0, routed: false }
    }
}

/// Answers `request` from collection `name` in `view`.
pub(crate) fn run<K: Key>(
    view: &impl KeyView,
    name: &str,
    record: &Record,
    guide: &Guide,
    request: &Request<'_, K>,
) -> Result<SearchResult<K::Owned>> {
    let span = tracing::debug_span!(
        "search",
        collection = name,
        k = request.k,
        routed = Empty,
        distances = Empty,
        hops = Empty,
        key_scores = Empty
    );
    let _entered = span.enter();
    let query = encode_query(record, request.query)?;
    let reader = Reader::open(view, &record.index)?;
    let left_out = match request.left_out {
        Some(key) => node::<K>(view, name, record, key)?,
        None => None,
    };
    let ask = Ask { one_more: left_out.is_some(), ..request.ask(name) };
    let k = ask.wanted();
    let finish = |answer: Answer| {
        span.record("routed", answer.routed)
            .record("distances", answer.found.distances)
            .record("hops", answer.found.hops)
            .record("key_scores", answer.key_scores);
        finish::<K>(view, name, record, request, left_out, answer)
    };
    let found = match &request.filter {
        Some(filter) if request.exact => {
            filtered(view, name, record, filter, |on| reader.search_exact(&query, k, Some(on)))?
        }
        Some(filter) => {
            let params = SearchParams { k, ef: guide.greedy_effort(&ask)? };
            filtered(view, name, record, filter, |on| reader.search_filtered(&query, params, on))?
        }
        None if request.exact => reader.search_exact(&query, k, None)?,
        None => {
            #[cfg(feature = "routing")]
            if let Some(policy) = request.policy {
                let params = SearchParams { k, ef: guide.greedy_effort(&ask)? };
                let answer = crate::router::follow(policy, view, reader, record, &query, params)?;
                return finish(answer);
            }
            let answer = guide.search(view, &reader, &query, &ask)?;
            return finish(answer);
        }
    };
    finish(Answer::unrouted(found))
}

/// The bytes of a query, as rows are kept.
pub(crate) fn encode_query(record: &Record, query: VectorRef<'_>) -> Result<Vec<u8>> {
    let config = record.index.config();
    let mut bytes = Vec::with_capacity(config.row_bytes());
    encode(query, config.dim, config.element, config.metric, config.row_bytes(), &mut bytes)?;
    Ok(bytes)
}

/// Runs a search of nodes that satisfy a filter of keys.
fn filtered<K: Key>(
    view: &impl View,
    name: &str,
    record: &Record,
    filter: &Filter<'_, K>,
    search: impl FnOnce(NodeFilter<'_>) -> Result<Found, redknot_index::Error>,
) -> Result<Found> {
    // The index knows nothing of keys; what reading one fails with is kept here while it says "stop".
    let mut failure = None;
    let found = search(&mut |node: u32| match key::<K>(view, name, record, node) {
        Ok(key) => Ok(filter(K::borrow(&key))),
        Err(error) => {
            failure = Some(error);
            Err(redknot_index::Error::Cancelled)
        }
    });
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
    left_out: Option<u32>,
    answer: Answer,
) -> Result<SearchResult<K::Owned>> {
    let Answer { mut found, key_scores, inferences, routed } = answer;
    found.neighbors.retain(|neighbor| Some(neighbor.id) != left_out);
    found.neighbors.truncate(request.k);
    let radius = request.within.unwrap_or(f32::INFINITY);
    let near = found.neighbors.iter().take_while(|neighbor| neighbor.distance <= radius);
    let keys = record.keys.of_nodes(view, record.key_width)?;
    keys.prefetch(near.clone().map(|neighbor| neighbor.id));
    let mut hits = Vec::with_capacity(found.neighbors.len());
    for neighbor in near {
        let key = decode_key::<K>(keys.get(neighbor.id)?, name, neighbor.id)?;
        hits.push(Hit { key, distance: neighbor.distance });
    }
    let completeness = match (found.exact, found.neighbors.len() < request.k) {
        (_, true) if request.within.is_none() => Completeness::Short,
        (true, _) => Completeness::Exact,
        (false, _) => Completeness::Approximate,
    };
    let stats = SearchStats { distances: found.distances, hops: found.hops, key_scores, inferences, routed };
    Ok(SearchResult { hits, completeness, stats })
}

/// The key of a node.
pub(crate) fn key<K: Key>(view: &impl View, name: &str, record: &Record, node: u32) -> Result<K::Owned> {
    decode_key::<K>(record.keys.key(view, node, record.key_width)?, name, node)
}

fn decode_key<K: Key>(bytes: &[u8], name: &str, node: u32) -> Result<K::Owned> {
    K::decode(bytes)
        .filter(|_| !bytes.is_empty())
        .ok_or_else(|| Error::corrupt(format!("node {node} of collection {name:?} has no valid key")))
}

/// The node of the row with this key.
pub(crate) fn node<K: Key>(
    view: &impl KeyView,
    name: &str,
    record: &Record,
    key: K::Ref<'_>,
) -> Result<Option<u32>> {
    let bytes = keys::encode::<K>(key)?;
    record.keys.node(view, name, &bytes, number_of(&record.key_type, &bytes))
}

/// The payload of the row with this key.
pub(crate) fn payload<K: Key, V: Value + 'static>(
    view: &impl KeyView,
    name: &str,
    record: &Record,
    key: K::Ref<'_>,
) -> Result<Option<Payload<V>>> {
    if node::<K>(view, name, record, key)?.is_none() {
        return Ok(None);
    }
    if stores_nothing::<V>() {
        return Ok(Some(Payload::new(Vec::new())));
    }
    let bytes = view.value(Values::new(&values_name(name)), &keys::encode::<K>(key)?)?;
    let missing = || {
        let key = K::show(key);
        Error::corrupt(format!("the row with key {key} of collection {name:?} has no payload"))
    };
    Ok(Some(Payload::new(bytes.ok_or_else(missing)?)))
}

/// The vector of the row with this key, as f32.
pub(crate) fn vector<K: Key>(
    view: &impl KeyView,
    name: &str,
    record: &Record,
    key: K::Ref<'_>,
) -> Result<Option<Vec<f32>>> {
    let Some(node) = node::<K>(view, name, record, key)? else { return Ok(None) };
    let config = record.index.config();
    let row = view.rows(record.index.vectors())?.get(node)?;
    Ok(Some(decode(row, config.dim, config.element)))
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
