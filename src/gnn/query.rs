//! Models that judge rows by a query.

use redknot_gnn::layers::{GnnError, Matrix, Model, WithQuery};
use redknot_index::{Reader, SearchParams, VectorRef, decode};

use super::passing::{Layers, from_gnn};
use crate::answer;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::query::{check_ef, check_k};

/// Rows that are ranked by a model for each row that is asked for.
const CANDIDATES_PER_HIT: usize = 10;
/// Rows that a query is joined to where the model does not say how many it samples.
const NEIGHBORS: usize = 10;

/// A row as a model judges it by a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored<K> {
    /// The row.
    pub key: K,
    /// The cosine of the angle between the two embeddings, −1 to 1; of [`DifferentiableSearch`], a share, 0 to 1.
    pub score: f32,
}

/// What [`Layers::differentiable_search`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct DifferentiableSearch<K> {
    /// The rows with the share of the attention that each got, the most first; the shares of all add up to 1.
    pub hits: Vec<Scored<K>>,
    /// What the query became.
    pub embedding: Vec<f32>,
}

/// What a model makes of a query, and of rows that it is compared with.
struct Judged {
    nodes: Vec<u32>,
    /// A row for each node.
    rows: Matrix,
    query: Vec<f32>,
}

impl<K: Key> Layers<'_, K> {
    /// How similar each of these rows is to `query` once `model` has looked at the neighbourhoods of both: the cosine of
    /// the angle between the embeddings, −1 to 1. The query counts as a node that messages reach from the rows that it is
    /// nearest to.
    ///
    /// # Errors
    /// [`crate::Error::UnknownKey`] for a key without a row, [`crate::Error::Vector`] for a query that does not fit the
    /// collection, [`crate::Error::Gnn`] where the model takes another width.
    pub fn gnn_score<'q>(
        &self,
        model: &Model,
        query: impl Into<VectorRef<'q>>,
        keys: &[K::Ref<'_>],
    ) -> Result<Vec<f32>> {
        let nodes = keys.iter().map(|key| self.graph.existing(*key)).collect::<Result<Vec<u32>>>()?;
        let query = self.encode(query.into())?;
        let near = self.near(&query, neighbors_of(model))?;
        let judged = self.judge(model, &query, &near, nodes)?;
        Ok(judged.similarities())
    }

    /// The `k` rows most similar to `query` by [`Layers::gnn_score`], of the 10 k that are nearest to it: a search of
    /// neighbourhoods rather than of rows. Meant for GraphSAGE, which is trained to embed rows it has not seen (Hamilton,
    /// Ying & Leskovec, NeurIPS 2017); any model will do.
    ///
    /// # Errors
    /// As [`Layers::gnn_score`]; [`crate::Error::InvalidParameter`] for a `k` out of range.
    pub fn graphsage_search<'q>(
        &self,
        model: &Model,
        query: impl Into<VectorRef<'q>>,
        k: usize,
    ) -> Result<Vec<Scored<K::Owned>>> {
        let judged = self.judge_near(model, query.into(), k)?;
        self.best(&judged, &judged.similarities(), k)
    }

    /// The `k` rows that get the most attention from `query`, of the 10 k that are nearest to it, and what `model` makes of
    /// the query. The attention is the softmax of the similarities of [`Layers::gnn_score`] divided by `temperature`:
    /// unlike a ranking it has a gradient. Meant for RuVector layers; any model will do.
    ///
    /// # Errors
    /// As [`Layers::graphsage_search`]; [`crate::Error::InvalidParameter`] for a temperature that is not above 0.
    pub fn differentiable_search<'q>(
        &self,
        model: &Model,
        query: impl Into<VectorRef<'q>>,
        k: usize,
        temperature: f32,
    ) -> Result<DifferentiableSearch<K::Owned>> {
        if !(temperature.is_finite() && temperature > 0.0) {
            let (name, got) = ("temperature", temperature.to_string());
            return Err(Error::InvalidParameter { name, got, expected: "a number above 0" });
        }
        let judged = self.judge_near(model, query.into(), k)?;
        let mut shares = judged.similarities();
        let most = shares.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        shares.iter_mut().for_each(|share| *share = ((*share - most) / temperature).exp());
        let sum: f32 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= sum);
        let hits = self.best(&judged, &shares, k)?;
        Ok(DifferentiableSearch { hits, embedding: judged.query })
    }

    /// What a model of one RuVector layer makes of `query`, which attends to the `k` rows nearest to it and to those around
    /// them, a hop farther with each hop of the layer ([`Model::attend_query`]).
    ///
    /// # Errors
    /// [`crate::Error::Gnn`] for a model of another type or of several layers, otherwise as [`Layers::graphsage_search`].
    pub fn attend_query<'q>(
        &self,
        model: &Model,
        query: impl Into<VectorRef<'q>>,
        k: usize,
    ) -> Result<Vec<f32>> {
        check_k(k)?;
        let query = self.encode(query.into())?;
        let near = self.near(&query, k)?;
        let config = self.graph.rows.index.config();
        let (graph, vectors) = self.open()?;
        let query = decode(&query, config.dim, config.element);
        model.attend_query(&graph, &vectors, &query, &near).map_err(|error| self.explain(error))
    }

    /// How likely an edge joins the two rows of each pair, 0 to 1, by a model that was trained to tell
    /// (`Layers::train_link_prediction`): the logistic function of the dot product of their embeddings.
    ///
    /// # Errors
    /// [`crate::Error::UnknownKey`] for a key without a row, [`crate::Error::Gnn`] where the model takes another width.
    pub fn predict_links(&self, model: &Model, pairs: &[(K::Ref<'_>, K::Ref<'_>)]) -> Result<Vec<f32>> {
        let mut nodes = Vec::with_capacity(2 * pairs.len());
        for (a, b) in pairs {
            nodes.extend([self.graph.existing(*a)?, self.graph.existing(*b)?]);
        }
        let (graph, vectors) = self.open()?;
        let rows = model.forward_nodes(&graph, &vectors, &nodes, &self.options());
        let rows = rows.map_err(|error| self.explain(error))?;
        self.check_all_finite(&nodes, &rows)?;
        let probability = |pair: usize| {
            let (a, b) = (rows.row(2 * pair), rows.row(2 * pair + 1));
            let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            1.0 / (1.0 + (-dot).exp())
        };
        Ok((0..pairs.len()).map(probability).collect())
    }

    /// Whether the numbers that a model made of nodes, a row for each, are some.
    fn check_all_finite(&self, nodes: &[u32], rows: &Matrix) -> Result<()> {
        nodes.iter().enumerate().try_for_each(|(at, node)| self.check_finite(*node, rows.row(at)))
    }

    fn judge_near(&self, model: &Model, query: VectorRef<'_>, k: usize) -> Result<Judged> {
        check_k(k)?;
        let query = self.encode(query)?;
        let candidates = k.saturating_mul(CANDIDATES_PER_HIT);
        let near = self.near(&query, candidates.max(neighbors_of(model)))?;
        let compared = near[..candidates.min(near.len())].to_vec();
        self.judge(model, &query, &near, compared)
    }

    /// The query as rows are kept.
    fn encode(&self, query: VectorRef<'_>) -> Result<Vec<u8>> {
        answer::encode_query(&self.graph.rows, query)
    }

    /// The nodes nearest to a query, the nearest first.
    fn near(&self, query: &[u8], count: usize) -> Result<Vec<u32>> {
        check_ef(self.ef)?;
        let reader = Reader::open(&*self.graph.snapshot, &self.graph.rows.index)?;
        let found = reader.search(query, SearchParams { k: count, ef: self.ef.max(count) })?;
        Ok(found.neighbors.iter().map(|neighbor| neighbor.id).collect())
    }

    /// Embeds `nodes` and a query that messages reach from the first of the nodes `near` to it.
    fn judge(&self, model: &Model, query: &[u8], near: &[u32], mut nodes: Vec<u32>) -> Result<Judged> {
        let config = self.graph.rows.index.config();
        let query = decode(query, config.dim, config.element);
        let (graph, vectors) = self.open()?;
        let joined = neighbors_of(model).min(near.len());
        let with_query = WithQuery::new(&graph, &vectors, &query, &near[..joined]).map_err(from_gnn)?;
        nodes.push(with_query.node());
        let rows = model.forward_nodes(&with_query, &with_query, &nodes, &self.options());
        let rows = rows.map_err(|error| self.explain(error))?;
        nodes.pop();
        let query = rows.row(nodes.len()).to_vec();
        if let Some(index) = query.iter().position(|x| !x.is_finite()) {
            let (what, got) = ("the embedding of the query at", query[index]);
            return Err(GnnError::NotFinite { what, index, got }.into());
        }
        self.check_all_finite(&nodes, &rows)?;
        Ok(Judged { nodes, rows, query })
    }

    fn best(&self, judged: &Judged, scores: &[f32], k: usize) -> Result<Vec<Scored<K::Owned>>> {
        let mut ranked: Vec<(u32, f32)> = judged.nodes.iter().copied().zip(scores.iter().copied()).collect();
        // Equal scores by node number, so that answers do not depend on the order of candidates.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.truncate(k);
        ranked.into_iter().map(|(node, score)| Ok(Scored { key: self.graph.key(node)?, score })).collect()
    }
}

/// How many rows a query is joined to, if the collection has as many.
fn neighbors_of(model: &Model) -> usize {
    model.description().sample_size.unwrap_or(NEIGHBORS)
}

impl Judged {
    /// The cosine of the angle between each row and the query.
    fn similarities(&self) -> Vec<f32> {
        let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
        let of_query = length(&self.query);
        let similarity = |row: usize| {
            let row = self.rows.row(row);
            let dot: f32 = row.iter().zip(&self.query).map(|(a, b)| a * b).sum();
            let lengths = length(row) * of_query;
            // A row of zeros is similar to none.
            if lengths > 0.0 { (dot / lengths).clamp(-1.0, 1.0) } else { 0.0 }
        };
        (0..self.nodes.len()).map(similarity).collect()
    }
}
