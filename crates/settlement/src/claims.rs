//! The claims of a deployment as whoever checks them sees them: what was posted, whether it holds, and where it stands.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use alloy::{
    primitives::{Address, B128, B256},
    providers::Provider,
    transports::TransportError,
};
use dtn_aow::{Delay, Element, Start};
use dtn_bindings::{ContractAddresses, ResultRegistry};
use dtn_chain::{Chain, connection::ReadError};
use dtn_primitives::Domain;
use serde::Serialize;
use tokio::task::{JoinError, spawn_blocking};

use crate::aow::{Aow, ClaimState, ClaimStatus, NewClaim, PostedClaim, Slashing, checkpoints_of, segment_length};

/// Why claims cannot be told of, or one not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// The deployment has no contract for them.
    #[error("this deployment is older than claims of sequential work; run `dtn-cli deploy` again")]
    NoContract,
    /// What the contracts answer.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// What the chain's node answers.
    #[error("{0}")]
    Rpc(#[from] TransportError),
    /// The work was not done to its end.
    #[error("{0}")]
    Task(#[from] JoinError),
    /// There are no checkpoints for so many steps.
    #[error("{0} steps cannot be claimed: they have no checkpoints at even distances that the contract takes")]
    Steps(u64),
    /// The block that the work starts from is not known to the contracts.
    #[error("the registry holds no block {0}; it must be finalized there before work can start from it")]
    NoBlock(u64),
    /// A result is none of this work.
    #[error("the result is no element of the field")]
    NoElement,
    /// A result is of another start.
    #[error("the result does not go back to the start of this work, so anyone could take the bond; nothing was posted")]
    OtherStart,
    /// There is no such claim.
    #[error("nobody has posted the claim {0}")]
    Unknown(B256),
    /// There was one.
    #[error("the claim {0} is gone again")]
    Gone(B256),
    /// There is nothing to point at.
    #[error("every segment of {0} holds; a challenge would be refused")]
    Holds(B256),
}

/// Where a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It can be challenged.
    Posted,
    /// It can be challenged no longer.
    Final,
    /// It was taken back as a whole, and is right.
    Upheld,
    /// It was shown wrong.
    Slashed,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Posted => "posted",
            Self::Final => "final",
            Self::Upheld => "upheld",
            Self::Slashed => "slashed",
        })
    }
}

/// A claim that was posted, and what is to be said of it.
#[derive(Debug, Clone)]
pub struct CheckedClaim {
    /// As it was posted.
    pub posted: PostedClaim,
    /// As the contract keeps it.
    pub state: ClaimState,
    /// Where it stands.
    pub standing: Standing,
    /// The first segment that does not hold; nothing is checked of a slashed claim.
    pub false_segment: Option<usize>,
    /// By whom it was shown wrong.
    pub slashing: Option<Slashing>,
}

/// What is asked to be claimed.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The round.
    pub round: u64,
    /// The height of the block that opened it.
    pub height: u64,
    /// How many steps.
    pub steps: u64,
    /// What the work came to; without it, it is done.
    pub result: Option<B128>,
    /// The hash of the proof that peers have.
    pub proof_digest: B256,
    /// Even a result that does not go back to the start.
    pub anyway: bool,
}

/// The claims of a deployment.
#[derive(Debug, Clone)]
pub struct Claims {
    chain: Chain,
    registry: Address,
    from_block: u64,
    domain: Domain,
    /// The contract that takes them.
    pub contract: Aow,
}

impl Claims {
    /// Those of a deployment, which began with a block.
    pub async fn of(chain: &Chain, contracts: &ContractAddresses, from_block: u64) -> Result<Self, ClaimsError> {
        if contracts.aow.is_zero() {
            return Err(ClaimsError::NoContract);
        }
        let contract = Aow::new(chain.clone(), contracts.aow);
        let domain = contract.domain().await?;
        Ok(Self { chain: chain.clone(), registry: contracts.registry, from_block, domain, contract })
    }

    /// All that were posted, in their order.
    pub async fn posted(&self) -> Result<Vec<PostedClaim>, ClaimsError> {
        let head = self.chain.provider().get_block_number().await?;
        Ok(self.contract.posted(self.from_block..=head).await?)
    }

    /// The last one that was posted by an id.
    pub async fn find(&self, id: B256) -> Result<PostedClaim, ClaimsError> {
        self.posted().await?.into_iter().rfind(|claim| claim.id == id).ok_or(ClaimsError::Unknown(id))
    }

    /// A claim that is there as the contract keeps it, and where it stands.
    pub async fn state(&self, id: B256) -> Result<(ClaimState, Standing), ClaimsError> {
        let state = self.contract.claim(id).await?.ok_or(ClaimsError::Gone(id))?;
        let standing = self.standing(id, &state).await?;
        Ok((state, standing))
    }

    async fn standing(&self, id: B256, claim: &ClaimState) -> Result<Standing, ClaimsError> {
        Ok(match claim.status {
            ClaimStatus::Slashed => Standing::Slashed,
            ClaimStatus::Upheld => Standing::Upheld,
            ClaimStatus::Posted if self.contract.outcome(id).await?.is_some() => Standing::Final,
            ClaimStatus::Posted => Standing::Posted,
        })
    }

    async fn block_hash(&self, height: u64) -> Result<B256, ClaimsError> {
        Ok(self.chain.read(self.registry, &ResultRegistry::finalizedHashCall { height }).await?)
    }

    /// The first segment of a claim that does not hold.
    pub async fn first_false_segment(&self, claim: &PostedClaim) -> Result<Option<usize>, ClaimsError> {
        let (domain, block_hash) = (self.domain, self.block_hash(claim.height).await?);
        let claim = claim.clone();
        Ok(spawn_blocking(move || claim.first_false_segment(domain, block_hash)).await?)
    }

    /// All claims, or those of a round, by round and node, each checked here.
    pub async fn checked(&self, round: Option<u64>) -> Result<Vec<CheckedClaim>, ClaimsError> {
        let head = self.chain.provider().get_block_number().await?;
        let slashed = self.contract.slashed(self.from_block..=head).await?;
        let mut slashed: HashMap<B256, Slashing> = slashed.into_iter().map(|it| (it.id, it)).collect();
        let mut checked = BTreeMap::new();
        for posted in self.posted().await? {
            if round.is_some_and(|round| round != posted.round) {
                continue;
            }
            let Some(state) = self.contract.claim(posted.id).await? else { continue };
            let standing = self.standing(posted.id, &state).await?;
            let slashing = slashed.remove(&posted.id);
            let false_segment = match state.status {
                ClaimStatus::Slashed => None,
                _ => self.first_false_segment(&posted).await?,
            };
            let place = (posted.round, posted.node);
            checked.insert(place, CheckedClaim { posted, state, standing, false_segment, slashing });
        }
        Ok(checked.into_values().collect())
    }

    /// Work as the contract takes it. Where its result is not known it is done here, which takes its time.
    pub async fn work(&self, node: Address, asked: &Asked) -> Result<NewClaim, ClaimsError> {
        let Asked { round, height, steps, proof_digest, .. } = *asked;
        let length = segment_length(steps).ok_or(ClaimsError::Steps(steps))?;
        let previous_block_hash = self.block_hash(height).await?;
        if previous_block_hash.is_zero() {
            return Err(ClaimsError::NoBlock(height));
        }
        let start = Start { domain: self.domain, round, previous_block_hash, node, steps }.element();
        let element = |result: B128| Element::from_bytes(result.0).ok_or(ClaimsError::NoElement);
        let result = asked.result.map(element).transpose()?;
        let (from, checkpoints) = spawn_blocking(move || match result {
            Some(result) => checkpoints_of(result, steps).unwrap_or((result, Vec::new())),
            None => (start, Delay::default().checkpoints(start, steps, length, |_| ())),
        })
        .await?;
        if from != start && !asked.anyway {
            return Err(ClaimsError::OtherStart);
        }
        Ok(NewClaim { round, height, steps, checkpoints, proof_digest })
    }
}
