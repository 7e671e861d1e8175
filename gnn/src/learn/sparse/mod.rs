//! Sparse operations on candle's tensors, with exact gradients.
//!
//! All numbers are f32 on the CPU. Rows are computed in parallel; each is summed by one thread in the order of the edges.

mod incidence;
mod kernel;
mod lstm;
mod product;
mod segment;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed call fails the test")]
mod tests;

pub(super) use incidence::Incidence;
pub(super) use lstm::lstm;
pub(super) use product::{attend, edge_dots, product};
pub(super) use segment::{maximum, softmax, sum_of_ends};
