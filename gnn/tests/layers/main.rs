//! Graphs, message passing and layers: against PyTorch Geometric's results, against naive oracles, and refused input.

#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod engine;
mod fixtures;
mod forward;
mod graphs;
mod oracle;
mod refused;
