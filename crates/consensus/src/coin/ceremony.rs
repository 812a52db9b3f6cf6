//! A threshold secret that nobody knows, dealt by all in the open.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use dtn_primitives::{
    Address, B256, BlsSecretKey, GROUP_ORDER, SecretKey, U256, ValidatorIndex, ValidatorSet, codec, keccak256,
};
use serde::{Deserialize, Serialize};

use super::{
    dealing::{Complaint, Dealing, Of, Vetted},
    polynomial::Commitments,
    threshold::Dealt,
};

/// What an item of a ceremony begins with.
const TAG: &[u8] = b"DTN/coin/1";

/// Between whom a secret is dealt. All must have the same terms.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Who deals, and who has a share.
    pub validators: ValidatorSet,
    /// The network on whose chain they deal.
    pub network: B256,
    /// Tells the ceremonies of an epoch apart.
    pub instance: u64,
    /// How long those are waited for who have not looked at their shares when enough have, by the timestamps of blocks. Who
    /// is away for longer may be left without a share, and is then as good as faulty.
    pub patience_ms: u64,
}

/// Distributed key generation (Pedersen, EUROCRYPT '91; Feldman, FOCS '87) where everything is said in the blocks of a chain,
/// in one order for all: whoever reads the blocks comes to the same.
///
/// 1. Validators deal: each a polynomial of n − f coefficients, hidden, with each one's share sealed for it. What everybody can
///    check is checked. The block in which n − f dealings are good ends this, and more than f of them are by correct validators.
/// 2. Each validator opens its shares and says its verdict: against whom it complains, which everybody can check. When n have
///    spoken, or n − f and the patience with the others is over, the dealings without a founded complaint are summed up.
///
/// The sum is nobody's: it takes one correct dealer that at most f share holders know nothing of its polynomial. A dealer
/// that speaks last has a choice among sums (Gennaro et al., J. Cryptology 20, 2007, §3), of all of which it knows equally
/// nothing, which is enough for a signature that nobody can make and so for a coin that nobody foresees (§6 there).
///
/// It keeps nothing secret. A validator's share comes from the blocks and its key, on any machine, at any time later: whoever
/// steals the keys of n − f validators knows the coins, too.
#[derive(Debug, Clone)]
pub struct Ceremony {
    terms: Terms,
    context: B256,
    /// What is good, until the set is closed, and then what the set is.
    dealings: BTreeMap<ValidatorIndex, Vetted>,
    /// Of whom a dealing was seen, and the hash of it.
    dealt: BTreeMap<ValidatorIndex, B256>,
    /// What the dealings are, once they are enough.
    set: Option<B256>,
    /// Who has given its verdict on them.
    verdicts: BTreeSet<ValidatorIndex>,
    /// When others are not waited for any more.
    due_ms: Option<u64>,
    faults: BTreeMap<ValidatorIndex, Fault>,
    outcome: Option<Option<Arc<Dealt>>>,
}

/// What a validator has done that no correct one does. It is left out if it is a dealer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// What it says cannot be read.
    #[error("it says what cannot be read")]
    Malformed,
    /// Its polynomial is of another degree, so that other numbers of shares would be a secret.
    #[error("it has dealt a polynomial of {have} coefficients instead of {need}")]
    Degree {
        /// Its coefficients.
        have: usize,
        /// What there must be.
        need: usize,
    },
    /// It has dealt to others than there are.
    #[error("it has dealt {have} shares instead of {need}")]
    Shares {
        /// Its shares.
        have: usize,
        /// What there must be.
        need: usize,
    },
    /// A commitment is no point of the group.
    #[error("it has committed to what is no point of the group")]
    Point,
    /// The key of its shares' envelopes is not shown to be its own.
    #[error("it has not shown that it owns the key that its shares are sealed with")]
    Envelope,
    /// It does not know the polynomial that it deals.
    #[error("it has not shown that it knows the polynomial that it deals")]
    Polynomial,
    /// It has dealt in two ways.
    #[error("it has dealt twice")]
    Twice,
    /// What it has dealt to somebody is no share, as that one has shown.
    #[error("what it has dealt to validator {to} is no share")]
    BadShare {
        /// Whom.
        to: ValidatorIndex,
    },
    /// It has judged other dealings than those that there are.
    #[error("its verdict is on other dealings")]
    OtherSet,
    /// It complains of a good share, or shows nothing.
    #[error("it complains of validator {of} without reason")]
    FalseComplaint {
        /// Of whom.
        of: ValidatorIndex,
    },
}

/// How far a ceremony is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Good dealings are waited for.
    Dealing {
        /// So many there are.
        dealt: usize,
        /// So many it takes.
        need: usize,
    },
    /// Verdicts are waited for.
    Judging {
        /// Who has given one.
        heard: usize,
        /// So many it takes now.
        need: usize,
        /// When those who have given none are not waited for any more, in milliseconds since the Unix epoch.
        until_ms: Option<u64>,
    },
    /// There is a secret.
    Ready(Arc<Dealt>),
    /// More are faulty than there may be. Another instance may come to something.
    Failed,
}

/// Why a validator has no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// There is none yet, or never will be.
    #[error("nothing is dealt")]
    NotReady,
    /// The key is no validator's.
    #[error("{0} is no validator here")]
    Stranger(Address),
    /// It was away when it should have complained.
    #[error("what validator {0} has dealt is no share, which was not said in time")]
    Lost(ValidatorIndex),
}

#[derive(Serialize, Deserialize)]
pub(super) enum Said {
    Dealing(Box<Dealing>),
    Verdict(Verdict),
}

/// What a validator makes of all dealings of a set.
#[derive(Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) set: B256,
    pub(super) complaints: Vec<Complaint>,
}

impl Terms {
    /// How many may be faulty, f.
    fn faulty(&self) -> usize {
        self.validators.max_faulty()
    }

    /// How many are waited for, and how many shares are a signature: n − f.
    pub fn threshold(&self) -> usize {
        self.validators.len() - self.faulty()
    }

    /// What is signed and sealed in one ceremony is noise in every other.
    fn context(&self) -> B256 {
        let Self { validators, network, instance, patience_ms } = self;
        let keys: Vec<_> = validators.iter().map(|(_, validator)| validator.public_key).collect();
        keccak256(codec::encode(&("DTN/coin/1", network, validators.epoch(), keys, instance, patience_ms)))
    }
}

impl Ceremony {
    /// One in which nobody has said anything yet.
    pub fn new(terms: Terms) -> Self {
        Self {
            context: terms.context(),
            terms,
            dealings: BTreeMap::new(),
            dealt: BTreeMap::new(),
            set: None,
            verdicts: BTreeSet::new(),
            due_ms: None,
            faults: BTreeMap::new(),
            outcome: None,
        }
    }

    /// The next block of the chain: when it was made, and what was said in it, by whom, in its order. Others than
    /// validators, and what is none of this ceremony, are passed over.
    pub fn see<'a>(&mut self, timestamp_ms: u64, items: impl IntoIterator<Item = (Address, &'a [u8])>) {
        if self.due_ms.is_some_and(|due| timestamp_ms >= due) {
            self.finish();
        }
        if self.outcome.is_some() {
            return;
        }
        for (sender, item) in items {
            if let Some(by) = self.terms.validators.index_of(sender)
                && let Some(said) = item.strip_prefix(TAG).and_then(|item| item.strip_prefix(self.context.as_slice()))
            {
                self.hear(by, said);
            }
        }
        if self.set.is_none() && self.dealings.len() >= self.terms.threshold() {
            let dealings = self.dealings.values().map(|dealing| dealing.digest.0);
            self.set = Some(keccak256(dealings.collect::<Vec<_>>().concat()));
        }
        if self.verdicts.len() == self.terms.validators.len() {
            self.finish();
        } else if self.verdicts.len() >= self.terms.threshold() && self.due_ms.is_none() {
            self.due_ms = Some(timestamp_ms.saturating_add(self.terms.patience_ms));
        }
    }

    fn hear(&mut self, by: ValidatorIndex, said: &[u8]) {
        let heard = match codec::decode(said, said.len()) {
            Ok(Said::Dealing(dealing)) => self.hear_dealing(by, *dealing, keccak256(said)),
            Ok(Said::Verdict(verdict)) => self.hear_verdict(by, &verdict),
            Err(_) => Err(Fault::Malformed),
        };
        if let Err(fault) = heard {
            self.faults.entry(by).or_insert(fault);
        }
    }

    /// One dealing of each is looked at, so that nobody can make work for others.
    fn hear_dealing(&mut self, by: ValidatorIndex, dealing: Dealing, hash: B256) -> Result<(), Fault> {
        if self.set.is_some() {
            return Ok(());
        }
        match self.dealt.insert(by, hash) {
            Some(before) if before == hash => Ok(()),
            Some(_) => {
                self.dealings.remove(&by);
                Err(Fault::Twice)
            }
            None => {
                let vetted = dealing.vet(self.of(by), self.terms.validators.len(), self.terms.threshold())?;
                self.dealings.insert(by, vetted);
                Ok(())
            }
        }
    }

    fn hear_verdict(&mut self, by: ValidatorIndex, verdict: &Verdict) -> Result<(), Fault> {
        if self.verdicts.contains(&by) {
            return Ok(());
        }
        if self.set != Some(verdict.set) {
            return Err(Fault::OtherSet);
        }
        // Each names each dealer once.
        if !verdict.complaints.is_sorted_by(|one, next| one.dealer < next.dealer) {
            return Err(Fault::Malformed);
        }
        self.verdicts.insert(by);
        let key = self.terms.validators.get(by).ok_or(Fault::Malformed)?.public_key;
        let mut heard = Ok(());
        for complaint in &verdict.complaints {
            let of = complaint.dealer;
            if self.is_out(of) {
                continue;
            }
            match self.dealings.get(&of).is_some_and(|dealing| dealing.is_bad(complaint, by, &key)) {
                true => _ = self.faults.insert(of, Fault::BadShare { to: by }),
                false => heard = Err(Fault::FalseComplaint { of }),
            }
        }
        heard
    }

    fn is_out(&self, dealer: ValidatorIndex) -> bool {
        matches!(self.faults.get(&dealer), Some(Fault::BadShare { .. }))
    }

    fn finish(&mut self) {
        let good: Vec<_> = self.good().map(|(_, dealing)| &dealing.commitments).collect();
        // One of them is a correct validator's, and so nobody knows the sum.
        let sum = if good.len() > self.terms.faulty() { Commitments::sum(&good) } else { None };
        let dealt = sum.and_then(|sum| Dealt::of(&sum, self.terms.validators.len()));
        self.outcome = Some(dealt.map(Arc::new));
    }

    fn good(&self) -> impl Iterator<Item = (ValidatorIndex, &Vetted)> {
        self.dealings.iter().filter(|(dealer, _)| !self.is_out(**dealer)).map(|(dealer, dealing)| (*dealer, dealing))
    }

    #[cfg(test)]
    pub(super) fn dealing(&self, of: ValidatorIndex) -> Option<&Vetted> {
        self.dealings.get(&of)
    }

    pub(super) fn of(&self, dealer: ValidatorIndex) -> Of {
        Of { context: self.context, dealer }
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        let n = self.terms.validators.len();
        match &self.outcome {
            Some(Some(dealt)) => Stage::Ready(dealt.clone()),
            Some(None) => Stage::Failed,
            None if self.set.is_none() => Stage::Dealing { dealt: self.dealings.len(), need: self.terms.threshold() },
            None => Stage::Judging { heard: self.verdicts.len(), need: n, until_ms: self.due_ms },
        }
    }

    /// Whose dealings make the secret, or would as things stand.
    pub fn dealers(&self) -> Vec<ValidatorIndex> {
        self.good().map(|(dealer, _)| dealer).collect()
    }

    /// What each has done, the first of all if it was more, that no correct validator does.
    pub fn faults(&self) -> &BTreeMap<ValidatorIndex, Fault> {
        &self.faults
    }

    /// What the validator with this key has to say now, in a transaction of its own, and has not: its dealing, and later its
    /// verdict. The same each time.
    pub fn wanted(&self, key: &SecretKey) -> Option<Vec<u8>> {
        let me = self.terms.validators.index_of(key.address())?;
        if self.outcome.is_some() {
            return None;
        }
        let said = match self.set {
            None if self.dealt.contains_key(&me) => return None,
            None => {
                let dealing = Dealing::new(self.of(me), key, &self.terms.validators, self.terms.threshold())?;
                Said::Dealing(Box::new(dealing))
            }
            Some(_) if self.verdicts.contains(&me) => return None,
            Some(set) => {
                let bad = self.dealings.values().filter(|dealing| dealing.share(me, key).is_none());
                Said::Verdict(Verdict { set, complaints: bad.map(|dealing| dealing.complain(key)).collect() })
            }
        };
        Some(self.item(&said))
    }

    pub(super) fn item(&self, said: &Said) -> Vec<u8> {
        [TAG, self.context.as_slice(), &codec::encode(said)].concat()
    }

    /// The share of the validator with this key, for [`Threshold::new`](super::Threshold::new).
    pub fn share(&self, key: &SecretKey) -> Result<BlsSecretKey, ShareError> {
        let Some(Some(dealt)) = &self.outcome else {
            return Err(ShareError::NotReady);
        };
        let me = self.terms.validators.index_of(key.address()).ok_or(ShareError::Stranger(key.address()))?;
        let mut sum = U256::ZERO;
        for (dealer, dealing) in self.good() {
            sum = sum.add_mod(dealing.share(me, key).ok_or(ShareError::Lost(dealer))?, GROUP_ORDER);
        }
        let share = BlsSecretKey::from_scalar(sum).filter(|share| dealt.is_share(me, share));
        share.ok_or(ShareError::NotReady)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dealing { dealt, need } => write!(f, "{dealt} of {need} have dealt"),
            Self::Judging { heard, need, until_ms: None } => write!(f, "{heard} of {need} have looked at their shares"),
            Self::Judging { heard, need, until_ms: Some(until) } => {
                write!(f, "{heard} of {need} have looked at their shares; a block from {until} ms on ends it")
            }
            Self::Ready(_) => f.write_str("dealt"),
            Self::Failed => f.write_str("failed: too many have dealt badly"),
        }
    }
}
