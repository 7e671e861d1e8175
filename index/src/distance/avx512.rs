//! AVX-512 with VNNI and VPOPCNTDQ: Ice Lake, Zen 4 and what came after them.

#![expect(
    unsafe_code,
    reason = "vectors are loaded through pointers; methods run where the instruction set is"
)]

use std::arch::x86_64::*;

use super::row::{self, RowKernel};
use super::simd::{Simd, compiled_forms};

/// 512-bit vectors.
pub(super) struct Avx512;

impl Avx512 {
    pub(super) fn available() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx512vpopcntdq")
    }
}

/// The lowest `n` bits, for loads of less than a vector.
#[inline(always)]
fn low_bits(n: usize) -> u64 {
    debug_assert!(n < 64);
    (1 << n) - 1
}

impl Simd for Avx512 {
    type Floats = __m512;
    type Bytes = __m512i;
    type Sums = __m512i;
    const LANES: usize = 16;
    const BYTES: usize = 64;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_f32(bytes: &[u8]) -> __m512 {
        assert!(bytes.len() >= 64);
        // SAFETY: 64 bytes are there; the load asks for no alignment.
        unsafe { _mm512_loadu_ps(bytes.as_ptr().cast()) }
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_f16(bytes: &[u8]) -> __m512 {
        assert!(bytes.len() >= 32);
        // SAFETY: 32 bytes are there; the load asks for no alignment.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_bf16(bytes: &[u8]) -> __m512 {
        assert!(bytes.len() >= 32);
        // SAFETY: 32 bytes are there; the load asks for no alignment.
        widen_bf16(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn tail_f32(tail: &[u8]) -> __m512 {
        let lanes = low_bits(tail.len().min(60) / 4) as __mmask16;
        // SAFETY: the mask lets the load touch only the floats that lie within `tail`.
        unsafe { _mm512_maskz_loadu_ps(lanes, tail.as_ptr().cast()) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn tail_f16(tail: &[u8]) -> __m512 {
        _mm512_cvtph_ps(tail_of_halves(tail))
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn tail_bf16(tail: &[u8]) -> __m512 {
        widen_bf16(tail_of_halves(tail))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn zero() -> __m512 {
        _mm512_setzero_ps()
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        _mm512_sub_ps(a, b)
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn abs(a: __m512) -> __m512 {
        _mm512_abs_ps(a)
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn mul_add(a: __m512, b: __m512, sum: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, sum)
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn total(a: __m512) -> f32 {
        _mm512_reduce_add_ps(a)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_bytes(bytes: &[u8]) -> __m512i {
        assert!(bytes.len() >= 64);
        // SAFETY: 64 bytes are there; the load asks for no alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn tail_bytes(tail: &[u8]) -> __m512i {
        // SAFETY: the mask lets the load touch only what lies within `tail`.
        unsafe { _mm512_maskz_loadu_epi8(low_bits(tail.len().min(63)), tail.as_ptr().cast()) }
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn flip(a: __m512i) -> __m512i {
        _mm512_xor_si512(a, _mm512_set1_epi8(i8::MIN))
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn abs_diff(a: __m512i, b: __m512i) -> __m512i {
        _mm512_or_si512(_mm512_subs_epu8(a, b), _mm512_subs_epu8(b, a))
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn xor(a: __m512i, b: __m512i) -> __m512i {
        _mm512_xor_si512(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn zero_sums() -> __m512i {
        _mm512_setzero_si512()
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add_sums(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn add_bytes(sums: __m512i, a: __m512i) -> __m512i {
        _mm512_add_epi32(sums, _mm512_sad_epu8(a, _mm512_setzero_si512()))
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn add_squares(sums: __m512i, a: __m512i) -> __m512i {
        let low = _mm512_unpacklo_epi8(a, _mm512_setzero_si512());
        let high = _mm512_unpackhi_epi8(a, _mm512_setzero_si512());
        _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(sums, low, low), high, high)
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    unsafe fn add_ones(sums: __m512i, a: __m512i) -> __m512i {
        _mm512_add_epi32(sums, _mm512_popcnt_epi64(a))
    }
    /// VNNI multiplies unsigned by signed bytes. The operand of the wrong sign has its top bit flipped, which moves it
    /// by 128, so that the sum is too high by 128 · Σ r (i8) or too low by as much (u8).
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn add_products<const SIGNED: bool>(sums: __m512i, q: __m512i, r: __m512i) -> __m512i {
        let flipped = _mm512_xor_si512(q, _mm512_set1_epi8(i8::MIN));
        if SIGNED { _mm512_dpbusd_epi32(sums, flipped, r) } else { _mm512_dpbusd_epi32(sums, r, flipped) }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn add_excess<const SIGNED: bool>(sums: __m512i, r: __m512i) -> __m512i {
        // The byte 0x80 is +128 as the unsigned operand and −128 as the signed one.
        let by_128 = _mm512_set1_epi8(i8::MIN);
        if SIGNED { _mm512_dpbusd_epi32(sums, by_128, r) } else { _mm512_dpbusd_epi32(sums, r, by_128) }
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn total_sums(a: __m512i) -> u32 {
        _mm512_reduce_add_epi32(a).cast_unsigned()
    }

    #[inline(always)]
    fn prefetch(line: &[u8]) {
        // SAFETY: a prefetch reads nothing and faults on nothing; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) }
    }

    compiled_forms!("avx512f,avx512bw,avx512vl,avx512vnni,avx512vpopcntdq");
}

#[inline]
#[target_feature(enable = "avx512f")]
fn widen_bf16(halves: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn tail_of_halves(tail: &[u8]) -> __m256i {
    let lanes = low_bits(tail.len().min(30) / 2) as __mmask16;
    // SAFETY: the mask lets the load touch only the halves that lie within `tail`.
    unsafe { _mm256_maskz_loadu_epi16(lanes, tail.as_ptr().cast()) }
}
