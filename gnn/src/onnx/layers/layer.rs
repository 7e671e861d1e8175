//! Layers as nodes of an ONNX graph.

use super::builder::{Builder, int};
use super::edges::Edges;
use crate::layers::{
    GatDescription, GcnDescription, GinDescription, RuVectorDescription, SageAggregator, SageDescription,
};

/// Lengths below this count as 0.
const SHORTEST: f32 = 1e-12;

/// A layer that is written: its values and parameters are named after `prefix`.
pub(super) struct Writer<'b> {
    pub(super) b: &'b mut Builder,
    pub(super) given: &'b Edges,
    pub(super) prefix: String,
}

impl Writer<'_> {
    fn name(&self, parameter: &str) -> String {
        format!("{}.{parameter}", self.prefix)
    }

    /// A linear map with the weight and, if so, the bias of these names.
    fn linear(&mut self, x: &str, weight: &str, bias: Option<&str>) -> String {
        let (weight, bias) = (self.name(weight), bias.map(|bias| self.name(bias)));
        self.b.linear(x, &weight, bias.as_deref())
    }

    fn add_bias(&mut self, rows: String, has_bias: bool) -> String {
        let bias = self.name("bias");
        if has_bias { self.b.op("Add", &[&rows, &bias]) } else { rows }
    }

    pub(super) fn gcn(&mut self, layer: &GcnDescription, x: &str) -> String {
        let rows = self.linear(x, "lin.weight", None);
        let (b, given) = (&mut *self.b, self.given);
        let looped = layer.self_loops.then(|| given.with_loops(b));
        let mut weights = match &looped {
            Some(_) => given.weights_with_loops(b, "edge_weight"),
            None => b.unsqueeze("edge_weight", 1),
        };
        let edges = looped.as_ref().unwrap_or(given);
        if layer.normalize {
            let degrees = edges.sum(b, &weights, 1);
            let zero = b.float(0.0);
            let has_none = b.op("Equal", &[&degrees, &zero]);
            let roots = b.op("Sqrt", &[&degrees]);
            let inverse = b.op("Reciprocal", &[&roots]);
            let scales = b.op("Where", &[&has_none, &zero, &inverse]);
            let (ofs, oft) = (edges.of_sources(b, &scales), edges.of_targets(b, &scales));
            let scaled = b.op("Mul", &[&ofs, &weights]);
            weights = b.op("Mul", &[&scaled, &oft]);
        }
        let rows = edges.of_sources(b, &rows);
        let terms = b.op("Mul", &[&rows, &weights]);
        let sums = edges.sum(b, &terms, layer.output_dim);
        self.add_bias(sums, layer.bias)
    }

    /// `None` for the aggregator that reads neighbours one after the other.
    pub(super) fn sage(&mut self, layer: &SageDescription, x: &str) -> Option<String> {
        let bias = layer.bias.then_some("lin_l.bias");
        let given = self.given;
        let aggregated = match layer.aggregator {
            SageAggregator::Lstm => return None,
            SageAggregator::Mean => {
                let rows = given.of_sources(self.b, x);
                given.mean(self.b, rows, layer.input_dim)
            }
            SageAggregator::Gcn => {
                let edges = given.with_loops(self.b);
                let rows = edges.of_sources(self.b, x);
                edges.mean(self.b, rows, layer.input_dim)
            }
            SageAggregator::MaxPool => {
                let pooled = self.linear(x, "lin.weight", Some("lin.bias"));
                let pooled = self.b.op("Relu", &[&pooled]);
                let rows = given.of_sources(self.b, &pooled);
                // Behind a ReLU nothing is below 0, which is what a node without neighbours gets.
                given.maximum(self.b, &rows, layer.input_dim, 0.0)
            }
        };
        let mut rows = self.linear(&aggregated, "lin_l.weight", bias);
        if layer.aggregator != SageAggregator::Gcn {
            let own = self.linear(x, "lin_r.weight", None);
            rows = self.b.op("Add", &[&rows, &own]);
        }
        if layer.l2_normalize {
            let axes = self.b.ints(&[1]);
            let lengths = self.b.op("ReduceL2", &[&rows, &axes]);
            let shortest = self.b.float(SHORTEST);
            let lengths = self.b.op("Max", &[&lengths, &shortest]);
            rows = self.b.op("Div", &[&rows, &lengths]);
        }
        Some(rows)
    }

    pub(super) fn gat(&mut self, layer: &GatDescription, x: &str) -> String {
        let (heads, width) = (layer.heads, layer.head_dim);
        let rows = self.linear(x, "lin.weight", None);
        let given = self.given;
        let looped = layer.self_loops.then(|| given.with_loops(self.b));
        let edges = looped.as_ref().unwrap_or(given);
        let of_sources = self.scores(&rows, "att_src", heads, width);
        let of_targets = self.scores(&rows, "att_dst", heads, width);
        let of_sources = edges.of_sources(self.b, &of_sources);
        let of_targets = edges.of_targets(self.b, &of_targets);
        let mut logits = self.b.op("Add", &[&of_sources, &of_targets]);
        if let Some(edge_dim) = layer.edge_dim {
            let features = match &looped {
                Some(_) => self.features_with_loops(edge_dim),
                None => "edge_attr".to_owned(),
            };
            let mapped = self.linear(&features, "lin_edge.weight", None);
            let of_edges = self.scores(&mapped, "att_edge", heads, width);
            logits = self.b.op("Add", &[&logits, &of_edges]);
        }
        // Slopes need not lie between 0 and 1.
        let zero = self.b.float(0.0);
        let slope = self.b.float(layer.negative_slope);
        let above = self.b.op("Max", &[&logits, &zero]);
        let below = self.b.op("Min", &[&logits, &zero]);
        let below = self.b.op("Mul", &[&below, &slope]);
        let logits = self.b.op("Add", &[&above, &below]);
        let shares = edges.softmax(self.b, &logits, heads);
        let mut sums = edges.attend(self.b, &rows, &shares, heads, width);
        if !layer.concat {
            let by_head = self.b.reshape(&sums, &[-1, heads as i64, width as i64]);
            let axes = self.b.ints(&[1]);
            sums = self.b.op_with("ReduceMean", &[&by_head, &axes], vec![int("keepdims", 0)]);
        }
        self.add_bias(sums, layer.bias)
    }

    /// `[rows, heads · width] → [rows, heads]`: products with a vector for each head.
    fn scores(&mut self, rows: &str, vectors: &str, heads: usize, width: usize) -> String {
        let by_head = self.b.reshape(rows, &[-1, heads as i64, width as i64]);
        let vectors = self.name(vectors);
        let products = self.b.op("Mul", &[&by_head, &vectors]);
        let axes = self.b.ints(&[2]);
        self.b.op_with("ReduceSum", &[&products, &axes], vec![int("keepdims", 0)])
    }

    /// Features of edges and then of loops, which have the mean of the edges into their node from others.
    fn features_with_loops(&mut self, edge_dim: usize) -> String {
        let others = self.given.between_others(self.b);
        let of_loops = others.mean(self.b, "edge_attr".to_owned(), edge_dim);
        self.b.concat(&["edge_attr", &of_loops])
    }

    pub(super) fn gin(&mut self, layer: &GinDescription, x: &str) -> String {
        let given = self.given;
        let rows = given.of_sources(self.b, x);
        let sums = given.sum(self.b, &rows, layer.input_dim);
        let own = match layer.train_eps {
            true => {
                let one = self.b.float(1.0);
                let eps = self.name("eps");
                self.b.op("Add", &[&eps, &one])
            }
            false => self.b.float(1.0 + layer.eps),
        };
        let own = self.b.op("Mul", &[x, &own]);
        let mut rows = self.b.op("Add", &[&sums, &own]);
        for at in 0..layer.mlp_layers {
            if at > 0 {
                rows = self.b.op("Relu", &[&rows]);
            }
            let (weight, bias) = (format!("nn.{}.weight", 2 * at), format!("nn.{}.bias", 2 * at));
            rows = self.linear(&rows, &weight, layer.bias.then_some(&bias));
        }
        rows
    }

    pub(super) fn ruvector(&mut self, layer: &RuVectorDescription, x: &str) -> String {
        let (heads, width) = (layer.heads, layer.input_dim / layer.heads);
        let edges = self.given.with_loops(self.b);
        let scale = self.b.float(1.0 / (width as f32).sqrt());
        let mut x = x.to_owned();
        for _ in 0..layer.num_hops {
            let projected = self.linear(&x, "attention.in_proj_weight", Some("attention.in_proj_bias"));
            let split = self.b.reshape(&projected, &[-1, 3, layer.input_dim as i64]);
            let [query, key, value] = [0, 1, 2].map(|part| {
                let part = self.b.int(part);
                self.b.op_with("Gather", &[&split, &part], vec![int("axis", 1)])
            });
            let (query, key) = (edges.of_targets(self.b, &query), edges.of_sources(self.b, &key));
            let products = self.b.op("Mul", &[&query, &key]);
            let products = self.b.reshape(&products, &[-1, heads as i64, width as i64]);
            let axes = self.b.ints(&[2]);
            let dots = self.b.op_with("ReduceSum", &[&products, &axes], vec![int("keepdims", 0)]);
            let logits = self.b.op("Mul", &[&dots, &scale]);
            let shares = edges.softmax(self.b, &logits, heads);
            let attended = edges.attend(self.b, &value, &shares, heads, width);
            let attended =
                self.linear(&attended, "attention.out_proj.weight", Some("attention.out_proj.bias"));
            x = self.b.op("Add", &[&x, &attended]);
        }
        self.linear(&x, "lin.weight", layer.bias.then_some("lin.bias"))
    }
}
