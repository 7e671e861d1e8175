//! The Rust crate hannoy: HNSW in an LMDB environment, read through LMDB's memory map.

use std::path::Path;
use std::time::{Duration, Instant};

use hannoy::distances::{Cosine, Euclidean};
use hannoy::{Database, Distance, Reader, Writer};
use heed::{CommitOrAbort, CompactionOption, Env, EnvOpenOptions, WithoutTls};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::{BuildPlan, EF_CONSTRUCTION, Engine, M, SearchPlan, answer, timed_search};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::metric::Metric;

const NAME: &str = "hannoy";
/// The number under which the one index stands in its LMDB database.
const INDEX: u16 = 0;
/// Fixes the levels of the nodes.
const SEED: u64 = 42;
/// LMDB's own name for its data file.
const DATA_FILE: &str = "data.mdb";

#[derive(Default)]
pub(crate) struct Hannoy {
    store: Option<Store>,
}

/// The environment is closed before its folder is removed: fields drop in this order.
struct Store {
    env: Env<WithoutTls>,
    metric: Metric,
    _folder: TempDir,
}

impl Engine for Hannoy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn details(&self) -> Result<String> {
        Ok("0.3.0".into())
    }

    fn build(&mut self, base: &Matrix, plan: BuildPlan) -> Result<Duration> {
        self.store = Some(Store::open(base.dim(), plan, None)?);
        self.add(base, 0, plan.threads)
    }

    /// One write transaction, durable when it returns.
    fn add(&mut self, rows: &Matrix, first: u32, threads: usize) -> Result<Duration> {
        let store = built(&self.store);
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(Error::engine(NAME))?;
        let start = Instant::now();
        pool.install(|| match store.metric {
            Metric::L2 => store.add::<Euclidean>(rows, first),
            Metric::Cosine => store.add::<Cosine>(rows, first),
        })?;
        Ok(start.elapsed())
    }

    fn search(&mut self, queries: &Matrix, plan: SearchPlan, ids: &mut [u32]) -> Result<Duration> {
        let store = built(&self.store);
        match store.metric {
            Metric::L2 => store.search::<Euclidean>(queries, plan, ids),
            Metric::Cosine => store.search::<Cosine>(queries, plan, ids),
        }
    }

    fn bytes(&mut self) -> Result<u64> {
        built(&self.store).env.real_disk_size().map_err(Error::engine(NAME))
    }

    fn save(&mut self, path: &Path) -> Result<()> {
        let copied = built(&self.store).env.copy_to_path(path, CompactionOption::Disabled);
        copied.map(drop).map_err(Error::engine(NAME))
    }

    fn load(&mut self, path: &Path, base: &Matrix, plan: BuildPlan) -> Result<()> {
        self.store = Some(Store::open(base.dim(), plan, Some(path))?);
        Ok(())
    }
}

impl Store {
    /// Opens an environment in a temporary folder, with the contents of the file `from` if that is given.
    #[expect(unsafe_code, reason = "LMDB maps its file; nothing but this process may change it")]
    fn open(dim: usize, plan: BuildPlan, from: Option<&Path>) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
        if let Some(from) = from {
            std::fs::copy(from, folder.path().join(DATA_FILE)).map_err(Error::io(from))?;
        }
        // Address space, not memory: four times the vectors, because LMDB rounds each up to whole pages.
        let map_size = (1 << 30) + plan.capacity * dim.next_multiple_of(1024) * size_of::<f32>() * 4;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_size);
        // SAFETY: the folder is new and private to this process, the environment is opened once, and no flag
        // turns LMDB's locking off.
        let env = unsafe { options.open(folder.path()) }.map_err(Error::engine(NAME))?;
        Ok(Self { env, metric: plan.metric, _folder: folder })
    }

    fn database<D: Distance>(&self) -> Result<Database<'_, D>> {
        let transaction = self.env.write_txn().map_err(Error::engine(NAME))?;
        let database = self.env.create_databases_and_commit(transaction, |create, transaction| {
            create.create_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
        });
        Ok(database.map_err(Error::engine::<heed::Error>(NAME))?.unwrap_commit())
    }

    fn add<D: Distance>(&self, rows: &Matrix, first: u32) -> Result<()> {
        let writer: Writer<'_, D> = Writer::new(self.database()?, INDEX, rows.dim());
        let mut transaction = self.env.write_txn().map_err(Error::engine(NAME))?;
        for (id, row) in (first..).zip(0..rows.rows()) {
            writer.add_item(&mut transaction, id, rows.row(row)).map_err(Error::engine(NAME))?;
        }
        let mut rng = StdRng::seed_from_u64(SEED + u64::from(first));
        let mut builder = writer.builder(&mut rng);
        builder.ef_construction(EF_CONSTRUCTION);
        builder.build::<M, { 2 * M }>(&mut transaction).map_err(Error::engine(NAME))?;
        transaction.commit().map_err(Error::engine(NAME))
    }

    fn search<D: Distance>(&self, queries: &Matrix, plan: SearchPlan, ids: &mut [u32]) -> Result<Duration> {
        let database: Database<'_, D> = self.database()?;
        timed_search(queries, plan, ids, || {
            let transaction = self.env.read_txn().map_err(Error::engine(NAME))?;
            let reader = Reader::open(&transaction, INDEX, database).map_err(Error::engine(NAME))?;
            Ok(move |query: &[f32], ids: &mut [u32]| {
                let found = reader.nns(plan.k).ef_search(plan.ef).by_vector(&transaction, query);
                let found = found.map_err(Error::engine(NAME))?.into_nns();
                answer(ids, found.into_iter().map(|(id, _)| id));
                Ok(())
            })
        })
    }
}

fn built(store: &Option<Store>) -> &Store {
    store.as_ref().expect("the driver builds or loads an index before it uses it")
}
