//! The texmex formats fvecs and bvecs: every row is its dimension as an i32, then its coordinates.
//! <http://corpus-texmex.irisa.fr/>

use std::io::Read;
use std::marker::PhantomData;

use redknot_index::Element;

use super::batch::Batch;
use super::error::Problem;
use super::scalar::{Coordinate, PIECE_BYTES, Scalar, read_full};
use super::{MAX_DIM, RowReader};

/// Bytes of the dimension before each row.
const DIM_BYTES: usize = 4;

/// Reads rows of `T`: `f32` for fvecs, `u8` for bvecs, `i32` for ivecs.
pub(crate) struct VecsReader<R, T> {
    input: R,
    /// The dimension of row 0, which has been read, belongs in front of `input`'s next byte.
    first_dim: Option<[u8; DIM_BYTES]>,
    dim: usize,
    rows: Option<u64>,
    next_row: u64,
    piece: Vec<u8>,
    scalar: PhantomData<T>,
}

impl<R: Read, T: Scalar> VecsReader<R, T> {
    /// Reads the dimension of the first row. `file_bytes` is the length of the whole file where it is known: one that
    /// is no whole number of rows is then refused before the first row is read.
    pub(crate) fn new(mut input: R, file_bytes: Option<u64>) -> Result<Self, Problem> {
        let mut first = [0; DIM_BYTES];
        match read_full(&mut input, &mut first)? {
            0 => return Err(Problem::Empty),
            DIM_BYTES => {}
            got => {
                return Err(Problem::Truncated { row: 0, offset: 0, end: DIM_BYTES as u64, got: got as u64 });
            }
        }
        let got = i32::from_le_bytes(first);
        let dim = usize::try_from(got)
            .ok()
            .filter(|dim| (1..=MAX_DIM).contains(dim))
            .ok_or(Problem::Dimension { row: 0, offset: 0, got: i128::from(got), max: MAX_DIM })?;
        let mut reader = Self {
            input,
            first_dim: Some(first),
            dim,
            rows: None,
            next_row: 0,
            piece: Vec::new(),
            scalar: PhantomData,
        };
        if let Some(bytes) = file_bytes {
            let rows = bytes / reader.row_bytes() as u64;
            if bytes % reader.row_bytes() as u64 != 0 {
                // Rows of other dimensions have the same effect on the length; reading on finds out which it is.
                reader.read_to_problem()?;
                return Err(reader.truncated(rows, bytes));
            }
            reader.rows = Some(rows);
        }
        Ok(reader)
    }

    /// Coordinates of a row.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// Appends up to `max_rows` rows to `values` and returns how many there were.
    pub(super) fn append_rows(&mut self, max_rows: usize, values: &mut Vec<T>) -> Result<usize, Problem> {
        let rows_a_piece = (PIECE_BYTES / self.row_bytes()).max(1);
        let mut rows = 0;
        while rows < max_rows {
            let wanted = rows_a_piece.min(max_rows - rows);
            let got = self.append_piece(wanted, values)?;
            rows += got;
            if got < wanted {
                break;
            }
        }
        Ok(rows)
    }

    fn append_piece(&mut self, max_rows: usize, values: &mut Vec<T>) -> Result<usize, Problem> {
        let row_bytes = self.row_bytes();
        self.piece.resize(max_rows * row_bytes, 0);
        let mut start = 0;
        if let Some(first) = self.first_dim.take() {
            self.piece[..DIM_BYTES].copy_from_slice(&first);
            start = DIM_BYTES;
        }
        let got = start + read_full(&mut self.input, &mut self.piece[start..])?;
        let rows = got / row_bytes;
        let old_len = values.len();
        values.resize(old_len + rows * self.dim, T::zeroed());
        let slots = values[old_len..].chunks_exact_mut(self.dim);
        for (index, (row, slot)) in self.piece[..got].chunks_exact(row_bytes).zip(slots).enumerate() {
            let (dim, coordinates) = row.split_at(DIM_BYTES);
            self.check_dim(self.next_row + index as u64, dim)?;
            bytemuck::cast_slice_mut(slot).copy_from_slice(coordinates);
            for value in slot {
                *value = value.to_native();
            }
        }
        let rest = &self.piece[rows * row_bytes..got];
        if !rest.is_empty() {
            let row = self.next_row + rows as u64;
            if rest.len() >= DIM_BYTES {
                self.check_dim(row, &rest[..DIM_BYTES])?;
            }
            return Err(self.truncated(row, self.row_offset(row) + rest.len() as u64));
        }
        self.next_row += rows as u64;
        Ok(rows)
    }

    /// Reads on until a row shows what is wrong.
    fn read_to_problem(&mut self) -> Result<(), Problem> {
        let mut values = Vec::new();
        while self.append_rows(1024, &mut values)? > 0 {
            values.clear();
        }
        Ok(())
    }

    fn check_dim(&self, row: u64, bytes: &[u8]) -> Result<(), Problem> {
        let got = i32::from_le_bytes(bytes.try_into().expect("the slice is DIM_BYTES long"));
        if usize::try_from(got).ok() == Some(self.dim) {
            return Ok(());
        }
        Err(Problem::RaggedRow {
            row,
            offset: self.row_offset(row),
            expected: self.dim,
            got: i128::from(got),
        })
    }

    fn truncated(&self, row: u64, file_bytes: u64) -> Problem {
        Problem::Truncated {
            row,
            offset: self.row_offset(row),
            end: self.row_offset(row + 1),
            got: file_bytes,
        }
    }

    fn row_bytes(&self) -> usize {
        DIM_BYTES + self.dim * size_of::<T>()
    }

    fn row_offset(&self, row: u64) -> u64 {
        row * self.row_bytes() as u64
    }
}

impl<R: Read, T: Coordinate> RowReader for VecsReader<R, T> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        self.rows
    }

    fn element(&self) -> Element {
        T::ELEMENT
    }

    fn offset(&self) -> u64 {
        self.row_offset(self.next_row)
    }

    fn read(&mut self, max_rows: usize, batch: &mut Batch) -> Result<usize, Problem> {
        batch.clear();
        self.append_rows(max_rows, T::of(&mut batch.values))
    }
}
