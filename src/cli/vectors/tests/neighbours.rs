use super::super::{Neighbours, Problem};
use super::{npy_array, vecs};

fn read(file: &[u8]) -> Result<Neighbours, Problem> {
    Neighbours::read_npy(&mut &*file)
}

#[test]
fn integers_of_three_widths_and_ivecs_are_one_table() {
    let expected = Neighbours::new(3, vec![1, 0, 7, 2, 3, -1]).unwrap();
    let rows = [1_i32, 0, 7, 2, 3, -1];
    let narrow = rows.map(i32::to_le_bytes).concat();
    let wide = rows.map(|row| i64::from(row).to_le_bytes()).concat();
    assert_eq!(read(&npy_array("<i4", "(2, 3)", &narrow)).unwrap(), expected);
    assert_eq!(read(&npy_array("<i8", "(2, 3)", &wide)).unwrap(), expected);
    let ivecs = vecs(&[(3, &narrow[..12]), (3, &narrow[12..])]);
    let table = Neighbours::read_ivecs(&mut ivecs.as_slice(), Some(ivecs.len() as u64)).unwrap();
    assert_eq!(table, expected);
    assert_eq!((table.k(), table.queries().next_back()), (3, Some(&[2, 3, -1][..])));
    let unsigned = read(&npy_array("<u4", "(1, 1)", &[9, 0, 0, 0])).unwrap();
    assert_eq!(unsigned, Neighbours::new(1, vec![9]).unwrap());
}

#[test]
fn what_is_no_row_number_is_named() {
    let negative = read(&npy_array("<i4", "(2, 1)", &[0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]));
    assert!(matches!(negative, Err(Problem::Neighbour { row: 1, rank: 0, value: -2 })));
    let large = read(&npy_array("<u4", "(1, 2)", &[0, 0, 0, 0, 0, 0, 0, 0x80]));
    assert!(matches!(large, Err(Problem::Neighbour { row: 0, rank: 1, value: 0x8000_0000 })));
}

#[test]
fn tables_of_another_form_are_refused() {
    assert!(matches!(read(&npy_array("<f4", "(1, 1)", &[0; 4])), Err(Problem::Dtype { .. })));
    for shape in ["(4,)", "(4, 0)", "(1, 2, 2)", "(1, 65537)"] {
        assert!(matches!(read(&npy_array("<i4", shape, &[0; 16])), Err(Problem::Shape { .. })), "{shape}");
    }
    let short = read(&npy_array("<i4", "(2, 2)", &[0; 13]));
    assert!(matches!(short, Err(Problem::Truncated { row: 1, offset: 136, end: 144, got: 141 })));
    assert!(matches!(read(&npy_array("<i4", "(1, 1)", &[0; 5])), Err(Problem::Length { .. })));
    assert!(Neighbours::new(2, vec![1, 2, 3]).is_none() && Neighbours::new(0, vec![]).is_none());
}

#[test]
fn a_saved_table_is_loaded_again_and_is_int32() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.npy");
    let table = Neighbours::new(2, vec![5, 4, i32::MAX, -1]).unwrap();
    table.write_npy(&mut std::fs::File::create(&path).unwrap()).unwrap();
    assert_eq!(Neighbours::load(&path).unwrap(), table);
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.windows(5).any(|window| window == b"'<i4'"));
    assert!(bytes.ends_with(&[255, 255, 255, 127, 255, 255, 255, 255]));
}

#[test]
fn loading_goes_by_the_extension() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gt.ivecs");
    std::fs::write(&path, vecs(&[(1, &[3, 0, 0, 0])])).unwrap();
    assert_eq!(Neighbours::load(&path).unwrap(), Neighbours::new(1, vec![3]).unwrap());
    let path = folder.path().join("gt.csv");
    std::fs::write(&path, "3\n").unwrap();
    let error = Neighbours::load(&path).unwrap_err();
    assert!(matches!(error.problem, Problem::UnknownExtension { .. }) && error.path == path);
}
