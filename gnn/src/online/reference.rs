//! How long a search takes without a model.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Searches that are timed before the first that follows the model.
const FIRST: u64 = 8;
/// From then on one in so many is timed: machines and files change.
const EVERY: u64 = 256;
/// Weight of the newest time in the mean.
const NEWEST: f64 = 0.125;

/// The mean time of greedy searches per candidate.
#[derive(Debug, Default)]
pub(super) struct Reference {
    searches: AtomicU64,
    /// Nanoseconds per candidate, as the bits of an f64; 0 before the first.
    per_candidate: AtomicU64,
}

impl Reference {
    /// `share` of the time of a greedy search with `ef` candidates. `None` where this one is to be timed.
    pub(super) fn allowance(&self, share: f32, ef: usize) -> Option<Duration> {
        let search = self.searches.fetch_add(1, Relaxed);
        let mean = f64::from_bits(self.per_candidate.load(Relaxed));
        if search < FIRST || search.is_multiple_of(EVERY) || mean == 0.0 {
            return None;
        }
        Some(Duration::from_nanos((mean * ef as f64 * f64::from(share)) as u64))
    }

    pub(super) fn record(&self, time: Duration, ef: usize) {
        let newest = time.as_nanos() as f64 / ef as f64;
        let mean = f64::from_bits(self.per_candidate.load(Relaxed));
        let mean = if mean == 0.0 { newest } else { mean + NEWEST * (newest - mean) };
        // Of two threads that record at once one may be lost, which does not matter to a mean.
        self.per_candidate.store(mean.to_bits(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_searches_and_some_later_ones_are_timed() {
        let reference = Reference::default();
        let mut timed = Vec::new();
        for search in 0..600 {
            match reference.allowance(0.1, 50) {
                None => {
                    reference.record(Duration::from_micros(100), 100);
                    timed.push(search);
                }
                // 1 µs a candidate.
                Some(allowed) => assert_eq!(allowed, Duration::from_micros(5)),
            }
        }
        assert_eq!(timed, [0, 1, 2, 3, 4, 5, 6, 7, 256, 512]);
    }
}
