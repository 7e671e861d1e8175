//! What the file keeps of a router.

use redb::TableDefinition;
use redknot_gnn::routing::{Calibration, KeyModel, Level};
use redknot_storage::{Snapshot, WriteTxn};
use serde::{Deserialize, Serialize};

use crate::catalog::{MODELS, ROUTERS};
use crate::error::{Error, Result};

const RECORD_FORMAT: u32 = 1;

/// Recall levels of an ablation.
#[cfg(feature = "train")]
const ABLATION_LEVELS: [f64; 3] = [0.9, 0.95, 0.99];
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
    /// What else was measured beside it.
    #[serde(default)]
    pub(crate) ablation: Vec<Ablated>,
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

/// One of several ways of making keys that were measured together, on queries that no model learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ablated {
    /// What makes the keys.
    pub encoder: String,
    /// Share of the pairs of near nodes that estimates put in the right order.
    pub order: f64,
    /// Seconds that fitting took; all learn from the same trajectories, which took their time before.
    pub seconds: f64,
    /// Whether searches follow these keys, wherever that gains.
    pub kept: bool,
    /// Greedy search, which all have in common, and search by these keys at recalls of .9, .95 and .99.
    pub levels: Vec<Level>,
}

impl RouterRecord {
    #[cfg(any(feature = "train", feature = "onnx"))]
    pub(crate) fn new(landmarks: Vec<u32>, calibration: Calibration, training: Training) -> RouterRecord {
        let ablation = Vec::new();
        RouterRecord { format: RECORD_FORMAT, enabled: true, landmarks, calibration, training, ablation }
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

/// Both ways of searching at the levels of an ablation.
#[cfg(feature = "train")]
pub(super) fn ablation_levels(calibration: &Calibration) -> Vec<Level> {
    ABLATION_LEVELS.iter().map(|recall| calibration.level(*recall)).collect()
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

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;

    #[test]
    fn records_of_before_there_were_ablations_open() {
        let mut record = RouterRecord::new(vec![3, 1], Calibration::default(), Training::default());
        let mut old = serde_json::to_value(&record).unwrap();
        assert!(old.as_object_mut().unwrap().remove("ablation").is_some());
        assert_eq!(serde_json::from_value::<RouterRecord>(old).unwrap(), record);
        record.ablation.push(Ablated {
            encoder: "linear".into(),
            order: 0.75,
            seconds: 1.5,
            kept: true,
            levels: ablation_levels(&record.calibration),
        });
        let bytes = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<RouterRecord>(&bytes).unwrap(), record);
    }
}
