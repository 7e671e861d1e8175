//! Why a vector was refused.

use crate::element::Element;

/// Why a vector was refused. Nothing has changed when this is returned.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// The vector has another number of coordinates than the collection.
    #[error("the vector has {got} coordinates, the collection has {expected}: pass a vector of {expected}")]
    WrongDimension {
        /// Coordinates of the collection's vectors.
        expected: usize,
        /// Coordinates of this one; of packed bits, as many as its bytes hold.
        got: usize,
    },
    /// A coordinate is NaN or infinite.
    #[error("coordinate {index} is {value}: coordinates must be finite; replace it or leave the vector out")]
    NotFinite {
        /// Which coordinate.
        index: usize,
        /// What it is.
        value: f32,
    },
    /// The vector is so long that distances to it would exceed f32.
    #[error("the vector is longer than 9e18, so distances to it exceed f32: scale the vectors down")]
    TooLong,
    /// Under cosine, a vector of zeros, or one too short to tell from it.
    #[error(
        "the vector is zero, or too short to have a direction, which cosine needs: leave it out or use another metric"
    )]
    ZeroVector,
    /// A coordinate does not fit the collection's element type.
    #[error(
        "coordinate {index} is {value}, which {element} cannot hold: it holds {}; scale the vectors or use another element type",
        holds(*element)
    )]
    NotRepresentable {
        /// Which coordinate.
        index: usize,
        /// What it is.
        value: f32,
        /// What it should have become.
        element: Element,
    },
    /// Packed bits past the last coordinate are set.
    #[error(
        "bits past coordinate {dim} are set: clear the upper bits of the last byte, or check the bit order"
    )]
    StrayBits {
        /// Coordinates of the collection's vectors.
        dim: usize,
    },
}

/// What an element type can hold, in words.
fn holds(element: Element) -> &'static str {
    match element {
        Element::F32 | Element::BF16 => "finite numbers",
        Element::F16 => "numbers of -65504 to 65504",
        Element::I8 => "whole numbers of -128 to 127",
        Element::U8 => "whole numbers of 0 to 255",
        Element::Bits => "0 and 1",
    }
}
