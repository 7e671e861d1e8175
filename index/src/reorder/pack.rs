//! Filling pages with rows that link to each other.

use std::collections::VecDeque;

use super::Permutation;
use crate::MemGraph;

/// An order of the rows in which each run of `page_rows` is tightly linked in `layer`; rows that are not in the layer come last, in
/// their old order.
///
/// Pages are filled one after the other, as in Starling (Wang et al., SIGMOD 2024) and Gorder (Wei et al., SIGMOD 2016):
/// the next row is the one with the most links, in either direction, from and to the page so far. A page starts with the
/// row that has waited longest among the neighbours of the pages before, so that pages near each other in the file are near in the graph.
/// Takes O(links · √page_rows) or so.
pub(crate) fn pack(graph: &MemGraph, layer: u8, page_rows: usize) -> Permutation {
    let mut packer = Packer {
        graph,
        layer,
        back: BackLinks::of(graph, layer),
        placed: vec![false; graph.len() as usize],
        affinity: vec![0; graph.len() as usize],
        touched: Vec::new(),
        waiting: VecDeque::new(),
        order: Vec::with_capacity(graph.len() as usize),
    };
    packer.waiting.extend(graph.entry());
    let in_layer = |id: &u32| graph.level(*id) >= Some(layer);
    for id in (0..graph.len()).filter(in_layer) {
        packer.waiting.push_back(id);
        while let Some(seed) = packer.next_seed() {
            packer.fill_page(seed, page_rows);
        }
    }
    packer.order.extend((0..graph.len()).filter(|id| !in_layer(id)));
    Permutation::new(packer.order)
        .expect("every row is placed once: by its mark those of the layer, then the others")
}

struct Packer<'a> {
    graph: &'a MemGraph,
    layer: u8,
    back: BackLinks,
    placed: Vec<bool>,
    /// Links between a row and the page being filled.
    affinity: Vec<u16>,
    /// Rows whose affinity is not zero.
    touched: Vec<u32>,
    /// Neighbours of placed rows in the order of their discovery; placed ones are skipped when they come up.
    waiting: VecDeque<u32>,
    order: Vec<u32>,
}

impl Packer<'_> {
    fn next_seed(&mut self) -> Option<u32> {
        std::iter::from_fn(|| self.waiting.pop_front()).find(|&id| !self.placed[id as usize])
    }

    fn fill_page(&mut self, seed: u32, page_rows: usize) {
        let mut next = Some(seed);
        let mut free = page_rows - self.order.len() % page_rows;
        while let Some(id) = next {
            self.place(id);
            free -= 1;
            if free == 0 {
                break;
            }
            next = self.most_linked();
        }
        for id in self.touched.drain(..) {
            self.affinity[id as usize] = 0;
            if !self.placed[id as usize] {
                self.waiting.push_back(id);
            }
        }
    }

    fn place(&mut self, id: u32) {
        self.placed[id as usize] = true;
        self.order.push(id);
        for neighbor in self.graph.links(id, self.layer).chain(self.back.of_row(id).iter().copied()) {
            let affinity = &mut self.affinity[neighbor as usize];
            if *affinity == 0 {
                self.touched.push(neighbor);
            }
            *affinity = affinity.saturating_add(1);
        }
    }

    fn most_linked(&mut self) -> Option<u32> {
        let Self { touched, placed, affinity, .. } = self;
        touched.iter().copied().filter(|&id| !placed[id as usize]).max_by_key(|&id| affinity[id as usize])
    }
}

/// For each row the rows that link to it in one layer.
struct BackLinks {
    starts: Vec<usize>,
    rows: Vec<u32>,
}

impl BackLinks {
    fn of(graph: &MemGraph, layer: u8) -> Self {
        let mut ends = vec![0usize; graph.len() as usize + 1];
        for id in 0..graph.len() {
            graph.links(id, layer).for_each(|to| ends[to as usize] += 1);
        }
        let mut total = 0;
        for end in &mut ends {
            total += *end;
            *end = total;
        }
        let mut rows = vec![0; total];
        for id in 0..graph.len() {
            for to in graph.links(id, layer) {
                let place = &mut ends[to as usize];
                *place -= 1;
                rows[*place] = id;
            }
        }
        Self { starts: ends, rows }
    }

    fn of_row(&self, id: u32) -> &[u32] {
        let id = id as usize;
        &self.rows[self.starts[id]..self.starts[id + 1]]
    }
}
