//! Key models and edge-scoring models as ONNX files.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod build;
mod edge_model;
mod key_model;
mod mutations;
mod refused;
#[path = "../support/mod.rs"]
mod support;
