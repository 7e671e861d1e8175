//! Small files of every format, whole and broken.

mod demo;
mod files;
mod hostile;
mod jsonl;
mod neighbours;
mod npy;
mod vecs;

use super::{Batch, Problem, RowReader, Values};

/// An npy file with this dictionary, padded as numpy pads it, and these values.
fn npy(dictionary: &str, values: &[u8]) -> Vec<u8> {
    let mut header = dictionary.as_bytes().to_vec();
    header.resize((10 + header.len() + 1).next_multiple_of(64) - 10 - 1, b' ');
    header.push(b'\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    file.extend(header);
    file.extend(values);
    file
}

/// A C-order npy file of this dtype and shape.
fn npy_array(dtype: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    npy(&format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"), values)
}

/// An fvecs, bvecs or ivecs file: for each row a dimension and the bytes that follow it.
fn vecs(rows: &[(i32, &[u8])]) -> Vec<u8> {
    rows.iter().flat_map(|(dim, body)| [&dim.to_le_bytes(), *body].concat()).collect()
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Everything a reader gives, read `max_rows` at a time.
fn drain(reader: &mut dyn RowReader, max_rows: usize) -> Result<(u64, Vec<Batch>), Problem> {
    let (mut rows, mut batches) = (0, Vec::new());
    loop {
        let mut batch = Batch::default();
        let read = reader.read(max_rows, &mut batch)?;
        assert!(read <= max_rows);
        assert_eq!(batch.values.len(), read * reader.dim());
        if read == 0 {
            return Ok((rows, batches));
        }
        assert_eq!(batch.values.element(), reader.element());
        rows += read as u64;
        batches.push(batch);
    }
}

/// The coordinates of all batches as f32.
fn as_f32(batches: &[Batch]) -> Vec<f32> {
    let mut all = Vec::new();
    for batch in batches {
        all.extend(batch.values.row_as_f32(0, batch.values.len()));
    }
    all
}

#[test]
fn every_element_type_becomes_the_same_f32() {
    let half = half::f16::from_f32;
    let expected = [3.0, 0.0, 100.0];
    let all = [
        Values::F32(expected.to_vec()),
        Values::F16(expected.map(half).to_vec()),
        Values::I8(vec![3, 0, 100]),
        Values::U8(vec![3, 0, 100]),
    ];
    for values in all {
        assert_eq!(values.row_as_f32(0, 3), expected, "{values:?}");
    }
}
