//! The header of an npy file: magic, version, and a Python dictionary literal.

use std::io::Read;

use npyz::{DType, Endianness, NpyHeader, Order};

use super::error::Problem;
use super::scalar::read_full;

/// numpy refuses longer headers too (`max_header_size` of `numpy.load`); ours describe plain arrays in about 80 bytes.
const MAX_HEADER_BYTES: usize = 10_000;

/// A dictionary that holds a tuple needs two levels; the literal's parser takes exponential time in the depth.
const MAX_NESTING: usize = 4;

pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What the header of a little-endian array of plain numbers in C order says.
pub(super) struct Header {
    /// The dtype without its byte order: `f4`, `i1`, …
    pub(super) dtype: String,
    /// The lengths of the axes, slowest first.
    pub(super) shape: Vec<u64>,
    /// Where the values begin in the file.
    pub(super) data_offset: u64,
}

impl Header {
    /// Reads the header and leaves `input` at the first value.
    pub(super) fn read(input: &mut impl Read) -> Result<Self, Problem> {
        let bytes = header_bytes(input)?;
        let header =
            NpyHeader::from_reader(bytes.as_slice()).map_err(|error| malformed(error.to_string()))?;
        let DType::Plain(dtype) = header.dtype() else {
            return Err(Problem::Dtype { expected: "the plain numbers", got: "a record".to_owned() });
        };
        if header.order() == Order::Fortran && header.shape().len() > 1 {
            return Err(Problem::FortranOrder);
        }
        if dtype.endianness() == Endianness::Big {
            return Err(Problem::BigEndian { dtype: dtype.to_string() });
        }
        Ok(Self {
            dtype: format!("{}{}", dtype.type_char().to_str(), dtype.size_field()),
            shape: header.shape().to_vec(),
            data_offset: bytes.len() as u64,
        })
    }

    /// Rows and columns. An array of one axis is one row.
    pub(super) fn rows_and_columns(&self) -> Result<(u64, u64), Problem> {
        match *self.shape {
            [columns] => Ok((1, columns)),
            [rows, columns] => Ok((rows, columns)),
            _ => Err(Problem::Shape { expected: "(rows, columns) or (columns,)", got: self.shape.clone() }),
        }
    }
}

fn malformed(message: impl Into<String>) -> Problem {
    Problem::Header { message: message.into() }
}

/// The bytes up to the first value: read whole, of bounded length, and safe to hand to the parser.
fn header_bytes(input: &mut impl Read) -> Result<Vec<u8>, Problem> {
    let mut bytes = vec![0; 8];
    let got = read_full(input, &mut bytes)?;
    if got < 8 || !bytes.starts_with(MAGIC) {
        return Err(Problem::Magic {
            expected: "\"\\x93NUMPY\" and a version",
            got: format!("\"{}\"", bytes[..got].escape_ascii()),
        });
    }
    let length = match bytes[6] {
        1 => usize::from(u16::from_le_bytes(take(input, &mut bytes)?)),
        2 | 3 => u32::from_le_bytes(take(input, &mut bytes)?) as usize,
        other => return Err(malformed(format!("version {other}, expected 1, 2 or 3"))),
    };
    if length > MAX_HEADER_BYTES {
        return Err(malformed(format!("{length} bytes long, expected at most {MAX_HEADER_BYTES}")));
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    let got = read_full(input, &mut bytes[start..])?;
    if got < length {
        return Err(malformed(format!("it ends after {got} of {length} bytes")));
    }
    check_literal(&bytes[start..])?;
    Ok(bytes)
}

/// Takes the next `N` bytes, appending them to what was read of the header.
fn take<const N: usize>(input: &mut impl Read, bytes: &mut Vec<u8>) -> Result<[u8; N], Problem> {
    let mut next = [0; N];
    if read_full(input, &mut next)? < N {
        return Err(malformed("it ends before its length"));
    }
    bytes.extend_from_slice(&next);
    Ok(next)
}

/// Refuses what the parser of the literal was not made for: deep nesting (its time is exponential in the depth), and
/// lengths whose product overflows. Numbers are looked for in the whole text, so that no way of writing a shape is missed.
fn check_literal(text: &[u8]) -> Result<(), Problem> {
    let mut depth = 0_usize;
    for byte in text {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'\\' => return Err(malformed("it has an escape sequence")),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(malformed(format!("brackets are nested deeper than {MAX_NESTING}")));
        }
    }
    let words = text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    words
        .filter(|word| word.first().is_some_and(u8::is_ascii_digit))
        .try_fold(1_u64, |product, word| {
            let number: u64 = str::from_utf8(word).ok()?.parse().ok()?;
            // 8 bytes a value: the product is then also a number of bytes that fits.
            (number.max(1)).checked_mul(product).filter(|product| *product < u64::MAX / 16)
        })
        .map(|_| ())
        .ok_or_else(|| malformed("a length is not a decimal number, or the array is larger than any disk"))
}
