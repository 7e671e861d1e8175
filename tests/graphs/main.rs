//! Graphs over collections, held against maps of edges by key.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod bad_input;
mod build;
mod hubs;
mod maps;
mod model;
mod search;
mod slices;
#[path = "../support/mod.rs"]
mod support;

/// `REDKNOT_SEED`, or the same as ever; printed.
fn seed() -> u64 {
    let seed = support::setting("REDKNOT_SEED", 4);
    println!("REDKNOT_SEED={seed}");
    seed
}
