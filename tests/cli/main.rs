//! The command line from end to end: the binary itself, on small files.

mod bench;
mod commands;
#[path = "../../src/cli/crash_script.rs"]
mod crash_script;
mod demo;
mod import;
mod interrupt;
mod kill;
mod refused;
mod support;
