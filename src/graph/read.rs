//! Reading a graph.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use redknot_index::{Reader, VectorRef};
use redknot_storage::Snapshot;

use super::edges::Edges;
use super::neighborhoods::{Direction, Neighborhoods, Source};
use super::options::GraphOrigin;
use super::record::GraphRecord;
use super::row::Link;
use super::sample::sample;
use super::subgraph::{Subgraph, induced};
use super::walk::{Hop, walk};
use crate::answer;
use crate::catalog::Record;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::query::{Completeness, Hit, SearchResult, SearchStats, check_k};

/// A graph in a committed state: one that was created, or the base layer of the HNSW graph
/// ([`crate::ReadTransaction::hnsw_graph`]), whose links have weight 1 and no types.
pub struct Graph<K: Key> {
    pub(crate) snapshot: Arc<Snapshot>,
    collection: String,
    pub(crate) rows: Record,
    pub(crate) source: Source,
    types: PhantomData<fn() -> K>,
}

/// An edge with the keys of its ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge<K> {
    /// The row that it leads from.
    pub source: K,
    /// The row that it leads to.
    pub target: K,
    /// Its weight, which is finite.
    pub weight: f32,
    /// Its type, if it has one.
    pub edge_type: Option<Arc<str>>,
}

/// A row that an edge joins to the one that was asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjacent<K> {
    /// The row at the other end.
    pub key: K,
    /// The weight of the edge.
    pub weight: f32,
    /// The type of the edge, if it has one.
    pub edge_type: Option<Arc<str>>,
}

/// A row that can be reached from another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached<K> {
    /// The row.
    pub key: K,
    /// Edges on the shortest way there.
    pub hops: u32,
}

impl<K: Key> Graph<K> {
    pub(crate) fn new(snapshot: Arc<Snapshot>, collection: &str, rows: Record, source: Source) -> Graph<K> {
        Graph { snapshot, collection: collection.into(), rows, source, types: PhantomData }
    }

    /// Number of edges; of an undirected graph each counts once. Of the HNSW graph, the links are counted.
    pub fn len(&self) -> Result<u64> {
        match &self.source {
            Source::Stored(graph) => Ok(graph.edges),
            Source::Hnsw => {
                let edges = self.neighborhoods()?;
                (0..edges.end()).try_fold(0, |sum, node| Ok(sum + edges.degree(node)? as u64))
            }
        }
    }

    /// True where there is no edge.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Whether edges lead from one row to another, as the links of the HNSW graph do, or join the two.
    pub fn is_directed(&self) -> bool {
        self.stored().is_none_or(|graph| graph.directed)
    }

    /// Where its edges came from when it was made.
    pub fn origin(&self) -> GraphOrigin {
        self.stored().map_or(GraphOrigin::Hnsw, |graph| graph.origin)
    }

    /// Names of the edge types.
    pub fn edge_types(&self) -> Vec<Arc<str>> {
        self.stored().map(|graph| graph.types.clone()).unwrap_or_default()
    }

    /// The rows that edges lead to from this one; of an undirected graph, those that it is joined to.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] where there is no such row.
    pub fn neighbors(&self, key: K::Ref<'_>) -> Result<Vec<Adjacent<K::Owned>>> {
        self.adjacent(key, Direction::Out)
    }

    /// The rows from which edges lead to this one; of an undirected graph, the same as [`Graph::neighbors`].
    ///
    /// # Errors
    /// [`Error::UnknownKey`] where there is no such row.
    pub fn incoming(&self, key: K::Ref<'_>) -> Result<Vec<Adjacent<K::Owned>>> {
        self.adjacent(key, Direction::In)
    }

    /// Edges that lead from this row; a loop counts once.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] where there is no such row.
    pub fn degree(&self, key: K::Ref<'_>) -> Result<usize> {
        self.neighborhoods()?.degree(self.existing(key)?)
    }

    /// The edge from `source` to `target`; `None` where there is none, or no such row.
    pub fn edge(&self, source: K::Ref<'_>, target: K::Ref<'_>) -> Result<Option<Edge<K::Owned>>> {
        let (Some(from), Some(to)) = (self.node(source)?, self.node(target)?) else { return Ok(None) };
        match self.neighborhoods()?.find(from, to)? {
            Some(link) => self.edge_of(from, link).map(Some),
            None => Ok(None),
        }
    }

    /// All edges, in the order of the rows that they lead from, read as they are asked for: memory is that of the edges
    /// of one row. An undirected edge comes once.
    pub fn edges(&self) -> Result<Edges<'_, K>> {
        Ok(Edges::new(self, self.neighborhoods()?))
    }

    /// The rows that can be reached from `center` along at most `hops` edges, the nearest first, with the number of
    /// edges it takes. `center` itself comes first, with 0.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] where there is no such row.
    pub fn k_hop(&self, center: K::Ref<'_>, hops: u32) -> Result<Vec<Reached<K::Owned>>> {
        let reached = self.walk(center, hops)?;
        let keyed = |hop: Hop| Ok(Reached { key: self.key(hop.node)?, hops: hop.hops });
        reached.into_iter().map(keyed).collect()
    }

    /// The rows of [`Graph::k_hop`] with all edges between them.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] where there is no such row.
    pub fn subgraph(&self, center: K::Ref<'_>, hops: u32) -> Result<Subgraph<K::Owned>> {
        let reached = self.walk(center, hops)?;
        induced(self, &self.neighborhoods()?, &reached)
    }

    /// Samples the neighbourhood of `seeds` against the direction of the edges, which is where the messages that reach
    /// them come from (Hamilton, Ying & Leskovec 2017, GraphSAGE, algorithm 2): of each seed at most `fanouts[0]` of the
    /// edges that lead to it, of each row that is new then `fanouts[1]`, and so on; without replacement, decided by
    /// `seed`. The edges are those that were drawn, from the row that a message comes from to the one it reaches.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] where one of the seeds is no row.
    pub fn sample(&self, seeds: &[K::Ref<'_>], fanouts: &[usize], seed: u64) -> Result<Subgraph<K::Owned>> {
        let seeds = seeds.iter().map(|key| self.existing(*key)).collect::<Result<Vec<u32>>>()?;
        sample(self, &self.neighborhoods()?, self.nodes(), &seeds, fanouts, seed)
    }

    /// The `k` rows nearest to `query`, in the metric of the collection, among those that can be reached from `center`
    /// along at most `max_hops` edges; `center` is one of them. All of these are looked at: the result is exact.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] where there is no row `center`, [`Error::Vector`] for a query of another dimension,
    /// [`Error::InvalidParameter`] for a `k` out of range.
    pub fn subgraph_search<'q>(
        &self,
        center: K::Ref<'_>,
        query: impl Into<VectorRef<'q>>,
        max_hops: u32,
        k: usize,
    ) -> Result<SearchResult<K::Owned>> {
        check_k(k)?;
        let query = answer::encode_query(&self.rows, query.into())?;
        let reached = self.walk(center, max_hops)?;
        let reader = Reader::open(&*self.snapshot, &self.rows.index)?;
        let found = reader.nearest_of(&query, reached.iter().map(|hop| hop.node), k)?;
        let hit = |neighbor: &redknot_index::Neighbor| {
            Ok(Hit { key: self.key(neighbor.id)?, distance: neighbor.distance })
        };
        Ok(SearchResult {
            hits: found.neighbors.iter().map(hit).collect::<Result<_>>()?,
            completeness: if found.neighbors.len() < k { Completeness::Short } else { Completeness::Exact },
            stats: SearchStats { distances: found.distances, ..SearchStats::default() },
        })
    }

    fn walk(&self, center: K::Ref<'_>, hops: u32) -> Result<Vec<Hop>> {
        walk(&self.neighborhoods()?, self.nodes(), self.existing(center)?, hops)
    }

    fn adjacent(&self, key: K::Ref<'_>, direction: Direction) -> Result<Vec<Adjacent<K::Owned>>> {
        let mut links = Vec::new();
        self.neighborhoods()?.read(self.existing(key)?, direction, &mut links)?;
        let adjacent = |link: Link| {
            let edge_type = self.type_name(link)?;
            Ok(Adjacent { key: self.key(link.node)?, weight: link.weight, edge_type })
        };
        links.into_iter().map(adjacent).collect()
    }

    pub(crate) fn edge_of(&self, source: u32, link: Link) -> Result<Edge<K::Owned>> {
        let edge_type = self.type_name(link)?;
        Ok(Edge { source: self.key(source)?, target: self.key(link.node)?, weight: link.weight, edge_type })
    }

    pub(crate) fn type_name(&self, link: Link) -> Result<Option<Arc<str>>> {
        self.stored().map_or(Ok(None), |graph| graph.type_name(link.kind))
    }

    pub(crate) fn key(&self, node: u32) -> Result<K::Owned> {
        answer::key::<K>(&*self.snapshot, &self.collection, &self.rows, node)
    }

    fn nodes(&self) -> u32 {
        self.rows.index.nodes()
    }

    fn node(&self, key: K::Ref<'_>) -> Result<Option<u32>> {
        answer::node::<K>(&*self.snapshot, &self.collection, &self.rows, key)
    }

    /// The node of a row that has to be there.
    pub(crate) fn existing(&self, key: K::Ref<'_>) -> Result<u32> {
        self.node(key)?.ok_or_else(|| Error::UnknownKey { name: self.collection.clone(), key: K::show(key) })
    }

    fn neighborhoods(&self) -> Result<Neighborhoods<'_>> {
        Neighborhoods::open(&*self.snapshot, &self.rows, &self.source)
    }

    fn stored(&self) -> Option<&GraphRecord> {
        match &self.source {
            Source::Stored(graph) => Some(graph),
            Source::Hnsw => None,
        }
    }
}

impl<K: Key> fmt::Debug for Graph<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("collection", &self.collection)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
