//! The command line's own parts: what reads the user's files and prints for people.

pub(crate) mod vectors;
