//! Runs other nearest-neighbour engines beside redknot: the same data in the same run, interleaved.

mod cache;
mod cli;
mod dataset;
mod engine;
mod error;
mod insert;
mod matrix;
mod metric;
mod npy;
mod recall;
mod report;
mod rounds;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
