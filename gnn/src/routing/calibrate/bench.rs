//! Measures every plan on the held-out queries.

use std::time::Instant;

use rayon::prelude::*;
use redknot_index::{Neighbor, Reader, SearchParams};

use super::cost::Cost;
use super::{Calibration, Figures, HeldOut, Measured, Plan, front};
use crate::routing::effort::widen;
use crate::routing::{Effort, Keys, Mode, RouteError, Router};

/// Efforts of greedy search are measured up to this one.
const MAX_EF: usize = 2048;
/// A recall after which more effort is not measured.
const ENOUGH: f64 = 0.9985;
/// Rounds of timing, of which the median counts.
const ROUNDS: usize = 5;
/// Queries of a round.
const TIMED_QUERIES: usize = 250;
/// A plan so much slower than another of no less recall in the first pass is not timed again.
const HOPELESS: f64 = 1.25;
/// Queries are still like those measured with if their nearest landmark is so much farther than that of this share of them: a
/// single one that is far from everything would have all others seem near.
const STRANGE: f32 = 1.25;
const LIKE_THESE: f64 = 0.99;

const GAMMAS: [f32; 25] = [
    1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 1.08, 1.09, 1.1, 1.11, 1.12, 1.13, 1.14, 1.15, 1.16, 1.18,
    1.2, 1.25, 1.3, 1.36, 1.44, 1.55, 1.7,
];
const RERANKS: [usize; 7] = [2, 3, 4, 5, 6, 9, 14];

/// A router with the keys that it follows.
#[derive(Clone, Copy)]
pub struct Keyed<'a> {
    /// The router.
    pub router: &'a Router,
    /// The key of every node.
    pub keys: Keys<'a>,
}

/// Measures greedy search at growing `ef`, and searches that follow each of the routers at many efforts, on the same
/// queries. Times are taken one query after the other on this thread, in rounds in which all plans take turns, so that they
/// compare. One calibration for each router, which have greedy search in common.
///
/// # Errors
/// What a search fails with; [`redknot_index::Error::Cancelled`] where `go_on` says no.
pub fn calibrate(
    reader: &Reader<'_>,
    routers: &[Keyed<'_>],
    held_out: HeldOut<'_>,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Calibration>, RouteError> {
    let bench = Bench { reader, routers, held_out, go_on };
    // Those of greedy search, then those of each router.
    let mut plans = vec![bench.greedy_plans()?];
    for by in 0..routers.len() {
        // One lucky time must not leave all other plans without hope.
        plans.push(front(fitted(bench.counted(by, routed_plans(held_out.k))?), HOPELESS));
    }
    bench.time(&mut plans)?;
    let routed = plans.split_off(1);
    let greedy = fitted(plans.swap_remove(0));
    let calibration = |(by, routed): (usize, Vec<Measured>)| {
        Ok(Calibration {
            k: held_out.k,
            queries: held_out.queries.len(),
            greedy: greedy.clone(),
            routed: worth_considering(routed),
            farthest: bench.farthest(by)?,
        })
    };
    routed.into_iter().enumerate().map(calibration).collect()
}

/// Measures given plans on the same queries; times as they were taken, not fitted.
///
/// # Errors
/// As [`calibrate`].
pub fn measure(
    reader: &Reader<'_>,
    keys: Keys<'_>,
    router: &Router,
    held_out: HeldOut<'_>,
    plans: &[Plan],
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Measured>, RouteError> {
    let bench = Bench { reader, routers: &[Keyed { router, keys }], held_out, go_on };
    let mut measured = [bench.counted(0, plans.to_vec())?];
    bench.time(&mut measured)?;
    let [measured] = measured;
    Ok(measured)
}

/// Those of some plans that [`Calibration`] would keep had it measured them, by rising recall, with the times that
/// their counts take: neither noise nor a little time spent on fewer hops decides which they are.
pub fn worth_considering(plans: Vec<Measured>) -> Vec<Measured> {
    front(fitted(plans), 1.0)
}

/// Plans with the times of each kind replaced by what their counts take. Of a kind with too few to say, by what those of
/// all kinds take together, and as many times as much as they took themselves if that is more.
fn fitted(mut plans: Vec<Measured>) -> Vec<Measured> {
    let alike = |a: &Measured, b: &Measured| mode(a.plan) == mode(b.plan);
    plans.sort_by_key(|point| mode(point.plan));
    let all = Cost::fit(&plans);
    let cost = |kind: &[Measured]| Cost::fit(kind).or_else(|| Some(all?.raised_to(kind)));
    let costs: Vec<Option<Cost>> = plans.chunk_by(alike).map(cost).collect();
    for (kind, cost) in plans.chunk_by_mut(alike).zip(costs) {
        if let Some(cost) = cost {
            kind.iter_mut().for_each(|point| point.figures.micros = cost.micros(&point.figures));
        }
    }
    plans
}

fn mode(plan: Plan) -> Option<Mode> {
    match plan {
        Plan::Greedy(_) => None,
        Plan::Routed(effort) => Some(effort.mode),
    }
}

fn routed_plans(k: usize) -> Vec<Plan> {
    let base = Effort::default();
    let route = GAMMAS
        .iter()
        .flat_map(|&gamma| RERANKS.iter().map(move |times| Effort { gamma, rerank: k * times, ..base }));
    let lazy = GAMMAS.iter().flat_map(|&gamma| {
        [1, 3].iter().map(move |times| Effort { mode: Mode::Lazy, gamma, rerank: k * times, ..base })
    });
    route.chain(lazy).map(Plan::Routed).collect()
}

struct Bench<'a> {
    reader: &'a Reader<'a>,
    routers: &'a [Keyed<'a>],
    held_out: HeldOut<'a>,
    go_on: &'a (dyn Fn() -> bool + Sync),
}

impl Bench<'_> {
    /// Greedy search from `ef` = k by factors of √2 until more would find nothing more.
    fn greedy_plans(&self) -> Result<Vec<Measured>, RouteError> {
        let mut measured: Vec<Measured> = Vec::new();
        let mut ef = self.held_out.k as f64;
        while ef < MAX_EF as f64 && measured.last().is_none_or(|last| last.figures.recall < ENOUGH) {
            measured.extend(self.counted(0, vec![Plan::Greedy(ef.round() as usize)])?);
            ef *= std::f64::consts::SQRT_2;
        }
        Ok(measured)
    }

    /// Recall and counts of each plan of a router, and a first guess of its time.
    fn counted(&self, by: usize, plans: Vec<Plan>) -> Result<Vec<Measured>, RouteError> {
        plans.into_iter().map(|plan| Ok(Measured { plan, figures: self.count(by, plan)? })).collect()
    }

    fn count(&self, by: usize, plan: Plan) -> Result<Figures, RouteError> {
        let HeldOut { queries, kth, .. } = self.held_out;
        let start = Instant::now();
        let sums = queries.par_iter().zip(kth).map(|(query, kth)| {
            if !(self.go_on)() {
                return Err(redknot_index::Error::Cancelled.into());
            }
            let (neighbors, costs) = self.answer(by, plan, query)?;
            let found = neighbors.iter().filter(|neighbor| neighbor.distance <= *kth).count();
            let recall = found as f64 / self.held_out.k as f64;
            Ok::<_, RouteError>([recall, recall * recall, costs[0], costs[1], costs[2]])
        });
        let add = |a: [f64; 5], b: [f64; 5]| Ok(std::array::from_fn(|i| a[i] + b[i]));
        let n = queries.len().max(1) as f64;
        let [recall, square, distances, key_scores, hops] =
            sums.try_reduce(|| [0.0; 5], add)?.map(|sum| sum / n);
        let micros = start.elapsed().as_secs_f64() * 1e6 / n;
        let recall_error = ((square - recall * recall).max(0.0) / n).sqrt();
        Ok(Figures { recall, recall_error, micros, distances, key_scores, hops })
    }

    /// The neighbours that a plan of a router finds, and the distances, key scores and hops that they took.
    fn answer(&self, by: usize, plan: Plan, query: &[u8]) -> Result<(Vec<Neighbor>, [f64; 3]), RouteError> {
        let k = self.held_out.k;
        Ok(match plan {
            Plan::Greedy(ef) => {
                let found = self.reader.search(query, SearchParams { k, ef })?;
                (found.neighbors, [found.distances as f64, 0.0, found.hops as f64])
            }
            Plan::Routed(effort) => {
                let Keyed { router, keys } = self.routers[by];
                let routed = router.search(self.reader, keys, query, k, &effort)?;
                let costs = [routed.distances as f64, routed.key_scores as f64, routed.hops as f64];
                (routed.neighbors, costs)
            }
        })
    }

    /// Times all plans, those of greedy search and of each router, one after the other and in rounds, on this thread.
    fn time(&self, plans: &mut [Vec<Measured>]) -> Result<(), RouteError> {
        let queries = self.held_out.queries;
        let count = TIMED_QUERIES.min(queries.len());
        let routers = (0..plans.len()).map(|place| place.saturating_sub(1));
        let all: Vec<(usize, Plan)> = routers
            .zip(plans.iter())
            .flat_map(|(by, plans)| plans.iter().map(move |point| (by, point.plan)))
            .collect();
        let mut times = vec![Vec::with_capacity(ROUNDS); all.len()];
        for round in 0..ROUNDS {
            let part = queries.iter().cycle().skip(round * TIMED_QUERIES).take(count);
            for (&(by, plan), times) in all.iter().zip(&mut times) {
                let start = Instant::now();
                for query in part.clone() {
                    self.answer(by, plan, query)?;
                }
                times.push(start.elapsed().as_secs_f64() * 1e6 / count.max(1) as f64);
                if !(self.go_on)() {
                    return Err(redknot_index::Error::Cancelled.into());
                }
            }
        }
        let all = plans.iter_mut().flat_map(|plans| plans.iter_mut());
        for (plan, times) in all.zip(&mut times) {
            times.sort_unstable_by(f64::total_cmp);
            plan.figures.micros = times[times.len() / 2];
        }
        Ok(())
    }

    /// How far the nearest landmark may be estimated to be, if it is to be like that of the queries.
    fn farthest(&self, by: usize) -> Result<Option<f32>, RouteError> {
        let mut distances = Vec::with_capacity(self.held_out.queries.len());
        for query in self.held_out.queries {
            distances.extend(self.routers[by].router.nearest_landmark(self.reader, query)?);
        }
        distances.sort_unstable_by(f32::total_cmp);
        let most = (distances.len() as f64 * LIKE_THESE).ceil() as usize;
        Ok(most.checked_sub(1).map(|last| widen(distances[last], STRANGE)))
    }
}
