//! Bulk build: links the unlinked nodes of an index in memory and writes the graph back in a new order.
//!
//! The file goes through these states, each committed, so that a crash loses no more than one of them:
//! rows without links → (checkpoint)* → new arrays being written → the record names the new arrays.

use std::collections::HashMap;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use redknot_storage::{ArrayId, ArraySpec, PageSize, Rows, View, WriteTxn};

use super::links::{NodeLinks, encode_upper};
use super::reader::Reader;
use super::{FREE, StoredLinks, StoredRows, UNLINKED, level_of};
use crate::record::{Arrays, Checkpoint, LEVELS_PER_ROW};
use crate::{BuildParams, Builder, Error, IndexRecord, Kernel, MemGraph, Permutation, reorder};

/// Rows that are linked between two looks at the clock; the threads wait for each other as often.
const ROWS_PER_LINK: usize = 4096;
/// Rows that are written between two reports of progress.
const ROWS_PER_ROUND: usize = 1024;
/// Checkpoints are so much further apart than the time one takes, whatever the options say.
const CHECKPOINT_SHARE: u32 = 20;
/// Changed bytes that a transaction of the writing phase collects before it commits.
const MAX_DIRTY_BYTES: usize = 24 << 20;
/// Vectors are copied to their new places so many at a time.
const ROWS_PER_COPY: usize = 256;

/// How to build.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions {
    /// Threads that link; those of the current rayon pool by default.
    pub threads: Option<NonZero<usize>>,
    /// After how long a checkpoint is taken, from which a build goes on after a crash. `None` takes none.
    pub checkpoint_every: Option<Duration>,
    /// Whether nodes are renumbered so that neighbours share pages. By default where at least half are new.
    pub reorder: Option<bool>,
}

impl Default for BuildOptions {
    fn default() -> BuildOptions {
        BuildOptions { threads: None, checkpoint_every: Some(Duration::from_secs(30)), reorder: None }
    }
}

/// What a build is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildPhase {
    /// Finding the links of each row.
    Link,
    /// Writing links and rows in their new order.
    Write,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildProgress {
    /// What it is doing.
    pub phase: BuildPhase,
    /// Rows done in this phase.
    pub done: usize,
    /// Rows of this phase in all.
    pub total: usize,
}

/// Told how far a build is, from any thread; breaking cancels it.
pub type OnProgress<'p> = &'p (dyn Fn(BuildProgress) -> ControlFlow<()> + Sync);

/// Writes the record, in the transaction that is about to be committed. With a permutation, whatever names nodes by
/// number has to be renamed in the same transaction: old numbers that are in use get new ones, free ones go.
pub type Save<'s, E> = &'s mut dyn FnMut(&mut WriteTxn, &IndexRecord, Option<&Permutation>) -> Result<(), E>;

/// What a build did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Built {
    /// Rows that were linked, those of a resumed checkpoint included.
    pub linked: usize,
    /// Rows of them that a checkpoint held already.
    pub resumed: usize,
    /// Checkpoints that were taken.
    pub checkpoints: usize,
    /// Whether nodes were renumbered.
    pub reordered: bool,
}

/// Links every unlinked node of the index that `record` describes. `txn` must be unchanged; no other writer comes
/// in between until the end. Readers go on, and see the result with its last commit.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` broke; a checkpoint is then taken, so that the next build goes on from there.
pub fn build<E: From<Error>>(
    txn: WriteTxn,
    record: IndexRecord,
    options: &BuildOptions,
    progress: OnProgress<'_>,
    save: Save<'_, E>,
) -> Result<Built, E> {
    match options.threads {
        None => Run::new(txn, record, options, progress, save)?.run(),
        Some(threads) => {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads.get())
                .build()
                .map_err(|error| Error::Threads { source: Box::new(error) })?;
            // The transaction stays on this thread; only linking runs in the pool.
            let mut run = Run::new(txn, record, options, progress, save)?;
            run.pool = Some(pool);
            run.run()
        }
    }
}

/// A build under way.
struct Run<'r, E> {
    /// `None` only while one transaction is being exchanged for the next.
    txn: Option<WriteTxn>,
    record: IndexRecord,
    options: &'r BuildOptions,
    progress: OnProgress<'r>,
    save: Save<'r, E>,
    pool: Option<rayon::ThreadPool>,
    kernel: Kernel,
    built: Built,
}

impl<'r, E: From<Error>> Run<'r, E> {
    fn new(
        txn: WriteTxn,
        record: IndexRecord,
        options: &'r BuildOptions,
        progress: OnProgress<'r>,
        save: Save<'r, E>,
    ) -> Result<Run<'r, E>, Error> {
        let kernel = Kernel::new(record.config.metric, record.config.element)?;
        let built = Built { linked: 0, resumed: 0, checkpoints: 0, reordered: false };
        Ok(Run { txn: Some(txn), record, options, progress, save, pool: None, kernel, built })
    }

    fn run(mut self) -> Result<Built, E> {
        let pending = self.record.unlinked.len() as usize;
        let stale = !self.record.staging.is_empty();
        if stale {
            self.drop_staging()?;
        }
        if pending == 0 {
            if stale {
                self.commit(None)?;
            }
            return Ok(self.built);
        }
        self.built.linked = pending;
        let graph = self.link(pending)?;
        let reorder = self.options.reorder.unwrap_or(2 * pending >= self.record.live as usize);
        self.built.reordered = reorder;
        // Free nodes come last, and are left out when the arrays are written.
        let permutation = if reorder { Some(self.order(&graph)?) } else { None };
        self.write(&graph, permutation.as_ref())?;
        Ok(self.built)
    }

    fn txn(&mut self) -> Result<&mut WriteTxn, Error> {
        self.txn.as_mut().ok_or(Error::Cancelled)
    }

    /// Commits with the record as it is, and begins the next transaction.
    fn commit(&mut self, permutation: Option<&Permutation>) -> Result<(), E> {
        let Some(mut txn) = self.txn.take() else { return Err(Error::Cancelled.into()) };
        (self.save)(&mut txn, &self.record, permutation)?;
        self.txn = Some(txn.commit_and_begin().map_err(Error::from)?);
        Ok(())
    }

    // ------------------------------------------------------------------------------------------- linking

    /// The graph with every node in it.
    fn link(&mut self, total: usize) -> Result<MemGraph, E> {
        let graph = self.load()?;
        let config = &self.record.config;
        let params = BuildParams { ef_construction: config.ef_construction, seed: config.seed };
        let left: Vec<u32> =
            self.record.unlinked.iter().filter(|node| graph.level(*node).is_none()).collect();
        let mut builder = Builder::new(self.kernel, params, graph, left)?;
        let mut every = self.options.checkpoint_every;
        loop {
            // A snapshot for each round: one for all of them would keep what checkpoints free from being used again.
            let snapshot = self.txn()?.base().clone();
            let rows = StoredRows::new(snapshot.rows(self.record.arrays.vectors).map_err(Error::from)?);
            let outcome = self.link_for_a_while(&rows, &mut builder, every, total);
            if matches!(outcome, Ok(0)) {
                return Ok(builder.into_graph());
            }
            drop(snapshot);
            match outcome {
                Ok(_) | Err(Error::Cancelled) => {
                    let began = Instant::now();
                    self.checkpoint(builder.graph())?;
                    every = every.map(|every| every.max(CHECKPOINT_SHARE * began.elapsed()));
                }
                Err(_) => {}
            }
            outcome?;
        }
    }

    /// The order to write the rows in.
    fn order(&mut self, graph: &MemGraph) -> Result<Permutation, E> {
        let snapshot = self.txn()?.base().clone();
        let rows = StoredRows::new(snapshot.rows(self.record.arrays.vectors).map_err(Error::from)?);
        let total = 2 * self.record.live as usize;
        let go_on =
            || (self.progress)(BuildProgress { phase: BuildPhase::Write, done: 0, total }).is_continue();
        Ok(self.on_threads(|| reorder::cluster(graph, 0, &rows, &self.kernel, &go_on))?)
    }

    /// Runs `work` on as many threads as the options say.
    fn on_threads<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Links until everything is linked or a checkpoint is due; how many rows are left.
    fn link_for_a_while(
        &self,
        rows: &StoredRows<'_>,
        builder: &mut Builder,
        every: Option<Duration>,
        total: usize,
    ) -> Result<usize, Error> {
        let resumed = self.built.resumed;
        let progress = |done: usize, _: usize| {
            (self.progress)(BuildProgress { phase: BuildPhase::Link, done: resumed + done, total })
        };
        let due = every.map(|every| Instant::now() + every);
        self.on_threads(|| {
            while builder.link(rows, ROWS_PER_LINK, &progress)? > 0 {
                if due.is_some_and(|due| Instant::now() >= due) {
                    break;
                }
            }
            let left = builder.remaining();
            if left == 0 {
                builder.finish(rows, &progress)?;
            }
            Ok(left)
        })
    }

    /// The graph as a checkpoint or the index has it.
    fn load(&mut self) -> Result<MemGraph, Error> {
        let snapshot = self.txn()?.base().clone();
        let view = &*snapshot;
        let nodes = self.record.nodes;
        if let Some(checkpoint) = self.record.checkpoint {
            if checkpoint.epoch == self.record.epoch {
                let links =
                    StoredLinks { base: view.csr(checkpoint.links)?, upper: view.csr(checkpoint.upper)? };
                let graph = load_graph(
                    &self.record,
                    nodes,
                    links,
                    view.rows(checkpoint.levels)?,
                    Some(checkpoint.entry),
                )?;
                self.built.resumed =
                    self.record.unlinked.iter().filter(|node| graph.level(*node).is_some()).count();
                return Ok(graph);
            }
            self.drop_checkpoint()?;
        }
        let reader = Reader::open(view, &self.record)?;
        load_graph(&self.record, nodes, reader.links, reader.levels, self.record.entry)
    }

    /// Writes the graph as it is, so that a build can go on from it.
    fn checkpoint(&mut self, graph: &MemGraph) -> Result<(), E> {
        self.drop_checkpoint()?;
        if let Some(entry) = graph.entry() {
            let epoch = self.record.epoch;
            let order = Order { permutation: None, nodes: graph.len() };
            let both = BothWays::of(graph);
            let txn = self.txn()?;
            let (links, upper, levels) =
                IndexRecord::create_graph_arrays(txn, rows_per_block(&both, &order))?;
            for node in 0..graph.len() {
                write_node(txn, (links, upper), &both, &order, node)?;
            }
            write_levels(txn, levels, graph, &order, UNLINKED)?;
            self.record.checkpoint = Some(Checkpoint { links, upper, levels, entry, epoch });
            self.built.checkpoints += 1;
        }
        self.commit(None)
    }

    fn drop_checkpoint(&mut self) -> Result<(), Error> {
        if let Some(checkpoint) = self.record.checkpoint.take() {
            for array in [checkpoint.links, checkpoint.upper, checkpoint.levels] {
                self.txn()?.drop_array(array)?;
            }
        }
        Ok(())
    }

    fn drop_staging(&mut self) -> Result<(), Error> {
        for array in std::mem::take(&mut self.record.staging) {
            self.txn()?.drop_array(array)?;
        }
        Ok(())
    }

    // ------------------------------------------------------------------------------------------- writing

    fn write(&mut self, graph: &MemGraph, permutation: Option<&Permutation>) -> Result<(), E> {
        let nodes = if permutation.is_some() { self.record.live } else { self.record.nodes };
        let order = Order { permutation, nodes };
        let config = self.record.config;
        let both = BothWays::of(graph);
        let txn = self.txn()?;
        let (links, upper, levels) = IndexRecord::create_graph_arrays(txn, rows_per_block(&both, &order))?;
        let vectors = match permutation {
            Some(_) => {
                txn.create_array(ArraySpec::rows(config.row_bytes(), PageSize::KIB_64).map_err(Error::from)?)
            }
            None => Ok(self.record.arrays.vectors),
        }
        .map_err(Error::from)?;
        self.record.staging = vec![links, upper, levels];
        if permutation.is_some() {
            self.record.staging.push(vectors);
        }
        let phases = if permutation.is_some() { 2 } else { 1 };
        let total = nodes as usize * phases;
        for node in 0..nodes {
            write_node(self.txn()?, (links, upper), &both, &order, node)?;
            self.step(node as usize, total)?;
        }
        // Only free nodes are not in the graph by now.
        write_levels(self.txn()?, levels, graph, &order, FREE)?;
        if permutation.is_some() {
            self.copy_vectors(vectors, &order, total)?;
        }
        self.switch(Arrays { vectors, links, upper, levels }, graph, &order)
    }

    /// Reports progress now and then, and commits once enough has changed.
    fn step(&mut self, done: usize, total: usize) -> Result<(), E> {
        if !done.is_multiple_of(ROWS_PER_ROUND) {
            return Ok(());
        }
        if (self.progress)(BuildProgress { phase: BuildPhase::Write, done, total }).is_break() {
            return Err(Error::Cancelled.into());
        }
        if self.txn()?.dirty_bytes() >= MAX_DIRTY_BYTES { self.commit(None) } else { Ok(()) }
    }

    fn copy_vectors(&mut self, target: ArrayId, order: &Order<'_>, total: usize) -> Result<(), E> {
        let row_bytes = self.record.config.row_bytes();
        let mut copied = Vec::with_capacity(ROWS_PER_COPY * row_bytes);
        for first in (0..order.nodes).step_by(ROWS_PER_COPY) {
            let end = order.nodes.min(first + ROWS_PER_COPY as u32);
            copied.clear();
            let source = self.record.arrays.vectors;
            let txn = self.txn()?;
            let rows = txn.rows(source).map_err(Error::from)?;
            for node in first..end {
                copied.extend_from_slice(rows.get(order.old_id(node)).map_err(Error::from)?);
            }
            txn.push_rows(target, &copied).map_err(Error::from)?;
            if (first as usize).is_multiple_of(ROWS_PER_ROUND) {
                self.step(order.nodes as usize + first as usize, total)?;
            }
        }
        Ok(())
    }

    /// Lets the record name the new arrays, and drops the old ones.
    fn switch(&mut self, arrays: Arrays, graph: &MemGraph, order: &Order<'_>) -> Result<(), E> {
        let old = self.record.arrays;
        self.drop_checkpoint()?;
        let txn = self.txn()?;
        for array in [old.links, old.upper, old.levels] {
            txn.drop_array(array).map_err(Error::from)?;
        }
        if old.vectors != arrays.vectors {
            txn.drop_array(old.vectors).map_err(Error::from)?;
            self.record.free_from = 0;
        }
        self.record.staging.clear();
        self.record.arrays = arrays;
        self.record.nodes = order.nodes;
        self.record.entry = graph.entry().map(|node| order.new_id(node));
        self.record.top_level = graph.top_level();
        self.record.unlinked.clear();
        self.record.unchecked = 0;
        self.record.epoch += 1;
        let Some(mut txn) = self.txn.take() else { return Err(Error::Cancelled.into()) };
        (self.save)(&mut txn, &self.record, order.permutation)?;
        Ok(txn.commit().map_err(Error::from)?)
    }
}

/// Old and new numbers of nodes.
struct Order<'p> {
    permutation: Option<&'p Permutation>,
    nodes: u32,
}

impl Order<'_> {
    fn old_id(&self, new: u32) -> u32 {
        self.permutation.map_or(new, |permutation| permutation.old_id(new))
    }

    fn new_id(&self, old: u32) -> u32 {
        self.permutation.map_or(old, |permutation| permutation.new_id(old))
    }
}

fn load_graph(
    record: &IndexRecord,
    nodes: u32,
    links: StoredLinks<'_>,
    levels: Rows<'_>,
    entry: Option<u32>,
) -> Result<MemGraph, Error> {
    let mut codes = Vec::with_capacity(nodes as usize);
    for node in 0..nodes {
        let code = level_of(levels, node)?;
        codes.push((code < UNLINKED).then_some(code));
    }
    let mut graph = MemGraph::with_levels(record.config.m, &codes)?;
    for (node, level) in (0..).zip(&codes) {
        for layer in 0..=level.unwrap_or(0) {
            if level.is_some() {
                let row = NodeLinks::parse(links.bytes(node, layer)?).out;
                graph.set_links(node, layer, &row)?;
            }
        }
    }
    if let Some(entry) = entry {
        graph.set_entry(entry)?;
    }
    Ok(graph)
}

/// A graph with, for each node, the nodes that link to it and are not linked back.
struct BothWays<'g> {
    graph: &'g MemGraph,
    /// By layer and node.
    incoming: HashMap<(u8, u32), Vec<u32>>,
}

impl<'g> BothWays<'g> {
    fn of(graph: &'g MemGraph) -> BothWays<'g> {
        let mut incoming: HashMap<(u8, u32), Vec<u32>> = HashMap::new();
        for node in 0..graph.len() {
            for layer in 0..=graph.level(node).unwrap_or(0) {
                for to in graph.links(node, layer) {
                    if graph.links(to, layer).all(|back| back != node) {
                        incoming.entry((layer, to)).or_default().push(node);
                    }
                }
            }
        }
        BothWays { graph, incoming }
    }

    /// The links of a node under the new numbers.
    fn links(&self, node: u32, layer: u8, order: &Order<'_>) -> NodeLinks {
        let incoming = self.incoming.get(&(layer, node)).map(Vec::as_slice).unwrap_or_default();
        NodeLinks {
            out: self.graph.links(node, layer).map(|to| order.new_id(to)).collect(),
            incoming: incoming.iter().map(|from| order.new_id(*from)).collect(),
        }
    }

    /// Words of the base-layer row of a node.
    fn base_words(&self, node: u32) -> usize {
        self.graph.links(node, 0).count() + self.incoming.get(&(0, node)).map_or(0, Vec::len)
    }
}

/// Writes the links of the node that is to have number `node`, at the end of both arrays.
fn write_node(
    txn: &mut WriteTxn,
    (links, upper): (ArrayId, ArrayId),
    graph: &BothWays<'_>,
    order: &Order<'_>,
    node: u32,
) -> Result<(), Error> {
    let old = order.old_id(node);
    let mut bytes = Vec::with_capacity(4 * 64);
    graph.links(old, 0, order).encode(&mut bytes);
    txn.push_csr_row(links, &bytes)?;
    let layers: Vec<NodeLinks> =
        (1..=graph.graph.level(old).unwrap_or(0)).map(|layer| graph.links(old, layer, order)).collect();
    bytes.clear();
    encode_upper(&layers, &mut bytes);
    txn.push_csr_row(upper, &bytes)?;
    Ok(())
}

/// Writes the level codes of all nodes, `absent` for those that are not in the graph.
fn write_levels(
    txn: &mut WriteTxn,
    levels: ArrayId,
    graph: &MemGraph,
    order: &Order<'_>,
    absent: u8,
) -> Result<(), Error> {
    let mut codes: Vec<u8> =
        (0..order.nodes).map(|node| graph.level(order.old_id(node)).unwrap_or(absent)).collect();
    codes.resize(codes.len().next_multiple_of(LEVELS_PER_ROW as usize), UNLINKED);
    txn.push_rows(levels, &codes)?;
    Ok(())
}

/// How many rows to a block of links make the file smallest: with few, pages stay half empty; with many, more blocks
/// take the next larger page.
fn rows_per_block(graph: &BothWays<'_>, order: &Order<'_>) -> u32 {
    const RANGE: std::ops::RangeInclusive<u32> = 8..=128;
    let ends: Vec<usize> = (0..order.nodes)
        .scan(0, |sum, node| {
            *sum += graph.base_words(order.old_id(node));
            Some(*sum)
        })
        .collect();
    let bytes = |rows: &u32| {
        let mut before = 0;
        let blocks = ends.chunks(*rows as usize).map(|block| {
            let end = block.last().copied().unwrap_or(before);
            // Ends of 16 bits, padded to 8 bytes, and the links.
            let payload = (2 * *rows as usize).next_multiple_of(8) + 4 * (end - before);
            before = end;
            PageSize::KIB_4.fitting(payload).unwrap_or(PageSize::MAX).bytes()
        });
        blocks.sum::<usize>()
    };
    RANGE.min_by_key(bytes).unwrap_or(*RANGE.start())
}
