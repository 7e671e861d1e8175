//! Reading features.

use std::sync::Arc;

use redknot_index::local_features;

use super::cache::{Link, Row};
use super::{EdgeFeatures, FeatureCache, Graph, Layout, NodeFeatures, PolicyError};

/// Reads the features of nodes and links, through a cache of what does not depend on the query. Shared by threads.
///
/// For one collection: the cache tells states of a graph apart, not files.
#[derive(Debug)]
pub struct FeatureExtractor {
    layout: Layout,
    cache: FeatureCache,
}

impl FeatureExtractor {
    /// Features for a model with these inputs ([`Layout`]), with a cache of at most `cache_bytes`, 0 for none.
    ///
    /// # Errors
    /// [`PolicyError::Layout`] for inputs that cannot be filled.
    pub fn new(
        node_dim: usize,
        edge_dim: usize,
        cache_bytes: usize,
    ) -> Result<FeatureExtractor, PolicyError> {
        let layout = Layout::of(node_dim, edge_dim, node_dim.saturating_sub(super::NODE_NUMBERS))?;
        Ok(FeatureExtractor { layout, cache: FeatureCache::new(cache_bytes) })
    }

    /// How features are laid out as tensors.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The cache.
    pub fn cache(&self) -> &FeatureCache {
        &self.cache
    }

    /// Forgets what is cached.
    pub fn clear_cache(&self) {
        self.cache.clear();
    }

    /// The features of a linked node; `query` is encoded as the rows of the index are.
    ///
    /// # Errors
    /// [`PolicyError::Dimension`] for an index of other vectors, [`PolicyError::NotLinked`], [`PolicyError::Vector`],
    /// and [`PolicyError::Index`] where the query has another length or something cannot be read.
    pub fn extract_node_features(
        &self,
        graph: &Graph<'_>,
        node: u32,
        query: &[u8],
    ) -> Result<NodeFeatures, PolicyError> {
        self.check(graph)?;
        let row = self.row(graph, node)?;
        let mut embedding = Vec::with_capacity(self.layout.dim());
        graph.append_vector(node, &mut embedding)?;
        let mut query_distance = f32::NAN;
        graph.reader().probe(query)?.distances(&[node], |neighbor| query_distance = neighbor.distance)?;
        Ok(NodeFeatures {
            embedding,
            degree: row.links.len(),
            layer: row.layer.into(),
            clustering_coef: row.clustering,
            query_distance,
        })
    }

    /// The features of the link from `source` to `target`.
    ///
    /// # Errors
    /// [`PolicyError::NoEdge`] where there is none; else as [`FeatureExtractor::extract_node_features`].
    pub fn extract_edge_features(
        &self,
        graph: &Graph<'_>,
        source: u32,
        target: u32,
    ) -> Result<EdgeFeatures, PolicyError> {
        self.check(graph)?;
        let row = self.row(graph, source)?;
        Ok(row.links[row.place(source, target)?].features())
    }

    /// The features of several links, in their order; links of one node that stand together are looked up once.
    ///
    /// # Errors
    /// As [`FeatureExtractor::extract_edge_features`], for the first that fails.
    pub fn batch_extract_edge_features(
        &self,
        graph: &Graph<'_>,
        edges: &[(u32, u32)],
    ) -> Result<Vec<EdgeFeatures>, PolicyError> {
        self.check(graph)?;
        let mut features = Vec::with_capacity(edges.len());
        for of_node in edges.chunk_by(|a, b| a.0 == b.0) {
            let row = self.row(graph, of_node[0].0)?;
            for (source, target) in of_node {
                features.push(row.links[row.place(*source, *target)?].features());
            }
        }
        Ok(features)
    }

    /// The features of a linked node as a model takes them, but for its vector; `query_distance` is known.
    #[cfg(feature = "train")]
    pub(crate) fn node_numbers(
        &self,
        graph: &Graph<'_>,
        node: u32,
        query_distance: f32,
    ) -> Result<[f32; super::NODE_NUMBERS], PolicyError> {
        self.check(graph)?;
        Ok(self.row(graph, node)?.node_numbers(query_distance))
    }

    /// Fails where the index has vectors of another length than the model is for.
    pub(super) fn check(&self, graph: &Graph<'_>) -> Result<(), PolicyError> {
        let (expected, got) = (self.layout.dim(), graph.reader().config().dim);
        if expected == got { Ok(()) } else { Err(PolicyError::Dimension { expected, got }) }
    }

    /// What is known of a linked node and its links.
    pub(super) fn row(&self, graph: &Graph<'_>, node: u32) -> Result<Arc<Row>, PolicyError> {
        let reader = graph.reader();
        if node >= reader.nodes() || !reader.is_linked(node)? {
            return Err(PolicyError::NotLinked { node });
        }
        // Whatever the cache says, the links are those of the graph.
        let links = reader.neighbors(node)?;
        let is_current = |row: &Row| links.eq(row.targets());
        if let Some(row) = self.cache.get(node, graph.generation(), is_current) {
            return Ok(row);
        }
        let row = Arc::new(read(graph, node)?);
        self.cache.insert(node, graph.generation(), &row);
        Ok(row)
    }

    /// Appends the features of the link at `place` of a row as the model takes them.
    pub(super) fn append_edge(
        &self,
        graph: &Graph<'_>,
        row: &Row,
        place: usize,
        tensor: &mut Vec<f32>,
    ) -> Result<(), PolicyError> {
        tensor.extend_from_slice(&row.links[place].features().numbers());
        if self.layout.is_wide() {
            graph.append_vector(row.links[place].target(), tensor)?;
        }
        Ok(())
    }
}

impl Row {
    /// Degree, layer, clustering coefficient and distance from the query.
    pub(super) fn node_numbers(&self, query_distance: f32) -> [f32; super::NODE_NUMBERS] {
        [self.links.len() as f32, self.layer.into(), self.clustering, query_distance]
    }

    /// Where the link to `target` stands.
    pub(super) fn place(&self, source_node: u32, target: u32) -> Result<usize, PolicyError> {
        let place = self.targets().position(|other| other == target);
        place.ok_or(PolicyError::NoEdge { source_node, target })
    }
}

/// Reads the stored features, or computes those that need no more than the neighbourhood.
fn read(graph: &Graph<'_>, node: u32) -> Result<Row, PolicyError> {
    if let Some(row) = stored(graph, node)? {
        return Ok(row);
    }
    let (features, edges) = local_features(graph.reader(), node)?;
    Ok(Row::new(features, edges.into_iter()))
}

/// The stored features of a node; `None` where they are not those of its links, as in a damaged file.
fn stored(graph: &Graph<'_>, node: u32) -> Result<Option<Row>, PolicyError> {
    let Some(stored) = graph.stored().filter(|stored| node < stored.len()) else { return Ok(None) };
    let row = Row::new(stored.node(node)?, stored.edges(node)?);
    let is_current = graph.reader().neighbors(node)?.eq(row.targets());
    Ok(is_current.then_some(row))
}

impl Row {
    fn new(
        node: redknot_index::NodeFeatures,
        edges: impl Iterator<Item = redknot_index::EdgeFeatures>,
    ) -> Row {
        let links = edges.map(|edge| Link::new(&edge)).collect();
        Row { layer: node.level.unwrap_or(0), clustering: node.clustering, links }
    }
}
