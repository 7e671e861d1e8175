//! Trajectories as npy files, for training in other programs (docs/TRAJECTORIES.md).

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use npyz::{AutoSerialize, NpyWriter, WriteOptions, WriterBuilder};
use rayon::prelude::*;
use redknot_index::{VectorRef, encode};
use serde::Serialize;

use super::trace::Workspace;
use super::{PathTrajectory, TraceOptions, Tracer};
use crate::online::{EDGE_NUMBERS, FeatureExtractor, Graph, NODE_NUMBERS};
use crate::train::options::{OnTrainProgress, TrainPhase, report};
use crate::train::{Corpus, TrainError};

/// Version of the files.
const FORMAT: u32 = 1;
/// Queries traced at a time: their trajectories are in memory at once.
const QUERIES_PER_ROUND: usize = 128;
/// Neighbourhoods of queries overlap: what was computed for one serves others.
const CACHE_BYTES: usize = 256 << 20;
/// The file that is written last: without it the others are not complete.
const META: &str = "meta.json";

/// What was exported; also the content of `meta.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrajectoryExport {
    /// Version of the files.
    pub format: u32,
    /// Components of a vector.
    pub dim: usize,
    /// The metric of the index.
    pub metric: String,
    /// The epoch of the index.
    pub epoch: u64,
    /// Exact answers that paths lead to.
    pub k: usize,
    /// Candidates of the traced searches.
    pub ef: usize,
    /// Whether the graph features were stored: without, betweenness is 0.
    pub stored_features: bool,
    /// Queries, which are the trajectories.
    pub queries: usize,
    /// Nodes whose links were looked at, over all trajectories.
    pub steps: usize,
    /// Their links.
    pub edges: usize,
    /// Links that begin a path of fewest hops.
    pub right_edges: usize,
    /// Different nodes that trajectories name.
    pub nodes: usize,
}

/// Traces the search for each query, and writes what was seen and what was right to npy files in the folder `output`, which
/// is created where it does not exist; files of an earlier export are replaced. `queries` holds rows of as many numbers as
/// the vectors have components.
///
/// Takes in memory the links of the base layer twice, 5 bytes a node, and up to 256 MiB of features.
///
/// # Errors
/// [`TrainError::Dimension`], [`TrainError::Query`] for a query that the index cannot hold, those of [`Tracer::new`],
/// [`TrainError::Write`], [`TrainError::Cancelled`]. Files may have been written then, but no `meta.json`.
pub fn collect_training_trajectories(
    graph: &Graph<'_>,
    queries: &[f32],
    output: &Path,
    options: &TraceOptions,
    on_progress: OnTrainProgress<'_>,
) -> Result<TrajectoryExport, TrainError> {
    let reader = graph.reader();
    let queries = encode_queries(graph, queries)?;
    let tracer = Tracer::new(reader, *options)?;
    let dim = reader.config().dim;
    let extractor = FeatureExtractor::new(dim + NODE_NUMBERS, EDGE_NUMBERS, CACHE_BYTES)?;
    let mut files = Files::create(output, reader.nodes())?;
    for (round, encoded) in queries.chunks(QUERIES_PER_ROUND).enumerate() {
        report(on_progress, TrainPhase::Trajectories, round * QUERIES_PER_ROUND, queries.len())?;
        let traced = encoded.par_iter().map_init(Workspace::default, |workspace, query| {
            let mut path = tracer.trace_in(query, workspace)?;
            graph.append_decoded(query, &mut path.query)?;
            let numbers = Numbers::of(&path, graph, &extractor)?;
            Ok((path, numbers))
        });
        for (path, numbers) in traced.collect::<Result<Vec<_>, TrainError>>()? {
            files.write(&path, &numbers)?;
        }
    }
    files.finish(graph, options)
}

fn encode_queries(graph: &Graph<'_>, queries: &[f32]) -> Result<Vec<Vec<u8>>, TrainError> {
    let config = graph.reader().config();
    if !queries.len().is_multiple_of(config.dim) {
        return Err(TrainError::Dimension { dim: config.dim, got: queries.len() });
    }
    let one = |(number, query): (usize, &[f32])| {
        let mut bytes = Vec::with_capacity(config.row_bytes());
        let query = VectorRef::from(query);
        encode(query, config.dim, config.element, config.metric, config.row_bytes(), &mut bytes)
            .map_err(|source| TrainError::Query { query: number, source })?;
        Ok(bytes)
    };
    queries.chunks_exact(config.dim).enumerate().map(one).collect()
}

/// The features of a trajectory, as models take them but for vectors.
struct Numbers {
    steps: Vec<f32>,
    edges: Vec<f32>,
}

impl Numbers {
    fn of(
        path: &PathTrajectory,
        graph: &Graph<'_>,
        extractor: &FeatureExtractor,
    ) -> Result<Numbers, TrainError> {
        let mut numbers = Numbers { steps: Vec::new(), edges: Vec::new() };
        let steps = path.node_sequence.iter().zip(&path.node_distances).zip(&path.candidate_edges);
        for ((node, distance), edges) in steps {
            numbers.steps.extend(extractor.node_numbers(graph, *node, *distance)?);
            for edge in extractor.batch_extract_edge_features(graph, edges)? {
                numbers.edges.extend(edge.numbers());
            }
        }
        Ok(numbers)
    }
}

type Npy<T> = NpyWriter<T, BufWriter<File>>;

/// The files of an export.
struct Files {
    folder: PathBuf,
    queries: Npy<f32>,
    step_query: Npy<u32>,
    step_node: Npy<u32>,
    step_numbers: Npy<f32>,
    step_start: Npy<u64>,
    edge_target: Npy<u32>,
    edge_numbers: Npy<f32>,
    edge_distance: Npy<f32>,
    edge_label: Npy<u8>,
    /// Nodes that trajectories name, by their numbers.
    named: Vec<bool>,
    counts: [usize; 4],
}

impl Files {
    fn create(folder: &Path, nodes: u32) -> Result<Files, TrainError> {
        std::fs::create_dir_all(folder).map_err(write_error(folder))?;
        let meta = folder.join(META);
        match std::fs::remove_file(&meta) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write_error(&meta)(error)),
            _ => {}
        }
        Ok(Files {
            folder: folder.to_owned(),
            queries: npy(folder, "queries")?,
            step_query: npy(folder, "step_query")?,
            step_node: npy(folder, "step_node")?,
            step_numbers: npy(folder, "step_numbers")?,
            step_start: npy(folder, "step_start")?,
            edge_target: npy(folder, "edge_target")?,
            edge_numbers: npy(folder, "edge_numbers")?,
            edge_distance: npy(folder, "edge_distance")?,
            edge_label: npy(folder, "edge_label")?,
            named: vec![false; nodes as usize],
            counts: [0; 4],
        })
    }

    fn write(&mut self, path: &PathTrajectory, numbers: &Numbers) -> Result<(), TrainError> {
        let [queries, steps, edges, right] = self.counts;
        let targets = || path.candidate_edges.iter().flatten().map(|(_, target)| *target);
        let ends = path.candidate_edges.iter().scan(edges, |end, links| {
            let start = *end;
            *end += links.len();
            Some(start as u64)
        });
        for node in path.node_sequence.iter().copied().chain(targets()) {
            self.named[node as usize] = true;
        }
        let written = (|| {
            self.queries.extend(path.query.iter().copied())?;
            self.step_query.extend(path.node_sequence.iter().map(|_| queries as u32))?;
            self.step_node.extend(path.node_sequence.iter().copied())?;
            self.step_numbers.extend(numbers.steps.iter().copied())?;
            self.step_start.extend(ends)?;
            self.edge_target.extend(targets())?;
            self.edge_numbers.extend(numbers.edges.iter().copied())?;
            self.edge_distance.extend(path.target_distances.iter().flatten().copied())?;
            self.edge_label.extend(path.labels.iter().flatten().map(|label| u8::from(*label)))
        })();
        written.map_err(write_error(&self.folder))?;
        let labelled = path.labels.iter().flatten();
        self.counts = [
            queries + 1,
            steps + path.node_sequence.len(),
            edges + labelled.clone().count(),
            right + labelled.filter(|label| **label).count(),
        ];
        Ok(())
    }

    /// Writes the vectors of all nodes that were named, and then what the files hold.
    fn finish(mut self, graph: &Graph<'_>, options: &TraceOptions) -> Result<TrajectoryExport, TrainError> {
        let failed = write_error(&self.folder);
        let (mut nodes, mut vectors) = (npy(&self.folder, "nodes")?, npy(&self.folder, "vectors")?);
        let (mut vector, mut count) = (Vec::new(), 0);
        for (node, _) in (0..).zip(&self.named).filter(|(_, named)| **named) {
            vector.clear();
            graph.append_vector(node, &mut vector)?;
            nodes.push(&node).map_err(&failed)?;
            vectors.extend(vector.iter().copied()).map_err(&failed)?;
            count += 1;
        }
        let [queries, steps, edges, right_edges] = self.counts;
        let reader = graph.reader();
        let export = TrajectoryExport {
            format: FORMAT,
            dim: reader.dim(),
            metric: reader.config().metric.to_string(),
            epoch: reader.record().epoch(),
            k: options.k,
            ef: options.ef.max(options.k),
            stored_features: graph.has_stored_features(),
            queries,
            steps,
            edges,
            right_edges,
            nodes: count,
        };
        let finished = (|| {
            self.step_start.push(&(edges as u64))?;
            for file in [self.queries, self.step_numbers, self.edge_numbers, self.edge_distance, vectors] {
                file.finish()?;
            }
            for file in [self.step_query, self.step_node, self.edge_target, nodes] {
                file.finish()?;
            }
            self.step_start.finish()?;
            self.edge_label.finish()?;
            let meta = serde_json::to_string_pretty(&export)?;
            std::fs::write(self.folder.join(META), meta + "\n")
        })();
        finished.map_err(&failed)?;
        Ok(export)
    }
}

/// An npy file of one dimension, whose length is known when it is finished.
fn npy<T: AutoSerialize>(folder: &Path, name: &str) -> Result<Npy<T>, TrainError> {
    let path = folder.join(name).with_extension("npy");
    let begin =
        || WriteOptions::new().default_dtype().writer(BufWriter::new(File::create(&path)?)).begin_1d();
    begin().map_err(write_error(&path))
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> TrainError + use<> {
    let path = path.to_owned();
    move |source| TrainError::Write { path: path.clone(), source }
}
