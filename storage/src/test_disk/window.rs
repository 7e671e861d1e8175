//! The moment before a power loss, the ways of losing, and the images that it may leave.

use std::fmt;
use std::sync::Arc;

use fastrand::Rng;

use super::platter;

/// One operation that the disk has acknowledged and no sync has made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Bytes written at an offset; past the end of the file they also grow it.
    Write {
        /// First byte written.
        offset: u64,
        /// The bytes.
        data: Arc<[u8]>,
    },
    /// The file was cut or grown to this length in bytes.
    SetLen(u64),
}

/// The way in which unsynced operations are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The operations up to a random one are on the disk, the later ones are not.
    Prefix,
    /// Every sector of every write is kept or dropped by itself; lengths are kept.
    Drop,
    /// Every sector is kept, dropped, or torn at a random byte: one side new, the other old; lengths are kept.
    Tear,
    /// A random subset of the operations is kept, whole: later ones without earlier ones, also to the same sector.
    Reorder,
    /// One operation reached the disk before all the others.
    OnlyOne,
    /// One operation is missing, everything around it arrived.
    AllButOne,
    /// All data is kept, but each change of the length may be lost, and with it all bytes beyond.
    Length,
    /// [`Loss::Tear`] and [`Loss::Length`] at once.
    Mixed,
    /// Nothing unsynced survived.
    Everything,
    /// Everything survived.
    Nothing,
}

impl Loss {
    /// Every way, in the order in which [`Window::image`] takes them in turn.
    pub const ALL: [Loss; 10] = [
        Loss::Prefix,
        Loss::Drop,
        Loss::Tear,
        Loss::Reorder,
        Loss::OnlyOne,
        Loss::AllButOne,
        Loss::Length,
        Loss::Mixed,
        Loss::Everything,
        Loss::Nothing,
    ];
}

/// A moment in the life of a [`TestDisk`](super::TestDisk): what was durable then, and what was not yet.
///
/// The window of a sync is taken just before the sync takes effect. Windows share their bytes with the disk
/// until it changes, and may outlive it.
#[derive(Clone, Debug)]
pub struct Window {
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) pending: Arc<[Op]>,
    pub(super) operation: u64,
    pub(super) sync: u64,
    pub(super) mark: u64,
}

impl Window {
    /// The content that survives for certain.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// The operations that may or may not survive, oldest first.
    pub fn pending(&self) -> &[Op] {
        &self.pending
    }

    /// Number of writes, length changes and syncs that had reached the disk; it names the window.
    pub fn operation(&self) -> u64 {
        self.operation
    }

    /// Number of syncs that had reached the disk, the one that opened this window included.
    pub fn sync(&self) -> u64 {
        self.sync
    }

    /// The last value given to [`TestDisk::mark`](super::TestDisk::mark).
    pub fn mark(&self) -> u64 {
        self.mark
    }

    /// One possible content after a power loss, a function of the window, `seed` and `number` alone.
    ///
    /// Consecutive numbers go through [`Loss::ALL`] in turn.
    pub fn image(&self, seed: u64, number: u64) -> Image {
        let turn = (number % Loss::ALL.len() as u64) as usize;
        self.image_after(Loss::ALL[turn], seed, number)
    }

    /// As [`Window::image`], with the way of losing chosen by the caller.
    pub fn image_after(&self, loss: Loss, seed: u64, number: u64) -> Image {
        let rng = rng_of(seed, self.operation, number);
        let bytes = platter::after_power_loss(&self.durable, &self.pending, loss, rng);
        Image { loss, seed, window: self.operation, number, bytes }
    }
}

/// One possible content of the disk after a power loss.
///
/// Its `Display` form says how to build it again: print it when a check of the image fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// How the unsynced operations were lost.
    pub loss: Loss,
    /// The seed given to [`Window::image`].
    pub seed: u64,
    /// [`Window::operation`] of the window.
    pub window: u64,
    /// The number given to [`Window::image`].
    pub number: u64,
    /// The content.
    pub bytes: Vec<u8>,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Image { loss, seed, window, number, bytes } = self;
        write!(f, "image {number} of window {window}, seed {seed} ({loss:?}, {} bytes)", bytes.len())
    }
}

/// Odd multipliers keep neighbouring seeds, windows and numbers from drawing related streams.
fn rng_of(seed: u64, window: u64, number: u64) -> Rng {
    let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ window.wrapping_mul(0xC2B2_AE3D_27D4_EB4F).rotate_left(21)
        ^ number.wrapping_mul(0x1656_67B1_9E37_79F9).rotate_left(42);
    Rng::with_seed(mixed)
}
