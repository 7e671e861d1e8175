//! Running models with a library of the ONNX Runtime.

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{SessionInputValue, builder::SessionBuilder};
use ort::value::TensorRef;

use super::runtime::{Input, Output, Session};
use super::{Backend, OnnxError};

/// Names the library.
const PATH_VARIABLE: &str = "ORT_DYLIB_PATH";

/// The ONNX Runtime, if there is one; else why it cannot be used. Looked for once, and kept to the end of the process.
pub(super) fn environment() -> Result<&'static Environment, &'static str> {
    static FOUND: OnceLock<Result<Environment, String>> = OnceLock::new();
    FOUND.get_or_init(find).as_ref().map_err(String::as_str)
}

fn find() -> Result<Environment, String> {
    let named = std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty());
    let candidates = match named {
        Some(path) => vec![PathBuf::from(path)],
        None => {
            use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
            let name = format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}");
            vec![PathBuf::from(&name), PathBuf::from(format!("{name}.1"))]
        }
    };
    let mut why = String::new();
    for path in candidates {
        // A library that exports the right name and then has nothing to offer makes the bindings panic.
        let loaded = catch_unwind(|| match ort::init_from(&path) {
            Ok(environment) => environment.with_telemetry(false).build().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        });
        match loaded {
            Ok(Ok(environment)) => return Ok(environment),
            Ok(Err(error)) => why = error,
            Err(_) => why = format!("{} is no usable ONNX Runtime", path.display()),
        }
    }
    Err(why)
}

/// A session of the ONNX Runtime.
pub(super) struct OrtSession(ort::session::Session);

/// Opens a session on one thread: calls are small, and come from many threads.
pub(super) fn session(environment: &Environment, model: &[u8]) -> Result<OrtSession, OnnxError> {
    let session = SessionBuilder::new(environment)
        .map_err(failed)?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(failed)?
        .with_intra_threads(1)
        .map_err(failed)?
        .with_inter_threads(1)
        .map_err(failed)?
        .with_intra_op_spinning(false)
        .map_err(failed)?
        .with_log_level(LogLevel::Error)
        .map_err(failed)?
        .commit_from_memory(model)
        .map_err(failed)?;
    Ok(OrtSession(session))
}

impl Session for OrtSession {
    fn run(&mut self, inputs: &[Input<'_>]) -> Result<Vec<Output>, OnnxError> {
        let values = inputs.iter().map(value).collect::<Result<Vec<_>, OnnxError>>()?;
        let outputs = self.0.run(values).map_err(failed)?;
        let output = |value: &ort::value::DynValue| {
            let (shape, values) = value.try_extract_tensor::<f32>().map_err(failed)?;
            Ok(Output { shape: shape.iter().map(|dim| *dim as usize).collect(), values: values.to_vec() })
        };
        outputs.values().map(|value| output(&value)).collect()
    }
}

fn value<'v>(input: &Input<'v>) -> Result<(&'v str, SessionInputValue<'v>), OnnxError> {
    let tensor = TensorRef::from_array_view((input.shape.to_vec(), input.values)).map_err(failed)?;
    Ok((input.name, tensor.into()))
}

fn failed<T>(error: ort::Error<T>) -> OnnxError {
    OnnxError::Runtime { backend: Backend::OnnxRuntime, why: error.to_string() }
}
