//! What a database should hold, in plain collections, and random edits that are made to both.
#![allow(dead_code, reason = "each suite uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use redb::{ReadableTable, TableDefinition};
use redknot_storage::{ArrayId, ArraySpec, Error, Kind, PageSize, Result, Snapshot, View, WriteTxn};

/// An ordinary table beside the arrays.
pub(crate) const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
/// What the suite counts in the same transaction: number of the commit.
pub(crate) const COMMITS: TableDefinition<(), u64> = TableDefinition::new("commits");

type Bytes = Arc<[u8]>;

/// Content of the arrays and the ordinary table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) arrays: BTreeMap<u64, Array>,
    pub(crate) table: BTreeMap<u64, Bytes>,
    /// Number of the commit that left this content.
    pub(crate) commit: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) spec: ArraySpec,
    pub(crate) rows: Vec<Bytes>,
}

/// How much a workload writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) arrays: usize,
    /// Bytes of content at most, for each array.
    pub(crate) array_bytes: usize,
    pub(crate) table_keys: u64,
}

impl Scale {
    /// Files of about 1.3 MiB, little more than redb's smallest.
    pub(crate) const SMALL: Scale = Scale { arrays: 4, array_bytes: 40_000, table_keys: 60 };
    /// Files of several MiB, which grow and shrink.
    pub(crate) const LARGE: Scale = Scale { arrays: 6, array_bytes: 900_000, table_keys: 300 };
}

fn specs() -> [ArraySpec; 6] {
    [
        ArraySpec::rows(8, PageSize::KIB_4),
        ArraySpec::rows(500, PageSize::KIB_4),
        ArraySpec::rows(128, PageSize::from_order(1).unwrap()),
        ArraySpec::csr(4, 3, PageSize::KIB_4),
        ArraySpec::csr(4, 32, PageSize::KIB_4),
        ArraySpec::csr(1, 1, PageSize::KIB_4),
    ]
    .map(|spec| spec.unwrap())
}

/// Makes one random change to the transaction and to `model`. Bad input is among the changes: it must be refused.
pub(crate) fn edit(rng: &mut Rng, scale: Scale, txn: &mut WriteTxn, model: &mut Model) -> Result<()> {
    if rng.u8(..4) == 0 {
        return edit_table(rng, scale, txn, model);
    }
    if model.arrays.is_empty() || (model.arrays.len() < scale.arrays && rng.u8(..8) == 0) {
        let spec = specs()[rng.usize(..6)];
        let id = txn.create_array(spec)?;
        let added = model.arrays.insert(id.0, Array { spec, rows: Vec::new() });
        assert!(added.is_none(), "array id {id} was given out twice");
        return Ok(());
    }
    let at = rng.usize(..model.arrays.len());
    let (id, array) = model.arrays.iter_mut().nth(at).expect("the index is below the length");
    let id = ArrayId(*id);
    if rng.u8(..24) == 0 {
        txn.drop_array(id)?;
        model.arrays.remove(&id.0);
        assert!(matches!(txn.array(id), Err(Error::UnknownArray(_))));
        return Ok(());
    }
    if rng.u8(..5) == 0 {
        return change_length(rng, scale, txn, id, array);
    }
    match array.spec.kind() {
        Kind::Rows => edit_rows(rng, scale, txn, id, array),
        Kind::Csr => edit_csr(rng, scale, txn, id, array),
    }
}

fn edit_table(rng: &mut Rng, scale: Scale, txn: &mut WriteTxn, model: &mut Model) -> Result<()> {
    let mut table = txn.open_table(TABLE)?;
    for _ in 0..rng.usize(1..6) {
        let key = rng.u64(..scale.table_keys);
        if rng.u8(..3) == 0 {
            table.remove(key)?;
            model.table.remove(&key);
        } else {
            let bytes = rng.usize(..400);
            let value = noise(rng, bytes);
            table.insert(key, &*value)?;
            model.table.insert(key, value);
        }
    }
    Ok(())
}

/// Rows that an array may have at this scale.
fn most_rows(scale: Scale, spec: &ArraySpec) -> u32 {
    let bytes = match spec.kind() {
        Kind::Rows => spec.unit_bytes(),
        Kind::Csr => 4096 / spec.rows_per_block() as usize,
    };
    (scale.array_bytes / bytes).max(4) as u32
}

fn change_length(
    rng: &mut Rng,
    scale: Scale,
    txn: &mut WriteTxn,
    id: ArrayId,
    array: &mut Array,
) -> Result<()> {
    let empty: Bytes = match array.spec.kind() {
        Kind::Rows => vec![0; array.spec.unit_bytes()].into(),
        Kind::Csr => Vec::new().into(),
    };
    let most = most_rows(scale, &array.spec);
    // Often a cut and then growth in the same transaction, where old content must not come back.
    for _ in 0..rng.usize(1..4) {
        let rows = match rng.u8(..4) {
            0 => 0,
            1 => rng.u32(..most) / array.spec.rows_per_block() * array.spec.rows_per_block(),
            _ => rng.u32(..=most),
        };
        txn.set_len(id, rows)?;
        array.rows.resize(rows as usize, empty.clone());
    }
    Ok(())
}

fn edit_rows(rng: &mut Rng, scale: Scale, txn: &mut WriteTxn, id: ArrayId, array: &mut Array) -> Result<()> {
    let width = array.spec.unit_bytes();
    let len = array.rows.len() as u32;
    let room = most_rows(scale, &array.spec).saturating_sub(len);
    if len == 0 || (room > 0 && rng.bool()) {
        let count = if rng.u8(..4) == 0 { rng.u32(..=room) } else { rng.u32(..=room.min(9)) } as usize;
        let rows = noise(rng, count * width);
        assert_eq!(txn.push_rows(id, &rows)?, len..len + count as u32);
        array.rows.extend(rows.chunks(width).map(Bytes::from));
        assert!(matches!(txn.push_rows(id, &[0; 3]), Err(Error::WrongRowBytes { .. })));
        return Ok(());
    }
    let row = rng.u32(..len);
    let bytes = noise(rng, width);
    txn.set_row(id, row, &bytes)?;
    array.rows[row as usize] = bytes;
    assert!(matches!(txn.set_row(id, len, &[]), Err(Error::RowOutOfRange { .. })));
    Ok(())
}

fn edit_csr(rng: &mut Rng, scale: Scale, txn: &mut WriteTxn, id: ArrayId, array: &mut Array) -> Result<()> {
    let unit = array.spec.unit_bytes();
    let len = array.rows.len() as u32;
    let most = 3000 / (unit * array.spec.rows_per_block() as usize).min(3000);
    let items = if rng.u8(..12) == 0 { rng.usize(..5000 / unit) } else { rng.usize(..=most) };
    let row = noise(rng, items * unit);
    let refused = if unit > 1 { txn.push_csr_row(id, &[1]) } else { txn.push_csr_row(id, &vec![1; 70_000]) };
    match refused {
        Err(Error::WrongRowBytes { .. } | Error::RowTooLong { .. }) => {}
        Err(other) => return Err(other),
        Ok(row) => panic!("row {row} should have been refused"),
    }
    if len == 0 || (len < most_rows(scale, &array.spec) && rng.bool()) {
        assert_eq!(txn.push_csr_row(id, &row)?, len);
        array.rows.push(row);
    } else {
        let at = rng.u32(..len);
        txn.set_csr_row(id, at, &row)?;
        array.rows[at as usize] = row;
    }
    Ok(())
}

/// Records the number of the commit, in the transaction and in `model`.
pub(crate) fn number(txn: &WriteTxn, model: &mut Model) -> Result<()> {
    model.commit += 1;
    txn.open_table(COMMITS)?.insert((), model.commit)?;
    Ok(())
}

/// What differs between a view's arrays and the model's; `Ok(None)` for nothing.
pub(crate) fn compare_arrays(view: &impl View, model: &Model) -> Result<Option<String>> {
    for (id, array) in &model.arrays {
        let id = ArrayId(*id);
        let info = view.array(id)?;
        if info.spec != array.spec || info.rows as usize != array.rows.len() {
            return Ok(Some(format!("{info:?} should have {} rows, {:?}", array.rows.len(), array.spec)));
        }
        for (row, expected) in array.rows.iter().enumerate() {
            let found = match array.spec.kind() {
                Kind::Rows => {
                    let rows = view.rows(id)?;
                    // Asking for a row, or for one that the array does not have, changes nothing.
                    rows.request(row as u32 + 1);
                    let bytes = rows.get(row as u32)?;
                    let in_order = rows.in_order().get(row as u32)?;
                    if in_order != bytes {
                        return Ok(Some(format!("row {row} of array {id}, read in order")));
                    }
                    bytes
                }
                Kind::Csr => view.csr(id)?.get(row as u32)?,
            };
            if found != &**expected {
                return Ok(Some(format!("row {row} of array {id}")));
            }
        }
    }
    Ok(None)
}

/// As [`compare_arrays`], with the ordinary tables and the list of arrays.
pub(crate) fn compare(snapshot: &Snapshot, model: &Model) -> Result<Option<String>> {
    if !snapshot.arrays().map(|info| info.id.0).eq(model.arrays.keys().copied()) {
        return Ok(Some("other arrays".into()));
    }
    let mut table = BTreeMap::new();
    match snapshot.open_table(TABLE) {
        Ok(rows) => {
            for pair in rows.iter()? {
                let (key, value) = pair?;
                table.insert(key.value(), Bytes::from(value.value()));
            }
        }
        Err(Error::Table(redb::TableError::TableDoesNotExist(_))) => {}
        Err(error) => return Err(error),
    }
    if table != model.table {
        return Ok(Some("the ordinary table".into()));
    }
    compare_arrays(snapshot, model)
}

/// Number of the commit that a snapshot shows.
pub(crate) fn commit_of(snapshot: &Snapshot) -> Result<u64> {
    match snapshot.open_table(COMMITS) {
        Ok(table) => Ok(table.get(())?.map_or(0, |number| number.value())),
        Err(Error::Table(redb::TableError::TableDoesNotExist(_))) => Ok(0),
        Err(error) => Err(error),
    }
}

fn noise(rng: &mut Rng, bytes: usize) -> Bytes {
    let mut value = vec![0; bytes];
    rng.fill(&mut value);
    value.into()
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{name} should be a number, got {value:?}"))
    })
}
