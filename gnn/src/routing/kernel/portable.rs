//! Plain Rust, in a shape that compilers turn into whatever vectors the target has.

use super::{Planes, Terms, bias, chunks};

/// Estimates for keys of `CHUNKS`·32 bytes; `SHORT` where the integers have one byte.
pub(super) fn estimates<const CHUNKS: usize, const SHORT: bool>(
    planes: &Planes,
    terms: &Terms,
    keys: &[&[u8]],
    out: &mut [f32],
) {
    for (key, out) in keys.iter().zip(out) {
        let chunks = chunks::<CHUNKS>(key);
        let mut score = 0;
        for (number, (low, high)) in planes.low.iter().zip(&planes.high).enumerate() {
            let bytes = chunks.as_flattened().iter().zip(low.0.iter().zip(&high.0));
            score += bytes
                .map(|(byte, (low, high))| {
                    let high = if SHORT { 0 } else { i32::from(*high) };
                    i32::from(byte >> (2 * number) & 3) * (128 * high + i32::from(*low))
                })
                .sum::<i32>();
        }
        *out = terms.estimate(bias(chunks), score);
    }
}
