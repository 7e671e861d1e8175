//! PyTorch Geometric in a process of its own, which `pyg_worker.py` runs.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use redknot_gnn::layers::{Matrix, Weights};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A worker, and the folder through which arrays travel.
pub(crate) struct Peer {
    worker: Child,
    commands: ChildStdin,
    replies: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
    forms: Vec<String>,
}

impl Peer {
    pub(crate) fn start(python: &str, threads: usize) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/layers/pyg_worker.py");
        let mut worker = Command::new(python)
            .arg(script)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let commands = worker.stdin.take().ok_or("the worker has no input")?;
        let replies = BufReader::new(worker.stdout.take().ok_or("the worker has no output")?);
        Ok(Self { worker, commands, replies, folder: tempfile::tempdir()?, forms: Vec::new() })
    }

    /// Makes a layer of these weights.
    pub(crate) fn load(
        &mut self,
        layer: &str,
        weights: &Weights,
        edges: &[(u32, u32)],
        x: &Matrix,
    ) -> Result<()> {
        let le =
            |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let ends = edges.iter().map(|edge| edge.0).chain(edges.iter().map(|edge| edge.1));
        let ends: Vec<u8> = ends.flat_map(|end| end.to_le_bytes()).collect();
        let mut arrays = vec![
            ("x".to_owned(), Dtype::F32, vec![x.rows(), x.cols()], le(x.data())),
            ("edges".to_owned(), Dtype::I32, vec![2, edges.len()], ends),
        ];
        for (name, tensor) in weights.iter() {
            arrays.push((name.to_owned(), Dtype::F32, tensor.shape().to_vec(), le(tensor.data())));
        }
        let mut views = Vec::new();
        for (name, dtype, shape, bytes) in &arrays {
            views.push((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?));
        }
        let file = self.folder.path().join("layer.safetensors");
        std::fs::write(&file, safetensors::serialize(views, None)?)?;
        let reply = self.ask(&json!({"op": "load", "layer": layer, "file": file}))?;
        let forms = reply["forms"].as_array().ok_or("the worker names no forms")?;
        self.forms = forms.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(())
    }

    /// Compares the rows of every form with these.
    pub(crate) fn check(&mut self, out: &Matrix) -> Result<()> {
        let file = self.folder.path().join("out");
        self.ask(&json!({"op": "run", "save": file}))?;
        for form in &self.forms {
            let bytes = std::fs::read(self.folder.path().join(format!("out-{form}")))?;
            let file = SafeTensors::deserialize(&bytes)?;
            let view = file.tensor("out")?;
            let rows = view.data().as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word));
            let (mut difference, mut largest) = (0.0f32, 0.0f32);
            for (row, own) in rows.zip(out.data()) {
                difference = difference.max((row - own).abs());
                largest = largest.max(row.abs());
            }
            if difference > 1e-5 * largest {
                return Err(format!("rows differ from the form {form} by {difference} of {largest}").into());
            }
        }
        Ok(())
    }

    /// Milliseconds of a pass after `warm` others, in the faster of the forms.
    pub(crate) fn run(&mut self, warm: usize) -> Result<f64> {
        let reply = self.ask(&json!({"op": "run", "warm": warm}))?;
        let times = self.forms.iter().filter_map(|form| reply[form].as_f64());
        times.min_by(f64::total_cmp).ok_or_else(|| "the worker gave no times".into())
    }

    fn ask(&mut self, command: &Value) -> Result<Value> {
        writeln!(self.commands, "{command}")?;
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        let reply: Value = serde_json::from_str(&line)?;
        match reply.get("error") {
            Some(error) => Err(format!("the worker failed: {error}").into()),
            None => Ok(reply),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Its own child: a worker that cannot be ended has ended.
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}
