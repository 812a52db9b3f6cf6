//! Checkpoints: when they are stable, and what they allow to forget.

use super::*;

#[test]
fn a_checkpoint_is_stable_with_a_quorum_for_the_same_state_and_moves_the_window() {
    let network = Network::new(4, 1, 0);
    let vote = |by: usize, height: u64, root: u8| {
        let index = ValidatorIndex(by as u16);
        let root = B256::repeat_byte(root);
        let vote =
            Arc::new(Vote::sign(VoteKind::Checkpoint, (0, 0, height), root, index, &network.keys[by], &network.domain));
        Input::Message { from: index, message: Message::Checkpoint(vote) }
    };
    let stable = |replica: &Pbft| replica.stable().map(|stable| (stable.height, stable.state_root));
    let (k, root) = (CHECKPOINT_INTERVAL, B256::repeat_byte(1));
    let mut replica = Pbft::new(network.config(1), None, None, []);
    let effects = replica.handle(Input::Answer(Answer::Checkpoint { height: k, state_root: root }));
    let records: Vec<_> = effects
        .iter()
        .filter_map(|effect| if let Effect::Persist(record) = effect { Some(record.clone()) } else { None })
        .collect();
    assert!(matches!(&effects[..], [Effect::Persist(_), Effect::Broadcast(Message::Checkpoint(_)), ..]), "{effects:?}");
    for input in [vote(0, k, 2), vote(2, k, 1), vote(2, k, 1), vote(3, k, 2)] {
        assert!(!replica.handle(input).iter().any(|effect| matches!(effect, Effect::Output(Output::Stable(_)))));
        assert_eq!(stable(&replica), None, "f + 1 for one state and f + 1 for another are a quorum for none");
    }
    let effects = replica.handle(vote(0, k, 1));
    assert!(matches!(&effects[..], [Effect::Output(Output::Evidence(_))]), "{effects:?}");

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
    assert!(matches!(&effects[..], [Effect::Output(Output::Stable(_))]), "{effects:?}");
    let effects = behind.handle(vote(3, k + 1, 1));
    assert!(matches!(&effects[..], [Effect::Fault { fault: Fault::NotCheckpoint(_), .. }]), "{effects:?}");

    // Votes count up to the window above it.
    let mark = |height| {
        let vote = Arc::new(Vote::sign(
            VoteKind::Commit,
            (0, 0, height),
            B256::repeat_byte(9),
            from,
            &network.keys[1],
            &network.domain,
        ));
        Input::Message { from, message: Message::Vote(vote) }
    };
    let kept = |replica: &Pbft| format!("{replica:?}").contains(&B256::repeat_byte(9).to_string());
    behind.handle(mark(k + LOG_WINDOW + 1)).into_iter().for_each(drop);
    assert!(!kept(&behind));
    behind.handle(mark(k + LOG_WINDOW)).into_iter().for_each(drop);
    assert!(kept(&behind));
}

#[test]
fn a_replica_beyond_its_window_asks_what_is_stable_until_it_is_told_also_after_a_restart() {
    let network = Network::new(4, 1, 0);
    let (height, root) = (8 * CHECKPOINT_INTERVAL, B256::repeat_byte(1));
    let says = |effects: &[Effect<Pbft>]| {
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Broadcast(Message::Checkpoint(vote)) if vote.height == height))
    };
    let look = |replica: &mut Pbft| replica.handle(Input::Timer(Timer::Retransmit));
    let mut replica = Pbft::new(network.config(1), None, None, []);
    let effects = replica.handle(Input::Answer(Answer::Checkpoint { height, state_root: root }));
    assert!(says(&effects));
    assert!(says(&look(&mut replica)), "what was said once may have been lost");
    let records = effects.into_iter().filter_map(|effect| match effect {
        Effect::Persist(record) => Some(record),
        _ => None,
    });
    let mut replica = Pbft::new(network.config(1), None, None, records);
    assert!(says(&look(&mut replica)), "nor is it known after a restart what is stable");
    let vote = |by: usize| {
        let (index, key) = (ValidatorIndex(by as u16), &network.keys[by]);
        Vote::sign(VoteKind::Checkpoint, (0, 0, height), root, index, key, &network.domain)
    };
    let votes = [0, 2, 3].map(vote);
    let stable = CheckpointCertificate::from_votes(&votes).unwrap();
    replica
        .handle(Input::Message { from: ValidatorIndex(2), message: Message::Stable(stable) })
        .into_iter()
        .for_each(drop);
    assert_eq!(replica.stable().map(|stable| stable.height), Some(height));
    assert!((0..16).all(|_| !says(&look(&mut replica))), "it is told");
}
