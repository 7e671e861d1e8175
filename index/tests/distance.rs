//! Every kernel against a slow, obvious twin in f64: all instruction sets of this machine, all pairs, all tail lengths.

use half::{bf16, f16};
use proptest::prelude::*;
use redknot_index::{Element, Isa, Kernel, MAX_DIM, Metric, UnsupportedPair};

const METRICS: [Metric; 4] = [Metric::L2, Metric::Cosine, Metric::InnerProduct, Metric::L1];
const NUMBERS: [Element; 5] = [Element::F32, Element::F16, Element::BF16, Element::I8, Element::U8];

/// The coordinates of a row, one by one.
fn coordinates(row: &[u8], element: Element) -> Vec<f64> {
    let halves = || row.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match element {
        Element::F32 => {
            row.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()).collect()
        }
        Element::F16 => halves().map(|bits| f16::from_bits(bits).into()).collect(),
        Element::BF16 => halves().map(|bits| bf16::from_bits(bits).into()).collect(),
        Element::I8 => row.iter().map(|&b| b.cast_signed().into()).collect(),
        Element::U8 => row.iter().map(|&b| b.into()).collect(),
        Element::Bits => row.iter().flat_map(|b| (0..8).map(move |j| f64::from(b >> j & 1))).collect(),
        _ => unreachable!("an element type that the oracle does not know"),
    }
}

/// The distance, and the sum of the magnitudes that were added up for it: the yardstick of rounding errors.
fn oracle(metric: Metric, q: &[f64], r: &[f64]) -> (f64, f64) {
    let sum = |term: &dyn Fn(f64, f64) -> f64| -> f64 { q.iter().zip(r).map(|(&q, &r)| term(q, r)).sum() };
    match metric {
        Metric::L2 => (sum(&|q, r| (q - r).powi(2)), sum(&|q, r| (q - r).powi(2))),
        Metric::L1 => (sum(&|q, r| (q - r).abs()), sum(&|q, r| (q - r).abs())),
        Metric::InnerProduct => (-sum(&|q, r| q * r), sum(&|q, r| (q * r).abs())),
        Metric::Hamming => (sum(&|q, r| f64::from(u8::from(q != r))), 0.0),
        Metric::Cosine => {
            let lengths = (sum(&|q, _| q * q) * sum(&|_, r| r * r)).sqrt();
            let distance = if lengths == 0.0 { 1.0 } else { 1.0 - sum(&|q, r| q * r) / lengths };
            (distance, 1.0)
        }
        _ => unreachable!("a metric that the oracle does not know"),
    }
}

/// Whether `got` is `want` up to rounding: integers must be exact.
fn close(got: f32, (want, magnitude): (f64, f64), metric: Metric, element: Element) -> bool {
    match element {
        Element::I8 | Element::U8 | Element::Bits if metric != Metric::Cosine => got == want as f32,
        _ => (f64::from(got) - want).abs() <= 2e-6 * magnitude + 1e-37,
    }
}

/// Compares every instruction set with the oracle, through both entry points.
fn check(metric: Metric, element: Element, query: &[u8], row: &[u8]) {
    let want = oracle(metric, &coordinates(query, element), &coordinates(row, element));
    let mut tried = 0;
    for kernel in Isa::ALL.into_iter().filter_map(|isa| Kernel::with_isa(isa, metric, element)) {
        let scale = kernel.scale(query);
        let one = kernel.distance(query, scale, row);
        let mut many = [f32::NAN; 3];
        kernel.distances(query, scale, &[row, query, row], &mut many);
        let context = format!("{metric} {element} {:?}, {} bytes", kernel.isa(), query.len());
        assert!(close(one, want, metric, element), "{context}: got {one}, expected {want:?}");
        assert_eq!([one, one].map(f32::to_bits), [many[0], many[2]].map(f32::to_bits), "{context}: batch");
        tried += 1;
    }
    assert!(tried >= 1);
}

/// Bytes of `dim` finite coordinates of moderate size.
fn random_row(rng: &mut fastrand::Rng, element: Element, dim: usize) -> Vec<u8> {
    let mut coordinate = || (rng.f32() - 0.5) * 8.0;
    match element {
        Element::F32 => (0..dim).flat_map(|_| coordinate().to_le_bytes()).collect(),
        Element::F16 => (0..dim).flat_map(|_| f16::from_f32(coordinate()).to_le_bytes()).collect(),
        Element::BF16 => (0..dim).flat_map(|_| bf16::from_f32(coordinate()).to_le_bytes()).collect(),
        _ => (0..element.bytes_per_row(dim)).map(|_| rng.u8(..)).collect(),
    }
}

fn lengths() -> impl Iterator<Item = usize> {
    (1..=300).chain([384, 784, 1536, 4096])
}

#[test]
fn every_kernel_agrees_with_the_oracle_at_every_length() {
    let seed = 7;
    let mut rng = fastrand::Rng::with_seed(seed);
    for dim in lengths() {
        for element in NUMBERS {
            // One byte further on, so that no row is aligned.
            let query = [vec![0], random_row(&mut rng, element, dim)].concat();
            let row = [vec![0], random_row(&mut rng, element, dim)].concat();
            for metric in METRICS {
                check(metric, element, &query[1..], &row[1..]);
            }
        }
        let [query, row] = [(); 2].map(|()| random_row(&mut rng, Element::Bits, dim * 8));
        check(Metric::Hamming, Element::Bits, &query, &row);
    }
}

#[test]
fn integer_sums_are_exact_at_the_extremes() {
    for dim in lengths().chain([MAX_DIM - 1, MAX_DIM]) {
        for (element, bytes) in [(Element::U8, [0, 255]), (Element::I8, [0x80, 0x7f])] {
            for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                for metric in METRICS {
                    check(metric, element, &vec![bytes[a]; dim], &vec![bytes[b]; dim]);
                }
            }
        }
        check(
            Metric::Hamming,
            Element::Bits,
            &vec![0; dim.min(MAX_DIM / 8)],
            &vec![255; dim.min(MAX_DIM / 8)],
        );
    }
}

#[test]
fn every_finite_f16_and_bf16_is_read_exactly() {
    // A one-coordinate inner product with 1 gives back the coordinate.
    for element in [Element::F16, Element::BF16] {
        let one = if element == Element::F16 { f16::ONE.to_le_bytes() } else { bf16::ONE.to_le_bytes() };
        for kernel in
            Isa::ALL.into_iter().filter_map(|isa| Kernel::with_isa(isa, Metric::InnerProduct, element))
        {
            for bits in 0..=u16::MAX {
                let want = coordinates(&bits.to_le_bytes(), element)[0];
                if want.is_finite() {
                    let got = -kernel.distance(&one, 1.0, &bits.to_le_bytes());
                    assert_eq!(f64::from(got), want, "{element} {bits:#06x} {:?}", kernel.isa());
                }
            }
        }
    }
}

#[test]
fn f16_subnormals_keep_their_value_in_whole_vectors() {
    for dim in [1, 16, 100] {
        let query: Vec<u8> = (0..dim).flat_map(|i| f16::from_bits(1 + i * 7).to_le_bytes()).collect();
        let row: Vec<u8> = (0..dim).flat_map(|i| f16::from_bits(0x8001 + i * 3).to_le_bytes()).collect();
        for metric in METRICS {
            check(metric, Element::F16, &query, &row);
        }
    }
}

#[test]
fn equal_zeros_at_the_end_change_nothing() {
    let mut rng = fastrand::Rng::with_seed(11);
    for element in NUMBERS {
        for dim in [1, 3, 33, 100, 129] {
            let (query, row) = (random_row(&mut rng, element, dim), random_row(&mut rng, element, dim));
            for (metric, padding) in METRICS.into_iter().flat_map(|m| [4, 28, 64].map(|padding| (m, padding)))
            {
                let want = oracle(metric, &coordinates(&query, element), &coordinates(&row, element));
                for kernel in Isa::ALL.into_iter().filter_map(|isa| Kernel::with_isa(isa, metric, element)) {
                    let pad = |row: &[u8]| [row, &vec![0; padding]].concat();
                    let got = kernel.distance(&pad(&query), kernel.scale(&query), &pad(&row));
                    assert!(close(got, want, metric, element), "{metric} {element}: got {got}, {want:?}");
                }
            }
        }
    }
}

#[test]
fn a_zero_row_is_at_cosine_distance_one() {
    for element in NUMBERS {
        for kernel in Isa::ALL.into_iter().filter_map(|isa| Kernel::with_isa(isa, Metric::Cosine, element)) {
            let (zero, other) = (vec![0; 52], vec![1; 52]);
            assert_eq!(kernel.distance(&other, kernel.scale(&other), &zero), 1.0);
            assert_eq!(kernel.distance(&zero, kernel.scale(&zero), &other), 1.0);
            assert_eq!(kernel.distance(&zero, kernel.scale(&zero), &zero), 1.0);
        }
    }
}

#[test]
fn the_comparison_can_fail() {
    let kernel = Kernel::new(Metric::L2, Element::U8).expect("L2 is defined over u8");
    let (query, row) = ([3; 100], [5; 100]);
    let mut wrong = row;
    wrong[99] = 6;
    let want = oracle(Metric::L2, &coordinates(&query, Element::U8), &coordinates(&row, Element::U8));
    assert!(close(kernel.distance(&query, 1.0, &row), want, Metric::L2, Element::U8));
    assert!(!close(kernel.distance(&query, 1.0, &wrong), want, Metric::L2, Element::U8));
    assert!(!close(want.0 as f32 * (1.0 + 1e-5), want, Metric::L2, Element::F32));
}

#[test]
fn the_batch_form_agrees_for_every_number_of_rows() {
    let mut rng = fastrand::Rng::with_seed(13);
    for element in NUMBERS {
        let rows: Vec<Vec<u8>> = (0..40).map(|_| random_row(&mut rng, element, 130)).collect();
        let kernel = Kernel::new(Metric::Cosine, element).expect("cosine is defined over numbers");
        let scale = kernel.scale(&rows[0]);
        for count in 0..=rows.len() {
            let slices: Vec<&[u8]> = rows[..count].iter().map(Vec::as_slice).collect();
            let mut got = vec![f32::NAN; count];
            kernel.distances(&rows[0], scale, &slices, &mut got);
            let want: Vec<f32> = slices.iter().map(|row| kernel.distance(&rows[0], scale, row)).collect();
            assert_eq!(got, want, "{element}, {count} rows");
        }
    }
}

#[test]
fn pairs_without_a_meaning_are_refused() {
    for element in Element::ALL {
        for metric in Metric::ALL {
            let meaningful = (metric == Metric::Hamming) == (element == Element::Bits);
            match Kernel::new(metric, element) {
                Ok(kernel) => assert!(meaningful, "{metric} {element} {:?}", kernel.isa()),
                Err(error) => assert_eq!((error, meaningful), (UnsupportedPair { metric, element }, false)),
            }
        }
    }
}

#[test]
#[should_panic(expected = "differ in length")]
fn rows_of_another_length_are_not_read() {
    let kernel = Kernel::new(Metric::L2, Element::F32).expect("L2 is defined over f32");
    kernel.distances(&[0; 64], 1.0, &[&[0; 64], &[0; 60]], &mut [0.0; 2]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_agree_with_the_oracle(
        pairs in proptest::collection::vec(any::<(u8, u8)>(), 1..700),
        metric in proptest::sample::select(METRICS.to_vec()),
    ) {
        let (query, row): (Vec<u8>, Vec<u8>) = pairs.into_iter().unzip();
        check(metric, Element::I8, &query, &row);
        check(metric, Element::U8, &query, &row);
        check(Metric::Hamming, Element::Bits, &query, &row);
    }

    #[test]
    fn arbitrary_floats_agree_with_the_oracle(
        pairs in proptest::collection::vec((-1e6_f32..1e6, -1e6_f32..1e6), 1..300),
        metric in proptest::sample::select(METRICS.to_vec()),
    ) {
        let (query, row): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        let bytes = |row: &[f32]| row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        check(metric, Element::F32, &bytes(&query), &bytes(&row));
        let bytes = |row: &[f32]| row.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect::<Vec<u8>>();
        check(metric, Element::BF16, &bytes(&query), &bytes(&row));
        let bytes =
            |row: &[f32]| row.iter().flat_map(|x| f16::from_f32(x / 1e3).to_le_bytes()).collect::<Vec<u8>>();
        check(metric, Element::F16, &bytes(&query), &bytes(&row));
    }
}
