//! The bundled demo data is what data/demo/README.md says.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use redknot_index::Element;

use super::super::{Neighbours, Values, VectorFile};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/demo").join(name)
}

/// The rows of `{name}.npy`, whose texts must be there and not empty.
fn rows(name: &str, count: usize) -> Vec<[i8; 384]> {
    let texts = path(&format!("{name}.txt"));
    let mut file = VectorFile::open(&path(&format!("{name}.npy"))).unwrap().with_payloads(&texts).unwrap();
    assert_eq!((file.rows(), file.dim(), file.element()), (Some(count as u64), 384, Element::I8));
    let batch = file.read_all().unwrap();
    assert_eq!(batch.payloads.len(), count);
    assert!(batch.payloads.iter().flatten().all(|text| !text.is_empty()));
    let Values::I8(values) = batch.values else { panic!("{name} is not i8") };
    values.as_chunks().0.to_vec()
}

fn dot(a: &[i8; 384], b: &[i8; 384]) -> i64 {
    let sum: i32 = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
    i64::from(sum)
}

#[test]
fn the_demo_truth_is_exact() {
    let (base, queries) = (rows("base", 12_000), rows("query", 500));
    let truth = Neighbours::load(&path("gt.npy")).unwrap();
    assert_eq!((truth.k(), truth.queries().len()), (20, 500));
    let squares: Vec<i64> = base.iter().map(|row| dot(row, row)).collect();
    // Every tenth query: the whole table takes ten times as long.
    for (query, expected) in queries.iter().zip(truth.queries()).step_by(10) {
        let products: Vec<i64> = base.iter().map(|row| dot(row, query)).collect();
        // a·b / |a| in the order of its signed square, compared as fractions of integers.
        let nearer = |&x: &usize, &y: &usize| -> Ordering {
            let left = i128::from(products[x] * products[x].abs()) * i128::from(squares[y]);
            let right = i128::from(products[y] * products[y].abs()) * i128::from(squares[x]);
            right.cmp(&left).then(x.cmp(&y))
        };
        let mut order: Vec<usize> = (0..base.len()).collect();
        order.select_nth_unstable_by(20, nearer);
        order.truncate(20);
        order.sort_by(nearer);
        assert!(order.iter().zip(expected).all(|(&got, &row)| got == row as usize), "{order:?} {expected:?}");
    }
}
