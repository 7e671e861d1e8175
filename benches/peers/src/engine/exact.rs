//! Brute force: the speed that an index has to beat, and the check of everything around it.

use std::collections::BinaryHeap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{BuildPlan, Engine, SearchPlan, answer, timed_search};
use crate::error::Result;
use crate::matrix::Matrix;
use crate::metric::Metric;

/// All rows in one array; under cosine, each scaled to length one.
#[derive(Default)]
pub(crate) struct Exact {
    rows: Vec<f32>,
    cosine: bool,
}

impl Engine for Exact {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn details(&self) -> Result<String> {
        Ok("brute force in f32, as the compiler vectorises it".into())
    }

    fn build(&mut self, base: &Matrix, plan: BuildPlan) -> Result<Duration> {
        self.cosine = plan.metric == Metric::Cosine;
        self.rows.clear();
        self.add(base, 0, plan.threads)
    }

    fn add(&mut self, rows: &Matrix, _first: u32, _threads: usize) -> Result<Duration> {
        let start = Instant::now();
        for row in 0..rows.rows() {
            self.rows.extend(self.scaled(rows.row(row)));
        }
        Ok(start.elapsed())
    }

    fn search(&mut self, queries: &Matrix, plan: SearchPlan, ids: &mut [u32]) -> Result<Duration> {
        let this = &*self;
        timed_search(queries, plan, ids, || {
            Ok(move |query: &[f32], ids: &mut [u32]| {
                // Squared L2 between vectors of length one orders them as cosine does.
                let query: Vec<f32> = this.scaled(query).collect();
                let mut nearest = BinaryHeap::with_capacity(plan.k + 1);
                for (id, row) in (0u32..).zip(this.rows.chunks_exact(query.len())) {
                    // Bits of floats that are not negative order as the floats do.
                    nearest.push((squared_l2(&query, row).to_bits(), id));
                    if nearest.len() > plan.k {
                        nearest.pop();
                    }
                }
                answer(ids, nearest.into_sorted_vec().into_iter().map(|(_, id)| id));
                Ok(())
            })
        })
    }

    fn bytes(&mut self) -> Result<u64> {
        Ok(size_of_val(self.rows.as_slice()) as u64)
    }

    fn save(&mut self, _path: &Path) -> Result<()> {
        Ok(()) // The index is the base itself, and `load` is given that.
    }

    fn load(&mut self, _path: &Path, base: &Matrix, plan: BuildPlan) -> Result<()> {
        self.build(base, plan).map(drop)
    }

    fn efforts(&self, grid: &[usize]) -> Vec<usize> {
        grid[..1].to_vec()
    }
}

impl Exact {
    fn scaled<'v>(&self, vector: &'v [f32]) -> impl Iterator<Item = f32> + 'v {
        let norm = vector.iter().map(|&x| x * x).sum::<f32>().sqrt();
        let scale = if self.cosine { norm.recip() } else { 1.0 };
        vector.iter().map(move |&x| x * scale)
    }
}

/// Sixteen running sums let the compiler use whole registers.
fn squared_l2(a: &[f32], b: &[f32]) -> f32 {
    let (a16, a_rest) = a.as_chunks::<16>();
    let (b16, b_rest) = b.as_chunks::<16>();
    let mut sums = [0.0f32; 16];
    for (a, b) in a16.iter().zip(b16) {
        for lane in 0..16 {
            sums[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}
