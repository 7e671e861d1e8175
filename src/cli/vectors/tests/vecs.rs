use super::super::{Batch, Problem, RowReader, Values, VecsReader};
use super::{as_f32, drain, f32_bytes, vecs};

fn open<T: super::super::scalar::Scalar>(file: &[u8]) -> Result<VecsReader<&[u8], T>, Problem> {
    VecsReader::new(file, Some(file.len() as u64))
}

#[test]
fn fvecs_and_bvecs_rows() {
    let file =
        vecs(&[(2, &f32_bytes(&[1.0, 2.0])), (2, &f32_bytes(&[3.0, 4.0])), (2, &f32_bytes(&[5.0, 6.0]))]);
    for max_rows in [1, 2, 3, usize::MAX] {
        let mut reader = open::<f32>(&file).unwrap();
        assert_eq!((reader.dim(), reader.rows(), reader.offset()), (2, Some(3), 0));
        let (rows, batches) = drain(&mut reader, max_rows).unwrap();
        assert_eq!((rows, as_f32(&batches)), (3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(reader.offset(), file.len() as u64);
    }
    let file = vecs(&[(3, &[7, 8, 255])]);
    let mut batch = Batch::default();
    assert_eq!(open::<u8>(&file).unwrap().read(5, &mut batch).unwrap(), 1);
    assert_eq!(batch.values, Values::U8(vec![7, 8, 255]));
}

#[test]
fn more_rows_than_one_piece_of_reading() {
    let rows: Vec<[u8; 3]> =
        (0..400_000_u32).map(|row| [row as u8, (row >> 8) as u8, (row >> 16) as u8]).collect();
    let file: Vec<u8> = rows.iter().flat_map(|row| vecs(&[(3, row)])).collect();
    let (count, batches) = drain(&mut open::<u8>(&file).unwrap(), 300_000).unwrap();
    assert_eq!(count, 400_000);
    let Values::U8(first) = &batches[0].values else { panic!("not u8") };
    let Values::U8(second) = &batches[1].values else { panic!("not u8") };
    assert!([first.as_slice(), second].concat() == rows.concat());
}

#[test]
fn the_dimension_of_every_row_is_checked() {
    // Two rows of 2 and one of 6 bytes: the length alone would pass for rows of dimension 2.
    let file = vecs(&[(2, &[1, 2]), (2, &[3, 4]), (8, &[0; 8])]);
    let problem = drain(&mut open::<u8>(&file).unwrap(), 9).unwrap_err();
    assert!(matches!(problem, Problem::RaggedRow { row: 2, offset: 12, expected: 2, got: 8 }), "{problem}");
    // A length that shows it is looked into when the file is opened.
    let file = vecs(&[(2, &[1, 2]), (3, &[3, 4, 5])]);
    let problem = open::<u8>(&file).err().unwrap();
    assert!(matches!(problem, Problem::RaggedRow { row: 1, offset: 6, expected: 2, got: 3 }), "{problem}");
}

#[test]
fn truncation_is_seen_when_the_file_is_opened() {
    let whole = vecs(&[(2, &f32_bytes(&[1.0, 2.0])), (2, &f32_bytes(&[3.0, 4.0]))]);
    for missing in 1..12 {
        let file = &whole[..whole.len() - missing];
        let got = file.len() as u64;
        let known = open::<f32>(file).err().unwrap();
        let stream = drain(&mut VecsReader::<_, f32>::new(file, None).unwrap(), 9).unwrap_err();
        for problem in [known, stream] {
            let expected = Problem::Truncated { row: 1, offset: 12, end: 24, got };
            assert_eq!(problem.to_string(), expected.to_string());
        }
    }
}

#[test]
fn a_first_row_that_is_none() {
    assert!(matches!(open::<f32>(b""), Err(Problem::Empty)));
    assert!(matches!(open::<f32>(b"\x01\0"), Err(Problem::Truncated { row: 0, offset: 0, end: 4, got: 2 })));
    for dim in [0, -1, 65_537, i32::MAX] {
        let problem = open::<u8>(&vecs(&[(dim, &[0; 9])])).err().unwrap();
        assert!(matches!(problem, Problem::Dimension { row: 0, got, .. } if got == i128::from(dim)));
    }
}
