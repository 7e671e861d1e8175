//! Where the vectors of a graph are read from.

use crate::Error;

/// Vectors by row number, shared by all threads that search or build.
pub trait VectorRows: Sync {
    /// Number of rows; valid row numbers are `0..len`.
    fn len(&self) -> u32;

    /// Whether there are no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of one vector, all rows of the same length.
    fn row(&self, id: u32) -> Result<&[u8], Error>;

    /// Tells the processor that `row(id)` will be read soon. Does nothing by default.
    fn prefetch(&self, _id: u32) {}

    /// Tells the system that these rows will be read soon, where that may mean to wait for a disk. Does nothing by default.
    fn request(&self, _ids: &[u32]) {}
}
