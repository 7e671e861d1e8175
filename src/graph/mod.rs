//! Users' graphs over a collection: the nodes are its rows, the edges have a weight and, if wanted, a type.
//!
//! A graph is kept by node number, beside vectors, links and keys: whatever moves, renumbers or removes a row does so in
//! the graphs of its collection, in the same transaction.

mod build;
mod bulk;
mod edges;
mod edit;
mod graph_mut;
mod info;
mod neighborhoods;
mod open;
mod options;
mod read;
mod record;
mod row;
mod sample;
mod subgraph;
mod table;
mod verify;
mod walk;

pub use build::{GraphBuild, GraphBuildReport, GraphPhase, GraphProgress};
pub use edges::Edges;
pub use graph_mut::GraphMut;
pub use info::GraphInfo;
pub(crate) use info::infos;
pub(crate) use neighborhoods::Source;
#[cfg(feature = "gnn")]
pub(crate) use neighborhoods::{Direction, Neighborhoods};
pub(crate) use open::OpenGraphs;
pub use options::{GraphOptions, GraphOrigin};
pub use read::{Adjacent, Edge, Graph, Reached};
#[cfg(feature = "gnn")]
pub(crate) use row::Link;
pub use subgraph::{Subgraph, SubgraphEdge};
pub(crate) use table::existing;
pub(crate) use table::{drop_all, renumber_all};
pub(crate) use verify::{strays, verify};
