//! What stands in where the program was built without ONNX.

use std::path::Path;

use super::super::Outcome;
use super::super::error::CliError;
use super::Args;

pub(super) fn export(_: &Args, _: &Path) -> Result<Outcome, CliError> {
    Err(CliError::LeftOut { what: "onnx" })
}

pub(super) fn import(_: &Args, _: &Path) -> Result<Outcome, CliError> {
    Err(CliError::LeftOut { what: "onnx" })
}
