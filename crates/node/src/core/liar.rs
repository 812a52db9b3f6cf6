//! A peer that is told to lie: behind it runs a correct one, and what that says to others goes through an adversary, the same as in
//! the simulator, with this peer's key and over real channels.
//!
//! It is for trials on a development chain: whoever lies is found out, and its key is barred.

use std::{collections::BTreeMap, time::Duration};

use dtn_adversary::{Adversary, Context, Kind, Outgoing, Seat};
use dtn_primitives::{B256, Block, Domain, Transaction, ValidatorIndex};
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use super::{Core, engine::Words};
use crate::wire::Frame;

/// What a peer has that lies.
pub(crate) struct Liar {
    kind: Kind,
    adversary: Box<dyn Adversary<Words> + Send>,
    rng: StdRng,
    view_timeout: Duration,
    /// The root of no transactions.
    nothing: B256,
    /// What it says later, by when.
    later: BTreeMap<(Instant, u64), (ValidatorIndex, Words)>,
    said: u64,
}

impl Liar {
    pub(crate) fn new(
        (kind, adversary): (Kind, Box<dyn Adversary<Words> + Send>),
        view_timeout: Duration,
        domain: &Domain,
    ) -> Self {
        let (rng, nothing) = (StdRng::from_os_rng(), Block::transactions_root(&[], domain));
        Self { kind, adversary, rng, view_timeout, nothing, later: BTreeMap::new(), said: 0 }
    }

    /// When it next says what it has held back.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.later.keys().next().map(|(at, _)| *at)
    }

    /// What it has held back until now.
    fn due(&mut self) -> Vec<(ValidatorIndex, Words)> {
        let kept = self.later.split_off(&(Instant::now(), u64::MAX));
        std::mem::replace(&mut self.later, kept).into_values().collect()
    }

    /// What it says at once of this; the rest waits.
    fn say(&mut self, lies: Vec<Outgoing<Words>>) -> Vec<(ValidatorIndex, Words)> {
        let mut now = Vec::new();
        for Outgoing { to, message, delay } in lies {
            if delay.is_zero() {
                now.push((to, message));
            } else {
                self.said += 1;
                self.later.insert((Instant::now() + delay, self.said), (to, message));
            }
        }
        now
    }

    /// Whether it does as if a transaction were not there, although it says that it takes it: all those of accounts whose address
    /// is odd, if it is a censor.
    fn censors(&self, transaction: &Transaction) -> bool {
        self.kind.censors() && transaction.sender.last().is_some_and(|last| last % 2 == 1)
    }
}

impl Core {
    /// Has the adversary say something in this peer's name.
    pub(super) fn lie(
        &mut self,
        lies: impl FnOnce(&mut dyn Adversary<Words>, &mut Context<'_>) -> Vec<Outgoing<Words>>,
    ) {
        let Some(liar) = &mut self.liar else { return };
        let seat = Seat {
            me: self.me,
            key: &self.key,
            keys: &[],
            domain: &self.domain,
            validators: self.ledger.validators(),
            view_timeout: liar.view_timeout,
            filling: (&[], liar.nothing),
        };
        let said = lies(liar.adversary.as_mut(), &mut Context { seat, rng: &mut liar.rng });
        let now = liar.say(said);
        self.say_all(now);
    }

    /// Says what the adversary has held back until now.
    pub(super) fn lie_late(&mut self) {
        let due = self.liar.as_mut().map(Liar::due);
        self.say_all(due.unwrap_or_default());
    }

    fn say_all(&mut self, said: Vec<(ValidatorIndex, Words)>) {
        for (to, words) in said {
            self.say(to, words);
        }
    }

    /// What it says unasked.
    pub(super) fn lie_unasked(&mut self) {
        let (height, view) = (self.ledger.tip().height, self.engine.standing().view);
        self.lie(|adversary, context| adversary.unasked(height, view, context));
    }

    /// Tells a peer the height that it is at, or another one.
    pub(super) fn tell_height(&mut self, to: ValidatorIndex) {
        let own = self.ledger.tip().height;
        let told = self.liar.as_mut().and_then(|liar| liar.adversary.height(own, to));
        self.send(to, &Frame::Height(told.unwrap_or(own)));
    }

    /// Whether this peer does as if it held a transaction.
    pub(super) fn only_says_that_it_takes(&self, transaction: &Transaction) -> bool {
        self.liar.as_ref().is_some_and(|liar| liar.censors(transaction))
    }

    /// Whether it does not take from others what they have decided, lest its own be in vain.
    pub(super) fn keeps_to_itself(&self) -> bool {
        self.liar.as_ref().is_some_and(|liar| liar.kind.mines() && !liar.adversary.catches_up())
    }
}
