//! Passes through models: sampling, a query's attention, progress, cancellation, saved weights.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use redknot_gnn::layers::{
    GnnError, LayerType, Matrix, Model, ModelDescription, Options, Progress, Tensor, Weights,
};

use super::oracle::{Oracle, Row, add, assert_rows, random_case};

/// Two layers of each type.
fn models() -> Vec<Model> {
    LayerType::ALL
        .iter()
        .map(|&layer| {
            let description = ModelDescription { heads: 2, ..ModelDescription::new(layer, 2, 12, 10, 5) };
            Model::new(&description, &Weights::initialised(&description, 31).unwrap()).unwrap()
        })
        .collect()
}

/// GraphSAGE whose rows are the means of what it drew.
fn means(layers: usize, width: usize, sample_size: Option<usize>) -> Model {
    let mut description = ModelDescription::new(LayerType::GraphSage, layers, width, width, width);
    description.sample_size = sample_size;
    let mut weights = Weights::initialised(&description, 0).unwrap();
    for layer in 0..layers {
        let identity = (0..width * width).map(|at| f32::from(at / width == at % width)).collect();
        let square = vec![width, width];
        weights
            .insert(format!("layers.{layer}.lin_l.weight"), Tensor::new(square.clone(), identity).unwrap());
        weights.insert(
            format!("layers.{layer}.lin_l.bias"),
            Tensor::new(vec![width], vec![0.0; width]).unwrap(),
        );
        let zeros = Tensor::new(square, vec![0.0; width * width]).unwrap();
        weights.insert(format!("layers.{layer}.lin_r.weight"), zeros);
    }
    Model::new(&description, &weights).unwrap()
}

#[test]
fn rows_of_some_nodes_are_those_of_all() {
    let case = random_case(400, 900, 12, 0, 32);
    for model in models() {
        let all = model.forward(&case.graph, &case.x, &Options::default()).unwrap();
        let nodes = [7, 399, 7, 0];
        let few = model.forward_nodes(&case.graph, &case.x, &nodes, &Options::default()).unwrap();
        let expected: Vec<Row> = nodes
            .iter()
            .map(|&node| all.row(node as usize).iter().map(|&y| f64::from(y)).collect())
            .collect();
        assert_rows(&model.description().layer_type, &few, &expected);
    }
}

#[test]
fn a_sample_has_its_size_and_no_repetitions_and_follows_the_seed() {
    // Row i of the features is 1 at i: a mean over k drawn edges is c / k at the c edges from one source.
    let nodes = 60;
    let case = random_case(nodes, 1500, 1, 0, 33);
    let identity = (0..60 * 60).map(|at| f32::from(at / 60 == at % 60)).collect();
    let x = Matrix::new(60, 60, identity).unwrap();
    let model = means(1, 60, None);
    let size = 5;
    let draw = |seed| {
        let options = Options { seed, block: 8, ..Options::default() };
        model.forward_with_sampling(&case.graph, &x, size, &options).unwrap()
    };
    let drawn = draw(1);
    for node in 0..nodes {
        let into = case.graph.edges_into(node);
        let taken = size.min(into.len()) as f32;
        for source in 0..nodes {
            let edges = case.graph.sources()[into.clone()].iter().filter(|&&from| from == source).count();
            let share = drawn.row(node as usize)[source as usize] * taken;
            assert!((share - share.round()).abs() < 1e-4 && share.round() <= edges as f32);
        }
        let sum: f32 = drawn.row(node as usize).iter().sum();
        assert!((sum - f32::from(!into.is_empty())).abs() < 1e-5);
    }
    assert_eq!(drawn, draw(1));
    assert_ne!(drawn, draw(2));
    let all = model.forward(&case.graph, &x, &Options::default()).unwrap();
    let enough = model.forward_with_sampling(&case.graph, &x, 1500, &Options::default()).unwrap();
    assert_eq!(all, enough);
}

#[test]
fn a_sample_is_uniform() {
    // One node draws 3 of 10 sources; over 4,000 seeds each is drawn 1,200 times, give or take six deviations.
    let edges: Vec<(u32, u32)> = (1..11).map(|source| (source, 0)).collect();
    let graph = redknot_gnn::layers::Graph::from_edges(11, &edges, None, None).unwrap();
    let identity = (0..11 * 11).map(|at| f32::from(at / 11 == at % 11)).collect();
    let x = Matrix::new(11, 11, identity).unwrap();
    let model = means(1, 11, None);
    let mut drawn = [0u32; 11];
    for seed in 0..4000 {
        let options = Options { seed, ..Options::default() };
        let rows = model.forward_with_sampling(&graph, &x, 3, &options).unwrap();
        drawn.iter_mut().zip(rows.row(0)).for_each(|(count, &share)| *count += u32::from(share > 0.0));
    }
    assert_eq!(drawn.iter().sum::<u32>(), 12_000);
    let deviation = (4000.0f64 * 0.3 * 0.7).sqrt();
    assert!(drawn[1..].iter().all(|&count| (f64::from(count) - 1200.0).abs() < 6.0 * deviation), "{drawn:?}");
}

#[test]
fn some_nodes_draw_the_sample_that_all_draw() {
    let case = random_case(200, 3000, 12, 0, 34);
    let model = means(2, 12, Some(3));
    let options = Options { seed: 5, ..Options::default() };
    let all = model.forward(&case.graph, &case.x, &options).unwrap();
    let few = model.forward_nodes(&case.graph, &case.x, &[150, 3], &options).unwrap();
    assert_eq!(few.row(0), all.row(150));
    assert_eq!(few.row(1), all.row(3));
}

#[test]
fn a_query_attends_one_hop_farther_at_each_hop() {
    let case = random_case(120, 300, 12, 0, 35);
    for (heads, num_hops) in [(1, 1), (3, 2), (1, 3)] {
        let description =
            ModelDescription { heads, num_hops, ..ModelDescription::new(LayerType::RuVector, 1, 12, 1, 7) };
        let weights = Weights::initialised(&description, 36).unwrap();
        let model = Model::new(&description, &weights).unwrap();
        let query: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin()).collect();
        let seeds = [3, 77, 3];
        let oracle = Oracle { case: &case, weights: &weights };
        let mut reached = std::collections::BTreeSet::from(seeds);
        let mut state: Row = query.iter().map(|&number| f64::from(number)).collect();
        for _ in 0..num_hops {
            for &(source, target) in &case.edges {
                // Only what was reached before this hop is looked at: new sources are marked until it ends.
                if reached.contains(&target) && !reached.contains(&source) {
                    reached.insert(source + 1000);
                }
            }
            reached = reached.iter().map(|&node| node % 1000).collect();
            let rows: Vec<Row> = reached.iter().map(|&node| case.row(node)).collect();
            let found = oracle.attention(&state, &rows, heads);
            add(&mut state, 1.0, &found);
        }
        let expected = oracle.linear("lin", &state);
        let got = model.attend_query(&case.graph, &case.x, &query, &seeds).unwrap();
        assert_rows("query", &Matrix::new(1, 7, got).unwrap(), &[expected]);
    }
    let gcn = &models()[0];
    let other = gcn.attend_query(&case.graph, &case.x, &[0.0; 12], &[0]);
    assert!(matches!(other, Err(GnnError::Config { name: "layer_type", .. })));
}

#[test]
fn progress_reaches_all_nodes_of_all_layers_and_a_break_cancels() {
    let case = random_case(300, 900, 12, 0, 37);
    for model in models() {
        let finished = AtomicUsize::new(0);
        let watch = |progress: Progress| {
            assert!(progress.done <= progress.total && progress.layer < progress.layers);
            if progress.done == progress.total && progress.layer == 1 {
                finished.fetch_add(1, Ordering::Relaxed);
            }
            ControlFlow::Continue(())
        };
        let options = Options { block: 16, on_progress: Some(&watch), ..Options::default() };
        model.forward(&case.graph, &case.x, &options).unwrap();
        assert!(finished.load(Ordering::Relaxed) > 0);
        let stop = |_: Progress| ControlFlow::Break(());
        let options = Options { on_progress: Some(&stop), ..options };
        let stopped = model.forward(&case.graph, &case.x, &options);
        assert!(matches!(stopped, Err(GnnError::Cancelled { done, total: 300 }) if done < 300));
    }
}

#[test]
fn weights_come_back_from_safetensors_with_their_description() {
    for model in models() {
        let description = model.description();
        let weights = Weights::initialised(description, 31).unwrap();
        let bytes = weights.to_safetensors(description).unwrap();
        let (read, with) = Weights::from_safetensors(&bytes).unwrap();
        assert_eq!((&read, with.as_ref()), (&weights, Some(description)));
        assert_eq!(bytes, read.to_safetensors(description).unwrap());
    }
}
