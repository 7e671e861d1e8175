//! An undirected graph as compressed sparse rows.

use std::ops::Range;

use crate::Error;

/// An undirected graph without weights, loops or repeated edges. Each edge stands in the rows of both its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undirected {
    /// Row of node v: `offsets[v]..offsets[v + 1]`.
    offsets: Vec<usize>,
    /// Neighbours, ascending in each row.
    targets: Vec<u32>,
    /// Nodes that belong to the graph, ascending; the other rows are empty.
    members: Vec<u32>,
}

impl Undirected {
    /// The graph in which u and v are neighbours where either links to the other. Node v links to
    /// `targets[offsets[v]..offsets[v + 1]]`, for v from 0 to `offsets.len() − 2`; links to itself and repeated ones
    /// are left out.
    ///
    /// # Errors
    /// [`Error::InvalidGraph`] where the offsets do not rise from 0 to the number of targets, or a target is no node.
    pub fn from_links(offsets: &[usize], targets: &[u32]) -> Result<Undirected, Error> {
        let nodes = check_rows(offsets, targets)?;
        let mut undirected = fill(offsets, targets, nodes);
        undirected.sort_rows();
        Ok(undirected)
    }

    /// The same graph with fewer nodes: `members`, ascending. Only they count when measures are normalised.
    ///
    /// # Errors
    /// [`Error::InvalidGraph`] where they do not ascend, are no nodes, or leave out a node that has neighbours.
    pub fn with_members(mut self, members: Vec<u32>) -> Result<Undirected, Error> {
        if let Some(pair) = members.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(invalid(format!("members {} and {} do not ascend", pair[0], pair[1])));
        }
        if let Some(beyond) = members.last().filter(|last| **last >= self.rows()) {
            return Err(invalid(format!("member {beyond} is beyond the last of {} rows", self.rows())));
        }
        let mut listed = members.iter().copied().peekable();
        for node in 0..self.rows() {
            let is_member = listed.next_if_eq(&node).is_some();
            if !is_member && !self.neighbors(node).is_empty() {
                return Err(invalid(format!("node {node} has neighbours and is no member")));
            }
        }
        self.members = members;
        Ok(self)
    }

    /// Rows, those of nodes that are no members included; node numbers are below it.
    pub fn rows(&self) -> u32 {
        (self.offsets.len() - 1) as u32
    }

    /// The nodes of the graph, ascending.
    pub fn members(&self) -> &[u32] {
        &self.members
    }

    /// Number of edges.
    pub fn edges(&self) -> usize {
        self.targets.len() / 2
    }

    /// Neighbours of all nodes one after the other; each edge has two slots here.
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// Where the neighbours of `node` stand in [`Undirected::targets`].
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn slots(&self, node: u32) -> Range<usize> {
        self.offsets[node as usize]..self.offsets[node as usize + 1]
    }

    /// The neighbours of `node`, ascending.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn neighbors(&self, node: u32) -> &[u32] {
        &self.targets[self.slots(node)]
    }

    /// Where `to` stands in the row of `from`; `None` where they are no neighbours.
    pub fn slot(&self, from: u32, to: u32) -> Option<usize> {
        let place = self.neighbors(from).binary_search(&to).ok()?;
        Some(self.slots(from).start + place)
    }

    /// Sorts each row and takes repeated neighbours out.
    fn sort_rows(&mut self) {
        let mut kept = 0;
        let mut start = 0;
        for node in 0..self.offsets.len() - 1 {
            let end = self.offsets[node + 1];
            self.targets[start..end].sort_unstable();
            let first = kept;
            for at in start..end {
                let target = self.targets[at];
                if kept == first || self.targets[kept - 1] != target {
                    self.targets[kept] = target;
                    kept += 1;
                }
            }
            self.offsets[node + 1] = kept;
            start = end;
        }
        self.targets.truncate(kept);
        self.targets.shrink_to_fit();
    }
}

fn invalid(what: String) -> Error {
    Error::InvalidGraph { what }
}

/// The number of nodes.
fn check_rows(offsets: &[usize], targets: &[u32]) -> Result<u32, Error> {
    let (Some(0), Some(end)) = (offsets.first(), offsets.last()) else {
        return Err(invalid(format!("offsets start at {:?} instead of 0", offsets.first())));
    };
    if *end != targets.len() {
        return Err(invalid(format!("offsets end at {end}, there are {} targets", targets.len())));
    }
    if let Some(at) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(invalid(format!("the row of node {at} ends before it starts")));
    }
    let nodes = u32::try_from(offsets.len() - 1)
        .map_err(|_| invalid(format!("{} nodes, at most {} are possible", offsets.len() - 1, u32::MAX)))?;
    match targets.iter().find(|target| **target >= nodes) {
        None => Ok(nodes),
        Some(target) => Err(invalid(format!("a link leads to {target}, there are {nodes} nodes"))),
    }
}

/// Puts each link into the rows of both ends, by counting.
fn fill(offsets: &[usize], targets: &[u32], nodes: u32) -> Undirected {
    let links = || {
        (0..nodes).flat_map(|from| {
            let row = &targets[offsets[from as usize]..offsets[from as usize + 1]];
            row.iter().map(move |to| (from, *to)).filter(|(from, to)| from != to)
        })
    };
    // At first one behind: entry v + 2 counts node v, so that filling moves entry v + 1 to the end of row v.
    let mut ends = vec![0; nodes as usize + 2];
    for (from, to) in links() {
        ends[from as usize + 2] += 1;
        ends[to as usize + 2] += 1;
    }
    for at in 2..ends.len() {
        ends[at] += ends[at - 1];
    }
    let mut both = vec![0; ends[nodes as usize + 1]];
    for (from, to) in links() {
        for (row, neighbor) in [(from, to), (to, from)] {
            let end = &mut ends[row as usize + 1];
            both[*end] = neighbor;
            *end += 1;
        }
    }
    ends.truncate(nodes as usize + 1);
    Undirected { offsets: ends, targets: both, members: (0..nodes).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_edges() {
        let graph = Undirected::from_links(&[0, 3, 4, 4, 6, 6], &[1, 3, 1, 0, 3, 0]).unwrap();
        let rows: Vec<&[u32]> = (0..graph.rows()).map(|node| graph.neighbors(node)).collect();
        assert_eq!(rows, [&[1, 3][..], &[0], &[], &[0], &[]]);
        assert_eq!((graph.edges(), graph.members()), (2, &[0, 1, 2, 3, 4][..]));
        assert_eq!((graph.slot(3, 0), graph.slot(3, 1)), (Some(3), None));
        let fewer = graph.clone().with_members(vec![0, 1, 3]).unwrap();
        assert_eq!(fewer.members(), [0, 1, 3]);
        for members in [vec![0, 1], vec![0, 3, 1], vec![0, 1, 3, 5]] {
            assert!(matches!(graph.clone().with_members(members), Err(Error::InvalidGraph { .. })));
        }
        assert_eq!(Undirected::from_links(&[0], &[]).unwrap().rows(), 0);
    }

    #[test]
    fn what_is_no_graph_is_refused() {
        for (offsets, targets) in
            [(&[][..], &[][..]), (&[1, 1], &[0]), (&[0, 1], &[]), (&[0, 2, 1], &[0]), (&[0, 1], &[1])]
        {
            let refused = Undirected::from_links(offsets, targets);
            assert!(matches!(refused, Err(Error::InvalidGraph { .. })), "{offsets:?} {targets:?}");
        }
    }
}
