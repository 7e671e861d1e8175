//! Running models with tract.

use std::sync::Arc;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use super::runtime::{Input, Output, Session};
use super::{Backend, MAX_EDGES, OnnxError};

/// Most numbers of one tensor while a model runs: 256 MiB of f32.
const MAX_TENSOR: i64 = 64 << 20;

/// A model that tract has prepared. Shared by threads.
pub(super) type Plan = Arc<TypedRunnableModel<TypedModel>>;

/// A plan as a session: each run has a state of its own.
pub(super) struct TractSession(Plan);

pub(super) fn session(plan: &Plan) -> TractSession {
    TractSession(plan.clone())
}

/// Prepares a model.
pub(super) fn plan(model: &ModelProto) -> Result<Plan, OnnxError> {
    let typed = tract_onnx::onnx().model_for_proto_model(model).and_then(|model| model.into_typed());
    let typed = typed.map_err(failed)?;
    check_sizes(&typed)?;
    let plan = typed.into_decluttered().and_then(|model| model.into_optimized()).map_err(failed)?;
    Ok(Arc::new(plan.into_runnable().map_err(failed)?))
}

/// Whether all tensors stay within bounds for as many rows as are ever run at a time.
fn check_sizes(model: &TypedModel) -> Result<(), OnnxError> {
    let mut most = SymbolValues::default();
    for node in model.nodes() {
        for output in &node.outputs {
            for symbol in output.fact.shape.volume().symbols() {
                most.set(&symbol, MAX_EDGES as i64);
            }
        }
    }
    for node in model.nodes() {
        for output in &node.outputs {
            let size = output.fact.shape.volume().eval(&most).to_i64();
            if !size.is_ok_and(|size| (0..=MAX_TENSOR).contains(&size)) {
                let shape = &output.fact.shape;
                return Err(OnnxError::invalid(format!(
                    "node {:?} has an output of shape {shape:?}, expected at most {MAX_TENSOR} numbers",
                    node.name
                )));
            }
        }
    }
    Ok(())
}

impl Session for TractSession {
    fn run(&mut self, inputs: &[Input<'_>]) -> Result<Vec<Output>, OnnxError> {
        let tensors =
            inputs.iter().map(|input| Ok(Tensor::from_shape(input.shape, input.values)?.into_tvalue()));
        let tensors = tensors.collect::<TractResult<TVec<TValue>>>().map_err(failed)?;
        let output = |tensor: &TValue| {
            let values = tensor.as_slice::<f32>()?.to_vec();
            Ok(Output { shape: tensor.shape().to_vec(), values })
        };
        let outputs = self.0.run(tensors).and_then(|outputs| outputs.iter().map(output).collect());
        outputs.map_err(failed)
    }
}

fn failed(error: TractError) -> OnnxError {
    // The chain of causes, from what was done to what went wrong.
    OnnxError::Runtime { backend: Backend::Tract, why: format!("{error:#}") }
}
