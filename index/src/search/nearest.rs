//! The nearest of many rows.

use super::Neighbor;
use super::candidates::{distance, id, key};

/// Finds the nearest of many rows at once.
#[derive(Default)]
pub struct Nearest {
    keys: Vec<u64>,
}

impl Nearest {
    /// The `wanted` nearest of the rows that are nearer than `bound`, of equals those of the least numbers, in no order. No
    /// distance is NaN.
    pub fn of(
        &mut self,
        wanted: usize,
        rows: impl ExactSizeIterator<Item = Neighbor>,
        bound: f32,
    ) -> impl ExactSizeIterator<Item = Neighbor> + '_ {
        if self.keys.len() < rows.len() {
            self.keys.resize(rows.len(), 0);
        }
        let mut count = 0;
        for row in rows {
            // Kept if the next one does not overwrite it: which are near enough cannot be foreseen, so no branch on it.
            self.keys[count] = key(row);
            count += usize::from(row.distance < bound);
        }
        let keys = &mut self.keys[..count];
        let keys = match wanted < count {
            true => keys.select_nth_unstable(wanted).0,
            false => keys,
        };
        keys.iter().map(|&key| Neighbor { id: id(key), distance: distance(key) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn are_the_first_of_all_rows_sorted(
            distances in prop::collection::vec(-9i8..9, 0..60), wanted in 0usize..70, bound in -12i8..12,
        ) {
            let ids = (0..1000).rev();
            let rows: Vec<Neighbor> =
                ids.zip(&distances).map(|(id, &it)| Neighbor { id, distance: it.into() }).collect();
            let mut nearest = Nearest::default();
            for bound in [bound.into(), f32::INFINITY] {
                let mut expected = rows.clone();
                expected.retain(|row| row.distance < bound);
                expected.sort_by(Neighbor::order);
                expected.truncate(wanted);
                let mut found: Vec<Neighbor> = nearest.of(wanted, rows.iter().copied(), bound).collect();
                found.sort_by(Neighbor::order);
                prop_assert_eq!(found, expected);
            }
        }
    }
}
