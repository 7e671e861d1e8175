//! Properties of graphs built in memory, also over data made to break them.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod support;

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicUsize, Ordering},
};

use proptest::prelude::*;
use redknot_index::{BuildParams, Builder, Element, Error, Kernel, MemGraph, Metric, Scratch, VectorRows};
use support::{Matrix, assert_valid, build, go_on, in_pool, kernel, random_rows, reachable};

/// Data that greedy linking tends to leave in pieces.
fn adversarial() -> impl Strategy<Value = Vec<Vec<f32>>> {
    let n = 1usize..300;
    let dim = 1usize..6;
    let coordinate = prop_oneof![Just(0.0f32), Just(1.0), -1.0f32..1.0];
    let row = dim.prop_flat_map(move |dim| {
        (
            prop::collection::vec(prop::collection::vec(coordinate.clone(), dim), n.clone()),
            0..4,
            any::<prop::sample::Index>(),
        )
    });
    row.prop_map(|(mut rows, shape, pick)| {
        let first = rows[pick.index(rows.len())].clone();
        for (at, row) in rows.iter_mut().enumerate() {
            match shape {
                // All equal.
                0 => row.clone_from(&first),
                // Two clusters far apart, one of copies.
                1 if at % 2 == 0 => row.clone_from(&first),
                1 => row.iter_mut().for_each(|value| *value += 1e6),
                // On one line, sorted.
                2 => row.fill(at as f32),
                _ => {}
            }
        }
        rows
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_row_is_reachable(rows in adversarial(), m in 2usize..9, ef in 1usize..40, threads in 1usize..4) {
        let matrix = Matrix::new(&rows);
        let graph = build(&matrix, Metric::L2, m, ef, threads);
        assert_valid(&graph);
        for layer in 0..=graph.top_level() {
            let members = (0..graph.len()).filter(|&id| graph.level(id) >= Some(layer)).count();
            prop_assert_eq!(reachable(&graph, layer), members, "layer {}", layer);
        }
    }

    #[test]
    fn every_row_is_reachable_without_a_metric(rows in adversarial(), m in 2usize..9) {
        // The inner product is no metric: a row need not be its own nearest neighbour.
        let matrix = Matrix::new(&rows);
        let graph = build(&matrix, Metric::InnerProduct, m, 20, 2);
        assert_valid(&graph);
        prop_assert_eq!(reachable(&graph, 0), rows.len());
    }

    #[test]
    fn a_checkpoint_carries_on(rows in adversarial(), m in 2usize..6, stop in 0usize..300, seed in any::<u64>()) {
        let matrix = Matrix::new(&rows);
        let kernel = kernel(Metric::L2);
        let params = BuildParams { ef_construction: 20, seed };
        let mut first = Builder::new(kernel, params, MemGraph::new(m, matrix.len())?, 0..matrix.len())?;
        let left = first.link(&matrix, stop, &go_on)?;
        prop_assert_eq!(left, rows.len().saturating_sub(stop));
        assert_valid(first.graph());

        // What a checkpoint would store: levels, then links.
        let stored = first.graph();
        let levels: Vec<_> = (0..stored.len()).map(|id| stored.level(id)).collect();
        let mut graph = MemGraph::with_levels(m, &levels)?;
        for (id, level) in (0..).zip(&levels) {
            for layer in 0..=level.unwrap_or(0) {
                let links: Vec<u32> = stored.links(id, layer).collect();
                if level.is_some() {
                    graph.set_links(id, layer, &links)?;
                }
            }
        }
        let tail: Vec<u32> = (0..stored.len()).filter(|&id| graph.level(id).is_none()).collect();
        prop_assert_eq!(tail.len(), left);
        let mut second = Builder::new(kernel, params, graph, tail)?;
        prop_assert_eq!(second.link(&matrix, usize::MAX, &go_on)?, 0);
        second.finish(&matrix, &go_on)?;
        let graph = second.into_graph();
        assert_valid(&graph);
        prop_assert_eq!(reachable(&graph, 0), rows.len());
    }

    #[test]
    fn renumbering_keeps_the_graph(rows in adversarial(), m in 2usize..6, tail in 0usize..5) {
        let matrix = Matrix::new(&rows);
        let kernel = kernel(Metric::L2);
        let linked = matrix.len().saturating_sub(tail as u32);
        let mut builder = Builder::new(kernel, BuildParams::default(), MemGraph::new(m, matrix.len())?, 0..linked)?;
        builder.link(&matrix, usize::MAX, &go_on)?;
        builder.finish(&matrix, &go_on)?;
        let graph = builder.into_graph();
        let permutation = graph.page_order(&matrix, &kernel)?;
        let permuted = graph.permute(&permutation)?;
        assert_valid(&permuted);
        for old in 0..graph.len() {
            let new = permutation.new_id(old);
            prop_assert_eq!(permutation.old_id(new), old);
            prop_assert_eq!(permuted.level(new), graph.level(old));
            prop_assert_eq!(graph.level(old).is_none(), new >= linked, "unlinked rows come last");
            for layer in 0..=graph.level(old).unwrap_or(0) {
                let expected: Vec<u32> = graph.links(old, layer).map(|link| permutation.new_id(link)).collect();
                prop_assert_eq!(permuted.links(new, layer).collect::<Vec<_>>(), expected);
            }
        }
        prop_assert_eq!(permuted.entry(), graph.entry().map(|old| permutation.new_id(old)));
    }
}

#[test]
fn finds_what_brute_force_finds() {
    for metric in [Metric::L2, Metric::Cosine, Metric::L1] {
        let (rows, queries) = (random_rows(3000, 16, 1), random_rows(100, 16, 2));
        let matrix = Matrix::new(&rows);
        let graph = build(&matrix, metric, 16, 200, 2);
        let kernel = kernel(metric);
        let mut scratch = Scratch::default();
        let mut hits = 0;
        for query in &queries {
            let query = support::bytes(query);
            let found = graph.search(&matrix, &kernel, &query, 10, 100, &mut scratch).unwrap();
            let exact = support::brute_force(&matrix, &kernel, &query, 10);
            hits += found.iter().filter(|neighbor| exact.contains(&neighbor.id)).count();
        }
        assert!(hits >= 985, "{metric:?}: {hits} of 1000 found");
    }
}

#[test]
fn copies_do_not_hide_other_rows() {
    // 500 copies of one row amid 500 others: greedy linking would leave the copies linked among themselves.
    let mut rows = random_rows(1000, 8, 3);
    let copy = rows[0].clone();
    rows.iter_mut().step_by(2).for_each(|row| row.clone_from(&copy));
    let matrix = Matrix::new(&rows);
    let graph = build(&matrix, Metric::L2, 16, 200, 2);
    let kernel = kernel(Metric::L2);
    let mut scratch = Scratch::default();
    let found = |row: &Vec<f32>| {
        let nearest = graph.search(&matrix, &kernel, &support::bytes(row), 1, 100, &mut scratch).unwrap();
        nearest[0].distance == 0.0
    };
    // Not all: the candidate list is shorter than the group of copies, which are all equally far from a query.
    let count = rows.iter().map(found).filter(|&found| found).count();
    assert!(count >= 990, "{count} of 1000 rows found, or a copy of them");
}

#[test]
fn levels_and_entry_do_not_depend_on_threads() {
    let matrix = Matrix::new(&random_rows(2000, 4, 4));
    let [one, three] = [1, 3].map(|threads| build(&matrix, Metric::L2, 4, 20, threads));
    assert_eq!(one.entry(), three.entry());
    assert!(one.top_level() >= 2);
    for id in 0..matrix.len() {
        assert_eq!(one.level(id), three.level(id));
    }
}

#[test]
fn cancelling_leaves_a_prefix_that_can_go_on() {
    let matrix = Matrix::new(&random_rows(2000, 4, 5));
    let kernel = kernel(Metric::L2);
    let graph = MemGraph::new(8, 2000).unwrap();
    let mut builder = Builder::new(kernel, BuildParams::default(), graph, 0..matrix.len()).unwrap();
    let seen = AtomicUsize::new(0);
    let result = in_pool(3, || {
        builder.link(&matrix, usize::MAX, &|linked, total| {
            assert_eq!(total, 2000);
            seen.fetch_max(linked, Ordering::Relaxed);
            if linked >= 700 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    let linked = (0..2000).filter(|&id| builder.graph().level(id).is_some()).count();
    assert_eq!(linked, 2000 - builder.remaining());
    assert!((700..800).contains(&linked), "{linked} rows linked");
    assert_eq!(seen.into_inner(), linked, "the last report counts every linked row");
    assert_valid(builder.graph());
    assert_eq!(in_pool(2, || builder.link(&matrix, usize::MAX, &go_on)).unwrap(), 0);
    builder.finish(&matrix, &go_on).unwrap();
    assert_eq!(reachable(builder.graph(), 0), 2000);
}

#[test]
fn an_empty_graph_finds_nothing() {
    let matrix = Matrix::new(&random_rows(3, 4, 6));
    let graph = MemGraph::new(8, 3).unwrap();
    let found = graph.search(&matrix, &kernel(Metric::L2), &[0; 16], 5, 5, &mut Scratch::default()).unwrap();
    assert!(found.is_empty());
    assert_eq!(graph.entry(), None);
    assert_eq!(graph.page_order(&matrix, &kernel(Metric::L2)).unwrap().old_ids(), [0, 1, 2]);
}

#[test]
fn a_failing_source_stops_the_build() {
    struct Failing(Matrix);
    impl VectorRows for Failing {
        fn len(&self) -> u32 {
            self.0.len()
        }
        fn row(&self, id: u32) -> Result<&[u8], Error> {
            match id {
                1234 => Err(Error::Row { id, source: "a torn block".into() }),
                _ => self.0.row(id),
            }
        }
    }
    let rows = Failing(Matrix::new(&random_rows(2000, 4, 7)));
    let kernel = kernel(Metric::L2);
    let graph = MemGraph::new(8, 2000).unwrap();
    let mut builder = Builder::new(kernel, BuildParams::default(), graph, 0..2000).unwrap();
    let result = in_pool(2, || builder.link(&rows, usize::MAX, &go_on));
    assert!(matches!(result, Err(Error::Row { id: 1234, .. })), "{result:?}");
}

#[test]
fn bad_input_is_refused() {
    assert!(matches!(MemGraph::new(1, 0), Err(Error::Parameter { name: "m", got: 1, min: 2, max: 128 })));
    assert!(matches!(MemGraph::new(129, 0), Err(Error::Parameter { name: "m", .. })));
    assert!(matches!(MemGraph::new(8, 1 << 31 | 1), Err(Error::TooManyRows { .. })));
    assert!(matches!(MemGraph::with_levels(8, &[Some(32)]), Err(Error::Parameter { name: "level", .. })));

    let matrix = Matrix::new(&random_rows(10, 4, 8));
    let kernel = Kernel::new(Metric::L2, Element::F32).unwrap();
    let plan = |params, graph, ids: &[u32]| Builder::new(kernel, params, graph, ids.to_vec()).err();
    let empty = || MemGraph::new(8, 10).unwrap();
    let params = BuildParams::default();
    let no_ef = BuildParams { ef_construction: 0, ..params };
    assert!(matches!(plan(no_ef, empty(), &[]), Some(Error::Parameter { name: "ef_construction", .. })));
    assert!(matches!(plan(params, empty(), &[10]), Some(Error::RowOutOfRange { id: 10, len: 10 })));
    assert!(matches!(plan(params, empty(), &[1, 2, 1]), Some(Error::AlreadyLinked { id: 1 })));
    let linked = MemGraph::with_levels(8, &[None, None, Some(0)]).unwrap();
    assert!(matches!(plan(params, linked, &[2]), Some(Error::AlreadyLinked { id: 2 })));

    let mut graph = MemGraph::with_levels(2, &[Some(1), Some(0), None, Some(0), Some(0), Some(0)]).unwrap();
    graph.set_links(0, 0, &[1, 3, 4, 5]).unwrap();
    for (id, layer, links) in [
        (2, 0, &[0][..]), // not linked
        (1, 1, &[0]),     // not in that layer
        (0, 1, &[1]),     // to a row of a lower level
        (0, 0, &[2]),     // to an unlinked row
        (0, 0, &[6]),     // out of range
        (0, 0, &[0]),     // to itself
        (0, 0, &[1, 1]),  // repeated
        (0, 0, &[1; 5]),  // too many
        (9, 0, &[1]),     // no such row
    ] {
        let refused = graph.set_links(id, layer, links);
        assert!(matches!(refused, Err(Error::InvalidLinks { .. })), "{id} {layer} {links:?}: {refused:?}");
    }
    assert_eq!(graph.links(0, 0).collect::<Vec<_>>(), [1, 3, 4, 5]);

    let mut scratch = Scratch::default();
    let graph = build(&matrix, Metric::L2, 8, 20, 1);
    let short = graph.search(&matrix, &kernel, &[0; 12], 1, 1, &mut scratch);
    assert!(matches!(short, Err(Error::RowLength { expected: 16, got: 12 })), "{short:?}");
}
