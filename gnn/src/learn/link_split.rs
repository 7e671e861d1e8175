//! Links taken out of a graph, to judge by.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::layers::{Graph, Matrix};

use super::LearnError;
use super::options::within;

/// Links in three parts, and the graph without those that are only judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSplit {
    /// The graph with the edges of the training part alone, and its edges from nodes to themselves.
    pub graph: Graph,
    /// Links that are learned from.
    pub training: Vec<(u32, u32)>,
    /// Links that decide which epoch's weights are kept.
    pub validation: Vec<(u32, u32)>,
    /// Links that the kept weights are judged by.
    pub test: Vec<(u32, u32)>,
}

/// Splits the links of a graph at random. A link is a pair of different nodes with an edge in either direction or in both;
/// all its edges go the same way.
///
/// # Errors
/// [`LearnError::Gnn`] for shares below 0 or of more than 0.9 together, [`LearnError::Empty`] where there is no link to learn
/// from.
pub fn split_links(graph: &Graph, validation: f64, test: f64, seed: u64) -> Result<LinkSplit, LearnError> {
    within("share of the validation part", validation, 0.0..=0.9)?;
    within("share of the test part", test, 0.0..=0.9)?;
    within("share of both parts", validation + test, 0.0..=0.9)?;
    let edges = graph.edge_list();
    // Links by their nodes in order, as the direction that comes first.
    let mut links = BTreeMap::new();
    for &(source, target) in edges.iter().filter(|(source, target)| source != target) {
        links.entry((source.min(target), source.max(target))).or_insert((source, target));
    }
    let mut links: Vec<(u32, u32)> = links.into_values().collect();
    Rng::with_seed(seed).shuffle(&mut links);
    let share = |share: f64| (links.len() as f64 * share).round() as usize;
    let (tested, validated) = (share(test), share(validation));
    let test = links.split_off(links.len() - tested);
    let validation = links.split_off(links.len() - validated);
    if links.is_empty() {
        return Err(LearnError::Empty { what: "links to learn from" });
    }
    let mut held_out: Vec<(u32, u32)> = validation.iter().chain(&test).map(|link| ordered(*link)).collect();
    held_out.sort_unstable();
    let kept = (0..edges.len()).filter(|edge| held_out.binary_search(&ordered(edges[*edge])).is_err());
    Ok(LinkSplit {
        graph: with_edges(graph, &edges, &kept.collect::<Vec<_>>())?,
        training: links,
        validation,
        test,
    })
}

pub(super) fn ordered((a, b): (u32, u32)) -> (u32, u32) {
    (a.min(b), a.max(b))
}

/// The graph with these of its edges.
fn with_edges(graph: &Graph, edges: &[(u32, u32)], kept: &[usize]) -> Result<Graph, LearnError> {
    let list: Vec<(u32, u32)> = kept.iter().map(|&edge| edges[edge]).collect();
    let weights = graph.weights().map(|weights| kept.iter().map(|&edge| weights[edge]).collect::<Vec<_>>());
    let features = graph.edge_features().map(|rows| {
        let numbers = kept.iter().flat_map(|&edge| rows.row(edge).iter().copied()).collect();
        Matrix::new(kept.len(), rows.cols(), numbers)
    });
    let features = features.transpose()?;
    Ok(Graph::from_edges(graph.nodes(), &list, weights.as_deref(), features.as_ref())?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed call fails the test")]
mod tests {
    use super::*;

    #[test]
    fn both_directions_of_a_link_go_together() {
        let mut edges: Vec<(u32, u32)> = (0..40).flat_map(|a| [(a, a + 1), (a + 1, a)]).collect();
        edges.extend([(3, 3), (7, 20)]);
        let weights: Vec<f32> = (0..edges.len()).map(|edge| edge as f32).collect();
        let graph = Graph::from_edges(41, &edges, Some(&weights), None).unwrap();
        let split = split_links(&graph, 0.1, 0.2, 5).unwrap();
        assert_eq!((split.training.len(), split.validation.len(), split.test.len()), (29, 4, 8));
        let left = split.graph.edge_list();
        assert!(left.contains(&(3, 3)));
        for &(a, b) in split.validation.iter().chain(&split.test) {
            assert!(!left.contains(&(a, b)) && !left.contains(&(b, a)));
        }
        for &(a, b) in &split.training {
            assert!(left.contains(&(a, b)) && ((a, b) == (7, 20) || left.contains(&(b, a))));
        }
        for (at, edge) in left.iter().enumerate() {
            let weight = split.graph.weights().unwrap()[at] as usize;
            assert_eq!(edges[weight], *edge);
        }
        assert_eq!(split, split_links(&graph, 0.1, 0.2, 5).unwrap());
        assert_ne!(split, split_links(&graph, 0.1, 0.2, 6).unwrap());
    }

    #[test]
    fn shares_that_leave_nothing_are_refused() {
        let graph = Graph::from_edges(2, &[(0, 0)], None, None).unwrap();
        assert!(matches!(split_links(&graph, 0.1, 0.1, 1), Err(LearnError::Empty { .. })));
        assert!(matches!(split_links(&graph, 0.5, 0.5, 1), Err(LearnError::Gnn(_))));
        assert!(matches!(split_links(&graph, f64::NAN, 0.1, 1), Err(LearnError::Gnn(_))));
    }
}
