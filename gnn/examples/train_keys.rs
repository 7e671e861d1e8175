//! What principal axes, training and the mean of the neighbours are worth, on the vectors of a NumPy file.
//!
//! `train_keys BASE.npy QUERIES.npy [l2|cosine] [synthesise|log]` builds an index of BASE in a temporary file, makes
//! models from principal axes with several shares λ of the neighbours' mean, and trains with each encoder. With
//! `synthesise`, the default, it learns from made-up queries and holds the first 1,000 of QUERIES out; with `log` it
//! learns from QUERIES and holds out 1,000 of them.

use std::cell::RefCell;
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::time::Instant;

use npyz::{DType, NpyFile};
use redknot_gnn::train::{
    AttentionOptions, Encoder, PcaOptions, Quality, Queries, TrainOptions, TrainProgress, collect, fit,
    pca_model, quality,
};
use redknot_index::{
    BuildOptions, Element, IndexConfig, IndexRecord, Metric, Permutation, Reader, Writer, build, encode,
};
use redknot_storage::{Options, Storage, WriteTxn};

/// Queries that are held out.
const HELD_OUT: usize = 1000;
/// λ of the models that are made of principal axes alone.
const LAMBDAS: [f32; 4] = [0.0, 0.15, 0.3, 0.45];

/// Rows of a NumPy file.
struct Rows {
    dim: usize,
    element: Element,
    numbers: Vec<f32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, queries, rest @ ..] = arguments.as_slice() else {
        return Err("usage: train_keys BASE.npy QUERIES.npy [l2|cosine] [synthesise|log]".into());
    };
    let metric: Metric = rest.first().map_or("l2", String::as_str).parse()?;
    let from_log = rest.get(1).is_some_and(|word| word == "log");
    let (base, queries) = (read(base)?, read(queries)?);
    let folder = tempfile::tempdir()?;
    let storage = Storage::create(folder.path().join("index"), &Options::default())?;
    let begun = Instant::now();
    let record = index(&storage, &base, metric)?;
    println!(
        "index of {} rows of {}: {:.1} s",
        base.numbers.len() / base.dim,
        base.dim,
        begun.elapsed().as_secs_f64()
    );
    let snapshot = storage.snapshot()?;
    let reader = Reader::open(&*snapshot, &record)?;

    let held_out = &queries.numbers[..queries.numbers.len().min(HELD_OUT * queries.dim)];
    let queries = if from_log {
        Queries { training: Some(&queries.numbers), held_out: None }
    } else {
        Queries { training: None, held_out: Some(held_out) }
    };
    let options = TrainOptions { held_out: HELD_OUT, ..TrainOptions::default() };
    let trajectories = collect(&reader, &queries, &options, &go_on)?;
    println!(
        "{trajectories:?}\n{:<16}{:>6}{:>13}{:>8}{:>16}",
        "keys", "λ", "correlation", "order", "order by exact"
    );
    for lambda in LAMBDAS {
        let model = pca_model(&reader, &PcaOptions { lambda, ..PcaOptions::default() })?;
        print("principal axes", lambda, quality(&reader, &trajectories, &model)?);
    }
    let attention = Encoder::Attention(AttentionOptions::default());
    for (name, encoder) in [("linear", Encoder::Linear), ("mean", Encoder::Mean), ("attention", attention)] {
        let trained = fit(&reader, &trajectories, &TrainOptions { encoder, ..options.clone() }, &go_on)?;
        let report = trained.report;
        print(name, trained.model.lambda, report.learned);
        for losses in &report.losses {
            println!("  {losses:?}");
        }
        println!(
            "  best step {}, exact queries {}, {:?}",
            report.best_step, report.exact_queries, report.seconds
        );
    }
    Ok(())
}

fn print(name: &str, lambda: f32, quality: Quality) {
    let Quality { correlation, order, exact_order } = quality;
    println!("{name:<16}{lambda:>6.2}{correlation:>13.4}{order:>8.4}{exact_order:>16.4}");
}

fn go_on(_: TrainProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn read(path: &str) -> Result<Rows, Box<dyn Error>> {
    let npy = NpyFile::new(BufReader::new(File::open(path)?))?;
    let &[_, dim] = npy.shape() else { return Err(format!("{path} is no matrix").into()) };
    let dim = usize::try_from(dim)?;
    let type_name = match npy.dtype() {
        DType::Plain(plain) => plain.to_string(),
        other => other.descr(),
    };
    let (element, numbers) = match type_name.trim_start_matches(['<', '|']) {
        "u1" => (Element::U8, npy.into_vec::<u8>()?.into_iter().map(f32::from).collect()),
        "i1" => (Element::I8, npy.into_vec::<i8>()?.into_iter().map(f32::from).collect()),
        "f4" => (Element::F32, npy.into_vec::<f32>()?),
        other => return Err(format!("{path} holds {other}, expected u1, i1 or f4").into()),
    };
    Ok(Rows { dim, element, numbers })
}

/// Writes the rows to the file and links them.
fn index(storage: &Storage, base: &Rows, metric: Metric) -> Result<IndexRecord, Box<dyn Error>> {
    let config =
        IndexConfig { dim: base.dim, metric, element: base.element, m: 16, ef_construction: 200, seed: 1 };
    let mut txn = storage.begin_write()?;
    let mut record = IndexRecord::create(&mut txn, &config)?;
    let mut rows = Vec::new();
    for row in base.numbers.chunks_exact(base.dim) {
        encode(row.into(), base.dim, base.element, metric, config.row_bytes(), &mut rows)?;
    }
    Writer::open(&mut txn, &mut record)?.append_unlinked(&rows)?;
    txn.commit()?;
    let linked = RefCell::new(record.clone());
    let mut save = |_: &mut WriteTxn, record: &IndexRecord, _: Option<&Permutation>| {
        *linked.borrow_mut() = record.clone();
        Ok::<_, redknot_index::Error>(())
    };
    let options = BuildOptions { checkpoint_every: None, ..BuildOptions::default() };
    build(storage.begin_write()?, record, &options, &|_| ControlFlow::Continue(()), &mut save)?;
    Ok(linked.into_inner())
}
