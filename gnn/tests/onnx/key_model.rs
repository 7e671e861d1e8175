//! Key models out and in.

use proptest::prelude::*;
use prost::Message;
use redknot_gnn::onnx::{
    Imported, Metadata, OnnxError, Projection, export_key_model, import_key_model, import_model,
    validate_onnx_bytes,
};
use redknot_gnn::routing::KeyModel;
use tract_onnx::pb::{GraphProto, ModelProto, StringStringEntryProto};

use crate::build::{floats, model};
#[cfg(not(feature = "gnn"))]
use crate::support::random_attention;
use crate::support::{documented, random_model, shorten};

fn others() -> Metadata {
    let pairs = [("redknot.metric", "l2"), ("redknot.graph_epoch", "7"), ("someone's", "")];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Bit by bit: a NaN or a zero of another sign would differ.
fn assert_same(a: &KeyModel, b: &KeyModel) {
    assert_eq!(a.to_bytes().unwrap(), b.to_bytes().unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn models_come_back_bit_by_bit(
        dim in 1_usize..40,
        coordinates in 1_usize..30,
        key_bytes in prop::sample::select(vec![32_usize, 64, 96, 128]),
        seed: u64,
        scalars in prop::array::uniform4(-1e30_f32..1e30),
        lambda in 0.0_f32..=1.0,
        tiny in prop::num::f32::SUBNORMAL,
    ) {
        let mut model = random_model(dim, coordinates, key_bytes, seed);
        [model.query_constant, model.kappa, model.bias_base, _] = scalars;
        model.bias_step = scalars[3].abs().max(1e-30) * 1e-10;
        model.lambda = lambda;
        model.mean[0] = tiny;
        model.nodes[0] = -0.0;
        let file = export_key_model(&model, &others()).unwrap();
        let (back, metadata) = import_key_model(&file).unwrap();
        assert_same(&model, &back);
        prop_assert_eq!(metadata, others());
    }
}

/// As docs/ONNX.md says, however the model is kept in databases: files are read by programs of before and after.
#[test]
fn the_checksum_is_of_every_number_in_four_bytes() {
    let mut model = random_model(7, 5, 32, 3);
    shorten(&mut model);
    let others = others();
    let mut bytes = documented::model_bytes(&model, false);
    for text in others.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    let file = ModelProto::decode(&*export_key_model(&model, &others).unwrap()).unwrap();
    let checksum = file.metadata_props.iter().find(|prop| prop.key == "redknot.checksum").unwrap();
    assert_eq!(checksum.value, format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&bytes)));
}

#[cfg(not(feature = "gnn"))]
#[test]
fn attention_is_written_by_programs_that_know_layers() {
    let mut model = random_model(5, 3, 32, 1);
    model.attention = Some(random_attention([5, 3], 2, &[(1, 2)], 1));
    let error = export_key_model(&model, &others()).unwrap_err();
    assert!(matches!(error, OnnxError::Attention), "{error}");
}

#[test]
fn the_file_says_what_is_in_it() {
    let file = export_key_model(&random_model(5, 3, 32, 1), &others()).unwrap();
    let info = validate_onnx_bytes(&file).unwrap();
    let named = |name: &str, dims: &[i64]| (name.to_owned(), dims.to_vec());
    assert_eq!(
        info.input_dims,
        [named("vectors", &[-1, 5]), named("neighbor_means", &[-1, 5]), named("queries", &[-1, 5]),]
    );
    assert_eq!(
        info.output_dims,
        [named("coordinates", &[-1, 3]), named("query_coordinates", &[-1, 3]), named("query_bias", &[-1]),]
    );
    assert_eq!(info.opset_version, 14);
    assert_eq!(info.parameters, 5 + 15 + 15 + 5 + 1 + 1);
    for (key, value) in [("redknot.kind", "key-model"), ("redknot.format", "2"), ("redknot.metric", "l2")] {
        assert_eq!(info.metadata[key], value);
    }
}

#[test]
fn what_the_file_says_of_itself_cannot_be_given() {
    let metadata = Metadata::from([("redknot.kappa".to_owned(), "0".to_owned())]);
    let error = export_key_model(&random_model(5, 3, 32, 1), &metadata).unwrap_err();
    assert!(matches!(error, OnnxError::Metadata { ref key, .. } if key == "redknot.kappa"), "{error}");
    let mut model = random_model(5, 3, 32, 1);
    model.mean[2] = f32::NAN;
    assert!(matches!(export_key_model(&model, &Metadata::new()), Err(OnnxError::Model(_))));
}

/// Exports a model and changes the file.
fn changed(change: impl FnOnce(&mut ModelProto)) -> OnnxError {
    let file = export_key_model(&random_model(5, 3, 32, 1), &others()).unwrap();
    let mut proto = ModelProto::decode(file.as_slice()).unwrap();
    change(&mut proto);
    import_key_model(&proto.encode_to_vec()).unwrap_err()
}

/// Sets an entry of the metadata.
fn set(proto: &mut ModelProto, key: &str, value: &str) {
    let entry = proto.metadata_props.iter_mut().find(|entry| entry.key == key);
    entry.unwrap().value = value.into();
}

#[test]
fn changes_are_noticed() {
    let weight = changed(|proto| proto.graph.as_mut().unwrap().initializer[1].raw_data[3] ^= 1);
    assert!(matches!(weight, OnnxError::Checksum), "{weight}");
    let entry = changed(|proto| set(proto, "redknot.graph_epoch", "8"));
    assert!(matches!(entry, OnnxError::Checksum), "{entry}");
    let kappa = changed(|proto| set(proto, "redknot.kappa", "0.5"));
    assert!(matches!(kappa, OnnxError::Checksum), "{kappa}");
    let lambda = changed(|proto| set(proto, "redknot.lambda", "0.5"));
    assert!(matches!(lambda, OnnxError::Metadata { .. }), "{lambda}");
    let format = changed(|proto| set(proto, "redknot.format", "4"));
    assert!(matches!(format, OnnxError::Version { expected: 3, .. }), "{format}");
    let attending = changed(|proto| set(proto, "redknot.format", "3"));
    assert!(matches!(attending, OnnxError::Metadata { .. }), "{attending}");
    let older = changed(|proto| set(proto, "redknot.format", "1"));
    assert!(matches!(older, OnnxError::Metadata { .. }), "{older}");
    let nu = changed(|proto| set(proto, "redknot.nu", "0"));
    assert!(matches!(nu, OnnxError::Metadata { .. }), "{nu}");
    let nu = changed(|proto| set(proto, "redknot.nu", "0.5"));
    assert!(matches!(nu, OnnxError::Checksum), "{nu}");
    let kind = changed(|proto| set(proto, "redknot.kind", "lookup-table"));
    assert!(matches!(kind, OnnxError::Kind { .. }), "{kind}");
    let slots = changed(|proto| set(proto, "redknot.slots", "0:0.1 x:0.1"));
    assert!(matches!(slots, OnnxError::Metadata { .. }), "{slots}");
    let few = changed(|proto| set(proto, "redknot.slots", "0:0.1 1:0.1"));
    assert!(matches!(few, OnnxError::Model(_)), "{few}");
    let twice = changed(|proto| proto.metadata_props.push(proto.metadata_props[0].clone()));
    assert!(matches!(twice, OnnxError::Metadata { why: "is there twice", .. }), "{twice}");
    let gone = changed(|proto| proto.graph.as_mut().unwrap().initializer.truncate(1));
    assert!(matches!(gone, OnnxError::Tensor { .. }), "{gone}");
}

/// A file as a script writes it that trains projections: weights by name, λ, and nothing else.
fn projection_file(projection: &Projection) -> Vec<u8> {
    let (dim, coordinates) = (projection.dim(), projection.coordinates());
    let mut proto = model(GraphProto {
        initializer: vec![
            floats("redknot.mean", &[dim], &projection.mean),
            floats("redknot.nodes", &[coordinates, dim], &projection.nodes),
            floats("redknot.queries", &[coordinates, dim], &projection.queries),
        ],
        ..GraphProto::default()
    });
    let pairs =
        [("redknot.kind", "projection".to_owned()), ("redknot.lambda", projection.lambda.to_string())];
    let pairs = pairs.into_iter().chain([("loss", "0.25".to_owned())]);
    proto.metadata_props =
        pairs.map(|(key, value)| StringStringEntryProto { key: key.into(), value }).collect();
    proto.encode_to_vec()
}

fn projection() -> Projection {
    let KeyModel { mean, nodes, queries, .. } = random_model(6, 4, 32, 5);
    Projection { mean, nodes, queries, lambda: 0.25 }
}

#[test]
fn projections_of_others_are_read() {
    let file = projection_file(&projection());
    let (imported, metadata) = import_model(&file).unwrap();
    assert_eq!(imported, Imported::Projection(projection()));
    assert_eq!(metadata, Metadata::from([("loss".to_owned(), "0.25".to_owned())]));
    let error = import_key_model(&file).unwrap_err();
    assert!(matches!(error, OnnxError::Kind { .. }), "{error}");
}

#[test]
fn projections_that_cannot_be_used_are_refused() {
    let wrong = [
        Projection { lambda: 1.5, ..projection() },
        Projection { lambda: f32::NAN, ..projection() },
        Projection { mean: vec![f32::INFINITY; 6], ..projection() },
    ];
    for projection in wrong {
        let error = import_model(&projection_file(&projection)).unwrap_err();
        assert!(matches!(error, OnnxError::Model(_)), "{error}");
    }
    let short = Projection { queries: projection().queries[..12].to_vec(), ..projection() };
    assert!(short.check().is_err());
}
