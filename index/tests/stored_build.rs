//! Bulk builds on disk: complete, cancelled, interrupted by a crash, resumed, renumbered.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

#[path = "support/rows.rs"]
mod rows;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use redb::{ReadableTable, TableDefinition};
use redknot_index::{
    BuildOptions, BuildPhase, BuildProgress, Built, Element, Error, IndexConfig, IndexRecord, Metric,
    Permutation, Reader, SearchParams, Writer, build, nodes_in_use, verify,
};
use redknot_storage::{Options, Snapshot, Storage, WriteTxn};
use rows::{bytes, random_rows};
use tempfile::TempDir;

const RECORD: TableDefinition<'_, (), &[u8]> = TableDefinition::new("record");
/// Node numbers by the numbers that rows were imported under.
const NODES: TableDefinition<'_, u32, u32> = TableDefinition::new("nodes");
const DIM: usize = 4;

/// A file with one index, and the rows that it ought to hold.
struct Home {
    dir: TempDir,
    storage: Option<Storage>,
    rows: BTreeMap<u32, Vec<f32>>,
}

/// What a build is made to do.
struct Plan {
    options: BuildOptions,
    /// Breaks once so many rows are done in this phase.
    stop: Option<(BuildPhase, usize)>,
    /// Fails the commit of this number, as a crash before it would.
    crash_at_commit: usize,
}

impl Default for Plan {
    fn default() -> Plan {
        let options = BuildOptions { threads: NonZero::new(2), checkpoint_every: None, reorder: None };
        Plan { options, stop: None, crash_at_commit: usize::MAX }
    }
}

impl Home {
    fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::create(dir.path().join("file"), &options()).unwrap();
        let mut txn = storage.begin_write().unwrap();
        let config = IndexConfig {
            dim: DIM,
            metric: Metric::L2,
            element: Element::F32,
            m: 4,
            ef_construction: 40,
            seed: 7,
        };
        let record = IndexRecord::create(&mut txn, &config).unwrap();
        save(&mut txn, &record, None);
        txn.commit().unwrap();
        Home { dir, storage: Some(storage), rows: BTreeMap::new() }
    }

    fn storage(&self) -> &Storage {
        self.storage.as_ref().unwrap()
    }

    /// Drops the handle as a process that ends does, and opens the file again.
    fn reopen(&mut self) {
        self.storage = None;
        self.storage = Some(Storage::open(self.dir.path().join("file"), &options()).unwrap());
    }

    /// Changes the index in one transaction.
    fn write<T>(&mut self, change: impl FnOnce(&mut Writer<'_>, &mut BTreeMap<u32, u32>) -> T) -> T {
        let mut txn = self.storage().begin_write().unwrap();
        let mut record = read_record(txn.base());
        let mut nodes = read_nodes(txn.base());
        let result = change(&mut Writer::open(&mut txn, &mut record).unwrap(), &mut nodes);
        write_nodes(&txn, &nodes);
        save(&mut txn, &record, None);
        txn.commit().unwrap();
        result
    }

    /// Appends rows that are not linked.
    fn import(&mut self, rows: &[Vec<f32>]) {
        let first = self.rows.keys().last().map_or(0, |last| last + 1);
        let block: Vec<u8> = rows.iter().flat_map(|row| bytes(row)).collect();
        self.write(|writer, nodes| nodes.extend((first..).zip(writer.append_unlinked(&block).unwrap())));
        self.rows.extend((first..).zip(rows.iter().cloned()));
    }

    fn insert(&mut self, row: &[f32]) {
        let name = self.rows.keys().last().map_or(0, |last| last + 1);
        self.write(|writer, nodes| nodes.insert(name, writer.insert(&bytes(row)).unwrap()));
        self.rows.insert(name, row.to_vec());
    }

    fn delete(&mut self, name: u32) {
        self.write(|writer, nodes| writer.delete(nodes.remove(&name).unwrap()).unwrap());
        self.rows.remove(&name);
    }

    fn build(&self, plan: &Plan) -> Result<Built, Error> {
        let txn = self.storage().begin_write().unwrap();
        let record = read_record(txn.base());
        let commits = AtomicUsize::new(0);
        let progress = |progress: BuildProgress| {
            assert!(progress.done <= progress.total, "{progress:?}");
            match plan.stop {
                Some((phase, done)) if phase == progress.phase && done <= progress.done => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        };
        let mut save = |txn: &mut WriteTxn, record: &IndexRecord, permutation: Option<&Permutation>| {
            if commits.fetch_add(1, Relaxed) == plan.crash_at_commit {
                return Err(Error::Damaged { what: "the power went".into() });
            }
            save(txn, record, permutation);
            Ok(())
        };
        build(txn, record, &plan.options, &progress, &mut save)
    }

    fn record(&self) -> IndexRecord {
        read_record(&self.storage().snapshot().unwrap())
    }

    /// Every row has its vector under its node, is found, and the index is sound.
    fn check(&self) {
        let snapshot = self.storage().snapshot().unwrap();
        let (record, nodes) = (read_record(&snapshot), read_nodes(&snapshot));
        assert_eq!(verify(&*snapshot, &record).unwrap(), [], "the index is sound");
        let mut in_use = nodes_in_use(&*snapshot, &record).unwrap();
        in_use.sort_unstable();
        let mut named: Vec<u32> = nodes.values().copied().collect();
        named.sort_unstable();
        assert_eq!(in_use, named);
        assert_eq!(record.live() as usize, self.rows.len());
        let reader = Reader::open(&*snapshot, &record).unwrap();
        for (name, row) in &self.rows {
            let node = nodes[name];
            assert_eq!(reader.vector(node).unwrap(), bytes(row), "row {name} is node {node}");
            let found = reader.search(&bytes(row), SearchParams { k: 1, ef: 100 }).unwrap();
            assert_eq!(found.neighbors[0].distance, 0.0, "row {name}, node {node}");
        }
    }

    /// Nothing but the arrays of the index is left in the file.
    fn check_arrays(&self) {
        let snapshot = self.storage().snapshot().unwrap();
        let mut expected = read_record(&snapshot).arrays();
        expected.sort_unstable();
        let kept: Vec<_> = snapshot.arrays().map(|array| array.id).collect();
        assert_eq!(kept, expected);
    }
}

fn options() -> Options {
    Options { cache_bytes: 8 << 20, idle_commit: None, ..Options::default() }
}

fn read_record(snapshot: &Arc<Snapshot>) -> IndexRecord {
    let table = snapshot.open_table(RECORD).unwrap();
    IndexRecord::from_bytes(table.get(()).unwrap().unwrap().value()).unwrap()
}

fn read_nodes(snapshot: &Arc<Snapshot>) -> BTreeMap<u32, u32> {
    match snapshot.open_table(NODES) {
        Ok(table) => table
            .iter()
            .unwrap()
            .map(|entry| entry.map(|(name, node)| (name.value(), node.value())).unwrap())
            .collect(),
        Err(_) => BTreeMap::new(),
    }
}

fn write_nodes(txn: &WriteTxn, nodes: &BTreeMap<u32, u32>) {
    txn.delete_table(NODES).unwrap();
    let mut table = txn.open_table(NODES).unwrap();
    for (name, node) in nodes {
        table.insert(name, node).unwrap();
    }
}

/// Writes the record, and the node numbers anew if they have changed.
fn save(txn: &mut WriteTxn, record: &IndexRecord, permutation: Option<&Permutation>) {
    txn.open_table(RECORD).unwrap().insert((), record.to_bytes().as_slice()).unwrap();
    if let Some(permutation) = permutation {
        let mut nodes = read_nodes(txn.base());
        nodes.values_mut().for_each(|node| *node = permutation.new_id(*node));
        write_nodes(txn, &nodes);
    }
}

#[test]
fn builds_of_any_size_are_sound() {
    for (seed, n) in [(1, 0), (2, 1), (3, 2), (4, 5), (5, 63), (6, 64), (7, 65), (8, 3000)] {
        for reorder in [true, false] {
            let mut home = Home::new();
            home.import(&random_rows(n, DIM, seed));
            let options = BuildOptions { reorder: Some(reorder), ..Plan::default().options };
            let built = home.build(&Plan { options, ..Plan::default() }).unwrap();
            assert_eq!((built.linked, built.resumed), (n, 0));
            assert_eq!(home.record().unlinked(), 0);
            home.check();
            home.reopen();
            home.check();
            home.check_arrays();
        }
    }
}

#[test]
fn a_cancelled_build_goes_on_where_it_was() {
    let mut home = Home::new();
    home.import(&random_rows(3000, DIM, 11));
    let plan = Plan { stop: Some((BuildPhase::Link, 1500)), ..Plan::default() };
    assert!(matches!(home.build(&plan), Err(Error::Cancelled)));
    assert_eq!(home.record().unlinked(), 3000, "until the build ends, searches look at every row");
    home.check();
    home.reopen();
    home.check();
    let built = home.build(&Plan::default()).unwrap();
    assert_eq!(built.linked, 3000);
    assert!((1500..3000).contains(&built.resumed), "{built:?}");
    home.check();
    home.check_arrays();
}

#[test]
fn a_build_cancelled_while_writing_starts_writing_anew() {
    let mut home = Home::new();
    home.import(&random_rows(3000, DIM, 12));
    let plan = Plan { stop: Some((BuildPhase::Write, 2048)), ..Plan::default() };
    assert!(matches!(home.build(&plan), Err(Error::Cancelled)));
    home.reopen();
    home.check();
    home.build(&Plan::default()).unwrap();
    home.check();
    home.check_arrays();
}

#[test]
fn checkpoints_are_taken_and_dropped() {
    let mut home = Home::new();
    home.import(&random_rows(3000, DIM, 13));
    let options = BuildOptions { checkpoint_every: Some(Duration::ZERO), ..Plan::default().options };
    let plan = Plan { options, ..Plan::default() };
    let rounds = home.build(&plan).unwrap().checkpoints;
    home.check();
    home.check_arrays();

    // The same build again and again, each time ended by a crash before a later commit, goes on and ends.
    let mut home = Home::new();
    home.import(&random_rows(3000, DIM, 13));
    let mut resumed = 0;
    for commit in 0.. {
        let built = home.build(&Plan { crash_at_commit: commit, ..Plan { options, ..Plan::default() } });
        home.reopen();
        home.check();
        match built {
            Ok(built) => {
                assert!(built.resumed >= resumed && (rounds == 0 || built.resumed > 0), "{built:?}");
                break;
            }
            Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{error:?}"),
        }
        resumed = resumed.max(1).min(rounds);
    }
    home.check_arrays();
}

#[test]
fn a_checkpoint_of_another_state_is_not_used() {
    let mut home = Home::new();
    home.import(&random_rows(2000, DIM, 14));
    home.build(&Plan::default()).unwrap();
    home.import(&random_rows(2000, DIM, 15));
    let plan = Plan { stop: Some((BuildPhase::Link, 500)), ..Plan::default() };
    assert!(matches!(home.build(&plan), Err(Error::Cancelled)));
    home.insert(&[0.1, 0.2, 0.3, 0.4]);
    home.delete(17);
    home.delete(2017);
    home.check();
    let built = home.build(&Plan::default()).unwrap();
    assert_eq!((built.linked, built.resumed), (1999, 0));
    home.check();
    home.check_arrays();
}

#[test]
fn renumbering_leaves_free_nodes_out() {
    for reorder in [false, true] {
        let mut home = Home::new();
        home.import(&random_rows(600, DIM, 16));
        home.build(&Plan::default()).unwrap();
        (0..600).step_by(3).for_each(|name| home.delete(name));
        home.import(&random_rows(300, DIM, 17));
        home.delete(650);
        assert_eq!((home.record().nodes(), home.record().live()), (900, 699));
        let options = BuildOptions { reorder: Some(reorder), ..Plan::default().options };
        let built = home.build(&Plan { options, ..Plan::default() }).unwrap();
        assert_eq!((built.linked, built.reordered), (299, reorder));
        assert_eq!(home.record().nodes(), if reorder { 699 } else { 900 });
        home.check();
        home.insert(&[0.5; DIM]);
        assert_eq!(home.record().nodes(), if reorder { 700 } else { 900 }, "a free node is used first");
        home.check();
        home.check_arrays();
    }
}

#[test]
fn readers_go_on_with_what_they_began_with() {
    let mut home = Home::new();
    let rows = random_rows(1000, DIM, 18);
    home.import(&rows);
    let before = home.storage().snapshot().unwrap();
    home.build(&Plan::default()).unwrap();
    let (record, nodes) = (read_record(&before), read_nodes(&before));
    assert_eq!(record.unlinked(), 1000);
    let reader = Reader::open(&*before, &record).unwrap();
    for (name, row) in (0..).zip(&rows) {
        let found = reader.search(&bytes(row), SearchParams { k: 1, ef: 10 }).unwrap();
        assert_eq!((found.neighbors[0].id, found.exact), (nodes[&name], true));
    }
    home.check();
}
