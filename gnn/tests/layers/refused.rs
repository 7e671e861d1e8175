//! Input that is refused, by name.

use redknot_gnn::layers::{
    Adjacency, Edges, GnnError, Graph, LayerType, Matrix, Model, ModelDescription, Options, Tensor, Weights,
};

fn gcn() -> (ModelDescription, Weights) {
    let description = ModelDescription::new(LayerType::Gcn, 2, 4, 3, 2);
    let weights = Weights::initialised(&description, 1).unwrap();
    (description, weights)
}

fn graph() -> Graph {
    Graph::from_edges(3, &[(0, 1), (1, 2)], None, None).unwrap()
}

#[test]
fn an_unknown_layer_type_is_answered_with_those_that_there_are() {
    let mut description = gcn().0;
    description.layer_type = "gcnn".into();
    let error = description.layers().unwrap_err();
    assert!(matches!(&error, GnnError::UnknownLayer { got, known } if got == "gcnn" && known.len() == 5));
    assert!(error.to_string().contains("graphsage"), "{error}");
}

#[test]
fn descriptions_outside_their_range_are_refused_by_field() {
    let good = ModelDescription::new(LayerType::Gat, 2, 8, 6, 4);
    let with = |change: &dyn Fn(&mut ModelDescription)| {
        let mut description = good.clone();
        change(&mut description);
        match description.layers() {
            Err(GnnError::Config { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with(&|d| d.num_layers = 0), "num_layers");
    assert_eq!(with(&|d| d.input_dim = 0), "input_dim");
    assert_eq!(with(&|d| d.output_dim = usize::MAX), "output_dim");
    assert_eq!(with(&|d| d.heads = 4), "heads");
    assert_eq!(with(&|d| d.heads = 0), "heads");
    assert_eq!(with(&|d| d.dropout = 1.0), "dropout");
    assert_eq!(with(&|d| d.attention_dropout = f32::NAN), "attention_dropout");
    assert_eq!(with(&|d| d.eps = f32::INFINITY), "eps");
    assert_eq!(with(&|d| d.sample_size = Some(0)), "sample_size");
    let mut old = good.clone();
    old.version = 0;
    assert!(matches!(old.layers(), Err(GnnError::Version { expected: 1, got: 0 })));
    let json = good.to_json();
    assert_eq!(ModelDescription::from_json(&json).unwrap(), good);
    for text in ["", "[]", "{}", &json.replace("num_layers", "layers")] {
        assert!(matches!(ModelDescription::from_json(text), Err(GnnError::Description(_))), "{text}");
    }
    let short = r#"{"layer_type": "graphsage", "input_dim": 3, "output_dim": 2}"#;
    assert_eq!(ModelDescription::from_json(short).unwrap().layers().unwrap().len(), 2);
}

#[test]
fn weights_are_never_invented() {
    let (description, weights) = gcn();
    assert_eq!(Weights::initialised(&description, 1).unwrap(), weights);
    assert_ne!(Weights::initialised(&description, 2).unwrap(), weights);
    let none = Model::new(&description, &Weights::default());
    assert!(matches!(none, Err(GnnError::MissingParameter { name, expected })
        if name == "layers.0.bias" && expected == [3]));
    let model = Model::new(&description, &weights).unwrap();
    let x = Matrix::new(3, 4, (0..12).map(|i| i as f32).collect()).unwrap();
    let forward = || model.forward(&graph(), &x, &Options::default()).unwrap();
    assert_eq!(forward(), forward());
}

#[test]
fn weights_of_another_model_are_refused_by_name() {
    let (description, weights) = gcn();
    let with = |name: &str, shape: Vec<usize>, number: f32| {
        let mut weights = weights.clone();
        let numbers = shape.iter().product();
        weights.insert(name, Tensor::new(shape, vec![number; numbers]).unwrap());
        Model::new(&description, &weights).unwrap_err()
    };
    let name = "layers.1.lin.weight";
    let shape = with(name, vec![3, 2], 0.0);
    assert!(matches!(&shape, GnnError::ParameterShape { name: n, expected, got }
        if n == name && *expected == [2, 3] && *got == [3, 2]));
    let nan = with(name, vec![2, 3], f32::NAN);
    assert!(matches!(&nan, GnnError::ParameterNotFinite { name: n, index: 0, .. } if n == name));
    let extra = with("layers.2.bias", vec![1], 0.0);
    assert!(matches!(&extra, GnnError::UnknownParameter { name } if name == "layers.2.bias"));
    assert!(matches!(
        Tensor::new(vec![2, 2], vec![0.0; 5]),
        Err(GnnError::Shape { expected: 4, got: 5, .. })
    ));
}

#[test]
fn damaged_safetensors_are_refused() {
    let (description, weights) = gcn();
    let bytes = weights.to_safetensors(&description).unwrap();
    for end in 0..bytes.len() {
        assert!(Weights::from_safetensors(&bytes[..end]).is_err(), "{end} bytes");
    }
    let mut damaged = bytes.clone();
    let last = damaged.len() - 4;
    damaged[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(matches!(Weights::from_safetensors(&damaged), Err(GnnError::ParameterNotFinite { .. })));
}

#[test]
fn features_that_do_not_fit_are_refused() {
    let (description, weights) = gcn();
    let model = Model::new(&description, &weights).unwrap();
    let run = |x: &Matrix| model.forward(&graph(), x, &Options::default()).unwrap_err();
    assert!(matches!(run(&Matrix::zeros(3, 5)), GnnError::Shape { expected: 4, got: 5, .. }));
    assert!(matches!(run(&Matrix::zeros(2, 4)), GnnError::Shape { expected: 3, got: 2, .. }));
    let mut x = Matrix::zeros(3, 4);
    x.data_mut()[9] = f32::NEG_INFINITY;
    assert!(matches!(run(&x), GnnError::NotFinite { index: 2, .. }));
    let streamed = model.forward(&graph(), &super::oracle::Streamed(&x), &Options::default());
    assert!(matches!(streamed, Err(GnnError::NotFinite { index: 2, .. })));
    let missing = model.forward_nodes(&graph(), &Matrix::zeros(3, 4), &[3], &Options::default());
    assert!(matches!(missing, Err(GnnError::MissingNode { node: 3, .. })));
    let none = model.forward_nodes(&graph(), &Matrix::zeros(3, 4), &[], &Options::default()).unwrap();
    assert_eq!((none.rows(), none.cols()), (0, 2));
    let block = Options { block: 0, ..Options::default() };
    let zero = model.forward(&graph(), &Matrix::zeros(3, 4), &block);
    assert!(matches!(zero, Err(GnnError::Config { name: "block", .. })));
}

#[test]
fn features_of_edges_have_the_width_that_the_model_takes() {
    let description =
        ModelDescription { edge_dim: Some(2), ..ModelDescription::new(LayerType::Gat, 1, 4, 1, 3) };
    let model = Model::new(&description, &Weights::initialised(&description, 1).unwrap()).unwrap();
    let without = model.forward(&graph(), &Matrix::zeros(3, 4), &Options::default());
    assert!(matches!(without, Err(GnnError::Shape { expected: 2, got: 0, .. })));
}

/// Promises one thing and gives another.
struct Broken {
    source: u32,
    weights: usize,
}

impl Adjacency for Broken {
    fn nodes(&self) -> u32 {
        3
    }
    fn read_edges(&self, _: u32, edges: &mut Edges) -> Result<(), GnnError> {
        edges.clear();
        edges.sources.push(self.source);
        edges.weights.resize(self.weights, 1.0);
        Ok(())
    }
}

#[test]
fn a_graph_that_breaks_its_promises_is_an_error_and_no_panic() {
    for layer in LayerType::ALL {
        let description = ModelDescription::new(layer, 2, 4, 4, 2);
        let model = Model::new(&description, &Weights::initialised(&description, 1).unwrap()).unwrap();
        let x = Matrix::zeros(3, 4);
        let run = |graph: &Broken| model.forward(graph, &x, &Options::default());
        let missing = run(&Broken { source: 3, weights: 0 });
        assert!(matches!(missing, Err(GnnError::MissingNode { node: 3, nodes: 3, .. })), "{layer:?}");
        let weights = run(&Broken { source: 1, weights: 2 });
        assert!(matches!(weights, Err(GnnError::Shape { expected: 1, got: 2, .. })), "{layer:?}");
        let few = model.forward_nodes(&Broken { source: 9, weights: 0 }, &x, &[1], &Options::default());
        assert!(matches!(few, Err(GnnError::MissingNode { node: 9, .. })), "{layer:?}");
    }
}
