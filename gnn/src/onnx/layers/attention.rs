//! The attention of key models, whose layers are those of a graph attention network.

use tract_onnx::pb::{NodeProto, TensorProto};

use super::builder::Builder;
use super::edges::Edges;
use super::layer::Writer;
use crate::layers::GatDescription;
use crate::onnx::export::{ATTENTION, MEAN};
use crate::onnx::tensor::float_tensor;
use crate::routing::Attention;
use crate::routing::attention::LEAK;

/// Nodes and weights of what `attention` adds to coordinates, from the inputs `vectors` and `edge_index`.
pub(in crate::onnx) struct Corrections {
    pub(in crate::onnx) nodes: Vec<NodeProto>,
    pub(in crate::onnx) initializers: Vec<TensorProto>,
    /// The name of their value, `[N, coordinates]`.
    pub(in crate::onnx) value: String,
}

impl Corrections {
    /// Those of attention over vectors of `dim` components, for as many coordinates.
    pub(in crate::onnx) fn new(attention: &Attention, dim: usize, coordinates: usize) -> Corrections {
        let mut b = Builder::default();
        b.enter("attention");
        let given = Edges::given(&mut b, "vectors");
        let [input, output] = ["input", "output"].map(|part| format!("{ATTENTION}{part}"));
        let mut inputs = attention.inputs(dim);
        let mut initializers = vec![float_tensor(&input, &[inputs, dim], &attention.input)];
        let centred = b.op("Sub", &["vectors", MEAN]);
        let mut x = b.linear(&centred, &input, None);
        let last = attention.layers.len() - 1;
        for (at, layer) in attention.layers.iter().enumerate() {
            if at > 0 {
                x = b.op("Elu", &[&x]);
            }
            let (heads, width) = (layer.heads, layer.width);
            let prefix = format!("{ATTENTION}layers.{at}");
            let tensor = |name: &str, shape: &[usize], numbers| {
                float_tensor(&format!("{prefix}.{name}"), shape, numbers)
            };
            initializers.extend([
                tensor("lin.weight", &[heads * width, inputs], &layer.weights),
                tensor("att_src", &[1, heads, width], &layer.source),
                tensor("att_dst", &[1, heads, width], &layer.target),
                tensor("bias", &[layer.bias.len()], &layer.bias),
            ]);
            let description = GatDescription {
                input_dim: inputs,
                head_dim: width,
                heads,
                concat: at < last,
                bias: true,
                self_loops: true,
                edge_dim: None,
                negative_slope: LEAK,
                attention_dropout: 0.0,
            };
            x = Writer { b: &mut b, given: &given, prefix }.gat(&description, &x);
            inputs = heads * width;
        }
        let width = attention.layers[last].width;
        initializers.push(float_tensor(&output, &[coordinates, width], &attention.output));
        let value = b.linear(&x, &output, None);
        initializers.append(&mut b.constants);
        Corrections { nodes: b.nodes, initializers, value }
    }
}
