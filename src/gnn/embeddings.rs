//! Rows that a model computed.

use redknot_gnn::layers::Matrix;
use redknot_index::VectorError;

use crate::collection_mut::stores_nothing;
use crate::definition::CollectionDefinition;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::write::WriteTransaction;

/// Keys that are imported at a time.
const ROWS_AT_ONCE: usize = 8192;

/// A row of numbers for each row of a collection.
#[derive(Clone, Debug)]
pub struct Embeddings<K: Key> {
    keys: Vec<K::Owned>,
    /// The row of the matrix that belongs to each key.
    nodes: Vec<u32>,
    matrix: Matrix,
}

impl<K: Key> Embeddings<K> {
    pub(super) fn new(keys: Vec<K::Owned>, nodes: Vec<u32>, matrix: Matrix) -> Embeddings<K> {
        Embeddings { keys, nodes, matrix }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Numbers in a row.
    pub fn dim(&self) -> usize {
        self.matrix.cols()
    }

    /// The keys, in the order of the rows' internal numbers.
    pub fn keys(&self) -> &[K::Owned] {
        &self.keys
    }

    /// The rows with their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K::Owned, &[f32])> {
        self.keys.iter().zip(&self.nodes).map(|(key, node)| (key, self.matrix.row(*node as usize)))
    }
}

impl WriteTransaction {
    /// Writes embeddings as the rows of a collection, which is created where it does not exist. Payloads are of type `()`.
    /// The rows are complete to every search from the commit on; [`crate::Database::build`] links them.
    ///
    /// What was computed from [`WriteTransaction::last_commit`] cannot be outdated: nobody else writes meanwhile.
    ///
    /// # Errors
    /// [`Error::Vector`] where the definition has another dimension than the embeddings, or for a row that its metric
    /// refuses, such as one of zeros under cosine; [`Error::InvalidParameter`] for another type of payloads.
    pub fn write_embeddings<K: Key, V: redb::Value + 'static>(
        &mut self,
        definition: CollectionDefinition<'_, K, V>,
        embeddings: &Embeddings<K>,
    ) -> Result<()> {
        if !stores_nothing::<V>() {
            let got = V::type_name().name().to_owned();
            let expected = "(): embeddings have no payload";
            return Err(Error::InvalidParameter { name: "the payload type", got, expected });
        }
        if definition.dim != embeddings.dim() {
            let (expected, got) = (definition.dim, embeddings.dim());
            return Err(Error::Vector(VectorError::WrongDimension { expected, got }));
        }
        let mut collection = self.open_collection(definition)?;
        for (keys, nodes) in embeddings.keys.chunks(ROWS_AT_ONCE).zip(embeddings.nodes.chunks(ROWS_AT_ONCE)) {
            let keys: Vec<K::Ref<'_>> = keys.iter().map(K::borrow).collect();
            let rows = nodes.iter().flat_map(|node| embeddings.matrix.row(*node as usize)).copied();
            collection.import(&keys, rows.collect::<Vec<f32>>().as_slice(), &[])?;
        }
        Ok(())
    }
}
