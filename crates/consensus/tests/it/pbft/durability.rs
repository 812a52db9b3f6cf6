//! What is said is durable first, and said again after a restart.

use super::*;

#[test]
fn a_vote_is_durable_before_it_is_sent_and_the_same_after_a_restart() {
    let (mut network, block) = one_replica();
    let hash = block.header.hash();
    let vote = |kind, by: u16| {
        Arc::new(Vote::sign(kind, (0, 0, 1), hash, ValidatorIndex(by), &network.keys[usize::from(by)], &network.domain))
    };
    let (pre_prepare, prepare) = (vote(VoteKind::PrePrepare, 0), vote(VoteKind::Prepare, 2));
    let mut replica = Pbft::new(network.config(1), None, None, []);
    let mut effects = replica
        .handle(Input::Message { from: ValidatorIndex(0), message: Message::PrePrepare { vote: pre_prepare, block } });
    effects.extend(replica.handle(Input::Answer(Answer::Validated { block_hash: hash, valid: true })));
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
    let conflicting = Arc::new(Vote::sign(
        VoteKind::PrePrepare,
        (0, 0, 1),
        another.header.hash(),
        ValidatorIndex(0),
        &network.keys[0],
        &network.domain,
    ));
    let mut restarted = Pbft::new(network.config(1), None, None, records);
    let effects = restarted.handle(Input::Message {
        from: ValidatorIndex(0),
        message: Message::PrePrepare { vote: conflicting, block: another },
    });
    assert!(
        matches!(effects.as_slice(), [Effect::Output(Output::Evidence(_)), Effect::SetTimer { .. }]),
        "{effects:?}"
    );
    network.crash(1);
}

#[test]
fn a_replica_that_asked_for_a_view_votes_in_no_lower_one_even_after_a_restart() {
    let (mut network, block) = one_replica();
    let vote = Arc::new(Vote::sign(
        VoteKind::PrePrepare,
        (0, 0, 1),
        block.header.hash(),
        ValidatorIndex(0),
        &network.keys[0],
        &network.domain,
    ));
    let mut replica = Pbft::new(network.config(1), None, None, []);
    let mut effects = replica.handle(Input::Answer(Answer::Waiting(Some(B256::repeat_byte(1)))));
    effects.extend(replica.handle(Input::Timer(Timer::ViewChange)));
    let persisted = effects.iter().position(|effect| matches!(effect, Effect::Persist(Record::View(_))));
    let sent = effects.iter().position(|effect| matches!(effect, Effect::Broadcast(Message::ViewChange(_))));
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
fn a_certificate_whose_block_below_was_lost_in_the_crash_is_not_spoken_for() {
    let network = Network::new(4, 2, 0);
    let first = network.block(1, network.domain.network_id, 0);
    let second = network.block(2, first.header.hash(), 0);
    let vote = |kind, by: u16, block: &Arc<Block>| {
        let (height, hash) = (block.header.height, block.header.hash());
        Arc::new(Vote::sign(
            kind,
            (0, 0, height),
            hash,
            ValidatorIndex(by),
            &network.keys[usize::from(by)],
            &network.domain,
        ))
    };
    let records = |block: &Arc<Block>| {
        let pre_prepare = vote(VoteKind::PrePrepare, 0, block);
        let certificate = PreparedCertificate {
            header: block.header.clone(),
            pre_prepare: pre_prepare.clone(),
            prepares: vec![vote(VoteKind::Prepare, 1, block), vote(VoteKind::Prepare, 2, block)],
        };
        [Record::Accepted { vote: pre_prepare, block: block.clone() }, Record::Prepared(certificate)]
    };
    let commits = |records: Vec<Record>| {
        let said = Pbft::new(network.config(1), None, None, records).handle(Input::Connected(ValidatorIndex(0)));
        let height = |effect: Effect<Pbft>| match effect {
            Effect::Send { message: Message::Vote(vote), .. } => (vote.kind == VoteKind::Commit).then_some(vote.height),
            _ => None,
        };
        said.into_iter().filter_map(height).collect::<Vec<_>>()
    };
    assert_eq!(commits([records(&first), records(&second)].concat()), [1, 2]);
    // Of writes that were not forced any may survive. What a view change would not show, a commit must not rest on.
    assert!(commits(records(&second).to_vec()).is_empty());
}
