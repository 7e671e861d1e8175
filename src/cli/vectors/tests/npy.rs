use super::super::{Batch, NpyReader, Problem, RowReader, Values};
use super::{as_f32, drain, f32_bytes, npy, npy_array};

fn open(file: &[u8]) -> Result<NpyReader<&[u8]>, Problem> {
    NpyReader::new(file, Some(file.len() as u64))
}

fn problem(file: &[u8]) -> Problem {
    match open(file) {
        Ok(mut reader) => drain(&mut reader, 2).expect_err("the file should be refused"),
        Err(problem) => problem,
    }
}

#[test]
fn elements_are_kept_as_they_are() {
    let halves = [0x3c00_u16, 0xc000].map(u16::to_le_bytes).concat();
    let cases = [
        ("|i1", vec![1, 0xfe], Values::I8(vec![1, -2])),
        ("|u1", vec![1, 0xfe], Values::U8(vec![1, 254])),
        ("<f2", halves, Values::F16([1.0, -2.0].map(half::f16::from_f32).to_vec())),
        ("<f4", f32_bytes(&[1.0, -2.0]), Values::F32(vec![1.0, -2.0])),
        ("<f8", [1.0_f64, -2.0].map(f64::to_le_bytes).concat(), Values::F32(vec![1.0, -2.0])),
    ];
    for (dtype, bytes, expected) in cases {
        let file = npy_array(dtype, "(1, 2)", &bytes);
        let mut reader = open(&file).unwrap();
        assert_eq!((reader.dim(), reader.rows(), reader.element()), (2, Some(1), expected.element()));
        let mut batch = Batch::default();
        assert_eq!(reader.read(usize::MAX, &mut batch).unwrap(), 1);
        assert_eq!(batch.values, expected, "{dtype}");
        assert!(batch.keys.is_empty() && batch.payloads.is_empty());
        assert_eq!(reader.offset(), file.len() as u64);
        assert_eq!(reader.read(1, &mut batch).unwrap(), 0);
    }
}

#[test]
fn batches_of_any_size_give_the_same_rows() {
    let values: Vec<f32> = (0..21).map(|value| value as f32).collect();
    let file = npy_array("<f4", "(7, 3)", &f32_bytes(&values));
    for max_rows in [1, 2, 3, 7, 100] {
        let (rows, batches) = drain(&mut open(&file).unwrap(), max_rows).unwrap();
        assert_eq!((rows, as_f32(&batches)), (7, values.clone()), "{max_rows} rows at a time");
    }
}

#[test]
fn rows_longer_than_one_piece_of_reading() {
    let dim = super::super::MAX_DIM;
    let values: Vec<f32> = (0..17 * dim).map(|value| value as f32).collect();
    let file = npy_array("<f4", &format!("(17, {dim})"), &f32_bytes(&values));
    let (rows, batches) = drain(&mut open(&file).unwrap(), 17).unwrap();
    assert_eq!(rows, 17);
    assert!(as_f32(&batches) == values);
}

#[test]
fn one_axis_is_one_row_and_no_row_is_no_error() {
    let mut one = open(&npy_array("|u1", "(3,)", &[1, 2, 3])).map(|reader| (reader.dim(), reader.rows()));
    assert_eq!(one.as_mut().unwrap(), &mut (3, Some(1)));
    let file = npy_array("<f4", "(0, 5)", &[]);
    assert_eq!(drain(&mut open(&file).unwrap(), 8).unwrap().0, 0);
}

#[test]
fn infinity_and_nan_pass_but_a_double_beyond_f32_does_not() {
    let read = |last: f64| {
        let bytes = [1.0, f64::NAN, f64::INFINITY, last].map(f64::to_le_bytes).concat();
        let file = npy_array("<f8", "(2, 2)", &bytes);
        drain(&mut open(&file).unwrap(), 8).map(|(_, batches)| as_f32(&batches))
    };
    let fine = read(3.4e38).unwrap();
    assert!(fine[1].is_nan() && fine[2].is_infinite() && fine[3] == 3.4e38);
    assert!(matches!(read(-3.5e38), Err(Problem::OutOfRange { row: 1, coordinate: 1, value: -3.5e38 })));
}

#[test]
fn truncation_is_seen_when_the_file_is_opened() {
    let mut file = npy_array("<f4", "(3, 2)", &[0; 24]);
    file.pop();
    let (start, end) = (file.len() as u64 + 1 - 8, file.len() as u64 + 1);
    let expected = format!(
        "the file is truncated in row 2: the row needs bytes {start} to {end}, the file ends at byte {}: fetch or write it again",
        end - 1
    );
    assert_eq!(open(&file).err().unwrap().to_string(), expected);
    // A stream, whose length is not known, shows it when the row is read.
    let mut stream = NpyReader::new(file.as_slice(), None).unwrap();
    let mut batch = Batch::default();
    assert_eq!(stream.read(2, &mut batch).unwrap(), 2);
    assert_eq!(stream.read(2, &mut batch).unwrap_err().to_string(), expected);
}

#[test]
fn what_is_not_a_plain_array_is_refused() {
    assert!(matches!(problem(b"PK\x03\x04, an npz"), Problem::Magic { .. }));
    assert!(matches!(problem(b"\x93NUM"), Problem::Magic { .. }));
    assert!(matches!(problem(b"\x93NUMPY\x01\x00\x76"), Problem::Header { .. }));
    assert!(matches!(problem(b"\x93NUMPY\x04\x00\x00\x00"), Problem::Header { .. }));
    assert!(matches!(problem(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"), Problem::Header { .. }));
    assert!(matches!(problem(&npy("{'descr': '<f4'", &[])), Problem::Header { .. }));
    let fortran = "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }";
    assert!(matches!(problem(&npy(fortran, &[0; 8])), Problem::FortranOrder));
    let record = "{'descr': [('x', '<f4'), ('y', '<f4')], 'fortran_order': False, 'shape': (1,), }";
    assert!(matches!(problem(&npy(record, &[0; 8])), Problem::Dtype { .. }));
    let big = problem(&npy_array(">f4", "(1, 2)", &[0; 8]));
    assert!(matches!(&big, Problem::BigEndian { dtype } if dtype == ">f4"), "{big}");
    for dtype in ["<i4", "<i8", "|b1", "<c8", "<U3", "|O", "|S4"] {
        assert!(matches!(problem(&npy_array(dtype, "(1, 2)", &[0; 16])), Problem::Dtype { .. }), "{dtype}");
    }
    for shape in ["()", "(1, 2, 3)"] {
        assert!(matches!(problem(&npy_array("|u1", shape, &[0; 6])), Problem::Shape { .. }), "{shape}");
    }
    for shape in ["(4, 0)", "(1, 65537)"] {
        assert!(matches!(problem(&npy_array("|u1", shape, &[])), Problem::Dimension { .. }), "{shape}");
    }
    assert!(matches!(
        problem(&npy_array("|u1", "(2, 2)", &[0; 5])),
        Problem::Length { got: 133, expected: 132 }
    ));
}

#[test]
fn headers_that_would_exhaust_the_parser_are_refused() {
    let nested = format!("({}1{})", "(".repeat(400), ",)".repeat(400));
    for shape in
        [nested.as_str(), "(4294967296, 4294967296)", "(0xffffffffffffffff, 8)", "(1, 1_0)", "('\\x41', 1)"]
    {
        assert!(matches!(problem(&npy_array("|u1", shape, &[])), Problem::Header { .. }), "{shape}");
    }
}

#[test]
fn a_promise_of_many_rows_allocates_nothing_before_they_are_there() {
    let file = npy_array("<f4", "(1099511627776, 65536)", &[0; 8]);
    let mut stream = NpyReader::new(file.as_slice(), None).unwrap();
    assert!(matches!(stream.read(usize::MAX, &mut Batch::default()), Err(Problem::Truncated { row: 0, .. })));
}
