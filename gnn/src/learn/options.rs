//! How to train, and what training says of itself.

use std::fmt::Display;
use std::ops::{ControlFlow, RangeInclusive};

use crate::layers::{GnnError, Weights};

use super::LearnError;

/// What is added to the loss to keep weights small. Unlike the decay of AdamW, it passes through the moments of Adam, as
/// the papers on GCN and GAT have it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum L2 {
    /// Nothing.
    #[default]
    Off,
    /// Half of this times the squares of the parameters of the first layer (Kipf & Welling 2017).
    FirstLayer(f64),
    /// Half of this times the squares of all parameters (Veličković et al. 2018).
    All(f64),
}

/// Which epoch's weights are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The one of the lowest loss on the validation part.
    #[default]
    Loss,
    /// The one of the best score (accuracy, area under the curve) on the validation part; of equals, that of the lowest loss.
    Score,
}

/// How a model of layers is trained. Dropout belongs to its description.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnOptions {
    /// Passes over the whole graph, at most; 1 to 1,000,000.
    pub epochs: usize,
    /// The learning rate of AdamW (Loshchilov & Hutter 2019); 1e-9 to 1.
    pub learning_rate: f64,
    /// Decay of weights in AdamW, at the learning rate and apart from the gradient; 0 to 1. Biases do not decay.
    pub weight_decay: f64,
    /// What is added to the loss; 0 to 1.
    pub l2: L2,
    /// Epochs after which training stops when neither loss nor score on the validation part got better; 1 to 1,000,000.
    pub patience: usize,
    /// Which epoch's weights are kept.
    pub selection: Selection,
    /// Seed of the first weights, of dropout and of negative samples.
    pub seed: u64,
    /// Memory that an epoch may take, in bytes, by an estimate made before the first one.
    pub memory_bytes: u64,
}

impl Default for LearnOptions {
    fn default() -> LearnOptions {
        LearnOptions {
            epochs: 200,
            learning_rate: 0.01,
            weight_decay: 0.0,
            l2: L2::Off,
            patience: 100,
            selection: Selection::Loss,
            seed: 1,
            memory_bytes: 4 << 30,
        }
    }
}

impl LearnOptions {
    /// Fails where no model can be trained like this.
    ///
    /// # Errors
    /// [`GnnError::Config`], which names the option.
    pub fn check(&self) -> Result<(), GnnError> {
        within("epochs", self.epochs, 1..=1_000_000)?;
        within("learning_rate", self.learning_rate, 1e-9..=1.0)?;
        within("weight_decay", self.weight_decay, 0.0..=1.0)?;
        if let L2::FirstLayer(factor) | L2::All(factor) = self.l2 {
            within("l2", factor, 0.0..=1.0)?;
        }
        within("patience", self.patience, 1..=1_000_000)
    }
}

pub(super) fn within<T: PartialOrd + Display>(
    name: &'static str,
    got: T,
    range: RangeInclusive<T>,
) -> Result<(), GnnError> {
    // NaN is in no range.
    if range.contains(&got) {
        return Ok(());
    }
    let expected = format!("{} to {}", range.start(), range.end());
    Err(GnnError::Config { name, got: got.to_string(), expected })
}

/// How an epoch went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Loss of the training part, with dropout and without what [`L2`] adds.
    pub training_loss: f32,
    /// Loss of the validation part.
    pub validation_loss: f32,
    /// Score of the validation part: accuracy of classes, area under the curve of links.
    pub validation_score: f64,
}

/// How far training is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LearnProgress {
    /// Epochs done.
    pub done: usize,
    /// Epochs in all, if training does not stop early.
    pub total: usize,
    /// The last one.
    pub epoch: Epoch,
}

/// Told after each epoch how far training is; breaking cancels it with [`LearnError::Cancelled`].
pub type OnLearnProgress<'p> = &'p (dyn Fn(LearnProgress) -> ControlFlow<()> + Sync);

pub(super) fn report(on_progress: OnLearnProgress<'_>, progress: LearnProgress) -> Result<(), LearnError> {
    match on_progress(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(LearnError::Cancelled),
    }
}

/// A trained model and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// The weights of the best epoch.
    pub weights: Weights,
    /// How they came about.
    pub report: LearnReport,
}

/// How weights came about.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LearnReport {
    /// All epochs, in order.
    pub epochs: Vec<Epoch>,
    /// The one whose weights were kept, counted from 0.
    pub best_epoch: usize,
    /// Whether training ended because the validation part gained nothing more.
    pub stopped_early: bool,
    /// Score of the kept weights on the validation part.
    pub validation_score: f64,
    /// Score of the kept weights on the test part, looked at once, after training; `None` where there is none.
    pub test_score: Option<f64>,
    /// Seconds that training took.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        let defaults = LearnOptions::default;
        assert!(defaults().check().is_ok());
        let wrong = [
            ("epochs", LearnOptions { epochs: 0, ..defaults() }),
            ("learning_rate", LearnOptions { learning_rate: f64::NAN, ..defaults() }),
            ("weight_decay", LearnOptions { weight_decay: -0.1, ..defaults() }),
            ("l2", LearnOptions { l2: L2::All(2.0), ..defaults() }),
            ("patience", LearnOptions { patience: 0, ..defaults() }),
        ];
        for (expected, options) in wrong {
            match options.check() {
                Err(GnnError::Config { name, .. }) => assert_eq!(name, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}
