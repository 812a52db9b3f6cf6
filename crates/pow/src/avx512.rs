//! SHA-256 of sixteen nonces side by side in vectors of 512 bits, which have rotations and functions of three operands.
//!
//! Sixteen hashes take 600 rotations and shifts, of which the processors that it was measured on (Zen 5) start two a cycle,
//! and 911 additions and functions of three: together four a cycle, which makes 1511 / 4 / 16 = 23.6 cycles a hash at
//! best. It takes 32, because each round waits for the one before: a rotation, a function of three and an addition take
//! six cycles, and the processor sees only some eight rounds ahead for other work to start meanwhile. Two vectors at a
//! time would have that work at hand, but do not fit into the 32 registers, and were slower for it.
#![allow(unsafe_code)]

use std::arch::{asm, x86_64::*};

use crate::tail::{FIRST_ROUND, Kind, ROUNDS, Tail, kind};

/// How many words a vector has.
const LANES: u32 = 16;

/// Whether this processor has AVX-512.
pub(crate) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// The offset from `first` of the first of `count` lower halves whose hash begins with a word that may win. Panics if
/// the processor does not have AVX-512.
pub(crate) fn search(tail: &Tail, first: u32, count: u32) -> Option<u32> {
    assert!(is_available(), "AVX-512 is not available");
    // SAFETY: the processor has AVX-512.
    unsafe { search_with_avx512(tail, first, count) }
}

#[target_feature(enable = "avx512f")]
fn search_with_avx512(tail: &Tail, first: u32, count: u32) -> Option<u32> {
    let mut offset = 0;
    while offset < count {
        // The last vector may reach beyond the nonces, and there beyond 2^32: those lanes do not count.
        let words = first_words(tail, first.wrapping_add(offset));
        let candidates = _mm512_cmple_epu32_mask(words, splat(tail.limit));
        if candidates != 0 {
            return Some(offset + candidates.trailing_zeros()).filter(|offset| *offset < count);
        }
        offset += LANES;
    }
    None
}

/// The first words of the hashes of consecutive lower halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn first_words(tail: &Tail, first: u32) -> __m512i {
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let lower = _mm512_add_epi32(splat(first), lanes);
    let mut words = [lower; ROUNDS];
    let [a, b, c, d, e, f, g, h] = tail.after_three.map(|word| splat(word));
    let mut state = [_mm512_add_epi32(a, lower), b, c, d, _mm512_add_epi32(e, lower), f, g, h];
    macro_rules! rounds {
        ($($t:literal)*) => { $(
            let mut word = splat(tail.keyed[$t]);
            if kind($t) == Kind::Varying {
                words[$t] = in_order(scheduled::<$t>(tail, &words));
                word = _mm512_add_epi32(word, words[$t]);
            }
            state = round(state, word);
        )* };
    }
    const { assert!(FIRST_ROUND == 3) };
    rounds!(3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33);
    rounds!(34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
    _mm512_add_epi32(state[0], splat(tail.before[0]))
}

/// One round (FIPS 180-4, section 6.2.2, step 3), of the state and the sum of the round's constant and word.
///
/// A result is known two cycles after its operation starts, so the sums are in the order that keeps the way from one
/// `e` to the next as short as it can be: a rotation, the function of three and one addition. That is why the new `a` is
/// the new `e` less `d` and so on, and why the compiler is kept from sorting the terms its own way.
#[inline]
#[target_feature(enable = "avx512f")]
fn round([a, b, c, d, e, f, g, h]: [__m512i; 8], keyed: __m512i) -> [__m512i; 8] {
    let sum_1 = parity(_mm512_ror_epi32::<6>(e), _mm512_ror_epi32::<11>(e), _mm512_ror_epi32::<25>(e));
    let sum_0 = parity(_mm512_ror_epi32::<2>(a), _mm512_ror_epi32::<13>(a), _mm512_ror_epi32::<22>(a));
    let early = in_order(_mm512_add_epi32(_mm512_add_epi32(h, keyed), d));
    let next_e = _mm512_add_epi32(in_order(_mm512_add_epi32(early, choose(e, f, g))), sum_1);
    let t1 = in_order(_mm512_sub_epi32(next_e, d));
    let next_a = _mm512_add_epi32(in_order(_mm512_add_epi32(t1, majority(a, b, c))), sum_0);
    [next_a, a, b, c, next_e, e, f, g]
}

/// A word of the schedule (FIPS 180-4, section 6.2.2, step 1): the terms that vary, and the sum of those that do not.
#[inline]
#[target_feature(enable = "avx512f")]
fn scheduled<const T: usize>(tail: &Tail, words: &[__m512i; ROUNDS]) -> __m512i {
    let varies = |word| kind(word) == Kind::Varying;
    let mut sum = None;
    let mut add = |term| sum = Some(sum.map_or(term, |sum| _mm512_add_epi32(sum, term)));
    if varies(T - 7) {
        add(words[T - 7]);
    }
    if varies(T - 16) {
        add(words[T - 16]);
    }
    if [T - 2, T - 7, T - 15, T - 16].map(kind).contains(&Kind::Fixed) {
        add(splat(tail.fixed[T]));
    }
    if varies(T - 15) {
        let x = words[T - 15];
        add(parity(_mm512_ror_epi32::<7>(x), _mm512_ror_epi32::<18>(x), _mm512_srli_epi32::<3>(x)));
    }
    if varies(T - 2) {
        let x = words[T - 2];
        add(parity(_mm512_ror_epi32::<17>(x), _mm512_ror_epi32::<19>(x), _mm512_srli_epi32::<10>(x)));
    }
    sum.unwrap_or(splat(0))
}

/// The same word in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn splat(word: u32) -> __m512i {
    _mm512_set1_epi32(word as i32)
}

// Functions of three bits are given by a table: the bit at 4a + 2b + c is the result for a, b and c.

/// The bits that an odd number of the words have.
#[inline]
#[target_feature(enable = "avx512f")]
fn parity(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0b1001_0110>(a, b, c)
}

/// The bits of `b` where `a` has ones, and those of `c` where it has none.
#[inline]
#[target_feature(enable = "avx512f")]
fn choose(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0b1100_1010>(a, b, c)
}

/// The bits that at least two of the words have.
#[inline]
#[target_feature(enable = "avx512f")]
fn majority(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0b1110_1000>(a, b, c)
}

/// The same words, in a way that the compiler does not see through: it cannot reorder a sum of which they are part, and
/// computes what goes through here in the order in which it is written, which needs the fewest registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn in_order(mut words: __m512i) -> __m512i {
    // SAFETY: there is no instruction in it, so there is nothing that it could do.
    unsafe { asm!("/* {0} */", inout(zmm_reg) words, options(nomem, nostack, preserves_flags)) }
    words
}
