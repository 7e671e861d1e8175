//! NEON, which every 64-bit Arm has.

#![expect(
    unsafe_code,
    reason = "vectors are loaded through pointers; methods run where the instruction set is"
)]

use std::arch::aarch64::*;

use super::row::{self, RowKernel};
use super::simd::{Simd, compiled_forms};

/// 128-bit vectors.
pub(super) struct Neon;

impl Neon {
    pub(super) fn available() -> bool {
        std::arch::is_aarch64_feature_detected!("neon")
    }
}

impl Simd for Neon {
    type Floats = float32x4_t;
    type Bytes = uint8x16_t;
    type Sums = uint32x4_t;
    const LANES: usize = 4;
    const BYTES: usize = 16;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_f32(bytes: &[u8]) -> float32x4_t {
        assert!(bytes.len() >= 16);
        // SAFETY: 16 bytes are there; the load asks for no alignment.
        vreinterpretq_f32_u8(unsafe { vld1q_u8(bytes.as_ptr()) })
    }
    /// Moving the exponent and scaling by 2¹¹² is exact for every finite f16, subnormals too.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_f16(bytes: &[u8]) -> float32x4_t {
        let halves = load_halves(bytes);
        let magnitude = vshlq_n_u32::<13>(vandq_u32(halves, vdupq_n_u32(0x7fff)));
        let sign = vshlq_n_u32::<16>(vandq_u32(halves, vdupq_n_u32(0x8000)));
        let value = vmulq_n_f32(vreinterpretq_f32_u32(magnitude), f32::from_bits(0x7780_0000));
        vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(value), sign))
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_bf16(bytes: &[u8]) -> float32x4_t {
        vreinterpretq_f32_u32(vshlq_n_u32::<16>(load_halves(bytes)))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn zero() -> float32x4_t {
        vdupq_n_f32(0.0)
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vaddq_f32(a, b)
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vsubq_f32(a, b)
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn abs(a: float32x4_t) -> float32x4_t {
        vabsq_f32(a)
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn mul_add(a: float32x4_t, b: float32x4_t, sum: float32x4_t) -> float32x4_t {
        vfmaq_f32(sum, a, b)
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn total(a: float32x4_t) -> f32 {
        vaddvq_f32(a)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_bytes(bytes: &[u8]) -> uint8x16_t {
        assert!(bytes.len() >= 16);
        // SAFETY: 16 bytes are there; the load asks for no alignment.
        unsafe { vld1q_u8(bytes.as_ptr()) }
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn flip(a: uint8x16_t) -> uint8x16_t {
        veorq_u8(a, vdupq_n_u8(0x80))
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn abs_diff(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        vabdq_u8(a, b)
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn xor(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        veorq_u8(a, b)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn zero_sums() -> uint32x4_t {
        vdupq_n_u32(0)
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_sums(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        vaddq_u32(a, b)
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_bytes(sums: uint32x4_t, a: uint8x16_t) -> uint32x4_t {
        vpadalq_u16(sums, vpaddlq_u8(a))
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_squares(sums: uint32x4_t, a: uint8x16_t) -> uint32x4_t {
        add_unsigned_products(sums, a, a)
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_ones(sums: uint32x4_t, a: uint8x16_t) -> uint32x4_t {
        vpadalq_u16(sums, vpaddlq_u8(vcntq_u8(a)))
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_products<const SIGNED: bool>(sums: uint32x4_t, q: uint8x16_t, r: uint8x16_t) -> uint32x4_t {
        if SIGNED { add_signed_products(sums, q, r) } else { add_unsigned_products(sums, q, r) }
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_excess<const SIGNED: bool>(sums: uint32x4_t, _r: uint8x16_t) -> uint32x4_t {
        sums
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn total_sums(a: uint32x4_t) -> u32 {
        vaddvq_u32(a)
    }

    #[inline(always)]
    fn prefetch(line: &[u8]) {
        // SAFETY: a prefetch reads nothing, faults on nothing and changes no register.
        unsafe {
            std::arch::asm!(
                "prfm pldl2keep, [{line}]",
                line = in(reg) line.as_ptr(),
                options(nostack, preserves_flags, readonly)
            );
        }
    }

    compiled_forms!("neon");
}

/// Four 16-bit values, widened to 32 bits.
#[inline]
#[target_feature(enable = "neon")]
fn load_halves(bytes: &[u8]) -> uint32x4_t {
    assert!(bytes.len() >= 8);
    // SAFETY: 8 bytes are there; the load asks for no alignment.
    vmovl_u16(vreinterpret_u16_u8(unsafe { vld1_u8(bytes.as_ptr()) }))
}

/// 255² fits 16 bits; pairs of products are added in 32.
#[inline]
#[target_feature(enable = "neon")]
fn add_unsigned_products(sums: uint32x4_t, a: uint8x16_t, b: uint8x16_t) -> uint32x4_t {
    let low = vmull_u8(vget_low_u8(a), vget_low_u8(b));
    let high = vmull_u8(vget_high_u8(a), vget_high_u8(b));
    vpadalq_u16(vpadalq_u16(sums, low), high)
}

/// (−128)² fits 16 bits; pairs of products are added in 32.
#[inline]
#[target_feature(enable = "neon")]
fn add_signed_products(sums: uint32x4_t, a: uint8x16_t, b: uint8x16_t) -> uint32x4_t {
    let (a, b) = (vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b));
    let low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    let high = vmull_s8(vget_high_s8(a), vget_high_s8(b));
    let sums = vreinterpretq_s32_u32(sums);
    vreinterpretq_u32_s32(vpadalq_s16(vpadalq_s16(sums, low), high))
}
