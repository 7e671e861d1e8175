//! Tables of row numbers: the ground truth of a benchmark, and the answers it writes.

use std::io::{Read, Write};
use std::path::Path;

use npyz::WriterBuilder;

use super::error::{Problem, VectorFileError};
use super::npy_header::Header;
use super::scalar::{self, Scalar};
use super::vecs::VecsReader;
use super::{MAX_DIM, extension, open_file};

const EXTENSIONS: &str = ".npy, .ivecs";

/// The nearest rows of each query, nearest first; −1 where there were fewer than k.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbours {
    /// Row numbers for each query.
    k: usize,
    /// `[queries, k]`, row after row.
    rows: Vec<i32>,
}

impl Neighbours {
    /// A table of `k` row numbers a query, `k` at least 1; `None` unless `rows` is a whole number of queries.
    pub(crate) fn new(k: usize, rows: Vec<i32>) -> Option<Self> {
        (k > 0 && rows.len().is_multiple_of(k)).then_some(Self { k, rows })
    }

    /// Row numbers for each query.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// The row numbers of each query in turn, `k` of them, nearest first.
    pub(crate) fn queries(&self) -> std::slice::ChunksExact<'_, i32> {
        self.rows.chunks_exact(self.k)
    }

    /// Loads a whole table: an npy array of integers of shape (queries, k), or ivecs.
    pub(crate) fn load(path: &Path) -> Result<Self, VectorFileError> {
        let (mut input, bytes) = open_file(path)?;
        let table = match extension(path).as_str() {
            "npy" => Self::read_npy(&mut input),
            "ivecs" => Self::read_ivecs(&mut input, bytes),
            other => Err(Problem::UnknownExtension { extension: other.to_owned(), expected: EXTENSIONS }),
        };
        table.map_err(|problem| problem.in_file(path))
    }

    pub(crate) fn read_npy(input: &mut impl Read) -> Result<Self, Problem> {
        let header = Header::read(input)?;
        let (queries, k) = match *header.shape {
            [queries, k] if (1..=MAX_DIM as u64).contains(&k) => (queries, k),
            _ => {
                return Err(Problem::Shape {
                    expected: "(queries, k), k from 1 to 65536",
                    got: header.shape.clone(),
                });
            }
        };
        match header.dtype.as_str() {
            "i4" => read_table::<i32>(input, &header, queries, k),
            "u4" => read_table::<u32>(input, &header, queries, k),
            "i8" => read_table::<i64>(input, &header, queries, k),
            _ => Err(Problem::Dtype {
                expected: "i4 (int32), u4 (uint32), i8 (int64)",
                got: header.dtype.clone(),
            }),
        }
    }

    pub(crate) fn read_ivecs(input: &mut impl Read, bytes: Option<u64>) -> Result<Self, Problem> {
        let mut reader = VecsReader::<_, i32>::new(input, bytes)?;
        let mut rows = Vec::new();
        reader.append_rows(usize::MAX, &mut rows)?;
        Self::checked(reader.dim(), &rows)
    }

    /// Writes the table as an npy array of int32 of shape (queries, k).
    pub(crate) fn write_npy(&self, output: &mut impl Write) -> std::io::Result<()> {
        let shape = [(self.rows.len() / self.k) as u64, self.k as u64];
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(output).begin_nd()?;
        writer.extend(self.rows.iter().copied())?;
        writer.finish()
    }

    fn checked<T: Copy + Into<i128>>(k: usize, values: &[T]) -> Result<Self, Problem> {
        let mut rows = Vec::with_capacity(values.len());
        for (position, &value) in values.iter().enumerate() {
            let value: i128 = value.into();
            match i32::try_from(value) {
                Ok(row) if row >= -1 => rows.push(row),
                _ => {
                    let (row, rank) = ((position / k) as u64, position % k);
                    return Err(Problem::Neighbour { row, rank, value });
                }
            }
        }
        Ok(Self { k, rows })
    }
}

fn read_table<T: Scalar + Into<i128>>(
    input: &mut impl Read,
    header: &Header,
    queries: u64,
    k: u64,
) -> Result<Neighbours, Problem> {
    let row_bytes = k * size_of::<T>() as u64;
    let offset = |row: u64| header.data_offset + row * row_bytes;
    let mut values = Vec::<T>::new();
    let count = usize::try_from(queries * k).unwrap_or(usize::MAX);
    let got = scalar::append(input, count, &mut values)? as u64;
    let file_bytes = header.data_offset + got;
    if file_bytes < offset(queries) {
        let row = got / row_bytes;
        return Err(Problem::Truncated { row, offset: offset(row), end: offset(row + 1), got: file_bytes });
    }
    let mut rest = [0; 1];
    if scalar::read_full(input, &mut rest)? > 0 {
        return Err(Problem::Length { expected: file_bytes, got: file_bytes + 1 });
    }
    Neighbours::checked(k as usize, &values)
}
