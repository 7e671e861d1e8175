//! Estimates of the distances of a query to the nodes of keys, by integer dot products.
//!
//! A slot holds a level `z` of 0 to 3, a query an integer `Q` for each slot, and a key scores `Σ Q·z`. `Q` has 16 bits, split
//! in two signed bytes, `Q = 128·high + low`, because machines multiply bytes by the dozen; or one byte, which takes half
//! the work. Every instruction set computes the same integer, without saturation, and rounds the estimate alike.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use redknot_index::Isa;

use super::model::{MAX_KEY_BYTES, SLOTS_PER_BYTE};

/// Largest magnitude of a query's integers of two bytes: `high` then lies within ±125 and `low` within −64 … 63, so that the
/// 16-bit sums of the kernels, at most 64 products of 3·±127 each, cannot overflow; see the kernels.
pub(super) const MAX_QUERY_VALUE: f32 = 16_000.0;
/// The same of one byte.
pub(super) const MAX_SHORT_VALUE: f32 = 127.0;

/// Keys that are scored together.
pub(super) const GROUP: usize = 8;

/// What the slots at one bit position of every byte of a key are multiplied with.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Plane(pub(super) [i8; MAX_KEY_BYTES]);

/// The integers of a query, by the bit position of their slots. Zeros where a key has no slot.
#[derive(Clone)]
pub(super) struct Planes {
    pub(super) low: [Plane; SLOTS_PER_BYTE],
    pub(super) high: [Plane; SLOTS_PER_BYTE],
    /// Whether the integers are those of `low` alone; `high` may then be anything.
    pub(super) short: bool,
}

impl Planes {
    pub(super) const ZERO: Planes = Planes {
        low: [Plane([0; MAX_KEY_BYTES]); SLOTS_PER_BYTE],
        high: [Plane([0; MAX_KEY_BYTES]); SLOTS_PER_BYTE],
        short: false,
    };
}

/// What makes an estimate of the score of a key and its bias: `base + bias_step·bias + scale·score`, rounded after each
/// operation, from the left to the right.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    pub(super) base: f32,
    pub(super) bias_step: f32,
    pub(super) scale: f32,
}

impl Terms {
    #[inline(always)]
    fn estimate(&self, bias: u16, score: i32) -> f32 {
        self.base + self.bias_step * f32::from(bias) + self.scale * score as f32
    }
}

/// Estimates for keys of one length, bound to an instruction set of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyKernel {
    isa: Isa,
    long: Estimates,
    /// The same for integers of one byte.
    short: Estimates,
}

/// `out[i]` = the estimate for `keys[i]`.
///
/// # Panics
/// If a key has another length than the function is for.
///
/// # Safety
/// The machine has the instruction set of the function.
type Estimates = unsafe fn(planes: &Planes, terms: &Terms, keys: &[&[u8]], out: &mut [f32]);

impl KeyKernel {
    /// The kernel for the best instruction set of this machine; `None` for a length that keys do not have.
    pub(super) fn new(key_bytes: usize) -> Option<KeyKernel> {
        Isa::ALL.into_iter().find_map(|isa| KeyKernel::with_isa(isa, key_bytes))
    }

    /// The kernel for a given instruction set, or `None` where the machine lacks it.
    pub(super) fn with_isa(isa: Isa, key_bytes: usize) -> Option<KeyKernel> {
        /// A kernel for each length of a key, for integers of two bytes and of one.
        macro_rules! kernels {
            ($isa:ident) => {
                [
                    [$isa::estimates::<1, false>, $isa::estimates::<1, true>],
                    [$isa::estimates::<2, false>, $isa::estimates::<2, true>],
                    [$isa::estimates::<3, false>, $isa::estimates::<3, true>],
                    [$isa::estimates::<4, false>, $isa::estimates::<4, true>],
                ]
            };
        }
        let kernels: [[Estimates; 2]; 4] = match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if avx512::available() => kernels!(avx512),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if is_x86_feature_detected!("avx2") => kernels!(avx2),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon if std::arch::is_aarch64_feature_detected!("neon") => kernels!(neon),
            Isa::Portable => kernels!(portable),
            _ => return None,
        };
        let [long, short] = match key_bytes {
            32 => kernels[0],
            64 => kernels[1],
            96 => kernels[2],
            128 => kernels[3],
            _ => return None,
        };
        Some(KeyKernel { isa, long, short })
    }

    /// The instruction set in use.
    pub(super) fn isa(&self) -> Isa {
        self.isa
    }

    /// `out[i]` = the estimate for `keys[i]`.
    ///
    /// # Panics
    /// If a key has another length than the kernel, or `out` not as many entries as `keys`.
    #[inline]
    pub(super) fn estimates(&self, planes: &Planes, terms: &Terms, keys: &[&[u8]], out: &mut [f32]) {
        assert_eq!(keys.len(), out.len(), "one estimate for each key");
        // SAFETY: `with_isa` found the instruction set.
        #[expect(unsafe_code, reason = "the function needs an instruction set, which has been checked")]
        unsafe {
            (if planes.short { self.short } else { self.long })(planes, terms, keys, out);
        }
    }
}

/// The 32-byte chunks of a key, as many as there are.
#[inline(always)]
fn chunks<const CHUNKS: usize>(key: &[u8]) -> &[[u8; 32]; CHUNKS] {
    if let (chunks, []) = key.as_chunks()
        && let Ok(chunks) = chunks.try_into()
    {
        return chunks;
    }
    wrong_length(32 * CHUNKS, key.len())
}

/// The code of the bias of a key, which its last two bytes are.
#[inline(always)]
fn bias<const CHUNKS: usize>(chunks: &[[u8; 32]; CHUNKS]) -> u16 {
    let last = &chunks[CHUNKS - 1];
    u16::from_le_bytes([last[30], last[31]])
}

#[cold]
#[inline(never)]
fn wrong_length(expected: usize, got: usize) -> ! {
    panic!("keys have {expected} bytes, and one has {got}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Σ Q·z, slot by slot. `q[j]` belongs to slot j: byte `j mod (key_bytes − 2)`, bit `2·⌊j / (key_bytes − 2)⌋`.
    fn oracle(q: &[i32], key: &[u8]) -> i32 {
        let columns = key.len() - 2;
        q.iter().enumerate().map(|(j, q)| q * i32::from(key[j % columns] >> (2 * (j / columns)) & 3)).sum()
    }

    fn planes(q: &[i32], key_bytes: usize) -> Planes {
        let mut planes = Planes::ZERO;
        for (j, q) in q.iter().enumerate() {
            let (plane, column) = (j / (key_bytes - 2), j % (key_bytes - 2));
            let high = (q + 64) >> 7;
            planes.high[plane].0[column] = i8::try_from(high).unwrap();
            planes.low[plane].0[column] = i8::try_from(q - 128 * high).unwrap();
        }
        planes
    }

    fn short_planes(q: &[i32], key_bytes: usize) -> Planes {
        let mut planes = Planes { short: true, ..Planes::ZERO };
        for (j, q) in q.iter().enumerate() {
            let (plane, column) = (j / (key_bytes - 2), j % (key_bytes - 2));
            planes.low[plane].0[column] = i8::try_from(*q).unwrap();
            // Left by the query before.
            planes.high[plane].0[column] = 77;
        }
        planes
    }

    fn assert_agree(q: &[i32], keys: &[Vec<u8>]) {
        let key_bytes = keys[0].len();
        // Powers of two and zeros show the scores themselves; the others whether all round alike.
        let terms = [
            Terms { base: 0.0, bias_step: 0.0, scale: 0.25 },
            Terms { base: -3.1e5, bias_step: 1.7, scale: 0.013 },
        ];
        let bias = |key: &[u8]| u16::from_le_bytes([key[key_bytes - 2], key[key_bytes - 1]]);
        let mut kernels = 0;
        for kernel in Isa::ALL.into_iter().filter_map(|isa| KeyKernel::with_isa(isa, key_bytes)) {
            let short = q.iter().all(|q| q.abs() <= 127).then(|| short_planes(q, key_bytes));
            for planes in short.into_iter().chain([planes(q, key_bytes)]) {
                for terms in &terms {
                    let expected: Vec<f32> =
                        keys.iter().map(|key| terms.estimate(bias(key), oracle(q, key))).collect();
                    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
                    let mut got = vec![f32::NAN; keys.len()];
                    kernel.estimates(&planes, terms, &keys, &mut got);
                    assert_eq!(got, expected, "{:?}, {key_bytes} bytes, {}", kernel.isa(), planes.short);
                }
            }
            kernels += 1;
        }
        assert!(kernels > 0);
    }

    proptest! {
        #[test]
        fn every_instruction_set_agrees_with_the_sum_by_slots(
            chunks in 1usize..=4, count in 1usize..40, largest in prop_oneof![1i32..=127, 1i32..=16_000], seed: u64,
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let q: Vec<i32> = (0..(32 * chunks - 2) * 4).map(|_| rng.i32(-largest..=largest)).collect();
            let keys: Vec<Vec<u8>> =
                (0..count).map(|_| (0..32 * chunks).map(|_| rng.u8(..)).collect()).collect();
            assert_agree(&q, &keys);
        }
    }

    #[test]
    fn the_largest_scores_do_not_saturate() {
        for key_bytes in [32, 64, 96, 128] {
            // 63 and −64 are the extreme low halves, ±16,000 the extreme high ones, ±127 the extremes of one byte.
            for q in [16_000, -16_000, 16_000 - 65, -64, 63, 127, -127] {
                assert_agree(&vec![q; (key_bytes - 2) * 4], &[vec![255; key_bytes], vec![0; key_bytes]]);
            }
        }
    }

    #[test]
    fn other_lengths_have_no_kernel() {
        for key_bytes in [0, 16, 33, 160] {
            assert!(KeyKernel::new(key_bytes).is_none());
        }
    }

    #[test]
    #[should_panic(expected = "keys have 32 bytes, and one has 31")]
    fn a_key_of_another_length_is_refused() {
        KeyKernel::new(32).unwrap().estimates(&Planes::ZERO, &Terms::default(), &[&[0; 31]], &mut [0.0]);
    }
}
