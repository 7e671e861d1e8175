//! Keys or payloads of a file of vectors that lie in a text file beside it, one a line.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::error::{Problem, VectorFileError};
use super::lines::Lines;

/// A text file whose line `i` belongs to row `i` of the vectors.
pub(super) struct Column {
    path: PathBuf,
    vectors: PathBuf,
    lines: Lines<BufReader<File>>,
}

impl Column {
    /// Opens the file. Where the number of rows is known, all lines are read once to see that there are as many.
    pub(super) fn open(path: &Path, vectors: &Path, rows: Option<u64>) -> Result<Self, VectorFileError> {
        let open = || -> Result<_, VectorFileError> {
            let file = File::open(path).map_err(|error| Problem::from(error).in_file(path))?;
            Ok(Self {
                path: path.to_owned(),
                vectors: vectors.to_owned(),
                lines: Lines::new(BufReader::new(file)),
            })
        };
        if let Some(rows) = rows {
            open()?.finish(rows)?;
        }
        open()
    }

    /// Hands the next `count` lines to `take`. `rows` is the number of rows of vectors read so far, these included.
    pub(super) fn read(
        &mut self,
        count: usize,
        rows: u64,
        mut take: impl FnMut(String),
    ) -> Result<(), VectorFileError> {
        for _ in 0..count {
            match self.lines.next_line().map_err(|problem| problem.in_file(&self.path))? {
                Some(line) => take(line.to_owned()),
                None => return Err(self.line_count(rows)),
            }
        }
        Ok(())
    }

    /// Reads to the end and fails unless there were `rows` lines.
    pub(super) fn finish(&mut self, rows: u64) -> Result<(), VectorFileError> {
        while self.lines.next_line().map_err(|problem| problem.in_file(&self.path))?.is_some() {}
        if self.lines.number() == rows { Ok(()) } else { Err(self.line_count(rows)) }
    }

    fn line_count(&self, rows: u64) -> VectorFileError {
        let problem =
            Problem::LineCount { expected: rows, got: self.lines.number(), vectors: self.vectors.clone() };
        problem.in_file(&self.path)
    }
}
