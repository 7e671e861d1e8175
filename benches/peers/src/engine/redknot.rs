//! redknot itself: a database file on disk, opened as a program would open it, and searched greedily or by its router.

use std::num::NonZero;
use std::path::Path;
use std::time::{Duration, Instant};

use redknot::routing::{Effort, Plan};
use redknot::{Collection, CollectionDefinition, Database, Search};
use xxhash_rust::xxh3::xxh3_64;

use super::{BuildPlan, EF_CONSTRUCTION, Engine, M, SearchPlan, answer, timed_search};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::metric::Metric;

const NAME: &str = "redknot";
const ROUTER: &str = "router";
const COLLECTION: &str = "peers";
/// Rows that are imported in one transaction: 32 MiB or so.
const IMPORT_BYTES: usize = 32 << 20;
/// Rows that are inserted, and linked, in one transaction.
const INSERT_ROWS: usize = 1000;

pub(crate) struct Redknot {
    /// Holds the file where the index is not a saved one.
    folder: tempfile::TempDir,
    open: Option<Open>,
    /// What the router learns from, where searches are to follow one.
    training: Option<Matrix>,
}

struct Open {
    db: Database,
    metric: Metric,
    dim: usize,
    /// The plans of the router's calibration, by rising recall. None of them where searches are greedy.
    plans: Vec<Effort>,
}

impl Open {
    fn definition(&self) -> CollectionDefinition<'static, u64, ()> {
        let metric = match self.metric {
            Metric::L2 => redknot::Metric::L2,
            Metric::Cosine => redknot::Metric::Cosine,
        };
        CollectionDefinition::new(COLLECTION, self.dim, metric).m(M).ef_construction(EF_CONSTRUCTION)
    }

    fn collection(&self) -> Result<Collection<u64, ()>> {
        let read = self.db.begin_read().map_err(Error::engine(NAME))?;
        read.open_collection(self.definition()).map_err(Error::engine(NAME))
    }

    fn import(&self, rows: &Matrix) -> redknot::Result<()> {
        let step = (IMPORT_BYTES / (4 * self.dim)).max(1);
        for first in (0..rows.rows()).step_by(step) {
            let end = rows.rows().min(first + step);
            let keys: Vec<u64> = (first as u64..end as u64).collect();
            let vectors: Vec<f32> = (first..end).flat_map(|row| rows.row(row)).copied().collect();
            let mut txn = self.db.begin_write()?;
            txn.open_collection(self.definition())?.import(&keys, vectors.as_slice(), &[])?;
            txn.commit()?;
        }
        Ok(())
    }
}

impl Redknot {
    pub(crate) fn new() -> Result<Redknot> {
        let folder = tempfile::tempdir().map_err(Error::engine(NAME))?;
        Ok(Redknot { folder, open: None, training: None })
    }

    /// With a router, which learns from `queries`.
    pub(crate) fn routed(queries: Matrix) -> Result<Redknot> {
        Ok(Redknot { training: Some(queries), ..Redknot::new()? })
    }

    /// The plans that the router's calibration found worth considering.
    fn plans(&self, db: &Database) -> Result<Vec<Effort>> {
        if self.training.is_none() {
            return Ok(Vec::new());
        }
        let router = db.router(COLLECTION).map_err(Error::engine(ROUTER))?;
        let measured = router.into_iter().flat_map(|router| router.calibration.routed);
        let efforts = measured.filter_map(|measured| match measured.plan {
            Plan::Routed(effort) => Some(effort),
            Plan::Greedy(_) => None,
        });
        Ok(efforts.collect())
    }

    fn opened(&self) -> &Open {
        self.open.as_ref().expect("the driver builds or loads an index before it uses it")
    }
}

impl Engine for Redknot {
    fn name(&self) -> &'static str {
        if self.training.is_some() { ROUTER } else { NAME }
    }

    fn details(&self) -> Result<String> {
        let (dim, m, ef_construction, seed) = (1, M, EF_CONSTRUCTION, 0);
        let (metric, element) = (redknot::Metric::L2, redknot::Element::F32);
        let config = redknot::IndexConfig { dim, metric, element, m, ef_construction, seed };
        let trained = self.training.as_ref().map_or(String::new(), |queries| {
            let hash = xxh3_64(bytemuck::cast_slice(queries.values()));
            format!(" trained with {} queries {hash:016x}", queries.rows())
        });
        Ok(format!("{}{trained}, runs {:?}", env!("CARGO_PKG_VERSION"), config.isa()))
    }

    fn build(&mut self, base: &Matrix, plan: BuildPlan) -> Result<Duration> {
        let path = self.folder.path().join("peers.redknot");
        self.open = None;
        let _ = std::fs::remove_file(&path);
        let start = Instant::now();
        let db = Database::create(&path).map_err(Error::engine(NAME))?;
        let mut open = Open { db, metric: plan.metric, dim: base.dim(), plans: Vec::new() };
        open.import(base).map_err(Error::engine(NAME))?;
        let threads = NonZero::new(plan.threads).unwrap_or(NonZero::<usize>::MIN);
        open.db.build(open.definition()).threads(threads).run().map_err(Error::engine(NAME))?;
        if let Some(queries) = &self.training {
            let training = open.db.train_router(open.definition()).queries(queries.values());
            training.run().map_err(Error::engine(ROUTER))?;
        }
        let elapsed = start.elapsed();
        open.plans = self.plans(&open.db)?;
        self.open = Some(open);
        Ok(elapsed)
    }

    fn add(&mut self, rows: &Matrix, first: u32, _threads: usize) -> Result<Duration> {
        let open = self.opened();
        let start = Instant::now();
        let insert = || -> redknot::Result<()> {
            for batch in (0..rows.rows()).step_by(INSERT_ROWS) {
                let mut txn = open.db.begin_write()?;
                let mut collection = txn.open_collection(open.definition())?;
                for row in batch..rows.rows().min(batch + INSERT_ROWS) {
                    collection.insert(u64::from(first) + row as u64, rows.row(row), ())?;
                }
                txn.commit()?;
            }
            Ok(())
        };
        insert().map_err(Error::engine(NAME))?;
        Ok(start.elapsed())
    }

    fn search(&mut self, queries: &Matrix, plan: SearchPlan, ids: &mut [u32]) -> Result<Duration> {
        let collection = self.opened().collection()?;
        // The effort of a router is the number of its plan, counted from 1.
        let effort = self.training.as_ref().and_then(|_| self.opened().plans.get(plan.ef - 1)).copied();
        timed_search(queries, plan, ids, || {
            Ok(|query: &[f32], ids: &mut [u32]| {
                let search: Search<'_, u64> = collection.search(query).k(plan.k);
                let search = match effort {
                    Some(effort) => search.routed(effort),
                    None => search.greedy(Some(plan.ef)),
                };
                let found = search.run().map_err(Error::engine(NAME))?;
                answer(ids, found.hits.into_iter().map(|hit| hit.key as u32));
                Ok(())
            })
        })
    }

    fn bytes(&mut self) -> Result<u64> {
        Ok(self.opened().db.stats().map_err(Error::engine(NAME))?.file_bytes)
    }

    fn save(&mut self, path: &Path) -> Result<()> {
        let _ = std::fs::remove_file(path);
        self.opened().db.backup(path).map_err(Error::engine(NAME))
    }

    fn load(&mut self, path: &Path, base: &Matrix, plan: BuildPlan) -> Result<()> {
        // A copy: rows that are added later must not reach the saved index.
        let own = self.folder.path().join("loaded.redknot");
        std::fs::copy(path, &own).map_err(Error::engine(NAME))?;
        let db = Database::open(&own).map_err(Error::engine(NAME))?;
        let plans = self.plans(&db)?;
        self.open = Some(Open { db, metric: plan.metric, dim: base.dim(), plans });
        Ok(())
    }

    fn efforts(&self, grid: &[usize]) -> Vec<usize> {
        match (&self.training, &self.open) {
            (Some(_), Some(open)) => (1..=open.plans.len()).collect(),
            _ => grid.to_vec(),
        }
    }
}
