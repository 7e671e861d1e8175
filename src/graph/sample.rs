//! Drawing some of the edges that lead to a few nodes.

use super::neighborhoods::{Direction, Neighborhoods};
use super::read::Graph;
use super::subgraph::{Places, Subgraph, edge};
use super::walk::Hop;
use crate::error::{Error, Result};
use crate::key::Key;

/// See [`Graph::sample`].
pub(crate) fn sample<K: Key>(
    graph: &Graph<K>,
    neighborhoods: &Neighborhoods<'_>,
    nodes: u32,
    seeds: &[u32],
    fanouts: &[usize],
    seed: u64,
) -> Result<Subgraph<K::Owned>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut places = Places::default();
    for node in seeds {
        places.add(Hop { node: *node, hops: 0 });
    }
    let (mut edges, mut links) = (Vec::new(), Vec::new());
    let mut first = 0;
    for (hops, fanout) in (1..).zip(fanouts) {
        let frontier = places.since(first).to_vec();
        first = places.len();
        for (target, reached) in (first - frontier.len()..).zip(frontier) {
            neighborhoods.read(reached.node, Direction::In, &mut links)?;
            let drawn = draw(&mut rng, &mut links, *fanout);
            for link in drawn {
                if link.node >= nodes {
                    return Err(Error::corrupt(format!(
                        "an edge comes from node {}, which there is not",
                        link.node
                    )));
                }
                let (source, _) = places.add(Hop { node: link.node, hops });
                edges.push(edge(graph, source, target, *link)?);
            }
        }
    }
    places.finish(graph, edges)
}

/// `count` of the items at random, each at most once, in no order; all of them where there are fewer.
fn draw<'i, T>(rng: &mut fastrand::Rng, items: &'i mut [T], count: usize) -> &'i [T] {
    let count = count.min(items.len());
    if count < items.len() {
        // The first steps of a Fisher-Yates shuffle.
        for at in 0..count {
            let other = rng.usize(at..items.len());
            items.swap(at, other);
        }
    }
    &items[..count]
}
