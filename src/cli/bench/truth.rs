//! The exact nearest rows, and how much of them an answer has.

use std::collections::HashMap;
use std::num::NonZero;
use std::path::Path;

use redknot::{Collection, Metric, SearchResult};

use super::measure::{Calls, Effort, Queries, pass};
use crate::cli::error::CliError;
use crate::cli::rows::{RowKey, RowPayload};
use crate::cli::vectors::{Neighbours, read_lines};

/// Which key the row of each number has: row numbers are the order of import.
pub(in crate::cli) enum RowNames<K: RowKey> {
    /// Keys are row numbers.
    Numbers,
    /// Keys as the lines of a file, and the line of each.
    Lines { keys: Vec<K::Owned>, rows: HashMap<String, i32> },
}

impl<K: RowKey> RowNames<K> {
    /// From the file of keys, where keys are not row numbers.
    pub(in crate::cli) fn load(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else { return Ok(Self::Numbers) };
        let lines = read_lines(path)?;
        let keys = lines.iter().map(|line| K::parse(line)).collect::<Result<_, _>>()?;
        let rows = lines.into_iter().enumerate().map(|(row, line)| (line, row as i32)).collect();
        Ok(Self::Lines { keys, rows })
    }

    fn key(&self, row: i32) -> Result<Option<K::Owned>, CliError> {
        let Ok(row) = u64::try_from(row) else { return Ok(None) };
        match self {
            Self::Numbers => K::from_row_number(row).map(Some).ok_or(CliError::KeysNeeded),
            Self::Lines { keys, .. } => Ok(keys.get(row as usize).cloned()),
        }
    }

    fn row(&self, key: &K::Owned) -> Result<i32, CliError> {
        let row = match self {
            Self::Numbers => K::row_number(key).and_then(|row| i32::try_from(row).ok()),
            Self::Lines { rows, .. } => rows.get(&key.to_string()).copied(),
        };
        row.ok_or(CliError::KeysNeeded)
    }

    /// The row numbers of answers, `k` a query; −1 where an answer is shorter.
    pub(in crate::cli) fn table(&self, k: usize, answers: &[Vec<K::Owned>]) -> Result<Neighbours, CliError> {
        let mut rows = Vec::with_capacity(answers.len() * k);
        for keys in answers {
            for rank in 0..k {
                rows.push(keys.get(rank).map_or(Ok(-1), |key| self.row(key))?);
            }
        }
        Ok(Neighbours::new(k, rows).expect("k is at least 1, and every query has k row numbers"))
    }
}

/// The exact nearest rows of each query.
#[derive(Debug)]
pub(in crate::cli) struct Truth<K> {
    /// Nearest first; as many as there are, k at most.
    nearest: Vec<Vec<K>>,
}

impl<K: Ord + Clone> Truth<K> {
    /// From a table of row numbers, which must have at least `k` of them for each query, all in the collection.
    pub(in crate::cli) fn from_table<T: RowKey<Owned = K>, P: RowPayload>(
        path: &Path,
        table: &Neighbours,
        queries: usize,
        k: usize,
        collection: &Collection<T, P>,
        names: &RowNames<T>,
    ) -> Result<Self, CliError> {
        let wrong =
            |what, expected, got| CliError::GroundTruth { path: path.to_owned(), what, expected, got };
        if table.k() < k {
            return Err(wrong("is too narrow", format!("{k} rows a query (-k)"), table.k().to_string()));
        }
        let got = table.queries().len();
        if got < queries {
            return Err(wrong(
                "is too short",
                format!("a line for each of {queries} queries"),
                got.to_string(),
            ));
        }
        let mut nearest = Vec::with_capacity(queries);
        for rows in table.queries().take(queries) {
            let mut keys = Vec::with_capacity(k);
            for &row in rows[..k].iter().filter(|row| **row >= 0) {
                let key = names.key(row)?;
                match key.filter(|key| collection.contains(T::borrow(key)).unwrap_or(false)) {
                    Some(key) => keys.push(key),
                    None => {
                        let expected = "row numbers of the imported file as keys".to_owned();
                        return Err(wrong(
                            "names a row that is not in the collection",
                            expected,
                            row.to_string(),
                        ));
                    }
                }
            }
            nearest.push(keys);
        }
        Ok(Self { nearest })
    }

    /// By looking at every row.
    pub(in crate::cli) fn compute<T: RowKey<Owned = K>, P: RowPayload>(
        collection: &Collection<T, P>,
        queries: &Queries,
        k: usize,
        threads: NonZero<usize>,
    ) -> Result<Self, CliError> {
        let nearest = pass(collection, queries, k, Effort::Exact, Calls::of_one(threads))?.keys();
        Ok(Self { nearest })
    }

    /// The fraction of the true nearest rows that the answers have, over all queries. A row that is not among them
    /// counts as well if it is as near as the last of them: which of several such rows is listed is chance.
    pub(in crate::cli) fn recall<T: RowKey<Owned = K>, P: RowPayload>(
        &self,
        collection: &Collection<T, P>,
        queries: &Queries,
        answers: &[SearchResult<K>],
    ) -> Result<f64, CliError> {
        let (mut found, mut wanted) = (0, 0);
        for (index, (nearest, answer)) in self.nearest.iter().zip(answers).enumerate() {
            let mut sorted = nearest.clone();
            sorted.sort_unstable();
            let (listed, others): (Vec<_>, Vec<_>) =
                answer.hits.iter().partition(|hit| sorted.binary_search(&hit.key).is_ok());
            wanted += nearest.len();
            found += listed.len();
            let Some(last) = nearest.last().filter(|_| !others.is_empty()) else { continue };
            let query = queries.coordinates(index);
            let metric = collection.config().metric;
            let distance = |key: &K| -> Result<f64, CliError> {
                let vector = collection.vector(T::borrow(key))?.unwrap_or_default();
                Ok(exact_distance(metric, &query, &vector))
            };
            let limit = distance(last)?;
            for hit in others {
                // Sums of the same numbers in another order differ in the last digits of f64.
                found += usize::from(distance(&hit.key)? <= limit + 1e-12 * limit.abs().max(1.0));
            }
        }
        Ok(found as f64 / wanted.max(1) as f64)
    }
}

/// The distance in double precision, as plainly as it is defined: what the kernels' answers are held against.
fn exact_distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let dot = || pairs().map(|(a, b)| a * b).sum::<f64>();
    match metric {
        Metric::L1 => pairs().map(|(a, b)| (a - b).abs()).sum(),
        Metric::Hamming => pairs().filter(|(a, b)| a != b).count() as f64,
        Metric::InnerProduct => -dot(),
        Metric::Cosine => {
            let length = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            1.0 - dot() / (length(a) * length(b))
        }
        _ => pairs().map(|(a, b)| (a - b) * (a - b)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_as_defined() {
        let (a, b) = ([3.0, 0.0, 1.0], [0.0, 4.0, 1.0]);
        assert_eq!(exact_distance(Metric::L2, &a, &b), 25.0);
        assert_eq!(exact_distance(Metric::L1, &a, &b), 7.0);
        assert_eq!(exact_distance(Metric::InnerProduct, &a, &b), -1.0);
        assert_eq!(exact_distance(Metric::Hamming, &a, &b), 2.0);
        let cosine = exact_distance(Metric::Cosine, &a, &b);
        assert!((cosine - (1.0 - 1.0 / (10.0_f64.sqrt() * 17.0_f64.sqrt()))).abs() < 1e-15, "{cosine}");
    }
}
