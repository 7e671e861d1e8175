//! What the suite writes, and what must therefore be found: scripts of transactions over a table of short
//! rows and one of page-filling blocks, each with the contents after every commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

/// Array and block number.
pub(crate) type BlockKey = (u64, u32);
type Bytes = Arc<[u8]>;

const ROW_KEYS: u64 = 120;
/// Pages and number of blocks of each array; small enough for files below 1 MiB.
const ARRAYS: [(usize, u32); 3] = [(4096, 24), (16_384, 6), (65_536, 2)];
/// What a B-tree page of one block needs besides it, so that the two fill the page.
const PAGE_OVERHEAD: usize = 20;

#[derive(Clone, Debug)]
pub(crate) enum Change {
    PutRow(u64, Bytes),
    RemoveRow(u64),
    PutBlock(BlockKey, Bytes),
    RemoveBlock(BlockKey),
}

#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) changes: Vec<Change>,
    /// The number it is committed under; `None` where it is aborted.
    pub(crate) commit: Option<u64>,
    pub(crate) quick_repair: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Run(Transaction),
    Reopen,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) rows: BTreeMap<u64, Bytes>,
    pub(crate) blocks: BTreeMap<BlockKey, Bytes>,
}

impl Contents {
    fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::PutRow(key, value) => drop(self.rows.insert(key, value)),
            Change::RemoveRow(key) => drop(self.rows.remove(&key)),
            Change::PutBlock(key, value) => drop(self.blocks.insert(key, value)),
            Change::RemoveBlock(key) => drop(self.blocks.remove(&key)),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) cache_bytes: usize,
    pub(crate) steps: Vec<Step>,
    /// `after[n]` is what the store holds once commit `n` is done; `after[0]` is empty.
    pub(crate) after: Vec<Contents>,
}

impl Script {
    /// A script of `length` steps that is a function of `seed`.
    pub(crate) fn new(seed: u64, length: usize) -> Script {
        let mut rng = Rng::with_seed(seed);
        // Without a cache every page goes to the disk as it is written, long before its commit.
        let cache_bytes = if rng.bool() { 0 } else { 1 << 20 };
        let mut script = Script { seed, cache_bytes, steps: Vec::new(), after: vec![Contents::default()] };
        for _ in 0..length {
            let step = script.step(&mut rng);
            script.steps.push(step);
        }
        script
    }

    fn step(&mut self, rng: &mut Rng) -> Step {
        if rng.u8(..10) == 0 {
            return Step::Reopen;
        }
        let aborted = rng.u8(..8) == 0;
        let most = if rng.u8(..6) == 0 { 60 } else { 8 };
        let changes: Vec<Change> = (0..rng.usize(1..=most)).map(|_| change(rng)).collect();
        let commit = (!aborted).then_some(self.after.len() as u64);
        if commit.is_some() {
            let mut next = self.after.last().cloned().unwrap_or_default();
            changes.iter().for_each(|change| next.apply(change));
            self.after.push(next);
        }
        Step::Run(Transaction { changes, commit, quick_repair: rng.u8(..4) == 0 })
    }
}

/// One more commit after `commit`, for a store that was just recovered.
pub(crate) fn next_transaction(contents: &Contents, commit: u64, seed: u64) -> (Transaction, Contents) {
    let mut rng = Rng::with_seed(seed ^ commit);
    let changes: Vec<Change> = (0..12).map(|_| change(&mut rng)).collect();
    let mut next = contents.clone();
    changes.iter().for_each(|change| next.apply(change));
    (Transaction { changes, commit: Some(commit + 1), quick_repair: false }, next)
}

fn change(rng: &mut Rng) -> Change {
    let removes = rng.u8(..5) == 0;
    if rng.u8(..3) > 0 {
        let key = rng.u64(..ROW_KEYS);
        let bytes = rng.usize(..600);
        return if removes { Change::RemoveRow(key) } else { Change::PutRow(key, noise(rng, bytes)) };
    }
    // Half of the blocks written are small ones, or the large would drown them.
    let array = [0, 0, 0, 1, 1, 2][rng.usize(..6)];
    let (page_bytes, blocks) = ARRAYS[array];
    let key = (array as u64, rng.u32(..blocks));
    if removes {
        Change::RemoveBlock(key)
    } else {
        Change::PutBlock(key, noise(rng, page_bytes - PAGE_OVERHEAD))
    }
}

fn noise(rng: &mut Rng, bytes: usize) -> Bytes {
    let mut value = vec![0; bytes];
    rng.fill(&mut value);
    value.into()
}
