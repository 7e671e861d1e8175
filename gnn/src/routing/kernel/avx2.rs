//! AVX2: bytes are multiplied to 16 bits and added in pairs.

#![expect(unsafe_code, reason = "vectors are loaded and stored through pointers")]

use std::arch::x86_64::*;

use super::{GROUP, Planes, Terms, bias, chunks};

/// Estimates for keys of `CHUNKS`·32 bytes; `SHORT` where the integers have one byte.
#[target_feature(enable = "avx2")]
pub(super) fn estimates<const CHUNKS: usize, const SHORT: bool>(
    planes: &Planes,
    terms: &Terms,
    keys: &[&[u8]],
    out: &mut [f32],
) {
    for (keys, out) in keys.chunks(GROUP).zip(out.chunks_mut(GROUP)) {
        let keys = group::<CHUNKS>(keys);
        let sum = |at: usize| lanes::<CHUNKS, SHORT>(planes, keys[at]);
        let totals = totals([sum(0), sum(1), sum(2), sum(3), sum(4), sum(5), sum(6), sum(7)]);
        finish(totals, keys, terms, out);
    }
}

/// The chunks of one to eight keys; those of the last one stand for those that are missing.
#[inline(always)]
pub(super) fn group<'k, const CHUNKS: usize>(keys: &[&'k [u8]]) -> [&'k [[u8; 32]; CHUNKS]; GROUP] {
    let key = |at: usize| chunks(keys[at.min(keys.len() - 1)]);
    [key(0), key(1), key(2), key(3), key(4), key(5), key(6), key(7)]
}

/// From scores and keys to estimates, of which as many are stored as there is room for, eight at most.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn finish<const CHUNKS: usize>(
    scores: __m256i,
    keys: [&[[u8; 32]; CHUNKS]; GROUP],
    terms: &Terms,
    out: &mut [f32],
) {
    let bias = |at: usize| bias(keys[at]);
    let biases = [bias(0), bias(1), bias(2), bias(3), bias(4), bias(5), bias(6), bias(7)];
    // SAFETY: the array has 16 bytes; the load asks for no alignment.
    let biases = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(biases.as_ptr().cast()) });
    let all = |x: f32| _mm256_set1_ps(x);
    let biases = _mm256_mul_ps(all(terms.bias_step), _mm256_cvtepi32_ps(biases));
    let scores = _mm256_mul_ps(all(terms.scale), _mm256_cvtepi32_ps(scores));
    let estimates = _mm256_add_ps(_mm256_add_ps(all(terms.base), biases), scores);
    if let Some(out) = out.first_chunk_mut::<GROUP>() {
        // SAFETY: the array has 32 bytes; the store asks for no alignment.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), estimates) };
        return;
    }
    let mut eight = [0.0; GROUP];
    // SAFETY: as above.
    unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), estimates) };
    out.copy_from_slice(&eight[..out.len()]);
}

/// Eight parts of the score of one key.
#[inline]
#[target_feature(enable = "avx2")]
fn lanes<const CHUNKS: usize, const SHORT: bool>(planes: &Planes, key: &[[u8; 32]; CHUNKS]) -> __m256i {
    // A lane of 16 bits adds two products of at most 3·127 for each of 4 planes and at most 4 chunks: 12,192.
    let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (at, chunk) in key.iter().enumerate() {
        let mut slots = load(chunk);
        for plane in 0..4 {
            let levels = _mm256_and_si256(slots, _mm256_set1_epi8(3));
            let query = |plane: &[i8; 128]| load(&plane.as_chunks::<32>().0[at]);
            low = _mm256_add_epi16(low, _mm256_maddubs_epi16(levels, query(&planes.low[plane].0)));
            if !SHORT {
                high = _mm256_add_epi16(high, _mm256_maddubs_epi16(levels, query(&planes.high[plane].0)));
            }
            slots = _mm256_srli_epi16::<2>(slots);
        }
    }
    let low = _mm256_madd_epi16(low, _mm256_set1_epi16(1));
    _mm256_add_epi32(low, _mm256_madd_epi16(high, _mm256_set1_epi16(128)))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load<T>(bytes: &[T; 32]) -> __m256i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: the array has 32 bytes; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// The sum of the lanes of each of eight vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn totals(parts: [__m256i; GROUP]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = parts;
    let left = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let right = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    let lower = _mm256_permute2x128_si256::<0x20>(left, right);
    _mm256_add_epi32(lower, _mm256_permute2x128_si256::<0x31>(left, right))
}
