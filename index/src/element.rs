//! What a vector's coordinates are stored as, and how many bytes a row of them takes.

use std::fmt;
use std::str::FromStr;

use crate::metric::UnknownName;

/// The most coordinates a vector may have. Integer kernels sum in 32 bits, which this keeps exact:
/// 255² · 65,536 = 4,261,478,400 < 2³².
pub const MAX_DIM: usize = 65_536;

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

impl Element {
    /// Every element type, in the order of their codes.
    pub const ALL: [Element; 6] =
        [Element::F32, Element::F16, Element::BF16, Element::I8, Element::U8, Element::Bits];

    /// The number that stands for this element type in the file. It never changes.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Element::F32 => 1,
            Element::F16 => 2,
            Element::BF16 => 3,
            Element::I8 => 4,
            Element::U8 => 5,
            Element::Bits => 6,
        }
    }

    /// The element type that `code` stands for, or `None` for a number this version does not know.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Element> {
        Element::ALL.into_iter().find(|element| element.code() == code)
    }

    /// The name users write, which [`str::parse`] reads back.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Element::F32 => "f32",
            Element::F16 => "f16",
            Element::BF16 => "bf16",
            Element::I8 => "i8",
            Element::U8 => "u8",
            Element::Bits => "bits",
        }
    }

    /// Bytes that `dim` coordinates take, without padding.
    #[must_use]
    pub const fn bytes_per_row(self, dim: usize) -> usize {
        match self {
            Element::F32 => dim * 4,
            Element::F16 | Element::BF16 => dim * 2,
            Element::I8 | Element::U8 => dim,
            Element::Bits => dim.div_ceil(8),
        }
    }

    /// Coordinates for which a row of so many bytes has room.
    pub(crate) const fn coordinates(self, bytes: usize) -> usize {
        match self {
            Element::Bits => bytes * 8,
            _ => bytes / self.bytes_per_row(1),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Element {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Element, UnknownName> {
        Element::ALL.into_iter().find(|element| element.name() == name).ok_or_else(|| UnknownName {
            what: "element type",
            got: name.to_owned(),
            known: "f32, f16, bf16, i8, u8, bits",
        })
    }
}

/// Bytes from one stored row to the next: the row rounded up to the largest of 64, 32, 16 and 8 bytes that wastes
/// at most 3 % of it, and to 4 bytes in any case. Wide alignment keeps a row from touching one cache line more than it must.
#[must_use]
pub const fn row_bytes(dim: usize, element: Element) -> usize {
    let exact = element.bytes_per_row(dim);
    let mut align = 64;
    while align > 4 {
        let padded = exact.next_multiple_of(align);
        if (padded - exact) * 100 <= exact * 3 {
            return padded;
        }
        align /= 2;
    }
    exact.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_read_back() {
        for element in Element::ALL {
            assert_eq!(Element::from_code(element.code()), Some(element));
            assert_eq!(element.name().parse(), Ok(element));
        }
        assert_eq!(Element::from_code(0), None);
        assert!("float".parse::<Element>().is_err());
    }

    #[test]
    fn rows_are_aligned_as_far_as_three_percent_allows() {
        assert_eq!(row_bytes(784, Element::U8), 800); // 784 → 832 would waste 6 %; 800 (32) wastes 2 %.
        assert_eq!(row_bytes(784, Element::F32), 3136);
        assert_eq!(row_bytes(128, Element::U8), 128);
        assert_eq!(row_bytes(100, Element::U8), 100);
        assert_eq!(row_bytes(1, Element::U8), 4);
        assert_eq!(row_bytes(1, Element::Bits), 4);
        assert_eq!(row_bytes(0, Element::F32), 0);
        for element in Element::ALL {
            for dim in 1..5000 {
                let (exact, padded) = (element.bytes_per_row(dim), row_bytes(dim, element));
                assert!(padded >= exact && padded % 4 == 0);
                assert!(
                    padded - exact < 4 || (padded - exact) * 100 <= exact * 3,
                    "{dim} {element}: {padded}"
                );
            }
        }
    }
}
