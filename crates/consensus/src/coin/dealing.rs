//! A secret that one validator deals to all, in the open, and what shows that a share of it is none.

use dtn_primitives::{
    B256, BlsPublicKey, BlsSecretKey, BlsSignature, Bytes, PublicKey, SecretKey, SharedProof, Signature, U256,
    ValidatorIndex, ValidatorSet, codec, keccak256,
};
use serde::{Deserialize, Serialize};

use super::{
    Fault,
    polynomial::{Commitments, Polynomial, number, place},
};

/// Bytes of a commitment.
const COMMITMENT: usize = 96;

/// Which dealing is meant: of whom, in which ceremony.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of {
    pub(super) context: B256,
    pub(super) dealer: ValidatorIndex,
}

/// A polynomial as its dealer shows it to everybody: 34 bytes for each validator and 96 for each coefficient, and 300 more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dealing {
    /// One for each coefficient, compressed.
    pub(super) commitments: Bytes,
    /// The key with which the shares are sealed, and nothing else ever.
    pub(super) envelope: PublicKey,
    /// The share of each validator, which it alone can read.
    pub(super) sealed: Vec<B256>,
    /// By the envelope's key, over everything above. Else a dealer could take another's key, deal bad shares by it, and read in
    /// the complaints what opens that one's good shares.
    pub(super) owns: Signature,
    /// By the polynomial's value at a place that everything above determines, over the same. Whoever can make it knows the
    /// whole polynomial; else a dealer could make up one from those of others that takes them out of the sum (Gennaro,
    /// Jarecki, Krawczyk & Rabin, J. Cryptology 20, 2007, §3, and Ristenpart & Yilek, EUROCRYPT '07).
    pub(super) knows: BlsSignature,
}

/// A dealing that may be one: its dealer knows what it deals, and every share can be told from what is none.
#[derive(Debug, Clone)]
pub(super) struct Vetted {
    of: Of,
    pub(super) commitments: Commitments,
    /// The hash of these, which the pads are of.
    committed: B256,
    envelope: PublicKey,
    sealed: Vec<B256>,
    /// What the dealer has signed.
    pub(super) digest: B256,
}

/// A validator shows that it was dealt what is no share: with the point that it has in common with the envelope, everybody
/// reads what it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Complaint {
    /// Against whom.
    pub(super) dealer: ValidatorIndex,
    shared: PublicKey,
    proof: SharedProof,
}

impl Dealing {
    /// The dealing of a validator. The same each time, so that one who forgets that it has dealt does no harm: its
    /// polynomial and its envelope come from its key and from the ceremony. None where a number is zero that never is.
    pub(super) fn new(of: Of, key: &SecretKey, validators: &ValidatorSet, threshold: usize) -> Option<Self> {
        let seed = |what: &str| keccak256([what.as_bytes(), &key.to_bytes(), &of.context.0].concat());
        let polynomial = Polynomial::new(seed("DTN/coin/polynomial"), threshold);
        let envelope = SecretKey::from_bytes(&seed("DTN/coin/envelope").0).ok()?;
        Self::of_shares(of, &polynomial, &envelope, validators, |replica| polynomial.at(place(replica)))
    }

    /// A dealing of these shares, whatever they are.
    pub(super) fn of_shares(
        of: Of,
        polynomial: &Polynomial,
        envelope: &SecretKey,
        validators: &ValidatorSet,
        share: impl Fn(ValidatorIndex) -> U256,
    ) -> Option<Self> {
        let commitments = polynomial.commitments()?;
        let commitments: Bytes = commitments.keys().iter().flat_map(BlsPublicKey::to_compressed).collect();
        let public = envelope.public_key();
        let committed = keccak256(&commitments);
        let seal = |(index, validator): (ValidatorIndex, &dtn_primitives::Validator)| {
            let pad = of.pad(index, (committed, &public), &envelope.shared(&validator.public_key));
            B256::from(share(index)) ^ pad
        };
        let sealed: Vec<_> = validators.iter().map(seal).collect();
        let digest = of.digest(&commitments, &public, &sealed);
        let knows = BlsSecretKey::from_scalar(polynomial.at(probe(digest)))?.sign(digest);
        Some(Self { commitments, envelope: public, sealed, owns: envelope.sign(digest), knows })
    }

    #[cfg(test)]
    pub(super) fn digest(&self, of: Of) -> B256 {
        of.digest(&self.commitments, &self.envelope, &self.sealed)
    }

    /// Checks all that everybody can check. It takes as long as to verify one signature and to read a point for each
    /// coefficient.
    pub(super) fn vet(self, of: Of, n: usize, threshold: usize) -> Result<Vetted, Fault> {
        let Self { commitments: bytes, envelope, sealed, owns, knows } = self;
        let (points, rest) = bytes.as_chunks::<COMMITMENT>();
        if points.len() != threshold || !rest.is_empty() {
            return Err(Fault::Degree { have: points.len(), need: threshold });
        }
        if sealed.len() != n {
            return Err(Fault::Shares { have: sealed.len(), need: n });
        }
        let digest = of.digest(&bytes, &envelope, &sealed);
        owns.verify(digest, envelope.address()).map_err(|_| Fault::Envelope)?;
        let points: Result<_, _> = points.iter().map(BlsPublicKey::from_compressed).collect();
        let commitments = Commitments::new(points.map_err(|_| Fault::Point)?);
        let known = commitments.at(probe(digest)).is_some_and(|key| knows.verify(digest, &key).is_ok());
        let committed = keccak256(&bytes);
        if known { Ok(Vetted { of, commitments, committed, envelope, sealed, digest }) } else { Err(Fault::Polynomial) }
    }
}

impl Vetted {
    /// The share of a validator, for whoever knows what it has in common with the envelope. None where it is no value of the
    /// polynomial.
    fn open(&self, replica: ValidatorIndex, shared: &PublicKey) -> Option<U256> {
        let pad = self.of.pad(replica, (self.committed, &self.envelope), shared);
        let share = U256::from_be_bytes((*self.sealed.get(replica.as_usize())? ^ pad).0);
        let secret = BlsSecretKey::from_scalar(share)?;
        (self.commitments.at(place(replica)) == Some(secret.public_key())).then_some(share)
    }

    /// The share of the validator that has this key.
    pub(super) fn share(&self, replica: ValidatorIndex, key: &SecretKey) -> Option<U256> {
        self.open(replica, &key.shared(&self.envelope))
    }

    /// That there is none for it.
    pub(super) fn complain(&self, key: &SecretKey) -> Complaint {
        let proof = key.prove_shared(&self.envelope, self.complaint_context());
        Complaint { dealer: self.of.dealer, shared: key.shared(&self.envelope), proof }
    }

    /// Whether a validator complains with reason.
    pub(super) fn is_bad(&self, complaint: &Complaint, by: ValidatorIndex, key: &PublicKey) -> bool {
        let Complaint { shared, proof, .. } = complaint;
        proof.verify(key, &self.envelope, shared, self.complaint_context()).is_ok() && self.open(by, shared).is_none()
    }

    fn complaint_context(&self) -> B256 {
        keccak256([&b"DTN/coin/complaint"[..], &self.digest.0].concat())
    }
}

impl Of {
    /// What a dealer signs.
    fn digest(self, commitments: &Bytes, envelope: &PublicKey, sealed: &[B256]) -> B256 {
        let said = ("DTN/coin/dealing", self.context, self.dealer, commitments, envelope, sealed);
        keccak256(codec::encode(&said))
    }

    /// What covers one share, once: of nothing else that is said in any ceremony.
    fn pad(self, to: ValidatorIndex, dealt: (B256, &PublicKey), shared: &PublicKey) -> B256 {
        let (committed, envelope) = dealt;
        let parts = [
            &b"DTN/coin/pad"[..],
            &self.context.0,
            &self.dealer.0.to_be_bytes(),
            &to.0.to_be_bytes(),
            &committed.0,
            &envelope.to_bytes(),
            &shared.to_bytes(),
        ];
        keccak256(parts.concat())
    }
}

/// A place that a dealer cannot choose.
fn probe(digest: B256) -> U256 {
    number(&[&b"DTN/coin/probe"[..], &digest.0].concat())
}
