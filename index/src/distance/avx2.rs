//! AVX2 with FMA and F16C: Haswell, Zen and what came after them.

#![expect(
    unsafe_code,
    reason = "vectors are loaded through pointers; methods run where the instruction set is"
)]

use std::arch::x86_64::*;

use super::row::{self, RowKernel};
use super::simd::{Simd, compiled_forms};

/// 256-bit vectors.
pub(super) struct Avx2;

impl Avx2 {
    pub(super) fn available() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
    }
}

impl Simd for Avx2 {
    type Floats = __m256;
    type Bytes = __m256i;
    type Sums = __m256i;
    const LANES: usize = 8;
    const BYTES: usize = 32;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_f32(bytes: &[u8]) -> __m256 {
        assert!(bytes.len() >= 32);
        // SAFETY: 32 bytes are there; the load asks for no alignment.
        unsafe { _mm256_loadu_ps(bytes.as_ptr().cast()) }
    }
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load_f16(bytes: &[u8]) -> __m256 {
        assert!(bytes.len() >= 16);
        // SAFETY: 16 bytes are there; the load asks for no alignment.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_bf16(bytes: &[u8]) -> __m256 {
        assert!(bytes.len() >= 16);
        // SAFETY: 16 bytes are there; the load asks for no alignment.
        let halves = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn zero() -> __m256 {
        _mm256_setzero_ps()
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        _mm256_sub_ps(a, b)
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn abs(a: __m256) -> __m256 {
        _mm256_andnot_ps(_mm256_set1_ps(-0.0), a)
    }
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn mul_add(a: __m256, b: __m256, sum: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, sum)
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn total(a: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_bytes(bytes: &[u8]) -> __m256i {
        assert!(bytes.len() >= 32);
        // SAFETY: 32 bytes are there; the load asks for no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn flip(a: __m256i) -> __m256i {
        _mm256_xor_si256(a, _mm256_set1_epi8(i8::MIN))
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn abs_diff(a: __m256i, b: __m256i) -> __m256i {
        _mm256_or_si256(_mm256_subs_epu8(a, b), _mm256_subs_epu8(b, a))
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn xor(a: __m256i, b: __m256i) -> __m256i {
        _mm256_xor_si256(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn zero_sums() -> __m256i {
        _mm256_setzero_si256()
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_sums(a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(a, b)
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_bytes(sums: __m256i, a: __m256i) -> __m256i {
        _mm256_add_epi32(sums, _mm256_sad_epu8(a, _mm256_setzero_si256()))
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_squares(sums: __m256i, a: __m256i) -> __m256i {
        add_wide_products::<false>(sums, a, a)
    }
    /// The number of ones of each half byte from a table of sixteen (Muła, Kurz & Lemire 2016).
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_ones(sums: __m256i, a: __m256i) -> __m256i {
        let ones = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
        let (ones, nibble) = (_mm256_broadcastsi128_si256(ones), _mm256_set1_epi8(15));
        let low = _mm256_shuffle_epi8(ones, _mm256_and_si256(a, nibble));
        let high = _mm256_shuffle_epi8(ones, _mm256_and_si256(_mm256_srli_epi16::<4>(a), nibble));
        let counts = _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
        _mm256_add_epi32(sums, counts)
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_products<const SIGNED: bool>(sums: __m256i, q: __m256i, r: __m256i) -> __m256i {
        add_wide_products::<SIGNED>(sums, q, r)
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_excess<const SIGNED: bool>(sums: __m256i, _r: __m256i) -> __m256i {
        sums
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn total_sums(a: __m256i) -> u32 {
        let four = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
        let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two))).cast_unsigned()
    }

    #[inline(always)]
    fn prefetch(line: &[u8]) {
        // SAFETY: a prefetch reads nothing and faults on nothing; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) }
    }

    compiled_forms!("avx2,fma,f16c");
}

/// Widens bytes to 16 bits, where two products and their sum fit 32 bits, and adds the products.
#[inline]
#[target_feature(enable = "avx2")]
fn add_wide_products<const SIGNED: bool>(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
    let zero = _mm256_setzero_si256();
    let upper = |x| if SIGNED { _mm256_cmpgt_epi8(zero, x) } else { zero };
    let (a_upper, b_upper) = (upper(a), upper(b));
    let low = _mm256_madd_epi16(_mm256_unpacklo_epi8(a, a_upper), _mm256_unpacklo_epi8(b, b_upper));
    let high = _mm256_madd_epi16(_mm256_unpackhi_epi8(a, a_upper), _mm256_unpackhi_epi8(b, b_upper));
    _mm256_add_epi32(sums, _mm256_add_epi32(low, high))
}
