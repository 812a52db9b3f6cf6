//! What chance decides: a run's seed, its initial weights and the order of its rows. All of it is read from ChaCha20, so
//! that who knows the seed knows the run.

use dtn_primitives::{Address, B256, keccak256};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};
use serde::{Deserialize, Serialize};

/// What a seed is hashed from after this text.
const SEED: &[u8] = b"DTN/train/seed";

/// Who trains, for what, and which of its tries it is. Two that differ in anything have other weights in every state, so that
/// a model that was copied fits nobody else's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The network of the order.
    pub network: B256,
    /// The hash of the block that opened the order, which nobody knew before.
    pub block: B256,
    /// The order.
    pub order: B256,
    /// Who trains.
    pub worker: Address,
    /// Which of the worker's tries, of which each costs a whole training.
    pub attempt: u16,
}

impl Origin {
    /// `keccak256("DTN/train/seed" ‖ network ‖ block ‖ order ‖ worker ‖ attempt)`, the attempt big-endian.
    pub fn seed(&self) -> B256 {
        let parts =
            [SEED, &self.network[..], &self.block[..], &self.order[..], &self.worker[..], &self.attempt.to_be_bytes()];
        keccak256(parts.concat())
    }
}

/// One of 2⁶⁴ streams of a seed.
pub(crate) struct Stream(ChaCha20Rng);

impl Stream {
    /// The key is the seed, the nonce the number of the stream, and the counter starts at 0.
    pub(crate) fn new(seed: B256, number: u64) -> Self {
        let mut generator = ChaCha20Rng::from_seed(seed.0);
        generator.set_stream(number);
        Self(generator)
    }

    /// A number below `bound`: the upper half of the next word times it.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(bound)) >> 32) as u32
    }
}

/// The numbers below `count` in an order that the stream decides, by Fisher and Yates from the end.
pub(crate) fn shuffled(count: u32, mut stream: Stream) -> Vec<u32> {
    let mut order: Vec<_> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last as usize, stream.below(last + 1) as usize);
    }
    order
}

/// The numbers below `count` in the order that a seed decides, by its stream 0: what is drawn are the first of them.
pub fn shuffle(seed: B256, count: u32) -> Vec<u32> {
    shuffled(count, Stream::new(seed, 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whatever_differs_in_an_origin_the_seed_differs() {
        let origin =
            Origin { network: B256::ZERO, block: B256::ZERO, order: B256::ZERO, worker: Address::ZERO, attempt: 0 };
        let one = B256::with_last_byte(1);
        let others = [
            Origin { network: one, ..origin },
            Origin { block: one, ..origin },
            Origin { order: one, ..origin },
            Origin { worker: Address::with_last_byte(1), ..origin },
            Origin { attempt: 1, ..origin },
        ];
        let mut seeds: Vec<_> = others.iter().chain([&origin]).map(Origin::seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 6);
    }

    #[test]
    fn the_stream_is_chacha20_with_the_number_as_its_nonce() {
        // The first block of RFC 8439, A.1, test vector 1: key, nonce and counter are zero.
        let mut stream = Stream::new(B256::ZERO, 0);
        assert_eq!(
            rand_chacha::rand_core::RngCore::next_u32(&mut stream.0),
            u32::from_le_bytes([0x76, 0xb8, 0xe0, 0xad])
        );
    }

    proptest! {
        #[test]
        fn a_shuffle_has_every_number_once(seed: [u8; 32], number: u64, count in 1u32..300) {
            let mut order = shuffled(count, Stream::new(seed.into(), number));
            order.sort_unstable();
            prop_assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }
}
