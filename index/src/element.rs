//! What a vector's coordinates are stored as.

/// The type of one coordinate of a stored vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Element {
    /// IEEE 754 single precision, 4 bytes.
    F32,
    /// IEEE 754 half precision, 2 bytes.
    F16,
    /// bfloat16, 2 bytes.
    BF16,
    /// Signed integers of −128 … 127, 1 byte.
    I8,
    /// Unsigned integers of 0 … 255, 1 byte.
    U8,
    /// Single bits, eight to a byte, coordinate `j` in bit `j % 8` of byte `j / 8`; with [`crate::Metric::Hamming`] only.
    Bits,
}
