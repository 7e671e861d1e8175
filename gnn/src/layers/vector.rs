//! Loops over rows, compiled for the widest registers of the processor that runs them.

/// Rows of `stride` numbers of which a slice is looked at.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) stride: usize,
    /// Where the slice begins in each row.
    pub(super) first: usize,
}

/// `out += Σ coefficients[e] × table[sources[e]]`, over slices as long as `out`.
pub(super) fn add_rows(out: &mut [f32], table: Table<'_>, sources: &[u32], coefficients: &[f32]) {
    pulp::Arch::new().dispatch(|| add_rows_of(out, table, sources, coefficients));
}

#[inline(always)]
fn add_rows_of(out: &mut [f32], table: Table<'_>, sources: &[u32], coefficients: &[f32]) {
    let width = out.len();
    let row = |source: u32| &table.numbers[source as usize * table.stride + table.first..][..width];
    let (fours, rest) = sources.as_chunks::<4>();
    let (four_coefficients, rest_coefficients) = coefficients.as_chunks::<4>();
    // Four rows at once: the sum is loaded and stored a quarter as often, and four rows are on their way from memory.
    for (&[a, b, c, d], &[wa, wb, wc, wd]) in fours.iter().zip(four_coefficients) {
        let (a, b, c, d) = (row(a), row(b), row(c), row(d));
        for i in 0..width {
            out[i] += (wa * a[i] + wb * b[i]) + (wc * c[i] + wd * d[i]);
        }
    }
    for (&source, &weight) in rest.iter().zip(rest_coefficients) {
        add_scaled_to(out, weight, row(source));
    }
}

/// `out += weight × row`.
pub(super) fn add_scaled(out: &mut [f32], weight: f32, row: &[f32]) {
    pulp::Arch::new().dispatch(|| add_scaled_to(out, weight, row));
}

#[inline(always)]
fn add_scaled_to(out: &mut [f32], weight: f32, row: &[f32]) {
    for (sum, number) in out.iter_mut().zip(row) {
        *sum += weight * number;
    }
}

/// The larger number by component.
pub(super) fn maximum(out: &mut [f32], row: &[f32]) {
    pulp::Arch::new().dispatch(|| {
        for (largest, &number) in out.iter_mut().zip(row) {
            *largest = if number > *largest { number } else { *largest };
        }
    });
}

/// Inner product.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(|| dot_of(a, b))
}

#[inline(always)]
fn dot_of(a: &[f32], b: &[f32]) -> f32 {
    // Sixteen sums, because one sum may not be reordered into a register of them.
    let mut sums = [0.0f32; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Inner products of `a` with the slices of a table's rows.
pub(super) fn dots(a: &[f32], table: Table<'_>, sources: &[u32], out: &mut [f32]) {
    pulp::Arch::new().dispatch(|| {
        for (out, &source) in out.iter_mut().zip(sources) {
            let row = &table.numbers[source as usize * table.stride + table.first..][..a.len()];
            *out = dot_of(a, row);
        }
    });
}

/// Turns logits into shares that sum to 1. `1e-16` keeps an empty sum from dividing by 0, as in PyTorch Geometric.
pub(super) fn softmax(logits: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += *logit;
    }
    let scale = 1.0 / (sum + 1e-16);
    logits.iter_mut().for_each(|share| *share *= scale);
}

/// The first NaN or infinity.
pub(super) fn first_not_finite(row: &[f32]) -> Option<usize> {
    const EXPONENT: u32 = 0x7f80_0000;
    // Without a branch, the loop is as fast as memory; the position is looked for only where there is one.
    let found = row.iter().fold(0u32, |found, x| found | u32::from(x.to_bits() & EXPONENT == EXPONENT));
    if found == 0 { None } else { row.iter().position(|number| !number.is_finite()) }
}
