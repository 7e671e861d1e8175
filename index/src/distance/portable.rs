//! Plain Rust, in a shape that compilers turn into whatever vectors the target has.

use std::array::from_fn;

use super::row::{self, RowKernel};
use super::simd::{Simd, compiled_forms};

const LANES: usize = 8;

/// No instruction set beyond the target's own.
pub(super) struct Portable;

/// The value of an f16 that is neither infinite nor NaN. Moving the exponent and scaling by 2¹¹² is exact, for
/// subnormals too.
#[inline(always)]
fn widen_f16(half: u16) -> f32 {
    let half = u32::from(half);
    let magnitude = f32::from_bits((half & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | (half & 0x8000) << 16)
}

#[inline(always)]
fn read<const WIDTH: usize>(bytes: &[u8], lane: usize) -> [u8; WIDTH] {
    from_fn(|byte| bytes[lane * WIDTH + byte])
}

impl Simd for Portable {
    type Floats = [f32; LANES];
    type Bytes = [u8; LANES];
    type Sums = [u32; LANES];
    const LANES: usize = LANES;
    const BYTES: usize = LANES;

    #[inline(always)]
    unsafe fn load_f32(bytes: &[u8]) -> [f32; LANES] {
        let bytes = &bytes[..4 * LANES];
        from_fn(|lane| f32::from_le_bytes(read(bytes, lane)))
    }
    #[inline(always)]
    unsafe fn load_f16(bytes: &[u8]) -> [f32; LANES] {
        let bytes = &bytes[..2 * LANES];
        from_fn(|lane| widen_f16(u16::from_le_bytes(read(bytes, lane))))
    }
    #[inline(always)]
    unsafe fn load_bf16(bytes: &[u8]) -> [f32; LANES] {
        let bytes = &bytes[..2 * LANES];
        from_fn(|lane| f32::from_bits(u32::from(u16::from_le_bytes(read(bytes, lane))) << 16))
    }

    #[inline(always)]
    unsafe fn zero() -> [f32; LANES] {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn add(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn abs(a: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| a[i].abs())
    }
    #[inline(always)]
    unsafe fn mul_add(a: [f32; LANES], b: [f32; LANES], sum: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| a[i] * b[i] + sum[i])
    }
    #[inline(always)]
    unsafe fn total(a: [f32; LANES]) -> f32 {
        a.iter().sum()
    }

    #[inline(always)]
    unsafe fn load_bytes(bytes: &[u8]) -> [u8; LANES] {
        from_fn(|i| bytes[i])
    }
    #[inline(always)]
    unsafe fn flip(a: [u8; LANES]) -> [u8; LANES] {
        a.map(|byte| byte ^ 0x80)
    }
    #[inline(always)]
    unsafe fn abs_diff(a: [u8; LANES], b: [u8; LANES]) -> [u8; LANES] {
        from_fn(|i| a[i].abs_diff(b[i]))
    }
    #[inline(always)]
    unsafe fn xor(a: [u8; LANES], b: [u8; LANES]) -> [u8; LANES] {
        from_fn(|i| a[i] ^ b[i])
    }

    #[inline(always)]
    unsafe fn zero_sums() -> [u32; LANES] {
        [0; LANES]
    }
    #[inline(always)]
    unsafe fn add_sums(a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    unsafe fn add_bytes(sums: [u32; LANES], a: [u8; LANES]) -> [u32; LANES] {
        from_fn(|i| sums[i].wrapping_add(u32::from(a[i])))
    }
    #[inline(always)]
    unsafe fn add_squares(sums: [u32; LANES], a: [u8; LANES]) -> [u32; LANES] {
        from_fn(|i| sums[i].wrapping_add(u32::from(a[i]) * u32::from(a[i])))
    }
    #[inline(always)]
    unsafe fn add_ones(sums: [u32; LANES], a: [u8; LANES]) -> [u32; LANES] {
        let mut sums = sums;
        sums[0] = sums[0].wrapping_add(u64::from_le_bytes(a).count_ones());
        sums
    }
    #[inline(always)]
    unsafe fn add_products<const SIGNED: bool>(
        sums: [u32; LANES],
        q: [u8; LANES],
        r: [u8; LANES],
    ) -> [u32; LANES] {
        if SIGNED {
            let product = |i: usize| i32::from(q[i].cast_signed()) * i32::from(r[i].cast_signed());
            from_fn(|i| sums[i].wrapping_add_signed(product(i)))
        } else {
            from_fn(|i| sums[i].wrapping_add(u32::from(q[i]) * u32::from(r[i])))
        }
    }
    #[inline(always)]
    unsafe fn add_excess<const SIGNED: bool>(sums: [u32; LANES], _r: [u8; LANES]) -> [u32; LANES] {
        sums
    }
    #[inline(always)]
    unsafe fn total_sums(a: [u32; LANES]) -> u32 {
        a.into_iter().fold(0, u32::wrapping_add)
    }

    #[inline(always)]
    fn prefetch(_line: &[u8]) {}

    compiled_forms!();
}
