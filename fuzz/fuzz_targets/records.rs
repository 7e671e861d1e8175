//! Records that the file keeps of indexes and arrays, on any bytes: what is accepted is written back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redknot_index::IndexRecord;

fuzz_target!(|data: &[u8]| {
    if let Ok(record) = IndexRecord::from_bytes(data) {
        let again = IndexRecord::from_bytes(&record.to_bytes());
        assert!(again.is_ok_and(|again| again == record), "a record changed by being written");
    }
});
