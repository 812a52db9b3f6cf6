//! A secret that all deal together, with liars among them.

use std::collections::BTreeMap;

use dtn_primitives::{Address, B256, Bytes, GROUP_ORDER, SecretKey, U256, ValidatorIndex};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    Ceremony, Coin, Fault, ShareError, Stage, Terms, Threshold,
    ceremony::{Said, Verdict},
    dealing::{Complaint, Dealing, Of},
    polynomial::{Polynomial, place},
};
use crate::{Party, party::tests::parties};

/// What comes before what is said: the tag and the ceremony.
const PREFIX: usize = 42;

const PATIENCE_MS: u64 = 1_000;

/// A chain on which validators deal, and one who reads it.
struct World {
    parties: Vec<Party>,
    ceremony: Ceremony,
    now_ms: u64,
}

impl World {
    fn new(n: u8) -> Self {
        let parties = parties(n);
        let ceremony = Ceremony::new(terms(&parties, 1));
        Self { parties, ceremony, now_ms: 0 }
    }

    fn key(&self, index: u16) -> &SecretKey {
        &self.parties[usize::from(index)].key
    }

    fn of(&self, dealer: u16) -> Of {
        self.ceremony.of(ValidatorIndex(dealer))
    }

    fn all(&self) -> Vec<u16> {
        (0..self.parties.len() as u16).collect()
    }

    /// A block with these items.
    fn block(&mut self, items: &[(u16, Vec<u8>)]) {
        self.now_ms += 1;
        let items: Vec<(Address, &[u8])> =
            items.iter().map(|(by, item)| (self.key(*by).address(), item.as_slice())).collect();
        self.ceremony.see(self.now_ms, items);
    }

    /// These say what they have to say, in one block.
    fn speak(&mut self, who: &[u16]) {
        let wanted = |by: &u16| Some((*by, self.ceremony.wanted(self.key(*by))?));
        let items: Vec<_> = who.iter().filter_map(wanted).collect();
        self.block(&items);
    }

    /// The dealing of somebody with these shares.
    fn dealing(&self, by: u16, terms: usize, share: impl Fn(ValidatorIndex, &Polynomial) -> U256) -> Dealing {
        let (polynomial, envelope) = (Polynomial::new(B256::repeat_byte(by as u8 + 1), terms), self.key(by));
        let validators = &self.parties[0].validators;
        let share = |replica| share(replica, &polynomial);
        Dealing::of_shares(self.of(by), &polynomial, envelope, validators, share).expect("no coefficient is zero")
    }

    /// Signed by its envelope's key once more, after a change.
    fn resigned(&self, by: u16, dealing: Dealing) -> Dealing {
        Dealing { owns: self.key(by).sign(dealing.digest(self.of(by))), ..dealing }
    }

    /// A true statement of what a validator has in common with the envelope of a dealer, whatever its share is.
    fn complaint(&self, of: u16, by: u16) -> Complaint {
        self.ceremony.dealing(ValidatorIndex(of)).expect("it has dealt").complain(self.key(by))
    }

    fn item(&self, dealing: Dealing) -> Vec<u8> {
        self.ceremony.item(&Said::Dealing(Box::new(dealing)))
    }

    fn fault(&self, of: u16) -> Option<Fault> {
        self.ceremony.faults().get(&ValidatorIndex(of)).copied()
    }

    fn dealers(&self) -> Vec<u16> {
        self.ceremony.dealers().iter().map(|dealer| dealer.0).collect()
    }

    fn is_ready(&self) -> bool {
        matches!(self.ceremony.stage(), Stage::Ready(_))
    }

    /// The coins of these, who have their shares.
    fn coins(&self, who: &[u16]) -> BTreeMap<ValidatorIndex, Threshold> {
        let Stage::Ready(dealt) = self.ceremony.stage() else { panic!("{}", self.ceremony.stage()) };
        let coin = |by: &u16| {
            let share = self.ceremony.share(self.key(*by)).expect("a share");
            let party = self.parties[usize::from(*by)].clone();
            (ValidatorIndex(*by), Threshold::new(party, dealt.clone(), share))
        };
        who.iter().map(coin).collect()
    }
}

fn terms(parties: &[Party], instance: u64) -> Terms {
    let Party { validators, network, .. } = parties[0].clone();
    Terms { validators, network, instance, patience_ms: PATIENCE_MS }
}

/// A coin of so many of these, as the first of them has it.
fn toss(coins: &BTreeMap<ValidatorIndex, Threshold>, who: &[u16], round: u64) -> Option<bool> {
    let share = |by: &u16| Some((ValidatorIndex(*by), coins[&ValidatorIndex(*by)].share(round)?));
    let coin = coins.values().next().expect("somebody");
    coin.combine(round, &who.iter().filter_map(share).collect()).expect("every share is good")
}

#[test]
fn any_shares_that_are_enough_give_the_same_coin_and_fewer_give_none() {
    for n in [1, 4, 7] {
        let mut world = World::new(n);
        let all = world.all();
        world.speak(&all);
        assert!(matches!(world.ceremony.stage(), Stage::Judging { heard: 0, .. }), "{}", world.ceremony.stage());
        assert_eq!(world.ceremony.share(world.key(0)).err(), Some(ShareError::NotReady));
        world.speak(&all);
        assert_eq!((world.dealers(), world.ceremony.faults().len()), (all.clone(), 0));
        let (coins, threshold) = (world.coins(&all), world.parties[0].quorum);
        let mut heads = 0;
        for round in 0..40 {
            let first = toss(&coins, &all, round);
            for from in 0..=usize::from(n) - threshold {
                assert_eq!(toss(&coins, &all[from..from + threshold], round), first, "n = {n}, round {round}");
                assert_eq!(toss(&coins, &all[from + 1..from + threshold], round), None);
            }
            heads += usize::from(first == Some(true));
        }
        assert!((8..=32).contains(&heads), "{heads} of 40");
    }
}

#[test]
fn what_everybody_sees_to_be_no_dealing_is_left_out_by_name() {
    let good = |replica, polynomial: &Polynomial| polynomial.at(place(replica));
    let mut world = World::new(7);
    let mut few = world.dealing(0, 5, good);
    few.sealed.pop();
    let mut infinity = world.dealing(0, 5, good);
    let mut commitments = infinity.commitments.to_vec();
    commitments[..96].fill(0);
    commitments[0] = 0xc0;
    infinity.commitments = commitments.into();
    let infinity = world.resigned(0, infinity);
    let cases = [
        (world.item(world.dealing(0, 4, good)), Fault::Degree { have: 4, need: 5 }),
        (world.item(world.dealing(0, 6, good)), Fault::Degree { have: 6, need: 5 }),
        (world.item(few), Fault::Shares { have: 6, need: 7 }),
        (world.item(infinity), Fault::Point),
        (world.item(world.dealing(1, 5, good)), Fault::Envelope),
    ];
    for (item, fault) in cases {
        world.ceremony = Ceremony::new(terms(&world.parties, 1));
        world.block(&[(0, item)]);
        assert_eq!((world.fault(0), world.dealers()), (Some(fault), vec![]), "{fault}");
        world.speak(&[0, 1, 2, 3, 4, 5]);
        world.speak(&[0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(world.dealers(), [1, 2, 3, 4, 5], "{fault}");
        let coins = world.coins(&world.all());
        assert_eq!(toss(&coins, &[0, 1, 2, 3, 4], 1), toss(&coins, &[2, 3, 4, 5, 6], 1));
    }
}

#[test]
fn who_deals_twice_is_left_out_and_who_says_the_same_again_is_not() {
    let mut world = World::new(4);
    let first = world.ceremony.wanted(world.key(0)).expect("a dealing");
    let second = world.item(world.dealing(0, 3, |replica, polynomial| polynomial.at(place(replica))));
    world.block(&[(0, first.clone()), (0, first.clone())]);
    world.block(&[(0, first)]);
    assert_eq!((world.dealers(), world.fault(0)), (vec![0], None));
    world.block(&[(0, second)]);
    assert_eq!((world.dealers(), world.fault(0)), (vec![], Some(Fault::Twice)));
    world.speak(&[1, 2, 3]);
    world.speak(&[0, 1, 2, 3]);
    assert_eq!(world.dealers(), [1, 2, 3]);
    assert!(world.is_ready());
}

#[test]
fn who_deals_what_is_no_share_is_left_out_whether_to_one_or_to_all() {
    for bad in [vec![2], vec![0, 2, 3], vec![0, 1, 2, 3]] {
        let mut world = World::new(4);
        let share = |replica: ValidatorIndex, polynomial: &Polynomial| {
            let off = U256::from(u8::from(bad.contains(&replica.0)));
            polynomial.at(place(replica)).add_mod(off, GROUP_ORDER)
        };
        let lie = world.item(world.dealing(1, 3, share));
        world.block(&[(1, lie)]);
        assert_eq!((world.dealers(), world.fault(1)), (vec![1], None), "nobody sees it yet");
        world.speak(&[0, 2, 3]);
        world.speak(&[0, 1, 2, 3]);
        let to = ValidatorIndex(bad[0]);
        assert_eq!((world.dealers(), world.fault(1)), (vec![0, 2, 3], Some(Fault::BadShare { to })), "{bad:?}");
        let coins = world.coins(&world.all());
        assert_eq!(toss(&coins, &[0, 1, 2], 1), toss(&coins, &[1, 2, 3], 1));
    }
}

#[test]
fn who_complains_without_reason_is_named_and_its_victim_is_not_left_out() {
    let mut world = World::new(4);
    world.speak(&[0, 1, 2, 3]);
    let verdict = |world: &World, by: u16| {
        let item = world.ceremony.wanted(world.key(by)).expect("a verdict");
        let said = &item[PREFIX..];
        match dtn_primitives::codec::decode(said, said.len()) {
            Ok(Said::Verdict(verdict)) => verdict,
            _ => panic!("no verdict"),
        }
    };
    // Of a good share, with its true point; of a bad share of another's, and with another's point.
    let [own, others] = [0, 2].map(|by| world.complaint(1, by));
    for complaint in [own, others] {
        let before = World { ceremony: world.ceremony.clone(), parties: world.parties.clone(), now_ms: world.now_ms };
        let lie = Verdict { complaints: vec![complaint], ..verdict(&world, 0) };
        world.block(&[(0, world.ceremony.item(&Said::Verdict(lie)))]);
        assert_eq!(world.fault(0), Some(Fault::FalseComplaint { of: ValidatorIndex(1) }));
        world.speak(&[1, 2, 3]);
        assert!(world.is_ready());
        assert_eq!(world.dealers(), [0, 1, 2, 3], "it has dealt well and lied about another");
        world = before;
    }
    let elsewhere = Verdict { set: B256::ZERO, ..verdict(&world, 3) };
    world.block(&[(3, world.ceremony.item(&Said::Verdict(elsewhere)))]);
    assert_eq!(world.fault(3), Some(Fault::OtherSet));
    let twice = [1, 1].map(|of| world.complaint(of, 2)).into();
    let twice = Verdict { complaints: twice, ..verdict(&world, 2) };
    world.block(&[(2, world.ceremony.item(&Said::Verdict(twice)))]);
    assert_eq!(world.fault(2), Some(Fault::Malformed));
    assert_eq!(world.ceremony.stage(), Stage::Judging { heard: 0, need: 4, until_ms: None });
}

#[test]
fn others_are_waited_for_as_long_as_patience_lasts_and_complaints_in_that_time_count() {
    for late in [false, true] {
        let mut world = World::new(4);
        let share = |replica: ValidatorIndex, polynomial: &Polynomial| {
            if replica.0 == 3 { U256::ONE } else { polynomial.at(place(replica)) }
        };
        let lie = world.item(world.dealing(1, 3, share));
        world.block(&[(1, lie)]);
        world.speak(&[0, 2]);
        world.speak(&[0, 1, 2]);
        let until = world.now_ms + PATIENCE_MS;
        assert_eq!(world.ceremony.stage(), Stage::Judging { heard: 3, need: 4, until_ms: Some(until) });
        world.block(&[]);
        assert!(!world.is_ready());
        let complaint = world.ceremony.wanted(world.key(3)).expect("it complains");
        world.now_ms = if late { until - 1 } else { until - 2 };
        world.block(&[(3, complaint)]);
        assert!(world.is_ready());
        if late {
            // It is told why, and the others go on without it.
            assert_eq!(world.ceremony.share(world.key(3)).err(), Some(ShareError::Lost(ValidatorIndex(1))));
            assert_eq!((world.dealers(), world.fault(1)), (vec![0, 1, 2], None));
            assert!(toss(&world.coins(&[0, 1, 2]), &[0, 1, 2], 1).is_some());
        } else {
            assert_eq!((world.dealers(), world.ceremony.faults().len()), (vec![0, 2], 1));
            let coins = world.coins(&world.all());
            assert_eq!(toss(&coins, &[0, 1, 2], 1), toss(&coins, &[1, 2, 3], 1));
        }
    }
}

#[test]
fn what_is_dealt_after_enough_have_dealt_changes_nothing() {
    let mut world = World::new(4);
    let late = world.ceremony.wanted(world.key(3)).expect("a dealing");
    let second = world.item(world.dealing(0, 3, |replica, polynomial| polynomial.at(place(replica))));
    world.speak(&[0, 1, 2]);
    world.block(&[(3, late), (0, second)]);
    world.speak(&[0, 1, 2, 3]);
    assert!(world.is_ready());
    assert_eq!((world.dealers(), world.ceremony.faults().len()), (vec![0, 1, 2], 0));
}

#[test]
fn who_was_away_all_the_time_has_its_share_afterwards() {
    let mut world = World::new(4);
    world.speak(&[0, 1, 2]);
    world.speak(&[0, 1, 2]);
    world.now_ms += PATIENCE_MS;
    world.block(&[]);
    let coins = world.coins(&world.all());
    assert_eq!(toss(&coins, &[1, 2, 3], 1), toss(&coins, &[0, 1, 2], 1));
    assert_eq!(world.ceremony.wanted(world.key(3)), None);
    let stranger = SecretKey::from_bytes(&[0x77; 32]).expect("a valid scalar");
    assert_eq!(world.ceremony.share(&stranger).err(), Some(ShareError::Stranger(stranger.address())));
    assert_eq!(world.ceremony.wanted(&stranger), None);
}

#[test]
fn what_is_said_in_another_ceremony_or_by_strangers_is_passed_over() {
    let mut world = World::new(4);
    let elsewhere = Ceremony::new(terms(&world.parties, 2));
    let item = elsewhere.wanted(world.key(0)).expect("a dealing");
    let own = world.ceremony.wanted(world.key(1)).expect("a dealing");
    let stranger = Address::repeat_byte(0x77);
    world.ceremony.see(1, [(world.key(0).address(), &item[..]), (stranger, &own[..]), (stranger, &[])]);
    assert_eq!(world.ceremony.stage(), Stage::Dealing { dealt: 0, need: 3 });
    // The shares are other ones there, so that none that is shown in one tells of the other.
    assert_ne!(item[PREFIX..], world.ceremony.wanted(world.key(0)).expect("it")[PREFIX..]);
    // Another's dealing is nobody else's.
    world.block(&[(0, own)]);
    assert_eq!(world.fault(0), Some(Fault::Envelope));
    // Who says what cannot be read is named, and may deal.
    let good = world.ceremony.wanted(world.key(2)).expect("a dealing");
    world.block(&[(2, [&good[..], &[0]].concat()), (2, good[..PREFIX].to_vec()), (2, good)]);
    assert_eq!((world.fault(2), world.dealers()), (Some(Fault::Malformed), vec![2]));
}

#[test]
fn a_dealer_that_does_not_know_its_polynomial_is_left_out() {
    let mut world = World::new(4);
    // It takes what another has dealt out of the sum.
    let victim = world.dealing(0, 3, |replica, polynomial| polynomial.at(place(replica)));
    let own = world.dealing(1, 3, |replica, polynomial| polynomial.at(place(replica)));
    let rogue = world.resigned(1, Dealing { commitments: minus(&victim.commitments), ..own });
    world.block(&[(1, world.item(rogue))]);
    assert_eq!(world.fault(1), Some(Fault::Polynomial));
}

/// The commitments to minus what these are to: the highest sign bit of a compressed point says which of two it is.
fn minus(commitments: &[u8]) -> Bytes {
    let (points, _) = commitments.as_chunks::<96>();
    let negative = points.iter().flat_map(|point| {
        let mut point = *point;
        point[0] ^= 0x20;
        point
    });
    negative.collect()
}

/// What a liar does.
fn lie(world: &World, by: u16, rng: &mut StdRng) -> Vec<(u16, Vec<u8>)> {
    let off = rng.random_range(0..world.parties.len() as u16);
    let good = |replica, polynomial: &Polynomial| polynomial.at(place(replica));
    let bad = |replica: ValidatorIndex, polynomial: &Polynomial| {
        if replica.0 == off { U256::from(7) } else { polynomial.at(place(replica)) }
    };
    let threshold = world.parties[0].quorum;
    let own = world.ceremony.wanted(world.key(by));
    let other = world.item(world.dealing(by, threshold, good));
    let item = match rng.random_range(0..7) {
        0 => return Vec::new(),
        1 => world.item(world.dealing(by, threshold, bad)),
        2 => world.item(world.dealing(by, threshold - 1, good)),
        3 => return own.into_iter().chain([other]).map(|item| (by, item)).collect(),
        4 => world.ceremony.item(&Said::Verdict(Verdict { set: B256::repeat_byte(1), complaints: Vec::new() })),
        5 => {
            let mut item = own.unwrap_or(other);
            let place = rng.random_range(0..item.len());
            item[place] ^= 1 << rng.random_range(0..8);
            item
        }
        _ => return own.map(|item| (by, item)).into_iter().collect(),
    };
    vec![(by, item)]
}

#[test]
fn whatever_liars_say_and_in_whatever_order_the_correct_have_a_coin_in_common_and_are_not_named() {
    for seed in 0..16 {
        let mut rng = StdRng::seed_from_u64(seed);
        let n = if rng.random() { 4 } else { 7 };
        let mut world = World::new(n);
        let mut order = world.all();
        order.shuffle(&mut rng);
        let (liars, correct) = order.split_at(world.parties[0].faulty);
        let (liars, correct) = (liars.to_vec(), correct.to_vec());
        for _ in 0..20 {
            let mut items: Vec<_> = liars.iter().flat_map(|by| lie(&world, *by, &mut rng)).collect();
            let wanted = correct.iter().filter_map(|by| Some((*by, world.ceremony.wanted(world.key(*by))?)));
            items.extend(wanted.filter(|_| rng.random_bool(0.5)).collect::<Vec<_>>());
            items.shuffle(&mut rng);
            world.block(&items);
        }
        world.now_ms += PATIENCE_MS;
        world.block(&[]);
        assert!(world.is_ready(), "seed {seed}: {}", world.ceremony.stage());
        let named: Vec<_> = world.ceremony.faults().keys().map(|by| by.0).collect();
        assert!(named.iter().all(|by| liars.contains(by)), "seed {seed}: {:?} of {liars:?}", world.ceremony.faults());
        assert!(world.dealers().iter().any(|dealer| correct.contains(dealer)), "seed {seed}");
        let coins = world.coins(&correct);
        assert!(toss(&coins, &correct, 1).is_some(), "seed {seed}");
    }
}
