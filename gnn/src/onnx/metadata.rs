//! Entries of `metadata_props`.

use std::collections::BTreeMap;
use std::str::FromStr;

use tract_onnx::pb::{ModelProto, StringStringEntryProto};
use xxhash_rust::xxh3::Xxh3;

use super::OnnxError;
use crate::routing::{KeyModel, ModelError};

/// Entries that a file carries beside the model, by key.
pub type Metadata = BTreeMap<String, String>;

/// The latest version of the form in which key models are written: docs/ONNX.md. A model without attention is written in the
/// second, and in the first if its ν is 0 as well: programs of before read these.
pub const FORMAT_VERSION: u32 = 3;

/// The same of models of layers.
#[cfg(feature = "gnn")]
pub(super) const LAYERS_VERSION: u32 = 1;

pub(super) const FORMAT: &str = "redknot.format";
pub(super) const KIND: &str = "redknot.kind";
pub(super) const DIM: &str = "redknot.dim";
pub(super) const COORDINATES: &str = "redknot.coordinates";
pub(super) const KEY_BYTES: &str = "redknot.key_bytes";
pub(super) const LAMBDA: &str = "redknot.lambda";
pub(super) const KAPPA: &str = "redknot.kappa";
pub(super) const NU: &str = "redknot.nu";
pub(super) const BIAS_BASE: &str = "redknot.bias_base";
pub(super) const BIAS_STEP: &str = "redknot.bias_step";
pub(super) const SLOTS: &str = "redknot.slots";
pub(super) const CHECKSUM: &str = "redknot.checksum";

/// The metric that a model was trained for, by name; of any kind of model.
pub const METRIC: &str = "redknot.metric";

/// What the writer says of the model itself; no one else writes these.
pub(super) const RESERVED: [&str; 12] =
    [FORMAT, KIND, DIM, COORDINATES, KEY_BYTES, LAMBDA, KAPPA, NU, BIAS_BASE, BIAS_STEP, SLOTS, CHECKSUM];

/// `redknot.kind` of a whole key model, and of projections without a quantiser.
pub(super) const KEY_MODEL: &str = "key-model";
pub(super) const PROJECTION: &str = "projection";

/// All entries of a file.
pub(super) fn read(proto: &ModelProto) -> Result<Metadata, OnnxError> {
    let mut metadata = Metadata::new();
    for StringStringEntryProto { key, value } in &proto.metadata_props {
        if metadata.insert(key.clone(), value.clone()).is_some() {
            return Err(OnnxError::Metadata { key: key.clone(), why: "is there twice" });
        }
    }
    Ok(metadata)
}

/// The entries as a file has them.
pub(super) fn to_props(metadata: Metadata) -> Vec<StringStringEntryProto> {
    metadata.into_iter().map(|(key, value)| StringStringEntryProto { key, value }).collect()
}

/// An entry that has to be there.
pub(super) fn text<'m>(metadata: &'m Metadata, key: &str) -> Result<&'m str, OnnxError> {
    let value =
        metadata.get(key).ok_or_else(|| OnnxError::Metadata { key: key.into(), why: "is missing" })?;
    Ok(value)
}

/// An entry that has to be there and to be a number.
pub(super) fn number<T: FromStr>(metadata: &Metadata, key: &str) -> Result<T, OnnxError> {
    let value = text(metadata, key)?.trim().parse();
    value.map_err(|_| OnnxError::Metadata { key: key.into(), why: "is not a number as expected" })
}

/// The version that a key model is written in.
pub(super) fn version_of(model: &KeyModel) -> u32 {
    if model.attention.is_some() { FORMAT_VERSION } else { 1 + u32::from(model.nu != 0.0) }
}

/// The checksum of a model and the entries that are not the writer's own.
pub(super) fn checksum(model: &KeyModel, others: &Metadata) -> Result<String, ModelError> {
    let mut hash = Xxh3::new();
    hash.update(&model.to_long_bytes()?);
    for (key, value) in others {
        for text in [key, value] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
    }
    Ok(format!("{:016x}", hash.digest()))
}
