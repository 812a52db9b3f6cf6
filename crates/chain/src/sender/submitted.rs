//! A transaction on its way: asked for, sent again, replaced by one that pays more, until blocks hold it.

use std::time::Duration;

use alloy::{consensus::TxEip1559, primitives::B256, providers::Provider};
use tokio::time::Instant;

use super::{Account, Call, Inner, SendError, fees::Fees};
use crate::gas_ledger::{GasRecord, TransactionStatus};

/// A transaction that is not in a block yet is sent to the node again after this long.
const REBROADCAST: Duration = Duration::from_secs(5);

/// How often a transaction that no block takes is replaced by one that pays more, within the time for its receipt.
const RAISES: u32 = 3;

/// A transaction that has been broadcast.
#[derive(Debug)]
pub struct Submitted {
    pub(super) account: Account,
    pub(super) call: Call,
    pub(super) transaction: TxEip1559,
    pub(super) record: GasRecord,
    /// The same call with the same nonce for lower fees. At most one of them all is ever in a block.
    pub(super) replaced: Vec<GasRecord>,
    pub(super) raw: Vec<u8>,
}

impl Submitted {
    /// The transaction's hash. One that pays more may come in its place while it is waited for.
    pub fn tx(&self) -> B256 {
        self.record.tx
    }

    /// Waits until enough blocks hold the transaction, and records its receipt. When no block takes it, it is replaced
    /// by one that pays more, a few times. Whatever the node answers in the meantime, it is asked until the time is up.
    pub async fn wait(mut self) -> Result<GasRecord, SendError> {
        let account = self.account.clone();
        let Inner { chain, nonces, .. } = &*account.0;
        let (provider, network) = (chain.provider(), chain.network());
        let started = Instant::now();
        let mut last_broadcast = started;
        let mut raises = 0;
        let mut pause = Duration::from_millis(10).min(network.poll_interval());
        loop {
            match self.look().await {
                Ok(Some(true)) => break,
                Ok(Some(false)) => {}
                Ok(None) if raises < RAISES && started.elapsed() >= network.receipt_timeout() * (raises + 1) / 4 => {
                    raises += 1;
                    last_broadcast = Instant::now();
                    self.raise().await?;
                }
                Ok(None) if last_broadcast.elapsed() >= REBROADCAST => {
                    last_broadcast = Instant::now();
                    // A node may have forgotten it. One that has not refuses the copy, which is as good.
                    let _ = provider.send_raw_transaction(&self.raw).await;
                }
                Ok(None) => {}
                Err(SendError::Rpc(error)) => tracing::debug!(%error, "asking for a receipt"),
                Err(error) => return Err(error),
            }
            if started.elapsed() >= network.receipt_timeout() {
                let mut nonces = nonces.lock().await;
                nonces.next = None;
                nonces.stuck.insert(self.record.nonce, self.fees());
                let seconds = network.receipt_timeout().as_secs();
                return Err(SendError::NoReceipt { tx: self.record.tx, seconds });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(network.poll_interval());
        }
        if self.record.status == TransactionStatus::Success {
            return Ok(self.record);
        }
        let request = self.account.request(&self.call);
        Err(SendError::Reverted {
            revert: Box::new(self.account.rerun(&request, self.record.block).await),
            contract: self.call.contract,
            function: self.call.function,
            tx: self.record.tx,
        })
    }

    pub(super) fn fees(&self) -> Fees {
        Fees::of(&self.transaction)
    }

    /// Asks whether a block has it, and whether enough blocks follow. Then it is recorded.
    async fn look(&mut self) -> Result<Option<bool>, SendError> {
        let Inner { chain, ledger, .. } = &*self.account.0;
        let (provider, confirmations) = (chain.provider(), chain.network().confirmations);
        for index in 0..=self.replaced.len() {
            let tx = self.replaced.get(index).unwrap_or(&self.record).tx;
            let receipt = provider.get_transaction_receipt(tx).await?;
            let Some(receipt) = receipt.filter(|receipt| receipt.transaction_hash == tx) else { continue };
            let depth = match (confirmations, receipt.block_number) {
                (0 | 1, _) | (_, None) => 1,
                (_, Some(block)) => provider.get_block_number().await?.saturating_sub(block) + 1,
            };
            if depth < confirmations.max(1) {
                return Ok(Some(false));
            }
            if let Some(earlier) = self.replaced.get_mut(index) {
                std::mem::swap(&mut self.record, earlier);
            }
            self.record.apply(&receipt);
            ledger.append(&self.record, false).await?;
            for other in &mut self.replaced {
                other.status = TransactionStatus::Dropped;
                ledger.append(other, false).await?;
            }
            return Ok(Some(true));
        }
        Ok(None)
    }

    /// Sends it again with the same nonce and higher fees.
    pub(super) async fn raise(&mut self) -> Result<(), SendError> {
        // Without knowing what the market asks for, nothing is offered.
        let Ok(market) = self.account.fees().await else { return Ok(()) };
        if self.fees().is_enough(market) {
            return Ok(());
        }
        let fees = self.fees().raised(market);
        // A node takes a replacement only for an eighth more. Where that is too dear, it waits as it is.
        let ceiling = u128::from(self.account.0.chain.network().max_fee_per_gas);
        let is_too_dear = !self.call.urgent && ceiling != 0 && fees.max > ceiling;
        if is_too_dear || fees.within(self.account.0.offer) != fees {
            return Ok(());
        }
        self.transaction.max_fee_per_gas = fees.max;
        self.transaction.max_priority_fee_per_gas = fees.tip;
        let (record, raw) = self.account.sign(&self.call, self.transaction.clone()).await?;
        self.account.0.ledger.append(&record, true).await?;
        self.account.told(&record);
        tracing::info!(tx = %self.record.tx, by = %record.tx, "no block takes a transaction; replacing it");
        if let Err(error) = self.account.0.chain.provider().send_raw_transaction(&raw).await {
            tracing::debug!(%error, "replacing a transaction");
        }
        self.replaced.push(std::mem::replace(&mut self.record, record));
        self.raw = raw;
        Ok(())
    }
}
