//! Readers for the files that hold users' vectors: npy, fvecs and bvecs, JSON lines. All read in batches, so that a
//! file need not fit in memory, and every claim of a header is checked before memory is set aside for it.
//!
//! The formats' parsers take any `impl Read`; [`VectorFile`] puts them on a file and names it in errors.

mod batch;
mod column;
mod edges;
mod error;
mod jsonl;
mod lines;
#[cfg(feature = "gnn")]
mod matrix;
mod neighbours;
mod npy;
mod npy_header;
mod scalar;
mod vecs;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use redknot_index::Element;

pub(crate) use batch::{Batch, Key, Values};
pub(crate) use edges::{EdgeArray, FileEdge, read_edge_list};
pub(crate) use error::{Problem, VectorFileError};
pub(crate) use jsonl::JsonlReader;
#[cfg(feature = "gnn")]
pub(crate) use matrix::write_matrix;
pub(crate) use neighbours::Neighbours;
pub(crate) use npy::NpyReader;
pub(crate) use vecs::VecsReader;

use column::Column;
use lines::Lines;

/// Larger dimensions are taken for damage: what follows would be allocated by them. Embeddings have some thousands.
pub(crate) const MAX_DIM: usize = 1 << 16;

const EXTENSIONS: &str = ".npy, .fvecs, .bvecs, .jsonl, .ndjson";

/// Rows of one format, read in order. After an error a reader is of no more use.
pub(crate) trait RowReader {
    /// Coordinates of each row.
    fn dim(&self) -> usize;

    /// Number of rows, where it is known before the end.
    fn rows(&self) -> Option<u64>;

    /// The type of the coordinates in a batch.
    fn element(&self) -> Element;

    /// Bytes of the file used so far.
    fn offset(&self) -> u64;

    /// Whether keys and payloads are a matter of the file itself.
    fn describes_rows(&self) -> bool {
        false
    }

    /// Clears `batch`, fills it with up to `max_rows` rows, and returns how many; 0 only at the end.
    fn read(&mut self, max_rows: usize, batch: &mut Batch) -> Result<usize, Problem>;
}

/// A file of vectors, with the text files that hold its keys and payloads, if any.
pub(crate) struct VectorFile {
    path: PathBuf,
    reader: Box<dyn RowReader + Send>,
    bytes: Option<u64>,
    rows_read: u64,
    keys: Option<Column>,
    payloads: Option<Column>,
}

impl VectorFile {
    /// Opens a file by its extension. Header, length and first row are checked here.
    pub(crate) fn open(path: &Path) -> Result<Self, VectorFileError> {
        let (input, bytes) = open_file(path)?;
        let reader = reader_for(path, input, bytes).map_err(|problem| problem.in_file(path))?;
        Ok(Self { path: path.to_owned(), reader, bytes, rows_read: 0, keys: None, payloads: None })
    }

    /// Takes line `i` of the text file `keys` as the key of row `i`.
    pub(crate) fn with_keys(mut self, keys: &Path) -> Result<Self, VectorFileError> {
        self.keys = Some(self.column(keys)?);
        Ok(self)
    }

    /// Takes line `i` of the text file `payloads` as the payload of row `i`.
    pub(crate) fn with_payloads(mut self, payloads: &Path) -> Result<Self, VectorFileError> {
        self.payloads = Some(self.column(payloads)?);
        Ok(self)
    }

    fn column(&self, path: &Path) -> Result<Column, VectorFileError> {
        if self.reader.describes_rows() {
            return Err(Problem::ColumnTwice { vectors: self.path.clone() }.in_file(path));
        }
        Column::open(path, &self.path, self.reader.rows())
    }

    /// Coordinates of each row.
    pub(crate) fn dim(&self) -> usize {
        self.reader.dim()
    }

    /// Number of rows, where the format tells it before the end.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.reader.rows()
    }

    /// The type of the coordinates in a batch.
    pub(crate) fn element(&self) -> Element {
        self.reader.element()
    }

    /// Whether the lines of the file carry keys and payloads of their own.
    pub(crate) fn describes_rows(&self) -> bool {
        self.reader.describes_rows()
    }

    /// Bytes read so far and bytes of the whole file, for progress; no total for a pipe.
    pub(crate) fn progress_bytes(&self) -> (u64, Option<u64>) {
        (self.reader.offset(), self.bytes)
    }

    /// Clears `batch`, fills it with up to `max_rows` rows (at least 1), and returns how many; 0 only at the end.
    pub(crate) fn read(&mut self, max_rows: usize, batch: &mut Batch) -> Result<usize, VectorFileError> {
        let rows = self.reader.read(max_rows.max(1), batch).map_err(|problem| problem.in_file(&self.path))?;
        self.rows_read += rows as u64;
        if let Some(keys) = &mut self.keys {
            keys.read(rows, self.rows_read, |line| batch.keys.push(Key::Text(line)))?;
        }
        if let Some(payloads) = &mut self.payloads {
            payloads.read(rows, self.rows_read, |line| batch.payloads.push(Some(line)))?;
        }
        if rows == 0 {
            for column in [&mut self.keys, &mut self.payloads].into_iter().flatten() {
                column.finish(self.rows_read)?;
            }
        }
        Ok(rows)
    }

    /// Reads all rows that are left: for query files, which are small beside the data.
    pub(crate) fn read_all(&mut self) -> Result<Batch, VectorFileError> {
        let mut batch = Batch::default();
        self.read(usize::MAX, &mut batch)?;
        Ok(batch)
    }
}

/// The lines of a text file.
pub(crate) fn read_lines(path: &Path) -> Result<Vec<String>, VectorFileError> {
    let (input, _) = open_file(path)?;
    let mut lines = Lines::new(input);
    let mut all = Vec::new();
    while let Some(line) = lines.next_line().map_err(|problem| problem.in_file(path))? {
        all.push(line.to_owned());
    }
    Ok(all)
}

/// The file and, unless it is a pipe or the like, its length in bytes.
fn open_file(path: &Path) -> Result<(BufReader<File>, Option<u64>), VectorFileError> {
    let open = || -> std::io::Result<_> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let bytes = metadata.is_file().then_some(metadata.len());
        Ok((BufReader::new(file), bytes))
    };
    open().map_err(|error| Problem::from(error).in_file(path))
}

fn reader_for(
    path: &Path,
    mut input: BufReader<File>,
    bytes: Option<u64>,
) -> Result<Box<dyn RowReader + Send>, Problem> {
    let extension = extension(path);
    // Another format under a row format's extension could pass for rows of some absurd dimension.
    if extension != "npy" && input.fill_buf()?.starts_with(npy_header::MAGIC) {
        return Err(Problem::Magic { expected: "not npy's", got: "those of an npy file".to_owned() });
    }
    Ok(match extension.as_str() {
        "npy" => Box::new(NpyReader::new(input, bytes)?),
        "fvecs" => Box::new(VecsReader::<_, f32>::new(input, bytes)?),
        "bvecs" => Box::new(VecsReader::<_, u8>::new(input, bytes)?),
        "jsonl" | "ndjson" => Box::new(JsonlReader::new(input)?),
        _ => return Err(Problem::UnknownExtension { extension, expected: EXTENSIONS }),
    })
}

/// The extension in lower case, empty where there is none.
fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}
