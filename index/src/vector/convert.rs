//! Conversions between coordinate types by way of f32, a block at a time, in loops that compilers vectorise.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::VectorRef;
use crate::element::Element;

/// Coordinates converted at once: a multiple of 8, so that bits start at a byte.
pub(super) const BLOCK: usize = 128;

/// Writes the coordinates of `v` from number `first` on to `block`.
pub(super) fn widen(v: VectorRef<'_>, first: usize, block: &mut [f32]) {
    let range = first..first + block.len();
    match v {
        VectorRef::F32(x) => block.copy_from_slice(&x[range]),
        VectorRef::F16(x) => x[range].convert_to_f32_slice(block),
        VectorRef::BF16(x) => x[range].convert_to_f32_slice(block),
        VectorRef::I8(x) => map(&x[range], block, f32::from),
        VectorRef::U8(x) => map(&x[range], block, f32::from),
        VectorRef::Bits(bytes) => {
            for (j, value) in range.zip(block) {
                *value = bit(bytes, j);
            }
        }
    }
}

fn map<T: Copy>(from: &[T], to: &mut [f32], convert: impl Fn(T) -> f32) {
    for (from, to) in from.iter().zip(to) {
        *to = convert(*from);
    }
}

/// Writes `block` as `element` to the beginning of `bytes`, or says which coordinate does not fit. Whether f32 and bf16
/// are finite is left to the caller.
pub(super) fn narrow(block: &[f32], element: Element, bytes: &mut [u8]) -> Result<(), usize> {
    let fits = match element {
        Element::F32 => {
            for (x, bytes) in block.iter().zip(bytes.as_chunks_mut().0) {
                *bytes = x.to_le_bytes();
            }
            true
        }
        Element::F16 => {
            let mut halves = [f16::ZERO; BLOCK];
            let halves = &mut halves[..block.len()];
            halves.convert_from_f32_slice(block);
            for (half, bytes) in halves.iter().zip(bytes.as_chunks_mut().0) {
                *bytes = half.to_le_bytes();
            }
            halves.iter().fold(true, |fits, half| fits & half.is_finite())
        }
        Element::BF16 => {
            for (&x, bytes) in block.iter().zip(bytes.as_chunks_mut().0) {
                *bytes = bf16::from_f32(x).to_le_bytes();
            }
            true
        }
        Element::I8 => block.iter().zip(bytes).fold(true, |fits, (&x, byte)| {
            let integer = x as i8;
            *byte = integer.cast_unsigned();
            fits & (f32::from(integer) == x)
        }),
        Element::U8 => block.iter().zip(bytes).fold(true, |fits, (&x, byte)| {
            *byte = x as u8;
            fits & (f32::from(*byte) == x)
        }),
        Element::Bits => {
            for (eight, byte) in block.chunks(8).zip(bytes) {
                *byte = eight.iter().rev().fold(0, |byte, &x| byte << 1 | u8::from(x == 1.0));
            }
            block.iter().fold(true, |fits, &x| fits & (x == 0.0 || x == 1.0))
        }
    };
    if fits { Ok(()) } else { Err(first_misfit(block, element)) }
}

/// Which coordinate it was, once it is known that one does not fit.
#[cold]
fn first_misfit(block: &[f32], element: Element) -> usize {
    let fits = |x: f32| match element {
        Element::F32 | Element::BF16 => true,
        Element::F16 => f16::from_f32(x).is_finite(),
        Element::I8 => f32::from(x as i8) == x,
        Element::U8 => f32::from(x as u8) == x,
        Element::Bits => x == 0.0 || x == 1.0,
    };
    block.iter().position(|&x| !fits(x)).unwrap_or(0)
}

/// Writes the coordinates of a stored row to `out`, whose length says how many they are.
pub(super) fn read_all(row: &[u8], element: Element, out: &mut [f32]) {
    match element {
        Element::F32 => map(row.as_chunks().0, out, f32::from_le_bytes),
        Element::F16 => map(row.as_chunks().0, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Element::BF16 => map(row.as_chunks().0, out, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        Element::I8 => map(row, out, |byte| f32::from(byte.cast_signed())),
        Element::U8 => map(row, out, f32::from),
        Element::Bits => {
            for (j, value) in out.iter_mut().enumerate() {
                *value = bit(row, j);
            }
        }
    }
}

/// Coordinate `j` of a stored row.
pub(super) fn read(row: &[u8], j: usize, element: Element) -> f32 {
    match element {
        Element::F32 => f32::from_le_bytes(row.as_chunks().0[j]),
        Element::F16 => f16::from_le_bytes(row.as_chunks().0[j]).to_f32(),
        Element::BF16 => bf16::from_le_bytes(row.as_chunks().0[j]).to_f32(),
        Element::I8 => f32::from(row[j].cast_signed()),
        Element::U8 => f32::from(row[j]),
        Element::Bits => bit(row, j),
    }
}

fn bit(bytes: &[u8], j: usize) -> f32 {
    f32::from(bytes[j / 8] >> (j % 8) & 1)
}
