//! Seconds that graph features take, and how far sampled betweenness is off.
//!
//! ```sh
//! cargo run --release -p redknot-index --example features -- BASE.npy [ROWS [PIVOTS]]
//! ```
//! builds an index (L2) of the first ROWS rows (all by default) of a matrix of u8 or f32, and computes its features with
//! PIVOTS pivots (256 by default); up to 20,000 rows also exactly, to compare.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::time::Instant;

use npyz::{NpyFile, TypeChar};
use redknot_index::{
    BetweennessOptions, BuildOptions, Element, Features, IndexConfig, IndexRecord, Metric, Reader, VectorRef,
    Writer, build, compute_features, encode,
};
use redknot_storage::{Options, Storage, WriteTxn, array_bytes};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: features BASE.npy [ROWS [PIVOTS]]")?;
    let limit = args.next().map_or(Ok(usize::MAX), |rows| rows.parse())?;
    let defaults = BetweennessOptions::default();
    let pivots = args.next().map_or(Ok(defaults.pivots), |pivots| pivots.parse())?;
    let dir = tempfile::tempdir()?;
    let storage = Storage::create(dir.path().join("features.redknot"), &Options::default())?;
    let record = linked(&storage, &path, limit)?;

    let snapshot = storage.snapshot()?;
    let reader = Reader::open(&*snapshot, &record)?;
    let compute = |options: &BetweennessOptions| -> Outcome<Features> {
        let began = Instant::now();
        let features = compute_features(&reader, options, &|_| ControlFlow::Continue(()))?;
        println!("{:.2} s, {:?}", began.elapsed().as_secs_f64(), features.precision());
        Ok(features)
    };
    println!("{} rows, {} threads", record.live(), rayon::current_num_threads());
    let sampled = compute(&BetweennessOptions { exact_up_to: 0, pivots, ..defaults })?;
    if record.live() <= defaults.exact_up_to {
        compare(&sampled, &compute(&defaults)?);
    }
    drop(snapshot);
    store(&storage, &sampled)
}

/// Imports the rows and links them.
fn linked(storage: &Storage, path: &str, limit: usize) -> Outcome<IndexRecord> {
    let npy = NpyFile::new(BufReader::new(File::open(path)?))?;
    let &[rows, dim] = npy.shape() else { return Err("the file holds no matrix".into()) };
    let (rows, dim) = ((rows as usize).min(limit), dim as usize);
    let element = match npy.dtype() {
        npyz::DType::Plain(kind) if kind.type_char() == TypeChar::Uint && kind.size_field() == 1 => {
            Element::U8
        }
        _ => Element::F32,
    };
    let config = IndexConfig { dim, metric: Metric::L2, element, m: 16, ef_construction: 200, seed: 0 };
    let mut txn = storage.begin_write()?;
    let mut record = IndexRecord::create(&mut txn, &config)?;
    let mut bytes = Vec::with_capacity(rows * config.row_bytes());
    match element {
        Element::U8 => {
            let numbers: Vec<u8> = npy.data::<u8>()?.take(rows * dim).collect::<Result<_, _>>()?;
            append(VectorRef::U8(&numbers), &config, &mut bytes)?;
        }
        _ => {
            let numbers: Vec<f32> = npy.data::<f32>()?.take(rows * dim).collect::<Result<_, _>>()?;
            append(VectorRef::F32(&numbers), &config, &mut bytes)?;
        }
    }
    Writer::open(&mut txn, &mut record)?.append_unlinked(&bytes)?;
    let mut built = record.clone();
    let txn = txn.commit_and_begin()?;
    let mut save = |_: &mut WriteTxn, record: &IndexRecord, _: Option<&_>| {
        built = record.clone();
        Ok::<(), redknot_index::Error>(())
    };
    let began = Instant::now();
    build(txn, record, &BuildOptions::default(), &|_| ControlFlow::Continue(()), &mut save)?;
    println!("built in {:.1} s", began.elapsed().as_secs_f64());
    Ok(built)
}

fn append(numbers: VectorRef<'_>, config: &IndexConfig, bytes: &mut Vec<u8>) -> Outcome<()> {
    for row in numbers.rows(config.dim) {
        encode(row, config.dim, config.element, config.metric, config.row_bytes(), bytes)?;
    }
    Ok(())
}

/// Prints how far sampled values are off.
fn compare(sampled: &Features, exact: &Features) {
    let nodes = |features: &Features| -> Vec<f64> {
        features.nodes().iter().map(|node| f64::from(node.betweenness)).collect()
    };
    let edges = |features: &Features| -> Vec<f64> {
        let nodes = 0..features.nodes().len() as u32;
        nodes.flat_map(|node| features.edges(node)).map(|edge| f64::from(edge.betweenness)).collect()
    };
    for (name, estimates, truths) in
        [("nodes", nodes(sampled), nodes(exact)), ("edges", edges(sampled), edges(exact))]
    {
        let errors: Vec<f64> = estimates.iter().zip(&truths).map(|(a, b)| (a - b).abs()).collect();
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        println!(
            "{name}: error at most {:.2e}, on average {:.2e}; values at most {:.2e}, on average {:.2e}; rank correlation {:.3}",
            most(&errors),
            mean(&errors),
            most(&truths),
            mean(&truths),
            correlation(&ranks(&estimates), &ranks(&truths)),
        );
    }
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for (rank, at) in order.into_iter().enumerate() {
        ranks[at] = rank as f64;
    }
    ranks
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    product(a, b) / product(a, a)
}

/// Writes the features and prints how long that took and how large they are.
fn store(storage: &Storage, features: &Features) -> Outcome<()> {
    let began = Instant::now();
    let mut txn = storage.begin_write()?;
    let record = features.create(&mut txn)?;
    while !features.append(&mut txn, &record, 24 << 20)? {
        txn = txn.commit_and_begin()?;
    }
    txn.commit()?;
    let seconds = began.elapsed().as_secs_f64();
    let snapshot = storage.snapshot()?;
    for (name, array) in ["nodes", "links"].into_iter().zip(record.arrays()) {
        println!("features of {name}: {:.1} MB", array_bytes(&snapshot, array)? as f64 / 1e6);
    }
    println!("stored in {seconds:.2} s");
    Ok(())
}
