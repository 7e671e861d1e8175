//! Putting rows that are near each other side by side.

use super::Permutation;
use crate::{Element, Error, Kernel, MemGraph, Metric, VectorRows, decode_into};

/// Rows of a part that decide how it is halved.
const SAMPLE: usize = 256;
/// How often the two centres of a part move to the means of their halves.
const ROUNDS: usize = 4;
/// Parts of so few rows stay as they are: they share a page of links, and of vectors anyway.
const ENOUGH: usize = 16;
/// Halves of so many rows are worth a thread each.
const WORTH_A_THREAD: usize = 4096;
/// Rows are fetched so far ahead.
const AHEAD: usize = 8;

/// Asked now and then, from any thread, whether to go on.
pub(crate) type GoOn<'g> = &'g (dyn Fn() -> bool + Sync);

/// An order of the rows of `layer` in which rows near each other lie side by side, in runs of every length; the others come
/// last, in their old order.
///
/// A search then finds what it reads in few pages, whatever their size, and few of the processor's cache and address
/// translation. Parts are halved again and again, across the line between two means of a sample (Lloyd's algorithm with halves
/// of equal size). The order is the same for any number of threads.
///
/// [`Error::Cancelled`] where `go_on` says no.
pub(crate) fn cluster<R: VectorRows + ?Sized>(
    graph: &MemGraph,
    layer: u8,
    rows: &R,
    kernel: &Kernel,
    go_on: GoOn<'_>,
) -> Result<Permutation, Error> {
    let (mut order, others): (Vec<u32>, Vec<u32>) =
        (0..graph.len()).partition(|id| graph.level(*id) >= Some(layer));
    if let Some(first) = order.first() {
        let halving = Halving::new(rows, kernel, *first, go_on)?;
        halving.halve(&mut order)?;
    }
    order.extend(others);
    Ok(Permutation::new(order).expect("every row is in the layer or not, and named once"))
}

struct Halving<'a, R: ?Sized> {
    rows: &'a R,
    metric: Metric,
    element: Element,
    /// Coordinates of a row, with those that fill it up.
    dim: usize,
    /// Minus the inner product of two rows of f32.
    product: Kernel,
    go_on: GoOn<'a>,
}

impl<'a, R: VectorRows + ?Sized> Halving<'a, R> {
    fn new(rows: &'a R, kernel: &Kernel, any: u32, go_on: GoOn<'a>) -> Result<Halving<'a, R>, Error> {
        let (metric, element) = (kernel.metric(), kernel.element());
        let dim = element.coordinates(rows.row(any)?.len());
        let product = Kernel::new(Metric::InnerProduct, Element::F32)?;
        Ok(Halving { rows, metric, element, dim, product, go_on })
    }

    /// Orders `ids`, which rise, by halves.
    fn halve(&self, ids: &mut [u32]) -> Result<(), Error> {
        if ids.len() <= ENOUGH {
            return Ok(());
        }
        if ids.len() >= WORTH_A_THREAD && !(self.go_on)() {
            return Err(Error::Cancelled);
        }
        let direction = self.direction(ids)?;
        let mut along = self.along(ids, &direction)?;
        let middle = ids.len().div_ceil(ENOUGH) / 2 * ENOUGH;
        // Rows alike are told apart by their numbers, so there is one way only to halve.
        along.select_nth_unstable_by(middle, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ids.iter_mut().zip(&along).for_each(|(id, (_, other))| *id = *other);
        drop(along);
        let (one, other) = ids.split_at_mut(middle);
        // In the order in which they lie, rows are read faster.
        one.sort_unstable();
        other.sort_unstable();
        if one.len() < WORTH_A_THREAD {
            self.halve(one)?;
            return self.halve(other);
        }
        let (one, other) = rayon::join(|| self.halve(one), || self.halve(other));
        one.and(other)
    }

    /// How far each row lies along `direction`.
    fn along(&self, ids: &[u32], direction: &[f32]) -> Result<Vec<(f32, u32)>, Error> {
        let mut row = vec![0.0; self.dim];
        let mut along = Vec::with_capacity(ids.len());
        for (place, id) in ids.iter().enumerate() {
            if let Some(soon) = ids.get(place + AHEAD) {
                self.rows.prefetch(*soon);
            }
            self.read(*id, &mut row)?;
            along.push((self.product(direction, &row), *id));
        }
        Ok(along)
    }

    /// The line across which to halve, from the mean of the one half of a sample to that of the other.
    fn direction(&self, ids: &[u32]) -> Result<Vec<f32>, Error> {
        let count = ids.len().min(SAMPLE);
        let mut sample = vec![0.0; count * self.dim];
        for (place, row) in sample.chunks_exact_mut(self.dim).enumerate() {
            self.read(ids[place * ids.len() / count], row)?;
        }
        let rows: Vec<&[f32]> = sample.chunks_exact(self.dim).collect();
        // Two rows far apart to begin with.
        let first = farthest(&rows, &mean(rows.iter().copied()));
        let mut direction = difference(first, farthest(&rows, first));
        let mut places: Vec<usize> = (0..count).collect();
        for _ in 0..ROUNDS {
            let along: Vec<f32> = rows.iter().map(|row| self.product(&direction, row)).collect();
            places.select_nth_unstable_by(count / 2, |a, b| along[*a].total_cmp(&along[*b]).then(a.cmp(b)));
            let (one, other) = places.split_at(count / 2);
            let mean = |half: &[usize]| mean(half.iter().map(|place| rows[*place]));
            direction = difference(&mean(one), &mean(other));
        }
        Ok(direction)
    }

    /// Minus the inner product: which end of a line comes first does not matter.
    fn product(&self, a: &[f32], b: &[f32]) -> f32 {
        use zerocopy::IntoBytes;
        self.product.distance(a.as_bytes(), 1.0, b.as_bytes())
    }

    /// The coordinates of a row; where only its direction counts, of length 1.
    fn read(&self, id: u32, into: &mut [f32]) -> Result<(), Error> {
        decode_into(self.rows.row(id)?, self.element, into);
        if self.metric == Metric::Cosine {
            let length = self.product(into, into).abs().sqrt();
            if length > 0.0 {
                into.iter_mut().for_each(|x| *x /= length);
            }
        }
        Ok(())
    }
}

fn mean<'r>(rows: impl ExactSizeIterator<Item = &'r [f32]> + Clone) -> Vec<f32> {
    let share = 1.0 / rows.len() as f32;
    let mut mean = vec![0.0; rows.clone().next().map_or(0, <[f32]>::len)];
    for row in rows {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += share * x);
    }
    mean
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// The row that is farthest from `from`, the first of equals.
fn farthest<'r>(rows: &[&'r [f32]], from: &[f32]) -> &'r [f32] {
    let distance = |row: &[f32]| -> f32 { row.iter().zip(from).map(|(a, b)| (a - b) * (a - b)).sum() };
    let mut farthest = (rows[0], distance(rows[0]));
    for row in &rows[1..] {
        let distance = distance(row);
        if distance > farthest.1 {
            farthest = (row, distance);
        }
    }
    farthest.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{VectorRef, encode};

    const DIM: usize = 24;
    const CLUSTERS: usize = 64;
    const ROWS: usize = 160 * CLUSTERS;

    struct Rows(Vec<Vec<u8>>);

    impl VectorRows for Rows {
        fn len(&self) -> u32 {
            self.0.len() as u32
        }

        fn row(&self, id: u32) -> Result<&[u8], Error> {
            Ok(&self.0[id as usize])
        }
    }

    /// Row n belongs to cluster n % `CLUSTERS`, whose rows are alike in most coordinates.
    fn rows(metric: Metric, element: Element) -> Rows {
        let mut rng = fastrand::Rng::with_seed(7);
        let centres: Vec<Vec<bool>> = (0..CLUSTERS).map(|_| (0..DIM).map(|_| rng.bool()).collect()).collect();
        let rows = (0..ROWS).map(|row| {
            let mut bits = centres[row % CLUSTERS].clone();
            let flipped = rng.usize(..DIM);
            bits[flipped] = !bits[flipped];
            let mut bytes = Vec::new();
            let row_bytes = element.bytes_per_row(DIM).next_multiple_of(16);
            if element == Element::Bits {
                let packed: Vec<u8> = bits
                    .chunks(8)
                    .map(|byte| byte.iter().rev().fold(0, |sum, bit| 2 * sum + u8::from(*bit)))
                    .collect();
                encode(VectorRef::Bits(&packed), DIM, element, metric, row_bytes, &mut bytes).unwrap();
            } else {
                let x: Vec<f32> =
                    bits.iter().map(|bit| if *bit { 100.0 } else { 20.0 } + f32::from(rng.u8(..9))).collect();
                encode(VectorRef::F32(&x), DIM, element, metric, row_bytes, &mut bytes).unwrap();
            }
            bytes
        });
        Rows(rows.collect())
    }

    fn clustered(rows: &Rows, kernel: &Kernel, threads: usize) -> Permutation {
        let levels: Vec<Option<u8>> = (0..ROWS).map(|row| (row % 7 != 3).then_some(0)).collect();
        let graph = MemGraph::with_levels(4, &levels).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| cluster(&graph, 0, rows, kernel, &|| true)).unwrap()
    }

    #[test]
    fn rows_near_each_other_come_together_with_any_number_of_threads() {
        let kinds = [
            (Metric::L2, Element::F32),
            (Metric::Cosine, Element::F16),
            (Metric::InnerProduct, Element::I8),
            (Metric::L1, Element::U8),
            (Metric::Hamming, Element::Bits),
        ];
        for (metric, element) in kinds {
            let (rows, kernel) = (rows(metric, element), Kernel::new(metric, element).unwrap());
            let order = clustered(&rows, &kernel, 1);
            assert_eq!(clustered(&rows, &kernel, 3), order, "{metric} over {element}");
            let linked: Vec<u32> = order.old_ids().iter().copied().filter(|row| row % 7 != 3).collect();
            assert_eq!(order.old_ids()[..linked.len()], linked, "the others come last");
            let runs = linked.chunks_exact(32);
            let count = runs.len();
            let clusters: usize = runs
                .map(|run| {
                    let mut clusters: Vec<u32> = run.iter().map(|row| row % CLUSTERS as u32).collect();
                    clusters.sort_unstable();
                    clusters.dedup();
                    clusters.len()
                })
                .sum();
            // Drawn at random, 32 rows would come from 25 clusters.
            assert!(clusters < 4 * count, "{metric} over {element}: {clusters} clusters in {count} runs");
        }
    }

    #[test]
    fn clustering_can_be_cancelled() {
        let graph = MemGraph::with_levels(4, &vec![Some(0); ROWS]).unwrap();
        let (rows, kernel) = (rows(Metric::L2, Element::F32), Kernel::new(Metric::L2, Element::F32).unwrap());
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let go_on = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 1;
        let cancelled = cluster(&graph, 0, &rows, &kernel, &go_on);
        assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    }

    #[test]
    fn rows_that_are_all_alike_keep_their_order_within_halves() {
        let rows = Rows(vec![vec![0; 64]; 100]);
        let graph = MemGraph::with_levels(4, &[Some(0); 100]).unwrap();
        for metric in [Metric::L2, Metric::Cosine] {
            let kernel = Kernel::new(metric, Element::F32).unwrap();
            let order = cluster(&graph, 0, &rows, &kernel, &|| true).unwrap();
            assert!(order.old_ids().iter().copied().eq(0..100), "{order:?}");
        }
    }
}
