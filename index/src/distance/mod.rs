//! Distances between rows of bytes, as they lie in the file.
//!
//! One loop (`row.rs`) is filled with what a metric sums (`floats.rs`, `bytes.rs`) and compiled once per instruction
//! set (`avx512.rs`, `avx2.rs`, `neon.rs`, `portable.rs`). [`Kernel`] picks one of the results at run time.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[expect(unsafe_code, reason = "calls methods that need an instruction set, which the caller has checked")]
mod bytes;
#[expect(unsafe_code, reason = "calls methods that need an instruction set, which the caller has checked")]
mod floats;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
#[expect(unsafe_code, reason = "implements a trait whose methods other instruction sets cannot offer safely")]
mod portable;
#[expect(unsafe_code, reason = "calls methods that need an instruction set, which the caller has checked")]
mod row;
#[expect(unsafe_code, reason = "methods that need an instruction set cannot be safe to call")]
mod simd;

use crate::element::{Element, MAX_DIM};
use crate::metric::Metric;
use bytes::{ByteMetric, ByteRow, Hamming};
use floats::{BF16, Cosine, F16, F32, FloatMetric, FloatRow, InnerProduct, L1, L2};
use simd::Simd;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// AVX-512 F, BW, VL, VNNI and VPOPCNTDQ: Ice Lake, Zen 4 and later.
    Avx512,
    /// AVX2, FMA and F16C.
    Avx2,
    /// NEON of 64-bit Arm.
    Neon,
    /// Whatever the program was compiled for.
    Portable,
}

impl Isa {
    /// Every instruction set, best first.
    pub const ALL: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];
}

/// A metric that is not defined over an element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "metric {metric} is not defined over {element}: use hamming with bits, and l2, cosine, ip or l1 with the others"
)]
pub struct UnsupportedPair {
    /// The metric asked for.
    pub metric: Metric,
    /// The element type asked for.
    pub element: Element,
}

/// The distance of one metric over one element type, bound to an instruction set of this machine.
///
/// Rows are byte slices, little-endian, of equal length; they may end in padding if all of them end in the same zeros.
/// The coordinates are taken to be finite, which [`crate::encode`] sees to. A zero row is at cosine distance 1 of everything.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    isa: Isa,
    metric: Metric,
    element: Element,
    functions: Functions,
    /// `−a·b` over the same elements, which the length of a query is computed with under cosine.
    inner_product: Option<One>,
    /// Rows may be no longer than this, or integer sums could exceed 32 bits.
    max_row_bytes: usize,
}

type One = unsafe fn(&[u8], f32, &[u8]) -> f32;
type Many = unsafe fn(&[u8], f32, &[&[u8]], &mut [f32]);

#[derive(Clone, Copy, Debug)]
struct Functions {
    one: One,
    many: Many,
}

impl Kernel {
    /// The kernel for the best instruction set of this machine.
    ///
    /// # Errors
    /// [`UnsupportedPair`] for Hamming over anything but bits, and for any other metric over bits.
    pub fn new(metric: Metric, element: Element) -> Result<Kernel, UnsupportedPair> {
        Isa::ALL
            .into_iter()
            .find_map(|isa| Kernel::with_isa(isa, metric, element))
            .ok_or(UnsupportedPair { metric, element })
    }

    /// The kernel for a given instruction set, or `None` where the machine lacks it or the pair is not supported.
    /// For tests and benchmarks.
    #[must_use]
    pub fn with_isa(isa: Isa, metric: Metric, element: Element) -> Option<Kernel> {
        let inner_product = match metric {
            Metric::Cosine => Some(functions(isa, Metric::InnerProduct, element)?.one),
            _ => None,
        };
        let functions = functions(isa, metric, element)?;
        let max_row_bytes = element.bytes_per_row(MAX_DIM);
        Some(Kernel { isa, metric, element, functions, inner_product, max_row_bytes })
    }

    /// The metric that its distances are of.
    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    /// What its rows hold.
    pub(crate) fn element(&self) -> Element {
        self.element
    }

    /// The instruction set in use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// What [`Kernel::distance`] and [`Kernel::distances`] need to know of a query beyond its bytes, computed once per
    /// query: `1/|q|` under cosine (0 for a zero query, which puts it at distance 1 of everything), 1 otherwise.
    #[must_use]
    pub fn scale(&self, query: &[u8]) -> f32 {
        let Some(inner_product) = self.inner_product else { return 1.0 };
        self.check_length(query);
        // SAFETY: `functions` returned this function after it found the instruction set on this machine.
        #[expect(unsafe_code, reason = "the function needs an instruction set, which has been checked")]
        let square = -unsafe { inner_product(query, 1.0, query) };
        if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }
    }

    /// The distance of `query`, whose [`Kernel::scale`] is `scale`, and `row`.
    ///
    /// # Panics
    /// If the two are not equally long, or longer than [`MAX_DIM`] coordinates.
    #[inline]
    #[must_use]
    pub fn distance(&self, query: &[u8], scale: f32, row: &[u8]) -> f32 {
        self.check_length(query);
        assert_eq!(query.len(), row.len(), "query and row differ in length");
        // SAFETY: `functions` returned this function after it found the instruction set on this machine.
        #[expect(unsafe_code, reason = "the function needs an instruction set, which has been checked")]
        unsafe {
            (self.functions.one)(query, scale, row)
        }
    }

    /// `out[i]` = the distance of `query`, whose [`Kernel::scale`] is `scale`, and `rows[i]`. Rows are brought into the
    /// cache a few places ahead, so one call with all rows of a hop is much faster than one call a row.
    ///
    /// # Panics
    /// If `rows` and `out` differ in length, or any row and `query` do, or if they are longer than [`MAX_DIM`] coordinates.
    #[inline]
    pub fn distances(&self, query: &[u8], scale: f32, rows: &[&[u8]], out: &mut [f32]) {
        self.check_length(query);
        assert_eq!(rows.len(), out.len(), "one distance for each row");
        assert!(rows.iter().all(|row| row.len() == query.len()), "query and rows differ in length");
        // SAFETY: `functions` returned this function after it found the instruction set on this machine.
        #[expect(unsafe_code, reason = "the function needs an instruction set, which has been checked")]
        unsafe {
            (self.functions.many)(query, scale, rows, out);
        }
    }

    #[inline]
    fn check_length(&self, query: &[u8]) {
        assert!(query.len() <= self.max_row_bytes, "a row has at most {MAX_DIM} coordinates");
    }
}

/// The compiled functions, or `None` where this machine lacks `isa` or the pair is not supported.
fn functions(isa: Isa, metric: Metric, element: Element) -> Option<Functions> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if avx512::Avx512::available() => functions_of::<avx512::Avx512>(metric, element),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if avx2::Avx2::available() => functions_of::<avx2::Avx2>(metric, element),
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Isa::Neon if neon::Neon::available() => functions_of::<neon::Neon>(metric, element),
        Isa::Portable => functions_of::<portable::Portable>(metric, element),
        _ => None,
    }
}

fn functions_of<S: Simd>(metric: Metric, element: Element) -> Option<Functions> {
    match metric {
        Metric::L2 => over_numbers::<S, L2>(element),
        Metric::Cosine => over_numbers::<S, Cosine>(element),
        Metric::InnerProduct => over_numbers::<S, InnerProduct>(element),
        Metric::L1 => over_numbers::<S, L1>(element),
        Metric::Hamming => match element {
            Element::Bits => Some(compiled::<S, ByteRow<Hamming, false>>()),
            _ => None,
        },
    }
}

fn over_numbers<S: Simd, M: FloatMetric + ByteMetric>(element: Element) -> Option<Functions> {
    match element {
        Element::F32 => Some(compiled::<S, FloatRow<F32, M>>()),
        Element::F16 => Some(compiled::<S, FloatRow<F16, M>>()),
        Element::BF16 => Some(compiled::<S, FloatRow<BF16, M>>()),
        Element::I8 => Some(compiled::<S, ByteRow<M, true>>()),
        Element::U8 => Some(compiled::<S, ByteRow<M, false>>()),
        Element::Bits => None,
    }
}

fn compiled<S: Simd, K: row::RowKernel<S>>() -> Functions {
    Functions { one: S::one::<K>, many: S::many::<K> }
}
