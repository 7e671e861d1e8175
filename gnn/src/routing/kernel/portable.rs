//! Plain Rust, in a shape that compilers turn into whatever vectors the target has.

use super::{GROUP, Planes, chunks};

/// Scores keys of `CHUNKS`·32 bytes; `SHORT` where the integers have one byte.
pub(super) fn sums<const CHUNKS: usize, const SHORT: bool>(
    planes: &Planes,
    keys: &[&[u8]],
    out: &mut [[i32; GROUP]],
) {
    for (key, out) in keys.iter().zip(out.as_flattened_mut()) {
        let key = chunks::<CHUNKS>(key).as_flattened();
        *out = 0;
        for (number, (low, high)) in planes.low.iter().zip(&planes.high).enumerate() {
            let bytes = key.iter().zip(low.0.iter().zip(&high.0));
            *out += bytes
                .map(|(byte, (low, high))| {
                    let high = if SHORT { 0 } else { i32::from(*high) };
                    i32::from(byte >> (2 * number) & 3) * (128 * high + i32::from(*low))
                })
                .sum::<i32>();
        }
    }
}
