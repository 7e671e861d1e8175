//! Greedy search that keeps everything it scores.

use std::collections::HashSet;

use super::matrix::Matrix;
use super::trajectories::Scored;
use super::vectors::{Vectors, squared_distance};
use super::{Corpus, TrainError};

/// Best-first search in the base layer (Malkov & Yashunin 2016, algorithm 2) from the nearest of some landmarks.
pub(super) struct GreedySearch<'c, C> {
    vectors: Vectors<'c, C>,
    landmarks: Vec<u32>,
    /// Their vectors.
    places: Matrix,
}

/// What a search works in.
#[derive(Default)]
pub(super) struct Workspace {
    visited: HashSet<u32>,
    neighbors: Vec<u32>,
    vector: Vec<f32>,
    beam: Vec<Candidate>,
    /// Everything that was scored, in the order of the search.
    pub(super) scored: Vec<Scored>,
}

struct Candidate {
    scored: Scored,
    expanded: bool,
}

impl<'c, C: Corpus> GreedySearch<'c, C> {
    pub(super) fn new(vectors: Vectors<'c, C>, landmarks: Vec<u32>) -> Result<Self, TrainError> {
        let mut places = Matrix::zeros(landmarks.len(), vectors.dim());
        for (at, &node) in landmarks.iter().enumerate() {
            vectors.read(node, places.row_mut(at))?;
        }
        Ok(GreedySearch { vectors, landmarks, places })
    }

    /// Searches with a beam of `ef`; leaves every scored node in `workspace.scored`, the landmarks that are none left
    /// out.
    pub(super) fn run(&self, query: &[f32], ef: usize, workspace: &mut Workspace) -> Result<(), TrainError> {
        let Workspace { visited, neighbors, vector, beam, scored } = workspace;
        visited.clear();
        beam.clear();
        scored.clear();
        vector.resize(query.len(), 0.0);
        let places = self.landmarks.iter().zip(self.places.iter());
        let entry = places
            .map(|(&node, place)| Scored { node, distance: squared_distance(query, place) })
            .min_by(Scored::order);
        let Some(entry) = entry else { return Ok(()) };
        visited.insert(entry.node);
        scored.push(entry);
        beam.push(Candidate { scored: entry, expanded: false });
        while let Some(next) = beam.iter_mut().find(|candidate| !candidate.expanded) {
            next.expanded = true;
            self.vectors.corpus.read_neighbors(next.scored.node, neighbors)?;
            for &node in neighbors.iter().filter(|&&node| visited.insert(node)) {
                self.vectors.read(node, vector)?;
                let found = Scored { node, distance: squared_distance(query, vector) };
                scored.push(found);
                let at = beam.partition_point(|other| other.scored.order(&found).is_lt());
                if at < ef {
                    beam.insert(at, Candidate { scored: found, expanded: false });
                    beam.truncate(ef);
                }
            }
        }
        Ok(())
    }
}
