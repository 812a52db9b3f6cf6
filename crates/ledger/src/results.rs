//! The results of blocks that a peer has skipped: it takes them from others, so that what is owed stays provable however
//! many peers have taken over a snapshot.

use std::collections::BTreeMap;

use dtn_primitives::{
    B256, Certificate, CertificateError, Domain, Epochs, Header, Kind, Membership, Solution, Transaction, WorkResult,
};
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError};

/// How many blocks' results are written at a time: whoever commits a block meanwhile waits a millisecond for that.
const WRITTEN_AT_ONCE: usize = 32;

/// All results of a final block, and what shows each: what a peer keeps of a block for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockResults {
    /// The block.
    pub header: Header,
    /// The quorum that finalized it.
    pub certificate: Certificate,
    /// Its results in their order.
    pub results: Vec<WorkResult>,
    /// What shows the work of those that are of races, by their ids.
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
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BlockResults {
    /// Checks everything: they are all results of a block that a quorum finalized, and what shows each is there.
    pub fn verify(&self, domain: &Domain, epochs: &impl Epochs) -> Result<(), ImportError> {
        let Self { header, certificate, results, solutions } = self;
        let belongs = (header.network_id, header.chain_id, header.epoch)
            == (domain.network_id, domain.chain_id, certificate.epoch)
            && (certificate.height, certificate.block_hash) == (header.height, header.hash());
        if !belongs {
            return Err(ImportError::Mismatch);
        }
        if results.is_empty() || WorkResult::leaves_under(header.results_root, results).is_none() {
            return Err(ImportError::Results(header.height));
        }
        let mut unused: BTreeMap<_, _> = solutions.iter().collect();
        for result in results.iter().filter(|result| result.kind == Kind::RACE) {
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
        Ok(certificate.verify(domain, epochs)?)
    }
}

/// Takes over the results of skipped blocks while the ledger goes on.
#[derive(Debug, Clone)]
pub struct Importer {
    store: Store,
    domain: Domain,
    membership: Membership,
}

impl Importer {
    pub(crate) fn new(store: Store, domain: Domain, membership: Membership) -> Self {
        Self { store, domain, membership }
    }

    /// The first and the last height of the blocks whose results may be missing.
    pub fn missing(&self) -> Result<Option<(u64, u64)>, StoreError> {
        self.store.results_missing()
    }

    /// Whether the results of a block are there.
    pub fn has(&self, height: u64) -> Result<bool, StoreError> {
        Ok(!self.store.results_in(height)?.is_empty())
    }

    /// Takes over what others have kept of blocks that this peer has skipped. Everything is checked before anything is
    /// changed. Gives how many blocks were news.
    pub fn import(&self, blocks: &[BlockResults]) -> Result<usize, ImportError> {
        for block in blocks {
            block.verify(&self.domain, &self.membership)?;
        }
        let Some((first, last)) = self.missing()? else { return Ok(0) };
        let mut news = Vec::new();
        for block in blocks.iter().filter(|block| (first..=last).contains(&block.header.height)) {
            if !self.has(block.header.height)? {
                news.push(block);
            }
        }
        for some in news.chunks(WRITTEN_AT_ONCE) {
            self.store.put_results(some.iter().copied())?;
        }
        Ok(news.len())
    }

    /// Takes in that no result is missing up to a height. No certificate can say that a block has none: the caller has
    /// heard so many peers, each of which has said what results it has up to there, that one of them is correct.
    pub fn complete_to(&self, height: u64) -> Result<(), StoreError> {
        self.store.results_complete_to(height)
    }
}
