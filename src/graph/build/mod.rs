//! Graphs from vectors: the nearest rows of each row, or all rows within a distance.

mod near;
mod recall;
mod store;

use std::fmt;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use redknot_index::{Reader, nodes_in_use};
use redknot_storage::{Snapshot, Storage};

use super::edit::NodeEdge;
use super::options::{GraphOrigin, MAX_EDGES_OF_ROW};
use super::table;
use crate::catalog::{self, Record, check_name};
use crate::error::{Error, Result};
use crate::query::{MAX_K, check_threads};
use near::{Near, Wanted};

/// Rows that one thread searches for before it looks for more; in exact graphs, that are compared with each row at a time.
const ROWS_PER_TASK: usize = 64;
/// Rows that the recall of a graph is measured on, if nothing else is asked for.
const SAMPLE: usize = 1000;

/// What [`GraphBuild::run`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct GraphBuildReport {
    /// Rows whose neighbours were looked for.
    pub rows: u64,
    /// Edges of the graph; those of an undirected one count once.
    pub edges: u64,
    /// Rows that have more neighbours within the distance than were allowed: their nearest were kept. 0 for k-NN graphs.
    pub cut_rows: u64,
    /// Share of the true neighbours that were found, on a random sample of rows; 1 where all were compared, `None` where the
    /// sample was to be empty. A neighbour as near as the last of the true ones counts as one of them.
    pub recall: Option<f64>,
    /// Rows of that sample; 0 where all were compared.
    pub sampled_rows: u64,
    /// How long it took, the measurement of recall included.
    pub elapsed: Duration,
    /// How long the search for neighbours took.
    pub search: Duration,
}

/// What a build of a graph is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphPhase {
    /// Looking for neighbours.
    Search,
    /// Measuring recall.
    Measure,
    /// Writing edges.
    Write,
}

/// How far a build of a graph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphProgress {
    /// What it is at.
    pub phase: GraphPhase,
    /// Rows that are done.
    pub done: usize,
    /// Rows in all.
    pub total: usize,
}

type OnProgress<'d> = Box<dyn Fn(GraphProgress) -> ControlFlow<()> + Sync + 'd>;

/// A graph of a collection's vectors under construction: `db.build_knn_graph(DOCS, "knn", 10).run()?`.
///
/// For each row, the index is searched with the row's own vector, from its own place in it. The weight of an edge is the
/// distance of its ends in the metric of the collection; edges have no types. Reading goes on meanwhile; writers wait. The
/// graph is committed as a whole. Takes in memory about 50 bytes an edge.
#[must_use = "a build does nothing until it is run"]
pub struct GraphBuild<'d> {
    storage: &'d Storage,
    collection: String,
    graph: String,
    wanted: Wanted,
    directed: bool,
    exact: bool,
    replace: bool,
    sample: usize,
    threads: Option<NonZero<usize>>,
    progress: OnProgress<'d>,
}

impl<'d> GraphBuild<'d> {
    pub(crate) fn knn(storage: &'d Storage, collection: &str, graph: &str, k: usize) -> GraphBuild<'d> {
        GraphBuild::new(storage, collection, graph, Wanted { most: k, radius: None, ef: 64 }, true)
    }

    pub(crate) fn eps(
        storage: &'d Storage,
        collection: &str,
        graph: &str,
        epsilon: f32,
        max_neighbors: usize,
    ) -> GraphBuild<'d> {
        let wanted = Wanted { most: max_neighbors, radius: Some(epsilon), ef: 64 };
        GraphBuild::new(storage, collection, graph, wanted, false)
    }

    fn new(
        storage: &'d Storage,
        collection: &str,
        graph: &str,
        wanted: Wanted,
        directed: bool,
    ) -> GraphBuild<'d> {
        GraphBuild {
            storage,
            collection: collection.into(),
            graph: graph.into(),
            wanted,
            directed,
            exact: false,
            replace: false,
            sample: SAMPLE,
            threads: None,
            progress: Box::new(|_| ControlFlow::Continue(())),
        }
    }

    /// Effort of each search, as that of [`crate::Search::ef`]; 64 by default, and never less than twice the neighbours
    /// that are looked for. More raises recall and cost.
    pub fn ef(mut self, ef: usize) -> Self {
        self.wanted.ef = ef;
        self
    }

    /// Whether each row is compared with every other one, instead of searching the index.
    pub fn exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// Whether edges lead from a row to its neighbours, which is the default of k-NN graphs; or join two rows of which
    /// one was found from the other, which is that of ε-graphs.
    pub fn directed(mut self, directed: bool) -> Self {
        self.directed = directed;
        self
    }

    /// Whether a graph of this name is replaced; by default it is an error that there is one.
    pub fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// Rows that recall is measured on, by comparing them with all others; 1,000 by default, and not at all with 0.
    pub fn recall_sample(mut self, rows: usize) -> Self {
        self.sample = rows;
        self
    }

    /// Threads that search; those of the current rayon pool by default.
    pub fn threads(mut self, threads: NonZero<usize>) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Called now and then, from any thread; breaking cancels the build with [`Error::Cancelled`], and nothing has
    /// changed.
    pub fn progress(mut self, progress: impl Fn(GraphProgress) -> ControlFlow<()> + Sync + 'd) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Builds and commits.
    ///
    /// # Errors
    /// [`Error::GraphExists`] unless [`GraphBuild::replace`] is set, [`Error::UnknownCollection`],
    /// [`Error::InvalidParameter`], [`Error::TooManyEdges`] where more than 65,535 edges would lead to one row,
    /// [`Error::Cancelled`], or what reading or writing the file fails with. Nothing has changed then.
    pub fn run(self) -> Result<GraphBuildReport> {
        let start = Instant::now();
        self.check()?;
        let mut txn = self.storage.begin_write()?;
        let record = catalog::existing_in(&txn, &self.collection)?;
        if let Some(old) = table::all_in(&txn, &self.collection)?.get(&self.graph) {
            if !self.replace {
                let (collection, name) = (self.collection.clone(), self.graph.clone());
                return Err(Error::GraphExists { collection, name });
            }
            table::remove(&mut txn, &self.collection, &self.graph, old)?;
        }
        let base = txn.base().clone();
        let found = match self.threads {
            None => self.find(&base, &record)?,
            Some(threads) => rayon::ThreadPoolBuilder::new()
                .num_threads(threads.get())
                .build()
                .map_err(|error| Error::Threads { source: Box::new(error) })?
                .install(|| self.find(&base, &record))?,
        };
        let edges = store::store(&mut txn, &self, &record, found.edges)?;
        txn.commit()?;
        Ok(GraphBuildReport { edges, elapsed: start.elapsed(), ..found.report })
    }

    fn check(&self) -> Result<()> {
        check_name(&self.graph)?;
        check_threads(self.threads)?;
        let wrong = |name, got: String, expected| Err(Error::InvalidParameter { name, got, expected });
        if !(1..=MAX_EDGES_OF_ROW).contains(&self.wanted.most) {
            let name = if self.wanted.radius.is_some() { "max_neighbors" } else { "k" };
            return wrong(name, self.wanted.most.to_string(), "1 to 65535");
        }
        if let Some(radius) = self.wanted.radius
            && !radius.is_finite()
        {
            return wrong("epsilon", radius.to_string(), "a finite number");
        }
        if !(1..=MAX_K).contains(&self.wanted.ef) {
            return wrong("ef", self.wanted.ef.to_string(), "1 to 1048576");
        }
        Ok(())
    }

    fn find(&self, base: &Snapshot, record: &Record) -> Result<Found> {
        let start = Instant::now();
        let reader = &Reader::open(base, &record.index)?;
        let nodes = nodes_in_use(base, &record.index)?;
        let lists = self.each(GraphPhase::Search, &nodes, |some| match self.exact {
            true => self.wanted.exact(reader, some),
            false => some.iter().map(|node| self.wanted.approximate(reader, *node)).collect(),
        })?;
        let search = start.elapsed();
        let (recall, sampled_rows) = match self.exact {
            true => (Some(1.0), 0),
            false if self.sample == 0 => (None, 0),
            false => self.measure(reader, &nodes, &lists).map(|(recall, rows)| (Some(recall), rows))?,
        };
        let cut_rows = lists.iter().filter(|near| near.cut).count() as u64;
        let edge = |source: u32, near: &redknot_index::Neighbor| NodeEdge {
            source,
            target: near.id,
            weight: near.distance,
            kind: 0,
        };
        let edges = nodes
            .iter()
            .zip(&lists)
            .flat_map(|(node, near)| near.rows.iter().map(|neighbor| edge(*node, neighbor)))
            .collect();
        let report = GraphBuildReport {
            rows: nodes.len() as u64,
            edges: 0,
            cut_rows,
            recall,
            sampled_rows,
            elapsed: Duration::ZERO,
            search,
        };
        Ok(Found { edges, report })
    }

    /// Does `work` for some of `nodes` at a time, on all threads; the results in the order of the nodes.
    fn each(
        &self,
        phase: GraphPhase,
        nodes: &[u32],
        work: impl Fn(&[u32]) -> Result<Vec<Near>> + Sync,
    ) -> Result<Vec<Near>> {
        let done = AtomicUsize::new(0);
        let some = |some: &[u32]| {
            let near = work(some)?;
            let done = done.fetch_add(some.len(), Relaxed) + some.len();
            match (self.progress)(GraphProgress { phase, done, total: nodes.len() }) {
                ControlFlow::Continue(()) => Ok(near),
                ControlFlow::Break(()) => Err(Error::Cancelled),
            }
        };
        let lists: Vec<Vec<Near>> = nodes.par_chunks(ROWS_PER_TASK).map(some).collect::<Result<_>>()?;
        Ok(lists.into_iter().flatten().collect())
    }

    fn origin(&self) -> GraphOrigin {
        let (most, exact) = (self.wanted.most as u32, self.exact);
        match self.wanted.radius {
            None => GraphOrigin::Knn { k: most, exact },
            Some(epsilon) => GraphOrigin::Eps { epsilon, max_neighbors: most, exact },
        }
    }
}

/// What was found, and the figures that are known by then.
struct Found {
    edges: Vec<NodeEdge>,
    report: GraphBuildReport,
}

impl fmt::Debug for GraphBuild<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphBuild")
            .field("collection", &self.collection)
            .field("graph", &self.graph)
            .field("origin", &self.origin())
            .field("directed", &self.directed)
            .finish_non_exhaustive()
    }
}
