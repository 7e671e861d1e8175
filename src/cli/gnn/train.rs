//! `redknot gnn train`

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use redknot::layers::{LayerType, ModelDescription};
use redknot::learn::{LearnOptions, LearnProgress, LearnReport};
use redknot::{CollectionInfo, Database, Label, ModelInfo, Part};
use serde::Serialize;

use super::GraphArgs;
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{self, Report};
use crate::cli::progress::Progress;
use crate::cli::rows::{OnRows, RowKey, RowPayload, with_types_of};

/// Arguments of `redknot gnn train`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) graph: GraphArgs,

    /// Name of the model in the file; one that has it is replaced.
    #[arg(long, value_name = "NAME")]
    model: String,

    #[command(flatten)]
    task: Task,

    /// What the model is, as a JSON object, instead of the options --layer to --dropout.
    #[arg(long, value_name = "FILE")]
    description: Option<PathBuf>,

    /// Type of its layers: gcn, graphsage, gat, gin or ruvector.
    #[arg(long, value_name = "TYPE", default_value = "gcn")]
    layer: String,

    /// Layers.
    #[arg(long, value_name = "N", default_value_t = 2)]
    layers: usize,

    /// Numbers in a row between layers.
    #[arg(long, value_name = "N", default_value_t = 64)]
    hidden: usize,

    /// Numbers in a row of the result [default: the classes that there are labels of, or as many as --hidden].
    #[arg(long, value_name = "N")]
    output_dim: Option<usize>,

    /// Heads of attention: gat, ruvector.
    #[arg(long, value_name = "N", default_value_t = 1)]
    heads: usize,

    /// Share of the numbers before each layer that are left out at random.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    dropout: f32,

    /// Passes over the graph, at most.
    #[arg(long, default_value_t = LearnOptions::default().epochs)]
    epochs: usize,

    /// Passes without a gain on the validation part after which training stops.
    #[arg(long, default_value_t = LearnOptions::default().patience)]
    patience: usize,

    /// Learning rate.
    #[arg(long, value_name = "RATE", default_value_t = LearnOptions::default().learning_rate)]
    learning_rate: f64,

    /// Decay of weights.
    #[arg(long, value_name = "RATE", default_value_t = 5e-4)]
    weight_decay: f64,

    /// What all that is random is drawn by.
    #[arg(long, default_value_t = LearnOptions::default().seed)]
    seed: u64,

    /// Memory that training may take: it is refused where more is foreseen.
    #[arg(long, value_name = "BYTES", default_value_t = LearnOptions::default().memory_bytes)]
    memory_bytes: u64,
}

/// What the model is to do.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Task {
    /// Classify rows: a file with a key, a class counted from 0, and train, val or test on each line, with tabs between.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// Predict edges: this share of them, .1 where none is given, is set aside to validate by, and as much to judge by.
    #[arg(long, value_name = "SHARE", num_args = 0..=1, require_equals = true, default_missing_value = "0.1")]
    links: Option<f64>,
}

#[derive(Serialize)]
struct Trained {
    model: String,
    description: ModelDescription,
    /// `accuracy`, or `auc`: the area under the ROC curve.
    score: &'static str,
    validation_score: f64,
    test_score: Option<f64>,
    epochs: usize,
    best_epoch: usize,
    stopped_early: bool,
    training_loss: Vec<f32>,
    validation_loss: Vec<f32>,
    seconds: f64,
}

impl Report for Trained {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let time = output::duration(Duration::from_secs_f64(self.seconds));
        let why = if self.stopped_early { ", then nothing was gained any more" } else { "" };
        writeln!(
            out,
            "{}: {} epochs in {time}{why}; kept epoch {}",
            self.model,
            self.epochs,
            self.best_epoch + 1
        )?;
        write!(out, "{} {:.4} on the validation part", self.score, self.validation_score)?;
        match self.test_score {
            Some(score) => writeln!(out, ", {score:.4} on the test part"),
            None => writeln!(out),
        }
    }
}

/// Runs `redknot gnn train`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.graph.database.open_to_write()?;
    let info = args.graph.collection.find(&database)?;
    with_types_of(&info, Train { args, database: &database, info: &info })?;
    Ok(Outcome::Done)
}

struct Train<'a> {
    args: &'a Args,
    database: &'a Database,
    info: &'a CollectionInfo,
}

impl OnRows for Train<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let Train { args, database, info } = self;
        // Before hours of training rather than after.
        ModelInfo::check_name(&args.model)?;
        let labels = args.task.labels.as_deref().map(read_labels::<K>).transpose()?;
        let description = args.description(info.config.dim, labels.as_deref())?;
        let options = args.options();
        let interrupt = Interrupt::catch()?;
        let progress = Mutex::new(Progress::new(args.graph.output, "training", "epochs"));
        let on_progress = |step: LearnProgress| {
            if let Ok(mut progress) = progress.try_lock() {
                progress.set(step.done as u64, Some(step.total as u64));
            }
            interrupt.go_on()
        };
        let read = database.begin_read()?;
        let graph = args.graph.open::<K>(&read, &info.name)?;
        let layers = args.graph.layers(&graph);
        let trained = match (&labels, args.task.links) {
            (Some(labels), _) => layers.train_classifier(&description, labels, &options, &on_progress),
            (None, share) => {
                let share = share.unwrap_or_default();
                layers.train_link_prediction(&description, share, &options, &on_progress)
            }
        };
        let learned = CliError::unless_interrupted(trained, "no model was written")?;
        drop(progress);
        let txn = database.begin_write()?;
        txn.write_model(&args.model, &description, &learned.weights)?;
        txn.commit()?;
        let score = if labels.is_some() { "accuracy" } else { "auc" };
        args.graph.output.show(&args.trained(description, score, &learned.report))
    }
}

impl Args {
    fn description<K>(&self, dim: usize, labels: Option<&[Label<K>]>) -> Result<ModelDescription, CliError> {
        if let Some(path) = &self.description {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| CliError::Read { path: path.clone(), source })?;
            return Ok(ModelDescription::from_json(&text).map_err(redknot::Error::from)?);
        }
        let classes = labels.and_then(|labels| labels.iter().map(|label| label.class as usize + 1).max());
        let output = self.output_dim.or(classes).unwrap_or(self.hidden);
        let layer = LayerType::of(&self.layer).map_err(redknot::Error::from)?;
        Ok(ModelDescription {
            heads: self.heads,
            dropout: self.dropout,
            ..ModelDescription::new(layer, self.layers, dim, self.hidden, output)
        })
    }

    fn options(&self) -> LearnOptions {
        LearnOptions {
            epochs: self.epochs,
            patience: self.patience,
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            seed: self.seed,
            memory_bytes: self.memory_bytes,
            ..LearnOptions::default()
        }
    }

    fn trained(&self, description: ModelDescription, score: &'static str, report: &LearnReport) -> Trained {
        Trained {
            model: self.model.clone(),
            description,
            score,
            validation_score: report.validation_score,
            test_score: report.test_score,
            epochs: report.epochs.len(),
            best_epoch: report.best_epoch,
            stopped_early: report.stopped_early,
            training_loss: report.epochs.iter().map(|epoch| epoch.training_loss).collect(),
            validation_loss: report.epochs.iter().map(|epoch| epoch.validation_loss).collect(),
            seconds: report.seconds,
        }
    }
}

/// Labels, a line each.
fn read_labels<K: RowKey>(path: &Path) -> Result<Vec<Label<K::Owned>>, CliError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let label = |(number, line): (usize, &str)| {
        let wrong = || CliError::Label { path: path.to_owned(), line: number + 1, got: line.to_owned() };
        let mut fields = line.split('\t');
        let (Some(key), Some(class), Some(part), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(wrong());
        };
        let part = match part {
            "train" => Part::Training,
            "val" => Part::Validation,
            "test" => Part::Test,
            _ => return Err(wrong()),
        };
        Ok(Label { key: K::parse(key)?, class: class.parse().map_err(|_| wrong())?, part })
    };
    lines.map(label).collect()
}
