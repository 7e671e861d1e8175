//! Models of layers to ONNX files.

use prost::Message;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{GraphProto, ModelProto, OperatorSetIdProto, ValueInfoProto};

use super::builder::Builder;
use super::edges::Edges;
use super::layer::Writer;
use super::{DESCRIPTION, LAYERS, RESERVED, checksum};
use crate::layers::{Activation, LayerDescription, LayerType, ModelDescription, Weights};
use crate::onnx::graph::{Dim, value_info};
use crate::onnx::metadata::{self, LAYERS_VERSION, Metadata};
use crate::onnx::tensor::float_tensor;
use crate::onnx::{MAX_FILE_BYTES, OnnxError};

/// The operator set that files are written with: the first whose ScatterND takes maxima.
pub(in crate::onnx) const OPSET: i64 = 18;
/// The version of the file form that came with it.
pub(in crate::onnx) const IR_VERSION: i64 = 8;
/// `TensorProto.INT64`
const INT64: i32 = 7;

/// A model of layers as an ONNX file, which [`super::import_layers`] reads back bit by bit.
///
/// Its inputs are `x [N, input_dim]`, `edge_index [2, E]` (sources, targets; int64) and what the model reads of edges besides:
/// `edge_weight [E]` (gcn) and `edge_attr [E, edge_dim]` (gat, where it has `edge_dim`). Its output is `y [N, output_dim]`.
/// GraphSAGE sums over all neighbours, whatever `sample_size` says. `metadata` is written beside it and covered by the
/// checksum.
///
/// # Errors
/// [`OnnxError::NotExported`] for GraphSAGE with the aggregator `lstm`, [`OnnxError::Layers`] for weights that are not the
/// description's, [`OnnxError::Metadata`] for an entry that the file has of its own, [`OnnxError::TooLarge`] for a model of
/// more than [`MAX_FILE_BYTES`].
pub fn export_layers(
    model: &ModelDescription,
    weights: &Weights,
    metadata: &Metadata,
) -> Result<Vec<u8>, OnnxError> {
    weights.check(model)?;
    let numbers: usize = weights.iter().map(|(_, tensor)| tensor.data().len()).sum();
    if 4 * numbers as u64 > MAX_FILE_BYTES {
        return Err(OnnxError::TooLarge { got: 4 * numbers as u64, limit: MAX_FILE_BYTES });
    }
    let builder = nodes(model)?;
    let parameters = weights.iter().map(|(name, tensor)| float_tensor(name, tensor.shape(), tensor.data()));
    let proto = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "redknot".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(GraphProto {
            name: "layers".into(),
            initializer: parameters.chain(builder.constants).collect(),
            node: builder.nodes,
            input: inputs(model),
            output: vec![value_info("y", &[Dim::Any("N"), Dim::Fixed(model.output_dim)])],
            ..GraphProto::default()
        }),
        metadata_props: metadata::to_props(entries(model, weights, metadata)?),
        ..ModelProto::default()
    };
    let bytes = proto.encode_to_vec();
    match bytes.len() as u64 {
        got if got > MAX_FILE_BYTES => Err(OnnxError::TooLarge { got, limit: MAX_FILE_BYTES }),
        _ => Ok(bytes),
    }
}

/// The input of edges: sources, then targets.
pub(in crate::onnx) fn edge_index() -> ValueInfoProto {
    let mut edge_index = value_info("edge_index", &[Dim::Fixed(2), Dim::Any("E")]);
    if let Some(Value::TensorType(tensor)) = edge_index.r#type.as_mut().and_then(|it| it.value.as_mut()) {
        tensor.elem_type = INT64;
    }
    edge_index
}

fn inputs(model: &ModelDescription) -> Vec<ValueInfoProto> {
    let mut inputs = vec![value_info("x", &[Dim::Any("N"), Dim::Fixed(model.input_dim)]), edge_index()];
    if model.layer_type == LayerType::Gcn.name() {
        inputs.push(value_info("edge_weight", &[Dim::Any("E")]));
    }
    if let (Some(width), true) = (model.edge_dim, model.layer_type == LayerType::Gat.name()) {
        inputs.push(value_info("edge_attr", &[Dim::Any("E"), Dim::Fixed(width)]));
    }
    inputs
}

fn nodes(model: &ModelDescription) -> Result<Builder, OnnxError> {
    let mut b = Builder::default();
    b.enter("graph");
    let given = Edges::given(&mut b, "x");
    let mut x = "x".to_owned();
    for (at, layer) in model.layers()?.iter().enumerate() {
        let prefix = format!("layers.{at}");
        b.enter(&prefix);
        if at > 0 {
            x = match model.activation {
                Activation::Relu => b.op("Relu", &[&x]),
                Activation::Elu => b.op("Elu", &[&x]),
                Activation::Identity => x,
            };
        }
        let mut writer = Writer { b: &mut b, given: &given, prefix };
        x = match layer {
            LayerDescription::Gcn(layer) => writer.gcn(layer, &x),
            LayerDescription::Sage(layer) => writer.sage(layer, &x).ok_or(OnnxError::NotExported {
                what: "the aggregator lstm of graphsage reads neighbours one after the other",
            })?,
            LayerDescription::Gat(layer) => writer.gat(layer, &x),
            LayerDescription::Gin(layer) => writer.gin(layer, &x),
            LayerDescription::RuVector(layer) => writer.ruvector(layer, &x),
        };
    }
    if let Some(last) = b.nodes.last_mut() {
        last.output = vec!["y".into()];
    }
    Ok(b)
}

/// The caller's entries, and what the graph does not say.
fn entries(model: &ModelDescription, weights: &Weights, others: &Metadata) -> Result<Metadata, OnnxError> {
    if let Some(key) = others.keys().find(|key| RESERVED.contains(&key.as_str())) {
        let why = "is what the file says of the model itself: choose another key";
        return Err(OnnxError::Metadata { key: key.clone(), why });
    }
    let description = model.to_json();
    let own = [
        (metadata::FORMAT, LAYERS_VERSION.to_string()),
        (metadata::KIND, LAYERS.into()),
        (metadata::CHECKSUM, checksum(&description, weights, others)),
        (DESCRIPTION, description),
    ];
    let mut entries = others.clone();
    entries.extend(own.map(|(key, value)| (key.to_owned(), value)));
    Ok(entries)
}
