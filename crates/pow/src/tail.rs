//! What stays the same while the lower half of a nonce counts up: all of the last block but one word.

/// The rounds, and the words of the schedule (FIPS 180-4, section 6.2.2).
pub(crate) const ROUNDS: usize = 64;

/// Where the halves of the nonce are in the last block.
pub(crate) const UPPER: usize = 1;
pub(crate) const LOWER: usize = 2;

/// The round constants (FIPS 180-4, section 4.2.2).
#[rustfmt::skip]
pub(crate) const K: [u32; ROUNDS] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// The first round that is left for each nonce: the state after the one before is known but for an addition.
pub(crate) const FIRST_ROUND: usize = LOWER + 1;

/// The last word of the schedule that has a fixed term: word 16.
const LAST_WITH_FIXED: usize = 32;

/// What a word of the schedule is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Padding between the end bit and the length.
    Zero,
    /// The same for every nonce with this upper half.
    Fixed,
    /// The lower half of the nonce, or derived from it.
    Varying,
}

/// The kind of each word: word 16 is the last that does not depend on word 2, the lower half.
pub(crate) const fn kind(word: usize) -> Kind {
    match word {
        LOWER | 17.. => Kind::Varying,
        4..=14 => Kind::Zero,
        _ => Kind::Fixed,
    }
}

/// The last block of a search with the upper half of the nonce in place. What each nonce would compute alike is computed
/// here, once for up to 2^32 of them.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    /// The state before the block.
    pub(crate) before: [u32; 8],
    /// The state after rounds 0 and 1, which do not see the lower half.
    pub(crate) after_two: [u32; 8],
    /// The state after round 2, if the lower half is zero: else it is to be added to `a` and to `e`.
    pub(crate) after_three: [u32; 8],
    /// The sum of what is fixed in each word of the schedule: all of it, or some terms of a varying one.
    pub(crate) fixed: [u32; ROUNDS],
    /// The sum of each round's constant and its word, as far as that is fixed before round 17.
    pub(crate) keyed: [u32; ROUNDS],
    /// The greatest first word of a hash that may win.
    pub(crate) limit: u32,
}

impl Tail {
    /// Of the state before the last block, that block's words, of which the lower half of the nonce is ignored, and
    /// the greatest first word of a hash that may win.
    pub(crate) fn new(before: [u32; 8], mut block: [u32; 16], limit: u32) -> Self {
        block[LOWER] = 0;
        let mut fixed = [0; ROUNDS];
        fixed[..16].copy_from_slice(&block);
        for t in 16..=LAST_WITH_FIXED {
            let of = |word: usize| if kind(word) == Kind::Varying { 0 } else { fixed[word] };
            let terms = [small_sigma_1(of(t - 2)), of(t - 7), small_sigma_0(of(t - 15)), of(t - 16)];
            fixed[t] = terms.into_iter().fold(0, u32::wrapping_add);
        }
        let after_two = (0..2).fold(before, |state, t| round(state, K[t].wrapping_add(block[t])));
        let after_three = round(after_two, K[2]);
        let mut keyed = K;
        for t in (0..=16).filter(|t| kind(*t) == Kind::Fixed) {
            keyed[t] = K[t].wrapping_add(fixed[t]);
        }
        Self { keyed, before, after_two, after_three, fixed, limit }
    }
}

/// One round, of the state and the sum of the round's constant and word.
fn round([a, b, c, d, e, f, g, h]: [u32; 8], keyed: u32) -> [u32; 8] {
    let sum_1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
    let sum_0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
    let choice = (e & f) ^ (!e & g);
    let majority = (a & b) ^ (a & c) ^ (b & c);
    let t1 = h.wrapping_add(sum_1).wrapping_add(choice).wrapping_add(keyed);
    let t2 = sum_0.wrapping_add(majority);
    [t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g]
}

fn small_sigma_0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

fn small_sigma_1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}
