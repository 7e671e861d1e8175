//! What the file says of one graph (docs/FORMAT.md, "Graphs").

use std::sync::Arc;

use redknot_storage::{ArrayId, ArraySpec, PageSize, WriteTxn};

use super::options::{GraphOptions, GraphOrigin};
use super::row::{ITEM_BYTES, MAX_ROWS_PER_BLOCK};
use crate::catalog::Bytes;
use crate::error::{Error, Result};

const FORMAT: u16 = 1;
/// Rows to a block of a graph whose edges are yet to come: a page of 4 KiB takes about 14 edges a row then.
const ROWS_PER_BLOCK: u32 = 24;

/// One graph of a collection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GraphRecord {
    pub(crate) directed: bool,
    pub(crate) origin: GraphOrigin,
    /// Edges by the node that they lead from; of an undirected graph, by either end.
    pub(crate) out: ArrayId,
    /// Edges by the node that they lead to; `None` for an undirected graph.
    pub(crate) incoming: Option<ArrayId>,
    /// Rows of either array that are too long for a block of many.
    pub(crate) long: ArrayId,
    /// Edges; those of an undirected graph count once.
    pub(crate) edges: u64,
    /// Names of the edge types; type t of an item is `types[t − 1]`, 0 is none.
    pub(crate) types: Vec<Arc<str>>,
}

impl GraphRecord {
    pub(crate) fn create(txn: &mut WriteTxn, options: GraphOptions) -> Result<GraphRecord> {
        Ok(GraphRecord {
            directed: options.directed,
            origin: GraphOrigin::Edges,
            out: create_rows(txn, ROWS_PER_BLOCK)?,
            incoming: match options.directed {
                true => Some(create_rows(txn, ROWS_PER_BLOCK)?),
                false => None,
            },
            long: txn.create_array(ArraySpec::csr(ITEM_BYTES, 1, PageSize::KIB_4)?)?,
            edges: 0,
            types: Vec::new(),
        })
    }

    pub(crate) fn drop_arrays(&self, txn: &mut WriteTxn) -> Result<()> {
        Ok(self.arrays().try_for_each(|array| txn.drop_array(array))?)
    }

    pub(crate) fn arrays(&self) -> impl Iterator<Item = ArrayId> {
        [Some(self.out), self.incoming, Some(self.long)].into_iter().flatten()
    }

    /// The array with the edges that lead to a node.
    pub(crate) fn incoming_or_both(&self) -> ArrayId {
        self.incoming.unwrap_or(self.out)
    }

    /// The name of the type that an item says.
    pub(crate) fn type_name(&self, kind: u32) -> Result<Option<Arc<str>>> {
        if kind == 0 {
            return Ok(None);
        }
        let name = self.types.get(kind as usize - 1);
        name.cloned().map(Some).ok_or_else(|| {
            let known = self.types.len();
            Error::corrupt(format!("an edge has type {kind}, its graph has {known}"))
        })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (origin, number, epsilon, exact) = match self.origin {
            GraphOrigin::Knn { k, exact } => (1, k, 0.0, exact),
            GraphOrigin::Eps { epsilon, max_neighbors, exact } => (2, max_neighbors, epsilon, exact),
            // The links of the index are nobody's record.
            GraphOrigin::Edges | GraphOrigin::Hnsw => (0, 0, 0.0_f32, false),
        };
        let mut out = Vec::with_capacity(50);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[u8::from(self.directed), origin]);
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&epsilon.to_le_bytes());
        out.extend_from_slice(&u32::from(exact).to_le_bytes());
        let incoming = self.incoming.map_or(0, |array| array.0);
        for number in [self.out.0, incoming, self.long.0, self.edges] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&(self.types.len() as u32).to_le_bytes());
        for name in &self.types {
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
        }
        out
    }

    pub(crate) fn from_bytes(collection: &str, name: &str, bytes: &[u8]) -> Result<GraphRecord> {
        parse(bytes).ok_or_else(|| {
            Error::corrupt(format!(
                "the record of graph {name:?} of collection {collection:?} cannot be read"
            ))
        })
    }
}

fn parse(bytes: &[u8]) -> Option<GraphRecord> {
    let mut rest = Bytes(bytes);
    let head = rest.take(4)?;
    if u16::from_le_bytes([head[0], head[1]]) != FORMAT || head[2] > 1 {
        return None;
    }
    let (number, epsilon, exact) = (rest.u32()?, f32::from_bits(rest.u32()?), rest.u32()? != 0);
    let origin = match head[3] {
        0 => GraphOrigin::Edges,
        1 => GraphOrigin::Knn { k: number, exact },
        2 => GraphOrigin::Eps { epsilon, max_neighbors: number, exact },
        _ => return None,
    };
    let directed = head[2] == 1;
    let (out, incoming) = (ArrayId(rest.u64()?), ArrayId(rest.u64()?));
    let (long, edges) = (ArrayId(rest.u64()?), rest.u64()?);
    let count = rest.u32()?;
    let types = (0..count).map(|_| rest.text().map(Arc::from)).collect::<Option<Vec<Arc<str>>>>()?;
    Some(GraphRecord { directed, origin, out, incoming: directed.then_some(incoming), long, edges, types })
}

/// An array of edges by node.
pub(crate) fn create_rows(txn: &mut WriteTxn, rows_per_block: u32) -> Result<ArrayId> {
    let rows_per_block = rows_per_block.clamp(1, MAX_ROWS_PER_BLOCK);
    Ok(txn.create_array(ArraySpec::csr(ITEM_BYTES, rows_per_block, PageSize::KIB_4)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_damage_is_refused() {
        let record = GraphRecord {
            directed: true,
            origin: GraphOrigin::Eps { epsilon: 0.25, max_neighbors: 7, exact: true },
            out: ArrayId(5),
            incoming: Some(ArrayId(6)),
            long: ArrayId(7),
            edges: 1 << 40,
            types: vec!["cites".into(), "é".into()],
        };
        let bytes = record.to_bytes();
        assert_eq!(GraphRecord::from_bytes("docs", "g", &bytes).unwrap(), record);
        for len in 0..bytes.len() {
            assert!(GraphRecord::from_bytes("docs", "g", &bytes[..len]).is_err(), "{len} bytes");
        }
        for at in [0, 2, 3] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            assert!(GraphRecord::from_bytes("docs", "g", &damaged).is_err(), "byte {at}");
        }
        let undirected = GraphRecord { directed: false, incoming: None, ..record };
        assert_eq!(GraphRecord::from_bytes("docs", "g", &undirected.to_bytes()).unwrap(), undirected);
    }
}
