//! A small database, and all that it holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use redb::TableDefinition;
use redknot::{CollectionDefinition, Database, Metric, Result};

pub(crate) const DIM: usize = 4;
pub(crate) const ROWS: u64 = 40;
pub(crate) const DOCS: CollectionDefinition<u64, &str> = CollectionDefinition::new("docs", DIM, Metric::L2);
pub(crate) const WORDS: CollectionDefinition<&str, ()> =
    CollectionDefinition::new("words", DIM, Metric::Cosine);
pub(crate) const TABLE: TableDefinition<u64, &str> = TableDefinition::new("table");

pub(crate) fn vector(row: u64) -> [f32; DIM] {
    [row as f32, (row * row % 17) as f32, 1.0, -(row as f32) / 3.0]
}

pub(crate) fn word(row: u64) -> String {
    format!("word {row}")
}

/// Fills an empty database: some rows linked, some imported and not linked.
pub(crate) fn fill(db: &Database) -> Result<()> {
    let mut txn = db.begin_write()?;
    txn.open_table(TABLE)?.insert(1, "one").map_err(|error| redknot::Error::Storage(error.into()))?;
    let mut docs = txn.open_collection(DOCS)?;
    for row in 0..ROWS / 2 {
        docs.insert(row, &vector(row), &word(row))?;
    }
    let keys: Vec<u64> = (ROWS / 2..ROWS).collect();
    let vectors: Vec<f32> = keys.iter().flat_map(|row| vector(*row)).collect();
    let texts: Vec<String> = keys.iter().map(|row| word(*row)).collect();
    let payloads: Vec<&str> = texts.iter().map(String::as_str).collect();
    docs.import(&keys, &vectors, &payloads)?;
    let mut words = txn.open_collection(WORDS)?;
    for row in 0..ROWS {
        words.insert(&word(row), &vector(row), ())?;
    }
    txn.commit()
}

/// A filled database in a folder of its own.
pub(crate) fn sample() -> (tempfile::TempDir, PathBuf, Database) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let db = create(&path);
    (folder, path, db)
}

pub(crate) fn create(path: &Path) -> Database {
    let db = Database::builder().idle_commit(None).create(path).unwrap();
    fill(&db).unwrap();
    db
}

/// Everything that the collections and the table hold.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Content {
    docs: BTreeMap<u64, (Vec<f32>, String)>,
    words: BTreeMap<String, Vec<f32>>,
    table: Option<String>,
    collections: Vec<String>,
}

pub(crate) fn content(db: &Database) -> Content {
    let read = db.begin_read().unwrap();
    let docs = read.open_collection(DOCS).unwrap();
    let words = read.open_collection(WORDS).unwrap();
    let table = read.open_table(TABLE).unwrap();
    let content = Content {
        docs: docs
            .keys()
            .unwrap()
            .into_iter()
            .map(|key| {
                let payload = docs.get(key).unwrap().unwrap().value().to_owned();
                (key, (docs.vector(key).unwrap().unwrap(), payload))
            })
            .collect(),
        words: words
            .keys()
            .unwrap()
            .into_iter()
            .map(|key| {
                let vector = words.vector(&key).unwrap().unwrap();
                (key, vector)
            })
            .collect(),
        table: table.get(1).unwrap().map(|text| text.value().to_owned()),
        collections: db.collections().unwrap().into_iter().map(|info| info.name).collect(),
    };
    assert_eq!(content.docs.len() as u64, docs.len());
    assert_eq!(db.verify().unwrap().findings, []);
    content
}
