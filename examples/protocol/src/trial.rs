//! What the rules promise, and who tries to break it.

use std::collections::{BTreeMap, BTreeSet};

use dtn_primitives::ValidatorIndex;
use dtn_simulator::{
    adversary::{Adversary, Context, Outgoing},
    standalone::{Liar, Oracle, Report, Setting, Trial},
};

use crate::rules::{Broadcast, Signed};

/// All get the same of an announcer, and what one gets, or a correct one announces, all get.
struct Promises {
    correct: BTreeSet<ValidatorIndex>,
    came: BTreeMap<ValidatorIndex, (String, BTreeSet<ValidatorIndex>)>,
}

impl Oracle<Broadcast> for Promises {
    fn comes(&mut self, replica: ValidatorIndex, Signed { announcer, value, .. }: &Signed) -> Result<(), String> {
        let (first, who) = self.came.entry(*announcer).or_insert_with(|| (value.clone(), BTreeSet::new()));
        who.insert(replica);
        if first == value { Ok(()) } else { Err(format!("{replica} gets {value:?}, and others {first:?}")) }
    }

    fn is_content(&self) -> bool {
        self.correct.iter().all(|announcer| self.came.contains_key(announcer))
            && self.came.values().all(|(_, who)| *who == self.correct)
    }
}

/// A liar that knows the rules: to everybody it shows another certificate, in which it has signed for all.
struct Forger;

impl Adversary<Signed> for Forger {
    fn instead(&mut self, to: ValidatorIndex, _: Signed, context: &mut Context<'_>) -> Vec<Outgoing<Signed>> {
        let signature = context.seat.key.sign(Default::default());
        let signatures = (0..4).map(|by| (ValidatorIndex(by), signature)).collect();
        vec![Outgoing::new(to, Signed { announcer: context.seat.me, value: format!("a word for {to}"), signatures })]
    }
}

/// What the seed says happens to four replicas, the last of which lies. So many signatures make a certificate.
pub(crate) fn play(seed: u64, quorum: usize) -> Report {
    let trial = Trial::new(Setting::random(4, seed), move |members, me, records| {
        let network = (members.domain().network_id, members.validators(), quorum);
        Broadcast::new((me, members.key(me)), network, records)
    });
    let liars = [Liar::Silent, Liar::Slow, Liar::Replayer, Liar::Twins, Liar::Own(Box::new(Forger))];
    let liar = liars.into_iter().nth(seed as usize % 5).unwrap_or(Liar::Silent);
    let trial = (0..4).fold(trial, |trial, who| trial.told(who, Default::default(), format!("the word of {who}")));
    let trial = trial.twin_told(3, Default::default(), "another word".into()).with(3, liar);
    let correct = trial.correct().into_iter().collect();
    trial.play(&mut Promises { correct, came: BTreeMap::new() })
}
