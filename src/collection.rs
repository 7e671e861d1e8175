//! Reading a collection.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use redb::Value;
use redknot_index::{IndexConfig, VectorRef};
use redknot_storage::Snapshot;

use crate::answer;
use crate::batch::BatchSearch;
use crate::catalog::Record;
use crate::error::Result;
#[cfg(feature = "routing")]
use crate::explain::{self, Explanation};
use crate::key::Key;
use crate::query::{Request, Search, SearchResult, Target};
use crate::query_log::{QueryLogs, Reservoir};
use crate::router::{Guide, Routers};

/// A collection in a committed state.
pub struct Collection<K: Key, V: Value + 'static> {
    snapshot: Arc<Snapshot>,
    name: String,
    record: Record,
    guide: Guide,
    /// Where queries are logged, if they are.
    log: Option<Arc<Reservoir>>,
    types: PhantomData<fn() -> (K, V)>,
}

/// The payload of a row.
pub struct Payload<V> {
    bytes: Vec<u8>,
    types: PhantomData<fn() -> V>,
}

impl<V: Value + 'static> Payload<V> {
    pub(crate) fn new(bytes: Vec<u8>) -> Payload<V> {
        Payload { bytes, types: PhantomData }
    }

    /// The value, which borrows the payload.
    pub fn value(&self) -> V::SelfType<'_> {
        V::from_bytes(&self.bytes)
    }
}

impl<V: Value + 'static> fmt::Debug for Payload<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Payload").field(&self.value()).finish()
    }
}

impl<K: Key, V: Value + 'static> Collection<K, V> {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        name: &str,
        record: Record,
        routers: &Routers,
        logs: &QueryLogs,
    ) -> Collection<K, V> {
        let guide = Guide::new(routers, &snapshot, name, &record);
        let log = logs.get(&snapshot, name);
        Collection { snapshot, name: name.into(), record, guide, log, types: PhantomData }
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        u64::from(self.record.index.live())
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows that were imported and not linked yet: every search looks at each of them.
    pub fn unlinked(&self) -> u64 {
        u64::from(self.record.index.unlinked())
    }

    /// Dimension, metric, element type and the parameters of the graph.
    pub fn config(&self) -> IndexConfig {
        self.record.index.config()
    }

    /// What routing did in this collection since the file was opened or the router changed; `None` without a router.
    #[cfg(feature = "routing")]
    pub fn routing_metrics(&self) -> Option<crate::router::RoutingMetrics> {
        self.guide.metrics()
    }

    /// Whether there is a row with this key.
    pub fn contains(&self, key: K::Ref<'_>) -> Result<bool> {
        Ok(answer::node::<K>(&*self.snapshot, &self.name, &self.record, key)?.is_some())
    }

    /// The payload of the row with this key.
    pub fn get(&self, key: K::Ref<'_>) -> Result<Option<Payload<V>>> {
        answer::payload::<K, V>(&*self.snapshot, &self.name, &self.record, key)
    }

    /// The vector of the row with this key, as f32 (bits as 0 and 1).
    pub fn vector(&self, key: K::Ref<'_>) -> Result<Option<Vec<f32>>> {
        answer::vector::<K>(&*self.snapshot, &self.name, &self.record, key)
    }

    /// Searches for the rows nearest to `query`.
    pub fn search<'a>(&'a self, query: impl Into<VectorRef<'a>>) -> Search<'a, K> {
        Search::new(self, query.into())
    }

    /// Searches for the rows nearest to each of several queries, on several threads.
    pub fn search_batch<'a, Q>(&'a self, queries: &'a [Q]) -> BatchSearch<'a, K, V, Q>
    where
        &'a Q: Into<VectorRef<'a>>,
        Q: Sync,
    {
        BatchSearch::new(self, queries)
    }

    /// All keys, in the order of the rows' internal numbers.
    pub fn keys(&self) -> Result<Vec<K::Owned>> {
        answer::all_keys::<K>(&*self.snapshot, &self.name, &self.record)
    }
}

impl<K: Key, V: Value + 'static> Target<K> for Collection<K, V> {
    fn answer(&self, request: &Request<'_, K>) -> Result<SearchResult<K::Owned>> {
        let result = answer::run(&*self.snapshot, &self.name, &self.record, &self.guide, request)?;
        if let Some(log) = self.log.as_deref().filter(|_| !request.exact) {
            log.offer(|| answer::encode_query(&self.record, request.query).ok());
        }
        Ok(result)
    }

    #[cfg(feature = "routing")]
    fn explain(&self, request: &Request<'_, K>) -> Result<Explanation<K::Owned>> {
        explain::run(&*self.snapshot, &self.name, &self.record, &self.guide, request)
    }
}

impl<K: Key, V: Value + 'static> fmt::Debug for Collection<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection")
            .field("name", &self.name)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
