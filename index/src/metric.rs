//! What "near" means.

use std::fmt;
use std::str::FromStr;

/// How the distance of two vectors is computed. Smaller is nearer for every metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// Squared Euclidean distance, `Σ (a−b)²`.
    L2,
    /// Cosine distance, `1 − a·b / (|a| |b|)`, from 0 to 2. A zero vector has no direction and is refused.
    Cosine,
    /// Negative inner product, `−a·b`, so that the largest product is the nearest.
    InnerProduct,
    /// Manhattan distance, `Σ |a−b|`.
    L1,
    /// Number of differing bits; for [`crate::Element::Bits`] only.
    Hamming,
}

impl Metric {
    /// Every metric, in the order of their codes.
    pub const ALL: [Metric; 5] =
        [Metric::L2, Metric::Cosine, Metric::InnerProduct, Metric::L1, Metric::Hamming];

    /// The number that stands for this metric in the file. It never changes.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Metric::L2 => 1,
            Metric::Cosine => 2,
            Metric::InnerProduct => 3,
            Metric::L1 => 4,
            Metric::Hamming => 5,
        }
    }

    /// The metric that `code` stands for, or `None` for a number this version does not know.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.code() == code)
    }

    /// The name users write, which [`str::parse`] reads back.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Metric::L2 => "l2",
            Metric::Cosine => "cosine",
            Metric::InnerProduct => "ip",
            Metric::L1 => "l1",
            Metric::Hamming => "hamming",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Metric, UnknownName> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name).ok_or_else(|| UnknownName {
            what: "metric",
            got: name.to_owned(),
            known: "l2, cosine, ip, l1, hamming",
        })
    }
}

/// A name that stands for no metric or element type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {got:?}: use one of {known}")]
pub struct UnknownName {
    pub(crate) what: &'static str,
    pub(crate) got: String,
    pub(crate) known: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_read_back() {
        for metric in Metric::ALL {
            assert_eq!(Metric::from_code(metric.code()), Some(metric));
            assert_eq!(metric.name().parse(), Ok(metric));
        }
        assert_eq!(Metric::from_code(0), None);
        let error = "euclid".parse::<Metric>().map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err(r#"unknown metric "euclid": use one of l2, cosine, ip, l1, hamming"#.to_owned())
        );
    }
}
