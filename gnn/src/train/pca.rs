//! Principal axes of a sample.

use nalgebra::{DMatrix, SymmetricEigen};

use super::TrainError;
use super::matrix::Matrix;

/// Rows whose covariance is summed in f32 before it is added up in f64.
const ROWS_PER_SUM: usize = 1024;
/// Iterations of the eigenvalue algorithm for each component. It takes 2 or 3.
const ITERATIONS: usize = 100;

/// The mean of the rows.
pub(super) fn mean(rows: &Matrix) -> Vec<f32> {
    let mut sums = vec![0.0_f64; rows.cols];
    for row in rows.iter() {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sums.iter().map(|sum| (sum / rows.rows as f64) as f32).collect()
}

/// The first `count` principal axes of rows of mean zero: orthonormal rows, that of the largest variance first.
pub(super) fn principal_axes(centred: &Matrix, count: usize) -> Result<Matrix, TrainError> {
    let dim = centred.cols;
    let covariance = covariance(centred);
    if !covariance.iter().all(|x| x.is_finite()) {
        return Err(TrainError::Eigenvectors);
    }
    let eigen = SymmetricEigen::try_new(covariance, f64::EPSILON, ITERATIONS * dim);
    let eigen = eigen.ok_or(TrainError::Eigenvectors)?;
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let mut axes = Matrix::zeros(count.min(dim), dim);
    for (at, &from) in order.iter().take(count).enumerate() {
        let axis = eigen.eigenvectors.column(from);
        axes.row_mut(at).iter_mut().zip(axis.iter()).for_each(|(to, &x)| *to = x as f32);
    }
    Ok(axes)
}

fn covariance(centred: &Matrix) -> DMatrix<f64> {
    let dim = centred.cols;
    let mut sum = DMatrix::<f64>::zeros(dim, dim);
    for rows in centred.data.chunks(ROWS_PER_SUM * dim) {
        let rows = Matrix { rows: rows.len() / dim, cols: dim, data: rows.to_vec() };
        let part = rows.transposed().times(&rows);
        sum.iter_mut().zip(&part.data).for_each(|(to, &x)| *to += f64::from(x));
    }
    sum / centred.rows.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::vectors::dot;

    #[test]
    fn axes_are_orthonormal_eigenvectors_in_order_of_variance() {
        let (rows, dim) = (700, 24);
        let mut rng = fastrand::Rng::with_seed(11);
        let mut sample = Matrix::zeros(rows, dim);
        for row in 0..rows {
            let shared = rng.f32() - 0.5;
            for (at, x) in sample.row_mut(row).iter_mut().enumerate() {
                *x = (rng.f32() - 0.5) * (1.0 + at as f32) + 3.0 * shared;
            }
        }
        let mean = mean(&sample);
        sample
            .data
            .chunks_exact_mut(dim)
            .for_each(|row| row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= m));
        let axes = principal_axes(&sample, dim).unwrap();
        let covariance = covariance(&sample);
        let mut variances = Vec::new();
        for i in 0..dim {
            for j in 0..dim {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((dot(axes.row(i), axes.row(j)) - expected).abs() < 1e-5);
            }
            let axis: Vec<f64> = axes.row(i).iter().map(|&x| f64::from(x)).collect();
            let product: Vec<f64> =
                (0..dim).map(|row| (0..dim).map(|col| covariance[(row, col)] * axis[col]).sum()).collect();
            // Of an eigenvector v with C·v = w·v this is w.
            let variance: f64 = product.iter().zip(&axis).map(|(a, b)| a * b).sum();
            let residual: f64 = product.iter().zip(&axis).map(|(a, b)| (a - variance * b).powi(2)).sum();
            variances.push(variance);
            assert!(residual.sqrt() < 1e-5 * variances[0], "axis {i}: {residual}");
        }
        assert!(variances.is_sorted_by(|a, b| a >= b), "{variances:?}");
    }
}
