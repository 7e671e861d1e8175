//! What a file says of a router.

use redknot_gnn::routing::{Calibration, KeyModel, Level};
use redknot_storage::{Snapshot, array_bytes};
use serde::Serialize;

use super::record::{Ablated, Training, read, stored};
use crate::catalog::Record;
use crate::error::Result;

/// A router as the file describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RouterInfo {
    /// The collection.
    pub collection: String,
    /// Whether searches may follow it; see [`crate::Database::enable_router`].
    pub enabled: bool,
    /// Whether its keys agree with the index. Where they do not, searches are greedy until it is trained or its keys
    /// are made anew.
    pub fresh: bool,
    /// Whether it is worth its while at one recall level at least. Where it is not, searches are greedy.
    pub gains: bool,
    /// Both ways of searching at several recall levels, as measured on held-out queries.
    pub levels: Vec<Level>,
    /// All efforts that are worth considering.
    pub calibration: Calibration,
    /// How the model came about.
    pub training: Training,
    /// What makes the keys.
    pub encoder: String,
    /// All ways of making keys that were measured beside it; empty where there was but one.
    pub ablation: Vec<Ablated>,
    /// Bytes of a key.
    pub key_bytes: usize,
    /// λ, the share of the neighbours' mean in what a key stands for.
    pub lambda: f32,
    /// Bytes of all keys, the model, the landmarks and the calibration in the file.
    pub bytes: u64,
}

/// The router of a collection, if it has one.
pub(crate) fn info(snapshot: &Snapshot, name: &str, record: &Record) -> Result<Option<RouterInfo>> {
    let Some(keys) = record.router else { return Ok(None) };
    let (router, model) = read(snapshot, name)?;
    let small: usize = stored(snapshot, name)?.iter().map(Vec::len).sum();
    Ok(Some(RouterInfo {
        collection: name.into(),
        enabled: router.enabled,
        fresh: record.fresh_router().is_some(),
        gains: router.gains(),
        levels: router.levels(),
        encoder: describe(&model),
        ablation: router.ablation,
        key_bytes: model.key_bytes,
        lambda: model.lambda,
        bytes: array_bytes(snapshot, keys.keys)? + small as u64,
        calibration: router.calibration,
        training: router.training,
    }))
}

/// What makes the keys of a model, in words.
pub(super) fn describe(model: &KeyModel) -> String {
    match &model.attention {
        Some(attention) => {
            let layers = attention.layers.iter().map(|layer| format!("{} × {}", layer.heads, layer.width));
            format!("neighbour mean and attention {}", layers.collect::<Vec<_>>().join(", "))
        }
        None if model.lambda > 0.0 => "neighbour mean".into(),
        None => "linear".into(),
    }
}
