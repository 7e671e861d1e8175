//! Edges of the graph that a model runs on, and sums over those into each node.

use super::builder::{Builder, int, text};

/// Less than any logit, and finite: differences of logits are numbers.
const LOWEST: f32 = f32::MIN;

/// Names of what describes edges. Loops from nodes to themselves, where a layer asks for them, come behind the edges that the
/// model was given; what loops were among those is masked.
pub(super) struct Edges {
    /// How many nodes there are, a row of one whole number.
    pub(super) nodes: String,
    /// `[edges]`
    source: String,
    target: String,
    /// `[edges, 1]`
    target_column: String,
    /// `[edges, 1]`, 1 for an edge and 0 for none; without it, all are.
    mask: Option<String>,
}

impl Edges {
    /// Those of the input `edge_index`, between as many nodes as the input `rows` has rows.
    pub(super) fn given(b: &mut Builder, rows: &str) -> Edges {
        let nodes = b.op_with("Shape", &[rows], vec![int("start", 0), int("end", 1)]);
        let [zero, one] = [0, 1].map(|row| b.int(row));
        let (source, target) = (b.gather("edge_index", &zero), b.gather("edge_index", &one));
        let target_column = b.unsqueeze(&target, 1);
        Edges { nodes, source, target, target_column, mask: None }
    }

    /// 1 for an edge between two nodes and 0 for one from a node to itself, `[edges]`.
    fn between(&self, b: &mut Builder) -> String {
        let is_loop = b.op("Equal", &[&self.source, &self.target]);
        let not = b.op("Not", &[&is_loop]);
        b.op_with("Cast", &[&not], vec![int("to", 1)])
    }

    /// Without those from a node to itself.
    pub(super) fn between_others(&self, b: &mut Builder) -> Edges {
        let between = self.between(b);
        let mask = Some(b.unsqueeze(&between, 1));
        Edges {
            nodes: self.nodes.clone(),
            source: self.source.clone(),
            target: self.target.clone(),
            target_column: self.target_column.clone(),
            mask,
        }
    }

    /// With exactly one edge from each node to itself, the last ones.
    pub(super) fn with_loops(&self, b: &mut Builder) -> Edges {
        let count = b.op("Squeeze", &[&self.nodes]);
        let (zero, one) = (b.int(0), b.int(1));
        let all = b.op("Range", &[&zero, &count, &one]);
        let (source, target) = (b.concat(&[&self.source, &all]), b.concat(&[&self.target, &all]));
        let target_column = b.unsqueeze(&target, 1);
        let between = self.between(b);
        let between = b.unsqueeze(&between, 1);
        let ones = b.filled(&self.nodes, 1, 1.0);
        let mask = Some(b.concat(&[&between, &ones]));
        Edges { nodes: self.nodes.clone(), source, target, target_column, mask }
    }

    /// The weights `[edges + nodes, 1]` of [`Edges::with_loops`]: a loop has the weight of the last loop that was given, or 1.
    pub(super) fn weights_with_loops(&self, b: &mut Builder, weights: &str) -> String {
        let (one, no_place) = (b.int(1), b.int(0));
        let count = b.op("Shape", &[weights]);
        let count = b.op("Squeeze", &[&count]);
        let end = b.op("Add", &[&count, &one]);
        // Places from 1; 0 stands for the weight of a loop that was not given.
        let places = b.op("Range", &[&one, &end, &one]);
        let is_loop = b.op("Equal", &[&self.source, &self.target]);
        let places = b.op("Where", &[&is_loop, &places, &no_place]);
        let places = b.unsqueeze(&places, 1);
        let none = b.zeros(&self.nodes);
        let last = self.scatter(b, &none, &places, "max");
        let new = b.one_float(1.0);
        let weights_by_place = b.concat(&[&new, weights]);
        let of_loops = b.gather(&weights_by_place, &last);
        let between = self.between(b);
        let of_others = b.op("Mul", &[weights, &between]);
        let of_others = b.unsqueeze(&of_others, 1);
        b.concat(&[&of_others, &of_loops])
    }

    fn scatter(&self, b: &mut Builder, onto: &str, of_edges: &str, reduction: &str) -> String {
        b.op_with("ScatterND", &[onto, &self.target_column, of_edges], vec![text("reduction", reduction)])
    }

    /// Numbers of edges `[edges, width]`, 0 where there is none.
    pub(super) fn masked(&self, b: &mut Builder, of_edges: String) -> String {
        self.mask.as_ref().map_or(of_edges.clone(), |mask| b.op("Mul", &[&of_edges, mask]))
    }

    /// `[edges, width] → [nodes, width]`
    pub(super) fn sum(&self, b: &mut Builder, of_edges: &str, width: usize) -> String {
        let zeros = b.filled(&self.nodes, width, 0.0);
        self.scatter(b, &zeros, of_edges, "add")
    }

    /// `[edges, width] → [nodes, width]`: the maximum, at least `least`.
    pub(super) fn maximum(&self, b: &mut Builder, of_edges: &str, width: usize, least: f32) -> String {
        let start = b.filled(&self.nodes, width, least);
        self.scatter(b, &start, of_edges, "max")
    }

    /// `[nodes, width] → [edges, width]`
    pub(super) fn of_sources(&self, b: &mut Builder, rows: &str) -> String {
        b.gather(rows, &self.source)
    }

    /// `[nodes, width] → [edges, width]`
    pub(super) fn of_targets(&self, b: &mut Builder, rows: &str) -> String {
        b.gather(rows, &self.target)
    }

    /// The mean of the rows of a node's sources, 0 where it has none.
    pub(super) fn mean(&self, b: &mut Builder, of_edges: String, width: usize) -> String {
        let of_edges = self.masked(b, of_edges);
        let sum = self.sum(b, &of_edges, width);
        let ones = match &self.mask {
            Some(mask) => mask.clone(),
            None => {
                let count = b.op("Shape", &[&self.target]);
                b.filled(&count, 1, 1.0)
            }
        };
        let count = self.sum(b, &ones, 1);
        let one = b.float(1.0);
        let count = b.op("Max", &[&count, &one]);
        b.op("Div", &[&sum, &count])
    }

    /// The softmax of `[edges, heads]` over the edges into a node.
    pub(super) fn softmax(&self, b: &mut Builder, logits: &str, heads: usize) -> String {
        let mut logits = logits.to_owned();
        if let Some(mask) = &self.mask {
            let (zero, lowest) = (b.float(0.0), b.float(LOWEST));
            let is_edge = b.op("Greater", &[mask, &zero]);
            logits = b.op("Where", &[&is_edge, &logits, &lowest]);
        }
        let most = self.maximum(b, &logits, heads, LOWEST);
        let most = self.of_targets(b, &most);
        let below = b.op("Sub", &[&logits, &most]);
        let terms = b.op("Exp", &[&below]);
        let terms = self.masked(b, terms);
        let sums = self.sum(b, &terms, heads);
        let sums = self.of_targets(b, &sums);
        b.op("Div", &[&terms, &sums])
    }

    /// Sums of rows `[nodes, heads · width]` by shares `[edges, heads]`.
    pub(super) fn attend(
        &self,
        b: &mut Builder,
        rows: &str,
        shares: &str,
        heads: usize,
        width: usize,
    ) -> String {
        let rows = self.of_sources(b, rows);
        let rows = b.reshape(&rows, &[-1, heads as i64, width as i64]);
        let shares = b.unsqueeze(shares, 2);
        let terms = b.op("Mul", &[&rows, &shares]);
        let terms = b.reshape(&terms, &[-1, (heads * width) as i64]);
        self.sum(b, &terms, heads * width)
    }
}
