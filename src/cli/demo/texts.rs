//! A few queries as people read them.

use redknot::Database;
use serde::Serialize;

use super::data::Data;
use super::{COLLECTION, K, Stage};
use crate::cli::bench::measure::Queries;
use crate::cli::error::CliError;

/// Definitions that are not in the base, chosen by hand because what is near them is easy to judge.
const SHOWN: [&str; 4] = [
    "a former English silver coin worth four pennies",
    "widespread tropical mosquito that transmits filarial worms",
    "(of a restaurant meal) complete but with limited choices and at a fixed price",
    "clear homogeneous glass of known refractive index; used to make lenses",
];

/// Answers shown for each.
const SHOWN_HITS: usize = 3;

/// A query and its nearest definitions.
#[derive(Debug, Serialize)]
pub(super) struct Answered {
    query: String,
    hits: Vec<Definition>,
}

#[derive(Debug, Serialize)]
struct Definition {
    row: u64,
    similarity: f32,
    text: String,
}

/// Answers the queries and checks that the nearest definition of each is the true one.
pub(super) fn answer(database: &Database, data: &Data, stage: &mut Stage) -> Result<Vec<Answered>, CliError> {
    stage.title("6. A few queries: definitions that are not in the database, and the nearest that are");
    let read = database.begin_read()?;
    let collection = read.open_collection_named::<u64, &'static str>(COLLECTION)?;
    let queries = Queries::load(&data.queries(), None, &collection.config())?;
    let mut answered = Vec::new();
    for query in SHOWN {
        let Some(index) = data.query_texts.iter().position(|text| text == query) else {
            stage.check(format_args!("{query:?} is among the queries"), false);
            continue;
        };
        let found = collection.search(queries.get(index)).k(K).ef(160).run()?;
        let mut hits = Vec::new();
        for hit in found.hits.iter().take(SHOWN_HITS) {
            let text = collection.get(hit.key)?.map(|text| text.value().to_owned()).unwrap_or_default();
            hits.push(Definition { row: hit.key, similarity: 1.0 - hit.distance, text });
        }
        stage.say(format_args!("  {query}"));
        for hit in &hits {
            stage.say(format_args!("    {:.2}  {}", hit.similarity, hit.text));
        }
        let truth = data.truth.queries().nth(index).and_then(|rows| rows.first());
        let nearest = hits.first().map(|hit| hit.row as i32);
        if truth != nearest.as_ref() {
            stage.check(format_args!("the nearest definition is row {truth:?}"), false);
        }
        answered.push(Answered { query: query.to_owned(), hits });
    }
    stage.check(
        format_args!("all {} queries found their true nearest definition", SHOWN.len()),
        stage.failed.is_empty(),
    );
    Ok(answered)
}
