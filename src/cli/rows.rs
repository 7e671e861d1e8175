//! The types of rows that the command line handles: keys that are numbers or texts, payloads that are texts or absent.

use std::fmt::Display;

use redb::Value;
use redknot::CollectionInfo;
use serde::Serialize;

use super::error::CliError;
use super::vectors;

/// Key types, as options spell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KeyType {
    /// Whole numbers from 0 to 2^64 - 1, such as row numbers.
    U64,
    /// Texts.
    Str,
}

impl KeyType {
    /// The name that options and `info` use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::U64 => "u64",
            Self::Str => "str",
        }
    }
}

/// Payload types, as options spell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PayloadType {
    /// A text for each row, which may be empty.
    Text,
    /// Nothing.
    None,
}

/// A key type of the command line.
pub(crate) trait RowKey: redknot::Key<Owned: Serialize + Display> {
    /// What keys are, for messages.
    const EXPECTED: &'static str;

    /// The key that a user writes as `text`.
    fn parse(text: &str) -> Result<Self::Owned, CliError>;

    /// The key as a file spells it.
    fn from_file(key: vectors::Key) -> Result<Self::Owned, CliError>;

    /// The key of a row that is known by its number only; `None` for types without numbers.
    fn from_row_number(row: u64) -> Option<Self::Owned>;

    /// The number of the row that has this key, where row numbers are keys.
    fn row_number(key: &Self::Owned) -> Option<u64>;
}

impl RowKey for u64 {
    const EXPECTED: &'static str = "whole numbers from 0 to 2^64 - 1";

    fn parse(text: &str) -> Result<u64, CliError> {
        text.trim().parse().map_err(|_| CliError::Key { key: text.to_owned(), expected: Self::EXPECTED })
    }

    fn from_file(key: vectors::Key) -> Result<u64, CliError> {
        match key {
            vectors::Key::Integer(number) => Ok(number),
            vectors::Key::Text(text) => Self::parse(&text),
        }
    }

    fn from_row_number(row: u64) -> Option<u64> {
        Some(row)
    }

    fn row_number(key: &u64) -> Option<u64> {
        Some(*key)
    }
}

impl RowKey for &'static str {
    const EXPECTED: &'static str = "texts";

    fn parse(text: &str) -> Result<String, CliError> {
        Ok(text.to_owned())
    }

    fn from_file(key: vectors::Key) -> Result<String, CliError> {
        match key {
            vectors::Key::Text(text) => Ok(text),
            vectors::Key::Integer(number) => {
                Err(CliError::Key { key: number.to_string(), expected: Self::EXPECTED })
            }
        }
    }

    fn from_row_number(_row: u64) -> Option<String> {
        None
    }

    fn row_number(_key: &String) -> Option<u64> {
        None
    }
}

/// A payload type of the command line.
pub(crate) trait RowPayload: Value + 'static {
    /// The payloads of `rows` rows of a file, of which `texts` has one each, or none at all.
    fn column(texts: &[Option<String>], rows: usize) -> Result<Vec<Self::SelfType<'_>>, CliError>;

    /// The payload as a text, where there is one.
    fn text(value: &Self::SelfType<'_>) -> Option<String>;
}

impl RowPayload for () {
    fn column(texts: &[Option<String>], _rows: usize) -> Result<Vec<()>, CliError> {
        if texts.iter().any(Option::is_some) { Err(CliError::NoPayloads) } else { Ok(Vec::new()) }
    }

    fn text(_value: &()) -> Option<String> {
        None
    }
}

impl RowPayload for &'static str {
    fn column(texts: &[Option<String>], rows: usize) -> Result<Vec<&str>, CliError> {
        let texts = texts.iter().map(|text| text.as_deref().unwrap_or_default());
        Ok(texts.chain(std::iter::repeat("")).take(rows).collect())
    }

    fn text(value: &&str) -> Option<String> {
        Some((*value).to_owned())
    }
}

/// Work on a collection whose types are known at run time only.
pub(crate) trait OnRows {
    /// What the work yields.
    type Output;

    /// Does the work.
    fn run<K: RowKey, P: RowPayload>(self) -> Result<Self::Output, CliError>;
}

/// Does `work` with given types.
pub(crate) fn with_types<W: OnRows>(
    key: KeyType,
    payload: PayloadType,
    work: W,
) -> Result<W::Output, CliError> {
    match (key, payload) {
        (KeyType::U64, PayloadType::Text) => work.run::<u64, &'static str>(),
        (KeyType::U64, PayloadType::None) => work.run::<u64, ()>(),
        (KeyType::Str, PayloadType::Text) => work.run::<&'static str, &'static str>(),
        (KeyType::Str, PayloadType::None) => work.run::<&'static str, ()>(),
    }
}

/// Does `work` with the types of the collection that `info` describes.
pub(crate) fn with_types_of<W: OnRows>(info: &CollectionInfo, work: W) -> Result<W::Output, CliError> {
    let (key, payload) = types_of(info)?;
    with_types(key, payload, work)
}

/// The types of the collection that `info` describes; fails for those that the command line does not handle.
pub(crate) fn types_of(info: &CollectionInfo) -> Result<(KeyType, PayloadType), CliError> {
    let unknown = |what, found: &str, handled| CliError::Type {
        name: info.name.clone(),
        what,
        found: found.to_owned(),
        handled,
    };
    let key = match info.key_type.as_str() {
        name if name == <u64 as redknot::Key>::type_name() => KeyType::U64,
        name if name == <&'static str as redknot::Key>::type_name() => KeyType::Str,
        other => return Err(unknown("keys", other, "u64 and str")),
    };
    let payload = match info.value_type.as_str() {
        name if name == <&str as Value>::type_name().name() => PayloadType::Text,
        name if name == <() as Value>::type_name().name() => PayloadType::None,
        other => return Err(unknown("payloads", other, "&str and ()")),
    };
    Ok((key, payload))
}
