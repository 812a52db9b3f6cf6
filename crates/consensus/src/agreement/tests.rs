//! What each rule is for.

use std::convert::Infallible;

use super::*;
use crate::party::tests::parties;

/// A coin whose rounds are known: heads in odd ones. A share is a number, which has to be that of the round.
#[derive(Debug)]
struct Known;

impl Coin for Known {
    type Share = u64;

    fn share(&self, round: u64) -> Option<u64> {
        Some(round)
    }

    fn combine(&self, round: u64, shares: &BTreeMap<ValidatorIndex, u64>) -> Result<Option<bool>, Vec<ValidatorIndex>> {
        let wrong: Vec<_> = shares.iter().filter(|(_, share)| **share != round).map(|(by, _)| *by).collect();
        if wrong.is_empty() { Ok((shares.len() > 2).then_some(round % 2 == 1)) } else { Err(wrong) }
    }
}

type It = Agreement<Known>;

fn replica(value: bool) -> It {
    let mut it = Agreement::new(parties(4).swap_remove(3), Known, Vec::new());
    assert_eq!(said(&it.handle(Input::Answer(value))), [Message::Crusader(1, Word::Echo1(value))]);
    it
}

fn said(effects: &[Effect<It>]) -> Vec<Message<u64>> {
    let said = |effect: &Effect<It>| if let Effect::Broadcast(message) = effect { Some(message.clone()) } else { None };
    effects.iter().filter_map(said).collect()
}

fn hear(it: &mut It, from: u16, message: Message<u64>) -> Vec<Effect<It>> {
    it.handle(Input::Message { from: ValidatorIndex(from), message })
}

/// What it says when these say this in round 1.
fn hears(it: &mut It, from: &[u16], word: Word) -> Vec<Message<u64>> {
    from.iter().flat_map(|from| said(&hear(it, *from, Message::Crusader(1, word)))).collect()
}

fn decided(effects: &[Effect<It>]) -> Option<Decided> {
    effects.iter().find_map(|effect| if let Effect::Output(decided) = effect { Some(*decided) } else { None })
}

fn words(words: &[Word]) -> Vec<Message<u64>> {
    words.iter().map(|word| Message::Crusader(1, *word)).collect()
}

/// One that has come to a value in round 1 and needs two more shares.
fn with_value(value: bool) -> It {
    let mut it = replica(value);
    assert_eq!(hears(&mut it, &[0, 1], Word::Echo1(value)), words(&[Word::Echo2(value)]));
    assert_eq!(hears(&mut it, &[0, 1], Word::Echo2(value)), words(&[Word::Echo3(Some(value))]));
    assert_eq!(hears(&mut it, &[0, 1], Word::Echo3(Some(value))), [Message::Share(1, 1)]);
    it
}

#[test]
fn who_comes_to_the_coin_decides_and_who_does_not_goes_on_with_its_value() {
    let mut it = with_value(true);
    assert!(hear(&mut it, 0, Message::Share(1, 1)).is_empty());
    let effects = hear(&mut it, 1, Message::Share(1, 1));
    assert_eq!(decided(&effects), Some(Decided { value: true, round: 1 }));
    assert_eq!(said(&effects), [Message::Decide(true), Message::Crusader(2, Word::Echo1(true))]);
    let mut other = with_value(false);
    hear(&mut other, 0, Message::Share(1, 1));
    let effects = hear(&mut other, 1, Message::Share(1, 1));
    assert_eq!(said(&effects), [Message::Crusader(2, Word::Echo1(false))]);
    assert_eq!((decided(&effects), other.came_to(1), other.coin_of(1)), (None, Some(Some(false)), Some(true)));
}

#[test]
fn who_comes_to_neither_goes_on_with_the_coin() {
    let mut it = replica(false);
    assert_eq!(hears(&mut it, &[0, 1], Word::Echo1(true)), words(&[Word::Echo1(true), Word::Echo2(true)]));
    assert_eq!(hears(&mut it, &[0, 1], Word::Echo1(false)), words(&[Word::Echo3(None)]));
    assert_eq!(hears(&mut it, &[0], Word::Echo3(Some(true))), []);
    assert_eq!(hears(&mut it, &[1], Word::Echo3(None)), [Message::Share(1, 1)]);
    hear(&mut it, 0, Message::Share(1, 1));
    assert_eq!(said(&hear(&mut it, 1, Message::Share(1, 1))), [Message::Crusader(2, Word::Echo1(true))]);
}

#[test]
fn one_liar_has_nobody_echo_its_value() {
    let mut it = replica(true);
    assert_eq!(hears(&mut it, &[0], Word::Echo1(false)), []);
    assert_eq!(hears(&mut it, &[0, 0], Word::Echo1(false)), [], "it counts once");
    assert_eq!(hears(&mut it, &[1], Word::Echo1(false)), words(&[Word::Echo1(false), Word::Echo2(false)]));
}

#[test]
fn a_false_share_is_found_and_its_sender_says_no_other() {
    let mut it = with_value(true);
    let effects = hear(&mut it, 0, Message::Share(1, 7));
    let fault = |effects: &[Effect<It>]| match effects {
        [Effect::Fault { from, fault }] => Some((from.0, *fault)),
        _ => None,
    };
    assert_eq!(fault(&effects), Some((0, Fault::FalseShare(1))));
    assert!(hear(&mut it, 0, Message::Share(1, 1)).is_empty());
    assert!(hear(&mut it, 1, Message::Share(1, 1)).is_empty());
    assert!(decided(&hear(&mut it, 2, Message::Share(1, 1))).is_some());
    assert_eq!(fault(&hear(&mut it, 2, Message::Crusader(2, Word::Echo2(true)))), None);
    assert_eq!(fault(&hear(&mut it, 2, Message::Crusader(2, Word::Echo2(false)))), Some((2, Fault::Contradiction)));
}

#[test]
fn one_correct_that_has_decided_is_followed_and_a_quorum_that_has_is_left() {
    let mut it = replica(false);
    assert!(hear(&mut it, 0, Message::Decide(true)).is_empty());
    let effects = hear(&mut it, 1, Message::Decide(true));
    assert_eq!(decided(&effects).map(|it| it.value), Some(true));
    assert_eq!(said(&effects), [Message::Decide(true)]);
    assert!(it.has_stopped, "three of four, itself included");
    assert_eq!(said(&it.handle(Input::Timer(()))), [Message::Decide(true)]);
}

#[test]
fn one_alone_decides_and_stops() {
    let party = parties(1).swap_remove(0);
    let coin = crate::coin::Local::new(party.clone());
    let mut it = Agreement::new(party, coin, Vec::new());
    let effects = it.handle(Input::Answer(true));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Output(decided) if decided.value)));
    assert!(it.has_stopped);
}

#[test]
fn what_is_kept_of_others_is_bounded_in_rounds() {
    let mut it = replica(true);
    for round in [0, WINDOW + 2, u64::MAX] {
        assert!(hear(&mut it, 0, Message::Crusader(round, Word::Echo1(true))).is_empty());
    }
    for round in 1..=WINDOW + 1 {
        hear(&mut it, 0, Message::Share(round, round));
    }
    assert_eq!(it.rounds.len() as u64, WINDOW + 1);
}

#[test]
fn a_restarted_replica_goes_on_where_it_was_and_contradicts_nothing() {
    let mut it = replica(false);
    let mut records = vec![Message::Crusader(1, Word::Echo1(false))];
    for from in [0, 1] {
        records.extend(said(&hear(&mut it, from, Message::Crusader(1, Word::Echo1(true)))));
    }
    let mut again = It::new(parties(4).swap_remove(3), Known, records.clone());
    let begun = again.handle(Input::Start { memory: Memory::Kept, boot: 1 });
    assert!(said(&begun).is_empty() && decided(&begun).is_none());
    assert!(again.handle(Input::Answer(true)).is_empty(), "it has begun");
    assert_eq!(again.handle(Input::Connected(ValidatorIndex(0))).len(), records.len());
    assert_eq!(hears(&mut again, &[0, 1], Word::Echo1(false)), [], "it has said echo2 of the other value");
    records.push(Message::Decide(true));
    let mut done = It::new(parties(4).swap_remove(3), Known, records);
    assert_eq!(decided(&done.handle(Input::Start { memory: Memory::Kept, boot: 2 })).map(|it| it.value), Some(true));
}

#[test]
fn records_are_kept_in_as_many_places_as_rounds_that_count_have() {
    let word = |round| Message::<Infallible>::Crusader(round, Word::Echo2(true));
    let places: BTreeSet<_> =
        (1..10_000).map(|round| Agreement::<crate::coin::Local>::slot(&cast(word(round)))).collect();
    assert_eq!(places.len() as u64, 2 * WINDOW + 1);
    for round in 1..1_000 {
        let recent: BTreeSet<_> =
            (round..=round + WINDOW).map(|it| Agreement::<crate::coin::Local>::slot(&cast(word(it)))).collect();
        assert_eq!(recent.len() as u64, WINDOW + 1, "no two rounds that count have one place");
    }
}

fn cast<S>(message: Message<Infallible>) -> Message<S> {
    match message {
        Message::Crusader(round, word) => Message::Crusader(round, word),
        Message::Share(_, never) => match never {},
        Message::Decide(value) => Message::Decide(value),
    }
}
