//! The seam in front of the runtimes, and which of them is used.

use std::fmt;
use std::sync::Arc;

use prost::Message;
use tract_onnx::pb::ModelProto;

use super::pool::Pool;
use super::{OnnxError, ort_session, tract_session};

/// What runs ONNX models.
///
/// The ONNX Runtime is used where `ORT_DYLIB_PATH` names its library or the system has one in its search path, and
/// tract otherwise: it is part of this program and always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// tract, in Rust.
    Tract,
    /// A library of the ONNX Runtime, loaded when it is first needed.
    OnnxRuntime,
}

impl Backend {
    /// The one that is used. The answer is found once and does not change in a process.
    pub fn chosen() -> Backend {
        if ort_session::environment().is_ok() { Backend::OnnxRuntime } else { Backend::Tract }
    }
}

/// Why [`Backend::OnnxRuntime`] is not used; `None` where it is.
pub fn onnx_runtime_problem() -> Option<&'static str> {
    ort_session::environment().err()
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Tract => "tract",
            Backend::OnnxRuntime => "the ONNX Runtime",
        })
    }
}

/// A tensor that goes in.
pub(super) struct Input<'v> {
    pub(super) name: &'v str,
    pub(super) shape: &'v [usize],
    pub(super) values: &'v [f32],
}

/// A tensor that comes out.
pub(super) struct Output {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// A model ready to run on one thread.
pub(super) trait Session: Send {
    /// Runs it. Inputs are all there, in the order of the graph, and outputs come in its order.
    fn run(&mut self, inputs: &[Input<'_>]) -> Result<Vec<Output>, OnnxError>;
}

/// Sessions of a validated model.
///
/// What runs is what was validated: the model is written anew, without the fields that were not looked at.
pub(super) fn open(backend: Backend, model: ModelProto) -> Result<Pool, OnnxError> {
    match backend {
        Backend::Tract => {
            let plan = super::pool::guarded(backend, || tract_session::plan(&model))?;
            Pool::new(backend, Box::new(move || Ok(Box::new(tract_session::session(&plan)))))
        }
        Backend::OnnxRuntime => {
            let environment = ort_session::environment()
                .map_err(|why| OnnxError::NoBackend { backend, why: why.to_owned() })?;
            let bytes: Arc<[u8]> = model.encode_to_vec().into();
            Pool::new(backend, Box::new(move || Ok(Box::new(ort_session::session(environment, &bytes)?))))
        }
    }
}
