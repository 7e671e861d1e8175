//! Makes every row of a layer reachable from the entry point.

use crate::{
    Error, Kernel, MemGraph, Neighbor, Scratch, VectorRows,
    search::{Query, Searcher},
};

/// Not reached, in a tree of parents.
const UNREACHED: u32 = u32::MAX;

/// Adds links, evicting redundant ones where a row is full, until every row of `layer` can be reached from the entry
/// point along links of that layer.
///
/// Linking leaves few rows unreachable: those that all their neighbours dropped again, and groups of copies. The repair
/// keeps a spanning tree of the reached rows and evicts only links that are not in it, so what is reached stays
/// reached, and each added link reaches at least one row more. A row to link from always exists: a leaf of the tree has
/// no tree link to spare, and some leaf lies below any row.
pub(super) fn reconnect<R: VectorRows + ?Sized>(
    graph: &mut MemGraph,
    rows: &R,
    kernel: &Kernel,
    ef: usize,
    layer: u8,
) -> Result<(), Error> {
    let Some(entry) = graph.entry() else { return Ok(()) };
    let mut repair = Repair {
        searcher: Searcher { graph, rows, kernel },
        layer,
        ef,
        parents: vec![UNREACHED; graph.len() as usize],
        stack: Vec::new(),
        last: None,
        scratch: Scratch::default(),
    };
    repair.reach(entry, entry);
    for id in 0..graph.len() {
        if graph.level(id).is_some_and(|level| level >= layer) && !repair.reached(id) {
            let from = repair.nearest_with_room(id, entry)?;
            repair.add_link(from, id)?;
            repair.reach(id, from);
            repair.last = Some(id);
        }
    }
    Ok(())
}

struct Repair<'a, R: ?Sized> {
    searcher: Searcher<'a, MemGraph, R>,
    layer: u8,
    ef: usize,
    /// The row that each reached row was reached from; the entry point is its own parent.
    parents: Vec<u32>,
    stack: Vec<u32>,
    /// The row that was connected last.
    last: Option<u32>,
    scratch: Scratch,
}

impl<R: VectorRows + ?Sized> Repair<'_, R> {
    fn reached(&self, id: u32) -> bool {
        self.parents[id as usize] != UNREACHED
    }

    /// Adds `id` to the tree, and all rows that can be reached from it.
    fn reach(&mut self, id: u32, parent: u32) {
        self.parents[id as usize] = parent;
        self.stack.push(id);
        while let Some(from) = self.stack.pop() {
            for to in self.searcher.graph.links(from, self.layer) {
                if self.parents[to as usize] == UNREACHED {
                    self.parents[to as usize] = from;
                    self.stack.push(to);
                }
            }
        }
    }

    fn is_tree_link(&self, from: u32, to: u32) -> bool {
        self.parents[to as usize] == from
    }

    fn has_free_slot(&self, id: u32) -> bool {
        self.searcher.graph.links(id, self.layer).count() < self.searcher.graph.capacity(self.layer)
    }

    /// Whether a row has a free slot, or a link that can go without cutting off any row.
    fn has_room(&self, id: u32) -> bool {
        let graph = self.searcher.graph;
        let tree_links = graph.links(id, self.layer).filter(|&to| self.is_tree_link(id, to)).count();
        tree_links < graph.capacity(self.layer)
    }

    /// A reached row near `id` that can take one more link, at best without losing another.
    fn nearest_with_room(&mut self, id: u32, entry: u32) -> Result<u32, Error> {
        if let Some(from) = self.copy_with_free_slot(id)? {
            return Ok(from);
        }
        let graph = self.searcher.graph;
        let free = |this: &Self, from: u32| this.reached(from) && this.has_free_slot(from);
        if let Some(from) = graph.links(id, self.layer).find(|&from| free(self, from)) {
            return Ok(from);
        }
        let query = Query::new(self.searcher.kernel, self.searcher.rows.row(id)?);
        let layers = (self.layer + 1..=graph.top_level()).rev();
        let nearest = self.searcher.approach(query, entry, layers, &mut self.scratch)?;
        self.searcher.beam(query, nearest, self.layer, self.ef, &mut self.scratch)?;
        // The row where this layer was entered may itself be unreached, and with it what was found.
        let found: Vec<u32> = self.scratch.candidates.iter().map(|neighbor| neighbor.id).collect();
        let found = found.into_iter().filter(|&from| self.reached(from));
        let from = found.clone().find(|&from| self.has_free_slot(from));
        let from = from.or_else(|| found.clone().find(|&from| self.has_room(from)));
        Ok(from.unwrap_or_else(|| self.room_below(found.clone().next().unwrap_or(entry))))
    }

    /// The row that was connected last, or the one it was connected to, if it is a copy of `id` with a free slot. Saves large
    /// groups of copies, of which most are unreachable at first, a search each that would find the same full rows.
    fn copy_with_free_slot(&self, id: u32) -> Result<Option<u32>, Error> {
        let Some(last) = self.last else { return Ok(None) };
        let rows = self.searcher.rows;
        if rows.row(last)? != rows.row(id)? {
            return Ok(None);
        }
        let parent = self.parents[last as usize];
        let parent_is_copy = rows.row(parent)? == rows.row(id)?;
        Ok([parent, last]
            .into_iter()
            .find(|&from| (from == last || parent_is_copy) && self.has_free_slot(from)))
    }

    /// The first row with room on a path down the tree. A leaf has room, so there is one.
    fn room_below(&self, mut id: u32) -> u32 {
        while !self.has_room(id) {
            // All its links are tree links; a deeper row is nearer to a leaf.
            match self.searcher.graph.links(id, self.layer).find(|&to| self.is_tree_link(id, to) && to != id)
            {
                Some(child) => id = child,
                None => break,
            }
        }
        id
    }

    /// Adds the link `from → to`, in place of the most redundant link outside the tree if `from` is full: one to a copy of
    /// `from`, else the one that another link's row comes closest to, compared with its length.
    fn add_link(&mut self, from: u32, to: u32) -> Result<(), Error> {
        let Searcher { graph, kernel, rows } = self.searcher;
        if graph.append(from, self.layer, to) {
            return Ok(());
        }
        let links: Vec<u32> = graph.links(from, self.layer).collect();
        let row = rows.row(from)?;
        let query = Query::new(kernel, row);
        let mut lengths = Vec::with_capacity(links.len());
        self.searcher.neighbors(query, &links, |neighbor| lengths.push(neighbor))?;
        let mut most: Option<Neighbor> = None;
        for link in lengths.iter().filter(|link| !self.is_tree_link(from, link.id)) {
            let link_row = rows.row(link.id)?;
            let mut detour = if link_row == row { f32::NEG_INFINITY } else { f32::INFINITY };
            self.searcher.neighbors(Query::new(kernel, link_row), &links, |other| {
                if other.id != link.id {
                    detour = detour.min(other.distance);
                }
            })?;
            let slack = Neighbor { id: link.id, distance: detour - link.distance };
            if most.is_none_or(|most| slack.order(&most).is_lt()) {
                most = Some(slack);
            }
        }
        let evicted = most.map(|slack| slack.id);
        graph.store(
            from,
            self.layer,
            links.into_iter().map(|link| if Some(link) == evicted { to } else { link }),
        );
        Ok(())
    }
}
