//! Routers as searches use them, made once for all transactions of a handle.

use std::collections::HashMap;
use std::sync::Arc;

#[cfg(any(feature = "train", feature = "onnx"))]
use parking_lot::MutexGuard;
use parking_lot::{Mutex, RwLock};
use redknot_gnn::routing::{KeyEncoder, KeyModel, Landmarks, ModelError, ResidentGraph, Router};
use redknot_storage::{Rows, Snapshot, View, WriteTxn};

use super::encode;
use super::metrics::Counts;
use super::record::{RouterRecord, read};
use crate::catalog::{Record, RouterKeys};
use crate::error::{Error, Result};

/// A router in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    keys: RouterKeys,
    pub(crate) record: RouterRecord,
    pub(crate) router: Router,
    /// What makes keys with the same model.
    pub(crate) encoder: KeyEncoder,
    /// Whether the gate lets searches follow it.
    pub(crate) active: bool,
    pub(crate) counts: Counts,
    /// The graph and the keys in memory, of the commit that they were asked for in.
    resident: RwLock<Option<Arc<Resident>>>,
}

/// A graph with its keys, and the state of the index that it is a copy of.
#[derive(Debug)]
pub(crate) struct Resident {
    epoch: u64,
    pub(crate) graph: ResidentGraph,
}

/// The routers of an open file, by collection.
#[derive(Debug, Default)]
pub(crate) struct Routers {
    loaded: Mutex<HashMap<String, Option<Arc<Loaded>>>>,
    /// Held by who measures models and adopts one.
    #[cfg(any(feature = "train", feature = "onnx"))]
    turn: Mutex<()>,
}

impl Routers {
    /// Waits until nobody else measures models and adopts one, and keeps others waiting while what is returned lives.
    #[cfg(any(feature = "train", feature = "onnx"))]
    pub(super) fn take_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// The router that `keys` belongs to. `None` where it cannot be used: that is logged once, and searches are greedy.
    pub(crate) fn get(&self, snapshot: &Snapshot, name: &str, keys: RouterKeys) -> Option<Arc<Loaded>> {
        let cached = self.loaded.lock().get(name).cloned();
        if let Some(Some(loaded)) = &cached
            && (loaded.keys.serial, loaded.keys.keys) == (keys.serial, keys.keys)
        {
            return Some(loaded.clone());
        }
        let loaded = match Loaded::load(snapshot, name, keys) {
            Ok(loaded) => Some(Arc::new(loaded)),
            Err(error) => {
                if !matches!(cached, Some(None)) {
                    tracing::warn!(%error, collection = name, "the router cannot be used: searches are greedy");
                }
                None
            }
        };
        self.loaded.lock().insert(name.into(), loaded.clone());
        loaded
    }

    /// Before a commit: makes the keys of those nodes anew whose neighbourhoods the transaction changed, which `router`
    /// had up to date before. Where the model cannot do that, the keys stay behind and searches are greedy.
    pub(crate) fn keep_keys(
        &self,
        txn: &mut WriteTxn,
        name: &str,
        record: &mut Record,
        router: RouterKeys,
    ) -> Result<()> {
        let base = txn.base().clone();
        match self.get(&base, name, router) {
            Some(loaded) => or_behind(name, encode::keep_keys(txn, record, &loaded)).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Makes all keys anew, with the same model; `false` where there is no router that can do that. The transaction is
    /// of no use then.
    pub(crate) fn make_keys_anew(&self, txn: &mut WriteTxn, name: &str, record: &mut Record) -> Result<bool> {
        let base = txn.base().clone();
        match record.router.and_then(|keys| self.get(&base, name, keys)) {
            Some(loaded) => or_behind(name, encode::make_keys_anew(txn, name, record, &loaded)),
            None => Ok(false),
        }
    }
}

/// `false` where the model has no key for a vector: no reason to refuse the vector.
fn or_behind(name: &str, made: Result<()>) -> Result<bool> {
    match made {
        Ok(()) => Ok(true),
        Err(Error::Router { why }) => {
            tracing::warn!(why, collection = name, "keys stay behind the index: searches are greedy");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

impl Loaded {
    /// The graph with its keys, if it is a copy of that state of the index.
    pub(crate) fn resident(&self, epoch: u64) -> Option<Arc<Resident>> {
        self.resident.read().as_ref().filter(|resident| resident.epoch == epoch).cloned()
    }

    /// Has searches in that state of the index use `graph`, or none.
    pub(crate) fn set_resident(&self, epoch: u64, graph: Option<ResidentGraph>) {
        *self.resident.write() = graph.map(|graph| Arc::new(Resident { epoch, graph }));
    }

    fn load(snapshot: &Snapshot, name: &str, keys: RouterKeys) -> Result<Loaded> {
        let (record, model) = read(snapshot, name)?;
        let router = router_of(&model, &record.landmarks, snapshot.rows(keys.keys)?)?;
        let encoder = KeyEncoder::new(&model).map_err(unusable)?;
        let active = record.enabled && record.gains();
        Ok(Loaded {
            keys,
            record,
            router,
            encoder,
            active,
            counts: Counts::default(),
            resident: RwLock::default(),
        })
    }
}

/// Whether the router of a collection, if it has one, can be used: its model and its landmarks are read.
pub(crate) fn verify(snapshot: &Snapshot, name: &str, record: &Record) -> Result<()> {
    record.router.map_or(Ok(()), |keys| Loaded::load(snapshot, name, keys).map(drop))
}

/// The router of a model whose searches enter the graph at `landmarks`, with the keys that `rows` has of these.
pub(crate) fn router_of(model: &KeyModel, landmarks: &[u32], rows: Rows<'_>) -> Result<Router> {
    // A landmark may have gone; searches pass over those that are not in the graph.
    let nodes: Vec<u32> = landmarks.iter().copied().filter(|node| *node < rows.len()).collect();
    let mut table = Vec::with_capacity(nodes.len() * model.key_bytes);
    for node in &nodes {
        table.extend_from_slice(rows.get(*node)?);
    }
    let landmarks = Landmarks::new(nodes, table, model.key_bytes).map_err(unusable)?;
    Router::new(model, landmarks).map_err(unusable)
}

fn unusable(error: ModelError) -> Error {
    Error::corrupt(error.to_string())
}
