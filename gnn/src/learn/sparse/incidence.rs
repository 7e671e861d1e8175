//! Edges by their target and by their source.

/// A sparse pattern: which sources each target sums over. Square for a graph, rectangular for sparse features, whose
/// rows are targets and whose columns are sources.
#[derive(Debug)]
pub(crate) struct Incidence {
    incoming: Vec<usize>,
    /// By edge, in the order of the targets.
    sources: Vec<u32>,
    targets: Vec<u32>,
    outgoing: Vec<usize>,
    /// Edges in the order of their sources, and of their targets within a source.
    by_source: Vec<u32>,
}

impl Incidence {
    /// From compressed rows: the edges of target `i` are `indptr[i]..indptr[i + 1]`. There are fewer than 2³² of them,
    /// and each comes from one of `source_count` sources.
    pub(crate) fn new(indptr: Vec<usize>, sources: Vec<u32>, source_count: usize) -> Incidence {
        debug_assert!(u32::try_from(sources.len()).is_ok());
        let mut targets = Vec::with_capacity(sources.len());
        for (target, row) in indptr.windows(2).enumerate() {
            targets.resize(targets.len() + (row[1] - row[0]), target as u32);
        }
        let mut outgoing = vec![0; source_count + 1];
        sources.iter().for_each(|source| outgoing[*source as usize + 1] += 1);
        (0..source_count).for_each(|at| outgoing[at + 1] += outgoing[at]);
        let mut next = outgoing.clone();
        let mut by_source = vec![0; sources.len()];
        for (edge, source) in sources.iter().enumerate() {
            let place = &mut next[*source as usize];
            by_source[*place] = edge as u32;
            *place += 1;
        }
        Incidence { incoming: indptr, sources, targets, outgoing, by_source }
    }

    pub(crate) fn target_count(&self) -> usize {
        self.incoming.len() - 1
    }

    pub(crate) fn source_count(&self) -> usize {
        self.outgoing.len() - 1
    }

    pub(crate) fn edge_count(&self) -> usize {
        self.sources.len()
    }

    /// The edges of a target.
    pub(crate) fn edges_of(&self, target: usize) -> std::ops::Range<usize> {
        self.incoming[target]..self.incoming[target + 1]
    }

    pub(crate) fn source(&self, edge: usize) -> usize {
        self.sources[edge] as usize
    }

    pub(crate) fn target(&self, edge: usize) -> usize {
        self.targets[edge] as usize
    }

    /// The edges into a target, each with its source.
    pub(crate) fn incoming(&self, target: usize) -> impl Iterator<Item = (usize, usize)> {
        self.edges_of(target).map(|edge| (edge, self.sources[edge] as usize))
    }

    /// The edges out of a source, each with its target.
    pub(crate) fn outgoing(&self, source: usize) -> impl Iterator<Item = (usize, usize)> {
        let edges = &self.by_source[self.outgoing[source]..self.outgoing[source + 1]];
        edges.iter().map(|&edge| (edge as usize, self.targets[edge as usize] as usize))
    }
}
