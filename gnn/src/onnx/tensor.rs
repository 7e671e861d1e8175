//! Tensors of an ONNX file as numbers, and back.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

use super::OnnxError;

/// A tensor of f32 with its values inside the file.
pub(super) fn float_tensor(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    debug_assert_eq!(dims.iter().product::<usize>(), values.len(), "{name}");
    TensorProto {
        name: name.into(),
        dims: dims.iter().map(|dim| *dim as i64).collect(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

/// Whether a tensor has as many values as its shape says, of a type that models are run with, inside the file.
pub(super) fn check_tensor(tensor: &TensorProto) -> Result<(), OnnxError> {
    let external = tensor.data_location == Some(DataLocation::External as i32);
    if external || !tensor.external_data.is_empty() {
        return Err(OnnxError::ExternalData { tensor: tensor.name.clone() });
    }
    if tensor.segment.is_some() {
        return Err(OnnxError::tensor(&tensor.name, "is cut in segments, expected it in one piece"));
    }
    let count = count(tensor)?;
    let (bytes, listed) = match DataType::from_i32(tensor.data_type) {
        Some(DataType::Float) => (4, tensor.float_data.len()),
        Some(DataType::Double) => (8, tensor.double_data.len()),
        Some(DataType::Int64) => (8, tensor.int64_data.len()),
        Some(DataType::Int32) => (4, tensor.int32_data.len()),
        Some(DataType::Bool) => (1, tensor.int32_data.len()),
        _ => {
            let why =
                format!("has data type {}, expected float, double, int32, int64 or bool", tensor.data_type);
            return Err(OnnxError::tensor(&tensor.name, why));
        }
    };
    let others = [
        tensor.float_data.len(),
        tensor.double_data.len(),
        tensor.int64_data.len(),
        tensor.int32_data.len(),
        tensor.uint64_data.len(),
        tensor.string_data.len(),
    ];
    let fits = match tensor.raw_data.is_empty() {
        true => listed == count && others.iter().sum::<usize>() == listed,
        false => count.checked_mul(bytes) == Some(tensor.raw_data.len()) && others == [0; 6],
    };
    if !fits {
        let why = format!("has not the {count} values that its shape {:?} says", tensor.dims);
        return Err(OnnxError::tensor(&tensor.name, why));
    }
    Ok(())
}

/// Values that the shape of a tensor says.
fn count(tensor: &TensorProto) -> Result<usize, OnnxError> {
    let count =
        tensor.dims.iter().try_fold(1_usize, |count, dim| count.checked_mul(usize::try_from(*dim).ok()?));
    // The file itself is smaller than that.
    count.filter(|count| *count <= super::MAX_FILE_BYTES as usize).ok_or_else(|| {
        OnnxError::tensor(&tensor.name, format!("has the shape {:?}, which no file can fill", tensor.dims))
    })
}

/// The values of a tensor of f32.
pub(super) fn floats(tensor: &TensorProto) -> Result<Vec<f32>, OnnxError> {
    check_tensor(tensor)?;
    if tensor.data_type != DataType::Float as i32 {
        return Err(OnnxError::tensor(&tensor.name, "is not of f32: convert it"));
    }
    if tensor.raw_data.is_empty() {
        return Ok(tensor.float_data.clone());
    }
    Ok(tensor.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The values of a checked tensor of whole numbers; `None` for other types.
pub(super) fn ints(tensor: &TensorProto) -> Option<Vec<i64>> {
    let raw = &tensor.raw_data;
    match DataType::from_i32(tensor.data_type)? {
        DataType::Int64 if raw.is_empty() => Some(tensor.int64_data.clone()),
        DataType::Int64 => {
            Some(raw.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
        }
        DataType::Int32 if raw.is_empty() => Some(tensor.int32_data.iter().map(|x| i64::from(*x)).collect()),
        DataType::Int32 => {
            Some(raw.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect())
        }
        _ => None,
    }
}
