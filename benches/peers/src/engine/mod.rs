//! The seam behind which every engine stands, redknot included.

mod exact;
mod hannoy;
mod redknot;
mod usearch;
mod worker;

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

pub(crate) use exact::Exact;
pub(crate) use hannoy::Hannoy;
pub(crate) use redknot::Redknot;
pub(crate) use usearch::Usearch;
pub(crate) use worker::{Python, Worker};

use crate::error::Result;
use crate::matrix::Matrix;
use crate::metric::Metric;

/// Links a node keeps on the upper layers; twice as many on the base layer. The same for every engine.
pub(crate) const M: usize = 16;
/// Candidates considered while a node is linked. The same for every engine.
pub(crate) const EF_CONSTRUCTION: usize = 200;

/// How an index is built.
#[derive(Clone, Copy)]
pub(crate) struct BuildPlan {
    pub(crate) metric: Metric,
    pub(crate) threads: usize,
    /// Rows the index will hold in the end, later additions included.
    pub(crate) capacity: usize,
}

/// How queries are answered.
#[derive(Clone, Copy)]
pub(crate) struct SearchPlan {
    pub(crate) k: usize,
    pub(crate) ef: usize,
    pub(crate) threads: usize,
}

/// A nearest-neighbour engine whose rows are numbered from 0 in the order they came.
pub(crate) trait Engine {
    fn name(&self) -> &'static str;

    /// Version, and the instruction set where the engine says which it uses.
    fn details(&self) -> Result<String>;

    /// Builds the index over `base` and returns the time that took. Copies made only to hand the data over are not timed.
    fn build(&mut self, base: &Matrix, plan: BuildPlan) -> Result<Duration>;

    /// Adds `rows`, numbered from `first`, to a built index.
    fn add(&mut self, rows: &Matrix, first: u32, threads: usize) -> Result<Duration>;

    /// Answers all `queries` and returns the time that took. `ids` has `k` places for each query;
    /// those that stay unanswered become `u32::MAX`.
    fn search(&mut self, queries: &Matrix, plan: SearchPlan, ids: &mut [u32]) -> Result<Duration>;

    /// Memory or file space the index takes, vectors included.
    fn bytes(&mut self) -> Result<u64>;

    /// Stores the index at `path` for [`Engine::load`].
    fn save(&mut self, path: &Path) -> Result<()>;

    /// Takes up an index over `base` that `save` stored, with room for `plan.capacity` rows.
    fn load(&mut self, path: &Path, base: &Matrix, plan: BuildPlan) -> Result<()>;

    /// The efforts to measure, rising: those of the grid of `ef` that make a difference to this engine, or its own.
    fn efforts(&self, grid: &[usize]) -> Vec<usize> {
        grid.to_vec()
    }
}

/// Answers `queries` one call each on `threads` threads, each with a searcher of its own over a contiguous share.
/// The clock starts when every searcher is ready.
fn timed_search<S>(
    queries: &Matrix,
    plan: SearchPlan,
    ids: &mut [u32],
    searcher: impl Fn() -> Result<S> + Sync,
) -> Result<Duration>
where
    S: FnMut(&[f32], &mut [u32]) -> Result<()>,
{
    let share = queries.rows().div_ceil(plan.threads);
    let ready = Barrier::new(queries.rows().div_ceil(share) + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = ids
            .chunks_mut(share * plan.k)
            .enumerate()
            .map(|(thread, ids)| {
                let (ready, searcher) = (&ready, &searcher);
                scope.spawn(move || {
                    let search = searcher();
                    ready.wait();
                    let mut search = search?;
                    for (query, ids) in (thread * share..).zip(ids.chunks_mut(plan.k)) {
                        search(queries.row(query), ids)?;
                    }
                    Ok(())
                })
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(start.elapsed())
    })
}

/// Writes what an engine found into the places of one query and marks the rest as unanswered.
fn answer(ids: &mut [u32], found: impl IntoIterator<Item = u32>) {
    let mut found = found.into_iter();
    ids.fill_with(|| found.next().unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;
    use crate::npy::Neighbours;
    use crate::recall::Judge;

    const K: usize = 10;

    fn random(rng: &mut fastrand::Rng, rows: usize, dim: usize) -> Matrix {
        Matrix::new((0..rows * dim).map(|_| rng.f32() - 0.5).collect(), dim)
    }

    /// 1,200 rows and 50 queries with their exact neighbours, which the exact engine finds.
    fn random_dataset(metric: Metric) -> Dataset {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let (base, queries) = (random(&mut rng, 1200, 24), random(&mut rng, 50, 24));
        let truth = (0..queries.rows()).flat_map(|query| {
            let mut rows: Vec<u32> = (0..base.rows() as u32).collect();
            rows.sort_by(|&a, &b| {
                let distance = |row: u32| metric.distance(queries.row(query), base.row(row as usize));
                distance(a).total_cmp(&distance(b))
            });
            rows.truncate(K);
            rows
        });
        let truth = Neighbours { k: K, ids: truth.collect() };
        Dataset { base, queries, truth, metric }
    }

    /// Builds over most rows, adds the others, and returns the recall at a generous `ef`.
    fn recall_after_build_and_add(engine: &mut dyn Engine, data: &Dataset, threads: usize) -> f64 {
        let rows = data.base.rows();
        let plan = BuildPlan { metric: data.metric, threads, capacity: rows };
        engine.build(&data.base.copy_rows(0..rows - 100), plan).unwrap();
        engine.add(&data.base.copy_rows(rows - 100..rows), rows as u32 - 100, threads).unwrap();
        recall(engine, data, threads)
    }

    fn recall(engine: &mut dyn Engine, data: &Dataset, threads: usize) -> f64 {
        let mut answers = Neighbours { k: K, ids: vec![0; data.queries.rows() * K] };
        engine.search(&data.queries, SearchPlan { k: K, ef: 400, threads }, &mut answers.ids).unwrap();
        Judge::new(data, K).recall(engine.name(), &answers).unwrap()
    }

    fn engines() -> Vec<Box<dyn Engine>> {
        vec![Box::new(Exact::default()), Box::new(Usearch::default()), Box::new(Hannoy::default())]
    }

    #[test]
    fn every_engine_finds_the_truth_in_both_metrics_with_one_thread_and_three() {
        for (metric, threads) in [(Metric::L2, 1), (Metric::Cosine, 3)] {
            let data = random_dataset(metric);
            for mut engine in engines() {
                let recall = recall_after_build_and_add(engine.as_mut(), &data, threads);
                let floor = if engine.name() == "exact" { 1.0 } else { 0.98 };
                assert!(recall >= floor, "{} in {metric:?}: recall {recall}", engine.name());
            }
        }
    }

    #[test]
    fn a_saved_index_answers_like_the_one_it_was_saved_from() {
        let data = random_dataset(Metric::L2);
        for (mut built, mut loaded) in engines().into_iter().zip(engines()) {
            let plan = BuildPlan { metric: data.metric, threads: 1, capacity: data.base.rows() };
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("index");
            built.build(&data.base, plan).unwrap();
            built.save(&path).unwrap();
            loaded.load(&path, &data.base, plan).unwrap();
            let search = SearchPlan { k: K, ef: 20, threads: 1 };
            let mut ids = [vec![0; data.queries.rows() * K], vec![1; data.queries.rows() * K]];
            built.search(&data.queries, search, &mut ids[0]).unwrap();
            loaded.search(&data.queries, search, &mut ids[1]).unwrap();
            assert_eq!(ids[0], ids[1], "{}", built.name());
        }
    }

    #[test]
    fn places_an_engine_leaves_open_are_marked() {
        let mut ids = [7; 4];
        answer(&mut ids, [3, 1]);
        assert_eq!(ids, [3, 1, u32::MAX, u32::MAX]);
    }
}
