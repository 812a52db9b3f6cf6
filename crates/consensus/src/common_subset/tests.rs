//! The promises under random schedules, with a replica that is dead or lies, and each rule.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::{Memory, party::tests::parties};

/// A coin that everybody knows: it shows nothing of unpredictability, which agreement itself is tested for.
#[derive(Debug)]
struct Known(u64);

impl Coin for Known {
    type Share = u64;

    fn share(&self, round: u64) -> Option<u64> {
        Some(round)
    }

    fn combine(&self, round: u64, shares: &BTreeMap<ValidatorIndex, u64>) -> Result<Option<bool>, Vec<ValidatorIndex>> {
        Ok((shares.len() > 2).then_some((self.0 ^ round).count_ones() % 2 == 1))
    }
}

type It = CommonSubset<Known>;

fn replicas(rules: Rules) -> Vec<It> {
    let new = |party: Party| CommonSubset::new(party, |own| Known(own.instance), Vec::new()).with_rules(rules);
    parties(4).into_iter().map(new).collect()
}

fn value(of: usize) -> Bytes {
    vec![of as u8; 3].into()
}

type Under = (usize, usize, Message<u64>);

/// What becomes of four whose messages come in an order that a seed decides, those that are put off after all others; `dead`
/// says nothing.
fn play(seed: u64, rules: Rules, dead: Option<usize>, is_put_off: impl Fn(&Under) -> bool) -> Vec<Option<Subset>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut all = replicas(rules);
    let (mut subsets, mut under_way) = (vec![None; 4], Vec::new());
    let mut carry = |me: usize, effects: Effects<Known>, under_way: &mut Vec<Under>| {
        for effect in effects {
            match effect {
                Effect::Broadcast(message) => {
                    under_way.extend((0..4).filter(|to| *to != me).map(|to| (me, to, message.clone())));
                }
                Effect::Send { to, message } => under_way.push((me, to.as_usize(), message)),
                Effect::Output(subset) => assert!(subsets[me].replace(subset).is_none(), "once"),
                Effect::Fault { from, fault } => panic!("{from} is accused: {fault}"),
                _ => {}
            }
        }
    };
    for me in (0..4).filter(|me| Some(*me) != dead) {
        let start = all[me].handle(Input::Start { memory: Memory::NeverVoted, boot: 1 });
        carry(me, start, &mut under_way);
        let told = all[me].handle(Input::Answer(value(me)));
        carry(me, told, &mut under_way);
    }
    while !under_way.is_empty() {
        let soon: Vec<_> = (0..under_way.len()).filter(|at| !is_put_off(&under_way[*at])).collect();
        let chosen = match soon.len() {
            0 => rng.random_range(0..under_way.len()),
            some => soon[rng.random_range(0..some)],
        };
        let (from, to, message) = under_way.swap_remove(chosen);
        if Some(to) != dead {
            let from = ValidatorIndex(from as u16);
            let effects = all[to].handle(Input::Message { from, message });
            carry(to, effects, &mut under_way);
        }
    }
    subsets
}

fn first_seed() -> u64 {
    std::env::var("DTN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

#[test]
fn all_come_to_the_same_values_of_n_less_f_or_more_whatever_messages_take() {
    let mut sizes = BTreeMap::new();
    for seed in first_seed()..first_seed() + 150 {
        let dead = [None, Some((seed % 4) as usize)][(seed % 2) as usize];
        let slow = (seed / 8 % 8) as usize;
        let subsets = play(seed, Rules::default(), dead, |(from, ..)| *from == slow);
        let came: Vec<_> = subsets.iter().enumerate().filter(|(me, _)| Some(*me) != dead).collect();
        let Subset(first) = came[0].1.as_ref().unwrap_or_else(|| panic!("seed {seed}: nothing"));
        assert!(came.iter().all(|(_, subset)| subset.as_ref().map(|it| &it.0) == Some(first)), "seed {seed}: {came:?}");
        assert!(first.len() >= 3 && first.iter().all(|(of, is)| *is == value(of.as_usize())), "seed {seed}: {first:?}");
        *sizes.entry(first.len()).or_insert(0) += 1;
    }
    assert!(sizes.len() == 2, "three and four values: {sizes:?}");
}

#[test]
fn who_gives_up_on_others_too_early_has_too_few_values() {
    let early = Rules { waits_for_quorum: false, ..Rules::default() };
    let is_of_others = |(.., message): &Under| {
        let (Message::Broadcast(whose, _) | Message::Agreement(whose, _)) = message;
        whose.0 != 0
    };
    let subsets = play(0, early, None, is_of_others);
    assert!(subsets[1].as_ref().is_some_and(|subset| subset.0.len() < 3), "{subsets:?}");
    let patient = play(0, Rules::default(), None, is_of_others);
    assert!(patient[1].as_ref().is_some_and(|subset| subset.0.len() >= 3), "{patient:?}");
}

#[test]
fn who_does_not_wait_for_values_has_others_than_everybody_else() {
    let hasty = Rules { waits_for_values: false, ..Rules::default() };
    let is_late = |(_, to, message): &Under| *to == 3 && matches!(message, Message::Broadcast(..));
    let subsets = play(0, hasty, None, is_late);
    assert!(subsets[3].is_some() && subsets[3] != subsets[0], "{subsets:?}");
    let patient = play(0, Rules::default(), None, is_late);
    assert!(patient[3].is_some() && patient[3] == patient[0], "{patient:?}");
}

#[test]
fn of_a_subset_the_most_common_value_is_the_least_of_those() {
    let subset = |values: &[&str]| {
        Subset((0..).map(ValidatorIndex).zip(values.iter().map(|it| Bytes::from(it.as_bytes().to_vec()))).collect())
    };
    let common = |values: &[&str]| subset(values).most_common().map(|value| value.to_vec());
    assert_eq!(common(&["b", "a", "b"]), Some(b"b".to_vec()));
    assert_eq!(common(&["c", "a", "b"]), Some(b"a".to_vec()));
    assert_eq!(common(&[]), None);
}

#[test]
fn what_is_about_nobody_is_a_fault_and_each_record_has_a_place_of_its_own() {
    let mut it = replicas(Rules::default()).swap_remove(0);
    let stray = Message::Agreement(ValidatorIndex(4), agreement::Message::Decide(true));
    let effects = it.handle(Input::Message { from: ValidatorIndex(1), message: stray });
    assert!(matches!(&effects[..], [Effect::Fault { fault: Fault::Nobody(ValidatorIndex(4)), .. }]), "{effects:?}");
    let initial = |of| broadcast::Message { phase: broadcast::Phase::Initial, value: value(of) };
    let records = [0, 1].map(|of| Message::<u64>::Broadcast(ValidatorIndex(of), initial(0)));
    let agreed = [0, 1].map(|of| Message::Agreement(ValidatorIndex(of), agreement::Message::Decide(true)));
    let shares = [1, 2].map(|round| Message::Agreement(ValidatorIndex(0), agreement::Message::Share(round, 9)));
    let slots: std::collections::BTreeSet<_> =
        records.iter().chain(&agreed).chain(&shares).map(<It as Standalone>::slot).collect();
    assert_eq!(slots.len(), 6);
}
