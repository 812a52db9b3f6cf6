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
        let vote = Arc::new(Vote::sign(kind, (0, 0, height as u64), hash, index, &network.keys[by], &network.domain));
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
