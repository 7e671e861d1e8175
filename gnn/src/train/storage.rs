//! The numbers of candle's tensors.

use candle_core::{CpuStorage, Error, Layout, Result, Storage, Tensor};

/// The numbers of a contiguous tensor on the CPU.
pub(crate) fn numbers<'s>(storage: &'s CpuStorage, layout: &Layout, op: &'static str) -> Result<&'s [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => Err(Error::RequiresContiguous { op }),
    }
}

/// Lends the numbers of a tensor, copied only where they do not lie row by row.
pub(crate) fn with_numbers<T>(
    tensor: &Tensor,
    op: &'static str,
    read: impl FnOnce(&[f32]) -> Result<T>,
) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => read(numbers(storage, layout, op)?),
        _ => Err(Error::Msg(format!("{op} runs on the CPU only"))),
    }
}
