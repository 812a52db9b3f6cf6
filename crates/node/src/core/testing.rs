//! A core without a network, for the tests of its parts.
#![allow(clippy::unwrap_used)]

use std::{num::NonZeroUsize, time::Duration};

use dtn_ledger::Ledger;
use dtn_primitives::{Address, Block, Certificate, Genesis, SecretKey, ValidatorIndex, Vote, VoteKind};
use dtn_trainer::Library;
use tokio::sync::mpsc;

use super::{Core, CoreConfig};
use crate::{
    board::Board,
    feed::Feed,
    metrics::{Metrics, Watched},
    network::Command,
};

/// Of four validators, by index.
pub(crate) fn keys() -> Vec<SecretKey> {
    let mut keys: Vec<_> = (1..=4).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::address);
    keys
}

/// Their network, without requesters and mined blocks.
pub(crate) fn genesis() -> Genesis {
    Genesis {
        version: dtn_primitives::VERSION,
        name: "core".into(),
        chain_id: 31337,
        timestamp: 1_700_000_000_000,
        max_block_bytes: 1 << 20,
        validators: keys().iter().map(SecretKey::public_key).collect(),
        requesters: Vec::new(),
        engine: dtn_primitives::Engine::Pbft,
        kinds: Vec::new(),
        training: None,
    }
}

/// The validator with index 1, and what it asks the network for.
pub(crate) fn core(genesis: Genesis, mine: bool) -> (Core, mpsc::Receiver<Command>) {
    let (commands, received) = mpsc::channel(64);
    let config = CoreConfig {
        genesis: genesis.clone(),
        key: keys()[1].clone(),
        me: ValidatorIndex(1),
        payee: Address::repeat_byte(1),
        threads: NonZeroUsize::MIN,
        mine,
        half_work: false,
        lie: None,
        view_timeout: Duration::from_secs(60),
        metrics: Metrics::new(4, Watched { store: "none".into(), ..Watched::default() }),
        feed: Feed::new(),
        board: Board::new(),
        library: Library::new("none"),
    };
    (Core::new(config, Ledger::in_memory(genesis).unwrap(), commands).unwrap(), received)
}

/// What makes a block final: the commit votes of three.
pub(crate) fn certificate(block: &Block, genesis: &Genesis) -> Certificate {
    let (slot, hash, domain) = ((0, 0, block.header.height), block.header.hash(), genesis.domain());
    let vote =
        |(index, key): (u16, &SecretKey)| Vote::sign(VoteKind::Commit, slot, hash, ValidatorIndex(index), key, &domain);
    let votes: Vec<_> = (0..3).zip(&keys()).map(vote).collect();
    Certificate::from_votes(&votes).unwrap()
}
