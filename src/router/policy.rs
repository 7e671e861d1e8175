//! Searches that an online policy guides.

use redknot_gnn::online::{GnnRoutingPolicy, Graph};
use redknot_index::{Reader, SearchParams};
use redknot_storage::View;

use crate::answer::Answer;
use crate::catalog::Record;
use crate::error::Result;

/// The graph of a collection, with its features where it has any.
pub(crate) fn graph<'v>(reader: Reader<'v>, view: &'v impl View, record: &'v Record) -> Graph<'v> {
    match &record.features {
        Some(features) => Graph::with_features(reader, view, features),
        None => Graph::new(reader),
    }
}

/// The nearest rows, by the policy or, where it fails, greedily.
pub(crate) fn follow<'v>(
    policy: &GnnRoutingPolicy,
    view: &'v impl View,
    reader: Reader<'v>,
    record: &'v Record,
    query: &[u8],
    params: SearchParams,
) -> Result<Answer> {
    let answer = policy.search(&graph(reader, view, record), query, params)?;
    if let Some(error) = &answer.failure {
        tracing::debug!(%error, "a policy could not guide a search, which is answered greedily");
    }
    Ok(Answer { found: answer.found, key_scores: 0, inferences: answer.inferences, routed: answer.guided })
}
