//! Random 512-byte rows, read through a snapshot and from a `Vec<f32>`, in turns.
//!
//! `cargo bench -p redknot-storage --bench block_reads` prints the median ratio of the rates, and checks that both
//! ways read the same bytes.

use std::hint::black_box;
use std::time::Instant;

use redknot_storage::{ArraySpec, Options, PageSize, Storage, View};

const ROWS: u32 = 1_000_000;
const DIM: usize = 128;
const READS: usize = 2_000_000;
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = fastrand::Rng::with_seed(1);
    let vectors: Vec<f32> = (0..ROWS as usize * DIM).map(|_| rng.f32()).collect();
    let folder = tempfile::tempdir()?;
    let storage = Storage::create(folder.path().join("reads.redknot"), &Options::default())?;
    let array = load(&storage, &vectors)?;
    let snapshot = storage.snapshot()?;
    let rows = snapshot.rows(array)?;
    let order: Vec<u32> = (0..READS).map(|_| rng.u32(..ROWS)).collect();
    let query: Vec<f32> = (0..DIM).map(|_| rng.f32()).collect();

    let from_vec = |row: u32| dot(&vectors[row as usize * DIM..][..DIM], &query);
    let from_blocks = |row: u32| {
        let bytes = rows.get(row).expect("the row was written above");
        dot(floats(bytes), &query)
    };
    for row in 0..ROWS {
        assert_eq!(from_vec(row), from_blocks(row), "row {row}");
    }
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let vec_ns = time(&order, from_vec);
        let block_ns = time(&order, from_blocks);
        ratios.push(vec_ns / block_ns);
        println!(
            "round {round}: Vec {vec_ns:.1} ns a read, blocks {block_ns:.1} ns, ratio {:.3}",
            vec_ns / block_ns
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("blocks read at {:.3} of the rate of a Vec (median of {ROUNDS})", ratios[ROUNDS / 2]);
    Ok(())
}

fn load(storage: &Storage, vectors: &[f32]) -> redknot_storage::Result<redknot_storage::ArrayId> {
    let mut txn = storage.begin_write()?;
    let array = txn.create_array(ArraySpec::rows(DIM * 4, PageSize::KIB_64)?)?;
    txn.commit()?;
    for part in vectors.chunks(DIM * 50_000) {
        let mut txn = storage.begin_write()?;
        let bytes: Vec<u8> = part.iter().flat_map(|x| x.to_le_bytes()).collect();
        txn.push_rows(array, &bytes)?;
        txn.commit()?;
    }
    Ok(array)
}

/// Nanoseconds a read.
fn time(order: &[u32], mut read: impl FnMut(u32) -> f32) -> f64 {
    let start = Instant::now();
    let mut sum = 0.0;
    for row in order {
        sum += read(*row);
    }
    black_box(sum);
    start.elapsed().as_nanos() as f64 / order.len() as f64
}

fn dot(row: &[f32], query: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (rows, _) = row.as_chunks::<16>();
    let (queries, _) = query.as_chunks::<16>();
    for (row, query) in rows.iter().zip(queries) {
        for (sum, (a, b)) in sums.iter_mut().zip(row.iter().zip(query)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

fn floats(bytes: &[u8]) -> &[f32] {
    zerocopy::FromBytes::ref_from_bytes(bytes).expect("rows are aligned to 64 bytes")
}
