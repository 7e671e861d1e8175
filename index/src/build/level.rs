//! How high a row reaches.

use crate::mem_graph::MAX_LEVEL;

/// The level of a row: ⌊−ln(U) / ln(m)⌋ with U uniform in (0, 1], so that each layer has 1/m of the rows of the one below.
///
/// Drawn from the seed and the row's number alone: the same for any number of threads and after a resume.
pub(crate) fn of_row(seed: u64, id: u32, m: usize) -> u8 {
    let uniform = 1.0 - fastrand::Rng::with_seed(mix(seed ^ mix(u64::from(id)))).f64();
    // `as` saturates, and the quotient is never negative.
    ((-uniform.ln() / (m as f64).ln()) as u8).min(MAX_LEVEL)
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): seeds that differ in one bit give unrelated generators.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_thins_out_by_m() {
        let (n, m) = (200_000u32, 16usize);
        let mut counts = [0u32; MAX_LEVEL as usize + 1];
        for id in 0..n {
            counts[of_row(7, id, m) as usize] += 1;
        }
        for (level, expected) in [(0, 187_500.0), (1, 11_719.0), (2, 732.0)] {
            let got = f64::from(counts[level]);
            // Five standard deviations of the binomial count.
            assert!(
                (got - expected).abs() < 5.0 * f64::sqrt(expected),
                "level {level}: {got}, not {expected}"
            );
        }
    }

    #[test]
    fn the_seed_decides() {
        let levels = |seed| (0..1000).map(|id| of_row(seed, id, 4)).collect::<Vec<_>>();
        assert_eq!(levels(1), levels(1));
        assert_ne!(levels(1), levels(2));
    }
}
