//! Checking everything.

use redknot_storage::{Snapshot, Storage, View};

use crate::answer;
use crate::catalog::{self, Record, Values, values_name};
use crate::error::{Error, Result};
use crate::graph;
use crate::keys::{Tree, tree_name};
use redb::{ReadableTable, ReadableTableMetadata};

/// Something that [`crate::Database::verify`] found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A block of the file.
    Block(redknot_storage::Finding),
    /// The graph of a collection.
    Graph {
        /// The collection.
        collection: String,
        /// What is wrong.
        finding: redknot_index::Finding,
    },
    /// The graph features of a collection.
    Features {
        /// The collection.
        collection: String,
        /// What is wrong.
        finding: redknot_index::FeatureFinding,
    },
    /// A graph over the rows of a collection.
    Edges {
        /// The collection.
        collection: String,
        /// The graph.
        graph: String,
        /// What is wrong.
        what: String,
    },
    /// A key or payload of a collection.
    Row {
        /// The collection.
        collection: String,
        /// What is wrong.
        what: String,
    },
    /// Something cannot be read at all.
    Unreadable {
        /// What it is.
        what: String,
        /// What reading it failed with.
        error: String,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Finding::Block(finding) => finding.fmt(f),
            Finding::Graph { collection, finding } => write!(f, "collection {collection:?}: {finding}"),
            Finding::Features { collection, finding } => write!(f, "collection {collection:?}: {finding}"),
            Finding::Edges { collection, graph, what } => {
                write!(f, "collection {collection:?}, graph {graph:?}: {what}")
            }
            Finding::Row { collection, what } => write!(f, "collection {collection:?}: {what}"),
            Finding::Unreadable { what, error } => write!(f, "{what} cannot be read: {error}"),
        }
    }
}

/// What [`crate::Database::verify`] looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What is wrong; empty where all is well.
    pub findings: Vec<Finding>,
    /// Collections that were checked.
    pub collections: usize,
    /// Rows that were checked.
    pub rows: u64,
    /// Links of all indexes, in all layers.
    pub links: u64,
    /// Edges of all graphs over rows.
    pub edges: u64,
}

impl Report {
    /// True where nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

pub(crate) fn run(storage: &Storage) -> Result<Report> {
    let snapshot = storage.snapshot()?;
    let mut report = Report::default();
    report.findings.extend(storage.verify()?.into_iter().map(Finding::Block));
    let collections = match catalog::all(&snapshot) {
        Ok(collections) => collections,
        Err(error) => {
            report.unreadable("the catalogue", &error);
            return Ok(report);
        }
    };
    for (name, record) in &collections {
        report.collections += 1;
        report.rows += u64::from(record.index.live());
        match redknot_index::verify(&*snapshot, &record.index) {
            Ok(findings) => report.findings.extend(
                findings.into_iter().map(|finding| Finding::Graph { collection: name.clone(), finding }),
            ),
            Err(error) => report.unreadable(&format!("the graph of collection {name:?}"), &error.into()),
        }
        match redknot_index::count_links(&*snapshot, &record.index) {
            Ok(links) => report.links += links,
            Err(error) => report.unreadable(&format!("the links of collection {name:?}"), &error.into()),
        }
        features(&snapshot, name, record, &mut report);
        #[cfg(feature = "routing")]
        if let Err(error) = crate::router::verify(&snapshot, name, record) {
            report.unreadable(&format!("the router of collection {name:?}"), &error);
        }
        if let Err(error) = graphs(&snapshot, name, record, &mut report) {
            report.unreadable(&format!("the graphs over collection {name:?}"), &error);
        }
        if let Err(error) = rows(&snapshot, name, record, &mut report) {
            report.unreadable(&format!("the rows of collection {name:?}"), &error);
        }
    }
    #[cfg(feature = "gnn")]
    match crate::gnn::store::verify(&snapshot) {
        Ok(findings) => findings.into_iter().for_each(|(name, error)| {
            report.findings.push(Finding::Unreadable { what: format!("model {name:?}"), error });
        }),
        Err(error) => report.unreadable("the table of models", &error),
    }
    match graph::strays(&snapshot, &collections) {
        Ok(strays) => strays.into_iter().for_each(|(collection, name)| {
            report.edges(&collection, name, "there is no such collection".into());
        }),
        Err(error) => report.unreadable("the table of graphs", &error),
    }
    Ok(report)
}

impl Report {
    fn edges(&mut self, collection: &str, graph: String, what: String) {
        self.findings.push(Finding::Edges { collection: collection.into(), graph, what });
    }

    fn unreadable(&mut self, what: &str, error: &Error) {
        self.findings.push(Finding::Unreadable { what: what.into(), error: error.to_string() });
    }

    fn row(&mut self, collection: &str, what: String) {
        self.findings.push(Finding::Row { collection: collection.into(), what });
    }
}

/// Graph features that do not say themselves that they are behind are those of the graph.
fn features(snapshot: &Snapshot, name: &str, record: &Record, report: &mut Report) {
    let Some(features) = &record.features else { return };
    match redknot_index::verify_features(snapshot, &record.index, features) {
        Ok(findings) => report.findings.extend(
            findings.into_iter().map(|finding| Finding::Features { collection: name.into(), finding }),
        ),
        Err(error) => {
            report.unreadable(&format!("the graph features of collection {name:?}"), &error.into());
        }
    }
}

/// Every edge joins nodes in use and is known at both of its ends.
fn graphs(snapshot: &Snapshot, name: &str, record: &Record, report: &mut Report) -> Result<()> {
    let (findings, edges) = graph::verify(snapshot, name, record)?;
    report.edges += edges;
    findings.into_iter().for_each(|(graph, what)| report.edges(name, graph, what));
    Ok(())
}

/// Every node in use has a key that names it, and a payload where payloads are kept; nothing else does.
fn rows(snapshot: &Snapshot, name: &str, record: &Record, report: &mut Report) -> Result<()> {
    let mut in_tree = 0;
    for node in redknot_index::nodes_in_use(snapshot, &record.index)? {
        let key = record.keys.key(snapshot, node, record.key_width)?;
        let number = number_of(key, record);
        match record.keys.node(snapshot, name, key, number)? {
            Some(named) if named == node => {}
            other => report.row(name, format!("node {node} has key {key:02x?}, which names {other:?}")),
        }
        let dense = u64::from(snapshot.array(record.keys.dense)?.rows);
        in_tree += u64::from(number.is_none_or(|number| number >= dense));
    }
    if in_tree != record.keys.in_tree {
        report
            .row(name, format!("{in_tree} keys belong in the tree, the record says {}", record.keys.in_tree));
    }
    let tree = snapshot.open_table(Tree::new(&tree_name(name)))?.len().map_err(Error::redb)?;
    if tree != record.keys.in_tree {
        report.row(name, format!("the tree holds {tree} keys, the record says {}", record.keys.in_tree));
    }
    payloads(snapshot, name, record, report)
}

fn payloads(snapshot: &Snapshot, name: &str, record: &Record, report: &mut Report) -> Result<()> {
    let table = snapshot.open_table(Values::new(&values_name(name)))?;
    let count = table.len().map_err(Error::redb)?;
    let live = u64::from(record.index.live());
    if count != 0 && count != live {
        report.row(name, format!("{live} rows have {count} payloads"));
    }
    for pair in table.iter().map_err(Error::redb)? {
        let (key, _) = pair.map_err(Error::redb)?;
        let key = key.value();
        if record.keys.node(snapshot, name, key, number_of(key, record))?.is_none() {
            report.row(name, answer::stray_payload(key));
        }
    }
    Ok(())
}

/// The number that a key is, from its bytes and the name of its type.
fn number_of(key: &[u8], record: &Record) -> Option<u64> {
    crate::key::number_of(&record.key_type, key)
}
