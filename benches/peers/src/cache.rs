//! Built indexes kept between runs, so that a search comparison need not build again.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::{BuildPlan, EF_CONSTRUCTION, Engine, M};
use crate::error::{Error, Result};
use crate::matrix::Matrix;

/// What building an index took, now or when the kept one was built.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Built {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) threads: usize,
    /// Loaded from the cache: `seconds` is from the run that built it, under that run's load.
    #[serde(default)]
    pub(crate) cached: bool,
}

/// Builds the index over `base`, or loads the one that an earlier run with the same engine version, data and
/// options left in `cache`.
pub(crate) fn build_or_load(
    engine: &mut dyn Engine,
    base: &Matrix,
    plan: BuildPlan,
    cache: Option<&Path>,
) -> Result<Built> {
    let kept = cache.map(|folder| entry(engine, base, plan, folder)).transpose()?;
    if let Some((index, record)) = &kept
        && record.exists()
    {
        let text = fs::read_to_string(record).map_err(Error::io(record))?;
        let built: Built = serde_json::from_str(&text).map_err(|error| Error::io(record)(error.into()))?;
        engine.load(index, base, plan)?;
        return Ok(Built { cached: true, ..built });
    }
    let seconds = engine.build(base, plan)?.as_secs_f64();
    let built = Built { seconds, bytes: engine.bytes()?, threads: plan.threads, cached: false };
    if let Some((index, record)) = kept {
        engine.save(&index)?;
        // Written last: an interrupted save leaves no record, and so no index to load.
        fs::write(&record, serde_json::json!(built).to_string()).map_err(Error::io(record))?;
    }
    Ok(built)
}

/// Where the index and its record stand; the name holds all that decides what the index is.
fn entry(engine: &dyn Engine, base: &Matrix, plan: BuildPlan, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let details = engine.details()?;
    let version =
        details.split(',').next().unwrap_or_default().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let stem = format!(
        "{}-{version}-{}x{}-{}-m{M}-efc{EF_CONSTRUCTION}-threads{}-{:016x}",
        engine.name(),
        base.rows(),
        base.dim(),
        plan.metric.name(),
        plan.threads,
        xxh3_64(bytemuck::cast_slice(base.values())),
    );
    Ok((folder.join(format!("{stem}.index")), folder.join(format!("{stem}.json"))))
}
