//! Key models to ONNX files.

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto};

use super::graph::{Dim, node, transpose, value_info};
use super::metadata::{self, Metadata};
use super::tensor::float_tensor;
use super::{MAX_FILE_BYTES, OnnxError};
use crate::routing::{Attention, KeyModel, Slot};

/// The operator set that files are written with.
const OPSET: i64 = 14;
/// The version of the file form that came with it.
const IR_VERSION: i64 = 7;
/// The output of the coordinates of nodes.
const COORDINATES: &str = "coordinates";

/// Names of the weights.
pub(super) const MEAN: &str = "redknot.mean";
pub(super) const NODES: &str = "redknot.nodes";
pub(super) const QUERIES: &str = "redknot.queries";
pub(super) const QUERY_LINEAR: &str = "redknot.query_linear";
pub(super) const QUERY_CONSTANT: &str = "redknot.query_constant";
pub(super) const LAMBDA: &str = "redknot.lambda";
/// What the names of the weights of attention begin with.
pub(super) const ATTENTION: &str = "redknot.attention.";

/// A key model as an ONNX file, which [`super::import_key_model`] reads back bit by bit.
///
/// Its graph is both encoders: `vectors [N, dim]` and `neighbor_means [N, dim]` give `coordinates [N, C]`, and
/// `queries [Q, dim]` give `query_coordinates [Q, C]` and `query_bias [Q]`, see [`KeyModel`] for the arithmetic. With
/// attention `coordinates` depend on `edge_index [2, E]`, too: the links of the base layer, each from the node that is
/// linked to (source) to the node that links (target).
/// `metadata` is written beside it and covered by the checksum.
///
/// # Errors
/// [`OnnxError::Model`] for a model that cannot be used, [`OnnxError::Metadata`] for an entry that the file has of its
/// own, [`OnnxError::TooLarge`] for a model of more than [`MAX_FILE_BYTES`], [`OnnxError::Attention`] for one that has some
/// in a program without the feature `gnn`.
pub fn export_key_model(model: &KeyModel, metadata: &Metadata) -> Result<Vec<u8>, OnnxError> {
    model.check()?;
    let weights = 4 * (model.nodes.len() + model.queries.len()) as u64;
    if weights > MAX_FILE_BYTES {
        return Err(OnnxError::TooLarge { got: weights, limit: MAX_FILE_BYTES });
    }
    let written = Written::of(model)?;
    let proto = ModelProto {
        ir_version: written.ir_version,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: written.opset }],
        producer_name: "redknot".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(GraphProto {
            name: "key_model".into(),
            node: written.nodes,
            initializer: written.initializers,
            input: written.inputs,
            output: outputs(model.coordinates()),
            ..GraphProto::default()
        }),
        metadata_props: metadata::to_props(entries(model, metadata)?),
        ..ModelProto::default()
    };
    let bytes = proto.encode_to_vec();
    match bytes.len() as u64 {
        got if got > MAX_FILE_BYTES => Err(OnnxError::TooLarge { got, limit: MAX_FILE_BYTES }),
        _ => Ok(bytes),
    }
}

/// The graph of a model, and what it is written in.
struct Written {
    ir_version: i64,
    opset: i64,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    inputs: Vec<ValueInfoProto>,
}

impl Written {
    fn of(model: &KeyModel) -> Result<Written, OnnxError> {
        let plain = Written {
            ir_version: IR_VERSION,
            opset: OPSET,
            nodes: nodes(COORDINATES),
            initializers: initializers(model),
            inputs: inputs(model.dim),
        };
        match &model.attention {
            Some(attention) => plain.corrected(attention, model),
            None => Ok(plain),
        }
    }

    /// With what attention adds to the coordinates.
    #[cfg(feature = "gnn")]
    fn corrected(mut self, attention: &Attention, model: &KeyModel) -> Result<Written, OnnxError> {
        use super::layers::{self, Corrections};

        const BEFORE: &str = "uncorrected_coordinates";
        let corrections = Corrections::new(attention, model.dim, model.coordinates());
        self.nodes = nodes(BEFORE);
        self.nodes.extend(corrections.nodes);
        self.nodes.push(node("Add", &[BEFORE, &corrections.value], COORDINATES));
        self.initializers.extend(corrections.initializers);
        self.inputs.push(layers::edge_index());
        (self.ir_version, self.opset) = (layers::IR_VERSION, layers::OPSET);
        Ok(self)
    }

    #[cfg(not(feature = "gnn"))]
    fn corrected(self, _: &Attention, _: &KeyModel) -> Result<Written, OnnxError> {
        Err(OnnxError::Attention)
    }
}

fn inputs(dim: usize) -> Vec<ValueInfoProto> {
    let rows = |name, rows| value_info(name, &[Dim::Any(rows), Dim::Fixed(dim)]);
    vec![rows("vectors", "N"), rows("neighbor_means", "N"), rows("queries", "Q")]
}

fn outputs(coordinates: usize) -> Vec<ValueInfoProto> {
    vec![
        value_info(COORDINATES, &[Dim::Any("N"), Dim::Fixed(coordinates)]),
        value_info("query_coordinates", &[Dim::Any("Q"), Dim::Fixed(coordinates)]),
        value_info("query_bias", &[Dim::Any("Q")]),
    ]
}

/// The arithmetic of [`KeyModel`], in the order of evaluation; `coordinates` is what those of nodes are called.
fn nodes(coordinates: &str) -> Vec<NodeProto> {
    vec![
        // x' − μ with x' = x + λ·(m − x).
        node("Sub", &["neighbor_means", "vectors"], "offsets"),
        node("Mul", &["offsets", LAMBDA], "shares"),
        node("Add", &["vectors", "shares"], "routing_vectors"),
        node("Sub", &["routing_vectors", MEAN], "centred_vectors"),
        transpose(NODES, "node_columns"),
        node("MatMul", &["centred_vectors", "node_columns"], coordinates),
        node("Sub", &["queries", MEAN], "centred_queries"),
        transpose(QUERIES, "query_columns"),
        node("MatMul", &["centred_queries", "query_columns"], "query_coordinates"),
        node("MatMul", &["centred_queries", QUERY_LINEAR], "query_linear"),
        node("Add", &["query_linear", QUERY_CONSTANT], "query_bias"),
    ]
}

fn initializers(model: &KeyModel) -> Vec<TensorProto> {
    let projection = [model.coordinates(), model.dim];
    vec![
        float_tensor(MEAN, &[model.dim], &model.mean),
        float_tensor(NODES, &projection, &model.nodes),
        float_tensor(QUERIES, &projection, &model.queries),
        float_tensor(QUERY_LINEAR, &[model.dim], &model.query_linear),
        float_tensor(QUERY_CONSTANT, &[], &[model.query_constant]),
        float_tensor(LAMBDA, &[], &[model.lambda]),
    ]
}

/// The caller's entries, and what the graph does not say: numbers in as many digits as bring them back.
fn entries(model: &KeyModel, others: &Metadata) -> Result<Metadata, OnnxError> {
    if let Some(key) = others.keys().find(|key| metadata::RESERVED.contains(&key.as_str())) {
        let why = "is what the file says of the model itself: choose another key";
        return Err(OnnxError::Metadata { key: key.clone(), why });
    }
    let slot = |slot: &Slot| format!("{}:{}", slot.coordinate, slot.step);
    let slots: Vec<String> = model.slots.iter().map(slot).collect();
    let own = [
        (metadata::FORMAT, metadata::version_of(model).to_string()),
        (metadata::KIND, metadata::KEY_MODEL.into()),
        (metadata::DIM, model.dim.to_string()),
        (metadata::COORDINATES, model.coordinates().to_string()),
        (metadata::KEY_BYTES, model.key_bytes.to_string()),
        (metadata::LAMBDA, model.lambda.to_string()),
        (metadata::KAPPA, model.kappa.to_string()),
        (metadata::BIAS_BASE, model.bias_base.to_string()),
        (metadata::BIAS_STEP, model.bias_step.to_string()),
        (metadata::SLOTS, slots.join(" ")),
        (metadata::CHECKSUM, metadata::checksum(model, others)?),
    ];
    let nu = (model.nu != 0.0).then(|| (metadata::NU, model.nu.to_string()));
    let mut entries = others.clone();
    entries.extend(own.into_iter().chain(nu).map(|(key, value)| (key.to_owned(), value)));
    Ok(entries)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed call fails the test")]
mod tests {
    use super::*;
    use crate::onnx::onnx_runtime_problem;
    use crate::onnx::runtime::{self, Backend, Input};
    use crate::onnx::validate::parse;
    use crate::routing::{KeyEncoder, QueryEncoder};

    fn random(count: usize, rng: &mut fastrand::Rng) -> Vec<f32> {
        (0..count).map(|_| rng.f32() - 0.5).collect()
    }

    fn model(dim: usize, coordinates: usize, rng: &mut fastrand::Rng) -> KeyModel {
        KeyModel {
            dim,
            key_bytes: 32,
            mean: random(dim, rng),
            nodes: random(coordinates * dim, rng),
            queries: random(coordinates * dim, rng),
            query_linear: random(dim, rng),
            query_constant: -0.75,
            slots: (0..120).map(|slot| Slot { coordinate: (slot % coordinates) as u16, step: 0.1 }).collect(),
            lambda: 0.3,
            kappa: 0.5,
            nu: 0.25,
            bias_base: -1.0,
            bias_step: 0.01,
            attention: None,
        }
    }

    /// How far off numbers may be, relative to the length of what is summed, of which a sum may be any part.
    const TOLERANCE: f32 = 1e-5;
    /// Some machines round queries, and what they are multiplied with, to bytes.
    const ROUNDED_TOLERANCE: f32 = 0.02;

    fn assert_near(got: f32, expected: f32, tolerance: f32, what: &str) {
        assert!((got - expected).abs() <= tolerance, "{what}: {got}, natively {expected}");
    }

    /// `row·(x − mean)` in twice the precision.
    fn product(row: &[f32], x: &[f32], mean: &[f32]) -> f32 {
        let terms = row.iter().zip(x).zip(mean);
        terms.map(|((w, x), mean)| f64::from(*w) * (f64::from(*x) - f64::from(*mean))).sum::<f64>() as f32
    }

    fn length(x: &[f32]) -> f32 {
        x.iter().map(|x| x * x).sum::<f32>().sqrt()
    }

    fn assert_same(backend: Backend, dim: usize, coordinates: usize) {
        let mut rng = fastrand::Rng::with_seed(7);
        let model = model(dim, coordinates, &mut rng);
        let file = export_key_model(&model, &Metadata::new()).unwrap();
        let pool = runtime::open(backend, parse(&file).unwrap().model).unwrap();
        let (nodes, queries) = (5, 3);
        let vectors = random(nodes * dim, &mut rng);
        let (means, asked) = (random(nodes * dim, &mut rng), random(queries * dim, &mut rng));
        let inputs = [
            Input { name: "vectors", shape: &[nodes, dim], values: &vectors },
            Input { name: "neighbor_means", shape: &[nodes, dim], values: &means },
            Input { name: "queries", shape: &[queries, dim], values: &asked },
        ];
        let outputs = pool.run(&inputs).unwrap();
        let shapes: Vec<&[usize]> = outputs.iter().map(|output| output.shape.as_slice()).collect();
        assert_eq!(shapes, [&[nodes, coordinates][..], &[queries, coordinates], &[queries]]);

        let encoder = KeyEncoder::new(&model).unwrap();
        for (node, got) in outputs[0].values.chunks(coordinates).enumerate() {
            let here = node * dim..(node + 1) * dim;
            let native = encoder.coordinates(&vectors[here.clone()], &means[here.clone()]);
            for (at, (got, native)) in got.iter().zip(&native).enumerate() {
                let scale = length(&model.nodes[at * dim..][..dim]) * length(&vectors[here.clone()]);
                assert_near(*got, *native, TOLERANCE * scale, "a coordinate of a node");
            }
        }
        let encoder = QueryEncoder::new(&model).unwrap();
        for (query, got) in outputs[1].values.chunks(coordinates).enumerate() {
            let here = &asked[query * dim..][..dim];
            let (native, terms) = encoder.numbers(here).unwrap();
            for (at, (got, native)) in got.iter().zip(&native).enumerate() {
                let row = &model.queries[at * dim..][..dim];
                let scale = length(row) * (length(here) + length(&model.mean));
                let exact = product(row, here, &model.mean);
                assert_near(*got, exact, TOLERANCE * scale, "a coordinate of a query");
                assert_near(*got, *native, ROUNDED_TOLERANCE * scale, "a coordinate of a query");
            }
            let scale = length(&model.query_linear) * length(here) + 0.75;
            assert_near(outputs[2].values[query], terms, TOLERANCE * scale, "the terms of a query");
        }
    }

    #[test]
    fn the_graph_computes_what_the_encoders_do() {
        for (dim, coordinates) in [(3, 2), (40, 17), (128, 120)] {
            assert_same(Backend::Tract, dim, coordinates);
        }
    }

    #[test]
    fn the_onnx_runtime_computes_the_same_where_there_is_one() {
        match onnx_runtime_problem() {
            None => assert_same(Backend::OnnxRuntime, 40, 17),
            Some(why) => {
                let mut rng = fastrand::Rng::with_seed(7);
                let file = export_key_model(&model(3, 2, &mut rng), &Metadata::new()).unwrap();
                let opened = runtime::open(Backend::OnnxRuntime, parse(&file).unwrap().model);
                let error = opened.err().unwrap().to_string();
                assert!(error.contains(why), "{error}");
            }
        }
    }
}
