//! The collections that the suites write: key types, payload types, metrics and elements.

use redb::Value;
use redknot::{CollectionDefinition, Element, Key, Metric};

/// A key type with the keys that stand for the numbers 0, 1, 2, …, and a payload type that holds texts.
pub(crate) trait Shape {
    type K: Key;
    type V: Value + 'static;

    fn key(number: u64) -> <Self::K as Key>::Owned;

    fn number(key: &<Self::K as Key>::Owned) -> u64;

    fn payload(text: &str) -> <Self::V as Value>::SelfType<'_>;

    fn text(payload: <Self::V as Value>::SelfType<'_>) -> String;
}

/// Keys counted up from 0, which redknot keeps in an array.
pub(crate) struct Counted;
/// Numbers with gaps, which it keeps in a tree.
pub(crate) struct Gaps;
/// Numbers of which some are negative; no payloads.
pub(crate) struct Signed;
/// Texts of different lengths.
pub(crate) struct Text;
/// Identifiers of 16 bytes.
pub(crate) struct Fixed;

impl Shape for Counted {
    type K = u64;
    type V = &'static str;

    fn key(number: u64) -> u64 {
        number
    }

    fn number(key: &u64) -> u64 {
        *key
    }

    fn payload(text: &str) -> &str {
        text
    }

    fn text(payload: &str) -> String {
        payload.into()
    }
}

impl Shape for Gaps {
    type K = u64;
    type V = &'static [u8];

    fn key(number: u64) -> u64 {
        number * 3 + ((number % 2) << 60)
    }

    fn number(key: &u64) -> u64 {
        (key & ((1 << 60) - 1)) / 3
    }

    fn payload(text: &str) -> &[u8] {
        text.as_bytes()
    }

    fn text(payload: &[u8]) -> String {
        String::from_utf8(payload.into()).unwrap()
    }
}

impl Shape for Signed {
    type K = i64;
    type V = ();

    fn key(number: u64) -> i64 {
        number as i64 - 40
    }

    fn number(key: &i64) -> u64 {
        (key + 40) as u64
    }

    fn payload(_: &str) {}

    fn text((): ()) -> String {
        String::new()
    }
}

impl Shape for Text {
    type K = &'static str;
    type V = &'static str;

    fn key(number: u64) -> String {
        format!("{number} {}", "x".repeat((number % 40) as usize))
    }

    fn number(key: &String) -> u64 {
        key.split(' ').next().unwrap().parse().unwrap()
    }

    fn payload(text: &str) -> &str {
        text
    }

    fn text(payload: &str) -> String {
        payload.into()
    }
}

impl Shape for Fixed {
    type K = [u8; 16];
    type V = &'static [u8];

    fn key(number: u64) -> [u8; 16] {
        let mut key = [7; 16];
        key[4..12].copy_from_slice(&number.to_le_bytes());
        key
    }

    fn number(key: &[u8; 16]) -> u64 {
        u64::from_le_bytes(key[4..12].try_into().unwrap())
    }

    fn payload(text: &str) -> &[u8] {
        text.as_bytes()
    }

    fn text(payload: &[u8]) -> String {
        String::from_utf8(payload.into()).unwrap()
    }
}

/// Which [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShapeOf {
    Counted,
    Gaps,
    Signed,
    Text,
    Fixed,
}

/// Calls a function that is generic over the shape with the shape of a slot.
macro_rules! with_shape {
    ($slot:expr, $function:ident($($argument:expr),*)) => {
        match $slot.shape {
            $crate::support::slot::ShapeOf::Counted => $function::<$crate::support::slot::Counted>($($argument),*),
            $crate::support::slot::ShapeOf::Gaps => $function::<$crate::support::slot::Gaps>($($argument),*),
            $crate::support::slot::ShapeOf::Signed => $function::<$crate::support::slot::Signed>($($argument),*),
            $crate::support::slot::ShapeOf::Text => $function::<$crate::support::slot::Text>($($argument),*),
            $crate::support::slot::ShapeOf::Fixed => $function::<$crate::support::slot::Fixed>($($argument),*),
        }
    };
}
pub(crate) use with_shape;

/// A collection that may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) name: &'static str,
    pub(crate) shape: ShapeOf,
    pub(crate) dim: usize,
    pub(crate) metric: Metric,
    pub(crate) element: Element,
}

impl Slot {
    pub(crate) const fn new(
        name: &'static str,
        shape: ShapeOf,
        dim: usize,
        metric: Metric,
        element: Element,
    ) -> Slot {
        Slot { name, shape, dim, metric, element }
    }

    /// Any of the pairs of a metric and an element that there are, at any shape and a small dimension.
    pub(crate) fn random(name: &'static str, rng: &mut fastrand::Rng) -> Slot {
        use ShapeOf::{Counted, Fixed, Gaps, Signed, Text};
        const METRICS: [Metric; 5] =
            [Metric::L2, Metric::Cosine, Metric::InnerProduct, Metric::L1, Metric::Hamming];
        let metric = METRICS[rng.usize(..METRICS.len())];
        let element = match metric {
            Metric::Hamming => Element::Bits,
            _ => [Element::F32, Element::F16, Element::BF16, Element::I8, Element::U8][rng.usize(..5)],
        };
        let dim = if metric == Metric::Hamming { rng.usize(40..100) } else { rng.usize(3..24) };
        let shape = [Counted, Gaps, Signed, Text, Fixed][rng.usize(..5)];
        Slot { name, shape, dim, metric, element }
    }

    pub(crate) fn definition<S: Shape>(&self) -> CollectionDefinition<'static, S::K, S::V> {
        CollectionDefinition::new(self.name, self.dim, self.metric).element(self.element)
    }

    /// Integers that every element type holds exactly, from a seed: what is read back must be what was written.
    pub(crate) fn vector(&self, seed: u64) -> Vec<f32> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut coordinate = || match self.element {
            Element::Bits => f32::from(rng.u8(..2)),
            Element::U8 => f32::from(rng.u8(..100)),
            _ => f32::from(rng.i8(-60..60)),
        };
        let mut vector: Vec<f32> = (0..self.dim).map(|_| coordinate()).collect();
        if vector.iter().all(|x| *x == 0.0) {
            vector[0] = 1.0;
        }
        vector
    }

    /// What the payload of this slot keeps of a text.
    pub(crate) fn kept(&self, text: String) -> String {
        if self.shape == ShapeOf::Signed { String::new() } else { text }
    }
}
