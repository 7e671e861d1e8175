//! Distances and an HNSW graph that lives in the blocks of a redknot file.
//! This crate knows graphs, not models.

mod distance;
mod element;
mod metric;

pub use element::Element;
pub use metric::Metric;
