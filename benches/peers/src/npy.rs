//! Reading and writing NumPy arrays; narrow elements become `f32`, because that is what the peers search.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use npyz::{Deserialize, NpyFile, Order, WriterBuilder};

use crate::error::{Error, Result};
use crate::matrix::Matrix;

/// Row numbers, `k` for each query; `u32::MAX` stands where an engine returned fewer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Neighbours {
    pub(crate) k: usize,
    pub(crate) ids: Vec<u32>,
}

impl Neighbours {
    pub(crate) fn queries(&self) -> usize {
        self.ids.len() / self.k
    }

    pub(crate) fn of(&self, query: usize) -> &[u32] {
        &self.ids[query * self.k..(query + 1) * self.k]
    }
}

/// Reads vectors of u8, i8, f16 or f32 as `f32`.
pub(crate) fn read_matrix(path: &Path) -> Result<Matrix> {
    const EXPECTED: &str = "u8, i8, f16 or f32";
    let (file, dim) = open(path, EXPECTED)?;
    let values = match file.dtype().descr().trim_matches('\'') {
        "|u1" => to_f32::<u8>(file),
        "|i1" => to_f32::<i8>(file),
        "<f2" => to_f32::<half::f16>(file),
        "<f4" => to_f32::<f32>(file),
        other => return Err(Error::Npy { path: path.into(), expected: EXPECTED, got: other.into() }),
    };
    Ok(Matrix::new(values.map_err(Error::io(path))?, dim))
}

/// Reads row numbers of i32 (ground truth) or u32 (answers).
pub(crate) fn read_neighbours(path: &Path) -> Result<Neighbours> {
    const EXPECTED: &str = "i32 that are not negative, or u32";
    let (file, k) = open(path, EXPECTED)?;
    let wrong = |got: String| Error::Npy { path: path.into(), expected: EXPECTED, got };
    let ids = match file.dtype().descr().trim_matches('\'') {
        "<u4" => file.into_vec::<u32>().map_err(Error::io(path))?,
        "<i4" => {
            let signed = file.into_vec::<i32>().map_err(Error::io(path))?;
            let ids: std::result::Result<_, _> = signed.into_iter().map(u32::try_from).collect();
            ids.map_err(|_| wrong("a negative row number".into()))?
        }
        other => return Err(wrong(other.into())),
    };
    Ok(Neighbours { k, ids })
}

pub(crate) fn write_matrix(path: &Path, matrix: &Matrix) -> Result<()> {
    write(path, matrix.values(), matrix.dim())
}

pub(crate) fn write_neighbours(path: &Path, neighbours: &Neighbours) -> Result<()> {
    write(path, &neighbours.ids, neighbours.k)
}

fn open(path: &Path, expected: &'static str) -> Result<(NpyFile<BufReader<File>>, usize)> {
    let file = BufReader::with_capacity(1 << 20, File::open(path).map_err(Error::io(path))?);
    let file = NpyFile::new(file).map_err(Error::io(path))?;
    match (file.shape(), file.order()) {
        (&[_, columns], Order::C) if columns > 0 => {
            let columns = columns as usize;
            Ok((file, columns))
        }
        (shape, order) => Err(Error::Npy {
            path: path.into(),
            expected,
            got: format!("shape {shape:?} in {order:?} order"),
        }),
    }
}

fn to_f32<T: Deserialize + Into<f32>>(file: NpyFile<BufReader<File>>) -> std::io::Result<Vec<f32>> {
    file.data::<T>().map_err(std::io::Error::other)?.map(|value| value.map(Into::into)).collect()
}

fn write<T: npyz::AutoSerialize + Copy>(path: &Path, values: &[T], columns: usize) -> Result<()> {
    let shape = [(values.len() / columns) as u64, columns as u64];
    let store = || -> std::io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut npy = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut file).begin_nd()?;
        npy.extend(values.iter().copied())?;
        npy.finish()?;
        file.flush()
    };
    store().map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored<T: npyz::AutoSerialize + Copy>(
        values: &[T],
        columns: usize,
    ) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("array.npy");
        write(&path, values, columns).unwrap();
        (folder, path)
    }

    #[test]
    fn each_element_type_is_widened_to_f32() {
        let half = |value: i8| half::f16::from_f32(value.into());
        let expected = [1.0, 2.0, 3.0, 4.0];
        for (_folder, path) in [
            stored(&[1u8, 2, 3, 4], 2),
            stored(&[1i8, 2, 3, 4], 2),
            stored(&[1, 2, 3, 4].map(half), 2),
            stored(&expected, 2),
        ] {
            let matrix = read_matrix(&path).unwrap();
            assert_eq!((matrix.dim(), matrix.values()), (2, expected.as_slice()));
        }
    }

    #[test]
    fn other_types_shapes_and_negative_row_numbers_are_refused() {
        let (_folder, doubles) = stored(&[1.0f64, 2.0], 1);
        assert!(matches!(read_matrix(&doubles), Err(Error::Npy { .. })));
        let (_folder, negative) = stored(&[3i32, -1], 2);
        assert!(matches!(read_neighbours(&negative), Err(Error::Npy { .. })));
        let (_folder, rows) = stored(&[3i32, 1], 2);
        assert_eq!(read_neighbours(&rows).unwrap().of(0), [3, 1]);
    }
}
