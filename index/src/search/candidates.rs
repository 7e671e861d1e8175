//! The candidates of a best-first search: the `ef` nearest rows seen so far, sorted.

use std::cell::Cell;

use super::Neighbor;

/// A bounded, sorted list of rows, each marked expanded or not.
///
/// One `u64` a row: the distance as an order-preserving integer, the row number, the mark. Comparing two candidates is
/// then one integer comparison, and inserting one is a binary search and a short `memmove`, which for the few hundred
/// entries of a search beats two heaps. It is also the result: the heap of the paper's `W` and the queue `C` in one.
/// Distances may be anything that orders rows; NaN sorts at either end and does no harm.
#[derive(Default)]
pub struct Candidates {
    keys: Vec<u64>,
    capacity: usize,
    /// Every entry before this one is expanded.
    cursor: usize,
    /// Rows that are being added together.
    fresh: Vec<u64>,
}

const EXPANDED: u64 = 1;

/// Row numbers must leave the lowest bit of their half of a key to the mark.
pub(crate) const MAX_ROWS: u32 = 1 << 31;

impl Candidates {
    /// Forgets all rows and keeps the nearest `capacity` from now on.
    pub fn reset(&mut self, capacity: usize) {
        self.keys.clear();
        self.keys.reserve(capacity);
        self.capacity = capacity;
        self.cursor = 0;
    }

    /// Adds a row that is not in the list, unless `capacity` nearer ones are there. Returns how many places after the
    /// first unexpanded row it is.
    #[inline]
    pub fn insert(&mut self, neighbor: Neighbor) -> Option<usize> {
        let key = key(neighbor);
        if self.keys.len() == self.capacity {
            match self.keys.last() {
                Some(&worst) if key < worst => self.keys.pop(),
                _ => return None,
            };
        }
        let at = self.keys.partition_point(|&other| other < key);
        self.keys.insert(at, key);
        self.cursor = self.cursor.min(at);
        Some(at - self.cursor)
    }

    /// Adds rows that are not in the list, of which it keeps the nearest `capacity`. As many calls of
    /// [`Candidates::insert`] take longer: the list is gone through once here.
    #[inline]
    pub fn insert_all(&mut self, neighbors: impl Iterator<Item = Neighbor>) {
        self.fresh.clear();
        self.fresh.extend(neighbors.map(key));
        self.fresh.sort_unstable();
        let mut left = self.keys.len();
        let mut place = left + self.fresh.len();
        self.keys.resize(place, 0);
        // Cells, because a slice cannot be read and written at two places without looking at its length each time.
        let keys = Cell::from_mut(&mut self.keys[..]).as_slice_of_cells();
        for &key in self.fresh.iter().rev() {
            let moves = keys[..left].iter().zip(&keys[place - left..place]).rev();
            let farther = moves.take_while(|(from, _)| from.get() > key);
            let moved = farther.map(|(from, to)| to.set(from.get())).count();
            left -= moved;
            place -= moved + 1;
            keys[place].set(key);
        }
        self.keys.truncate(self.capacity);
        self.cursor = self.cursor.min(place);
    }

    /// The nearest row that was not expanded yet; marks it expanded.
    #[inline]
    pub fn expand_next(&mut self) -> Option<u32> {
        self.advance();
        let key = self.keys.get_mut(self.cursor)?;
        *key |= EXPANDED;
        self.cursor += 1;
        Some(id(*key))
    }

    /// The nearest row that was not expanded yet.
    #[inline]
    pub fn peek(&mut self) -> Option<Neighbor> {
        self.advance();
        self.get(self.cursor)
    }

    /// The row at a place of the list, counted from the nearest.
    #[inline]
    pub fn get(&self, place: usize) -> Option<Neighbor> {
        self.keys.get(place).map(|&key| Neighbor { id: id(key), distance: distance(key) })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the list is as long as it gets: a row farther than its last is not added.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.keys.len() == self.capacity
    }

    /// Distance of the last row, once the list is as long as it gets.
    #[inline]
    pub fn bound(&self) -> Option<f32> {
        if self.is_full() { self.keys.last().map(|&key| distance(key)) } else { None }
    }

    /// The rows that are not expanded yet, the nearest first.
    #[inline]
    pub fn unexpanded(&self) -> impl Iterator<Item = u32> + '_ {
        let rest = self.keys.get(self.cursor..).unwrap_or_default();
        rest.iter().filter(|&key| key & EXPANDED == 0).map(|&key| id(key))
    }

    /// The same with their distances.
    #[inline]
    pub fn unexpanded_neighbors(&self) -> impl Iterator<Item = Neighbor> + '_ {
        let rest = self.keys.get(self.cursor..).unwrap_or_default();
        let unexpanded = rest.iter().filter(|&key| key & EXPANDED == 0);
        unexpanded.map(|&key| Neighbor { id: id(key), distance: distance(key) })
    }

    #[inline]
    fn advance(&mut self) {
        while self.keys.get(self.cursor).is_some_and(|&key| key & EXPANDED != 0) {
            self.cursor += 1;
        }
    }

    /// All rows, the nearest first; equal distances by row number.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Neighbor> + '_ {
        self.keys.iter().map(|&key| Neighbor { id: id(key), distance: distance(key) })
    }

    /// The nearest row.
    pub fn nearest(&self) -> Option<Neighbor> {
        self.iter().next()
    }
}

#[inline]
pub(super) fn key(neighbor: Neighbor) -> u64 {
    // The integer order of IEEE 754 bits is the order of the numbers once negative ones are mirrored.
    let bits = neighbor.distance.to_bits();
    let ordered = if bits >> 31 == 0 { bits | 0x8000_0000 } else { !bits };
    u64::from(ordered) << 32 | u64::from(neighbor.id) << 1
}

#[inline]
pub(super) fn id(key: u64) -> u32 {
    key as u32 >> 1
}

#[inline]
pub(super) fn distance(key: u64) -> f32 {
    let ordered = (key >> 32) as u32;
    f32::from_bits(if ordered >> 31 == 1 { ordered & 0x7fff_ffff } else { !ordered })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_the_nearest_in_order(distances in prop::collection::vec(-1e9f32..1e9, 0..200), capacity in 1usize..40) {
            let mut candidates = Candidates::default();
            candidates.reset(capacity);
            let mut oracle = Vec::new();
            for (id, &distance) in distances.iter().enumerate() {
                let neighbor = Neighbor { id: id as u32, distance };
                candidates.insert(neighbor);
                oracle.push(neighbor);
            }
            oracle.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id)));
            oracle.truncate(capacity);
            prop_assert_eq!(candidates.iter().collect::<Vec<_>>(), oracle);
        }
    }

    proptest! {
        #[test]
        fn rows_added_together_end_where_rows_added_one_by_one_do(
            batches in prop::collection::vec(prop::collection::vec(-1e3f32..1e3, 0..12), 0..12), capacity in 1usize..40,
        ) {
            let (mut together, mut single) = (Candidates::default(), Candidates::default());
            together.reset(capacity);
            single.reset(capacity);
            let mut ids = 0..;
            for batch in batches {
                let batch: Vec<Neighbor> =
                    batch.into_iter().zip(&mut ids).map(|(distance, id)| Neighbor { id, distance }).collect();
                together.insert_all(batch.iter().copied());
                batch.iter().for_each(|neighbor| { single.insert(*neighbor); });
                prop_assert_eq!(together.iter().collect::<Vec<_>>(), single.iter().collect::<Vec<_>>());
                prop_assert_eq!(together.bound(), single.bound());
                let left = [&together, &single].map(|candidates| candidates.unexpanded().collect::<Vec<_>>());
                prop_assert_eq!(&left[0], &left[1]);
                // Some are expanded before more come.
                for _ in 0..2 {
                    prop_assert_eq!(together.expand_next(), single.expand_next());
                }
            }
        }
    }

    #[test]
    fn expands_each_row_once_and_goes_back_for_nearer_ones() {
        let mut candidates = Candidates::default();
        candidates.reset(3);
        assert_eq!(candidates.bound(), None);
        for (id, distance) in [(0, 2.0), (1, 4.0)] {
            candidates.insert(Neighbor { id, distance });
        }
        assert_eq!(candidates.expand_next(), Some(0));
        candidates.insert(Neighbor { id: 2, distance: 1.0 });
        candidates.insert(Neighbor { id: 3, distance: 3.0 });
        assert_eq!(candidates.peek(), Some(Neighbor { id: 2, distance: 1.0 }));
        assert_eq!(candidates.get(1), Some(Neighbor { id: 0, distance: 2.0 }));
        assert_eq!(candidates.get(3), None);
        assert!(candidates.is_full() && candidates.len() == 3);
        assert_eq!(candidates.bound(), Some(3.0));
        let left: Vec<Neighbor> = candidates.unexpanded_neighbors().collect();
        assert_eq!(left, [Neighbor { id: 2, distance: 1.0 }, Neighbor { id: 3, distance: 3.0 }]);
        let order: Vec<u32> = std::iter::from_fn(|| candidates.expand_next()).collect();
        assert_eq!(order, [2, 3], "row 1 fell out of the three nearest");
    }

    #[test]
    fn distances_survive_the_round_trip_through_a_key() {
        for value in [0.0f32, -0.0, 1.5, -1.5, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE] {
            let neighbor = Neighbor { id: MAX_ROWS - 1, distance: value };
            assert_eq!(distance(key(neighbor)).to_bits(), value.to_bits());
            assert_eq!(id(key(neighbor)), MAX_ROWS - 1);
        }
    }
}
