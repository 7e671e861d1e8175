//! A router as an ONNX file.

use redknot_gnn::onnx::{METRIC, Metadata, export_key_model};
use redknot_storage::Snapshot;

use super::record::read;
use crate::catalog;
use crate::error::{Error, Result};

/// What the file says beside the model: where it was trained, and how.
pub(super) const TRAINING: &str = "redknot.training";
const GRAPH_EPOCH: &str = "redknot.graph_epoch";

/// The model of the router of a collection.
pub(crate) fn export(snapshot: &Snapshot, name: &str) -> Result<Vec<u8>> {
    let record = catalog::existing(snapshot, name)?;
    let Some(keys) = record.router else { return Err(Error::NoRouter { name: name.into() }) };
    let (router, model) = read(snapshot, name)?;
    let training = serde_json::to_string(&router.training).map_err(|error| {
        Error::corrupt(format!(
            "the figures of the training of collection {name:?} cannot be written ({error})"
        ))
    })?;
    let entries = [
        (METRIC, record.index.config().metric.to_string()),
        (GRAPH_EPOCH, keys.epoch.to_string()),
        (TRAINING, training),
    ];
    let metadata: Metadata = entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Ok(export_key_model(&model, &metadata)?)
}
