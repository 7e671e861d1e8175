//! Changing a graph inside the write transaction.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use redknot_storage::WriteTxn;

use super::edit::{Editor, Full, NodeEdge};
use super::options::{MAX_EDGES_OF_ROW, MAX_TYPE_BYTES};
use super::read::Edge;
use super::record::GraphRecord;
use crate::answer;
use crate::catalog::Record;
use crate::error::{Error, Result};
use crate::key::Key;

/// A graph in the write transaction. Its nodes are the rows of its collection: an edge joins two rows that are there,
/// goes with either of them, and stays where a row gets another vector.
///
/// An operation that fails on its input changes nothing. After one that fails half-way, on the file, the transaction
/// refuses to commit.
///
/// ```
/// use redknot::{CollectionDefinition, Database, GraphOptions, Metric};
///
/// const PAPERS: CollectionDefinition<u64, &str> = CollectionDefinition::new("papers", 2, Metric::L2);
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("library.redknot");
/// let db = Database::create(path)?;
/// let mut txn = db.begin_write()?;
/// let mut papers = txn.open_collection(PAPERS)?;
/// for (key, vector, title) in [(1, [0.0, 1.0], "tides"), (2, [1.0, 0.0], "birds"), (3, [0.9, 0.1], "wings")] {
///     papers.insert(key, &vector, title)?;
/// }
/// let mut cites = txn.create_graph(PAPERS, "cites", GraphOptions::default())?;
/// cites.insert_edge(1, 2, 1.0, Some("background"))?;
/// cites.insert_edge(2, 3, 1.0, None)?;
/// txn.commit()?;
///
/// let cites = db.begin_read()?.open_graph(PAPERS, "cites")?;
/// assert_eq!(cites.neighbors(1)?[0].key, 2);
/// assert_eq!(cites.k_hop(1, 2)?.len(), 3);
/// // The nearest to a vector of what can be reached from paper 1 along one edge.
/// let found = cites.subgraph_search(1, &[0.8, 0.2], 1, 1)?;
/// assert_eq!(found.hits[0].key, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct GraphMut<'t, K: Key> {
    txn: &'t mut WriteTxn,
    collection: String,
    name: String,
    rows: &'t Record,
    graph: &'t mut GraphRecord,
    torn: &'t mut bool,
    types: PhantomData<fn() -> K>,
}

impl<'t, K: Key> GraphMut<'t, K> {
    pub(crate) fn new(
        txn: &'t mut WriteTxn,
        (collection, name): (&str, &str),
        rows: &'t Record,
        graph: &'t mut GraphRecord,
        torn: &'t mut bool,
    ) -> GraphMut<'t, K> {
        let (collection, name) = (collection.into(), name.into());
        GraphMut { txn, collection, name, rows, graph, torn, types: PhantomData }
    }

    /// Number of edges. An edge of an undirected graph counts once.
    pub fn len(&self) -> u64 {
        self.graph.edges
    }

    /// True where there is no edge.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether edges lead from one row to another, or join the two.
    pub fn is_directed(&self) -> bool {
        self.graph.directed
    }

    /// Inserts an edge, or gives the one from `source` to `target` another weight and type. `true` if there was one.
    /// The two may be the same row.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] for a key without a row, [`Error::InvalidParameter`] for a weight that is not finite or the
    /// name of a type that is empty or has more than 255 bytes, [`Error::TooManyEdges`] where a row would have more than
    /// 65,535 edges in one direction.
    pub fn insert_edge(
        &mut self,
        source: K::Ref<'_>,
        target: K::Ref<'_>,
        weight: f32,
        edge_type: Option<&str>,
    ) -> Result<bool> {
        check(weight, edge_type)?;
        let (source, target) = (self.existing(source)?, self.existing(target)?);
        let known = self.graph.types.len();
        let kind = self.kind(edge_type);
        let edge = NodeEdge { source, target, weight, kind };
        let inserted = self.change(|editor| editor.insert(edge))?;
        self.unless_full(inserted, known)
    }

    /// Inserts many edges, as [`GraphMut::insert_edge`] does one; of edges between the same rows the last stays. Returns
    /// how many were there before. Much faster than one by one: each row is written once.
    ///
    /// # Errors
    /// As [`GraphMut::insert_edge`], for the first edge at fault; none is inserted then.
    pub fn insert_edges<'a>(
        &mut self,
        edges: impl IntoIterator<Item = (K::Ref<'a>, K::Ref<'a>, f32, Option<&'a str>)>,
    ) -> Result<u64> {
        let known = self.graph.types.len();
        let found = self.look_up(edges);
        let inserted = match found {
            Ok(edges) => self.change(|editor| editor.insert_all(&edges)),
            Err(error) => {
                self.graph.types.truncate(known);
                return Err(error);
            }
        };
        self.unless_full(inserted?, known)
    }

    fn look_up<'a>(
        &mut self,
        edges: impl IntoIterator<Item = (K::Ref<'a>, K::Ref<'a>, f32, Option<&'a str>)>,
    ) -> Result<Vec<NodeEdge>> {
        let mut found = Vec::new();
        for (source, target, weight, edge_type) in edges {
            check(weight, edge_type)?;
            let (source, target) = (self.existing(source)?, self.existing(target)?);
            found.push(NodeEdge { source, target, weight, kind: self.kind(edge_type) });
        }
        Ok(found)
    }

    /// Removes the edge from `source` to `target`; `false` where there is none.
    pub fn remove_edge(&mut self, source: K::Ref<'_>, target: K::Ref<'_>) -> Result<bool> {
        let (Some(source), Some(target)) = (self.node(source)?, self.node(target)?) else { return Ok(false) };
        self.change(|editor| editor.remove(source, target))
    }

    /// Removes all edges of a row, in both directions; returns how many there were.
    pub fn remove_edges_of(&mut self, key: K::Ref<'_>) -> Result<u64> {
        let Some(node) = self.node(key)? else { return Ok(0) };
        self.change(|editor| editor.remove_node(node))
    }

    /// The edge from `source` to `target`.
    pub fn edge(&self, source: K::Ref<'_>, target: K::Ref<'_>) -> Result<Option<Edge<K::Owned>>> {
        let (Some(from), Some(to)) = (self.node(source)?, self.node(target)?) else { return Ok(None) };
        let graph = super::row::Rows::open(self.txn, self.graph.out, self.graph.long)?;
        let Some(link) = super::row::find(graph.get(from)?, to) else { return Ok(None) };
        let key = |node| answer::key::<K>(self.txn, &self.collection, self.rows, node);
        let edge_type = self.graph.type_name(link.kind)?;
        Ok(Some(Edge { source: key(from)?, target: key(to)?, weight: link.weight, edge_type }))
    }

    fn node(&self, key: K::Ref<'_>) -> Result<Option<u32>> {
        answer::node::<K>(self.txn, &self.collection, self.rows, key)
    }

    fn existing(&self, key: K::Ref<'_>) -> Result<u32> {
        self.node(key)?.ok_or_else(|| Error::UnknownKey { name: self.collection.clone(), key: K::show(key) })
    }

    /// The number of a type, which is known from now on.
    fn kind(&mut self, edge_type: Option<&str>) -> u32 {
        let Some(name) = edge_type else { return 0 };
        let types = &mut self.graph.types;
        let at = types.iter().position(|known| **known == *name).unwrap_or_else(|| {
            types.push(Arc::from(name));
            types.len() - 1
        });
        at as u32 + 1
    }

    /// Runs a change whose input is checked: what fails now fails half-way.
    fn change<T>(&mut self, change: impl FnOnce(&mut Editor<'_>) -> Result<T>) -> Result<T> {
        let result = change(&mut Editor { txn: self.txn, record: self.graph });
        *self.torn |= result.is_err();
        result
    }

    /// What was inserted, or an error that names the row at fault; the graph then knows the types it knew before.
    fn unless_full<T>(&mut self, inserted: std::result::Result<T, Full>, known: usize) -> Result<T> {
        inserted.or_else(|Full(node)| {
            self.graph.types.truncate(known);
            let key = answer::key::<K>(self.txn, &self.collection, self.rows, node)?;
            Err(Error::TooManyEdges {
                graph: self.name.clone(),
                key: K::show(K::borrow(&key)),
                limit: MAX_EDGES_OF_ROW,
            })
        })
    }
}

fn check(weight: f32, edge_type: Option<&str>) -> Result<()> {
    if !weight.is_finite() {
        let got = weight.to_string();
        return Err(Error::InvalidParameter { name: "weight", got, expected: "a finite number" });
    }
    match edge_type {
        Some(name) if name.is_empty() || name.len() > MAX_TYPE_BYTES => Err(Error::InvalidParameter {
            name: "edge type",
            got: if name.is_empty() { "the empty text".into() } else { format!("{} bytes", name.len()) },
            expected: "a name of 1 to 255 bytes, or no type",
        }),
        _ => Ok(()),
    }
}

impl<K: Key> fmt::Debug for GraphMut<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphMut")
            .field("collection", &self.collection)
            .field("name", &self.name)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
