//! Which calls of a [`TestDisk`](super::TestDisk) fail, and how.

use std::io;

/// The kinds of calls that are counted and can fail. Asking for the length never fails while there is power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are the methods of Disk")]
pub enum Operation {
    Read,
    Write,
    SetLen,
    Sync,
}

impl Operation {
    /// Every kind.
    pub const ALL: [Operation; 4] = [Operation::Read, Operation::Write, Operation::SetLen, Operation::Sync];
}

/// How many calls a disk has received, the failed ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operations {
    /// Calls of `read`.
    pub reads: u64,
    /// Calls of `write`.
    pub writes: u64,
    /// Calls of `set_len`.
    pub set_lens: u64,
    /// Calls of `sync`.
    pub syncs: u64,
}

impl Operations {
    /// All calls.
    pub fn total(&self) -> u64 {
        self.reads + self.changes()
    }

    /// The calls that change what is, or will be, on the disk: all but reads.
    pub fn changes(&self) -> u64 {
        self.writes + self.set_lens + self.syncs
    }

    /// Calls of one kind.
    pub fn of(&self, operation: Operation) -> u64 {
        match operation {
            Operation::Read => self.reads,
            Operation::Write => self.writes,
            Operation::SetLen => self.set_lens,
            Operation::Sync => self.syncs,
        }
    }

    pub(super) fn count(&mut self, operation: Operation) {
        match operation {
            Operation::Read => self.reads += 1,
            Operation::Write => self.writes += 1,
            Operation::SetLen => self.set_lens += 1,
            Operation::Sync => self.syncs += 1,
        }
    }
}

/// An error to be returned by one of the coming calls.
///
/// ```
/// # use redknot_storage::test_disk::{Fault, Operation};
/// // The third write from now on fails with EIO after half of its bytes, and so does every later one.
/// let fault = Fault { short_write: true, persistent: true, ..Fault::at(Operation::Write, 3) };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The calls that count and can fail; `None` for all four kinds.
    pub operation: Option<Operation>,
    /// Which of them fails first, counted from when the fault is set; 1 is the next one.
    pub nth: u64,
    /// Kind of the error returned.
    pub kind: io::ErrorKind,
    /// Whether every later call of these kinds fails too, or just the one.
    pub persistent: bool,
    /// A failing write leaves the first half of its bytes in the file (unsynced), instead of nothing.
    pub short_write: bool,
}

impl Fault {
    /// The `nth` call of one kind fails once, with an uncategorised error (as EIO is), and changes nothing.
    pub fn at(operation: Operation, nth: u64) -> Self {
        Self { operation: Some(operation), ..Self::at_any(nth) }
    }

    /// As [`Fault::at`], counting calls of every kind.
    pub fn at_any(nth: u64) -> Self {
        Self { operation: None, nth, kind: io::ErrorKind::Other, persistent: false, short_write: false }
    }
}

/// The size of a disk: growing a file beyond it fails with `ErrorKind::StorageFull`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The longest that the file can be.
    pub bytes: u64,
    /// A write that does not fit leaves the bytes that do in the file (unsynced), instead of nothing.
    pub short_write: bool,
}

impl Capacity {
    /// The largest disk there is, in bytes: 1 GiB, since all of it is held in memory.
    pub const LARGEST: u64 = 1 << 30;

    /// A disk of that many bytes, where a write that does not fit writes nothing.
    pub fn of(bytes: u64) -> Self {
        Self { bytes, short_write: false }
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self::of(Self::LARGEST)
    }
}

/// The faults that have been set, each with the number of matching calls seen so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Vec<(Fault, u64)>,
}

impl Faults {
    pub(super) fn arm(&mut self, fault: Fault) {
        self.armed.push((fault, 0));
    }

    pub(super) fn clear(&mut self) {
        self.armed.clear();
    }

    /// Counts a call and says with which fault it fails, if it does. Faults that can fire no more are removed.
    pub(super) fn take(&mut self, operation: Operation) -> Option<Fault> {
        let mut hit = None;
        self.armed.retain_mut(|(fault, seen)| {
            if fault.operation.is_some_and(|only| only != operation) {
                return true;
            }
            *seen += 1;
            if *seen >= fault.nth {
                hit.get_or_insert(*fault);
            }
            *seen < fault.nth || fault.persistent
        });
        hit
    }
}
