//! The results of blocks that a peer has skipped: it takes them from others, so that what is owed stays provable however
//! many peers have taken over a snapshot.

use std::collections::BTreeMap;

use dtn_primitives::{
    B256, Certificate, CertificateError, Domain, Header, Round, Solution, Transaction, ValidatorSet, WorkResult,
};
use serde::{Deserialize, Serialize};

/// All results of a final block, and what shows each: what a peer keeps of a block for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockResults {
    /// The block.
    pub header: Header,
    /// The quorum that finalized it.
    pub certificate: Certificate,
    /// Its results in their order.
    pub results: Vec<WorkResult>,
    /// What shows the work of those that are not of rounds, by their ids.
    pub solutions: BTreeMap<B256, Solution>,
}

/// Why the results of a block were refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The certificate is for another block, or the block of another network.
    #[error("the certificate is for another block than the header, or of another network")]
    Mismatch,
    /// No quorum finalized the block.
    #[error("the certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// They are not the block's, or not all of them.
    #[error("the results of block {0} are others")]
    Results(u64),
    /// What should show a result does not, or there is no such result.
    #[error("the solution of {0} is absent, of another result, or of none")]
    Solution(B256),
}

impl BlockResults {
    /// Checks everything: they are all results of a block that a quorum finalized, and what shows each is there.
    pub fn verify(&self, domain: &Domain, validators: &ValidatorSet) -> Result<(), ImportError> {
        let Self { header, certificate, results, solutions } = self;
        let belongs = (header.network_id, header.chain_id, header.epoch)
            == (domain.network_id, domain.chain_id, validators.epoch())
            && (certificate.height, certificate.block_hash) == (header.height, header.hash());
        if !belongs {
            return Err(ImportError::Mismatch);
        }
        if results.is_empty() || WorkResult::root(results) != header.results_root {
            return Err(ImportError::Results(header.height));
        }
        let mut unused: BTreeMap<_, _> = solutions.iter().collect();
        for result in results.iter().filter(|result| Round::of_id(result.id).is_none()) {
            let shown = unused.remove(&result.id).is_some_and(|Solution { requester, order, claim }| {
                Transaction::hash_of(*requester, order.clone(), domain) == result.id
                    && Transaction::hash_of(result.worker, claim.clone(), domain) == result.digest
            });
            if !shown {
                return Err(ImportError::Solution(result.id));
            }
        }
        if let Some((id, _)) = unused.pop_first() {
            return Err(ImportError::Solution(*id));
        }
        Ok(certificate.verify(domain, validators)?)
    }
}
