//! Trainings that were interrupted, as the file keeps them (docs/FORMAT.md, "Interrupted trainings").

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redknot_gnn::train::Checkpoints;
use redknot_storage::{Snapshot, Storage};

use crate::catalog::{self, Bytes, TRAININGS, is_missing};
use crate::error::{Error, Result};

const FORMAT: u32 = 1;
/// A crash costs so much of a training at most, and writing what it takes to go on costs little of that.
const BETWEEN_WRITES: Duration = Duration::from_secs(10);

/// The gradient descents of a training, which the file has from time to time.
pub(super) struct Interrupted<'d> {
    storage: &'d Storage,
    name: &'d str,
    /// The epoch of the index that they learn from.
    epoch: u64,
    /// What the file had of a training that was interrupted.
    before: BTreeMap<u128, Vec<u8>>,
    /// Those of this training.
    descents: BTreeMap<u128, Vec<u8>>,
    /// Whether some of what was there was gone on with.
    pub(super) resumed: bool,
    written: Instant,
    changed: bool,
}

impl<'d> Interrupted<'d> {
    /// What the file has of a training on this state of the collection. What it has of others counts as nothing.
    pub(super) fn of(storage: &'d Storage, name: &'d str, snapshot: &Snapshot, epoch: u64) -> Self {
        let before = read(snapshot, name, epoch).unwrap_or_else(|error| {
            tracing::warn!(%error, collection = name, "training begins anew");
            BTreeMap::new()
        });
        Interrupted {
            storage,
            name,
            epoch,
            before,
            descents: BTreeMap::new(),
            resumed: false,
            written: Instant::now(),
            changed: false,
        }
    }

    /// Forgets them, now that the training has come to its end: what it came to is committed, whatever happens here.
    pub(super) fn forget(mut self) {
        self.changed = false;
        if let Err(error) = self.try_forget() {
            tracing::warn!(%error, collection = self.name, "what an ended training needed is still in the file");
        }
    }

    fn try_forget(&self) -> Result<()> {
        let is_there = match self.storage.snapshot()?.open_table(TRAININGS) {
            Ok(table) => table.get(self.name).map_err(Error::redb)?.is_some(),
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(error.into()),
        };
        if is_there {
            let txn = self.storage.begin_write()?;
            catalog::drop_training(&txn, self.name)?;
            txn.commit()?;
        }
        Ok(())
    }

    /// Writes them down, unless there is nothing new. Does not wait for others that write: a training goes on meanwhile.
    fn write(&mut self) {
        if let Err(error) = self.try_write() {
            // The training itself is none the worse.
            tracing::warn!(%error, collection = self.name, "an interruption would cost all of this training");
            self.written = Instant::now();
        }
    }

    fn try_write(&mut self) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let Some(txn) = self.storage.try_begin_write()? else { return Ok(()) };
        if catalog::existing_in(&txn, self.name)?.index.epoch() != self.epoch {
            // Somebody wrote meanwhile: the next training learns from other rows.
            return Ok(());
        }
        txn.open_table(TRAININGS)?.insert(self.name, self.to_bytes().as_slice()).map_err(Error::redb)?;
        txn.commit()?;
        (self.written, self.changed) = (Instant::now(), false);
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = FORMAT.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        for (descent, state) in &self.descents {
            bytes.extend_from_slice(&descent.to_le_bytes());
            bytes.extend_from_slice(&(state.len() as u64).to_le_bytes());
            bytes.extend_from_slice(state);
        }
        bytes
    }
}

impl Checkpoints for Interrupted<'_> {
    fn find(&mut self, descent: u128) -> Option<Vec<u8>> {
        if let Some(state) = self.before.remove(&descent) {
            self.resumed = true;
            self.descents.insert(descent, state);
        }
        self.descents.get(&descent).cloned()
    }

    fn keep(&mut self, descent: u128, state: Vec<u8>) {
        self.descents.insert(descent, state);
        self.changed = true;
        if self.written.elapsed() >= BETWEEN_WRITES {
            self.write();
        }
    }
}

/// However a training ends but by coming to its end, what it takes to go on is written.
impl Drop for Interrupted<'_> {
    fn drop(&mut self) {
        self.write();
    }
}

/// The descents of an interrupted training on this state of collection `name`.
fn read(snapshot: &Snapshot, name: &str, epoch: u64) -> Result<BTreeMap<u128, Vec<u8>>> {
    let mut descents = BTreeMap::new();
    let table = match snapshot.open_table(TRAININGS) {
        Ok(table) => table,
        Err(error) if is_missing(&error) => return Ok(descents),
        Err(error) => return Err(error.into()),
    };
    let Some(bytes) = table.get(name).map_err(Error::redb)? else { return Ok(descents) };
    let damaged =
        || Error::corrupt(format!("what is kept of a training of collection {name:?} cannot be read"));
    let mut rest = Bytes(bytes.value());
    if rest.u32() != Some(FORMAT) {
        return Err(damaged());
    }
    if rest.u64() != Some(epoch) {
        return Ok(descents);
    }
    while !rest.0.is_empty() {
        let name = rest.take(16).and_then(|name| name.try_into().ok()).ok_or_else(damaged)?;
        let len = rest.u64().ok_or_else(damaged)?;
        let state = rest.take(len as usize).ok_or_else(damaged)?;
        descents.insert(u128::from_le_bytes(name), state.to_vec());
    }
    Ok(descents)
}
