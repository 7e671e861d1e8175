//! The name and type of a collection, as `redb::TableDefinition` is that of a table.

use std::fmt;
use std::marker::PhantomData;

use redknot_index::{Element, Metric};

use crate::key::Key;

/// Names and types a collection: key type `K`, payload type `V` (any [`redb::Value`]), dimension, metric and
/// element type. All of them are fixed when the collection is created.
///
/// ```
/// use redknot::{CollectionDefinition, Element, Metric};
///
/// const DOCS: CollectionDefinition<u64, &str> = CollectionDefinition::new("docs", 384, Metric::Cosine);
/// const PHOTOS: CollectionDefinition<&str, ()> =
///     CollectionDefinition::new("photos", 128, Metric::L2).element(Element::U8).m(24);
/// ```
pub struct CollectionDefinition<'n, K: Key, V: redb::Value + 'static> {
    pub(crate) name: &'n str,
    pub(crate) dim: usize,
    pub(crate) metric: Metric,
    pub(crate) element: Element,
    pub(crate) m: usize,
    pub(crate) ef_construction: usize,
    pub(crate) seed: u64,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'n, K: Key, V: redb::Value + 'static> CollectionDefinition<'n, K, V> {
    /// A collection of `dim`-dimensional vectors of f32, with M = 16 and ef_construction = 200.
    pub const fn new(name: &'n str, dim: usize, metric: Metric) -> Self {
        CollectionDefinition {
            name,
            dim,
            metric,
            element: Element::F32,
            m: 16,
            ef_construction: 200,
            seed: 0,
            types: PhantomData,
        }
    }

    /// Stores coordinates as `element`.
    #[must_use]
    pub const fn element(mut self, element: Element) -> Self {
        self.element = element;
        self
    }

    /// Links of a node in each upper layer; the base layer has twice as many. 2 to 128, 16 by default. More links
    /// cost memory and build time and raise recall at equal effort.
    #[must_use]
    pub const fn m(mut self, m: usize) -> Self {
        self.m = m;
        self
    }

    /// Candidates that are looked at to link a new node. 200 by default.
    #[must_use]
    pub const fn ef_construction(mut self, ef_construction: usize) -> Self {
        self.ef_construction = ef_construction;
        self
    }

    /// Seed of the levels that nodes are drawn to.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The name.
    pub const fn name(&self) -> &'n str {
        self.name
    }

    /// The dimension.
    pub const fn dim(&self) -> usize {
        self.dim
    }
}

impl<K: Key, V: redb::Value + 'static> Clone for CollectionDefinition<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Key, V: redb::Value + 'static> Copy for CollectionDefinition<'_, K, V> {}

impl<K: Key, V: redb::Value + 'static> fmt::Display for CollectionDefinition<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}<{}, {}>: {} × {} {}",
            self.name,
            K::type_name(),
            V::type_name().name(),
            self.dim,
            self.element,
            self.metric
        )
    }
}

impl<K: Key, V: redb::Value + 'static> fmt::Debug for CollectionDefinition<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CollectionDefinition({self})")
    }
}
