//! Products of a fixed matrix with vectors: what queries and nodes are projected with.
//!
//! The matrix is kept in tiles of [`TILE`] rows, stored component by component: one component of a vector meets
//! all rows of a tile in as many multiply-adds as the tile has registers, and no sum is ever reduced across lanes.

mod short;

use std::array::from_fn;

use redknot_index::Isa;

pub(crate) use short::ShortProjection;

/// Rows of the matrix in a tile: two registers of AVX-512, four of AVX2.
pub(crate) const TILE: usize = 32;
/// Vectors that share one pass over a tile.
const VECTORS: usize = 4;

/// One component of the [`TILE`] rows of a tile.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Column([f32; TILE]);

/// A matrix of `outputs` × `dim`, ready to be multiplied with.
pub(crate) struct Projection {
    dim: usize,
    isa: Isa,
    /// `dim` columns for each tile.
    tiles: Vec<Column>,
}

impl Projection {
    /// The matrix of these rows, each `dim` long, for the best instruction set of this machine.
    pub(crate) fn new<'r>(dim: usize, rows: impl ExactSizeIterator<Item = &'r [f32]>) -> Projection {
        let mut tiles = vec![Column([0.0; TILE]); rows.len().div_ceil(TILE) * dim];
        for (number, row) in rows.enumerate() {
            let tile = &mut tiles[number / TILE * dim..][..dim];
            for (column, value) in tile.iter_mut().zip(row) {
                column.0[number % TILE] = *value;
            }
        }
        Projection { dim, isa: best_isa(), tiles }
    }

    /// Products of one vector: the number of rows, rounded up to whole tiles.
    pub(crate) fn outputs(&self) -> usize {
        self.tiles.len() / self.dim * TILE
    }

    /// Multiplies vectors that lie one behind the other in `x`; `out` takes [`Projection::outputs`] for each.
    ///
    /// # Panics
    /// If the lengths of `x` and `out` do not fit.
    pub(crate) fn apply(&self, x: &[f32], out: &mut [f32]) {
        let outputs = self.outputs();
        assert_eq!(x.len() / self.dim * outputs, out.len(), "one product for each row and vector");
        let groups = x.chunks(VECTORS * self.dim).zip(out.chunks_mut(VECTORS * outputs));
        for (x, out) in groups {
            if x.len() == VECTORS * self.dim {
                let x: [&[f32]; VECTORS] = from_fn(|vector| &x[vector * self.dim..][..self.dim]);
                self.apply_to::<VECTORS, 1>(x, out);
            } else {
                for (x, out) in x.chunks_exact(self.dim).zip(out.chunks_exact_mut(outputs)) {
                    self.apply_to::<1, 4>([x], out);
                }
            }
        }
    }

    #[inline]
    fn apply_to<const N: usize, const PARTS: usize>(&self, x: [&[f32]; N], out: &mut [f32]) {
        let outputs = self.outputs();
        for (number, tile) in self.tiles.chunks_exact(self.dim).enumerate() {
            let products = products::<N, PARTS>(self.isa, tile, x);
            for (vector, products) in products.iter().enumerate() {
                out[vector * outputs + number * TILE..][..TILE].copy_from_slice(products);
            }
        }
    }
}

/// Rounds a number below 2^22 to the nearest integer, ties to even, in any instruction set.
#[inline(always)]
pub(crate) fn nearest_integer(x: f32) -> i32 {
    // Added to such a number it leaves no room for a fraction.
    const ROUND: f32 = 1.5 * (1u32 << 23) as f32;
    (x + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32
}

fn best_isa() -> Isa {
    Isa::ALL.into_iter().find(|isa| is_available(*isa)).unwrap_or(Isa::Portable)
}

fn is_available(isa: Isa) -> bool {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => is_x86_feature_detected!("avx512f"),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        Isa::Portable => true,
        _ => false,
    }
}

/// Products of the rows of one tile with `N` vectors. The machine has `isa`, see [`is_available`].
#[inline]
fn products<const N: usize, const PARTS: usize>(
    isa: Isa,
    tile: &[Column],
    x: [&[f32]; N],
) -> [[f32; TILE]; N] {
    match isa {
        // SAFETY: `is_available` found the instruction set before `isa` was stored.
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the function needs an instruction set, which has been checked")]
        Isa::Avx512 => unsafe { x86::avx512::<N, PARTS>(tile, x) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the function needs an instruction set, which has been checked")]
        Isa::Avx2 => unsafe { x86::avx2::<N, PARTS>(tile, x) },
        _ => portable(tile, x),
    }
}

/// Plain Rust, in a shape that compilers turn into whatever vectors the target has.
fn portable<const N: usize>(tile: &[Column], x: [&[f32]; N]) -> [[f32; TILE]; N] {
    let mut products = [[0.0; TILE]; N];
    for (component, column) in tile.iter().enumerate() {
        for (products, x) in products.iter_mut().zip(x) {
            for (product, weight) in products.iter_mut().zip(column.0) {
                *product += x[component] * weight;
            }
        }
    }
    products
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vectors are loaded and stored through pointers")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Column, TILE};

    /// The same loop for each register width, since `#[target_feature]` takes a literal. `PARTS` components are summed
    /// apart, which hides the latency of the multiply-add where there is one vector only.
    macro_rules! tile_products {
        ($name:ident, $feature:literal, $lanes:literal, $zero:ident, $set:ident, $load:ident, $fma:ident, $add:ident, $store:ident) => {
            #[target_feature(enable = $feature)]
            pub(super) fn $name<const N: usize, const PARTS: usize>(
                tile: &[Column],
                x: [&[f32]; N],
            ) -> [[f32; TILE]; N] {
                const REGISTERS: usize = TILE / $lanes;
                let x = x.map(|x| &x[..tile.len()]);
                let mut sums = [[[$zero(); REGISTERS]; N]; PARTS];
                let (chunks, rest) = tile.as_chunks::<PARTS>();
                // Loops over constants: they unroll, and the sums stay in registers.
                for (number, columns) in chunks.iter().enumerate() {
                    for part in 0..PARTS {
                        for vector in 0..N {
                            let value = $set(x[vector][number * PARTS + part]);
                            for register in 0..REGISTERS {
                                let weights = columns[part].0.as_chunks::<$lanes>().0[register].as_ptr();
                                // SAFETY: the chunk holds a register's worth of floats.
                                let weights = unsafe { $load(weights) };
                                let sum = sums[part][vector][register];
                                sums[part][vector][register] = $fma(value, weights, sum);
                            }
                        }
                    }
                }
                for (number, column) in rest.iter().enumerate() {
                    for vector in 0..N {
                        let value = $set(x[vector][chunks.len() * PARTS + number]);
                        for register in 0..REGISTERS {
                            let weights = column.0.as_chunks::<$lanes>().0[register].as_ptr();
                            // SAFETY: the chunk holds a register's worth of floats.
                            let weights = unsafe { $load(weights) };
                            sums[0][vector][register] = $fma(value, weights, sums[0][vector][register]);
                        }
                    }
                }
                let mut products = [[0.0; TILE]; N];
                for vector in 0..N {
                    for register in 0..REGISTERS {
                        let mut sum = sums[0][vector][register];
                        for part in 1..PARTS {
                            sum = $add(sum, sums[part][vector][register]);
                        }
                        let place = products[vector].as_chunks_mut::<$lanes>().0[register].as_mut_ptr();
                        // SAFETY: the chunk has room for a register's worth of floats.
                        unsafe { $store(place, sum) };
                    }
                }
                products
            }
        };
    }
    tile_products!(
        avx512,
        "avx512f",
        16,
        _mm512_setzero_ps,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        _mm512_storeu_ps
    );
    tile_products!(
        avx2,
        "avx2,fma",
        8,
        _mm256_setzero_ps,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        _mm256_storeu_ps
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_instruction_set_agrees_with_f64(
            dim in 1usize..70, rows in 1usize..70, vectors in 1usize..10, seed: u64,
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.f32() * 2.0 - 1.0).collect() };
            let (matrix, x) = (random(rows * dim), random(vectors * dim));
            let mut projection = Projection::new(dim, matrix.chunks_exact(dim));
            for isa in Isa::ALL.into_iter().filter(|isa| is_available(*isa)) {
                projection.isa = isa;
                let mut out = vec![f32::NAN; vectors * projection.outputs()];
                projection.apply(&x, &mut out);
                for (x, out) in x.chunks_exact(dim).zip(out.chunks_exact(projection.outputs())) {
                    for (row, product) in matrix.chunks_exact(dim).zip(out) {
                        let exact: f64 = row.iter().zip(x).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                        prop_assert!((exact - f64::from(*product)).abs() < 1e-5 * dim as f64, "{:?}", isa);
                    }
                    prop_assert!(out[rows..].iter().all(|product| *product == 0.0));
                }
            }
        }
    }
}
