//! What each part of a router is worth: greedy search, keys from principal axes, a trained linear encoder, the mean of
//! the neighbours, attention.
//!
//! `cargo bench --bench ablation -- BASE.npy TRAIN_QUERIES.npy TEST_QUERIES.npy GT.npy METRIC [LIMIT]` builds an index
//! of BASE, or of its first LIMIT rows, fits every encoder to the same trajectories, and prints a table in Markdown. Efforts
//! are chosen on the last of TRAIN_QUERIES, which no model learns from; what the table says was then measured with
//! TEST_QUERIES, on one thread, in rounds in which all searches take turns. GT has the rows nearest to each test query,
//! the nearest first; with LIMIT it does not hold, and answers are compared with those of an exact scan. Greedy search is
//! compared at the recall that the router reached, between two of its efforts.

mod npy;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use npy::{Outcome, Rows};
use rayon::prelude::*;
use redknot::Metric;
use redknot::routing::{
    Figures, HeldOut, KeyEncoder, KeyModel, Keyed, Keys, Landmarks, Plan, Router, calibrate, encode_nodes,
};
use redknot::train::{
    AttentionOptions, Encoder, PcaOptions, Queries, TrainOptions, collect, fit, pca_model, quality,
};
use redknot_index::{
    BuildOptions, IndexConfig, IndexRecord, Kernel, Neighbor, Permutation, Reader, SearchParams, Writer,
    build, encode, nodes_by_level,
};
use redknot_storage::{ArrayId, ArraySpec, Options, PageSize, Storage, View, WriteTxn};

const K: usize = 10;
const RECALLS: [f64; 3] = [0.9, 0.95, 0.99];
/// Queries that efforts are chosen with, at most, and at most one in five.
const CALIBRATION: usize = 1000;
const ROUNDS: usize = 5;
const MAX_EF: usize = 2048;

/// A model with its keys in the file.
struct Variant {
    name: String,
    model: KeyModel,
    order: f32,
    seconds: f64,
}

/// Encoded queries and the distances of their true k-th neighbours.
struct Questions {
    rows: Vec<Vec<u8>>,
    kth: Vec<f32>,
}

/// A search that is measured: of which router, or greedy, and for which row of the table.
struct Contender {
    by: Option<usize>,
    recall: f64,
    plan: Plan,
    figures: Figures,
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [base, train, test, truth, metric, rest @ ..] = args.as_slice() else {
        println!("usage: cargo bench --bench ablation -- BASE TRAIN_QUERIES TEST_QUERIES GT METRIC [LIMIT]");
        return Ok(());
    };
    let metric: Metric = metric.parse()?;
    let [base, train, test] = [base, train, test].map(|path| Rows::read(Path::new(path)));
    let (base, train, test) = (base?, train?, test?);
    let rows = rest.first().map_or(Ok(base.len()), |limit| limit.parse())?.min(base.len());
    let config =
        IndexConfig { dim: base.dim, metric, element: base.element, m: 16, ef_construction: 200, seed: 1 };
    let folder = tempfile::tempdir()?;
    let storage = Storage::create(folder.path().join("index"), &Options::default())?;
    let record = index(&storage, &base, rows, &config)?;
    let snapshot = storage.snapshot()?;
    let reader = Reader::open(&*snapshot, &record)?;

    let held_out = CALIBRATION.min(train.len() / 5);
    let learned_from = train.len() - held_out;
    let [learning, calibrating] =
        [0..learned_from, learned_from..train.len()].map(|part| numbers(&train, part));
    let variants = variants(&reader, &learning, &calibrating)?;
    let calibrating = questions(&reader, &train, learned_from..train.len(), None)?;
    let truth = if rows < base.len() { None } else { Some(read_truth(Path::new(truth), test.len())?) };
    let testing = questions(&reader, &test, 0..test.len(), truth.as_ref().map(|truth| (&base, truth)))?;

    let arrays: Vec<ArrayId> =
        variants.iter().map(|variant| write_keys(&storage, &reader, variant)).collect::<Outcome<_>>()?;
    let snapshot = storage.snapshot()?;
    let mut landmarks = nodes_by_level(&*snapshot, &record)?;
    landmarks.truncate(Landmarks::worth(rows));
    let mut routers = Vec::new();
    for (variant, array) in variants.iter().zip(&arrays) {
        let keys = snapshot.rows(*array)?;
        let mut table = Vec::new();
        for node in &landmarks {
            table.extend_from_slice(keys.get(*node)?);
        }
        let landmarks = Landmarks::new(landmarks.clone(), table, variant.model.key_bytes)?;
        routers.push((Router::new(&variant.model, landmarks)?, keys));
    }
    let routers: Vec<Keyed<'_>> =
        routers.iter().map(|(router, keys)| Keyed { router, keys: Keys::new(*keys) }).collect();
    let mut contenders = contenders(&reader, &routers, &calibrating)?;
    measure(&reader, &routers, &testing, &mut contenders)?;
    println!(
        "{rows} rows of {}, {metric}; learned from {learned_from} queries, efforts chosen with {held_out}, measured with {}.\n",
        base.dim,
        test.len()
    );
    print(&variants, &contenders);
    Ok(())
}

fn numbers(rows: &Rows, part: std::ops::Range<usize>) -> Vec<f32> {
    part.flat_map(|row| rows.row(row)).copied().collect()
}

/// Writes the rows to the file and links them. Rows keep their numbers.
fn index(storage: &Storage, base: &Rows, rows: usize, config: &IndexConfig) -> Outcome<IndexRecord> {
    let mut txn = storage.begin_write()?;
    let mut record = IndexRecord::create(&mut txn, config)?;
    let mut bytes = Vec::new();
    for row in 0..rows {
        let row = base.row(row).into();
        encode(row, config.dim, config.element, config.metric, config.row_bytes(), &mut bytes)?;
    }
    Writer::open(&mut txn, &mut record)?.append_unlinked(&bytes)?;
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

/// Every way of making keys, fitted to the same trajectories.
fn variants(reader: &Reader<'_>, learning: &[f32], calibrating: &[f32]) -> Outcome<Vec<Variant>> {
    let go_on = |_| ControlFlow::Continue(());
    let queries = Queries { training: Some(learning), held_out: Some(calibrating) };
    let options = TrainOptions::default();
    let trajectories = collect(reader, &queries, &options, &go_on)?;
    let begun = Instant::now();
    let model = pca_model(reader, &PcaOptions { lambda: 0.0, ..PcaOptions::default() })?;
    let seconds = begun.elapsed().as_secs_f64();
    let order = quality(reader, &trajectories, &model)?.order;
    let mut variants = vec![Variant { name: "principal axes, untrained".into(), model, order, seconds }];
    let attention = AttentionOptions::default();
    let AttentionOptions { layers, heads, hidden, .. } = attention;
    for (name, encoder) in [
        ("linear".into(), Encoder::Linear),
        ("+ neighbour mean".into(), Encoder::Mean),
        (format!("+ attention {layers} × {heads} × {hidden}"), Encoder::Attention(attention)),
    ] {
        let begun = Instant::now();
        let trained = fit(reader, &trajectories, &TrainOptions { encoder, ..options.clone() }, &go_on)?;
        let seconds = begun.elapsed().as_secs_f64();
        variants.push(Variant { name, model: trained.model, order: trained.report.learned.order, seconds });
    }
    Ok(variants)
}

fn write_keys(storage: &Storage, reader: &Reader<'_>, variant: &Variant) -> Outcome<ArrayId> {
    let nodes: Vec<u32> = (0..reader.nodes()).collect();
    let mut keys = vec![0; nodes.len() * variant.model.key_bytes];
    let begun = Instant::now();
    encode_nodes(reader, &KeyEncoder::new(&variant.model)?, &nodes, &mut keys)?;
    eprintln!("keys of {}: {:.2} s", variant.name, begun.elapsed().as_secs_f64());
    let mut txn = storage.begin_write()?;
    let array = txn.create_array(ArraySpec::rows(variant.model.key_bytes, PageSize::KIB_16)?)?;
    txn.push_rows(array, &keys)?;
    txn.commit()?;
    Ok(array)
}

/// For each query the row of its true k-th neighbour.
fn read_truth(path: &Path, queries: usize) -> Outcome<Vec<usize>> {
    let bytes = std::fs::read(path)?;
    let npy = npyz::NpyFile::new(&bytes[..])?;
    let width = *npy.shape().last().ok_or("a truth without rows")? as usize;
    let rows: Vec<i64> = match npy.dtype().descr().as_str() {
        "'<i4'" => npy.into_vec::<i32>()?.into_iter().map(i64::from).collect(),
        "'<i8'" => npy.into_vec::<i64>()?,
        other => return Err(format!("{other} is neither i4 nor i8").into()),
    };
    if width < K || rows.len() / width < queries {
        return Err(format!("the truth of {queries} queries takes as many rows of {K} or more").into());
    }
    rows.chunks_exact(width).map(|row| Ok(usize::try_from(row[K - 1])?)).collect()
}

/// Encodes queries and looks up how far their k-th neighbours are.
fn questions(
    reader: &Reader<'_>,
    queries: &Rows,
    part: std::ops::Range<usize>,
    truth: Option<(&Rows, &Vec<usize>)>,
) -> Outcome<Questions> {
    let config = reader.config();
    let encoded = |row: &[f32]| {
        let mut bytes = Vec::new();
        encode(row.into(), config.dim, config.element, config.metric, config.row_bytes(), &mut bytes)?;
        Ok::<_, redknot::VectorError>(bytes)
    };
    let rows = part.map(|row| encoded(queries.row(row))).collect::<Result<Vec<_>, _>>()?;
    let kernel = Kernel::new(config.metric, config.element)?;
    let kth = |(at, query): (usize, &Vec<u8>)| match truth {
        Some((base, truth)) => {
            let row = encoded(base.row(truth[at])).map_err(|error| error.to_string())?;
            Ok(kernel.distance(query, kernel.scale(query), &row))
        }
        None => {
            let exact = reader.search_exact(query, K, None).map_err(|error| error.to_string())?;
            Ok(exact.neighbors.last().map_or(f32::INFINITY, |neighbor| neighbor.distance))
        }
    };
    let kth = rows.par_iter().enumerate().map(kth).collect::<Result<_, String>>()?;
    Ok(Questions { rows, kth })
}

/// All efforts of greedy search, and for each router the fastest one that reaches each recall on the calibration
/// queries.
fn contenders(
    reader: &Reader<'_>,
    routers: &[Keyed<'_>],
    calibrating: &Questions,
) -> Outcome<Vec<Contender>> {
    let questions = HeldOut { queries: &calibrating.rows, kth: &calibrating.kth, k: K };
    let calibrations = calibrate(reader, routers, questions, &|| true)?;
    let efs = (0..).map(|step| (K as f64 * f64::powi(2.0, step).sqrt()).round() as usize);
    let greedy = efs.take_while(|ef| *ef <= MAX_EF).map(Plan::Greedy);
    let none = Figures::default();
    let mut contenders: Vec<Contender> =
        greedy.map(|plan| Contender { by: None, recall: 0.0, plan, figures: none }).collect();
    for recall in RECALLS {
        for (by, calibration) in calibrations.iter().enumerate() {
            if let Some(measured) = calibration.level(recall).routed {
                contenders.push(Contender { by: Some(by), recall, plan: measured.plan, figures: none });
            }
        }
    }
    Ok(contenders)
}

fn measure(
    reader: &Reader<'_>,
    routers: &[Keyed<'_>],
    testing: &Questions,
    contenders: &mut [Contender],
) -> Outcome<()> {
    let answer = |contender: &Contender, query: &[u8]| -> Outcome<(Vec<Neighbor>, [f64; 3])> {
        Ok(match (contender.plan, contender.by) {
            (Plan::Routed(effort), Some(by)) => {
                let Keyed { router, keys } = routers[by];
                let routed = router.search(reader, keys, query, K, &effort)?;
                let counts = [routed.distances, routed.key_scores, routed.hops].map(|count| count as f64);
                (routed.neighbors, counts)
            }
            (Plan::Greedy(ef), _) => {
                let found = reader.search(query, SearchParams { k: K, ef })?;
                (found.neighbors, [found.distances as f64, 0.0, found.hops as f64])
            }
            (Plan::Routed(_), None) => unreachable!("every routed plan has a router"),
        })
    };
    let count = testing.rows.len() as f64;
    for contender in &mut *contenders {
        let mut sums = [0.0; 4];
        for (query, kth) in testing.rows.iter().zip(&testing.kth) {
            let (neighbors, costs) = answer(contender, query)?;
            let found = neighbors.iter().filter(|neighbor| neighbor.distance <= *kth).count() as f64;
            let [distances, key_scores, hops] = costs;
            sums.iter_mut().zip([found / K as f64, distances, key_scores, hops]).for_each(|(a, b)| *a += b);
        }
        let [recall, distances, key_scores, hops] = sums.map(|sum| sum / count);
        contender.figures = Figures { recall, distances, key_scores, hops, ..Figures::default() };
    }
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let start = Instant::now();
            for query in &testing.rows {
                answer(contender, query)?;
            }
            times.push(start.elapsed().as_secs_f64() * 1e6 / count);
        }
    }
    for (contender, times) in contenders.iter_mut().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        contender.figures.micros = times[ROUNDS / 2];
    }
    Ok(())
}

/// Greedy search at a recall, between the two efforts on both sides of it.
fn greedy_at(contenders: &[Contender], recall: f64) -> Option<Figures> {
    let greedy: Vec<&Figures> =
        contenders.iter().filter(|contender| contender.by.is_none()).map(|it| &it.figures).collect();
    let after = greedy.iter().position(|figures| figures.recall >= recall)?;
    let high = greedy[after];
    // The least effort may already find more.
    let Some(low) = after.checked_sub(1).map(|before| greedy[before]) else { return Some(*high) };
    let share = (recall - low.recall) / (high.recall - low.recall).max(f64::MIN_POSITIVE);
    let between = |of: fn(&Figures) -> f64| of(low) + share * (of(high) - of(low));
    Some(Figures {
        recall,
        micros: between(|figures| figures.micros),
        distances: between(|figures| figures.distances),
        hops: between(|figures| figures.hops),
        ..Figures::default()
    })
}

fn print(variants: &[Variant], contenders: &[Contender]) {
    println!(
        "| asked | search | recall | queries/s | ÷ greedy | distances | key scores | hops | order | fit |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let percent = |new: f64, old: f64| format!("{new:.0} ({:+.0} %)", (new / old - 1.0) * 100.0);
    for recall in RECALLS {
        if let Some(greedy) = greedy_at(contenders, recall) {
            let Figures { recall: reached, micros, distances, hops, .. } = greedy;
            let speed = 1e6 / micros;
            println!(
                "| {recall} | greedy | {reached:.3} | {speed:.0} | | {distances:.0} | | {hops:.0} | | |"
            );
        }
        for (number, variant) in variants.iter().enumerate() {
            let is_it = |it: &&Contender| it.by == Some(number) && it.recall == recall;
            let Variant { name, order, seconds, .. } = variant;
            let Some(Contender { figures, .. }) = contenders.iter().find(is_it) else {
                println!("| {recall} | {name} | not reached | | | | | | {order:.3} | {seconds:.1} s |");
                continue;
            };
            let greedy = greedy_at(contenders, figures.recall);
            let compared = greedy.map_or(Default::default(), |greedy| {
                let faster = format!("{:.2}", greedy.micros / figures.micros);
                [faster, percent(figures.distances, greedy.distances), percent(figures.hops, greedy.hops)]
            });
            let [faster, distances, hops] = compared;
            let (reached, speed, scores) = (figures.recall, 1e6 / figures.micros, figures.key_scores);
            println!(
                "| {recall} | {name} | {reached:.3} | {speed:.0} | {faster} | {distances} | {scores:.0} | {hops} | {order:.3} | {seconds:.1} s |"
            );
        }
    }
}
