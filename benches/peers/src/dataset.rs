//! Base vectors, queries and exact answers that belong together.

use std::path::Path;

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::metric::Metric;
use crate::npy::{self, Neighbours};

pub(crate) struct Dataset {
    pub(crate) base: Matrix,
    pub(crate) queries: Matrix,
    pub(crate) truth: Neighbours,
    pub(crate) metric: Metric,
}

impl Dataset {
    /// Reads the three arrays, keeps the first `limit` queries, and checks that they fit each other and `k`.
    pub(crate) fn read(
        (base, queries, truth): (&Path, &Path, &Path),
        metric: Metric,
        k: usize,
        limit: Option<usize>,
    ) -> Result<Self> {
        let base = npy::read_matrix(base)?;
        let mut queries = npy::read_matrix(queries)?;
        let mut truth = npy::read_neighbours(truth)?;
        let refuse = |reason: String| Err(Error::Dataset(reason));
        if base.dim() != queries.dim() {
            return refuse(format!("base has {} dimensions, queries have {}", base.dim(), queries.dim()));
        }
        if truth.queries() != queries.rows() {
            return refuse(format!("{} queries, but ground truth for {}", queries.rows(), truth.queries()));
        }
        if k == 0 || truth.k < k {
            return refuse(format!("k = {k}: ground truth allows 1 to {}", truth.k));
        }
        if let Some(&row) = truth.ids.iter().find(|&&row| row as usize >= base.rows()) {
            return refuse(format!("ground truth names row {row}, base has {}", base.rows()));
        }
        if let Some(limit) = limit.filter(|&limit| limit < queries.rows()) {
            queries = queries.copy_rows(0..limit);
            truth.ids.truncate(limit * truth.k);
        }
        if queries.rows() == 0 || base.rows() < k {
            return refuse(format!(
                "{} queries over {} rows leave nothing to measure",
                queries.rows(),
                base.rows()
            ));
        }
        Ok(Self { base, queries, truth, metric })
    }
}
