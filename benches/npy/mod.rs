//! Rows of an npy file, as f32.

use std::path::Path;

use redknot::Element;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Vectors, one behind the other.
pub(crate) struct Rows {
    pub(crate) dim: usize,
    /// What the file holds.
    #[allow(dead_code, reason = "some benchmarks store everything as f32")]
    pub(crate) element: Element,
    values: Vec<f32>,
}

impl Rows {
    /// Reads a two-dimensional file of f4, i1 or u1.
    pub(crate) fn read(path: &Path) -> Outcome<Rows> {
        let bytes = std::fs::read(path)?;
        let npy = npyz::NpyFile::new(&bytes[..])?;
        let dim = *npy.shape().last().ok_or("a file without rows")? as usize;
        let (element, values) = match npy.dtype().descr().as_str() {
            "'<f4'" => (Element::F32, npy.into_vec::<f32>()?),
            "'|u1'" => (Element::U8, npy.into_vec::<u8>()?.into_iter().map(f32::from).collect()),
            "'|i1'" => (Element::I8, npy.into_vec::<i8>()?.into_iter().map(f32::from).collect()),
            other => return Err(format!("{other} is neither f4, i1 nor u1").into()),
        };
        Ok(Rows { dim, element, values })
    }

    pub(crate) fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dim..][..self.dim]
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.dim
    }
}
