//! What protocols that agree on blocks come to.

use std::sync::Arc;

use dtn_primitives::{Block, Certificate};

/// A final block and the quorum that made it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The block.
    pub block: Arc<Block>,
    /// A quorum of commit votes for it.
    pub certificate: Certificate,
}
