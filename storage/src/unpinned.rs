//! A snapshot without its pin: the control of the torture test, which must notice that the pin is missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::array::{ArrayId, ArrayInfo, Blocks, Rows};
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::map::Map;
use crate::snapshot::{ArrayState, Snapshot, View};

/// The addresses of a snapshot's blocks, without the transaction that keeps their pages from being reused.
#[derive(Debug)]
pub struct Unpinned {
    arrays: BTreeMap<ArrayId, Arc<ArrayState>>,
    _map: Option<Arc<Map>>,
}

impl Unpinned {
    /// Finds every block of `snapshot`, which may be dropped afterwards.
    ///
    /// # Safety
    /// There is no safe way to use it: once the snapshot is dropped, the bytes under the slices change. The file
    /// must at least not be cut while the value lives.
    #[expect(unsafe_code, reason = "the missing pin is the point")]
    pub unsafe fn of(snapshot: &Snapshot) -> Result<Unpinned> {
        for info in snapshot.arrays() {
            let state = snapshot.state(info.id)?;
            let blocks = Blocks::new(info, &state.table, Some((snapshot, state)));
            for block in 0..info.spec.blocks(info.rows) {
                blocks.payload(block)?;
            }
        }
        Ok(Unpinned { arrays: snapshot.states().clone(), _map: snapshot.map() })
    }

    fn blocks(&self, id: ArrayId) -> Result<Blocks<'_>> {
        let state = self.arrays.get(&id).ok_or(Error::UnknownArray(id))?;
        Ok(Blocks::new(state.info, &state.table, None))
    }
}

impl View for Unpinned {
    fn rows(&self, id: ArrayId) -> Result<Rows<'_>> {
        Rows::new(self.blocks(id)?)
    }

    fn csr(&self, id: ArrayId) -> Result<Csr<'_>> {
        Csr::new(self.blocks(id)?)
    }

    fn array(&self, id: ArrayId) -> Result<ArrayInfo> {
        Ok(self.blocks(id)?.info)
    }
}
