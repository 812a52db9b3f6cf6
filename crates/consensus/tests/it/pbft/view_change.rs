//! View changes: when they happen, what they carry over, and which do not hold.

use super::*;

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
        (0..n).for_each(|index| network.wait(index));
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
        let liar = network.validators.primary(0, 1).as_usize();
        network.hosts[liar].up = false;
        network.start();
        for salt in [1, 2] {
            let block = network.block(1, network.domain.network_id, salt);
            let hash = block.header.hash();
            let index = ValidatorIndex(liar as u16);
            let sign = |kind| Arc::new(Vote::sign(kind, (0, 0, 1), hash, index, &network.keys[liar], &network.domain));
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
fn prepared_view_changes(network: &Network, block: &Arc<Block>) -> Vec<ViewChange> {
    let hash = block.header.hash();
    let vote = |kind, by: usize| {
        Arc::new(Vote::sign(kind, (0, 0, 1), hash, ValidatorIndex(by as u16), &network.keys[by], &network.domain))
    };
    let prepared = PreparedCertificate {
        header: block.header.clone(),
        pre_prepare: vote(VoteKind::PrePrepare, 0),
        prepares: vec![vote(VoteKind::Prepare, 1), vote(VoteKind::Prepare, 2)],
    };
    let sign = |by: usize, prepared: Option<PreparedCertificate>| {
        let signer = (&network.keys[by], &network.domain, 0);
        ViewChange::sign(1, ValidatorIndex(by as u16), None, prepared.into_iter().collect(), signer)
    };
    vec![sign(0, None), sign(2, Some(prepared)), sign(3, None)]
}

#[test]
fn a_prepared_block_is_what_the_next_view_begins_with() {
    let network = Network::new(4, 1, 0);
    let block = network.block(1, network.domain.network_id, 7);
    let mut primary = Pbft::new(network.config(1), None, None, []);
    let mut effects = Vec::new();
    for change in prepared_view_changes(&network, &block) {
        let from = change.validator;
        effects.extend(primary.handle(Input::Message { from, message: Message::ViewChange(change) }));
    }
    let mut new_view = effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Broadcast(Message::NewView(new_view)) => Some(new_view.clone()),
            _ => None,
        })
        .expect("a quorum asks, so the view begins");
    new_view.verify(&network.domain, &network.validators, |_| false, None).unwrap();
    let proposed: Vec<_> = new_view.proposals.iter().map(|vote| vote.block_hash).collect();
    assert_eq!(proposed, [block.header.hash()]);

    // A primary that leaves the prepared block out, or puts another in its place, finds no follower.
    let signer = (&network.keys[1], &network.domain, 0);
    let silent = NewView::sign(1, new_view.view_changes.clone(), vec![], signer);
    let other = network.block(1, network.domain.network_id, 8);
    let vote = Arc::new(Vote::sign(
        VoteKind::PrePrepare,
        (0, 1, 1),
        other.header.hash(),
        ValidatorIndex(1),
        &network.keys[1],
        &network.domain,
    ));
    let exchanged = NewView::sign(1, new_view.view_changes.clone(), vec![vote.clone()], signer);
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
    // View changes name the block; who lacks it asks who begins the view, and takes it from anybody.
    let mut entered = backup.handle(Input::Message { from: ValidatorIndex(1), message: Message::NewView(new_view) });
    let wants = |effect: &Effect<Pbft>| matches!(effect, Effect::Send { to: ValidatorIndex(1), message: Message::Want(hash) } if *hash == block.header.hash());
    assert!(entered.iter().any(wants), "{entered:?}");
    entered.extend(backup.handle(Input::Message { from: ValidatorIndex(2), message: Message::Body(block.clone()) }));
    assert!(
        entered
            .iter()
            .any(|effect| matches!(effect, Effect::Ask(Ask::Validate { block: found, .. }) if *found == block)),
        "{entered:?}"
    );

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
    let good = prepared_view_changes(&network, &block).remove(1);
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
    Arc::make_mut(&mut stolen.prepared[0].pre_prepare).signature = network.keys[3].sign(B256::ZERO);
    let mut another_header = good.clone();
    another_header.prepared[0].header.timestamp += 1;
    let mut off_chain = good.clone();
    off_chain.prepared[0].header.parent_hash = B256::ZERO;
    let mut same_view = good.clone();
    same_view.view = 0;
    let cases = [
        ("another's name", forged),
        ("too few prepares", resign(below_quorum)),
        ("one prepare twice", resign(counted_twice)),
        ("a forged pre-prepare", resign(stolen)),
        ("another block's header", resign(another_header)),
        ("a block on top of nothing", resign(off_chain)),
    ];
    for (what, change) in cases {
        let mut replica = Pbft::new(network.config(1), None, None, []);
        let effects = replica.handle(Input::Message { from: ValidatorIndex(2), message: Message::ViewChange(change) });
        assert!(matches!(&effects[..], [Effect::Fault { .. }]), "{what}: {effects:?}");
    }
    assert!(
        resign(same_view).verify(&network.domain, &network.validators).is_err(),
        "prepared in the view that it asks for"
    );
}

#[test]
fn a_lone_timeout_moves_nobody_and_f_plus_one_move_all() {
    let mut network = Network::new(4, 1, 0);
    network.hosts[0].up = false;
    network.start();
    (0..4).for_each(|index| network.wait(index));
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
        let primary = network.validators.primary(*view, height);
        let key = &network.keys[primary.as_usize()];
        let pre_prepare =
            Arc::new(Vote::sign(VoteKind::PrePrepare, (0, *view, height), parent, primary, key, &network.domain));
        PreparedCertificate { header: block.header.clone(), pre_prepare, prepares: vec![] }
    };
    let prepared = (1..).zip(prepared).map(prepare).collect();
    ViewChange::sign(3, ValidatorIndex(by as u16), decided, prepared, (&network.keys[by], &network.domain, 0))
}

fn decided_first_block(network: &Network) -> Certificate {
    let hash = network.block(1, network.domain.network_id, 0).header.hash();
    let commit = |by: usize| {
        let index = ValidatorIndex(by as u16);
        Arc::new(Vote::sign(VoteKind::Commit, (0, 0, 1), hash, index, &network.keys[by], &network.domain))
    };
    Certificate::from_votes([commit(0), commit(1), commit(2)].iter().map(Arc::as_ref)).unwrap()
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
    let vote = Arc::new(Vote::sign(VoteKind::PrePrepare, (0, 1, 1), hash, from, &network.keys[1], &network.domain));
    let effects = behind.handle(Input::Message { from, message: Message::PrePrepare { vote, block } });
    assert!(matches!(&effects[..], [Effect::Fault { fault: Fault::NotRequired, .. }]), "{effects:?}");
}

#[test]
fn a_view_does_not_begin_above_a_block_that_its_primary_cannot_get() {
    let network = Network::new(4, 1, 0);
    let decided = decided_first_block(&network);
    let ask = |by: u16, decided: Option<&Certificate>| {
        let from = ValidatorIndex(by);
        let signer = (&network.keys[usize::from(by)], &network.domain, 0);
        let change = ViewChange::sign(1, from, decided.cloned(), vec![], signer);
        Input::Message { from, message: Message::ViewChange(change) }
    };
    let base = |effects: Vec<_>| {
        effects.iter().find_map(|effect| match effect {
            Effect::Broadcast(Message::NewView(new_view)) => Some(required(&new_view.view_changes, &network.domain).0),
            _ => None,
        })
    };
    // Replica 3 alone knows of the decision, and may keep the block from all others for ever.
    let mut primary = Pbft::new(network.config(1), None, None, []);
    assert_eq!(base(primary.handle(ask(3, Some(&decided)))), None);
    assert_eq!(base(primary.handle(ask(0, None))), None, "a quorum asks, but one of it is ahead");
    let mut other = primary.clone();
    assert_eq!(base(primary.handle(ask(2, None))), Some(0), "a quorum asks without it");

    // What the primary has, the others can have from it.
    assert_eq!(base(other.handle(Input::Answer(Answer::CaughtUp(decided)))), Some(1));
}
