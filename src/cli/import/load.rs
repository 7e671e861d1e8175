//! A file into a collection: checked to its end first, then committed batch by batch.

use std::path::Path;
use std::time::{Duration, Instant};

use redknot::Database;
use redknot_index::{encode, row_bytes};

use super::Imported;
use crate::cli::create::NewCollection;
use crate::cli::error::CliError;
use crate::cli::interrupt::Interrupt;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::cli::rows::{OnRows, RowKey, RowPayload};
use crate::cli::vectors::{self, Batch, VectorFile};

/// Vectors of one transaction, at most: bounds what an import holds in memory, and what is lost when it is stopped.
/// From 32 MiB on, glibc's malloc would give the memory of each batch back to the system, which then clears it anew.
const BATCH_BYTES: usize = 16 << 20;

/// Rows that are read at a time while a file is checked: few enough to stay in the processor's cache.
const CHECKED_ROWS: usize = 256;

/// A file on its way into a collection, its first batch read.
pub(in crate::cli) struct Load<'a> {
    pub(in crate::cli) database: &'a Database,
    pub(in crate::cli) target: NewCollection<'a>,
    /// The file of vectors, for messages.
    pub(in crate::cli) path: &'a Path,
    pub(in crate::cli) file: VectorFile,
    pub(in crate::cli) batch: Batch,
    /// The same file, to be read to its end and checked before anything of it is committed; `None` where that
    /// cannot be, as with a pipe, or need not be.
    pub(in crate::cli) check: Option<VectorFile>,
    pub(in crate::cli) first_key: u64,
    pub(in crate::cli) progress: Progress,
    pub(in crate::cli) interrupt: &'a Interrupt,
}

/// What was loaded.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Loaded {
    rows: u64,
    replaced: u64,
    vector_bytes: u64,
    time: Duration,
}

impl Loaded {
    /// The report of the whole import.
    pub(in crate::cli) fn report(&self, collection: &str, created: bool) -> Imported {
        let seconds = self.time.as_secs_f64().max(1e-9);
        Imported {
            collection: collection.to_owned(),
            created,
            rows: self.rows,
            replaced: self.replaced,
            vector_bytes: self.vector_bytes,
            seconds,
            rows_per_second: self.rows as f64 / seconds,
            bytes_per_second: self.vector_bytes as f64 / seconds,
        }
    }
}

impl OnRows for Load<'_> {
    type Output = Loaded;

    fn run<K: RowKey, P: RowPayload>(mut self) -> Result<Loaded, CliError> {
        let start = Instant::now();
        if let Some(file) = self.check.take() {
            self.check_file::<K, P>(file)?;
        }
        self.progress.set(0, self.file.rows());
        let (mut rows, mut replaced) = (0, 0);
        let stopped = loop {
            let in_batch = self.batch.values.len() / self.file.dim();
            if in_batch == 0 {
                break None;
            }
            if self.interrupt.pressed() {
                let done = format!("{} rows are committed and stay", output::count(rows));
                return Err(CliError::Interrupted { done });
            }
            match self.commit::<K, P>(rows) {
                Ok(already) => replaced += already,
                Err(error) => break Some(error),
            }
            rows += in_batch as u64;
            self.progress.set(rows, self.rows_in_all(rows));
            let max_rows = Self::batch_rows(&self.file);
            if let Err(error) = self.file.read(max_rows, &mut self.batch) {
                break Some(error.into());
            }
        };
        match stopped {
            None => {
                let row_bytes = row_bytes(self.target.dim, self.target.element) as u64;
                Ok(Loaded { rows, replaced, vector_bytes: rows * row_bytes, time: start.elapsed() })
            }
            Some(error) if rows == 0 => Err(error),
            Some(error) => Err(CliError::ImportStopped { rows, source: Box::new(error) }),
        }
    }
}

impl Load<'_> {
    /// Rows of a batch of `file`.
    pub(in crate::cli) fn batch_rows(file: &VectorFile) -> usize {
        (BATCH_BYTES / file.element().bytes_per_row(file.dim()).max(1)).max(1)
    }

    /// Rows of the whole file: as it says, or else estimated from the part of it that `rows` rows took.
    fn rows_in_all(&self, rows: u64) -> Option<u64> {
        self.file.rows().or_else(|| {
            let (read, total) = self.file.progress_bytes();
            Some((total? as f64 / read.max(1) as f64 * rows as f64) as u64)
        })
    }

    /// Commits the batch, whose first row is row `first_row` of the file; how many of its keys were there before.
    fn commit<K: RowKey, P: RowPayload>(&mut self, first_row: u64) -> Result<u64, CliError> {
        let rows = self.batch.values.len() / self.file.dim();
        let in_file = std::mem::take(&mut self.batch.keys);
        let keys = self.keys::<K>(in_file, first_row, rows)?;
        let refs: Vec<K::Ref<'_>> = keys.iter().map(|key| K::borrow(key)).collect();
        let payloads = P::column(&self.batch.payloads, rows)?;
        let mut transaction = self.database.begin_write()?;
        let mut collection = transaction.open_collection(self.target.definition::<K, P>())?;
        let before = collection.len();
        collection
            .import(&refs, self.batch.values.as_vectors(), &payloads)
            .map_err(|error| self.name_row(error, first_row))?;
        let new = collection.len() - before;
        transaction.commit()?;
        Ok((rows as u64).saturating_sub(new))
    }

    /// Refuses the file if any of its rows, keys or payloads would be refused later.
    fn check_file<K: RowKey, P: RowPayload>(&self, mut file: VectorFile) -> Result<(), CliError> {
        let mut batch = Batch::default();
        let mut first_row = 0;
        while file.read(CHECKED_ROWS, &mut batch)? > 0 {
            let rows = batch.values.len() / file.dim();
            if self.interrupt.pressed() {
                return Err(CliError::Interrupted { done: "nothing is committed".to_owned() });
            }
            P::column(&batch.payloads, rows)?;
            self.check_rows(&batch, first_row)?;
            self.keys::<K>(std::mem::take(&mut batch.keys), first_row, rows)?;
            first_row += rows as u64;
        }
        Ok(())
    }

    /// The first row of a batch that the collection would refuse, as an error.
    fn check_rows(&self, batch: &Batch, first_row: u64) -> Result<(), CliError> {
        let (target, dim) = (&self.target, self.file.dim());
        let row_bytes = row_bytes(target.dim, target.element);
        let mut encoded = Vec::with_capacity(row_bytes);
        for row in 0..batch.values.len() / dim {
            encoded.clear();
            let vector = batch.values.row(row, dim);
            encode(vector, target.dim, target.element, target.metric, row_bytes, &mut encoded).map_err(
                |source| CliError::Row { path: self.path.to_owned(), row: first_row + row as u64, source },
            )?;
        }
        Ok(())
    }

    fn keys<K: RowKey>(
        &self,
        in_file: Vec<vectors::Key>,
        first_row: u64,
        rows: usize,
    ) -> Result<Vec<K::Owned>, CliError> {
        if !in_file.is_empty() {
            return in_file.into_iter().map(K::from_file).collect();
        }
        let first = self.first_key.checked_add(first_row);
        let keys = first.and_then(|first| Some(first..first.checked_add(rows as u64)?));
        let keys = keys.ok_or(CliError::FirstKeyTooLarge { first: self.first_key })?;
        keys.map(K::from_row_number).collect::<Option<_>>().ok_or(CliError::KeysNeeded)
    }

    /// Says which row it is that the collection refused.
    fn name_row(&self, error: redknot::Error, first_row: u64) -> CliError {
        let redknot::Error::Vector(_) = error else { return error.into() };
        self.check_rows(&self.batch, first_row).err().unwrap_or_else(|| error.into())
    }
}
