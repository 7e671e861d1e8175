//! A model that was never trained: means of neighbourhoods.

use super::{Activation, GnnError, LayerType, Model, ModelDescription, SageAggregator, Tensor, Weights};

impl Model {
    /// The mean of a node's row and those of its neighbours, `hops` times over: message passing without parameters, for rows
    /// of `width` numbers. These are layers of GraphSAGE with the GCN aggregator whose map changes nothing, so they take
    /// part wherever models do.
    ///
    /// # Errors
    /// [`GnnError::Config`] for a width of 0 or hops that are not 1 to 64, [`GnnError::NotCompiled`] without the cargo
    /// feature `gnn-sage`.
    pub fn mean(width: usize, hops: usize) -> Result<Model, GnnError> {
        let description = ModelDescription {
            aggregator: SageAggregator::Gcn,
            activation: Activation::Identity,
            bias: false,
            ..ModelDescription::new(LayerType::GraphSage, hops, width, width, width)
        };
        let identity: Vec<f32> =
            (0..width * width).map(|at| f32::from(u8::from(at / width == at % width))).collect();
        let mut weights = Weights::default();
        for (name, shape) in description.parameters()? {
            weights.insert(name, Tensor::new(shape, identity.clone())?);
        }
        Model::new(&description, &weights)
    }
}
