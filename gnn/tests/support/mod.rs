//! Random key models.
#![allow(dead_code, reason = "each test program uses a part of it")]

use redknot_gnn::routing::{KeyModel, Slot};

/// A model whose numbers mean nothing but are all in range.
pub(crate) fn random_model(dim: usize, coordinates: usize, key_bytes: usize, seed: u64) -> KeyModel {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut numbers = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.f32() - 0.5).collect() };
    let (mean, nodes) = (numbers(dim), numbers(coordinates * dim));
    let (mut queries, query_linear) = (numbers(coordinates * dim), numbers(dim));
    // Some machines round these to bf16, which then changes nothing.
    queries.iter_mut().for_each(|weight| *weight = f32::from_bits(weight.to_bits() & 0xffff_0000));
    let slot = |j: usize| Slot { coordinate: (j % coordinates) as u16, step: rng.f32() * 0.3 + 0.05 };
    KeyModel {
        dim,
        key_bytes,
        mean,
        nodes,
        queries,
        query_linear,
        query_constant: -0.25,
        slots: (0..(key_bytes - 2) * 4).map(slot).collect(),
        lambda: 0.3,
        kappa: 0.6,
        bias_base: -1.0,
        bias_step: 0.01,
    }
}
