//! Distances and searches the obvious way, and results held against them.

use redknot::{Completeness, Metric, SearchResult};

use super::slot::Slot;
use super::world::Rows;

/// The distance by its definition, in double precision.
pub(crate) fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let dot = || pairs().map(|(a, b)| a * b).sum::<f64>();
    let norm = |v: &[f32]| v.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    match metric {
        Metric::L2 => pairs().map(|(a, b)| (a - b) * (a - b)).sum(),
        Metric::Cosine => 1.0 - dot() / (norm(a) * norm(b)),
        Metric::InnerProduct => -dot(),
        Metric::L1 => pairs().map(|(a, b)| (a - b).abs()).sum(),
        Metric::Hamming => pairs().filter(|(a, b)| a != b).count() as f64,
        other => panic!("{other} has no oracle"),
    }
}

/// Whether a distance is as near to its oracle's as single precision allows.
fn same(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-5 + 1e-5 * expected.abs()
}

/// What was asked of one search.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) k: usize,
    pub(crate) ef: Option<usize>,
    pub(crate) exact: bool,
    pub(crate) within: Option<f32>,
    /// Only keys whose number leaves this remainder, modulo this.
    pub(crate) filter: Option<(u64, u64)>,
}

impl Asked {
    pub(crate) fn passes(&self, number: u64) -> bool {
        self.filter.is_none_or(|(modulus, remainder)| number % modulus == remainder)
    }
}

/// Hits that were among the true nearest, of as many as there could be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recall {
    pub(crate) found: usize,
    pub(crate) expected: usize,
}

impl Recall {
    pub(crate) fn add(&mut self, other: Recall) {
        self.found += other.found;
        self.expected += other.expected;
    }

    pub(crate) fn share(&self) -> f64 {
        if self.expected == 0 { 1.0 } else { self.found as f64 / self.expected as f64 }
    }
}

/// Holds a result against all rows. Panics where it breaks a promise; says how many of the nearest it found.
pub(crate) fn check(
    slot: &Slot,
    rows: &Rows,
    query: &[f32],
    asked: Asked,
    result: &SearchResult<u64>,
) -> Recall {
    let context = || format!("{slot:?}, {} rows, {asked:?}: {result:?}", rows.len());
    let radius = asked.within.map_or(f64::INFINITY, f64::from);
    let mut all: Vec<f64> = rows
        .iter()
        .filter(|(number, _)| asked.passes(**number))
        .map(|(_, row)| distance(slot.metric, query, &row.vector))
        .collect();
    all.sort_by(f64::total_cmp);
    let nearest: Vec<f64> = all.iter().take(asked.k).copied().collect();

    let mut seen = std::collections::BTreeSet::new();
    for hit in &result.hits {
        let row =
            rows.get(&hit.key).unwrap_or_else(|| panic!("{} is not a live row; {}", hit.key, context()));
        assert!(seen.insert(hit.key), "{} twice; {}", hit.key, context());
        assert!(asked.passes(hit.key), "{} does not pass the filter; {}", hit.key, context());
        let expected = distance(slot.metric, query, &row.vector);
        assert!(same(hit.distance.into(), expected), "{} is at {expected}; {}", hit.key, context());
        assert!(f64::from(hit.distance) <= radius, "{}", context());
    }
    assert!(result.hits.is_sorted_by(|a, b| a.distance <= b.distance), "{}", context());
    // Whoever lies on the radius may fall on either side of it.
    let inside = nearest.iter().filter(|d| **d <= radius && !same(**d, radius)).count();
    let most = nearest.iter().filter(|d| **d <= radius || same(**d, radius)).count();
    assert!(result.hits.len() <= most, "{}", context());
    let complete = asked.exact || result.completeness != Completeness::Approximate;
    if complete || asked.within.is_none() {
        assert!(result.hits.len() >= inside, "only {} of {inside}; {}", result.hits.len(), context());
    }
    if complete {
        for (hit, expected) in result.hits.iter().zip(&nearest) {
            assert!(same(hit.distance.into(), *expected), "{expected} was missed; {}", context());
        }
    }
    let found = result
        .hits
        .iter()
        .filter(|hit| {
            nearest
                .last()
                .is_some_and(|last| same(hit.distance.into(), *last) || f64::from(hit.distance) < *last)
        })
        .count();
    Recall { found: found.min(inside), expected: inside }
}
