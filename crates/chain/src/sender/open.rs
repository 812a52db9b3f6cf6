//! What an account has under way, by whatever process: taken up before anything else is decided.
//!
//! A transaction whose receipt did not come in time may still be mined. Whoever decides by the latest state meanwhile pays
//! twice, and whatever is sent after it waits behind it. So the gas ledger keeps what was signed, and the next command goes
//! on where the last one stopped.

use alloy::{
    consensus::{Transaction as _, TxEip1559, TxEnvelope},
    eips::Decodable2718,
    primitives::{B256, U256},
    providers::Provider,
    transports::TransportError,
};
use tokio::time::Instant;

use super::{Account, Call, SendError, Submitted, fees::Fees};
use crate::gas_ledger::{GasRecord, ReconcileError, TransactionStatus};

impl From<ReconcileError> for SendError {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Ledger(error) => Self::Ledger(error),
            ReconcileError::Rpc(error) => Self::Rpc(error),
        }
    }
}

impl GasRecord {
    /// What was signed, as far as it is kept.
    fn transaction(&self) -> Option<TxEip1559> {
        match TxEnvelope::decode_2718(&mut self.raw.as_ref()).ok()? {
            TxEnvelope::Eip1559(signed) => Some(signed.strip_signature()),
            _ => None,
        }
    }
}

impl Account {
    /// What this account has under way on its chain, in ascending order of nonce, after the chain was asked for receipts.
    /// Of a nonce, the last that was signed comes last.
    pub async fn open(&self) -> Result<Vec<GasRecord>, ReconcileError> {
        let ledger = self.ledger();
        ledger.reconcile(self.chain()).await?;
        let is_open = |record: &GasRecord| {
            record.status == TransactionStatus::Pending
                && (record.from, record.chain_id) == (self.address(), self.chain().chain_id())
        };
        let mut open: Vec<_> = ledger.records().await?.records.into_iter().filter(is_open).collect();
        open.sort_by_key(|record| record.nonce);
        Ok(open)
    }

    /// Brings to an end what this account has under way: sends it to the node again, waits for it, offers more for it.
    ///
    /// # Errors
    ///
    /// [`SendError::UnderWay`] if no block takes it in time.
    pub async fn take_up(&self) -> Result<(), SendError> {
        loop {
            let open = self.open().await?;
            let Some(first) = open.first() else { return Ok(()) };
            let same: Vec<_> = open.iter().filter(|record| record.nonce == first.nonce).cloned().collect();
            let last = same.last().unwrap_or(first).clone();
            let ended = match self.resume(same) {
                Some(submitted) => {
                    // A node that has it refuses the copy, which is as good.
                    self.chain().provider().send_raw_transaction(&submitted.raw).await.map(drop).ok();
                    submitted.wait().await.map(drop)
                }
                None => self.wait_for(&last).await,
            };
            match ended {
                // That it reverted is written down, and no reason to do nothing else.
                Ok(()) | Err(SendError::Reverted { .. }) => {}
                Err(SendError::NoReceipt { .. }) => return Err(SendError::UnderWay(Box::new(last))),
                Err(error) => return Err(error),
            }
        }
    }

    /// Offers more for a transaction that is under way, and waits for it.
    pub async fn raise(&self, tx: B256) -> Result<GasRecord, SendError> {
        let open = self.of_the_nonce_of(tx).await?;
        let last = open.last().cloned();
        let mut submitted = self.resume(open).ok_or_else(|| SendError::NotKept(tx))?;
        submitted.raise().await?;
        if last.is_some_and(|last| last.tx == submitted.record.tx) {
            return Err(self.too_dear(submitted.fees().max));
        }
        submitted.wait().await
    }

    /// Takes the place of a transaction that is under way by one that does nothing, and waits for either.
    pub async fn cancel(&self, tx: B256) -> Result<GasRecord, SendError> {
        let mut replaced = self.of_the_nonce_of(tx).await?;
        let market = self.fees().await?;
        let offered = replaced.iter().filter_map(|record| Some(Fees::of(&record.transaction()?)));
        let fees = offered.fold(market, |most, sent| most.max(sent)).raised(market);
        if fees.within(self.0.offer) != fees {
            return Err(self.too_dear(fees.max));
        }
        let call = Call::transfer("cancel", self.address(), U256::ZERO);
        let nonce = replaced.first().map(|record| record.nonce).unwrap_or_default();
        let gas_limit = self.simulate(&call).await?;
        let transaction = self.transaction(&call, nonce, gas_limit, fees);
        let (record, raw) = self.sign(&call, transaction.clone()).await?;
        self.ledger().append(&record, true).await?;
        if let Some(refusal) = self.broadcast(&record, &raw).await? {
            return Err(TransportError::ErrorResp(refusal).into());
        }
        self.told(&record);
        replaced.retain(|other| other.tx != record.tx);
        Submitted { account: self.clone(), call, transaction, record, replaced, raw }.wait().await
    }

    async fn of_the_nonce_of(&self, tx: B256) -> Result<Vec<GasRecord>, SendError> {
        let open = self.open().await?;
        let nonce = open.iter().find(|record| record.tx == tx).map(|record| record.nonce);
        let nonce = nonce.ok_or(SendError::NotUnderWay { tx, account: self.address() })?;
        Ok(open.into_iter().filter(|record| record.nonce == nonce).collect())
    }

    /// The last of several transactions with one nonce, as if this process had sent it.
    fn resume(&self, mut records: Vec<GasRecord>) -> Option<Submitted> {
        let record = records.pop()?;
        let transaction = record.transaction()?;
        let call = Call {
            contract: record.contract.clone(),
            function: record.function.clone(),
            to: record.to,
            value: transaction.value(),
            data: transaction.input.clone(),
            urgent: false,
        };
        let raw = record.raw.to_vec();
        Some(Submitted { account: self.clone(), call, transaction, record, replaced: records, raw })
    }

    /// Waits for a transaction of which only the hash is known.
    async fn wait_for(&self, record: &GasRecord) -> Result<(), SendError> {
        let network = self.chain().network();
        let started = Instant::now();
        while started.elapsed() < network.receipt_timeout() {
            if !self.open().await?.iter().any(|open| open.tx == record.tx) {
                return Ok(());
            }
            tokio::time::sleep(network.poll_interval()).await;
        }
        Err(SendError::NoReceipt { tx: record.tx, seconds: network.receipt_timeout().as_secs() })
    }
}
