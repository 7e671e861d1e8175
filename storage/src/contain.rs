//! A last resort against damage.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Runs a call of redb that reads pages which nobody has verified, and turns a panic into an error.
///
/// redb checks what it reads, but not everywhere: an impossible page type or count ends in `unreachable!` or in
/// a slice out of range. What can be verified before redb reads it is (`check.rs`, `Tree::leaf_is_readable`);
/// this is for the rest: a file that was not closed cleanly, which only redb can judge, and blocks that are not
/// mapped. The panic hook still reports the panic, and a program built with `panic = "abort"` ends.
///
/// What `call` owned is dropped while the panic unwinds; redb expects that of its transactions. What it borrowed
/// must not be used again, other than to close it.
pub(crate) fn contain<T>(doing: &str, call: impl FnOnce() -> Result<T>) -> Result<T, Contained> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Contained::Returned(error)),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(Contained::Panicked(Error::corrupt(format!(
                "{doing}, redb met what it cannot read ({said})"
            ))))
        }
    }
}

/// How a contained call failed.
pub(crate) enum Contained {
    Returned(Error),
    Panicked(Error),
}

impl From<Contained> for Error {
    fn from(contained: Contained) -> Error {
        match contained {
            Contained::Returned(error) | Contained::Panicked(error) => error,
        }
    }
}
