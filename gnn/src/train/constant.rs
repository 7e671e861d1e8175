//! Products whose first factor is no parameter.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor};

/// `constant · parameter`, both matrices. Unlike [`Tensor::matmul`], which computes the gradients of both factors, this
/// has only that of the parameter.
pub(crate) fn times(constant: &Tensor, parameter: &Tensor) -> Result<Tensor> {
    parameter.apply_op1(Times { constant: constant.detach() })
}

struct Times {
    constant: Tensor,
}

impl CustomOp1 for Times {
    fn name(&self) -> &'static str {
        "times"
    }

    fn cpu_fwd(&self, parameter: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((rows, inner), (_, cols)) = (self.constant.dims2()?, layout.shape().dims2()?);
        let (storage, constant) = self.constant.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            return Err(candle_core::Error::Msg("times runs on the CPU only".into()));
        };
        let product = storage.matmul(parameter, (1, rows, cols, inner), constant, layout)?;
        Ok((product, (rows, cols).into()))
    }

    fn bwd(&self, _parameter: &Tensor, _product: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.constant.t()?.matmul(gradient)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn agrees_with_matmul() {
        let device = Device::Cpu;
        let mut rng = fastrand::Rng::with_seed(2);
        let mut random = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.f32() - 0.5).collect() };
        let constant = Tensor::from_vec(random(40 * 7), (40, 7), &device).unwrap();
        let parameter = Var::from_vec(random(7 * 5), (7, 5), &device).unwrap();
        let weights = Tensor::from_vec(random(40 * 5), (40, 5), &device).unwrap();
        let ours = times(&constant, &parameter).unwrap();
        let theirs = constant.matmul(&parameter).unwrap();
        let gradient = |product: &Tensor| {
            let gradients = (product * &weights).unwrap().sum_all().unwrap().backward().unwrap();
            gradients.get(&parameter).unwrap().clone()
        };
        for (a, b) in [(gradient(&ours), gradient(&theirs)), (ours, theirs)] {
            assert_eq!(a.dims(), b.dims());
            assert_eq!(a.to_vec2::<f32>().unwrap(), b.to_vec2::<f32>().unwrap());
        }
    }
}
