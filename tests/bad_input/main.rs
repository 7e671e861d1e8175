//! Bad input of every kind: a typed error that says what was expected, what was found and what to do, and nothing
//! has changed.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod calls;
mod damaged;
mod files;
mod sample;
