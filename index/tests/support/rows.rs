//! Vectors for tests.

/// A vector as it is stored.
pub(crate) fn bytes(row: &[f32]) -> Vec<u8> {
    row.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Vectors with coordinates of −0.5 to 0.5.
pub(crate) fn random_rows(n: usize, dim: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..n).map(|_| (0..dim).map(|_| rng.f32() - 0.5).collect()).collect()
}
