//! What the rows of a collection are named by.

use std::fmt::Debug;

/// Longest key in bytes.
pub const MAX_KEY_BYTES: usize = 4096;

/// A type of keys. The bytes of a key order as the keys do, so that a collection iterates in key order.
///
/// Implemented for the unsigned and signed integers, `&str`, `&[u8]` and `[u8; N]`.
pub trait Key: 'static {
    /// A key as it is handed in.
    type Ref<'a>: Copy + Debug;
    /// A key as a result holds it.
    type Owned: Clone + Debug + Ord + Send + Sync + 'static;

    /// Name of the type in the file; a collection opens with the type it was created with.
    fn type_name() -> String;

    /// Bytes of every key, or `None` where they differ from key to key.
    fn width() -> Option<usize>;

    /// Appends the bytes of `key`.
    fn encode(key: Self::Ref<'_>, out: &mut Vec<u8>);

    /// The key of these bytes, or `None` where they are of no key.
    fn decode(bytes: &[u8]) -> Option<Self::Owned>;

    /// The key as it is handed in.
    fn borrow(key: &Self::Owned) -> Self::Ref<'_>;

    /// How messages show the key.
    fn show(key: Self::Ref<'_>) -> String {
        format!("{key:?}")
    }
}

macro_rules! unsigned {
    ($($int:ty),*) => {$(
        impl Key for $int {
            type Ref<'a> = $int;
            type Owned = $int;

            fn type_name() -> String {
                stringify!($int).into()
            }

            fn width() -> Option<usize> {
                Some(size_of::<$int>())
            }

            fn encode(key: $int, out: &mut Vec<u8>) {
                out.extend_from_slice(&key.to_be_bytes());
            }

            fn decode(bytes: &[u8]) -> Option<$int> {
                Some(<$int>::from_be_bytes(bytes.try_into().ok()?))
            }

            fn borrow(key: &$int) -> $int {
                *key
            }
        }
    )*};
}
unsigned!(u8, u16, u32, u64, u128);

macro_rules! signed {
    ($($int:ty => $unsigned:ty),*) => {$(
        impl Key for $int {
            type Ref<'a> = $int;
            type Owned = $int;

            fn type_name() -> String {
                stringify!($int).into()
            }

            fn width() -> Option<usize> {
                Some(size_of::<$int>())
            }

            // With the sign bit flipped, the order of the bytes is that of the numbers.
            fn encode(key: $int, out: &mut Vec<u8>) {
                out.extend_from_slice(&((key as $unsigned) ^ (<$int>::MIN as $unsigned)).to_be_bytes());
            }

            fn decode(bytes: &[u8]) -> Option<$int> {
                let flipped = <$unsigned>::from_be_bytes(bytes.try_into().ok()?);
                Some((flipped ^ (<$int>::MIN as $unsigned)) as $int)
            }

            fn borrow(key: &$int) -> $int {
                *key
            }
        }
    )*};
}
signed!(i8 => u8, i16 => u16, i32 => u32, i64 => u64, i128 => u128);

impl Key for &'static str {
    type Ref<'a> = &'a str;
    type Owned = String;

    fn type_name() -> String {
        "str".into()
    }

    fn width() -> Option<usize> {
        None
    }

    fn encode(key: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<String> {
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn borrow(key: &String) -> &str {
        key
    }
}

impl Key for &'static [u8] {
    type Ref<'a> = &'a [u8];
    type Owned = Vec<u8>;

    fn type_name() -> String {
        "[u8]".into()
    }

    fn width() -> Option<usize> {
        None
    }

    fn encode(key: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(key);
    }

    fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
        Some(bytes.to_vec())
    }

    fn borrow(key: &Vec<u8>) -> &[u8] {
        key
    }
}

impl<const N: usize> Key for [u8; N] {
    type Ref<'a> = &'a [u8; N];
    type Owned = [u8; N];

    fn type_name() -> String {
        format!("[u8;{N}]")
    }

    fn width() -> Option<usize> {
        Some(N)
    }

    fn encode(key: &[u8; N], out: &mut Vec<u8>) {
        out.extend_from_slice(key);
    }

    fn decode(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.try_into().ok()
    }

    fn borrow(key: &[u8; N]) -> &[u8; N] {
        key
    }
}

/// The number that the key with these bytes is, if its type (by name) is one of the integers: numbers counted up
/// from zero are kept in an array instead of a tree.
pub(crate) fn number_of(type_name: &str, bytes: &[u8]) -> Option<u64> {
    let signed = match type_name {
        "u8" | "u16" | "u32" | "u64" | "u128" => false,
        "i8" | "i16" | "i32" | "i64" | "i128" => true,
        _ => return None,
    };
    let (first, rest) = bytes.split_first()?;
    // Signed numbers are stored with their sign bit flipped: it is set where they are not negative.
    let first = if signed { first.checked_sub(0x80)? } else { *first };
    rest.iter().try_fold(u64::from(first), |number, byte| {
        (number >> 56 == 0).then_some(number << 8 | u64::from(*byte))
    })
}

/// How messages show the key with these bytes, of which only the name of its type is known.
pub(crate) fn show_bytes(type_name: &str, bytes: &[u8]) -> String {
    match (number_of(type_name, bytes), str::from_utf8(bytes)) {
        (Some(number), _) => number.to_string(),
        (None, Ok(text)) if type_name == <&str>::type_name() => format!("{text:?}"),
        _ => format!("{bytes:02x?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered<K: Key>(keys: &[K::Owned])
    where
        K::Owned: PartialEq,
    {
        let encoded: Vec<Vec<u8>> = keys
            .iter()
            .map(|key| {
                let mut bytes = Vec::new();
                K::encode(K::borrow(key), &mut bytes);
                assert_eq!(K::decode(&bytes).as_ref(), Some(key));
                assert!(K::width().is_none_or(|width| width == bytes.len()));
                bytes
            })
            .collect();
        assert!(encoded.is_sorted(), "{keys:?}");
    }

    #[test]
    fn bytes_order_as_keys_do() {
        ordered::<u64>(&[0, 1, 255, 256, u64::MAX]);
        ordered::<i32>(&[i32::MIN, -256, -1, 0, 1, 256, i32::MAX]);
        ordered::<i128>(&[i128::MIN, -1, 0, i128::MAX]);
        ordered::<&str>(&["a".into(), "ab".into(), "b".into(), "é".into()]);
        ordered::<&[u8]>(&[vec![0], vec![0, 0], vec![1]]);
        ordered::<[u8; 3]>(&[[0, 0, 1], [0, 1, 0]]);
        assert_eq!(<u64 as Key>::decode(&[1, 2]), None);
        assert_eq!(<&str as Key>::decode(&[0xFF]), None);
    }

    #[test]
    fn integers_are_numbers() {
        fn number<K: Key>(key: K::Ref<'_>) -> Option<u64> {
            let mut bytes = Vec::new();
            K::encode(key, &mut bytes);
            number_of(&K::type_name(), &bytes)
        }
        assert_eq!(number::<u64>(u64::MAX), Some(u64::MAX));
        assert_eq!(number::<u8>(200), Some(200));
        assert_eq!(number::<i8>(-1), None);
        assert_eq!(number::<i32>(77), Some(77));
        assert_eq!(number::<u128>(1 << 64), None);
        assert_eq!(number::<u128>(5), Some(5));
        assert_eq!(number::<&str>("5"), None);
    }
}
