//! Random changes of rows and edges, with builds, imports, reopenings and compactions between them.
//!
//! `REDKNOT_CASES=200 cargo test --release --test graphs model -- --nocapture` runs more cases than the default.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use redknot::{Database, GraphOptions, Key, WriteTransaction};

use super::maps::{Label, Map, check};
use super::seed;
use super::support::setting;
use super::support::slot::{Shape, ShapeOf, Slot, with_shape};
use redknot::{Element, Metric};

const NUMBERS: u64 = 70;
const NAMES: [&str; 3] = ["cites", "knows", "near"];
const TYPES: [&str; 3] = ["a", "bb", "an edge type of a longer name"];

/// A database with a collection and graphs over it, and what these should hold.
struct Case<S: Shape> {
    path: PathBuf,
    db: Option<Database>,
    slot: Slot,
    world: World<S>,
    _folder: tempfile::TempDir,
}

type Owned<S> = <<S as Shape>::K as Key>::Owned;

struct World<S: Shape> {
    keys: BTreeSet<Owned<S>>,
    graphs: BTreeMap<&'static str, Map<Owned<S>>>,
}

impl<S: Shape> Clone for World<S> {
    fn clone(&self) -> Self {
        World { keys: self.keys.clone(), graphs: self.graphs.clone() }
    }
}

fn label(rng: &mut Rng) -> Label {
    (rng.f32() - 0.5, rng.bool().then(|| TYPES[rng.usize(..TYPES.len())].to_owned()))
}

impl<S: Shape> World<S> {
    /// Mostly the key of a row.
    fn some_key(&self, rng: &mut Rng) -> Owned<S> {
        match self.keys.is_empty() || rng.u8(..12) == 0 {
            true => S::key(rng.u64(..NUMBERS)),
            false => self.keys.iter().nth(rng.usize(..self.keys.len())).unwrap().clone(),
        }
    }

    fn row_goes(&mut self, key: &Owned<S>) {
        self.graphs.values_mut().for_each(|map| {
            map.remove_edges_of(key);
        });
    }
}

impl<S: Shape> Case<S> {
    fn transaction(&mut self, rng: &mut Rng) {
        let mut txn = self.db.as_ref().unwrap().begin_write().unwrap();
        let mut next = self.world.clone();
        for _ in 0..rng.usize(1..25) {
            match rng.u8(..20) {
                0..=6 => edit_rows(&self.slot, rng, &mut txn, &mut next),
                7 => edit_graphs(&self.slot, rng, &mut txn, &mut next),
                8 if rng.u8(..10) == 0 => {
                    txn.delete_collection(self.slot.name).unwrap();
                    txn.open_collection(self.slot.definition::<S>()).unwrap();
                    next = World { keys: BTreeSet::new(), graphs: BTreeMap::new() };
                }
                _ => edit_edges(&self.slot, rng, &mut txn, &mut next),
            }
        }
        if rng.u8(..6) > 0 {
            txn.commit().unwrap();
            self.world = next;
        }
    }

    fn step(&mut self, rng: &mut Rng) {
        match rng.u8(..8) {
            0 => {
                self.db = None;
                self.db = Some(Database::open(&self.path).unwrap());
            }
            1 => drop(self.db.as_ref().unwrap().compact().unwrap()),
            2 | 3 => {
                let build = self.db.as_ref().unwrap().build(self.slot.definition::<S>()).reorder(rng.bool());
                build.checkpoint_every(rng.bool().then_some(Duration::ZERO)).run().unwrap();
            }
            _ => self.transaction(rng),
        }
        self.check();
    }

    fn check(&self) {
        let db = self.db.as_ref().unwrap();
        let report = db.verify().unwrap();
        assert_eq!(report.findings, []);
        let edges: usize = self.world.graphs.values().map(|map| map.edges.len()).sum();
        assert_eq!(report.edges, edges as u64);
        let read = db.begin_read().unwrap();
        let listed: Vec<String> =
            read.graphs(self.slot.name).unwrap().into_iter().map(|info| info.name).collect();
        assert!(listed.iter().eq(self.world.graphs.keys()));
        for (name, map) in &self.world.graphs {
            check(&read.open_graph(self.slot.definition::<S>(), name).unwrap(), map, &self.world.keys);
        }
    }
}

fn edit_rows<S: Shape>(slot: &Slot, rng: &mut Rng, txn: &mut WriteTransaction, world: &mut World<S>) {
    let mut rows = txn.open_collection(slot.definition::<S>()).unwrap();
    match rng.u8(..6) {
        0..=2 => {
            let key = S::key(rng.u64(..NUMBERS));
            let vector = slot.vector(rng.u64(..1 << 20));
            let replaced = rows.insert(S::K::borrow(&key), &vector, S::payload("row")).unwrap();
            assert_eq!(replaced, !world.keys.insert(key));
        }
        3 | 4 => {
            let key = world.some_key(rng);
            assert_eq!(rows.remove(S::K::borrow(&key)).unwrap(), world.keys.remove(&key));
            world.row_goes(&key);
        }
        _ => {
            let first = rng.u64(..NUMBERS);
            let keys: Vec<Owned<S>> = (first..NUMBERS.min(first + 10)).map(S::key).collect();
            let borrowed: Vec<_> = keys.iter().map(S::K::borrow).collect();
            let vectors: Vec<f32> = keys.iter().flat_map(|_| slot.vector(rng.u64(..1 << 20))).collect();
            let payloads: Vec<_> = keys.iter().map(|_| S::payload("imported")).collect();
            rows.import(&borrowed, vectors.as_slice(), &payloads).unwrap();
            world.keys.extend(keys.iter().cloned());
        }
    }
}

fn edit_graphs<S: Shape>(slot: &Slot, rng: &mut Rng, txn: &mut WriteTransaction, world: &mut World<S>) {
    let name = NAMES[rng.usize(..NAMES.len())];
    if rng.u8(..3) == 0 {
        let deleted = txn.delete_graph(slot.name, name).unwrap();
        assert_eq!(deleted, world.graphs.remove(name).is_some());
        return;
    }
    let options = GraphOptions { directed: rng.bool() };
    match txn.create_graph(slot.definition::<S>(), name, options) {
        Ok(_) => assert!(world.graphs.insert(name, Map::new(options.directed)).is_none()),
        Err(error) => {
            assert!(matches!(error, redknot::Error::GraphExists { .. }), "{error:?}");
            assert!(world.graphs.contains_key(name));
        }
    }
}

fn edit_edges<S: Shape>(slot: &Slot, rng: &mut Rng, txn: &mut WriteTransaction, world: &mut World<S>) {
    let Some(name) = world.graphs.keys().nth(rng.usize(..NAMES.len())).copied() else {
        return edit_graphs(slot, rng, txn, world);
    };
    let (source, target) = (world.some_key(rng), world.some_key(rng));
    let (from, to) = (S::K::borrow(&source), S::K::borrow(&target));
    let there = world.keys.contains(&source) && world.keys.contains(&target);
    let mut graph = txn.open_graph(slot.definition::<S>(), name).unwrap();
    match rng.u8(..10) {
        0..=4 => {
            let label = label(rng);
            let inserted = graph.insert_edge(from, to, label.0, label.1.as_deref());
            match inserted {
                Ok(replaced) => {
                    assert!(there);
                    let map = world.graphs.get_mut(name).unwrap();
                    assert_eq!(replaced, map.insert(&source, &target, label));
                }
                Err(error) => {
                    assert!(!there && matches!(error, redknot::Error::UnknownKey { .. }), "{error:?}");
                }
            }
        }
        5 | 6 => insert_many::<S>(rng, &mut graph, name, world),
        7 | 8 => {
            let removed = graph.remove_edge(from, to).unwrap();
            assert_eq!(removed, world.graphs.get_mut(name).unwrap().remove(&source, &target));
        }
        _ => {
            let removed = graph.remove_edges_of(from).unwrap();
            assert_eq!(removed, world.graphs.get_mut(name).unwrap().remove_edges_of(&source));
        }
    }
    let map = &world.graphs[name];
    assert_eq!(graph.len(), map.edges.len() as u64);
    let edge = graph.edge(S::K::borrow(&source), S::K::borrow(&target)).unwrap();
    assert_eq!(edge.as_ref().map(super::maps::label).as_ref(), map.edges.get(&map.ends(&source, &target)));
}

/// Bulk insertion; now and then of an edge to a row that there is not, which must change nothing.
fn insert_many<S: Shape>(
    rng: &mut Rng,
    graph: &mut redknot::GraphMut<'_, S::K>,
    name: &str,
    world: &mut World<S>,
) {
    if world.keys.is_empty() {
        return;
    }
    let any = |rng: &mut Rng| world.keys.iter().nth(rng.usize(..world.keys.len())).unwrap().clone();
    let mut edges: Vec<(Owned<S>, Owned<S>, Label)> =
        (0..rng.usize(..120)).map(|_| (any(rng), any(rng), label(rng))).collect();
    let missing = (0..NUMBERS).map(S::key).find(|key| !world.keys.contains(key));
    let refused = match missing {
        Some(key) if rng.u8(..4) == 0 => {
            edges.push((any(rng), key, label(rng)));
            true
        }
        _ => false,
    };
    let borrowed = edges
        .iter()
        .map(|(from, to, (weight, of))| (S::K::borrow(from), S::K::borrow(to), *weight, of.as_deref()));
    let inserted = graph.insert_edges(borrowed);
    assert_eq!(inserted.is_err(), refused);
    if let Ok(replaced) = inserted {
        let map = world.graphs.get_mut(name).unwrap();
        let before = map.edges.clone();
        for (source, target, label) in &edges {
            map.insert(source, target, label.clone());
        }
        let ends: BTreeSet<_> = edges.iter().map(|(source, target, _)| map.ends(source, target)).collect();
        assert_eq!(replaced, ends.iter().filter(|ends| before.contains_key(ends)).count() as u64);
    }
}

fn run<S: Shape>(slot: Slot, rng: &mut Rng) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let db = Database::create(&path).unwrap();
    let mut txn = db.begin_write().unwrap();
    txn.open_collection(slot.definition::<S>()).unwrap();
    txn.commit().unwrap();
    let world = World { keys: BTreeSet::new(), graphs: BTreeMap::new() };
    let mut case = Case::<S> { path, db: Some(db), slot, world, _folder: folder };
    for _ in 0..40 {
        case.step(rng);
    }
}

#[test]
fn graphs_do_what_maps_of_edges_do() {
    let first = seed();
    for case_seed in first..first + setting("REDKNOT_CASES", 10) {
        println!("case REDKNOT_SEED={case_seed} REDKNOT_CASES=1");
        let mut rng = Rng::with_seed(case_seed);
        let shapes = [ShapeOf::Counted, ShapeOf::Gaps, ShapeOf::Signed, ShapeOf::Text, ShapeOf::Fixed];
        let shape = shapes[rng.usize(..shapes.len())];
        let slot = Slot::new("rows", shape, 4, Metric::L2, Element::F32);
        with_shape!(slot, run(slot, &mut rng));
    }
}
