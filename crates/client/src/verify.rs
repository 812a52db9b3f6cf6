//! What a light client checks: that a quorum of the genesis's validators signed what it is shown.

use dtn_primitives::{B256, Certificate, CertificateError, Domain, Header, Membership};

/// What a final block has to agree with.
#[derive(Debug, Clone, Copy)]
pub struct Verifier<'a> {
    /// The network.
    pub domain: &'a Domain,
    /// Who validates, epoch by epoch.
    pub membership: &'a Membership,
}

/// Why a block is not believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not the one that was asked for.
    #[error("block {have} came where {need} is asked for")]
    OtherHeight {
        /// The block's height.
        have: u64,
        /// The height that was asked for.
        need: u64,
    },
    /// Its certificate names another block.
    #[error("the certificate of block {0} is for another block")]
    OtherBlock(u64),
    /// Its certificate does not hold.
    #[error("the certificate of block {height} does not hold")]
    Certificate {
        /// The block's height.
        height: u64,
        /// Why.
        source: CertificateError,
    },
    /// Its transactions are not those that its header commits to.
    #[error("the transactions of block {0} are not those of its header")]
    Transactions(u64),
}

impl Verifier<'_> {
    /// Succeeds only if a quorum signed this header, at this height.
    pub fn header(&self, height: u64, header: &Header, certificate: &Certificate) -> Result<(), VerifyError> {
        if header.height != height {
            return Err(VerifyError::OtherHeight { have: header.height, need: height });
        }
        if certificate.height != height || certificate.block_hash != header.hash() {
            return Err(VerifyError::OtherBlock(height));
        }
        let verified = certificate.verify(self.domain, self.membership);
        verified.map_err(|source| VerifyError::Certificate { height, source })
    }

    /// Succeeds only if a quorum signed this header, at this height, and it names the transactions with this root.
    pub fn block(
        &self,
        height: u64,
        header: &Header,
        certificate: &Certificate,
        root: B256,
    ) -> Result<(), VerifyError> {
        self.header(height, header, certificate)?;
        if root == header.transactions_root { Ok(()) } else { Err(VerifyError::Transactions(height)) }
    }
}
