//! Rows of numbers written as npy.

use std::path::Path;

use npyz::WriterBuilder;

use super::error::{Problem, VectorFileError};
use crate::cli::written::Written;

/// Writes rows of `cols` numbers as an npy array of float32 of shape (rows, cols).
pub(crate) fn write_matrix<'r>(
    path: &Path,
    cols: usize,
    rows: impl ExactSizeIterator<Item = &'r [f32]>,
) -> Result<(), VectorFileError> {
    let write = || -> std::io::Result<()> {
        let mut file = Written::create(path)?;
        let shape = [rows.len() as u64, cols as u64];
        let mut writer =
            npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut file).begin_nd()?;
        for row in rows {
            writer.extend(row.iter().copied())?;
        }
        writer.finish()?;
        file.finish()
    };
    write().map_err(|error| Problem::from(error).in_file(path))
}
