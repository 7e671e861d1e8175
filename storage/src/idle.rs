//! The commit of an idle moment, after which a crash costs no scan of the file.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::storage::Engine;

/// A thread that looks, once a period, whether anything was committed since it last looked, and lets a period
/// without commits pass before it saves redb's allocator state.
#[derive(Debug)]
pub(crate) struct Idle {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Idle {
    pub(crate) fn start(engine: &Arc<Engine>, period: Duration) -> Result<Idle> {
        let (stop, stopped) = mpsc::channel();
        let engine = Arc::downgrade(engine);
        let thread = thread::Builder::new()
            .name("redknot-idle".into())
            .spawn(move || {
                let mut seen = 0;
                while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                    if !tick(&engine, &mut seen) {
                        break;
                    }
                }
            })
            .map_err(Error::io("starting the idle thread"))?;
        Ok(Idle { stop: Some(stop), thread: Some(thread) })
    }
}

/// One look; `false` ends the thread.
fn tick(engine: &Weak<Engine>, seen: &mut u64) -> bool {
    let Some(engine) = engine.upgrade() else { return false };
    let commits = engine.commits();
    if commits != *seen {
        *seen = commits;
        return true;
    }
    match engine.save_allocator_state() {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "the idle commit failed");
            false
        }
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}
