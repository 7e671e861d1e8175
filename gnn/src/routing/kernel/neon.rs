//! NEON, which every 64-bit Arm has: bytes are multiplied to 16 bits.

#![expect(unsafe_code, reason = "vectors are loaded through pointers")]

use std::arch::aarch64::*;

use super::{Planes, Terms, bias, chunks};

/// Estimates for keys of `CHUNKS`·32 bytes; `SHORT` where the integers have one byte.
#[target_feature(enable = "neon")]
pub(super) fn estimates<const CHUNKS: usize, const SHORT: bool>(
    planes: &Planes,
    terms: &Terms,
    keys: &[&[u8]],
    out: &mut [f32],
) {
    for (key, out) in keys.iter().zip(out) {
        let chunks = chunks::<CHUNKS>(key);
        *out = terms.estimate(bias(chunks), sum::<CHUNKS, SHORT>(planes, chunks));
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn sum<const CHUNKS: usize, const SHORT: bool>(planes: &Planes, chunks: &[[u8; 32]; CHUNKS]) -> i32 {
    // A lane of 16 bits adds two products of at most 3·127 for each of 4 planes and at most 8 halves of chunks: 24,384.
    let (mut low, mut high) = (vdupq_n_s16(0), vdupq_n_s16(0));
    for (at, half) in chunks.as_flattened().as_chunks::<16>().0.iter().enumerate() {
        // SAFETY: the array has 16 bytes; the load asks for no alignment.
        let mut slots = unsafe { vld1q_u8(half.as_ptr()) };
        for plane in 0..4 {
            let levels = vreinterpretq_s8_u8(vandq_u8(slots, vdupq_n_u8(3)));
            low = add_products(low, levels, &planes.low[plane].0.as_chunks::<16>().0[at]);
            if !SHORT {
                high = add_products(high, levels, &planes.high[plane].0.as_chunks::<16>().0[at]);
            }
            slots = vshrq_n_u8::<2>(slots);
        }
    }
    vaddlvq_s16(low) + 128 * vaddlvq_s16(high)
}

#[inline]
#[target_feature(enable = "neon")]
fn add_products(sums: int16x8_t, levels: int8x16_t, query: &[i8; 16]) -> int16x8_t {
    // SAFETY: the array has 16 bytes; the load asks for no alignment.
    let query = unsafe { vld1q_s8(query.as_ptr()) };
    vmlal_high_s8(vmlal_s8(sums, vget_low_s8(levels), vget_low_s8(query)), levels, query)
}
