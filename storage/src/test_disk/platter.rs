//! The medium while the power goes: which sectors of which operations reach it.

use std::ops::Range;

use fastrand::Rng;

use super::window::{Loss, Op};

/// Bytes that a disk writes together, where nothing goes wrong.
const SECTOR_BYTES: usize = 512;

/// What the file holds when some of the pending operations have been lost.
pub(super) fn after_power_loss(durable: &[u8], pending: &[Op], loss: Loss, rng: Rng) -> Vec<u8> {
    let mut fate = Fate::new(loss, pending.len(), rng);
    let mut platter = Platter { bytes: durable.to_vec(), len: durable.len() };
    for (index, op) in pending.iter().enumerate() {
        platter.apply(op, &mut fate, index);
    }
    platter.bytes.truncate(platter.len);
    platter.bytes
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
}

/// The parts of a write of `len` bytes at `offset` that lie in one sector each, relative to the write.
fn sectors(offset: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == len {
            return None;
        }
        let end = len.min(start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES);
        let part = start..end;
        start = end;
        Some(part)
    })
}
