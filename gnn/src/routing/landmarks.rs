//! Nodes spread over the data, with a copy of their keys in one place: where searches look for a way in.

use super::model::BIAS_BYTES;
use super::{EncodedQuery, KeyModel, ModelError, QueryEncoder};

/// At most so many landmarks are of use.
const MOST: usize = 4096;
/// Nodes for each landmark: a search scores some 3 · √landmarks of them, which in a small graph would be most of its work.
const NODES_PER_LANDMARK: usize = 32;
/// Fewer landmarks make one group.
const ENOUGH: usize = 32;
/// Rounds of grouping; after each but the last, groups move their centres to their middles.
const ROUNDS: usize = 2;

/// A table of nodes and their keys, in which every search looks for its entry point.
///
/// A few thousand, spread over the data; the nodes of the upper layers are. Scanning keys that lie side by side costs
/// little, and saves the moves through the upper layers. A [`super::Router`] groups them around some of their own:
/// searches look at these centres first, and then into the nearest groups only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landmarks {
    nodes: Vec<u32>,
    keys: Vec<u8>,
    key_bytes: usize,
    /// Where each group begins, then the number of landmarks. The first of a group is its centre.
    starts: Vec<usize>,
    /// The keys of the centres; none where there is one group.
    centres: Vec<u8>,
}

impl Landmarks {
    /// How many landmarks a graph of so many nodes is worth.
    pub fn worth(nodes: usize) -> usize {
        (nodes / NODES_PER_LANDMARK).clamp(1, MOST)
    }

    /// The table of these nodes, whose keys of `key_bytes` lie one behind the other. An empty one is allowed: searches
    /// then begin at the entry point of the graph. Nodes that are no longer in the graph are passed over.
    ///
    /// # Errors
    /// [`ModelError::KeyBytes`] for a length that keys do not have, [`ModelError::Shape`] where there is not one key for
    /// each node.
    pub fn new(nodes: Vec<u32>, keys: Vec<u8>, key_bytes: usize) -> Result<Landmarks, ModelError> {
        if ![32, 64, 96, 128].contains(&key_bytes) {
            return Err(ModelError::KeyBytes { got: key_bytes });
        }
        if keys.len() != nodes.len() * key_bytes {
            let expected = nodes.len() * key_bytes;
            return Err(ModelError::Shape { what: "the keys of landmarks", expected, got: keys.len() });
        }
        let starts = vec![0, nodes.len()];
        Ok(Landmarks { nodes, keys, key_bytes, starts, centres: Vec::new() })
    }

    /// The nodes; a [`super::Router`] puts them in an order of its own.
    pub fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// Their keys, one behind the other.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.keys.chunks_exact(self.key_bytes)
    }

    /// Bytes of a key.
    pub fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    /// Number of landmarks.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The keys of the centres, one behind the other; none where there is one group.
    pub(super) fn centres(&self) -> &[u8] {
        &self.centres
    }

    /// The landmarks of a group, and their keys one behind the other.
    pub(super) fn group(&self, group: usize) -> (&[u32], &[u8]) {
        let (start, end) = (self.starts[group], self.starts[group + 1]);
        (&self.nodes[start..end], &self.keys[start * self.key_bytes..end * self.key_bytes])
    }

    /// The same landmarks in groups of near ones, about as many as each has members, by Lloyd's algorithm with
    /// landmarks for centres. One group where there are few, or where the model cannot compare them.
    pub(super) fn grouped(self, model: &KeyModel, encoder: &QueryEncoder) -> Landmarks {
        let Some(groups) = self.groups(model, encoder) else { return self };
        let mut grouped = Landmarks {
            nodes: Vec::with_capacity(self.nodes.len()),
            keys: Vec::with_capacity(self.keys.len()),
            key_bytes: self.key_bytes,
            starts: vec![0],
            centres: Vec::with_capacity(groups.len() * self.key_bytes),
        };
        for group in groups {
            grouped.centres.extend_from_slice(self.key(group[0]));
            for place in group {
                grouped.nodes.push(self.nodes[place]);
                grouped.keys.extend_from_slice(self.key(place));
            }
            grouped.starts.push(grouped.nodes.len());
        }
        grouped
    }

    /// The places of the landmarks, by their groups.
    fn groups(&self, model: &KeyModel, encoder: &QueryEncoder) -> Option<Vec<Vec<usize>>> {
        if self.len() < ENOUGH {
            return None;
        }
        let keys: Vec<&[u8]> = self.keys().collect();
        let points: Vec<Vec<f32>> = keys.iter().map(|key| decode(model, key)).collect();
        // Landmarks are drawn at random, so the first are as good as any.
        let mut groups: Vec<Vec<usize>> = (0..self.len().isqrt()).map(|centre| vec![centre]).collect();
        let (mut encoded, mut estimates) = (EncodedQuery::default(), vec![0.0; self.len()]);
        for round in 0..ROUNDS {
            let mut nearest = vec![(f32::INFINITY, 0); self.len()];
            for (group, members) in groups.iter_mut().enumerate() {
                encoder.encode_coordinates(&points[members[0]], &mut encoded).ok()?;
                encoder.estimates(&encoded, &keys, &mut estimates);
                // A centre stays in its group, whatever its key lost.
                estimates[members[0]] = f32::NEG_INFINITY;
                for (nearest, estimate) in nearest.iter_mut().zip(&estimates) {
                    if *estimate < nearest.0 {
                        *nearest = (*estimate, group);
                    }
                }
                members.truncate(1);
            }
            for (place, (_, group)) in nearest.into_iter().enumerate() {
                if groups[group][0] != place {
                    groups[group].push(place);
                }
            }
            if round + 1 < ROUNDS {
                groups.iter_mut().for_each(|members| middle_first(&points, members));
            }
        }
        Some(groups)
    }

    fn key(&self, place: usize) -> &[u8] {
        &self.keys[place * self.key_bytes..][..self.key_bytes]
    }
}

/// The coordinates that a key stands for.
fn decode(model: &KeyModel, key: &[u8]) -> Vec<f32> {
    let mut coordinates = vec![0.0; model.coordinates()];
    let columns = model.key_bytes - BIAS_BYTES;
    for (number, slot) in model.slots.iter().enumerate() {
        let level = key[number % columns] >> (2 * (number / columns)) & 3;
        coordinates[usize::from(slot.coordinate)] += (f32::from(level) - 1.5) * slot.step;
    }
    coordinates
}

/// Moves the member that is nearest to the mean of a group to the front.
fn middle_first(points: &[Vec<f32>], members: &mut [usize]) {
    let mut mean = vec![0.0; points[members[0]].len()];
    for &member in &*members {
        mean.iter_mut().zip(&points[member]).for_each(|(mean, x)| *mean += x / members.len() as f32);
    }
    let from_mean = |&member: &usize| -> f32 {
        points[member].iter().zip(&mean).map(|(x, mean)| (x - mean) * (x - mean)).sum()
    };
    let distances = members.iter().map(from_mean).enumerate();
    if let Some((middle, _)) = distances.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
        members.swap(0, middle);
    }
}
