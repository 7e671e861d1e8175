//! The same products in bytes, for machines that multiply these by the dozen (AVX-512 VNNI).
//!
//! One vector at a time is bound by reading the matrix, and this one is a quarter as large. Each row is rounded to 127 steps
//! from 0 to its largest weight, and so is the vector. Either adds an error to the product which is, over the product of
//! vectors of these lengths in random directions, the largest number over the root mean square, divided by 127·√12:
//! [`MOST_UNEVEN`] keeps it below 3 %, little beside the two bits that a key has for a coordinate. More uneven ones are left to
//! [`super::Projection`].

use super::{TILE, nearest_integer};

/// The largest of some numbers is at most so many times their root mean square.
const MOST_UNEVEN: f32 = 13.0;
/// Steps from 0 to the largest number.
const STEPS: f32 = 127.0;
/// What the bytes of a vector have in addition: the instruction takes one side without sign.
const OFFSET: i32 = 128;

/// Four components of the rows of a tile: those of each row side by side.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct ColumnQuad([i8; 4 * TILE]);

/// A matrix of `outputs` × `dim` in bytes.
pub(crate) struct ShortProjection {
    /// ⌈`dim` / 4⌉ quads for each tile.
    tiles: Vec<ColumnQuad>,
    quads: usize,
    rows: Vec<RoundedRows>,
}

/// What the rows of a tile lost to become bytes.
#[derive(Clone)]
struct RoundedRows {
    /// One step of each row.
    step: [f32; TILE],
    /// What [`OFFSET`] adds to the product of each row.
    offset: [i32; TILE],
}

impl ShortProjection {
    /// The matrix of these rows, each `dim` long; `None` where the machine does not multiply bytes, or where a row is too
    /// uneven.
    pub(crate) fn new<'r>(
        dim: usize,
        rows: impl ExactSizeIterator<Item = &'r [f32]>,
    ) -> Option<ShortProjection> {
        if !is_available() {
            return None;
        }
        let (quads, count) = (dim.div_ceil(4), rows.len().div_ceil(TILE));
        let mut tiles = vec![ColumnQuad([0; 4 * TILE]); count * quads];
        let mut rounded = vec![RoundedRows { step: [0.0; TILE], offset: [0; TILE] }; count];
        for (number, row) in rows.enumerate() {
            let largest = row.iter().fold(0.0, |largest: f32, weight| largest.max(weight.abs()));
            if !is_even(largest, row.iter().map(|weight| weight * weight).sum(), dim) {
                return None;
            }
            let (tile, place) = (number / TILE, number % TILE);
            rounded[tile].step[place] = largest / STEPS;
            for (component, weight) in row.iter().enumerate() {
                let byte = if largest > 0.0 { (weight / largest * STEPS).round() as i8 } else { 0 };
                tiles[tile * quads + component / 4].0[4 * place + component % 4] = byte;
                rounded[tile].offset[place] += OFFSET * i32::from(byte);
            }
        }
        Some(ShortProjection { tiles, quads, rows: rounded })
    }

    /// Multiplies the vector `x`, which ends in zeros up to a multiple of four components; `largest` is the largest magnitude
    /// in it, `square` the square of its length, `quads` working memory. Whether it did: not if `x` is too uneven.
    ///
    /// # Panics
    /// If `x` is shorter than the rows, or `out` does not have a place for each row of each tile.
    pub(crate) fn apply(
        &self,
        x: &[f32],
        [largest, square]: [f32; 2],
        quads: &mut Vec<u32>,
        out: &mut [f32],
    ) -> bool {
        if !is_even(largest, square, 4 * self.quads) {
            return false;
        }
        assert_eq!(out.len(), self.rows.len() * TILE, "one product for each row");
        let inverse = if largest > f32::MIN_POSITIVE * STEPS { STEPS / largest } else { 0.0 };
        quads.clear();
        quads.extend(x[..4 * self.quads].as_chunks::<4>().0.iter().map(|four| quad(four, inverse)));
        let tiles = self.tiles.chunks_exact(self.quads).zip(&self.rows);
        for ((tile, rows), out) in tiles.zip(out.as_chunks_mut::<TILE>().0) {
            let products = multiply(tile, quads);
            for place in 0..TILE {
                let product = (products[place] - rows.offset[place]) as f32;
                out[place] = product * (rows.step[place] * (largest / STEPS));
            }
        }
        true
    }
}

/// Whether numbers of which the largest and the sum of squares are these lose little as bytes.
fn is_even(largest: f32, square: f32, count: usize) -> bool {
    largest * largest * count as f32 <= MOST_UNEVEN * MOST_UNEVEN * square
}

/// Four components as bytes with [`OFFSET`], the first in the lowest bits.
#[inline(always)]
fn quad(components: &[f32; 4], inverse: f32) -> u32 {
    let byte = |x: f32| nearest_integer(x * inverse).wrapping_add(OFFSET) as u32 & 0xff;
    let [a, b, c, d] = *components;
    byte(a) | byte(b) << 8 | byte(c) << 16 | byte(d) << 24
}

#[cfg(not(target_arch = "x86_64"))]
fn is_available() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn multiply(_tile: &[ColumnQuad], _quads: &[u32]) -> [i32; TILE] {
    unreachable!("`new` makes no matrix where `is_available` says no")
}

#[cfg(target_arch = "x86_64")]
fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
}

#[cfg(target_arch = "x86_64")]
fn multiply(tile: &[ColumnQuad], quads: &[u32]) -> [i32; TILE] {
    // SAFETY: `new` made the tile after `is_available` found the instruction set.
    #[expect(unsafe_code, reason = "the function needs an instruction set, which has been checked")]
    unsafe {
        x86::multiply(tile, quads)
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vectors are loaded and stored through pointers")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{ColumnQuad, TILE};

    /// Quads that are summed apart, which hides the latency of the multiply-add.
    const PARTS: usize = 4;

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn multiply(tile: &[ColumnQuad], quads: &[u32]) -> [i32; TILE] {
        let mut sums = [[_mm512_setzero_si512(); PARTS]; 2];
        let quads = &quads[..tile.len()];
        let (columns, last_columns) = tile.as_chunks::<PARTS>();
        let (values, last_values) = quads.as_chunks::<PARTS>();
        for (columns, values) in columns.iter().zip(values) {
            for part in 0..PARTS {
                add(&mut sums, part, &columns[part], values[part]);
            }
        }
        for (column, value) in last_columns.iter().zip(last_values) {
            add(&mut sums, 0, column, *value);
        }
        let mut products = [0; TILE];
        for ([a, b, c, d], out) in sums.into_iter().zip(products.as_chunks_mut::<16>().0) {
            let sum = _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d));
            // SAFETY: the chunk has room for a register's worth of integers.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sum) };
        }
        products
    }

    /// Adds the products of four components to the sums at `part`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn add(sums: &mut [[__m512i; PARTS]; 2], part: usize, column: &ColumnQuad, quad: u32) {
        let quad = _mm512_set1_epi32(quad as i32);
        for (sums, weights) in sums.iter_mut().zip(column.0.as_chunks::<64>().0) {
            // SAFETY: the chunk holds a register's worth of bytes.
            let weights = unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) };
            sums[part] = _mm512_dpbusd_epi32(sums[part], quad, weights);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn largest(x: &[f32]) -> f32 {
        x.iter().fold(0.0, |largest, x| largest.max(x.abs()))
    }

    /// The products, or `None` where the machine does not multiply bytes; `Some(None)` where the numbers are too uneven.
    fn products(matrix: &[f32], x: &[f32]) -> Option<Option<Vec<f32>>> {
        if !is_available() {
            return None;
        }
        let Some(short) = ShortProjection::new(x.len(), matrix.chunks_exact(x.len())) else {
            return Some(None);
        };
        let mut padded = x.to_vec();
        padded.resize(x.len().next_multiple_of(4), 0.0);
        let mut out = vec![f32::NAN; (matrix.len() / x.len()).next_multiple_of(TILE)];
        let facts = [largest(x), x.iter().map(|x| x * x).sum()];
        Some(short.apply(&padded, facts, &mut Vec::new(), &mut out).then_some(out))
    }

    proptest! {
        #[test]
        fn numbers_are_off_by_half_a_step_at_most(dim in 1usize..70, rows in 1usize..70, seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.f32() * 2.0 - 1.0).collect() };
            let (matrix, x) = (random(rows * dim), random(dim));
            let Some(out) = products(&matrix, &x) else { return Ok(()) };
            let out = out.unwrap();
            let step = f64::from(largest(&x) / STEPS);
            for (row, product) in matrix.chunks_exact(dim).zip(&out) {
                let own_step = f64::from(largest(row) / STEPS);
                let pairs = || row.iter().zip(&x).map(|(w, x)| (f64::from(*w), f64::from(*x)));
                // What is left is rounding of sums.
                let rounded = |x: f64, step: f64| (x / step).round() * step;
                let exact: f64 = pairs().map(|(w, x)| rounded(w, own_step) * rounded(x, step)).sum();
                let tie = step * own_step * STEPS as f64;
                prop_assert!((exact - f64::from(*product)).abs() <= 1.01 * tie, "{} {}", exact, product);
                let off: f64 = pairs().map(|(w, x)| w.abs() * step / 2.0 + (x.abs() + step / 2.0) * own_step / 2.0).sum();
                let exact: f64 = pairs().map(|(w, x)| w * x).sum();
                prop_assert!((exact - f64::from(*product)).abs() <= 1.001 * off, "{} {}", exact, product);
            }
            prop_assert!(out[rows..].iter().all(|product| *product == 0.0));
        }
    }

    #[test]
    fn bytes_lose_nothing_of_what_they_hold() {
        let matrix: Vec<f32> = (0..300).map(|at| ((at * 37) % 255 - 127) as f32 / 64.0).collect();
        let matrix: Vec<f32> =
            matrix.chunks(3).flat_map(|row| [row[0], row[1], row[2], 127.0 / 64.0]).collect();
        let x = [-127.0, 5.0, 64.0, -1.0];
        let Some(out) = products(&matrix, &x) else { return };
        for (row, product) in matrix.chunks(4).zip(out.unwrap()) {
            assert_eq!(product, row.iter().zip(&x).map(|(w, x)| w * x).sum::<f32>());
        }
    }

    #[test]
    fn uneven_numbers_are_left_alone() {
        let even = vec![1.0; 300];
        let uneven: Vec<f32> = (0..300).map(|at| if at == 0 { 100.0 } else { 1.0 }).collect();
        let (Some(row), Some(vector)) = (products(&uneven, &even), products(&even, &uneven)) else { return };
        assert_eq!((row, vector), (None, None));
        assert!(products(&even, &even).flatten().is_some());
        // Nothing at all is even.
        assert!(
            products(&vec![0.0; 300], &vec![0.0; 300])
                .flatten()
                .unwrap()
                .iter()
                .all(|product| *product == 0.0)
        );
    }
}
