//! Distances and an HNSW graph that lives in the blocks of a redknot file.
//! This crate knows graphs, not models.

mod distance;
mod element;
mod metric;
mod vector;

pub use distance::{Isa, Kernel, UnsupportedPair};
pub use element::{Element, MAX_DIM, row_bytes};
pub use metric::{Metric, UnknownName};
pub use vector::{VectorError, VectorRef, decode, encode};
