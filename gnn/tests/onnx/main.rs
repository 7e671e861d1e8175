//! Key models and edge-scoring models as ONNX files.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod build;
mod edge_model;
#[path = "../support/home.rs"]
mod home;
mod key_model;
#[cfg(feature = "gnn")]
mod layers;
mod mutations;
mod policy;
mod refused;
#[path = "../support/mod.rs"]
mod support;
