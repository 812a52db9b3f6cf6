//! A value that one replica after the other has signed.

use dtn_primitives::{B256, Bytes, Signature, ValidatorIndex};
use serde::{Deserialize, Serialize};

use crate::Party;

/// The longest value, in bytes.
pub const MAX_VALUE: usize = 1 << 16;

/// A value and who has signed it, one after the other. Nothing in one that arrives is trusted before it is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureChain {
    /// What is signed, of no more than [`MAX_VALUE`] bytes.
    pub value: Bytes,
    /// The signers in their order, each with its signature.
    pub links: Vec<(ValidatorIndex, Signature)>,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The value is too long.
    #[error("a value of {0} bytes, of which there may be {MAX_VALUE}")]
    ValueTooLong(usize),
    /// There are more signatures than replicas.
    #[error("{0} signatures, which is more than there are replicas")]
    TooManySignatures(usize),
    /// Somebody else, or nobody, has signed first.
    #[error("the sender has not signed first")]
    NotOfTheSender,
    /// Somebody has signed twice.
    #[error("{0} has signed twice")]
    Repeated(ValidatorIndex),
    /// Another value is known, which a lying sender makes correct replicas tell.
    #[error("another value is known")]
    SecondValue,
    /// A signature is not that of its signer.
    #[error("a signature is not that of {0}")]
    Forged(ValidatorIndex),
}

impl SignatureChain {
    /// A value that nobody has signed.
    pub fn new(value: Bytes) -> Self {
        Self { value, links: Vec::new() }
    }

    /// What everyone signs.
    pub fn digest(&self, party: &Party, protocol: &str) -> B256 {
        party.digest(protocol, &self.value)
    }

    /// The same, signed by this replica too.
    #[must_use]
    pub fn signed(&self, party: &Party, protocol: &str) -> Self {
        let mut longer = self.clone();
        longer.links.push((party.me, party.key.sign(self.digest(party, protocol))));
        longer
    }

    /// Whether this replica has signed it.
    pub fn has(&self, signer: ValidatorIndex) -> bool {
        self.links.iter().any(|(by, _)| *by == signer)
    }

    /// Whether the value and the number of signatures are what they may be, and the first is `sender`'s.
    pub fn check_form(&self, sender: ValidatorIndex, party: &Party) -> Result<(), ChainError> {
        if self.value.len() > MAX_VALUE {
            return Err(ChainError::ValueTooLong(self.value.len()));
        }
        if self.links.len() > party.n() {
            return Err(ChainError::TooManySignatures(self.links.len()));
        }
        match self.links.first() {
            Some((first, _)) if *first == sender => Ok(()),
            _ => Err(ChainError::NotOfTheSender),
        }
    }

    /// Whether nobody has signed twice.
    pub fn check_signers(&self) -> Result<(), ChainError> {
        let mut signers: Vec<_> = self.links.iter().map(|(by, _)| *by).collect();
        signers.sort_unstable();
        let repeated = signers.windows(2).find(|pair| pair[0] == pair[1]);
        repeated.map_or(Ok(()), |pair| Err(ChainError::Repeated(pair[0])))
    }

    /// Whether every signature is that of its signer.
    pub fn check_signatures(&self, party: &Party, protocol: &str) -> Result<(), ChainError> {
        let digest = self.digest(party, protocol);
        let forged = self.links.iter().find(|(by, signature)| !party.is_genuine(*by, signature, digest));
        forged.map_or(Ok(()), |(by, _)| Err(ChainError::Forged(*by)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::tests::parties;

    #[test]
    fn a_chain_is_accepted_as_it_was_signed_and_in_no_other_way() {
        let parties = parties(4);
        let sender = parties[2].me;
        let chain =
            [2, 0, 3].iter().fold(SignatureChain::new("v".into()), |chain, who| chain.signed(&parties[*who], "p"));
        let check = |chain: &SignatureChain| {
            chain.check_form(sender, &parties[1])?;
            chain.check_signers()?;
            chain.check_signatures(&parties[1], "p")
        };
        assert_eq!(check(&chain), Ok(()));
        let change = |change: &dyn Fn(&mut SignatureChain)| {
            let mut other = chain.clone();
            change(&mut other);
            check(&other)
        };
        assert_eq!(change(&|chain| chain.value = "w".into()), Err(ChainError::Forged(sender)));
        assert_eq!(change(&|chain| chain.links.swap(0, 1)), Err(ChainError::NotOfTheSender));
        assert_eq!(change(&|chain| chain.links.clear()), Err(ChainError::NotOfTheSender));
        assert_eq!(change(&|chain| chain.links[1] = chain.links[0]), Err(ChainError::Repeated(sender)));
        assert_eq!(change(&|chain| chain.links[1].0 = ValidatorIndex(1)), Err(ChainError::Forged(ValidatorIndex(1))));
        assert_eq!(change(&|chain| chain.links[1].0 = ValidatorIndex(9)), Err(ChainError::Forged(ValidatorIndex(9))));
        assert_eq!(change(&|chain| chain.links.extend(chain.links.clone())), Err(ChainError::TooManySignatures(6)));
        assert_eq!(
            change(&|chain| chain.value = vec![0; MAX_VALUE + 1].into()),
            Err(ChainError::ValueTooLong(MAX_VALUE + 1))
        );
        assert_eq!(chain.check_signatures(&parties[1], "q"), Err(ChainError::Forged(sender)), "of another protocol");
    }
}
