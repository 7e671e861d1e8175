//! Runs both searches with somebody watching, and puts together what was seen.

use std::collections::HashMap;

use redknot_gnn::routing::{Effort, Keys, Plan, RouteError, Routed, StopReason};
use redknot_index::{IndexConfig, Metric, Neighbor, Reader, SearchParams, decode_into};
use redknot_storage::View;

use super::project::project;
use super::record::Recorder;
use super::{Explanation, Hop, Node, Seen, Unrouted, Walk};
use crate::answer::{encode_query, key};
use crate::catalog::Record;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::query::{Hit, Request};
use crate::router::Guide;

/// Explains `request`, which is neither exact nor filtered.
pub(crate) fn run<K: Key>(
    view: &impl View,
    name: &str,
    record: &Record,
    guide: &Guide,
    request: &Request<'_, K>,
) -> Result<Explanation<K::Owned>> {
    let ask = request.ask(name);
    let shown = guide.shown(&ask)?;
    let mut unrouted = shown.unrouted;
    let explain = Explain {
        name,
        record,
        query: encode_query(record, request.query)?,
        reader: Reader::open(view, &record.index)?,
        k: request.k,
        radius: request.within.unwrap_or(f32::INFINITY),
    };
    let mut routed = None;
    if let Some(effort) = shown.effort {
        // Where a query is too far away to be routed, what the router would have done is shown all the same.
        let anywhere = Effort { farthest: None, ..effort };
        let walk = match explain.routed(view, guide, &effort) {
            Some(Err(RouteError::Strange { .. })) => {
                unrouted = Some(Unrouted::Strange);
                explain.routed(view, guide, &anywhere)
            }
            walk => walk,
        };
        match walk {
            Some(Ok(walk)) => routed = Some((walk, effort)),
            Some(Err(error)) => unrouted = Some(Unrouted::Failed(error.to_string())),
            None => {}
        }
    }

    let ef = if unrouted == Some(Unrouted::Strange) { shown.for_strangers } else { shown.greedy };
    let (greedy, greedy_steps) = explain.greedy(ef)?;
    let mut places = Places::default();
    places.add(&greedy_steps);
    routed.iter().for_each(|((_, steps), _)| places.add(steps));
    let (nodes, plane_share) = explain.nodes::<K>(view, &places.nodes)?;
    let greedy = explain.walk::<K>(view, greedy, Plan::Greedy(ef), &greedy_steps, &places)?;
    let router = routed
        .map(|((found, steps), effort)| explain.walk::<K>(view, found, Plan::Routed(effort), &steps, &places))
        .transpose()?;
    let saved = |router: &Walk<_>| greedy.distances as i64 - router.distances as i64;
    let distances_saved = router.as_ref().map(saved);
    Ok(Explanation {
        collection: name.into(),
        k: request.k,
        unrouted,
        distances_saved,
        greedy,
        router,
        nodes,
        plane_share,
    })
}

struct Explain<'a> {
    name: &'a str,
    record: &'a Record,
    query: Vec<u8>,
    reader: Reader<'a>,
    k: usize,
    radius: f32,
}

/// Nodes in the order in which they were first seen, and their places.
#[derive(Default)]
struct Places {
    nodes: Vec<u32>,
    of: HashMap<u32, usize>,
}

impl Places {
    fn add(&mut self, steps: &Recorder) {
        for node in steps.nodes() {
            self.of.entry(node).or_insert_with(|| {
                self.nodes.push(node);
                self.nodes.len() - 1
            });
        }
    }
}

impl Explain<'_> {
    fn greedy(&self, ef: usize) -> Result<(Routed, Recorder)> {
        let mut steps = Recorder::default();
        let params = SearchParams { k: self.k, ef };
        let found = self.reader.search_traced(&self.query, params, &mut steps)?;
        let last = steps.hops.last();
        let stop = match (steps.entry, found.exact) {
            (None, _) => StopReason::NoGraph,
            (_, true) => StopReason::Scanned,
            // A list that is full ended the search; else there was nothing left to add.
            _ if last.is_some_and(|step| step.bound.is_some()) => StopReason::Converged,
            _ => StopReason::Exhausted,
        };
        let found = Routed {
            neighbors: found.neighbors,
            exact: found.exact,
            distances: found.distances,
            key_scores: 0,
            hops: found.hops,
            stop,
        };
        Ok((found, steps))
    }

    /// `None` where there is nothing to follow.
    fn routed(
        &self,
        view: &impl View,
        guide: &Guide,
        effort: &Effort,
    ) -> Option<Result<(Routed, Recorder), RouteError>> {
        let (router, keys) = guide.router()?;
        let mut steps = Recorder::default();
        let routed = view.rows(keys).map_err(RouteError::Keys).and_then(|keys| {
            router.search_traced(&self.reader, Keys::new(keys), &self.query, self.k, effort, &mut steps)
        });
        Some(routed.map(|routed| (routed, steps)))
    }

    fn walk<K: Key>(
        &self,
        view: &impl View,
        found: Routed,
        plan: Plan,
        steps: &Recorder,
        places: &Places,
    ) -> Result<Walk<K::Owned>> {
        let Routed { neighbors, exact, distances, key_scores, stop, .. } = found;
        let hit = |near: &Neighbor| -> Result<Hit<K::Owned>> {
            Ok(Hit { key: key::<K>(view, self.name, self.record, near.id)?, distance: near.distance })
        };
        let near = neighbors.iter().take_while(|neighbor| neighbor.distance <= self.radius);
        let of = |node: &u32| (steps.estimates.get(node).copied(), steps.distances.get(node).copied());
        let seen = |(node, kept): &(u32, bool)| {
            let (estimate, distance) = of(node);
            Seen { node: places.of[node], estimate, distance, kept: *kept }
        };
        let hops = steps.hops.iter().map(|step| {
            let (estimate, distance) = of(&step.node);
            let (layer, bound, seen) = (step.layer, step.bound, step.seen.iter().map(seen).collect());
            Hop { layer, node: places.of[&step.node], estimate, distance, bound, seen }
        });
        Ok(Walk {
            plan,
            hits: near.map(hit).collect::<Result<_>>()?,
            entry: steps.entry.map(|node| places.of[&node]),
            hops: hops.collect(),
            reranked: steps.reranked.iter().map(seen).collect(),
            stop,
            exact,
            distances,
            key_scores,
        })
    }

    /// Keys, distances and places in the plane of these nodes, and how much of them the plane shows.
    fn nodes<K: Key>(&self, view: &impl View, nodes: &[u32]) -> Result<(Vec<Node<K::Owned>>, f64)> {
        let config = self.reader.config();
        let mut query = vec![0.0; config.dim];
        read(&self.query, config, &mut query);
        let mut rows = vec![0.0; nodes.len() * config.dim];
        for (node, row) in nodes.iter().zip(rows.chunks_exact_mut(config.dim)) {
            read(self.reader.vector(*node)?, config, row);
            row.iter_mut().zip(&query).for_each(|(x, origin)| *x -= origin);
        }
        let plane = project(&mut rows, config.dim);
        let mut distances = Vec::with_capacity(nodes.len());
        self.reader.probe(&self.query)?.distances(nodes, |neighbor| distances.push(neighbor.distance))?;
        let placed = nodes.iter().zip(distances).zip(plane.points).map(|((node, distance), [x, y])| {
            Ok(Node { key: key::<K>(view, self.name, self.record, *node)?, distance, x, y })
        });
        Ok((placed.collect::<Result<_>>()?, plane.share))
    }
}

/// The coordinates of a row; under cosine those of its direction.
fn read(row: &[u8], config: &IndexConfig, out: &mut [f32]) {
    decode_into(row, config.element, out);
    let length = out.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if config.metric == Metric::Cosine && length > 0.0 {
        out.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

/// Refuses what is answered without following the graph.
pub(crate) fn check<K: Key>(request: &Request<'_, K>) -> Result<()> {
    let got = match (request.exact, &request.filter, request.left_out) {
        (true, ..) => "an exact search",
        (_, Some(_), _) => "a filtered search",
        (.., Some(_)) => "a search that leaves a row out",
        _ => return Ok(()),
    };
    let expected = "a search that nothing but the graph answers: without exact, filter and leave_out";
    Err(Error::InvalidParameter { name: "explain", got: got.into(), expected })
}
