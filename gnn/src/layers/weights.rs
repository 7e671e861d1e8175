//! Trained parameters by name, and their form as safetensors.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{GnnError, ModelDescription};

/// Key of the description in the metadata of a safetensors file.
const DESCRIPTION: &str = "redknot.model";

/// A row-major array of any number of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// An array over `data`, whose length is the product of `shape`.
    ///
    /// # Errors
    /// [`GnnError::Shape`] when it is not.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self, GnnError> {
        let expected = shape.iter().try_fold(1usize, |all, &length| all.checked_mul(length));
        if expected != Some(data.len()) {
            let expected = expected.unwrap_or(usize::MAX);
            return Err(GnnError::Shape { what: "numbers of a tensor", expected, got: data.len() });
        }
        Ok(Self { shape, data })
    }

    /// Lengths of its dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its numbers.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }
}

/// The parameters of a model by name, as [`ModelDescription::parameters`] lists them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Sets a parameter; returns the one that had the name before.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Option<Tensor> {
        self.tensors.insert(name.into(), tensor)
    }

    /// A parameter by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// All parameters by name, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Whether these are the parameters that `description` needs: no more, no fewer, of the right shapes, and finite.
    ///
    /// # Errors
    /// [`GnnError::MissingParameter`], [`GnnError::UnknownParameter`], [`GnnError::ParameterShape`],
    /// [`GnnError::ParameterNotFinite`], and those of [`ModelDescription::layers`].
    pub fn check(&self, description: &ModelDescription) -> Result<(), GnnError> {
        self.check_names(description.parameters()?)
    }

    /// Whether these are the parameters of these names and shapes, and finite.
    pub(super) fn check_names(&self, parameters: Vec<(String, Vec<usize>)>) -> Result<(), GnnError> {
        let expected: BTreeMap<String, Vec<usize>> = parameters.into_iter().collect();
        for (name, shape) in &expected {
            let Some(tensor) = self.tensors.get(name) else {
                return Err(GnnError::MissingParameter { name: name.clone(), expected: shape.clone() });
            };
            if tensor.shape != *shape {
                return Err(GnnError::ParameterShape {
                    name: name.clone(),
                    expected: shape.clone(),
                    got: tensor.shape.clone(),
                });
            }
            if let Some(index) = tensor.data.iter().position(|number| !number.is_finite()) {
                return Err(GnnError::ParameterNotFinite {
                    name: name.clone(),
                    index,
                    got: tensor.data[index],
                });
            }
        }
        match self.tensors.keys().find(|&name| !expected.contains_key(name)) {
            Some(name) => Err(GnnError::UnknownParameter { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// A safetensors file of these weights, with the description in its metadata.
    ///
    /// # Errors
    /// Those of [`Weights::check`].
    pub fn to_safetensors(&self, description: &ModelDescription) -> Result<Vec<u8>, GnnError> {
        self.check(description)?;
        let bytes: Vec<Vec<u8>> = self
            .tensors
            .values()
            .map(|tensor| tensor.data.iter().flat_map(|number| number.to_le_bytes()).collect())
            .collect();
        let mut views = Vec::with_capacity(bytes.len());
        for ((name, tensor), bytes) in self.tensors.iter().zip(&bytes) {
            views.push((name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?));
        }
        let metadata = HashMap::from([(DESCRIPTION.to_owned(), description.to_json())]);
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads a safetensors file of `F32` tensors, and the description in its metadata if there is one. A file with a
    /// description holds the weights that it needs.
    ///
    /// # Errors
    /// [`GnnError::Safetensors`] for other bytes, [`GnnError::TensorType`] for other numbers; those of
    /// [`ModelDescription::from_json`] and [`Weights::check`] for a file with a description.
    pub fn from_safetensors(bytes: &[u8]) -> Result<(Self, Option<ModelDescription>), GnnError> {
        let mut weights = Self::default();
        for (name, view) in SafeTensors::deserialize(bytes)?.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(GnnError::TensorType {
                    name: name.to_owned(),
                    got: format!("{:?}", view.dtype()),
                });
            }
            let (numbers, _) = view.data().as_chunks::<4>();
            let data = numbers.iter().map(|&number| f32::from_le_bytes(number)).collect();
            weights.insert(name, Tensor::new(view.shape().to_vec(), data)?);
        }
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let json = header.metadata().as_ref().and_then(|metadata| metadata.get(DESCRIPTION));
        let description = json.map(|json| ModelDescription::from_json(json)).transpose()?;
        if let Some(description) = &description {
            weights.check(description)?;
        }
        Ok((weights, description))
    }
}
