//! Any bytes at all: a reader gives rows or an error, and never panics. proptest prints the failing input.

use proptest::prelude::*;

use super::super::{JsonlReader, Neighbours, NpyReader, RowReader, VecsReader};
use super::{as_f32, drain, f32_bytes, npy, npy_array, vecs};

/// Every parser over the same bytes, with and without the length known.
fn read_everything(bytes: &[u8]) {
    for length in [None, Some(bytes.len() as u64)] {
        let readers: [Option<Box<dyn RowReader + '_>>; 3] = [
            NpyReader::new(bytes, length).ok().map(|reader| Box::new(reader) as _),
            VecsReader::<_, f32>::new(bytes, length).ok().map(|reader| Box::new(reader) as _),
            VecsReader::<_, u8>::new(bytes, length).ok().map(|reader| Box::new(reader) as _),
        ];
        for mut reader in readers.into_iter().flatten() {
            let _ = drain(&mut *reader, 3);
        }
        let _ = Neighbours::read_ivecs(&mut &*bytes, length);
    }
    if let Ok(mut reader) = JsonlReader::new(bytes) {
        let _ = drain(&mut reader, 3);
    }
    let _ = Neighbours::read_npy(&mut &*bytes);
}

/// A valid file of some format.
fn valid_file() -> impl Strategy<Value = Vec<u8>> {
    let dtypes =
        prop::sample::select(vec![("<f4", 4), ("<f2", 2), ("<f8", 8), ("|i1", 1), ("|u1", 1), ("<i4", 4)]);
    let array = (dtypes, 0..5_usize, 1..5_usize).prop_map(|((dtype, size), rows, dim)| {
        npy_array(dtype, &format!("({rows}, {dim})"), &vec![1; rows * dim * size])
    });
    let rows = (1..5_usize, 1..5_i32)
        .prop_map(|(rows, dim)| vecs(&vec![(dim, &vec![7; dim as usize * 4][..]); rows]));
    let lines = (1..4_usize, 1..4_usize).prop_map(|(rows, dim)| {
        format!("{{\"vector\":{:?},\"key\":1,\"payload\":[\"é\"]}}\n", vec![0.5; dim])
            .repeat(rows)
            .into_bytes()
    });
    prop_oneof![array, rows, lines]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_everything(&bytes);
    }

    #[test]
    fn random_headers(dictionary in "[\\(\\)\\[\\]\\{\\}'\",:\\-+<>|_ .0-9a-fxjFTNUOSV]{0,60}", values in prop::collection::vec(any::<u8>(), 0..40)) {
        read_everything(&npy(&dictionary, &values));
        read_everything(&npy_array("<f4", &dictionary, &values));
        read_everything(&npy_array(&dictionary.replace('\'', ""), "(2, 2)", &values));
    }

    #[test]
    fn valid_files_with_bytes_changed(
        file in valid_file(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut file = file;
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        read_everything(&file);
        read_everything(&file[..keep.index(file.len())]);
    }

    #[test]
    fn what_is_written_is_read(dim in 1..40_usize, values in prop::collection::vec(any::<f32>(), 0..400), max_rows in 1..50_usize) {
        let rows = values.len() / dim;
        let values = &values[..rows * dim];
        let array = npy_array("<f4", &format!("({rows}, {dim})"), &f32_bytes(values));
        let bodies: Vec<Vec<u8>> = values.chunks(dim).map(f32_bytes).collect();
        let file = vecs(&bodies.iter().map(|body| (dim as i32, &body[..])).collect::<Vec<_>>());
        let mut readers: Vec<Box<dyn RowReader + '_>> = vec![Box::new(NpyReader::new(&array[..], Some(array.len() as u64))?)];
        if rows > 0 {
            readers.push(Box::new(VecsReader::<_, f32>::new(&file[..], Some(file.len() as u64))?));
        }
        for reader in &mut readers {
            let (count, batches) = drain(&mut **reader, max_rows)?;
            prop_assert_eq!(count, rows as u64);
            let got: Vec<u32> = as_f32(&batches).iter().map(|value| value.to_bits()).collect();
            let expected: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
