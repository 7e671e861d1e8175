//! Queries with their true answers.

use rayon::prelude::*;
use redknot_gnn::routing::HeldOut;
use redknot_index::{IndexConfig, Reader, VectorRef, encode};

use crate::error::{Error, Result};

/// Fewer queries measure nothing.
pub(super) const MIN_HELD_OUT: usize = 50;

/// Encoded queries and the distances of their true k-th neighbours.
pub(super) struct Questions {
    pub(super) rows: Vec<Vec<u8>>,
    kth: Vec<f32>,
}

impl Questions {
    /// Answers queries exactly. Asks `go_on` before each.
    pub(super) fn answer(
        reader: &Reader<'_>,
        rows: Vec<Vec<u8>>,
        k: usize,
        go_on: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<Questions> {
        let kth = |query: &Vec<u8>| {
            go_on()?;
            let nearest = reader.search_exact(query, k, None)?.neighbors;
            Ok(nearest.last().map_or(f32::INFINITY, |neighbor| neighbor.distance))
        };
        let kth = rows.par_iter().map(kth).collect::<Result<Vec<f32>>>()?;
        Ok(Questions { rows, kth })
    }

    /// As the calibration takes them.
    pub(super) fn held_out(&self, k: usize) -> HeldOut<'_> {
        HeldOut { queries: &self.rows, kth: &self.kth, k }
    }
}

/// Queries that lie one behind the other, each encoded as the rows of the index are.
pub(super) fn encode_all(queries: &[f32], config: &IndexConfig) -> Result<Vec<Vec<u8>>> {
    let one = |query: &[f32]| -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(config.row_bytes());
        let query = VectorRef::from(query);
        encode(query, config.dim, config.element, config.metric, config.row_bytes(), &mut bytes)?;
        Ok(bytes)
    };
    queries.chunks(config.dim).map(one).collect()
}

/// Refuses so few queries that what they measure says nothing.
pub(super) fn check_count(got: usize, what: &str, instead: &str) -> Result<()> {
    if got >= MIN_HELD_OUT {
        return Ok(());
    }
    Err(Error::Router { why: format!("{got} {what}, at least {MIN_HELD_OUT} are needed: {instead}") })
}
