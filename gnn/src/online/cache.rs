//! Features that do not depend on the query, kept from search to search.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use lru::LruCache;
use parking_lot::Mutex;

use super::EdgeFeatures;

/// Threads that look up different nodes rarely wait for each other.
const SHARDS: usize = 16;
/// What an entry takes beside its links: key, list and table of the LRU, counts of the [`Arc`], the row itself.
const ENTRY_BYTES: usize = 192;

/// The state of a graph that features were read from: another state has other features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Generation {
    /// The array of base-layer links.
    pub(super) links: u64,
    pub(super) epoch: u64,
    /// The array of stored node features, and the epoch of their betweenness.
    pub(super) features: Option<(u64, u64)>,
}

/// What is known of a node, and of its links in the order of its row.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) degree: usize,
    pub(super) layer: usize,
    pub(super) clustering: f32,
    pub(super) targets: Box<[u32]>,
    pub(super) edges: Box<[EdgeFeatures]>,
}

impl Row {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.targets.len() * size_of::<u32>() + self.edges.len() * size_of::<EdgeFeatures>()
    }
}

/// A bounded cache of rows of features, the least recently used leaving first. Shared by threads.
///
/// A row belongs to one state of one graph: after a change of the graph or a new computation of its features, rows are read
/// anew, and those of the state before leave as room is needed.
#[derive(Debug)]
pub struct FeatureCache {
    shards: [Mutex<Shard>; SHARDS],
    capacity_bytes: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    rows: LruCache<(u32, Generation), Arc<Row>>,
    bytes: usize,
}

impl FeatureCache {
    /// A cache of at most `capacity_bytes`, its own tables included as far as they can be estimated. With 0 nothing is
    /// kept.
    pub fn new(capacity_bytes: usize) -> FeatureCache {
        let shard = |_| Mutex::new(Shard { rows: LruCache::unbounded(), bytes: 0 });
        FeatureCache {
            shards: std::array::from_fn(shard),
            capacity_bytes: AtomicUsize::new(capacity_bytes),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The most bytes that it may take.
    pub fn capacity_bytes(&self) -> usize {
        self.capacity_bytes.load(Relaxed)
    }

    /// Changes the most bytes that it may take.
    pub fn set_capacity(&self, capacity_bytes: usize) {
        self.capacity_bytes.store(capacity_bytes, Relaxed);
        for shard in &self.shards {
            shard.lock().shrink(capacity_bytes / SHARDS);
        }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }

    /// Nodes that it has the features of.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().rows.len()).sum()
    }

    /// Whether it has nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Share of the look-ups that found something, since it was made or the counts reset; 0 before the first.
    pub fn hit_rate(&self) -> f64 {
        let (hits, misses) = (self.hits.load(Relaxed), self.misses.load(Relaxed));
        if hits + misses == 0 { 0.0 } else { hits as f64 / (hits + misses) as f64 }
    }

    /// Forgets all rows.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.rows.clear();
            shard.bytes = 0;
        }
    }

    /// Counts hits from 0 again.
    pub(super) fn reset_counts(&self) {
        self.hits.store(0, Relaxed);
        self.misses.store(0, Relaxed);
    }

    /// The row of a node that passes `check`.
    pub(super) fn get(
        &self,
        node: u32,
        generation: Generation,
        check: impl FnOnce(&Row) -> bool,
    ) -> Option<Arc<Row>> {
        let found = self.shard(node).lock().rows.get(&(node, generation)).cloned();
        let found = found.filter(|row| check(row));
        if found.is_some() { &self.hits } else { &self.misses }.fetch_add(1, Relaxed);
        found
    }

    pub(super) fn insert(&self, node: u32, generation: Generation, row: &Arc<Row>) {
        let most = self.capacity_bytes() / SHARDS;
        let bytes = row.bytes();
        if bytes > most {
            return;
        }
        let mut shard = self.shard(node).lock();
        shard.shrink(most - bytes);
        shard.bytes += bytes;
        if let Some(old) = shard.rows.put((node, generation), row.clone()) {
            shard.bytes -= old.bytes();
        }
    }

    fn shard(&self, node: u32) -> &Mutex<Shard> {
        // Neighbours have numbers next to each other: spread them (Knuth's multiplicative hash).
        &self.shards[(node.wrapping_mul(0x9e37_79b1) >> 28) as usize % SHARDS]
    }
}

impl Shard {
    /// Lets rows go until those that are left take no more than `bytes`.
    fn shrink(&mut self, bytes: usize) {
        while self.bytes > bytes
            && let Some((_, row)) = self.rows.pop_lru()
        {
            self.bytes -= row.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Generation = Generation { links: 1, epoch: 1, features: None };

    fn row(links: usize) -> Arc<Row> {
        let edge =
            EdgeFeatures { distance: 1.0, angular_similarity: 0.5, betweenness: 0.0, cross_layer: false };
        Arc::new(Row {
            degree: links,
            layer: 0,
            clustering: 0.0,
            targets: (0..links as u32).collect(),
            edges: vec![edge; links].into(),
        })
    }

    #[test]
    fn the_bound_holds_and_the_least_recently_used_leave() {
        let bytes = row(20).bytes();
        let cache = FeatureCache::new(SHARDS * 3 * bytes + SHARDS / 2);
        // All in one shard.
        let alike: Vec<u32> =
            (0..).filter(|node| std::ptr::eq(cache.shard(*node), cache.shard(0))).take(4).collect();
        for node in &alike[..3] {
            cache.insert(*node, NOW, &row(20));
        }
        assert!(cache.get(alike[0], NOW, |_| true).is_some());
        cache.insert(alike[3], NOW, &row(20));
        let kept: Vec<bool> = alike.iter().map(|node| cache.get(*node, NOW, |_| true).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
        assert_eq!((cache.len(), cache.bytes()), (3, 3 * bytes));
        for node in 0..10_000 {
            cache.insert(node, NOW, &row(node as usize % 50));
            assert!(cache.bytes() <= cache.capacity_bytes());
        }
        let fewer = SHARDS * row(49).bytes();
        cache.set_capacity(fewer);
        assert!(cache.bytes() <= fewer && !cache.is_empty());
        // Replacing counts once.
        cache.clear();
        cache.insert(7, NOW, &row(20));
        cache.insert(7, NOW, &row(4));
        assert_eq!((cache.len(), cache.bytes()), (1, row(4).bytes()));
    }

    #[test]
    fn rows_of_another_state_or_that_fail_the_check_are_misses() {
        let cache = FeatureCache::new(1 << 20);
        cache.insert(3, NOW, &row(2));
        assert_eq!(cache.get(3, NOW, |row| row.degree == 2).unwrap(), row(2));
        assert!(cache.get(3, NOW, |row| row.degree == 1).is_none());
        assert!(cache.get(3, Generation { epoch: 2, ..NOW }, |_| true).is_none());
        assert!(cache.get(3, Generation { features: Some((5, 1)), ..NOW }, |_| true).is_none());
        assert_eq!(cache.hit_rate(), 0.25);
        cache.reset_counts();
        assert_eq!(cache.hit_rate(), 0.0);
        let off = FeatureCache::new(0);
        off.insert(3, NOW, &row(2));
        assert!(off.is_empty() && off.get(3, NOW, |_| true).is_none());
    }
}
