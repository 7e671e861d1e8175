//! numpy's npy files: two-dimensional arrays in C order.

use std::io::Read;

use half::f16;
use redknot_index::Element;

use super::batch::Batch;
use super::error::Problem;
use super::npy_header::Header;
use super::scalar::{self, Coordinate};
use super::{MAX_DIM, RowReader};

/// What the file holds. Double precision has no element type of its own: it becomes f32 while it is read.
#[derive(Clone, Copy)]
enum FileType {
    F16,
    F32,
    F64,
    I8,
    U8,
}

impl FileType {
    fn of_dtype(dtype: &str) -> Result<Self, Problem> {
        match dtype {
            "f2" => Ok(Self::F16),
            "f4" => Ok(Self::F32),
            "f8" => Ok(Self::F64),
            "i1" => Ok(Self::I8),
            "u1" => Ok(Self::U8),
            _ => Err(Problem::Dtype {
                expected: "f4 (float32), f2 (float16), f8 (float64), i1 (int8), u1 (uint8)",
                got: dtype.to_owned(),
            }),
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Reads the rows of an npy file of shape `(rows, dim)`, or `(dim,)` for one row.
pub(crate) struct NpyReader<R> {
    input: R,
    file_type: FileType,
    dim: usize,
    rows: u64,
    data_offset: u64,
    next_row: u64,
    doubles: Vec<f64>,
}

impl<R: Read> NpyReader<R> {
    /// Reads the header. `file_bytes` is the length of the whole file where it is known: one that does not fit the
    /// shape is then refused before the first row is read.
    pub(crate) fn new(mut input: R, file_bytes: Option<u64>) -> Result<Self, Problem> {
        let header = Header::read(&mut input)?;
        let file_type = FileType::of_dtype(&header.dtype)?;
        let (rows, columns) = header.rows_and_columns()?;
        let dim = usize::try_from(columns).ok().filter(|dim| (1..=MAX_DIM).contains(dim)).ok_or(
            Problem::Dimension { row: 0, offset: header.data_offset, got: i128::from(columns), max: MAX_DIM },
        )?;
        let reader = Self {
            input,
            file_type,
            dim,
            rows,
            data_offset: header.data_offset,
            next_row: 0,
            doubles: Vec::new(),
        };
        reader.check_length(file_bytes)?;
        Ok(reader)
    }

    fn check_length(&self, file_bytes: Option<u64>) -> Result<(), Problem> {
        let Some(got) = file_bytes else { return Ok(()) };
        let expected = self.row_offset(self.rows);
        if got < expected {
            let row = got.saturating_sub(self.data_offset) / self.row_bytes();
            return Err(self.truncated(row, got));
        }
        if got > expected {
            return Err(Problem::Length { expected, got });
        }
        Ok(())
    }

    fn row_bytes(&self) -> u64 {
        self.dim as u64 * self.file_type.bytes()
    }

    /// Where `row` begins. Cannot overflow: the header was refused unless 16 × rows × dim fits a u64.
    fn row_offset(&self, row: u64) -> u64 {
        self.data_offset + row * self.row_bytes()
    }

    fn truncated(&self, row: u64, file_bytes: u64) -> Problem {
        Problem::Truncated {
            row,
            offset: self.row_offset(row),
            end: self.row_offset(row + 1),
            got: file_bytes,
        }
    }

    /// Fails unless the `got` bytes read from the next row on are `rows` whole rows.
    fn check_read(&self, rows: usize, got: usize) -> Result<(), Problem> {
        let got = got as u64;
        if got == rows as u64 * self.row_bytes() {
            return Ok(());
        }
        let row = self.next_row + got / self.row_bytes();
        Err(self.truncated(row, self.offset() + got))
    }

    fn read_as<T: Coordinate>(&mut self, rows: usize, batch: &mut Batch) -> Result<(), Problem> {
        let got = scalar::append(&mut self.input, rows * self.dim, T::of(&mut batch.values))?;
        self.check_read(rows, got)
    }

    fn read_doubles(&mut self, rows: usize, batch: &mut Batch) -> Result<(), Problem> {
        self.doubles.clear();
        let got = scalar::append(&mut self.input, rows * self.dim, &mut self.doubles)?;
        self.check_read(rows, got)?;
        let values = f32::of(&mut batch.values);
        values.extend(self.doubles.iter().map(|&value| value as f32));
        // A finite double that becomes infinite was out of range; infinity and NaN are the engine's to refuse.
        let wrong = self
            .doubles
            .iter()
            .zip(values.iter())
            .position(|(double, single)| double.is_finite() && single.is_infinite());
        match wrong {
            None => Ok(()),
            Some(position) => Err(Problem::OutOfRange {
                row: self.next_row + (position / self.dim) as u64,
                coordinate: position % self.dim,
                value: self.doubles[position],
            }),
        }
    }
}

impl<R: Read> RowReader for NpyReader<R> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn element(&self) -> Element {
        match self.file_type {
            FileType::F32 | FileType::F64 => Element::F32,
            FileType::F16 => Element::F16,
            FileType::I8 => Element::I8,
            FileType::U8 => Element::U8,
        }
    }

    fn offset(&self) -> u64 {
        self.row_offset(self.next_row)
    }

    fn read(&mut self, max_rows: usize, batch: &mut Batch) -> Result<usize, Problem> {
        batch.clear();
        let left = usize::try_from(self.rows - self.next_row).unwrap_or(usize::MAX);
        // Without the bound a caller that asks for "all" could overflow rows × dim.
        let rows = max_rows.min(left).min(usize::MAX / (8 * self.dim));
        match self.file_type {
            FileType::F16 => self.read_as::<f16>(rows, batch)?,
            FileType::F32 => self.read_as::<f32>(rows, batch)?,
            FileType::F64 => self.read_doubles(rows, batch)?,
            FileType::I8 => self.read_as::<i8>(rows, batch)?,
            FileType::U8 => self.read_as::<u8>(rows, batch)?,
        }
        self.next_row += rows as u64;
        Ok(rows)
    }
}
