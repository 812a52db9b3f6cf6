//! SHA-256 of several nonces side by side, in plain Rust: each step is a loop over the nonces, which the compiler turns
//! into whatever vectors it may use.
//!
//! The rounds are in the form in which `a` and `e` are two sequences: the other variables are their earlier terms.

use crate::tail::{FIRST_ROUND, K, Kind, LOWER, ROUNDS, Tail, kind};

/// How many nonces are hashed side by side: several vectors, so that one has work while another waits for its results.
const LANES: usize = 32;

/// What a step has for each nonce.
type Row = [u32; LANES];

/// The offset from `first` of the first of `count` lower halves whose hash begins with a word that may win.
pub(crate) fn search(tail: &Tail, first: u32, count: u32) -> Option<u32> {
    Lanes::new(tail).search(tail, first, count)
}

/// The same with vectors of 256 bits.
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2 {
    #![allow(unsafe_code)]

    use super::{Lanes, Tail};

    /// Whether this processor has AVX2.
    pub(crate) fn is_available() -> bool {
        is_x86_feature_detected!("avx2")
    }

    /// See [`super::search`]. Panics if the processor does not have AVX2.
    pub(crate) fn search(tail: &Tail, first: u32, count: u32) -> Option<u32> {
        assert!(is_available(), "AVX2 is not available");
        // SAFETY: the processor has AVX2.
        unsafe { search_with_avx2(tail, first, count) }
    }

    #[target_feature(enable = "avx2")]
    fn search_with_avx2(tail: &Tail, first: u32, count: u32) -> Option<u32> {
        Lanes::new(tail).search(tail, first, count)
    }
}

struct Lanes {
    words: [Row; ROUNDS],
    /// What `a` is before round t is at t + 3, and so for `e`.
    a: [Row; ROUNDS + 4],
    e: [Row; ROUNDS + 4],
}

impl Lanes {
    /// With what is the same for all nonces in place.
    #[inline(always)]
    fn new(tail: &Tail) -> Self {
        let mut lanes = Self { words: [[0; LANES]; _], a: [[0; LANES]; _], e: [[0; LANES]; _] };
        for (t, words) in lanes.words.iter_mut().enumerate().filter(|(t, _)| kind(*t) == Kind::Fixed) {
            *words = [tail.fixed[t]; LANES];
        }
        for back in 0..4 {
            lanes.a[FIRST_ROUND + 3 - back] = [tail.after_three[back]; LANES];
            lanes.e[FIRST_ROUND + 3 - back] = [tail.after_three[4 + back]; LANES];
        }
        lanes
    }

    #[inline(always)]
    fn search(&mut self, tail: &Tail, first: u32, count: u32) -> Option<u32> {
        let mut offset = 0;
        while offset < count {
            // The last row may reach beyond the nonces, and there beyond 2^32: those lanes do not count.
            let words = self.first_words(tail, first.wrapping_add(offset));
            if words.iter().any(|word| *word <= tail.limit) {
                let lane = words.iter().position(|word| *word <= tail.limit)? as u32;
                return Some(offset + lane).filter(|offset| *offset < count);
            }
            offset += LANES as u32;
        }
        None
    }

    /// The first words of the hashes of consecutive lower halves.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "every loop is over the lanes, of several rows")]
    fn first_words(&mut self, tail: &Tail, first: u32) -> Row {
        let Self { words, a, e } = self;
        for lane in 0..LANES {
            let lower = first.wrapping_add(lane as u32);
            words[LOWER][lane] = lower;
            a[FIRST_ROUND + 3][lane] = tail.after_three[0].wrapping_add(lower);
            e[FIRST_ROUND + 3][lane] = tail.after_three[4].wrapping_add(lower);
        }
        for t in FIRST_ROUND..ROUNDS {
            if t > 16 {
                for lane in 0..LANES {
                    let word = |back: usize| words[t - back][lane];
                    let sigma_0 = word(15).rotate_right(7) ^ word(15).rotate_right(18) ^ (word(15) >> 3);
                    let sigma_1 = word(2).rotate_right(17) ^ word(2).rotate_right(19) ^ (word(2) >> 10);
                    words[t][lane] = word(16).wrapping_add(sigma_0).wrapping_add(word(7)).wrapping_add(sigma_1);
                }
            }
            for lane in 0..LANES {
                let [d, c, b, a_] = [0, 1, 2, 3].map(|term| a[t + term][lane]);
                let [h, g, f, e_] = [0, 1, 2, 3].map(|term| e[t + term][lane]);
                let sum_0 = a_.rotate_right(2) ^ a_.rotate_right(13) ^ a_.rotate_right(22);
                let sum_1 = e_.rotate_right(6) ^ e_.rotate_right(11) ^ e_.rotate_right(25);
                let choice = g ^ e_ & (f ^ g);
                let majority = a_ & b | c & (a_ | b);
                let keyed = K[t].wrapping_add(words[t][lane]);
                let t1 = h.wrapping_add(keyed).wrapping_add(choice).wrapping_add(sum_1);
                e[t + 4][lane] = d.wrapping_add(t1);
                a[t + 4][lane] = t1.wrapping_add(majority).wrapping_add(sum_0);
            }
        }
        a[ROUNDS + 3].map(|a| a.wrapping_add(tail.before[0]))
    }
}
