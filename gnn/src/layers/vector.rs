//! Loops over rows, compiled for the widest registers of the processor that runs them.

use pulp::NullaryFnOnce;

/// Rows of `stride` numbers of which a slice is looked at.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) stride: usize,
    /// Where the slice begins in each row.
    pub(super) first: usize,
}

/// Runs a loop compiled for the widest registers of this processor. Loops are structs, not closures: nothing makes the
/// compiler inline a closure into the function that may use these registers, and one that is not is compiled without.
fn widest<L: NullaryFnOnce>(the_loop: L) -> L::Output {
    pulp::Arch::new().dispatch(the_loop)
}

/// `out += Σ coefficients[e] × table[sources[e]]`, over slices as long as `out`.
pub(super) fn add_rows(out: &mut [f32], table: Table<'_>, sources: &[u32], coefficients: &[f32]) {
    widest(AddRows { out, table, sources, coefficients });
}

struct AddRows<'a> {
    out: &'a mut [f32],
    table: Table<'a>,
    sources: &'a [u32],
    coefficients: &'a [f32],
}

impl NullaryFnOnce for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { out, table, sources, coefficients } = self;
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
            AddScaled { out, weight, row: row(source) }.call();
        }
    }
}

/// `out += weight × row`.
pub(super) fn add_scaled(out: &mut [f32], weight: f32, row: &[f32]) {
    widest(AddScaled { out, weight, row });
}

struct AddScaled<'a> {
    out: &'a mut [f32],
    weight: f32,
    row: &'a [f32],
}

impl NullaryFnOnce for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (sum, number) in self.out.iter_mut().zip(self.row) {
            *sum += self.weight * number;
        }
    }
}

/// Adds `row` to each row of `out`.
pub(super) fn add_to_rows(out: &mut [f32], row: &[f32]) {
    widest(AddToRows::<false> { out, row });
}

/// Adds `row` to each row of `out`, then cuts off what is below 0.
pub(super) fn add_to_rows_relu(out: &mut [f32], row: &[f32]) {
    widest(AddToRows::<true> { out, row });
}

struct AddToRows<'a, const RELU: bool> {
    out: &'a mut [f32],
    row: &'a [f32],
}

impl<const RELU: bool> NullaryFnOnce for AddToRows<'_, RELU> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for out in self.out.chunks_exact_mut(self.row.len()) {
            for (number, added) in out.iter_mut().zip(self.row) {
                let sum = *number + added;
                *number = if RELU { positive(sum) } else { sum };
            }
        }
    }
}

/// `max(x, 0)` of each number.
pub(super) fn relu(out: &mut [f32]) {
    widest(Relu { out });
}

struct Relu<'a> {
    out: &'a mut [f32],
}

impl NullaryFnOnce for Relu<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.out.iter_mut().for_each(|number| *number = positive(*number));
    }
}

/// `max(x, 0)`; NaN, which only overflow can bring, stays.
#[inline(always)]
fn positive(number: f32) -> f32 {
    if number < 0.0 { 0.0 } else { number }
}

/// The larger number by component.
pub(super) fn maximum(out: &mut [f32], row: &[f32]) {
    widest(Maximum { out, row });
}

struct Maximum<'a> {
    out: &'a mut [f32],
    row: &'a [f32],
}

impl NullaryFnOnce for Maximum<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (largest, &number) in self.out.iter_mut().zip(self.row) {
            *largest = if number > *largest { number } else { *largest };
        }
    }
}

/// Inner product.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    widest(Dot { a, b })
}

struct Dot<'a> {
    a: &'a [f32],
    b: &'a [f32],
}

impl NullaryFnOnce for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn call(self) -> f32 {
        // Sixteen sums, because one sum may not be reordered into a register of them.
        let mut sums = [0.0f32; 16];
        let (a_chunks, a_rest) = self.a.as_chunks::<16>();
        let (b_chunks, b_rest) = self.b.as_chunks::<16>();
        for (a, b) in a_chunks.iter().zip(b_chunks) {
            for lane in 0..16 {
                sums[lane] += a[lane] * b[lane];
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        sums.iter().sum::<f32>() + rest
    }
}

/// Inner products of `a` with the slices of a table's rows.
pub(super) fn dots(a: &[f32], table: Table<'_>, sources: &[u32], out: &mut [f32]) {
    widest(Dots { a, table, sources, out });
}

struct Dots<'a> {
    a: &'a [f32],
    table: Table<'a>,
    sources: &'a [u32],
    out: &'a mut [f32],
}

impl NullaryFnOnce for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { a, table, sources, out } = self;
        for (out, &source) in out.iter_mut().zip(sources) {
            let b = &table.numbers[source as usize * table.stride + table.first..][..a.len()];
            *out = Dot { a, b }.call();
        }
    }
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
    // The position is looked for only where there is one.
    if widest(AllFinite { row }) { None } else { row.iter().position(|number| !number.is_finite()) }
}

struct AllFinite<'a> {
    row: &'a [f32],
}

impl NullaryFnOnce for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        const EXPONENT: u32 = 0x7f80_0000;
        // Without a branch, the loop is as fast as memory.
        self.row.iter().fold(0, |found, x| found | u32::from(x.to_bits() & EXPONENT == EXPONENT)) == 0
    }
}
