//! What the whole-database suites share: a model of a database in plain collections, and edits made to both.
#![allow(dead_code, reason = "each suite uses its part")]

pub(crate) mod compare;
pub(crate) mod edges;
pub(crate) mod edit;
pub(crate) mod oracle;
pub(crate) mod slot;
pub(crate) mod world;

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{name} should be a number, got {value:?}"))
    })
}

/// `REDKNOT_SEED`, or a new one; printed, so that a failure can be run again.
pub(crate) fn seed() -> u64 {
    let seed = setting("REDKNOT_SEED", fastrand::u64(..1 << 32));
    println!("REDKNOT_SEED={seed}");
    seed
}
