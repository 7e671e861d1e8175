//! A model of layers as a function of its parameters.

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed call fails the test")]
mod fixtures;
mod gat;
mod gcn;
mod gin;
mod input;
mod prepared;
mod ruvector;
mod sage;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed call fails the test")]
mod tests;

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var};

use super::LearnError;
use crate::layers::{self, Activation, LayerDescription, ModelDescription, Weights};

pub(super) use input::{Dropout, Input};
pub(super) use prepared::Prepared;

/// The parameters of a model, and what it computes of them.
pub(super) struct Network {
    layers: Vec<LayerDescription>,
    activation: Activation,
    dropout: f32,
    variables: BTreeMap<String, Var>,
}

impl Network {
    /// With these weights.
    pub(super) fn new(
        model: &ModelDescription,
        weights: &Weights,
    ) -> std::result::Result<Network, LearnError> {
        weights.check(model)?;
        let variable = |tensor: &layers::Tensor| Var::from_slice(tensor.data(), tensor.shape(), &Device::Cpu);
        let variables = weights.iter().map(|(name, tensor)| Ok((name.to_owned(), variable(tensor)?)));
        Ok(Network {
            layers: model.layers()?,
            activation: model.activation,
            dropout: model.dropout,
            variables: variables.collect::<Result<_>>()?,
        })
    }

    /// All parameters by name, sorted.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.variables.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The parameters as they are now.
    pub(super) fn weights(&self) -> std::result::Result<Weights, LearnError> {
        let mut weights = Weights::default();
        for (name, var) in &self.variables {
            let numbers = var.flatten_all()?.to_vec1::<f32>()?;
            weights.insert(name, layers::Tensor::new(var.dims().to_vec(), numbers)?);
        }
        Ok(weights)
    }

    /// Goes back to `weights`, which are those of this network at another time.
    pub(super) fn set(&self, weights: &Weights) -> Result<()> {
        for (name, tensor) in weights.iter() {
            self.variables[name].set(&Tensor::from_slice(tensor.data(), tensor.shape(), &Device::Cpu)?)?;
        }
        Ok(())
    }

    /// The outputs of all nodes, `[nodes, output_dim]`.
    pub(super) fn forward(&self, graph: &Prepared, input: &Input, dropout: &mut Dropout) -> Result<Tensor> {
        let mut x = input.clone();
        for (at, layer) in self.layers.iter().enumerate() {
            if at > 0 {
                let rows = x.dense()?;
                x = Input::Hidden(match self.activation {
                    Activation::Relu => rows.relu()?,
                    Activation::Elu => rows.elu(1.0)?,
                    Activation::Identity => rows,
                });
            }
            x = x.dropout(dropout, self.dropout)?;
            let prefix = format!("layers.{at}");
            let parameters = Parameters { variables: &self.variables, prefix: &prefix };
            x = Input::Hidden(match layer {
                LayerDescription::Gcn(_) => gcn::forward(graph, parameters, &x),
                LayerDescription::Sage(layer) => sage::forward(layer, graph, parameters, &x, dropout),
                LayerDescription::Gat(layer) => gat::forward(layer, graph, parameters, &x, dropout),
                LayerDescription::Gin(layer) => gin::forward(layer, graph, parameters, &x),
                LayerDescription::RuVector(layer) => ruvector::forward(layer, graph, parameters, &x, dropout),
            }?);
        }
        x.dense()
    }
}

/// The parameters of a layer.
#[derive(Clone, Copy)]
struct Parameters<'n> {
    variables: &'n BTreeMap<String, Var>,
    prefix: &'n str,
}

impl Parameters<'_> {
    /// One that the layer always has.
    fn get(&self, name: &str) -> &Var {
        self.find(name).expect("the weights of a network were checked against its description")
    }

    fn find(&self, name: &str) -> Option<&Var> {
        self.variables.get(&format!("{}.{name}", self.prefix))
    }

    /// Adds a bias to each row, if the layer has it.
    fn add(&self, name: &str, rows: Tensor) -> Result<Tensor> {
        self.find(name).map_or(Ok(rows.clone()), |bias| rows.broadcast_add(bias))
    }
}
