//! The quantiser as a differentiable function.
//!
//! Rounding has no useful derivative. Its gradient is taken as if a slot passed its input on unchanged within its
//! range (straight-through: Bengio et al. 2013), and that of a step as in Esser et al. 2020 (LSQ). What earlier slots of
//! a coordinate kept counts as given.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::quantizer::nearest_level;
use super::storage::{numbers, with_numbers};

/// Beyond so many steps from 0 a slot does not follow its input any more.
const RANGE: f32 = 1.5;
/// Rows that one thread takes on at a time. Sums are added up in the order of the tasks, whichever thread does them.
const ROWS_PER_TASK: usize = 128;

/// `(coordinates [n, c], log_steps [slots]) → kept [n, c]`, see [`super::quantizer::reconstruct`].
///
/// Slots are arranged in stages: the first slots of all coordinates, then the second ones, and so on. Within a stage no
/// slot depends on another, so it is one loop over coordinates. A coordinate that a stage leaves out has a step of 0
/// there, which keeps nothing.
#[derive(Clone)]
pub(super) struct Quantize {
    /// The place of each slot among those of all stages.
    places: Arc<[usize]>,
    /// The places of a stage: one for each coordinate from 0 up to the last that the stage has a slot of.
    stages: Arc<[Range<usize>]>,
}

impl Quantize {
    /// Of slots of these coordinates.
    pub(super) fn new(of_slot: impl IntoIterator<Item = u16>) -> Quantize {
        // The stage and the coordinate of each slot, and the width of each stage.
        let (mut slots, mut widths) = (Vec::new(), Vec::new());
        for coordinate in of_slot {
            let coordinate = usize::from(coordinate);
            let stage = slots.iter().filter(|slot: &&(usize, usize)| slot.1 == coordinate).count();
            widths.resize(widths.len().max(stage + 1), 0);
            widths[stage] = widths[stage].max(coordinate + 1);
            slots.push((stage, coordinate));
        }
        let starts = widths.iter().scan(0, |end, width| {
            *end += width;
            Some(*end - width..*end)
        });
        let stages: Arc<[Range<usize>]> = starts.collect();
        let places = slots.iter().map(|&(stage, coordinate)| stages[stage].start + coordinate).collect();
        Quantize { places, stages }
    }

    /// The steps in their places, and their inverses; 0 where there is no slot.
    fn steps(&self, log_steps: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let places = self.stages.last().map_or(0, |stage| stage.end);
        let (mut steps, mut inverses) = (vec![0.0; places], vec![0.0; places]);
        for (&place, log_step) in self.places.iter().zip(log_steps) {
            (steps[place], inverses[place]) = (log_step.exp(), (-log_step).exp());
        }
        (steps, inverses)
    }

    /// Writes what the slots keep of a row of coordinates.
    fn forward(&self, steps: &[f32], coordinates: &[f32], kept: &mut [f32]) {
        for stage in self.stages.iter() {
            let places = kept.iter_mut().zip(coordinates).zip(&steps[stage.clone()]);
            places.for_each(|((kept, x), &step)| *kept += nearest_level(x - *kept, step) * step);
        }
    }

    /// Writes the gradients of some rows of coordinates and returns those of the steps, in their places.
    fn backward(
        &self,
        (steps, inverses): (&[f32], &[f32]),
        cols: usize,
        to: &mut [f32],
        x: &[f32],
        g: &[f32],
    ) -> Vec<f32> {
        let mut of_steps = vec![0.0; steps.len()];
        let mut left = vec![0.0; cols];
        let rows = to.chunks_exact_mut(cols).zip(x.chunks_exact(cols)).zip(g.chunks_exact(cols));
        for ((to, x), g) in rows {
            left.copy_from_slice(x);
            for stage in self.stages.iter() {
                let steps = steps[stage.clone()].iter().zip(&inverses[stage.clone()]);
                let places = steps.zip(&mut of_steps[stage.clone()]);
                let rows = to.iter_mut().zip(g).zip(&mut left);
                for (((to, &g), left), ((&step, &inverse), of_step)) in rows.zip(places) {
                    let level = nearest_level(*left, step);
                    let follows = f32::from(u8::from(left.abs() < RANGE * step));
                    *to += g * follows;
                    *of_step += g * (level - follows * *left * inverse);
                    *left -= level * step;
                }
            }
        }
        of_steps
    }
}

impl CustomOp2 for Quantize {
    fn name(&self) -> &'static str {
        "quantize"
    }

    fn cpu_fwd(
        &self,
        coordinates: &CpuStorage,
        layout: &Layout,
        log_steps: &CpuStorage,
        steps_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let coordinates = numbers(coordinates, layout, self.name())?;
        let (steps, _) = self.steps(numbers(log_steps, steps_layout, self.name())?);
        let cols = layout.dims()[1];
        let mut kept = vec![0.0_f32; coordinates.len()];
        let tasks =
            kept.par_chunks_mut(ROWS_PER_TASK * cols).zip(coordinates.par_chunks(ROWS_PER_TASK * cols));
        tasks.for_each(|(kept, coordinates)| {
            let rows = kept.chunks_exact_mut(cols).zip(coordinates.chunks_exact(cols));
            rows.for_each(|(kept, coordinates)| self.forward(&steps, coordinates, kept));
        });
        Ok((CpuStorage::F32(kept), layout.shape().clone()))
    }

    fn bwd(
        &self,
        coordinates: &Tensor,
        log_steps: &Tensor,
        _kept: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let cols = coordinates.dim(1)?;
        let (steps, inverses) = self.steps(&log_steps.to_vec1::<f32>()?);
        let steps = (steps.as_slice(), inverses.as_slice());
        let block = ROWS_PER_TASK * cols;
        let mut of_coordinates = vec![0.0_f32; coordinates.elem_count()];
        let sums: Vec<Vec<f32>> = with_numbers(coordinates, self.name(), |x| {
            with_numbers(gradient, self.name(), |g| {
                let tasks = of_coordinates.par_chunks_mut(block).zip(x.par_chunks(block));
                let tasks = tasks.zip(g.par_chunks(block));
                Ok(tasks.map(|((to, x), g)| self.backward(steps, cols, to, x, g)).collect())
            })
        })?;
        // Of the logarithm of a step: times the step.
        let of_slot = |&place: &usize| sums.iter().map(|sums| sums[place]).sum::<f32>() * steps.0[place];
        let of_steps: Vec<f32> = self.places.iter().map(of_slot).collect();
        let device = coordinates.device();
        Ok((
            Some(Tensor::from_vec(of_coordinates, coordinates.shape(), device)?),
            Some(Tensor::from_vec(of_steps, log_steps.shape(), device)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// The same, composed of operations whose gradients are not ours.
    fn naive(coordinates: &Tensor, log_steps: &Tensor, of_slot: &[u16]) -> Result<Tensor> {
        let mut columns: Vec<Tensor> = (0..coordinates.dim(1)?)
            .map(|at| coordinates.narrow(1, at, 1)?.zeros_like())
            .collect::<Result<_>>()?;
        for (slot, &at) in of_slot.iter().enumerate() {
            let at = usize::from(at);
            let step = log_steps.narrow(0, slot, 1)?.exp()?;
            let left = coordinates.narrow(1, at, 1)?.sub(&columns[at].detach())?;
            let place = left.broadcast_div(&step)?.clamp(-RANGE, RANGE)?;
            let rounded = ((&place + 1.5)?.round()? - 1.5)?;
            let level = (&place + (rounded - &place)?.detach())?;
            columns[at] = (&columns[at] + level.broadcast_mul(&step)?)?;
        }
        Tensor::cat(&columns, 1)
    }

    #[test]
    fn agrees_with_a_composition_of_operations() {
        let device = Device::Cpu;
        let mut rng = fastrand::Rng::with_seed(5);
        let (rows, cols) = (300, 3);
        let mut random = |count: usize, width: f32| -> Vec<f32> {
            (0..count).map(|_| (rng.f32() - 0.5) * width).collect()
        };
        let of_slot = [0_u16, 1, 0, 2, 1, 0];
        let x = Var::from_vec(random(rows * cols, 6.0), (rows, cols), &device).unwrap();
        let steps = Var::from_vec(random(of_slot.len(), 2.0), of_slot.len(), &device).unwrap();
        let weights = Tensor::from_vec(random(rows * cols, 1.0), (rows, cols), &device).unwrap();
        let fast = x.apply_op2(&steps, Quantize::new(of_slot)).unwrap();
        let slow = naive(&x, &steps, &of_slot).unwrap();
        let close = |a: &Tensor, b: &Tensor| {
            let (a, b) = (a.flatten_all().unwrap(), b.flatten_all().unwrap());
            let pairs = a.to_vec1::<f32>().unwrap().into_iter().zip(b.to_vec1::<f32>().unwrap());
            pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{a} {b}"));
        };
        close(&fast, &slow);
        let of_fast = (&fast * &weights).unwrap().sum_all().unwrap().backward().unwrap();
        let of_slow = (&slow * &weights).unwrap().sum_all().unwrap().backward().unwrap();
        for var in [&x, &steps] {
            close(of_fast.get(var).unwrap(), of_slow.get(var).unwrap());
        }
    }
}
