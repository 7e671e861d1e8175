//! The router: key models, key codes, and search that follows them.

mod model;

pub use model::{KeyModel, Slot};
