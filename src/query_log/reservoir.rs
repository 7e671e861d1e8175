//! A uniform sample of a stream (Vitter 1985, algorithm R), fed by many threads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::stored::Header;

/// A query in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    /// Its number among all that were seen, from 0.
    pub(crate) number: u64,
    /// Encoded as the rows of the collection are.
    pub(crate) bytes: Arc<[u8]>,
}

/// Of all queries seen, `capacity` that are each as likely to be there: the n-th (from 0) takes the place of a random one
/// with probability capacity / (n + 1). What a query draws depends on the seed and its number alone, so that no lock is
/// needed to find out that it is not taken.
#[derive(Debug)]
pub(crate) struct Reservoir {
    header: Header,
    seen: AtomicU64,
    /// `seen` as the file knows it.
    written: AtomicU64,
    /// Taken, and not written yet.
    waiting: Mutex<HashMap<u32, Logged>>,
}

impl Reservoir {
    /// The reservoir that the file describes.
    pub(super) fn new(header: Header) -> Reservoir {
        let (seen, written) = (AtomicU64::new(header.seen), AtomicU64::new(header.seen));
        Reservoir { header, seen, written, waiting: Mutex::default() }
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Counts a query, and takes it if it is drawn; only then it is made.
    pub(crate) fn offer(&self, query: impl FnOnce() -> Option<Vec<u8>>) {
        let number = self.seen.fetch_add(1, Relaxed);
        let Some(slot) = slot(self.header.seed, self.header.capacity, number) else { return };
        let Some(bytes) = query().filter(|bytes| bytes.len() == self.header.row_bytes as usize) else {
            return;
        };
        let logged = Logged { number, bytes: bytes.into() };
        let mut waiting = self.waiting.lock();
        // Another thread may have been faster with a later query.
        if waiting.get(&slot).is_none_or(|there| there.number < number) {
            waiting.insert(slot, logged);
        }
    }

    /// Queries seen, and those that wait to be written, by their slots.
    pub(super) fn waiting(&self) -> (u64, HashMap<u32, Logged>) {
        let waiting = self.waiting.lock().clone();
        (self.seen.load(Relaxed), waiting)
    }

    /// Queries seen as the file knows it.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Whether there is anything to write.
    pub(super) fn changed(&self) -> bool {
        self.seen.load(Relaxed) != self.written()
    }

    /// Forgets what was written, and not what took its place meanwhile.
    pub(super) fn forget(&self, written: &[(u32, u64)], seen: u64) {
        let mut waiting = self.waiting.lock();
        for (slot, number) in written {
            if waiting.get(slot).is_some_and(|query| query.number == *number) {
                waiting.remove(slot);
            }
        }
        self.written.fetch_max(seen, Relaxed);
    }
}

/// The slot that a query takes, if it is drawn.
fn slot(seed: u64, capacity: u32, number: u64) -> Option<u32> {
    if number < u64::from(capacity) {
        return Some(number as u32);
    }
    // Odd, so that no two numbers begin at the same state.
    let mut rng = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let drawn = rng.u64(0..=number);
    (drawn < u64::from(capacity)).then_some(drawn as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reservoir(capacity: u32, seed: u64) -> Reservoir {
        Reservoir::new(Header { capacity, row_bytes: 8, seed, seen: 0 })
    }

    fn fill(reservoir: &Reservoir, queries: std::ops::Range<u64>) {
        queries.for_each(|query| reservoir.offer(|| Some(query.to_le_bytes().to_vec())));
    }

    #[test]
    fn every_query_is_as_likely_to_be_kept() {
        // 400 samples of 10 from 100 queries: each is expected 40 times, with a standard deviation of 6.
        let mut kept = [0; 100];
        for seed in 0..400 {
            let reservoir = reservoir(10, seed * 7919);
            fill(&reservoir, 0..100);
            let (seen, waiting) = reservoir.waiting();
            assert_eq!((seen, waiting.len()), (100, 10));
            for query in waiting.values() {
                assert_eq!(query.bytes[..], query.number.to_le_bytes());
                kept[query.number as usize] += 1;
            }
        }
        assert_eq!(kept.iter().sum::<i32>(), 4000);
        let chi_squared: f64 = kept.iter().map(|count| f64::from(count - 40).powi(2) / 40.0).sum();
        // 99 degrees of freedom; the seeds are fixed.
        assert!(chi_squared < 150.0, "{chi_squared}: {kept:?}");
    }

    #[test]
    fn a_sample_goes_on_where_the_file_left_it() {
        let whole = reservoir(5, 3);
        fill(&whole, 0..50);
        let first = reservoir(5, 3);
        fill(&first, 0..20);
        let (seen, mut kept) = first.waiting();
        let second = Reservoir::new(Header { seen, ..*first.header() });
        fill(&second, 20..50);
        kept.extend(second.waiting().1);
        assert_eq!(kept, whole.waiting().1);
        assert_eq!(second.waiting().0, 50);
    }

    #[test]
    fn what_came_while_the_commit_ran_is_kept() {
        let reservoir = reservoir(2, 1);
        fill(&reservoir, 0..2);
        let (seen, waiting) = reservoir.waiting();
        let written: Vec<_> = waiting.iter().map(|(slot, query)| (*slot, query.number)).collect();
        let mut next = 2;
        while reservoir.waiting().1 == waiting {
            fill(&reservoir, next..next + 1);
            next += 1;
        }
        reservoir.forget(&written, seen);
        let (_, left) = reservoir.waiting();
        assert_eq!(left.len(), 1);
        assert_eq!(left.values().next().unwrap().number, next - 1);
        assert!(reservoir.changed() && reservoir.written() == 2);
    }

    #[test]
    fn a_query_of_another_length_is_not_kept() {
        let reservoir = reservoir(2, 1);
        reservoir.offer(|| Some(vec![1; 7]));
        reservoir.offer(|| None);
        assert_eq!(reservoir.waiting(), (2, HashMap::new()));
    }
}
