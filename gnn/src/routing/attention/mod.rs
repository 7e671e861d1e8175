//! Graph attention over the base layer, which corrects the coordinates of nodes (Veličković et al. 2018).

mod encoder;
mod field;
mod layer;

use super::ModelError;
use super::model::{all_finite, has_len, within};

pub(crate) use encoder::{AttentionEncoder, CorrectScratch, Surroundings};
pub(crate) use field::NodeSource;

/// Most layers: each reaches one hop further, and a key then depends on as many more nodes.
pub(crate) const MAX_LAYERS: usize = 6;
/// Most heads of a layer.
pub(crate) const MAX_HEADS: usize = 16;
/// Most numbers of a node between two layers, those of all heads together.
pub(crate) const MAX_WIDTH: usize = 1024;
/// Most numbers of a node that the first layer reads.
pub(crate) const MAX_INPUTS: usize = 128;
/// The slope of LeakyReLU below 0.
pub(crate) const LEAK: f32 = 0.2;

/// What is added to the coordinates of a node for the sake of its neighbourhood.
///
/// With μ the mean of the model, a node of vector `x` starts from `h = input·(x − μ)`. In each layer, head `k` scores
/// the node itself and each of its base-layer neighbours `u` with `LeakyReLU(source_k·W_k·h_u + target_k·W_k·h_v)`,
/// makes shares of them that add up to 1 (softmax), and sums the `W_k·h_u` in these shares. Between two layers what the
/// heads made lies one behind the other, has `bias` added and goes through ELU; after the last layer the mean of the
/// heads has `bias` added, and `output` times this is what the coordinates get added.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// From components to what the first layer reads: inputs × `dim`, row by row; 1 to 128 inputs.
    pub input: Vec<f32>,
    /// The layers, 1 to 6.
    pub layers: Vec<AttentionLayer>,
    /// From the last layer to coordinates: coordinates × the width of a head of the last layer, row by row.
    pub output: Vec<f32>,
}

/// One layer of attention.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionLayer {
    /// Number of heads, 1 to 16.
    pub heads: usize,
    /// Numbers that each head makes of a node; those of all heads together are at most 1,024.
    pub width: usize,
    /// `W`, that of one head behind that of the other: heads·width × inputs, row by row.
    pub weights: Vec<f32>,
    /// What a neighbour is scored with: heads × width.
    pub source: Vec<f32>,
    /// What the node that looks is scored with: heads × width.
    pub target: Vec<f32>,
    /// heads·width numbers; in the last layer width.
    pub bias: Vec<f32>,
}

impl Attention {
    /// How many numbers of a node the first layer reads, for vectors of `dim` components.
    pub fn inputs(&self, dim: usize) -> usize {
        self.input.len() / dim.max(1)
    }

    /// Whether shapes agree with each other, with vectors of `dim` components and with so many coordinates, and all
    /// numbers are finite.
    pub(crate) fn check(&self, dim: usize, coordinates: usize) -> Result<(), ModelError> {
        let mut inputs = self.inputs(dim);
        within("the number of inputs of the attention", inputs as f64, 1.0, MAX_INPUTS as f64)?;
        within("the number of layers", self.layers.len() as f64, 1.0, MAX_LAYERS as f64)?;
        has_len("the input of the attention", &self.input, inputs * dim)?;
        all_finite("the input of the attention", &self.input)?;
        for (number, layer) in self.layers.iter().enumerate() {
            layer.check(inputs, number + 1 == self.layers.len())?;
            inputs = layer.heads * layer.width;
        }
        let width = self.layers.last().map_or(0, |layer| layer.width);
        has_len("the output of the attention", &self.output, coordinates * width)?;
        all_finite("the output of the attention", &self.output)
    }
}

impl AttentionLayer {
    /// Numbers of the bias of such a layer.
    pub(crate) fn biases(heads: usize, width: usize, is_last: bool) -> usize {
        if is_last { width } else { heads * width }
    }

    fn check(&self, inputs: usize, is_last: bool) -> Result<(), ModelError> {
        within("the number of heads", self.heads as f64, 1.0, MAX_HEADS as f64)?;
        within("the width of a head", self.width as f64, 1.0, (MAX_WIDTH / self.heads) as f64)?;
        let width = self.heads * self.width;
        let biases = Self::biases(self.heads, self.width, is_last);
        let parts = [
            ("the weights of a layer", &self.weights, width * inputs),
            ("the source of a layer", &self.source, width),
            ("the target of a layer", &self.target, width),
            ("the bias of a layer", &self.bias, biases),
        ];
        parts.into_iter().try_for_each(|(what, numbers, expected)| {
            has_len(what, numbers, expected)?;
            all_finite(what, numbers)
        })
    }
}
