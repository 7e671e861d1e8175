//! The graph that features are read from.

use redknot_index::{FeatureReader, FeatureRecord, Freshness, Metric, Reader, decode_into};
use redknot_storage::View;

use super::cache::Generation;
use super::{EdgeFeatures, PolicyError};
use crate::routing::normalize;

/// An index and, where it has usable ones, its stored graph features.
///
/// Stored features are usable where they are those of the index as it is, or all but betweenness are
/// ([`Freshness::Fresh`], [`Freshness::StaleBetweenness`]). Otherwise degree, layer, clustering, distances and angles are
/// computed from the node and its neighbours when they are first asked for, and betweenness, which takes the whole
/// graph, is 0.
#[derive(Clone, Copy, Debug)]
pub struct Graph<'v> {
    reader: Reader<'v>,
    stored: Option<FeatureReader<'v>>,
    generation: Generation,
}

impl<'v> Graph<'v> {
    /// An index without stored features.
    pub fn new(reader: Reader<'v>) -> Graph<'v> {
        Graph { reader, stored: None, generation: Generation::new(reader.record(), None) }
    }

    /// An index with the features that `record` describes, where they are usable and can be read.
    pub fn with_features(reader: Reader<'v>, view: &'v impl View, record: &'v FeatureRecord) -> Graph<'v> {
        let graph = Graph::new(reader);
        let usable =
            matches!(record.freshness(reader.record()), Freshness::Fresh | Freshness::StaleBetweenness);
        match FeatureReader::open(view, record) {
            Ok(stored) if usable => {
                let generation = Generation::new(reader.record(), Some(record));
                Graph { reader, stored: Some(stored), generation }
            }
            _ => graph,
        }
    }

    /// The index.
    pub fn reader(&self) -> &Reader<'v> {
        &self.reader
    }

    /// Whether features are read from the file, betweenness with them.
    pub fn has_stored_features(&self) -> bool {
        self.stored.is_some()
    }

    pub(super) fn stored(&self) -> Option<&FeatureReader<'v>> {
        self.stored.as_ref()
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// Appends the vector of a node, of length 1 under cosine.
    pub(crate) fn append_vector(&self, node: u32, tensor: &mut Vec<f32>) -> Result<(), PolicyError> {
        self.append_decoded(self.reader.vector(node)?, tensor)
    }

    /// The same for a vector or query that is encoded as the rows of the index are.
    pub(crate) fn append_decoded(&self, bytes: &[u8], tensor: &mut Vec<f32>) -> Result<(), PolicyError> {
        let config = self.reader.config();
        let start = tensor.len();
        tensor.resize(start + config.dim, 0.0);
        decode_into(bytes, config.element, &mut tensor[start..]);
        if config.metric == Metric::Cosine {
            normalize(&mut tensor[start..])?;
        }
        Ok(())
    }

    /// A share, 1 / (1 + d), that falls with the length d of a link: its distance, or under inner product, where
    /// distances may be negative, 1 − cosine.
    pub(super) fn distance_score(&self, edge: &EdgeFeatures) -> f32 {
        let length = match self.reader.config().metric {
            Metric::InnerProduct => 1.0 - edge.angular_similarity,
            _ => edge.distance,
        };
        // Rounding may put the distance of equal vectors a little below 0.
        1.0 / (1.0 + length.max(0.0))
    }
}
