//! Principal axes of a sample.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};

use super::TrainError;
use super::matrix::Matrix;

/// Rows whose covariance is summed in f32 before it is added up in f64.
const ROWS_PER_SUM: usize = 1024;

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
    let eigen = covariance(centred).self_adjoint_eigen(Side::Lower).map_err(|_| TrainError::Eigenvectors)?;
    let count = count.min(dim);
    let mut axes = Matrix::zeros(count, dim);
    // Eigenvalues come in ascending order.
    for at in 0..count {
        let axis = eigen.U().col(dim - 1 - at);
        axes.row_mut(at).iter_mut().zip(axis.iter()).for_each(|(to, &x)| *to = x as f32);
    }
    Ok(axes)
}

fn covariance(centred: &Matrix) -> Mat<f64> {
    let dim = centred.cols;
    let mut sum = Mat::<f64>::zeros(dim, dim);
    let mut part = Mat::<f32>::zeros(dim, dim);
    for first in (0..centred.rows).step_by(ROWS_PER_SUM) {
        let rows = centred.view().subrows(first, ROWS_PER_SUM.min(centred.rows - first));
        matmul(part.as_mut(), Accum::Replace, rows.transpose(), rows, 1.0, Par::rayon(0));
        for col in 0..dim {
            let (to, from) = (sum.col_mut(col), part.col(col));
            to.iter_mut().zip(from.iter()).for_each(|(to, &x)| *to += f64::from(x));
        }
    }
    sum * faer::Scale(1.0 / centred.rows.max(1) as f64)
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
