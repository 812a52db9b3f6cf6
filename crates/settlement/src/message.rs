//! What validators certify by hand, and the file in which their signatures travel: distributions of rewards, rotations of
//! the validator set, what they agree to, and who is to recover a lock. (Blocks are certified by the votes that make them
//! final.)
//!
//! The file names the network and the chain, so signing needs no connection. Each validator signs the one digest twice, by
//! ECDSA and by BLS: the sender decides which certificate costs less.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use alloy::primitives::{Address, B256, U256};
use dtn_bindings::{REGISTRY, ResultRegistry};
use dtn_chain::{sender::Call, shown};
use dtn_keys::bls::bls_key;
use dtn_primitives::{
    Allotment, BlsCertificate, BlsPublicKey, BlsSignature, Distribution, DistributionError, Domain, Earning, Earnings,
    EcdsaCertificate, Rotation, RotationError, SecretKey, SettlementCertificate, SettlementMessage, Signature,
    ValidatorIndex, quorum,
};
use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    rewards::{amount_of, token_name},
};

/// From how many signers on an aggregate costs less gas than signatures one by one: `docs/concepts/benchmarks.md` has the
/// figures.
pub const BLS_BREAK_EVEN: usize = 32;

/// What is certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// What all accounts have earned so far.
    Distribution {
        /// The epoch of the signers.
        epoch: u64,
        /// What is signed.
        distribution: Distribution,
        /// What its root stands for, from which claims are made.
        earnings: Vec<Earning>,
    },
    /// The next validators.
    Rotation(Rotation),
    /// Something that a contract asks for.
    Resolution {
        /// The epoch of the signers.
        epoch: u64,
        /// What they agree to.
        action: Action,
    },
    /// Other validators for a set whose lock was stolen or lost.
    Recovery(Rotation),
}

/// Why a file of a message is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The distribution.
    #[error(transparent)]
    Distribution(#[from] DistributionError),
    /// The rotation.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// The earnings are not those of the root.
    #[error("the earnings have the root {ours}, and the distribution states {stated}")]
    OtherRoot {
        /// Of the earnings.
        ours: B256,
        /// In the distribution.
        stated: B256,
    },
    /// A signature that does not belong there.
    #[error("the signature under {0} is not of that account, or of another message, network or chain")]
    NotBy(Address),
    /// Files of different messages.
    #[error("the files are about different messages: {ours} and {theirs}")]
    OtherMessage {
        /// What one of them signs.
        ours: B256,
        /// What the other signs.
        theirs: B256,
    },
    /// Too few validators have signed.
    #[error(
        "{have} of {of} validators have signed, and {need} {}; missing: {}",
        if *need == quorum(*of) { "are a quorum" } else { "are needed" }, shown::accounts(missing)
    )]
    BelowQuorum {
        /// How many have.
        have: usize,
        /// How many there are.
        of: usize,
        /// How many have to.
        need: usize,
        /// Who has not.
        missing: Vec<Address>,
    },
    /// No certificate takes effect by itself.
    #[error("a recovery is not posted: the guardian proposes it")]
    ByTheGuardian,
}

/// A message with the signatures that it has so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "File", into = "File")]
pub struct SignedMessage {
    /// The network whose validators sign.
    pub network_id: B256,
    /// The chain on which the network settles.
    pub chain_id: u64,
    /// What they sign.
    pub content: Content,
    signatures: BTreeMap<Address, Signature>,
    /// Whose keys these are of is only known to the registry.
    bls_signatures: BTreeMap<Address, BlsSignature>,
}

/// The file as it is written: what is read from one is checked before it is used.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    network_id: B256,
    chain_id: u64,
    message: Content,
    #[serde(default)]
    signatures: BTreeMap<Address, Signature>,
    #[serde(default)]
    bls_signatures: BTreeMap<Address, BlsSignature>,
}

impl From<SignedMessage> for File {
    fn from(signed: SignedMessage) -> Self {
        let SignedMessage { network_id, chain_id, content: message, signatures, bls_signatures } = signed;
        Self { network_id, chain_id, message, signatures, bls_signatures }
    }
}

impl TryFrom<File> for SignedMessage {
    type Error = MessageError;

    fn try_from(file: File) -> Result<Self, MessageError> {
        let File { network_id, chain_id, message, signatures, bls_signatures } = file;
        let mut signed = Self::new(network_id, chain_id, message)?;
        let digest = signed.digest();
        for (signer, signature) in &signatures {
            signature.verify(digest, *signer).map_err(|_| MessageError::NotBy(*signer))?;
        }
        signed.signatures = signatures;
        signed.bls_signatures = bls_signatures;
        Ok(signed)
    }
}

impl SignedMessage {
    /// A message that nobody has signed.
    ///
    /// # Errors
    ///
    /// If the contracts would not take it, whoever signed it.
    pub fn new(network_id: B256, chain_id: u64, content: Content) -> Result<Self, MessageError> {
        match &content {
            Content::Distribution { distribution, earnings, .. } => {
                distribution.validate()?;
                let ours = Earnings::new(earnings.iter().copied())?.root();
                if ours != distribution.root {
                    return Err(MessageError::OtherRoot { ours, stated: distribution.root });
                }
            }
            Content::Rotation(next) | Content::Recovery(next) => next.validate()?,
            Content::Resolution { .. } => {}
        }
        Ok(Self { network_id, chain_id, content, signatures: BTreeMap::new(), bls_signatures: BTreeMap::new() })
    }

    /// What is signed.
    pub fn message(&self) -> SettlementMessage {
        match &self.content {
            Content::Distribution { epoch, distribution, .. } => {
                SettlementMessage::of_distribution(*epoch, distribution)
            }
            Content::Rotation(rotation) => SettlementMessage::Rotation(rotation.clone()),
            Content::Resolution { epoch, action } => {
                SettlementMessage::Resolution { epoch: *epoch, action: action.hash() }
            }
            Content::Recovery(next) => SettlementMessage::Recovery(next.clone()),
        }
    }

    /// The EIP-712 digest of [`SignedMessage::message`].
    pub fn digest(&self) -> B256 {
        self.message().digest(&Domain::new(self.network_id, self.chain_id))
    }

    /// Signs it twice: by ECDSA and by BLS.
    pub fn sign(&mut self, key: &SecretKey) {
        let digest = self.digest();
        self.signatures.insert(key.address(), key.sign(digest));
        self.bls_signatures.insert(key.address(), bls_key(key).sign(digest));
    }

    /// The ECDSA signatures of those of these accounts who have signed, however few, in ascending order.
    pub(crate) fn signatures_of(&self, accounts: &[Address]) -> EcdsaCertificate {
        let counts = self.signatures.iter().filter(|(signer, _)| accounts.contains(signer));
        EcdsaCertificate::new(counts.map(|(_, signature)| *signature))
    }

    /// Who has signed, in ascending order.
    pub fn signers(&self) -> impl Iterator<Item = Address> {
        self.signatures.keys().copied()
    }

    /// Takes over the signatures of another file of the same message.
    pub fn combine(&mut self, other: Self) -> Result<(), MessageError> {
        let (ours, theirs) = (self.digest(), other.digest());
        if ours != theirs {
            return Err(MessageError::OtherMessage { ours, theirs });
        }
        self.signatures.extend(other.signatures);
        self.bls_signatures.extend(other.bls_signatures);
        Ok(())
    }

    /// How many of its validators have to sign it: a quorum, or for a recovery one more than may be faulty.
    fn need(&self, validators: usize) -> usize {
        match self.content {
            Content::Recovery(_) => validators.saturating_sub(1) / 3 + 1,
            _ => quorum(validators),
        }
    }

    /// The certificate that costs the least gas: of exactly as many as have to sign, by ECDSA or, from [`BLS_BREAK_EVEN`] signers on and
    /// where enough of them have a published key, by BLS. Signatures of others than validators are left out, and so are
    /// BLS signatures that are not by the published key.
    ///
    /// `validators` are those of the message's epoch in ascending order, `keys` their published keys.
    pub fn certificate(
        &self,
        validators: &[Address],
        keys: &BTreeMap<Address, BlsPublicKey>,
        kind: Option<CertificateKind>,
    ) -> Result<SettlementCertificate, MessageError> {
        let need = self.need(validators.len());
        let below = |signed: BTreeSet<Address>| MessageError::BelowQuorum {
            have: signed.len(),
            of: validators.len(),
            need,
            missing: validators.iter().filter(|validator| !signed.contains(*validator)).copied().collect(),
        };
        let by_bls = || {
            let digest = self.digest();
            let signature = |(place, validator): (usize, &Address)| {
                let signature = self.bls_signatures.get(validator)?;
                signature.verify(digest, keys.get(validator)?).ok()?;
                Some((ValidatorIndex(u16::try_from(place).ok()?), *signature))
            };
            let signed: BTreeMap<_, _> = validators.iter().enumerate().filter_map(signature).take(need).collect();
            let signers = signed.keys().map(|place| validators[place.as_usize()]).collect::<BTreeSet<_>>();
            match BlsCertificate::aggregate(&signed).filter(|_| signed.len() >= need) {
                Some(certificate) => Ok(certificate.into()),
                None => Err(below(signers)),
            }
        };
        let by_ecdsa = || {
            let signed: BTreeSet<_> =
                validators.iter().filter(|signer| self.signatures.contains_key(*signer)).collect();
            if signed.len() < need {
                return Err(below(signed.into_iter().copied().collect()));
            }
            let signatures = signed.into_iter().take(need).filter_map(|signer| self.signatures.get(signer));
            Ok(EcdsaCertificate::new(signatures.copied()).into())
        };
        match kind {
            Some(CertificateKind::Bls) => by_bls(),
            Some(CertificateKind::Ecdsa) => by_ecdsa(),
            None if need >= BLS_BREAK_EVEN => by_bls().or_else(|_| by_ecdsa()),
            None => by_ecdsa(),
        }
    }

    /// What posts it to a registry.
    ///
    /// # Errors
    ///
    /// If it is a recovery, which the guardian proposes.
    pub fn post(&self, registry: Address, certificate: &SettlementCertificate) -> Result<Call, MessageError> {
        let certificate = certificate.to_bytes().into();
        Ok(match &self.content {
            Content::Distribution { distribution, .. } => {
                let (number, hash) = (distribution.number, distribution.hash());
                Call::new(REGISTRY, registry, &ResultRegistry::certifyCall { number, hash, certificate })
            }
            Content::Rotation(rotation) => {
                let next = rotation.validators.clone();
                Call::new(REGISTRY, registry, &ResultRegistry::rotateCall { next, certificate })
            }
            Content::Resolution { action, .. } => {
                let action = action.hash();
                Call::new(REGISTRY, registry, &ResultRegistry::resolveCall { action, certificate })
            }
            Content::Recovery(_) => return Err(MessageError::ByTheGuardian),
        })
    }
}

/// What is signed, for who is about to sign it.
impl fmt::Display for SignedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Distribution { epoch, distribution, earnings } => {
                let Distribution { distributor, number, root, allotments } = distribution;
                let count = earnings.len();
                writeln!(f, "distribution {number} of {distributor}, epoch {epoch}: {count} earnings under {root}")?;
                for Allotment { token, amount } in allotments {
                    let amount = U256::from(*amount);
                    writeln!(f, "allots {} ({})", amount_of(*token, amount), token_name(*token))?;
                }
                writeln!(f, "hash   {}", distribution.hash())?;
            }
            Content::Rotation(Rotation { epoch, validators }) => {
                writeln!(f, "rotation from epoch {epoch} to {} validators:", validators.len())?;
                validators.iter().try_for_each(|validator| writeln!(f, "  {validator}"))?;
            }
            Content::Resolution { epoch, action } => {
                writeln!(f, "resolution of epoch {epoch}: {action}")?;
                writeln!(f, "action {}", action.hash())?;
            }
            Content::Recovery(Rotation { epoch, validators }) => {
                writeln!(f, "recovery from epoch {epoch} to {} validators:", validators.len())?;
                validators.iter().try_for_each(|validator| writeln!(f, "  {validator}"))?;
            }
        }
        write!(f, "digest {} (network {}, chain {})", self.digest(), self.network_id, self.chain_id)
    }
}

/// How a certificate is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateKind {
    /// One signature of 65 bytes for each signer.
    Ecdsa,
    /// One signature for all.
    Bls,
}

#[cfg(test)]
mod tests {
    use dtn_primitives::ValidatorSet;

    use super::*;

    fn keys(count: u8) -> Vec<SecretKey> {
        let mut keys: Vec<_> = (1..=count).map(|i| SecretKey::from_bytes(&[i; 32]).expect("a valid scalar")).collect();
        keys.sort_by_key(SecretKey::address);
        keys
    }

    fn distribution(number: u32) -> SignedMessage {
        let earning = |byte| {
            let (account, token) = (Address::repeat_byte(byte), Address::ZERO);
            Earning { account, token, cumulative: U256::from(byte) }
        };
        let earnings = vec![earning(1), earning(2)];
        let root = Earnings::new(earnings.clone()).expect("distinct").root();
        let distribution = Distribution { distributor: Address::repeat_byte(9), number, root, allotments: Vec::new() };
        let content = Content::Distribution { epoch: 0, distribution, earnings };
        SignedMessage::new(B256::repeat_byte(1), 31337, content).expect("valid")
    }

    #[test]
    fn the_certificate_is_of_a_quorum_of_validators_and_verifies() {
        let keys = keys(5);
        let validators: Vec<_> = keys[..4].iter().map(SecretKey::address).collect();
        let set = ValidatorSet::new(0, keys[..4].iter().map(SecretKey::public_key));
        let published = keys.iter().map(|key| (key.address(), bls_key(key).public_key())).collect::<BTreeMap<_, _>>();
        let places: Vec<_> = validators.iter().map(|validator| published.get(validator).copied()).collect();
        let mut signed = distribution(1);
        for key in [&keys[0], &keys[4], &keys[2]] {
            signed.sign(key);
        }
        for kind in [None, Some(CertificateKind::Ecdsa), Some(CertificateKind::Bls)] {
            let missing = vec![validators[1], validators[3]];
            let below = MessageError::BelowQuorum { have: 2, of: 4, need: 3, missing };
            assert_eq!(signed.certificate(&validators, &published, kind), Err(below), "a stranger does not count");
        }
        signed.sign(&keys[3]);
        for kind in [CertificateKind::Ecdsa, CertificateKind::Bls] {
            let certificate = signed.certificate(&validators, &published, Some(kind)).expect("a quorum");
            assert_eq!(certificate.verify(signed.digest(), &set, &places), Ok(()), "{kind:?}");
            certificate.verify(distribution(2).digest(), &set, &places).expect_err("another message");
        }
        // Without their keys published, their signatures cannot be told from made-up ones.
        signed.certificate(&validators, &BTreeMap::new(), Some(CertificateKind::Bls)).expect_err("nobody has a key");
    }

    #[test]
    fn files_hold_what_was_signed_and_nothing_else() {
        let keys = keys(2);
        let mut signed = distribution(1);
        signed.sign(&keys[0]);
        let text = serde_json::to_value(&signed).expect("JSON");
        assert_eq!(serde_json::from_value::<SignedMessage>(text.clone()).expect("the same"), signed);

        let refused = |path: &str, value: serde_json::Value| {
            let mut changed = text.clone();
            *changed.pointer_mut(path).expect("there") = value;
            serde_json::from_value::<SignedMessage>(changed).expect_err("refused").to_string()
        };
        assert!(refused("/chain_id", 56.into()).contains("is not of that account"));
        let earned = "/message/distribution/earnings/0/cumulative";
        assert!(refused(earned, "0x5".into()).contains("the earnings have the root"));
        assert!(refused("/message/distribution/distribution/number", 0.into()).contains("numbered from 1"));

        let mut other = distribution(1);
        other.sign(&keys[1]);
        signed.combine(other).expect("the same message");
        assert_eq!(signed.signers().count(), 2);
        assert!(matches!(signed.combine(distribution(2)), Err(MessageError::OtherMessage { .. })));
    }
}
