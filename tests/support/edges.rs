//! Edges between the rows of a collection, changed with them.

use std::collections::BTreeMap;

use redknot::{Error, GraphOptions, Key, ReadTransaction, Result, WriteTransaction};

use super::edit::Choices;
use super::slot::{Shape, Slot};
use super::world::Rows;

/// The graph of each collection that has one.
const NAME: &str = "edges";

/// Weights by the numbers of the ends; directed.
pub(crate) type Edges = BTreeMap<(u64, u64), f32>;

/// Creates the graph, or inserts or removes edges between rows that there are.
pub(crate) fn edit_edges<S: Shape>(
    choices: &mut dyn Choices,
    slot: &Slot,
    txn: &mut WriteTransaction,
    rows: &Rows,
    edges: &mut Option<Edges>,
) -> Result<()> {
    let Some(edges) = edges else {
        txn.create_graph(slot.definition::<S>(), NAME, GraphOptions::default())?;
        *edges = Some(Edges::new());
        return Ok(());
    };
    let numbers: Vec<u64> = rows.keys().copied().collect();
    if numbers.is_empty() {
        return Ok(());
    }
    let mut graph = txn.open_graph(slot.definition::<S>(), NAME)?;
    for _ in 0..choices.below(12) {
        let mut some = || numbers[choices.below(numbers.len() as u64) as usize];
        let (source, target) = (some(), some());
        let keys = (S::key(source), S::key(target));
        let (from, to) = (S::K::borrow(&keys.0), S::K::borrow(&keys.1));
        if choices.one_in(4) {
            assert_eq!(graph.remove_edge(from, to)?, edges.remove(&(source, target)).is_some());
        } else {
            let weight = choices.below(1000) as f32 / 8.0;
            let replaced = graph.insert_edge(from, to, weight, None)?;
            assert_eq!(replaced, edges.insert((source, target), weight).is_some());
        }
    }
    Ok(())
}

/// What differs between the graph of a state and the model.
pub(crate) fn compare_edges<S: Shape>(
    slot: &Slot,
    read: &ReadTransaction,
    edges: Option<&Edges>,
) -> Result<Option<String>> {
    let graph = match (read.open_graph(slot.definition::<S>(), NAME), edges) {
        (Ok(graph), Some(_)) => graph,
        (Err(Error::UnknownGraph { .. } | Error::UnknownCollection { .. }), None) => return Ok(None),
        (Ok(_), None) => return Ok(Some("a graph that should not exist".into())),
        (Err(Error::UnknownGraph { .. }), Some(_)) => return Ok(Some("its graph does not exist".into())),
        (Err(error), _) => return Err(error),
    };
    let mut found = Edges::new();
    for edge in graph.edges()? {
        let edge = edge?;
        found.insert((S::number(&edge.source), S::number(&edge.target)), edge.weight);
    }
    Ok((Some(&found) != edges).then(|| format!("edges {found:?}, not {edges:?}")))
}
