//! Models of layers from ONNX files.

use prost::Message;
use tract_onnx::pb::{ModelProto, TensorProto};

use super::{DESCRIPTION, LAYERS, RESERVED, checksum};
use crate::layers::{ModelDescription, Tensor, Weights};
use crate::onnx::metadata::{self, LAYERS_VERSION, Metadata, text};
use crate::onnx::tensor::floats;
use crate::onnx::{MAX_FILE_BYTES, OnnxError};

/// What names of parameters begin with; other initialisers are constants of the graph.
const PARAMETER: &str = "layers.";

/// Reads a model of layers, bit by bit as [`super::export_layers`] was given it, and the entries beside it.
///
/// The weights are read from the initialisers, docs/ONNX.md; the graph is not run.
///
/// # Errors
/// [`OnnxError`] where the bytes are no such file, one of another version, or damaged.
pub fn import_layers(bytes: &[u8]) -> Result<(ModelDescription, Weights, Metadata), OnnxError> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(OnnxError::TooLarge { got: bytes.len() as u64, limit: MAX_FILE_BYTES });
    }
    let proto = ModelProto::decode(bytes)?;
    let all = metadata::read(&proto)?;
    if all.get(metadata::KIND).map(String::as_str) != Some(LAYERS) {
        let got = all.get(metadata::KIND).cloned().unwrap_or_default();
        return Err(OnnxError::Kind { expected: "\"layers\"", got });
    }
    let format = text(&all, metadata::FORMAT)?;
    if format != LAYERS_VERSION.to_string() {
        return Err(OnnxError::Version { expected: LAYERS_VERSION, got: format.into() });
    }
    let json = text(&all, DESCRIPTION)?;
    let model = ModelDescription::from_json(json)?;
    let graph = proto.graph.as_ref().ok_or_else(|| OnnxError::invalid("it has no graph"))?;
    let weights = weights(&graph.initializer)?;
    weights.check(&model)?;
    let mut others = all.clone();
    others.retain(|key, _| !RESERVED.contains(&key.as_str()));
    if text(&all, metadata::CHECKSUM)? != checksum(json, &weights, &others) {
        return Err(OnnxError::Checksum);
    }
    Ok((model, weights, others))
}

fn weights(tensors: &[TensorProto]) -> Result<Weights, OnnxError> {
    let mut weights = Weights::default();
    for tensor in tensors.iter().filter(|tensor| tensor.name.starts_with(PARAMETER)) {
        let shape = tensor.dims.iter().map(|dim| usize::try_from(*dim)).collect::<Result<_, _>>();
        let shape = shape.map_err(|_| OnnxError::tensor(&tensor.name, "has a negative dimension"))?;
        if weights.insert(&tensor.name, Tensor::new(shape, floats(tensor)?)?).is_some() {
            return Err(OnnxError::tensor(&tensor.name, "is there twice"));
        }
    }
    Ok(weights)
}
