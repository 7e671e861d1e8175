//! Every layer written down as its paper has it: in f64, from a list of edges, node by node.

use fastrand::Rng;
use redknot_gnn::layers::{
    GnnError, Graph, LayerType, Matrix, Model, ModelDescription, NodeFeatures, Options, SageAggregator,
    Weights,
};

pub(crate) type Row = Vec<f64>;

/// A random graph with repeated edges, loops and nodes without edges, and a row for each node.
pub(crate) struct Case {
    pub(crate) graph: Graph,
    pub(crate) edges: Vec<(u32, u32)>,
    pub(crate) weights: Vec<f32>,
    pub(crate) x: Matrix,
}

pub(crate) fn random_case(nodes: u32, edges: usize, width: usize, edge_dim: usize, seed: u64) -> Case {
    let mut rng = Rng::with_seed(seed);
    // The last tenth of the nodes has no edges; node 0 has a loop.
    let linked = nodes - nodes / 10;
    let mut list = vec![(0, 0)];
    list.extend((1..edges).map(|_| (rng.u32(..linked), rng.u32(..linked))));
    let mut number = move || 2.0 * rng.f32() - 1.0;
    let weights: Vec<f32> = list.iter().map(|_| number().abs() + 0.1).collect();
    let features = (edge_dim > 0).then(|| random_matrix(list.len(), edge_dim, &mut number));
    let x = random_matrix(nodes as usize, width, &mut number);
    let graph = Graph::from_edges(nodes, &list, Some(&weights), features.as_ref()).unwrap();
    Case { graph, edges: list, weights, x }
}

fn random_matrix(rows: usize, cols: usize, number: &mut impl FnMut() -> f32) -> Matrix {
    Matrix::new(rows, cols, (0..rows * cols).map(|_| number()).collect()).unwrap()
}

impl Case {
    /// Sources of the edges into a node, with the position of each in the graph.
    fn into(&self, node: u32) -> Vec<(usize, u32)> {
        self.graph.edges_into(node).map(|edge| (edge, self.graph.sources()[edge])).collect()
    }

    pub(crate) fn row(&self, node: u32) -> Row {
        self.x.row(node as usize).iter().map(|&number| f64::from(number)).collect()
    }
}

/// Rows that have to be read one by one.
pub(crate) struct Streamed<'a>(pub(crate) &'a Matrix);

impl NodeFeatures for Streamed<'_> {
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn width(&self) -> usize {
        self.0.cols()
    }
    fn read(&self, node: u32, out: &mut [f32]) -> Result<(), GnnError> {
        self.0.read(node, out)
    }
}

pub(crate) struct Oracle<'a> {
    pub(crate) case: &'a Case,
    pub(crate) weights: &'a Weights,
}

impl Oracle<'_> {
    fn parameter(&self, name: &str) -> Row {
        let tensor = self.weights.get(&format!("layers.0.{name}")).unwrap();
        tensor.data().iter().map(|&number| f64::from(number)).collect()
    }

    pub(crate) fn linear(&self, name: &str, x: &[f64]) -> Row {
        let weight = self.parameter(&format!("{name}.weight"));
        let bias = self.weights.get(&format!("layers.0.{name}.bias"));
        let product = multiply(&weight, x);
        product.iter().enumerate().map(|(o, y)| y + bias.map_or(0.0, |b| f64::from(b.data()[o]))).collect()
    }

    /// The degree counts weights of edges into a node and its own loop of weight 1, where it has none.
    fn gcn(&self, node: u32) -> Row {
        let terms = |node: u32| {
            let mut terms: Vec<(u32, f64)> = Vec::new();
            let mut own = 1.0;
            for (edge, source) in self.case.into(node) {
                let weight = f64::from(self.case.graph.weights().unwrap()[edge]);
                if source == node { own = weight } else { terms.push((source, weight)) }
            }
            terms.push((node, own));
            terms
        };
        let degree = |node: u32| terms(node).iter().map(|term| term.1).sum::<f64>();
        let mut sum = vec![0.0; self.case.x.cols()];
        for (source, weight) in terms(node) {
            add(&mut sum, weight / (degree(source) * degree(node)).sqrt(), &self.case.row(source));
        }
        let mut out = self.linear("lin", &sum);
        add(&mut out, 1.0, &self.parameter("bias"));
        out
    }

    fn sage(&self, node: u32, aggregator: SageAggregator) -> Row {
        let mut neighbours: Vec<u32> = self.case.into(node).iter().map(|edge| edge.1).collect();
        if aggregator == SageAggregator::Gcn {
            neighbours.retain(|&source| source != node);
            neighbours.push(node);
        }
        let mut sum = vec![0.0; self.case.x.cols()];
        for &source in &neighbours {
            if aggregator == SageAggregator::MaxPool {
                let pooled = self.linear("lin", &self.case.row(source));
                sum.iter_mut().zip(pooled).for_each(|(most, y)| *most = f64::max(*most, y));
            } else {
                add(&mut sum, 1.0 / neighbours.len() as f64, &self.case.row(source));
            }
        }
        let mut out = self.linear("lin_l", &sum);
        if aggregator != SageAggregator::Gcn {
            add(&mut out, 1.0, &self.linear("lin_r", &self.case.row(node)));
        }
        out
    }

    fn gat(&self, node: u32, heads: usize, edge_dim: usize) -> Row {
        let features = self.case.graph.edge_features().unwrap();
        let mut terms: Vec<(u32, Row)> = self
            .case
            .into(node)
            .into_iter()
            .filter(|edge| edge.1 != node)
            .map(|(edge, source)| (source, features.row(edge).iter().map(|&f| f64::from(f)).collect()))
            .collect();
        let mut mean = vec![0.0; edge_dim];
        terms.iter().for_each(|term| add(&mut mean, 1.0 / terms.len() as f64, &term.1));
        terms.push((node, mean));
        let own = self.linear("lin", &self.case.row(node));
        let width = own.len() / heads;
        let vectors = ["att_src", "att_dst", "att_edge"].map(|name| self.parameter(name));
        let part = |row: &[f64], head: usize| row[head * width..(head + 1) * width].to_vec();
        let mut out = Vec::new();
        for head in 0..heads {
            let rows: Vec<Row> =
                terms.iter().map(|term| part(&self.linear("lin", &self.case.row(term.0)), head)).collect();
            let logits: Row = terms
                .iter()
                .zip(&rows)
                .map(|((_, features), row)| {
                    let edge = part(&self.linear("lin_edge", features), head);
                    let score = dot(row, &part(&vectors[0], head))
                        + dot(&part(&own, head), &part(&vectors[1], head))
                        + dot(&edge, &part(&vectors[2], head));
                    if score < 0.0 { 0.2 * score } else { score }
                })
                .collect();
            let mut found = vec![0.0; width];
            rows.iter().zip(softmax(&logits)).for_each(|(row, share)| add(&mut found, share, row));
            out.extend(found);
        }
        add(&mut out, 1.0, &self.parameter("bias"));
        out
    }

    fn gin(&self, node: u32) -> Row {
        let mut sum = vec![0.0; self.case.x.cols()];
        add(&mut sum, 1.0 + self.parameter("eps")[0], &self.case.row(node));
        self.case.into(node).iter().for_each(|edge| add(&mut sum, 1.0, &self.case.row(edge.1)));
        let hidden: Row = self.linear("nn.0", &sum).iter().map(|y| y.max(0.0)).collect();
        self.linear("nn.2", &hidden)
    }

    /// `torch.nn.MultiheadAttention` of one query: queries, keys and values are made and compared head by head.
    pub(crate) fn attention(&self, query: &[f64], rows: &[Row], heads: usize) -> Row {
        let width = query.len();
        let (weight, bias) =
            (self.parameter("attention.in_proj_weight"), self.parameter("attention.in_proj_bias"));
        let project = |part: usize, row: &[f64]| {
            let mut out = multiply(&weight[part * width * width..(part + 1) * width * width], row);
            add(&mut out, 1.0, &bias[part * width..(part + 1) * width]);
            out
        };
        let asked = project(0, query);
        let (keys, values): (Vec<Row>, Vec<Row>) =
            rows.iter().map(|row| (project(1, row), project(2, row))).unzip();
        let head_width = width / heads;
        let mut found = Vec::new();
        for head in 0..heads {
            let part = head * head_width..(head + 1) * head_width;
            let scale = (head_width as f64).sqrt();
            let logits: Row =
                keys.iter().map(|key| dot(&asked[part.clone()], &key[part.clone()]) / scale).collect();
            let mut sum = vec![0.0; head_width];
            values
                .iter()
                .zip(softmax(&logits))
                .for_each(|(value, share)| add(&mut sum, share, &value[part.clone()]));
            found.extend(sum);
        }
        self.linear("attention.out_proj", &found)
    }

    fn ruvector(&self, heads: usize, hops: usize) -> Vec<Row> {
        let nodes = self.case.graph.nodes();
        let mut states: Vec<Row> = (0..nodes).map(|node| self.case.row(node)).collect();
        for _ in 0..hops {
            states = (0..nodes)
                .map(|node| {
                    let mut rows: Vec<Row> = self
                        .case
                        .into(node)
                        .iter()
                        .filter(|edge| edge.1 != node)
                        .map(|edge| states[edge.1 as usize].clone())
                        .collect();
                    rows.push(states[node as usize].clone());
                    let mut state = states[node as usize].clone();
                    add(&mut state, 1.0, &self.attention(&states[node as usize], &rows, heads));
                    state
                })
                .collect();
        }
        states.iter().map(|state| self.linear("lin", state)).collect()
    }
}

pub(crate) fn add(sum: &mut [f64], weight: f64, row: &[f64]) {
    sum.iter_mut().zip(row).for_each(|(sum, number)| *sum += weight * number);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn multiply(weight: &[f64], x: &[f64]) -> Row {
    weight.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

fn softmax(logits: &[f64]) -> Row {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Row = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| share / sum).collect()
}

pub(crate) fn assert_rows(name: &str, got: &Matrix, expected: &[Row]) {
    let largest = expected.iter().flatten().fold(0.0f64, |largest, number| largest.max(number.abs()));
    for (node, row) in expected.iter().enumerate() {
        assert_eq!(got.cols(), row.len(), "{name}");
        for (a, b) in got.row(node).iter().zip(row) {
            assert!((f64::from(*a) - b).abs() <= 1e-5 * largest, "{name}, node {node}: {a} and {b}");
        }
    }
}

/// One layer of each kind, wide and narrow.
fn descriptions() -> Vec<(&'static str, ModelDescription)> {
    use LayerType::{Gat, Gcn, Gin, GraphSage, RuVector};
    let of = |layer, output| ModelDescription::new(layer, 1, 20, 1, output);
    let sage = |aggregator, output| ModelDescription { aggregator, ..of(GraphSage, output) };
    vec![
        ("gcn, wider", of(Gcn, 33)),
        ("gcn, narrower", of(Gcn, 7)),
        ("mean, wider", sage(SageAggregator::Mean, 33)),
        ("mean, narrower", sage(SageAggregator::Mean, 7)),
        ("max_pool", sage(SageAggregator::MaxPool, 7)),
        ("gcn aggregator", sage(SageAggregator::Gcn, 21)),
        ("gat", ModelDescription { output_heads: 3, output_concat: true, edge_dim: Some(4), ..of(Gat, 24) }),
        ("gin", ModelDescription { train_eps: true, eps: 0.3, ..of(Gin, 9) }),
        ("ruvector", ModelDescription { num_hops: 2, ..of(RuVector, 9) }),
        ("ruvector, heads", ModelDescription { heads: 4, ..of(RuVector, 9) }),
    ]
}

#[test]
fn layers_equal_their_naive_forms() {
    let case = random_case(300, 2000, 20, 4, 11);
    for (name, description) in descriptions() {
        let weights = Weights::initialised(&description, 12).unwrap();
        let oracle = Oracle { case: &case, weights: &weights };
        let each = |f: &dyn Fn(u32) -> Row| (0..300).map(f).collect::<Vec<Row>>();
        let expected = match description.layer_type.as_str() {
            "gcn" => each(&|node| oracle.gcn(node)),
            "graphsage" => each(&|node| oracle.sage(node, description.aggregator)),
            "gat" => each(&|node| oracle.gat(node, 3, 4)),
            "gin" => each(&|node| oracle.gin(node)),
            _ => oracle.ruvector(description.heads, description.num_hops),
        };
        let model = Model::new(&description, &weights).unwrap();
        assert_rows(name, &model.forward(&case.graph, &case.x, &Options::default()).unwrap(), &expected);
        let streamed = model.forward(&case.graph, &Streamed(&case.x), &Options::default()).unwrap();
        assert_rows(&format!("{name}, streamed"), &streamed, &expected);
        let mut used = Matrix::new(7, 2_000, vec![f32::NAN; 14_000]).unwrap();
        model.forward_into(&case.graph, &case.x, &Options::default(), &mut used).unwrap();
        assert_rows(&format!("{name}, in used memory"), &used, &expected);
        let nodes = [299, 0, 150, 0];
        let few = model.forward_nodes(&case.graph, &case.x, &nodes, &Options::default()).unwrap();
        let expected: Vec<Row> = nodes.iter().map(|&node| expected[node as usize].clone()).collect();
        assert_rows(&format!("{name}, four nodes"), &few, &expected);
    }
}
