//! A model with what it needs to guide searches.

use std::fmt;

use parking_lot::RwLock;
use redknot_index::ScratchPool;

use super::metrics::Counts;
use super::reference::Reference;
use super::scoring::{Place, Scoring, Tensors};
use super::select::select;
use super::{
    EdgeScore, EdgeScorer, FeatureExtractor, Graph, Layout, PolicyError, PolicyMetrics, RoutingConfig,
};

/// Tensors of calls from outside of searches.
static TENSORS: ScratchPool<Tensors> = ScratchPool::new();

/// A model that guides searches of one collection. Shared by threads; each works in buffers of its own.
///
/// ```
/// use redknot_gnn::online::{GnnRoutingPolicy, LinearScorer, RoutingConfig};
///
/// let config = RoutingConfig { top_k_edges: 8, ..RoutingConfig::default() };
/// let policy = GnnRoutingPolicy::new(LinearScorer::nearer(128, 16), config)?;
/// assert_eq!(policy.metrics().queries, 0);
/// # Ok::<(), redknot_gnn::online::PolicyError>(())
/// ```
pub struct GnnRoutingPolicy {
    pub(super) scorer: Box<dyn EdgeScorer>,
    pub(super) extractor: FeatureExtractor,
    pub(super) config: RwLock<RoutingConfig>,
    pub(super) counts: Counts,
    pub(super) reference: Reference,
}

impl GnnRoutingPolicy {
    /// A policy that follows `scorer`.
    ///
    /// # Errors
    /// [`PolicyError::Config`], or [`PolicyError::Layout`] for a model whose inputs cannot be filled.
    pub fn new(
        scorer: impl EdgeScorer + 'static,
        config: RoutingConfig,
    ) -> Result<GnnRoutingPolicy, PolicyError> {
        config.check()?;
        Layout::of(scorer.node_dim(), scorer.edge_dim(), scorer.query_dim())?;
        let extractor = FeatureExtractor::new(scorer.node_dim(), scorer.edge_dim(), config.cache_bytes)?;
        Ok(GnnRoutingPolicy {
            scorer: Box::new(scorer),
            extractor,
            config: RwLock::new(config),
            counts: Counts::default(),
            reference: Reference::default(),
        })
    }

    /// Scores links of `node`, which leads to each of `neighbors`; the highest combined score first, equal ones by node
    /// number. `query` is encoded as the rows of the index are. The budget does not count here.
    ///
    /// # Errors
    /// [`PolicyError`] where the node is not linked, a neighbour is none, or the model fails.
    pub fn score_edges(
        &self,
        graph: &Graph<'_>,
        node: u32,
        neighbors: &[u32],
        query: &[u8],
    ) -> Result<Vec<EdgeScore>, PolicyError> {
        let mut scoring = self.scoring(*self.config.read(), None);
        scoring.check(graph)?;
        let row = self.extractor.row(graph, node)?;
        let places: Vec<u32> = neighbors
            .iter()
            .map(|target| row.place(node, *target).map(|place| place as u32))
            .collect::<Result<_, _>>()?;
        let mut query_distance = f32::NAN;
        graph.reader().probe(query)?.distances(&[node], |neighbor| query_distance = neighbor.distance)?;
        let mut seen = Vec::with_capacity(self.extractor.layout().dim());
        graph.append_decoded(query, &mut seen)?;
        let at = Place { node, row: &row, query_distance, query: &seen };
        let mut scored = Vec::with_capacity(places.len());
        TENSORS.with(|tensors| scoring.score(graph, at, &places, tensors, &mut scored))?;
        scored.sort_unstable_by(EdgeScore::order);
        Ok(scored)
    }

    /// The targets of `k` of these links, selected as the configuration says; fewer where there are no more.
    pub fn select_top_k(&self, edge_scores: &[EdgeScore], k: usize) -> Vec<u32> {
        let mut scores = edge_scores.to_vec();
        select(&mut scores, k, &self.config.read(), 0);
        scores.iter().map(|score| score.target_node).collect()
    }

    /// What the policy did.
    pub fn metrics(&self) -> PolicyMetrics {
        self.counts.get(self.extractor.cache().hit_rate())
    }

    /// Starts counting from 0. What is cached stays.
    pub fn reset_metrics(&self) {
        self.counts.reset();
        self.extractor.cache().reset_counts();
    }

    /// The configuration.
    pub fn config(&self) -> RoutingConfig {
        *self.config.read()
    }

    /// Replaces the configuration. Searches that have begun end with the one before.
    ///
    /// # Errors
    /// [`PolicyError::Config`]; the configuration before stays.
    pub fn update_config(&self, config: RoutingConfig) -> Result<(), PolicyError> {
        config.check()?;
        let mut current = self.config.write();
        self.extractor.cache().set_capacity(config.cache_bytes);
        *current = config;
        Ok(())
    }

    /// What reads the features.
    pub fn extractor(&self) -> &FeatureExtractor {
        &self.extractor
    }

    pub(super) fn scoring(&self, config: RoutingConfig, allowed: Option<std::time::Duration>) -> Scoring<'_> {
        Scoring {
            scorer: &*self.scorer,
            extractor: &self.extractor,
            counts: &self.counts,
            config,
            allowed,
            spent: std::time::Duration::ZERO,
            calls: 0,
        }
    }
}

impl fmt::Debug for GnnRoutingPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GnnRoutingPolicy")
            .field("layout", &self.extractor.layout())
            .field("config", &self.config())
            .finish_non_exhaustive()
    }
}
