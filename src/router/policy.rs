//! Searches that an online policy guides.

use redknot_gnn::online::{GnnRoutingPolicy, Graph};
use redknot_index::{Reader, SearchParams};
use redknot_storage::View;

use crate::answer::Answer;
use crate::catalog::Record;
use crate::error::Result;

/// The nearest rows, by the policy or, where it fails, greedily.
pub(crate) fn follow<'v>(
    policy: &GnnRoutingPolicy,
    view: &'v impl View,
    reader: Reader<'v>,
    record: &'v Record,
    query: &[u8],
    params: SearchParams,
) -> Result<Answer> {
    let graph = match &record.features {
        Some(features) => Graph::with_features(reader, view, features),
        None => Graph::new(reader),
    };
    let answer = policy.search(&graph, query, params)?;
    if let Some(error) = &answer.failure {
        tracing::debug!(%error, "a policy could not guide a search, which is answered greedily");
    }
    Ok(Answer { found: answer.found, key_scores: 0, inferences: answer.inferences, routed: answer.guided })
}
