//! Each operation against the same composed of candle's own, whose gradients are not ours.

use std::sync::Arc;

use candle_core::{D, Device, Result, Tensor, Var};

use super::*;

const TARGETS: usize = 90;
const SOURCES: usize = 70;
const SEED: u64 = 11;

struct Case {
    edges: Arc<Incidence>,
    /// Of each edge.
    targets: Tensor,
    sources: Tensor,
    rng: fastrand::Rng,
}

impl Case {
    /// Random edges; every fifth target has none, and some have an edge twice.
    fn new() -> Case {
        println!("seed {SEED}");
        let mut rng = fastrand::Rng::with_seed(SEED);
        let (mut indptr, mut sources, mut targets) = (vec![0], Vec::new(), Vec::new());
        for target in 0..TARGETS as u32 {
            let degree = if target % 5 == 0 { 0 } else { rng.usize(1..7) };
            sources.extend((0..degree).map(|_| rng.u32(..SOURCES as u32)));
            targets.resize(sources.len(), target);
            indptr.push(sources.len());
        }
        let tensor = |ids: &[u32]| Tensor::new(ids, &Device::Cpu).unwrap();
        let (all_targets, all_sources) = (tensor(&targets), tensor(&sources));
        let edges = Arc::new(Incidence::new(indptr, sources, SOURCES));
        Case { edges, targets: all_targets, sources: all_sources, rng }
    }

    fn random(&mut self, rows: usize, cols: usize) -> Var {
        let numbers: Vec<f32> = (0..rows * cols).map(|_| 2.0 * self.rng.f32() - 1.0).collect();
        Var::from_vec(numbers, (rows, cols), &Device::Cpu).unwrap()
    }

    /// Sums of the numbers of edges by target.
    fn sum(&self, of_edges: &Tensor) -> Result<Tensor> {
        let zeros = Tensor::zeros((TARGETS, of_edges.dim(1)?), of_edges.dtype(), of_edges.device())?;
        zeros.index_add(&self.targets, of_edges, 0)
    }

    /// Compares values and the gradients of a random weighted sum.
    fn assert_same(&mut self, fast: &Tensor, slow: &Tensor, vars: &[&Var]) {
        assert_eq!(fast.dims(), slow.dims());
        assert_close(fast, slow, "value");
        let weights = self.random(fast.dims()[0], fast.dims()[1]);
        let gradients = |y: &Tensor| (y * weights.detach()).unwrap().sum_all().unwrap().backward().unwrap();
        let (of_fast, of_slow) = (gradients(fast), gradients(slow));
        for (at, var) in vars.iter().enumerate() {
            let name = format!("gradient {at}");
            assert_close(of_fast.get(var).unwrap(), of_slow.get(var).unwrap(), &name);
        }
    }
}

fn assert_close(a: &Tensor, b: &Tensor, what: &str) {
    let scale = b.abs().unwrap().flatten_all().unwrap().max(D::Minus1).unwrap().to_scalar::<f32>().unwrap();
    let off = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
    let off = off.max(D::Minus1).unwrap().to_scalar::<f32>().unwrap();
    assert!(scale > 0.0 && off <= 1e-5 * scale, "{what}: off by {off} of {scale}");
}

#[test]
fn products_with_constant_weights() {
    let mut case = Case::new();
    let x = case.random(SOURCES, 5);
    let weights: Arc<[f32]> = (0..case.edges.edge_count()).map(|_| case.rng.f32()).collect();
    for weights in [None, Some(&weights)] {
        let fast = product(&case.edges, weights, &x).unwrap();
        let mut rows = x.index_select(&case.sources, 0).unwrap();
        if let Some(weights) = weights {
            let weights = Tensor::new(&weights[..], &Device::Cpu).unwrap().unsqueeze(1).unwrap();
            rows = rows.broadcast_mul(&weights).unwrap();
        }
        let slow = case.sum(&rows).unwrap();
        case.assert_same(&fast, &slow, &[&x]);
    }
}

#[test]
fn sums_of_rows_by_attention() {
    let mut case = Case::new();
    let (heads, c) = (3, 4);
    let x = case.random(SOURCES, heads * c);
    let factors = case.random(case.edges.edge_count(), heads);
    let fast = attend(&case.edges, &x, &factors).unwrap();
    let rows = x.index_select(&case.sources, 0).unwrap().reshape(((), heads, c)).unwrap();
    let rows = rows.broadcast_mul(&factors.unsqueeze(2).unwrap()).unwrap();
    let slow = case.sum(&rows.reshape(((), heads * c)).unwrap()).unwrap();
    case.assert_same(&fast, &slow, &[&x, &factors]);
}

#[test]
fn dots_and_sums_along_edges() {
    let mut case = Case::new();
    let (heads, c) = (2, 5);
    let (a, b) = (case.random(TARGETS, heads * c), case.random(SOURCES, heads * c));
    let ends = [a.index_select(&case.targets, 0).unwrap(), b.index_select(&case.sources, 0).unwrap()];
    let fast = edge_dots(&case.edges, heads, &a, &b).unwrap();
    let slow = (&ends[0] * &ends[1]).unwrap().reshape(((), heads, c)).unwrap().sum(2).unwrap();
    case.assert_same(&fast, &slow, &[&a, &b]);
    let fast = sum_of_ends(&case.edges, &a, &b).unwrap();
    case.assert_same(&fast, &(&ends[0] + &ends[1]).unwrap(), &[&a, &b]);
}

#[test]
fn softmax_over_the_edges_of_a_target() {
    let mut case = Case::new();
    let x = case.random(case.edges.edge_count(), 3);
    let fast = softmax(&case.edges, &x).unwrap();
    let exp = x.exp().unwrap();
    let sums = case.sum(&exp).unwrap().index_select(&case.targets, 0).unwrap();
    case.assert_same(&fast, &(exp / sums).unwrap(), &[&x]);
    let large = (x.as_tensor() * 1e4).unwrap();
    let shares = softmax(&case.edges, &large).unwrap().to_vec2::<f32>().unwrap();
    assert!(shares.iter().flatten().all(|share| share.is_finite()));
}

#[test]
fn maxima_of_sources() {
    let mut case = Case::new();
    // Few distinct values, so that there are ties.
    let x = case.random(SOURCES, 4);
    let x = Var::from_tensor(&(x.as_tensor() * 3.0).unwrap().round().unwrap()).unwrap();
    let fast = maximum(&case.edges, &x).unwrap();
    let rows = x.index_select(&case.sources, 0).unwrap();
    let mut slow = Vec::new();
    for target in 0..TARGETS {
        let edges = case.edges.edges_of(target);
        slow.push(match edges.is_empty() {
            true => Tensor::zeros((1, 4), rows.dtype(), rows.device()).unwrap(),
            false => {
                let rows = rows.narrow(0, edges.start, edges.len()).unwrap();
                let most = rows.max_keepdim(0).unwrap();
                let is_most = rows.broadcast_eq(&most).unwrap().to_dtype(rows.dtype()).unwrap();
                let count = is_most.sum_keepdim(0).unwrap();
                // The mean of those that reach the maximum: its value, and its gradient shared evenly.
                (rows * is_most).unwrap().sum_keepdim(0).unwrap().div(&count).unwrap()
            }
        });
    }
    let slow = Tensor::cat(&slow, 0).unwrap();
    case.assert_same(&fast, &slow, &[&x]);
}

#[test]
fn lstm_over_the_sources_of_a_target() {
    let mut case = Case::new();
    let h = 3;
    let (inputs, recurrent) = (case.random(SOURCES, 4 * h), case.random(4 * h, h));
    let fast = lstm(&case.edges, &inputs, &recurrent).unwrap();
    let sigmoid = |x: &Tensor| (x.neg()?.exp()? + 1.0)?.recip();
    let slow: Vec<Tensor> = (0..TARGETS)
        .map(|target| {
            let mut hidden = Tensor::zeros((1, h), inputs.dtype(), inputs.device())?;
            let mut cell = hidden.clone();
            for (_, source) in case.edges.incoming(target) {
                let gates = (inputs.narrow(0, source, 1)? + hidden.matmul(&recurrent.t()?)?)?.chunk(4, 1)?;
                let [i, f, g, o] = [&gates[0], &gates[1], &gates[2], &gates[3]];
                cell = ((sigmoid(f)? * cell)? + (sigmoid(i)? * g.tanh()?)?)?;
                hidden = (sigmoid(o)? * cell.tanh()?)?;
            }
            Ok(hidden)
        })
        .collect::<Result<_>>()
        .unwrap();
    let slow = Tensor::cat(&slow, 0).unwrap();
    case.assert_same(&fast, &slow, &[&inputs, &recurrent]);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let mut case = Case::new();
    let (x, factors) = (case.random(SOURCES, 6), case.random(case.edges.edge_count(), 3));
    let run = || {
        let y = attend(&case.edges, &x, &softmax(&case.edges, &factors)?)?;
        let gradients = y.sqr()?.sum_all()?.backward()?;
        let of = |var: &Var| gradients.get(var).unwrap().to_vec2::<f32>();
        Ok::<_, candle_core::Error>((y.to_vec2::<f32>()?, of(&x)?, of(&factors)?))
    };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    assert_eq!(pool(1).install(run).unwrap(), pool(3).install(run).unwrap());
}
