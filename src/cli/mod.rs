//! The command line: what it accepts, what it prints, and how it ends. Each command has a file of its own.

mod backup;
mod bench;
mod build;
mod compact;
mod crash_script;
mod crash_writer;
mod create;
mod delete;
mod demo;
mod disk;
#[cfg(feature = "routing")]
mod drift;
mod error;
#[cfg(feature = "routing")]
mod explain;
mod features;
mod get;
#[cfg(feature = "gnn")]
mod gnn;
mod graph;
mod import;
mod info;
mod interrupt;
mod memory;
mod open;
mod output;
mod progress;
mod query;
mod query_log;
#[cfg(feature = "routing")]
mod router;
mod rows;
mod search;
#[cfg(feature = "train")]
mod train;
#[cfg(feature = "train")]
mod trajectories;
pub(crate) mod vectors;
mod verify;
mod written;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::CliError;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    done, but something is wrong: verify has findings, a key was not there, a router's calibration does not hold,
       a check of the demo failed
  2    the command cannot be carried out as written: unknown option, collection or key type, value out of range
  3    the database file: not there, not ours, in use, damaged, no space left
  4    the input: a vector file or vector that cannot be read or used
  5    another file could not be written
  130  stopped by Ctrl-C; what was committed stays";

/// An embedded, transactional key-value and vector database in one file.
#[derive(Debug, Parser)]
#[command(name = "redknot", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a database file, and a collection in it if one is named.
    Create(create::Args),
    /// Load vectors with their keys and payloads: npy, fvecs, bvecs, JSON lines.
    Import(import::Args),
    /// Link imported rows into the graph.
    Build(build::Args),
    /// Find the nearest rows to a vector, to a row of a file, or to a row of the collection.
    Search(search::Args),
    /// Show how greedy search and the router find the nearest rows, hop by hop.
    #[cfg(feature = "routing")]
    Explain(explain::Args),
    /// Show the payload of a row, and its vector.
    Get(get::Args),
    /// Delete rows.
    Delete(delete::Args),
    /// Measure recall and queries/s against exact ground truth.
    Bench(bench::Args),
    /// Train a router for a collection from its own data, and keep it if it gains.
    #[cfg(feature = "train")]
    Train(train::Args),
    /// Show the router of a collection with its figures, switch it on or off, or remove it.
    #[cfg(feature = "routing")]
    Router(router::Args),
    /// Show the log of queries of a collection, which routers learn from, or switch it on or off.
    QueryLog(query_log::Args),
    /// Show, compute or refresh the graph features of a collection: clustering, betweenness, lengths of links.
    Features(features::Args),
    /// Graphs over the rows of a collection: build, import, export, show and search them.
    Graph(graph::Args),
    /// Trace searches and write what they saw as npy files, to train models that score links.
    #[cfg(feature = "train")]
    Trajectories(trajectories::Args),
    /// Layers of graph neural networks over a graph of the file: message passing, search, classes, training.
    #[cfg(feature = "gnn")]
    Gnn(gnn::Args),
    /// Show what a file holds.
    Info(info::Args),
    /// Check every block, key and link of a file.
    Verify(verify::Args),
    /// Give the space of deleted rows back to the file system.
    Compact(compact::Args),
    /// Copy the last commit to a new file.
    Backup(backup::Args),
    /// Show the whole life of a database on 12,000 dictionary definitions.
    Demo(demo::Args),
    /// Write transactions and acknowledge each, until killed: the demo's and the tests' victim.
    #[command(hide = true)]
    CrashWriter(crash_writer::Args),
}

/// How a command ended that did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// As hoped for.
    Done,
    /// With findings, missing keys or failed checks.
    Findings,
}

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    let command = Cli::parse().command;
    let json = wants_json(&command);
    match run(command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        // The reader of our output has had enough: `redknot … | head`.
        Err(CliError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, json);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command) -> Result<Outcome, CliError> {
    match command {
        Command::Create(args) => create::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Search(args) => search::run(&args),
        #[cfg(feature = "routing")]
        Command::Explain(args) => explain::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Delete(args) => delete::run(&args),
        Command::Bench(args) => bench::run(&args),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(&args),
        #[cfg(feature = "routing")]
        Command::Router(args) => router::run(&args),
        Command::QueryLog(args) => query_log::run(&args),
        Command::Features(args) => features::run(&args),
        Command::Graph(args) => graph::run(&args),
        #[cfg(feature = "train")]
        Command::Trajectories(args) => trajectories::run(&args),
        #[cfg(feature = "gnn")]
        Command::Gnn(args) => gnn::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Compact(args) => compact::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::CrashWriter(args) => crash_writer::run(&args),
    }
}

fn wants_json(command: &Command) -> bool {
    match command {
        Command::Create(args) => args.output.json,
        Command::Import(args) => args.output.json,
        Command::Build(args) => args.output.json,
        Command::Search(args) => args.output.json,
        #[cfg(feature = "routing")]
        Command::Explain(args) => args.output.json,
        Command::Get(args) => args.output.json,
        Command::Delete(args) => args.output.json,
        Command::Bench(args) => args.json.is_some(),
        #[cfg(feature = "train")]
        Command::Train(args) => args.output.json,
        #[cfg(feature = "routing")]
        Command::Router(args) => args.output.json,
        Command::QueryLog(args) => args.output.json,
        Command::Features(args) => args.output.json,
        Command::Graph(args) => args.json(),
        #[cfg(feature = "train")]
        Command::Trajectories(args) => args.output.json,
        #[cfg(feature = "gnn")]
        Command::Gnn(args) => gnn::wants_json(args),
        Command::Info(args) => args.output.json,
        Command::Verify(args) => args.output.json,
        Command::Compact(args) => args.output.json,
        Command::Backup(args) => args.output.json,
        Command::Demo(args) => args.output.json,
        Command::CrashWriter(_) => false,
    }
}

/// Says on stderr what went wrong: as a sentence, or as an object for programs.
fn report(error: &CliError, json: bool) {
    let line = if json {
        serde_json::json!({ "error": error.to_string(), "exit_code": error.exit_code() }).to_string()
    } else {
        format!("error: {error}")
    };
    // There is nowhere left to report that stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
