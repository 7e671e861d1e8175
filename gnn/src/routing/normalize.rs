//! Vectors of length 1.

use super::ModelError;

/// Scales a vector to length 1, as key models want vectors and queries under cosine.
///
/// # Errors
/// [`ModelError::ZeroVector`] where there is no direction, [`ModelError::NotFinite`] where there is no finite length.
/// The vector is then as it was.
pub fn normalize(x: &mut [f32]) -> Result<(), ModelError> {
    const LANES: usize = 16;
    // As many sums as let the compiler use vectors.
    let mut squares = [0.0f32; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for x in whole {
        for (x, square) in x.iter().zip(&mut squares) {
            *square += x * x;
        }
    }
    for (x, square) in rest.iter().zip(&mut squares) {
        *square += x * x;
    }
    let square: f32 = squares.iter().sum();
    if !square.is_finite() {
        let index = x.iter().position(|x| !x.is_finite()).unwrap_or(0);
        return Err(ModelError::NotFinite { what: "the vector to scale", index });
    }
    if square < f32::MIN_POSITIVE {
        return Err(ModelError::ZeroVector);
    }
    let scale = 1.0 / square.sqrt();
    x.iter_mut().for_each(|x| *x *= scale);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_get_length_one_or_stay() {
        let mut x: Vec<f32> = (1..40).map(|x| x as f32).collect();
        normalize(&mut x).unwrap();
        assert!((x.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(normalize(&mut [0.0; 5]), Err(ModelError::ZeroVector));
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = [1.0, 2.0, bad];
            let error = Err(ModelError::NotFinite { what: "the vector to scale", index: 2 });
            assert_eq!(normalize(&mut x), error);
            assert_eq!(x[..2], [1.0, 2.0]);
        }
    }
}
