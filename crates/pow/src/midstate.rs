//! One compression a nonce: all blocks of the preimage but the last are compressed once, and the last is kept with its
//! padding in place.

use std::array;

use alloy_primitives::B256;
use sha2::{compress256, digest::generic_array::GenericArray};

use crate::{
    puzzle::{NONCE_AT, PREIMAGE_BYTES},
    tail::{LOWER, Tail, UPPER},
};

/// What SHA-256 compresses at a time (FIPS 180-4).
pub(crate) const BLOCK_BYTES: usize = 64;

/// Where the last block begins.
const TAIL_AT: usize = PREIMAGE_BYTES / BLOCK_BYTES * BLOCK_BYTES;

/// The nonce's place in the last block.
const NONCE_IN_TAIL: usize = NONCE_AT - TAIL_AT;

const _: () = assert!(NONCE_AT >= TAIL_AT, "only the last block may change with the nonce");
const _: () = assert!(NONCE_IN_TAIL == 4 * UPPER && UPPER + 1 == LOWER, "the tail knows where the nonce is");
const _: () = assert!(PREIMAGE_BYTES - TAIL_AT <= 55, "the padding must fit into the last block");

/// The initial hash value (FIPS 180-4, section 5.3.3).
pub(crate) const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A puzzle, ready to be hashed with any nonce.
#[derive(Clone)]
pub(crate) struct Midstate {
    state: [u32; 8],
    tail: [u8; BLOCK_BYTES],
}

impl Midstate {
    /// Compresses all blocks but the last and pads that.
    pub(crate) fn new(preimage: &[u8; PREIMAGE_BYTES]) -> Self {
        let mut state = INITIAL;
        for block in preimage[..TAIL_AT].chunks_exact(BLOCK_BYTES) {
            compress256(&mut state, std::slice::from_ref(GenericArray::from_slice(block)));
        }
        let mut tail = [0; BLOCK_BYTES];
        let rest = &preimage[TAIL_AT..];
        tail[..rest.len()].copy_from_slice(rest);
        tail[rest.len()] = 0x80;
        tail[BLOCK_BYTES - 8..].copy_from_slice(&(8 * PREIMAGE_BYTES as u64).to_be_bytes());
        Self { state, tail }
    }

    /// The eight words of a nonce's hash, most significant first.
    pub(crate) fn words(&mut self, nonce: u64) -> [u32; 8] {
        self.tail[NONCE_IN_TAIL..NONCE_IN_TAIL + 8].copy_from_slice(&nonce.to_be_bytes());
        let mut state = self.state;
        compress256(&mut state, std::slice::from_ref(GenericArray::from_slice(&self.tail)));
        state
    }

    /// The last block of the nonces with this upper half, if no hash wins whose first word is above the limit.
    pub(crate) fn tail(&self, upper: u32, limit: u32) -> Tail {
        let (words, _) = self.tail.as_chunks();
        let mut block = array::from_fn(|word| u32::from_be_bytes(words[word]));
        block[UPPER] = upper;
        Tail::new(self.state, block, limit)
    }

    /// The hash of a nonce.
    pub(crate) fn hash(mut self, nonce: u64) -> B256 {
        bytes(self.words(nonce))
    }
}

/// The words of a hash in their order of bytes.
pub(crate) fn bytes(words: [u32; 8]) -> B256 {
    let mut hash = B256::ZERO;
    for (place, word) in hash.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    hash
}
