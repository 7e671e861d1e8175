//! Checking a stored index.

use std::fmt;

use redknot_storage::View;

use super::connect::unreached;
use super::links::{NodeLinks, parse_upper};
use super::reader::Reader;
use super::{FREE, UNLINKED, level_of};
use crate::mem_graph::MAX_LEVEL;
use crate::{Error, IndexRecord};

/// Something that [`verify`] found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A linked node that no path leads to.
    Unreachable {
        /// The node.
        node: u32,
    },
    /// The links of a node break a rule.
    Links {
        /// The node.
        node: u32,
        /// The layer.
        layer: u8,
        /// The rule.
        what: String,
    },
    /// Levels, counts, the entry point, the free nodes or the set of unlinked ones contradict each other.
    State {
        /// The contradiction.
        what: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Unreachable { node } => write!(f, "no path leads to node {node}"),
            Finding::Links { node, layer, what } => {
                write!(f, "links of node {node} in layer {layer}: {what}")
            }
            Finding::State { what } => f.write_str(what),
        }
    }
}

/// Checks that every linked node can be reached, that links lead to nodes of their layer, are neither repeated nor to
/// the node itself nor too many, that each is known to its target, and that all counts agree.
pub fn verify(view: &impl View, record: &IndexRecord) -> Result<Vec<Finding>, Error> {
    let reader = Reader::open(view, record)?;
    let mut check = Check { reader, record, codes: Vec::new(), findings: Vec::new() };
    for node in 0..record.nodes {
        check.codes.push(level_of(reader.levels, node)?);
    }
    check.counts();
    check.free_nodes();
    for node in 0..record.nodes {
        check.node(node)?;
    }
    let strays = unreached(view, record)?;
    check.findings.extend(strays.into_iter().map(|node| Finding::Unreachable { node }));
    Ok(check.findings)
}

struct Check<'v> {
    reader: Reader<'v>,
    record: &'v IndexRecord,
    codes: Vec<u8>,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn state(&mut self, what: String) {
        self.findings.push(Finding::State { what });
    }

    fn counts(&mut self) {
        let live = self.codes.iter().filter(|code| **code != FREE).count();
        if live != self.record.live as usize {
            self.state(format!("{live} nodes are in use, the record says {}", self.record.live));
        }
        let unlinked: roaring::RoaringBitmap =
            (0..).zip(&self.codes).filter(|(_, code)| **code == UNLINKED).map(|(node, _)| node).collect();
        if unlinked != self.record.unlinked {
            let (levels, set) = (unlinked.len(), self.record.unlinked.len());
            self.state(format!(
                "levels say that {levels} nodes are unlinked, the set of them holds {set}, or others"
            ));
        }
        let linked = self.codes.iter().copied().filter(|code| *code < UNLINKED).max();
        if let Some(level) = linked.filter(|level| *level > MAX_LEVEL) {
            self.state(format!("level {level} is higher than any can be"));
        }
        let entry_level = self.record.entry.map(|entry| self.codes[entry as usize]);
        if entry_level != linked || linked.unwrap_or(0) != self.record.top_level {
            self.state(format!(
                "the entry point has level {entry_level:?}, the highest is {linked:?}, the record says {}",
                self.record.top_level
            ));
        }
    }

    fn free_nodes(&mut self) {
        let first = self.codes.iter().position(|code| *code == FREE);
        if let Some(first) = first.filter(|first| *first < self.record.free_from as usize) {
            self.state(format!(
                "node {first} is free, the record says none below {} is",
                self.record.free_from
            ));
        }
    }

    fn node(&mut self, node: u32) -> Result<(), Error> {
        let code = self.codes[node as usize];
        let in_graph = node < self.reader.links.base.len() && node < self.reader.links.upper.len();
        if code >= UNLINKED {
            if in_graph && !self.reader.links.upper.get(node)?.is_empty() {
                self.state(format!("node {node} is not linked and has upper links"));
            }
            if in_graph && code == UNLINKED && !self.reader.links.base.get(node)?.is_empty() {
                self.state(format!("node {node} is not linked and has links"));
            }
            return Ok(());
        }
        if !in_graph {
            self.state(format!("node {node} has level {code}, but no row of links"));
            return Ok(());
        }
        let upper = parse_upper(node, self.reader.links.upper.get(node)?)?;
        if upper.len() != usize::from(code) {
            self.state(format!("node {node} has level {code} and upper links of {} layers", upper.len()));
        }
        self.layer(node, 0, &NodeLinks::parse(self.reader.links.base.get(node)?))?;
        for (layer, links) in (1..).zip(&upper) {
            self.layer(node, layer, links)?;
        }
        Ok(())
    }

    fn layer(&mut self, node: u32, layer: u8, links: &NodeLinks) -> Result<(), Error> {
        let capacity = self.record.config.m * if layer == 0 { 2 } else { 1 };
        let mut wrong = Vec::new();
        if links.out.len() > capacity {
            wrong.push(format!("{} links, at most {capacity} are allowed", links.out.len()));
        }
        let mut all: Vec<u32> = links.out.iter().chain(&links.incoming).copied().collect();
        all.sort_unstable();
        let before = all.len();
        all.dedup();
        if all.len() != before {
            wrong.push("a node is named twice".into());
        }
        for other in &all {
            if *other == node {
                wrong.push("a link to itself".into());
            } else if self.codes.get(*other as usize).is_none_or(|code| *code >= UNLINKED || *code < layer) {
                wrong.push(format!("node {other} is not in this layer"));
            }
        }
        if wrong.is_empty() {
            for other in &links.out {
                let back = self.links(*other, layer)?;
                if !back.out.contains(&node) && !back.incoming.contains(&node) {
                    wrong.push(format!("node {other} does not know of the link from here"));
                }
            }
            for other in &links.incoming {
                if !self.links(*other, layer)?.out.contains(&node) {
                    wrong.push(format!("node {other} does not link here, as it should"));
                }
            }
        }
        self.findings.extend(wrong.into_iter().map(|what| Finding::Links { node, layer, what }));
        Ok(())
    }

    fn links(&self, node: u32, layer: u8) -> Result<NodeLinks, Error> {
        Ok(NodeLinks::parse(self.reader.links.bytes(node, layer)?))
    }
}
