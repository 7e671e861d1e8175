//! Files that no runtime gets to see.

use std::io::Write;

use prost::Message;
use redknot_gnn::onnx::{MAX_FILE_BYTES, OnnxEdgeModel, OnnxError, validate_onnx_bytes, validate_onnx_model};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

use crate::build::{Mlp, floats, int_attribute, ints, model, node};

fn refused(change: impl FnOnce(&mut ModelProto)) -> OnnxError {
    let mut proto = model(Mlp::random(1).graph());
    change(&mut proto);
    validate_onnx_bytes(&proto.encode_to_vec()).unwrap_err()
}

fn refused_graph(change: impl FnOnce(&mut GraphProto)) -> OnnxError {
    refused(|proto| change(proto.graph.as_mut().unwrap()))
}

#[test]
fn operator_sets_that_are_too_old_or_not_named() {
    for (sets, found) in [(vec![], 0), (vec![("", 13)], 13), (vec![("ai.onnx.ml", 20)], 0)] {
        let set = |(domain, version): (&str, i64)| OperatorSetIdProto { domain: domain.into(), version };
        let error = refused(|proto| proto.opset_import = sets.into_iter().map(set).collect());
        assert!(matches!(error, OnnxError::Opset { expected: 14, got } if got == found), "{error}");
    }
}

#[test]
fn operators_that_are_not_run() {
    let foreign = refused_graph(|graph| graph.node[8].domain = "com.microsoft".into());
    assert!(
        matches!(foreign, OnnxError::Operator { ref domain, .. } if domain == "com.microsoft"),
        "{foreign}"
    );
    for operator in ["Loop", "If", "RandomNormal", "GatherND", "Resize", "Tile", "NoSuchThing"] {
        let error = refused_graph(|graph| graph.node[8].op_type = operator.into());
        assert!(
            matches!(error, OnnxError::Operator { operator: ref found, .. } if found == operator),
            "{error}"
        );
    }
    let inner = refused_graph(|graph| {
        let body =
            AttributeProto { name: "body".into(), g: Some(GraphProto::default()), ..Default::default() };
        graph.node[8].attribute.push(body);
    });
    assert!(matches!(inner, OnnxError::Invalid { .. }), "{inner}");
}

#[test]
fn gathers_that_may_leave_their_range() {
    let is_gather = |error: OnnxError| assert!(matches!(error, OnnxError::Gather { .. }), "{error}");
    // The shape of a matrix has two entries.
    for index in [2, -3, i64::MAX, i64::MIN] {
        is_gather(refused_graph(|graph| graph.initializer[0] = ints("zero", &[1], &[index])));
    }
    is_gather(refused_graph(|graph| graph.node[1].attribute = vec![int_attribute("axis", 1)]));
    // Indices that are computed, and an axis of any length.
    is_gather(refused_graph(|graph| graph.node[1].input = vec!["shape".into(), "shape".into()]));
    is_gather(refused_graph(|graph| {
        graph.node.insert(0, node("Gather", &["edge_features", "zero"], "first edge"));
    }));
    // In range: the last entry, and a column.
    for (data, index, axis) in [("shape", -2, 0), ("shape", 1, 0), ("edge_features", 2, 1), ("second", 7, 0)]
    {
        let mut graph = Mlp::random(1).graph();
        graph.initializer.push(ints("index", &[1], &[index]));
        let gather = node("Gather", &[data, "index"], "unused");
        graph.node.insert(1, NodeProto { attribute: vec![int_attribute("axis", axis)], ..gather });
        validate_onnx_bytes(&model(graph).encode_to_vec()).unwrap();
    }
}

#[test]
fn graphs_that_do_not_hold_together() {
    let invalid = |error: OnnxError| assert!(matches!(error, OnnxError::Invalid { .. }), "{error}");
    invalid(refused(|proto| proto.graph = None));
    invalid(refused_graph(|graph| graph.output.clear()));
    invalid(refused_graph(|graph| graph.output[0].name = "nothing".into()));
    invalid(refused_graph(|graph| graph.node.swap(6, 7)));
    invalid(refused_graph(|graph| graph.node[7].output = vec!["hidden".into()]));
    invalid(refused_graph(|graph| graph.input[0].r#type = None));
    invalid(refused_graph(|graph| graph.node[2] = node("ConstantOfShape", &["huge"], "rows")));
    invalid(refused_graph(|graph| {
        graph.initializer.push(ints("huge", &[2], &[1 << 40, 1 << 40]));
        graph.node[3] = node("Expand", &["node_features", "huge"], "nodes");
    }));
}

#[test]
fn weights_that_are_not_there() {
    let outside = refused_graph(|graph| graph.initializer[2].data_location = Some(1));
    assert!(matches!(outside, OnnxError::ExternalData { ref tensor } if tensor == "first"), "{outside}");
    let tensor = |error: OnnxError| assert!(matches!(error, OnnxError::Tensor { .. }), "{error}");
    tensor(refused_graph(|graph| graph.initializer[2].dims[0] += 1));
    tensor(refused_graph(|graph| graph.initializer[2].dims = vec![i64::MAX, i64::MAX]));
    tensor(refused_graph(|graph| graph.initializer[2].dims = vec![-1]));
    tensor(refused_graph(|graph| graph.initializer[3].data_type = 8));
    tensor(refused_graph(|graph| graph.initializer[3].raw_data = vec![0; 32]));
    tensor(refused_graph(|graph| {
        let value =
            AttributeProto { name: "value".into(), t: Some(floats("", &[3], &[1.0])), ..Default::default() };
        graph.node[8].attribute.push(value);
    }));
}

#[test]
fn files_that_are_too_large_or_not_there() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&Mlp::random(1).bytes()).unwrap();
    assert_eq!(validate_onnx_model(file.path()).unwrap().input_dims.len(), 3);
    OnnxEdgeModel::open(file.path()).unwrap();
    file.as_file().set_len(MAX_FILE_BYTES + 1).unwrap();
    let error = OnnxEdgeModel::open(file.path()).unwrap_err();
    assert!(matches!(error, OnnxError::TooLarge { got, .. } if got == MAX_FILE_BYTES + 1), "{error}");
    let missing = file.path().with_extension("missing");
    assert!(matches!(validate_onnx_model(missing), Err(OnnxError::Read(_))));
}
