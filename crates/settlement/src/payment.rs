//! Payments: which results one transaction pays, and how far on their way the contracts say they are.

use std::time::{Duration, SystemTime};

use alloy::{
    eips::BlockId,
    primitives::{Address, B256},
};
use dtn_bindings::{ContractAddresses, ResultRegistry, RewardDistributor};
use dtn_chain::{
    connection::{Chain, ReadError},
    networks::Finality,
};
use dtn_primitives::{FinalizedResult, Kind, WorkResult};
use serde::Serialize;

use crate::{
    aow::{Aow, ClaimStatus},
    multisig::{Multisig, MultisigError, ProposalStatus, WalletTransaction},
};

/// How many results one transaction pays at most: some 60,000 gas each, and a transaction has 2^24.
const BATCH: usize = 50;

/// How far the payment of results is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The claim of its round may still be challenged, or posted in the first place.
    Unproven,
    /// The registry does not hold the block.
    Unposted,
    /// No owner has proposed it.
    Unproposed,
    /// More owners have to confirm than the one who will execute it.
    Confirming {
        /// How many have.
        confirmations: usize,
    },
    /// Enough confirm, or whoever executes is the last one: executing confirms.
    Executable {
        /// How many have.
        confirmations: usize,
    },
    /// Some of the results were paid by another transaction, so this one would fail.
    Divided,
    /// Nothing is left to do. What is not forfeited is paid.
    Settled {
        /// How many results will never be paid: their workers are barred, or their rounds do not hold.
        forfeited: usize,
    },
}

/// What the chain says about one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It can be paid.
    Open,
    /// It completes a round whose claim is not decided.
    Unproven,
    Paid,
    /// Its worker is barred; or its round was slashed, or came to something else, or was not claimed in time.
    Forfeited,
}

/// Results of one block that one transaction of the multisig pays.
#[derive(Debug, Clone)]
pub struct Payment {
    /// At least one.
    pub(crate) results: Vec<FinalizedResult>,
    /// What pays them.
    pub transaction: WalletTransaction,
    /// The id of its proposal.
    pub id: B256,
}

impl Payment {
    /// Its results.
    pub fn results(&self) -> &[FinalizedResult] {
        &self.results
    }

    /// Its block, with one of its results.
    pub(crate) fn block(&self) -> &FinalizedResult {
        // There is at least one: `Payments::of` makes no payment of none.
        &self.results[0]
    }
}

/// The contracts through which results of a network are paid, for reading.
#[derive(Debug, Clone)]
pub struct Payments {
    chain: Chain,
    contracts: ContractAddresses,
    multisig: Multisig,
    aow: Aow,
    claim_patience: Duration,
}

impl Payments {
    /// Those at these addresses. `claim_patience` is how long after its block a completion of a round is waited for that
    /// nobody claims on chain; then it is given up.
    pub fn new(chain: Chain, contracts: ContractAddresses, claim_patience: Duration) -> Self {
        let multisig = Multisig::new(chain.clone(), contracts.multisig);
        let aow = Aow::new(chain.clone(), contracts.aow);
        Self { chain, contracts, multisig, aow, claim_patience }
    }

    /// The first height whose results are paid there.
    pub(crate) async fn first_height(&self) -> Result<u64, ReadError> {
        self.chain.read(self.contracts.distributor, &RewardDistributor::firstHeightCall {}).await
    }

    /// The wallet that pays.
    pub fn multisig(&self) -> &Multisig {
        &self.multisig
    }

    /// The payment of results of one block. `None` if there is no result.
    pub(crate) fn of(&self, results: Vec<FinalizedResult>) -> Option<Payment> {
        let transaction = WalletTransaction::payout(self.contracts.distributor, &results)?;
        let id = self.multisig.id(&transaction);
        Some(Payment { results, transaction, id })
    }

    /// The payment of one result by a transaction of its own. `None` if it is paid nothing.
    pub fn alone(&self, result: &FinalizedResult) -> Option<Payment> {
        batches(std::slice::from_ref(result)).pop().and_then(|alone| self.of(alone))
    }

    /// How a block's results are paid: the orders together, as they are final at once, and each completed round alone,
    /// as its claim may be challenged for its own time. A result without a payee, which is never paid, would hold up the
    /// others. Every owner divides a block alike.
    pub fn of_block(&self, block: &[FinalizedResult]) -> Vec<Payment> {
        batches(block).into_iter().filter_map(|results| self.of(results)).collect()
    }

    /// How far a payment is, and who confirms it if that matters. `threshold` is the multisig's.
    pub async fn look(&self, payment: &Payment, threshold: usize) -> Result<(Stage, Vec<Address>), MultisigError> {
        let (latest, clock) = (BlockId::latest(), self.chain.clock_block());
        let ((status, confirmed), fates) = futures::try_join!(self.multisig.status(payment.id), async {
            Ok(self.fates(payment, latest, clock).await?)
        })?;
        let count = |fate| fates.iter().filter(|is| **is == fate).count();
        let (paid, forfeited) = (count(Fate::Paid), count(Fate::Forfeited));
        let stage = match fates.len() - paid - forfeited {
            0 => Stage::Settled { forfeited },
            _ if paid > 0 => Stage::Divided,
            _ if count(Fate::Unproven) > 0 => Stage::Unproven,
            _ if status == ProposalStatus::Pending => match confirmed.len() {
                confirmations if confirmations + 1 >= threshold => Stage::Executable { confirmations },
                confirmations => Stage::Confirming { confirmations },
            },
            _ => {
                let header = &payment.block().header;
                let finalized = ResultRegistry::isFinalizedCall { height: header.height, blockHash: header.hash() };
                let posted = self.chain.read(self.contracts.registry, &finalized).await?;
                if posted { Stage::Unproposed } else { Stage::Unposted }
            }
        };
        Ok((stage, confirmed))
    }

    /// Whether it is settled and stays so, as far as the network's configuration goes.
    pub async fn is_irrevocable(&self, payment: &Payment) -> Result<bool, ReadError> {
        if self.chain.network().finality == Finality::Latest {
            return Ok(true);
        }
        let block = self.chain.final_block();
        let fates = self.fates(payment, block, block).await?;
        Ok(fates.iter().all(|fate| matches!(fate, Fate::Paid | Fate::Forfeited)))
    }

    /// What is settled as of one block, and else where the rounds stand as of another, in the order of the results.
    async fn fates(&self, payment: &Payment, settled: BlockId, clock: BlockId) -> Result<Vec<Fate>, ReadError> {
        futures::future::try_join_all(payment.results.iter().map(|result| self.fate(result, settled, clock))).await
    }

    async fn fate(&self, result: &FinalizedResult, settled: BlockId, clock: BlockId) -> Result<Fate, ReadError> {
        let WorkResult { kind, id, worker, digest, .. } = result.result;
        let (paid, barred) = (RewardDistributor::isPaidCall { id }, ResultRegistry::isBarredCall { validator: worker });
        let (paid, barred) = futures::try_join!(
            self.chain.read_at(self.contracts.distributor, &paid, settled),
            self.chain.read_at(self.contracts.registry, &barred, settled),
        )?;
        if paid || barred {
            return Ok(if paid { Fate::Paid } else { Fate::Forfeited });
        }
        if kind != Kind::ROUND {
            return Ok(Fate::Open);
        }
        if let Some(outcome) = self.aow.outcome_at(id, clock).await? {
            return Ok(if outcome == digest { Fate::Open } else { Fate::Forfeited });
        }
        let is_lost = match self.aow.claim_at(id, clock).await? {
            Some(claim) => claim.status == ClaimStatus::Slashed,
            None => {
                let since = SystemTime::UNIX_EPOCH + Duration::from_millis(result.header.timestamp);
                since.elapsed().is_ok_and(|elapsed| elapsed > self.claim_patience)
            }
        };
        Ok(if is_lost { Fate::Forfeited } else { Fate::Unproven })
    }
}

fn batches(block: &[FinalizedResult]) -> Vec<Vec<FinalizedResult>> {
    // What the ledger states of earnings is claimed, and not paid.
    let is_paid = |result: &WorkResult| !result.amount.is_zero() && result.kind != Kind::EARNINGS;
    let rewarded = block.iter().filter(|result| is_paid(&result.result));
    let is_order = |result: &WorkResult| result.kind != Kind::ROUND && !result.payee.is_zero();
    let (orders, others): (Vec<_>, Vec<_>) = rewarded.cloned().partition(|result| is_order(&result.result));
    orders.chunks(BATCH).map(<[_]>::to_vec).chain(others.into_iter().map(|result| vec![result])).collect()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;
    use dtn_primitives::{Certificate, Header};

    use super::*;

    fn result(kind: Kind, id: B256, payee: u8, amount: u64) -> FinalizedResult {
        let header = Header {
            network_id: B256::ZERO,
            chain_id: 1,
            epoch: 0,
            height: 1,
            timestamp: 0,
            proposer: Address::ZERO,
            parent_hash: B256::ZERO,
            transactions_root: B256::ZERO,
            results_root: B256::ZERO,
        };
        let certificate = Certificate { epoch: 0, view: 0, height: 1, block_hash: B256::ZERO, signatures: Vec::new() };
        let (payee, amount) = (Address::repeat_byte(payee), U256::from(amount));
        let result = WorkResult { kind, id, worker: Address::ZERO, payee, amount, digest: B256::ZERO };
        FinalizedResult { header, certificate, result, proof: Vec::new(), solution: None }
    }

    #[test]
    fn orders_of_a_block_are_paid_together_and_what_may_have_to_wait_is_paid_alone() {
        let order = |byte| B256::repeat_byte(byte);
        let round = order(9);
        let block = [
            result(Kind::RACE, order(1), 1, 5),
            result(Kind::ROUND, round, 1, 5),
            result(Kind::RACE, order(2), 1, 0),
            result(Kind::RACE, order(3), 0, 5),
            result(Kind::RACE, order(4), 1, 5),
            result(Kind::EARNINGS, order(5), 0, 5),
        ];
        let ids: Vec<Vec<_>> =
            batches(&block).iter().map(|batch| batch.iter().map(|result| result.result.id).collect()).collect();
        assert_eq!(ids, [vec![order(1), order(4)], vec![round], vec![order(3)]]);
        assert!(batches(&[result(Kind::RACE, order(1), 1, 0)]).is_empty(), "nothing is owed");

        let many: Vec<_> = (1..=120).map(|byte| result(Kind::RACE, order(byte), 1, 5)).collect();
        assert_eq!(batches(&many).iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
    }
}
