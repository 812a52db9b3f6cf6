//! Claims of sequential work on chain: their arithmetic, and the contract that takes and judges them.

use std::ops::RangeInclusive;

use alloy::{
    eips::BlockId,
    primitives::{Address, B256, Bytes, U256, keccak256},
    signers::local::PrivateKeySigner,
    sol_types::SolValue,
};
use dtn_aow::{Delay, Element, Start};
use dtn_primitives::{Domain, MAX_ROUND_STEPS, MAX_SEGMENT_STEPS};
use serde::{Deserialize, Serialize};

use dtn_bindings::{AOW, AowChallenge};
use dtn_chain::{
    connection::{Chain, ReadError},
    gas_ledger::GasRecord,
    networks::LOCAL_CHAIN_ID,
    sender::{Account, Call, SendError},
};

/// The most checkpoints of a claim: those of the longest work at the greatest distance.
pub const MAX_CHECKPOINTS: u64 = MAX_ROUND_STEPS / MAX_SEGMENT_STEPS;

/// The most steps that the contract takes back as a whole: its `MAX_WHOLE`.
pub const MAX_WHOLE_STEPS: u64 = 1 << 14;

/// How often a challenge is tried whose commitment is not in an earlier block yet, at the network's poll interval.
const COMMITMENT_TRIES: u32 = 60;

const MILLIETHER: u64 = 1_000_000_000_000_000;

/// On which terms sequential work is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimTerms {
    /// The least bond of any claim, in wei. Of many checkpoints the contract asks for more: see [`Aow::bond_of`].
    pub bond: U256,
    /// Seconds for which a claim can be challenged.
    pub window: u32,
    /// Wei of a unit of gas for which a bond has to cover what a challenge costs.
    #[serde(default = "gwei")]
    pub gas_price: u64,
}

fn gwei() -> u64 {
    1_000_000_000
}

impl ClaimTerms {
    /// What suits a chain: seconds on a development chain, an hour where watchers may be interrupted.
    pub fn for_chain(chain_id: u64) -> Self {
        let (milliether, window) = if chain_id == LOCAL_CHAIN_ID { (10, 4) } else { (50, 3600) };
        Self { bond: U256::from(milliether) * U256::from(MILLIETHER), window, gas_price: gwei() }
    }
}

/// How far apart the checkpoints of work are: as far as the contract allows and the number of steps divides. `None`
/// where there is no work, too much, or no distance that does with [`MAX_CHECKPOINTS`].
pub fn segment_length(steps: u64) -> Option<u64> {
    let lengths = steps.div_ceil(MAX_CHECKPOINTS)..=steps.min(MAX_SEGMENT_STEPS);
    lengths.rev().find(|length| *length > 0 && steps.is_multiple_of(*length))
}

/// Where work that ends in a result has started, and the checkpoints that it has passed. Going back is the cheap
/// direction. `None` where there are no checkpoints for so many steps.
pub fn checkpoints_of(result: Element, steps: u64) -> Option<(Element, Vec<Element>)> {
    let (delay, length) = (Delay::default(), segment_length(steps)?);
    let mut checkpoints = Vec::new();
    let mut at = result;
    for _ in 0..steps / length {
        checkpoints.push(at);
        at = delay.undo(at, length);
    }
    checkpoints.reverse();
    Some((at, checkpoints))
}

/// The first segment whose steps do not lead from where it begins, the start or the checkpoint before, to its own
/// checkpoint.
pub fn first_false_segment(start: Element, checkpoints: &[Element], segment_length: u64) -> Option<usize> {
    let (delay, begins) = (Delay::default(), std::iter::once(&start).chain(checkpoints));
    begins.zip(checkpoints).position(|(begin, end)| !delay.leads(*begin, segment_length, *end))
}

/// Checkpoints as the contract takes them.
pub fn pack(checkpoints: &[Element]) -> Bytes {
    checkpoints.iter().flat_map(|element| element.to_bytes()).collect()
}

fn unpack(packed: &[u8]) -> Option<Vec<Element>> {
    let (elements, rest) = packed.as_chunks::<16>();
    let elements = elements.iter().map(|bytes| Element::from_bytes(*bytes)).collect();
    if rest.is_empty() { elements } else { None }
}

/// A claim as it was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedClaim {
    /// What it is known by.
    pub id: B256,
    /// The round.
    pub round: u64,
    /// Who did the work.
    pub node: Address,
    /// The height of the block that the work starts from, in the DTN network.
    pub height: u64,
    /// How many steps.
    pub steps: u64,
    /// The hash of the proof that peers have.
    pub proof_digest: B256,
    /// What the work has passed, its result last.
    pub checkpoints: Vec<Element>,
    /// The block of the settlement chain that contains it.
    pub block: u64,
    /// The transaction that posted it.
    pub tx: B256,
}

impl PostedClaim {
    /// What the contract keeps of the checkpoints.
    pub fn commitment(&self) -> B256 {
        keccak256(pack(&self.checkpoints))
    }

    /// The first segment that does not hold. It takes two multiplications a step.
    pub fn first_false_segment(&self, domain: Domain, block_hash: B256) -> Option<usize> {
        let Self { round, node, steps, checkpoints, .. } = self;
        let start = Start { domain, round: *round, previous_block_hash: block_hash, node: *node, steps: *steps };
        // The contract has made sure that there are checkpoints and that they divide the steps.
        first_false_segment(start.element(), checkpoints, steps / (checkpoints.len() as u64).max(1))
    }
}

/// A claim that was shown wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slashing {
    /// The claim.
    pub id: B256,
    /// Who showed it.
    pub challenger: Address,
    /// The segment that does not hold.
    pub segment: u64,
    /// What the challenger received, in wei.
    pub reward: U256,
    /// What the owners' wallet received, in wei.
    pub forfeited: U256,
}

/// What the contract knows of a claim. Whether an unchallenged one is final is for the clock to say: see
/// [`Aow::outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimStatus {
    /// It can be challenged, or could be until its deadline.
    Posted,
    /// It was taken back as a whole, and is right.
    Upheld,
    /// It was shown wrong.
    Slashed,
}

/// A claim as the contract keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimState {
    /// Where it stands.
    pub status: ClaimStatus,
    /// The hash of its checkpoints; zero once slashed.
    pub commitment: B256,
    /// Where the work ends, by the claim; zero once slashed.
    pub result: u128,
    /// Wei that vouch for it; zero once they are paid out.
    pub bond: U256,
    /// The last second, in Unix time, at which it can be challenged.
    pub deadline: u64,
    /// How many steps.
    pub steps: u64,
}

/// The contract that takes claims of sequential work.
#[derive(Debug, Clone)]
pub struct Aow {
    chain: Chain,
    address: Address,
}

impl Aow {
    /// The contract at an address.
    pub fn new(chain: Chain, address: Address) -> Self {
        Self { chain, address }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// On which terms it takes claims.
    pub async fn terms(&self) -> Result<ClaimTerms, ReadError> {
        Ok(ClaimTerms {
            bond: self.chain.read(self.address, &AowChallenge::minimumBondCall {}).await?,
            window: self.chain.read(self.address, &AowChallenge::windowCall {}).await?,
            gas_price: self.chain.read(self.address, &AowChallenge::gasPriceCall {}).await?.saturating_to(),
        })
    }

    /// The least bond that the contract takes for a claim.
    pub async fn bond_of(&self, claim: &NewClaim) -> Result<U256, ReadError> {
        let count = (claim.checkpoints.len() as u64).max(1);
        let call =
            AowChallenge::bondForCall { count: U256::from(count), segmentLength: U256::from(claim.steps / count) };
        self.chain.read(self.address, &call).await
    }

    /// The network and the chain that starts are bound to.
    pub async fn domain(&self) -> Result<Domain, ReadError> {
        let network_id = self.chain.read(self.address, &AowChallenge::networkIdCall {}).await?;
        Ok(Domain::new(network_id, self.chain.chain_id()))
    }

    /// A claim; `None` if there is none.
    pub async fn claim(&self, id: B256) -> Result<Option<ClaimState>, ReadError> {
        self.claim_at(id, BlockId::latest()).await
    }

    /// A claim as of a block.
    pub async fn claim_at(&self, id: B256, block: BlockId) -> Result<Option<ClaimState>, ReadError> {
        let claim = self.chain.read_at(self.address, &AowChallenge::claimOfCall { id }, block).await?;
        let status = match claim.status {
            1 => ClaimStatus::Posted,
            2 => ClaimStatus::Upheld,
            3 => ClaimStatus::Slashed,
            _ => return Ok(None),
        };
        Ok(Some(ClaimState {
            status,
            commitment: claim.commitment,
            result: claim.result,
            bond: U256::from(claim.bond),
            deadline: claim.deadline.to(),
            steps: claim.steps.into(),
        }))
    }

    /// What a claim came to; `None` while it is not final, and for ever if it was slashed.
    pub async fn outcome(&self, id: B256) -> Result<Option<B256>, ReadError> {
        self.outcome_at(id, self.chain.clock_block()).await
    }

    /// What a claim came to, as of a block.
    pub async fn outcome_at(&self, id: B256, block: BlockId) -> Result<Option<B256>, ReadError> {
        match self.chain.read_at(self.address, &AowChallenge::outcomeOfCall { id }, block).await {
            Ok(outcome) => Ok(Some(outcome)),
            Err(ReadError::Revert { revert, .. }) if revert.is("NotFinal") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The claims that were posted in these blocks, in their order.
    pub async fn posted(&self, blocks: RangeInclusive<u64>) -> Result<Vec<PostedClaim>, ReadError> {
        let read = |event: AowChallenge::Posted, block, tx| {
            let checkpoints = unpack(&event.checkpoints)?;
            let AowChallenge::Posted { id, round, node, height, steps, proofDigest: proof_digest, .. } = event;
            Some(PostedClaim { id, round, node, height, steps, proof_digest, checkpoints, block, tx })
        };
        self.chain.events(self.address, blocks, None, read).await
    }

    /// The claims that were slashed in these blocks, in their order.
    pub async fn slashed(&self, blocks: RangeInclusive<u64>) -> Result<Vec<Slashing>, ReadError> {
        let read = |event: AowChallenge::Slashed, _, _| {
            let AowChallenge::Slashed { id, challenger, segment, reward, forfeited } = event;
            Some(Slashing { id, challenger, segment: segment.saturating_to(), reward, forfeited })
        };
        self.chain.events(self.address, blocks, None, read).await
    }

    fn call<C: alloy::sol_types::SolCall>(&self, call: &C) -> Call {
        Call::new(AOW, self.address, call)
    }

    /// Claims the work of the account's validator in a round that a block has opened, with a bond.
    pub async fn post(&self, account: &Account, claim: &NewClaim, bond: U256) -> Result<GasRecord, SendError> {
        let NewClaim { round, height, steps, checkpoints, proof_digest } = claim;
        let call = AowChallenge::postCall {
            round: *round,
            height: *height,
            steps: *steps,
            checkpoints: pack(checkpoints),
            proofDigest: *proof_digest,
        };
        account.send(&Call { value: bond, ..self.call(&call).urgent() }).await
    }

    /// Shows that a segment of a claim is wrong. The contract takes a challenge only after a commitment of an earlier block,
    /// so that nobody can copy it: if nothing else speaks against the challenge, this commits to it first, and waits for
    /// the next block.
    pub async fn challenge(
        &self,
        account: &Account,
        id: B256,
        checkpoints: &[Element],
        segment: usize,
    ) -> Result<GasRecord, SendError> {
        // Nobody can know it, or the segment could be told from the commitment.
        let salt = keccak256(PrivateKeySigner::random().to_bytes());
        let segment = U256::from(segment as u64);
        let call = AowChallenge::challengeCall { id, checkpoints: pack(checkpoints), segment, salt };
        let call = self.call(&call).urgent();
        let commitment = keccak256((account.address(), id, segment, salt).abi_encode());
        let mut tries = 0;
        loop {
            match account.send(&call).await {
                Err(error) if error.reverts_with(&["NotCommitted"]) && tries < COMMITMENT_TRIES => {}
                done => return done,
            }
            if tries == 0 {
                account.send(&self.call(&AowChallenge::commitCall { commitment }).urgent()).await?;
            } else {
                tokio::time::sleep(self.chain.network().poll_interval()).await;
            }
            tries += 1;
        }
    }

    /// Has the contract take the whole work back, which makes a right claim final.
    pub async fn verify_whole(&self, account: &Account, id: B256) -> Result<GasRecord, SendError> {
        account.send(&self.call(&AowChallenge::verifyWholeCall { id })).await
    }

    /// Returns the bond of a final claim to its validator.
    pub async fn release(&self, account: &Account, id: B256) -> Result<GasRecord, SendError> {
        account.send(&self.call(&AowChallenge::releaseCall { id })).await
    }
}

/// A claim that is to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClaim {
    /// The round.
    pub round: u64,
    /// The height of the block that opened it.
    pub height: u64,
    /// How many steps.
    pub steps: u64,
    /// What the work has passed, its result last.
    pub checkpoints: Vec<Element>,
    /// The hash of the proof that peers have.
    pub proof_digest: B256,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(value: u128) -> Element {
        Element::new(value).expect("below the modulus")
    }

    #[test]
    fn segments_are_as_long_as_the_contract_takes_and_the_steps_divide() {
        for (steps, length) in [
            (0, None),
            (1, Some(1)),
            (4095, Some(4095)),
            (4096, Some(4096)),
            (4097, Some(241)), // 17 · 241
            (8192, Some(4096)),
            (8194, Some(482)), // 2 · 17 · 241
            (1 << 20, Some(4096)),
            (3 << 20, Some(4096)),
            (10_000, Some(2_500)),
            (1_000_000, Some(4_000)),
            (4099, None), // a prime, which would take more checkpoints than there may be
            (MAX_ROUND_STEPS, Some(4096)),
            (MAX_ROUND_STEPS - 1, None), // 4,097 · 4,095
            (MAX_ROUND_STEPS + 1, None),
            (u64::MAX, None),
        ] {
            assert_eq!(segment_length(steps), length, "{steps}");
        }
    }

    #[test]
    fn going_back_from_the_result_finds_the_checkpoints_and_the_start() {
        let (delay, start) = (Delay::default(), element(123));
        for (steps, length) in [(1, 1), (40, 40), (8192, 4096), (4097, 241)] {
            let forwards = delay.checkpoints(start, steps, length, |_| ());
            let result = *forwards.last().expect("one at least");
            assert_eq!(checkpoints_of(result, steps), Some((start, forwards.clone())), "{steps}");
            assert_eq!(first_false_segment(start, &forwards, length), None);
            assert_eq!(unpack(&pack(&forwards)), Some(forwards));
        }
        assert_eq!(checkpoints_of(start, 0), None);
    }

    #[test]
    fn a_false_checkpoint_is_found_where_it_is_first_wrong() {
        let (delay, start) = (Delay::default(), element(7));
        let right = delay.checkpoints(start, 50, 10, |_| ());
        for wrong in 0..5 {
            let mut checkpoints = right.clone();
            checkpoints[wrong] += element(1);
            assert_eq!(first_false_segment(start, &checkpoints, 10), Some(wrong));
        }
        assert_eq!(first_false_segment(element(8), &right, 10), Some(0));
        assert_eq!(first_false_segment(start, &right, 9), Some(0));
        assert_eq!(first_false_segment(start, &[], 10), None);
    }

    #[test]
    fn what_is_no_element_is_not_unpacked() {
        assert_eq!(unpack(&[0; 17]), None);
        assert_eq!(unpack(&[0xff; 16]), None);
        assert_eq!(unpack(&[]), Some(Vec::new()));
    }

    #[test]
    fn limits_are_the_contracts() {
        let source = include_str!("../../../contracts/src/aow/AowChallenge.sol");
        for (name, value) in [("MAX_STEPS", MAX_ROUND_STEPS), ("MAX_WHOLE", MAX_WHOLE_STEPS)] {
            assert!(source.contains(&format!("{name} = 1 << {};", value.ilog2())), "{name}");
        }
        assert!(source.contains(&format!("MAX_SEGMENT = {MAX_SEGMENT_STEPS};")));
    }
}
