//! Reading payouts back from the chain: which result was paid in which transaction, and what it did to the payee's
//! balance.

use std::collections::HashMap;

use alloy::{
    consensus::Transaction as _,
    eips::{BlockId, BlockNumberOrTag},
    network::TransactionResponse,
    primitives::{Address, B256, I256, U256},
    providers::Provider,
    sol_types::SolEvent,
    transports::TransportError,
};
use serde::{Deserialize, Serialize};

use dtn_bindings::RewardDistributor;
use dtn_chain::connection::{Chain, retrying};

/// A reward that has been paid, as the chain tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    /// The result.
    pub id: B256,
    /// Who received it.
    pub payee: Address,
    /// How much, in wei.
    pub amount: U256,
    /// The height of the result's block in the DTN network.
    pub height: u64,
    /// The transaction that paid it.
    pub tx: B256,
    /// Its block on the settlement chain.
    pub block: u64,
    /// The payee's balance in the block before.
    pub balance_before: U256,
    /// The payee's balance in the block.
    pub balance_after: U256,
    /// What the payee itself spent in the block, in fees and transfers: it may be the one who executed the payout.
    pub spent: U256,
    /// All rewards that the payee received in the block.
    pub rewards_in_block: U256,
}

impl Payout {
    /// How the balance changed by everything but the payee's own spending.
    pub fn balance_delta(&self) -> I256 {
        let signed = |amount: U256| I256::try_from(amount).unwrap_or(I256::MAX);
        signed(self.balance_after) + signed(self.spent) - signed(self.balance_before)
    }

    /// Whether the balance grew by the rewards.
    pub fn has_arrived(&self) -> bool {
        self.balance_after + self.spent >= self.balance_before + self.rewards_in_block
    }
}

/// Why payouts could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum PayoutsError {
    /// The node.
    #[error("reading payouts: {0}")]
    Rpc(#[from] TransportError),
    /// The node does not have what it should.
    #[error("the node has no {0}")]
    Missing(String),
}

/// All payouts of a distributor from a block on, in the order in which they were made.
pub async fn payouts(chain: &Chain, distributor: Address, from_block: u64) -> Result<Vec<Payout>, PayoutsError> {
    let provider = chain.provider();
    let logs = chain.logs_since::<RewardDistributor::Paid>(distributor, from_block, None).await?;

    let mut payouts = Vec::new();
    for log in logs {
        let (Ok(paid), Some(tx), Some(block)) =
            (RewardDistributor::Paid::decode_log(&log.inner), log.transaction_hash, log.block_number)
        else {
            return Err(PayoutsError::Missing("place for a payout's event".into()));
        };
        let payee = paid.payee;
        let balance = |block: u64| {
            retrying(move || async move { provider.get_balance(payee).block_id(BlockId::number(block)).await })
        };
        let (balance_before, balance_after, spent) =
            futures::try_join!(balance(block.saturating_sub(1)), balance(block), spent_by(chain, payee, block))?;
        payouts.push(Payout {
            id: paid.id,
            payee,
            amount: paid.amount,
            height: paid.height,
            tx,
            block,
            balance_before,
            balance_after,
            spent,
            rewards_in_block: U256::ZERO,
        });
    }
    let mut rewards = HashMap::<_, U256>::new();
    for payout in &payouts {
        *rewards.entry((payout.payee, payout.block)).or_default() += payout.amount;
    }
    for payout in &mut payouts {
        payout.rewards_in_block = rewards[&(payout.payee, payout.block)];
    }
    Ok(payouts)
}

/// What an account spent in a block by transactions of its own.
async fn spent_by(chain: &Chain, account: Address, number: u64) -> Result<U256, TransportError> {
    let provider = chain.provider();
    let block = retrying(|| provider.get_block_by_number(BlockNumberOrTag::Number(number)).full()).await?;
    let mut spent = U256::ZERO;
    for transaction in block.iter().flat_map(|block| block.transactions.txns()) {
        if transaction.from() != account {
            continue;
        }
        if let Some(receipt) = retrying(|| provider.get_transaction_receipt(transaction.tx_hash())).await? {
            spent += U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
            if receipt.status() {
                spent += transaction.value();
            }
        }
    }
    Ok(spent)
}
