use super::*;
use crate::element::row_bytes;
use crate::metric::Metric::{Cosine, Hamming, L2};
use proptest::prelude::*;

fn encoded(v: VectorRef<'_>, dim: usize, element: Element, metric: Metric) -> Result<Vec<u8>, VectorError> {
    let mut out = vec![0xee; 3];
    let row = row_bytes(dim, element);
    let result = encode(v, dim, element, metric, row, &mut out);
    assert_eq!(out[..3], [0xee; 3], "what was there stays");
    assert_eq!(out.len(), if result.is_ok() { 3 + row } else { 3 });
    result.map(|()| out.split_off(3))
}

#[test]
fn integers_reach_every_element_type_and_come_back() {
    let values: Vec<u8> = (0..=127).collect();
    for element in Element::ALL.into_iter().filter(|&element| element != Element::Bits) {
        let row = encoded((&values).into(), 128, element, L2).expect("0 … 127 fits");
        let want: Vec<f32> = values.iter().map(|&x| x.into()).collect();
        assert_eq!(decode(&row, 128, element), want, "{element}");
    }
}

#[test]
fn rows_are_padded_with_zeros() {
    assert_eq!(encoded((&[7_u8]).into(), 1, Element::U8, L2), Ok(vec![7, 0, 0, 0]));
    assert_eq!(encoded((&[-1.0_f32]).into(), 1, Element::F16, L2), Ok(vec![0x00, 0xbc, 0, 0]));
    assert_eq!(encoded((&[-1_i8]).into(), 1, Element::I8, L2), Ok(vec![0xff, 0, 0, 0]));
}

#[test]
fn bits_are_packed_lowest_first() {
    let values = [1.0_f32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    let row = encoded((&values).into(), 10, Element::Bits, Hamming).expect("zeros and ones");
    assert_eq!(row, [0b1000_0001, 0b10, 0, 0]);
    assert_eq!(decode(&row, 10, Element::Bits), values);
    assert_eq!(encoded(VectorRef::Bits(&row[..2]), 10, Element::Bits, Hamming), Ok(row.clone()));
    assert_eq!(
        encoded(VectorRef::Bits(&row[..2]), 10, Element::U8, L2).map(|r| r[7..10].to_vec()),
        Ok(vec![1, 0, 1])
    );
    let stray = encoded(VectorRef::Bits(&[0, 0b100]), 10, Element::Bits, Hamming);
    assert_eq!(stray, Err(VectorError::StrayBits { dim: 10 }));
}

#[test]
fn another_dimension_is_refused() {
    let wrong = |got| Err(VectorError::WrongDimension { expected: 10, got });
    assert_eq!(encoded((&[1.0_f32; 9]).into(), 10, Element::F32, L2), wrong(9));
    assert_eq!(encoded((&[1_u8; 11]).into(), 10, Element::U8, L2), wrong(11));
    assert_eq!(encoded(VectorRef::Bits(&[1]), 10, Element::Bits, Hamming), wrong(8));
    let error = VectorError::WrongDimension { expected: 10, got: 9 };
    assert_eq!(error.to_string(), "the vector has 9 coordinates, the collection has 10: pass a vector of 10");
}

#[test]
fn nan_and_infinity_are_refused_wherever_they_stand() {
    for element in Element::ALL {
        for index in [0, 15, 127, 128, 199] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values = [1.0_f32; 200];
                values[index] = bad;
                let metric = if element == Element::Bits { Hamming } else { Cosine };
                let Err(VectorError::NotFinite { index: got, value }) =
                    encoded((&values).into(), 200, element, metric)
                else {
                    panic!("{bad} at {index} was taken as {element}");
                };
                assert_eq!((got, value.to_bits()), (index, bad.to_bits()));
                let halves = values.map(f16::from_f32);
                assert!(matches!(
                    encoded((&halves).into(), 200, element, metric),
                    Err(VectorError::NotFinite { index: got, .. }) if got == index
                ));
            }
        }
    }
}

#[test]
fn what_an_element_cannot_hold_is_refused() {
    let cases = [
        (Element::U8, vec![255.0, -1.0]),
        (Element::U8, vec![0.0, 256.0]),
        (Element::U8, vec![0.0, 0.5]),
        (Element::I8, vec![-128.0, 128.0]),
        (Element::I8, vec![127.0, -129.0]),
        (Element::F16, vec![65504.0, 65520.0]),
        (Element::F16, vec![-65504.0, -1e9]),
        (Element::Bits, vec![1.0, 2.0]),
    ];
    for (element, values) in cases {
        let result = encoded((&values).into(), 2, element, L2);
        let want = VectorError::NotRepresentable { index: 1, value: values[1], element };
        assert_eq!(result, Err(want));
    }
    assert_eq!(
        VectorError::NotRepresentable { index: 1, value: 0.5, element: Element::U8 }.to_string(),
        "coordinate 1 is 0.5, which u8 cannot hold: it holds whole numbers of 0 to 255; \
         scale the vectors or use another element type"
    );
}

#[test]
fn cosine_needs_a_direction() {
    for element in Element::ALL.into_iter().filter(|&element| element != Element::Bits) {
        for short in [0.0_f32, -0.0, 1e-30] {
            let result = encoded((&[short; 5]).into(), 5, element, Cosine);
            let fits = short == 0.0 || !matches!(element, Element::I8 | Element::U8);
            assert_eq!(result == Err(VectorError::ZeroVector), fits, "{element} {short}");
        }
        assert!(encoded((&[0.0_f32; 5]).into(), 5, element, L2).is_ok(), "only cosine minds");
    }
    assert_eq!(encoded((&[0_u8; 5]).into(), 5, Element::U8, Cosine), Err(VectorError::ZeroVector));
    assert_eq!(encoded((&[0_i8; 5]).into(), 5, Element::I8, Cosine), Err(VectorError::ZeroVector));
    // Long enough in f32, nothing left in f16.
    assert_eq!(encoded((&[1e-9_f32; 5]).into(), 5, Element::F16, Cosine), Err(VectorError::ZeroVector));
    assert!(encoded((&[1e-9_f32; 5]).into(), 5, Element::F32, Cosine).is_ok());
}

#[test]
fn the_longest_vectors_have_finite_distances() {
    let length = (f32::MAX / 4.0).sqrt() * 0.999;
    let [a, b] = [length, -length].map(|x| encoded((&[x]).into(), 1, Element::F32, L2).expect("just fits"));
    for metric in Metric::ALL.into_iter().filter(|&metric| metric != Hamming) {
        let kernel = crate::Kernel::new(metric, Element::F32).expect("defined over f32");
        assert!(kernel.distance(&a, kernel.scale(&a), &b).is_finite(), "{metric}");
    }
    assert_eq!(encoded((&[1e19_f32]).into(), 1, Element::F32, L2), Err(VectorError::TooLong));
    assert_eq!(encoded((&[f32::MAX]).into(), 1, Element::BF16, L2), Err(VectorError::TooLong));
}

proptest! {
    #[test]
    fn floats_come_back_rounded_once(values in proptest::collection::vec(-60000.0_f32..60000.0, 1..300)) {
        let dim = values.len();
        let back = |element| encoded((&values).into(), dim, element, L2).map(|row| decode(&row, dim, element));
        prop_assert_eq!(back(Element::F32), Ok(values.clone()));
        prop_assert_eq!(back(Element::F16), Ok(values.iter().map(|&x| f16::from_f32(x).to_f32()).collect()));
        prop_assert_eq!(back(Element::BF16), Ok(values.iter().map(|&x| bf16::from_f32(x).to_f32()).collect()));
    }

    #[test]
    fn half_precision_is_stored_as_it_is(bits in proptest::collection::vec(0_u16..0x7c00, 1..300)) {
        let dim = bits.len();
        let halves: Vec<f16> = bits.iter().map(|&bits| f16::from_bits(bits)).collect();
        let row = encoded((&halves).into(), dim, Element::F16, L2)?;
        let want: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        prop_assert_eq!(&row[..2 * dim], &want[..]);
    }

    #[test]
    fn i8_comes_back_from_every_type_that_holds_it(values in proptest::collection::vec(any::<i8>(), 1..300)) {
        let dim = values.len();
        let want: Vec<f32> = values.iter().map(|&x| x.into()).collect();
        for element in [Element::F32, Element::F16, Element::BF16, Element::I8] {
            let row = encoded((&values).into(), dim, element, L2)?;
            prop_assert_eq!(decode(&row, dim, element), want.clone());
            let mut coordinates = vec![f32::NAN; dim];
            decode_into(&row, element, &mut coordinates);
            prop_assert_eq!(coordinates, want.clone());
        }
        let row = encoded((&want).into(), dim, Element::I8, L2)?;
        prop_assert_eq!(decode(&row, dim, Element::I8), want);
    }
}
