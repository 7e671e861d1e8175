//! Key models and edge-scoring models as ONNX files.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod support;

#[path = "onnx/build.rs"]
mod build;
#[path = "onnx/edge_model.rs"]
mod edge_model;
#[path = "onnx/key_model.rs"]
mod key_model;
#[path = "onnx/mutations.rs"]
mod mutations;
#[path = "onnx/refused.rs"]
mod refused;
