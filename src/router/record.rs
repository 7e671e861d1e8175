//! What the file keeps of a router.

use redb::TableDefinition;
use redknot_gnn::routing::{Calibration, KeyModel, Level};
use redknot_storage::{Snapshot, WriteTxn};
use serde::{Deserialize, Serialize};

use crate::catalog::{MODELS, ROUTERS};
use crate::error::{Error, Result};

const RECORD_FORMAT: u32 = 1;

/// Recall levels at which the gate compares both ways of searching.
pub(super) const LEVELS: [f64; 8] = [0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995];

/// What the file says of a router beside its model and keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RouterRecord {
    format: u32,
    /// Whether searches may follow it: the user's switch.
    pub(crate) enabled: bool,
    /// Nodes where searches enter the graph.
    pub(crate) landmarks: Vec<u32>,
    /// What each effort gave and cost.
    pub(crate) calibration: Calibration,
    /// How the model came about.
    pub(crate) training: Training,
}

/// How a model came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Training {
    /// Queries that the model learned from.
    pub queries: usize,
    /// Whether these were made up from the data.
    pub synthesised: bool,
    /// Whether these were logged ones.
    #[serde(default)]
    pub logged: bool,
    /// Queries that the router was calibrated with; the model did not learn from them.
    pub held_out: usize,
    /// Share of the pairs of near nodes that estimates put in the right order, on held-out queries, for the untrained
    /// model.
    pub order_before: f64,
    /// The same for the trained model.
    pub order_after: f64,
    /// Seconds that training took, calibration included.
    pub seconds: f64,
    /// Rows of the collection at that time.
    pub rows: u64,
}

impl RouterRecord {
    #[cfg(any(feature = "train", feature = "onnx"))]
    pub(crate) fn new(landmarks: Vec<u32>, calibration: Calibration, training: Training) -> RouterRecord {
        RouterRecord { format: RECORD_FORMAT, enabled: true, landmarks, calibration, training }
    }

    /// Both ways of searching at the levels of the gate.
    pub(crate) fn levels(&self) -> Vec<Level> {
        levels(&self.calibration)
    }

    /// The gate: whether routing takes less time and fewer distances at one level at least.
    pub(crate) fn gains(&self) -> bool {
        self.levels().iter().any(Level::gains)
    }
}

/// Both ways of searching at the levels of the gate.
pub(crate) fn levels(calibration: &Calibration) -> Vec<Level> {
    LEVELS.iter().map(|recall| calibration.level(*recall)).collect()
}

fn damaged(name: &str, why: impl std::fmt::Display) -> Error {
    Error::corrupt(format!(
        "the router of collection {name:?} cannot be read ({why}): train it again; until then searches are greedy"
    ))
}

/// The bytes of the record and of the model of a router.
pub(crate) fn stored(snapshot: &Snapshot, name: &str) -> Result<[Vec<u8>; 2]> {
    let of = |table: TableDefinition<'static, &str, &[u8]>| -> Result<Vec<u8>> {
        let value = snapshot.open_table(table)?.get(name).map_err(Error::redb)?;
        Ok(value.ok_or_else(|| damaged(name, "it is missing"))?.value().to_vec())
    };
    Ok([of(ROUTERS)?, of(MODELS)?])
}

/// The router of collection `name` in a committed state.
pub(crate) fn read(snapshot: &Snapshot, name: &str) -> Result<(RouterRecord, KeyModel)> {
    let [record, model] = stored(snapshot, name)?;
    let record: RouterRecord = serde_json::from_slice(&record).map_err(|error| damaged(name, error))?;
    if record.format != RECORD_FORMAT {
        return Err(damaged(
            name,
            format_args!("format {}, this program reads {RECORD_FORMAT}", record.format),
        ));
    }
    let model = KeyModel::from_bytes(&model).map_err(|error| damaged(name, error))?;
    Ok((record, model))
}

/// Writes a router, or what changed of it.
pub(crate) fn write(
    txn: &WriteTxn,
    name: &str,
    record: &RouterRecord,
    model: Option<&KeyModel>,
) -> Result<()> {
    let bytes = serde_json::to_vec(record).map_err(|error| damaged(name, error))?;
    txn.open_table(ROUTERS)?.insert(name, bytes.as_slice()).map_err(Error::redb)?;
    if let Some(model) = model {
        let bytes = model.to_bytes().map_err(|error| damaged(name, error))?;
        txn.open_table(MODELS)?.insert(name, bytes.as_slice()).map_err(Error::redb)?;
    }
    Ok(())
}
