//! Rows of numbers written as npy.

use std::io::{self, Write};

use npyz::WriterBuilder;

/// Writes rows of `cols` numbers as an npy array of float32 of shape (rows, cols).
pub(crate) fn write_matrix<'r>(
    output: &mut impl Write,
    cols: usize,
    rows: impl ExactSizeIterator<Item = &'r [f32]>,
) -> io::Result<()> {
    let shape = [rows.len() as u64, cols as u64];
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(output).begin_nd()?;
    for row in rows {
        writer.extend(row.iter().copied())?;
    }
    writer.finish()
}
