//! Ctrl-C during work that commits as it goes: the work ends at its next step, and says what it has kept.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::error::CliError;

/// Exit code of a process that ends at once, at the second Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Whether Ctrl-C was pressed.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches Ctrl-C (and a request to terminate) from now on. The second one ends the process where it stands,
    /// which leaves a valid file as well: the last commit.
    pub(crate) fn catch() -> Result<Self, CliError> {
        let pressed = Arc::new(AtomicBool::new(false));
        let handler = {
            let pressed = pressed.clone();
            move || {
                if pressed.swap(true, Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
            }
        };
        ctrlc::set_handler(handler)
            .map_err(|error| CliError::System { what: "catch Ctrl-C", source: io::Error::other(error) })?;
        Ok(Self(pressed))
    }

    /// Never pressed: for steps of commands that are not to be stopped half-way.
    pub(crate) fn never() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Whether it was pressed.
    pub(crate) fn pressed(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// What work that can be cancelled is told at each step.
    pub(crate) fn go_on(&self) -> ControlFlow<()> {
        if self.pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
