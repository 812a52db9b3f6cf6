//! The chain that work extends, among a few replicas whose messages, clocks and finds the tests decide.
#![allow(clippy::unwrap_used)]

use std::{collections::VecDeque, num::NonZeroUsize, sync::Arc, time::Duration};

use dtn_consensus::{
    Decision, Effect, Input, Memory, Nakamoto, PbftConfig, Protocol,
    nakamoto::{Answer, Ask, Base, Fault, Message, NakamotoConfig, Notice, Output, Record, Sealed, Timer},
    pbft,
};
use dtn_pow::{Cancel, Puzzle, mine};
use dtn_primitives::*;
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

const MINING: Mining = Mining { block_interval_ms: 1_000, confirmations: 3, expected_hashes: 20 };

/// A replica and its machine: what it decided and made durable, and a ledger that has one chain at a time, as the real
/// one does.
struct Host {
    replica: Nakamoto,
    records: Vec<Record>,
    decisions: Vec<Decision>,
    /// The blocks on top of the last decided one that were proposed or found valid, each on top of the other.
    ledger: Vec<B256>,
    puzzle: Option<Puzzle>,
    notices: Vec<Notice>,
    faults: Vec<(ValidatorIndex, Fault)>,
    /// Blocks that it takes for invalid.
    refuses: Vec<B256>,
    /// Only what the connected say reaches it.
    group: u8,
}

struct Network {
    keys: Vec<SecretKey>,
    domain: Domain,
    validators: ValidatorSet,
    hosts: Vec<Host>,
    in_flight: VecDeque<(usize, usize, Message)>,
    /// Every host's clock, in milliseconds.
    now: u64,
    /// Every proposal is another block.
    salt: u64,
}

impl Network {
    fn new(n: usize) -> Self {
        let mut keys: Vec<_> = (1..=n).map(|i| SecretKey::from_bytes(&[i as u8; 32]).unwrap()).collect();
        keys.sort_by_key(SecretKey::address);
        let validators = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key));
        let domain = Domain::new(B256::repeat_byte(7), 31337);
        let (hosts, in_flight) = (Vec::new(), VecDeque::new());
        let mut network = Self { keys, domain, validators, hosts, in_flight, now: 1_000, salt: 0 };
        for index in 0..n {
            let replica = network.create(index, &[], Vec::new());
            network.hosts.push(Host {
                replica,
                records: vec![],
                decisions: vec![],
                ledger: vec![],
                puzzle: None,
                notices: vec![],
                faults: vec![],
                refuses: vec![],
                group: 0,
            });
        }
        for index in 0..n {
            network.input(index, Input::Start { memory: Memory::NeverVoted, boot: 1 });
        }
        network
    }

    fn create(&self, index: usize, decisions: &[Decision], records: Vec<Record>) -> Nakamoto {
        let pbft = PbftConfig {
            me: ValidatorIndex(index as u16),
            key: self.keys[index].clone(),
            domain: self.domain,
            validators: self.validators.clone(),
            view_timeout: Duration::from_secs(1),
        };
        let certificate = decisions.last().map(|last| last.certificate.clone());
        let config = NakamotoConfig { pbft, mining: MINING };
        Nakamoto::new(config, self.base(decisions), certificate, None, records)
    }

    fn base(&self, decisions: &[Decision]) -> Base {
        let (hash, next_work) = (self.domain.network_id, MINING.expected_hashes);
        let genesis = Base { height: 0, hash, timestamp: 1_000, next_work };
        decisions.iter().fold(genesis, |base, Decision { block, certificate }| {
            let timestamp = block.header.timestamp;
            let next_work = MINING.next_work(base.next_work, timestamp - base.timestamp);
            Base { height: certificate.height, hash: certificate.block_hash, timestamp, next_work }
        })
    }

    fn restart(&mut self, index: usize) {
        let Host { decisions, records, .. } = &self.hosts[index];
        let height = decisions.len() as u64;
        let records = records.iter().filter(|record| record.height() > height).cloned().collect();
        self.hosts[index].replica = self.create(index, decisions, records);
        self.hosts[index].ledger.clear();
        self.hosts[index].puzzle = None;
        self.input(index, Input::Start { memory: Memory::Kept, boot: 2 });
    }

    fn tip(&self, index: usize) -> B256 {
        self.hosts[index].decisions.last().map_or(self.domain.network_id, |last| last.certificate.block_hash)
    }

    fn block(&mut self, index: usize, height: u64, parent_hash: B256) -> Arc<Block> {
        self.salt += 1;
        let header = Header {
            network_id: self.domain.network_id,
            chain_id: self.domain.chain_id,
            epoch: 0,
            height,
            timestamp: self.now + height,
            proposer: self.keys[index].address(),
            parent_hash,
            transactions_root: Block::transactions_root(&[], &self.domain),
            results_root: B256::left_padding_from(&self.salt.to_be_bytes()),
        };
        Arc::new(Block { header, transactions: vec![] })
    }

    fn input(&mut self, index: usize, input: Input<Nakamoto>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.hosts[index].replica.handle(input) {
                inputs.extend(self.carry_out(index, effect));
            }
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect<Nakamoto>) -> Option<Input<Nakamoto>> {
        match effect {
            Effect::Send { to, message } => self.in_flight.push_back((index, to.as_usize(), message)),
            Effect::Broadcast(message) => {
                for to in (0..self.hosts.len()).filter(|to| *to != index) {
                    self.in_flight.push_back((index, to, message.clone()));
                }
            }
            Effect::Persist(record) => self.hosts[index].records.push(record),
            Effect::Ask(Ask::Propose { height, parent, .. }) => {
                let kept = self.place_above(index, parent)?;
                let block = self.block(index, height, parent);
                self.hosts[index].ledger.truncate(kept);
                self.hosts[index].ledger.push(block.header.hash());
                return Some(Input::Answer(Answer::Proposal(block)));
            }
            Effect::Ask(Ask::Validate(block)) => {
                let (block_hash, parent) = (block.header.hash(), block.header.parent_hash);
                let place = self.place_above(index, parent);
                let host = &mut self.hosts[index];
                let valid = place.is_some() && !host.refuses.contains(&block_hash);
                if let Some(kept) = place.filter(|kept| valid && host.ledger.get(*kept) != Some(&block_hash)) {
                    host.ledger.truncate(kept);
                    host.ledger.push(block_hash);
                }
                return Some(Input::Answer(Answer::Validated { block_hash, valid }));
            }
            Effect::Ask(Ask::Mine(puzzle)) => self.hosts[index].puzzle = Some(puzzle),
            Effect::Output(Output::Finality(pbft::Output::Decide(decision))) => {
                let follows = decision.block.header.parent_hash == self.tip(index);
                assert!(follows, "blocks are decided in their order");
                decision.certificate.verify(&self.domain, &self.validators).unwrap();
                let host = &mut self.hosts[index];
                if host.ledger.first() == Some(&decision.certificate.block_hash) {
                    host.ledger.remove(0);
                } else {
                    host.ledger.clear();
                }
                host.decisions.push(decision);
            }
            Effect::Output(Output::Notice(notice)) => self.hosts[index].notices.push(notice),
            Effect::Fault { from, fault } => self.hosts[index].faults.push((from, fault)),
            Effect::SetTimer { .. } | Effect::CancelTimer(_) => {}
            Effect::Output(Output::Finality(_)) => unreachable!("{effect:?}"),
        }
        None
    }

    /// How much of a host's ledger is below a block on top of this parent.
    fn place_above(&self, index: usize, parent: B256) -> Option<usize> {
        let place = self.hosts[index].ledger.iter().position(|hash| *hash == parent).map(|place| place + 1);
        place.or_else(|| (parent == self.tip(index)).then_some(0))
    }

    /// Delivers everything that is under way between connected hosts; what goes elsewhere is lost.
    fn settle(&mut self) {
        self.settle_losing(|_| false);
    }

    /// The same, but what is lost reaches nobody.
    fn settle_losing(&mut self, lost: impl Fn(&Message) -> bool) {
        while let Some((from, to, message)) = self.in_flight.pop_front() {
            if !lost(&message) && self.hosts[from].group == self.hosts[to].group {
                self.input(to, Input::Message { from: ValidatorIndex(from as u16), message });
            }
        }
    }

    /// The same, but a host does not get what is lost.
    fn settle_without(&mut self, loser: usize, lost: impl Fn(&Message) -> bool) {
        while let Some((from, to, message)) = self.in_flight.pop_front() {
            if to != loser || !lost(&message) {
                self.input(to, Input::Message { from: ValidatorIndex(from as u16), message });
            }
        }
    }

    /// A host finds its block; nobody has heard of it yet.
    fn find(&mut self, index: usize) -> B256 {
        let puzzle = self.hosts[index].puzzle.take().expect("it mines");
        let found = mine(&puzzle, 0..=u64::MAX, NonZeroUsize::MIN, &Cancel::new()).solution.unwrap();
        let block_hash = puzzle.transaction();
        self.input(index, Input::Answer(Answer::Mined { block_hash, nonce: found.nonce }));
        block_hash
    }

    /// A host finds so many blocks, one interval after the other, and everybody connected hears of them.
    fn extend(&mut self, index: usize, count: usize) {
        for _ in 0..count {
            self.now += MINING.block_interval_ms;
            self.find(index);
            self.settle();
        }
    }

    fn tick(&mut self) {
        for timer in [Timer::Tick, Timer::Pbft(dtn_consensus::Timer::Retransmit)] {
            for index in 0..self.hosts.len() {
                self.input(index, Input::Timer(timer));
            }
            self.settle();
        }
    }

    fn part(&mut self, groups: &[u8]) {
        self.hosts.iter_mut().zip(groups).for_each(|(host, group)| host.group = *group);
    }

    /// The heights of the heads and of the last decided blocks.
    fn heights(&self) -> Vec<(u64, usize)> {
        self.hosts.iter().map(|host| (host.replica.head().0, host.decisions.len())).collect()
    }

    fn assert_agreed(&self) {
        for height in 0..self.hosts.iter().map(|host| host.decisions.len()).max().unwrap() {
            let mut blocks = self.hosts.iter().filter_map(|host| host.decisions.get(height));
            let first = blocks.next().unwrap().certificate.block_hash;
            assert!(blocks.all(|other| other.certificate.block_hash == first), "two final blocks at {}", height + 1);
        }
    }

    fn assert_faultless(&self) {
        for (index, host) in self.hosts.iter().enumerate() {
            assert_eq!(host.faults, [], "found by {index}");
        }
    }
}

#[test]
fn a_block_is_final_with_a_quorums_commits_once_enough_blocks_are_on_top_of_it() {
    let mut network = Network::new(4);
    network.extend(0, 3);
    assert_eq!(network.heights(), [(3, 0); 4], "two on top of the first");
    network.extend(1, 1);
    assert_eq!(network.heights(), [(4, 1); 4]);
    network.extend(2, 6);
    assert_eq!(network.heights(), [(10, 7); 4]);
    network.assert_agreed();
    network.assert_faultless();
}

#[test]
fn the_chain_with_more_work_is_followed_and_among_equals_the_first() {
    let mut network = Network::new(4);
    network.part(&[0, 0, 1, 1]);
    network.extend(0, 1);
    network.extend(2, 1);
    let heads = |network: &Network| network.hosts.iter().map(|host| host.replica.head().1).collect::<Vec<_>>();
    let apart = heads(&network);
    assert_eq!((apart[0], apart[2]), (apart[1], apart[3]));
    assert_ne!(apart[0], apart[2]);
    network.part(&[0; 4]);
    network.tick();
    assert_eq!(heads(&network), apart, "as much work: everybody stays with what came first");
    assert!(network.hosts.iter().all(|host| host.notices.is_empty()));

    network.extend(3, 1);
    let together = heads(&network);
    assert!(together.iter().all(|head| *head == together[3]));
    let reorganized = Notice::Reorganized { depth: 1, from: apart[0], to: together[3] };
    assert_eq!(network.hosts[0].notices, [reorganized]);
    assert_eq!(network.hosts[2].notices, []);
    network.assert_faultless();
}

#[test]
fn a_shorter_chain_with_more_work_wins() {
    let mut network = Network::new(4);
    network.part(&[0, 1, 1, 1]);
    // Blocks that come late make the following ones easy.
    for _ in 0..6 {
        network.now += 20 * MINING.block_interval_ms;
        network.find(0);
    }
    network.in_flight.clear();
    network.now = 1_000;
    for _ in 0..4 {
        network.now += 1;
        network.find(1);
        network.settle();
    }
    network.part(&[0; 4]);
    network.tick();
    let (height, head) = network.hosts[1].replica.head();
    assert_eq!(height, 4);
    assert!(network.hosts.iter().all(|host| host.replica.head() == (4, head)), "{:?}", network.heights());
}

#[test]
fn a_deep_reorganization_never_unwinds_a_final_block_and_is_shown() {
    let mut network = Network::new(4);
    // A miner with most of the work keeps a chain to itself.
    network.part(&[0, 0, 0, 1]);
    network.extend(3, 30);
    network.extend(0, 8);
    assert_eq!(network.heights(), [(8, 5), (8, 5), (8, 5), (30, 0)]);
    let last = network.tip(0);
    network.part(&[0; 4]);
    network.tick();
    network.tick();
    assert_eq!(network.heights()[..3], [(8, 5); 3], "however much work is in the other chain");
    assert!((0..3).all(|index| network.tip(index) == last));
    for host in &network.hosts[..3] {
        let shown = |notice: &Notice| matches!(notice, Notice::BelowCheckpoint { from: ValidatorIndex(3), .. });
        assert!(host.notices.iter().any(shown), "{:?}", host.notices);
    }
    // Who kept to itself catches up with what is final, and its work is lost.
    let others = network.hosts[0].decisions.clone();
    let mut ahead = network.hosts[3].replica.clone();
    network.hosts[3].decisions.clone_from(&others);
    network.hosts[3].ledger.clear();
    let (certificate, base) = (others.last().unwrap().certificate.clone(), network.base(&others));
    let decided: Vec<_> = others.iter().map(|decision| decision.certificate.block_hash).collect();
    // It is told of the loss itself: of all of it if it takes over the blocks, of what it can know with a state.
    let (from, to) = (ahead.head().1, base.hash);
    let of_state =
        ahead.handle(Input::Answer(Answer::CaughtUp { certificate: certificate.clone(), base, decided: vec![] }));
    let told = Notice::Reorganized { depth: 26, from, to };
    assert!(matches!(of_state[0], Effect::Output(Output::Notice(notice)) if notice == told), "{of_state:?}");
    network.input(3, Input::Answer(Answer::CaughtUp { certificate, base, decided }));
    assert!(network.hosts[3].notices.contains(&Notice::Reorganized { depth: 30, from, to }));
    network.tick();
    network.extend(1, 2);
    assert_eq!(network.heights(), [(10, 7); 4]);
    network.assert_agreed();
}

#[test]
fn what_is_not_final_can_be_undone_by_more_work() {
    let mut network = Network::new(4);
    network.part(&[0, 0, 0, 1]);
    network.extend(3, 5);
    network.extend(0, 3);
    let undone = network.hosts[0].replica.head().1;
    network.part(&[0; 4]);
    network.tick();
    assert!(network.hosts.iter().all(|host| host.replica.head() == network.hosts[3].replica.head()));
    let reorganized = |notice: &Notice| matches!(notice, Notice::Reorganized { depth: 3, from, .. } if *from == undone);
    assert!(network.hosts[..3].iter().all(|host| host.notices.iter().any(reorganized)));
    network.tick();
    network.extend(1, 1);
    assert_eq!(network.heights(), [(6, 3); 4]);
    network.assert_agreed();
    network.assert_faultless();
}

#[test]
fn a_block_that_a_quorum_prepared_is_made_final_in_the_next_view_whatever_has_more_work() {
    let mut network = Network::new(4);
    let is_commit = |message: &Message| matches!(message, Message::Pbft(dtn_consensus::Message::Vote(vote)) if vote.kind == VoteKind::Commit);
    // Three have prepared the first block of their chain, and one keeps a chain with more work to itself.
    network.part(&[0, 0, 0, 1]);
    network.extend(3, 30);
    for _ in 0..4 {
        network.now += MINING.block_interval_ms;
        network.find(0);
        network.settle_losing(is_commit);
    }
    assert_eq!(network.heights(), [(4, 0), (4, 0), (4, 0), (30, 0)]);
    let prepared = network.hosts[0].ledger[0];
    network.part(&[0; 4]);
    for index in 0..4 {
        network.input(index, Input::Timer(Timer::Tick));
        network.settle_losing(is_commit);
    }
    assert!(network.hosts.iter().all(|host| host.replica.head().0 == 30), "{:?}", network.heights());

    for index in 0..4 {
        network.input(index, Input::Timer(Timer::Pbft(dtn_consensus::Timer::ViewChange)));
    }
    network.settle();
    network.tick();
    for host in &network.hosts {
        let first = host.decisions.first().expect("the prepared block is final");
        assert_eq!((first.certificate.block_hash, first.certificate.view), (prepared, 1));
    }
    network.extend(1, 4);
    network.assert_agreed();
    network.assert_faultless();
}

#[test]
fn a_primary_that_puts_other_transactions_under_a_mined_header_is_found_out() {
    let mut network = Network::new(4);
    network.extend(0, 3);
    network.now += MINING.block_interval_ms;
    network.find(0);
    let primary = network.hosts[0].replica.finality().primary();
    let victim = (primary.as_usize() + 1) % 4;
    let other =
        Transaction::sign(Payload::Data { nonce: 0, items: vec![vec![1]].into() }, &network.keys[0], &network.domain);
    let mut changed = 0;
    while let Some((from, to, mut message)) = network.in_flight.pop_front() {
        if let Message::Pbft(dtn_consensus::Message::PrePrepare { block, .. }) = &mut message
            && to == victim
        {
            *block = Arc::new(Block { header: block.header.clone(), transactions: vec![other.clone()] });
            changed += 1;
        }
        network.input(to, Input::Message { from: ValidatorIndex(from as u16), message });
    }
    assert_eq!(changed, 1);
    assert_eq!(network.hosts[victim].faults, [(primary, Fault::Pbft(dtn_consensus::pbft::Fault::InvalidBlock))]);
    assert_eq!(network.hosts[victim].decisions, [], "it has no other body for the header");
    catch_up(&mut network);
    network.extend(1, 4);
    network.assert_agreed();
    let decisions = network.hosts.iter().flat_map(|host| &host.decisions);
    assert!(decisions.into_iter().all(|decision| decision.block.transactions.is_empty()));
    assert_eq!(network.heights(), [(8, 5); 4]);
}

#[test]
fn a_block_without_its_work_its_place_or_its_transactions_is_refused() {
    let mut network = Network::new(4);
    network.extend(0, 1);
    let (height, parent) = network.hosts[1].replica.head();
    let seal = |block: Arc<Block>, expected_hashes: u64| {
        let header = &block.header;
        let puzzle =
            Puzzle::new(header.network_id, header.parent_hash, header.hash(), header.proposer, expected_hashes);
        let found = mine(&puzzle.unwrap(), 0..=u64::MAX, NonZeroUsize::MIN, &Cancel::new()).solution.unwrap();
        Sealed { block, nonce: found.nonce }
    };
    let good = network.block(0, height + 1, parent);
    let changed = |change: fn(&mut Block)| {
        let mut block = Block::clone(&good);
        change(&mut block);
        seal(Arc::new(block), 30)
    };
    let easy = {
        let puzzle = Puzzle::new(good.header.network_id, parent, good.header.hash(), good.header.proposer, 20).unwrap();
        let nonce = (0..).find(|nonce| !puzzle.target().is_met_by(puzzle.hash(*nonce))).unwrap();
        Sealed { block: good.clone(), nonce }
    };
    let stolen = {
        let Sealed { block, nonce } = seal(good.clone(), 30);
        let mut block = Block::clone(&block);
        block.header.proposer = network.keys[1].address();
        Sealed { block: Arc::new(block), nonce }
    };
    let cases = [
        (easy, "no_work"),
        (stolen, "no_work"),
        (changed(|block| block.header.height += 1), "wrong_height"),
        (changed(|block| block.header.timestamp = 1_000), "not_after_parent"),
        (changed(|block| block.header.proposer = Address::repeat_byte(9)), "not_validator"),
        (changed(|block| block.header.transactions_root = B256::repeat_byte(1)), "wrong_block"),
    ];
    for (sealed, fault) in cases {
        let before = network.hosts[1].records.len();
        network.input(1, Input::Message { from: ValidatorIndex(0), message: Message::Block(sealed) });
        let (from, found) = network.hosts[1].faults.pop().unwrap_or_else(|| panic!("{fault} was taken"));
        assert_eq!((from, found.kind()), (ValidatorIndex(0), fault));
        assert_eq!(network.hosts[1].records.len(), before, "nothing of it is kept");
    }
    network.input(1, Input::Message { from: ValidatorIndex(0), message: Message::Block(seal(good, 30)) });
    assert_eq!(network.hosts[1].replica.head().0, height + 1);
    network.assert_faultless();
}

#[test]
fn a_chain_through_a_block_that_cannot_be_executed_is_left() {
    let mut network = Network::new(4);
    network.part(&[0, 0, 0, 1]);
    let bad = network.find(3);
    network.hosts[..3].iter_mut().for_each(|host| host.refuses.push(bad));
    network.extend(3, 4);
    network.extend(0, 2);
    network.part(&[0; 4]);
    network.tick();
    assert_eq!(network.heights()[..3], [(2, 0); 3]);
    for host in &network.hosts[..3] {
        assert!(host.notices.contains(&Notice::InvalidBlock { height: 1, block_hash: bad }));
        assert_eq!(host.faults, [], "nobody signed it, so nobody is blamed");
    }
    network.part(&[0, 0, 0, 1]);
    network.extend(1, 4);
    assert_eq!(network.heights()[..3], [(6, 3); 3], "the others go on");
}

#[test]
fn after_a_power_cut_of_everybody_the_chain_goes_on_where_it_was() {
    let mut network = Network::new(4);
    network.extend(0, 5);
    let (before, decided) = (network.hosts[0].replica.head(), network.tip(0));
    network.in_flight.clear();
    (0..4).for_each(|index| network.restart(index));
    network.settle();
    assert!(network.hosts.iter().all(|host| host.replica.head() == before));
    assert!((0..4).all(|index| network.tip(index) == decided));
    network.extend(2, 3);
    assert_eq!(network.heights(), [(8, 5); 4]);
    network.assert_agreed();
    network.assert_faultless();
}

#[test]
fn mining_pauses_where_a_quorum_of_validators_is_missing_for_long() {
    let mut network = Network::new(4);
    network.part(&[0, 0, 1, 1]);
    while network.hosts[0].puzzle.is_some() {
        network.extend(0, 1);
    }
    assert_eq!(network.heights()[..2], [(67, 0); 2], "confirmations and 64");
    network.part(&[0; 4]);
    network.tick();
    network.tick();
    assert_eq!(network.heights(), [(67, 64); 4]);
    network.assert_agreed();
}

#[test]
fn a_peer_that_asks_for_chains_again_and_again_is_answered_a_few_times_a_tick() {
    let mut network = Network::new(4);
    network.extend(0, 3);
    let (_, hash) = network.hosts[0].replica.head();
    for _ in 0..100 {
        let ask = Message::Ask { hash, above: 0 };
        network.input(0, Input::Message { from: ValidatorIndex(1), message: ask });
    }
    assert_eq!(network.in_flight.len(), 4 * 3);
    let unknown = Message::Ask { hash: B256::repeat_byte(5), above: 0 };
    network.in_flight.clear();
    network.input(0, Input::Message { from: ValidatorIndex(2), message: unknown });
    assert!(network.in_flight.is_empty());
}

#[test]
fn who_catches_up_with_a_block_below_one_that_it_can_decide_goes_on_from_that_one() {
    let mut network = Network::new(4);
    let about_first = |message: &Message| match message {
        Message::Pbft(dtn_consensus::Message::Vote(vote)) => vote.kind == VoteKind::Commit && vote.height == 1,
        _ => false,
    };
    for _ in 0..5 {
        network.now += 300;
        network.find(0);
        network.settle_without(3, about_first);
    }
    assert_eq!(network.heights(), [(5, 2), (5, 2), (5, 2), (5, 0)]);
    // It has all that it takes to decide the second block, and is told of the first.
    let first = network.hosts[0].decisions[0].clone();
    network.hosts[3].ledger.remove(0);
    network.hosts[3].decisions.push(first.clone());
    let base = network.base(&network.hosts[3].decisions);
    network
        .input(3, Input::Answer(Answer::CaughtUp { certificate: first.certificate, base, decided: vec![base.hash] }));
    assert_eq!(network.hosts[3].notices, [], "nothing is left");
    assert_eq!(network.heights(), [(5, 2); 4]);
    network.settle();
    // All work at what follows from the final blocks.
    let work = |index: usize| network.hosts[index].replica.next_work();
    assert_eq!(work(3), work(0));
    network.extend(3, 2);
    assert_eq!(network.heights(), [(7, 4); 4]);
    network.assert_agreed();
    network.assert_faultless();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whoever_mines_whatever_is_lost_and_however_they_part_no_two_blocks_are_final_at_a_height(seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut network = Network::new(4);
        for _ in 0..120 {
            network.now += rng.random_range(1..2_000);
            match rng.random_range(0..20) {
                0 => {
                    let groups: Vec<u8> = (0..4).map(|_| rng.random_range(0..2)).collect();
                    network.part(&groups);
                }
                1 => network.part(&[0; 4]),
                2 => {
                    let index = rng.random_range(0..4);
                    network.restart(index);
                }
                3 => {
                    let index = rng.random_range(0..4);
                    let view = Timer::Pbft(dtn_consensus::Timer::ViewChange);
                    network.input(index, Input::Timer(view));
                }
                4..8 => network.tick(),
                _ => {
                    let index = rng.random_range(0..4);
                    if network.hosts[index].puzzle.is_some() {
                        network.find(index);
                    }
                }
            }
            if rng.random_bool(0.7) {
                network.settle();
            } else if rng.random_bool(0.3) {
                network.in_flight.clear();
            }
            network.assert_agreed();
        }
        // Once they are connected, they make blocks final again.
        network.part(&[0; 4]);
        let before = network.hosts.iter().map(|host| host.decisions.len()).max().unwrap();
        for round in 0..60 {
            catch_up(&mut network);
            network.now += MINING.block_interval_ms;
            if network.hosts[round % 4].puzzle.is_some() {
                network.find(round % 4);
            }
            network.settle();
            network.tick();
            if round % 8 == 7 && network.hosts.iter().any(|host| host.decisions.len() <= before) {
                for index in 0..4 {
                    network.input(index, Input::Timer(Timer::Pbft(dtn_consensus::Timer::ViewChange)));
                }
            }
        }
        network.assert_agreed();
        let after: Vec<_> = network.hosts.iter().map(|host| host.decisions.len()).collect();
        prop_assert!(after.iter().all(|height| *height > before), "{before} became {after:?} {:?}", network.heights());
    }
}

/// Hosts take from each other what is final.
fn catch_up(network: &mut Network) {
    let most = network.hosts.iter().map(|host| host.decisions.clone()).max_by_key(Vec::len).unwrap();
    for index in 0..network.hosts.len() {
        let behind = network.hosts[index].decisions.len();
        if behind < most.len() {
            for decision in &most[behind..] {
                let host = &mut network.hosts[index];
                if host.ledger.first() == Some(&decision.certificate.block_hash) {
                    host.ledger.remove(0);
                } else {
                    host.ledger.clear();
                }
                host.decisions.push(decision.clone());
            }
            let (certificate, base) = (most.last().unwrap().certificate.clone(), network.base(&most));
            let decided = most[behind..].iter().map(|decision| decision.certificate.block_hash).collect();
            network.input(index, Input::Answer(Answer::CaughtUp { certificate, base, decided }));
        }
    }
}

#[test]
fn work_settles_at_one_block_an_interval() {
    let mut rng = StdRng::seed_from_u64(9);
    let hashes_per_ms = 1_000.0;
    for begin in [1u64, 1_000_000, 1_000_000_000] {
        let mut work = begin;
        let mut times = Vec::new();
        for _ in 0..600 {
            let exponential = -(1.0 - rng.random::<f64>()).ln();
            let elapsed = (work as f64 * exponential / hashes_per_ms).max(1.0) as u64;
            times.push(elapsed);
            work = MINING.next_work(work, elapsed);
        }
        let late: Vec<_> = times[300..].to_vec();
        let mean = late.iter().sum::<u64>() / late.len() as u64;
        assert!((800..1_200).contains(&mean), "from {begin}: {mean} ms");
    }
}

proptest! {
    #[test]
    fn work_is_never_zero_and_changes_within_bounds(work in 1u64.., elapsed: u64) {
        let next = MINING.next_work(work, elapsed);
        prop_assert!(next >= 1);
        prop_assert!(u128::from(next) <= (u128::from(work) * 16).div_ceil(15) + 1);
        prop_assert!(u128::from(next) >= u128::from(work) * 16 / 25);
        prop_assert!(elapsed >= MINING.block_interval_ms || next > work || work == u64::MAX);
    }
}
