//! Traced searches, for models that score links ([`crate::online`]).
//!
//! A search is traced as greedy search runs it, but what is right is not said by the links that it took: a link is right if
//! it begins a path of fewest hops to an exact answer. A model that learns this can do better than the search it watched.

mod export;
mod reverse;
mod trace;

pub use export::{TrajectoryExport, collect_training_trajectories};
pub use trace::{PathTrajectory, TraceOptions, Tracer};
