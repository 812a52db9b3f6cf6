//! The normal case: every height is decided alike, with quorums of the right size.

use super::*;

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
}

#[test]
fn a_commit_rests_on_the_prepares_of_a_quorum() {
    for n in [4, 5, 6, 7, 8] {
        let network = Network::new(n, 1, 0);
        let block = network.block(1, network.domain.network_id, 0);
        let hash = block.header.hash();
        let vote = |kind, by: usize| {
            let index = ValidatorIndex(by as u16);
            Arc::new(Vote::sign(kind, (0, 0, 1), hash, index, &network.keys[by], &network.domain))
        };
        let mut replica = Pbft::new(network.config(1), None, None, []);
        let pre_prepare = Message::PrePrepare { vote: vote(VoteKind::PrePrepare, 0), block };
        let mut effects = replica.handle(Input::Message { from: ValidatorIndex(0), message: pre_prepare });
        effects.extend(replica.handle(Input::Answer(Answer::Validated { block_hash: hash, valid: true })));
        let commits = |effects: &[Effect<Pbft>]| {
            let is_commit = |effect: &&Effect<Pbft>| matches!(effect, Effect::Broadcast(Message::Vote(vote)) if vote.kind == VoteKind::Commit);
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
fn several_blocks_are_under_way_at_once_and_committed_in_order() {
    let network = Network::new(4, 9, 0);
    let mut primary = Pbft::new(network.config(0), None, None, []);
    let mut effects = primary.handle(first_start());
    let mut blocks = Vec::new();
    while let Some(Effect::Ask(Ask::Propose { height, parent, .. })) = effects.last().cloned() {
        let block = network.block(height, parent, 0);
        blocks.push(block.clone());
        effects = primary.handle(Input::Answer(Answer::Proposal(block)));
        effects.retain(|effect| !matches!(effect, Effect::SetTimer { .. }));
    }
    assert_eq!(blocks.len() as u64, PIPELINE);
    let vote = |kind, height: usize, by: usize| {
        let (hash, index) = (blocks[height - 1].header.hash(), ValidatorIndex(by as u16));
        let vote = Arc::new(Vote::sign(kind, (0, 0, height as u64), hash, index, &network.keys[by], &network.domain));
        Input::Message { from: index, message: Message::Vote(vote) }
    };
    // The second block has every vote that it needs; the first has none.
    let mut effects = Vec::new();
    for input in [1, 2].into_iter().flat_map(|by| [VoteKind::Prepare, VoteKind::Commit].map(|kind| vote(kind, 2, by))) {
        effects.extend(primary.handle(input));
    }
    let said = |effect: &Effect<Pbft>| !matches!(effect, Effect::SetTimer { .. } | Effect::Ask(Ask::Propose { .. }));
    assert!(!effects.iter().any(said), "{effects:?}");
    for input in [1, 2].into_iter().flat_map(|by| [VoteKind::Prepare, VoteKind::Commit].map(|kind| vote(kind, 1, by))) {
        effects.extend(primary.handle(input));
    }
    let heights = |of: fn(&Effect<Pbft>) -> Option<u64>| effects.iter().filter_map(of).collect::<Vec<_>>();
    let prepared = heights(|effect| match effect {
        Effect::Persist(Record::Prepared(certificate)) => Some(certificate.header.height),
        _ => None,
    });
    let decided = heights(|effect| match effect {
        Effect::Output(Output::Decide(Decision { block, .. })) => Some(block.header.height),
        _ => None,
    });
    assert_eq!((prepared, decided), (vec![1, 2], vec![1, 2]));
    assert_eq!(primary.decided(), 2);
}

#[test]
fn a_request_that_the_primary_leaves_out_is_decided_after_a_view_change_whatever_else_it_decides() {
    let mut network = Network::new(4, TURN - 1, 0);
    network.start();
    // Everybody but the primary has a request that the primary never proposes, while it decides others.
    let left_out = B256::repeat_byte(0xcc);
    let timers: Vec<_> = (1..4)
        .map(|index| {
            network.input(index, Input::Answer(Answer::Waiting(Some(left_out))));
            network.hosts[index].expires
        })
        .collect();
    while network.deliver_one(0.0, 0.0) {}
    network.assert_all_decided();
    for (index, timer) in (1..4).zip(timers) {
        assert!(timer.is_some() && network.hosts[index].expires == timer, "a decision began the timer anew");
        network.expire(index);
    }
    while network.deliver_one(0.0, 0.0) {}
    assert!(network.hosts.iter().all(|host| host.replica.view() == 1));

    // It is decided, and another waits: that one has its own time.
    network.input(1, Input::Answer(Answer::Waiting(Some(left_out))));
    let before = network.hosts[1].expires;
    network.round += 1;
    network.input(1, Input::Answer(Answer::Waiting(Some(B256::repeat_byte(0xdd)))));
    assert!(network.hosts[1].expires > before);
}

#[test]
fn the_validators_take_turns_as_primaries_without_a_view_change() {
    let mut network = Network::new(4, 3 * TURN, 0);
    network.start();
    network.run(0.0, 0.0);
    network.assert_all_decided();
    let proposers: BTreeSet<_> = network.hosts[3]
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Accepted { vote, .. } => Some((vote.view, (vote.height - 1) / TURN, vote.validator.0)),
            _ => None,
        })
        .collect();
    assert_eq!(proposers, BTreeSet::from([(0, 0, 0), (0, 1, 1), (0, 2, 2)]));
}

#[test]
fn who_lacks_a_block_asks_for_it_and_gets_it_once() {
    let mut network = Network::new(4, 1, 0);
    network.hosts[3].up = false;
    network.start();
    while network.deliver_one(0.0, 0.0) {}
    network.hosts[3].up = true;
    network.input(3, first_start());
    let block = network.hosts[0].decisions[0].block.clone();
    let vote = |kind, by: usize| {
        let index = ValidatorIndex(by as u16);
        Arc::new(Vote::sign(kind, (0, 0, 1), block.header.hash(), index, &network.keys[by], &network.domain))
    };
    let mut holder = Pbft::new(network.config(1), None, None, []);
    let message = Message::PrePrepare { vote: vote(VoteKind::PrePrepare, 0), block: block.clone() };
    holder.handle(Input::Message { from: ValidatorIndex(0), message }).into_iter().for_each(drop);
    holder
        .handle(Input::Answer(Answer::Validated { block_hash: block.header.hash(), valid: true }))
        .into_iter()
        .for_each(drop);
    let ask = Input::Message { from: ValidatorIndex(3), message: Message::Want(block.header.hash()) };
    let gives = |effects: Vec<Effect<Pbft>>| {
        effects.iter().filter(|effect| matches!(effect, Effect::Send { message: Message::Body(_), .. })).count()
    };
    assert_eq!(gives(holder.handle(ask.clone())), 1);
    assert_eq!(gives(holder.handle(ask.clone())), 0, "not again before the next look at the clock");
    holder.handle(Input::Timer(Timer::Retransmit)).into_iter().for_each(drop);
    assert_eq!(gives(holder.handle(ask)), 1);

    // A spoiled block is nobody's but who sent it, and the right one still counts.
    let mut lacking = Pbft::new(network.config(3), None, None, []);
    let announce = Message::Announce(vote(VoteKind::PrePrepare, 0));
    lacking.handle(Input::Message { from: ValidatorIndex(2), message: announce }).into_iter().for_each(drop);
    let asks = lacking.handle(Input::Timer(Timer::Retransmit));
    assert!(asks.iter().any(|effect| matches!(effect, Effect::Send { message: Message::Want(_), .. })), "{asks:?}");
    let mut spoiled = (*block).clone();
    spoiled.transactions.push(Transaction::sign(Payload::CloseRound { round: 1 }, &network.keys[0], &network.domain));
    let message = Message::Body(Arc::new(spoiled));
    let effects = lacking.handle(Input::Message { from: ValidatorIndex(2), message });
    assert!(
        matches!(&effects[..], [Effect::Fault { from: ValidatorIndex(2), fault: Fault::WrongBlock }]),
        "{effects:?}"
    );
    let effects = lacking.handle(Input::Message { from: ValidatorIndex(1), message: Message::Body(block) });
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Ask(Ask::Validate { fresh: true, .. }))),
        "{effects:?}"
    );
}

#[test]
fn what_nobody_answers_is_said_again_less_and_less_often() {
    let mut network = Network::new(4, 1, 0);
    network.hosts[1].up = false;
    network.hosts[2].up = false;
    network.start();
    while network.deliver_one(0.0, 0.0) {}
    let mut said = Vec::new();
    for look in 1..=40 {
        let effects = network.hosts[0].replica.handle(Input::Timer(Timer::Retransmit));
        let blocks = effects.iter().any(|effect| matches!(effect, Effect::Broadcast(Message::PrePrepare { .. })));
        assert!(!blocks, "a block is sent to nobody who did not ask");
        if effects.iter().any(|effect| matches!(effect, Effect::Broadcast(_))) {
            said.push(look);
        }
    }
    assert_eq!(said, [1, 2, 4, 8, 16, 24, 32, 40]);
}
