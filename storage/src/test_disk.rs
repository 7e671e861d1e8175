//! A disk that loses power, fails calls and fills up on command: what the crash and fault suites put under
//! a database.
//!
//! ```
//! use redknot_storage::Disk;
//! use redknot_storage::test_disk::{Capture, TestDisk};
//!
//! let disk = TestDisk::new()?;
//! let (windows, seen) = std::sync::mpsc::channel();
//! disk.capture(Capture::Syncs { every: 1 }, move |window| windows.send(window).expect("the test listens"));
//! disk.write(0, b"balance: 7")?;
//! disk.sync()?;
//!
//! let window = seen.recv()?;
//! for number in 0..100 {
//!     let image = window.image(42, number);
//!     let what = image.to_string(); // enough to build this image again
//!     let after = TestDisk::from_image(image.bytes)?;
//!     assert!(after.len()? <= 10, "{what}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fault;
mod platter;
mod power_loss;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed call fails the test")]
mod tests;
mod window;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use self::state::State;
use crate::Disk;

pub use self::fault::{Capacity, Fault, Operation, Operations};
pub use self::power_loss::{Failure, PowerLosses, Report, Script, Trial};
pub use self::window::{Image, Loss, Op, Window};

/// When a disk hands out a [`Window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capture {
    /// Just before every `every`-th sync takes effect.
    Syncs {
        /// 1 for each; 0 for none.
        every: u64,
    },
    /// After every `every`-th write, length change or sync.
    Changes {
        /// 1 for each; 0 for none.
        every: u64,
    },
}

/// A fault-injecting disk. Clones are handles to the same disk: give one to the database and keep one.
///
/// What is written is live at once, for `read` and for the mapping of `file`; a sync makes it durable. A sync
/// that fails leaves behind what Linux leaves: each unsynced sector is on the disk or is not, and no later
/// sync writes it again, though reads still see it.
#[derive(Clone)]
pub struct TestDisk {
    shared: Arc<Shared>,
}

struct Shared {
    /// A copy of the live bytes in a real file, for mapping; `None` forces owned reads.
    mirror: Option<File>,
    state: Mutex<State>,
    sink: Mutex<Option<Sink>>,
}

type Sink = Box<dyn FnMut(Window) + Send>;

impl TestDisk {
    /// An empty disk whose file can be mapped.
    pub fn new() -> io::Result<Self> {
        Self::from_image(Vec::new())
    }

    /// A disk that holds `image`, all of it durable, and whose file can be mapped.
    ///
    /// The file is a temporary one, unlinked already, and in memory where the system has a place for that.
    pub fn from_image(image: Vec<u8>) -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let file = if cfg!(target_os = "linux") && memory.is_dir() {
            tempfile::tempfile_in(memory)?
        } else {
            tempfile::tempfile()?
        };
        state::write_file(&file, 0, &image)?;
        Ok(Self::with(Some(file), image))
    }

    /// As [`TestDisk::from_image`], but `file` gives `None`, so that every block is read as an owned copy.
    pub fn unmapped(image: Vec<u8>) -> Self {
        Self::with(None, image)
    }

    fn with(mirror: Option<File>, image: Vec<u8>) -> Self {
        let state = Mutex::new(State::new(image));
        Self { shared: Arc::new(Shared { mirror, state, sink: Mutex::new(None) }) }
    }

    /// Calls `sink` with a window at the given moments, from the thread whose call reached the disk and before
    /// that call returns. One sink at a time: a new one replaces the old. The sink must not change this disk.
    ///
    /// A window holds a copy of the file until it is dropped; a sink that hands windows to other threads
    /// should do so through a bounded channel.
    pub fn capture(&self, at: Capture, sink: impl FnMut(Window) + Send + 'static) {
        self.shared.state.lock().capture = Some(at);
        *self.shared.sink.lock() = Some(Box::new(sink));
    }

    /// Stops what [`TestDisk::capture`] began and drops its sink.
    pub fn stop_capture(&self) {
        self.shared.state.lock().capture = None;
        *self.shared.sink.lock() = None;
    }

    /// The window of this moment; also after the power was lost.
    pub fn window(&self) -> Window {
        self.shared.state.lock().window()
    }

    /// The live content, as readers see it.
    pub fn live(&self) -> Vec<u8> {
        self.shared.state.lock().live.clone()
    }

    /// A number that every later window carries, for instance the last acknowledged commit.
    pub fn mark(&self, mark: u64) {
        self.shared.state.lock().mark = mark;
    }

    /// The calls received so far.
    pub fn operations(&self) -> Operations {
        self.shared.state.lock().operations
    }

    /// Lets `changes` more writes, length changes and syncs pass; the next one loses the power, and from then
    /// on every call fails. That last one, if it is not a sync, is pending in [`TestDisk::window`]: it may
    /// reach the disk, though it returned an error.
    pub fn crash_after(&self, changes: u64) {
        self.shared.state.lock().crash_in = Some(changes);
    }

    /// Whether the power was lost.
    pub fn lost_power(&self) -> bool {
        self.shared.state.lock().lost_power
    }

    /// Sets a fault. Several can be set; where two fire at one call, the earlier one decides.
    pub fn fail(&self, fault: Fault) {
        self.shared.state.lock().faults.arm(fault);
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.shared.state.lock().faults.clear();
    }

    /// Limits the length of the file; `Capacity::default()` lifts the limit.
    pub fn set_capacity(&self, capacity: Capacity) {
        self.shared.state.lock().capacity = capacity;
    }

    /// From now on a sync reports success and makes nothing durable: the control that shows that a crash
    /// suite can fail.
    pub fn ignore_syncs(&self) {
        self.shared.state.lock().ignore_syncs = true;
    }

    /// Runs a call that may open a window, and hands the window on once the state is unlocked.
    fn change(&self, call: impl FnOnce(&mut State, Option<&File>) -> io::Result<()>) -> io::Result<()> {
        let (result, due) = {
            let mut state = self.shared.state.lock();
            let result = call(&mut state, self.shared.mirror.as_ref());
            (result, state.due.take())
        };
        if let Some(window) = due
            && let Some(sink) = self.shared.sink.lock().as_mut()
        {
            sink(window);
        }
        result
    }
}

impl Disk for TestDisk {
    fn len(&self) -> io::Result<u64> {
        self.shared.state.lock().len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.shared.state.lock().read(offset, out)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|state, mirror| state.write(mirror, offset, data))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|state, mirror| state.set_len(mirror, len))
    }

    fn sync(&self) -> io::Result<()> {
        self.change(|state, _| state.sync())
    }

    fn file(&self) -> Option<&File> {
        self.shared.mirror.as_ref()
    }
}

impl fmt::Debug for TestDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock();
        f.debug_struct("TestDisk")
            .field("len", &state.live.len())
            .field("operations", &state.operations)
            .field("lost_power", &state.lost_power)
            .finish_non_exhaustive()
    }
}
