//! The command line from end to end: the binary itself, on small files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod bench;
mod commands;
#[path = "../../src/cli/crash_script.rs"]
mod crash_script;
mod demo;
mod explain;
mod features;
mod gnn;
mod graph;
mod import;
mod interrupt;
mod kill;
mod refused;
mod router;
mod support;
