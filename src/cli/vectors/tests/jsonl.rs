use super::super::{Batch, JsonlReader, Key, Problem, RowReader, Values};
use super::drain;

fn read(text: &str) -> Result<Batch, Problem> {
    let mut batch = Batch::default();
    JsonlReader::new(text.as_bytes())?.read(100, &mut batch)?;
    Ok(batch)
}

fn message(text: &str) -> String {
    read(text).expect_err("the text should be refused").to_string()
}

#[test]
fn vectors_keys_and_payloads() {
    let text = concat!(
        "{\"vector\": [1, -2.5e-1], \"key\": \"a\\u00e9\", \"payload\": { \"n\" : 1.50, \"a\":[ 1,\t2 ], \"t\": \" \\\" x\\\\\" }}\r\n",
        "\n",
        "  {\"payload\": \"two words\", \"key\": 18446744073709551615, \"vector\": [0.1,1e38]}\n",
        "{\"key\": \"c\", \"vector\": [0, 0], \"payload\": null}",
    );
    let batch = read(text).unwrap();
    assert_eq!(batch.values, Values::F32(vec![1.0, -0.25, 0.1, 1e38, 0.0, 0.0]));
    assert_eq!(batch.keys, [Key::Text("aé".into()), Key::Integer(u64::MAX), Key::Text("c".into())]);
    let payload = r#"{"n":1.50,"a":[1,2],"t":" \" x\\"}"#;
    assert_eq!(batch.payloads, [Some(payload.into()), Some("two words".into()), None]);
}

#[test]
fn batches_of_any_size_give_the_same_rows() {
    let text: String = (0..7).map(|row| format!("{{\"vector\":[{row}]}}\n")).collect();
    for max_rows in [1, 3, 7, 8] {
        let mut reader = JsonlReader::new(text.as_bytes()).unwrap();
        assert_eq!((reader.dim(), reader.rows()), (1, None));
        let (rows, batches) = drain(&mut reader, max_rows).unwrap();
        assert_eq!(rows, 7);
        assert_eq!(super::as_f32(&batches), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(batches.iter().all(|batch| batch.keys.is_empty()));
        assert_eq!(reader.offset(), text.len() as u64);
    }
}

#[test]
fn a_bad_line_is_named_by_its_number() {
    let good = "{\"vector\":[1,2]}\n\n";
    let cases = [
        ("{\"vector\":[1,2]", "line 3: EOF while parsing an object at column 15;"),
        ("{\"vector\":[1,\"2\"]}", "line 3: invalid type: string \"2\", expected f64 at column 16;"),
        ("{\"vector\":[1,1e39]}", "line 3: coordinate 1 is 1e39, beyond the range of f32"),
        ("{\"vector\":[1,1e999]}", "line 3: number out of range"),
        ("{\"vector\":[1,NaN]}", "line 3: expected value"),
        ("{\"vektor\":[1,2]}", "line 3: unknown field `vektor`, expected one of `vector`, `key`, `payload`"),
        ("{\"key\":\"a\"}", "line 3: missing field `vector`"),
        ("{\"vector\":[1,2],\"key\":-1}", "line 3: invalid type: integer `-1`, expected a key: a string"),
        (
            "{\"vector\":[1,2],\"key\":1.5}",
            "line 3: invalid type: floating point `1.5`, expected a key: a string",
        ),
        ("[1,2]", "line 3: "),
        ("{\"vector\":[1,2]} x", "line 3: trailing characters at column 18"),
        ("{\"vector\":[1]}", "line 3 has 1 coordinates, expected 2 as on line 1"),
        ("{\"vector\":[1,2],\"key\":\"a\"}", "line 3 has a key, though line 1 has none"),
    ];
    for (line, expected) in cases {
        let got = message(&format!("{good}{line}"));
        assert!(got.starts_with(expected), "{line}: {got}");
    }
    let got = message("{\"vector\":[1],\"key\":1}\n{\"vector\":[2]}");
    assert!(got.starts_with("line 2 has no key, though line 1 has one"), "{got}");
}

#[test]
fn files_without_a_row_or_a_coordinate() {
    assert!(matches!(read(""), Err(Problem::Empty)));
    assert!(matches!(read(" \n\n"), Err(Problem::Empty)));
    assert!(matches!(read("{\"vector\":[]}"), Err(Problem::Dimension { got: 0, .. })));
}

#[test]
fn deeply_nested_payloads_do_not_exhaust_the_stack() {
    let deep = "[".repeat(100_000);
    assert!(message(&format!("{{\"vector\":[1],\"payload\":{deep}}}")).starts_with("line 1: "));
}
