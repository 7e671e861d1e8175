//! Edges of graphs: edge lists, and npy arrays of the numbers of their ends.

use std::io::{BufRead, Read};
use std::path::Path;

use super::batch::Key;
use super::error::{Problem, VectorFileError};
use super::lines::Lines;
use super::npy_header::Header;
use super::open_file;
use super::scalar::{self, Scalar};

/// An edge as a file has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileEdge {
    /// Line of a text, from 1; place in an array, from 0.
    pub(crate) place: u64,
    pub(crate) source: Key,
    pub(crate) target: Key,
    pub(crate) weight: f32,
    pub(crate) edge_type: Option<String>,
}

/// Reads a text of one edge a line: source, target and, if wanted, weight and type, between tabs. Empty lines and those
/// that begin with `#` are left out. The weight is 1 where there is none.
pub(crate) fn read_edge_list(path: &Path) -> Result<Vec<FileEdge>, VectorFileError> {
    let (input, _) = open_file(path)?;
    parse_edge_list(input).map_err(|problem| problem.in_file(path))
}

pub(crate) fn parse_edge_list(input: impl BufRead) -> Result<Vec<FileEdge>, Problem> {
    let mut lines = Lines::new(input);
    let mut edges = Vec::new();
    while let Some(line) = lines.next_line()? {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parsed = parse_edge(line);
        let place = lines.number();
        let wrong = |message| Problem::EdgeLine { line: place, message };
        edges.push(FileEdge { place, ..parsed.map_err(wrong)? });
    }
    Ok(edges)
}

fn parse_edge(line: &str) -> Result<FileEdge, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let (source, target, weight, edge_type) = match *fields {
        [source, target] => (source, target, "1", None),
        [source, target, weight] => (source, target, weight, None),
        [source, target, weight, edge_type] => (source, target, weight, Some(edge_type)),
        _ => return Err(format!("it has {} fields", fields.len())),
    };
    for (what, key) in [("source", source), ("target", target)] {
        if key.is_empty() {
            return Err(format!("the {what} is empty"));
        }
    }
    let number = weight.trim().parse::<f32>().ok().filter(|weight| weight.is_finite());
    Ok(FileEdge {
        place: 0,
        source: Key::Text(source.to_owned()),
        target: Key::Text(target.to_owned()),
        weight: number.ok_or_else(|| format!("the weight {weight:?} is not a finite number"))?,
        edge_type: edge_type.filter(|name| !name.is_empty()).map(str::to_owned),
    })
}

/// Ends of edges as numbers, and their weights.
#[derive(Debug)]
pub(crate) struct EdgeArray {
    ends: Vec<u64>,
    weights: Option<Vec<f32>>,
}

impl EdgeArray {
    /// Loads an array of whole numbers of shape (2, edges), as PyTorch Geometric's `edge_index`, and one of weights of
    /// shape (edges,).
    pub(crate) fn load(path: &Path, weights: Option<&Path>) -> Result<EdgeArray, VectorFileError> {
        let (mut input, _) = open_file(path)?;
        let ends = read_ends(&mut input).map_err(|problem| problem.in_file(path))?;
        let weights = match weights {
            Some(path) => {
                let (mut input, _) = open_file(path)?;
                Some(read_weights(&mut input, ends.len() / 2).map_err(|problem| problem.in_file(path))?)
            }
            None => None,
        };
        Ok(EdgeArray { ends, weights })
    }

    pub(crate) fn into_edges(self) -> Vec<FileEdge> {
        let (sources, targets) = self.ends.split_at(self.ends.len() / 2);
        let weight = |place: usize| self.weights.as_ref().map_or(1.0, |weights| weights[place]);
        let edge = |(place, (source, target)): (usize, (&u64, &u64))| FileEdge {
            place: place as u64,
            source: Key::Integer(*source),
            target: Key::Integer(*target),
            weight: weight(place),
            edge_type: None,
        };
        sources.iter().zip(targets).enumerate().map(edge).collect()
    }
}

pub(crate) fn read_ends(input: &mut impl Read) -> Result<Vec<u64>, Problem> {
    let header = Header::read(input)?;
    let [2, edges] = *header.shape else {
        let expected = "(2, edges): a row of sources and one of targets; transpose an array of pairs";
        return Err(Problem::Shape { expected, got: header.shape.clone() });
    };
    match header.dtype.as_str() {
        "i4" => read_values::<i32>(input, &header, 2 * edges)?.into_iter().map(end).collect(),
        "u4" => read_values::<u32>(input, &header, 2 * edges)?.into_iter().map(end).collect(),
        "i8" => read_values::<i64>(input, &header, 2 * edges)?.into_iter().map(end).collect(),
        "u8" => read_values::<u64>(input, &header, 2 * edges),
        _ => {
            let expected = "i8 (int64), u8 (uint64), i4 (int32), u4 (uint32)";
            Err(Problem::Dtype { expected, got: header.dtype.clone() })
        }
    }
}

fn end<T: Copy + Into<i64>>(value: T) -> Result<u64, Problem> {
    let value = value.into();
    u64::try_from(value).map_err(|_| Problem::EdgeEnd { value })
}

pub(crate) fn read_weights(input: &mut impl Read, edges: usize) -> Result<Vec<f32>, Problem> {
    let header = Header::read(input)?;
    if *header.shape != [edges as u64] {
        let expected = "(edges,), one weight for each edge";
        return Err(Problem::Shape { expected, got: header.shape.clone() });
    }
    match header.dtype.as_str() {
        "f4" => read_values::<f32>(input, &header, edges as u64),
        _ => Err(Problem::Dtype { expected: "f4 (float32)", got: header.dtype.clone() }),
    }
}

/// All values of an array, which must be the rest of the file.
fn read_values<T: Scalar>(input: &mut impl Read, header: &Header, count: u64) -> Result<Vec<T>, Problem> {
    let mut values = Vec::new();
    // Cannot overflow: the header was refused unless 16 times the product of its numbers fits a u64.
    let bytes = count * size_of::<T>() as u64;
    let got = scalar::append(input, usize::try_from(count).unwrap_or(usize::MAX), &mut values)? as u64;
    let mut rest = [0; 1];
    let got = got + scalar::read_full(input, &mut rest)? as u64;
    if got != bytes {
        let (expected, got) = (header.data_offset + bytes, header.data_offset + got);
        return Err(Problem::Length { expected, got });
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_edges_or_are_named() {
        let edges = parse_edge_list(&b"# a comment\n1\t2\n\n3\t4\t0.5\r\na b\tc\t-2\tcites\n5\t6\t1\t\n"[..])
            .unwrap();
        let expected = [
            (2, "1", "2", 1.0, None),
            (4, "3", "4", 0.5, None),
            (5, "a b", "c", -2.0, Some("cites".to_owned())),
            (6, "5", "6", 1.0, None),
        ];
        assert_eq!(edges.len(), expected.len());
        for (edge, (place, source, target, weight, edge_type)) in edges.into_iter().zip(expected) {
            let (source, target) = (Key::Text(source.into()), Key::Text(target.into()));
            assert_eq!(edge, FileEdge { place, source, target, weight, edge_type });
        }
        for bad in ["1", "1\t2\tx", "1\t2\tNaN", "1\t2\tinf", "\t2", "1\t", "1\t2\t3\t4\t5"] {
            let text = format!("7\t8\n{bad}\n");
            assert!(
                matches!(parse_edge_list(text.as_bytes()), Err(Problem::EdgeLine { line: 2, .. })),
                "{bad:?}"
            );
        }
    }
}
