//! What a peer shows for a result: that it is final, and how it was earned.

use dtn_pow::{PowError, Puzzle, Target};
use dtn_primitives::{
    Address, B256, CertificateError, Claim, Domain, Epochs, FinalizedResult, Kind, MAX_TRANSACTION_BYTES, Order,
    Payload, Solution, Transaction, U256, Work, WorkResult, codec,
};

/// Why a solution does not show that a result was earned. The distributor refuses the same, by errors of these names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SolutionError {
    /// The result is for another order than the given one.
    #[error("the order has the hash {given}, and the result is for {id}")]
    WrongOrder {
        /// The result's.
        id: B256,
        /// That of what is given.
        given: B256,
    },
    /// The result rests on another claim than the given one.
    #[error("the claim has the hash {given}, and the result rests on {digest}")]
    WrongClaim {
        /// The result's.
        digest: B256,
        /// That of what is given.
        given: B256,
    },
    /// The bytes are no order that asks for work.
    #[error("the order is none that asks for work")]
    MalformedOrder,
    /// The bytes are no claim.
    #[error("the claim is none")]
    MalformedClaim,
    /// The claim is for another order than the result.
    #[error("the claim is for order {claimed}, and the result for {id}")]
    ForeignClaim {
        /// The result's.
        id: B256,
        /// The claim's.
        claimed: B256,
    },
    /// The claim names another payee than the result.
    #[error("the claim names the payee {claimed}, and the result {payee}")]
    WrongPayee {
        /// The result's.
        payee: Address,
        /// The claim's.
        claimed: Address,
    },
    /// The order offers another reward than the result.
    #[error("the order offers {offered} wei, and the result states {amount}")]
    WrongAmount {
        /// The result's.
        amount: U256,
        /// The order's.
        offered: U256,
    },
    /// The nonce has another hash than the claim states, or one that does not win.
    #[error("the work: {0}")]
    Work(#[from] PowError),
}

/// Why a result that a peer shows is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// The certificate is for another block, or the block of another network.
    #[error("the certificate is for another block than the header, or of another network")]
    Mismatch,
    /// No quorum finalized the block.
    #[error("the certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The block does not have the result.
    #[error("the block does not have the result {0}")]
    NotIncluded(B256),
    /// No program of this version makes such results.
    #[error("{id} is a result of kind {kind}, which this program does not know: ask a peer of its version")]
    UnknownKind {
        /// The result.
        id: B256,
        /// Its kind.
        kind: Kind,
    },
    /// The result of a race has no solution, or any other has one.
    #[error("{0} is the result of a race without a solution, or that of other work with one")]
    SolutionOf(B256),
    /// The solution does not show the work.
    #[error("the solution of {id}: {error}")]
    Solution {
        /// The result.
        id: B256,
        /// Why.
        error: SolutionError,
    },
}

/// Checks that a solution is that of a race's result and shows the work that was asked for.
///
/// As on chain, who signed the payloads, with which block the race began and that no other claim was better is left to
/// the certificate. The contract does not look at an order's fields before the reward, which its hash covers; here, all
/// of it must be an order.
pub fn check_solution(result: &WorkResult, solution: &Solution, domain: &Domain) -> Result<(), SolutionError> {
    let WorkResult { id, worker, payee, amount, digest, .. } = *result;
    let given = Transaction::hash_of(solution.requester, solution.order.clone(), domain);
    if given != id {
        return Err(SolutionError::WrongOrder { id, given });
    }
    let Some(Payload::Order(Order { reward: offered, work: Some(Work { expected_hashes }), .. })) =
        payload(&solution.order)
    else {
        return Err(SolutionError::MalformedOrder);
    };
    let target = Target::new(expected_hashes).map_err(|_| SolutionError::MalformedOrder)?;
    if offered != amount {
        return Err(SolutionError::WrongAmount { amount, offered });
    }
    let given = Transaction::hash_of(worker, solution.claim.clone(), domain);
    if given != digest {
        return Err(SolutionError::WrongClaim { digest, given });
    }
    let Some(Payload::Claim(Claim { order: claimed, race, payee: named, nonce, hash, .. })) = payload(&solution.claim)
    else {
        return Err(SolutionError::MalformedClaim);
    };
    if claimed != id {
        return Err(SolutionError::ForeignClaim { id, claimed });
    }
    if named != payee {
        return Err(SolutionError::WrongPayee { payee, claimed: named });
    }
    Puzzle::new(domain.network_id, race, id, worker, target.expected_hashes())?.check(nonce, hash)?;
    Ok(())
}

/// Checks all that a peer shows for a result: the block's certificate, that the block has the result, and its solution.
pub fn verify_result(finalized: &FinalizedResult, domain: &Domain, epochs: &impl Epochs) -> Result<(), ResultError> {
    let FinalizedResult { header, certificate, result, proof, solution } = finalized;
    let belongs = (header.network_id, header.chain_id, header.epoch)
        == (domain.network_id, domain.chain_id, certificate.epoch)
        && (certificate.height, certificate.block_hash) == (header.height, header.hash());
    if !belongs {
        return Err(ResultError::Mismatch);
    }
    certificate.verify(domain, epochs)?;
    if !result.is_under(header.results_root, proof) {
        return Err(ResultError::NotIncluded(result.id));
    }
    if !result.kind.is_known() {
        return Err(ResultError::UnknownKind { id: result.id, kind: result.kind });
    }
    match (result.kind == Kind::RACE, solution) {
        (false, None) => Ok(()),
        (true, Some(solution)) => {
            check_solution(result, solution, domain).map_err(|error| ResultError::Solution { id: result.id, error })
        }
        _ => Err(ResultError::SolutionOf(result.id)),
    }
}

/// What bytes encode, if they are its one encoding.
fn payload(bytes: &[u8]) -> Option<Payload> {
    let payload = codec::decode(bytes, MAX_TRANSACTION_BYTES).ok()?;
    (codec::encode(&payload) == bytes).then_some(payload)
}
