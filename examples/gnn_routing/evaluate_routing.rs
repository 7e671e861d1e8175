//! Measures a policy that scores links beside greedy search, on a collection and queries of one's own.
//!
//! ```text
//! cargo run --release --example evaluate_routing -- photos.redknot --queries query.npy --weights routing.json
//! ```
//!
//! For each effort: recall against the exact answers, distances, hops, time of a query, and of the policy also calls of the
//! model, their time, the hit rate of the feature cache, and how many queries fell back. One thread; the queries go
//! through once before they are timed.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use npyz::{DType, NpyFile};
use redknot::online::{Budget, GnnRoutingPolicy, LinearScorer, RoutingConfig};
use redknot::{Collection, Database, SearchStats};

/// What is measured, and how.
#[derive(Debug, Parser)]
struct Args {
    /// The database file; keys are u64, as those of an import without keys, and there are no payloads.
    file: PathBuf,

    /// The collection; may be left out where the file has one only.
    #[arg(short, long)]
    collection: Option<String>,

    /// Queries: an npy array (rows, dim) of f4, u1 or i1.
    #[arg(long)]
    queries: PathBuf,

    /// The first so many of them.
    #[arg(long, default_value_t = 200)]
    limit: usize,

    /// Rows to ask for.
    #[arg(short, default_value_t = 10)]
    k: usize,

    /// Efforts to measure.
    #[arg(long, value_delimiter = ',', default_values_t = [32, 64, 128])]
    ef: Vec<usize>,

    /// What scores links.
    #[arg(long, value_enum, default_value_t = Scorer::Native)]
    scorer: Scorer,

    /// The model: JSON of `train_routing_model.py --model linear` for the native scorer, an ONNX file for the other. The native scorer
    /// without weights compares targets with the query in evenly spaced coordinates.
    #[arg(long)]
    weights: Option<PathBuf>,

    /// Coordinates that the native scorer compares where it has no weights.
    #[arg(long, default_value_t = 32)]
    coordinates: usize,

    /// Links of a hop that get a distance.
    #[arg(long, default_value_t = RoutingConfig::default().top_k_edges)]
    top_k_edges: usize,

    /// Share of the model's score in the combined one.
    #[arg(long, default_value_t = RoutingConfig::default().hybrid_alpha)]
    hybrid_alpha: f32,

    /// 0 for the best links, more to draw them at random.
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,

    /// Microseconds that the model may take in a query; without a limit by default, to see what it takes.
    #[arg(long)]
    budget_us: Option<u64>,

    /// Compute the graph features first, where they are missing or behind.
    #[arg(long)]
    features: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scorer {
    /// The linear model in plain Rust.
    Native,
    /// An ONNX model.
    Onnx,
}

/// What a pass over the queries yielded, by query.
struct Pass {
    keys: Vec<Vec<u64>>,
    distances: f64,
    hops: f64,
    micros: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let database = Database::open(&args.file)?;
    let name = match &args.collection {
        Some(name) => name.clone(),
        None => database.collections()?.first().ok_or("the file has no collection")?.name.clone(),
    };
    if args.features {
        let fresh = database.graph_features(&name)?;
        if fresh.is_none_or(|features| features.freshness != redknot::Freshness::Fresh) {
            database.compute_graph_features_named(&name).run()?;
        }
    }
    let rows: Collection<u64, ()> = database.begin_read()?.open_collection_named(&name)?;
    let dim = rows.config().dim;
    let mut queries = read(&args.queries, dim)?;
    queries.truncate(args.limit);
    let policy = policy(&args, dim)?;
    let exact = |query: &Vec<f32>| -> redknot::Result<Vec<u64>> {
        let found = rows.search(query).k(args.k).exact().run()?;
        Ok(found.hits.into_iter().map(|hit| hit.key).collect())
    };
    let truth = queries.iter().map(exact).collect::<Result<Vec<_>, _>>()?;
    println!(
        "{name}: {} rows of {dim}, {} queries, k = {}, {} links of a hop",
        rows.len(),
        queries.len(),
        args.k,
        args.top_k_edges
    );
    println!("ef     way     recall  distances    hops    µs/query  calls  µs/call  cache  fallbacks");
    for ef in &args.ef {
        for guided in [false, true] {
            let ask = |query: &Vec<f32>| {
                let search = rows.search(query).k(args.k).greedy(Some(*ef));
                if guided { search.policy(&policy).run() } else { search.run() }
            };
            pass(&queries, ask)?;
            policy.reset_metrics();
            let pass = pass(&queries, ask)?;
            print!(
                "{ef:<6} {:<7} {:.4} {:>10.0} {:>7.1} {:>11.1}",
                if guided { "policy" } else { "greedy" },
                recall(&truth, &pass.keys),
                pass.distances,
                pass.hops,
                pass.micros
            );
            let metrics = policy.metrics();
            match guided {
                true => println!(
                    " {:>6.1} {:>8.2} {:>6.2} {:>10}",
                    metrics.total_inferences as f64 / queries.len() as f64,
                    metrics.avg_inference_us,
                    metrics.feature_cache_hit_rate,
                    metrics.fallbacks
                ),
                false => println!(),
            }
        }
    }
    Ok(())
}

fn policy(args: &Args, dim: usize) -> Result<GnnRoutingPolicy, Box<dyn Error>> {
    let config = RoutingConfig {
        top_k_edges: args.top_k_edges,
        hybrid_alpha: args.hybrid_alpha,
        temperature: args.temperature,
        budget: args
            .budget_us
            .map_or(Budget::Unlimited, |micros| Budget::Time(Duration::from_micros(micros))),
        ..RoutingConfig::default()
    };
    match (args.scorer, &args.weights) {
        (Scorer::Native, None) => {
            Ok(GnnRoutingPolicy::new(LinearScorer::nearer(dim, args.coordinates), config)?)
        }
        (Scorer::Native, Some(path)) => {
            let scorer: LinearScorer = serde_json::from_reader(BufReader::new(File::open(path)?))?;
            scorer.check()?;
            Ok(GnnRoutingPolicy::new(scorer, config)?)
        }
        #[cfg(feature = "onnx")]
        (Scorer::Onnx, Some(path)) => Ok(GnnRoutingPolicy::from_onnx(path, config)?),
        #[cfg(feature = "onnx")]
        (Scorer::Onnx, None) => Err("name the ONNX file with --weights".into()),
        #[cfg(not(feature = "onnx"))]
        (Scorer::Onnx, _) => {
            Err("this program was built without ONNX: build it with --features onnx, or use --scorer native"
                .into())
        }
    }
}

fn pass(
    queries: &[Vec<f32>],
    ask: impl Fn(&Vec<f32>) -> redknot::Result<redknot::SearchResult<u64>>,
) -> redknot::Result<Pass> {
    let (mut keys, mut stats, start) = (Vec::new(), Vec::<SearchStats>::new(), Instant::now());
    for query in queries {
        let found = ask(query)?;
        keys.push(found.hits.into_iter().map(|hit| hit.key).collect());
        stats.push(found.stats);
    }
    let seconds = start.elapsed().as_secs_f64();
    let mean = |sum: u64| sum as f64 / queries.len() as f64;
    Ok(Pass {
        keys,
        distances: mean(stats.iter().map(|stats| stats.distances).sum()),
        hops: mean(stats.iter().map(|stats| stats.hops).sum()),
        micros: seconds * 1e6 / queries.len() as f64,
    })
}

fn recall(truth: &[Vec<u64>], found: &[Vec<u64>]) -> f64 {
    let pairs = truth.iter().zip(found);
    let hits: usize =
        pairs.map(|(truth, found)| found.iter().filter(|key| truth.contains(key)).count()).sum();
    hits as f64 / truth.iter().map(Vec::len).sum::<usize>() as f64
}

/// The rows of a NumPy file.
fn read(path: &PathBuf, dim: usize) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let file = NpyFile::new(BufReader::new(File::open(path)?))?;
    let kind = match file.dtype() {
        DType::Plain(kind) => kind.to_string(),
        _ => "a structure".to_owned(),
    };
    if file.shape().last() != Some(&(dim as u64)) {
        return Err(format!("{} has shape {:?}, expected rows of {dim}", path.display(), file.shape()).into());
    }
    let numbers: Vec<f32> = match kind.as_str() {
        "<f4" => file.into_vec()?,
        "|u1" => file.into_vec::<u8>()?.into_iter().map(f32::from).collect(),
        "|i1" => file.into_vec::<i8>()?.into_iter().map(f32::from).collect(),
        _ => return Err(format!("{} holds {kind}, expected f4, u1 or i1", path.display()).into()),
    };
    Ok(numbers.chunks_exact(dim).map(<[f32]>::to_vec).collect())
}
