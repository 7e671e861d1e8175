//! Where the query of a command comes from.

use std::path::{Path, PathBuf};

use redknot::{Collection, Search};

use super::error::CliError;
use super::rows::{RowKey, RowPayload};
use super::vectors::{Batch, Values, VectorFile};

/// The query of a command, and how hard to look.
#[derive(Debug, clap::Args)]
pub(super) struct QueryArgs {
    #[command(flatten)]
    source: Source,

    /// How many rows to find.
    #[arg(short, default_value_t = 10)]
    k: usize,

    /// Effort of greedy search: candidates kept while the graph is searched [default: 64, or 2k where that is more]. A
    /// router's is what was calibrated to give as much.
    #[arg(long)]
    ef: Option<usize>,

    /// As little effort as reaches this recall, 0 to 1, by what `redknot train` calibrated.
    #[arg(long, conflicts_with = "ef")]
    recall: Option<f64>,
}

/// Where a query comes from.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    #[command(flatten)]
    from: From,

    /// Row of --vectors, counted from 0.
    #[arg(long, value_name = "N", requires = "vectors", default_value_t = 0)]
    row: u64,
}

/// One of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct From {
    /// The query: numbers between commas, with or without brackets.
    #[arg(short, long, value_name = "NUMBERS", allow_hyphen_values = true)]
    vector: Option<String>,

    /// A file of vectors (.npy, .fvecs, .bvecs, .jsonl) whose row --row is the query.
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,

    /// A key of the collection: finds more like this row (`search` leaves the row itself out).
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    like: Option<String>,
}

/// A query, and the key of the row that it is, if any.
pub(super) struct Query<K> {
    pub(super) values: Values,
    pub(super) like: Option<K>,
}

impl QueryArgs {
    /// Reads the query. `name` is that of the collection.
    pub(super) fn read<K: RowKey, P: RowPayload>(
        &self,
        name: &str,
        collection: &Collection<K, P>,
    ) -> Result<Query<K::Owned>, CliError> {
        self.source.read(name, collection)
    }

    /// The search with as many rows and as much effort as the command says.
    pub(super) fn ask<'a, K: RowKey>(&self, search: Search<'a, K>) -> Search<'a, K> {
        let search = search.k(self.k);
        match (self.ef, self.recall) {
            (Some(ef), _) => search.ef(ef),
            (None, Some(recall)) => search.recall(recall),
            (None, None) => search,
        }
    }

    /// How a reader would name it.
    #[cfg(feature = "routing")]
    pub(super) fn describe(&self) -> String {
        let Source { from, row } = &self.source;
        match (&from.vectors, &from.like) {
            (Some(path), _) => format!("row {row} of {}", path.display()),
            (_, Some(key)) => format!("row {key}"),
            _ => "the given vector".to_owned(),
        }
    }
}

impl Source {
    /// Reads the query. `name` is that of the collection.
    pub(super) fn read<K: RowKey, P: RowPayload>(
        &self,
        name: &str,
        collection: &Collection<K, P>,
    ) -> Result<Query<K::Owned>, CliError> {
        if let Some(text) = &self.from.like {
            let key = K::parse(text)?;
            let unknown = || redknot::Error::UnknownKey { name: name.to_owned(), key: text.clone() };
            let values = Values::F32(collection.vector(K::borrow(&key))?.ok_or_else(unknown)?);
            return Ok(Query { values, like: Some(key) });
        }
        let values = match (&self.from.vectors, &self.from.vector) {
            (Some(path), _) => row_of(path, self.row)?,
            (None, text) => Values::F32(parse_vector(text.as_deref().unwrap_or_default())?),
        };
        Ok(Query { values, like: None })
    }
}

/// Numbers between commas, in brackets or not.
fn parse_vector(text: &str) -> Result<Vec<f32>, CliError> {
    let inner = text.trim();
    let array = if inner.starts_with('[') { inner.to_owned() } else { format!("[{inner}]") };
    serde_json::from_str(&array).map_err(|source| CliError::Vector { text: text.to_owned(), source })
}

/// Row `row` of a file of vectors.
fn row_of(path: &Path, row: u64) -> Result<Values, CliError> {
    const STEP: usize = 4096;
    let mut file = VectorFile::open(path)?;
    let mut batch = Batch::default();
    let mut passed = 0;
    loop {
        let left = usize::try_from(row - passed).unwrap_or(usize::MAX);
        // The last step ends with the wanted row.
        let step = left.saturating_add(1).min(STEP);
        let rows = file.read(step, &mut batch)?;
        if rows == 0 {
            return Err(CliError::NoSuchRow { path: path.to_owned(), row, rows: passed });
        }
        passed += rows as u64;
        if passed > row {
            let mut values = batch.values;
            values.drop_front((rows - 1) * file.dim());
            return Ok(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_a_list_with_or_without_brackets() {
        for text in ["1, -2.5,3e2", "[1,-2.5,300]", "  [1, -2.5, 300.0] "] {
            assert_eq!(parse_vector(text).unwrap(), [1.0, -2.5, 300.0]);
        }
        for text in ["", "1;2", "[1,2", "1,,2", "a"] {
            let parsed = parse_vector(text);
            // The empty list is a vector, of a dimension that no collection has.
            assert!(text.is_empty() && parsed.as_ref().is_ok_and(Vec::is_empty) || parsed.is_err(), "{text}");
        }
    }
}
