//! JSON lines: one object a line, `{"vector": [0.1, 0.2], "key": "a", "payload": {"any": "JSON"}}`.

use std::fmt;
use std::io::BufRead;

use redknot_index::Element;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::batch::{Batch, Key};
use super::error::Problem;
use super::lines::Lines;
use super::scalar::Coordinate;
use super::{MAX_DIM, RowReader};

/// Reads rows of f32, with their keys where the first row has one, and their payloads. Blank lines are passed over.
pub(crate) struct JsonlReader<R> {
    lines: Lines<R>,
    /// Read when the file was opened, for its dimension; given out first.
    first: Option<Row>,
    first_line: u64,
    dim: usize,
    keyed: bool,
}

impl<R: BufRead> JsonlReader<R> {
    /// Reads the first row.
    pub(crate) fn new(input: R) -> Result<Self, Problem> {
        let mut lines = Lines::new(input);
        let first = next_row(&mut lines)?.ok_or(Problem::Empty)?;
        let first_line = lines.number();
        let dim = first.vector.len();
        if !(1..=MAX_DIM).contains(&dim) {
            return Err(Problem::Dimension { row: 0, offset: 0, got: dim as i128, max: MAX_DIM });
        }
        let keyed = first.key.is_some();
        Ok(Self { lines, first: Some(first), first_line, dim, keyed })
    }

    fn next(&mut self) -> Result<Option<Row>, Problem> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(row) = next_row(&mut self.lines)? else { return Ok(None) };
        let (line, first_line) = (self.lines.number(), self.first_line);
        if row.vector.len() != self.dim {
            return Err(Problem::RaggedLine { line, first_line, expected: self.dim, got: row.vector.len() });
        }
        if row.key.is_some() != self.keyed {
            return Err(Problem::MixedKeys { line, first_line, keyed: row.key.is_some() });
        }
        Ok(Some(row))
    }
}

impl<R: BufRead> RowReader for JsonlReader<R> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        None
    }

    fn element(&self) -> Element {
        Element::F32
    }

    fn offset(&self) -> u64 {
        self.lines.offset()
    }

    fn describes_rows(&self) -> bool {
        true
    }

    fn read(&mut self, max_rows: usize, batch: &mut Batch) -> Result<usize, Problem> {
        batch.clear();
        let mut rows = 0;
        while rows < max_rows {
            let Some(row) = self.next()? else { break };
            f32::of(&mut batch.values).extend_from_slice(&row.vector);
            batch.keys.extend(row.key);
            batch.payloads.push(row.payload);
            rows += 1;
        }
        Ok(rows)
    }
}

/// One line, understood.
struct Row {
    vector: Vec<f32>,
    key: Option<Key>,
    payload: Option<String>,
}

fn next_row<R: BufRead>(lines: &mut Lines<R>) -> Result<Option<Row>, Problem> {
    loop {
        let parsed = match lines.next_line()? {
            None => return Ok(None),
            Some(line) if line.trim_ascii().is_empty() => continue,
            Some(line) => serde_json::from_str::<Object<'_>>(line).map(|object| Row {
                vector: object.vector.0,
                key: object.key,
                payload: object.payload.map(|payload| payload_text(payload.get())),
            }),
        };
        return match parsed {
            Ok(row) => Ok(Some(row)),
            Err(error) => Err(Problem::Json { line: lines.number(), message: without_line(&error) }),
        };
    }
}

/// serde_json counts lines in the text it was given, which is a single one.
fn without_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// What is kept of a payload: a string is its text, anything else its JSON.
fn payload_text(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| compact(json))
}

/// The JSON text without the spaces between its tokens; numbers and the order of fields stay as they are written.
fn compact(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|&char| {
            if in_string {
                in_string = escaped || char != '"';
                escaped = !escaped && char == '\\';
                return true;
            }
            in_string = char == '"';
            !char.is_ascii_whitespace()
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    vector: Vector,
    key: Option<Key>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Coordinates, each within the range of f32: serde would turn 1e39 into infinity.
struct Vector(Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(VectorVisitor)
    }
}

struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = Vector;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vector, A::Error> {
        let mut vector = Vec::new();
        while let Some(value) = sequence.next_element::<f64>()? {
            let coordinate = value as f32;
            if coordinate.is_infinite() {
                let message =
                    format!("coordinate {} is {value:e}, beyond the range of f32 (±3.4e38)", vector.len());
                return Err(de::Error::custom(message));
            }
            vector.push(coordinate);
        }
        Ok(Vector(vector))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key: a string, or an integer from 0 to 18446744073709551615")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Key, E> {
        Ok(Key::Integer(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Key, E> {
        Ok(Key::Text(value.to_owned()))
    }
}
