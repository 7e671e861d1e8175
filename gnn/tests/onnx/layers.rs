//! Models of layers out and in.

#[cfg(feature = "gnn-all")]
mod corrected;
#[cfg(feature = "gnn-all")]
mod evaluator;
#[cfg(feature = "gnn-all")]
mod operators;
#[cfg(feature = "gnn-all")]
mod outputs;

use prost::Message;
use redknot_gnn::layers::{GnnError, LayerType, ModelDescription, SageAggregator, Tensor, Weights};
use redknot_gnn::onnx::{Metadata, OnnxError, export_layers, import_key_model, import_layers};
use tract_onnx::pb::ModelProto;

use crate::mutations::{mutated, random_bytes};

const SEED: u64 = 20_240_918;

fn models() -> Vec<ModelDescription> {
    let new = |layer_type| ModelDescription::new(layer_type, 2, 6, 8, 3);
    let sage = |aggregator| ModelDescription { aggregator, ..new(LayerType::GraphSage) };
    vec![
        new(LayerType::Gcn),
        sage(SageAggregator::Mean),
        sage(SageAggregator::MaxPool),
        sage(SageAggregator::Gcn),
        ModelDescription { heads: 2, edge_dim: Some(2), ..new(LayerType::Gat) },
        ModelDescription { train_eps: true, eps: 0.1, ..new(LayerType::Gin) },
        ModelDescription { heads: 2, num_hops: 2, ..new(LayerType::RuVector) },
    ]
}

fn others() -> Metadata {
    let pairs = [("trained_on", "citations"), ("", "")];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn file(model: &ModelDescription) -> (Weights, Vec<u8>) {
    let weights = Weights::initialised(model, SEED).unwrap();
    let file = export_layers(model, &weights, &others()).unwrap();
    (weights, file)
}

#[test]
fn models_come_back_bit_by_bit() {
    for model in models() {
        let mut weights = Weights::initialised(&model, SEED).unwrap();
        let (name, tensor) = weights.iter().find(|(_, tensor)| tensor.data().len() > 1).unwrap();
        let (name, tensor) = (name.to_owned(), tensor.clone());
        let mut data = tensor.data().to_vec();
        (data[0], data[1]) = (-0.0, f32::from_bits(1));
        weights.insert(name.clone(), Tensor::new(tensor.shape().to_vec(), data).unwrap());
        let file = export_layers(&model, &weights, &others()).unwrap();
        let (description, back, metadata) = import_layers(&file).unwrap();
        assert_eq!((description, &back, metadata), (model, &weights, others()));
        let data = back.get(&name).unwrap().data();
        assert_eq!((data[0].to_bits(), data[1].to_bits()), ((-0.0_f32).to_bits(), 1));
    }
}

#[test]
fn values_are_defined_before_their_use_and_once() {
    for model in models() {
        let graph = ModelProto::decode(file(&model).1.as_slice()).unwrap().graph.unwrap();
        let mut defined: Vec<String> = graph.input.iter().map(|input| input.name.clone()).collect();
        defined.extend(graph.initializer.iter().map(|tensor| tensor.name.clone()));
        for node in &graph.node {
            assert!(node.input.iter().all(|input| defined.contains(input)), "{node:?}");
            assert!(node.output.iter().all(|output| !defined.contains(output)), "{node:?}");
            defined.extend(node.output.iter().cloned());
        }
        assert_eq!(graph.output[0].name, "y");
        assert!(defined.contains(&"y".to_owned()));
    }
}

#[test]
fn sequences_of_neighbours_have_no_place_in_the_file() {
    let model = ModelDescription {
        aggregator: SageAggregator::Lstm,
        ..ModelDescription::new(LayerType::GraphSage, 2, 6, 8, 3)
    };
    let weights = Weights::initialised(&model, SEED).unwrap();
    let error = export_layers(&model, &weights, &others()).unwrap_err();
    assert!(matches!(error, OnnxError::NotExported { .. }), "{error}");
}

#[test]
fn weights_of_another_model_are_refused() {
    let models = models();
    let error = export_layers(&models[0], &file(&models[1]).0, &others()).unwrap_err();
    assert!(matches!(error, OnnxError::Layers(GnnError::MissingParameter { .. })), "{error}");
    let own = Metadata::from([("redknot.description".to_owned(), "{}".to_owned())]);
    let error = export_layers(&models[0], &file(&models[0]).0, &own).unwrap_err();
    assert!(matches!(error, OnnxError::Metadata { ref key, .. } if key == "redknot.description"), "{error}");
}

/// Exports a model and changes the file.
fn changed(change: impl FnOnce(&mut ModelProto)) -> OnnxError {
    let mut proto = ModelProto::decode(file(&models()[0]).1.as_slice()).unwrap();
    change(&mut proto);
    import_layers(&proto.encode_to_vec()).unwrap_err()
}

fn set(proto: &mut ModelProto, key: &str, value: &str) {
    proto.metadata_props.iter_mut().find(|entry| entry.key == key).unwrap().value = value.into();
}

#[test]
fn changes_are_noticed() {
    let weight = changed(|proto| proto.graph.as_mut().unwrap().initializer[1].raw_data[0] ^= 1);
    assert!(matches!(weight, OnnxError::Checksum), "{weight}");
    let entry = changed(|proto| set(proto, "trained_on", "x"));
    assert!(matches!(entry, OnnxError::Checksum), "{entry}");
    let kind = changed(|proto| set(proto, "redknot.kind", "key-model"));
    assert!(matches!(kind, OnnxError::Kind { expected: "\"layers\"", .. }), "{kind}");
    let format = changed(|proto| set(proto, "redknot.format", "2"));
    assert!(matches!(format, OnnxError::Version { expected: 1, .. }), "{format}");
    let text = changed(|proto| set(proto, "redknot.description", "[]"));
    assert!(matches!(text, OnnxError::Layers(GnnError::Description(_))), "{text}");
    let gone = changed(|proto| {
        proto.graph.as_mut().unwrap().initializer.remove(0);
    });
    assert!(matches!(gone, OnnxError::Layers(GnnError::MissingParameter { .. })), "{gone}");
    let twice = changed(|proto| {
        let graph = proto.graph.as_mut().unwrap();
        graph.initializer.push(graph.initializer[0].clone());
    });
    assert!(matches!(twice, OnnxError::Tensor { .. }), "{twice}");
    let negative = changed(|proto| proto.graph.as_mut().unwrap().initializer[0].dims[0] = -1);
    assert!(matches!(negative, OnnxError::Tensor { .. }), "{negative}");
    let none = changed(|proto| proto.graph = None);
    assert!(matches!(none, OnnxError::Invalid { .. }), "{none}");
    let error = import_key_model(&file(&models()[0]).1).unwrap_err();
    assert!(matches!(error, OnnxError::Kind { .. }), "{error}");
}

#[test]
fn damaged_files_are_refused_or_whole() {
    println!("seed {SEED}");
    let mut rng = fastrand::Rng::with_seed(SEED);
    for model in models() {
        let (weights, file) = file(&model);
        let mut whole = 0;
        for round in 0..300 {
            let bytes = if round % 10 == 0 { random_bytes(&mut rng) } else { mutated(&file, &mut rng) };
            match import_layers(&bytes) {
                Ok(read) => {
                    assert_eq!((read.0, read.1), (model.clone(), weights.clone()));
                    whole += 1;
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        // Most of a small file is its graph, which is not read.
        assert!(whole < 290, "{whole} of 300 damaged files were taken for whole");
    }
}
