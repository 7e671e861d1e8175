//! Cosines between stored rows, whatever the metric of the index.

use crate::{Element, Error, IndexConfig, Kernel, Metric};

/// How the cosine of two rows is found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cosine {
    /// The metric is cosine: one less the distance that is known already.
    OfDistance,
    /// Another metric over numbers.
    Kernel(Kernel),
    /// Bits: ones in common, over the root of the product of the ones of each.
    Bits,
}

impl Cosine {
    pub(super) fn new(config: &IndexConfig) -> Result<Cosine, Error> {
        Ok(match (config.metric, config.element) {
            (Metric::Cosine, _) => Cosine::OfDistance,
            (_, Element::Bits) => Cosine::Bits,
            (_, element) => Cosine::Kernel(Kernel::new(Metric::Cosine, element)?),
        })
    }

    /// Appends to `cosines` that of `row` with each of `others`, whose distances in the metric of the index are given.
    pub(super) fn append(&self, row: &[u8], others: &[&[u8]], distances: &[f32], cosines: &mut Vec<f32>) {
        match self {
            Cosine::OfDistance => cosines.extend_from_slice(distances),
            Cosine::Kernel(kernel) => {
                cosines.resize(others.len(), 0.0);
                kernel.distances(row, kernel.scale(row), others, cosines);
            }
            Cosine::Bits => return cosines.extend(others.iter().map(|other| of_bits(row, other))),
        }
        for cosine in cosines {
            *cosine = (1.0 - *cosine).clamp(-1.0, 1.0);
        }
    }
}

fn of_bits(a: &[u8], b: &[u8]) -> f32 {
    let ones = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    let common: u32 = a.iter().zip(b).map(|(a, b)| (a & b).count_ones()).sum();
    let product = f64::from(ones(a)) * f64::from(ones(b));
    if product > 0.0 { (f64::from(common) / product.sqrt()) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, encode, row_bytes};

    /// Cosines from the definition.
    fn naive(a: &[f32], b: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        if lengths > 0.0 { (dot(a, b) / lengths) as f32 } else { 0.0 }
    }

    #[test]
    fn cosines_agree_with_the_definition() {
        let mut rng = fastrand::Rng::with_seed(3);
        let dim = 37;
        for (metric, element) in [
            (Metric::L2, Element::F32),
            (Metric::InnerProduct, Element::I8),
            (Metric::Cosine, Element::F16),
            (Metric::L1, Element::U8),
            (Metric::Hamming, Element::Bits),
        ] {
            let config = IndexConfig { dim, metric, element, m: 4, ef_construction: 10, seed: 0 };
            let width = row_bytes(dim, element);
            let mut rows: Vec<Vec<u8>> = Vec::new();
            for at in 0..20 {
                // One zero row, which has no direction.
                let limit = if at == 7 && metric != Metric::Cosine { 1 } else { 2 };
                let values: Vec<f32> = (0..dim).map(|_| rng.u8(0..limit) as f32).collect();
                let mut row = Vec::new();
                encode((&values).into(), dim, element, metric, width, &mut row).unwrap();
                rows.push(row);
            }
            let others: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
            let kernel = Kernel::new(metric, element).unwrap();
            let cosine = Cosine::new(&config).unwrap();
            for row in &rows {
                let mut distances = vec![0.0; rows.len()];
                kernel.distances(row, kernel.scale(row), &others, &mut distances);
                let mut cosines = Vec::new();
                cosine.append(row, &others, &distances, &mut cosines);
                for (other, cosine) in rows.iter().zip(&cosines) {
                    let expected = naive(&decode(row, dim, element), &decode(other, dim, element));
                    assert!((cosine - expected).abs() < 1e-5, "{metric} {element}: {cosine} {expected}");
                }
            }
        }
    }
}
