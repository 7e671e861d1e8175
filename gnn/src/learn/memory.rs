//! How much memory an epoch takes.

use crate::layers::{GnnError, Graph, LayerDescription, ModelDescription, SageAggregator};

/// Bytes that parameters, values, masks and gradients of an epoch take, estimated from above, with so many pairs of rows in the
/// loss.
pub(super) fn epoch_bytes(model: &ModelDescription, graph: &Graph, pairs: usize) -> Result<u64, GnnError> {
    let nodes = u64::from(graph.nodes());
    // Some layers add a loop for each node.
    let edges = graph.edges() as u64 + nodes;
    let of_layers: u64 = model.layers()?.iter().map(|layer| numbers(layer, nodes, edges)).sum();
    // Both rows of a pair, and their product; what the rows of all nodes get back from them.
    let of_pairs = if pairs == 0 { 0 } else { (3 * pairs as u64 + 4 * nodes) * model.output_dim as u64 };
    let values = of_layers + of_pairs;
    let parameters: u64 = model
        .parameters()?
        .iter()
        .map(|(_, shape)| shape.iter().map(|length| *length as u64).product::<u64>())
        .sum();
    // Each value has a gradient; each parameter has one, two moments, a copy of the best, and what a step makes of them.
    Ok(4 * (2 * values + 8 * parameters))
}

/// Numbers that a layer keeps for the way back.
fn numbers(layer: &LayerDescription, nodes: u64, edges: u64) -> u64 {
    let (input, output) = (layer.input_dim() as u64, layer.output_dim() as u64);
    // The rows that come in, their mask, and the product of both; the rows that go out, with bias and activation.
    let ends = nodes * (3 * input + 3 * output);
    ends + match layer {
        LayerDescription::Gcn(_) => nodes * output,
        LayerDescription::Sage(layer) => match layer.aggregator {
            SageAggregator::Mean | SageAggregator::Gcn => nodes * 3 * output,
            SageAggregator::MaxPool => nodes * (4 * input + 3 * output),
            SageAggregator::Lstm => (nodes * 13 + edges * 9) * input,
        },
        LayerDescription::Gat(layer) => {
            let all_heads = (layer.heads * layer.head_dim) as u64;
            let of_edge = layer.edge_dim.map_or(0, |width| width as u64 + 2 * all_heads);
            nodes * 4 * all_heads + edges * (8 * layer.heads as u64 + of_edge)
        }
        LayerDescription::Gin(layer) => {
            nodes * 3 * (layer.mlp_hidden * layer.mlp_layers) as u64 + nodes * 3 * output
        }
        LayerDescription::RuVector(layer) => {
            layer.num_hops as u64 * (nodes * 13 * input + edges * 4 * layer.heads as u64)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed call fails the test")]
mod tests {
    use super::*;
    use crate::layers::LayerType;

    #[test]
    fn more_of_anything_takes_more() {
        for layer_type in LayerType::ALL {
            let with_pairs = |hidden: usize, nodes: u32, edges: u32, pairs: usize| {
                let edges: Vec<(u32, u32)> =
                    (0..edges).map(|edge| (edge % nodes, edge / 7 % nodes)).collect();
                let graph = Graph::from_edges(nodes, &edges, None, None).unwrap();
                epoch_bytes(&ModelDescription::new(layer_type, 2, 64, hidden, 8), &graph, pairs).unwrap()
            };
            let bytes = |hidden, nodes, edges| with_pairs(hidden, nodes, edges, 0);
            assert!(bytes(32, 100, 1000) < bytes(64, 100, 1000));
            assert!(bytes(32, 100, 1000) < bytes(32, 200, 1000));
            assert!(bytes(32, 100, 1000) <= bytes(32, 100, 2000));
            assert!(bytes(32, 100, 1000) > 4 * 100 * (64 + 32 + 8));
            let pairs = with_pairs(32, 100, 1000, 5000) - bytes(32, 100, 1000);
            assert!(pairs >= 2 * 4 * 3 * 5000 * 8, "rows, products and gradients");
        }
    }
}
