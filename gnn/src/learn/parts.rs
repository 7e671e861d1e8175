//! What is learned from, validated by and tested by.

use std::collections::HashMap;
use std::hash::Hash;

use super::error::LearnError;

/// The parts that nodes or links are divided into.
pub(super) struct Parts<'d, T> {
    pub(super) training: &'d [T],
    pub(super) validation: &'d [T],
    pub(super) test: &'d [T],
    /// What is missing where there is nothing to learn from, or nothing to validate by.
    pub(super) missing: [&'static str; 2],
}

impl<T: Copy> Parts<'_, T> {
    /// Checks each item with `check`, and that none is in two parts; returns the part of each. `key` identifies items, `name`
    /// is what they are called.
    pub(super) fn check<K: Eq + Hash>(
        &self,
        check: impl Fn(&'static str, T) -> Result<(), LearnError>,
        key: impl Fn(T) -> K,
        name: impl Fn(T) -> String,
    ) -> Result<HashMap<K, &'static str>, LearnError> {
        let [learn, validate] = self.missing;
        let parts = [
            ("training", self.training, Some(learn)),
            ("validation", self.validation, Some(validate)),
            ("test", self.test, None),
        ];
        let mut part_of = HashMap::new();
        for (part, of_part, missing) in parts {
            if let Some(what) = missing.filter(|_| of_part.is_empty()) {
                return Err(LearnError::Empty { what });
            }
            for &item in of_part {
                check(part, item)?;
                match part_of.insert(key(item), part) {
                    Some(first) if first != part => {
                        return Err(LearnError::Overlap { item: name(item), first, second: part });
                    }
                    _ => {}
                }
            }
        }
        Ok(part_of)
    }
}
