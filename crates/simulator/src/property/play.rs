//! Plays a case.

use std::{collections::BTreeMap, time::Duration};

use dtn_consensus::{
    Agreement, Broadcast, Coin, CommonSubset, DolevStrong, Party, Standalone,
    agreement::{self, Message},
    broadcast,
    coin::{Ceremony, Stage, Terms, Threshold, deal},
    common_subset,
    dolev_strong::{self, Begin},
};
use dtn_primitives::{B256, Bytes, SecretKey, ValidatorIndex, keccak256};

use super::{
    Case, Ideal, Mutant, Property, Textbook, Verdict,
    case::DELTA,
    liars::{self, Conspiracy, OTHER},
    schedule, subset,
    watch::{Subsets, Watch, shown},
};
use crate::{
    Members,
    standalone::{Report, Trial},
};

/// What a correct sender says.
pub(super) const VALUE: &str = "the value";

/// Of a protocol that is played alone.
const INSTANCE: u64 = 1;

/// What came of a case.
#[derive(Debug)]
pub struct Played {
    /// What was broken, and how.
    pub broken: BTreeMap<Property, String>,
    /// Whether its theorem is about it; in words what it needs, if not.
    pub assumptions: Result<(), String>,
    /// The same for accountability, which is about more liars than are tolerated.
    pub witnessed: Result<(), String>,
    /// How many were convicted, if replicas that chain blocks decided differently.
    pub convicted: Option<usize>,
    /// The round of a protocol of rounds in which the first has decided; 0 if there is none.
    pub round: u64,
    /// What the simulator has counted, where it has delivered the messages.
    pub report: Option<Report>,
}

impl Played {
    /// What this says of a property.
    pub fn verdict(&self, property: Property) -> Verdict {
        let assumptions = if property == Property::Accountability { &self.witnessed } else { &self.assumptions };
        match (self.broken.contains_key(&property), assumptions) {
            (false, _) => Verdict::Holds,
            (true, Ok(())) => Verdict::BrokenInside,
            (true, Err(_)) => Verdict::BrokenBeyond,
        }
    }
}

/// The threshold coin of each replica.
pub(super) type CoinOf = Box<dyn Fn(&Party) -> Threshold>;

impl Case {
    /// Plays it.
    pub fn play(&self) -> Played {
        if let Some(scenario) = &self.chain {
            return self.play_chain(scenario);
        }
        let played = |broken, round, report| {
            let (assumptions, witnessed) = (self.assumes(), self.is_witnessed());
            Played { broken, assumptions, witnessed, convicted: None, round, report }
        };
        if let Some(scheduled) = self.scheduled {
            let (broken, round) = schedule::play(self, scheduled);
            return played(broken, round, None);
        }
        let (broken, round, report) = match self.protocol {
            Textbook::Broadcast => self.broadcast(),
            Textbook::DolevStrong => self.dolev_strong(),
            // Real signatures are what this mutant does not look at.
            Textbook::Agreement if self.mutant == Some(Mutant::AgreementUnverifiedShares) => {
                self.agreement(self.threshold_coin())
            }
            Textbook::Lockstep => self.lockstep(),
            Textbook::CommonSubset => self.common_subset(self.ideal_coin()),
            _ => self.agreement(self.ideal_coin()),
        };
        played(broken, round, Some(report))
    }

    /// A replica as the protocol sees itself.
    pub(super) fn party(&self, members: &Members, me: ValidatorIndex) -> Party {
        let (key, validators, network) =
            (members.key(me).clone(), members.validators().clone(), members.domain().network_id);
        let party = Party::new(me, key, validators, network, INSTANCE).tolerating(self.faulty);
        let quorum = match self.mutant {
            Some(Mutant::BroadcastSmallQuorum | Mutant::AgreementSmallQuorum) => self.n() * 2 / 3,
            Some(Mutant::BroadcastWaitsForAll | Mutant::SubsetWaitsForAll) => self.n(),
            _ => party.quorum,
        };
        Party { quorum, ..party }
    }

    pub(super) fn secret(&self) -> B256 {
        keccak256(self.setting.seed.to_be_bytes())
    }

    /// A coin that the simulator vouches for; each of several instances of a protocol has its own.
    pub(super) fn ideal_coin(&self) -> impl Fn(&Party) -> Ideal + 'static {
        let secret = self.secret();
        move |party| {
            let own = keccak256([&secret[..], &party.instance.to_be_bytes()].concat());
            let secret = if party.instance == INSTANCE { secret } else { own };
            Ideal::new(secret, party.me, party.quorum)
        }
    }

    /// A coin that is a threshold signature, dealt by the simulator.
    pub(super) fn threshold_coin(&self) -> impl Fn(&Party) -> Threshold + 'static {
        let quorum = self.n().saturating_sub(self.faulty).max(1);
        let (dealt, secrets) = deal(self.secret(), self.n(), quorum).expect("a quorum is some of all");
        let verifies = self.mutant != Some(Mutant::AgreementUnverifiedShares);
        move |party| {
            let coin = Threshold::new(party.clone(), dealt.clone(), secrets[party.me.as_usize()].clone());
            if verifies { coin } else { coin.without_verification() }
        }
    }

    /// The same, dealt by all replicas in the two blocks that it takes where nobody lies.
    pub(super) fn dealt_coin(&self) -> impl Fn(&Party) -> Threshold + 'static {
        let members = Members::new(self.n(), Duration::ZERO);
        let keys: Vec<_> = (0..self.n()).map(|who| members.key(ValidatorIndex(who as u16)).clone()).collect();
        let (validators, network) = (members.validators().clone(), members.domain().network_id);
        let instance = self.setting.seed;
        let mut ceremony = Ceremony::new(Terms { validators, network, instance, patience_ms: 0 });
        for timestamp_ms in [1, 2] {
            let wanted = |key: &SecretKey| Some((key.address(), ceremony.wanted(key)?));
            let said: Vec<_> = keys.iter().filter_map(wanted).collect();
            ceremony.see(timestamp_ms, said.iter().map(|(sender, item)| (*sender, item.as_slice())));
        }
        move |party| match (ceremony.stage(), ceremony.share(&party.key)) {
            (Stage::Ready(dealt), Ok(share)) => Threshold::new(party.clone(), dealt, share),
            (stage, share) => unreachable!("nobody lies: {stage}, {share:?}"),
        }
    }

    fn with_liars<'a, P>(
        &self,
        trial: Trial<'a, P>,
        liar: impl Fn(usize, super::Lie) -> crate::standalone::Liar<P::Message>,
    ) -> Trial<'a, P>
    where
        P: Standalone<Message: 'static, Answer: Clone>,
    {
        self.liars.iter().fold(trial, |trial, (who, lie)| trial.with(*who, liar(*who, *lie)))
    }

    fn sender(&self) -> ValidatorIndex {
        ValidatorIndex(self.sender as u16)
    }

    pub(super) fn broadcast(&self) -> (BTreeMap<Property, String>, u64, Report) {
        let rules = broadcast::Rules {
            sender_begins: self.mutant != Some(Mutant::BroadcastAnybodyBegins),
            amplifies: self.mutant != Some(Mutant::BroadcastNoAmplification),
            forgives_echoes: self.mutant != Some(Mutant::BroadcastAccusesEchoes),
        };
        let create = |members: &Members, me, records| {
            Broadcast::new(self.party(members, me), self.sender(), records).with_rules(rules)
        };
        let trial = Trial::new(self.setting.clone(), create).told(self.sender, Duration::ZERO, VALUE.into());
        let trial = trial.twin_told(self.sender, Duration::ZERO, OTHER.into());
        let trial = self.with_liars(trial, |_, lie| liars::broadcast(lie));
        let correct = trial.correct();
        let is_correct = correct.contains(&self.sender());
        let only = is_correct.then(|| shown(VALUE.as_bytes()));
        let mut watch = Watch::new(correct, only, is_correct);
        let report = trial.play(&mut watch);
        (watch.end(&report), 0, report)
    }

    pub(super) fn dolev_strong(&self) -> (BTreeMap<Property, String>, u64, Report) {
        let rules = dolev_strong::Rules {
            signature_a_round: self.mutant != Some(Mutant::ChainOfFewer),
            distinct_signers: self.mutant != Some(Mutant::ChainRepeats),
            genuine_signatures: self.mutant != Some(Mutant::ChainUnverified),
            ends_without_value: self.mutant != Some(Mutant::LockStepWaits),
            forgives_second_values: self.mutant != Some(Mutant::LockStepAccusesSecondValues),
            tells: if self.mutant == Some(Mutant::LockStepTellsFew) { 1 } else { usize::MAX },
        };
        let create = |members: &Members, me, _| {
            DolevStrong::new(self.party(members, me), self.sender(), DELTA).with_rules(rules)
        };
        let begin = |who: usize, value: &'static str| Begin((who == self.sender).then(|| value.into()));
        let when = |who| self.late.filter(|(late, _)| *late == who).map_or(Duration::ZERO, |(_, after)| after);
        let trial = (0..self.n()).fold(Trial::new(self.setting.clone(), create), |trial, who| {
            trial.told(who, when(who), begin(who, VALUE)).twin_told(who, when(who), begin(who, OTHER))
        });
        let members = Members::new(self.n(), Duration::ZERO);
        let conspirator = |who: usize| self.party(&members, ValidatorIndex(who as u16));
        let correct = trial.correct();
        let conspiracy = Conspiracy {
            liars: self.liars.keys().map(|who| conspirator(*who)).collect(),
            rounds: self.faulty + 1,
            delta: DELTA,
            victim: correct[self.setting.seed as usize % correct.len()],
        };
        let trial = self.with_liars(trial, |who, lie| liars::lock_step(lie, conspirator(who), conspiracy.clone()));
        let correct = trial.correct();
        let only = correct.contains(&self.sender()).then(|| shown(VALUE.as_bytes()));
        let mut watch = Watch::new(correct, only, true);
        let report = trial.play(&mut watch);
        let mut broken = watch.end(&report);
        let bound = DELTA * (self.faulty + 1) as u32 + 2 * self.setting.writing;
        if report.passes() && report.elapsed > bound {
            let how = format!("{:?} passed, of which there may be {bound:?}", report.elapsed);
            broken.entry(Property::Termination).or_insert(how);
        }
        (broken, 0, report)
    }

    pub(super) fn agreement_rules(&self) -> agreement::Rules {
        agreement::Rules {
            binding: self.mutant != Some(Mutant::AgreementNotBinding),
            echoes_correct: self.mutant != Some(Mutant::AgreementEchoesAnything),
            forgives_echoes: self.mutant != Some(Mutant::AgreementAccusesEchoes),
            goes_on: self.mutant != Some(Mutant::AgreementStopsAtOnce),
        }
    }

    pub(super) fn agreement<C: Coin<Share: 'static> + 'static>(
        &self,
        coin: impl Fn(&Party) -> C,
    ) -> (BTreeMap<Property, String>, u64, Report) {
        let rules = self.agreement_rules();
        let create = |members: &Members, me, records: Vec<Message<C::Share>>| {
            let party = self.party(members, me);
            let coin = coin(&party);
            Agreement::new(party, coin, records).with_rules(rules)
        };
        let trial = (0..self.n()).fold(Trial::new(self.setting.clone(), create), |trial, who| {
            let value = self.values[who];
            trial.told(who, Duration::ZERO, value).twin_told(who, Duration::ZERO, !value)
        });
        let trial = self.with_liars(trial, |_, lie| liars::agreement::<C>(lie));
        let correct = trial.correct();
        let begun = |value: bool| correct.iter().all(|who| self.values[who.as_usize()] == value);
        let only = [false, true].into_iter().find(|value| begun(*value)).map(|value| value.to_string());
        let mut watch = Watch::new(correct, only, true);
        let report = trial.play(&mut watch);
        let round = watch.round;
        (watch.end(&report), round, report)
    }

    pub(super) fn common_subset<C: Coin<Share: 'static> + 'static>(
        &self,
        coin: impl Fn(&Party) -> C,
    ) -> (BTreeMap<Property, String>, u64, Report) {
        let rules = common_subset::Rules {
            waits_for_quorum: self.mutant != Some(Mutant::SubsetGivesUpEarly),
            waits_for_values: self.mutant != Some(Mutant::SubsetTakesNothing),
            broadcasts: broadcast::Rules {
                forgives_echoes: self.mutant != Some(Mutant::SubsetAccusesEchoes),
                ..broadcast::Rules::default()
            },
        };
        let create = |members: &Members, me, records: Vec<common_subset::Message<C::Share>>| {
            CommonSubset::new(self.party(members, me), &coin, records).with_rules(rules)
        };
        let value = |who: usize| Bytes::from(who.to_string().into_bytes());
        let trial = (0..self.n()).fold(Trial::new(self.setting.clone(), create), |trial, who| {
            trial.told(who, Duration::ZERO, value(who)).twin_told(who, Duration::ZERO, OTHER.into())
        });
        let trial = self.with_liars(trial, |_, lie| subset::liar::<C>(lie));
        let correct = trial.correct();
        let told = correct.iter().map(|who| (*who, value(who.as_usize()))).collect();
        let mut watch = Subsets { watch: Watch::new(correct, None, true), least: self.n() - self.faulty, told };
        let report = trial.play(&mut watch);
        (watch.watch.end(&report), 0, report)
    }
}
