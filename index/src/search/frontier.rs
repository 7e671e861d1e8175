//! Which node a search that goes by estimates expands next, and how far it has come.

use super::Neighbor;
use super::candidates::{distance, id, key};

/// Places of the queue that are looked at one by one.
const STEPS: usize = 8;

/// Nodes that wait to be expanded, and the k least estimates.
///
/// [`Candidates`](super::Candidates) is both in one sorted list, with the result, which is right where a distance costs more
/// than its place in the list. Estimates do not: here a node is sorted in only among those that wait, and only nodes that
/// may still be expanded should be added. The result is for [`Nearest`](super::Nearest) to find in the end.
#[derive(Default)]
pub struct Frontier {
    /// Nodes that wait, the nearest last.
    waiting: Vec<u64>,
    /// As many may wait: fewer with each that was taken.
    room: usize,
    /// The `k` least estimates, rising.
    least: Vec<f32>,
    k: usize,
}

impl Frontier {
    /// Forgets all nodes. From now on the nearest wait, `ef` of them together with those that were taken, and the `k`-th is
    /// known.
    pub fn reset(&mut self, ef: usize, k: usize) {
        self.waiting.clear();
        self.room = ef;
        self.least.clear();
        self.k = k;
    }

    /// How far the k-th nearest node is that was added, once there are k.
    #[inline]
    pub fn kth(&self) -> Option<f32> {
        if self.least.len() == self.k { self.least.last().copied() } else { None }
    }

    /// Adds a node that was not added before; its distance is no NaN. Returns its place in the queue, 0 for the next.
    #[inline]
    pub fn insert(&mut self, neighbor: Neighbor) -> usize {
        debug_assert!(!neighbor.distance.is_nan());
        if self.least.len() < self.k || self.least.last().is_some_and(|kth| neighbor.distance < *kth) {
            self.note(neighbor.distance);
        }
        let key = key(neighbor);
        // Most of what is near enough to be added goes near the end, and no search for its place is faster than looking at
        // each. Far from it one is.
        let behind = self.waiting.iter().rev().take(STEPS).take_while(|&&other| other < key).count();
        let before = self.waiting.len() - behind;
        let at = if behind < STEPS {
            before
        } else {
            self.waiting[..before].partition_point(|&other| other > key)
        };
        let place = self.waiting.len() - at;
        self.waiting.insert(at, key);
        self.keep_room();
        place
    }

    #[inline]
    fn keep_room(&mut self) {
        if self.waiting.len() > self.room {
            self.waiting.remove(0);
        }
    }

    #[inline]
    fn note(&mut self, estimate: f32) {
        if self.least.len() == self.k {
            self.least.pop();
        }
        if self.k > 0 {
            let place = self.least.partition_point(|other| *other <= estimate);
            self.least.insert(place, estimate);
        }
    }

    /// The nearest node that waits; of equals the one of the lowest number.
    #[inline]
    pub fn peek(&self) -> Option<Neighbor> {
        self.waiting.last().map(|&key| Neighbor { id: id(key), distance: distance(key) })
    }

    /// Takes that node from those that wait.
    #[inline]
    pub fn pop(&mut self) {
        self.waiting.pop();
        self.room = self.room.saturating_sub(1);
        self.keep_room();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(mut neighbors: Vec<Neighbor>) -> Vec<Neighbor> {
        neighbors.sort_by(Neighbor::order);
        neighbors
    }

    proptest! {
        #[test]
        fn agrees_with_sorted_lists_of_all_nodes(
            batches in prop::collection::vec(prop::collection::vec(-99i8..99, 0..20), 0..12),
            ef in 0usize..60, k in 0usize..6,
        ) {
            let mut frontier = Frontier::default();
            // Nothing of the search before is left.
            frontier.reset(3, 2);
            frontier.insert(Neighbor { id: 999, distance: -99.0 });
            frontier.reset(ef, k);
            let mut room = ef;
            let (mut all, mut waiting): (Vec<Neighbor>, Vec<Neighbor>) = (Vec::new(), Vec::new());
            let mut ids = 0..;
            for batch in batches {
                for (distance, id) in batch.into_iter().map(f32::from).zip(&mut ids) {
                    let neighbor = Neighbor { id, distance };
                    all.push(neighbor);
                    waiting.push(neighbor);
                    waiting = sorted(waiting);
                    let place = waiting.iter().position(|other| other.id == id);
                    prop_assert_eq!(Some(frontier.insert(neighbor)), place);
                    waiting.truncate(room);
                }
                let kth = k.checked_sub(1).and_then(|last| sorted(all.clone()).get(last).copied());
                prop_assert_eq!(frontier.kth(), kth.map(|kth| kth.distance));
                for _ in 0..2 {
                    prop_assert_eq!(frontier.peek(), waiting.first().copied());
                    frontier.pop();
                    waiting.drain(..1.min(waiting.len()));
                    room = room.saturating_sub(1);
                    waiting.truncate(room);
                }
            }
        }
    }
}
