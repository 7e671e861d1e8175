//! The Rust crate usearch: an index in memory, searched by one call a query.

use std::path::Path;
use std::time::{Duration, Instant};

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::{BuildPlan, EF_CONSTRUCTION, Engine, M, SearchPlan, answer, timed_search};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::metric::Metric;

const NAME: &str = "usearch";

#[derive(Default)]
pub(crate) struct Usearch {
    index: Option<Index>,
    capacity: usize,
}

impl Engine for Usearch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn details(&self) -> Result<String> {
        let index = self.index.as_ref();
        let simd = index.map_or_else(|| "unknown".to_owned(), Index::hardware_acceleration);
        Ok(format!("{}, runs {simd}", usearch::version()))
    }

    fn build(&mut self, base: &Matrix, plan: BuildPlan) -> Result<Duration> {
        self.open(base.dim(), plan)?;
        self.add(base, 0, plan.threads)
    }

    fn add(&mut self, rows: &Matrix, first: u32, threads: usize) -> Result<Duration> {
        let index = built(&self.index);
        let start = Instant::now();
        index.reserve_capacity_and_threads(self.capacity, threads).map_err(Error::engine(NAME))?;
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|thread| {
                    scope.spawn(move || {
                        (thread..rows.rows())
                            .step_by(threads)
                            .try_for_each(|row| index.add(u64::from(first) + row as u64, rows.row(row)))
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                let added = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                added.map_err(Error::engine(NAME))
            })
        })?;
        Ok(start.elapsed())
    }

    fn search(&mut self, queries: &Matrix, plan: SearchPlan, ids: &mut [u32]) -> Result<Duration> {
        let index = built(&self.index);
        index.change_expansion_search(plan.ef);
        index.reserve_capacity_and_threads(self.capacity, plan.threads).map_err(Error::engine(NAME))?;
        timed_search(queries, plan, ids, || {
            Ok(|query: &[f32], ids: &mut [u32]| {
                let found = index.search(query, plan.k).map_err(Error::engine(NAME))?;
                answer(ids, found.keys.into_iter().map(|key| key as u32));
                Ok(())
            })
        })
    }

    fn bytes(&mut self) -> Result<u64> {
        Ok(built(&self.index).serialized_length() as u64)
    }

    fn save(&mut self, path: &Path) -> Result<()> {
        built(&self.index).save(&path.to_string_lossy()).map_err(Error::engine(NAME))
    }

    fn load(&mut self, path: &Path, base: &Matrix, plan: BuildPlan) -> Result<()> {
        self.open(base.dim(), plan)?;
        built(&self.index).load(&path.to_string_lossy()).map_err(Error::engine(NAME))
    }
}

impl Usearch {
    fn open(&mut self, dimensions: usize, plan: BuildPlan) -> Result<()> {
        let options = IndexOptions {
            dimensions,
            metric: match plan.metric {
                Metric::L2 => MetricKind::L2sq,
                Metric::Cosine => MetricKind::Cos,
            },
            quantization: ScalarKind::F32,
            connectivity: M,
            expansion_add: EF_CONSTRUCTION,
            ..IndexOptions::default()
        };
        self.index = Some(Index::new(&options).map_err(Error::engine(NAME))?);
        self.capacity = plan.capacity;
        Ok(())
    }
}

fn built(index: &Option<Index>) -> &Index {
    index.as_ref().expect("the driver builds or loads an index before it uses it")
}
