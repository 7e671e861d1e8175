//! The queries to train with and to judge by.

use fastrand::Rng;
use rayon::prelude::*;

use super::matrix::Matrix;
use super::vectors::{Vectors, is_unit, normalize, squared_distance, squared_length};
use super::{Corpus, TrainError, TrainOptions};

/// Fewer queries than this teach nothing.
const MIN_TRAINING: usize = 64;
/// Fewer queries than this say nothing.
const MIN_HELD_OUT: usize = 16;
/// A synthesised query lies so far on the way from a node to its neighbour.
const BETWEEN: std::ops::Range<f32> = 0.2..0.8;

/// Queries as rows of f32, as many components each as the vectors have; under cosine of any length but 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queries<'q> {
    /// To learn from: logged ones, if there are any. Without, they are synthesised from the data.
    pub training: Option<&'q [f32]>,
    /// To stop by and to judge by, unlike the others. Without, some of the others are held out.
    pub held_out: Option<&'q [f32]>,
}

/// The rows of all queries: first those to learn from, then those held out.
pub(super) struct Chosen {
    pub(super) rows: Matrix,
    pub(super) training: usize,
    pub(super) synthesised: bool,
}

impl Queries<'_> {
    /// Takes the queries that `options` ask for, checked and scaled.
    pub(super) fn choose<C: Corpus>(
        &self,
        vectors: Vectors<'_, C>,
        linked: &[u32],
        options: &TrainOptions,
    ) -> Result<Chosen, TrainError> {
        let dim = vectors.dim();
        let unit = is_unit(vectors.corpus.metric())?;
        let held_out = self.held_out.map(|rows| rows_of(rows, dim, unit)).transpose()?;
        let own = if held_out.is_some() { 0 } else { options.held_out };
        let mut rng = Rng::with_seed(options.pca.seed ^ 0x7175_6572_6965_7321);
        let (mut rows, synthesised) = match self.training {
            Some(rows) => (shuffled(rows_of(rows, dim, unit)?, &mut rng, options.queries + own), false),
            None => (made_up(vectors, linked, options.queries + own, options.noise, &mut rng)?, true),
        };
        let training = match &held_out {
            Some(_) => rows.rows,
            // A tenth at most.
            None => rows.rows - own.min(rows.rows / 10),
        };
        if let Some(others) = held_out {
            rows.rows += others.rows;
            rows.data.extend(others.data);
        }
        enough("train with", training, MIN_TRAINING)?;
        enough("hold out", rows.rows - training, MIN_HELD_OUT)?;
        Ok(Chosen { rows, training, synthesised })
    }
}

fn enough(purpose: &'static str, got: usize, min: usize) -> Result<(), TrainError> {
    if got >= min { Ok(()) } else { Err(TrainError::TooFewQueries { purpose, got, min }) }
}

fn rows_of(numbers: &[f32], dim: usize, unit: bool) -> Result<Matrix, TrainError> {
    if !numbers.len().is_multiple_of(dim) {
        return Err(TrainError::Dimension { dim, got: numbers.len() });
    }
    if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
        return Err(TrainError::NotFinite { query: at / dim, component: at % dim, value: numbers[at] });
    }
    let mut rows = Matrix { rows: numbers.len() / dim, cols: dim, data: numbers.to_vec() };
    if unit {
        for query in 0..rows.rows {
            if squared_length(rows.row(query)) == 0.0 {
                return Err(TrainError::ZeroQuery { query });
            }
            normalize(rows.row_mut(query));
        }
    }
    Ok(rows)
}

/// The first `count` rows of a random order.
fn shuffled(rows: Matrix, rng: &mut Rng, count: usize) -> Matrix {
    let mut order: Vec<usize> = (0..rows.rows).collect();
    rng.shuffle(&mut order);
    order.truncate(count);
    let data = order.iter().flat_map(|&row| rows.row(row)).copied().collect();
    Matrix { rows: order.len(), cols: rows.cols, data }
}

/// Makes up `count` queries, as training does where it is given none: points between random nodes and random neighbours of
/// theirs, moved off the line by normal noise. Other ones than training itself makes up with the same options.
///
/// # Errors
/// Options out of range, a metric other than L2 and cosine, fewer than 256 linked nodes.
pub fn synthesise<C: Corpus>(
    corpus: &C,
    count: usize,
    options: &TrainOptions,
) -> Result<Vec<f32>, TrainError> {
    options.check()?;
    let vectors = Vectors::new(corpus)?;
    let linked = vectors.linked()?;
    let mut rng = Rng::with_seed(options.pca.seed ^ 0x686f_6c64_5f6f_7574);
    Ok(made_up(vectors, &linked, count, options.noise, &mut rng)?.data)
}

/// Points between random nodes and random neighbours of theirs, moved off the line by normal noise.
fn made_up<C: Corpus>(
    vectors: Vectors<'_, C>,
    linked: &[u32],
    count: usize,
    noise: f32,
    rng: &mut Rng,
) -> Result<Matrix, TrainError> {
    let (dim, unit) = (vectors.dim(), is_unit(vectors.corpus.metric())?);
    let mut rows = Matrix::zeros(count, dim);
    let seeds: Vec<u64> = (0..count).map(|_| rng.u64(..)).collect();
    rows.data.par_chunks_exact_mut(dim).zip(&seeds).try_for_each_init(
        || (Vec::new(), vec![0.0; dim]),
        |(neighbors, other), (row, &seed)| {
            let mut rng = Rng::with_seed(seed);
            let node = linked[rng.usize(..linked.len())];
            vectors.read(node, row)?;
            vectors.corpus.read_neighbors(node, neighbors)?;
            let neighbor = rng.choice(neighbors.iter()).copied().unwrap_or(node);
            vectors.read(neighbor, other)?;
            let deviation = noise * (squared_distance(row, other) / dim as f32).sqrt();
            let share = BETWEEN.start + (BETWEEN.end - BETWEEN.start) * rng.f32();
            for (x, other) in row.iter_mut().zip(other.iter()) {
                *x += share * (other - *x) + deviation * normal(&mut rng);
            }
            if unit {
                normalize(row);
            }
            Ok::<_, TrainError>(())
        },
    )?;
    Ok(rows)
}

/// A number of the standard normal distribution (Box & Muller 1958).
fn normal(rng: &mut Rng) -> f32 {
    let (radius, angle) = (1.0 - rng.f32(), std::f32::consts::TAU * rng.f32());
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}
