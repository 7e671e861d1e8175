//! Sessions for calls from many threads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::Mutex;

use super::OnnxError;
use super::runtime::{Backend, Input, Output, Session};

/// Opens another session of the same model.
type Open = Box<dyn Fn() -> Result<Box<dyn Session>, OnnxError> + Send + Sync>;

/// As many sessions of one model as there were calls at a time, at most.
pub(super) struct Pool {
    backend: Backend,
    open: Open,
    idle: Mutex<Vec<Box<dyn Session>>>,
}

impl Pool {
    /// A pool with one session.
    pub(super) fn new(backend: Backend, open: Open) -> Result<Pool, OnnxError> {
        let first = guarded(backend, &open)?;
        Ok(Pool { backend, open, idle: Mutex::new(vec![first]) })
    }

    /// Runs the model on a session of its own.
    pub(super) fn run(&self, inputs: &[Input<'_>]) -> Result<Vec<Output>, OnnxError> {
        let idle = self.idle.lock().pop();
        let mut session = match idle {
            Some(session) => session,
            None => guarded(self.backend, &self.open)?,
        };
        // A session that failed is not used again: what it left behind is not known.
        let outputs = guarded(self.backend, || session.run(inputs))?;
        self.idle.lock().push(session);
        Ok(outputs)
    }
}

/// Turns a panic of the runtime into an error.
pub(super) fn guarded<T>(
    backend: Backend,
    run: impl FnOnce() -> Result<T, OnnxError>,
) -> Result<T, OnnxError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(OnnxError::Runtime { backend, why: "it panicked on this model".into() }))
}
