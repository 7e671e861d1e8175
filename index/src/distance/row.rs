//! The one loop over a row, and the one loop over many rows, that every kernel is made of.

use super::simd::Simd;

/// What is done with each pair of vectors of query and row. All methods require what `S` requires.
pub(super) trait RowKernel<S: Simd> {
    /// Running sums.
    type Acc: Copy;
    /// Bytes of a row taken in one step.
    const STEP: usize;

    unsafe fn zero() -> Self::Acc;
    /// Adds the first `STEP` bytes of `query` and `row`.
    unsafe fn step(acc: Self::Acc, query: &[u8], row: &[u8]) -> Self::Acc;
    /// Adds what is left, less than `STEP` bytes.
    unsafe fn tail(acc: Self::Acc, query: &[u8], row: &[u8]) -> Self::Acc;
    unsafe fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    unsafe fn finish(acc: Self::Acc, scale: f32) -> f32;
}

/// The distance of `query` and `row`, which are equally long.
///
/// Four independent sums hide the latency of the multiply-add.
///
/// # Safety
/// The machine has the instruction set `S`.
#[inline(always)]
pub(super) unsafe fn distance<S: Simd, K: RowKernel<S>>(query: &[u8], scale: f32, row: &[u8]) -> f32 {
    debug_assert_eq!(query.len(), row.len());
    let step = const { K::STEP };
    let (query_blocks, row_blocks) = (query.chunks_exact(4 * step), row.chunks_exact(4 * step));
    let (mut q, mut r) = (query_blocks.remainder(), row_blocks.remainder());
    // SAFETY: the caller promises the instruction set, and the methods of `K` ask no more.
    unsafe {
        let (mut a, mut b, mut c, mut d) = (K::zero(), K::zero(), K::zero(), K::zero());
        for (q, r) in query_blocks.zip(row_blocks) {
            a = K::step(a, &q[..step], &r[..step]);
            b = K::step(b, &q[step..2 * step], &r[step..2 * step]);
            c = K::step(c, &q[2 * step..3 * step], &r[2 * step..3 * step]);
            d = K::step(d, &q[3 * step..], &r[3 * step..]);
        }
        if q.len() >= 2 * step && r.len() >= 2 * step {
            a = K::step(a, &q[..step], &r[..step]);
            b = K::step(b, &q[step..2 * step], &r[step..2 * step]);
            (q, r) = (&q[2 * step..], &r[2 * step..]);
        }
        if q.len() >= step && r.len() >= step {
            c = K::step(c, &q[..step], &r[..step]);
            (q, r) = (&q[step..], &r[step..]);
        }
        if !q.is_empty() {
            d = K::tail(d, q, r);
        }
        K::finish(K::merge(K::merge(a, b), K::merge(c, d)), scale)
    }
}

/// `out[i]` = the distance of `query` and `rows[i]`, with the rows to come on their way into the cache.
///
/// # Safety
/// The machine has the instruction set `S`.
#[inline(always)]
pub(super) unsafe fn distances<S: Simd, K: RowKernel<S>>(
    query: &[u8],
    scale: f32,
    rows: &[&[u8]],
    out: &mut [f32],
) {
    let ahead = rows_ahead(query.len());
    for row in rows.iter().take(ahead) {
        prefetch_row::<S>(row);
    }
    for (i, (row, out)) in rows.iter().zip(out).enumerate() {
        if let Some(next) = rows.get(i + ahead) {
            prefetch_row::<S>(next);
        }
        // SAFETY: the caller promises the instruction set.
        *out = unsafe { distance::<S, K>(query, scale, row) };
    }
}

/// How many rows are fetched before they are needed: enough bytes to keep the memory busy, and two rows at least.
fn rows_ahead(row_bytes: usize) -> usize {
    (FETCHED_AHEAD / row_bytes.max(1)).clamp(2, 32)
}

/// Bytes on their way while a distance is computed: all rows of a hop, unless they are long. They are fetched into the
/// second-level cache, which has room for them and keeps more lines under way than the first.
const FETCHED_AHEAD: usize = 16 << 10;

/// The hardware follows a longer row by itself.
const FETCHED_PER_ROW: usize = 4 << 10;

#[inline(always)]
fn prefetch_row<S: Simd>(row: &[u8]) {
    for line in row[..row.len().min(FETCHED_PER_ROW)].chunks(64) {
        S::prefetch(line);
    }
}
