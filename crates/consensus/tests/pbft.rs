//! PBFT's normal case among replicas whose messages are reordered, duplicated and lost, who crash and restart, and
//! one of whom lies. Every run is a function of its seed, which a failure prints.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use dtn_consensus::{
    CHECKPOINT_INTERVAL, Decision, Effect, Evidence, Fault, Input, LOG_WINDOW, Message, NewView, PIPELINE, Pbft,
    PbftConfig, PreparedCertificate, Protocol, RETRANSMIT, Record, Timer, ViewChange, ViewChangeError, required,
};
use dtn_primitives::*;
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

fn keys(n: usize) -> Vec<SecretKey> {
    let mut keys: Vec<_> = (1..=n).map(|i| SecretKey::from_bytes(&[i as u8; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::address);
    keys
}

fn state_root(height: u64) -> B256 {
    keccak256(height.to_be_bytes())
}

/// A replica, what it made durable and what it decided.
struct Host {
    replica: Pbft,
    records: Vec<Record>,
    decisions: Vec<Decision>,
    /// The blocks that it proposed or found valid.
    valid: BTreeSet<B256>,
    stable: Option<CheckpointCertificate>,
    evidence: Vec<Evidence>,
    faults: Vec<(ValidatorIndex, Fault)>,
    /// The round in which its view's timer expires, if it runs.
    expires: Option<u32>,
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
    /// Rounds of [`Network::run`]; each lasts as long as replicas wait before they say things again.
    round: u32,
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
            round: 0,
            rng: StdRng::seed_from_u64(seed),
        };
        for index in 0..n {
            let replica = Pbft::new(network.config(index), None, None, []);
            network.hosts.push(Host {
                replica,
                records: vec![],
                decisions: vec![],
                valid: BTreeSet::new(),
                stable: None,
                evidence: vec![],
                faults: vec![],
                expires: None,
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
            view_timeout: Duration::from_secs(1),
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
            transactions_root: B256::ZERO,
            results_root: B256::repeat_byte(salt),
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
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.hosts[index].replica.handle(input) {
                inputs.extend(self.carry_out(index, effect));
            }
        }
    }

    /// Carries out one effect and gives the answer that it asks for, if any.
    fn carry_out(
        &mut self,
        index: usize,
        effect: Effect<Message, Record, Timer, Fault>,
    ) -> Option<Input<Message, Timer>> {
        let from = ValidatorIndex(index as u16);
        match effect {
            Effect::Send { to, message } => self.in_flight.push((from, to, message)),
            Effect::Broadcast(message) => {
                for to in (0..self.hosts.len()).filter(|to| *to != index) {
                    self.in_flight.push((from, ValidatorIndex(to as u16), message.clone()));
                }
            }
            Effect::SetTimer { timer: Timer::ViewChange, after } => {
                let rounds = after.as_millis() / RETRANSMIT.as_millis();
                self.hosts[index].expires = Some(self.round + rounds as u32);
            }
            Effect::SetTimer { timer: Timer::Retransmit, .. } => {}
            Effect::CancelTimer(timer) => {
                assert_eq!(timer, Timer::ViewChange);
                self.hosts[index].expires = None;
            }
            Effect::Persist(record) => self.hosts[index].records.push(record),
            Effect::Propose { height, parent } => {
                if height <= self.heights {
                    let block = self.block(height, parent, 0);
                    self.hosts[index].valid.insert(block.header.hash());
                    return Some(Input::Proposal(block));
                }
            }
            Effect::Validate(block) => {
                let (parent, block_hash) = (block.header.parent_hash, block.header.hash());
                let valid = parent == self.tip(index) || self.hosts[index].valid.contains(&parent);
                if valid {
                    self.hosts[index].valid.insert(block_hash);
                }
                return Some(Input::Validated { block_hash, valid });
            }
            Effect::Decide(decision) => {
                assert_eq!(decision.block.header.parent_hash, self.tip(index), "decided out of order");
                assert_eq!(decision.certificate.block_hash, decision.block.header.hash());
                decision.certificate.verify(&self.domain, &self.validators).expect("a decision's certificate holds");
                let height = decision.block.header.height;
                self.hosts[index].decisions.push(decision);
                if height.is_multiple_of(CHECKPOINT_INTERVAL) {
                    return Some(Input::Checkpoint { height, state_root: state_root(height) });
                }
            }
            Effect::Stable(certificate) => {
                certificate.verify(&self.domain, &self.validators).expect("a stable checkpoint holds");
                self.hosts[index].stable = Some(certificate);
            }
            Effect::Evidence(evidence) => self.hosts[index].evidence.push(*evidence),
            Effect::Fault { from, fault } => self.hosts[index].faults.push((from, fault)),
        }
        None
    }

    fn start(&mut self) {
        (0..self.hosts.len()).for_each(|index| self.input(index, Input::Start));
    }

    fn crash(&mut self, index: usize) {
        self.hosts[index].up = false;
        self.in_flight.retain(|(from, ..)| from.as_usize() != index);
    }

    fn restart(&mut self, index: usize) {
        let certificate = self.hosts[index].decisions.last().map(|decision| decision.certificate.clone());
        let records = self.hosts[index].records.clone();
        let stable = self.hosts[index].stable.clone();
        self.hosts[index].replica = Pbft::new(self.config(index), certificate, stable, records);
        self.hosts[index].valid.clear();
        self.hosts[index].up = true;
        self.hosts[index].expires = None;
        self.input(index, Input::Start);
        self.input(index, Input::Waiting(true));
    }

    /// Takes the missing blocks from the host that has most, as a peer that fell behind does.
    fn catch_up(&mut self, index: usize) {
        let longest = self.hosts.iter().max_by_key(|host| host.decisions.len()).unwrap().decisions.clone();
        let have = self.hosts[index].decisions.len();
        if longest.len() > have {
            self.hosts[index].decisions.extend_from_slice(&longest[have..]);
            self.input(index, Input::CaughtUp(longest[longest.len() - 1].certificate.clone()));
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
        for _ in 0..5_000 {
            while self.deliver_one(drop, duplicate) {}
            if self.hosts.iter().filter(|host| host.up).all(|host| host.decisions.len() as u64 == self.heights) {
                return;
            }
            for index in 0..self.hosts.len() {
                self.input(index, Input::Timer(Timer::Retransmit));
                if self.rng.random_bool(0.3) && self.hosts[index].up {
                    self.catch_up(index);
                }
                let waiting = (self.hosts[index].decisions.len() as u64) < self.heights;
                self.input(index, Input::Waiting(waiting));
            }
            self.round += 1;
            for index in 0..self.hosts.len() {
                if self.hosts[index].expires.is_some_and(|round| round <= self.round) {
                    self.expire(index);
                }
            }
        }
    }

    /// The view's timer of a replica expires, if it runs.
    fn expire(&mut self, index: usize) {
        if self.hosts[index].expires.take().is_some() {
            self.input(index, Input::Timer(Timer::ViewChange));
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
                prop_assert_eq!(evidence.verify(&network.domain, &network.validators), Ok(()));
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
    assert_eq!(network.hosts[1].faults.pop(), Some((ValidatorIndex(0), Fault::NotChained)));
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
        let mut replica = Pbft::new(network.config(1), None, None, []);
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
    let mut replica = Pbft::new(network.config(1), None, None, []);
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
                let mut restarted = Pbft::new(network.config(1), None, None, records.clone());
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
    let mut restarted = Pbft::new(network.config(1), None, None, records);
    let effects = restarted.handle(Input::Message {
        from: ValidatorIndex(0),
        message: Message::PrePrepare { vote: conflicting, block: another },
    });
    assert!(matches!(effects.as_slice(), [Effect::Evidence(_), Effect::SetTimer { .. }]), "{effects:?}");
    network.crash(1);
}

#[test]
fn a_thousand_heights_ahead_cost_no_memory() {
    let (mut network, block) = one_replica();
    let mut replica = Pbft::new(network.config(1), None, None, []);
    for height in [LOG_WINDOW + 1, 1_000_000, u64::MAX] {
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

// View changes.

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn with_f_replicas_down_for_good_primaries_among_them_the_others_decide_everything(
        seed: u64, n in 4usize..8, first in 0usize..9, drop in 0.0..0.2, after in 0usize..40,
    ) {
        let mut network = Network::new(n, 3, seed);
        network.start();
        for _ in 0..after {
            network.deliver_one(drop, 0.1);
        }
        for offset in 0..max_faulty(n) {
            network.crash((first + offset) % n);
        }
        network.run(drop, 0.1);
        network.assert_agreement();
        network.assert_all_decided();
        prop_assert!(network.hosts.iter().all(|host| host.evidence.is_empty() && host.faults.is_empty()));
    }

    #[test]
    fn views_that_end_at_any_moment_never_split_the_replicas(
        seed: u64, n in 4usize..8, drop in 0.0..0.3, steps in prop::collection::vec((0usize..8, 0usize..25, any::<bool>()), 0..12),
    ) {
        let mut network = Network::new(n, 3, seed);
        network.start();
        (0..n).for_each(|index| network.input(index, Input::Waiting(true)));
        for (index, after, restart) in steps {
            for _ in 0..after {
                network.deliver_one(drop, 0.1);
            }
            let index = index % n;
            network.expire(index);
            if restart {
                network.crash(index);
                network.restart(index);
            }
        }
        network.run(drop, 0.1);
        network.assert_agreement();
        network.assert_all_decided();
        for host in &network.hosts {
            prop_assert!(host.evidence.is_empty(), "a correct replica was caught contradicting itself");
            prop_assert!(host.faults.is_empty(), "{:?}", host.faults);
        }
    }

    #[test]
    fn after_an_equivocating_primary_the_next_one_leads_everybody_to_one_block(seed: u64, n in 4usize..8, split in 1usize..7) {
        let mut network = Network::new(n, 2, seed);
        let liar = network.validators.primary(0).as_usize();
        network.hosts[liar].up = false;
        network.start();
        for salt in [1, 2] {
            let block = network.block(1, network.domain.network_id, salt);
            let hash = block.header.hash();
            let index = ValidatorIndex(liar as u16);
            let sign = |kind| Vote::sign(kind, (0, 0, 1), hash, index, &network.keys[liar], &network.domain);
            let (pre_prepare, commit) = (sign(VoteKind::PrePrepare), sign(VoteKind::Commit));
            for to in (0..n).filter(|to| *to != liar && (*to < split) == (salt == 1)) {
                let to = ValidatorIndex(to as u16);
                let message = Message::PrePrepare { vote: pre_prepare.clone(), block: block.clone() };
                network.in_flight.push((index, to, message));
                network.in_flight.push((index, to, Message::Vote(commit.clone())));
            }
        }
        network.run(0.0, 0.1);
        network.assert_agreement();
        network.assert_all_decided();
    }
}

/// Three of four replicas prepared a block in view 0 and nobody decided it: what each of them says when it leaves.
fn prepared_view_changes(network: &Network, block: &Arc<Block>) -> Vec<(ViewChange, Vec<Arc<Block>>)> {
    let hash = block.header.hash();
    let vote = |kind, by: usize| {
        Vote::sign(kind, (0, 0, 1), hash, ValidatorIndex(by as u16), &network.keys[by], &network.domain)
    };
    let prepared = PreparedCertificate {
        header: block.header.clone(),
        pre_prepare: vote(VoteKind::PrePrepare, 0),
        prepares: vec![vote(VoteKind::Prepare, 1), vote(VoteKind::Prepare, 2)],
    };
    let sign = |by: usize, prepared: Option<PreparedCertificate>| {
        let blocks = prepared.iter().map(|_| block.clone()).collect();
        let signer = (&network.keys[by], &network.domain, 0);
        (ViewChange::sign(1, ValidatorIndex(by as u16), None, prepared.into_iter().collect(), signer), blocks)
    };
    vec![sign(0, None), sign(2, Some(prepared)), sign(3, None)]
}

#[test]
fn a_prepared_block_is_what_the_next_view_begins_with() {
    let network = Network::new(4, 1, 0);
    let block = network.block(1, network.domain.network_id, 7);
    let mut primary = Pbft::new(network.config(1), None, None, []);
    let mut effects = Vec::new();
    for (change, blocks) in prepared_view_changes(&network, &block) {
        let from = change.validator;
        effects.extend(primary.handle(Input::Message { from, message: Message::ViewChange { change, blocks } }));
    }
    let new_view = effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Broadcast(Message::NewView(new_view)) => Some(new_view.clone()),
            _ => None,
        })
        .expect("a quorum asks, so the view begins");
    new_view.verify(&network.domain, &network.validators, |_| false, None).unwrap();
    let proposed: Vec<_> = new_view.proposals.iter().map(|(vote, _)| vote.block_hash).collect();
    assert_eq!(proposed, [block.header.hash()]);

    // A primary that leaves the prepared block out, or puts another in its place, finds no follower.
    let signer = (&network.keys[1], &network.domain, 0);
    let silent = NewView::sign(1, new_view.view_changes.clone(), vec![], signer);
    let other = network.block(1, network.domain.network_id, 8);
    let vote = Vote::sign(
        VoteKind::PrePrepare,
        (0, 1, 1),
        other.header.hash(),
        ValidatorIndex(1),
        &network.keys[1],
        &network.domain,
    );
    let exchanged = NewView::sign(1, new_view.view_changes.clone(), vec![(vote.clone(), other.clone())], signer);
    let too_few = NewView::sign(1, new_view.view_changes[..2].to_vec(), vec![], signer);
    let usurped = NewView::sign(
        1,
        new_view.view_changes.clone(),
        new_view.proposals.clone(),
        (&network.keys[2], &network.domain, 0),
    );
    let cases = [
        (silent, ViewChangeError::Proposal),
        (exchanged, ViewChangeError::Proposal),
        (too_few, ViewChangeError::Quorum),
        (usurped, ViewChangeError::Signature(KeyError::WrongSigner(network.keys[1].address()))),
    ];
    let mut backup = Pbft::new(network.config(3), None, None, []);
    for (lie, error) in cases {
        let effects = backup.handle(Input::Message { from: ValidatorIndex(1), message: Message::NewView(lie) });
        assert!(
            matches!(&effects[..], [Effect::Fault { fault: Fault::ViewChange(found), .. }] if *found == error),
            "{effects:?}"
        );
        assert_eq!(backup.view(), 0);
    }
    let entered = backup.handle(Input::Message { from: ValidatorIndex(1), message: Message::NewView(new_view) });
    assert!(entered.iter().any(|effect| matches!(effect, Effect::Validate(found) if *found == block)), "{entered:?}");

    // In that view no other block is accepted at that height, even by a replica that has restarted since.
    let records: Vec<_> = entered
        .into_iter()
        .filter_map(|effect| if let Effect::Persist(record) = effect { Some(record) } else { None })
        .collect();
    let mut restarted = Pbft::new(network.config(3), None, None, records);
    let effects = restarted
        .handle(Input::Message { from: ValidatorIndex(1), message: Message::PrePrepare { vote, block: other } });
    assert!(matches!(&effects[..], [Effect::Fault { fault: Fault::NotRequired, .. }]), "{effects:?}");
}

#[test]
fn view_changes_that_do_not_hold_are_faults_and_move_nobody() {
    let network = Network::new(4, 1, 0);
    let block = network.block(1, network.domain.network_id, 7);
    let (good, body) = prepared_view_changes(&network, &block).remove(1);
    let resign = |mut change: ViewChange| {
        change.signature = network.keys[2].sign(change.digest(&network.domain, 0));
        change
    };
    let mut forged = good.clone();
    forged.validator = ValidatorIndex(3);
    let mut below_quorum = good.clone();
    below_quorum.prepared[0].prepares.truncate(1);
    let mut counted_twice = good.clone();
    let twice = &mut counted_twice.prepared[0];
    twice.prepares[1] = twice.prepares[0].clone();
    let mut stolen = good.clone();
    stolen.prepared[0].pre_prepare.signature = network.keys[3].sign(B256::ZERO);
    let mut another_header = good.clone();
    another_header.prepared[0].header.timestamp += 1;
    let mut off_chain = good.clone();
    off_chain.prepared[0].header.parent_hash = B256::ZERO;
    let mut same_view = good.clone();
    same_view.view = 0;
    let cases = [
        ("another's name", forged, body.clone()),
        ("too few prepares", resign(below_quorum), body.clone()),
        ("one prepare twice", resign(counted_twice), body.clone()),
        ("a forged pre-prepare", resign(stolen), body.clone()),
        ("another block's header", resign(another_header), body.clone()),
        ("a block on top of nothing", resign(off_chain), body.clone()),
        ("no block", good.clone(), vec![]),
        ("another block", good.clone(), vec![network.block(1, network.domain.network_id, 9)]),
    ];
    for (what, change, blocks) in cases {
        let mut replica = Pbft::new(network.config(1), None, None, []);
        let effects =
            replica.handle(Input::Message { from: ValidatorIndex(2), message: Message::ViewChange { change, blocks } });
        assert!(matches!(&effects[..], [Effect::Fault { .. }]), "{what}: {effects:?}");
    }
    assert!(
        resign(same_view).verify(&network.domain, &network.validators, None).is_err(),
        "prepared in the view that it asks for"
    );
}

#[test]
fn a_replica_that_asked_for_a_view_votes_in_no_lower_one_even_after_a_restart() {
    let (mut network, block) = one_replica();
    let vote = Vote::sign(
        VoteKind::PrePrepare,
        (0, 0, 1),
        block.header.hash(),
        ValidatorIndex(0),
        &network.keys[0],
        &network.domain,
    );
    let mut replica = Pbft::new(network.config(1), None, None, []);
    let mut effects = replica.handle(Input::Waiting(true));
    effects.extend(replica.handle(Input::Timer(Timer::ViewChange)));
    let persisted = effects.iter().position(|effect| matches!(effect, Effect::Persist(Record::View(_))));
    let sent = effects.iter().position(|effect| matches!(effect, Effect::Broadcast(Message::ViewChange { .. })));
    assert!(persisted.is_some() && persisted < sent, "durable before it is sent: {effects:?}");
    let records: Vec<_> = effects
        .into_iter()
        .filter_map(|effect| if let Effect::Persist(record) = effect { Some(record) } else { None })
        .collect();
    for mut replica in [replica, Pbft::new(network.config(1), None, None, records)] {
        assert_eq!(replica.view(), 1);
        let message = Message::PrePrepare { vote: vote.clone(), block: block.clone() };
        assert!(replica.handle(Input::Message { from: ValidatorIndex(0), message }).is_empty());
    }
    network.crash(1);
}

#[test]
fn a_lone_timeout_moves_nobody_and_f_plus_one_move_all() {
    let mut network = Network::new(4, 1, 0);
    network.hosts[0].up = false;
    network.start();
    (0..4).for_each(|index| network.input(index, Input::Waiting(true)));
    network.expire(3);
    while network.deliver_one(0.0, 0.0) {}
    assert_eq!([1, 2].map(|index| network.hosts[index].replica.view()), [0, 0]);
    assert!(network.hosts[3].expires.is_none(), "alone it does not run ahead");
    network.expire(2);
    while network.deliver_one(0.0, 0.0) {}
    assert_eq!([1, 2, 3].map(|index| network.hosts[index].replica.view()), [1, 1, 1]);
    network.run(0.0, 0.0);
    network.assert_all_decided();
}

/// A view change as its sender states it, with no regard to signatures: what it has prepared, from height 1 on, as views
/// and salts.
fn stated(network: &Network, by: usize, decided: Option<Certificate>, prepared: &[(u64, u8)]) -> ViewChange {
    let mut parent = network.domain.network_id;
    let prepare = |(height, (view, salt)): (u64, &(u64, u8))| {
        let block = network.block(height, parent, *salt);
        parent = block.header.hash();
        let primary = network.validators.primary(*view);
        let key = &network.keys[primary.as_usize()];
        let pre_prepare = Vote::sign(VoteKind::PrePrepare, (0, *view, height), parent, primary, key, &network.domain);
        PreparedCertificate { header: block.header.clone(), pre_prepare, prepares: vec![] }
    };
    let prepared = (1..).zip(prepared).map(prepare).collect();
    ViewChange::sign(3, ValidatorIndex(by as u16), decided, prepared, (&network.keys[by], &network.domain, 0))
}

fn decided_first_block(network: &Network) -> Certificate {
    let hash = network.block(1, network.domain.network_id, 0).header.hash();
    let commit = |by: usize| {
        let index = ValidatorIndex(by as u16);
        Vote::sign(VoteKind::Commit, (0, 0, 1), hash, index, &network.keys[by], &network.domain)
    };
    Certificate::from_votes(&[commit(0), commit(1), commit(2)]).unwrap()
}

#[test]
fn the_blocks_prepared_in_the_highest_views_above_the_highest_decision_are_required() {
    let network = Network::new(4, 1, 0);
    let hash = |height, parent, salt| network.block(height, parent, salt).header.hash();
    let genesis = network.domain.network_id;
    let [old, new] = [hash(1, genesis, 1), hash(1, genesis, 2)];
    let change = |by, prepared: &[(u64, u8)]| stated(&network, by, None, prepared);
    for changes in [
        [change(0, &[(0, 1)]), change(1, &[(2, 2)]), change(2, &[])],
        [change(0, &[(2, 2)]), change(1, &[(0, 1)]), change(2, &[])],
        [change(0, &[]), change(1, &[(0, 1)]), change(2, &[(2, 2)])],
    ] {
        assert_eq!(required(&changes, &network.domain), (0, vec![new]));
    }
    assert_eq!(required(&[change(0, &[]), change(1, &[]), change(2, &[])], &network.domain), (0, vec![]));

    // What is prepared above belongs to it only if it is on top of it.
    let above_new = hash(2, new, 4);
    for changes in [
        [change(0, &[(0, 1), (1, 3)]), change(1, &[(2, 2), (1, 4)]), change(2, &[])],
        [change(0, &[(0, 1), (2, 3)]), change(1, &[(1, 2), (0, 4)]), change(2, &[])],
    ] {
        assert_eq!(required(&changes, &network.domain), (0, vec![new, above_new]));
    }
    assert_eq!(
        required(&[change(0, &[(1, 1), (1, 3)]), change(1, &[(0, 2), (0, 4)])], &network.domain).1,
        [old, hash(2, old, 3)]
    );
    let decided = stated(&network, 3, Some(decided_first_block(&network)), &[]);
    let changes = [change(0, &[(0, 1)]), change(1, &[(2, 2)]), decided];
    assert_eq!(required(&changes, &network.domain), (1, vec![]), "height 1 is decided");
}

#[test]
fn several_blocks_are_under_way_at_once_and_committed_in_order() {
    let network = Network::new(4, 9, 0);
    let mut primary = Pbft::new(network.config(0), None, None, []);
    let mut effects = primary.handle(Input::Start);
    let mut blocks = Vec::new();
    while let Some(Effect::Propose { height, parent }) = effects.last().cloned() {
        let block = network.block(height, parent, 0);
        blocks.push(block.clone());
        effects = primary.handle(Input::Proposal(block));
        effects.retain(|effect| !matches!(effect, Effect::SetTimer { .. }));
    }
    assert_eq!(blocks.len() as u64, PIPELINE);
    let vote = |kind, height: usize, by: usize| {
        let (hash, index) = (blocks[height - 1].header.hash(), ValidatorIndex(by as u16));
        let vote = Vote::sign(kind, (0, 0, height as u64), hash, index, &network.keys[by], &network.domain);
        Input::Message { from: index, message: Message::Vote(vote) }
    };
    // The second block has every vote that it needs; the first has none.
    let mut effects = Vec::new();
    for input in [1, 2].into_iter().flat_map(|by| [VoteKind::Prepare, VoteKind::Commit].map(|kind| vote(kind, 2, by))) {
        effects.extend(primary.handle(input));
    }
    let said = |effect: &Effect<_, _, _, _>| !matches!(effect, Effect::SetTimer { .. } | Effect::Propose { .. });
    assert!(!effects.iter().any(said), "{effects:?}");
    for input in [1, 2].into_iter().flat_map(|by| [VoteKind::Prepare, VoteKind::Commit].map(|kind| vote(kind, 1, by))) {
        effects.extend(primary.handle(input));
    }
    let heights = |of: fn(&Effect<_, Record, _, _>) -> Option<u64>| effects.iter().filter_map(of).collect::<Vec<_>>();
    let prepared = heights(|effect| match effect {
        Effect::Persist(Record::Prepared(certificate)) => Some(certificate.header.height),
        _ => None,
    });
    let decided = heights(|effect| match effect {
        Effect::Decide(Decision { block, .. }) => Some(block.header.height),
        _ => None,
    });
    assert_eq!((prepared, decided), (vec![1, 2], vec![1, 2]));
    assert_eq!(primary.decided(), 2);
}

#[test]
fn a_checkpoint_is_stable_with_a_quorum_for_the_same_state_and_moves_the_window() {
    let network = Network::new(4, 1, 0);
    let vote = |by: usize, height: u64, root: u8| {
        let index = ValidatorIndex(by as u16);
        let root = B256::repeat_byte(root);
        let vote = Vote::sign(VoteKind::Checkpoint, (0, 0, height), root, index, &network.keys[by], &network.domain);
        Input::Message { from: index, message: Message::Checkpoint(vote) }
    };
    let stable = |replica: &Pbft| replica.stable().map(|stable| (stable.height, stable.state_root));
    let (k, root) = (CHECKPOINT_INTERVAL, B256::repeat_byte(1));
    let mut replica = Pbft::new(network.config(1), None, None, []);
    let effects = replica.handle(Input::Checkpoint { height: k, state_root: root });
    let records: Vec<_> = effects
        .iter()
        .filter_map(|effect| if let Effect::Persist(record) = effect { Some(record.clone()) } else { None })
        .collect();
    assert!(matches!(&effects[..], [Effect::Persist(_), Effect::Broadcast(Message::Checkpoint(_)), ..]), "{effects:?}");
    for input in [vote(0, k, 2), vote(2, k, 1), vote(2, k, 1), vote(3, k, 2)] {
        assert!(!replica.handle(input).iter().any(|effect| matches!(effect, Effect::Stable(_))));
        assert_eq!(stable(&replica), None, "f + 1 for one state and f + 1 for another are a quorum for none");
    }
    let effects = replica.handle(vote(0, k, 1));
    assert!(matches!(&effects[..], [Effect::Evidence(_)]), "{effects:?}");

    // A restart does not lose what it said; then a third vote for the same state makes it stable.
    let mut replica = Pbft::new(network.config(1), None, None, records);
    for input in [vote(2, k, 1), vote(3, k, 1)] {
        replica.handle(input).into_iter().for_each(drop);
    }
    assert_eq!(stable(&replica), Some((k, root)));
    let certificate = replica.stable().unwrap().clone();
    certificate.verify(&network.domain, &network.validators).unwrap();

    // Whoever still asks for it is told; a lie about it is a fault; and its proof convinces a replica that missed it.
    let told = replica.handle(vote(0, k, 1));
    assert!(
        matches!(&told[..], [Effect::Send { message: Message::Stable(told), .. }] if *told == certificate),
        "{told:?}"
    );
    let mut behind = Pbft::new(network.config(2), None, None, []);
    let mut too_few = certificate.clone();
    too_few.signatures.pop();
    let mut another = certificate.clone();
    another.state_root = B256::ZERO;
    let mut off_interval = certificate.clone();
    off_interval.height += 1;
    let from = ValidatorIndex(1);
    for lie in [too_few, another, off_interval] {
        let effects = behind.handle(Input::Message { from, message: Message::Stable(lie) });
        assert!(matches!(&effects[..], [Effect::Fault { .. }]), "{effects:?}");
        assert_eq!(stable(&behind), None);
    }
    let effects = behind.handle(Input::Message { from, message: Message::Stable(certificate) });
    assert!(matches!(&effects[..], [Effect::Stable(_)]), "{effects:?}");
    let effects = behind.handle(vote(3, k + 1, 1));
    assert!(matches!(&effects[..], [Effect::Fault { fault: Fault::NotCheckpoint(_), .. }]), "{effects:?}");

    // Votes count up to the window above it.
    let mark = |height| {
        let vote =
            Vote::sign(VoteKind::Commit, (0, 0, height), B256::repeat_byte(9), from, &network.keys[1], &network.domain);
        Input::Message { from, message: Message::Vote(vote) }
    };
    let kept = |replica: &Pbft| format!("{replica:?}").contains(&B256::repeat_byte(9).to_string());
    behind.handle(mark(k + LOG_WINDOW + 1)).into_iter().for_each(drop);
    assert!(!kept(&behind));
    behind.handle(mark(k + LOG_WINDOW)).into_iter().for_each(drop);
    assert!(kept(&behind));
}

#[test]
fn a_replica_that_forgot_what_it_said_is_silent_until_it_cannot_matter() {
    let (network, block) = one_replica();
    let hash = block.header.hash();
    let vote = |kind, by: usize| {
        let index = ValidatorIndex(by as u16);
        Vote::sign(kind, (0, 0, 1), hash, index, &network.keys[by], &network.domain)
    };
    let mut replica = Pbft::new(network.config(1), None, None, []);
    let mut effects = replica.handle(Input::VoteFrom(2));
    let from = ValidatorIndex(0);
    let pre_prepare = Message::PrePrepare { vote: vote(VoteKind::PrePrepare, 0), block: block.clone() };
    effects.extend(replica.handle(Input::Message { from, message: pre_prepare }));
    effects.extend(replica.handle(Input::Validated { block_hash: hash, valid: true }));
    for by in [0, 2, 3] {
        for kind in
            [VoteKind::Prepare, VoteKind::Commit].into_iter().filter(|kind| (by, *kind) != (0, VoteKind::Prepare))
        {
            effects.extend(replica.handle(Input::Message { from, message: Message::Vote(vote(kind, by)) }));
        }
    }
    assert_eq!(replica.decided(), 1, "it follows");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Broadcast(_) | Effect::Persist(_))), "{effects:?}");
    let next = network.block(2, hash, 0);
    let next_vote =
        Vote::sign(VoteKind::PrePrepare, (0, 0, 2), next.header.hash(), from, &network.keys[0], &network.domain);
    let message = Message::PrePrepare { vote: next_vote, block: next.clone() };
    replica.handle(Input::Message { from, message }).into_iter().for_each(drop);
    let effects = replica.handle(Input::Validated { block_hash: next.header.hash(), valid: true });
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Broadcast(Message::Vote(_)))), "{effects:?}");
}

#[test]
fn in_a_new_view_nothing_is_accepted_at_heights_that_were_decided_when_it_began() {
    let network = Network::new(4, 1, 0);
    let changes = [(0, Some(decided_first_block(&network))), (2, None), (3, None)].map(|(by, decided)| {
        let index = ValidatorIndex(by as u16);
        ViewChange::sign(1, index, decided, vec![], (&network.keys[by], &network.domain, 0))
    });
    let new_view = NewView::sign(1, changes.to_vec(), vec![], (&network.keys[1], &network.domain, 0));
    // It has not heard of the decision, and a lying primary proposes another block in its place.
    let mut behind = Pbft::new(network.config(3), None, None, []);
    let from = ValidatorIndex(1);
    let entered = behind.handle(Input::Message { from, message: Message::NewView(new_view) });
    assert_eq!(behind.view(), 1, "{entered:?}");
    let block = network.block(1, network.domain.network_id, 9);
    let hash = block.header.hash();
    let vote = Vote::sign(VoteKind::PrePrepare, (0, 1, 1), hash, from, &network.keys[1], &network.domain);
    let effects = behind.handle(Input::Message { from, message: Message::PrePrepare { vote, block } });
    assert!(matches!(&effects[..], [Effect::Fault { fault: Fault::NotRequired, .. }]), "{effects:?}");
}
