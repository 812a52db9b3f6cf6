//! The proofs of others, without which this peer does not vote.
//!
//! A completion that comes along waits until its proof is here and holds. A proof is asked for where it should be: of the
//! peer that made it, then of the others, one question at a time for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use dtn_aow::Start;
use dtn_api::Verification;
use dtn_primitives::{
    Address, B256, Block, Completion, MAX_PROOF_BYTES, Payload, Transaction, ValidatorIndex, keccak256,
};
use tokio::sync::mpsc;

use super::prover::{Verdict, Verifier};
use crate::{
    NodeError,
    core::Core,
    network::{Command, Exchange, Remote},
};

/// Completions of one validator in one round that may turn out false before no more are looked at, unless proposed.
pub(super) const MAX_REJECTED: usize = 1_024;

/// How far ahead of this peer's last round a proposal may be: it builds on blocks that are not final here.
const MAX_ROUNDS_AHEAD: u64 = 8;

/// What a completion states and who states it, which is what a proof must show.
pub(crate) type Stated = (Address, Completion);

/// The proofs that are missing.
pub(crate) struct Proofs {
    verifier: Verifier<B256>,
    /// By [`key`].
    pub(super) wanted: BTreeMap<B256, Wanted>,
    /// Whom this peer has asked, and for what.
    asked: BTreeMap<Remote, B256>,
    /// The keys of completions whose proofs do not hold, by round and validator.
    rejected: BTreeMap<(u64, Address), BTreeSet<B256>>,
}

/// A proof that this peer needs.
pub(super) struct Wanted {
    pub(super) stated: Stated,
    /// The completion, if it is to be admitted as soon as its proof holds.
    transaction: Option<Transaction>,
    since: Instant,
    proof: Proof,
    /// Who had nothing.
    tried: BTreeSet<Remote>,
    /// Who has proposed it and must have it.
    proposer: Option<ValidatorIndex>,
}

pub(super) enum Proof {
    Missing,
    Here(Vec<u8>),
    InCheck { bytes: usize, fetch_us: u64 },
}

impl Proofs {
    pub(super) fn new(verdicts: mpsc::UnboundedSender<Verdict<B256>>) -> Self {
        Self {
            verifier: Verifier::spawn(verdicts),
            wanted: BTreeMap::new(),
            asked: BTreeMap::new(),
            rejected: BTreeMap::new(),
        }
    }

    /// Whether the proof of what is stated was found not to hold.
    pub(crate) fn is_rejected(&self, stated: &Stated) -> bool {
        let part = (stated.1.round, stated.0);
        self.rejected.get(&part).is_some_and(|keys| keys.contains(&key(stated)))
    }

    /// Forgets what is of old rounds. What is of a closed round is of use only to proposals, which ask for it again.
    pub(super) fn moved(&mut self, open: Option<u64>, last: u64, proposals_wait: bool) {
        self.rejected.retain(|(round, _), _| *round >= last);
        self.wanted.retain(|_, wanted| {
            let round = wanted.stated.1.round;
            Some(round) == open || round > last || proposals_wait
        });
    }
}

impl Core {
    /// A completion that is acceptable but for its proof: that is fetched, and the completion admitted if it holds.
    pub(crate) fn want_proof_of(&mut self, transaction: &Transaction) {
        let Payload::Completion(completion) = &transaction.payload else { return };
        let same_part = |wanted: &Wanted| {
            wanted.transaction.is_some()
                && (wanted.stated.0, wanted.stated.1.round) == (transaction.sender, completion.round)
        };
        let rejected =
            self.rounds.proofs.rejected.get(&(completion.round, transaction.sender)).map_or(0, BTreeSet::len);
        // One at a time of each validator: the rest comes again or is asked for by a proposal.
        if !self.rounds.proofs.wanted.values().any(same_part) && rejected < MAX_REJECTED {
            self.want((transaction.sender, completion.clone()), Some(transaction.clone()), None);
        }
    }

    fn want(&mut self, stated: Stated, transaction: Option<Transaction>, proposer: Option<ValidatorIndex>) {
        if self.rounds.proofs.is_rejected(&stated) {
            return;
        }
        let (key, since) = (key(&stated), Instant::now());
        let (proof, tried) = (Proof::Missing, BTreeSet::new());
        let new = Wanted { stated, transaction: None, since, proof, tried, proposer: None };
        let wanted = self.rounds.proofs.wanted.entry(key).or_insert(new);
        wanted.transaction = wanted.transaction.take().or(transaction);
        wanted.proposer = proposer.or(wanted.proposer);
        self.ask_for_proofs();
    }

    /// Asks for every proof that is missing and not asked for, wherever nobody has said yet that it is not there.
    pub(super) fn ask_for_proofs(&mut self) {
        let Proofs { wanted, asked, .. } = &mut self.rounds.proofs;
        for (key, wanted) in wanted.iter_mut().filter(|(_, wanted)| matches!(wanted.proof, Proof::Missing)) {
            // A vote waits for what was proposed, so its maker alone cannot keep the others waiting.
            let at_once = if wanted.proposer.is_some() { 2 } else { 1 };
            let maker = self.ledger.validators().index_of(wanted.stated.0);
            let first: Vec<_> = wanted.proposer.into_iter().chain(maker).collect();
            let first = first.into_iter().filter(|peer| self.connected.contains(peer));
            let mut candidates = first.chain(self.connected.iter().copied()).map(Remote::Validator);
            while asked.values().filter(|asked| *asked == key).count() < at_once {
                let to = candidates.find(|peer| !wanted.tried.contains(peer) && !asked.contains_key(peer));
                let Some(to) = to else {
                    // The next look at the clock begins anew.
                    if asked.is_empty() {
                        wanted.tried.clear();
                    }
                    break;
                };
                asked.insert(to, *key);
                let request = wanted.stated.1.proof_digest.to_vec();
                self.outbox.commands.push(Command::Request { exchange: Exchange::Proof, to, request });
            }
        }
    }

    /// An answer to a question for a proof.
    pub(crate) fn proof_arrived(&mut self, from: Remote, proof: Option<Vec<u8>>) {
        let Some(key) = self.rounds.proofs.asked.remove(&from) else { return };
        if let Some(wanted) = self.rounds.proofs.wanted.get_mut(&key) {
            match proof.filter(|proof| !proof.is_empty() && proof.len() <= MAX_PROOF_BYTES) {
                Some(proof) if keccak256(&proof) == wanted.stated.1.proof_digest => wanted.proof = Proof::Here(proof),
                _ => _ = wanted.tried.insert(from),
            }
        }
        self.check_proofs();
        self.ask_for_proofs();
    }

    pub(crate) fn forget_asked(&mut self, peer: Remote) {
        self.rounds.proofs.asked.remove(&peer);
    }

    /// Has the proofs checked that are here, as far as their rounds are known.
    pub(super) fn check_proofs(&mut self) {
        let keys: Vec<_> = self.rounds.proofs.wanted.keys().copied().collect();
        for key in keys {
            let Some(wanted) =
                self.rounds.proofs.wanted.get(&key).filter(|wanted| matches!(wanted.proof, Proof::Here(_)))
            else {
                continue;
            };
            let (node, Completion { round, result, .. }) = &wanted.stated;
            let Ok(Some(round)) = self.ledger.round(*round) else { continue };
            let (start, result) = (Start::of(&round, *node, self.domain), *result);
            let Some(wanted) = self.rounds.proofs.wanted.get_mut(&key) else { continue };
            let fetch_us = wanted.since.elapsed().as_micros() as u64;
            if let Proof::Here(proof) = std::mem::replace(&mut wanted.proof, Proof::Missing) {
                wanted.proof = Proof::InCheck { bytes: proof.len(), fetch_us };
                self.rounds.proofs.verifier.check(key, start, result, proof);
            }
        }
    }

    pub(crate) fn proof_checked(&mut self, verdict: Verdict<B256>) -> Result<(), NodeError> {
        let Verdict { subject: key, proof, outcome, verify_us } = verdict;
        let Some(Wanted { stated: (node, completion), transaction, proof: state, .. }) =
            self.rounds.proofs.wanted.remove(&key)
        else {
            return Ok(());
        };
        let Proof::InCheck { bytes, fetch_us } = state else { return Ok(()) };
        let (round, valid) = (completion.round, outcome.is_ok());
        self.metrics.proof_verified(valid);
        let reason = outcome.err().map(|error| error.to_string());
        match &reason {
            None => self.ledger.add_proof(node, &completion, &proof)?,
            Some(error) => {
                tracing::warn!(round, %node, %error, "a completion whose proof does not hold");
                self.rounds.proofs.rejected.entry((round, node)).or_default().insert(key);
                if let Some(validator) = self.ledger.validators().index_of(node) {
                    self.count_fault(validator);
                }
            }
        }
        let validator = self.ledger.validators().index_of(node).map(|index| index.0);
        let bytes = bytes as u64;
        self.board.verified(Verification { round, node, validator, valid, reason, bytes, fetch_us, verify_us });
        if let Some(transaction) = transaction.filter(|_| valid)
            && let Err(error) = self.admit(transaction)
        {
            tracing::debug!(round, %node, %error, "a proven completion was not admitted");
        }
        self.validate_deferred()
    }

    /// Whether proofs could make it valid, as far as that is cheap to tell: nobody is asked, and nothing waits, for what no
    /// validator has said or no round takes. At most one completion of each validator can be in a valid block.
    pub(crate) fn may_become_valid(&self, block: &Block) -> bool {
        let unproven = || block.transactions.iter().filter(|transaction| self.ledger.unproven(transaction).is_some());
        let rounds = self.ledger.rounds();
        let plausible = |transaction: &Transaction| {
            let Payload::Completion(Completion { round, .. }) = transaction.payload else { return false };
            let open = rounds.open.as_ref().filter(|open| open.number == round);
            let ahead = round > rounds.last && round <= rounds.last.saturating_add(MAX_ROUNDS_AHEAD);
            (ahead || open.is_some_and(|open| open.takes(transaction.sender)))
                && self.ledger.validators().index_of(transaction.sender).is_some()
                && transaction.validate(&self.domain).is_ok()
        };
        unproven().count() <= self.ledger.validators().len() && unproven().all(plausible)
    }

    pub(crate) fn want_proofs_for(&mut self, block: &Block) {
        let proposer = self.ledger.validators().index_of(block.header.proposer).filter(|proposer| *proposer != self.me);
        let missing: Vec<_> = self.missing_proofs(block).collect();
        missing.into_iter().for_each(|stated| self.want(stated, None, proposer));
    }
    pub(crate) fn missing_proofs<'a>(&'a self, block: &'a Block) -> impl Iterator<Item = Stated> + 'a {
        block.transactions.iter().filter_map(|transaction| {
            let completion = self.ledger.unproven(transaction)?;
            Some((transaction.sender, completion.clone()))
        })
    }
}

/// Names what a completion states.
fn key((node, completion): &Stated) -> B256 {
    let Completion { round, result, proof_digest, .. } = completion;
    keccak256([node.as_slice(), &round.to_be_bytes(), result.as_slice(), proof_digest.as_slice()].concat())
}
