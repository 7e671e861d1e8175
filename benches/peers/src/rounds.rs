//! The measurement itself: every engine at every `ef`, interleaved, round after round.

use crate::dataset::Dataset;
use crate::engine::{Engine, SearchPlan};
use crate::error::Result;
use crate::npy::Neighbours;
use crate::recall::Judge;

/// What is measured.
pub(crate) struct Measurement<'a> {
    pub(crate) k: usize,
    /// Ascending.
    pub(crate) efs: &'a [usize],
    /// An engine is not asked for more effort than the first `ef` that reaches this recall.
    pub(crate) highest_recall: f64,
    pub(crate) rounds: usize,
    pub(crate) threads: usize,
}

/// One engine at one `ef`.
pub(crate) struct Point {
    pub(crate) ef: usize,
    /// Of the untimed first pass and of each round whose answers differed from the pass before.
    pub(crate) recalls: Vec<f64>,
    /// Queries per second of each round.
    pub(crate) qps: Vec<f64>,
    /// The latest answers.
    pub(crate) answers: Neighbours,
}

/// Measures all engines; the outcome has their points in the same order.
///
/// An untimed pass warms each engine up and finds the `ef` it needs. In the timed rounds the engines take turns
/// at each `ef`, so that a change in the machine's load meets all of them.
pub(crate) fn measure(
    engines: &mut [Box<dyn Engine>],
    data: &Dataset,
    what: &Measurement<'_>,
) -> Result<Vec<Vec<Point>>> {
    let judge = Judge::new(data, what.k);
    let mut points = Vec::new();
    for engine in engines.iter_mut() {
        points.push(first_pass(engine.as_mut(), data, &judge, what)?);
    }
    let places = points.iter().map(Vec::len).max().unwrap_or(0);
    for _ in 0..what.rounds {
        for place in 0..places {
            for (engine, points) in engines.iter_mut().zip(&mut points) {
                if let Some(point) = points.get_mut(place) {
                    timed_pass(engine.as_mut(), data, &judge, what, point)?;
                }
            }
        }
    }
    Ok(points)
}

fn first_pass(
    engine: &mut dyn Engine,
    data: &Dataset,
    judge: &Judge<'_>,
    what: &Measurement<'_>,
) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for ef in engine.efforts(what.efs) {
        let mut answers = Neighbours { k: what.k, ids: vec![u32::MAX; data.queries.rows() * what.k] };
        let plan = SearchPlan { k: what.k, ef, threads: what.threads };
        engine.search(&data.queries, plan, &mut answers.ids)?;
        let recall = judge.recall(engine.name(), &answers)?;
        points.push(Point { ef, recalls: vec![recall], qps: Vec::new(), answers });
        if recall >= what.highest_recall {
            break;
        }
    }
    Ok(points)
}

fn timed_pass(
    engine: &mut dyn Engine,
    data: &Dataset,
    judge: &Judge<'_>,
    what: &Measurement<'_>,
    point: &mut Point,
) -> Result<()> {
    let plan = SearchPlan { k: what.k, ef: point.ef, threads: what.threads };
    let mut answers = Neighbours { k: what.k, ids: vec![u32::MAX; point.answers.ids.len()] };
    let elapsed = engine.search(&data.queries, plan, &mut answers.ids)?;
    point.qps.push(data.queries.rows() as f64 / elapsed.as_secs_f64());
    if answers != point.answers {
        point.recalls.push(judge.recall(engine.name(), &answers)?);
        point.answers = answers;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::engine::BuildPlan;
    use crate::matrix::Matrix;
    use crate::metric::Metric;

    /// Answers the truth from `enough` effort on, and row 3 below it.
    struct Scripted {
        enough: usize,
        asked: Vec<usize>,
    }

    impl Engine for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }
        fn details(&self) -> Result<String> {
            Ok(String::new())
        }
        fn build(&mut self, _: &Matrix, _: BuildPlan) -> Result<Duration> {
            Ok(Duration::ZERO)
        }
        fn add(&mut self, _: &Matrix, _: u32, _: usize) -> Result<Duration> {
            Ok(Duration::ZERO)
        }
        fn search(&mut self, _: &Matrix, plan: SearchPlan, ids: &mut [u32]) -> Result<Duration> {
            self.asked.push(plan.ef);
            ids.fill(if plan.ef >= self.enough { 0 } else { 3 });
            Ok(Duration::from_millis(plan.ef as u64))
        }
        fn bytes(&mut self) -> Result<u64> {
            Ok(0)
        }
        fn save(&mut self, _: &Path) -> Result<()> {
            Ok(())
        }
        fn load(&mut self, _: &Path, _: &Matrix, _: BuildPlan) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_engine_is_timed_in_every_round_up_to_the_effort_that_reaches_the_target() {
        let data = Dataset {
            base: Matrix::new(vec![0.0, 1.0, 2.0, 3.0], 1),
            queries: Matrix::new(vec![0.0, 0.1], 1),
            truth: Neighbours { k: 1, ids: vec![0, 0] },
            metric: Metric::L2,
        };
        let what = Measurement { k: 1, efs: &[10, 20, 40], highest_recall: 0.99, rounds: 3, threads: 1 };
        let engine = |enough| Box::new(Scripted { enough, asked: Vec::new() }) as Box<dyn Engine>;
        let points = measure(&mut [engine(20), engine(99)], &data, &what).unwrap();
        let measured = |points: &[Point]| -> Vec<(usize, f64, usize)> {
            points.iter().map(|point| (point.ef, point.recalls[0], point.qps.len())).collect()
        };
        assert_eq!(measured(&points[0]), [(10, 0.0, 3), (20, 1.0, 3)]);
        assert_eq!(measured(&points[1]), [(10, 0.0, 3), (20, 0.0, 3), (40, 0.0, 3)]);
        // Two queries in 20 ms.
        assert!((points[0][1].qps[0] - 100.0).abs() < 1e-9);
    }
}
