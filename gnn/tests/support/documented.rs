//! A key model as docs/FORMAT.md ("Key models") says it is written.

use redknot_gnn::routing::KeyModel;
use xxhash_rust::xxh3::xxh3_64;

/// The bytes of a model, whose projections are in bf16 if it is `short`; they have to be expressed by that.
pub(crate) fn model_bytes(model: &KeyModel, short: bool) -> Vec<u8> {
    let mut bytes = b"rkkeymdl".to_vec();
    let version = match (&model.attention, short) {
        (None, false) => 1,
        (Some(_), false) => 2,
        (None, true) => 3,
        (Some(_), true) => 4,
    };
    let version = if model.nu == 0.0 { version } else { version + 4 };
    let coordinates = model.nodes.len() / model.dim;
    integers(&mut bytes, &[version, model.dim, coordinates, model.key_bytes, model.slots.len()]);
    let KeyModel { query_constant, lambda, kappa, bias_base, bias_step, .. } = *model;
    floats(&mut bytes, &[query_constant, lambda, kappa, bias_base, bias_step]);
    if model.nu != 0.0 {
        floats(&mut bytes, &[model.nu]);
    }
    floats(&mut bytes, &model.mean);
    for projection in [&model.nodes, &model.queries] {
        if short {
            // bf16 is the first half of an f32.
            projection.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()[2..]));
        } else {
            floats(&mut bytes, projection);
        }
    }
    floats(&mut bytes, &model.query_linear);
    for slot in &model.slots {
        integers(&mut bytes, &[slot.coordinate.into()]);
        floats(&mut bytes, &[slot.step]);
    }
    if let Some(attention) = &model.attention {
        integers(&mut bytes, &[attention.input.len() / model.dim, attention.layers.len()]);
        floats(&mut bytes, &attention.input);
        for layer in &attention.layers {
            integers(&mut bytes, &[layer.heads, layer.width]);
            [&layer.weights, &layer.source, &layer.target, &layer.bias]
                .into_iter()
                .for_each(|numbers| floats(&mut bytes, numbers));
        }
        floats(&mut bytes, &attention.output);
    }
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn integers(bytes: &mut Vec<u8>, numbers: &[usize]) {
    numbers.iter().for_each(|number| bytes.extend_from_slice(&(*number as u32).to_le_bytes()));
}

fn floats(bytes: &mut Vec<u8>, numbers: &[f32]) {
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}
