//! The command line.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the commands that read these files are not here yet")
)]
mod cli;

fn main() {}
