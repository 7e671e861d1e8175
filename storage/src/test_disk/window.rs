//! What a power loss may leave: a [`Window`] of unsynced operations, and the images built from it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use fastrand::Rng;

/// Bytes that a disk writes together, where nothing goes wrong.
pub(super) const SECTOR_BYTES: u64 = 512;

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
        let mut fate = Fate::new(loss, self.pending.len(), rng_of(seed, self.operation, number));
        let mut platter = Platter::new(&self.durable);
        for (index, op) in self.pending.iter().enumerate() {
            platter.apply(op, &mut fate, index);
        }
        Image { loss, seed, window: self.operation, number, bytes: platter.into_bytes() }
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

/// Decides what becomes of each operation and each sector.
struct Fate {
    loss: Loss,
    rng: Rng,
    /// The operation at which a prefix ends, or the one that stands alone.
    chosen: usize,
    /// Of 256 coins, how many say "kept". Few images have either nearly all or nearly nothing under a fair
    /// coin, and those are where an order that the writer relies on shows.
    kept_of_256: u8,
}

/// What becomes of one sector's part of a write.
enum Sector {
    Kept,
    Lost,
    /// The new bytes that arrived, relative to the part.
    Torn(Range<usize>),
}

impl Fate {
    fn new(loss: Loss, operations: usize, mut rng: Rng) -> Self {
        let chosen = match loss {
            Loss::Prefix => rng.usize(..=operations),
            _ => rng.usize(..operations.max(1)),
        };
        let kept_of_256 = [8, 64, 128, 192, 248][rng.usize(..5)];
        Self { loss, rng, chosen, kept_of_256 }
    }

    fn coin(&mut self) -> bool {
        self.rng.u8(..) < self.kept_of_256
    }

    /// Whether operation `index` took part at all. Drawn once per operation.
    fn keeps_operation(&mut self, index: usize) -> bool {
        match self.loss {
            Loss::Prefix => index < self.chosen,
            Loss::Reorder => self.coin(),
            Loss::OnlyOne => index == self.chosen,
            Loss::AllButOne => index != self.chosen,
            Loss::Everything => false,
            Loss::Drop | Loss::Tear | Loss::Length | Loss::Mixed | Loss::Nothing => true,
        }
    }

    fn keeps_length(&mut self) -> bool {
        match self.loss {
            Loss::Length | Loss::Mixed => self.coin(),
            _ => true,
        }
    }

    fn sector(&mut self, len: usize) -> Sector {
        let may_tear = matches!(self.loss, Loss::Tear | Loss::Mixed);
        let may_drop = may_tear || self.loss == Loss::Drop;
        if may_tear && self.rng.u8(..4) == 0 {
            let at = self.rng.usize(..len);
            return Sector::Torn(if self.rng.bool() { 0..at } else { at..len });
        }
        if may_drop && !self.coin() { Sector::Lost } else { Sector::Kept }
    }
}

/// The medium while operations reach it. Bytes beyond `len` are on the medium but not in the file: a later
/// change of the length that does survive brings them into it.
struct Platter {
    bytes: Vec<u8>,
    len: usize,
}

impl Platter {
    fn new(durable: &[u8]) -> Self {
        Self { bytes: durable.to_vec(), len: durable.len() }
    }

    fn apply(&mut self, op: &Op, fate: &mut Fate, index: usize) {
        if !fate.keeps_operation(index) {
            return;
        }
        match op {
            Op::SetLen(len) => {
                if fate.keeps_length() {
                    self.set_len(*len as usize);
                }
            }
            Op::Write { offset, data } => self.write(*offset as usize, data, fate),
        }
    }

    fn set_len(&mut self, len: usize) {
        // What is cut off is gone: a file that grows again shows zeros there.
        self.bytes.truncate(self.len.min(len));
        self.bytes.resize(len, 0);
        self.len = len;
    }

    fn write(&mut self, offset: usize, data: &[u8], fate: &mut Fate) {
        let end = offset + data.len();
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        if end > self.len && fate.keeps_length() {
            self.len = end;
        }
        for part in sectors(offset, data.len()) {
            let old = &mut self.bytes[offset + part.start..offset + part.end];
            let new = &data[part.clone()];
            match fate.sector(part.len()) {
                Sector::Kept => old.copy_from_slice(new),
                Sector::Lost => {}
                Sector::Torn(arrived) => old[arrived.clone()].copy_from_slice(&new[arrived]),
            }
        }
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }
}

/// The parts of a write of `len` bytes at `offset` that lie in one sector each, relative to the write.
fn sectors(offset: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    let sector = SECTOR_BYTES as usize;
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == len {
            return None;
        }
        let end = len.min(start + sector - (offset + start) % sector);
        let part = start..end;
        start = end;
        Some(part)
    })
}
