//! Values as they lie in a file: little-endian, read straight into their vector.

use std::io::{self, Read};

use bytemuck::Pod;
use half::f16;
use redknot_index::Element;

use super::batch::Values;

/// How many bytes are taken from the file at once. Small enough to stay in the processor's cache, and a bound
/// on what is allocated before a file that promises much has to deliver.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// A number that files hold.
pub(crate) trait Scalar: Pod {
    /// The value whose bytes were little-endian in the file; nothing to do on most machines.
    fn to_native(self) -> Self;
}

/// A number that batches hold.
pub(crate) trait Coordinate: Scalar {
    /// The element type of vectors made of these.
    const ELEMENT: Element;

    /// The vector of this type in `values`, which becomes an empty one of this type if it was of another.
    fn of(values: &mut Values) -> &mut Vec<Self>;
}

macro_rules! integer_scalar {
    ($($int:ty),*) => {$(
        impl Scalar for $int {
            fn to_native(self) -> Self {
                <$int>::from_le(self)
            }
        }
    )*};
}
integer_scalar!(i8, u8, i32, u32, i64, u64);

macro_rules! float_scalar {
    ($($float:ty),*) => {$(
        impl Scalar for $float {
            fn to_native(self) -> Self {
                Self::from_le_bytes(self.to_ne_bytes())
            }
        }
    )*};
}
float_scalar!(f16, f32, f64);

macro_rules! coordinate {
    ($($scalar:ty => $variant:ident),*) => {$(
        impl Coordinate for $scalar {
            const ELEMENT: Element = Element::$variant;

            fn of(values: &mut Values) -> &mut Vec<Self> {
                if !matches!(values, Values::$variant(_)) {
                    *values = Values::$variant(Vec::new());
                }
                match values {
                    Values::$variant(held) => held,
                    _ => unreachable!("the variant was set above"),
                }
            }
        }
    )*};
}
coordinate!(f32 => F32, f16 => F16, i8 => I8, u8 => U8);

/// Appends `count` values to `values` and returns how many bytes were there: fewer than `count` values need where
/// the file ends sooner.
pub(super) fn append<T: Scalar>(
    input: &mut impl Read,
    count: usize,
    values: &mut Vec<T>,
) -> io::Result<usize> {
    let size = size_of::<T>();
    let (mut left, mut bytes) = (count, 0);
    while left > 0 {
        let piece = left.min(PIECE_BYTES / size);
        let start = values.len();
        values.resize(start + piece, T::zeroed());
        let got = read_full(input, bytemuck::cast_slice_mut(&mut values[start..]))?;
        for value in &mut values[start..] {
            *value = value.to_native();
        }
        bytes += got;
        if got < piece * size {
            values.truncate(start + got / size);
            break;
        }
        left -= piece;
    }
    Ok(bytes)
}

/// Fills `buffer` as far as the file goes and returns how far that is.
pub(super) fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
