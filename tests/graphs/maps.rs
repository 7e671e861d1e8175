//! A graph as a map of edges by the keys of their ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use redknot::{Edge, Graph, Key};

/// Weight and type of an edge.
pub(crate) type Label = (f32, Option<String>);

/// What a graph should hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Map<K: Ord> {
    pub(crate) directed: bool,
    /// Of an undirected graph, with the lesser key first.
    pub(crate) edges: BTreeMap<(K, K), Label>,
}

impl<K: Ord + Clone> Map<K> {
    pub(crate) fn new(directed: bool) -> Map<K> {
        Map { directed, edges: BTreeMap::new() }
    }

    pub(crate) fn ends(&self, source: &K, target: &K) -> (K, K) {
        match self.directed || source <= target {
            true => (source.clone(), target.clone()),
            false => (target.clone(), source.clone()),
        }
    }

    /// Whether the edge was there.
    pub(crate) fn insert(&mut self, source: &K, target: &K, label: Label) -> bool {
        self.edges.insert(self.ends(source, target), label).is_some()
    }

    pub(crate) fn remove(&mut self, source: &K, target: &K) -> bool {
        self.edges.remove(&self.ends(source, target)).is_some()
    }

    /// Removes the edges of a row; returns how many there were.
    pub(crate) fn remove_edges_of(&mut self, key: &K) -> u64 {
        let before = self.edges.len();
        self.edges.retain(|(source, target), _| source != key && target != key);
        (before - self.edges.len()) as u64
    }

    /// The rows at the other end of edges, with what the edges say: those that lead from a row, or to it.
    pub(crate) fn adjacent(&self, key: &K, incoming: bool) -> BTreeMap<K, Label> {
        let mut found = BTreeMap::new();
        for ((source, target), label) in &self.edges {
            let (near, far) = if incoming { (target, source) } else { (source, target) };
            if near == key {
                found.insert(far.clone(), label.clone());
            }
            if !self.directed && far == key {
                found.insert(near.clone(), label.clone());
            }
        }
        found
    }

    /// The rows at most `hops` edges away, breadth first.
    pub(crate) fn reachable(&self, center: &K, hops: u32) -> BTreeMap<K, u32> {
        let mut found = BTreeMap::from([(center.clone(), 0)]);
        let mut queue = VecDeque::from([center.clone()]);
        while let Some(key) = queue.pop_front() {
            let here = found[&key];
            if here == hops {
                continue;
            }
            for next in self.adjacent(&key, false).into_keys() {
                if !found.contains_key(&next) {
                    found.insert(next.clone(), here + 1);
                    queue.push_back(next);
                }
            }
        }
        found
    }
}

pub(crate) fn label<K>(edge: &Edge<K>) -> Label {
    (edge.weight, edge.edge_type.as_deref().map(str::to_owned))
}

/// Everything that a graph says agrees with the map, for the rows that there are.
pub(crate) fn check<K: Key>(graph: &Graph<K>, map: &Map<K::Owned>, keys: &BTreeSet<K::Owned>)
where
    K::Owned: PartialEq,
{
    assert_eq!((graph.len().unwrap(), graph.is_directed()), (map.edges.len() as u64, map.directed));
    let mut listed = Map::new(map.directed);
    for edge in graph.edges().unwrap() {
        let edge = edge.unwrap();
        assert!(!listed.insert(&edge.source, &edge.target, label(&edge)), "an edge comes twice");
    }
    assert_eq!(listed.edges, map.edges);
    for key in keys {
        for incoming in [false, true] {
            let read = match incoming {
                false => graph.neighbors(K::borrow(key)),
                true => graph.incoming(K::borrow(key)),
            };
            let read: Vec<(K::Owned, Label)> = read
                .unwrap()
                .into_iter()
                .map(|next| (next.key, (next.weight, next.edge_type.as_deref().map(str::to_owned))))
                .collect();
            let count = read.len();
            assert_eq!(read.into_iter().collect::<BTreeMap<_, _>>(), map.adjacent(key, incoming));
            if !incoming {
                assert_eq!(graph.degree(K::borrow(key)).unwrap(), count);
            }
        }
    }
    for ((source, target), expected) in &map.edges {
        let edge = graph.edge(K::borrow(source), K::borrow(target)).unwrap();
        assert_eq!(edge.as_ref().map(label).as_ref(), Some(expected));
    }
}
