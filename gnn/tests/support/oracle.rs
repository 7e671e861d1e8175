//! Keys by the formulas in the documentation of `KeyModel`, in f64.

use redknot_gnn::routing::KeyModel;

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
