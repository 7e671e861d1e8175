//! The seam between what is computed (`floats.rs`, `bytes.rs`) and what it is computed with (one file per instruction set).

use super::row::RowKernel;

/// One instruction set: vectors of f32, vectors of bytes, and vectors of 32-bit sums.
///
/// Loads of whole vectors take at least the bytes of one vector; loads of a `tail` take fewer and fill up with zeros,
/// which add nothing to any distance. All sums wrap modulo 2³²; [`crate::MAX_DIM`] keeps every total below that.
///
/// # Safety
/// Every method requires that the machine has the instruction set.
pub(super) trait Simd: 'static {
    type Floats: Copy;
    type Bytes: Copy;
    type Sums: Copy;

    /// f32 values in a `Floats`.
    const LANES: usize;
    /// Bytes in a `Bytes`.
    const BYTES: usize;

    unsafe fn load_f32(bytes: &[u8]) -> Self::Floats;
    unsafe fn load_f16(bytes: &[u8]) -> Self::Floats;
    unsafe fn load_bf16(bytes: &[u8]) -> Self::Floats;

    #[inline(always)]
    unsafe fn tail_f32(tail: &[u8]) -> Self::Floats {
        // SAFETY: the caller's promise is the callee's.
        unsafe { Self::load_f32(&zero_filled(tail)) }
    }
    #[inline(always)]
    unsafe fn tail_f16(tail: &[u8]) -> Self::Floats {
        // SAFETY: the caller's promise is the callee's.
        unsafe { Self::load_f16(&zero_filled(tail)) }
    }
    #[inline(always)]
    unsafe fn tail_bf16(tail: &[u8]) -> Self::Floats {
        // SAFETY: the caller's promise is the callee's.
        unsafe { Self::load_bf16(&zero_filled(tail)) }
    }

    unsafe fn zero() -> Self::Floats;
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn sub(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn abs(a: Self::Floats) -> Self::Floats;
    /// `a · b + sum`.
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, sum: Self::Floats) -> Self::Floats;
    /// The sum of all lanes.
    unsafe fn total(a: Self::Floats) -> f32;

    unsafe fn load_bytes(bytes: &[u8]) -> Self::Bytes;
    #[inline(always)]
    unsafe fn tail_bytes(tail: &[u8]) -> Self::Bytes {
        // SAFETY: the caller's promise is the callee's.
        unsafe { Self::load_bytes(&zero_filled(tail)) }
    }
    /// Flips the top bit of every byte, which maps −128 … 127 onto 0 … 255 in order.
    unsafe fn flip(a: Self::Bytes) -> Self::Bytes;
    /// `|a − b|` of unsigned bytes.
    unsafe fn abs_diff(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    unsafe fn xor(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;

    unsafe fn zero_sums() -> Self::Sums;
    unsafe fn add_sums(a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// Adds the unsigned bytes.
    unsafe fn add_bytes(sums: Self::Sums, a: Self::Bytes) -> Self::Sums;
    /// Adds the squares of the unsigned bytes.
    unsafe fn add_squares(sums: Self::Sums, a: Self::Bytes) -> Self::Sums;
    /// Adds the number of set bits.
    unsafe fn add_ones(sums: Self::Sums, a: Self::Bytes) -> Self::Sums;
    /// Adds `q · r` of bytes read as i8 or u8, plus whatever [`Simd::add_excess`] adds for the same `r`.
    unsafe fn add_products<const SIGNED: bool>(s: Self::Sums, q: Self::Bytes, r: Self::Bytes) -> Self::Sums;
    /// By how much `add_products` is too high. Nothing, where the machine multiplies bytes of equal sign.
    unsafe fn add_excess<const SIGNED: bool>(sums: Self::Sums, r: Self::Bytes) -> Self::Sums;
    /// The sum of all lanes, modulo 2³².
    unsafe fn total_sums(a: Self::Sums) -> u32;

    /// Asks the processor to bring the cache line of `line[0]` near.
    fn prefetch(line: &[u8]);

    /// [`super::row::distance`] compiled for this instruction set.
    unsafe fn one<K: RowKernel<Self>>(query: &[u8], scale: f32, row: &[u8]) -> f32
    where
        Self: Sized;
    /// [`super::row::distances`] compiled for this instruction set.
    unsafe fn many<K: RowKernel<Self>>(query: &[u8], scale: f32, rows: &[&[u8]], out: &mut [f32])
    where
        Self: Sized;
}

/// The bytes of `tail` and zeros behind them. No vector is wider than 64 bytes.
#[inline(always)]
pub(super) fn zero_filled(tail: &[u8]) -> [u8; 64] {
    let mut filled = [0; 64];
    filled[..tail.len()].copy_from_slice(tail);
    filled
}

/// The two compiled forms of a row kernel; the bodies are the same for every instruction set, but `#[target_feature]`
/// takes a literal.
macro_rules! compiled_forms {
    ($($feature:literal)?) => {
        $(#[target_feature(enable = $feature)])?
        unsafe fn one<K: RowKernel<Self>>(query: &[u8], scale: f32, row: &[u8]) -> f32 {
            // SAFETY: the caller promises the instruction set, and the kernel asks no more.
            unsafe { row::distance::<Self, K>(query, scale, row) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn many<K: RowKernel<Self>>(query: &[u8], scale: f32, rows: &[&[u8]], out: &mut [f32]) {
            // SAFETY: the caller promises the instruction set, and the kernel asks no more.
            unsafe { row::distances::<Self, K>(query, scale, rows, out) }
        }
    };
}
pub(super) use compiled_forms;
