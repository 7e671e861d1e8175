//! The catalogue: which collections a file has.

use redb::{ReadableTable, TableDefinition};
use redknot_index::{FeatureRecord, IndexRecord};
use redknot_storage::{ArrayId, RESERVED_PREFIX, Snapshot, WriteTxn};

use crate::definition::CollectionDefinition;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::keys::KeyMaps;

const COLLECTIONS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.collections");
/// Without a router.
const RECORD_FORMAT: u32 = 1;
/// With one, whose array of keys, epoch and serial number follow.
const RECORD_FORMAT_ROUTED: u32 = 2;
/// With graph features, and perhaps with a router.
const RECORD_FORMAT_FEATURES: u32 = 3;
/// Routers but for their models and keys, as JSON, by collection.
pub(crate) const ROUTERS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.routers");
/// Key models, by collection.
pub(crate) const MODELS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.models");
/// Arrays of keys of routers that are being judged: collection and array.
const CANDIDATES: TableDefinition<'static, (&str, u64), ()> = TableDefinition::new("redknot.judged");
/// Trainings of routers that were interrupted, by collection.
pub(crate) const TRAININGS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.trainings");
const MAX_NAME_BYTES: usize = 255;

/// What the file says of one collection.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Bytes of every key, `None` where they differ.
    pub(crate) key_width: Option<usize>,
    pub(crate) keys: KeyMaps,
    pub(crate) key_type: String,
    pub(crate) value_type: String,
    pub(crate) index: IndexRecord,
    pub(crate) router: Option<RouterKeys>,
    pub(crate) features: Option<FeatureRecord>,
}

/// What the record of a collection says of its learned router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouterKeys {
    /// Keys by node; free and unlinked nodes have zeros, or none at the end.
    pub(crate) keys: ArrayId,
    /// Epoch of the index that the keys agree with.
    pub(crate) epoch: u64,
    /// Changes whenever the model, the landmarks or the calibration do.
    pub(crate) serial: u64,
}

/// A table of payloads: key bytes → value bytes.
pub(crate) type Values<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// Name of the table of payloads of collection `name`.
pub(crate) fn values_name(name: &str) -> String {
    format!("{RESERVED_PREFIX}values.{name}")
}

impl Record {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let format = match (&self.features, self.router) {
            (Some(_), _) => RECORD_FORMAT_FEATURES,
            (None, Some(_)) => RECORD_FORMAT_ROUTED,
            (None, None) => RECORD_FORMAT,
        };
        out.extend_from_slice(&format.to_le_bytes());
        out.extend_from_slice(&(self.key_width.unwrap_or(0) as u32).to_le_bytes());
        for number in [self.keys.of_nodes.0, self.keys.dense.0, self.keys.in_tree] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for name in [&self.key_type, &self.value_type] {
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
        }
        let index = self.index.to_bytes();
        out.extend_from_slice(&(index.len() as u32).to_le_bytes());
        out.extend_from_slice(&index);
        if self.features.is_some() {
            out.extend_from_slice(&u32::from(self.router.is_some()).to_le_bytes());
        }
        if let Some(router) = self.router {
            for number in [router.keys.0, router.epoch, router.serial] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        if let Some(features) = &self.features {
            let features = features.to_bytes();
            out.extend_from_slice(&(features.len() as u32).to_le_bytes());
            out.extend_from_slice(&features);
        }
        out
    }

    fn from_bytes(name: &str, bytes: &[u8]) -> Result<Record> {
        let damaged = || Error::corrupt(format!("the record of collection {name:?} cannot be read"));
        let mut rest = Bytes(bytes);
        let format = rest.u32().ok_or_else(damaged)?;
        if !(RECORD_FORMAT..=RECORD_FORMAT_FEATURES).contains(&format) {
            return Err(damaged());
        }
        let width = rest.u32().ok_or_else(damaged)? as usize;
        let of_nodes = ArrayId(rest.u64().ok_or_else(damaged)?);
        let dense = ArrayId(rest.u64().ok_or_else(damaged)?);
        let in_tree = rest.u64().ok_or_else(damaged)?;
        let key_type = rest.text().ok_or_else(damaged)?;
        let value_type = rest.text().ok_or_else(damaged)?;
        let len = rest.u32().ok_or_else(damaged)? as usize;
        let index = IndexRecord::from_bytes(rest.take(len).ok_or_else(damaged)?)?;
        let is_routed = match format {
            RECORD_FORMAT => false,
            RECORD_FORMAT_ROUTED => true,
            _ => rest.u32().ok_or_else(damaged)? != 0,
        };
        let mut number = || rest.u64().ok_or_else(damaged);
        let router = match is_routed {
            false => None,
            true => Some(RouterKeys { keys: ArrayId(number()?), epoch: number()?, serial: number()? }),
        };
        let features = match format {
            RECORD_FORMAT_FEATURES => {
                let len = rest.u32().ok_or_else(damaged)? as usize;
                Some(FeatureRecord::from_bytes(rest.take(len).ok_or_else(damaged)?)?)
            }
            _ => None,
        };
        Ok(Record {
            key_width: (width > 0).then_some(width),
            keys: KeyMaps { of_nodes, dense, in_tree },
            key_type,
            value_type,
            index,
            router,
            features,
        })
    }

    /// The router, where its keys agree with the index.
    pub(crate) fn fresh_router(&self) -> Option<RouterKeys> {
        self.router.filter(|router| router.epoch == self.index.epoch())
    }

    /// Fails where `definition` says something else than the file.
    pub(crate) fn check<K: Key, V: redb::Value>(
        &self,
        definition: &CollectionDefinition<'_, K, V>,
    ) -> Result<()> {
        self.check_types::<K, V>(definition.name)?;
        let config = self.index.config();
        let compared = [
            ("dimension", definition.dim.to_string(), config.dim.to_string()),
            ("metric", definition.metric.to_string(), config.metric.to_string()),
            ("element type", definition.element.to_string(), config.element.to_string()),
            ("m", definition.m.to_string(), config.m.to_string()),
            ("ef_construction", definition.ef_construction.to_string(), config.ef_construction.to_string()),
            ("seed", definition.seed.to_string(), config.seed.to_string()),
        ];
        compare(definition.name, compared)
    }

    /// Fails where the file has other types of keys and values.
    pub(crate) fn check_types<K: Key, V: redb::Value>(&self, name: &str) -> Result<()> {
        self.check_key_type::<K>(name)?;
        compare(name, [("value type", V::type_name().name().to_string(), self.value_type.clone())])
    }

    /// Fails where the file has another type of keys.
    pub(crate) fn check_key_type<K: Key>(&self, name: &str) -> Result<()> {
        compare(name, [("key type", K::type_name(), self.key_type.clone())])
    }
}

fn compare(name: &str, compared: impl IntoIterator<Item = (&'static str, String, String)>) -> Result<()> {
    for (what, expected, found) in compared {
        if expected != found {
            return Err(Error::DefinitionMismatch { name: name.into(), what, expected, found });
        }
    }
    Ok(())
}

/// What is left to read of a record.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let len = u16::from_le_bytes(self.take(2)?.try_into().ok()?);
        String::from_utf8(self.take(len.into())?.to_vec()).ok()
    }
}

/// Refuses a name that no collection or table can have.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let refuse = |why: String| Err(Error::InvalidName { name: name.into(), why });
    if name.is_empty() {
        return refuse("it is empty".into());
    }
    if name.len() > MAX_NAME_BYTES {
        return refuse(format!("it has {} bytes, at most {MAX_NAME_BYTES} are allowed", name.len()));
    }
    if name.starts_with(RESERVED_PREFIX) {
        return refuse(format!("names that begin with {RESERVED_PREFIX:?} belong to redknot"));
    }
    Ok(())
}

/// Whether it says that a table has not been made yet.
pub(crate) fn is_missing(error: &redknot_storage::Error) -> bool {
    matches!(error, redknot_storage::Error::Table(redb::TableError::TableDoesNotExist(_)))
}

/// The record of collection `name` in a committed state.
pub(crate) fn read(snapshot: &Snapshot, name: &str) -> Result<Option<Record>> {
    let table = match snapshot.open_table(COLLECTIONS) {
        Ok(table) => table,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let record = table.get(name).map_err(Error::redb)?;
    record.map(|bytes| Record::from_bytes(name, bytes.value())).transpose()
}

/// As [`read`], for a collection that has to be there.
pub(crate) fn existing(snapshot: &Snapshot, name: &str) -> Result<Record> {
    read(snapshot, name)?.ok_or_else(|| {
        let known = all(snapshot).map(|all| all.into_iter().map(|(name, _)| name).collect());
        Error::UnknownCollection { name: name.into(), known: known.unwrap_or_default() }
    })
}

/// All collections of a committed state, by name.
pub(crate) fn all(snapshot: &Snapshot) -> Result<Vec<(String, Record)>> {
    let table = match snapshot.open_table(COLLECTIONS) {
        Ok(table) => table,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut records = Vec::new();
    for pair in table.iter().map_err(Error::redb)? {
        let (name, bytes) = pair.map_err(Error::redb)?;
        records.push((name.value().to_string(), Record::from_bytes(name.value(), bytes.value())?));
    }
    Ok(records)
}

/// The record of collection `name` in an open transaction.
pub(crate) fn read_in(txn: &WriteTxn, name: &str) -> Result<Option<Record>> {
    let table = txn.open_table(COLLECTIONS)?;
    let record = table.get(name).map_err(Error::redb)?;
    record.map(|bytes| Record::from_bytes(name, bytes.value())).transpose()
}

/// As [`read_in`], for a collection that has to be there.
pub(crate) fn existing_in(txn: &WriteTxn, name: &str) -> Result<Record> {
    read_in(txn, name)?.ok_or_else(|| Error::UnknownCollection {
        name: name.into(),
        known: names_in(txn).unwrap_or_default(),
    })
}

pub(crate) fn write_bytes(txn: &WriteTxn, name: &str, record: &[u8]) -> Result<()> {
    txn.open_table(COLLECTIONS)?.insert(name, record).map_err(Error::redb)?;
    Ok(())
}

pub(crate) fn remove(txn: &WriteTxn, name: &str) -> Result<()> {
    txn.open_table(COLLECTIONS)?.remove(name).map_err(Error::redb)?;
    Ok(())
}

/// Names of all collections of an open transaction.
pub(crate) fn names_in(txn: &WriteTxn) -> Result<Vec<String>> {
    let table = txn.open_table(COLLECTIONS)?;
    let mut names = Vec::new();
    for pair in table.iter().map_err(Error::redb)? {
        names.push(pair.map_err(Error::redb)?.0.value().to_string());
    }
    Ok(names)
}

/// Removes the router of a collection, whose record the caller writes; `false` where it has none.
pub(crate) fn drop_router(txn: &mut WriteTxn, name: &str, record: &mut Record) -> Result<bool> {
    let Some(router) = record.router.take() else { return Ok(false) };
    txn.drop_array(router.keys)?;
    txn.open_table(ROUTERS)?.remove(name).map_err(Error::redb)?;
    txn.open_table(MODELS)?.remove(name).map_err(Error::redb)?;
    Ok(true)
}

/// Removes the graph features of a collection, whose record the caller writes; `false` where it has none.
pub(crate) fn drop_features(txn: &mut WriteTxn, record: &mut Record) -> Result<bool> {
    match record.features.take() {
        Some(features) => {
            features.drop_arrays(txn)?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Forgets an interrupted training, if there is one.
pub(crate) fn drop_training(txn: &WriteTxn, name: &str) -> Result<()> {
    txn.open_table(TRAININGS)?.remove(name).map_err(Error::redb)?;
    Ok(())
}

/// Notes an array of keys that no router uses yet, so that it can be dropped if none ever does.
#[cfg(any(feature = "train", feature = "onnx"))]
pub(crate) fn set_candidate(txn: &WriteTxn, name: &str, keys: ArrayId) -> Result<()> {
    txn.open_table(CANDIDATES)?.insert((name, keys.0), ()).map_err(Error::redb)?;
    Ok(())
}

/// Forgets an array that [`set_candidate`] noted, which is in use now, and drops the others.
#[cfg(any(feature = "train", feature = "onnx"))]
pub(crate) fn keep_candidate(txn: &mut WriteTxn, name: &str, keys: ArrayId) -> Result<()> {
    txn.open_table(CANDIDATES)?.remove((name, keys.0)).map_err(Error::redb)?;
    drop_candidates(txn, name)
}

/// Drops the arrays that [`set_candidate`] noted.
pub(crate) fn drop_candidates(txn: &mut WriteTxn, name: &str) -> Result<()> {
    let mut dropped = Vec::new();
    let mut table = txn.open_table(CANDIDATES)?;
    let noted = (name, 0)..=(name, u64::MAX);
    for pair in table.extract_from_if(noted, |_, ()| true).map_err(Error::redb)? {
        dropped.push(ArrayId(pair.map_err(Error::redb)?.0.value().1));
    }
    drop(table);
    Ok(dropped.into_iter().try_for_each(|keys| txn.drop_array(keys))?)
}
