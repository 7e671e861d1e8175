//! Graphs in memory.

use redknot_gnn::layers::{GnnError, Graph, Matrix};

fn features(rows: usize) -> Matrix {
    Matrix::new(rows, 2, (0..2 * rows).map(|i| i as f32).collect()).unwrap()
}

#[test]
fn weights_and_features_follow_their_edges() {
    let edges = [(2, 1), (0, 2), (1, 1), (0, 1)];
    let graph = Graph::from_edges(4, &edges, Some(&[1.0, 2.0, 3.0, 4.0]), Some(&features(4))).unwrap();
    assert_eq!(graph.indptr(), [0, 0, 3, 4, 4]);
    assert_eq!(graph.sources(), [2, 1, 0, 0]);
    assert_eq!(graph.weights().unwrap(), [1.0, 3.0, 4.0, 2.0]);
    assert_eq!(graph.edge_features().unwrap().data(), [0.0, 1.0, 4.0, 5.0, 6.0, 7.0, 2.0, 3.0]);
    let turned = graph.transposed();
    assert_eq!(turned.edge_list(), [(1, 0), (2, 0), (1, 1), (1, 2)]);
    assert_eq!(turned.weights().unwrap(), [4.0, 2.0, 3.0, 1.0]);
    assert_eq!(turned.edge_features().unwrap().row(3), [0.0, 1.0]);
    let again = Graph::from_csr(
        graph.indptr().to_vec(),
        graph.sources().to_vec(),
        graph.weights().map(<[f32]>::to_vec),
        graph.edge_features().cloned(),
    );
    assert_eq!(again.unwrap(), graph);
}

#[test]
fn a_remaining_loop_keeps_its_last_weight() {
    let graph = Graph::from_edges(3, &[(1, 1), (0, 1), (1, 1)], Some(&[5.0, 6.0, 7.0]), None).unwrap();
    let looped = graph.with_remaining_self_loops(1.0).unwrap();
    assert_eq!(looped.edge_list(), [(0, 0), (0, 1), (1, 1), (2, 2)]);
    assert_eq!(looped.weights().unwrap(), [1.0, 6.0, 7.0, 1.0]);
    assert_eq!(graph.without_self_loops().edge_list(), [(0, 1)]);
}

#[test]
fn a_mean_loop_has_the_mean_features_of_the_other_edges() {
    let graph = Graph::from_edges(2, &[(0, 1), (1, 1), (0, 1)], None, Some(&features(3))).unwrap();
    let looped = graph.with_mean_self_loops();
    assert_eq!(looped.edge_list(), [(0, 0), (0, 1), (0, 1), (1, 1)]);
    assert_eq!(looped.edge_features().unwrap().data(), [0.0, 0.0, 0.0, 1.0, 4.0, 5.0, 2.0, 3.0]);
}

#[test]
fn normalisation_divides_by_the_roots_of_both_degrees() {
    // Degrees with loops: 1, 1 + 3 = 4, 1.
    let graph = Graph::from_edges(3, &[(0, 1)], Some(&[3.0]), None).unwrap().gcn_normalised(true).unwrap();
    assert_eq!(graph.edge_list(), [(0, 0), (0, 1), (1, 1), (2, 2)]);
    assert_eq!(graph.weights().unwrap(), [1.0, 1.5, 0.25, 1.0]);
    // Without loops, node 0 has degree 0, and what comes from it counts nothing.
    let graph = Graph::from_edges(3, &[(0, 1)], Some(&[3.0]), None).unwrap().gcn_normalised(false).unwrap();
    assert_eq!(graph.weights().unwrap(), [0.0]);
    let negative = Graph::from_edges(2, &[(0, 1)], Some(&[-2.0]), None).unwrap().gcn_normalised(true);
    assert!(matches!(negative, Err(GnnError::NegativeDegree { node: 1, .. })));
}

#[test]
fn impossible_graphs_are_refused() {
    let missing = Graph::from_edges(2, &[(0, 1), (2, 1)], None, None);
    assert!(matches!(missing, Err(GnnError::MissingNode { edge: 1, node: 2, nodes: 2 })));
    let few = Graph::from_edges(2, &[(0, 1)], Some(&[]), None);
    assert!(matches!(few, Err(GnnError::Shape { expected: 1, got: 0, .. })));
    let nan = Graph::from_edges(2, &[(0, 1)], Some(&[f32::NAN]), None);
    assert!(matches!(nan, Err(GnnError::NotFinite { index: 0, .. })));
    let rows = Graph::from_edges(2, &[(0, 1)], None, Some(&features(2)));
    assert!(matches!(rows, Err(GnnError::Shape { expected: 1, got: 2, .. })));
    for indptr in [vec![], vec![0], vec![1, 1], vec![0, 2, 1], vec![0, 1, 2]] {
        assert!(matches!(Graph::from_csr(indptr, vec![0], None, None), Err(GnnError::Config { .. })));
    }
    let missing = Graph::from_csr(vec![0, 1], vec![1], None, None);
    assert!(matches!(missing, Err(GnnError::MissingNode { edge: 0, node: 1, nodes: 1 })));
    assert!(matches!(Matrix::new(2, 2, vec![0.0; 3]), Err(GnnError::Shape { expected: 4, got: 3, .. })));
    assert!(matches!(Matrix::new(usize::MAX, 2, Vec::new()), Err(GnnError::Shape { .. })));
    assert_eq!(Graph::from_edges(0, &[], None, None).unwrap().nodes(), 0);
}
