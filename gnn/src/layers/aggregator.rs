//! How the messages into a node become one row.

use super::attention::{Attention, Buffers};
use super::lstm::{Lstm, States};
use super::model::Parameters;
use super::vector::{Table, add_rows, add_scaled, dots, maximum, softmax};
use super::{GnnError, Weights};

/// An aggregator, and the shapes of what it was trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AggregatorDescription {
    /// The sum.
    Sum,
    /// The mean.
    Mean,
    /// The largest number by component.
    Max,
    /// The smallest number by component.
    Min,
    /// The last state of a `torch.nn.LSTM` that reads the messages in the graph's order, without padding.
    /// Parameters: `lstm.weight_ih_l0`, `lstm.weight_hh_l0`, `lstm.bias_ih_l0`, `lstm.bias_hh_l0`.
    Lstm {
        /// Numbers in a message.
        width: usize,
        /// Numbers in its state.
        hidden: usize,
    },
    /// `torch.nn.MultiheadAttention` of one trained row, `seed`, over the messages (the pooling by attention of Set
    /// Transformer: Lee et al., ICML 2019). Parameters: `seed [width]`, `attention.in_proj_weight`,
    /// `attention.in_proj_bias`, `attention.out_proj.weight`, `attention.out_proj.bias`.
    Attention {
        /// Numbers in a message.
        width: usize,
        /// Heads, a divisor of the width.
        heads: usize,
    },
    /// Set2Set (Vinyals, Bengio & Kudlur, ICLR 2016), `2 × width` numbers. Parameters: those of an LSTM of
    /// `2 × width` numbers whose state has `width`.
    Set2Set {
        /// Numbers in a message.
        width: usize,
        /// Steps.
        steps: usize,
    },
}

impl AggregatorDescription {
    /// Names and shapes of its parameters.
    #[must_use]
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let lstm = |input: usize, hidden: usize| {
            vec![
                ("lstm.weight_ih_l0".to_owned(), vec![4 * hidden, input]),
                ("lstm.weight_hh_l0".to_owned(), vec![4 * hidden, hidden]),
                ("lstm.bias_ih_l0".to_owned(), vec![4 * hidden]),
                ("lstm.bias_hh_l0".to_owned(), vec![4 * hidden]),
            ]
        };
        match *self {
            Self::Sum | Self::Mean | Self::Max | Self::Min => Vec::new(),
            Self::Lstm { width, hidden } => lstm(width, hidden),
            Self::Set2Set { width, .. } => lstm(2 * width, width),
            Self::Attention { width, .. } => vec![
                ("seed".to_owned(), vec![width]),
                ("attention.in_proj_weight".to_owned(), vec![3 * width, width]),
                ("attention.in_proj_bias".to_owned(), vec![3 * width]),
                ("attention.out_proj.weight".to_owned(), vec![width, width]),
                ("attention.out_proj.bias".to_owned(), vec![width]),
            ],
        }
    }

    fn check(&self) -> Result<(), GnnError> {
        let wrong = |name, got: usize, expected: &str| {
            Err(GnnError::Config { name, got: got.to_string(), expected: expected.to_owned() })
        };
        match *self {
            Self::Lstm { width, hidden } if width == 0 || hidden == 0 => {
                wrong("lstm", width.min(hidden), "a width and a state of 1 or more")
            }
            Self::Attention { width, heads } if heads == 0 || width == 0 || !width.is_multiple_of(heads) => {
                wrong("heads", heads, &format!("a divisor of the width, {width}"))
            }
            Self::Set2Set { width, steps } if width == 0 || !(1..=64).contains(&steps) => {
                wrong("steps", steps, "1 to 64, for a width of 1 or more")
            }
            _ => Ok(()),
        }
    }
}

/// An aggregator with its weights.
#[derive(Debug, Clone)]
pub struct Aggregator {
    description: AggregatorDescription,
    parts: Parts,
}

#[derive(Debug, Clone)]
enum Parts {
    None,
    Lstm(Lstm),
    Attention { seed: Vec<f32>, attention: Box<Attention> },
}

/// What a thread keeps from node to node.
#[derive(Debug, Default)]
pub struct AggregatorScratch {
    states: States,
    buffers: Buffers,
    order: Vec<u32>,
    shares: Vec<f32>,
    cell: Vec<f32>,
    query: Vec<f32>,
}

impl Aggregator {
    /// The aggregator of a description and its weights, which are loaded, never invented.
    ///
    /// # Errors
    /// [`GnnError::Config`] for shapes that do not fit; missing, unknown, misshapen or infinite parameters.
    pub fn new(description: &AggregatorDescription, weights: &Weights) -> Result<Self, GnnError> {
        description.check()?;
        weights.check_names(description.parameters())?;
        let parameters = Parameters { weights, prefix: String::new() };
        let lstm = |input, hidden| {
            let get = |name: &str| parameters.get(&format!("lstm.{name}_l0"));
            Ok::<_, GnnError>(Lstm::of(
                [get("weight_ih")?, get("weight_hh")?, get("bias_ih")?, get("bias_hh")?],
                input,
                hidden,
            ))
        };
        let parts = match *description {
            AggregatorDescription::Lstm { width, hidden } => Parts::Lstm(lstm(width, hidden)?),
            AggregatorDescription::Set2Set { width, .. } => Parts::Lstm(lstm(2 * width, width)?),
            AggregatorDescription::Attention { width, heads } => Parts::Attention {
                seed: parameters.get("seed")?.to_vec(),
                attention: Box::new(Attention::new("attention", heads, width, &parameters)?),
            },
            _ => Parts::None,
        };
        Ok(Self { description: *description, parts })
    }

    /// Numbers in the row that messages of `width` numbers become.
    ///
    /// # Errors
    /// [`GnnError::Shape`] for messages of another width than it was trained for.
    pub fn output_width(&self, width: usize) -> Result<usize, GnnError> {
        let (expected, output) = match self.description {
            AggregatorDescription::Lstm { width, hidden } => (width, hidden),
            AggregatorDescription::Attention { width, .. } => (width, width),
            AggregatorDescription::Set2Set { width, .. } => (width, 2 * width),
            _ => return Ok(width),
        };
        if width == expected {
            return Ok(output);
        }
        Err(GnnError::Shape { what: "numbers in a message", expected, got: width })
    }

    /// Writes what `messages`, rows of `width` numbers, become into `out`, which is [`Aggregator::output_width`] long.
    /// Without messages these are zeros, except for Set2Set, whose LSTM takes its steps all the same.
    pub fn aggregate(
        &self,
        messages: &[f32],
        width: usize,
        scratch: &mut AggregatorScratch,
        out: &mut [f32],
    ) {
        match (&self.parts, self.description) {
            (Parts::None, description) => pool(description, messages, width, out),
            (Parts::Lstm(lstm), AggregatorDescription::Set2Set { steps, .. }) => {
                set2set(lstm, steps, messages, scratch, out);
            }
            (Parts::Lstm(lstm), _) => lstm.last(messages, &mut scratch.states, out),
            (Parts::Attention { seed, attention }, _) => {
                out.fill(0.0);
                if !messages.is_empty() {
                    scratch.number(messages.len() / width);
                    attention.ask(seed, &mut scratch.buffers);
                    let table = Table { numbers: messages, stride: width, first: 0 };
                    attention.attend(0, table, &scratch.order, &mut scratch.buffers);
                    attention.add_found(&mut scratch.buffers, out);
                }
            }
        }
    }
}

impl AggregatorScratch {
    /// The numbers of the messages, as sources of a table.
    fn number(&mut self, messages: usize) {
        self.order.clear();
        self.order.extend(0..messages as u32);
    }
}

fn pool(description: AggregatorDescription, messages: &[f32], width: usize, out: &mut [f32]) {
    let mut rows = messages.chunks_exact(width);
    let Some(first) = rows.next() else {
        out.fill(0.0);
        return;
    };
    out.copy_from_slice(first);
    match description {
        AggregatorDescription::Max => rows.for_each(|row| maximum(out, row)),
        AggregatorDescription::Min => {
            for row in rows {
                out.iter_mut().zip(row).for_each(|(least, &number)| *least = least.min(number));
            }
        }
        _ => rows.for_each(|row| add_scaled(out, 1.0, row)),
    }
    if description == AggregatorDescription::Mean {
        let scale = width as f32 / messages.len() as f32;
        out.iter_mut().for_each(|number| *number *= scale);
    }
}

/// `out` is what the original calls q*: the state of the LSTM, and what it found among the messages.
fn set2set(lstm: &Lstm, steps: usize, messages: &[f32], scratch: &mut AggregatorScratch, out: &mut [f32]) {
    let width = lstm.width();
    scratch.number(messages.len() / width);
    let AggregatorScratch { states, order, shares, cell, query, .. } = scratch;
    for state in [&mut *cell, query] {
        state.clear();
        state.resize(width, 0.0);
    }
    shares.resize(order.len(), 0.0);
    out.fill(0.0);
    let table = Table { numbers: messages, stride: width, first: 0 };
    for _ in 0..steps {
        lstm.step(out, states, cell, query);
        dots(query, table, order, shares);
        softmax(shares);
        let (state, found) = out.split_at_mut(width);
        state.copy_from_slice(query);
        found.fill(0.0);
        add_rows(found, table, order, shares);
    }
}
