//! Fits under way, kept so that one that was interrupted goes on where it stopped.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::TrainError;
use super::fit::Curve;
use super::network::Network;

/// Key of what is not a tensor, in the metadata of the safetensors file that a checkpoint is.
const ABOUT: &str = "redknot.fit";
/// The lists of tensors; one of each for every parameter.
const LISTS: [&str; 4] = ["parameter", "best", "first", "second"];

/// Where gradient descents under way are kept. A descent is named by a hash of all that it learns from and how, so what is
/// found under that name is its own. What cannot be read counts as not found.
///
/// A map in memory is one: models that are fitted one after the other and begin alike then do so once.
pub trait Checkpoints {
    /// What was kept of a descent last.
    fn find(&mut self, descent: u128) -> Option<Vec<u8>>;

    /// Keeps a descent as it stands, in place of what was kept of it before. Called at each look at the held-out queries.
    fn keep(&mut self, descent: u128, state: Vec<u8>);
}

impl Checkpoints for HashMap<u128, Vec<u8>> {
    fn find(&mut self, descent: u128) -> Option<Vec<u8>> {
        self.get(&descent).cloned()
    }

    fn keep(&mut self, descent: u128, state: Vec<u8>) {
        self.insert(descent, state);
    }
}

/// Gradient descent as it stands at a look at the held-out queries.
pub(super) struct Checkpoint {
    pub(super) about: About,
    /// The parameters, the best so far, and the two moments of the optimizer.
    pub(super) tensors: [Vec<Tensor>; LISTS.len()],
}

/// What is not a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) curve: Curve,
    /// Looks without progress.
    pub(super) waited: usize,
    pub(super) rng: u64,
}

impl Checkpoint {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, TrainError> {
        let named = LISTS.iter().zip(&self.tensors).flat_map(|(list, tensors)| {
            tensors.iter().enumerate().map(move |(at, tensor)| (format!("{list}.{at}"), tensor))
        });
        let about = serde_json::to_string(&self.about).map_err(TrainError::tensor)?;
        let metadata = HashMap::from([(ABOUT.to_string(), about)]);
        let mut bytes = safetensors::serialize(named, Some(metadata)).map_err(TrainError::tensor)?;
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        Ok(bytes)
    }

    /// `None` where `bytes` are not those of a checkpoint with the parameters of `network`.
    pub(super) fn from_bytes(bytes: &[u8], network: &Network) -> Option<Checkpoint> {
        let (bytes, checksum) = bytes.split_last_chunk()?;
        if xxh3_64(bytes) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
        let about: About = serde_json::from_str(header.metadata().as_ref()?.get(ABOUT)?).ok()?;
        // The least loss and the last step are looked up there.
        about.curve.losses.last()?;
        let mut named = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).ok()?;
        let parameters = network.parameters();
        let mut list = |name: &str| {
            let one = |(at, parameter): (usize, &candle_core::Var)| {
                let tensor = named.remove(&format!("{name}.{at}"))?;
                let fits = tensor.shape() == parameter.shape() && tensor.dtype() == parameter.dtype();
                fits.then_some(tensor)
            };
            parameters.iter().enumerate().map(one).collect::<Option<Vec<Tensor>>>()
        };
        let [Some(now), Some(best), Some(first), Some(second)] = LISTS.map(&mut list) else { return None };
        named.is_empty().then_some(Checkpoint { about, tensors: [now, best, first, second] })
    }
}
