//! Rows in memory, and slow, obvious checks of a graph.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]
#![allow(dead_code, reason = "each test program uses a part of it")]

mod rows;

use std::ops::ControlFlow;

use redknot_index::{BuildParams, Builder, Element, Error, Kernel, MemGraph, Metric, VectorRows};
#[allow(unused_imports, reason = "each test program uses a part of it")]
pub(crate) use rows::{bytes, random_rows};

/// f32 vectors, one after the other.
pub(crate) struct Matrix {
    bytes: Vec<u8>,
    row_bytes: usize,
}

impl Matrix {
    pub(crate) fn new(rows: &[Vec<f32>]) -> Self {
        let row_bytes = rows.first().map_or(4, |row| row.len() * 4);
        Self { bytes: rows.iter().flat_map(|row| bytes(row)).collect(), row_bytes }
    }
}

impl VectorRows for Matrix {
    fn len(&self) -> u32 {
        (self.bytes.len() / self.row_bytes) as u32
    }

    fn row(&self, id: u32) -> Result<&[u8], Error> {
        let start = id as usize * self.row_bytes;
        let row = self.bytes.get(start..start + self.row_bytes);
        row.ok_or(Error::RowOutOfRange { id, len: self.len() })
    }
}

pub(crate) fn kernel(metric: Metric) -> Kernel {
    Kernel::new(metric, Element::F32).unwrap()
}

/// Runs `work` with that many threads.
pub(crate) fn in_pool<O: Send>(threads: usize, work: impl FnOnce() -> O + Send) -> O {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Progress that nobody watches.
pub(crate) fn go_on(_linked: usize, _total: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The finished graph of all rows.
pub(crate) fn build(
    rows: &Matrix,
    metric: Metric,
    m: usize,
    ef_construction: usize,
    threads: usize,
) -> MemGraph {
    let kernel = kernel(metric);
    let params = BuildParams { ef_construction, ..BuildParams::default() };
    let graph = MemGraph::new(m, rows.len()).unwrap();
    let mut builder = Builder::new(kernel, params, graph, 0..rows.len()).unwrap();
    assert_eq!(in_pool(threads, || builder.link(rows, usize::MAX, &go_on)).unwrap(), 0);
    builder.finish(rows, &go_on).unwrap();
    builder.into_graph()
}

/// How many rows can be reached from the entry point along the links of a layer.
pub(crate) fn reachable(graph: &MemGraph, layer: u8) -> usize {
    let mut seen = vec![false; graph.len() as usize];
    let mut stack: Vec<u32> = graph.entry().into_iter().collect();
    stack.iter().for_each(|&id| seen[id as usize] = true);
    let mut count = 0;
    while let Some(id) = stack.pop() {
        count += 1;
        for to in graph.links(id, layer) {
            if !std::mem::replace(&mut seen[to as usize], true) {
                stack.push(to);
            }
        }
    }
    count
}

/// Checks every link of a graph, and that the entry point is as high as any row.
pub(crate) fn assert_valid(graph: &MemGraph) {
    for id in 0..graph.len() {
        let Some(level) = graph.level(id) else {
            assert_eq!(graph.links(id, 0).count(), 0, "row {id} is not linked");
            continue;
        };
        assert!(level <= graph.top_level());
        for layer in 0..=level {
            let mut links: Vec<u32> = graph.links(id, layer).collect();
            assert!(links.len() <= graph.capacity(layer));
            assert!(!links.contains(&id), "row {id} links to itself");
            for &link in &links {
                assert!(graph.level(link) >= Some(layer), "{id} → {link} in layer {layer}");
            }
            let count = links.len();
            links.sort_unstable();
            links.dedup();
            assert_eq!(links.len(), count, "row {id} has a link twice in layer {layer}");
        }
    }
}

/// The `k` nearest rows by looking at all of them.
pub(crate) fn brute_force(rows: &Matrix, kernel: &Kernel, query: &[u8], k: usize) -> Vec<u32> {
    let scale = kernel.scale(query);
    let mut all: Vec<(f32, u32)> =
        (0..rows.len()).map(|id| (kernel.distance(query, scale, rows.row(id).unwrap()), id)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().take(k).map(|(_, id)| id).collect()
}
