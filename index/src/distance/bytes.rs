//! Row kernels over i8, u8 and bits. Sums are exact integers; only the result is rounded to f32.
//!
//! All sums are taken modulo 2³², where addition in any order is exact, so only the total must fit. It does up to
//! [`crate::MAX_DIM`] = 65,536 coordinates: u8 products, and squared differences of either type, are at most
//! 255² · 65,536 = 4,261,478,400 < 2³²; i8 products lie within ±128² · 65,536 = ±2³⁰.

use std::marker::PhantomData;

use super::floats::{Cosine, InnerProduct, L1, L2, cosine_distance};
use super::row::RowKernel;
use super::simd::Simd;

/// What is summed, in at most three sums, and what becomes of the sums. `SIGNED` is true for i8.
pub(super) trait ByteMetric: 'static {
    unsafe fn step<S: Simd, const SIGNED: bool>(sums: [S::Sums; 3], q: S::Bytes, r: S::Bytes)
    -> [S::Sums; 3];
    unsafe fn finish<S: Simd, const SIGNED: bool>(sums: [S::Sums; 3], scale: f32) -> f32;
}

/// `|q − r|` of i8 or u8, which fits an unsigned byte either way.
#[inline(always)]
unsafe fn difference<S: Simd, const SIGNED: bool>(q: S::Bytes, r: S::Bytes) -> S::Bytes {
    // SAFETY: the caller promises the instruction set.
    unsafe { if SIGNED { S::abs_diff(S::flip(q), S::flip(r)) } else { S::abs_diff(q, r) } }
}

/// A dot product from its two sums.
#[inline(always)]
unsafe fn product<S: Simd, const SIGNED: bool>(products: S::Sums, excess: S::Sums) -> f32 {
    // SAFETY: the caller promises the instruction set.
    let total = unsafe { S::total_sums(products).wrapping_sub(S::total_sums(excess)) };
    if SIGNED { total.cast_signed() as f32 } else { total as f32 }
}

impl ByteMetric for L2 {
    #[inline(always)]
    unsafe fn step<S: Simd, const SIGNED: bool>(
        [sum, b, c]: [S::Sums; 3],
        q: S::Bytes,
        r: S::Bytes,
    ) -> [S::Sums; 3] {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::add_squares(sum, difference::<S, SIGNED>(q, r)), b, c] }
    }
    #[inline(always)]
    unsafe fn finish<S: Simd, const SIGNED: bool>([sum, ..]: [S::Sums; 3], _scale: f32) -> f32 {
        // SAFETY: the caller promises the instruction set.
        unsafe { S::total_sums(sum) as f32 }
    }
}

impl ByteMetric for L1 {
    #[inline(always)]
    unsafe fn step<S: Simd, const SIGNED: bool>(
        [sum, b, c]: [S::Sums; 3],
        q: S::Bytes,
        r: S::Bytes,
    ) -> [S::Sums; 3] {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::add_bytes(sum, difference::<S, SIGNED>(q, r)), b, c] }
    }
    #[inline(always)]
    unsafe fn finish<S: Simd, const SIGNED: bool>([sum, ..]: [S::Sums; 3], _scale: f32) -> f32 {
        // SAFETY: the caller promises the instruction set.
        unsafe { S::total_sums(sum) as f32 }
    }
}

impl ByteMetric for InnerProduct {
    #[inline(always)]
    unsafe fn step<S: Simd, const SIGNED: bool>(
        [products, b, excess]: [S::Sums; 3],
        q: S::Bytes,
        r: S::Bytes,
    ) -> [S::Sums; 3] {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::add_products::<SIGNED>(products, q, r), b, S::add_excess::<SIGNED>(excess, r)] }
    }
    #[inline(always)]
    unsafe fn finish<S: Simd, const SIGNED: bool>([products, _, excess]: [S::Sums; 3], _scale: f32) -> f32 {
        // SAFETY: the caller promises the instruction set.
        -unsafe { product::<S, SIGNED>(products, excess) }
    }
}

impl ByteMetric for Cosine {
    #[inline(always)]
    unsafe fn step<S: Simd, const SIGNED: bool>(
        [products, squares, excess]: [S::Sums; 3],
        q: S::Bytes,
        r: S::Bytes,
    ) -> [S::Sums; 3] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            [
                S::add_products::<SIGNED>(products, q, r),
                S::add_products::<SIGNED>(squares, r, r),
                S::add_excess::<SIGNED>(excess, r),
            ]
        }
    }
    #[inline(always)]
    unsafe fn finish<S: Simd, const SIGNED: bool>(
        [products, squares, excess]: [S::Sums; 3],
        scale: f32,
    ) -> f32 {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let dot = product::<S, SIGNED>(products, excess);
            cosine_distance(dot, product::<S, SIGNED>(squares, excess), scale)
        }
    }
}

pub(super) struct Hamming;
impl ByteMetric for Hamming {
    #[inline(always)]
    unsafe fn step<S: Simd, const SIGNED: bool>(
        [sum, b, c]: [S::Sums; 3],
        q: S::Bytes,
        r: S::Bytes,
    ) -> [S::Sums; 3] {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::add_ones(sum, S::xor(q, r)), b, c] }
    }
    #[inline(always)]
    unsafe fn finish<S: Simd, const SIGNED: bool>([sum, ..]: [S::Sums; 3], _scale: f32) -> f32 {
        // SAFETY: the caller promises the instruction set.
        unsafe { S::total_sums(sum) as f32 }
    }
}

/// The kernel of metric `M` over rows of i8 (`SIGNED`), u8 or bits.
pub(super) struct ByteRow<M, const SIGNED: bool>(PhantomData<M>);

impl<S: Simd, M: ByteMetric, const SIGNED: bool> RowKernel<S> for ByteRow<M, SIGNED> {
    type Acc = [S::Sums; 3];
    const STEP: usize = S::BYTES;

    #[inline(always)]
    unsafe fn zero() -> Self::Acc {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::zero_sums(); 3] }
    }
    #[inline(always)]
    unsafe fn step(acc: Self::Acc, query: &[u8], row: &[u8]) -> Self::Acc {
        // SAFETY: the caller promises the instruction set.
        unsafe { M::step::<S, SIGNED>(acc, S::load_bytes(query), S::load_bytes(row)) }
    }
    #[inline(always)]
    unsafe fn tail(acc: Self::Acc, query: &[u8], row: &[u8]) -> Self::Acc {
        // SAFETY: the caller promises the instruction set.
        unsafe { M::step::<S, SIGNED>(acc, S::tail_bytes(query), S::tail_bytes(row)) }
    }
    #[inline(always)]
    unsafe fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::add_sums(a[0], b[0]), S::add_sums(a[1], b[1]), S::add_sums(a[2], b[2])] }
    }
    #[inline(always)]
    unsafe fn finish(acc: Self::Acc, scale: f32) -> f32 {
        // SAFETY: the caller promises the instruction set.
        unsafe { M::finish::<S, SIGNED>(acc, scale) }
    }
}
