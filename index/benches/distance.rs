//! Nanoseconds a distance in the pattern of a search: one query, sixteen rows at random out of 300,000, and the same
//! out of sixteen, which are in the cache. `cargo bench -p redknot-index --bench distance`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redknot_index::{Element, Isa, Kernel, Metric, encode, row_bytes};

/// Rows of a hop.
const HOP: usize = 16;
const CASES: [(Metric, Element, usize); 6] = [
    (Metric::L2, Element::U8, 128),
    (Metric::L2, Element::F32, 128),
    (Metric::Cosine, Element::F32, 384),
    (Metric::Cosine, Element::I8, 384),
    (Metric::L2, Element::U8, 784),
    (Metric::L2, Element::F32, 784),
];

/// Rows one after another, as in a block.
struct Rows {
    bytes: Vec<u8>,
    stride: usize,
}

impl Rows {
    fn random(count: usize, dim: usize, element: Element) -> Rows {
        let mut rng = fastrand::Rng::with_seed(17);
        let stride = row_bytes(dim, element);
        let mut bytes = Vec::with_capacity(count * stride);
        for _ in 0..count {
            let values: Vec<i8> = (0..dim).map(|_| rng.i8(0..)).collect();
            encode((&values).into(), dim, element, Metric::L2, stride, &mut bytes).expect("0 … 127 fits");
        }
        Rows { bytes, stride }
    }

    fn hop(&self, rng: &mut fastrand::Rng) -> [&[u8]; HOP] {
        let count = self.bytes.len() / self.stride;
        std::array::from_fn(|_| {
            let at = rng.usize(..count) * self.stride;
            &self.bytes[at..at + self.stride]
        })
    }
}

fn distances(criterion: &mut Criterion) {
    for (metric, element, dim) in CASES {
        for (place, count) in [("cached", HOP), ("memory", 300_000)] {
            let rows = Rows::random(count, dim, element);
            let query = &Rows::random(1, dim, element).bytes;
            let mut group = criterion.benchmark_group(format!("{metric} {element} {dim} {place}"));
            group.throughput(Throughput::Elements(HOP as u64));
            let mut out = [0.0; HOP];
            for kernel in Isa::ALL.into_iter().filter_map(|isa| Kernel::with_isa(isa, metric, element)) {
                let (scale, mut rng) = (kernel.scale(query), fastrand::Rng::with_seed(3));
                group.bench_function(format!("{:?}", kernel.isa()), |bencher| {
                    bencher.iter(|| {
                        kernel.distances(query, scale, &rows.hop(&mut rng), &mut out);
                        out
                    });
                });
            }
            group.finish();
        }
    }
}

/// Gigabytes of input a second of turning vectors into rows.
fn encoding(criterion: &mut Criterion) {
    let mut rng = fastrand::Rng::with_seed(19);
    let bytes: Vec<u8> = (0..784).map(|_| rng.u8(..)).collect();
    let floats: Vec<f32> = bytes.iter().map(|&x| x.into()).collect();
    let cases = [
        ("u8 to u8", (&bytes).into(), Element::U8, bytes.len()),
        ("u8 to f32", (&bytes).into(), Element::F32, bytes.len()),
        ("f32 to f32", (&floats).into(), Element::F32, 4 * floats.len()),
        ("f32 to f16", (&floats).into(), Element::F16, 4 * floats.len()),
        ("f32 to u8", (&floats).into(), Element::U8, 4 * floats.len()),
    ];
    let mut group = criterion.benchmark_group("encode");
    for (name, vector, element, input_bytes) in cases {
        let mut out = Vec::new();
        group.throughput(Throughput::Bytes(input_bytes as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                encode(vector, 784, element, Metric::L2, row_bytes(784, element), &mut out)
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_secs(1))
        .sample_size(20);
    targets = encoding, distances
}
criterion_main!(benches);
