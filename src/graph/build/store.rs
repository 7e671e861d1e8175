//! Writing all edges of a graph at once.

use std::ops::ControlFlow;

use rayon::prelude::*;
use redknot_storage::{ArrayId, PageSize, WriteTxn};

use super::{GraphBuild, GraphPhase, GraphProgress};
use crate::catalog::Record;
use crate::error::{Error, Result};
use crate::graph::edit::NodeEdge;
use crate::graph::options::{GraphOptions, MAX_EDGES_OF_ROW};
use crate::graph::record::{GraphRecord, create_rows};
use crate::graph::row::{self, ITEM_BYTES, Link};
use crate::graph::table;
use crate::key::show_bytes;

/// How full a page is meant to be: rows differ in length, and a block that does not fit takes twice the space.
const FILL: f64 = 0.85;
/// Rows after which a build may be cancelled.
const ROWS_PER_STEP: usize = 4096;

/// Creates the graph with `edges`, and returns how many it has.
pub(super) fn store(
    txn: &mut WriteTxn,
    build: &GraphBuild<'_>,
    rows: &Record,
    mut edges: Vec<NodeEdge>,
) -> Result<u64> {
    if !build.directed {
        // One of each pair, so that both ends have the same weight.
        for edge in &mut edges {
            (edge.source, edge.target) = (edge.source.min(edge.target), edge.source.max(edge.target));
        }
        edges.par_sort_by_key(|edge| (edge.source, edge.target));
        edges.dedup_by_key(|edge| (edge.source, edge.target));
    }
    let mut graph = GraphRecord::create(txn, GraphOptions { directed: build.directed })?;
    graph.origin = build.origin();
    graph.edges = edges.len() as u64;
    let there = |edge: &NodeEdge| (edge.source, link(edge.target, edge));
    let back = |edge: &NodeEdge| (edge.target, link(edge.source, edge));
    let writer = Writer { build, rows, long: graph.long };
    match &mut graph.incoming {
        Some(incoming) => {
            writer.write(txn, &mut graph.out, edges.iter().map(there).collect())?;
            writer.write(txn, incoming, edges.iter().map(back).collect())?;
        }
        None => {
            // No row is its own neighbour, so there are no loops.
            let ends = edges.iter().flat_map(|edge| [there(edge), back(edge)]);
            writer.write(txn, &mut graph.out, ends.collect())?;
        }
    }
    table::write(txn, &build.collection, &build.graph, &graph)?;
    Ok(graph.edges)
}

struct Writer<'w> {
    build: &'w GraphBuild<'w>,
    rows: &'w Record,
    long: ArrayId,
}

impl Writer<'_> {
    /// Replaces an empty array by one with these links, each with the node whose it is.
    fn write(&self, txn: &mut WriteTxn, array: &mut ArrayId, mut links: Vec<(u32, Link)>) -> Result<()> {
        links.par_sort_unstable_by_key(|(node, link)| (*node, link.node));
        let nodes = links.last().map_or(0, |(node, _)| node + 1);
        txn.drop_array(*array)?;
        *array = create_rows(txn, rows_per_block(links.len(), nodes))?;
        let mut rest = links.as_slice();
        let mut row = Vec::new();
        for node in 0..nodes {
            let (own, others) = rest.split_at(rest.partition_point(|(of, _)| *of == node));
            rest = others;
            if own.len() > MAX_EDGES_OF_ROW {
                return Err(self.too_many(txn, node));
            }
            row.clear();
            row.extend(own.iter().flat_map(|(_, link)| link.to_bytes()));
            row::push(txn, *array, self.long, &row)?;
            if (node as usize).is_multiple_of(ROWS_PER_STEP) {
                self.step(node as usize, nodes as usize)?;
            }
        }
        Ok(())
    }

    fn step(&self, done: usize, total: usize) -> Result<()> {
        match (self.build.progress)(GraphProgress { phase: GraphPhase::Write, done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }

    fn too_many(&self, txn: &WriteTxn, node: u32) -> Error {
        match self.rows.keys.key(txn, node, self.rows.key_width) {
            Ok(key) => Error::TooManyEdges {
                graph: self.build.graph.clone(),
                key: show_bytes(&self.rows.key_type, key),
                limit: MAX_EDGES_OF_ROW,
            },
            Err(error) => error,
        }
    }
}

fn link(node: u32, edge: &NodeEdge) -> Link {
    Link { node, weight: edge.weight, kind: edge.kind }
}

/// Rows of which a page of 4 KiB takes as many as a block has.
fn rows_per_block(links: usize, nodes: u32) -> u32 {
    let mean = links as f64 / f64::from(nodes.max(1));
    let items = PageSize::KIB_4.payload_bytes() as f64 / ITEM_BYTES as f64;
    // Saturates; what is out of range is brought into it.
    (FILL * items / mean.max(1.0)) as u32
}
