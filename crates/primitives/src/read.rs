//! Read-only requests (OSDI '99, §5.1): questions that are answered from the final state, without an order among them.

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{Domain, Epochs, KeyError, SecretKey, Signature, ValidatorIndex, codec};

mod typed {
    alloy_sol_types::sol! {
        struct Answer { bytes32 question; bytes32 answer; uint64 height; }
    }
}

/// What a client may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// The nonce that an account's next transaction must have.
    Nonce(Address),
    /// What became of an order.
    Order(B256),
}

/// What a replica finds in its final state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The nonce.
    Nonce(u64),
    /// No block that is kept contains the order.
    UnknownOrder,
    /// The order asks for no work, so there is nothing to claim.
    RecordedOrder {
        /// The height of its block.
        height: u64,
    },
    /// The order takes claims.
    OpenOrder {
        /// The height of its block.
        height: u64,
    },
    /// The order is open no longer, and nobody has claimed it.
    ExpiredOrder {
        /// The height of the block that ended it.
        height: u64,
    },
    /// The order has its winner.
    ClosedOrder {
        /// The height of the block that ended its race.
        height: u64,
        /// The winning claim's transaction hash.
        claim: B256,
    },
}

/// A replica's signed answer. A client that holds the same answer of a quorum knows that every quorum, now or later, has
/// a correct replica that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAnswer {
    /// The answer.
    pub answer: Answer,
    /// The height of the replica's last final block when it answered.
    pub height: u64,
    /// Who answers.
    pub validator: ValidatorIndex,
    /// Over the EIP-712 struct `Answer(bytes32 question,bytes32 answer,uint64 height)`, the two as Keccak-256 of their
    /// wire encodings.
    pub signature: Signature,
}

impl SignedAnswer {
    /// Signs an answer.
    pub fn sign(
        question: &Question,
        answer: Answer,
        height: u64,
        validator: ValidatorIndex,
        (key, domain): (&SecretKey, &Domain),
    ) -> Self {
        let signature = key.sign(Self::digest(domain, question, &answer, height));
        Self { answer, height, validator, signature }
    }

    fn digest(domain: &Domain, question: &Question, answer: &Answer, height: u64) -> B256 {
        let (question, answer) = (keccak256(codec::encode(question)), keccak256(codec::encode(answer)));
        domain.digest(&typed::Answer { question, answer, height })
    }

    /// Succeeds only if the validator that it names signed it as an answer to this question.
    pub fn verify(&self, question: &Question, domain: &Domain, epochs: &impl Epochs) -> Result<(), KeyError> {
        let validator = epochs.signer(epochs.now().epoch(), self.validator)?;
        self.signature.verify(Self::digest(domain, question, &self.answer, self.height), validator.address)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::ValidatorSet;

    #[test]
    fn an_answer_is_to_one_question_by_one_validator_in_one_network() {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let set = ValidatorSet::new(0, [key.public_key()]);
        let domain = Domain::new(B256::repeat_byte(1), 31337);
        let question = Question::Nonce(Address::repeat_byte(2));
        let signed = SignedAnswer::sign(&question, Answer::Nonce(3), 9, ValidatorIndex(0), (&key, &domain));
        signed.verify(&question, &domain, &set).unwrap();
        let other = Question::Nonce(Address::repeat_byte(3));
        signed.verify(&other, &domain, &set).unwrap_err();
        signed.verify(&question, &Domain::new(B256::repeat_byte(2), 31337), &set).unwrap_err();
        let changes: [fn(&mut SignedAnswer); 3] =
            [|it| it.answer = Answer::Nonce(4), |it| it.height = 8, |it| it.validator = ValidatorIndex(1)];
        for change in changes {
            let mut lie = signed.clone();
            change(&mut lie);
            lie.verify(&question, &domain, &set).unwrap_err();
        }
    }
}
