//! AVX-512 with VNNI: four products of bytes are added to 32 bits in one instruction.

#![expect(unsafe_code, reason = "vectors are loaded through pointers")]

use std::arch::x86_64::*;

use super::avx2::{load, totals};
use super::{GROUP, Planes, chunks};

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx2")
}

/// Scores keys of `CHUNKS`·32 bytes; `SHORT` where the integers have one byte.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
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

/// Eight parts of the score of one key: 64 bytes at a time, and 32 where they are left.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
fn lanes<const CHUNKS: usize, const SHORT: bool>(planes: &Planes, key: &[u8]) -> __m256i {
    let chunks = chunks::<CHUNKS>(key);
    let mut parts = _mm256_setzero_si256();
    if CHUNKS >= 2 {
        let (mut low, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for (at, pair) in chunks.as_chunks::<2>().0.iter().enumerate() {
            let mut slots = load_64(pair.as_flattened());
            for plane in 0..4 {
                let levels = _mm512_and_si512(slots, _mm512_set1_epi8(3));
                let query = |plane: &[i8; 128]| load_64(&plane.as_chunks::<64>().0[at]);
                low = _mm512_dpbusd_epi32(low, levels, query(&planes.low[plane].0));
                if !SHORT {
                    high = _mm512_dpbusd_epi32(high, levels, query(&planes.high[plane].0));
                }
                slots = _mm512_srli_epi16::<2>(slots);
            }
        }
        let sums = _mm512_add_epi32(low, _mm512_slli_epi32::<7>(high));
        parts = _mm256_add_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums));
    }
    if CHUNKS % 2 == 1 {
        let (mut low, mut high) = (parts, _mm256_setzero_si256());
        let mut slots = load(&chunks[CHUNKS - 1]);
        for plane in 0..4 {
            let levels = _mm256_and_si256(slots, _mm256_set1_epi8(3));
            let query = |plane: &[i8; 128]| load(&plane.as_chunks::<32>().0[CHUNKS - 1]);
            low = _mm256_dpbusd_epi32(low, levels, query(&planes.low[plane].0));
            if !SHORT {
                high = _mm256_dpbusd_epi32(high, levels, query(&planes.high[plane].0));
            }
            slots = _mm256_srli_epi16::<2>(slots);
        }
        parts = _mm256_add_epi32(low, _mm256_slli_epi32::<7>(high));
    }
    parts
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_64<T>(bytes: &[T]) -> __m512i {
    const { assert!(size_of::<T>() == 1) };
    assert!(bytes.len() >= 64);
    // SAFETY: 64 bytes are there; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}
