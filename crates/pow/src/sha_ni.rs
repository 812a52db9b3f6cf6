//! The processor's own instructions for SHA-256, on several nonces in turn.
//!
//! Two rounds take one instruction. On the processors that it was measured on (Zen 5) its result is known after four
//! cycles, and another can start every second cycle: one nonce alone leaves the unit idle half of the time, and no number
//! of them takes less than the 31 × 2 = 62 cycles a hash that the rounds from the third on take. One nonce takes 149
//! cycles, two take 81 a hash, three and four 74, six 82, because they no longer fit into the sixteen registers.
#![allow(unsafe_code)]

use std::{arch::x86_64::*, array};

use crate::tail::{K, LOWER, ROUNDS, Tail};

/// How many nonces are hashed in turn.
const NONCES: usize = 4;

/// How many words a vector has: those of four rounds.
const WORDS: usize = 4;

/// Whether this processor has the SHA extensions, and the older ones that their use takes.
pub(crate) fn is_available() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

/// The offset from `first` of the first of `count` lower halves whose hash begins with a word that may win. Panics if
/// the processor does not have what it takes.
pub(crate) fn search(tail: &Tail, first: u32, count: u32) -> Option<u32> {
    assert!(is_available(), "the SHA extensions are not available");
    // SAFETY: the processor has them.
    unsafe { search_with_sha(tail, first, count) }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn search_with_sha(tail: &Tail, first: u32, count: u32) -> Option<u32> {
    let mut offset = 0;
    while offset < count {
        // The last ones may be beyond the nonces, and there beyond 2^32: those do not count.
        let words: [u32; NONCES] = first_words(tail, first.wrapping_add(offset));
        if let Some(nonce) = words.iter().position(|word| *word <= tail.limit) {
            return Some(offset + nonce as u32).filter(|offset| *offset < count);
        }
        offset += NONCES as u32;
    }
    None
}

/// The first words of the hashes of consecutive lower halves.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn first_words<const N: usize>(tail: &Tail, first: u32) -> [u32; N] {
    let fixed: [_; 8] = array::from_fn(|group| four(&tail.fixed, group));
    let mut words = [[fixed[0]; N]; ROUNDS / WORDS];
    for group in 1..4 {
        words[group] = [fixed[group]; N];
    }
    for (nonce, words) in words[0].iter_mut().enumerate() {
        *words = _mm_insert_epi32::<{ LOWER as i32 }>(fixed[0], first.wrapping_add(nonce as u32) as i32);
    }
    let [a, b, c, d, e, f, g, h] = tail.after_two;
    // Two rounds make a new `abef`, and the old one is the new `cdgh`.
    let mut abef = [four(&[f, e, b, a], 0); N];
    let mut cdgh = [four(&[h, g, d, c], 0); N];
    macro_rules! two_rounds {
        ($keyed:expr) => {
            for nonce in 0..N {
                let next = _mm_sha256rnds2_epu32(cdgh[nonce], abef[nonce], $keyed(nonce));
                (abef[nonce], cdgh[nonce]) = (next, abef[nonce]);
            }
        };
    }
    macro_rules! four_rounds {
        ($($group:literal)*) => { $(
            if $group >= 4 {
                for nonce in 0..N {
                    let [w16, w12, w8, w4] = [4, 3, 2, 1].map(|back| words[$group - back][nonce]);
                    // Words 4..=14 are zero and word 16 is fixed: in the first groups most terms are known.
                    let sum = match $group {
                        4 => _mm_sha256msg1_epu32(w16, w12),
                        5 => fixed[5],
                        6 => _mm_alignr_epi8::<4>(w4, w8),
                        7 => _mm_add_epi32(fixed[7], _mm_alignr_epi8::<4>(w4, w8)),
                        _ => _mm_add_epi32(_mm_sha256msg1_epu32(w16, w12), _mm_alignr_epi8::<4>(w4, w8)),
                    };
                    words[$group][nonce] = _mm_sha256msg2_epu32(sum, w4);
                }
            }
            let keyed = |nonce: usize| match $group {
                1..4 => four(&tail.keyed, $group),
                _ => _mm_add_epi32(words[$group][nonce], four(&K, $group)),
            };
            // The first two rounds are done.
            if $group > 0 {
                two_rounds!(keyed);
            }
            two_rounds!(|nonce| _mm_shuffle_epi32::<0b11_10>(keyed(nonce)));
        )* };
    }
    four_rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    abef.map(|abef| tail.before[0].wrapping_add(_mm_extract_epi32::<3>(abef) as u32))
}

/// A group of four words, the first in the lowest lane.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn four(words: &[u32], group: usize) -> __m128i {
    let [a, b, c, d] = array::from_fn(|word| words[group * WORDS + word] as i32);
    _mm_setr_epi32(a, b, c, d)
}
