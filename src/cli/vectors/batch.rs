//! Rows in memory: as many as one step of an import takes.

use half::f16;
#[cfg(test)]
use redknot_index::Element;
use redknot_index::VectorRef;

/// Consecutive rows of a file.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The coordinates, `[rows, dim]`, row after row.
    pub(crate) values: Values,
    /// One key a row, or empty where the file has none.
    pub(crate) keys: Vec<Key>,
    /// One payload a row, or empty where the file has none. `None` is a row without one in a file where others may have one.
    pub(crate) payloads: Vec<Option<String>>,
}

impl Batch {
    /// Forgets the rows, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.keys.clear();
        self.payloads.clear();
    }
}

/// The key of a row, as the file spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A JSON integer.
    Integer(u64),
    /// A JSON string, or a line of a key file.
    Text(String),
}

/// Coordinates in the type that the file holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
    I8(Vec<i8>),
    U8(Vec<u8>),
}

impl Default for Values {
    fn default() -> Self {
        Self::F32(Vec::new())
    }
}

impl Values {
    /// Number of coordinates: rows × dim.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    /// All coordinates, as the library takes them.
    pub(crate) fn as_vectors(&self) -> VectorRef<'_> {
        match self {
            Self::F32(values) => VectorRef::F32(values),
            Self::F16(values) => VectorRef::F16(values),
            Self::I8(values) => VectorRef::I8(values),
            Self::U8(values) => VectorRef::U8(values),
        }
    }

    /// Row `index` of rows of `dim` coordinates.
    pub(crate) fn row(&self, index: usize, dim: usize) -> VectorRef<'_> {
        let coordinates = index * dim..(index + 1) * dim;
        match self {
            Self::F32(values) => VectorRef::F32(&values[coordinates]),
            Self::F16(values) => VectorRef::F16(&values[coordinates]),
            Self::I8(values) => VectorRef::I8(&values[coordinates]),
            Self::U8(values) => VectorRef::U8(&values[coordinates]),
        }
    }

    /// Forgets the first `count` coordinates.
    pub(crate) fn drop_front(&mut self, count: usize) {
        match self {
            Self::F32(values) => drop(values.drain(..count)),
            Self::F16(values) => drop(values.drain(..count)),
            Self::I8(values) => drop(values.drain(..count)),
            Self::U8(values) => drop(values.drain(..count)),
        }
    }

    /// Keeps the first `len` coordinates.
    pub(crate) fn truncate(&mut self, len: usize) {
        match self {
            Self::F32(values) => values.truncate(len),
            Self::F16(values) => values.truncate(len),
            Self::I8(values) => values.truncate(len),
            Self::U8(values) => values.truncate(len),
        }
    }

    /// Row `index` of rows of `dim` coordinates as f32; exact for every type held here.
    pub(crate) fn row_as_f32(&self, index: usize, dim: usize) -> Vec<f32> {
        let coordinates = index * dim..(index + 1) * dim;
        match self {
            Self::F32(values) => values[coordinates].to_vec(),
            Self::F16(values) => values[coordinates].iter().map(|value| value.to_f32()).collect(),
            Self::I8(values) => values[coordinates].iter().map(|&value| f32::from(value)).collect(),
            Self::U8(values) => values[coordinates].iter().map(|&value| f32::from(value)).collect(),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::F32(values) => values.clear(),
            Self::F16(values) => values.clear(),
            Self::I8(values) => values.clear(),
            Self::U8(values) => values.clear(),
        }
    }
}

#[cfg(test)]
impl Values {
    /// The type of the coordinates.
    pub(crate) fn element(&self) -> Element {
        match self {
            Self::F32(_) => Element::F32,
            Self::F16(_) => Element::F16,
            Self::I8(_) => Element::I8,
            Self::U8(_) => Element::U8,
        }
    }
}
