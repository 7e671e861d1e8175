//! `redknot search`

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use redknot::{Collection, Completeness, Database, VectorRef};
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Output, Report};
use super::rows::{OnRows, RowKey, RowPayload, with_types_of};
use super::vectors::{Batch, Values, VectorFile};

/// Arguments of `redknot search`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,
    #[command(flatten)]
    query: QueryArgs,

    /// Row of --vectors, counted from 0.
    #[arg(long, value_name = "N", requires = "vectors", default_value_t = 0)]
    row: u64,

    /// How many rows to find.
    #[arg(short, default_value_t = 10)]
    k: usize,

    /// Search effort: candidates kept while the graph is searched [default: 64, or 2k where that is more].
    #[arg(long)]
    ef: Option<usize>,

    /// As little effort as reaches this recall, 0 to 1, by what `redknot train` calibrated.
    #[arg(long, conflicts_with = "ef")]
    recall: Option<f64>,

    /// Look at every row instead of searching the graph.
    #[arg(long)]
    exact: bool,

    /// Only rows at this distance or nearer.
    #[arg(long, value_name = "DISTANCE")]
    within: Option<f32>,
}

/// Where the query comes from.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct QueryArgs {
    /// The query: numbers between commas, with or without brackets.
    #[arg(short, long, value_name = "NUMBERS", allow_hyphen_values = true)]
    vector: Option<String>,

    /// A file of vectors (.npy, .fvecs, .bvecs, .jsonl) whose row --row is the query.
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,

    /// A key of the collection: finds more like this row, which itself is left out.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    like: Option<String>,
}

#[derive(Debug, Serialize)]
struct Found<K> {
    collection: String,
    hits: Vec<FoundRow<K>>,
    /// `exact`, `approximate` or `short` (fewer rows qualify than were asked for; these are all).
    completeness: &'static str,
    distances: u64,
    hops: u64,
    search_us: f64,
}

#[derive(Debug, Serialize)]
struct FoundRow<K> {
    key: K,
    distance: f32,
    payload: Option<String>,
}

impl<K: Serialize + std::fmt::Display> Report for Found<K> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = output::table(&["rank", "distance", "key", "payload"], &[2, 3]);
        for (rank, hit) in self.hits.iter().enumerate() {
            let payload = hit.payload.clone().unwrap_or_default();
            let (rank, distance) = ((rank + 1).to_string(), format!("{:.6}", hit.distance));
            table.add_row([rank, distance, hit.key.to_string(), payload]);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        writeln!(
            out,
            "{} rows, {}, {} distances in {:.0} µs",
            self.hits.len(),
            self.completeness,
            output::count(self.distances),
            self.search_us
        )
    }
}

/// Runs `redknot search`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_read()?;
    let info = args.collection.find(&database)?;
    with_types_of(&info, SearchOne { args, database: &database, name: &info.name })?;
    Ok(Outcome::Done)
}

struct SearchOne<'a> {
    args: &'a Args,
    database: &'a Database,
    name: &'a str,
}

/// A query, and the key of the row that it is, if any.
struct Query<K> {
    values: Values,
    like: Option<K>,
}

impl OnRows for SearchOne<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let args = self.args;
        let collection = self.database.begin_read()?.open_collection_named::<K, P>(self.name)?;
        let query = self.query(&collection)?;
        let vector: VectorRef<'_> = query.values.as_vectors();
        let mut search = collection.search(vector).k(args.k);
        if let Some(ef) = args.ef {
            search = search.ef(ef);
        }
        if let Some(recall) = args.recall {
            search = search.recall(recall);
        }
        if args.exact {
            search = search.exact();
        }
        if let Some(radius) = args.within {
            search = search.within(radius);
        }
        if let Some(like) = &query.like {
            search = search.filter(move |key| !K::is(key, like));
        }
        let start = Instant::now();
        let result = search.run()?;
        let search_us = start.elapsed().as_secs_f64() * 1e6;
        let mut hits = Vec::with_capacity(result.hits.len());
        for hit in result.hits {
            let payload = collection.get(K::borrow(&hit.key))?;
            let payload = payload.and_then(|payload| P::text(&payload.value()));
            hits.push(FoundRow { key: hit.key, distance: hit.distance, payload });
        }
        args.output.show(&Found {
            collection: self.name.to_owned(),
            hits,
            completeness: completeness(result.completeness),
            distances: result.stats.distances,
            hops: result.stats.hops,
            search_us,
        })
    }
}

impl SearchOne<'_> {
    fn query<K: RowKey, P: RowPayload>(
        &self,
        collection: &Collection<K, P>,
    ) -> Result<Query<K::Owned>, CliError> {
        let args = &self.args.query;
        if let Some(text) = &args.like {
            let key = K::parse(text)?;
            let unknown = || redknot::Error::UnknownKey { name: self.name.to_owned(), key: text.clone() };
            let values = Values::F32(collection.vector(K::borrow(&key))?.ok_or_else(unknown)?);
            return Ok(Query { values, like: Some(key) });
        }
        let values = match (&args.vectors, &args.vector) {
            (Some(path), _) => row_of(path, self.args.row)?,
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

fn completeness(completeness: Completeness) -> &'static str {
    match completeness {
        Completeness::Exact => "exact",
        Completeness::Approximate => "approximate",
        Completeness::Short => "short",
        _ => "unknown",
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
