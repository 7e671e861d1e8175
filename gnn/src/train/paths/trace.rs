//! Tracing one search.

use std::collections::HashMap;

use redknot_index::{Candidates, Neighbor, Reader, Scratch, Visited};

use super::reverse::{FAR, Hops, Reverse};
use crate::train::TrainError;

/// How searches are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceOptions {
    /// Exact answers that paths lead to; 1 to 10,000.
    pub k: usize,
    /// Candidates of the traced search, raised to `k` where it is less; 1 to 10,000.
    pub ef: usize,
}

impl Default for TraceOptions {
    fn default() -> TraceOptions {
        TraceOptions { k: 10, ef: 64 }
    }
}

impl TraceOptions {
    /// Fails where no search can be traced like this.
    pub fn check(&self) -> Result<(), TrainError> {
        for (name, got) in [("k", self.k), ("ef", self.ef)] {
            if !(1..=10_000).contains(&got) {
                let expected = "1 to 10000".into();
                return Err(TrainError::Option { name, got: got.to_string(), expected });
            }
        }
        Ok(())
    }
}

/// A traced search: what it went through in the base layer, and what would have been right.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PathTrajectory {
    /// The query, as models see it.
    pub query: Vec<f32>,
    /// The nodes whose links were looked at, in their order; the first is where the search entered the base layer.
    pub node_sequence: Vec<u32>,
    /// Distance of each of them from the query.
    pub node_distances: Vec<f32>,
    /// For each of them but the first the link by which it got its distance.
    pub edges_taken: Vec<(u32, u32)>,
    /// For each of them its links.
    pub candidate_edges: Vec<Vec<(u32, u32)>>,
    /// For each of these the distance of its target from the query.
    pub target_distances: Vec<Vec<f32>>,
    /// For each of these whether it begins a path of fewest hops to the nearest (in hops) of the exact answers; from an
    /// answer, whether it leads to another.
    pub labels: Vec<Vec<bool>>,
    /// What the search found, and the distances.
    pub results: Vec<(u32, f32)>,
    /// The exact answers, and their distances.
    pub answers: Vec<(u32, f32)>,
}

/// Traces searches of one graph. Shared by threads.
pub struct Tracer<'r, 'v> {
    reader: &'r Reader<'v>,
    reverse: Reverse,
    options: TraceOptions,
}

/// What a search is traced in.
#[derive(Default)]
pub(super) struct Workspace {
    scratch: Scratch,
    candidates: Candidates,
    visited: Visited,
    hops: Hops,
}

impl<'r, 'v> Tracer<'r, 'v> {
    /// Reads the links of the whole base layer into memory.
    ///
    /// # Errors
    /// [`TrainError::Option`], [`TrainError::TooFewNodes`] where nothing is linked, or what reading fails with.
    pub fn new(reader: &'r Reader<'v>, options: TraceOptions) -> Result<Tracer<'r, 'v>, TrainError> {
        options.check()?;
        if reader.record().live() == reader.record().unlinked() {
            return Err(TrainError::TooFewNodes { got: 0, min: 1 });
        }
        Ok(Tracer { reader, reverse: Reverse::new(reader)?, options })
    }

    /// Traces the search for `query`, which is encoded as the rows are. [`PathTrajectory::query`] stays empty.
    ///
    /// # Errors
    /// [`TrainError::Index`] where the query has another length or something cannot be read.
    pub fn trace(&self, query: &[u8]) -> Result<PathTrajectory, TrainError> {
        self.trace_in(query, &mut Workspace::default())
    }

    pub(super) fn trace_in(
        &self,
        query: &[u8],
        workspace: &mut Workspace,
    ) -> Result<PathTrajectory, TrainError> {
        let k = self.options.k;
        let mut path = PathTrajectory::default();
        self.search(query, workspace, &mut path)?;
        path.results = workspace.candidates.iter().take(k).map(pair).collect();
        let exact = self.reader.search_exact(query, k, None)?;
        path.answers = exact.neighbors.into_iter().map(pair).collect();
        self.label(&mut workspace.hops, &mut path);
        Ok(path)
    }

    /// Greedy search, which notes what it goes through.
    fn search(
        &self,
        query: &[u8],
        workspace: &mut Workspace,
        path: &mut PathTrajectory,
    ) -> Result<(), TrainError> {
        let Workspace { scratch, candidates, visited, .. } = workspace;
        let probe = self.reader.probe(query)?;
        candidates.reset(self.options.ef.max(self.options.k));
        probe.reset(visited);
        let Some(entry) = probe.approach(scratch)? else { return Ok(()) };
        visited.insert(entry.id);
        candidates.insert(entry);
        let mut reached_from = HashMap::new();
        while let Some(next) = candidates.peek() {
            candidates.expand_next();
            if let Some(from) = reached_from.get(&next.id) {
                path.edges_taken.push((*from, next.id));
            }
            path.node_sequence.push(next.id);
            path.node_distances.push(next.distance);
            let links: Vec<u32> = probe.links(next.id)?.collect();
            let mut distances = Vec::with_capacity(links.len());
            let mut failed = None;
            probe.distances(&links, |neighbor| {
                distances.push(neighbor.distance);
                match visited.insert(neighbor.id) {
                    Some(true) => {
                        reached_from.insert(neighbor.id, next.id);
                        candidates.insert(neighbor);
                    }
                    Some(false) => {}
                    None => failed = Some(neighbor.id),
                }
            })?;
            if let Some(id) = failed {
                return Err(redknot_index::Error::RowOutOfRange { id, len: self.reader.nodes() }.into());
            }
            path.candidate_edges.push(links.into_iter().map(|target| (next.id, target)).collect());
            path.target_distances.push(distances);
        }
        Ok(())
    }

    fn label(&self, hops: &mut Hops, path: &mut PathTrajectory) {
        let answers = path.answers.iter().map(|(node, _)| *node);
        self.reverse.count(answers, &path.node_sequence, hops);
        let is_right = |(source, target): &(u32, u32)| match (hops.of(*source), hops.of(*target)) {
            (FAR, _) => false,
            (0, there) => there == 0,
            (here, there) => there == here - 1,
        };
        path.labels = path.candidate_edges.iter().map(|edges| edges.iter().map(is_right).collect()).collect();
    }
}

fn pair(neighbor: Neighbor) -> (u32, f32) {
    (neighbor.id, neighbor.distance)
}

impl std::fmt::Debug for Tracer<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("options", &self.options).finish_non_exhaustive()
    }
}
