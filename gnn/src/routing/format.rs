//! A key model as bytes: docs/FORMAT.md, "Key models".

use half::bf16;
use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{F32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::attention::{MAX_HEADS, MAX_LAYERS, MAX_WIDTH};
use super::{Attention, AttentionLayer, KeyModel, ModelError, Slot};

const MAGIC: [u8; 8] = *b"rkkeymdl";
/// The latest version.
const LATEST: u32 = 8;
/// Bytes of the checksum, which ends the model.
const CHECKSUM_BYTES: usize = 8;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    magic: [u8; 8],
    version: U32,
    dim: U32,
    coordinates: U32,
    key_bytes: U32,
    slots: U32,
    query_constant: F32,
    lambda: F32,
    kappa: F32,
    bias_base: F32,
    bias_step: F32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SlotBytes {
    coordinate: U32,
    step: F32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct AttentionHead {
    inputs: U32,
    layers: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct LayerHead {
    heads: U32,
    width: U32,
}

/// What the version of a model says of it. The first programs knew models without attention and ν alone, and wrote every
/// number in four bytes.
#[derive(Clone, Copy)]
struct Version {
    has_attention: bool,
    /// Whether the projections are in bf16.
    is_short: bool,
    /// Whether ν stands behind the head; it is 0 elsewhere.
    has_nu: bool,
}

impl Version {
    fn number(self) -> u32 {
        1 + u32::from(self.has_attention) + 2 * u32::from(self.is_short) + 4 * u32::from(self.has_nu)
    }

    fn of(number: u32) -> Option<Version> {
        let bits = number.checked_sub(1).filter(|_| number <= LATEST)?;
        Some(Version { has_attention: bits & 1 != 0, is_short: bits & 2 != 0, has_nu: bits & 4 != 0 })
    }
}

impl KeyModel {
    /// The model with its projections rounded to bf16, which take half the bytes. A weight moves by a 256th of itself at
    /// most: little beside the two bits that a key has for a coordinate. Keys and what they are scored with change, so it
    /// is for a model that no keys were made with.
    #[cfg(feature = "train")]
    pub(crate) fn rounded(mut self) -> KeyModel {
        for weight in self.nodes.iter_mut().chain(&mut self.queries) {
            *weight = bf16::from_f32(*weight).to_f32();
        }
        self
    }

    /// The model as bytes, which [`KeyModel::from_bytes`] reads back on any machine as it was. Projections that bf16 can
    /// express, as those of trained models, take two bytes a weight.
    ///
    /// # Errors
    /// What [`KeyModel::check`] finds: a model that cannot be used is not written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        self.check()?;
        Ok(self.bytes([&self.nodes, &self.queries].into_iter().flatten().all(|x| is_bf16(*x))))
    }

    /// The model as bytes with every number in four bytes, whatever shorter forms there are: those that a checksum of it
    /// is made of.
    ///
    /// # Errors
    /// As [`KeyModel::to_bytes`].
    #[cfg(feature = "onnx")]
    pub(crate) fn to_long_bytes(&self) -> Result<Vec<u8>, ModelError> {
        self.check()?;
        Ok(self.bytes(false))
    }

    /// The model, which was checked; `is_short` if bf16 expresses its projections.
    fn bytes(&self, is_short: bool) -> Vec<u8> {
        let version = Version { has_attention: self.attention.is_some(), is_short, has_nu: self.nu != 0.0 };
        let head = Head {
            magic: MAGIC,
            version: version.number().into(),
            dim: (self.dim as u32).into(),
            coordinates: (self.coordinates() as u32).into(),
            key_bytes: (self.key_bytes as u32).into(),
            slots: (self.slots.len() as u32).into(),
            query_constant: self.query_constant.into(),
            lambda: self.lambda.into(),
            kappa: self.kappa.into(),
            bias_base: self.bias_base.into(),
            bias_step: self.bias_step.into(),
        };
        let mut bytes = head.as_bytes().to_vec();
        if version.has_nu {
            extend(&mut bytes, &[self.nu]);
        }
        extend(&mut bytes, &self.mean);
        for projection in [&self.nodes, &self.queries] {
            if is_short {
                bytes.extend(projection.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()));
            } else {
                extend(&mut bytes, projection);
            }
        }
        extend(&mut bytes, &self.query_linear);
        for slot in &self.slots {
            let slot = SlotBytes { coordinate: u32::from(slot.coordinate).into(), step: slot.step.into() };
            bytes.extend_from_slice(slot.as_bytes());
        }
        if let Some(attention) = &self.attention {
            attention.write(self.dim, &mut bytes);
        }
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// The model of these bytes.
    ///
    /// # Errors
    /// [`ModelError`] where they are no model, one of another version, damaged, or one that cannot be used.
    pub fn from_bytes(bytes: &[u8]) -> Result<KeyModel, ModelError> {
        let truncated = || ModelError::Bytes { reason: "it is too short" };
        let (head, _) = Head::ref_from_prefix(bytes).map_err(|_| truncated())?;
        if head.magic != MAGIC {
            return Err(ModelError::Bytes { reason: "it does not begin as one" });
        }
        let got = head.version.get();
        let version = Version::of(got).ok_or(ModelError::Version { expected: LATEST, got })?;
        let (body, checksum) = bytes.split_at_checked(bytes.len() - CHECKSUM_BYTES).ok_or_else(truncated)?;
        let checksum = U64::read_from_bytes(checksum).map_err(|_| truncated())?;
        if xxh3_64(body) != checksum.get() {
            return Err(ModelError::Bytes {
                reason: "its checksum does not match: it is damaged or cut short",
            });
        }
        let mut rest = Rest(body.get(size_of::<Head>()..).ok_or_else(truncated)?);
        let (dim, slots) = (head.dim.get() as usize, head.slots.get() as usize);
        let coordinates = head.coordinates.get() as usize;
        let projection = dim.checked_mul(coordinates).ok_or_else(truncated)?;
        // Fields are read in the order in which they are written.
        let model = KeyModel {
            dim,
            key_bytes: head.key_bytes.get() as usize,
            nu: rest.numbers(usize::from(version.has_nu))?.first().copied().unwrap_or(0.0),
            mean: rest.numbers(dim)?,
            nodes: rest.weights(projection, version.is_short)?,
            queries: rest.weights(projection, version.is_short)?,
            query_linear: rest.numbers(dim)?,
            query_constant: head.query_constant.get(),
            slots: rest.slots(slots)?,
            lambda: head.lambda.get(),
            kappa: head.kappa.get(),
            bias_base: head.bias_base.get(),
            bias_step: head.bias_step.get(),
            attention: if version.has_attention { Some(rest.attention(dim, coordinates)?) } else { None },
        };
        if !rest.0.is_empty() {
            return Err(ModelError::Bytes { reason: "bytes are left over behind it" });
        }
        model.check()?;
        Ok(model)
    }
}

impl Attention {
    fn write(&self, dim: usize, bytes: &mut Vec<u8>) {
        let (inputs, layers) = (self.inputs(dim) as u32, self.layers.len() as u32);
        bytes.extend_from_slice(AttentionHead { inputs: inputs.into(), layers: layers.into() }.as_bytes());
        extend(bytes, &self.input);
        for layer in &self.layers {
            let head = LayerHead { heads: (layer.heads as u32).into(), width: (layer.width as u32).into() };
            bytes.extend_from_slice(head.as_bytes());
            let parts = [&layer.weights, &layer.source, &layer.target, &layer.bias];
            parts.into_iter().for_each(|numbers| extend(bytes, numbers));
        }
        extend(bytes, &self.output);
    }
}

/// Whether bf16 can express a number, which is then finite: its low half is zero.
fn is_bf16(x: f32) -> bool {
    bf16::from_f32(x).to_f32() == x
}

fn extend(bytes: &mut Vec<u8>, numbers: &[f32]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// What is left of the bytes of a model.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    /// The next `count` records; lengths are compared with what is there before anything is allocated.
    fn records<T: FromBytes + Immutable + KnownLayout + Unaligned>(
        &mut self,
        count: usize,
    ) -> Result<&'b [T], ModelError> {
        let (records, rest) = <[T]>::ref_from_prefix_with_elems(self.0, count)
            .map_err(|_| ModelError::Bytes { reason: "it is shorter than its head says" })?;
        self.0 = rest;
        Ok(records)
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<f32>, ModelError> {
        Ok(self.records::<F32>(count)?.iter().map(|number| number.get()).collect())
    }

    /// The weights of a projection.
    fn weights(&mut self, count: usize, is_short: bool) -> Result<Vec<f32>, ModelError> {
        if !is_short {
            return self.numbers(count);
        }
        Ok(self.records::<U16>(count)?.iter().map(|bits| bf16::from_bits(bits.get()).to_f32()).collect())
    }

    /// The attention of a model with so many components and coordinates.
    fn attention(&mut self, dim: usize, coordinates: usize) -> Result<Attention, ModelError> {
        let wrong = || ModelError::Bytes { reason: "its attention has sizes that no model has" };
        let [head] = self.records::<AttentionHead>(1)? else { return Err(wrong()) };
        let (mut inputs, layers) = (head.inputs.get() as usize, head.layers.get() as usize);
        if layers > MAX_LAYERS {
            return Err(wrong());
        }
        let input = self.numbers(inputs.checked_mul(dim).ok_or_else(wrong)?)?;
        let mut attention = Attention { input, layers: Vec::with_capacity(layers), output: Vec::new() };
        for number in 0..layers {
            let [head] = self.records::<LayerHead>(1)? else { return Err(wrong()) };
            let (heads, width) = (head.heads.get() as usize, head.width.get() as usize);
            if heads > MAX_HEADS || width > MAX_WIDTH {
                return Err(wrong());
            }
            let both = heads * width;
            attention.layers.push(AttentionLayer {
                heads,
                width,
                weights: self.numbers(both.checked_mul(inputs).ok_or_else(wrong)?)?,
                source: self.numbers(both)?,
                target: self.numbers(both)?,
                bias: self.numbers(AttentionLayer::biases(heads, width, number + 1 == layers))?,
            });
            inputs = both;
        }
        let width = attention.layers.last().map_or(0, |layer| layer.width);
        attention.output = self.numbers(coordinates.checked_mul(width).ok_or_else(wrong)?)?;
        Ok(attention)
    }

    fn slots(&mut self, count: usize) -> Result<Vec<Slot>, ModelError> {
        let slot = |slot: &SlotBytes| {
            let coordinate = u16::try_from(slot.coordinate.get());
            let coordinate =
                coordinate.map_err(|_| ModelError::Bytes { reason: "a slot's coordinate is too large" })?;
            Ok(Slot { coordinate, step: slot.step.get() })
        };
        self.records::<SlotBytes>(count)?.iter().map(slot).collect()
    }
}
