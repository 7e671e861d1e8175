//! Features that do not depend on the query, kept from search to search.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use lru::LruCache;
use parking_lot::Mutex;
use redknot_index::{FeatureRecord, IndexRecord};
use xxhash_rust::xxh3::xxh3_64;

use super::EdgeFeatures;

/// Threads that look up different nodes rarely wait for each other.
const SHARDS: usize = 16;
/// What an entry takes beside its links: 48 bytes in the list of the LRU, 25 in its table (at 8 to 4 of 9 slots in use),
/// 48 for the row behind its [`Arc`], and what the allocator adds to the links.
const ENTRY_BYTES: usize = 136;

/// The state of a graph that features were read from: another state has other features.
///
/// A hash of the array of base-layer links, the epoch of the index and, where features are stored, their array and the
/// epoch of their betweenness. Should two states ever share one, links are compared all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Generation(u64);

impl Generation {
    pub(super) fn new(index: &IndexRecord, features: Option<&FeatureRecord>) -> Generation {
        let stored = features.map_or([0; 2], |record| [record.arrays()[0].0, record.betweenness_epoch()]);
        let state = [index.links().0, index.epoch(), u64::from(features.is_some()), stored[0], stored[1]];
        Generation(xxh3_64(&state.map(u64::to_le_bytes).concat()))
    }
}

/// What is known of a node and its links.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) layer: u8,
    pub(super) clustering: f32,
    /// In the order of the node's row.
    pub(super) links: Box<[Link]>,
}

/// A link and its features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Link {
    /// The node that it leads to; the highest bit says that it crosses layers.
    target: u32,
    distance: f32,
    cosine: f32,
    betweenness: f32,
}

/// Graphs have at most 2^31 nodes.
const CROSS_LAYER: u32 = 1 << 31;

impl Link {
    pub(super) fn new(edge: &redknot_index::EdgeFeatures) -> Link {
        let redknot_index::EdgeFeatures { target, distance, cosine, betweenness, is_cross_layer } = *edge;
        let target = target | if is_cross_layer { CROSS_LAYER } else { 0 };
        Link { target, distance, cosine, betweenness }
    }

    pub(super) fn target(&self) -> u32 {
        self.target & !CROSS_LAYER
    }

    pub(super) fn features(&self) -> EdgeFeatures {
        EdgeFeatures {
            distance: self.distance,
            angular_similarity: self.cosine,
            betweenness: self.betweenness,
            cross_layer: self.target & CROSS_LAYER != 0,
        }
    }
}

impl Row {
    pub(super) fn targets(&self) -> impl Iterator<Item = u32> + '_ {
        self.links.iter().map(Link::target)
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + size_of_val(&*self.links)
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
    rows: LruCache<(Generation, u32), Arc<Row>>,
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
        let found = self.shard(node).lock().rows.get(&(generation, node)).cloned();
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
        if let Some(old) = shard.rows.put((generation, node), row.clone()) {
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

    const NOW: Generation = Generation(1);

    fn row(links: usize) -> Arc<Row> {
        let link = Link { target: CROSS_LAYER | 7, distance: 1.0, cosine: 0.5, betweenness: 0.0 };
        assert!(link.target() == 7 && link.features().cross_layer);
        Arc::new(Row { layer: links as u8, clustering: 0.0, links: vec![link; links].into() })
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
        assert_eq!(cache.get(3, NOW, |row| row.layer == 2).unwrap(), row(2));
        assert!(cache.get(3, NOW, |row| row.layer == 1).is_none());
        assert!(cache.get(3, Generation(2), |_| true).is_none());
        assert!(cache.get(4, NOW, |_| true).is_none());
        assert_eq!(cache.hit_rate(), 0.25);
        cache.reset_counts();
        assert_eq!(cache.hit_rate(), 0.0);
        let off = FeatureCache::new(0);
        off.insert(3, NOW, &row(2));
        assert!(off.is_empty() && off.get(3, NOW, |_| true).is_none());
    }
}
