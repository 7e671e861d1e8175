use std::path::{Path, PathBuf};

use super::super::{Batch, Key, Problem, VectorFile, VectorFileError};
use super::{f32_bytes, npy_array, vecs};

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Three rows of dimension 2.
fn three_rows(folder: &Path) -> PathBuf {
    write(folder, "base.npy", npy_array("|i1", "(3, 2)", &[1, 2, 3, 4, 5, 6]))
}

fn problem<T>(result: Result<T, VectorFileError>, path: &Path) -> Problem {
    let error = result.err().expect("it should be refused");
    assert!(error.to_string().starts_with(&format!("{}: ", path.display())), "{error}");
    assert_eq!(error.path, path);
    error.problem
}

#[test]
fn every_extension_finds_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("a.npy", npy_array("<f4", "(1, 2)", &f32_bytes(&[1.0, 2.0]))),
        ("a.FVECS", vecs(&[(2, &f32_bytes(&[1.0, 2.0]))])),
        ("a.bvecs", vecs(&[(2, &[1, 2])])),
        ("a.jsonl", b"{\"vector\":[1,2]}".to_vec()),
        ("a.ndjson", b"{\"vector\":[1,2]}\n".to_vec()),
    ];
    for (name, content) in files {
        let path = write(folder.path(), name, &content);
        let mut file = VectorFile::open(&path).unwrap();
        let batch = file.read_all().unwrap();
        assert_eq!(super::as_f32(&[batch]), [1.0, 2.0], "{name}");
        assert_eq!(
            (file.dim(), file.progress_bytes()),
            (2, (content.len() as u64, Some(content.len() as u64)))
        );
    }
}

#[test]
fn the_content_must_be_what_the_extension_says() {
    let folder = tempfile::tempdir().unwrap();
    let array = npy_array("<f4", "(1, 1)", &[0; 4]);
    for name in ["a.fvecs", "a.bvecs", "a.jsonl", "a.txt"] {
        let path = write(folder.path(), name, &array);
        assert!(matches!(problem(VectorFile::open(&path), &path), Problem::Magic { .. }), "{name}");
    }
    let path = write(folder.path(), "text.fvecs", "{\"vector\":[1,2]}");
    assert!(matches!(problem(VectorFile::open(&path), &path), Problem::Dimension { .. }));
    for name in ["table.csv", "ivecs"] {
        let path = write(folder.path(), name, "1,2");
        assert!(matches!(problem(VectorFile::open(&path), &path), Problem::UnknownExtension { .. }));
    }
    let path = folder.path().join("absent.npy");
    assert!(matches!(problem(VectorFile::open(&path), &path), Problem::Io(_)));
}

#[test]
fn keys_and_payloads_from_text_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = three_rows(folder.path());
    let keys = write(folder.path(), "keys.txt", "a\nb\nc\n");
    let payloads = write(folder.path(), "texts.txt", "first\n\nthird row");
    for max_rows in [1, 2, 100] {
        let mut file =
            VectorFile::open(&path).unwrap().with_keys(&keys).unwrap().with_payloads(&payloads).unwrap();
        let (mut all_keys, mut all_payloads, mut batch) = (Vec::new(), Vec::new(), Batch::default());
        while file.read(max_rows, &mut batch).unwrap() > 0 {
            all_keys.append(&mut batch.keys);
            all_payloads.extend(batch.payloads.iter().flatten().cloned());
        }
        assert_eq!(all_keys, ["a", "b", "c"].map(|key| Key::Text(key.into())));
        assert_eq!(all_payloads, ["first", "", "third row"]);
    }
}

#[test]
fn a_wrong_number_of_lines_is_refused_before_the_first_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = three_rows(folder.path());
    for (text, lines) in [("", 0), ("a\nb", 2), ("a\nb\nc\n\n", 4)] {
        let column = write(folder.path(), "keys.txt", text);
        let refused = problem(VectorFile::open(&path).unwrap().with_keys(&column), &column);
        assert!(matches!(refused, Problem::LineCount { expected: 3, got, .. } if got == lines), "{refused}");
        let refused = problem(VectorFile::open(&path).unwrap().with_payloads(&column), &column);
        assert!(matches!(refused, Problem::LineCount { .. }), "{refused}");
    }
    let column = write(folder.path(), "keys.txt", b"a\nb\n\xff\n");
    let refused = problem(VectorFile::open(&path).unwrap().with_keys(&column), &column);
    assert!(matches!(refused, Problem::NotUtf8 { line: 3, offset: 4 }), "{refused}");
}

/// The lines are counted when the file is opened; here they change between that and the reading.
#[test]
fn lines_that_vanish_while_rows_are_read_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = three_rows(folder.path());
    for (text, lines) in [("a\nb\n", 2), ("a\nb\nc\nd\n", 4)] {
        let column = write(folder.path(), "keys.txt", "a\nb\nc\n");
        let mut file = VectorFile::open(&path).unwrap().with_keys(&column).unwrap();
        std::fs::write(&column, text).unwrap();
        let mut batch = Batch::default();
        let result = file.read(9, &mut batch).and_then(|_| file.read(9, &mut batch));
        assert!(
            matches!(problem(result, &column), Problem::LineCount { expected: 3, got, .. } if got == lines)
        );
    }
}

#[test]
fn json_lines_take_no_second_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.jsonl", "{\"vector\":[1]}");
    let keys = write(folder.path(), "keys.txt", "a\n");
    let refused = problem(VectorFile::open(&path).unwrap().with_keys(&keys), &keys);
    assert!(matches!(refused, Problem::ColumnTwice { .. }), "{refused}");
}
