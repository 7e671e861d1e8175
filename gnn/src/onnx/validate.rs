//! What has to hold of a file before a runtime sees it.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use prost::Message;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto};

use super::graph::float_dims;
use super::metadata::{self, Metadata};
use super::tensor::check_tensor;
use super::{OnnxError, safety};

/// Most bytes of a file.
pub const MAX_FILE_BYTES: u64 = 50_000_000;
/// The oldest operator set that is read.
pub const MIN_OPSET: i64 = 14;
/// Most nodes of a graph.
const MAX_NODES: usize = 10_000;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// What a file says of its model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Names and shapes of the inputs, in the order of the graph; -1 for a dimension that may be any number.
    pub input_dims: Vec<(String, Vec<i64>)>,
    /// The same of the outputs; no dimensions where the file does not name them.
    pub output_dims: Vec<(String, Vec<i64>)>,
    /// The version of the operator set.
    pub opset_version: i64,
    /// The entries of `metadata_props`.
    pub metadata: Metadata,
    /// The program that wrote the file; empty where it does not say.
    pub producer: String,
    /// Nodes of the graph.
    pub nodes: usize,
    /// Numbers in the weights.
    pub parameters: u64,
}

/// A model that can be run.
pub(super) struct Parsed {
    pub(super) info: ModelInfo,
    /// The model without what a run does not need and nobody has looked at.
    pub(super) model: ModelProto,
}

/// Reads a file and says what it holds, if it can be run.
///
/// # Errors
/// [`OnnxError`] where the file cannot be read, is larger than [`MAX_FILE_BYTES`] or no ONNX model, where its operator
/// set is older than [`MIN_OPSET`], where it uses operators that docs/ONNX.md does not list, a Gather that is not known
/// to stay in range, weights outside the file, or inputs and outputs other than tensors of f32, and where its graph does
/// not hold together.
pub fn validate_onnx_model(path: impl AsRef<Path>) -> Result<ModelInfo, OnnxError> {
    validate_onnx_bytes(&read(path.as_ref())?)
}

/// The same for a model in memory.
///
/// # Errors
/// As [`validate_onnx_model`].
pub fn validate_onnx_bytes(bytes: &[u8]) -> Result<ModelInfo, OnnxError> {
    Ok(parse(bytes)?.info)
}

/// The bytes of a file that is not too large.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, OnnxError> {
    let file = File::open(path)?;
    let got = file.metadata()?.len();
    if got > MAX_FILE_BYTES {
        return Err(OnnxError::TooLarge { got, limit: MAX_FILE_BYTES });
    }
    let mut bytes = Vec::with_capacity(got as usize);
    // One more byte than allowed: a pipe does not know its length.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, OnnxError> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(OnnxError::TooLarge { got: bytes.len() as u64, limit: MAX_FILE_BYTES });
    }
    let mut model = ModelProto::decode(bytes)?;
    let opset_version = opset(&model)?;
    if !model.functions.is_empty() || !model.training_info.is_empty() {
        return Err(OnnxError::invalid("it has functions or training information, expected a graph alone"));
    }
    let metadata = metadata::read(&model)?;
    let producer = format!("{} {}", model.producer_name, model.producer_version).trim().to_owned();
    let graph = model.graph.take().ok_or_else(|| OnnxError::invalid("it has no graph"))?;
    check_graph(&graph)?;
    safety::check(&graph)?;
    let given: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|input| !given.contains(input.name.as_str()));
    let dims = |info: &ValueInfoProto| {
        let dims = float_dims(info).filter(|dims| dims.len() <= MAX_RANK);
        let dims = dims.ok_or_else(|| {
            let name = &info.name;
            OnnxError::invalid(format!(
                "{name:?} is no tensor of f32 with a shape of at most {MAX_RANK} dimensions"
            ))
        })?;
        Ok((info.name.clone(), dims))
    };
    let info = ModelInfo {
        input_dims: inputs.clone().map(dims).collect::<Result<_, OnnxError>>()?,
        output_dims: graph.output.iter().map(output_dims).collect::<Result<_, OnnxError>>()?,
        opset_version,
        metadata,
        producer,
        nodes: graph.node.len(),
        parameters: graph.initializer.iter().map(|t| t.dims.iter().product::<i64>().unsigned_abs()).sum(),
    };
    let input = inputs.cloned().collect();
    let output = graph.output.iter().map(without_shape).collect();
    let (node, initializer, name) = (graph.node, graph.initializer, graph.name);
    let graph = GraphProto { node, initializer, name, input, output, ..GraphProto::default() };
    let model = ModelProto {
        ir_version: model.ir_version,
        opset_import: model.opset_import,
        graph: Some(graph),
        ..ModelProto::default()
    };
    Ok(Parsed { info, model })
}

/// The version of the operator set, the only one.
fn opset(model: &ModelProto) -> Result<i64, OnnxError> {
    let mut standard = model.opset_import.iter().filter(|set| is_standard(&set.domain));
    let got = standard.next().map_or(0, |set| set.version);
    if got < MIN_OPSET {
        return Err(OnnxError::Opset { expected: MIN_OPSET, got });
    }
    if standard.next().is_some() {
        return Err(OnnxError::invalid("it names two versions of the standard operator set"));
    }
    Ok(got)
}

/// Whether a domain is that of the standard operators.
pub(super) fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// The names of a graph: each is defined once, before it is used; and its tensors are whole.
fn check_graph(graph: &GraphProto) -> Result<(), OnnxError> {
    if graph.node.len() > MAX_NODES {
        let what = format!("it has {} nodes, expected at most {MAX_NODES}", graph.node.len());
        return Err(OnnxError::invalid(what));
    }
    if !graph.sparse_initializer.is_empty() || !graph.quantization_annotation.is_empty() {
        return Err(OnnxError::invalid("it has sparse or quantised weights, expected dense ones"));
    }
    let mut defined = HashSet::new();
    for tensor in &graph.initializer {
        check_tensor(tensor)?;
        define(&mut defined, &tensor.name)?;
    }
    let weights = defined.clone();
    for input in graph.input.iter().filter(|input| !weights.contains(input.name.as_str())) {
        define(&mut defined, &input.name)?;
    }
    for node in &graph.node {
        if let Some(input) =
            node.input.iter().find(|name| !name.is_empty() && !defined.contains(name.as_str()))
        {
            let what = format!("node {:?} uses {input:?}, which nothing before it defines", named(node));
            return Err(OnnxError::invalid(what));
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            define(&mut defined, output)?;
        }
    }
    if graph.output.is_empty() {
        return Err(OnnxError::invalid("it has no output"));
    }
    match graph.output.iter().find(|output| !defined.contains(output.name.as_str())) {
        Some(output) => Err(OnnxError::invalid(format!("nothing defines its output {:?}", output.name))),
        None => Ok(()),
    }
}

fn define<'g>(defined: &mut HashSet<&'g str>, name: &'g str) -> Result<(), OnnxError> {
    if !name.is_empty() && defined.insert(name) {
        return Ok(());
    }
    Err(OnnxError::invalid(format!("the name {name:?} is empty or defined twice")))
}

/// What to call a node.
pub(super) fn named(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name }
}

fn output_dims(output: &ValueInfoProto) -> Result<(String, Vec<i64>), OnnxError> {
    let shaped = output.r#type.as_ref().and_then(|r#type| r#type.value.as_ref());
    let Some(Value::TensorType(tensor)) = shaped else {
        return Err(OnnxError::invalid(format!("its output {:?} is no tensor", output.name)));
    };
    if tensor.shape.is_none() {
        return Ok((output.name.clone(), Vec::new()));
    }
    let dims = float_dims(output)
        .ok_or_else(|| OnnxError::invalid(format!("its output {:?} is not of f32", output.name)))?;
    Ok((output.name.clone(), dims))
}

/// An output whose shape the runtime finds out by itself.
fn without_shape(output: &ValueInfoProto) -> ValueInfoProto {
    let mut output = output.clone();
    if let Some(Value::TensorType(tensor)) = output.r#type.as_mut().and_then(|r#type| r#type.value.as_mut()) {
        tensor.shape = None;
    }
    output.doc_string.clear();
    output
}
