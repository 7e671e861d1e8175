//! How many hops lead to the nearest answer.

use redknot_index::Reader;

use crate::train::TrainError;

/// Not reached (yet).
pub(super) const FAR: u8 = u8::MAX;

/// The links of the base layer from their ends to their beginnings: 4 bytes a link and 8 a node.
pub(super) struct Reverse {
    /// Nodes that link to node v: `sources[offsets[v]..offsets[v + 1]]`.
    offsets: Vec<usize>,
    sources: Vec<u32>,
}

/// Hops from each node, filled in from the answers outwards; reused from query to query.
#[derive(Default)]
pub(super) struct Hops {
    hops: Vec<u8>,
    reached: Vec<u32>,
}

impl Reverse {
    pub(super) fn new(reader: &Reader<'_>) -> Result<Reverse, TrainError> {
        let nodes = reader.nodes() as usize;
        // Entry v + 2 counts node v, so that filling moves entry v + 1 to the end of row v.
        let mut offsets = vec![0; nodes + 2];
        let each = |of: &mut dyn FnMut(u32, u32)| -> Result<(), TrainError> {
            for node in 0..reader.nodes() {
                if !reader.is_linked(node)? {
                    continue;
                }
                for target in reader.neighbors(node)? {
                    if target >= reader.nodes() {
                        let (id, len) = (target, reader.nodes());
                        return Err(redknot_index::Error::RowOutOfRange { id, len }.into());
                    }
                    of(node, target);
                }
            }
            Ok(())
        };
        each(&mut |_, target| offsets[target as usize + 2] += 1)?;
        for at in 2..offsets.len() {
            offsets[at] += offsets[at - 1];
        }
        let mut sources = vec![0; offsets[nodes + 1]];
        each(&mut |node, target| {
            let end = &mut offsets[target as usize + 1];
            sources[*end] = node;
            *end += 1;
        })?;
        offsets.truncate(nodes + 1);
        Ok(Reverse { offsets, sources })
    }

    /// Finds out for each of `nodes` how many hops lead from it to the nearest of `answers`, and for all nodes that are no
    /// farther.
    pub(super) fn count(&self, answers: impl Iterator<Item = u32>, nodes: &[u32], hops: &mut Hops) {
        hops.reset(self.offsets.len() - 1);
        for answer in answers {
            hops.reach(answer, 0);
        }
        let (mut start, mut level) = (0, 0);
        let mut left = nodes.to_vec();
        loop {
            left.retain(|node| hops.of(*node) == FAR);
            let end = hops.reached.len();
            level += 1;
            if left.is_empty() || start == end || level == FAR {
                return;
            }
            for at in start..end {
                let node = hops.reached[at] as usize;
                for source in &self.sources[self.offsets[node]..self.offsets[node + 1]] {
                    hops.reach(*source, level);
                }
            }
            start = end;
        }
    }
}

impl Hops {
    /// From a node to the nearest answer; [`FAR`] where that is not known.
    pub(super) fn of(&self, node: u32) -> u8 {
        self.hops[node as usize]
    }

    fn reset(&mut self, nodes: usize) {
        for node in self.reached.drain(..) {
            self.hops[node as usize] = FAR;
        }
        self.hops.resize(nodes, FAR);
    }

    fn reach(&mut self, node: u32, level: u8) {
        if self.hops[node as usize] == FAR {
            self.hops[node as usize] = level;
            self.reached.push(node);
        }
    }
}
