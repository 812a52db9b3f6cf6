//! What each rule is for.

use super::*;
use crate::party::tests::parties;

const DELTA: Duration = Duration::from_millis(50);

/// The last of seven, of which two may lie, in the broadcast of the first.
fn replica() -> DolevStrong {
    let mut it = DolevStrong::new(parties(7).swap_remove(6), ValidatorIndex(0), DELTA);
    assert_eq!(it.handle(Input::Answer(Begin(None))).len(), 1 + 3, "a record, and the ends of three rounds");
    it
}

fn chain(value: &'static str, signers: &[usize]) -> SignatureChain {
    let parties = parties(7);
    let sign = |chain: SignatureChain, who: &usize| chain.signed(&parties[*who], DolevStrong::NAME);
    signers.iter().fold(SignatureChain::new(value.into()), sign)
}

fn hears(it: &mut DolevStrong, message: SignatureChain) -> Vec<Effect<DolevStrong>> {
    it.handle(Input::Message { from: ValidatorIndex(1), message })
}

fn comes(it: &mut DolevStrong) -> Option<Option<Bytes>> {
    match it.handle(Input::Timer(3)).pop() {
        Some(Effect::Output(output)) => Some(output),
        _ => None,
    }
}

#[test]
fn a_value_is_told_to_whoever_has_not_signed_and_come_to_at_the_end() {
    let mut it = replica();
    let told = hears(&mut it, chain("v", &[0, 1]));
    let to: Vec<_> =
        told.iter().filter_map(|it| if let Effect::Send { to, .. } = it { Some(to.0) } else { None }).collect();
    assert_eq!(to, [2, 3, 4, 5]);
    assert!(told.iter().all(|it| matches!(it, Effect::Send { message, .. } if message.links.len() == 3)));
    assert!(hears(&mut it, chain("v", &[0, 2])).is_empty(), "it is known");
    assert_eq!(comes(&mut it), Some(Some("v".into())));
}

#[test]
fn two_values_or_none_are_nothing() {
    let mut it = replica();
    assert!(!hears(&mut it, chain("v", &[0])).is_empty() && !hears(&mut it, chain("w", &[0])).is_empty());
    assert!(hears(&mut it, chain("x", &[0])).is_empty(), "two prove it");
    assert_eq!(comes(&mut it), Some(None));
    assert_eq!(comes(&mut replica()), Some(None));
}

#[test]
fn what_comes_in_a_round_needs_as_many_signatures_and_the_last_is_told_to_nobody() {
    let mut it = replica();
    _ = it.handle(Input::Timer(1));
    assert!(hears(&mut it, chain("v", &[0])).is_empty() && it.extracted.is_empty(), "too late, and no fault");
    _ = it.handle(Input::Timer(2));
    assert!(hears(&mut it, chain("v", &[0, 1])).is_empty() && it.extracted.is_empty());
    assert!(hears(&mut it, chain("v", &[0, 1, 2])).is_empty(), "nobody takes four");
    assert_eq!(comes(&mut it), Some(Some("v".into())));
}

#[test]
fn chains_that_no_correct_replica_sends_are_faults() {
    let mut it = replica();
    for (chain, fault) in [
        (chain("v", &[1, 0]), ChainError::NotOfTheSender),
        (chain("v", &[0, 0]), ChainError::Repeated(ValidatorIndex(0))),
        (SignatureChain { value: "w".into(), ..chain("v", &[0]) }, ChainError::Forged(ValidatorIndex(0))),
    ] {
        let effects = hears(&mut it, chain);
        assert!(matches!(effects[..], [Effect::Fault { fault: found, .. }] if found == fault), "{effects:?}");
    }
    assert_eq!(comes(&mut it), Some(None));
}

#[test]
fn who_was_down_says_and_comes_to_nothing() {
    let mut it = DolevStrong::new(parties(7).swap_remove(6), ValidatorIndex(6), DELTA);
    _ = it.handle(Input::Start { memory: Memory::Kept, boot: 1 });
    assert!(it.handle(Input::Answer(Begin(Some("v".into())))).is_empty());
    assert!(hears(&mut it, chain("v", &[0])).is_empty());
}
