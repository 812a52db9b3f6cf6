//! Lies in the normal case: refused by name, counted for nothing, proven where they can be.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_equivocating_primary_splits_nobody_and_is_found_out(seed: u64, n in 4usize..8, split in 1usize..7) {
        let mut network = Network::new(n, 1, seed);
        let liar = network.validators.primary(0, 1).as_usize();
        network.hosts[liar].up = false;
        network.start();
        let blocks = [network.block(1, network.domain.network_id, 1), network.block(1, network.domain.network_id, 2)];
        for (side, block) in blocks.iter().enumerate() {
            let hash = block.header.hash();
            let sign = |kind| Arc::new(Vote::sign(kind, (0, 0, 1), hash, ValidatorIndex(liar as u16), &network.keys[liar], &network.domain));
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

#[test]
fn forged_votes_are_faults_and_count_for_nothing() {
    let (mut network, block) = one_replica();
    let hash = block.header.hash();
    let vote = |kind, by: u16, key: usize| {
        Arc::new(Vote::sign(kind, (0, 0, 1), hash, ValidatorIndex(by), &network.keys[key], &network.domain))
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
        Arc::new(Vote::sign(kind, (0, 0, 1), hash, ValidatorIndex(by), &network.keys[usize::from(by)], &network.domain))
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
    let pre_prepare = Arc::new(Vote::sign(
        VoteKind::PrePrepare,
        (0, 0, 1),
        unchained.header.hash(),
        ValidatorIndex(0),
        &network.keys[0],
        &network.domain,
    ));
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
    let forged = Arc::new(Vote::sign(
        VoteKind::PrePrepare,
        (0, 0, 1),
        block.header.hash(),
        ValidatorIndex(0),
        &network.keys[3],
        &network.domain,
    ));
    let message = Message::PrePrepare { vote: forged, block };
    network.input(1, Input::Message { from: ValidatorIndex(3), message });
    assert!(matches!(network.hosts[1].faults.as_slice(), [(_, Fault::Signature(_))]), "{:?}", network.hosts[1].faults);
    assert!(network.hosts[1].records.is_empty() && network.in_flight.is_empty(), "it was accepted");
}

#[test]
fn a_thousand_heights_ahead_cost_no_memory() {
    let (mut network, block) = one_replica();
    let mut replica = Pbft::new(network.config(1), None, None, []);
    for height in [LOG_WINDOW + 1, 1_000_000, u64::MAX] {
        let vote = Arc::new(Vote::sign(
            VoteKind::Commit,
            (0, 0, height),
            block.header.hash(),
            ValidatorIndex(2),
            &network.keys[2],
            &network.domain,
        ));
        assert!(replica.handle(Input::Message { from: ValidatorIndex(2), message: Message::Vote(vote) }).is_empty());
    }
    assert!(!format!("{replica:?}").contains(&block.header.hash().to_string()), "a vote beyond the window is kept");
    network.crash(1);
}
