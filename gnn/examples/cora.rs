//! Accuracy of node classification on a citation network, over several seeds.
//!
//! `cora DIR [--seeds N] [--model gcn|gat|graphsage|gin] [--first SEED] [--links]` reads `nodes.libsvm` (label and sparse features
//! of node i in line i, columns from 0), `edges.tsv` (undirected) and `split.tsv` (node, `train`, `val` or `test`) of DIR,
//! trains each model from each seed, and prints the accuracy on the test part: of the weights that validation chose, looked
//! at once. The settings are those of the papers or were chosen by accuracy on the validation part. With `--links` it
//! trains to predict links instead, of which a tenth is held out and half as many validate (Kipf & Welling 2016), and prints
//! the area under the ROC curve.

use std::error::Error;
use std::fs::read_to_string;
use std::ops::ControlFlow;
use std::path::Path;
use std::str::FromStr;

use redknot_gnn::layers::{Activation, Graph, LayerType, ModelDescription, NodeFeatures};
use redknot_gnn::learn::{
    Features, L2, LearnOptions, LearnReport, LinkPrediction, NodeClassification, Selection, SparseMatrix,
    split_links,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: cora DIR [--seeds N] [--model gcn|gat|graphsage|gin] [--first SEED] [--links]";

/// A citation network and its split.
struct Citations {
    graph: Graph,
    words: SparseMatrix,
    labels: Vec<u32>,
    training: Vec<u32>,
    validation: Vec<u32>,
    test: Vec<u32>,
}

fn main() -> Result<()> {
    let (mut folder, mut seeds, mut first, mut only, mut links) = (None, 10_u64, 1_u64, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--seeds" => seeds = value()?.parse()?,
            "--first" => first = value()?.parse()?,
            "--model" => only = Some(LayerType::of(&value()?)?),
            "--links" => links = true,
            _ if folder.is_none() => folder = Some(argument),
            _ => return Err(USAGE.into()),
        }
    }
    let cora = read(Path::new(&folder.ok_or(USAGE)?))?;
    println!(
        "{:9} {:>5} {:>13} {:>13} {:>7} {:>8}",
        "model", "seeds", "test %", "validation %", "epochs", "s/seed"
    );
    for layer_type in [LayerType::Gcn, LayerType::Gat, LayerType::GraphSage, LayerType::Gin] {
        if only.is_some_and(|only| only != layer_type) {
            continue;
        }
        let (model, options) = settings(layer_type, cora.words.width(), cora.classes());
        let seeds = (first..first + seeds).map(|seed| LearnOptions { seed, ..options.clone() });
        let reports: Vec<LearnReport> = match links {
            true => seeds.map(|options| cora.train_links(layer_type, options.seed)).collect::<Result<_>>()?,
            false => seeds.map(|options| cora.train(&model, &options)).collect::<Result<_>>()?,
        };
        print(layer_type.name(), &reports);
    }
    Ok(())
}

/// How each model is trained.
fn settings(layer_type: LayerType, words: usize, classes: usize) -> (ModelDescription, LearnOptions) {
    let model = |hidden| ModelDescription::new(layer_type, 2, words, hidden, classes);
    let defaults = LearnOptions { epochs: 1000, selection: Selection::Score, ..LearnOptions::default() };
    match layer_type {
        // Kipf & Welling 2017.
        LayerType::Gcn => (
            ModelDescription { dropout: 0.5, ..model(16) },
            LearnOptions { l2: L2::FirstLayer(5e-4), ..defaults },
        ),
        // Veličković et al. 2018.
        LayerType::Gat => (
            ModelDescription {
                heads: 8,
                activation: Activation::Elu,
                dropout: 0.6,
                attention_dropout: 0.6,
                ..model(64)
            },
            LearnOptions { learning_rate: 0.005, l2: L2::All(5e-4), ..defaults },
        ),
        // Sums over neighbours overfit the most: more is left out, and weights are kept smaller.
        LayerType::Gin => (
            ModelDescription { dropout: 0.8, ..model(32) },
            LearnOptions { learning_rate: 0.02, l2: L2::All(5e-3), ..defaults },
        ),
        _ => (ModelDescription { dropout: 0.6, ..model(64) }, LearnOptions { l2: L2::All(5e-4), ..defaults }),
    }
}

fn print(model: &str, reports: &[LearnReport]) {
    let count = reports.len() as f64;
    let spread = |of: &dyn Fn(&LearnReport) -> f64| {
        let mean = reports.iter().map(of).sum::<f64>() / count;
        let variance = reports.iter().map(|report| (of(report) - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt())
    };
    let percent = |of: &dyn Fn(&LearnReport) -> f64| {
        let (mean, deviation) = spread(of);
        format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * deviation)
    };
    println!(
        "{model:9} {:>5} {:>13} {:>13} {:>7.0} {:>8.1}",
        reports.len(),
        percent(&|report| report.test_score.unwrap_or(f64::NAN)),
        percent(&|report| report.validation_score),
        spread(&|report| report.epochs.len() as f64).0,
        spread(&|report| report.seconds).0,
    );
}

impl Citations {
    fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |label| *label as usize + 1)
    }

    fn train(&self, model: &ModelDescription, options: &LearnOptions) -> Result<LearnReport> {
        let task = NodeClassification {
            graph: &self.graph,
            features: Features::Sparse(&self.words),
            labels: &self.labels,
            training: &self.training,
            validation: &self.validation,
            test: &self.test,
        };
        Ok(task.train(model, options, &|_| ControlFlow::Continue(()))?.report)
    }

    fn train_links(&self, layer_type: LayerType, seed: u64) -> Result<LearnReport> {
        let split = split_links(&self.graph, 0.05, 0.1, seed)?;
        let task = LinkPrediction {
            graph: &split.graph,
            features: Features::Sparse(&self.words),
            training: &split.training,
            validation: &split.validation,
            test: &split.test,
        };
        let model = ModelDescription::new(layer_type, 2, self.words.width(), 32, 16);
        let options = LearnOptions { seed, selection: Selection::Score, ..LearnOptions::default() };
        Ok(task.train(&model, &options, &|_| ControlFlow::Continue(()))?.report)
    }
}

fn read(folder: &Path) -> Result<Citations> {
    let (mut labels, mut indptr, mut columns, mut values) = (Vec::new(), vec![0], Vec::new(), Vec::new());
    for line in read_to_string(folder.join("nodes.libsvm"))?.lines() {
        let mut words = line.split_ascii_whitespace();
        labels.push(parse(words.next())?);
        for word in words {
            let (column, value) = word.split_once(':').ok_or("a feature is no column:value")?;
            columns.push(parse(Some(column))?);
            values.push(parse(Some(value))?);
        }
        indptr.push(columns.len());
    }
    let width = columns.iter().max().map_or(0, |column| *column as usize + 1);
    let words = SparseMatrix::new(width, indptr, columns, values)?.row_normalised();
    let mut edges: Vec<(u32, u32)> = Vec::new();
    for line in read_to_string(folder.join("edges.tsv"))?.lines() {
        let (a, b) = line.split_once('\t').ok_or("an edge is no pair")?;
        let (a, b) = (parse(Some(a))?, parse(Some(b))?);
        edges.extend([(a, b), (b, a)]);
    }
    let graph = Graph::from_edges(u32::try_from(labels.len())?, &edges, None, None)?;
    let (mut training, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    for line in read_to_string(folder.join("split.tsv"))?.lines() {
        let (node, part) = line.split_once('\t').ok_or("a line of the split is no pair")?;
        match part.trim() {
            "train" => &mut training,
            "val" => &mut validation,
            "test" => &mut test,
            _ => return Err(format!("{part:?} is no part of the split").into()),
        }
        .push(parse(Some(node))?);
    }
    Ok(Citations { graph, words, labels, training, validation, test })
}

fn parse<T: FromStr<Err: Error + 'static>>(word: Option<&str>) -> Result<T> {
    Ok(word.ok_or("a line is empty")?.trim().parse()?)
}
