//! Files that show contradictions: evidence as `l1 evidence --json` lists it, certificates of blocks, signed messages.

use alloy::primitives::Address;
use dtn_bindings::ResultRegistry;
use dtn_chain::{connection::ReadError, sender::Account};
use dtn_primitives::{Certificate, Domain, Evidence};
use serde::Deserialize;

use crate::{
    evidence::{Contradiction, NoContradiction, Proof},
    message::SignedMessage,
};

/// What a file shows.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Shown {
    /// Contradictions of single validators.
    List {
        /// One by one.
        evidence: Vec<Evidence>,
    },
    /// One contradiction of a validator.
    Evidence(Box<Evidence>),
    /// A block's certificate.
    Block {
        /// The certificate.
        certificate: Certificate,
    },
    /// A message with signatures of validators.
    Message(Box<SignedMessage>),
}

/// Why files prove nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// One certificate contradicts nothing.
    #[error("a certificate contradicts another one: name two of blocks, or two of messages")]
    NotTwo,
    /// The two.
    #[error(transparent)]
    NoContradiction(#[from] NoContradiction),
    /// The registry.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What files show together: each evidence that is listed, and one contradiction of two certificates.
pub async fn proofs(shown: Vec<Shown>, account: &Account, registry: Address) -> Result<Vec<Proof>, ProofError> {
    let chain = account.chain();
    let (mut proofs, mut blocks, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for one in shown {
        match one {
            Shown::List { evidence } => proofs.extend(evidence.into_iter().map(Proof::from)),
            Shown::Evidence(evidence) => proofs.push(Proof::Votes(evidence)),
            Shown::Block { certificate } => blocks.push(certificate),
            Shown::Message(signed) => messages.push(signed),
        }
    }
    match (blocks.as_slice(), messages.as_slice()) {
        ([], []) => {}
        ([one, other], []) => {
            let network_id = chain.read(registry, &ResultRegistry::networkIdCall {}).await?;
            let domain = Domain::new(network_id, chain.chain_id());
            proofs.push(Contradiction::of_certificates(one, other, &domain)?.into());
        }
        ([], [one, other]) => {
            let set = ResultRegistry::validatorsOfCall { epoch_: one.message().epoch() };
            let set = chain.read(registry, &set).await?;
            proofs.push(Contradiction::of_messages(one, other, &set)?.into());
        }
        _ => return Err(ProofError::NotTwo),
    }
    Ok(proofs)
}
