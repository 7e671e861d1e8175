//! Message passing with layers of one's own, and without.

use redknot_gnn::layers::{
    Aggregator, AggregatorDescription, AggregatorScratch, Convolution, EdgeData, GnnError, Graph, Matrix,
    MessagePassing, MessagePassingEngine, Options, Weights, sparse_mm,
};

use super::oracle::{Row, Streamed, add, assert_rows, random_case};

/// Each message is a row and its edge's weight; the new row is the node's first number and the sum.
struct Concatenating(Aggregator);

impl MessagePassing for Concatenating {
    fn message_width(&self, input: usize) -> usize {
        input + 1
    }
    fn aggregate_width(&self, message: usize) -> Result<usize, GnnError> {
        self.0.output_width(message)
    }
    fn output_width(&self, _: usize, aggregate: usize) -> usize {
        1 + aggregate
    }
    fn message(&self, x_j: &[f32], edge: EdgeData<'_>, out: &mut [f32]) {
        out[0] = edge.weight;
        out[1..].copy_from_slice(x_j);
    }
    fn aggregate(&self, messages: &[f32], width: usize, scratch: &mut AggregatorScratch, out: &mut [f32]) {
        self.0.aggregate(messages, width, scratch, out);
    }
    fn update(&self, x_i: &[f32], aggregated: &[f32], out: &mut [f32]) {
        out[0] = x_i[0];
        out[1..].copy_from_slice(aggregated);
    }
}

fn plain(description: AggregatorDescription) -> Aggregator {
    Aggregator::new(&description, &Weights::default()).unwrap()
}

#[test]
fn the_sparse_product_equals_the_naive_one_and_the_engine() {
    let case = random_case(500, 3000, 13, 0, 21);
    let mut expected: Vec<Row> = vec![vec![0.0; 13]; 500];
    for (&(source, target), &weight) in case.edges.iter().zip(&case.weights) {
        add(&mut expected[target as usize], f64::from(weight), &case.row(source));
    }
    let options = Options { block: 7, ..Options::default() };
    assert_rows("sparse_mm", &sparse_mm(&case.graph, &case.x, &options).unwrap(), &expected);
    let streamed = sparse_mm(&case.graph, &Streamed(&case.x), &options).unwrap();
    assert_rows("sparse_mm, streamed", &streamed, &expected);
    let layer = Convolution { aggregator: plain(AggregatorDescription::Sum) };
    let engine = MessagePassingEngine { options };
    assert_rows("engine", &engine.propagate(&case.graph, &case.x, &layer).unwrap(), &expected);
}

#[test]
fn a_node_without_edges_gets_a_row_of_the_output_width() {
    let graph = Graph::from_edges(3, &[(0, 1)], Some(&[2.0]), None).unwrap();
    let x = Matrix::new(3, 2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let engine = MessagePassingEngine::default();
    let out = engine.propagate(&graph, &x, &Concatenating(plain(AggregatorDescription::Mean))).unwrap();
    assert_eq!(out.cols(), 4);
    assert_eq!(out.row(1), [3.0, 2.0, 1.0, 2.0]);
    assert_eq!(out.row(2), [5.0, 0.0, 0.0, 0.0]);
}

#[test]
fn weights_are_taken_by_edge_not_by_node() {
    // Node 3 has no weight of its own: there are two edges. Read by neighbour, this is out of bounds or wrong.
    let graph = Graph::from_edges(4, &[(3, 0), (2, 0)], Some(&[10.0, 100.0]), None).unwrap();
    let x = Matrix::new(4, 1, vec![0.0, 0.0, 2.0, 3.0]).unwrap();
    assert_eq!(sparse_mm(&graph, &x, &Options::default()).unwrap().data(), [230.0, 0.0, 0.0, 0.0]);
    let layer = Convolution { aggregator: plain(AggregatorDescription::Max) };
    let out = MessagePassingEngine::default().propagate(&graph, &x, &layer).unwrap();
    assert_eq!(out.data(), [200.0, 0.0, 0.0, 0.0]);
}

#[test]
fn aggregators_refuse_messages_and_weights_that_do_not_fit() {
    let description = AggregatorDescription::Lstm { width: 3, hidden: 2 };
    let missing = Aggregator::new(&description, &Weights::default());
    assert!(matches!(missing, Err(GnnError::MissingParameter { .. })));
    for wrong in [
        AggregatorDescription::Attention { width: 4, heads: 3 },
        AggregatorDescription::Attention { width: 4, heads: 0 },
        AggregatorDescription::Set2Set { width: 4, steps: 0 },
        AggregatorDescription::Lstm { width: 0, hidden: 1 },
    ] {
        assert!(matches!(Aggregator::new(&wrong, &Weights::default()), Err(GnnError::Config { .. })));
    }
    let mut weights = Weights::default();
    for (name, shape) in description.parameters() {
        let numbers = shape.iter().product();
        weights.insert(name, redknot_gnn::layers::Tensor::new(shape, vec![0.5; numbers]).unwrap());
    }
    let layer = Convolution { aggregator: Aggregator::new(&description, &weights).unwrap() };
    let graph = Graph::from_edges(2, &[(0, 1)], None, None).unwrap();
    let engine = MessagePassingEngine::default();
    let wide = engine.propagate(&graph, &Matrix::zeros(2, 4), &layer);
    assert!(matches!(wide, Err(GnnError::Shape { expected: 3, got: 4, .. })));
    assert_eq!(engine.propagate(&graph, &Matrix::zeros(2, 3), &layer).unwrap().cols(), 2);
}
