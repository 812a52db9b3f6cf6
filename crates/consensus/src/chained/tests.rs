use std::collections::VecDeque;

use dtn_primitives::{Domain, Header, SecretKey, ValidatorSet, VoteKind};

use super::*;
use crate::{
    HotStuff2, Memory, Simplex, Streamlet, hotstuff2::HotStuff2Rules, simplex::SimplexRules, streamlet::StreamletRules,
};

/// Replicas whose messages arrive in the order in which they are sent, and hosts that find every block valid.
struct Network<R: Rules> {
    replicas: Vec<Chained<R>>,
    queue: VecDeque<(usize, usize, Message)>,
    timers: Vec<BTreeSet<Timer>>,
    records: Vec<Vec<Record>>,
    decided: Vec<Vec<B256>>,
    evidence: usize,
    /// Blocks that a leader may still fill.
    load: u64,
    blocks: u64,
}

fn configs(n: u8) -> Vec<ChainedConfig> {
    let mut keys: Vec<_> =
        (1..=n).map(|seed| SecretKey::from_bytes(&[seed; 32]).expect("small numbers are keys")).collect();
    keys.sort_by_key(SecretKey::address);
    let validators = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key));
    let config = |(me, key)| ChainedConfig {
        replica: PbftConfig {
            me: ValidatorIndex(me),
            key,
            domain: Domain::new(B256::repeat_byte(7), 1),
            validators: validators.clone(),
            view_timeout: Duration::from_secs(1),
        },
        relays: false,
        lots: false,
        lapse: None,
    };
    (0..).zip(keys).map(config).collect()
}

fn block(config: &PbftConfig, height: u64, parent_hash: B256, salt: u64) -> Arc<Block> {
    let header = Header {
        network_id: config.domain.network_id,
        chain_id: config.domain.chain_id,
        epoch: 0,
        height,
        timestamp: height,
        proposer: config.key.address(),
        parent_hash,
        transactions_root: Block::transactions_root(&[], &config.domain),
        results_root: B256::left_padding_from(&salt.to_be_bytes()),
    };
    Arc::new(Block { header, transactions: Vec::new() })
}

impl<R: Rules> Network<R> {
    fn new(n: u8, load: u64) -> Self {
        let replicas: Vec<_> =
            configs(n).into_iter().map(|config| Chained::new(config, None, None, Vec::new())).collect();
        let count = replicas.len();
        let mut network = Self {
            replicas,
            queue: VecDeque::new(),
            timers: vec![BTreeSet::new(); count],
            records: vec![Vec::new(); count],
            decided: vec![Vec::new(); count],
            evidence: 0,
            load,
            blocks: 0,
        };
        for replica in 0..count {
            network.input(replica, Input::Start { memory: Memory::NeverVoted, boot: 0 });
        }
        network
    }

    fn input(&mut self, me: usize, input: Input<Chained<R>>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.replicas[me].handle(input) {
                match effect {
                    Effect::Send { to, message } => self.queue.push_back((me, to.as_usize(), message)),
                    Effect::Broadcast(message) => {
                        let others = (0..self.replicas.len()).filter(|to| *to != me);
                        self.queue.extend(others.map(|to| (me, to, message.clone())));
                    }
                    Effect::SetTimer { timer, .. } => _ = self.timers[me].insert(timer),
                    Effect::CancelTimer(timer) => _ = self.timers[me].remove(&timer),
                    Effect::Persist(record) => self.records[me].push(record),
                    Effect::Ask(Ask::Propose { height, parent, .. }) if self.blocks < self.load => {
                        self.blocks += 1;
                        let config = &self.replicas[me].config.replica;
                        let block = block(config, height, parent, self.blocks);
                        inputs.push_back(Input::Answer(Answer::Proposal(block)));
                    }
                    Effect::Ask(Ask::Validate { block, .. }) => {
                        let block_hash = block.header.hash();
                        inputs.push_back(Input::Answer(Answer::Validated { block_hash, valid: true }));
                    }
                    Effect::Output(Output::Decide(decision)) => {
                        let config = &self.replicas[me].config.replica;
                        decision.certificate.verify(&config.domain, &config.validators).expect("it is certified");
                        self.decided[me].push(decision.certificate.block_hash);
                    }
                    Effect::Output(Output::Evidence(_)) => self.evidence += 1,
                    Effect::Fault { from, fault } => panic!("{me} finds fault with {from}: {fault}"),
                    Effect::Ask(_) | Effect::Output(_) => {}
                }
            }
        }
    }

    /// Delivers what is under way, and what follows from that, but for what these tell.
    fn deliver(&mut self, lost: impl Fn(usize, usize, &Message) -> bool) {
        while let Some((from, to, message)) = self.queue.pop_front() {
            if !lost(from, to, &message) {
                self.input(to, Input::Message { from: ValidatorIndex(from as u16), message });
            }
        }
    }

    fn expire(&mut self, timer: Timer) {
        for me in 0..self.replicas.len() {
            if self.timers[me].remove(&timer) {
                self.input(me, Input::Timer(timer));
            }
        }
    }

    /// Lets time pass until all have decided so many blocks.
    fn decide(&mut self, blocks: usize) {
        for _ in 0..200 {
            self.deliver(|_, _, _| false);
            if self.decided.iter().all(|decided| decided.len() >= blocks) {
                return;
            }
            self.expire(Timer::Propose);
            self.deliver(|_, _, _| false);
            self.expire(Timer::View);
        }
        panic!("decided {:?}", self.decided);
    }

    fn restart(&mut self, me: usize, memory: Memory) {
        let records = if memory == Memory::Lost { Vec::new() } else { self.records[me].clone() };
        let config = self.replicas[me].config.clone();
        let certificate = self.replicas[me].certificate.clone();
        self.replicas[me] = Chained::new(config, certificate, None, records);
        self.timers[me].clear();
        self.queue.clear();
        self.input(me, Input::Start { memory, boot: 1 });
    }
}

fn all_decide_alike<R: Rules>() {
    for n in [4, 5, 7] {
        let mut network = Network::<R>::new(n, 9);
        network.decide(9);
        assert!(network.decided.iter().all(|decided| *decided == network.decided[0]), "{}, n = {n}", R::NAME);
        assert_eq!(network.evidence, 0);
    }
}

#[test]
fn all_decide_the_same_blocks_each_with_a_certificate_of_its_own() {
    all_decide_alike::<StreamletRules>();
    all_decide_alike::<SimplexRules>();
    all_decide_alike::<HotStuff2Rules>();
}

fn restarted_says_nothing_else<R: Rules>() {
    let mut network = Network::<R>::new(4, 1);
    // All have voted in the first view, and nobody has heard a vote.
    network.deliver(|_, _, message| !matches!(message, Message::Propose(_)));
    let leader = network.replicas[0].primary().as_usize();
    let me = (leader + 1) % 4;
    let voted = network.replicas[me].standing.voted.clone();
    assert!(voted.is_some(), "{}", R::NAME);
    network.restart(me, Memory::Kept);
    assert_eq!(network.replicas[me].standing.voted, voted);
    // The leader proposes something else there.
    let config = network.replicas[leader].config.replica.clone();
    let other = block(&config, 1, config.domain.network_id, 99);
    let proposal = Proposal { view: 1, parent: 0, length: 1, height: 1, block: other.header.hash() };
    let vote = network.replicas[leader].sign(VoteKind::Notarize, (1, 0), proposal.hash());
    let offer = Offer { proposal, vote, block: Some(other), parent: None, nullified: Vec::new() };
    let message = Message::Propose(Box::new(offer));
    network.input(me, Input::Message { from: ValidatorIndex(leader as u16), message });
    assert_eq!(network.replicas[me].standing.voted, voted, "{} votes twice in a view", R::NAME);
}

#[test]
fn who_restarts_votes_for_nothing_else_in_its_view() {
    restarted_says_nothing_else::<StreamletRules>();
    restarted_says_nothing_else::<SimplexRules>();
    restarted_says_nothing_else::<HotStuff2Rules>();
}

fn is_silent_after_a_loss<R: Rules>() {
    let mut network = Network::<R>::new(4, 6);
    network.decide(6);
    network.restart(3, Memory::Lost);
    let highest = network.replicas.iter().map(Chained::view).max().unwrap_or_default();
    assert!(network.replicas[3].is_silent());
    network.deliver(|_, _, _| false);
    assert_eq!(network.replicas[3].standing.vote_from, highest + 2, "{}", R::NAME);
    assert!(network.replicas[3].standing.tip.is_some(), "{}: what bound it does not bind it again", R::NAME);
    // The others have views pass for its sake.
    (network.load, network.blocks) = (100, 0);
    for _ in 0..40 {
        network.expire(Timer::Retransmit);
        network.deliver(|_, _, _| false);
        network.expire(Timer::Propose);
        network.deliver(|_, _, _| false);
        network.expire(Timer::View);
        network.deliver(|_, _, _| false);
    }
    assert!(!network.replicas[3].is_silent(), "{} in view {}", R::NAME, network.replicas[3].view());
    assert_eq!(network.evidence, 0);
}

#[test]
fn who_has_lost_its_memory_is_silent_until_it_cannot_contradict_itself() {
    is_silent_after_a_loss::<StreamletRules>();
    is_silent_after_a_loss::<SimplexRules>();
    is_silent_after_a_loss::<HotStuff2Rules>();
}

#[test]
fn in_simplex_who_has_given_a_view_up_does_not_commit_in_it() {
    let mut network = Network::<SimplexRules>::new(4, 1);
    network.deliver(|_, _, message| !matches!(message, Message::Propose(_)));
    // Replica 3 gives up; then the others' votes arrive.
    network.input(3, Input::Timer(Timer::View));
    let chain: &Simplex = &network.replicas[3];
    assert!(chain.has_given_up(1));
    for me in 0..3 {
        let vote = network.replicas[me].standing.voted.clone().expect("it has voted");
        network.input(3, Input::Message { from: vote.validator, message: Message::Vote(vote) });
    }
    let chain = &network.replicas[3];
    assert_eq!((chain.view(), chain.tip().map(|tip| tip.view)), (2, Some(1)), "it sees the view notarized");
    assert!(chain.standing.commits.is_empty() && chain.committing.is_none());
}

#[test]
fn in_hotstuff2_who_is_locked_votes_for_nothing_below() {
    let mut network = Network::<HotStuff2Rules>::new(4, 1);
    // The certificate of the first view reaches replica 3 alone, and no commit the leader.
    network.deliver(|_, to, message| match message {
        Message::Notarized(_) => to != 3,
        Message::Commit(_) => true,
        _ => false,
    });
    let chain: &HotStuff2 = &network.replicas[3];
    assert_eq!(chain.tip().map(|tip| tip.view), Some(1), "it is locked");
    assert!(network.records[3].iter().any(|record| matches!(record, Record::Standing(it) if it.tip.is_some())));
    let stale = Proposal { view: 2, parent: 0, length: 1, height: 1, block: B256::repeat_byte(1) };
    assert!(!HotStuff2Rules::may_vote(chain, &stale));
    assert!(HotStuff2Rules::may_vote(&network.replicas[2], &stale), "who is not locked does");
}

#[test]
fn in_streamlet_two_in_a_row_are_not_final_and_three_make_the_second_so() {
    let mut network = Network::<StreamletRules>::new(4, 9);
    network.deliver(|_, _, _| false);
    network.expire(Timer::View);
    network.deliver(|_, _, _| false);
    let chain: &Streamlet = &network.replicas[3];
    assert_eq!((chain.view(), chain.tip().map(|tip| tip.length)), (2, Some(2)));
    assert!(network.decided[3].is_empty(), "two are not enough");
    network.expire(Timer::View);
    network.deliver(|_, _, _| false);
    assert_eq!(network.decided[3].len(), 2, "the second, and the one below");
}

#[test]
fn in_streamlet_nobody_votes_for_a_shorter_chain() {
    let mut network = Network::<StreamletRules>::new(4, 9);
    network.deliver(|_, _, _| false);
    let chain = &network.replicas[3];
    let short = Proposal { view: 2, parent: 0, length: 1, height: 1, block: B256::repeat_byte(1) };
    assert!(!StreamletRules::may_vote(chain, &short));
    assert!(StreamletRules::may_vote(chain, &Proposal { parent: 1, length: 2, ..short }));
}
