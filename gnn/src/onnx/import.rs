//! Key models from ONNX files.

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};

use super::export::{ATTENTION, LAMBDA, MEAN, NODES, QUERIES, QUERY_CONSTANT, QUERY_LINEAR};
use super::metadata::{self, Metadata, number, text};
use super::tensor::floats;
use super::{FORMAT_VERSION, MAX_FILE_BYTES, OnnxError, Projection};
use crate::routing::{Attention, AttentionLayer, KeyModel, Slot};

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Imported {
    /// A whole key model, as it was exported.
    KeyModel(KeyModel),
    /// Projections, to which a quantiser is yet to be fitted.
    Projection(Projection),
}

/// Reads a key model, or projections that a key model can be made from, and the entries that were written beside it.
///
/// The weights are read from the named initialisers, docs/ONNX.md; the graph is not run.
///
/// # Errors
/// [`OnnxError`] where the bytes are no such file, one of another version, damaged, or where the model cannot be used.
pub fn import_model(bytes: &[u8]) -> Result<(Imported, Metadata), OnnxError> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(OnnxError::TooLarge { got: bytes.len() as u64, limit: MAX_FILE_BYTES });
    }
    let proto = ModelProto::decode(bytes)?;
    let all = metadata::read(&proto)?;
    let graph = proto.graph.as_ref().ok_or_else(|| OnnxError::invalid("it has no graph"))?;
    let others = || {
        let mut others = all.clone();
        others.retain(|key, _| !metadata::RESERVED.contains(&key.as_str()));
        others
    };
    match all.get(metadata::KIND).map(String::as_str) {
        Some(metadata::KEY_MODEL) => {
            let others = others();
            let model = key_model(graph, &all)?;
            if text(&all, metadata::CHECKSUM)? != metadata::checksum(&model, &others)? {
                return Err(OnnxError::Checksum);
            }
            Ok((Imported::KeyModel(model), others))
        }
        Some(metadata::PROJECTION) => {
            let mean = vector(graph, MEAN)?;
            let projection = Projection {
                nodes: matrix(graph, NODES, mean.len())?,
                queries: matrix(graph, QUERIES, mean.len())?,
                lambda: number(&all, metadata::LAMBDA)?,
                mean,
            };
            projection.check()?;
            Ok((Imported::Projection(projection), others()))
        }
        got => {
            let expected = "\"key-model\" or \"projection\"";
            Err(OnnxError::Kind { expected, got: got.unwrap_or_default().into() })
        }
    }
}

/// Reads a whole key model, bit by bit as [`super::export_key_model`] was given it, and the entries beside it.
///
/// # Errors
/// As [`import_model`], and [`OnnxError::Kind`] for projections without a quantiser.
pub fn import_key_model(bytes: &[u8]) -> Result<(KeyModel, Metadata), OnnxError> {
    match import_model(bytes)? {
        (Imported::KeyModel(model), metadata) => Ok((model, metadata)),
        (Imported::Projection(_), _) => {
            Err(OnnxError::Kind { expected: "\"key-model\"", got: metadata::PROJECTION.into() })
        }
    }
}

fn key_model(graph: &GraphProto, entries: &Metadata) -> Result<KeyModel, OnnxError> {
    let format = text(entries, metadata::FORMAT)?;
    if !(1..=FORMAT_VERSION).any(|version| version.to_string() == format) {
        return Err(OnnxError::Version { expected: FORMAT_VERSION, got: format.into() });
    }
    let nu = if entries.contains_key(metadata::NU) { number(entries, metadata::NU)? } else { 0.0 };
    let mean = vector(graph, MEAN)?;
    let attention = attention(graph, mean.len())?;
    let model = KeyModel {
        dim: mean.len(),
        key_bytes: number(entries, metadata::KEY_BYTES)?,
        nodes: matrix(graph, NODES, mean.len())?,
        queries: matrix(graph, QUERIES, mean.len())?,
        mean,
        query_linear: vector(graph, QUERY_LINEAR)?,
        query_constant: scalar(graph, QUERY_CONSTANT)?,
        slots: slots(text(entries, metadata::SLOTS)?)?,
        lambda: number(entries, metadata::LAMBDA)?,
        kappa: number(entries, metadata::KAPPA)?,
        nu,
        bias_base: number(entries, metadata::BIAS_BASE)?,
        bias_step: number(entries, metadata::BIAS_STEP)?,
        attention,
    };
    model.check()?;
    if format != metadata::version_of(&model).to_string() {
        return Err(OnnxError::Metadata {
            key: metadata::FORMAT.into(),
            why: "is not that of such a model: attention is of version 3, and redknot.nu, which is not 0, of version 2 or 3",
        });
    }
    // What is written twice has to agree: the graph must not compute anything else than the model.
    for (key, value) in [(metadata::DIM, model.dim), (metadata::COORDINATES, model.coordinates())] {
        if number::<usize>(entries, key)? != value {
            return Err(OnnxError::Metadata { key: key.into(), why: "differs from the initialisers" });
        }
    }
    if scalar(graph, LAMBDA)?.to_bits() != model.lambda.to_bits() {
        return Err(OnnxError::Metadata { key: LAMBDA.into(), why: "differs from the initialiser" });
    }
    Ok(model)
}

/// The attention of a model, if it has some.
fn attention(graph: &GraphProto, dim: usize) -> Result<Option<Attention>, OnnxError> {
    let named = |part: &str| format!("{ATTENTION}{part}");
    if !graph.initializer.iter().any(|tensor| tensor.name == named("input")) {
        return Ok(None);
    }
    let input = matrix(graph, &named("input"), dim)?;
    let mut inputs = input.len() / dim.max(1);
    let mut layers = Vec::new();
    let of_layer = |at: usize, part: &str| named(&format!("layers.{at}.{part}"));
    let has_layer = |at: usize| graph.initializer.iter().any(|tensor| tensor.name == of_layer(at, "att_src"));
    while has_layer(layers.len()) {
        let at = layers.len();
        let source = find(graph, &of_layer(at, "att_src"))?;
        let (heads, width) = match source.dims[..] {
            [1, heads, width] if heads > 0 && width > 0 => (heads as usize, width as usize),
            _ => {
                let why = format!("has shape {:?}, expected [1, heads, width]", source.dims);
                return Err(OnnxError::tensor(&source.name, why));
            }
        };
        layers.push(AttentionLayer {
            heads,
            width,
            weights: matrix(graph, &of_layer(at, "lin.weight"), inputs)?,
            source: floats(source)?,
            target: floats(find(graph, &of_layer(at, "att_dst"))?)?,
            bias: vector(graph, &of_layer(at, "bias"))?,
        });
        inputs = heads.saturating_mul(width);
    }
    let width = layers.last().map_or(0, |layer| layer.width);
    Ok(Some(Attention { input, layers, output: matrix(graph, &named("output"), width)? }))
}

fn slots(text: &str) -> Result<Vec<Slot>, OnnxError> {
    let slot = |text: &str| {
        let (coordinate, step) = text.split_once(':')?;
        Some(Slot { coordinate: coordinate.parse().ok()?, step: step.parse().ok()? })
    };
    let slots: Option<Vec<Slot>> = text.split_ascii_whitespace().map(slot).collect();
    slots.ok_or_else(|| OnnxError::Metadata {
        key: metadata::SLOTS.into(),
        why: "is not a list of coordinate:step",
    })
}

/// The initialiser of this name.
fn find<'g>(graph: &'g GraphProto, name: &str) -> Result<&'g TensorProto, OnnxError> {
    let mut named = graph.initializer.iter().filter(|tensor| tensor.name == name);
    match (named.next(), named.next()) {
        (Some(tensor), None) => Ok(tensor),
        (None, _) => Err(OnnxError::tensor(name, "is missing")),
        _ => Err(OnnxError::tensor(name, "is there twice")),
    }
}

fn scalar(graph: &GraphProto, name: &str) -> Result<f32, OnnxError> {
    let tensor = find(graph, name)?;
    match floats(tensor)?[..] {
        [value] if tensor.dims.is_empty() => Ok(value),
        _ => Err(OnnxError::tensor(name, format!("has shape {:?}, expected []", tensor.dims))),
    }
}

fn vector(graph: &GraphProto, name: &str) -> Result<Vec<f32>, OnnxError> {
    let tensor = find(graph, name)?;
    match tensor.dims[..] {
        [_] => floats(tensor),
        _ => Err(OnnxError::tensor(name, format!("has shape {:?}, expected [dim]", tensor.dims))),
    }
}

fn matrix(graph: &GraphProto, name: &str, dim: usize) -> Result<Vec<f32>, OnnxError> {
    let tensor = find(graph, name)?;
    match tensor.dims[..] {
        [_, columns] if columns == dim as i64 => floats(tensor),
        _ => {
            let why = format!("has shape {:?}, expected [coordinates, {dim}]", tensor.dims);
            Err(OnnxError::tensor(name, why))
        }
    }
}
