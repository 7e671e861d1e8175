//! Several ways of making keys, fitted to the same queries and measured side by side.

use std::time::Instant;

use redknot_gnn::routing::{Calibration, KeyModel};
use redknot_gnn::train::{
    self, AttentionOptions, Checkpoints, Corpus, Encoder, OnTrainProgress, PcaOptions, TrainError,
    TrainOptions, TrainReport, Trained, Trajectories,
};

use super::info::describe;
use super::record::{Ablated, ablation_levels};

/// A model that is to be measured.
pub(super) struct Fitted {
    pub(super) encoder: String,
    pub(super) model: KeyModel,
    /// How it came about, of a model that may be kept.
    pub(super) fit: Option<TrainReport>,
    order: f64,
    seconds: f64,
}

/// Fits a model with each of the encoders. With `ablation` also makes one from principal axes alone, and fits those with
/// the encoders that are missing, for comparison only. Goes on with what `checkpoints` has of these fits.
pub(super) fn fit<C: Corpus>(
    corpus: &C,
    trajectories: &Trajectories,
    options: &TrainOptions,
    encoders: &[Encoder],
    ablation: bool,
    checkpoints: &mut dyn Checkpoints,
    on_progress: OnTrainProgress<'_>,
) -> Result<Vec<Fitted>, TrainError> {
    let mut fitted = Vec::new();
    if ablation {
        let begun = Instant::now();
        let model = train::pca_model(corpus, &PcaOptions { lambda: 0.0, ..options.pca.clone() })?;
        let seconds = begun.elapsed().as_secs_f64();
        let order = train::quality(corpus, trajectories, &model)?.order.into();
        let encoder = "principal axes, untrained".into();
        fitted.push(Fitted { encoder, model, fit: None, order, seconds });
    }
    let all = if ablation { with_others(encoders) } else { encoders.to_vec() };
    for encoder in all {
        let begun = Instant::now();
        let options = TrainOptions { encoder, ..options.clone() };
        let Trained { model, report } =
            train::resume(corpus, trajectories, &options, checkpoints, on_progress)?;
        let seconds = begun.elapsed().as_secs_f64();
        let order = report.learned.order.into();
        let fit = encoders.contains(&encoder).then_some(report);
        fitted.push(Fitted { encoder: describe(&model), model, fit, order, seconds });
    }
    Ok(fitted)
}

/// These encoders and one of each other kind.
fn with_others(encoders: &[Encoder]) -> Vec<Encoder> {
    let mut all = encoders.to_vec();
    let others = [Encoder::Linear, Encoder::Mean, Encoder::Attention(AttentionOptions::default())];
    for other in others {
        if !encoders.iter().any(|encoder| kind(encoder) == kind(&other)) {
            all.push(other);
        }
    }
    all.sort_by_key(kind);
    all
}

/// The more an encoder looks at, the later.
fn kind(encoder: &Encoder) -> u8 {
    match encoder {
        Encoder::Linear => 0,
        Encoder::Mean => 1,
        Encoder::Attention(_) => 2,
    }
}

/// What was measured, for the record; nothing where there was nothing to compare.
pub(super) fn ablated(fitted: &[Fitted], calibrations: &[Calibration], kept: usize) -> Vec<Ablated> {
    let ablated = fitted.iter().zip(calibrations).enumerate().map(|(place, (fitted, calibration))| Ablated {
        encoder: fitted.encoder.clone(),
        order: fitted.order,
        seconds: fitted.seconds,
        kept: place == kept,
        levels: ablation_levels(calibration),
    });
    if fitted.len() > 1 { ablated.collect() } else { Vec::new() }
}
