//! What a [`TestDisk`](super::TestDisk) holds behind its lock, and what each call does to it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;

use super::Capture;
use super::fault::{Capacity, Fault, Faults, Operation, Operations};
use super::window::{Loss, Op, Window};

#[derive(Debug, Default)]
pub(super) struct State {
    /// What readers see.
    pub(super) live: Vec<u8>,
    durable: Arc<Vec<u8>>,
    pending: Vec<Op>,
    pub(super) operations: Operations,
    pub(super) mark: u64,
    pub(super) capture: Option<Capture>,
    /// The window that the call in progress has opened.
    pub(super) due: Option<Window>,
    pub(super) faults: Faults,
    pub(super) capacity: Capacity,
    pub(super) crash_in: Option<u64>,
    pub(super) lost_power: bool,
    pub(super) ignore_syncs: bool,
}

/// What a call meets.
enum Verdict {
    Passes,
    Fails(Fault),
    /// The power goes in the middle of it.
    PowerLoss,
}

impl State {
    pub(super) fn new(image: Vec<u8>) -> Self {
        Self { live: image.clone(), durable: Arc::new(image), ..Self::default() }
    }

    pub(super) fn window(&self) -> Window {
        Window {
            durable: Arc::clone(&self.durable),
            pending: self.pending.as_slice().into(),
            operation: self.operations.changes(),
            sync: self.operations.syncs,
            mark: self.mark,
        }
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        if self.lost_power { Err(power_lost()) } else { Ok(self.live.len() as u64) }
    }

    pub(super) fn read(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.admit(Operation::Read)? {
            Verdict::Passes => {}
            Verdict::Fails(fault) => return Err(injected(fault, Operation::Read, &self.operations)),
            Verdict::PowerLoss => return Err(power_lost()),
        }
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.live.get(start..start.checked_add(out.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn write(&mut self, mirror: Option<&File>, offset: u64, data: &[u8]) -> io::Result<()> {
        let fits = self.fitting(offset, data.len());
        let result = match self.admit(Operation::Write)? {
            Verdict::PowerLoss => {
                if fits > 0 {
                    self.pending.push(Op::Write { offset, data: data[..fits].into() });
                }
                return Err(power_lost());
            }
            Verdict::Fails(fault) => {
                let arrived = if fault.short_write { fits.min(data.len() / 2) } else { 0 };
                self.put(mirror, offset, &data[..arrived])?;
                Err(injected(fault, Operation::Write, &self.operations))
            }
            Verdict::Passes if fits < data.len() => {
                let arrived = if self.capacity.short_write { fits } else { 0 };
                self.put(mirror, offset, &data[..arrived])?;
                Err(self.storage_full())
            }
            Verdict::Passes => self.put(mirror, offset, data),
        };
        self.capture_change();
        result
    }

    pub(super) fn set_len(&mut self, mirror: Option<&File>, len: u64) -> io::Result<()> {
        let fits = len <= self.limit();
        let result = match self.admit(Operation::SetLen)? {
            Verdict::PowerLoss => {
                if fits {
                    self.pending.push(Op::SetLen(len));
                }
                return Err(power_lost());
            }
            Verdict::Fails(fault) => Err(injected(fault, Operation::SetLen, &self.operations)),
            Verdict::Passes if !fits => Err(self.storage_full()),
            Verdict::Passes => Ok(()),
        };
        if result.is_ok() {
            if let Some(file) = mirror {
                file.set_len(len)?;
            }
            let op = Op::SetLen(len);
            apply(&mut self.live, std::slice::from_ref(&op));
            self.pending.push(op);
        }
        self.capture_change();
        result
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        let verdict = self.admit(Operation::Sync)?;
        if let Some(Capture::Syncs { every }) = self.capture
            && self.operations.syncs.is_multiple_of(every)
        {
            self.due = Some(self.window());
        }
        let result = match verdict {
            Verdict::PowerLoss => return Err(power_lost()),
            Verdict::Passes if self.ignore_syncs => Ok(()),
            Verdict::Passes => {
                let pending = std::mem::take(&mut self.pending);
                apply(Arc::make_mut(&mut self.durable), &pending);
                Ok(())
            }
            Verdict::Fails(fault) => {
                self.strand();
                Err(injected(fault, Operation::Sync, &self.operations))
            }
        };
        self.capture_change();
        result
    }

    /// Counts a call, unless there is no power, and says what it meets.
    fn admit(&mut self, operation: Operation) -> io::Result<Verdict> {
        if self.lost_power {
            return Err(power_lost());
        }
        self.operations.count(operation);
        if operation != Operation::Read
            && let Some(left) = &mut self.crash_in
        {
            if *left == 0 {
                self.lost_power = true;
                return Ok(Verdict::PowerLoss);
            }
            *left -= 1;
        }
        Ok(self.faults.take(operation).map_or(Verdict::Passes, Verdict::Fails))
    }

    fn put(&mut self, mirror: Option<&File>, offset: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        if let Some(file) = mirror {
            write_file(file, offset, data)?;
        }
        let op = Op::Write { offset, data: data.into() };
        apply(&mut self.live, std::slice::from_ref(&op));
        self.pending.push(op);
        Ok(())
    }

    /// The longest that the file may be: one that is longer already may be written and cut.
    fn limit(&self) -> u64 {
        self.capacity.bytes.min(Capacity::LARGEST).max(self.live.len() as u64)
    }

    /// How many of `len` bytes at `offset` there is room for.
    fn fitting(&self, offset: u64, len: usize) -> usize {
        usize::try_from(self.limit().saturating_sub(offset)).map_or(len, |room| room.min(len))
    }

    fn storage_full(&self) -> io::Error {
        let limit = self.limit();
        io::Error::new(io::ErrorKind::StorageFull, format!("the test disk holds {limit} bytes"))
    }

    /// A failed sync: the kernel holds the unsynced pages for clean, whether or not they reached the disk.
    fn strand(&mut self) {
        self.durable = Arc::new(self.window().image_after(Loss::Drop, 0, 0).bytes);
        self.pending.clear();
    }

    fn capture_change(&mut self) {
        if let Some(Capture::Changes { every }) = self.capture
            && self.operations.changes().is_multiple_of(every)
        {
            self.due = Some(self.window());
        }
    }
}

/// Writes all of `data` at `offset`. The caller holds the only handle that moves the file's cursor.
pub(super) fn write_file(mut file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(data)
}

fn apply(content: &mut Vec<u8>, ops: &[Op]) {
    for op in ops {
        match op {
            // No operation is accepted that reaches beyond `Capacity::LARGEST`, which fits a usize.
            Op::SetLen(len) => content.resize(*len as usize, 0),
            Op::Write { offset, data } => {
                let start = *offset as usize;
                let end = start + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[start..end].copy_from_slice(data);
            }
        }
    }
}

fn power_lost() -> io::Error {
    io::Error::other("the test disk lost power")
}

fn injected(fault: Fault, operation: Operation, so_far: &Operations) -> io::Error {
    io::Error::new(fault.kind, format!("injected fault at {operation:?} {}", so_far.of(operation)))
}
