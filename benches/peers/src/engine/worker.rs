//! hnswlib and faiss, each behind the one Python process that the driver starts for a run.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BuildPlan, EF_CONSTRUCTION, Engine, M, SearchPlan};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::npy;

/// The program that `peer_worker.py` is; compiled in, so that the driver runs from any folder.
const PROGRAM: &str = include_str!("../../peer_worker.py");

/// The Python process, and the folder through which arrays travel.
pub(crate) struct Worker {
    child: Child,
    commands: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    folder: TempDir,
    /// Matrices already in `folder`, by their identity.
    shared: HashMap<u64, PathBuf>,
}

impl Worker {
    /// Starts `python` (an interpreter that has the libraries of requirements.txt).
    pub(crate) fn start(python: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::Worker(format!("{}: {error}; give an interpreter with --python", python.display()))
        };
        let mut child = Command::new(python)
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let commands = child.stdin.take();
        let replies = BufReader::new(child.stdout.take().expect("stdout was asked for as a pipe"));
        let folder = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
        Ok(Self { child, commands, replies, folder, shared: HashMap::new() })
    }

    fn call(&mut self, command: &Value) -> Result<Value> {
        let stopped = |error: std::io::Error| {
            let hint = "does --python have the libraries of requirements.txt?";
            Error::Worker(format!("stopped at {command}: {error}; {hint}"))
        };
        let mut pipe = self.commands.as_ref().expect("the pipe stays open until drop");
        pipe.write_all(format!("{command}\n").as_bytes()).map_err(stopped)?;
        let mut line = String::new();
        self.replies.read_line(&mut line).map_err(stopped)?;
        let reply: Value = serde_json::from_str(&line).map_err(|error| stopped(error.into()))?;
        match reply.get("error").and_then(Value::as_str) {
            Some(error) => Err(Error::Worker(format!("{error}, at {command}"))),
            None => Ok(reply),
        }
    }

    /// Puts a matrix where the worker can read it, once.
    fn share(&mut self, matrix: &Matrix) -> Result<PathBuf> {
        if let Some(path) = self.shared.get(&matrix.id()) {
            return Ok(path.clone());
        }
        let path = self.folder.path().join(format!("matrix-{}.npy", matrix.id()));
        npy::write_matrix(&path, matrix)?;
        self.shared.insert(matrix.id(), path.clone());
        Ok(path)
    }
}

impl Drop for Worker {
    /// The worker ends when its input does; its exit status says nothing that a reply has not said.
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.child.wait();
    }
}

/// One library of the worker.
pub(crate) struct Python {
    name: &'static str,
    worker: Rc<RefCell<Worker>>,
    /// One library call for each query, where otherwise one call answers all.
    single_calls: bool,
}

impl Python {
    pub(crate) fn new(name: &'static str, worker: Rc<RefCell<Worker>>, single_calls: bool) -> Self {
        Self { name, worker, single_calls }
    }

    fn call(&self, op: &str, mut arguments: Value) -> Result<Value> {
        arguments["op"] = op.into();
        arguments["engine"] = self.name.into();
        self.worker.borrow_mut().call(&arguments)
    }

    fn timed(&self, op: &str, arguments: Value) -> Result<Duration> {
        let reply = self.call(op, arguments)?;
        let seconds = reply["seconds"].as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds.ok_or_else(|| Error::Worker(format!("{op} replied without a time: {reply}")))
    }

    fn open(&self, dim: usize, plan: BuildPlan) -> Result<()> {
        let arguments = json!({
            "metric": plan.metric.name(), "dim": dim, "capacity": plan.capacity,
            "m": M, "ef_construction": EF_CONSTRUCTION,
        });
        self.call("open", arguments).map(drop)
    }
}

impl Engine for Python {
    fn name(&self) -> &'static str {
        self.name
    }

    fn details(&self) -> Result<String> {
        let reply = self.call("details", json!({}))?;
        Ok(reply["details"].as_str().unwrap_or_default().to_owned())
    }

    fn build(&mut self, base: &Matrix, plan: BuildPlan) -> Result<Duration> {
        self.open(base.dim(), plan)?;
        self.add(base, 0, plan.threads)
    }

    fn add(&mut self, rows: &Matrix, first: u32, threads: usize) -> Result<Duration> {
        let path = self.worker.borrow_mut().share(rows)?;
        self.timed("add", json!({"rows": path, "first": first, "threads": threads}))
    }

    fn search(&mut self, queries: &Matrix, plan: SearchPlan, ids: &mut [u32]) -> Result<Duration> {
        let path = self.worker.borrow_mut().share(queries)?;
        let answers = self.worker.borrow().folder.path().join("ids.npy");
        let arguments = json!({
            "queries": path, "k": plan.k, "ef": plan.ef, "threads": plan.threads,
            "single": self.single_calls, "ids": answers,
        });
        let elapsed = self.timed("search", arguments)?;
        let found = npy::read_neighbours(&answers)?;
        if found.ids.len() != ids.len() {
            let (got, expected) = (found.ids.len(), ids.len());
            return Err(Error::Worker(format!(
                "{} returned {got} row numbers, expected {expected}",
                self.name
            )));
        }
        ids.copy_from_slice(&found.ids);
        Ok(elapsed)
    }

    fn bytes(&mut self) -> Result<u64> {
        let reply = self.call("bytes", json!({}))?;
        reply["bytes"].as_u64().ok_or_else(|| Error::Worker(format!("no size in {reply}")))
    }

    fn save(&mut self, path: &Path) -> Result<()> {
        self.call("save", json!({"path": path})).map(drop)
    }

    fn load(&mut self, path: &Path, base: &Matrix, plan: BuildPlan) -> Result<()> {
        self.open(base.dim(), plan)?;
        self.call("load", json!({"path": path})).map(drop)
    }
}
