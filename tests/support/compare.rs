//! A committed state held against the model.

use std::collections::BTreeMap;

use redb::ReadableTable;
use redknot::{Collection, Error, Hit, Key, ReadTransaction, Result, Search, SearchResult};

use super::edges::compare_edges;
use super::edit::error;
use super::oracle::{Asked, Recall, check};
use super::slot::{Shape, Slot, with_shape};
use super::world::{COMMITS, Rows, TABLE, World};

/// Number of the commit that a state is of; 0 where there was none yet.
pub(crate) fn commit_of(read: &ReadTransaction) -> Result<u64> {
    match read.open_table(COMMITS) {
        Ok(table) => Ok(table.get(()).map_err(error)?.map_or(0, |number| number.value())),
        Err(Error::Storage(redknot_storage::Error::Table(redb::TableError::TableDoesNotExist(_)))) => Ok(0),
        Err(error) => Err(error),
    }
}

/// What differs between a state and the model: keys, vectors, payloads, edges, the ordinary table. `Ok(None)` for nothing.
pub(crate) fn compare(read: &ReadTransaction, world: &World) -> Result<Option<String>> {
    if commit_of(read)? != world.commit {
        return Ok(Some("another commit".into()));
    }
    let mut table = BTreeMap::new();
    match read.open_table(TABLE) {
        Ok(rows) => {
            for pair in rows.iter().map_err(error)? {
                let (key, value) = pair.map_err(error)?;
                table.insert(key.value(), value.value().to_vec());
            }
        }
        Err(Error::Storage(redknot_storage::Error::Table(redb::TableError::TableDoesNotExist(_)))) => {}
        Err(error) => return Err(error),
    }
    if table != world.table {
        return Ok(Some("the ordinary table".into()));
    }
    for (at, slot) in world.slots.iter().enumerate() {
        if let Some(difference) = with_shape!(slot, compare_rows(slot, read, world.collections.get(&at)))? {
            return Ok(Some(format!("{slot:?}: {difference}")));
        }
        if let Some(difference) = with_shape!(slot, compare_edges(slot, read, world.graphs.get(&at)))? {
            return Ok(Some(format!("{slot:?}: {difference}")));
        }
    }
    Ok(None)
}

fn compare_rows<S: Shape>(
    slot: &Slot,
    read: &ReadTransaction,
    rows: Option<&Rows>,
) -> Result<Option<String>> {
    let Some(rows) = rows else {
        return match read.open_collection(slot.definition::<S>()) {
            Ok(_) => Ok(Some("it should not exist".into())),
            Err(Error::UnknownCollection { .. }) => Ok(None),
            Err(error) => Err(error),
        };
    };
    let collection = match read.open_collection(slot.definition::<S>()) {
        Err(Error::UnknownCollection { .. }) => return Ok(Some("it does not exist".into())),
        other => other?,
    };
    let mut numbers: Vec<u64> = collection.keys()?.iter().map(S::number).collect();
    numbers.sort_unstable();
    if collection.len() != rows.len() as u64 || !numbers.iter().eq(rows.keys()) {
        return Ok(Some(format!("{} rows, keys {numbers:?}, not {:?}", collection.len(), rows.keys())));
    }
    for (number, row) in rows {
        let key = S::key(*number);
        let key = S::K::borrow(&key);
        if collection.vector(key)?.as_ref() != Some(&row.vector) {
            return Ok(Some(format!("the vector of row {number}")));
        }
        if collection.get(key)?.map(|payload| S::text(payload.value())).as_ref() != Some(&row.payload) {
            return Ok(Some(format!("the payload of row {number}")));
        }
    }
    Ok(None)
}

/// Searches every collection of a state for each of its own rows at ef = 200, which must find it.
pub(crate) fn find_each(read: &ReadTransaction, world: &World) -> Result<()> {
    for (at, rows) in &world.collections {
        let slot = &world.slots[*at];
        with_shape!(slot, find_each_row(slot, read, rows))?;
    }
    Ok(())
}

fn find_each_row<S: Shape>(slot: &Slot, read: &ReadTransaction, rows: &Rows) -> Result<()> {
    // The largest product with a vector is that of a longer one.
    if slot.metric == redknot::Metric::InnerProduct {
        return Ok(());
    }
    let collection = read.open_collection(slot.definition::<S>())?;
    for (number, row) in rows {
        let result = collection.search(&row.vector).k(1).ef(200).run()?;
        let hit = result.hits.first().unwrap_or_else(|| panic!("{slot:?}: nothing found for {number}"));
        let found = S::number(&hit.key);
        // Equal vectors, and under cosine parallel ones, are as near as the row itself.
        assert!(
            found == *number || hit.distance <= 1e-6,
            "{slot:?}: {found} at {} for {number}",
            hit.distance
        );
        assert!(rows.contains_key(&found), "{slot:?}: {found} is not a live row");
    }
    Ok(())
}

/// Random searches of one state, of every kind, held against brute force; the recall of the plain ones.
pub(crate) fn search_randomly(
    rng: &mut fastrand::Rng,
    read: &ReadTransaction,
    world: &World,
) -> Result<Recall> {
    let mut recall = Recall::default();
    for (at, rows) in &world.collections {
        let slot = &world.slots[*at];
        recall.add(with_shape!(slot, search_rows(rng, slot, read, rows))?);
    }
    Ok(recall)
}

fn search_rows<S: Shape>(
    rng: &mut fastrand::Rng,
    slot: &Slot,
    read: &ReadTransaction,
    rows: &Rows,
) -> Result<Recall> {
    let collection = read.open_collection(slot.definition::<S>())?;
    let mut recall = Recall::default();
    for _ in 0..4 {
        let query = slot.vector(rng.u64(..));
        let typical = match collection.search(&query).k(10).exact().run()?.hits.last() {
            Some(hit) => hit.distance,
            None => 1.0,
        };
        let asked = Asked {
            k: 1 + rng.usize(..20),
            ef: rng.bool().then(|| rng.usize(20..100)),
            exact: rng.u8(..4) == 0,
            within: (rng.u8(..4) == 0).then_some(typical),
            filter: (rng.u8(..4) == 0).then(|| (rng.u64(2..20), rng.u64(..2))),
        };
        let result = search_in::<S>(collection.search(&query), asked)?;
        recall.add(check(slot, rows, &query, asked, &result));
    }
    batch::<S>(rng, slot, &collection, rows)?;
    Ok(recall)
}

/// A batch gives what its queries give one by one.
fn batch<S: Shape>(
    rng: &mut fastrand::Rng,
    slot: &Slot,
    collection: &Collection<S::K, S::V>,
    rows: &Rows,
) -> Result<()> {
    let queries: Vec<Vec<f32>> = (0..3).map(|_| slot.vector(rng.u64(..))).collect();
    let together = collection.search_batch(&queries).k(5).run()?;
    for (query, result) in queries.iter().zip(&together) {
        assert_eq!(*result, collection.search(query).k(5).run()?, "{slot:?} with {} rows", rows.len());
    }
    assert_eq!(together.len(), queries.len());
    Ok(())
}

/// Runs a search as asked; the hits with the numbers of their keys.
pub(crate) fn search_in<S: Shape>(mut search: Search<'_, S::K>, asked: Asked) -> Result<SearchResult<u64>> {
    search = search.k(asked.k);
    if let Some(ef) = asked.ef {
        search = search.ef(ef);
    }
    if asked.exact {
        search = search.exact();
    }
    if let Some(radius) = asked.within {
        search = search.within(radius);
    }
    if asked.filter.is_some() {
        search = search.filter(move |key| asked.passes(S::number(&owned::<S>(key))));
    }
    let SearchResult { hits, completeness, stats } = search.run()?;
    let hits = hits.into_iter().map(|hit| Hit { key: S::number(&hit.key), distance: hit.distance }).collect();
    Ok(SearchResult { hits, completeness, stats })
}

fn owned<S: Shape>(key: <S::K as Key>::Ref<'_>) -> <S::K as Key>::Owned {
    let mut bytes = Vec::new();
    S::K::encode(key, &mut bytes);
    S::K::decode(&bytes).expect("the bytes of a key are those of a key")
}
