//! One layer of a model: what it computes and which parameters that takes.

use super::SageAggregator;
use super::initialise::Start;

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerDescription {
    /// `Â X Wᵀ + b`: PyTorch Geometric's `GCNConv`.
    Gcn(GcnDescription),
    /// `W_l aggregate(N(v)) + b + W_r x_v`: `SAGEConv`.
    Sage(SageDescription),
    /// Attention over a node and its neighbours: `GATConv`.
    Gat(GatDescription),
    /// `MLP((1 + ε) x_v + Σ x_u)`: `GINConv`.
    Gin(GinDescription),
    /// Multi-hop attention: `torch.nn.MultiheadAttention` over neighbourhoods, then `torch.nn.Linear`.
    RuVector(RuVectorDescription),
}

/// A layer of GCN.
#[derive(Debug, Clone, PartialEq)]
pub struct GcnDescription {
    /// Numbers in a row that comes in.
    pub input_dim: usize,
    /// Numbers in a row that goes out.
    pub output_dim: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// Whether every node has an edge to itself.
    pub self_loops: bool,
    /// Whether edges are normalised symmetrically.
    pub normalize: bool,
}

/// A layer of GraphSAGE.
#[derive(Debug, Clone, PartialEq)]
pub struct SageDescription {
    /// Numbers in a row that comes in.
    pub input_dim: usize,
    /// Numbers in a row that goes out.
    pub output_dim: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// How neighbours are combined.
    pub aggregator: SageAggregator,
    /// Whether rows are scaled to length 1.
    pub l2_normalize: bool,
    /// Neighbours drawn for each node.
    pub sample_size: Option<usize>,
}

/// A layer of GAT.
#[derive(Debug, Clone, PartialEq)]
pub struct GatDescription {
    /// Numbers in a row that comes in.
    pub input_dim: usize,
    /// Numbers that each head gives.
    pub head_dim: usize,
    /// Heads.
    pub heads: usize,
    /// Whether heads lie side by side; their mean is taken otherwise.
    pub concat: bool,
    /// Whether a bias is added.
    pub bias: bool,
    /// Whether every node has an edge to itself, with the mean features of the edges into it.
    pub self_loops: bool,
    /// Numbers that describe each edge.
    pub edge_dim: Option<usize>,
    /// Slope of the leaky ReLU below 0.
    pub negative_slope: f32,
    /// Share of coefficients that training leaves out.
    pub attention_dropout: f32,
}

/// A layer of GIN. Its perceptron is `Linear, ReLU, Linear, …`, `mlp_layers` of them.
#[derive(Debug, Clone, PartialEq)]
pub struct GinDescription {
    /// Numbers in a row that comes in.
    pub input_dim: usize,
    /// Numbers in a row that goes out.
    pub output_dim: usize,
    /// Whether the perceptron has biases.
    pub bias: bool,
    /// ε, or what it starts at.
    pub eps: f32,
    /// Whether ε is a parameter.
    pub train_eps: bool,
    /// Linear maps.
    pub mlp_layers: usize,
    /// Width between them.
    pub mlp_hidden: usize,
}

/// A layer of RuVector. With `s⁰ = x`, each hop attends from every node to itself and the sources of the edges into
/// it, whose rows are fetched anew, and adds what it finds:
///
/// `s_vʰ = s_vʰ⁻¹ + MultiheadAttention(query = s_vʰ⁻¹, key = value = [s_uʰ⁻¹ for u in {v} ∪ N(v)])`
///
/// and the output is `lin(s)` after the last hop. The attention is `torch.nn.MultiheadAttention`, the same for all
/// hops. A loop that the graph has counts as the node itself, once; weights and features of edges are not looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct RuVectorDescription {
    /// Numbers in a row that comes in.
    pub input_dim: usize,
    /// Numbers in a row that goes out.
    pub output_dim: usize,
    /// Whether the linear map has a bias. (The attention always has.)
    pub bias: bool,
    /// Heads of attention.
    pub heads: usize,
    /// Hops.
    pub num_hops: usize,
    /// Share of coefficients that training leaves out.
    pub attention_dropout: f32,
}

/// A parameter of a layer, by the name that PyTorch has for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) start: Start,
}

impl LayerDescription {
    /// Numbers in a row that comes in.
    #[must_use]
    pub fn input_dim(&self) -> usize {
        match self {
            Self::Gcn(layer) => layer.input_dim,
            Self::Sage(layer) => layer.input_dim,
            Self::Gat(layer) => layer.input_dim,
            Self::Gin(layer) => layer.input_dim,
            Self::RuVector(layer) => layer.input_dim,
        }
    }

    /// Numbers in a row that goes out.
    #[must_use]
    pub fn output_dim(&self) -> usize {
        match self {
            Self::Gcn(layer) => layer.output_dim,
            Self::Sage(layer) => layer.output_dim,
            Self::Gat(layer) if layer.concat => layer.heads * layer.head_dim,
            Self::Gat(layer) => layer.head_dim,
            Self::Gin(layer) => layer.output_dim,
            Self::RuVector(layer) => layer.output_dim,
        }
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        match self {
            Self::Gcn(layer) => gcn(layer),
            Self::Sage(layer) => sage(layer),
            Self::Gat(layer) => gat(layer, self.output_dim()),
            Self::Gin(layer) => gin(layer),
            Self::RuVector(layer) => ruvector(layer),
        }
    }
}

fn parameter(name: impl Into<String>, shape: &[usize], start: Start) -> Parameter {
    Parameter { name: name.into(), shape: shape.to_vec(), start }
}

/// `torch.nn.Linear`: `{name}.weight`, and `{name}.bias` if there is one.
fn linear(name: &str, output: usize, input: usize, bias: bool) -> Vec<Parameter> {
    let start = Start::fan_in(input);
    let mut all = vec![parameter(format!("{name}.weight"), &[output, input], start)];
    if bias {
        all.push(parameter(format!("{name}.bias"), &[output], start));
    }
    all
}

fn gcn(layer: &GcnDescription) -> Vec<Parameter> {
    let (input, output) = (layer.input_dim, layer.output_dim);
    let mut all = vec![parameter("lin.weight", &[output, input], Start::glorot(input, output))];
    if layer.bias {
        all.push(parameter("bias", &[output], Start::Constant(0.0)));
    }
    all
}

fn sage(layer: &SageDescription) -> Vec<Parameter> {
    let (input, output) = (layer.input_dim, layer.output_dim);
    let mut all = Vec::new();
    match layer.aggregator {
        SageAggregator::Mean | SageAggregator::Gcn => {}
        SageAggregator::MaxPool => all.extend(linear("lin", input, input, true)),
        SageAggregator::Lstm => {
            let start = Start::fan_in(input);
            let lstm = "aggr_module.lstm";
            all.push(parameter(format!("{lstm}.weight_ih_l0"), &[4 * input, input], start));
            all.push(parameter(format!("{lstm}.weight_hh_l0"), &[4 * input, input], start));
            all.push(parameter(format!("{lstm}.bias_ih_l0"), &[4 * input], start));
            all.push(parameter(format!("{lstm}.bias_hh_l0"), &[4 * input], start));
        }
    }
    all.extend(linear("lin_l", output, input, layer.bias));
    if layer.aggregator != SageAggregator::Gcn {
        all.extend(linear("lin_r", output, input, false));
    }
    all
}

fn gat(layer: &GatDescription, output: usize) -> Vec<Parameter> {
    let (heads, head_dim) = (layer.heads, layer.head_dim);
    let all_heads = heads * head_dim;
    let attention = |name| parameter(name, &[1, heads, head_dim], Start::glorot(heads, head_dim));
    let mut all = vec![attention("att_src"), attention("att_dst")];
    if layer.edge_dim.is_some() {
        all.push(attention("att_edge"));
    }
    if layer.bias {
        all.push(parameter("bias", &[output], Start::Constant(0.0)));
    }
    let glorot = Start::glorot(layer.input_dim, all_heads);
    all.push(parameter("lin.weight", &[all_heads, layer.input_dim], glorot));
    if let Some(width) = layer.edge_dim {
        all.push(parameter("lin_edge.weight", &[all_heads, width], Start::glorot(width, all_heads)));
    }
    all
}

fn gin(layer: &GinDescription) -> Vec<Parameter> {
    let mut all = Vec::new();
    if layer.train_eps {
        all.push(parameter("eps", &[1], Start::Constant(layer.eps)));
    }
    for i in 0..layer.mlp_layers {
        let input = if i == 0 { layer.input_dim } else { layer.mlp_hidden };
        let output = if i + 1 == layer.mlp_layers { layer.output_dim } else { layer.mlp_hidden };
        // Every other module of the sequence is a ReLU.
        all.extend(linear(&format!("nn.{}", 2 * i), output, input, layer.bias));
    }
    all
}

fn ruvector(layer: &RuVectorDescription) -> Vec<Parameter> {
    let width = layer.input_dim;
    let projections = Start::glorot(width, 3 * width);
    let mut all = vec![
        parameter("attention.in_proj_weight", &[3 * width, width], projections),
        parameter("attention.in_proj_bias", &[3 * width], Start::Constant(0.0)),
        parameter("attention.out_proj.weight", &[width, width], Start::fan_in(width)),
        parameter("attention.out_proj.bias", &[width], Start::Constant(0.0)),
    ];
    all.extend(linear("lin", layer.output_dim, width, layer.bias));
    all
}
