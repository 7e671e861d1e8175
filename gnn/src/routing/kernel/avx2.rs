//! AVX2: bytes are multiplied to 16 bits and added in pairs.

#![expect(unsafe_code, reason = "vectors are loaded and stored through pointers")]

use std::arch::x86_64::*;

use super::{GROUP, Planes, chunks};

/// Scores keys of `CHUNKS`·32 bytes; `SHORT` where the integers have one byte.
#[target_feature(enable = "avx2")]
pub(super) fn sums<const CHUNKS: usize, const SHORT: bool>(
    planes: &Planes,
    keys: &[&[u8]],
    out: &mut [[i32; GROUP]],
) {
    for (keys, out) in keys.chunks(GROUP).zip(out) {
        let key = |at: usize| lanes::<CHUNKS, SHORT>(planes, keys[at.min(keys.len() - 1)]);
        *out = totals([key(0), key(1), key(2), key(3), key(4), key(5), key(6), key(7)]);
    }
}

/// Eight parts of the score of one key.
#[inline]
#[target_feature(enable = "avx2")]
fn lanes<const CHUNKS: usize, const SHORT: bool>(planes: &Planes, key: &[u8]) -> __m256i {
    // A lane of 16 bits adds two products of at most 3·127 for each of 4 planes and at most 4 chunks: 12,192.
    let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (at, chunk) in chunks::<CHUNKS>(key).iter().enumerate() {
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
pub(super) fn totals(parts: [__m256i; GROUP]) -> [i32; GROUP] {
    let [a, b, c, d, e, f, g, h] = parts;
    let left = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let right = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    let lower = _mm256_permute2x128_si256::<0x20>(left, right);
    let totals = _mm256_add_epi32(lower, _mm256_permute2x128_si256::<0x31>(left, right));
    let mut out = [0; GROUP];
    // SAFETY: the array has 32 bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), totals) };
    out
}
