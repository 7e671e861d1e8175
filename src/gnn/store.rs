//! Models in the file.

use redb::{ReadOnlyTable, ReadableTable, TableDefinition};
use redknot_gnn::layers::{GnnError, Model, ModelDescription, Weights};
use redknot_storage::{Snapshot, WriteTxn};
use xxhash_rust::xxh3::xxh3_64;

use crate::catalog::{check_name, is_missing};
use crate::error::{Error, Result};

/// Models by name: a checksum of 8 bytes, then a safetensors file with the description in its metadata.
const MODELS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.layers");
const CHECKSUM_BYTES: usize = 8;

/// A model of layers as the file describes it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: ModelDescription,
    /// Numbers that were trained.
    pub parameters: usize,
    /// Bytes that it takes in the file.
    pub bytes: u64,
}

impl ModelInfo {
    /// Whether a model can have this name.
    ///
    /// # Errors
    /// [`Error::InvalidName`] where it cannot.
    pub fn check_name(name: &str) -> Result<()> {
        check_name(name)
    }
}

pub(crate) fn read(snapshot: &Snapshot, name: &str) -> Result<Model> {
    let (description, weights) = read_weights(snapshot, name)?;
    Ok(Model::new(&description, &weights)?)
}

/// What a model is, and its weights.
pub(crate) fn read_weights(snapshot: &Snapshot, name: &str) -> Result<(ModelDescription, Weights)> {
    let (description, weights, _) = find(snapshot, name)?;
    Ok((description, weights))
}

/// The models of a committed state, by name.
pub(crate) fn infos(snapshot: &Snapshot) -> Result<Vec<ModelInfo>> {
    let names = names(snapshot)?;
    names.iter().map(|name| info(snapshot, name)).collect()
}

fn info(snapshot: &Snapshot, name: &str) -> Result<ModelInfo> {
    let (description, weights, bytes) = find(snapshot, name)?;
    let parameters = weights.iter().map(|(_, tensor)| tensor.data().len()).sum();
    Ok(ModelInfo { name: name.into(), description, parameters, bytes })
}

/// The table, which a file has from its first model on.
fn open(snapshot: &Snapshot) -> Result<Option<ReadOnlyTable<&'static str, &'static [u8]>>> {
    match snapshot.open_table(MODELS) {
        Ok(table) => Ok(Some(table)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Names of the models of a committed state.
pub(crate) fn names(snapshot: &Snapshot) -> Result<Vec<String>> {
    let Some(table) = open(snapshot)? else { return Ok(Vec::new()) };
    let pairs = table.iter().map_err(Error::redb)?;
    pairs.map(|pair| Ok(pair.map_err(Error::redb)?.0.value().to_owned())).collect()
}

/// Writes a model under a name, in place of the one that has it; `true` if there was one.
pub(crate) fn write(
    txn: &WriteTxn,
    name: &str,
    description: &ModelDescription,
    weights: &Weights,
) -> Result<bool> {
    check_name(name)?;
    let file = weights.to_safetensors(description)?;
    let mut bytes = xxh3_64(&file).to_le_bytes().to_vec();
    bytes.extend_from_slice(&file);
    let mut table = txn.open_table(MODELS)?;
    let before = table.insert(name, bytes.as_slice()).map_err(Error::redb)?;
    Ok(before.is_some())
}

/// Removes a model; `false` where there is none of that name.
pub(crate) fn remove(txn: &WriteTxn, name: &str) -> Result<bool> {
    let mut table = txn.open_table(MODELS)?;
    let before = table.remove(name).map_err(Error::redb)?;
    Ok(before.is_some())
}

fn find(snapshot: &Snapshot, name: &str) -> Result<(ModelDescription, Weights, u64)> {
    let found = match open(snapshot)? {
        Some(table) => table.get(name).map_err(Error::redb)?,
        None => None,
    };
    let Some(found) = found else {
        return Err(Error::UnknownModel { name: name.into(), known: names(snapshot)? });
    };
    let bytes = found.value();
    let damaged = |why: &dyn std::fmt::Display| {
        Error::corrupt(format!("model {name:?} cannot be read ({why}): write it again, or delete it"))
    };
    let checked = bytes.split_first_chunk::<CHECKSUM_BYTES>();
    let checked = checked.filter(|(checksum, file)| u64::from_le_bytes(**checksum) == xxh3_64(file));
    let (_, file) = checked.ok_or_else(|| damaged(&"its checksum differs"))?;
    let (weights, description) = Weights::from_safetensors(file).map_err(|error| damaged(&error))?;
    let description = description.ok_or_else(|| damaged(&"it has no description"))?;
    Ok((description, weights, bytes.len() as u64))
}

/// What is wrong with the models of a file.
pub(crate) fn verify(snapshot: &Snapshot) -> Result<Vec<(String, String)>> {
    let mut findings = Vec::new();
    for name in names(snapshot)? {
        let usable = match read(snapshot, &name) {
            // A build that leaves a type of layers out says nothing of such a model.
            Err(Error::Gnn(GnnError::NotCompiled { .. })) | Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        findings.extend(usable.map(|error| (name, error)));
    }
    Ok(findings)
}
