//! What a model of layers is, in the flat form that is written to JSON, by itself and beside the weights.

use serde::{Deserialize, Serialize};

use super::GnnError;
use super::layer_description::{
    GatDescription, GcnDescription, GinDescription, LayerDescription, RuVectorDescription, SageDescription,
};

/// A model of `num_layers` layers of one type. Fields that do not concern the type are ignored.
///
/// Widths are those of rows: all layers but the last give `hidden_dim` numbers, the last `output_dim`. The activation
/// stands between layers, not behind the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDescription {
    /// Version of this form: [`ModelDescription::VERSION`].
    #[serde(default = "version")]
    pub version: u32,
    /// `gcn`, `graphsage`, `gat`, `gin` or `ruvector`.
    pub layer_type: String,
    /// Layers, 1 to 64.
    #[serde(default = "two")]
    pub num_layers: usize,
    /// Numbers in a row of features.
    pub input_dim: usize,
    /// Numbers in a row between layers.
    #[serde(default = "hidden")]
    pub hidden_dim: usize,
    /// Numbers in a row of the result.
    pub output_dim: usize,
    /// Whether layers add a trained bias.
    #[serde(default = "yes")]
    pub bias: bool,
    /// What stands between layers.
    #[serde(default)]
    pub activation: Activation,
    /// Share of the numbers before each layer that training leaves out, 0 to 1 (exclusive).
    #[serde(default)]
    pub dropout: f32,

    /// gcn (where it normalises), gat: every node also has an edge to itself.
    #[serde(default = "yes")]
    pub self_loops: bool,
    /// gcn: edges are normalised symmetrically; without it, weights of edges are used as they are.
    #[serde(default = "yes")]
    pub normalize: bool,

    /// graphsage: how neighbours are combined.
    #[serde(default)]
    pub aggregator: SageAggregator,
    /// graphsage: rows of each layer are scaled to length 1.
    #[serde(default)]
    pub l2_normalize: bool,
    /// graphsage: neighbours drawn for each node; all of them without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<usize>,

    /// gat, ruvector: heads of attention (gat: of all layers but the last).
    #[serde(default = "one")]
    pub heads: usize,
    /// gat: all layers but the last lay their heads side by side; without it, they take the mean.
    #[serde(default = "yes")]
    pub concat: bool,
    /// gat: heads of the last layer.
    #[serde(default = "one")]
    pub output_heads: usize,
    /// gat: the last layer lays its heads side by side.
    #[serde(default)]
    pub output_concat: bool,
    /// gat: numbers that describe each edge; without it, features of edges are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge_dim: Option<usize>,
    /// gat: slope of the leaky ReLU below 0.
    #[serde(default = "slope")]
    pub negative_slope: f32,
    /// gat, ruvector: share of the attention coefficients that training leaves out, 0 to 1 (exclusive).
    #[serde(default)]
    pub attention_dropout: f32,

    /// gin: ε, or what it starts at where it is trained.
    #[serde(default)]
    pub eps: f32,
    /// gin: ε is a parameter.
    #[serde(default)]
    pub train_eps: bool,
    /// gin: linear maps of each layer's perceptron, with ReLU between them.
    #[serde(default = "two")]
    pub mlp_layers: usize,
    /// gin: width between them; the layer's output width without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlp_hidden: Option<usize>,

    /// ruvector: hops of each layer.
    #[serde(default = "one")]
    pub num_hops: usize,
}

/// What stands between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `x` above 0, `eˣ − 1` below.
    Elu,
    /// Nothing.
    Identity,
}

/// How GraphSAGE combines neighbours. Hamilton, Ying & Leskovec, NeurIPS 2017.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SageAggregator {
    /// Their mean.
    #[default]
    Mean,
    /// The maximum by component of what a linear map and ReLU make of each.
    MaxPool,
    /// The last state of an LSTM that reads them in the graph's order.
    Lstm,
    /// The mean over them and the node itself, with one map for both.
    Gcn,
}

/// The types of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerType {
    /// Graph convolution: Kipf & Welling, ICLR 2017.
    Gcn,
    /// GraphSAGE: Hamilton, Ying & Leskovec, NeurIPS 2017.
    GraphSage,
    /// Graph attention: Veličković et al., ICLR 2018.
    Gat,
    /// Graph isomorphism: Xu et al., ICLR 2019.
    Gin,
    /// Multi-hop attention over a node's neighbourhood.
    RuVector,
}

impl LayerType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Gcn, Self::GraphSage, Self::Gat, Self::Gin, Self::RuVector];

    /// Its name in descriptions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gcn => "gcn",
            Self::GraphSage => "graphsage",
            Self::Gat => "gat",
            Self::Gin => "gin",
            Self::RuVector => "ruvector",
        }
    }

    /// The type of a name.
    ///
    /// # Errors
    /// [`GnnError::UnknownLayer`], which lists the names.
    pub fn of(name: &str) -> Result<Self, GnnError> {
        Self::ALL.into_iter().find(|layer| layer.name() == name).ok_or_else(|| GnnError::UnknownLayer {
            got: name.to_owned(),
            known: Self::ALL.map(Self::name).to_vec(),
        })
    }
}

impl ModelDescription {
    /// The version of this form.
    pub const VERSION: u32 = 1;

    /// A model with the defaults of its type.
    #[must_use]
    pub fn new(
        layer: LayerType,
        num_layers: usize,
        input_dim: usize,
        hidden_dim: usize,
        output_dim: usize,
    ) -> Self {
        Self {
            version: Self::VERSION,
            layer_type: layer.name().to_owned(),
            num_layers,
            input_dim,
            hidden_dim,
            output_dim,
            bias: true,
            activation: Activation::default(),
            dropout: 0.0,
            self_loops: true,
            normalize: true,
            aggregator: SageAggregator::default(),
            l2_normalize: false,
            sample_size: None,
            heads: one(),
            concat: true,
            output_heads: one(),
            output_concat: false,
            edge_dim: None,
            negative_slope: slope(),
            attention_dropout: 0.0,
            eps: 0.0,
            train_eps: false,
            mlp_layers: two(),
            mlp_hidden: None,
            num_hops: one(),
        }
    }

    /// Reads a JSON object and checks it.
    ///
    /// # Errors
    /// [`GnnError::Description`] for what is no object of these fields, and those of [`ModelDescription::layers`].
    pub fn from_json(json: &str) -> Result<Self, GnnError> {
        let description: Self = serde_json::from_str(json).map_err(GnnError::Description)?;
        description.layers()?;
        Ok(description)
    }

    /// The JSON object that [`ModelDescription::from_json`] reads.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of numbers and names has a JSON form")
    }

    /// The layers, from the first to the last.
    ///
    /// # Errors
    /// [`GnnError::UnknownLayer`]; [`GnnError::Version`]; [`GnnError::Config`] for a field outside its range.
    pub fn layers(&self) -> Result<Vec<LayerDescription>, GnnError> {
        let layer_type = LayerType::of(&self.layer_type)?;
        self.check()?;
        (0..self.num_layers)
            .map(|layer| {
                let input = if layer == 0 { self.input_dim } else { self.hidden_dim };
                let last = layer + 1 == self.num_layers;
                let output = if last { self.output_dim } else { self.hidden_dim };
                self.layer(layer_type, input, output, last)
            })
            .collect()
    }

    /// Names and shapes of all parameters, in the order of the layers: `layers.{i}.` and the name that PyTorch
    /// Geometric has for it.
    ///
    /// # Errors
    /// Those of [`ModelDescription::layers`].
    pub fn parameters(&self) -> Result<Vec<(String, Vec<usize>)>, GnnError> {
        let mut all = Vec::new();
        for (i, layer) in self.layers()?.iter().enumerate() {
            for parameter in layer.parameters() {
                all.push((format!("layers.{i}.{}", parameter.name), parameter.shape));
            }
        }
        Ok(all)
    }

    fn layer(
        &self,
        layer_type: LayerType,
        input_dim: usize,
        output_dim: usize,
        last: bool,
    ) -> Result<LayerDescription, GnnError> {
        let bias = self.bias;
        Ok(match layer_type {
            LayerType::Gcn => LayerDescription::Gcn(GcnDescription {
                input_dim,
                output_dim,
                bias,
                self_loops: self.self_loops && self.normalize,
                normalize: self.normalize,
            }),
            LayerType::GraphSage => LayerDescription::Sage(SageDescription {
                input_dim,
                output_dim,
                bias,
                aggregator: self.aggregator,
                l2_normalize: self.l2_normalize,
                sample_size: self.sample_size,
            }),
            LayerType::Gat => self.gat(input_dim, output_dim, last)?,
            LayerType::Gin => LayerDescription::Gin(GinDescription {
                input_dim,
                output_dim,
                bias,
                eps: self.eps,
                train_eps: self.train_eps,
                mlp_layers: self.mlp_layers,
                mlp_hidden: self.mlp_hidden.unwrap_or(output_dim),
            }),
            LayerType::RuVector => {
                divides("heads", self.heads, input_dim)?;
                LayerDescription::RuVector(RuVectorDescription {
                    input_dim,
                    output_dim,
                    bias,
                    heads: self.heads,
                    num_hops: self.num_hops,
                    attention_dropout: self.attention_dropout,
                })
            }
        })
    }

    fn gat(&self, input_dim: usize, output_dim: usize, last: bool) -> Result<LayerDescription, GnnError> {
        let (name, heads, concat) = if last {
            ("output_heads", self.output_heads, self.output_concat)
        } else {
            ("heads", self.heads, self.concat)
        };
        if concat {
            divides(name, heads, output_dim)?;
        }
        Ok(LayerDescription::Gat(GatDescription {
            input_dim,
            head_dim: if concat { output_dim / heads } else { output_dim },
            heads,
            concat,
            bias: self.bias,
            self_loops: self.self_loops,
            edge_dim: self.edge_dim,
            negative_slope: self.negative_slope,
            attention_dropout: self.attention_dropout,
        }))
    }

    fn check(&self) -> Result<(), GnnError> {
        if self.version != Self::VERSION {
            return Err(GnnError::Version { expected: Self::VERSION, got: self.version });
        }
        let within = |name, got: usize, range: std::ops::RangeInclusive<usize>| {
            if range.contains(&got) {
                return Ok(());
            }
            let expected = format!("{} to {}", range.start(), range.end());
            Err(GnnError::Config { name, got: got.to_string(), expected })
        };
        within("num_layers", self.num_layers, 1..=64)?;
        for (name, width) in
            [("input_dim", self.input_dim), ("hidden_dim", self.hidden_dim), ("output_dim", self.output_dim)]
        {
            within(name, width, 1..=MAX_WIDTH)?;
        }
        within("heads", self.heads, 1..=256)?;
        within("output_heads", self.output_heads, 1..=256)?;
        within("mlp_layers", self.mlp_layers, 1..=16)?;
        within("num_hops", self.num_hops, 1..=16)?;
        within("edge_dim", self.edge_dim.unwrap_or(1), 1..=MAX_WIDTH)?;
        within("mlp_hidden", self.mlp_hidden.unwrap_or(1), 1..=MAX_WIDTH)?;
        within("sample_size", self.sample_size.unwrap_or(1), 1..=u32::MAX as usize)?;
        for (name, share) in [("dropout", self.dropout), ("attention_dropout", self.attention_dropout)] {
            if !(0.0..1.0).contains(&share) {
                return Err(out_of_range(name, share, "0 to 1 (exclusive)"));
            }
        }
        for (name, number) in [("eps", self.eps), ("negative_slope", self.negative_slope)] {
            if !number.is_finite() {
                return Err(out_of_range(name, number, "a finite number"));
            }
        }
        Ok(())
    }
}

/// Wider rows than any model has; keeps products of widths within `usize`.
const MAX_WIDTH: usize = 1 << 16;

fn out_of_range(name: &'static str, got: f32, expected: &str) -> GnnError {
    GnnError::Config { name, got: got.to_string(), expected: expected.to_owned() }
}

fn divides(name: &'static str, heads: usize, width: usize) -> Result<(), GnnError> {
    if width.is_multiple_of(heads) {
        return Ok(());
    }
    Err(GnnError::Config {
        name,
        got: heads.to_string(),
        expected: format!("a divisor of {width}, the width that the heads share"),
    })
}

fn version() -> u32 {
    ModelDescription::VERSION
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn hidden() -> usize {
    128
}

fn slope() -> f32 {
    0.2
}

fn yes() -> bool {
    true
}
