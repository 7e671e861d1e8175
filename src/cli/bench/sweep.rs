//! Passes at a ladder of efforts, in interleaved rounds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZero;

use redknot::{Collection, Key, SearchResult};
use serde::Serialize;

use super::measure::{Calls, Costs, Effort, Pass, Queries, Speed, pass};
use super::truth::Truth;
use crate::cli::disk::Reads;
use crate::cli::error::CliError;
use crate::cli::memory;
use crate::cli::progress::Progress;
use crate::cli::rows::{RowKey, RowPayload};

/// No effort above this is tried on the way to a recall level.
const MAX_EFFORT: usize = 8192;

/// Points that are measured at least, so that a curve can be drawn.
const MIN_POINTS: usize = 5;

/// One effort: what it finds, what it costs, how fast it is. Medians over the rounds; means over the queries.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::cli) struct Point {
    /// Candidates kept during the search (ef); γ of a routed one.
    pub(in crate::cli) effort: f64,
    /// The whole setting; of an interpolated point that of the point above.
    pub(in crate::cli) setting: Effort,
    pub(in crate::cli) recall: f64,
    pub(in crate::cli) qps: f64,
    pub(in crate::cli) p50_us: f64,
    pub(in crate::cli) p99_us: f64,
    /// Distances computed for a query.
    pub(in crate::cli) distances: f64,
    /// Model scores computed for a query.
    pub(in crate::cli) key_scores: f64,
    /// Nodes expanded for a query.
    pub(in crate::cli) hops: f64,
    /// What a query read from disks.
    pub(in crate::cli) disk: Option<Reads>,
}

/// One way of searching, and how hard.
#[derive(Debug)]
pub(super) enum Ladder {
    /// Greedily, with these efforts, or with growing ones until this recall is passed.
    Greedy { efforts: Vec<usize>, highest: f64 },
    /// With these settings.
    Settings(Vec<Effort>),
}

/// What a sweep measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// For each ladder the points in its order.
    pub(super) points: Vec<Vec<Point>>,
    /// The most private memory seen after any pass; see [`memory::private_bytes`].
    pub(super) peak_private_bytes: Option<u64>,
}

/// What is swept over.
pub(super) struct Sweep<'a, K: RowKey, P: RowPayload> {
    pub(super) collection: &'a Collection<K, P>,
    pub(super) queries: &'a Queries,
    pub(super) truth: &'a Truth<K::Owned>,
    pub(super) k: usize,
    pub(super) calls: Calls,
}

/// A point whose speed is still being measured.
struct Rung {
    ladder: usize,
    effort: Effort,
    recall: f64,
    costs: Costs,
    answers: u64,
    speeds: Vec<Speed>,
}

impl<K: RowKey, P: RowPayload> Sweep<'_, K, P> {
    /// Measures all ladders. The first pass at each effort warms caches up, counts and checks; the rounds after it, in
    /// which the efforts of all ladders take turns, are timed and have to return the same rows.
    pub(super) fn run(
        &self,
        ladders: &[Ladder],
        rounds: NonZero<usize>,
        mut progress: Progress,
    ) -> Result<Measured, CliError> {
        let mut memory = PeakMemory(None);
        progress.phase("finding efforts");
        progress.set(0, None);
        let mut rungs: Vec<Rung> = Vec::new();
        for (number, ladder) in ladders.iter().enumerate() {
            let (first, mut last) = (rungs.len(), None);
            while let Some(effort) = ladder.next(rungs.len() - first, last, self.k, self.collection.len()) {
                let rung = self.rung(number, effort)?;
                last = Some(rung.recall);
                rungs.push(rung);
                memory.sample();
                progress.set(rungs.len() as u64, None);
            }
        }
        progress.phase("measuring");
        let passes = (rounds.get() * rungs.len()) as u64;
        let mut done = 0;
        progress.set(done, Some(passes));
        for _ in 0..rounds.get() {
            for rung in &mut rungs {
                let pass = self.pass(rung.effort)?;
                if digest::<K>(&pass.results) != rung.answers {
                    return Err(CliError::AnswersDiffer { effort: format!("{:?}", rung.effort) });
                }
                rung.speeds.push(pass.speed());
                memory.sample();
                done += 1;
                progress.set(done, Some(passes));
            }
        }
        let of = |ladder| rungs.iter().filter(|rung| rung.ladder == ladder).map(Rung::point).collect();
        let points = (0..ladders.len()).map(of).collect();
        Ok(Measured { points, peak_private_bytes: memory.0 })
    }

    /// One pass at `effort`.
    pub(super) fn pass(&self, effort: Effort) -> Result<Pass<K::Owned>, CliError> {
        pass(self.collection, self.queries, self.k, effort, self.calls)
    }

    fn rung(&self, ladder: usize, effort: Effort) -> Result<Rung, CliError> {
        let pass = self.pass(effort)?;
        Ok(Rung {
            ladder,
            effort,
            recall: self.truth.recall(self.collection, self.queries, &pass.results)?,
            costs: pass.costs(),
            answers: digest::<K>(&pass.results),
            speeds: Vec::new(),
        })
    }
}

impl Rung {
    /// Medians of the rounds.
    fn disk(&self) -> Option<Reads> {
        let of = |get: fn(&Reads) -> f64| {
            let values: Option<Vec<f64>> =
                self.speeds.iter().map(|speed| speed.reads.as_ref().map(get)).collect();
            values.map(median)
        };
        Some(Reads {
            read_bytes: of(|reads| reads.read_bytes)?,
            major_faults: of(|reads| reads.major_faults)?,
        })
    }

    fn point(&self) -> Point {
        let of = |get: fn(&Speed) -> f64| median(self.speeds.iter().map(get).collect());
        Point {
            effort: self.effort.dial(),
            setting: self.effort,
            recall: self.recall,
            qps: of(|speed| speed.qps),
            p50_us: of(|speed| speed.p50_us),
            p99_us: of(|speed| speed.p99_us),
            distances: self.costs.distances,
            key_scores: self.costs.key_scores,
            hops: self.costs.hops,
            disk: self.disk(),
        }
    }
}

impl Ladder {
    /// The effort after `measured` others, of which the last had `recall`, for `k` of `rows`.
    fn next(&self, measured: usize, recall: Option<f64>, k: usize, rows: u64) -> Option<Effort> {
        match self {
            Ladder::Settings(settings) => settings.get(measured).copied(),
            Ladder::Greedy { efforts, .. } if !efforts.is_empty() => {
                efforts.get(measured).copied().map(Effort::Greedy)
            }
            Ladder::Greedy { highest, .. } => {
                let last = usize::try_from(rows).unwrap_or(usize::MAX).min(MAX_EFFORT).max(k);
                let reached = recall.is_some_and(|recall| recall >= *highest);
                let effort = (k as f64 * 2.0_f64.powf(measured as f64 / 2.0)).round() as usize;
                (effort <= last && !(reached && measured >= MIN_POINTS)).then_some(Effort::Greedy(effort))
            }
        }
    }
}

struct PeakMemory(Option<u64>);

impl PeakMemory {
    fn sample(&mut self) {
        self.0 = self.0.max(memory::private_bytes());
    }
}

/// A number that differs where the rows of two passes do.
fn digest<K: Key>(results: &[SearchResult<K::Owned>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut bytes = Vec::new();
    for result in results {
        result.hits.len().hash(&mut hasher);
        for hit in &result.hits {
            bytes.clear();
            K::encode(K::borrow(&hit.key), &mut bytes);
            bytes.hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        even if even.is_multiple_of(2) => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn the_ladder_ends_once_the_recall_is_passed_or_the_rows_are() {
        let ladder = Ladder::Greedy { efforts: Vec::new(), highest: 0.99 };
        let next = |measured, recall| match ladder.next(measured, Some(recall), 10, 1000) {
            Some(Effort::Greedy(ef)) => Some(ef),
            other => other.map(|other| panic!("{other:?}")),
        };
        let efforts: Vec<_> = (0..5).map_while(|i| next(i, 1.0)).collect();
        assert_eq!(efforts, [10, 14, 20, 28, 40]);
        assert_eq!(next(5, 1.0), None);
        assert_eq!(next(5, 0.5), Some(57));
        assert_eq!(next(14, 0.5), None);
        let given = Ladder::Greedy { efforts: vec![7, 3], highest: 0.9 };
        let next = |measured| given.next(measured, Some(1.0), 10, 1000);
        assert_eq!([next(0), next(1)], [Some(Effort::Greedy(7)), Some(Effort::Greedy(3))]);
        assert_eq!(next(2), None);
    }
}
