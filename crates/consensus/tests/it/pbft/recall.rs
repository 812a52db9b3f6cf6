//! Replicas that may have forgotten what they said.

use super::*;

impl Network {
    /// A replica's store is lost, and it starts with a new one.
    fn lose(&mut self, index: usize) {
        self.crash(index);
        self.in_flight.retain(|(_, to, _)| to.as_usize() != index);
        let replica = Pbft::new(self.config(index), None, None, []);
        let host = &mut self.hosts[index];
        (host.records, host.decisions, host.stable) = (vec![], vec![], None);
        host.replica = replica;
        host.valid.clear();
        (host.up, host.expires) = (true, None);
        self.boots += 1;
        self.input(index, Input::Start { memory: Memory::Lost, boot: self.boots });
    }

    fn deliver_all(&mut self) {
        while self.deliver_one(0.0, 0.0) {}
    }

    fn greeting(&self, from: usize, height: u64, boot: u64, remembers: bool) -> Input<Pbft> {
        let decided = self.hosts[from].decisions.get(height as usize - 1).map(|decision| decision.certificate.clone());
        let greeting = Greeting { boot, decided, remembers, vote: None, view_change: None };
        Input::Message { from: ValidatorIndex(from as u16), message: Message::Greeting(Box::new(greeting)) }
    }
}

fn said(effects: &[Effect<Pbft>]) -> Vec<&Message> {
    let said = effects.iter().filter_map(|effect| match effect {
        Effect::Broadcast(message) | Effect::Send { message, .. } => Some(message),
        _ => None,
    });
    said.collect()
}

fn votes(effects: &[Effect<Pbft>]) -> usize {
    let is_vote =
        |message: &&&Message| matches!(message, Message::Vote(_) | Message::PrePrepare { .. } | Message::ViewChange(_));
    said(effects).iter().filter(is_vote).count()
}

#[test]
fn a_replica_whose_store_was_lost_is_silent_until_it_cannot_contradict_itself_and_then_votes_again() {
    let mut network = Network::new(4, SILENCE + 20, 1);
    network.start();
    for _ in 0..200 {
        network.deliver_one(0.0, 0.0);
    }
    network.lose(3);
    assert!(network.hosts[3].replica.is_silent());
    network.run(0.0, 0.0);
    assert!(!network.hosts[3].replica.is_silent());
    network.heights += 8;
    network.run(0.0, 0.0);
    network.assert_agreement();
    network.assert_all_decided();
    let until = network.hosts[3].notices.iter().find_map(|notice| match notice {
        Notice::Silent { until } => Some(*until),
        _ => None,
    });
    let first_vote = network.hosts[3].records.iter().filter_map(|record| match record {
        Record::Accepted { vote, .. } => Some(vote.height),
        _ => None,
    });
    let first_vote = first_vote.min();
    assert!(until.is_some() && first_vote >= until, "it voted at {first_vote:?}, before {until:?}");
}

#[test]
fn what_it_must_hear_is_what_a_quorum_of_others_that_remember_prove_to_be_decided() {
    let mut network = Network::new(4, 6, 2);
    network.hosts[3].up = false;
    network.start();
    network.run(0.0, 0.0);
    let silent_until = |greetings: &[(usize, u64, u64, bool)]| {
        let mut replica = Pbft::new(network.config(3), None, None, []);
        let mut effects = replica.handle(Input::Start { memory: Memory::Lost, boot: 9 });
        for (from, height, boot, remembers) in greetings {
            effects.extend(replica.handle(network.greeting(*from, *height, *boot, *remembers)));
        }
        assert!(replica.is_silent());
        effects.into_iter().find_map(|effect| match effect {
            Effect::Output(Output::Notice(Notice::Silent { until })) => Some(until),
            _ => None,
        })
    };
    assert_eq!(silent_until(&[(0, 4, 9, true), (1, 6, 9, true), (2, 5, 9, true)]), Some(6 + SILENCE + 1));
    assert_eq!(silent_until(&[(0, 4, 9, true), (1, 6, 9, true)]), None, "two of the others are no quorum");
    assert_eq!(silent_until(&[(0, 4, 9, true), (1, 6, 9, true), (1, 6, 9, true)]), None, "one counts once");
    assert_eq!(silent_until(&[(0, 4, 9, true), (1, 6, 9, true), (2, 5, 9, false)]), None, "who forgot does not count");
    assert_eq!(
        silent_until(&[(0, 4, 9, true), (1, 6, 9, true), (2, 5, 8, true)]),
        None,
        "an answer to an earlier start"
    );
}

#[test]
fn a_height_that_nobody_has_proven_silences_nobody() {
    let mut network = Network::new(4, 2, 3);
    network.start();
    network.run(0.0, 0.0);
    let mut certificate = network.hosts[0].decisions[1].certificate.clone();
    certificate.height = 1 << 60;
    let mut replica = Pbft::new(network.config(3), None, None, []);
    replica.handle(Input::Start { memory: Memory::Lost, boot: 9 }).into_iter().for_each(drop);
    let greeting = Greeting { boot: 9, decided: Some(certificate), remembers: true, vote: None, view_change: None };
    let message = Message::Greeting(Box::new(greeting));
    let effects = replica.handle(Input::Message { from: ValidatorIndex(0), message });
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Fault { from: ValidatorIndex(0), .. })),
        "{effects:?}"
    );
    for from in [0, 1, 2] {
        replica.handle(network.greeting(from, 2, 9, true)).into_iter().for_each(drop);
    }
    let view = format!("{replica:?}");
    assert!(view.contains(&format!("vote_from: {}", 2 + SILENCE + 1)), "{view}");
}

#[test]
fn a_latecomer_that_never_voted_votes_at_once_and_replaces_one_that_crashed() {
    let mut network = Network::new(4, 4, 4);
    network.hosts[3].up = false;
    network.start();
    while network.hosts[0].decisions.is_empty() {
        network.deliver_one(0.0, 0.0);
    }
    network.crash(2);
    network.hosts[3].up = true;
    network.input(3, first_start());
    assert!(!network.hosts[3].replica.is_silent());
    network.run(0.0, 0.0);
    network.assert_agreement();
    network.assert_all_decided();
}

#[test]
fn an_idle_network_heals_a_replica_that_lost_its_store_by_empty_blocks_and_then_stops() {
    let mut network = Network::new(4, 1, 5);
    network.start();
    network.run(0.0, 0.0);
    network.lose(3);
    // Nobody has anything to decide; the hosts propose only what they are told to propose even if it is empty.
    network.heals = true;
    for _ in 0..40 {
        network.deliver_all();
        (0..4).for_each(|index| network.catch_up(index));
        (0..4).for_each(|index| network.input(index, Input::Timer(Timer::Retransmit)));
    }
    network.assert_agreement();
    assert!(!network.hosts[3].replica.is_silent(), "it waits for heights that never come");
    let heights = network.hosts[0].decisions.len() as u64;
    assert!((SILENCE..SILENCE + 4 * PIPELINE).contains(&heights), "{heights} blocks");
    for _ in 0..4 {
        network.deliver_all();
        (0..4).for_each(|index| network.input(index, Input::Timer(Timer::Retransmit)));
    }
    assert_eq!(network.hosts[0].decisions.len() as u64, heights, "nobody needs more");
}

#[test]
fn an_idle_network_heals_a_replica_however_often_it_loses_its_store_and_however_late_it_is_greeted() {
    let mut network = Network::new(4, 1, 15);
    network.start();
    network.run(0.0, 0.0);
    network.heals = true;
    for loss in 0..5 {
        network.lose(3);
        let mut looks = 0;
        while network.hosts[3].replica.is_silent() {
            assert!(looks < 400, "after loss {loss} it waits for heights that never come");
            // One of the others is greeted only after the rest have gone on for a while.
            let late = |from: ValidatorIndex| looks < 8 && from == ValidatorIndex(2);
            network.in_flight.retain(|(from, to, _)| !(late(*from) && *to == ValidatorIndex(3)));
            network.deliver_all();
            (0..4).for_each(|index| network.catch_up(index));
            (0..4).for_each(|index| network.input(index, Input::Timer(Timer::Retransmit)));
            // It may be the silent one's turn to propose.
            network.round += 1;
            let expired = |host: &Host| host.expires.is_some_and(|round| round <= network.round);
            let expired: Vec<_> = (0..4).filter(|index| expired(&network.hosts[*index])).collect();
            expired.into_iter().for_each(|index| network.expire(index));
            looks += 1;
        }
    }
    network.assert_agreement();
}

#[test]
fn who_pretends_to_be_silent_gets_a_few_empty_blocks_and_then_one_a_view_timeout() {
    let mut network = Network::new(4, 0, 6);
    network.hosts[3].up = false;
    network.start();
    network.heals = true;
    for _ in 0..100 {
        for to in 0..3 {
            let message = Message::Recall { boot: 1, lost: true };
            network.in_flight.push((ValidatorIndex(3), ValidatorIndex(to), message));
        }
        network.deliver_all();
        (0..3).for_each(|index| network.input(index, Input::Timer(Timer::Retransmit)));
    }
    let heights = network.hosts[0].decisions.len() as u64;
    assert!((SILENCE..LOG_WINDOW / 4).contains(&heights), "{heights} blocks");
}

#[test]
fn a_replica_that_restarts_says_nothing_new_before_a_quorum_has_greeted_it() {
    let mut network = Network::new(4, 3, 7);
    network.start();
    network.run(0.0, 0.0);
    let certificate = network.hosts[1].decisions[1].certificate.clone();
    let next = network.hosts[1].decisions[2].block.clone();
    let mut replica = Pbft::new(network.config(1), Some(certificate), None, []);
    replica.handle(Input::Start { memory: Memory::Kept, boot: 5 }).into_iter().for_each(drop);
    let hash = next.header.hash();
    let vote = Arc::new(Vote::sign(
        VoteKind::PrePrepare,
        (0, 0, 3),
        hash,
        ValidatorIndex(0),
        &network.keys[0],
        &network.domain,
    ));
    let from = ValidatorIndex(0);
    let mut effects = replica.handle(Input::Message { from, message: Message::PrePrepare { vote, block: next } });
    effects.extend(replica.handle(Input::Answer(Answer::Validated { block_hash: hash, valid: true })));
    effects.extend(replica.handle(network.greeting(0, 2, 5, true)));
    assert_eq!(votes(&effects), 0, "{effects:?}");
    let effects = replica.handle(network.greeting(2, 2, 5, true));
    assert_eq!(votes(&effects), 1, "it goes on with what came meanwhile: {effects:?}");

    // One of them has decided more: it catches up before it votes.
    let mut behind = Pbft::new(network.config(1), None, None, []);
    behind.handle(Input::Start { memory: Memory::Kept, boot: 5 }).into_iter().for_each(drop);
    for (from, height) in [(0, 1), (2, 3)] {
        behind.handle(network.greeting(from, height, 5, true)).into_iter().for_each(drop);
    }
    assert!(behind.is_silent());
}

#[test]
fn a_replica_that_is_shown_a_word_of_its_own_that_it_does_not_remember_takes_its_memory_for_lost() {
    let network = Network::new(4, 3, 8);
    let block = network.block(1, network.domain.network_id, 0);
    let vote = |kind, view, by: usize| {
        let index = ValidatorIndex(by as u16);
        Arc::new(Vote::sign(kind, (0, view, 1), block.header.hash(), index, &network.keys[by], &network.domain))
    };
    let change = |by: usize| {
        let signer = (&network.keys[by], &network.domain, 0);
        Box::new(ViewChange::sign(2, ValidatorIndex(1), None, vec![], signer))
    };
    let greet = |vote, view_change| {
        let mut replica = Pbft::new(network.config(1), None, None, []);
        replica.handle(first_start()).into_iter().for_each(drop);
        let greeting = Greeting { boot: 0, decided: None, remembers: true, vote, view_change };
        let message = Message::Greeting(Box::new(greeting));
        let effects = replica.handle(Input::Message { from: ValidatorIndex(2), message });
        let lost = effects.iter().any(|effect| matches!(effect, Effect::Output(Output::Notice(Notice::Forgot { .. }))));
        assert_eq!(lost, replica.is_silent());
        if lost {
            let durable = effects
                .iter()
                .any(|effect| matches!(effect, Effect::Persist(Record::View(view)) if view.vote_from == u64::MAX));
            assert!(durable, "{effects:?}");
        }
        lost
    };
    assert!(greet(Some(vote(VoteKind::Commit, 0, 1)), None));
    assert!(greet(Some(vote(VoteKind::PrePrepare, 4, 1)), None));
    assert!(greet(None, Some(change(1))));
    assert!(!greet(Some(vote(VoteKind::Commit, 0, 2)), None), "another's vote");
    let mut forged = (*vote(VoteKind::Commit, 0, 1)).clone();
    forged.signature = vote(VoteKind::Commit, 0, 2).signature;
    assert!(!greet(Some(Arc::new(forged)), None));
    assert!(!greet(None, Some(change(2))), "forged");
}

#[test]
fn a_new_view_counts_no_view_change_that_is_far_behind() {
    let mut network = Network::new(4, STALE_WINDOW + 1, 9);
    network.start();
    network.run(0.0, 0.0);
    let decisions = network.hosts[0].decisions.clone();
    let change = |by: usize, height: u64| {
        let decided = (height > 0).then(|| decisions[height as usize - 1].certificate.clone());
        ViewChange::sign(1, ValidatorIndex(by as u16), decided, vec![], (&network.keys[by], &network.domain, 0))
    };
    let highest = STALE_WINDOW + 1;
    let begins = |old: u64| {
        let changes = vec![change(0, highest), change(1, highest), change(3, old)];
        let mut new_view = NewView::sign(1, changes, vec![], (&network.keys[1], &network.domain, 0));
        new_view.verify(&network.domain, &network.validators, |_| false, None)
    };
    assert_eq!(begins(1), Ok(()));
    assert_eq!(begins(0), Err(ViewChangeError::Stale));

    // Nor does a primary begin with it, until its sender has caught up and says so.
    let mut primary = Pbft::new(network.config(1), Some(decisions[highest as usize - 1].certificate.clone()), None, []);
    let mut ask = |by: usize, height: u64| {
        let message = Message::ViewChange(change(by, height));
        let effects = primary.handle(Input::Message { from: ValidatorIndex(by as u16), message });
        said(&effects).iter().any(|message| matches!(message, Message::NewView(_)))
    };
    assert!(!ask(3, 0) && !ask(0, highest), "a quorum asks, but one of it is far behind");
    assert!(ask(3, highest - 1));
}
