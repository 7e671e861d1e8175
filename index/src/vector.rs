//! Vectors as callers hand them over, and the bytes they are stored as.

mod convert;
mod error;

use half::{bf16, f16};

use crate::element::Element;
use crate::metric::Metric;
use convert::{BLOCK, narrow, read, widen, widen_row};
pub use error::VectorError;

/// A vector as a caller hands it over; borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum VectorRef<'a> {
    /// Coordinates in single precision.
    F32(&'a [f32]),
    /// Coordinates in half precision.
    F16(&'a [f16]),
    /// Coordinates in bfloat16.
    BF16(&'a [bf16]),
    /// Signed integers.
    I8(&'a [i8]),
    /// Unsigned integers.
    U8(&'a [u8]),
    /// Packed bits in whole bytes, coordinate `j` in bit `j % 8` of byte `j / 8`; bits past the dimension are 0.
    Bits(&'a [u8]),
}

macro_rules! from_slice {
    ($($number:ty => $variant:ident),*) => {$(
        impl<'a> From<&'a [$number]> for VectorRef<'a> {
            fn from(coordinates: &'a [$number]) -> VectorRef<'a> {
                VectorRef::$variant(coordinates)
            }
        }
        impl<'a> From<&'a &[$number]> for VectorRef<'a> {
            fn from(coordinates: &'a &[$number]) -> VectorRef<'a> {
                VectorRef::$variant(coordinates)
            }
        }
        impl<'a, const N: usize> From<&'a [$number; N]> for VectorRef<'a> {
            fn from(coordinates: &'a [$number; N]) -> VectorRef<'a> {
                VectorRef::$variant(coordinates)
            }
        }
        impl<'a> From<&'a Vec<$number>> for VectorRef<'a> {
            fn from(coordinates: &'a Vec<$number>) -> VectorRef<'a> {
                VectorRef::$variant(coordinates)
            }
        }
    )*};
}
from_slice!(f32 => F32, f16 => F16, bf16 => BF16, i8 => I8, u8 => U8);

impl<'a> From<&VectorRef<'a>> for VectorRef<'a> {
    fn from(vector: &VectorRef<'a>) -> VectorRef<'a> {
        *vector
    }
}

impl<'a> VectorRef<'a> {
    /// The vectors of `dim` coordinates that lie one behind the other in this one; the last may be shorter.
    pub fn rows(self, dim: usize) -> impl Iterator<Item = VectorRef<'a>> {
        let (width, len) = match self {
            VectorRef::F32(x) => (dim, x.len()),
            VectorRef::F16(x) => (dim, x.len()),
            VectorRef::BF16(x) => (dim, x.len()),
            VectorRef::I8(x) => (dim, x.len()),
            VectorRef::U8(x) => (dim, x.len()),
            VectorRef::Bits(bytes) => (dim.div_ceil(8), bytes.len()),
        };
        (0..len).step_by(width.max(1)).map(move |start| {
            let end = len.min(start + width);
            match self {
                VectorRef::F32(x) => VectorRef::F32(&x[start..end]),
                VectorRef::F16(x) => VectorRef::F16(&x[start..end]),
                VectorRef::BF16(x) => VectorRef::BF16(&x[start..end]),
                VectorRef::I8(x) => VectorRef::I8(&x[start..end]),
                VectorRef::U8(x) => VectorRef::U8(&x[start..end]),
                VectorRef::Bits(bytes) => VectorRef::Bits(&bytes[start..end]),
            }
        })
    }

    /// Whether this is a vector of `dim` coordinates; if not, how many it has (of bits: room for how many).
    fn check_dimension(&self, dim: usize) -> Result<(), VectorError> {
        let got = match self {
            VectorRef::F32(x) => x.len(),
            VectorRef::F16(x) => x.len(),
            VectorRef::BF16(x) => x.len(),
            VectorRef::I8(x) => x.len(),
            VectorRef::U8(x) => x.len(),
            VectorRef::Bits(bytes) if bytes.len() == dim.div_ceil(8) => dim,
            VectorRef::Bits(bytes) => bytes.len() * 8,
        };
        if got == dim { Ok(()) } else { Err(VectorError::WrongDimension { expected: dim, got }) }
    }
}

/// The longest vector that is stored, in squared length: `|a−b|² ≤ 4 · f32::MAX / 4` keeps every L2 distance, and by
/// Cauchy and Schwarz every product, within f32.
const MAX_SQUARED_LENGTH: f32 = f32::MAX / 4.0;

/// The shortest vector that has a direction: squares of what counts of it do not underflow.
const MIN_SQUARED_LENGTH: f32 = 1e-30;

/// Appends the row of `v` in `element` to `out`: `row_bytes` bytes, of which those behind the coordinates are zero.
///
/// Coordinates are converted where that changes nothing, and rounded from f32 to f16 or bf16. Every distance
/// between two rows that were encoded for a metric is finite. On an error `out` is as it was.
///
/// # Errors
/// See [`VectorError`].
///
/// # Panics
/// If `row_bytes` is less than [`Element::bytes_per_row`].
pub fn encode(
    v: VectorRef<'_>,
    dim: usize,
    element: Element,
    metric: Metric,
    row_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), VectorError> {
    let exact = element.bytes_per_row(dim);
    assert!(exact <= row_bytes, "a row of {dim} {element} takes {exact} bytes, {row_bytes} were set aside");
    v.check_dimension(dim)?;
    let start = out.len();
    let encoded = match (v, element) {
        (VectorRef::U8(bytes), Element::U8) => append_integers(bytes, metric, out),
        (VectorRef::I8(x), Element::I8) => append_integers(zerocopy::IntoBytes::as_bytes(x), metric, out),
        (VectorRef::Bits(bytes), Element::Bits) => append_bits(bytes, dim, out),
        _ => append_converted(v, dim, element, metric, out),
    };
    match encoded {
        Ok(()) => out.resize(start + row_bytes, 0),
        Err(_) => out.truncate(start),
    }
    encoded
}

/// The coordinates of a row of `dim` of `element`; bits as 0.0 and 1.0.
///
/// # Panics
/// If `row` is shorter than [`Element::bytes_per_row`].
#[must_use]
pub fn decode(row: &[u8], dim: usize, element: Element) -> Vec<f32> {
    let mut coordinates = vec![0.0; dim];
    decode_into(row, element, &mut coordinates);
    coordinates
}

/// Writes the first coordinates of a row of `element` to `out`, as many as fit; bits as 0.0 and 1.0.
///
/// # Panics
/// If `row` is shorter than [`Element::bytes_per_row`] of `out.len()` coordinates.
pub fn decode_into(row: &[u8], element: Element, out: &mut [f32]) {
    let row = &row[..element.bytes_per_row(out.len())];
    widen_row(row, element, out);
}

fn append_integers(bytes: &[u8], metric: Metric, out: &mut Vec<u8>) -> Result<(), VectorError> {
    if metric == Metric::Cosine && bytes.iter().all(|&byte| byte == 0) {
        return Err(VectorError::ZeroVector);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

fn append_bits(bytes: &[u8], dim: usize, out: &mut Vec<u8>) -> Result<(), VectorError> {
    if let Some(last) = bytes.last()
        && !dim.is_multiple_of(8)
        && last >> (dim % 8) != 0
    {
        return Err(VectorError::StrayBits { dim });
    }
    out.extend_from_slice(bytes);
    Ok(())
}

/// Goes through f32, which holds every coordinate of every type exactly, a block at a time.
fn append_converted(
    v: VectorRef<'_>,
    dim: usize,
    element: Element,
    metric: Metric,
    out: &mut Vec<u8>,
) -> Result<(), VectorError> {
    let start = out.len();
    out.resize(start + element.bytes_per_row(dim), 0);
    let mut block = [0.0_f32; BLOCK];
    let mut squared_length = [0.0_f32; LANES];
    for first in (0..dim).step_by(BLOCK) {
        let block = &mut block[..BLOCK.min(dim - first)];
        widen(v, first, block);
        add_squares(&mut squared_length, block);
        let bytes = &mut out[start + element.bytes_per_row(first)..];
        if let Err(at) = narrow(block, element, bytes) {
            let (index, value) = (first + at, block[at]);
            return Err(if value.is_finite() {
                VectorError::NotRepresentable { index, value, element }
            } else {
                VectorError::NotFinite { index, value }
            });
        }
    }
    let squared_length: f32 = squared_length.iter().sum();
    if squared_length.is_nan() || squared_length > MAX_SQUARED_LENGTH {
        return Err(not_finite(v, dim).unwrap_or(VectorError::TooLong));
    }
    // Rounding to f16 may have left nothing of a short vector. Signs do not count.
    let vanished = || (0..dim).all(|j| read(&out[start..], j, element) == 0.0);
    if metric == Metric::Cosine && (squared_length < MIN_SQUARED_LENGTH || vanished()) {
        return Err(VectorError::ZeroVector);
    }
    Ok(())
}

/// As many sums as let the compiler use vectors.
const LANES: usize = 16;

fn add_squares(sums: &mut [f32; LANES], block: &[f32]) {
    let (whole, rest) = block.as_chunks::<LANES>();
    for chunk in whole {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x * x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += x * x;
    }
}

/// The first coordinate that is NaN or infinite.
#[cold]
fn not_finite(v: VectorRef<'_>, dim: usize) -> Option<VectorError> {
    let mut value = [0.0];
    (0..dim).find_map(|index| {
        widen(v, index, &mut value);
        (!value[0].is_finite()).then_some(VectorError::NotFinite { index, value: value[0] })
    })
}

#[cfg(test)]
mod tests;
