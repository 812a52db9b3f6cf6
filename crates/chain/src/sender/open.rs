//! What an account has under way, by whatever process: taken up before anything else is decided.
//!
//! A transaction whose receipt did not come in time may still be mined. Whoever decides by the latest state meanwhile pays
//! twice, and whatever is sent after it waits behind it. So the gas ledger keeps what was signed, and the next command goes
//! on where the last one stopped.

use std::{sync::PoisonError, time::Duration};

use alloy::{
    consensus::{Transaction as _, TxEip1559, TxEnvelope},
    eips::Decodable2718,
    primitives::{B256, U256},
    providers::Provider,
    transports::TransportError,
};
use tokio::time::Instant;

use super::{Account, Call, SendError, Submitted, fees::Fees};
use crate::{
    connection::retrying,
    gas_ledger::{GasRecord, ReconcileError, TransactionStatus},
};

/// For how long nodes behind one address may disagree before they are believed.
const DOUBT: Duration = Duration::from_secs(10);

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
    pub async fn open(&self) -> Result<Vec<GasRecord>, SendError> {
        self.ledger().reconcile(self.chain()).await?;
        self.recorded_open().await
    }

    /// Brings to an end what this account has under way: sends it to the node again, waits for it, offers more for it. What
    /// is found done by then, [`Account::submit`] does not do again unasked. Then waits for what others have sent from it.
    ///
    /// # Errors
    ///
    /// [`SendError::UnderWay`] if no block takes it in time, [`SendError::InDoubt`] if its nonce is used and nobody shows by what,
    /// [`SendError::Gap`] if it waits for a nonce that nothing here has, [`SendError::OthersUnderWay`].
    pub async fn take_up(&self) -> Result<(), SendError> {
        let before = self.recorded_open().await?;
        self.bring_to_an_end().await?;
        let records = self.ledger().records().await?.records;
        let is_done = |open: &GasRecord| {
            records.iter().any(|record| record.tx == open.tx && record.status == TransactionStatus::Success)
        };
        let done = before.into_iter().filter(is_done);
        self.0.done_before.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
        self.wait_for_others().await
    }

    /// What an earlier process had sent and was found done, if it is the same as a call. It is told once.
    pub(super) fn done_before(&self, call: &Call) -> Option<GasRecord> {
        let mut done = self.0.done_before.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |record: &GasRecord| {
            let data = record.transaction().map(|transaction| transaction.input);
            (record.to, record.value) == (call.to, call.value) && data.as_ref() == Some(&call.data)
        };
        let index = done.iter().position(is_same)?;
        Some(done.remove(index))
    }

    /// What is open by the ledger alone, with what was signed.
    async fn recorded_open(&self) -> Result<Vec<GasRecord>, SendError> {
        let is_open = |record: &GasRecord| {
            record.status == TransactionStatus::Pending
                && (record.from, record.chain_id) == (self.address(), self.chain().chain_id())
        };
        let mut open: Vec<_> = self.ledger().records().await?.records.into_iter().filter(is_open).collect();
        open.sort_by_key(|record| record.nonce);
        Ok(open)
    }

    /// How many transactions of this account are in blocks, and how many with those that wait for one.
    async fn counts(&self) -> Result<(u64, u64), SendError> {
        let provider = self.chain().provider();
        let mined = retrying(|| async { provider.get_transaction_count(self.address()).await }).await?;
        let pending = retrying(|| async { provider.get_transaction_count(self.address()).pending().await }).await?;
        Ok((mined, pending))
    }

    /// Whoever decides by the latest state while something else of the account is under way, from another folder or program,
    /// pays twice.
    async fn wait_for_others(&self) -> Result<(), SendError> {
        let (network, started) = (self.chain().network(), Instant::now());
        loop {
            let (mined, pending) = self.counts().await?;
            if pending <= mined {
                return Ok(());
            }
            if started.elapsed() >= network.receipt_timeout() {
                return Err(SendError::OthersUnderWay {
                    account: self.address(),
                    nonce: mined,
                    count: pending - mined,
                });
            }
            tokio::time::sleep(network.poll_interval()).await;
        }
    }

    /// Whether a transaction of this nonce can be brought to an end by sending it again.
    ///
    /// # Errors
    ///
    /// If not, after a while in which other nodes behind the same address may say otherwise.
    async fn ensure_next(&self, first: &GasRecord) -> Result<bool, SendError> {
        let patience = self.chain().network().receipt_timeout().min(DOUBT);
        let started = Instant::now();
        loop {
            let (mined, pending) = self.counts().await?;
            if (mined..=pending).contains(&first.nonce) {
                return Ok(true);
            }
            if !self.open().await?.iter().any(|open| open.tx == first.tx) {
                return Ok(false);
            }
            if started.elapsed() >= patience {
                let record = Box::new(first.clone());
                return Err(if first.nonce < mined {
                    SendError::InDoubt(record)
                } else {
                    SendError::Gap { record, next: pending }
                });
            }
            tokio::time::sleep(self.chain().network().poll_interval()).await;
        }
    }

    async fn bring_to_an_end(&self) -> Result<(), SendError> {
        loop {
            let open = self.open().await?;
            let Some(first) = open.first() else { return Ok(()) };
            if !self.ensure_next(first).await? {
                continue;
            }
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
