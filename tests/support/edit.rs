//! Random changes, made to a transaction and to the model of what it should then hold.

use std::sync::Arc;

use redknot::{Key, Result, WriteTransaction};

use super::compare::search_in;
use super::edges::edit_edges;
use super::oracle::{Asked, check};
use super::slot::{Shape, Slot, with_shape};
use super::world::{COMMITS, Row, Rows, TABLE, World};

/// Where decisions come from: a seeded generator, or the bytes of a fuzzer.
pub(crate) trait Choices {
    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64;

    /// True once in `n` times.
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

impl Choices for fastrand::Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.u64(..n)
    }
}

/// How much a workload writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Different keys of a collection.
    pub(crate) keys: u64,
    /// Rows of an import at most.
    pub(crate) import: u64,
    /// Bytes of a payload at most.
    pub(crate) payload: u64,
    /// A collection is deleted once in this many edits.
    pub(crate) delete_one_in: u64,
}

/// Makes one change. What it says of the content (what was there, what a search sees) must be right.
pub(crate) fn edit(
    choices: &mut dyn Choices,
    scale: Scale,
    txn: &mut WriteTransaction,
    world: &mut World,
) -> Result<()> {
    if choices.one_in(6) {
        return edit_table(choices, txn, world);
    }
    let at = choices.below(world.slots.len() as u64) as usize;
    let slot = world.slots[at];
    if choices.one_in(scale.delete_one_in) {
        assert_eq!(txn.delete_collection(slot.name)?, world.collections.remove(&at).is_some());
        world.graphs.remove(&at);
        return Ok(());
    }
    if let Some(rows) = world.collections.get(&at)
        && choices.one_in(6)
    {
        let mut edges = world.graphs.remove(&at);
        with_shape!(slot, edit_edges(choices, &slot, txn, rows, &mut edges))?;
        world.graphs.extend(edges.map(|edges| (at, edges)));
        return Ok(());
    }
    let rows = world.collections.entry(at).or_default();
    with_shape!(slot, edit_rows(choices, scale, &slot, txn, rows))?;
    if let Some(edges) = world.graphs.get_mut(&at) {
        // Edges go with either of their rows.
        edges.retain(|(source, target), _| rows.contains_key(source) && rows.contains_key(target));
    }
    Ok(())
}

fn edit_table(choices: &mut dyn Choices, txn: &WriteTransaction, world: &mut World) -> Result<()> {
    let mut table = txn.open_table(TABLE)?;
    for _ in 0..choices.below(4) {
        let key = choices.below(50);
        if choices.one_in(3) {
            table.remove(key).map_err(error)?;
            world.table.remove(&key);
        } else {
            let value = vec![choices.below(256) as u8; choices.below(300) as usize];
            table.insert(key, value.as_slice()).map_err(error)?;
            world.table.insert(key, value);
        }
    }
    Ok(())
}

/// An error of a table's own methods, as redknot would say it.
pub(crate) fn error(error: redb::StorageError) -> redknot::Error {
    redknot::Error::Storage(error.into())
}

fn edit_rows<S: Shape>(
    choices: &mut dyn Choices,
    scale: Scale,
    slot: &Slot,
    txn: &mut WriteTransaction,
    rows: &mut Rows,
) -> Result<()> {
    let mut collection = txn.open_collection(slot.definition::<S>())?;
    match choices.below(10) {
        0..=3 => {
            let number = choices.below(scale.keys);
            let row = new_row(choices, scale, slot, rows);
            let key = S::key(number);
            let replaced = collection.insert(S::K::borrow(&key), &row.vector, S::payload(&row.payload))?;
            assert_eq!(replaced, rows.insert(number, row).is_some());
        }
        4..=6 => {
            // Mostly a row that is there.
            let from = choices.below(scale.keys);
            let found = rows.range(from..).next().map_or(from, |(number, _)| *number);
            let key = S::key(found);
            assert_eq!(collection.remove(S::K::borrow(&key))?, rows.remove(&found).is_some());
        }
        7 => import::<S>(choices, scale, slot, &mut collection, rows)?,
        8 => {
            let query = slot.vector(choices.below(1 << 20));
            let asked = Asked {
                k: 1 + choices.below(12) as usize,
                exact: choices.one_in(2),
                filter: choices.one_in(3).then_some((3, 1)),
                ..Asked::default()
            };
            let result = search_in::<S>(collection.search(&query), asked)?;
            check(slot, rows, &query, asked, &result);
        }
        _ => {
            let number = choices.below(scale.keys);
            let key = S::key(number);
            let key = S::K::borrow(&key);
            let row = rows.get(&number);
            assert_eq!(collection.vector(key)?.as_ref(), row.map(|row| &row.vector));
            let payload = collection.get(key)?.map(|payload| S::text(payload.value()));
            assert_eq!(payload.as_ref(), row.map(|row| &row.payload));
        }
    }
    assert_eq!(collection.len(), rows.len() as u64);
    Ok(())
}

fn import<S: Shape>(
    choices: &mut dyn Choices,
    scale: Scale,
    slot: &Slot,
    collection: &mut redknot::CollectionMut<'_, S::K, S::V>,
    rows: &mut Rows,
) -> Result<()> {
    // Counted on from the end, or anywhere; keys that exist are among them, and now and then one twice.
    let first = match choices.below(3) {
        0 => choices.below(scale.keys),
        _ => rows.last_key_value().map_or(0, |(number, _)| number + 1),
    };
    let count = 1 + choices.below(scale.import);
    let mut numbers: Vec<u64> = (first..first + count).filter(|number| *number < scale.keys).collect();
    if let [.., last] = numbers[..]
        && choices.one_in(4)
    {
        numbers.push(last);
    }
    let new: Vec<Arc<Row>> = numbers.iter().map(|_| new_row(choices, scale, slot, rows)).collect();
    let keys: Vec<_> = numbers.iter().map(|number| S::key(*number)).collect();
    let borrowed: Vec<_> = keys.iter().map(S::K::borrow).collect();
    let vectors: Vec<f32> = new.iter().flat_map(|row| row.vector.iter().copied()).collect();
    let payloads: Vec<_> = new.iter().map(|row| S::payload(&row.payload)).collect();
    collection.import(&borrowed, vectors.as_slice(), &payloads)?;
    drop(payloads);
    rows.extend(numbers.into_iter().zip(new));
    Ok(())
}

fn new_row(choices: &mut dyn Choices, scale: Scale, slot: &Slot, rows: &Rows) -> Arc<Row> {
    let vector = match rows.values().next() {
        // Equal vectors are a case of their own.
        Some(row) if choices.one_in(12) => row.vector.clone(),
        _ => slot.vector(choices.below(1 << 20)),
    };
    let payload = "payload ".repeat(8).chars().cycle().take(choices.below(scale.payload) as usize).collect();
    Arc::new(Row { vector, payload: slot.kept(payload) })
}

/// Counts the commit that is about to be made, in the transaction and in the model.
pub(crate) fn number(txn: &WriteTransaction, world: &mut World) -> Result<()> {
    world.commit += 1;
    txn.open_table(COMMITS)?.insert((), world.commit).map_err(error)?;
    Ok(())
}
