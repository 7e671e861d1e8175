//! Keys by the formulas in the documentation of `KeyModel`, in f64.

use redknot_gnn::routing::{Attention, KeyModel};

pub(crate) fn dot(a: &[f32], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum()
}

pub(crate) fn minus(a: &[f32], b: &[f32]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect()
}

pub(crate) fn square(a: &[f64]) -> f64 {
    a.iter().map(|a| a * a).sum()
}

/// What slot `j` of a key stands for, in steps.
pub(crate) fn level(key: &[u8], j: usize) -> f64 {
    let columns = key.len() - 2;
    f64::from(key[j % columns] >> (2 * (j / columns)) & 3) - 1.5
}

pub(crate) fn bias(model: &KeyModel, key: &[u8]) -> f64 {
    let code = u16::from_le_bytes([key[key.len() - 2], key[key.len() - 1]]);
    f64::from(model.bias_base) + f64::from(model.bias_step) * f64::from(code)
}

/// Checks every slot and the bias of a key, of a node whose coordinates have `added` to them, which may be empty.
pub(crate) fn assert_key(model: &KeyModel, x: &[f32], m: &[f32], added: &[f64], key: &[u8]) {
    let lambda = f64::from(model.lambda);
    let (x, m) = (minus(x, &model.mean), minus(m, &model.mean));
    let routing: Vec<f64> = x.iter().zip(&m).map(|(x, m)| (1.0 - lambda) * x + lambda * m).collect();
    let mut whole: Vec<f64> = model.nodes.chunks(model.dim).map(|row| dot(row, &routing)).collect();
    whole.iter_mut().zip(added).for_each(|(whole, added)| *whole += added);
    let mut left = whole.clone();
    for (j, slot) in model.slots.iter().enumerate() {
        let (left, step) = (&mut left[usize::from(slot.coordinate)], f64::from(slot.step));
        let error = |level: f64| (*left - step * level).abs();
        let best = [-1.5, -0.5, 0.5, 1.5].map(error).into_iter().fold(f64::INFINITY, f64::min);
        assert!(error(level(key, j)) <= best + 1e-4, "slot {j} is not the nearest level");
        *left -= step * level(key, j);
    }
    let kept: Vec<f64> = whole.iter().zip(&left).map(|(whole, left)| whole - left).collect();
    let of_mean = model.queries.chunks(model.dim).map(|row| dot(row, &m));
    let missing: f64 = of_mean.zip(&kept).map(|(a, b)| a * b).sum::<f64>()
        - m.iter().zip(&routing).map(|(a, b)| a * b).sum::<f64>();
    let recovered: f64 = whole.iter().zip(&left).map(|(whole, left)| (whole - left).powi(2)).sum();
    let lost = (1.0 - lambda) * square(&x) + lambda * square(&m) - recovered;
    let expected = recovered + f64::from(model.kappa) * lost + f64::from(model.nu) * 2.0 * missing;
    let tolerance = 0.5 * f64::from(model.bias_step) + 1e-4 * (1.0 + expected.abs());
    assert!((bias(model, key) - expected).abs() <= tolerance, "bias {} for {expected}", bias(model, key));
}

/// The product of a matrix, row by row, and a vector.
pub(crate) fn times(matrix: &[f32], x: &[f64]) -> Vec<f64> {
    let product = |row: &[f32]| row.iter().zip(x).map(|(a, b)| f64::from(*a) * b).sum();
    matrix.chunks(x.len()).map(product).collect()
}

/// What attention adds to the coordinates of each node, by its definition.
pub(crate) fn corrections(
    attention: &Attention,
    mean: &[f32],
    rows: &[Vec<f32>],
    links: &[Vec<usize>],
) -> Vec<Vec<f64>> {
    let mut h: Vec<Vec<f64>> = rows.iter().map(|x| times(&attention.input, &minus(x, mean))).collect();
    for (number, layer) in attention.layers.iter().enumerate() {
        let is_last = number + 1 == attention.layers.len();
        let transformed: Vec<Vec<f64>> = h.iter().map(|h| times(&layer.weights, h)).collect();
        let heads: Vec<Vec<Vec<f64>>> = (0..layer.heads)
            .map(|head| {
                let part = head * layer.width..(head + 1) * layer.width;
                let of = |node: usize| &transformed[node][part.clone()];
                let score = |factors: &[f32], node| times(&factors[part.clone()], of(node))[0];
                let look = |node: usize| {
                    let seen: Vec<usize> = std::iter::once(node).chain(links[node].iter().copied()).collect();
                    let powers: Vec<f64> = seen
                        .iter()
                        .map(|&other| score(&layer.source, other) + score(&layer.target, node))
                        .map(|sum| if sum < 0.0 { 0.2 * sum } else { sum }.exp())
                        .collect();
                    let whole: f64 = powers.iter().sum();
                    let mixed =
                        |at: usize| seen.iter().zip(&powers).map(|(&u, p)| of(u)[at] * p / whole).sum();
                    (0..layer.width).map(mixed).collect()
                };
                (0..links.len()).map(look).collect()
            })
            .collect();
        let combine = |node: usize| -> Vec<f64> {
            let biases = layer.bias.iter().map(|bias| f64::from(*bias));
            if is_last {
                let mean = |at| heads.iter().map(|head| head[node][at]).sum::<f64>() / layer.heads as f64;
                return biases.enumerate().map(|(at, bias)| mean(at) + bias).collect();
            }
            let joined = heads.iter().flat_map(|head| head[node].iter());
            joined
                .zip(biases)
                .map(|(x, bias)| x + bias)
                .map(|x| if x < 0.0 { x.exp_m1() } else { x })
                .collect()
        };
        h = (0..links.len()).map(combine).collect();
    }
    h.iter().map(|h| times(&attention.output, h)).collect()
}
