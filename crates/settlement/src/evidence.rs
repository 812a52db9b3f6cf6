//! Reporting to the registry that validators contradicted themselves.
//!
//! Evidence takes what its validators have at stake, and a part of that is the reporter's if it has committed to the report in
//! an earlier block. So where there is something to take, a report is two transactions: the first says that the account has
//! evidence and not which, and whoever copies the second one has nothing of it.

use std::fmt;

use alloy::{
    primitives::{Address, B256, Bytes, keccak256},
    sol_types::SolValue,
};
use dtn_primitives::{Certificate, Distribution, Domain, Evidence, Rotation, SettlementCertificate, Vote, VoteKind};
use serde::{Deserialize, Serialize};

use dtn_bindings::{REGISTRY, ResultRegistry};
use dtn_chain::{
    connection::ReadError,
    gas_ledger::GasRecord,
    sender::{Account, Call, SendError},
};

use crate::{
    guard::Registry,
    message::{Content, SignedMessage},
};

/// `VoteKind.Rotation` of `Types.sol`.
const ROTATION: u8 = 4;
/// `VoteKind.Distribution` of `Types.sol`.
const DISTRIBUTION: u8 = 5;

/// Why evidence was not reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The registry could not be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The registry does not take it, or could not be told.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// One of two certificates that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Side {
    /// What it is for.
    hash: B256,
    /// What its validators have signed.
    digest: B256,
    /// Their signatures as the registry takes them, however few.
    certificate: Bytes,
}

/// What two certificates are about, of which no correct validator signs both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    kind: u8,
    epoch: u64,
    view: u64,
    height: u64,
}

/// Two certificates for one slot and different hashes. Whoever has signed both has contradicted itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    slot: Slot,
    /// That for the lower hash.
    first: Side,
    second: Side,
}

/// Why two certificates prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoContradiction {
    /// Both say the same.
    #[error("both say the same, which is no contradiction")]
    Same,
    /// They are of different networks, chains, epochs, views, heights or numbers, and so may both be signed.
    #[error("they are not for the same height and view, number or epoch of one network, so a validator may sign both")]
    OtherSlot,
    /// No registry bars for these.
    #[error("only rotations, distributions and commits contradict each other")]
    OtherKind,
}

impl Contradiction {
    fn new(slot: Slot, one: Side, other: Side) -> Result<Self, NoContradiction> {
        match one.hash.cmp(&other.hash) {
            std::cmp::Ordering::Equal => Err(NoContradiction::Same),
            std::cmp::Ordering::Less => Ok(Self { slot, first: one, second: other }),
            std::cmp::Ordering::Greater => Ok(Self { slot, first: other, second: one }),
        }
    }

    /// Two commit certificates of one height and view. The other one is given as a registry has taken it.
    pub fn of_commits(
        own: &Certificate,
        (hash, view, certificate): (B256, u64, Bytes),
        domain: &Domain,
    ) -> Result<Self, NoContradiction> {
        if own.view != view {
            return Err(NoContradiction::OtherSlot);
        }
        let (epoch, height) = (own.epoch, own.height);
        let side = |hash, certificate| {
            let digest = Vote::digest(domain, VoteKind::Commit, (epoch, view, height), hash);
            Side { hash, digest, certificate }
        };
        let slot = Slot { kind: VoteKind::Commit as u8, epoch, view, height };
        Self::new(slot, side(own.block_hash, own.signature_bytes().into()), side(hash, certificate))
    }

    /// Two commit certificates.
    pub fn of_certificates(one: &Certificate, other: &Certificate, domain: &Domain) -> Result<Self, NoContradiction> {
        if (one.epoch, one.height) != (other.epoch, other.height) {
            return Err(NoContradiction::OtherSlot);
        }
        Self::of_commits(one, (other.block_hash, other.view, other.signature_bytes().into()), domain)
    }

    /// Two files of messages that validators have signed. Only what these accounts have signed counts.
    pub fn of_messages(
        one: &SignedMessage,
        other: &SignedMessage,
        validators: &[Address],
    ) -> Result<Self, NoContradiction> {
        let (slot, first) = side_of(one, validators)?;
        let (of_other, second) = side_of(other, validators)?;
        let network = |signed: &SignedMessage| (signed.network_id, signed.chain_id);
        if slot != of_other || network(one) != network(other) {
            return Err(NoContradiction::OtherSlot);
        }
        Self::new(slot, first, second)
    }

    /// The epoch of the signers.
    pub fn epoch(&self) -> u64 {
        self.slot.epoch
    }

    /// Who of a set has signed both. That the signatures hold is for the registry to say.
    pub fn signers(&self, set: &[Address]) -> Vec<Address> {
        let [first, second] = [&self.first, &self.second].map(|side| side.signers(set));
        first.into_iter().filter(|signer| second.contains(signer)).collect()
    }

    fn abi_slot(&self) -> ResultRegistry::Slot {
        let Slot { kind, epoch, view, height } = self.slot;
        ResultRegistry::Slot { kind, epoch, view_: view, height }
    }
}

impl Side {
    fn signers(&self, set: &[Address]) -> Vec<Address> {
        match SettlementCertificate::from_bytes(&self.certificate) {
            Ok(SettlementCertificate::Bls(aggregate)) => {
                aggregate.signers().filter_map(|place| set.get(place.as_usize()).copied()).collect()
            }
            Ok(SettlementCertificate::Ecdsa(certificate)) => {
                let signers = certificate.signatures().filter_map(|signature| signature.signer(self.digest).ok());
                signers.filter(|signer| set.contains(signer)).collect()
            }
            Err(_) => Vec::new(),
        }
    }
}

/// What a message settles on its network and chain, of which a validator may sign one version and no other: whoever has signed
/// two is barred by anybody who has both. The vote's domain names no contract, so a second registry on the chain makes no
/// second subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The distribution of rewards with a number.
    Distribution {
        /// The epoch of the signers.
        epoch: u64,
        /// Its number.
        number: u32,
    },
    /// The validators that follow those of an epoch.
    Rotation {
        /// The epoch of the signers.
        epoch: u64,
    },
}

impl Subject {
    /// That of a message. Nothing of one that no registry bars for.
    pub fn of(content: &Content) -> Option<Self> {
        match content {
            Content::Distribution { epoch, distribution: Distribution { number, .. }, .. } => {
                Some(Self::Distribution { epoch: *epoch, number: *number })
            }
            Content::Rotation(Rotation { epoch, .. }) => Some(Self::Rotation { epoch: *epoch }),
            Content::Resolution { .. } | Content::Recovery(_) => None,
        }
    }

    fn slot(self) -> Slot {
        match self {
            Self::Distribution { epoch, number } => {
                Slot { kind: DISTRIBUTION, epoch, view: 0, height: u64::from(number) }
            }
            Self::Rotation { epoch } => Slot { kind: ROTATION, epoch, view: 0, height: 0 },
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distribution { epoch, number } => write!(f, "distribution {number} of epoch {epoch}"),
            Self::Rotation { epoch } => write!(f, "rotation from epoch {epoch}"),
        }
    }
}

fn side_of(signed: &SignedMessage, validators: &[Address]) -> Result<(Slot, Side), NoContradiction> {
    let subject = Subject::of(&signed.content).ok_or(NoContradiction::OtherKind)?;
    let hash = match &signed.content {
        Content::Distribution { distribution, .. } => distribution.hash(),
        Content::Rotation(Rotation { validators: next, .. }) => {
            let words: Vec<u8> = next.iter().flat_map(|validator| validator.into_word()).collect();
            keccak256(words)
        }
        Content::Resolution { .. } | Content::Recovery(_) => return Err(NoContradiction::OtherKind),
    };
    let certificate = signed.signatures_of(validators).to_bytes().into();
    Ok((subject.slot(), Side { hash, digest: signed.digest(), certificate }))
}

/// What shows that validators have contradicted themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Two votes of one.
    Votes(Box<Evidence>),
    /// Two certificates of however many.
    Certificates(Box<Contradiction>),
}

impl From<Evidence> for Proof {
    fn from(evidence: Evidence) -> Self {
        Self::Votes(Box::new(evidence))
    }
}

impl From<Contradiction> for Proof {
    fn from(contradiction: Contradiction) -> Self {
        Self::Certificates(Box::new(contradiction))
    }
}

impl Proof {
    /// What identifies it, as the registry does.
    pub fn id(&self) -> B256 {
        match self {
            Self::Votes(evidence) => evidence.id(),
            Self::Certificates(both) => {
                keccak256((both.abi_slot(), both.first.hash, both.second.hash).abi_encode_params())
            }
        }
    }

    /// The epoch of the accused.
    pub fn epoch(&self) -> u64 {
        match self {
            Self::Votes(evidence) => evidence.first.epoch,
            Self::Certificates(both) => both.epoch(),
        }
    }

    /// Whom it accuses of a set, which is that of its epoch.
    pub fn accused(&self, set: &[Address]) -> Vec<Address> {
        match self {
            Self::Votes(evidence) => set.get(evidence.validator().as_usize()).copied().into_iter().collect(),
            Self::Certificates(both) => both.signers(set),
        }
    }

    fn call(&self, registry: Address) -> Call {
        match self {
            Self::Votes(evidence) => {
                let evidence = evidence.as_ref().into();
                Call::new(REGISTRY, registry, &ResultRegistry::reportEvidenceCall { evidence })
            }
            Self::Certificates(both) => {
                let call = ResultRegistry::reportCertificatesCall {
                    slot: both.abi_slot(),
                    firstHash: both.first.hash,
                    secondHash: both.second.hash,
                    firstCertificate: both.first.certificate.clone(),
                    secondCertificate: both.second.certificate.clone(),
                };
                Call::new(REGISTRY, registry, &call)
            }
        }
    }
}

/// What a reporter commits to: that it has this evidence, which nobody can tell from it.
pub fn commitment(reporter: Address, evidence: B256) -> B256 {
    keccak256((reporter, evidence).abi_encode())
}

/// Has the registry bar whom a proof accuses, and take their stakes. The transaction, if it took one: all may be barred
/// already, and somebody else may be quicker. The commitment is left out where there is nothing to share.
pub async fn report(account: &Account, registry: Address, proof: &Proof) -> Result<Option<GasRecord>, ReportError> {
    let (chain, contract) = (account.chain(), Registry::new(account.chain().clone(), registry));
    let set = chain.read(registry, &ResultRegistry::validatorsOfCall { epoch_: proof.epoch() }).await?;
    let (accused, mut open) = (proof.accused(&set), Vec::new());
    for validator in &accused {
        let stake = contract.stake(*validator).await?;
        open.extend((!stake.barred).then_some(stake));
    }
    if open.is_empty() && !accused.is_empty() {
        return Ok(None);
    }
    let call = proof.call(registry);
    let overtaken = |error: &SendError| !accused.is_empty() && error.reverts_with(&["AlreadyBarred", "NobodyToBar"]);
    // What the registry does not take is not committed to.
    match account.simulate(&call).await {
        Err(error) if overtaken(&error) => return Ok(None),
        simulated => drop(simulated?),
    }
    if open.iter().any(|stake| !stake.amount.is_zero() && stake.address != account.address()) {
        let commitment = commitment(account.address(), proof.id());
        if chain.read(registry, &ResultRegistry::committedAtCall { commitment }).await?.is_zero() {
            let commit = Call::new(REGISTRY, registry, &ResultRegistry::commitCall { commitment });
            match account.send(&commit).await {
                Err(error) if error.reverts_with(&["AlreadyCommitted"]) => {}
                // It is in a block that there is, so the report comes in a later one.
                sent => drop(sent?),
            }
        }
    }
    match account.send(&call).await {
        Ok(record) => Ok(Some(record)),
        Err(error) if overtaken(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use dtn_primitives::{SecretKey, ValidatorIndex};

    use super::*;

    fn keys() -> Vec<SecretKey> {
        let mut keys: Vec<_> = (1..=4).map(|i| SecretKey::from_bytes(&[i; 32]).expect("a valid scalar")).collect();
        keys.sort_by_key(SecretKey::address);
        keys
    }

    fn set() -> Vec<Address> {
        keys().iter().map(SecretKey::address).collect()
    }

    fn rotation(last: u8) -> SignedMessage {
        let validators = [1, 2, 3, last].map(Address::repeat_byte).to_vec();
        SignedMessage::new(B256::ZERO, 31337, Content::Rotation(Rotation { epoch: 0, validators })).expect("valid")
    }

    #[test]
    fn two_rotations_accuse_those_who_signed_both_and_nobody_else() {
        let (mut one, mut other) = (rotation(4), rotation(5));
        [0, 1, 2].into_iter().for_each(|signer| one.sign(&keys()[signer]));
        [1, 2, 3].into_iter().for_each(|signer| other.sign(&keys()[signer]));
        let both = Contradiction::of_messages(&one, &other, &set()).expect("a contradiction");
        assert_eq!(both.signers(&set()), set()[1..3]);
        let turned = Contradiction::of_messages(&other, &one, &set()).expect("the same");
        assert_eq!(both, turned, "one contradiction has one form");
        assert_eq!(Contradiction::of_messages(&one, &one, &set()), Err(NoContradiction::Same));
        let elsewhere = Content::Rotation(Rotation { epoch: 1, validators: set() });
        let later = SignedMessage::new(B256::ZERO, 31337, elsewhere).expect("valid");
        assert_eq!(Contradiction::of_messages(&one, &later, &set()), Err(NoContradiction::OtherSlot));
    }

    #[test]
    fn commits_of_two_views_may_both_be_cast() {
        let domain = Domain::new(B256::ZERO, 31337);
        let commit = |view, hash: u8| {
            let hash = B256::repeat_byte(hash);
            let vote = |index: usize| {
                let place = ValidatorIndex(index as u16);
                Vote::sign(VoteKind::Commit, (0, view, 9), hash, place, &keys()[index], &domain)
            };
            Certificate::from_votes(&[vote(0), vote(2), vote(3)]).expect("votes")
        };
        let own = commit(1, 7);
        let posted = |certificate: &Certificate| {
            (certificate.block_hash, certificate.view, certificate.signature_bytes().into())
        };
        let both = Contradiction::of_commits(&own, posted(&commit(1, 8)), &domain).expect("a contradiction");
        assert_eq!(both.signers(&set()), [set()[0], set()[2], set()[3]]);
        let refused = Contradiction::of_commits(&own, posted(&commit(2, 8)), &domain);
        assert_eq!(refused, Err(NoContradiction::OtherSlot));
        let same = Contradiction::of_commits(&own, posted(&own), &domain);
        assert_eq!(same, Err(NoContradiction::Same));
    }

    #[test]
    fn kinds_have_the_numbers_of_the_contracts() {
        let types = include_str!("../../../contracts/src/formats/Types.sol");
        let (_, kinds) = types.split_once("enum VoteKind {").expect("there");
        let names: Vec<_> = kinds.split('}').next().unwrap_or_default().split(',').map(str::trim).collect();
        assert_eq!((names[usize::from(ROTATION)], names[usize::from(DISTRIBUTION)]), ("Rotation", "Distribution"));
        let votes = [
            (VoteKind::PrePrepare, "PrePrepare"),
            (VoteKind::Prepare, "Prepare"),
            (VoteKind::Commit, "Commit"),
            (VoteKind::Checkpoint, "Checkpoint"),
            (VoteKind::Notarize, "Notarize"),
            (VoteKind::Nullify, "Nullify"),
        ];
        for (kind, name) in votes {
            assert_eq!(names[kind as usize], name);
        }
        assert_eq!(names.len(), votes.len() + 2, "each is one or the other");
    }
}
