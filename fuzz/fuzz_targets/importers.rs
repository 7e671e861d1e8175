//! The readers of users' vector files, on any bytes: an error or rows of the stated shape, in bounded memory.
#![no_main]

#[path = "../../src/cli/vectors/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "this target uses its part")]
mod vectors;

use libfuzzer_sys::fuzz_target;
use vectors::{Batch, JsonlReader, NpyReader, RowReader, VecsReader};

fn read_all(mut reader: impl RowReader) {
    let mut batch = Batch::default();
    while let Ok(rows) = reader.read(7, &mut batch) {
        assert!(rows <= 7);
        if rows == 0 {
            return;
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((format, bytes)) = data.split_first() else { return };
    // A file tells its length; a pipe does not.
    let length = (format & 0x80 == 0).then_some(bytes.len() as u64);
    match format % 4 {
        0 => drop(NpyReader::new(bytes, length).map(read_all)),
        1 => drop(VecsReader::<_, f32>::new(bytes, length).map(read_all)),
        2 => drop(VecsReader::<_, u8>::new(bytes, length).map(read_all)),
        _ => drop(JsonlReader::new(bytes).map(read_all)),
    }
});
