//! `redknot gnn models`, `import`, `export`, `drop`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use redknot::ModelInfo;
use redknot::layers::{ModelDescription, Weights};
use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::open::DatabaseArgs;
use crate::cli::output::{self, Output, Report};
use crate::cli::written::write_whole;

/// Arguments of `redknot gnn models`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Arguments of `redknot gnn import`.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,

    /// Name of the model in the file; one that has it is replaced.
    #[arg(long, value_name = "NAME")]
    model: String,

    /// The weights: safetensors, or an ONNX file that `export` wrote.
    from: PathBuf,

    /// What the model is, as a JSON object, where the weights do not say it themselves.
    #[arg(long, value_name = "FILE")]
    description: Option<PathBuf>,
}

/// Arguments of `redknot gnn export`.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,

    /// The model.
    #[arg(long, value_name = "NAME")]
    model: String,

    /// The file to write: ONNX where it ends with .onnx, safetensors otherwise.
    to: PathBuf,
}

/// Arguments of `redknot gnn drop`.
#[derive(Debug, clap::Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,

    /// The model.
    #[arg(long, value_name = "NAME")]
    model: String,
}

#[derive(Serialize)]
pub(super) struct Shown {
    name: String,
    description: ModelDescription,
    parameters: usize,
    bytes: u64,
}

impl From<ModelInfo> for Shown {
    fn from(info: ModelInfo) -> Shown {
        let ModelInfo { name, description, parameters, bytes, .. } = info;
        Shown { name, description, parameters, bytes }
    }
}

#[derive(Serialize)]
struct List {
    models: Vec<Shown>,
}

impl Report for List {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.models.is_empty() {
            return writeln!(
                out,
                "no models: `redknot gnn train` makes them, `redknot gnn import` reads them"
            );
        }
        let mut table = output::table(&["model", "type", "layers", "from", "to", "numbers", "size"], &[0, 1]);
        for Shown { name, description, parameters, bytes } in &self.models {
            table.add_row([
                name.clone(),
                description.layer_type.clone(),
                description.num_layers.to_string(),
                description.input_dim.to_string(),
                description.output_dim.to_string(),
                output::count(*parameters as u64),
                output::bytes(*bytes),
            ]);
        }
        writeln!(out, "{}", table.trim_fmt())
    }
}

/// Runs `redknot gnn models`.
pub(super) fn list(args: &ListArgs) -> Result<Outcome, CliError> {
    let read = args.database.open_to_read()?.begin_read()?;
    args.output.show(&List { models: read.models()?.into_iter().map(Shown::from).collect() })?;
    Ok(Outcome::Done)
}

/// Something that was done with a model.
#[derive(Serialize)]
struct Done {
    model: String,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What {
    Imported { parameters: usize, replaced: bool },
    Exported { file: String, bytes: usize },
    Dropped { dropped: bool },
}

impl Report for Done {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let model = &self.model;
        match &self.what {
            What::Imported { parameters, replaced } => {
                let instead = if *replaced { ", in place of the one that had the name" } else { "" };
                writeln!(out, "{model}: {} numbers{instead}", output::count(*parameters as u64))
            }
            What::Exported { file, bytes } => {
                writeln!(out, "{model}: wrote {file}, {}", output::bytes(*bytes as u64))
            }
            What::Dropped { dropped: true } => writeln!(out, "{model}: removed"),
            What::Dropped { dropped: false } => writeln!(out, "{model}: there was no such model"),
        }
    }
}

/// Runs `redknot gnn import`.
pub(super) fn import(args: &ImportArgs) -> Result<Outcome, CliError> {
    let (description, weights) = read_model(&args.from, args.description.as_deref())?;
    let parameters = weights.iter().map(|(_, tensor)| tensor.data().len()).sum();
    let database = args.database.open_to_write()?;
    let txn = database.begin_write()?;
    let replaced = txn.write_model(&args.model, &description, &weights)?;
    txn.commit()?;
    args.output.show(&Done { model: args.model.clone(), what: What::Imported { parameters, replaced } })?;
    Ok(Outcome::Done)
}

fn read_model(from: &Path, description: Option<&Path>) -> Result<(ModelDescription, Weights), CliError> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|source| CliError::Read { path: path.to_owned(), source });
    let bytes = read(from)?;
    if is_onnx(from) {
        return from_onnx(&bytes);
    }
    let (weights, own) = Weights::from_safetensors(&bytes).map_err(redknot::Error::from)?;
    let given = description.map(|path| {
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        Ok::<_, CliError>(ModelDescription::from_json(&text).map_err(redknot::Error::from)?)
    });
    let missing =
        CliError::Missing { option: "--description", why: "the weights do not say what model they are of" };
    let description = given.transpose()?.or(own).ok_or(missing)?;
    Ok((description, weights))
}

fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

#[cfg(feature = "onnx")]
fn from_onnx(bytes: &[u8]) -> Result<(ModelDescription, Weights), CliError> {
    let (description, weights, _) = redknot::onnx::import_layers(bytes).map_err(redknot::Error::from)?;
    Ok((description, weights))
}

#[cfg(not(feature = "onnx"))]
fn from_onnx(_: &[u8]) -> Result<(ModelDescription, Weights), CliError> {
    Err(CliError::LeftOut { what: "onnx" })
}

#[cfg(feature = "onnx")]
fn to_onnx(description: &ModelDescription, weights: &Weights) -> Result<Vec<u8>, CliError> {
    let metadata = redknot::onnx::Metadata::default();
    Ok(redknot::onnx::export_layers(description, weights, &metadata).map_err(redknot::Error::from)?)
}

#[cfg(not(feature = "onnx"))]
fn to_onnx(_: &ModelDescription, _: &Weights) -> Result<Vec<u8>, CliError> {
    Err(CliError::LeftOut { what: "onnx" })
}

/// Runs `redknot gnn export`.
pub(super) fn export(args: &ExportArgs) -> Result<Outcome, CliError> {
    let (description, weights) = args.database.open_to_read()?.begin_read()?.model_weights(&args.model)?;
    let bytes = match is_onnx(&args.to) {
        true => to_onnx(&description, &weights)?,
        false => weights.to_safetensors(&description).map_err(redknot::Error::from)?,
    };
    write_whole(&args.to, &bytes)?;
    let what = What::Exported { file: args.to.display().to_string(), bytes: bytes.len() };
    args.output.show(&Done { model: args.model.clone(), what })?;
    Ok(Outcome::Done)
}

/// Runs `redknot gnn drop`.
pub(super) fn drop(args: &DropArgs) -> Result<Outcome, CliError> {
    let database = args.database.open_to_write()?;
    let txn = database.begin_write()?;
    let dropped = txn.delete_model(&args.model)?;
    txn.commit()?;
    args.output.show(&Done { model: args.model.clone(), what: What::Dropped { dropped } })?;
    Ok(if dropped { Outcome::Done } else { Outcome::Findings })
}
