//! The same products with a matrix in bf16, for machines that multiply bf16 in pairs (Zen 4, Cooper Lake and later).
//!
//! One vector at a time is bound by reading the matrix, and this one is half as large. The vector is rounded too: each
//! number by 2⁻⁹ of itself at most, which is little beside the two bits that a key has for a coordinate.

use half::bf16;

use super::TILE;

/// Two components of the rows of a tile: those of each row side by side.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct ColumnPair([u16; 2 * TILE]);

/// A matrix of `outputs` × `dim` in bf16.
pub(crate) struct ShortProjection {
    dim: usize,
    /// ⌈`dim` / 2⌉ pairs for each tile.
    tiles: Vec<ColumnPair>,
}

impl ShortProjection {
    /// The matrix of these rows, each `dim` long; `None` where the machine does not multiply bf16.
    pub(crate) fn new<'r>(
        dim: usize,
        rows: impl ExactSizeIterator<Item = &'r [f32]>,
    ) -> Option<ShortProjection> {
        if !is_available() {
            return None;
        }
        let pairs = dim.div_ceil(2);
        let mut tiles = vec![ColumnPair([0; 2 * TILE]); rows.len().div_ceil(TILE) * pairs];
        for (number, row) in rows.enumerate() {
            let tile = &mut tiles[number / TILE * pairs..][..pairs];
            for (component, value) in row.iter().enumerate() {
                let place = 2 * (number % TILE) + component % 2;
                tile[component / 2].0[place] = bf16::from_f32(*value).to_bits();
            }
        }
        Some(ShortProjection { dim, tiles })
    }

    /// Products of one vector: the number of rows, rounded up to whole tiles.
    pub(crate) fn outputs(&self) -> usize {
        self.tiles.len() / self.dim.div_ceil(2) * TILE
    }

    /// Multiplies the vector `x`; `pairs` is working memory.
    ///
    /// # Panics
    /// If `x` does not have `dim` components, or `out` not [`ShortProjection::outputs`].
    pub(crate) fn apply(&self, x: &[f32], pairs: &mut Vec<u32>, out: &mut [f32]) {
        assert_eq!((x.len(), out.len()), (self.dim, self.outputs()), "one product for each row");
        let (whole, last) = x.as_chunks::<2>();
        pairs.clear();
        pairs.extend(whole.iter().map(|[first, second]| rounded(*first) | rounded(*second) << 16));
        pairs.extend(last.first().map(|last| rounded(*last)));
        for (tile, out) in self.tiles.chunks_exact(pairs.len()).zip(out.as_chunks_mut::<TILE>().0) {
            multiply(tile, pairs, out);
        }
    }
}

/// The bits of the nearest bf16, ties to even. A NaN may become a number: whoever multiplies looks for it before.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16
}

#[cfg(not(target_arch = "x86_64"))]
fn is_available() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn multiply(_tile: &[ColumnPair], _pairs: &[u32], _out: &mut [f32; TILE]) {
    unreachable!("`new` makes no matrix where `is_available` says no")
}

#[cfg(target_arch = "x86_64")]
fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "x86_64")]
fn multiply(tile: &[ColumnPair], pairs: &[u32], out: &mut [f32; TILE]) {
    // SAFETY: `new` made the tile after `is_available` found the instruction set.
    #[expect(unsafe_code, reason = "the function needs an instruction set, which has been checked")]
    unsafe {
        x86::multiply(tile, pairs, out);
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vectors are loaded and stored through pointers, and read as bf16")]
mod x86 {
    use std::arch::x86_64::*;
    use std::mem::transmute;

    use super::{ColumnPair, TILE};

    /// Components that are summed apart, which hides the latency of the multiply-add.
    const PARTS: usize = 4;

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn multiply(tile: &[ColumnPair], pairs: &[u32], out: &mut [f32; TILE]) {
        let mut sums = [[_mm512_setzero_ps(); PARTS]; 2];
        let pairs = &pairs[..tile.len()];
        let (columns, last_columns) = tile.as_chunks::<PARTS>();
        let (values, last_values) = pairs.as_chunks::<PARTS>();
        for (columns, values) in columns.iter().zip(values) {
            for part in 0..PARTS {
                add(&mut sums, part, &columns[part], values[part]);
            }
        }
        for (column, value) in last_columns.iter().zip(last_values) {
            add(&mut sums, 0, column, *value);
        }
        for (register, [a, b, c, d]) in sums.into_iter().enumerate() {
            let sum = _mm512_add_ps(_mm512_add_ps(a, c), _mm512_add_ps(b, d));
            // SAFETY: half of the 32 floats are stored from each of the two starts.
            unsafe { _mm512_storeu_ps(out[16 * register..][..16].as_mut_ptr(), sum) };
        }
    }

    /// Adds the products of two components to the sums at `part`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn add(sums: &mut [[__m512; PARTS]; 2], part: usize, column: &ColumnPair, pair: u32) {
        let pair = _mm512_set1_epi32(pair as i32);
        for (register, sums) in sums.iter_mut().enumerate() {
            let weights = column.0[32 * register..][..32].as_ptr();
            // SAFETY: the slice holds a register's worth of bf16.
            let weights = unsafe { _mm512_loadu_si512(weights.cast()) };
            sums[part] = _mm512_dpbf16_ps(sums[part], bf16(weights), bf16(pair));
        }
    }

    /// The same bits as bf16.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn bf16(bits: __m512i) -> __m512bh {
        // SAFETY: both are 64 bytes, and bf16 may have any bits.
        unsafe { transmute::<__m512i, __m512bh>(bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn products_are_those_of_the_rounded_numbers(dim in 1usize..70, rows in 1usize..70, seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.f32() * 2.0 - 1.0).collect() };
            let (matrix, x) = (random(rows * dim), random(dim));
            let rounded = |numbers: &[f32]| -> Vec<f32> {
                numbers.iter().map(|number| bf16::from_f32(*number).to_f32()).collect()
            };
            // Where the machine does not multiply bf16 there is nothing to test.
            if let Some(projection) = ShortProjection::new(dim, matrix.chunks_exact(dim)) {
                let mut out = vec![f32::NAN; projection.outputs()];
                projection.apply(&x, &mut Vec::new(), &mut out);
                for (row, product) in rounded(&matrix).chunks_exact(dim).zip(&out) {
                    let exact: f64 = row.iter().zip(rounded(&x)).map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
                    prop_assert!((exact - f64::from(*product)).abs() < 3e-5 * dim as f64, "{} {}", exact, product);
                }
                prop_assert!(out[rows..].iter().all(|product| *product == 0.0));
            }
        }
    }
}
