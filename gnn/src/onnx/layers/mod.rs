//! Models of layers as ONNX files: docs/ONNX.md.

mod attention;
mod builder;
mod edges;
mod export;
mod import;
mod layer;

pub(super) use attention::Corrections;
pub use export::export_layers;
pub(super) use export::{IR_VERSION, OPSET, edge_index};
pub use import::import_layers;

use xxhash_rust::xxh3::Xxh3;

use super::metadata::Metadata;
use crate::layers::Weights;

/// `redknot.kind` of a model of layers.
const LAYERS: &str = "layers";
/// The entry with the description.
const DESCRIPTION: &str = "redknot.description";
/// The entries that the writer makes itself.
const RESERVED: [&str; 4] =
    [super::metadata::FORMAT, super::metadata::KIND, DESCRIPTION, super::metadata::CHECKSUM];

/// The checksum of a description, weights, and the entries that are not the writer's own.
fn checksum(description: &str, weights: &Weights, others: &Metadata) -> String {
    let mut hash = Xxh3::new();
    let mut text = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    text(description);
    for (key, value) in others {
        text(key);
        text(value);
    }
    for (name, tensor) in weights.iter() {
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        tensor.shape().iter().for_each(|length| hash.update(&(*length as u64).to_le_bytes()));
        tensor.data().iter().for_each(|number| hash.update(&number.to_le_bytes()));
    }
    format!("{:016x}", hash.digest())
}
