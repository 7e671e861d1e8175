//! Whether stored features are those of the graph.

use std::fmt;

use rayon::prelude::*;
use redknot_storage::View;

use super::local::{BaseLayer, Scratch};
use super::refresh::is_near;
use super::{EdgeFeatures, FeatureReader, FeatureRecord, Freshness, NodeFeatures};
use crate::{Error, IndexRecord, Reader};

/// Clustering coefficients of f64 that were rounded to f32.
const CLUSTERING_ERROR: f32 = 1e-5;
/// Cosines of stored vectors, as different instruction sets round them.
const COSINE_ERROR: f32 = 1e-3;

/// A row of features that is not that of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureFinding {
    /// The node.
    pub node: u32,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for FeatureFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the graph features of node {}: {}", self.node, self.what)
    }
}

/// Computes everything but betweenness anew and compares it with what is stored; of betweenness it checks that it is a share.
/// Finds nothing where the features say themselves that they are behind the index ([`Freshness::Unrefreshed`],
/// [`Freshness::OtherGraph`]).
///
/// # Errors
/// [`Error::Damaged`] or [`Error::Storage`] where rows cannot be read.
pub fn verify_features(
    view: &(impl View + Sync),
    index: &IndexRecord,
    record: &FeatureRecord,
) -> Result<Vec<FeatureFinding>, Error> {
    if matches!(record.freshness(index), Freshness::Unrefreshed | Freshness::OtherGraph) {
        return Ok(Vec::new());
    }
    let (reader, stored) = (Reader::open(view, index)?, FeatureReader::open(view, record)?);
    let layer = BaseLayer::new(&reader)?;
    let of_node = |node| {
        let what = if node < stored.len() {
            difference(&layer, &stored, node)?
        } else {
            // What an import appended has no links, and needs no row.
            reader.is_linked(node)?.then_some("there are none, and the node is linked")
        };
        Ok(what.map(|what| FeatureFinding { node, what }))
    };
    let nodes = reader.nodes().max(stored.len());
    let findings = (0..nodes).into_par_iter().map(of_node).filter_map(Result::transpose);
    findings.collect()
}

/// What of the features of a node is not as it should be.
fn difference(
    layer: &BaseLayer<'_, '_>,
    stored: &FeatureReader<'_>,
    node: u32,
) -> Result<Option<&'static str>, Error> {
    let (features, expected) = (stored.node(node)?, layer.node(node)?);
    if let Some(what) = of_node(&features, &expected) {
        return Ok(Some(what));
    }
    let mut scratch = Scratch::default();
    let mut edges = stored.edges(node)?;
    for expected in layer.edges(node, layer.links(node)?, &mut scratch)? {
        match edges.next() {
            None => return Ok(Some("some links have none")),
            Some(edge) => {
                if let Some(what) = of_edge(&edge, &expected) {
                    return Ok(Some(what));
                }
            }
        }
    }
    Ok(edges.next().map(|_| "there are more than links"))
}

fn of_node(features: &NodeFeatures, expected: &NodeFeatures) -> Option<&'static str> {
    if (features.degree, features.level) != (expected.degree, expected.level) {
        Some("degree or level is another")
    } else if !agree(features.clustering, expected.clustering, CLUSTERING_ERROR) {
        Some("the clustering coefficient is another")
    } else if !is_share(features.betweenness) {
        Some("its betweenness is no share of all pairs")
    } else {
        None
    }
}

fn of_edge(edge: &EdgeFeatures, expected: &EdgeFeatures) -> Option<&'static str> {
    if (edge.target, edge.is_cross_layer) != (expected.target, expected.is_cross_layer) {
        Some("a link leads elsewhere")
    } else if !is_near(edge.distance, expected.distance) {
        Some("the distance of a link is another")
    } else if !agree(edge.cosine, expected.cosine, COSINE_ERROR) {
        Some("the cosine of a link is another")
    } else if !is_share(edge.betweenness) {
        Some("the betweenness of a link is no share of all pairs")
    } else {
        None
    }
}

/// NaN agrees with nothing.
fn agree(a: f32, b: f32, error: f32) -> bool {
    (a - b).abs() <= error
}

/// Estimates from pivots may exceed 1 a little.
fn is_share(betweenness: f32) -> bool {
    (0.0..=2.0).contains(&betweenness)
}
