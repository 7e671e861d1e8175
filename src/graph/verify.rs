//! Checking graphs.

use redknot_storage::{ArrayId, Snapshot, View};

use super::record::GraphRecord;
use super::row::{self, LONG, Rows};
use super::table;
use super::walk::Seen;
use crate::catalog::Record;
use crate::error::Result;

/// What is wrong with the graphs of a collection, with the name of the graph; and how many edges they have.
pub(crate) fn verify(
    snapshot: &Snapshot,
    collection: &str,
    rows: &Record,
) -> Result<(Vec<(String, String)>, u64)> {
    let graphs = table::all(snapshot, collection)?;
    let (mut findings, mut edges) = (Vec::new(), 0);
    if graphs.is_empty() {
        return Ok((findings, edges));
    }
    let mut in_use = Seen::new(rows.index.nodes());
    for node in redknot_index::nodes_in_use(snapshot, &rows.index)? {
        in_use.add(node)?;
    }
    for (name, graph) in &graphs {
        edges += graph.edges;
        let mut check =
            Check { snapshot, graph, in_use: &in_use, nodes: rows.index.nodes(), wrong: Vec::new() };
        if let Err(error) = check.run() {
            check.wrong.push(format!("it cannot be read: {error}"));
        }
        findings.extend(check.wrong.into_iter().map(|what| (name.clone(), what)));
    }
    Ok((findings, edges))
}

/// Graphs whose collection there is not.
pub(crate) fn strays(snapshot: &Snapshot, collections: &[(String, Record)]) -> Result<Vec<(String, String)>> {
    let known = |of: &String| collections.iter().any(|(name, _)| name == of);
    Ok(table::collections(snapshot)?.into_iter().filter(|(of, _)| !known(of)).collect())
}

struct Check<'c> {
    snapshot: &'c Snapshot,
    graph: &'c GraphRecord,
    in_use: &'c Seen,
    nodes: u32,
    wrong: Vec<String>,
}

impl Check<'_> {
    fn run(&mut self) -> Result<()> {
        let graph = self.graph;
        let mut used = Seen::new(self.snapshot.array(graph.long)?.rows);
        let (out, loops) = self.array(graph.out, graph.incoming_or_both(), &mut used)?;
        let edges = match graph.incoming {
            Some(incoming) => {
                let (into, _) = self.array(incoming, graph.out, &mut used)?;
                if into != out {
                    self.wrong.push(format!("{out} edges lead from nodes, {into} to nodes"));
                }
                out
            }
            // All but loops are at both ends.
            None => (out + loops) / 2,
        };
        if edges != graph.edges {
            self.wrong.push(format!("it has {edges} edges, its record says {}", graph.edges));
        }
        let long = self.snapshot.csr(graph.long)?;
        for number in 0..long.len() {
            if !long.get(number)?.is_empty() && !used.contains(number) {
                self.wrong.push(format!("long row {number} is nobody's"));
            }
        }
        Ok(())
    }

    /// Items of an array, and how many of them are loops.
    fn array(&mut self, array: ArrayId, mirror: ArrayId, used: &mut Seen) -> Result<(u64, u64)> {
        let rows = Rows::open(self.snapshot, array, self.graph.long)?;
        let mirror = Rows::open(self.snapshot, mirror, self.graph.long)?;
        if rows.len() > self.nodes {
            self.wrong.push(format!("array {array} has {} rows, there are {} nodes", rows.len(), self.nodes));
        }
        let (mut items, mut loops) = (0, 0);
        for node in 0..rows.len() {
            if let Some(number) = row::long_row(rows.place(node)?)
                && !used.add(number)?
            {
                self.wrong.push(format!("long row {number} is that of several nodes"));
            }
            let row = rows.get(node)?;
            if !row.is_empty() && !self.in_use.contains(node) {
                self.wrong.push(format!("node {node} is not in use and has edges"));
            }
            let mut before = None;
            for link in row::links(row) {
                items += 1;
                loops += u64::from(link.node == node);
                if before.is_some_and(|before| before >= link.node) {
                    self.wrong.push(format!("the edges of node {node} are not in order"));
                }
                before = Some(link.node);
                self.link(node, link, &mirror)?;
            }
        }
        Ok((items, loops))
    }

    fn link(&mut self, node: u32, link: row::Link, mirror: &Rows<'_>) -> Result<()> {
        if link.node == LONG || !self.in_use.contains(link.node) {
            self.wrong.push(format!("node {node} has an edge to node {}, which is not in use", link.node));
            return Ok(());
        }
        if !link.weight.is_finite() {
            self.wrong.push(format!("the edge of nodes {node} and {} has weight {}", link.node, link.weight));
        }
        if link.kind as usize > self.graph.types.len() {
            self.wrong.push(format!("the edge of nodes {node} and {} has type {}", link.node, link.kind));
        }
        let back = row::find(mirror.get(link.node)?, node);
        if back.is_none_or(|back| (back.weight.to_bits(), back.kind) != (link.weight.to_bits(), link.kind)) {
            self.wrong.push(format!("node {node} has an edge that node {} does not share", link.node));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::row::Link;
    use crate::{CollectionDefinition, Database, Finding, GraphOptions, Metric, WriteTransaction};

    const POINTS: CollectionDefinition<u64, ()> = CollectionDefinition::new("points", 2, Metric::L2);

    /// What verify says after `damage` was done to the graph of edges 1 → 2 and 2 → 3, or those between them.
    fn findings(directed: bool, damage: impl FnOnce(&mut WriteTransaction, &mut GraphRecord)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::create(folder.path().join("db")).unwrap();
        let mut txn = db.begin_write().unwrap();
        let mut points = txn.open_collection(POINTS).unwrap();
        for key in 0..6 {
            points.insert(key, &[key as f32, 1.0], ()).unwrap();
        }
        points.remove(5).unwrap();
        let mut graph = txn.create_graph(POINTS, "g", GraphOptions { directed }).unwrap();
        graph.insert_edge(1, 2, 0.5, None).unwrap();
        graph.insert_edge(2, 3, 0.5, Some("a")).unwrap();
        txn.commit().unwrap();
        assert_eq!(db.verify().unwrap().findings, []);
        let mut txn = db.begin_write().unwrap();
        let mut record = table::all_in(&txn.txn, "points").unwrap().remove("g").unwrap();
        damage(&mut txn, &mut record);
        table::write(&txn.txn, "points", "g", &record).unwrap();
        txn.commit().unwrap();
        let findings = db.verify().unwrap().findings;
        assert!(findings.iter().all(|finding| matches!(finding, Finding::Edges { .. })), "{findings:?}");
        findings.iter().map(|finding| format!("{finding}\n")).collect()
    }

    /// Overwrites what leads from a node.
    fn set(txn: &mut WriteTransaction, record: &GraphRecord, node: u32, links: &[(u32, f32, u32)]) {
        let links: Vec<Link> = links
            .iter()
            .map(|(node, weight, kind)| Link { node: *node, weight: *weight, kind: *kind })
            .collect();
        row::set(&mut txn.txn, record.out, record.long, node, &row::encode(&links)).unwrap();
    }

    #[test]
    fn damage_is_found_and_named() {
        for directed in [true, false] {
            let found = findings(directed, |_, record| record.edges = 7);
            assert!(found.contains("it has 2 edges, its record says 7"), "{found}");
            let found = findings(directed, |txn, record| set(txn, record, 1, &[]));
            assert!(found.contains("does not share"), "{found}");
            let found = findings(directed, |txn, record| set(txn, record, 1, &[(2, 0.75, 0)]));
            assert!(found.contains("does not share"), "{found}");
            let found = findings(directed, |txn, record| set(txn, record, 1, &[(2, f32::NAN, 0)]));
            assert!(found.contains("weight NaN"), "{found}");
            let found = findings(directed, |txn, record| set(txn, record, 1, &[(2, 0.5, 9)]));
            assert!(found.contains("type 9"), "{found}");
            let found = findings(directed, |txn, record| set(txn, record, 1, &[(2, 0.5, 0), (5, 0.5, 0)]));
            assert!(found.contains("node 5, which is not in use"), "{found}");
            let found = findings(directed, |txn, record| set(txn, record, 1, &[(3, 0.5, 0), (2, 0.5, 0)]));
            assert!(found.contains("not in order"), "{found}");
            let found = findings(directed, |txn, record| set(txn, record, 5, &[(2, 0.5, 0)]));
            assert!(found.contains("node 5 is not in use and has edges"), "{found}");
            let found = findings(directed, |txn, record| {
                txn.txn.push_csr_row(record.long, &[0; 12]).unwrap();
            });
            assert!(found.contains("long row 0 is nobody's"), "{found}");
        }
    }

    #[test]
    fn a_graph_over_nothing_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::create(folder.path().join("db")).unwrap();
        let mut txn = db.begin_write().unwrap();
        let record = GraphRecord::create(&mut txn.txn, GraphOptions::default()).unwrap();
        table::write(&txn.txn, "gone", "g", &record).unwrap();
        txn.commit().unwrap();
        let findings = db.verify().unwrap().findings;
        assert_eq!(findings.len(), 1);
        assert!(findings[0].to_string().contains("no such collection"), "{findings:?}");
    }
}
