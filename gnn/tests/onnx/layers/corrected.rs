//! Key models with attention: the graph of the file computes what the documentation says.

use std::collections::HashMap;

use fastrand::Rng;
use prost::Message;
use redknot_gnn::onnx::{Metadata, export_key_model, import_key_model};
use redknot_gnn::routing::KeyModel;
use tract_onnx::pb::ModelProto;

use super::evaluator::{Value, evaluate_all};
use crate::support::oracle::{corrections, dot, minus, times};
use crate::support::{random_attention, random_model};

const DIM: usize = 9;
const COORDINATES: usize = 5;
const NODES: usize = 12;
const QUERIES: usize = 3;

fn models() -> Vec<KeyModel> {
    let layers: [&[(usize, usize)]; 4] = [&[(1, 1)], &[(4, 3)], &[(2, 3), (3, 2)], &[(3, 2), (1, 4), (2, 2)]];
    let model = |(layers, seed): (&[(usize, usize)], u64)| {
        let attention = Some(random_attention([DIM, COORDINATES], 4, layers, seed));
        KeyModel { attention, ..random_model(DIM, COORDINATES, 32, seed) }
    };
    layers.into_iter().zip(1..).map(model).collect()
}

fn rows(count: usize, rng: &mut Rng) -> Vec<Vec<f32>> {
    (0..count).map(|_| (0..DIM).map(|_| 2.0 * rng.f32() - 1.0).collect()).collect()
}

fn assert_near(got: &Value, expected: &[f64], what: &str) {
    let got = got.as_floats();
    let largest = expected.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-5 * largest, "{what}: {got} {expected}");
    }
}

#[test]
fn the_graph_computes_what_the_documentation_says() {
    let mut rng = Rng::with_seed(8);
    for model in models() {
        let [vectors, means] = [(); 2].map(|()| rows(NODES, &mut rng));
        let queries = rows(QUERIES, &mut rng);
        // The last node links to nothing, and another links to most.
        let mut links: Vec<Vec<usize>> = (0..NODES)
            .map(|node| (0..NODES).filter(|other| *other != node && rng.u8(..3) == 0).collect())
            .collect();
        links[0] = (1..NODES).collect();
        links[NODES - 1].clear();
        let edges = || links.iter().enumerate().flat_map(|(node, to)| to.iter().map(move |to| (*to, node)));
        let ends = edges().map(|edge| edge.0).chain(edges().map(|edge| edge.1)).map(|end| end as i64);
        let of = |rows: &[Vec<f32>]| Value::of_floats(&[rows.len(), DIM], &rows.concat());
        let inputs = HashMap::from([
            ("vectors", of(&vectors)),
            ("neighbor_means", of(&means)),
            ("queries", of(&queries)),
            ("edge_index", Value::of_ints(&[2, edges().count()], ends.collect())),
        ]);
        let file = export_key_model(&model, &Metadata::new()).unwrap();
        let outputs = evaluate_all(&ModelProto::decode(file.as_slice()).unwrap(), &inputs);

        let lambda = f64::from(model.lambda);
        let added = corrections(model.attention.as_ref().unwrap(), &model.mean, &vectors, &links);
        let coordinates = vectors.iter().zip(&means).zip(&added).flat_map(|((x, m), added)| {
            let mixed: Vec<f64> = minus(x, &model.mean)
                .iter()
                .zip(minus(m, &model.mean))
                .map(|(x, m)| (1.0 - lambda) * x + lambda * m)
                .collect();
            times(&model.nodes, &mixed).into_iter().zip(added).map(|(x, added)| x + added).collect::<Vec<_>>()
        });
        assert!(added.iter().flatten().any(|x| x.abs() > 0.01), "attention that adds nothing tests nothing");
        assert_near(&outputs["coordinates"], &coordinates.collect::<Vec<f64>>(), "coordinates");
        let centred: Vec<Vec<f64>> = queries.iter().map(|query| minus(query, &model.mean)).collect();
        let encoded: Vec<f64> = centred.iter().flat_map(|query| times(&model.queries, query)).collect();
        assert_near(&outputs["query_coordinates"], &encoded, "coordinates of queries");
        let constant = f64::from(model.query_constant);
        let biases = centred.iter().map(|query| dot(&model.query_linear, query) + constant);
        assert_near(&outputs["query_bias"], &biases.collect::<Vec<f64>>(), "terms of queries");
    }
}

#[test]
fn attention_comes_back_bit_by_bit() {
    for model in models() {
        let file = export_key_model(&model, &Metadata::new()).unwrap();
        let (back, _) = import_key_model(&file).unwrap();
        assert_eq!(model.to_bytes().unwrap(), back.to_bytes().unwrap());
        assert_eq!(back.attention, model.attention);
    }
}

#[test]
fn changed_attention_is_noticed() {
    let file = export_key_model(&models()[2], &Metadata::new()).unwrap();
    let whole = ModelProto::decode(file.as_slice()).unwrap();
    let weights = &whole.graph.as_ref().unwrap().initializer;
    let of_attention = (0..weights.len()).filter(|at| weights[*at].name.starts_with("redknot.attention."));
    let of_attention: Vec<usize> = of_attention.collect();
    assert_eq!(of_attention.len(), 2 + 2 * 4);
    for at in of_attention {
        let read = |change: &dyn Fn(&mut ModelProto)| {
            let mut proto = whole.clone();
            change(&mut proto);
            import_key_model(&proto.encode_to_vec())
        };
        let name = &weights[at].name;
        assert!(
            read(&|proto| proto.graph.as_mut().unwrap().initializer[at].raw_data[3] ^= 1).is_err(),
            "{name}"
        );
        assert!(
            read(&|proto| drop(proto.graph.as_mut().unwrap().initializer.remove(at))).is_err(),
            "{name} is gone"
        );
        assert!(
            read(&|proto| {
                let tensor = &mut proto.graph.as_mut().unwrap().initializer[at];
                tensor.dims[0] += 1;
            })
            .is_err(),
            "{name} of another shape"
        );
    }
}
