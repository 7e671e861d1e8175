//! Learned routing over an HNSW graph in a redknot file.
//!
//! A *key model* condenses every node and its neighbourhood into a key of a few dozen bytes. At search time the query
//! is encoded once, a neighbour is scored with an integer dot product of its key, and only the rows that the keys
//! rank first get a full-precision distance. This crate knows graphs through [`redknot_index`] and writes nothing to
//! the file: it returns keys and models as bytes.
//!
//! With the feature `gnn`, the module `layers` holds graph neural networks of any other purpose; with `train`, `learn`
//! trains them.

#[cfg(feature = "gnn")]
pub mod layers;
#[cfg(all(feature = "gnn", feature = "train"))]
pub mod learn;
pub mod online;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod routing;
#[cfg(feature = "train")]
pub mod train;
