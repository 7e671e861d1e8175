//! Parallel construction of an HNSW graph in memory (Malkov & Yashunin 2016, algorithm 1).

mod findable;
mod level;
mod link;
mod locality;
mod params;
mod repair;
mod select;

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;

use crate::{Error, Kernel, MemGraph, VectorRows, search::ScratchPool};
pub(crate) use findable::finds;
pub(crate) use level::of_row as level_of_row;
use link::{LinkScratch, Linker};
pub use params::BuildParams;
pub(crate) use select::{diverse, new_links};

/// Rows that a thread takes at a time.
const BATCH_ROWS: usize = 32;
/// So many rows are linked by one thread before others join: rows that are linked at the same moment do not see each
/// other, which in a nearly empty graph would leave each with next to no links.
const SERIAL_ROWS: usize = 256;

/// One row in so many is linked in the order given, before the rest is sorted by place: the long links of a graph come
/// from rows that were linked while their true neighbours were not there yet. With fewer, recall at equal effort falls
/// behind that of a graph built in the order given throughout (by 0.002 on sentence embeddings with a sixteenth).
const UNSORTED_PART: usize = 2;

/// How often rows are linked to that searches do not find; once is enough unless all rows around are full.
const FINISHING_ROUNDS: usize = 4;

/// A row that waits for its links.
#[derive(Clone, Copy)]
struct Pending {
    id: u32,
    level: u8,
    /// The nearest row of layer 1, once known: where the search for its neighbours in the base layer starts.
    start: Option<u32>,
}

/// Links rows into a graph, from nothing or continuing one that has linked rows already.
///
/// [`Builder::link`] works on the threads of the current rayon pool. Between two calls nothing runs and nothing is
/// borrowed, so the graph can be written out as a checkpoint; the linked rows are then a prefix of the pending ones.
pub struct Builder {
    kernel: Kernel,
    params: BuildParams,
    graph: MemGraph,
    pending: Vec<Pending>,
    linked: usize,
    /// One lock a row, held while its links are rewritten.
    locks: Vec<Mutex<()>>,
    scratches: ScratchPool<LinkScratch>,
}

/// Told how many rows are linked and how many there are to link, from any thread; breaking cancels the call.
pub type OnLinked<'p> = &'p (dyn Fn(usize, usize) -> ControlFlow<()> + Sync);

impl Builder {
    /// Prepares to link `pending` into `graph`: first the rows that reach above the base layer, in the given order, then
    /// the others, those near each other one after the other.
    ///
    /// A row number that the graph does not have, that is linked already or named twice is an error.
    pub fn new(
        kernel: Kernel,
        params: BuildParams,
        mut graph: MemGraph,
        pending: impl IntoIterator<Item = u32>,
    ) -> Result<Self, Error> {
        params.check()?;
        let pending = plan(&mut graph, params.seed, pending)?;
        let locks = (0..graph.len()).map(|_| Mutex::new(())).collect();
        Ok(Self { kernel, params, graph, pending, linked: 0, locks, scratches: ScratchPool::default() })
    }

    /// Links the next `limit` rows, or those that are left, and returns how many are left then. `rows` are those of
    /// the graph, the same in every call.
    ///
    /// `progress` is called every few rows; if it breaks, the rows under way are finished and the answer is
    /// [`Error::Cancelled`]. After that the graph is consistent and linking can go on; after any other error it is not.
    pub fn link<R: VectorRows + ?Sized>(
        &mut self,
        rows: &R,
        limit: usize,
        progress: OnLinked<'_>,
    ) -> Result<usize, Error> {
        let end = self.linked.saturating_add(limit).min(self.pending.len());
        while self.linked < end {
            let high = self.pending.partition_point(|row| row.level > 0);
            let unsorted = high.max(self.pending.len() / UNSORTED_PART);
            if self.linked >= unsorted && self.pending[self.linked].start.is_none() {
                let rest = &mut self.pending[self.linked..];
                locality::sort(rest, &self.graph, rows, &self.kernel)?;
            }
            let (threads, step_end) = match self.linked {
                // Alone: the row that becomes the entry point, which all others start from.
                0 => (1, 1),
                few if few < SERIAL_ROWS => (1, SERIAL_ROWS),
                few if few < unsorted => (rayon::current_num_threads(), unsorted),
                _ => (rayon::current_num_threads(), end),
            };
            self.link_until(rows, step_end.min(end), threads, progress)?;
        }
        Ok(self.remaining())
    }

    /// The graph as it is. Rows that still wait for their links are unlinked in it.
    pub fn graph(&self) -> &MemGraph {
        &self.graph
    }

    /// Hands out the graph as it is. Rows that still wait stay unlinked.
    pub fn into_graph(self) -> MemGraph {
        self.graph
    }

    /// Rows that wait for their links.
    pub fn remaining(&self) -> usize {
        self.pending.len() - self.linked
    }

    /// Connects what greedy linking left unreachable, and links what a search for its own vector does not find. Rows that
    /// still wait stay unlinked.
    ///
    /// `progress` is told as by [`Builder::link`]; after it broke, `finish` can be called again.
    pub fn finish<R: VectorRows + ?Sized>(&mut self, rows: &R, progress: OnLinked<'_>) -> Result<(), Error> {
        let go_on = || progress(self.linked, self.pending.len()).is_continue();
        for _ in 0..FINISHING_ROUNDS {
            for layer in (0..=self.graph.top_level()).rev() {
                repair::reconnect(&mut self.graph, rows, &self.kernel, self.params.ef_construction, layer)?;
            }
            if findable::make_findable(&self.graph, rows, &self.kernel, &go_on)? {
                return Ok(());
            }
        }
        repair::reconnect(&mut self.graph, rows, &self.kernel, self.params.ef_construction, 0)
    }

    fn link_until<R: VectorRows + ?Sized>(
        &mut self,
        rows: &R,
        end: usize,
        threads: usize,
        progress: OnLinked<'_>,
    ) -> Result<(), Error> {
        let start = self.linked;
        let queue = Queue::new(start, end);
        let work = || {
            let linker = Linker {
                graph: &self.graph,
                rows,
                kernel: &self.kernel,
                locks: &self.locks,
                ef: self.params.ef_construction,
            };
            self.scratches.with(|scratch| {
                while let Some(batch) = queue.take() {
                    for row in &self.pending[batch.clone()] {
                        if let Err(error) = linker.link(row, scratch) {
                            queue.fail(error);
                        }
                    }
                    if progress(queue.finish(batch.len()), self.pending.len()).is_break() {
                        queue.stop();
                    }
                }
            });
        };
        match threads {
            1 => work(),
            _ => rayon::scope(|scope| (0..threads).for_each(|_| scope.spawn(|_| work()))),
        }
        let Queue { next, stopped, failure, .. } = queue;
        self.linked = next.into_inner().min(end);
        for row in &self.pending[start..self.linked] {
            self.graph.mark_linked(row.id, row.level);
        }
        match failure.into_inner() {
            Some(error) => Err(error),
            None if stopped.into_inner() && self.linked < end => Err(Error::Cancelled),
            None => Ok(()),
        }
    }
}

/// Draws the levels of the pending rows, makes room for their links, and puts those in front that reach above the base
/// layer, of these the highest first: if it becomes the entry point, the entry point does not change after it.
fn plan(graph: &mut MemGraph, seed: u64, ids: impl IntoIterator<Item = u32>) -> Result<Vec<Pending>, Error> {
    let len = graph.len();
    let mut named = vec![false; len as usize];
    let mut pending = Vec::new();
    for id in ids {
        let named = named.get_mut(id as usize).ok_or(Error::RowOutOfRange { id, len })?;
        if std::mem::replace(named, true) || graph.level(id).is_some() {
            return Err(Error::AlreadyLinked { id });
        }
        let level = level::of_row(seed, id, graph.m());
        pending.push(Pending { id, level, start: None });
    }
    for row in &pending {
        graph.reserve_upper(row.id, row.level);
    }
    pending.sort_by_key(|row| row.level == 0);
    if let Some(highest) = (0..pending.len()).rev().max_by_key(|&at| pending[at].level) {
        pending[..=highest].rotate_right(1);
    }
    Ok(pending)
}

/// Hands out batches of pending rows in order, so that what was handed out is a prefix.
struct Queue {
    next: AtomicUsize,
    end: usize,
    done: AtomicUsize,
    stopped: AtomicBool,
    failure: Mutex<Option<Error>>,
}

impl Queue {
    fn new(start: usize, end: usize) -> Self {
        Self {
            next: AtomicUsize::new(start),
            end,
            done: AtomicUsize::new(start),
            stopped: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    fn take(&self) -> Option<std::ops::Range<usize>> {
        if self.stopped.load(Relaxed) {
            return None;
        }
        let start = self.next.fetch_add(BATCH_ROWS, Relaxed);
        (start < self.end).then(|| start..self.end.min(start + BATCH_ROWS))
    }

    /// Counts finished rows and returns how many there are now.
    fn finish(&self, rows: usize) -> usize {
        self.done.fetch_add(rows, Relaxed) + rows
    }

    fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    fn fail(&self, error: Error) {
        self.failure.lock().get_or_insert(error);
        self.stop();
    }
}
