//! Running the binary, and the files it reads.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::{Command, Output};

use half::f16;
use npyz::{AutoSerialize, Serialize, WriterBuilder};
use serde_json::Value;

/// A folder for the files of one test.
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch { folder: tempfile::tempdir().unwrap() }
    }

    /// A database with one collection `points`: `rows` of dimension `dim` under L2, linked, keys are row numbers.
    pub(crate) fn with_points(rows: &[Vec<f32>]) -> Scratch {
        let scratch = Scratch::new();
        scratch.npy("base.npy", rows);
        scratch.run("create db").done();
        scratch.run("import db base.npy -c points --metric l2").done();
        scratch.run("build db").done();
        scratch
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `redknot` in the folder with these words.
    pub(crate) fn run(&self, words: &str) -> Run {
        self.run_words(&words.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn run_words(&self, words: &[&str]) -> Run {
        let output = self.command().args(words).output().unwrap();
        Run { words: words.join(" "), output }
    }

    /// `redknot`, about to start in the folder.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redknot"));
        command.current_dir(self.folder.path());
        command
    }

    /// Writes an npy array of shape (rows, dim).
    pub(crate) fn npy<T: AutoSerialize + Serialize + Copy>(&self, name: &str, rows: &[Vec<T>]) {
        let shape = [rows.len() as u64, rows.first().map_or(0, Vec::len) as u64];
        let file = BufWriter::new(File::create(self.path(name)).unwrap());
        let mut writer =
            npyz::WriteOptions::new().default_dtype().shape(&shape).writer(file).begin_nd().unwrap();
        writer.extend(rows.iter().flatten().copied()).unwrap();
        writer.finish().unwrap();
    }

    /// Writes an npy array of half precision, which npyz does not write.
    pub(crate) fn npy_f16(&self, name: &str, rows: &[Vec<f16>]) {
        let shape = format!("({}, {})", rows.len(), rows[0].len());
        let mut header =
            format!("{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
        header.resize((10 + header.len() + 1).next_multiple_of(64) - 11, b' ');
        header.push(b'\n');
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        file.extend(header);
        file.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
        std::fs::write(self.path(name), file).unwrap();
    }

    /// Writes an fvecs or bvecs file of rows of bytes.
    pub(crate) fn vecs(&self, name: &str, rows: &[(usize, Vec<u8>)]) {
        let mut file = BufWriter::new(File::create(self.path(name)).unwrap());
        for (dim, bytes) in rows {
            file.write_all(&i32::try_from(*dim).unwrap().to_le_bytes()).unwrap();
            file.write_all(bytes).unwrap();
        }
        file.flush().unwrap();
    }

    /// Writes a text file.
    pub(crate) fn text(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn bytes_of(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

/// A run of the binary.
pub(crate) struct Run {
    words: String,
    output: Output,
}

impl Run {
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap_or_else(|| panic!("killed: {}", self.told()))
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Succeeded.
    pub(crate) fn done(self) -> Run {
        assert_eq!(self.code(), 0, "{}", self.told());
        self
    }

    /// Ended with this code; what it printed as JSON.
    pub(crate) fn json(self, code: i32) -> Value {
        assert_eq!(self.code(), code, "{}", self.told());
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.told()))
    }

    /// Was refused with this code and a message with each of these parts, and printed nothing else.
    pub(crate) fn refused(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code(), code, "{}", self.told());
        for part in parts {
            assert!(self.stderr().contains(part), "{part:?} is not in: {}", self.told());
        }
        assert_eq!(self.stdout(), "", "{}", self.told());
        assert!(!self.stderr().contains("panicked"), "{}", self.told());
    }

    fn told(&self) -> String {
        format!("redknot {} → {:?}\n{}{}", self.words, self.output.status, self.stdout(), self.stderr())
    }
}

/// Random rows, the same in every run.
pub(crate) fn rows(count: usize, dim: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (0..dim).map(|_| rng.f32() * 2.0 - 1.0).collect()).collect()
}

/// The row numbers of the `k` rows nearest to `query` under L2.
pub(crate) fn nearest(rows: &[Vec<f32>], query: &[f32], k: usize) -> Vec<i32> {
    let distance = |row: &[f32]| row.iter().zip(query).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    let mut order: Vec<i32> = (0..rows.len() as i32).collect();
    order.sort_by(|&a, &b| distance(&rows[a as usize]).total_cmp(&distance(&rows[b as usize])));
    order.truncate(k);
    order
}

/// The keys of a search's hits.
pub(crate) fn keys(found: &Value) -> Vec<Value> {
    found["hits"].as_array().unwrap().iter().map(|hit| hit["key"].clone()).collect()
}

/// A vector as it was printed.
pub(crate) fn floats(vector: &Value) -> Vec<f32> {
    vector.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}
