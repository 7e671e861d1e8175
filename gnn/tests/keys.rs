//! Models as bytes, and encoders against the formulas in the documentation of `KeyModel`.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod support;

use proptest::prelude::*;
use redknot_gnn::routing::{
    Attention, EncodeScratch, EncodedQuery, KeyEncoder, KeyModel, ModelError, QueryEncoder, Slot,
};
use support::oracle::{assert_key, bias, dot, level, minus, square};
use support::{documented, random_attention, random_model, random_query, shorten};

const KEY_BYTES: [usize; 4] = [32, 64, 96, 128];

/// The estimate as the documentation of `KeyModel` writes it, and how far off rounding what keys are multiplied with to integers
/// of one byte or two can be.
fn estimate(model: &KeyModel, query: &[f32], key: &[u8]) -> (f64, f64) {
    let q = minus(query, &model.mean);
    let h: Vec<f64> = model.queries.chunks(model.dim).map(|row| dot(row, &q)).collect();
    let (mut sum, mut largest, mut variance) = (0.0, 0.0f64, 0.0);
    for (j, slot) in model.slots.iter().enumerate() {
        let value = h[usize::from(slot.coordinate)] * f64::from(slot.step);
        sum += value * level(key, j);
        largest = largest.max(2.0 * value.abs());
        let finer = |other: &Slot| other.coordinate == slot.coordinate && other.step < slot.step;
        if !model.slots.iter().any(finer) {
            variance += 0.118 * 4.0 * value * value;
        }
    }
    let slots = model.slots.len() as f64;
    let byte = largest / 127.0;
    // One byte where the variance that it adds is at most 3 % of what the rounding of keys adds; either at the limit.
    let short = slots * 5.0 / 48.0 * byte * byte <= 0.03 * variance * 1.001;
    let unit = if short { byte } else { largest / 16_000.0 };
    let constant = square(&q) + dot(&model.query_linear, &q) + f64::from(model.query_constant);
    (constant + bias(model, key) - 2.0 * sum, 0.75 * unit * slots)
}

proptest! {
    #[test]
    fn keys_and_estimates_are_those_of_the_documentation(
        dim in 1usize..80, coordinates in 1usize..90, key_bytes in prop::sample::select(&KEY_BYTES),
        nodes in 1usize..11, seed: u64,
    ) {
        let model = random_model(dim, coordinates, key_bytes, seed);
        let mut rng = fastrand::Rng::with_seed(!seed);
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.f32() * 2.0 - 1.0).collect() };
        let (x, means) = (random(nodes * dim), random(nodes * dim));
        let query = random_query(&model, seed);
        let mut keys = vec![0xee; nodes * key_bytes];
        let encoder = KeyEncoder::new(&model).unwrap();
        encoder.encode(&x, &means, &mut keys, &mut EncodeScratch::default()).unwrap();
        let rows: Vec<&[u8]> = keys.chunks(key_bytes).collect();
        for (node, key) in rows.iter().enumerate() {
            assert_key(&model, &x[node * dim..][..dim], &means[node * dim..][..dim], &[], key);
        }

        let encoder = QueryEncoder::new(&model).unwrap();
        let mut encoded = EncodedQuery::default();
        // Whatever the query before it left behind.
        let longer = random_model(dim, coordinates, 128, seed);
        QueryEncoder::new(&longer).unwrap().encode(&query, &mut encoded).unwrap();
        encoder.encode(&query, &mut encoded).unwrap();
        let mut estimates = vec![f32::NAN; nodes];
        encoder.estimates(&encoded, &rows, &mut estimates);
        for (key, got) in rows.iter().zip(estimates) {
            let (expected, tolerance) = estimate(&model, &query, key);
            let tolerance = tolerance + 1e-4 * (1.0 + expected.abs());
            prop_assert!((f64::from(got) - expected).abs() <= tolerance, "{} for {}", got, expected);
        }
    }

    #[test]
    fn a_key_does_not_depend_on_its_batch(nodes in 1usize..20, seed: u64) {
        let model = random_model(24, 40, 32, seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let x: Vec<f32> = (0..nodes * 24).map(|_| rng.f32()).collect();
        let encoder = KeyEncoder::new(&model).unwrap();
        let mut scratch = EncodeScratch::default();
        let mut together = vec![0; nodes * 32];
        encoder.encode(&x, &x, &mut together, &mut scratch).unwrap();
        for (x, expected) in x.chunks(24).zip(together.chunks(32)) {
            let mut alone = [0; 32];
            encoder.encode(x, x, &mut alone, &mut scratch).unwrap();
            prop_assert_eq!(&alone[..], expected);
        }
    }

    #[test]
    fn models_come_back_from_bytes(
        dim in 1usize..20, coordinates in 1usize..20, key_bytes in prop::sample::select(&KEY_BYTES), seed: u64,
        inputs in 1usize..9, layers in prop::collection::vec((1usize..4, 1usize..9), 0..4), short: bool,
    ) {
        let mut model = random_model(dim, coordinates, key_bytes, seed);
        if short {
            shorten(&mut model);
        }
        if !layers.is_empty() {
            model.attention = Some(random_attention([dim, coordinates], inputs, &layers, seed));
        }
        let bytes = model.to_bytes().unwrap();
        prop_assert_eq!(&bytes, &documented::model_bytes(&model, short));
        prop_assert_eq!(KeyModel::from_bytes(&bytes), Ok(model.clone()));
        if short {
            // One weight that takes four bytes, and all do.
            model.queries[0] = 0.1;
            prop_assert_eq!(model_bytes(&model), bytes.len() + 4 * dim * coordinates);
        }
        let cut = (seed % bytes.len() as u64) as usize;
        prop_assert!(KeyModel::from_bytes(&bytes[..cut]).is_err());
        let mut flipped = bytes;
        flipped[cut] ^= 1 << (seed % 8);
        prop_assert!(KeyModel::from_bytes(&flipped).is_err());
    }

    #[test]
    fn random_bytes_are_no_model(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300), version in prop::option::of(1u8..5),
    ) {
        let mut head = *b"rkkeymdl\0\0\0\0";
        if let Some(version) = version && bytes.len() >= head.len() {
            head[8] = version;
            bytes[..head.len()].copy_from_slice(&head);
        }
        prop_assert!(KeyModel::from_bytes(&bytes).is_err());
    }

    /// Whatever the numbers of a model are changed to, with a checksum that agrees: an error or a model, and no huge
    /// allocation on the way.
    #[test]
    fn forged_models_are_read_or_refused(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..4), early: bool, short: bool,
    ) {
        let mut model = random_model(3, 4, 32, 7);
        if short {
            shorten(&mut model);
        }
        let linear = model_bytes(&model) - 8;
        model.attention = Some(random_attention([3, 4], 2, &[(2, 3), (1, 2)], 7));
        let mut bytes = model.to_bytes().unwrap();
        let body = bytes.len() - 8;
        for (place, value) in places {
            // The heads of the model, and of its attention.
            let at = if early { 12 + 4 * place.index(8) } else { linear + 4 * place.index((body - linear) / 4) };
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..body]);
        bytes[body..].copy_from_slice(&checksum.to_le_bytes());
        if let Ok(model) = KeyModel::from_bytes(&bytes) {
            prop_assert!(model.check().is_ok());
            prop_assert_eq!(model.to_bytes().unwrap(), bytes);
        }
    }
}

fn model_bytes(model: &KeyModel) -> usize {
    model.to_bytes().unwrap().len()
}

#[test]
fn every_length_of_a_cut_model_is_refused() {
    let attention = Some(random_attention([3, 2], 2, &[(2, 1), (1, 2)], 1));
    let forms = [(false, None), (false, attention.clone()), (true, None), (true, attention)];
    for (seed, (short, attention)) in (0..2).flat_map(|seed| forms.clone().map(|form| (seed, form))) {
        let mut model = KeyModel { attention, ..random_model(3, 2, 32, seed) };
        if short {
            shorten(&mut model);
        }
        let bytes = model.to_bytes().unwrap();
        for len in 0..bytes.len() {
            assert!(KeyModel::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
        }
        let mut newer = bytes;
        newer[8] = 9;
        assert_eq!(KeyModel::from_bytes(&newer), Err(ModelError::Version { expected: 8, got: 9 }));
    }
}

#[test]
fn attention_that_cannot_be_used_is_refused() {
    let damages: [fn(&mut Attention); 13] = [
        |attention| attention.input.truncate(5),
        |attention| attention.input.clear(),
        |attention| attention.input = vec![0.0; 6 * 129],
        |attention| attention.input[1] = f32::NAN,
        |attention| attention.layers.clear(),
        |attention| attention.layers = vec![attention.layers[1].clone(); 7],
        |attention| attention.layers.swap(0, 1),
        |attention| attention.layers[0].heads = 17,
        |attention| attention.layers[0].heads = 0,
        |attention| attention.layers[0].width = usize::MAX,
        |attention| attention.layers[0].source[0] = f32::INFINITY,
        |attention| attention.layers[1].bias.push(0.0),
        |attention| attention.output.truncate(3),
    ];
    for (number, damage) in damages.iter().enumerate() {
        let mut model = random_model(6, 4, 32, 2);
        let mut attention = random_attention([6, 4], 3, &[(2, 5), (3, 2)], 2);
        model.attention = Some(attention.clone());
        assert!(model.check().is_ok());
        damage(&mut attention);
        model.attention = Some(attention);
        assert!(model.check().is_err(), "damage {number}");
        assert!(model.to_bytes().is_err() && KeyEncoder::new(&model).is_err(), "damage {number}");
    }
}

#[test]
fn models_that_cannot_be_used_are_refused() {
    let damages: [fn(&mut KeyModel); 20] = [
        |model| model.dim = 0,
        |model| model.key_bytes = 48,
        |model| model.key_bytes = 160,
        |model| model.key_bytes = 64,
        |model| model.mean.truncate(model.mean.len() - 1),
        |model| model.nodes.clear(),
        |model| model.nodes.truncate(model.nodes.len() - 1),
        |model| model.queries.truncate(model.queries.len() - 1),
        |model| model.query_linear.push(0.0),
        |model| model.slots.truncate(model.slots.len() - 1),
        |model| model.mean[0] = f32::NAN,
        |model| model.nodes[1] = f32::INFINITY,
        |model| model.queries[2] = f32::NEG_INFINITY,
        |model| model.query_constant = f32::NAN,
        |model| model.lambda = 1.5,
        |model| model.kappa = f32::NAN,
        |model| model.bias_step = 0.0,
        |model| model.bias_step = f32::MAX,
        |model| model.slots[3].coordinate = 4,
        |model| model.slots[5].step = f32::NAN,
    ];
    assert!(random_model(6, 4, 32, 2).check().is_ok());
    for (number, damage) in damages.iter().enumerate() {
        let mut model = random_model(6, 4, 32, 2);
        damage(&mut model);
        // Compared as text: a NaN in an error equals nothing.
        let error = model.check().unwrap_err().to_string();
        let others = [
            model.to_bytes().map(drop),
            KeyEncoder::new(&model).map(drop),
            QueryEncoder::new(&model).map(drop),
        ];
        for other in others {
            assert_eq!(other.unwrap_err().to_string(), error, "damage {number}");
        }
    }
}

#[test]
fn what_is_not_finite_gets_no_key_and_no_estimate() {
    let model = random_model(6, 4, 32, 3);
    let encoder = KeyEncoder::new(&model).unwrap();
    let queries = QueryEncoder::new(&model).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
        let mut x = [0.5; 12];
        x[7] = bad;
        let mut scratch = EncodeScratch::default();
        let error = encoder.encode(&x, &[0.5; 12], &mut [0; 64], &mut scratch).unwrap_err();
        assert!(matches!(error, ModelError::NotFinite { index: 1, .. }), "{error}");
        let error = encoder.encode(&[0.5; 12], &x, &mut [0; 64], &mut scratch).unwrap_err();
        assert!(matches!(error, ModelError::NotFinite { index: 1, .. }), "{error}");
        let error = queries.encode(&x[6..], &mut EncodedQuery::default()).unwrap_err();
        assert!(matches!(error, ModelError::NotFinite { .. }), "{error}");
    }
    let error = queries.encode(&[0.0; 5], &mut EncodedQuery::default()).unwrap_err();
    assert!(matches!(error, ModelError::Shape { expected: 6, got: 5, .. }));
    let error =
        encoder.encode(&[0.0; 6], &[0.0; 6], &mut [0; 64], &mut EncodeScratch::default()).unwrap_err();
    assert!(matches!(error, ModelError::Shape { expected: 12, got: 6, .. }));
}

#[test]
fn a_query_at_the_mean_is_estimated_by_its_biases() {
    let model = random_model(6, 4, 32, 4);
    let encoder = QueryEncoder::new(&model).unwrap();
    let mut encoded = EncodedQuery::default();
    encoder.encode(&model.mean, &mut encoded).unwrap();
    let mut key = [0x1b; 32];
    key[30..].copy_from_slice(&500u16.to_le_bytes());
    let mut estimate = [0.0];
    encoder.estimates(&encoded, &[&key], &mut estimate);
    assert!((estimate[0] - (-0.25 - 200.0 + 5.0)).abs() < 1e-4, "{estimate:?}");
}
