//! Routers as searches use them, made once for all transactions of a handle.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use redknot_gnn::routing::{KeyEncoder, KeyModel, Landmarks, Router};
use redknot_storage::{Snapshot, View, WriteTxn};

use super::encode;
use super::metrics::Counts;
use super::record::{RouterRecord, read};
use crate::catalog::{self, Record, RouterKeys};
use crate::error::{Error, Result};

/// A router in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    keys: RouterKeys,
    pub(crate) record: RouterRecord,
    pub(crate) model: KeyModel,
    pub(crate) router: Router,
    /// Whether the gate lets searches follow it.
    pub(crate) active: bool,
    pub(crate) counts: Counts,
}

/// The routers of an open file, by collection.
#[derive(Debug, Default)]
pub(crate) struct Routers(Mutex<HashMap<String, Option<Arc<Loaded>>>>);

impl Routers {
    /// The router that `keys` belongs to. `None` where it cannot be used: that is logged once, and searches are greedy.
    pub(crate) fn get(&self, snapshot: &Snapshot, name: &str, keys: RouterKeys) -> Option<Arc<Loaded>> {
        let cached = self.0.lock().get(name).cloned();
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
        self.0.lock().insert(name.into(), loaded.clone());
        loaded
    }

    /// Before a commit: makes the keys of those nodes anew whose neighbourhoods the transaction changed. Where that
    /// cannot be done, the keys stay behind and searches are greedy.
    pub(crate) fn keep_keys(&self, txn: &mut WriteTxn, name: &str, record: &mut Record) -> Result<()> {
        let base = txn.base().clone();
        let before = catalog::read(&base, name)?;
        let fresh = before.and_then(|before| before.router.filter(|keys| keys.epoch == before.index.epoch()));
        match fresh.and_then(|keys| self.get(&base, name, keys)) {
            Some(loaded) => encode::keep_keys(txn, record, &loaded),
            None => Ok(()),
        }
    }

    /// Makes all keys anew, with the same model; `false` where there is no router that can be used.
    pub(crate) fn make_keys_anew(&self, txn: &mut WriteTxn, name: &str, record: &mut Record) -> Result<bool> {
        let base = txn.base().clone();
        match record.router.and_then(|keys| self.get(&base, name, keys)) {
            Some(loaded) => encode::make_keys_anew(txn, name, record, &loaded).map(|()| true),
            None => Ok(false),
        }
    }
}

impl Loaded {
    fn load(snapshot: &Snapshot, name: &str, keys: RouterKeys) -> Result<Loaded> {
        let (record, model) = read(snapshot, name)?;
        let rows = snapshot.rows(keys.keys)?;
        // A landmark may have gone; searches pass over those that are not in the graph.
        let nodes: Vec<u32> = record.landmarks.iter().copied().filter(|node| *node < rows.len()).collect();
        let mut table = Vec::with_capacity(nodes.len() * model.key_bytes);
        for node in &nodes {
            table.extend_from_slice(rows.get(*node)?);
        }
        let unusable = |error: redknot_gnn::routing::ModelError| Error::corrupt(error.to_string());
        let landmarks = Landmarks::new(nodes, table, model.key_bytes).map_err(unusable)?;
        let router = Router::new(&model, landmarks).map_err(unusable)?;
        let active = record.enabled && record.gains();
        Ok(Loaded { keys, record, model, router, active, counts: Counts::default() })
    }

    /// What makes keys with the model.
    pub(crate) fn encoder(&self) -> Result<KeyEncoder> {
        KeyEncoder::new(&self.model).map_err(|error| Error::corrupt(error.to_string()))
    }
}
