//! The bundled definitions.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use redknot::{Collection, Database, Element, Metric};

use super::{COLLECTION, K};
use crate::cli::bench::measure::Queries;
use crate::cli::bench::truth::{RowNames, Truth};
use crate::cli::create::{GraphArgs, NewCollection};
use crate::cli::error::CliError;
use crate::cli::import::{Imported, Load};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::rows::{KeyType, PayloadType, RowPayload, with_types};
use crate::cli::vectors::{Batch, Neighbours, VectorFile, read_lines};

/// The demo data, found and read as far as it is small.
pub(super) struct Data {
    folder: PathBuf,
    rows: u64,
    /// Texts of the queries.
    pub(super) query_texts: Vec<String>,
    /// The exact nearest rows of each query.
    pub(super) truth: Neighbours,
}

impl Data {
    /// The data in `folder`, or in the source tree that this program was built from.
    pub(super) fn find(folder: Option<&Path>) -> Result<Self, CliError> {
        let bundled = || Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join("demo");
        let folder = folder.map_or_else(bundled, Path::to_owned);
        if !folder.join("base.npy").is_file() {
            return Err(CliError::DemoData { folder });
        }
        let rows = VectorFile::open(&folder.join("base.npy"))?.rows().unwrap_or_default();
        let query_texts = read_lines(&folder.join("query.txt"))?;
        let truth = Neighbours::load(&folder.join("gt.npy"))?;
        Ok(Self { folder, rows, query_texts, truth })
    }

    /// Rows of the base.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The file of queries.
    pub(super) fn queries(&self) -> PathBuf {
        self.folder.join("query.npy")
    }

    /// The file of the exact nearest rows.
    pub(super) fn truth_path(&self) -> PathBuf {
        self.folder.join("gt.npy")
    }

    /// The queries, or the first of them, with their true answers.
    pub(super) fn questions<P: RowPayload>(
        &self,
        collection: &Collection<u64, P>,
        quick: bool,
    ) -> Result<(Queries, Truth<u64>), CliError> {
        let limit = NonZero::new(if quick { 100 } else { 500 });
        let queries = Queries::load(&self.queries(), limit, &collection.config())?;
        let (path, names) = (self.truth_path(), RowNames::<u64>::Numbers);
        let truth = Truth::from_table(&path, &self.truth, queries.len(), K, collection, &names)?;
        Ok((queries, truth))
    }

    /// Imports the base: row numbers as keys, texts as payloads.
    pub(super) fn import(&self, database: &Database, output: Output) -> Result<Imported, CliError> {
        let path = self.folder.join("base.npy");
        let mut file = VectorFile::open(&path)?.with_payloads(&self.folder.join("base.txt"))?;
        let mut batch = Batch::default();
        file.read(Load::batch_rows(&file), &mut batch)?;
        let target = NewCollection {
            name: COLLECTION,
            dim: file.dim(),
            metric: Metric::Cosine,
            element: Element::I8,
            graph: GraphArgs { m: None, ef_construction: None },
        };
        let load = Load {
            database,
            target,
            path: &path,
            file,
            batch,
            check: None,
            first_key: 0,
            progress: Progress::new(output, "import", "rows"),
            interrupt: &Interrupt::never(),
        };
        Ok(with_types(KeyType::U64, PayloadType::Text, load)?.report(COLLECTION, true))
    }
}
