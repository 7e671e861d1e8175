//! One forward pass of each layer: time and peak memory, beside PyTorch Geometric if there is one.
//!
//! `cargo bench -p redknot-gnn --features gnn-all --bench layers -- [--python PYTHON] [--rounds N] [--threads N] [--block N]
//! [--layer NAME]`: 10,000 nodes, 100,000 edges, 256 numbers in and out, warm; all layers, or one. PYTHON has what
//! `requirements.txt` here lists. The two take turns, pass by pass, on the same graph, weights and number of threads; PyTorch
//! Geometric's time is that of the faster of the forms in which it takes the graph, and its rows must equal these.

mod peer;

use std::time::{Duration, Instant};

use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait};
use peer::Peer;
use redknot_gnn::layers::{Graph, LayerType, Matrix, Model, ModelDescription, Options, Weights};

#[global_allocator]
static MEMORY: &PeakMemAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const NODES: u32 = 10_000;
const EDGES: usize = 100_000;
const WIDTH: usize = 256;
const SEED: u64 = 4;
/// Threads of OpenMP go on spinning for 200 ms after their work: nobody is timed while the other's still do.
const REST: Duration = Duration::from_millis(250);
/// Passes before each that is timed, after the rest, in which caches and processors cool down: times are of warm passes.
const WARM: usize = 3;

struct Arguments {
    python: Option<String>,
    rounds: usize,
    threads: usize,
    block: usize,
    layer: Option<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments()?;
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    let edges = random_edges();
    let graph = Graph::from_edges(NODES, &edges, None, None)?;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let numbers = (0..NODES as usize * WIDTH).map(|_| 2.0 * rng.f32() - 1.0).collect();
    let x = Matrix::new(NODES as usize, WIDTH, numbers)?;
    let mut peer =
        arguments.python.as_deref().map(|python| Peer::start(python, arguments.threads)).transpose()?;
    println!("{NODES} nodes, {EDGES} edges, {WIDTH} → {WIDTH}, {} threads, seed {SEED}", arguments.threads);
    println!("layer      median ms  least ms  peak MB  PyG ms  ratio (median of rounds)");
    let layers = layers();
    let chosen = |name: &str| arguments.layer.as_deref().is_none_or(|layer| layer == name);
    if !layers.iter().any(|(name, _)| chosen(name)) {
        let names: Vec<&str> = layers.iter().map(|(name, _)| *name).collect();
        return Err(format!("--layer is one of {}", names.join(", ")).into());
    }
    for (name, description) in layers.into_iter().filter(|(name, _)| chosen(name)) {
        let weights = Weights::initialised(&description, SEED)?;
        let model = Model::new(&description, &weights)?;
        if let Some(peer) = &mut peer {
            peer.load(name, &weights, &edges, &x)?;
        }
        measure(name, &model, &graph, &x, peer.as_mut(), &arguments)?;
    }
    Ok(())
}

fn arguments() -> Result<Arguments, Box<dyn std::error::Error>> {
    let block = Options::default().block;
    let mut arguments = Arguments { python: None, rounds: 30, threads: 2, block, layer: None };
    let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--python" => arguments.python = Some(value),
            "--rounds" => arguments.rounds = value.parse()?,
            "--threads" => arguments.threads = value.parse()?,
            "--block" => arguments.block = value.parse()?,
            "--layer" => arguments.layer = Some(value),
            _ => {
                let known = "--python, --rounds, --threads, --block or --layer";
                return Err(format!("{name} is unknown: use {known}").into());
            }
        }
    }
    Ok(arguments)
}

/// No loops and no repeated edges: not all forms in which PyTorch Geometric takes a graph keep those.
fn random_edges() -> Vec<(u32, u32)> {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut edges = std::collections::BTreeSet::new();
    while edges.len() < EDGES {
        let (source, target) = (rng.u32(..NODES), rng.u32(..NODES));
        if source != target {
            edges.insert((source, target));
        }
    }
    edges.into_iter().collect()
}

fn layers() -> Vec<(&'static str, ModelDescription)> {
    let of = |layer| ModelDescription::new(layer, 1, WIDTH, WIDTH, WIDTH);
    vec![
        ("gcn", of(LayerType::Gcn)),
        ("graphsage", of(LayerType::GraphSage)),
        ("gat", ModelDescription { output_heads: 4, output_concat: true, ..of(LayerType::Gat) }),
        ("gin", of(LayerType::Gin)),
        ("ruvector", of(LayerType::RuVector)),
        ("ruvector4", ModelDescription { heads: 4, ..of(LayerType::RuVector) }),
    ]
}

fn measure(
    name: &str,
    model: &Model,
    graph: &Graph,
    x: &Matrix,
    mut peer: Option<&mut Peer>,
    arguments: &Arguments,
) -> Result<(), Box<dyn std::error::Error>> {
    let options = Options { block: arguments.block, ..Options::default() };
    // What the pass needs: what it allocates, and its input.
    let inputs = size_of_val(x.data()) + size_of_val(graph.indptr()) + size_of_val(graph.sources());
    let mut out = model.forward(graph, x, &options)?;
    MEMORY.reset_peak_memory();
    drop(model.forward(graph, x, &options)?);
    let peak = MEMORY.get_peak_memory() + inputs;
    if let Some(peer) = peer.as_deref_mut() {
        peer.check(&out)?;
    }
    let (mut own, mut others, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        rest(peer.is_some());
        for _ in 0..WARM {
            model.forward_into(graph, x, &options, &mut out)?;
        }
        let start = Instant::now();
        model.forward_into(graph, x, &options, &mut out)?;
        own.push(start.elapsed().as_secs_f64() * 1e3);
        if let Some(peer) = peer.as_deref_mut() {
            rest(true);
            others.push(peer.run(WARM)?);
            ratios.push(own[own.len() - 1] / others[others.len() - 1]);
        }
    }
    let least = own.iter().copied().fold(f64::INFINITY, f64::min);
    print!("{name:10} {:9.2} {least:9.2} {:8.1}", median(&mut own), peak as f64 / 1e6);
    match peer {
        Some(_) => println!(" {:7.2} {:6.3}", median(&mut others), median(&mut ratios)),
        None => println!(),
    }
    Ok(())
}

fn rest(beside_a_peer: bool) {
    if beside_a_peer {
        std::thread::sleep(REST);
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
