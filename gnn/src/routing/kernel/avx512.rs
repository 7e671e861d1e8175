//! AVX-512 with VNNI: four products of bytes are added to 32 bits in one instruction.

#![expect(unsafe_code, reason = "vectors are loaded through pointers")]

use std::arch::x86_64::*;

use super::avx2::{finish, group, load};
use super::{GROUP, Planes, Terms};

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx2")
}

/// Estimates for keys of `CHUNKS`·32 bytes; `SHORT` where the integers have one byte.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
pub(super) fn estimates<const CHUNKS: usize, const SHORT: bool>(
    planes: &Planes,
    terms: &Terms,
    keys: &[&[u8]],
    out: &mut [f32],
) {
    for (keys, out) in keys.chunks(GROUP).zip(out.chunks_mut(GROUP)) {
        let keys = group::<CHUNKS>(keys);
        let scores = if CHUNKS == 1 {
            let pair = |at: usize| {
                let (one, other) = (load(&keys[at][0]), load(&keys[at + 1][0]));
                let slots = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(one), other);
                products::<SHORT>(slots, planes, |plane| _mm512_broadcast_i64x4(chunk(plane, 0)))
            };
            totals_of_pairs([pair(0), pair(2), pair(4), pair(6)])
        } else {
            let sum = |at: usize| whole_key::<CHUNKS, SHORT>(planes, keys[at]);
            totals([sum(0), sum(1), sum(2), sum(3), sum(4), sum(5), sum(6), sum(7)])
        };
        finish(scores, keys, terms, out);
    }
}

/// Parts of the score of a key of two chunks or more: 64 bytes at a time, and 32 where they are left.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
fn whole_key<const CHUNKS: usize, const SHORT: bool>(planes: &Planes, key: &[[u8; 32]; CHUNKS]) -> __m512i {
    let mut sums = _mm512_setzero_si512();
    let (pairs, rest) = key.as_chunks::<2>();
    for (at, pair) in pairs.iter().enumerate() {
        let slots = load_64(pair.as_flattened());
        let query = |plane: &[i8; 128]| load_64(&plane.as_chunks::<64>().0[at]);
        sums = _mm512_add_epi32(sums, products::<SHORT>(slots, planes, query));
    }
    if let [last] = rest {
        let slots = _mm512_zextsi256_si512(load(last));
        let query = |plane: &[i8; 128]| _mm512_zextsi256_si512(chunk(plane, CHUNKS - 1));
        sums = _mm512_add_epi32(sums, products::<SHORT>(slots, planes, query));
    }
    sums
}

/// The products of the slots in 64 bytes with what they meet of each plane of the query, four added to each lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
fn products<const SHORT: bool>(
    mut slots: __m512i,
    planes: &Planes,
    query: impl Fn(&[i8; 128]) -> __m512i,
) -> __m512i {
    let (mut low, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for plane in 0..4 {
        let levels = _mm512_and_si512(slots, _mm512_set1_epi8(3));
        low = _mm512_dpbusd_epi32(low, levels, query(&planes.low[plane].0));
        if !SHORT {
            high = _mm512_dpbusd_epi32(high, levels, query(&planes.high[plane].0));
        }
        slots = _mm512_srli_epi16::<2>(slots);
    }
    if SHORT { low } else { _mm512_add_epi32(low, _mm512_slli_epi32::<7>(high)) }
}

/// The sums of the lanes of eight vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
fn totals([a, b, c, d, e, f, g, h]: [__m512i; GROUP]) -> __m256i {
    let (left, right) = (quarters([a, b, c, d]), quarters([e, f, g, h]));
    let lower = _mm512_shuffle_i64x2::<0b01_00_01_00>(left, right);
    let halves = _mm512_add_epi32(lower, _mm512_shuffle_i64x2::<0b11_10_11_10>(left, right));
    let totals = _mm512_add_epi32(halves, _mm512_shuffle_i64x2::<0b10_11_00_01>(halves, halves));
    _mm512_castsi512_si256(_mm512_shuffle_i64x2::<0b10_00>(totals, totals))
}

/// The sums of the lower and of the upper lanes of four vectors, in turns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
fn totals_of_pairs(pairs: [__m512i; GROUP / 2]) -> __m256i {
    let quarters = quarters(pairs);
    let halves = _mm512_add_epi32(quarters, _mm512_shuffle_i64x2::<0b10_11_00_01>(quarters, quarters));
    let (even, odd) = (_mm512_castsi512_si128(halves), _mm512_extracti32x4_epi32::<2>(halves));
    _mm256_set_m128i(_mm_unpackhi_epi32(even, odd), _mm_unpacklo_epi32(even, odd))
}

/// In each quarter, the sums of the lanes of that quarter of each of four vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
fn quarters([a, b, c, d]: [__m512i; 4]) -> __m512i {
    let left = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let right = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    _mm512_add_epi32(_mm512_unpacklo_epi64(left, right), _mm512_unpackhi_epi64(left, right))
}

/// A chunk of a plane.
#[inline]
#[target_feature(enable = "avx2")]
fn chunk(plane: &[i8; 128], at: usize) -> __m256i {
    load(&plane.as_chunks::<32>().0[at])
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_64<T>(bytes: &[T]) -> __m512i {
    const { assert!(size_of::<T>() == 1) };
    assert!(bytes.len() >= 64);
    // SAFETY: 64 bytes are there; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}
