//! Row kernels over f32, f16 and bf16. Half precision is widened to f32 as it is loaded and summed in f32.

use std::marker::PhantomData;

use super::row::RowKernel;
use super::simd::Simd;

/// How coordinates are read from a row.
pub(super) trait FloatElement: 'static {
    /// Bytes of one coordinate.
    const WIDTH: usize;
    unsafe fn load<S: Simd>(bytes: &[u8]) -> S::Floats;
    unsafe fn tail<S: Simd>(bytes: &[u8]) -> S::Floats;
}

macro_rules! float_element {
    ($name:ident, $width:literal, $load:ident, $tail:ident) => {
        pub(super) struct $name;
        impl FloatElement for $name {
            const WIDTH: usize = $width;
            #[inline(always)]
            unsafe fn load<S: Simd>(bytes: &[u8]) -> S::Floats {
                // SAFETY: the caller's promise is the callee's.
                unsafe { S::$load(bytes) }
            }
            #[inline(always)]
            unsafe fn tail<S: Simd>(bytes: &[u8]) -> S::Floats {
                // SAFETY: the caller's promise is the callee's.
                unsafe { S::$tail(bytes) }
            }
        }
    };
}
float_element!(F32, 4, load_f32, tail_f32);
float_element!(F16, 2, load_f16, tail_f16);
float_element!(BF16, 2, load_bf16, tail_bf16);

/// What is summed, in at most two sums, and what becomes of the sums.
pub(super) trait FloatMetric: 'static {
    unsafe fn step<S: Simd>(sums: [S::Floats; 2], q: S::Floats, r: S::Floats) -> [S::Floats; 2];
    unsafe fn finish<S: Simd>(sums: [S::Floats; 2], scale: f32) -> f32;
}

pub(super) struct L2;
impl FloatMetric for L2 {
    #[inline(always)]
    unsafe fn step<S: Simd>([sum, unused]: [S::Floats; 2], q: S::Floats, r: S::Floats) -> [S::Floats; 2] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let difference = S::sub(q, r);
            [S::mul_add(difference, difference, sum), unused]
        }
    }
    #[inline(always)]
    unsafe fn finish<S: Simd>([sum, _]: [S::Floats; 2], _scale: f32) -> f32 {
        // SAFETY: the caller promises the instruction set.
        unsafe { S::total(sum) }
    }
}

pub(super) struct L1;
impl FloatMetric for L1 {
    #[inline(always)]
    unsafe fn step<S: Simd>([sum, unused]: [S::Floats; 2], q: S::Floats, r: S::Floats) -> [S::Floats; 2] {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::add(sum, S::abs(S::sub(q, r))), unused] }
    }
    #[inline(always)]
    unsafe fn finish<S: Simd>([sum, _]: [S::Floats; 2], _scale: f32) -> f32 {
        // SAFETY: the caller promises the instruction set.
        unsafe { S::total(sum) }
    }
}

pub(super) struct InnerProduct;
impl FloatMetric for InnerProduct {
    #[inline(always)]
    unsafe fn step<S: Simd>([sum, unused]: [S::Floats; 2], q: S::Floats, r: S::Floats) -> [S::Floats; 2] {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::mul_add(q, r, sum), unused] }
    }
    #[inline(always)]
    unsafe fn finish<S: Simd>([sum, _]: [S::Floats; 2], _scale: f32) -> f32 {
        // SAFETY: the caller promises the instruction set.
        -unsafe { S::total(sum) }
    }
}

pub(super) struct Cosine;
impl FloatMetric for Cosine {
    #[inline(always)]
    unsafe fn step<S: Simd>([dot, square]: [S::Floats; 2], q: S::Floats, r: S::Floats) -> [S::Floats; 2] {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::mul_add(q, r, dot), S::mul_add(r, r, square)] }
    }
    #[inline(always)]
    unsafe fn finish<S: Simd>([dot, square]: [S::Floats; 2], scale: f32) -> f32 {
        // SAFETY: the caller promises the instruction set.
        unsafe { cosine_distance(S::total(dot), S::total(square), scale) }
    }
}

/// `1 − dot · scale / √square`. A zero row is at right angles to everything.
#[inline(always)]
pub(super) fn cosine_distance(dot: f32, square: f32, scale: f32) -> f32 {
    if square > 0.0 { 1.0 - dot * scale / square.sqrt() } else { 1.0 }
}

/// The kernel of metric `M` over rows of `E`.
pub(super) struct FloatRow<E, M>(PhantomData<(E, M)>);

impl<S: Simd, E: FloatElement, M: FloatMetric> RowKernel<S> for FloatRow<E, M> {
    type Acc = [S::Floats; 2];
    const STEP: usize = S::LANES * E::WIDTH;

    #[inline(always)]
    unsafe fn zero() -> Self::Acc {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::zero(); 2] }
    }
    #[inline(always)]
    unsafe fn step(acc: Self::Acc, query: &[u8], row: &[u8]) -> Self::Acc {
        // SAFETY: the caller promises the instruction set.
        unsafe { M::step::<S>(acc, E::load::<S>(query), E::load::<S>(row)) }
    }
    #[inline(always)]
    unsafe fn tail(acc: Self::Acc, query: &[u8], row: &[u8]) -> Self::Acc {
        // SAFETY: the caller promises the instruction set.
        unsafe { M::step::<S>(acc, E::tail::<S>(query), E::tail::<S>(row)) }
    }
    #[inline(always)]
    unsafe fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc {
        // SAFETY: the caller promises the instruction set.
        unsafe { [S::add(a[0], b[0]), S::add(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn finish(acc: Self::Acc, scale: f32) -> f32 {
        // SAFETY: the caller promises the instruction set.
        unsafe { M::finish::<S>(acc, scale) }
    }
}
