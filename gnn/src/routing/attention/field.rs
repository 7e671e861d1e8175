//! The nodes that the keys of some nodes depend on.

use std::collections::HashMap;

use rayon::prelude::*;

/// Nodes whose links one thread reads at a time.
const NODES_PER_TASK: usize = 1024;

/// Where attention reads nodes: vectors as the model sees them, and links of the base layer.
pub(crate) trait NodeSource: Sync {
    /// What reading fails with.
    type Error: Send;

    /// Writes the vector of a node, of length 1 under cosine.
    fn vector(&self, node: u32, out: &mut [f32]) -> Result<(), Self::Error>;

    /// Appends the base-layer neighbours of a node.
    fn neighbors(&self, node: u32, out: &mut Vec<u32>) -> Result<(), Self::Error>;
}

/// The receptive field of some nodes, each node in it once, in the order of the hops that it is away.
pub(super) struct Field {
    /// The nodes. Their places here number everything else.
    pub(super) nodes: Vec<u32>,
    /// How many of the nodes are at most 0, 1, … hops away from those asked for.
    reach: Vec<usize>,
    /// The neighbours of the node in place `i` lie in the places `links[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    links: Vec<u32>,
    /// The place of each node asked for, of which some may be the same.
    pub(super) asked: Vec<u32>,
}

impl Field {
    /// What lies within `hops` of `nodes`.
    pub(super) fn new<S: NodeSource>(source: &S, nodes: &[u32], hops: usize) -> Result<Field, S::Error> {
        let mut field = Field {
            nodes: Vec::with_capacity(nodes.len()),
            reach: Vec::with_capacity(hops + 1),
            starts: vec![0],
            links: Vec::new(),
            asked: Vec::with_capacity(nodes.len()),
        };
        let mut places = HashMap::with_capacity(nodes.len());
        for node in nodes {
            let place = field.place(*node, &mut places);
            field.asked.push(place);
        }
        field.reach.push(field.nodes.len());
        for _ in 0..hops {
            field.widen(source, &mut places)?;
        }
        Ok(field)
    }

    fn place(&mut self, node: u32, places: &mut HashMap<u32, u32>) -> u32 {
        *places.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.nodes.len() as u32 - 1
        })
    }

    /// Adds the neighbours of the nodes whose links are not read yet.
    fn widen<S: NodeSource>(&mut self, source: &S, places: &mut HashMap<u32, u32>) -> Result<(), S::Error> {
        let border = &self.nodes[self.starts.len() - 1..];
        let read = border.par_chunks(NODES_PER_TASK).map(|nodes| {
            let (mut ends, mut neighbors) = (Vec::with_capacity(nodes.len()), Vec::new());
            for node in nodes {
                source.neighbors(*node, &mut neighbors)?;
                ends.push(neighbors.len());
            }
            Ok((ends, neighbors))
        });
        for (ends, neighbors) in read.collect::<Result<Vec<_>, S::Error>>()? {
            let before = self.links.len();
            self.starts.extend(ends.iter().map(|end| before + end));
            for node in neighbors {
                let place = self.place(node, places);
                self.links.push(place);
            }
        }
        self.reach.push(self.nodes.len());
        Ok(())
    }

    /// How many nodes are at most so many hops away.
    pub(super) fn within(&self, hops: usize) -> usize {
        self.reach[hops]
    }

    /// The places of the neighbours of the node in `place`, which is less than all hops away.
    pub(super) fn neighbors(&self, place: usize) -> &[u32] {
        &self.links[self.starts[place]..self.starts[place + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of so many nodes.
    struct Ring(u32);

    impl NodeSource for Ring {
        type Error = ();

        fn vector(&self, _node: u32, _out: &mut [f32]) -> Result<(), ()> {
            Ok(())
        }

        fn neighbors(&self, node: u32, out: &mut Vec<u32>) -> Result<(), ()> {
            out.extend([(node + 1) % self.0, (node + self.0 - 1) % self.0]);
            Ok(())
        }
    }

    #[test]
    fn a_field_grows_by_a_hop_at_a_time() {
        let field = Field::new(&Ring(100), &[7, 50, 7], 2).unwrap();
        assert_eq!(field.asked, [0, 1, 0]);
        assert_eq!((field.within(0), field.within(1), field.within(2)), (2, 6, 10));
        assert_eq!(field.nodes, [7, 50, 8, 6, 51, 49, 9, 5, 52, 48]);
        assert_eq!(field.neighbors(0), [2, 3]);
        assert_eq!(field.neighbors(3), [0, 7]);
        assert_eq!(Field::new(&Ring(5), &[0, 3], 4).unwrap().nodes.len(), 5);
        assert_eq!(Field::new(&Ring(5), &[], 3).unwrap().within(3), 0);
    }
}
