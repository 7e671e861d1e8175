//! Bad arguments.

use redb::TableDefinition;
use redknot::{
    CollectionDefinition, CollectionMut, Element, Error, MAX_KEY_BYTES, Metric, Result, VectorError,
};

use crate::sample::{DIM, DOCS, ROWS, WORDS, content, sample, vector};

/// The error of a call, whose message must have these parts.
fn refused<T>(result: Result<T>, parts: &[&str]) -> Error {
    let error = result.err().expect("it should be refused");
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    error
}

/// Bad calls on collections; each is refused, and a commit of what is left changes nothing.
fn in_transaction(
    calls: impl FnOnce(&mut CollectionMut<'_, u64, &'static str>),
    more: impl FnOnce(&mut CollectionMut<'_, &'static str, ()>),
) {
    let (_folder, _path, db) = sample();
    let before = content(&db);
    let mut txn = db.begin_write().unwrap();
    calls(&mut txn.open_collection(DOCS).unwrap());
    more(&mut txn.open_collection(WORDS).unwrap());
    txn.commit().unwrap();
    assert_eq!(content(&db), before);
}

#[test]
fn vectors_of_another_dimension() {
    in_transaction(
        |docs| {
            for bad in [&[][..], &[1.0; 3], &[1.0; 5], &[1.0; 400]] {
                let parts = [bad.len().to_string(), DIM.to_string(), "pass a vector of 4".into()];
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                // A new key and one that is there.
                for key in [1, 1000] {
                    let error = refused(docs.insert(key, bad, "new"), &parts);
                    assert!(matches!(error, Error::Vector(VectorError::WrongDimension { .. })), "{error:?}");
                }
                refused(docs.search(bad).run(), &parts);
                refused(docs.search(bad).exact().run(), &parts);
            }
        },
        |words| drop(refused(words.insert("word 1", &[1_i8; 3], ()), &["3", "4"])),
    );
}

#[test]
fn coordinates_that_are_no_numbers() {
    in_transaction(
        |docs| {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let vector = [0.0, 0.0, bad, 0.0];
                let error =
                    refused(docs.insert(1, &vector, "new"), &["coordinate 2", "finite", "replace it"]);
                assert!(matches!(error, Error::Vector(VectorError::NotFinite { index: 2, .. })), "{error:?}");
                refused(docs.search(&vector).run(), &["coordinate 2"]);
                refused(
                    docs.import(&[1000, 1001], &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, bad, 0.0], &["a", "b"]),
                    &["finite"],
                );
            }
            let error = refused(docs.insert(1, &[3e38; 4], "new"), &["scale the vectors down"]);
            assert!(matches!(error, Error::Vector(VectorError::TooLong)), "{error:?}");
        },
        |words| drop(refused(words.search(&[f32::NAN; 4]).run(), &["NaN"])),
    );
}

#[test]
fn vectors_without_a_direction_under_cosine() {
    in_transaction(
        |docs| assert_eq!(docs.search(&[0.0; 4]).k(1).run().unwrap().hits.len(), 1),
        |words| {
            for bad in [[0.0; 4], [1e-30; 4]] {
                for key in ["word 1", "new"] {
                    let error = refused(words.insert(key, &bad, ()), &["zero", "cosine", "leave it out"]);
                    assert!(matches!(error, Error::Vector(VectorError::ZeroVector)), "{error:?}");
                }
                refused(words.search(&bad).run(), &["zero"]);
            }
            refused(words.import(&["a", "b"], &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], &[]), &["zero"]);
        },
    );
}

#[test]
fn keys_that_are_empty_or_too_long() {
    let long = "x".repeat(MAX_KEY_BYTES + 1);
    in_transaction(
        |_| {},
        |words| {
            let error = refused(words.insert("", &vector(1), ()), &["empty", "1 to 4096 bytes"]);
            assert!(matches!(error, Error::EmptyKey));
            let error = refused(words.insert(&long, &vector(1), ()), &["4097", "4096", "use a shorter key"]);
            assert!(matches!(error, Error::KeyTooLong { got: 4097, limit: 4096 }));
            for bad in ["", &long] {
                assert!(words.remove(bad).is_err());
                assert!(words.get(bad).is_err());
                assert!(words.vector(bad).is_err());
                assert!(words.contains(bad).is_err());
                // The last of several: those before it must not stay.
                assert!(words.import(&["new", bad], &[1.0; 8], &[]).is_err());
            }
        },
    );
    let (_folder, _path, db) = sample();
    let mut txn = db.begin_write().unwrap();
    let longest = "x".repeat(MAX_KEY_BYTES);
    txn.open_collection(WORDS).unwrap().insert(&longest, &vector(1), ()).unwrap();
    txn.commit().unwrap();
    assert!(db.begin_read().unwrap().open_collection(WORDS).unwrap().contains(&longest).unwrap());
    assert_eq!(db.verify().unwrap().findings, []);
}

#[test]
fn counts_that_do_not_match() {
    in_transaction(
        |docs| {
            let error =
                refused(docs.import(&[1000, 1001], &[1.0; 12], &["a", "b"]), &["expected 2", "got 3"]);
            assert!(matches!(error, Error::WrongCount { what: "vectors", .. }), "{error:?}");
            refused(docs.import(&[1000, 1001], &[1.0; 4], &["a", "b"]), &["expected 2", "got 1"]);
            refused(docs.import(&[1000, 1001], &[1.0; 7], &["a", "b"]), &["3"]);
            let error = refused(docs.import(&[1000, 1001], &[1.0; 8], &["a"]), &["expected 2", "got 1"]);
            assert!(matches!(error, Error::WrongCount { what: "values", .. }), "{error:?}");
            refused(docs.import(&[1000, 1001], &[1.0; 8], &[]), &["expected 2", "got 0"]);
        },
        |_| {},
    );
}

#[test]
fn parameters_of_a_query() {
    let (_folder, _path, db) = sample();
    let docs = db.begin_read().unwrap().open_collection(DOCS).unwrap();
    let query = vector(3);
    for k in [0, redknot::MAX_K + 1, usize::MAX] {
        let error = refused(docs.search(&query).k(k).run(), &["k = ", "1 to 1048576"]);
        assert!(matches!(error, Error::InvalidParameter { name: "k", .. }));
        refused(docs.search(&query).k(k).exact().run(), &["k = "]);
        refused(docs.search_batch(&[query]).k(k).run(), &["k = "]);
    }
    for ef in [0, redknot::MAX_K + 1, usize::MAX] {
        refused(docs.search(&query).ef(ef).run(), &["ef = ", "1 to 1048576"]);
    }
    refused(docs.search(&query).within(f32::NAN).run(), &["within = NaN"]);
    let k = redknot::MAX_K;
    assert_eq!(docs.search(&query).k(k).run().unwrap().hits.len() as u64, ROWS);
    assert_eq!(docs.search(&query).ef(redknot::MAX_K).run().unwrap().hits.len(), 10);
    assert_eq!(docs.search(&query).within(f32::NEG_INFINITY).run().unwrap().hits, []);
}

#[test]
fn collections_that_do_not_exist() {
    const NONE: CollectionDefinition<u64, &str> = CollectionDefinition::new("none", DIM, Metric::L2);
    let (_folder, _path, db) = sample();
    let before = content(&db);
    let parts = ["\"none\"", "docs", "words"];
    let read = db.begin_read().unwrap();
    let error = refused(read.open_collection(NONE), &parts);
    assert!(matches!(error, Error::UnknownCollection { .. }));
    refused(read.open_collection_named::<u64, &str>("none"), &parts);
    refused(db.build(NONE).run(), &parts);
    refused(db.build_named("none").run(), &parts);
    let mut txn = db.begin_write().unwrap();
    refused(txn.open_collection_named::<u64, &str>("none"), &parts);
    assert!(!txn.delete_collection("none").unwrap());
    txn.commit().unwrap();
    drop(read);
    assert_eq!(content(&db), before);
}

#[test]
fn definitions_that_say_something_else() {
    fn refuses<K: redknot::Key, V: redb::Value + 'static>(
        definition: CollectionDefinition<'_, K, V>,
        what: &str,
    ) {
        let (_folder, _path, db) = sample();
        let before = content(&db);
        let parts = ["\"docs\"", what, "use the definition it was created with"];
        let error = refused(db.begin_read().unwrap().open_collection(definition), &parts);
        assert!(matches!(error, Error::DefinitionMismatch { .. }), "{error:?}");
        let mut txn = db.begin_write().unwrap();
        refused(txn.open_collection(definition), &parts);
        // Also where it is open already.
        txn.open_collection(DOCS).unwrap();
        refused(txn.open_collection(definition), &parts);
        txn.commit().unwrap();
        assert_eq!(content(&db), before);
    }
    refuses(CollectionDefinition::<u64, &str>::new("docs", 5, Metric::L2), "dim");
    refuses(CollectionDefinition::<u64, &str>::new("docs", DIM, Metric::L1), "metric");
    refuses(DOCS.element(Element::F16), "element");
    refuses(DOCS.m(8), "m");
    refuses(DOCS.ef_construction(100), "ef_construction");
    refuses(DOCS.seed(7), "seed");
    refuses(CollectionDefinition::<i64, &str>::new("docs", DIM, Metric::L2), "key");
    refuses(CollectionDefinition::<u32, &str>::new("docs", DIM, Metric::L2), "key");
    refuses(CollectionDefinition::<&str, &str>::new("docs", DIM, Metric::L2), "key");
    refuses(CollectionDefinition::<u64, &[u8]>::new("docs", DIM, Metric::L2), "str");
    refuses(CollectionDefinition::<u64, ()>::new("docs", DIM, Metric::L2), "()");
}

#[test]
fn parameters_of_a_definition() {
    let (_folder, _path, db) = sample();
    let before = content(&db);
    let new = |dim, metric| CollectionDefinition::<u64, ()>::new("new", dim, metric);
    let bad = [
        (new(0, Metric::L2), "dim is 0, expected 1 to 65536"),
        (new(65_537, Metric::L2), "dim is 65537, expected 1 to 65536"),
        (new(8, Metric::L2).m(1), "m is 1, expected 2 to 128"),
        (new(8, Metric::L2).m(129), "m is 129, expected 2 to 128"),
        (new(8, Metric::L2).ef_construction(0), "ef_construction is 0, expected 1 to 65536"),
        (new(8, Metric::Hamming), "hamming is not defined over f32: use hamming with bits"),
        (new(8, Metric::L2).element(Element::Bits), "l2 is not defined over bits"),
    ];
    let mut txn = db.begin_write().unwrap();
    for (definition, part) in bad {
        refused(txn.open_collection(definition), &[part]);
    }
    txn.commit().unwrap();
    assert_eq!(content(&db), before);
}

#[test]
fn names_that_nothing_can_have() {
    let (_folder, _path, db) = sample();
    let before = content(&db);
    let long = "x".repeat(256);
    let mut txn = db.begin_write().unwrap();
    for (name, why) in [
        ("", "empty"),
        ("redknot.blocks", "belong to redknot"),
        ("redknot.collections", "belong to redknot"),
        ("redknot.values.docs", "belong to redknot"),
        (&long, "256 bytes, at most 255"),
    ] {
        let error = refused(
            txn.open_collection(CollectionDefinition::<u64, ()>::new(name, DIM, Metric::L2)),
            &[why, "choose another"],
        );
        assert!(matches!(error, Error::InvalidName { .. }));
        // Of a table without a name redb itself allows no definition.
        if !name.is_empty() {
            refused(txn.open_table(TableDefinition::<u64, u64>::new(name)), &[why]);
        }
    }
    txn.commit().unwrap();
    assert_eq!(content(&db), before);
    let read = db.begin_read().unwrap();
    refused(read.open_table(TableDefinition::<u64, u64>::new("redknot.blocks")), &["belong to redknot"]);
}

#[test]
fn bits_past_the_dimension_and_numbers_that_do_not_fit() {
    const BITS: CollectionDefinition<u64, ()> =
        CollectionDefinition::new("bits", 12, Metric::Hamming).element(Element::Bits);
    const BYTES: CollectionDefinition<u64, ()> =
        CollectionDefinition::new("bytes", 2, Metric::L2).element(Element::I8);
    let (_folder, _path, db) = sample();
    let mut txn = db.begin_write().unwrap();
    let mut bits = txn.open_collection(BITS).unwrap();
    refused(bits.insert(1, redknot::VectorRef::Bits(&[0, 0x10]), ()), &["bits past coordinate 12"]);
    refused(bits.insert(1, redknot::VectorRef::Bits(&[0]), ()), &["12"]);
    refused(bits.insert(1, &[0.5; 12], ()), &["coordinate 0", "bits cannot hold"]);
    assert!(bits.is_empty());
    let mut bytes = txn.open_collection(BYTES).unwrap();
    for bad in [128.0, -129.0, 0.5] {
        refused(bytes.insert(1, &[0.0, bad], ()), &["coordinate 1", "i8 cannot hold"]);
    }
    assert!(bytes.is_empty());
}
