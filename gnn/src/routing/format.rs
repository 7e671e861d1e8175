//! A key model as bytes: docs/FORMAT.md, "Key models".

use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{F32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{KeyModel, ModelError, Slot};

const MAGIC: [u8; 8] = *b"rkkeymdl";
const VERSION: u32 = 1;
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

impl KeyModel {
    /// The model as bytes, which [`KeyModel::from_bytes`] reads back on any machine.
    ///
    /// # Errors
    /// What [`KeyModel::check`] finds: a model that cannot be used is not written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        self.check()?;
        let head = Head {
            magic: MAGIC,
            version: VERSION.into(),
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
        for numbers in [&self.mean, &self.nodes, &self.queries, &self.query_linear] {
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        for slot in &self.slots {
            let slot = SlotBytes { coordinate: u32::from(slot.coordinate).into(), step: slot.step.into() };
            bytes.extend_from_slice(slot.as_bytes());
        }
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        Ok(bytes)
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
        if head.version.get() != VERSION {
            return Err(ModelError::Version { expected: VERSION, got: head.version.get() });
        }
        let (body, checksum) = bytes.split_at_checked(bytes.len() - CHECKSUM_BYTES).ok_or_else(truncated)?;
        let checksum = U64::read_from_bytes(checksum).map_err(|_| truncated())?;
        if xxh3_64(body) != checksum.get() {
            return Err(ModelError::Bytes {
                reason: "its checksum does not match: it is damaged or cut short",
            });
        }
        let mut rest = Rest(body.get(size_of::<Head>()..).ok_or_else(truncated)?);
        let (dim, slots) = (head.dim.get() as usize, head.slots.get() as usize);
        let projection = dim.checked_mul(head.coordinates.get() as usize).ok_or_else(truncated)?;
        let model = KeyModel {
            dim,
            key_bytes: head.key_bytes.get() as usize,
            mean: rest.numbers(dim)?,
            nodes: rest.numbers(projection)?,
            queries: rest.numbers(projection)?,
            query_linear: rest.numbers(dim)?,
            query_constant: head.query_constant.get(),
            slots: rest.slots(slots)?,
            lambda: head.lambda.get(),
            kappa: head.kappa.get(),
            bias_base: head.bias_base.get(),
            bias_step: head.bias_step.get(),
        };
        if !rest.0.is_empty() {
            return Err(ModelError::Bytes { reason: "bytes are left over behind its slots" });
        }
        model.check()?;
        Ok(model)
    }
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
