//! What each rule is for.

use super::*;
use crate::party::tests::parties;

fn message(phase: Phase, value: &'static str) -> Message {
    Message { phase, value: value.into() }
}

/// The last of four, in the broadcast of the first.
fn replica() -> Broadcast {
    Broadcast::new(parties(4).swap_remove(3), ValidatorIndex(0), Vec::new())
}

fn hears(replica: &mut Broadcast, from: u16, message: Message) -> Vec<Effect<Broadcast>> {
    replica.handle(Input::Message { from: ValidatorIndex(from), message })
}

fn said(effects: &[Effect<Broadcast>]) -> Vec<(Phase, &[u8])> {
    let mut said = Vec::new();
    for effect in effects {
        if let Effect::Broadcast(Message { phase, value }) = effect {
            said.push((*phase, &value[..]));
        }
    }
    said
}

#[test]
fn each_phase_waits_for_as_many_as_it_needs() {
    let mut it = replica();
    assert_eq!(said(&hears(&mut it, 0, message(Phase::Initial, "v"))), [(Phase::Echo, &b"v"[..])]);
    assert!(said(&hears(&mut it, 1, message(Phase::Echo, "v"))).is_empty(), "two of three, its own included");
    assert_eq!(said(&hears(&mut it, 0, message(Phase::Echo, "v"))), [(Phase::Ready, &b"v"[..])]);
    assert!(hears(&mut it, 1, message(Phase::Ready, "v")).is_empty());
    let last = hears(&mut it, 2, message(Phase::Ready, "v"));
    assert!(matches!(&last[..], [Effect::Output(value)] if value == "v".as_bytes()), "{last:?}");
    assert!(hears(&mut it, 0, message(Phase::Ready, "v")).is_empty(), "it comes to something once");
}

#[test]
fn who_hears_one_correct_that_is_ready_is_ready_without_echoes() {
    let mut it = replica();
    assert!(hears(&mut it, 1, message(Phase::Ready, "v")).is_empty());
    assert_eq!(said(&hears(&mut it, 2, message(Phase::Ready, "v"))), [(Phase::Ready, &b"v"[..])]);
}

#[test]
fn nobody_moves_a_replica_with_what_no_correct_one_says() {
    let mut it = replica();
    let mut fault = |from, message| match &hears(&mut it, from, message)[..] {
        [Effect::Fault { from: by, fault }] => Some((by.0, *fault)),
        _ => None,
    };
    assert_eq!(fault(1, message(Phase::Initial, "v")), Some((1, Fault::NotTheSender)));
    assert_eq!(fault(0, message(Phase::Initial, "v")), None);
    assert_eq!(fault(0, message(Phase::Initial, "w")), Some((0, Fault::Contradiction)));
    assert_eq!(fault(1, message(Phase::Echo, "v")), None);
    assert_eq!(fault(1, message(Phase::Echo, "w")), Some((1, Fault::Contradiction)));
    let long = Message { phase: Phase::Echo, value: vec![0; MAX_VALUE + 1].into() };
    assert_eq!(fault(2, long), Some((2, Fault::TooLong(MAX_VALUE + 1))));
}

#[test]
fn a_restarted_replica_says_what_it_said_and_one_that_lost_its_disk_says_nothing() {
    let mut it = replica();
    let first = hears(&mut it, 0, message(Phase::Initial, "v"));
    let records: Vec<_> =
        first.into_iter().filter_map(|it| if let Effect::Persist(it) = it { Some(it) } else { None }).collect();
    let start = |memory| Input::Start { memory, boot: 1 };
    let mut again = Broadcast::new(parties(4).swap_remove(3), ValidatorIndex(0), records);
    assert!(said(&again.handle(start(Memory::Kept))).is_empty());
    assert!(said(&hears(&mut again, 0, message(Phase::Initial, "w"))).is_empty(), "it has echoed v");
    assert_eq!(again.handle(Input::Connected(ValidatorIndex(1))).len(), 1);
    let begun = vec![message(Phase::Initial, "v")];
    let mut sender = Broadcast::new(parties(4).swap_remove(0), ValidatorIndex(0), begun);
    assert_eq!(said(&sender.handle(start(Memory::Kept))), [(Phase::Echo, &b"v"[..])], "as it would have");
    let mut lost = replica();
    assert!(said(&lost.handle(start(Memory::Lost))).is_empty());
    assert!(hears(&mut lost, 0, message(Phase::Initial, "v")).is_empty());
}
