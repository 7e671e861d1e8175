//! Search that follows a policy.

use std::time::Instant;

use redknot_index::{
    Candidates, Error, Found, Neighbor, Probe, Reader, Scratch as Descent, ScratchPool, SearchParams, Visited,
};
use xxhash_rust::xxh3::xxh3_64;

use super::metrics::Ending;
use super::scoring::{Place, Scoring, Tensors};
use super::select::select;
use super::{Budget, EdgeScore, GnnRoutingPolicy, Graph, PolicyError};

/// What a search found, and by which way.
#[derive(Debug)]
#[non_exhaustive]
pub struct Guided {
    /// Nearest first, with exact distances; what it cost, a failed attempt included.
    pub found: Found,
    /// Whether the policy decided where to look. If not, this is what greedy search finds.
    pub guided: bool,
    /// Calls of the model.
    pub inferences: u64,
    /// Why the policy could not answer, where it was to and could not.
    pub failure: Option<PolicyError>,
}

/// The working memory of a search.
#[derive(Default)]
struct Scratch {
    descent: Descent,
    candidates: Candidates,
    /// Nodes that have a distance.
    visited: Visited,
    query: Vec<f32>,
    /// Links of the node that is expanded which lead to nodes without a distance, by their place in its row.
    places: Vec<u32>,
    scored: Vec<EdgeScore>,
    selected: Vec<u32>,
    tensors: Tensors,
}

/// Scratches of all searches of the process.
static SCRATCHES: ScratchPool<Scratch> = ScratchPool::new();

/// What an attempt cost.
#[derive(Clone, Copy, Default)]
struct Cost {
    distances: u64,
    hops: u64,
    inferences: u64,
}

impl GnnRoutingPolicy {
    /// The `params.k` rows nearest to `query`, which is encoded as the rows of the index are.
    ///
    /// Enters the base layer as greedy search does and goes through it best-first with as many candidates, until none
    /// is left to expand; but of the links of a node only the selected ones get a distance. The others may be selected
    /// when another node leads to the same place. Rows that are not linked are scanned. Where anything fails on the
    /// policy's side, the answer is that of [`Reader::search`] with the same parameters.
    ///
    /// # Errors
    /// Those of [`Reader::search`].
    pub fn search(&self, graph: &Graph<'_>, query: &[u8], params: SearchParams) -> Result<Guided, Error> {
        let config = self.config();
        let greedy =
            |ending, cost: Cost, failure| self.greedy(graph.reader(), query, params, ending, cost, failure);
        if !config.enabled {
            return greedy(Ending::Answered, Cost::default(), None);
        }
        let ef = params.ef.max(params.k).max(1);
        let allowed = match config.budget {
            Budget::Unlimited => None,
            Budget::Time(time) => Some(time),
            Budget::Share(share) => match self.reference.allowance(share, ef) {
                Some(allowed) => Some(allowed),
                None => {
                    let start = Instant::now();
                    let answer = greedy(Ending::Reference, Cost::default(), None)?;
                    self.reference.record(start.elapsed(), ef);
                    return Ok(answer);
                }
            },
        };
        let mut scoring = self.scoring(config, allowed);
        let mut cost = Cost::default();
        let followed =
            SCRATCHES.with(|scratch| follow(&mut scoring, graph, query, params, scratch, &mut cost));
        cost.inferences = scoring.calls;
        match followed {
            Ok(Some(neighbors)) => {
                let Cost { distances, hops, inferences } = cost;
                self.counts.count(Ending::Answered, distances, hops);
                let found = Found { neighbors, exact: false, distances, hops };
                Ok(Guided { found, guided: true, inferences, failure: None })
            }
            Ok(None) => greedy(Ending::Answered, cost, None),
            Err(failure) => greedy(Ending::Fallback, cost, Some(failure)),
        }
    }

    fn greedy(
        &self,
        reader: &Reader<'_>,
        query: &[u8],
        params: SearchParams,
        ending: Ending,
        cost: Cost,
        failure: Option<PolicyError>,
    ) -> Result<Guided, Error> {
        let mut found = reader.search(query, params)?;
        found.distances += cost.distances;
        found.hops += cost.hops;
        self.counts.count(ending, found.distances, found.hops);
        Ok(Guided { found, guided: false, inferences: cost.inferences, failure })
    }
}

/// Best-first search in which only selected links get a distance. `None` where there is no graph to follow.
fn follow(
    scoring: &mut Scoring<'_>,
    graph: &Graph<'_>,
    query: &[u8],
    params: SearchParams,
    scratch: &mut Scratch,
    cost: &mut Cost,
) -> Result<Option<Vec<Neighbor>>, PolicyError> {
    scoring.check(graph)?;
    let probe = graph.reader().probe(query)?;
    let k = params.k.min(graph.reader().live() as usize);
    scratch.query.clear();
    graph.append_decoded(query, &mut scratch.query)?;
    let before = (scratch.descent.distances(), scratch.descent.hops());
    let entry = probe.approach(&mut scratch.descent)?;
    let Some(entry) = entry.filter(|_| k > 0) else { return Ok(None) };
    cost.distances = 1 + scratch.descent.distances() - before.0;
    cost.hops = scratch.descent.hops() - before.1;
    probe.reset(&mut scratch.visited);
    scratch.visited.insert(entry.id);
    // No list need be longer than there are rows.
    scratch.candidates.reset(params.ef.clamp(k, graph.reader().live() as usize));
    scratch.candidates.insert(entry);
    let salt = if scoring.config.temperature > 0.0 { xxh3_64(query) } else { 0 };
    while let Some(nearest) = scratch.candidates.peek() {
        scratch.candidates.expand_next();
        cost.hops += 1;
        select_links(scoring, graph, nearest, salt, scratch)?;
        cost.distances += measure(&probe, scratch)?;
    }
    let mut neighbors: Vec<Neighbor> = scratch.candidates.iter().take(k).collect();
    cost.distances += probe.scan_unlinked(k, &mut neighbors)?;
    if neighbors.len() < k {
        return Err(PolicyError::TooFew { expected: k, got: neighbors.len() });
    }
    Ok(Some(neighbors))
}

/// Leaves in `scratch.selected` the nodes that get a distance, of those that `from` links to.
fn select_links(
    scoring: &mut Scoring<'_>,
    graph: &Graph<'_>,
    from: Neighbor,
    salt: u64,
    scratch: &mut Scratch,
) -> Result<(), PolicyError> {
    let Scratch { visited, places, scored, selected, tensors, query, .. } = scratch;
    let row = scoring.extractor.row(graph, from.id)?;
    places.clear();
    places.extend((0..).zip(row.targets()).filter(|(_, to)| !visited.contains(*to)).map(|(place, _)| place));
    selected.clear();
    let k = scoring.config.top_k_edges;
    if places.len() <= k {
        selected.extend(places.iter().map(|place| row.links[*place as usize].target()));
        return Ok(());
    }
    let at = Place { node: from.id, row: &row, query_distance: from.distance, query };
    scoring.score(graph, at, places, tensors, scored)?;
    select(scored, k, &scoring.config, salt);
    selected.extend(scored.iter().map(|score| score.target_node));
    Ok(())
}

/// Makes candidates of the selected nodes; the distances computed.
fn measure(probe: &Probe<'_, '_>, scratch: &mut Scratch) -> Result<u64, PolicyError> {
    let Scratch { visited, selected, candidates, .. } = scratch;
    // A row that names a node twice, or one that is not there, is damaged: distances are for what is.
    selected.retain(|node| visited.insert(*node) == Some(true));
    probe.distances(selected, |neighbor| {
        candidates.insert(neighbor);
    })?;
    Ok(selected.len() as u64)
}
