//! A live replica hears any messages, from any peer: it survives, and what it holds stays bounded.

#![no_main]

use std::time::Duration;

use dtn_consensus::{
    Effect, Input, Message, Pbft, Protocol,
    pbft::{Answer, Ask},
};
use dtn_primitives::{ValidatorIndex, codec};
use dtn_simulator::{Chain, Members, Subject};

/// A few times what it may hold if all that it hears is kept as often as can be.
const MOST_PER_BYTE: usize = 64;
const MOST: usize = 1 << 20;

libfuzzer_sys::fuzz_target!(|messages: Vec<(u8, Vec<u8>)>| {
    let members = Members::new(4, Duration::from_secs(1));
    let mut replica = Pbft::create(&members, ValidatorIndex(3), &Chain::new(&members, None), None, vec![]);
    let mut heard = 0;
    for (from, bytes) in messages {
        heard += bytes.len();
        let Ok(message) = codec::decode::<Message>(&bytes, 1 << 20) else { continue };
        let mut inputs = vec![Input::Message { from: ValidatorIndex(u16::from(from) % 4), message }];
        while let Some(input) = inputs.pop() {
            for effect in replica.handle(input) {
                if let Effect::Ask(Ask::Validate { block, .. }) = effect {
                    inputs.push(Input::Answer(Answer::Validated { block_hash: block.header.hash(), valid: from % 2 == 0 }));
                }
            }
        }
    }
    assert!(replica.size() <= MOST + MOST_PER_BYTE * heard);
});
