//! PBFT's normal case among replicas whose messages are reordered, duplicated and lost, who crash and restart, and
//! one of whom lies. Every run is a function of its seed, which a failure prints.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use dtn_consensus::{Decision, Effect, Evidence, Fault, Input, Message, Pbft, PbftConfig, Protocol, Record, Timer};
use dtn_primitives::*;
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

fn keys(n: usize) -> Vec<SecretKey> {
    let mut keys: Vec<_> = (1..=n).map(|i| SecretKey::from_bytes(&[i as u8; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::address);
    keys
}

/// A replica, what it made durable and what it decided.
struct Host {
    replica: Pbft,
    records: Vec<Record>,
    decisions: Vec<Decision>,
    evidence: Vec<Evidence>,
    faults: Vec<(ValidatorIndex, Fault)>,
    up: bool,
}

/// All replicas, and the messages between them.
struct Network {
    keys: Vec<SecretKey>,
    domain: Domain,
    validators: ValidatorSet,
    hosts: Vec<Host>,
    in_flight: Vec<(ValidatorIndex, ValidatorIndex, Message)>,
    heights: u64,
    rng: StdRng,
}

impl Network {
    fn new(n: usize, heights: u64, seed: u64) -> Self {
        let keys = keys(n);
        let domain = Domain::new(B256::repeat_byte(7), 31337);
        let validators = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key));
        let mut network = Self {
            keys,
            domain,
            validators,
            hosts: Vec::new(),
            in_flight: Vec::new(),
            heights,
            rng: StdRng::seed_from_u64(seed),
        };
        for index in 0..n {
            let replica = Pbft::new(network.config(index), 0, []);
            network.hosts.push(Host {
                replica,
                records: vec![],
                decisions: vec![],
                evidence: vec![],
                faults: vec![],
                up: true,
            });
        }
        network
    }

    fn config(&self, index: usize) -> PbftConfig {
        PbftConfig {
            me: ValidatorIndex(index as u16),
            key: self.keys[index].clone(),
            domain: self.domain,
            validators: self.validators.clone(),
        }
    }

    fn block(&self, height: u64, parent_hash: B256, salt: u8) -> Arc<Block> {
        let header = Header {
            network_id: self.domain.network_id,
            chain_id: self.domain.chain_id,
            epoch: 0,
            height,
            timestamp: height,
            proposer: self.keys[0].address(),
            parent_hash,
            transactions_root: B256::repeat_byte(salt),
            results_root: B256::ZERO,
        };
        Arc::new(Block { header, transactions: vec![] })
    }

    fn tip(&self, index: usize) -> B256 {
        self.hosts[index].decisions.last().map_or(self.domain.network_id, |decision| decision.block.header.hash())
    }

    fn input(&mut self, index: usize, input: Input<Message, Timer>) {
        if !self.hosts[index].up {
            return;
        }
        let from = ValidatorIndex(index as u16);
        for effect in self.hosts[index].replica.handle(input) {
            match effect {
                Effect::Send { to, message } => self.in_flight.push((from, to, message)),
                Effect::Broadcast(message) => {
                    for to in (0..self.hosts.len()).filter(|to| *to != index) {
                        self.in_flight.push((from, ValidatorIndex(to as u16), message.clone()));
                    }
                }
                Effect::SetTimer { .. } => {}
                Effect::Persist(record) => self.hosts[index].records.push(record),
                Effect::Propose { height } => {
                    if height <= self.heights {
                        let block = self.block(height, self.tip(index), 0);
                        self.input(index, Input::Proposal(block));
                    }
                }
                Effect::Validate(block) => {
                    let valid = block.header.parent_hash == self.tip(index);
                    let block_hash = block.header.hash();
                    self.input(index, Input::Validated { block_hash, valid });
                }
                Effect::Decide(decision) => {
                    assert_eq!(decision.block.header.parent_hash, self.tip(index), "decided out of order");
                    assert_eq!(decision.certificate.block_hash, decision.block.header.hash());
                    decision
                        .certificate
                        .verify(&self.domain, &self.validators)
                        .expect("a decision's certificate holds");
                    self.hosts[index].decisions.push(decision);
                }
                Effect::Evidence(evidence) => self.hosts[index].evidence.push(*evidence),
                Effect::Fault { from, fault } => self.hosts[index].faults.push((from, fault)),
            }
        }
    }

    fn start(&mut self) {
        (0..self.hosts.len()).for_each(|index| self.input(index, Input::Start));
    }

    fn crash(&mut self, index: usize) {
        self.hosts[index].up = false;
        self.in_flight.retain(|(from, ..)| from.as_usize() != index);
    }

    fn restart(&mut self, index: usize) {
        let decided = self.hosts[index].decisions.len() as u64;
        let records = self.hosts[index].records.clone();
        self.hosts[index].replica = Pbft::new(self.config(index), decided, records);
        self.hosts[index].up = true;
        self.input(index, Input::Start);
    }

    /// Takes the missing blocks from the host that has most, as a peer that fell behind does.
    fn catch_up(&mut self, index: usize) {
        let longest = self.hosts.iter().max_by_key(|host| host.decisions.len()).unwrap().decisions.clone();
        let have = self.hosts[index].decisions.len();
        if longest.len() > have {
            self.hosts[index].decisions.extend_from_slice(&longest[have..]);
            self.input(index, Input::CaughtUp { height: longest.len() as u64 });
        }
    }

    fn deliver_one(&mut self, drop: f64, duplicate: f64) -> bool {
        if self.in_flight.is_empty() {
            return false;
        }
        let pick = self.rng.random_range(0..self.in_flight.len());
        let (from, to, message) = self.in_flight.swap_remove(pick);
        if self.rng.random_bool(drop) {
            return true;
        }
        if self.rng.random_bool(duplicate) {
            self.in_flight.push((from, to, message.clone()));
        }
        self.input(to.as_usize(), Input::Message { from, message });
        true
    }

    fn run(&mut self, drop: f64, duplicate: f64) {
        for _ in 0..200 {
            while self.deliver_one(drop, duplicate) {}
            if self.hosts.iter().filter(|host| host.up).all(|host| host.decisions.len() as u64 == self.heights) {
                return;
            }
            for index in 0..self.hosts.len() {
                self.input(index, Input::Timer(Timer::Retransmit));
                if self.rng.random_bool(0.3) && self.hosts[index].up {
                    self.catch_up(index);
                }
            }
        }
    }

    fn assert_agreement(&self) {
        let mut chosen = BTreeMap::new();
        for host in &self.hosts {
            for decision in &host.decisions {
                let hash = decision.block.header.hash();
                let first = chosen.entry(decision.block.header.height).or_insert(hash);
                assert_eq!(*first, hash, "two replicas decided differently");
            }
        }
    }

    fn assert_all_decided(&self) {
        for (index, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.up) {
            assert_eq!(host.decisions.len() as u64, self.heights, "replica {index} lacks decisions");
        }
    }
}

#[test]
fn replicas_decide_every_height_alike_and_make_no_accusations() {
    for n in [4, 5, 6, 7, 8, 10] {
        let mut network = Network::new(n, 3, n as u64);
        network.start();
        network.run(0.0, 0.0);
        network.assert_agreement();
        network.assert_all_decided();
        assert!(network.hosts.iter().all(|host| host.evidence.is_empty() && host.faults.is_empty()));
    }
}

#[test]
fn nothing_is_decided_with_one_replica_fewer_than_a_quorum() {
    for n in [4, 5, 6, 7, 8] {
        let mut network = Network::new(n, 1, 1);
        for index in quorum(n) - 1..n {
            network.crash(index);
        }
        network.start();
        network.run(0.0, 0.0);
        assert!(network.hosts.iter().all(|host| host.decisions.is_empty()), "n = {n}");
        network.restart(n - 1);
        network.run(0.0, 0.0);
        assert_eq!(network.hosts[0].decisions.len(), 1, "n = {n}: a quorum decides");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn loss_duplication_reordering_and_restarts_never_split_the_replicas(
        seed: u64, n in 4usize..8, drop in 0.0..0.3, duplicate in 0.0..0.3, crashes in prop::collection::vec((0usize..8, 0usize..60), 0..4),
    ) {
        let mut network = Network::new(n, 3, seed);
        network.start();
        for (index, after) in crashes {
            for _ in 0..after {
                network.deliver_one(drop, duplicate);
            }
            network.crash(index % n);
            for _ in 0..10 {
                network.deliver_one(drop, duplicate);
            }
            network.restart(index % n);
        }
        network.run(drop, duplicate);
        network.assert_agreement();
        network.assert_all_decided();
        for host in &network.hosts {
            prop_assert!(host.evidence.is_empty(), "a correct replica was caught contradicting itself");
            prop_assert!(host.faults.is_empty(), "{:?}", host.faults);
        }
    }

    #[test]
    fn an_equivocating_primary_splits_nobody_and_is_found_out(seed: u64, n in 4usize..8, split in 1usize..7) {
        let mut network = Network::new(n, 1, seed);
        let liar = network.validators.primary(0).as_usize();
        network.hosts[liar].up = false;
        network.start();
        let blocks = [network.block(1, network.domain.network_id, 1), network.block(1, network.domain.network_id, 2)];
        for (side, block) in blocks.iter().enumerate() {
            let hash = block.header.hash();
            let sign = |kind| Vote::sign(kind, (0, 0, 1), hash, ValidatorIndex(liar as u16), &network.keys[liar], &network.domain);
            let (pre_prepare, commit) = (sign(VoteKind::PrePrepare), sign(VoteKind::Commit));
            for to in (0..n).filter(|to| *to != liar) {
                let to_index = ValidatorIndex(to as u16);
                let from = ValidatorIndex(liar as u16);
                if (to < split) == (side == 0) {
                    network.in_flight.push((from, to_index, Message::PrePrepare { vote: pre_prepare.clone(), block: block.clone() }));
                    network.in_flight.push((from, to_index, Message::Vote(commit.clone())));
                }
            }
        }
        for _ in 0..3 {
            while network.deliver_one(0.0, 0.1) {}
            (0..n).for_each(|index| network.input(index, Input::Timer(Timer::Retransmit)));
        }
        while network.deliver_one(0.0, 0.0) {}
        network.assert_agreement();
        // Where one side was large enough to decide, the others may never hear of the second block.
        let decided = network.hosts.iter().any(|host| !host.decisions.is_empty());
        if !decided && (1..n).any(|i| i < split) && (1..n).any(|i| i >= split) {
            let evidence: Vec<_> = network.hosts.iter().flat_map(|host| &host.evidence).collect();
            prop_assert!(!evidence.is_empty());
            for evidence in evidence {
                prop_assert_eq!(evidence.first.validator.as_usize(), liar);
                prop_assert_eq!(evidence.verify(&network.domain, &network.validators), Ok(true));
            }
        }
    }
}

fn one_replica() -> (Network, Arc<Block>) {
    let mut network = Network::new(4, 1, 0);
    for index in [0, 2, 3] {
        network.hosts[index].up = false;
    }
    network.start();
    let block = network.block(1, network.domain.network_id, 0);
    (network, block)
}

#[test]
fn forged_votes_are_faults_and_count_for_nothing() {
    let (mut network, block) = one_replica();
    let hash = block.header.hash();
    let vote = |kind, by: u16, key: usize| {
        Vote::sign(kind, (0, 0, 1), hash, ValidatorIndex(by), &network.keys[key], &network.domain)
    };
    let pre_prepare = Message::PrePrepare { vote: vote(VoteKind::PrePrepare, 0, 0), block: block.clone() };
    // Validator 3 alone speaks, in its own name and in the others'.
    let forgeries: Vec<_> = [VoteKind::Prepare, VoteKind::Commit]
        .into_iter()
        .flat_map(|kind| [vote(kind, 2, 3), vote(kind, 3, 3), vote(kind, 1, 3), vote(kind, 9, 3)])
        .map(Message::Vote)
        .collect();
    let forged_commit_of_primary = Message::Vote(vote(VoteKind::Commit, 0, 3));
    let honest_commits = [vote(VoteKind::Commit, 0, 0), vote(VoteKind::Commit, 2, 2)].map(Message::Vote);
    let mut say = |message| network.input(1, Input::Message { from: ValidatorIndex(3), message });
    say(pre_prepare);
    forgeries.into_iter().for_each(&mut say);
    say(forged_commit_of_primary);
    assert!(network.hosts[1].decisions.is_empty(), "forged votes made a quorum");
    assert_eq!(network.hosts[1].faults.len(), 7, "{:?}", network.hosts[1].faults);
    for message in honest_commits {
        network.input(1, Input::Message { from: ValidatorIndex(2), message });
    }
    assert_eq!(network.hosts[1].decisions.len(), 1, "honest votes still make one");
}

#[test]
fn what_no_correct_replica_sends_is_refused_by_name() {
    let (mut network, block) = one_replica();
    let hash = block.header.hash();
    let vote = |kind, by: u16| {
        Vote::sign(kind, (0, 0, 1), hash, ValidatorIndex(by), &network.keys[usize::from(by)], &network.domain)
    };
    let other = network.block(2, network.domain.network_id, 0);
    let cases = [
        (
            Message::PrePrepare { vote: vote(VoteKind::PrePrepare, 2), block: block.clone() },
            Fault::NotPrimary(ValidatorIndex(2)),
        ),
        (Message::PrePrepare { vote: vote(VoteKind::Prepare, 0), block: block.clone() }, Fault::WrongKind),
        (Message::PrePrepare { vote: vote(VoteKind::PrePrepare, 0), block: other }, Fault::WrongBlock),
        (Message::Vote(vote(VoteKind::Prepare, 0)), Fault::PrimaryPrepared),
        (Message::Vote(vote(VoteKind::PrePrepare, 0)), Fault::WrongKind),
    ];
    for (message, fault) in cases {
        network.input(1, Input::Message { from: ValidatorIndex(2), message });
        assert_eq!(network.hosts[1].faults.pop().map(|(_, fault)| fault), Some(fault));
    }
    let unchained = network.block(1, B256::ZERO, 0);
    let pre_prepare = Vote::sign(
        VoteKind::PrePrepare,
        (0, 0, 1),
        unchained.header.hash(),
        ValidatorIndex(0),
        &network.keys[0],
        &network.domain,
    );
    network.input(
        1,
        Input::Message {
            from: ValidatorIndex(0),
            message: Message::PrePrepare { vote: pre_prepare, block: unchained },
        },
    );
    assert_eq!(network.hosts[1].faults.pop(), Some((ValidatorIndex(0), Fault::InvalidBlock)));
    assert!(network.in_flight.is_empty(), "a replica voted for an invalid block");
}

#[test]
fn a_pre_prepare_in_the_primarys_name_by_somebody_else_is_a_fault() {
    let (mut network, block) = one_replica();
    let forged = Vote::sign(
        VoteKind::PrePrepare,
        (0, 0, 1),
        block.header.hash(),
        ValidatorIndex(0),
        &network.keys[3],
        &network.domain,
    );
    let message = Message::PrePrepare { vote: forged, block };
    network.input(1, Input::Message { from: ValidatorIndex(3), message });
    assert!(matches!(network.hosts[1].faults.as_slice(), [(_, Fault::Signature(_))]), "{:?}", network.hosts[1].faults);
    assert!(network.hosts[1].records.is_empty() && network.in_flight.is_empty(), "it was accepted");
}

#[test]
fn a_commit_rests_on_the_prepares_of_a_quorum() {
    for n in [4, 5, 6, 7, 8] {
        let network = Network::new(n, 1, 0);
        let block = network.block(1, network.domain.network_id, 0);
        let hash = block.header.hash();
        let vote = |kind, by: usize| {
            let index = ValidatorIndex(by as u16);
            Vote::sign(kind, (0, 0, 1), hash, index, &network.keys[by], &network.domain)
        };
        let mut replica = Pbft::new(network.config(1), 0, []);
        let pre_prepare = Message::PrePrepare { vote: vote(VoteKind::PrePrepare, 0), block };
        let mut effects = replica.handle(Input::Message { from: ValidatorIndex(0), message: pre_prepare });
        effects.extend(replica.handle(Input::Validated { block_hash: hash, valid: true }));
        let commits = |effects: &[Effect<_, _, _, _>]| {
            let is_commit = |effect: &&Effect<Message, Record, Timer, Fault>| matches!(effect, Effect::Broadcast(Message::Vote(vote)) if vote.kind == VoteKind::Commit);
            effects.iter().filter(is_commit).count()
        };
        // The pre-prepare and its own prepare are two; others follow one by one.
        for (have, by) in (3..).zip(2..n) {
            assert_eq!(commits(&effects), 0, "n = {n}: it commits with {} of {}", have - 1, quorum(n));
            let message = Message::Vote(vote(VoteKind::Prepare, by));
            effects = replica.handle(Input::Message { from: ValidatorIndex(by as u16), message });
            if have == quorum(n) {
                assert_eq!(commits(&effects), 1, "n = {n}: it does not commit with a quorum");
                break;
            }
        }
    }
}

#[test]
fn a_vote_is_durable_before_it_is_sent_and_the_same_after_a_restart() {
    let (mut network, block) = one_replica();
    let hash = block.header.hash();
    let vote = |kind, by: u16| {
        Vote::sign(kind, (0, 0, 1), hash, ValidatorIndex(by), &network.keys[usize::from(by)], &network.domain)
    };
    let (pre_prepare, prepare) = (vote(VoteKind::PrePrepare, 0), vote(VoteKind::Prepare, 2));
    let mut replica = Pbft::new(network.config(1), 0, []);
    let mut effects = replica
        .handle(Input::Message { from: ValidatorIndex(0), message: Message::PrePrepare { vote: pre_prepare, block } });
    effects.extend(replica.handle(Input::Validated { block_hash: hash, valid: true }));
    effects.extend(replica.handle(Input::Message { from: ValidatorIndex(2), message: Message::Vote(prepare) }));

    let (mut records, mut sent) = (Vec::new(), Vec::new());
    for effect in effects {
        match effect {
            Effect::Persist(record) => records.push(record),
            Effect::Broadcast(Message::Vote(vote)) => {
                sent.push(Message::Vote(vote.clone()));
                let mut restarted = Pbft::new(network.config(1), 0, records.clone());
                let said: Vec<_> = restarted.handle(Input::Connected(ValidatorIndex(0)));
                let repeats = said.iter().any(
                    |effect| matches!(effect, Effect::Send { message, .. } if *message == Message::Vote(vote.clone())),
                );
                assert!(repeats, "a crash right after sending {:?} loses it", vote.kind);
            }
            _ => {}
        }
    }
    assert_eq!(sent.len(), 2, "a prepare and a commit");

    // After the restart another pre-prepare of the same primary changes nothing.
    let another = network.block(1, network.domain.network_id, 9);
    let conflicting = Vote::sign(
        VoteKind::PrePrepare,
        (0, 0, 1),
        another.header.hash(),
        ValidatorIndex(0),
        &network.keys[0],
        &network.domain,
    );
    let mut restarted = Pbft::new(network.config(1), 0, records);
    let effects = restarted.handle(Input::Message {
        from: ValidatorIndex(0),
        message: Message::PrePrepare { vote: conflicting, block: another },
    });
    assert!(matches!(effects.as_slice(), [Effect::Evidence(_)]), "{effects:?}");
    network.crash(1);
}

#[test]
fn a_thousand_heights_ahead_cost_no_memory() {
    let (mut network, block) = one_replica();
    let mut replica = Pbft::new(network.config(1), 0, []);
    for height in [dtn_consensus::VOTE_WINDOW + 1, 1_000_000, u64::MAX] {
        let vote = Vote::sign(
            VoteKind::Commit,
            (0, 0, height),
            block.header.hash(),
            ValidatorIndex(2),
            &network.keys[2],
            &network.domain,
        );
        assert!(replica.handle(Input::Message { from: ValidatorIndex(2), message: Message::Vote(vote) }).is_empty());
    }
    assert!(!format!("{replica:?}").contains(&block.header.hash().to_string()), "a vote beyond the window is kept");
    network.crash(1);
}
