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
/// Queries are still like those measured with if their nearest landmark is so much farther than any of theirs.
const STRANGE: f32 = 1.25;

const GAMMAS: [f32; 22] = [
    1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 1.08, 1.09, 1.1, 1.12, 1.14, 1.16, 1.18, 1.2, 1.25, 1.3,
    1.36, 1.44, 1.55, 1.7,
];
const RERANKS: [usize; 6] = [2, 3, 4, 6, 9, 14];

/// Measures greedy search at growing `ef`, and routed search at many efforts, on the same queries. Times are taken one
/// query after the other on this thread, in rounds in which all plans take turns.
///
/// # Errors
/// What a search fails with; [`redknot_index::Error::Cancelled`] where `go_on` says no.
pub fn calibrate(
    reader: &Reader<'_>,
    keys: Keys<'_>,
    router: &Router,
    held_out: HeldOut<'_>,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Calibration, RouteError> {
    let bench = Bench { reader, keys, router, held_out, go_on };
    let mut greedy = bench.greedy_plans()?;
    let mut routed = front(bench.counted(routed_plans(held_out.k))?, HOPELESS);
    bench.time(&mut [&mut greedy, &mut routed])?;
    smooth(&mut greedy);
    routed.sort_by_key(|point| mode(point.plan));
    routed.chunk_by_mut(|a, b| mode(a.plan) == mode(b.plan)).for_each(smooth);
    Ok(Calibration {
        k: held_out.k,
        queries: held_out.queries.len(),
        greedy,
        routed: front(routed, 1.0),
        farthest: bench.farthest()?,
    })
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
    let bench = Bench { reader, keys, router, held_out, go_on };
    let mut measured = bench.counted(plans.to_vec())?;
    bench.time(&mut [&mut measured])?;
    Ok(measured)
}

/// Replaces the times of plans of one kind by what their counts take.
fn smooth(plans: &mut [Measured]) {
    if let Some(cost) = Cost::fit(plans) {
        plans.iter_mut().for_each(|point| point.figures.micros = cost.micros(&point.figures));
    }
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
    keys: Keys<'a>,
    router: &'a Router,
    held_out: HeldOut<'a>,
    go_on: &'a (dyn Fn() -> bool + Sync),
}

impl Bench<'_> {
    /// Greedy search from `ef` = k by factors of √2 until more would find nothing more.
    fn greedy_plans(&self) -> Result<Vec<Measured>, RouteError> {
        let mut measured: Vec<Measured> = Vec::new();
        let mut ef = self.held_out.k as f64;
        while ef < MAX_EF as f64 && measured.last().is_none_or(|last| last.figures.recall < ENOUGH) {
            measured.extend(self.counted(vec![Plan::Greedy(ef.round() as usize)])?);
            ef *= std::f64::consts::SQRT_2;
        }
        Ok(measured)
    }

    /// Recall and counts of each plan, and a first guess of its time.
    fn counted(&self, plans: Vec<Plan>) -> Result<Vec<Measured>, RouteError> {
        plans.into_iter().map(|plan| Ok(Measured { plan, figures: self.count(plan)? })).collect()
    }

    fn count(&self, plan: Plan) -> Result<Figures, RouteError> {
        let HeldOut { queries, kth, .. } = self.held_out;
        let start = Instant::now();
        let sums = queries.par_iter().zip(kth).map(|(query, kth)| {
            if !(self.go_on)() {
                return Err(redknot_index::Error::Cancelled.into());
            }
            let (neighbors, costs) = self.answer(plan, query)?;
            let found = neighbors.iter().filter(|neighbor| neighbor.distance <= *kth).count();
            Ok::<_, RouteError>([found as f64, costs[0], costs[1], costs[2]])
        });
        let add = |a: [f64; 4], b: [f64; 4]| Ok(std::array::from_fn(|i| a[i] + b[i]));
        let sums = sums.try_reduce(|| [0.0; 4], add)?;
        let n = queries.len().max(1) as f64;
        let micros = start.elapsed().as_secs_f64() * 1e6 / n;
        let recall = sums[0] / (n * self.held_out.k as f64);
        Ok(Figures { recall, micros, distances: sums[1] / n, key_scores: sums[2] / n, hops: sums[3] / n })
    }

    /// The neighbours, and the distances, key scores and hops that they took.
    fn answer(&self, plan: Plan, query: &[u8]) -> Result<(Vec<Neighbor>, [f64; 3]), RouteError> {
        let k = self.held_out.k;
        Ok(match plan {
            Plan::Greedy(ef) => {
                let found = self.reader.search(query, SearchParams { k, ef })?;
                (found.neighbors, [found.distances as f64, 0.0, found.hops as f64])
            }
            Plan::Routed(effort) => {
                let routed = self.router.search(self.reader, self.keys, query, k, &effort)?;
                let costs = [routed.distances as f64, routed.key_scores as f64, routed.hops as f64];
                (routed.neighbors, costs)
            }
        })
    }

    /// Times all plans, one after the other and in rounds, on this thread.
    fn time(&self, plans: &mut [&mut Vec<Measured>]) -> Result<(), RouteError> {
        let queries = self.held_out.queries;
        let count = TIMED_QUERIES.min(queries.len());
        let all = || plans.iter().flat_map(|plans| plans.iter());
        let mut times = vec![Vec::with_capacity(ROUNDS); all().count()];
        for round in 0..ROUNDS {
            let part = queries.iter().cycle().skip(round * TIMED_QUERIES).take(count);
            for (plan, times) in all().zip(&mut times) {
                let start = Instant::now();
                for query in part.clone() {
                    self.answer(plan.plan, query)?;
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

    /// How far the nearest landmark may be estimated to be, if it is to be like that of one of the queries.
    fn farthest(&self) -> Result<Option<f32>, RouteError> {
        let mut farthest: Option<f32> = None;
        for query in self.held_out.queries {
            let nearest = self.router.nearest_landmark(self.reader, query)?;
            farthest = farthest.into_iter().chain(nearest).reduce(f32::max);
        }
        Ok(farthest.map(|farthest| widen(farthest, STRANGE)))
    }
}
