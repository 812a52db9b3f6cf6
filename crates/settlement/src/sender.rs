//! The one place through which transactions go: simulate, price, write down, broadcast, wait, record.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559},
    eips::{Encodable2718, eip2930::AccessList},
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, TxKind, U256},
    providers::Provider,
    rpc::{json_rpc::ErrorPayload, types::TransactionRequest},
    signers::k256::elliptic_curve::rand_core::{OsRng, RngCore},
    sol_types::SolCall,
    transports::{RpcError, TransportError},
};
use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    abi::{Revert, describe_call},
    amount::format_amount,
    connection::{Chain, retrying},
    gas_ledger::{GasLedger, GasLedgerError, GasRecord, TransactionStatus, spent_in_a_day},
    signer::Signer,
};

/// The most gas that one transaction may have since Osaka (EIP-7825).
const TRANSACTION_GAS_CAP: u64 = 1 << 24;

/// A transaction that is not in a block yet is sent to the node again after this long.
const REBROADCAST: Duration = Duration::from_secs(5);

/// How often a transaction that no block takes is replaced by one that pays more, within the time for its receipt.
const RAISES: u32 = 3;

/// How many gas limits there are for transactions that are alike.
const GAS_MARKS: u32 = 1 << 10;

/// How often a transaction is signed anew because another one took its nonce.
const NONCE_ATTEMPTS: usize = 5;

/// A call to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The contract's name, for the gas ledger.
    pub contract: String,
    /// The function's name, for the gas ledger.
    pub function: String,
    /// The contract.
    pub to: Address,
    /// Wei to send along.
    pub value: U256,
    /// Calldata.
    pub data: Bytes,
    /// Whether it has a deadline, and so is neither held back by a fee ceiling nor by a budget.
    pub urgent: bool,
}

impl Call {
    /// A call of a contract's function.
    pub fn new<C: SolCall>(contract: &str, to: Address, call: &C) -> Self {
        let function = C::SIGNATURE.split('(').next().unwrap_or_default().to_string();
        let data = call.abi_encode().into();
        Self { contract: contract.into(), function, to, value: U256::ZERO, data, urgent: false }
    }

    /// A plain transfer of native currency. `what` names what for.
    pub fn transfer(what: &str, to: Address, value: U256) -> Self {
        Self { contract: String::new(), function: what.into(), to, value, data: Bytes::new(), urgent: false }
    }

    /// The same, which must not wait.
    pub fn urgent(self) -> Self {
        Self { urgent: true, ..self }
    }
}

/// Why a transaction was not sent, or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The simulation reverts, so nothing was sent.
    #[error("{contract}.{function} would revert: {revert}")]
    WouldRevert {
        /// The contract called.
        contract: String,
        /// Its function.
        function: String,
        /// Why.
        revert: Box<Revert>,
    },
    /// It reverted in its block, although the simulation had succeeded: something happened in between.
    #[error("{contract}.{function} reverted on chain in {tx}: {revert}")]
    Reverted {
        /// The contract called.
        contract: String,
        /// Its function.
        function: String,
        /// The transaction.
        tx: B256,
        /// Why, as far as running it again tells.
        revert: Box<Revert>,
    },
    /// The account cannot pay.
    #[error("{account} holds {have} and cannot pay for this on network `{network}`; send it native currency first")]
    InsufficientFunds {
        /// The account.
        account: Address,
        /// Its balance.
        have: String,
        /// The network.
        network: String,
    },
    /// Gas is too dear at the moment.
    #[error(
        "gas costs {} at the least on network `{network}`, more than the {} of max_fee_per_gas: wait, or raise that",
        gwei(*fee), gwei(*ceiling)
    )]
    AboveCeiling {
        /// What a unit of gas costs, in wei.
        fee: u128,
        /// What it may cost.
        ceiling: u128,
        /// The network.
        network: String,
    },
    /// Enough was spent for a day.
    #[error(
        "{} of the daily_budget of {} on network `{network}` are spent, and this takes up to {}: wait, or raise it",
        format_amount(U256::from(*spent)), format_amount(U256::from(*budget)), format_amount(U256::from(*cost))
    )]
    OverBudget {
        /// Spent on fees in 24 hours, or promised, in wei.
        spent: u128,
        /// What may be spent.
        budget: u64,
        /// What this can cost.
        cost: u128,
        /// The network.
        network: String,
    },
    /// It was not signed.
    #[error("the signer of {account}: {reason}")]
    Signer {
        /// Whose.
        account: Address,
        /// What it said.
        reason: String,
    },
    /// The node did not take it or could not be asked.
    #[error("the node: {0}")]
    Rpc(#[from] TransportError),
    /// No block had it in time. It may still come; the gas ledger remembers it.
    #[error("no receipt of {tx} after {seconds} s; it may still be mined, and `gas` will find it then")]
    NoReceipt {
        /// The transaction.
        tx: B256,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It could not be written down, so it was not sent.
    #[error(transparent)]
    Ledger(#[from] GasLedgerError),
    /// The account only tries what would happen.
    #[error("{0}")]
    DryRun(Box<Quote>),
}

/// What a transaction would do and cost that was simulated and not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// The contract called, by name; empty for a plain transfer.
    pub contract: String,
    /// The function called, or what a plain transfer is for.
    pub function: String,
    /// The call in words, as far as its ABI is known.
    pub call: Option<String>,
    /// Who would send it.
    pub from: Address,
    /// Where it would go.
    pub to: Address,
    /// Wei that it would carry.
    pub value: U256,
    /// The gas that the simulation took.
    pub gas: u64,
    /// Wei for a unit of gas at most, at today's prices.
    pub max_fee_per_gas: u128,
}

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { contract, function, call, from, to, value, gas, max_fee_per_gas } = self;
        let what = if contract.is_empty() { function.clone() } else { format!("{contract}.{function}") };
        let fee = format_amount(U256::from(*gas) * U256::from(*max_fee_per_gas));
        writeln!(f, "{what}: from {from} to {to}, with {}", format_amount(*value))?;
        if let Some(call) = call {
            writeln!(f, "{call}")?;
        }
        write!(f, "It would take {gas} gas and cost {fee} at most. Nothing was signed or sent.")
    }
}

impl SendError {
    /// Why it reverts, if it does.
    pub fn revert(&self) -> Option<&Revert> {
        match self {
            Self::WouldRevert { revert, .. } | Self::Reverted { revert, .. } => Some(revert),
            _ => None,
        }
    }

    /// Whether it reverts with one of these Solidity errors.
    pub fn reverts_with(&self, names: &[&str]) -> bool {
        self.revert().is_some_and(|revert| names.iter().any(|name| revert.is(name)))
    }
}

/// A key on a chain: what sends transactions. Clones share their nonces.
#[derive(Debug, Clone)]
pub struct Account(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    chain: Chain,
    signer: Signer,
    address: Address,
    ledger: GasLedger,
    dry_run: bool,
    nonces: Mutex<Nonces>,
}

#[derive(Debug, Default)]
struct Nonces {
    /// The nonce after the last one used. A node that lags behind may not know of it yet.
    next: Option<u64>,
    /// What was given up waiting for, each with its fees. Everything after it would wait behind it, so the next
    /// transaction takes its place.
    stuck: BTreeMap<u64, Fees>,
}

/// The fee cap and the tip, in wei a unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fees {
    max: u128,
    tip: u128,
}

impl Fees {
    /// With a tip of at least `floor`.
    fn with_tip_floor(self, floor: u128) -> Self {
        let missing = floor.saturating_sub(self.tip);
        Self { max: self.max + missing, tip: self.tip + missing }
    }

    /// With a fee cap of at most `ceiling`, if that is enough for the base fee and the tip. A ceiling of 0 is none.
    fn below(self, ceiling: u128) -> Result<Self, u128> {
        // Twice the base fee and the tip is what is usually offered.
        let least = self.max.saturating_sub(self.tip).div_ceil(2).saturating_add(self.tip);
        match ceiling {
            0 => Ok(self),
            _ if least > ceiling => Err(least),
            _ => Ok(Self { max: self.max.min(ceiling), ..self }),
        }
    }

    /// What a node takes in place of a transaction with these fees: an eighth more, or what the market asks for now.
    fn raised(self, market: Self) -> Self {
        let raise = |fee: u128| fee + fee.div_ceil(8).max(1);
        Self { max: raise(self.max).max(market.max), tip: raise(self.tip).max(market.tip) }
    }
}

impl Account {
    /// What a key or another signer sends to this chain, written into this gas ledger.
    pub fn new(chain: Chain, signer: impl Into<Signer>, ledger: GasLedger) -> Self {
        Self::with(chain, signer.into(), ledger, false)
    }

    /// The same, but it only simulates: what would be sent fails with [`SendError::DryRun`] instead.
    pub fn dry_run(chain: Chain, signer: impl Into<Signer>, ledger: GasLedger) -> Self {
        Self::with(chain, signer.into(), ledger, true)
    }

    fn with(chain: Chain, signer: Signer, ledger: GasLedger, dry_run: bool) -> Self {
        let address = signer.address();
        Self(Arc::new(Inner { chain, signer, address, ledger, dry_run, nonces: Mutex::default() }))
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        self.0.address
    }

    /// The chain that it sends to.
    pub fn chain(&self) -> &Chain {
        &self.0.chain
    }

    /// Where its transactions are recorded.
    pub fn ledger(&self) -> &GasLedger {
        &self.0.ledger
    }

    /// Runs a call without sending it, and gives the gas that it takes.
    pub async fn simulate(&self, call: &Call) -> Result<u64, SendError> {
        let provider = self.0.chain.provider();
        let request = self.request(call);
        match retrying(|| async { provider.estimate_gas(request.clone()).await }).await {
            Ok(gas) => Ok(gas),
            Err(error) => Err(self.explain(call, &request, error).await),
        }
    }

    fn quote(&self, call: &Call, gas: u64, fees: Fees) -> Quote {
        let Call { contract, function, to, value, data, urgent: _ } = call.clone();
        let (from, call) = (self.0.address, describe_call(&data));
        Quote { contract, function, call, from, to, value, gas, max_fee_per_gas: fees.max }
    }

    fn request(&self, call: &Call) -> TransactionRequest {
        TransactionRequest::default()
            .with_from(self.0.address)
            .with_to(call.to)
            .with_value(call.value)
            .with_input(call.data.clone())
    }

    async fn explain(&self, call: &Call, request: &TransactionRequest, error: TransportError) -> SendError {
        let RpcError::ErrorResp(payload) = &error else { return error.into() };
        if mentions(payload, &["insufficient funds", "insufficient balance"]) {
            return self.insufficient_funds().await;
        }
        let revert = match payload.as_revert_data() {
            Some(data) => Revert::decode(&data),
            None if mentions(payload, &["revert"]) => self.rerun(request, None).await,
            None => return error.into(),
        };
        SendError::WouldRevert {
            contract: call.contract.clone(),
            function: call.function.clone(),
            revert: Box::new(revert),
        }
    }

    async fn insufficient_funds(&self) -> SendError {
        let have = match retrying(|| async { self.0.chain.provider().get_balance(self.0.address).await }).await {
            Ok(balance) => format_amount(balance),
            Err(_) => "too little".into(),
        };
        SendError::InsufficientFunds { account: self.0.address, have, network: self.0.chain.network().name.clone() }
    }

    /// Why a call reverts, by running it, at a block if one is given.
    async fn rerun(&self, request: &TransactionRequest, block: Option<u64>) -> Revert {
        let block = block.map_or(alloy::eips::BlockId::latest(), alloy::eips::BlockId::number);
        match self.0.chain.provider().call(request.clone()).block(block).await {
            Err(RpcError::ErrorResp(payload)) => {
                payload.as_revert_data().map_or(Revert::Silent, |data| Revert::decode(&data))
            }
            _ => Revert::Silent,
        }
    }

    /// Simulates, prices, signs, writes down and broadcasts a call.
    pub async fn submit(&self, call: &Call) -> Result<Submitted, SendError> {
        let estimate = self.simulate(call).await?;
        // A few units more or less cost nothing and tell apart transactions that are alike otherwise: signed with a nonce
        // that is taken, one must not pass for the other, which is done.
        let mark = u64::from(OsRng.next_u32() % GAS_MARKS);
        let gas_limit = (estimate + estimate / 4 + mark).min(TRANSACTION_GAS_CAP.max(estimate));
        let market = self.fees().await?;
        if self.0.dry_run {
            return Err(SendError::DryRun(Box::new(self.quote(call, estimate, market))));
        }
        let market = if call.urgent { market } else { self.below_ceiling(market)? };

        let Inner { chain, address, nonces, .. } = &*self.0;
        let provider = chain.provider();
        let mut attempts = 0;
        let mut nonces = nonces.lock().await;
        loop {
            attempts += 1;
            let pending = retrying(|| async { provider.get_transaction_count(*address).pending().await }).await?;
            let (nonce, fees) = match self.stuck(&mut nonces).await? {
                Some((nonce, fees)) if nonce <= pending => (nonce, fees.raised(market)),
                // What is stuck waits for nonces before it, which a node had once called taken.
                Some(_) => (pending, market),
                None => (nonces.next.map_or(pending, |next| next.max(pending)), market),
            };
            let transaction = TxEip1559 {
                chain_id: chain.chain_id(),
                nonce,
                gas_limit,
                max_fee_per_gas: fees.max,
                max_priority_fee_per_gas: fees.tip,
                to: TxKind::Call(call.to),
                value: call.value,
                access_list: AccessList::default(),
                input: call.data.clone(),
            };
            if !call.urgent {
                // What replaces another one may have to offer more than the market asks for.
                let ceiling = u128::from(chain.network().max_fee_per_gas);
                if ceiling != 0 && fees.max > ceiling {
                    return Err(self.too_dear(fees.max));
                }
                self.check_budget(U256::from(gas_limit) * U256::from(fees.max)).await?;
            }
            let (record, raw) = self.sign(call, transaction.clone()).await?;
            self.0.ledger.append(&record, true).await?;
            let sent = retrying(|| async { provider.send_raw_transaction(&raw).await.map(drop) }).await;
            let refused = match sent {
                Ok(()) => None,
                Err(RpcError::ErrorResp(payload)) if mentions(&payload, &["already known", "already imported"]) => None,
                Err(error) => Some(error),
            };
            if let Some(error) = refused {
                nonces.next = None;
                let RpcError::ErrorResp(payload) = &error else { return Err(error.into()) };
                // When an answer was lost, the repeated request is refused because the first one was accepted. Where
                // that cannot be told, the record stays open.
                match self.is_known(record.tx).await {
                    Ok(true) => {}
                    Err(_) => return Err(error.into()),
                    Ok(false) => {
                        let dropped = GasRecord { status: TransactionStatus::Dropped, ..record };
                        self.0.ledger.append(&dropped, false).await?;
                        if mentions(payload, &["nonce too low", "replacement transaction underpriced"])
                            && attempts < NONCE_ATTEMPTS
                        {
                            if let Some(stuck) = nonces.stuck.get_mut(&nonce) {
                                *stuck = fees;
                            }
                            continue;
                        }
                        if mentions(payload, &["insufficient funds"]) {
                            return Err(self.insufficient_funds().await);
                        }
                        return Err(error.into());
                    }
                }
            }
            nonces.stuck.remove(&nonce);
            nonces.next = Some(nonces.next.map_or(nonce + 1, |next| next.max(nonce + 1)));
            let (account, call, replaced) = (self.clone(), call.clone(), Vec::new());
            return Ok(Submitted { account, call, transaction, record, replaced, raw });
        }
    }

    fn below_ceiling(&self, market: Fees) -> Result<Fees, SendError> {
        market.below(self.0.chain.network().max_fee_per_gas.into()).map_err(|fee| self.too_dear(fee))
    }

    fn too_dear(&self, fee: u128) -> SendError {
        let network = self.0.chain.network();
        SendError::AboveCeiling { fee, ceiling: network.max_fee_per_gas.into(), network: network.name.clone() }
    }

    /// Fails if a cost would go beyond the budget. What is under way counts in full until its receipt is there, and the
    /// caller holds the nonces until it has written down the next one, so no two transactions share what is left.
    async fn check_budget(&self, cost: U256) -> Result<(), SendError> {
        let network = self.0.chain.network();
        if network.daily_budget == 0 {
            return Ok(());
        }
        let records = self.0.ledger.records().await?.records;
        let spent = spent_in_a_day(&records, network.chain_id, now_ms());
        if spent.saturating_add(cost) <= U256::from(network.daily_budget) {
            return Ok(());
        }
        Err(SendError::OverBudget {
            spent: spent.saturating_to(),
            budget: network.daily_budget,
            cost: cost.saturating_to(),
            network: network.name.clone(),
        })
    }

    /// The first nonce that a transaction sits on which was given up, if there still is one.
    async fn stuck(&self, nonces: &mut Nonces) -> Result<Option<(u64, Fees)>, SendError> {
        if nonces.stuck.is_empty() {
            return Ok(None);
        }
        let provider = self.0.chain.provider();
        let mined = retrying(|| async { provider.get_transaction_count(self.0.address).await }).await?;
        nonces.stuck.retain(|nonce, _| *nonce >= mined);
        Ok(nonces.stuck.first_key_value().map(|(nonce, fees)| (*nonce, *fees)))
    }

    /// Whether the node has a transaction, in a block or waiting for one.
    async fn is_known(&self, tx: B256) -> Result<bool, TransportError> {
        let provider = self.0.chain.provider();
        Ok(retrying(|| provider.get_transaction_by_hash(tx)).await?.is_some()
            || retrying(|| provider.get_transaction_receipt(tx)).await?.is_some())
    }

    /// Sends a call and waits until it is done.
    pub async fn send(&self, call: &Call) -> Result<GasRecord, SendError> {
        self.submit(call).await?.wait().await
    }

    async fn sign(&self, call: &Call, mut transaction: TxEip1559) -> Result<(GasRecord, Vec<u8>), SendError> {
        let signature = self
            .0
            .signer
            .sign(&mut transaction)
            .await
            .map_err(|error| SendError::Signer { account: self.0.address, reason: error.to_string() })?;
        let nonce = transaction.nonce;
        let max_fee = U256::from(transaction.gas_limit) * U256::from(transaction.max_fee_per_gas);
        let signed = transaction.into_signed(signature);
        let network = self.0.chain.network();
        let record = GasRecord {
            contract: call.contract.clone(),
            function: call.function.clone(),
            from: self.0.address,
            to: call.to,
            nonce,
            tx: *signed.hash(),
            status: TransactionStatus::Pending,
            gas_used: None,
            effective_gas_price: None,
            block: None,
            max_fee,
            network: network.name.clone(),
            chain_id: network.chain_id,
            at: now_ms(),
        };
        Ok((record, signed.encoded_2718()))
    }

    /// What the market asks for. The usual estimate can be a tip of 1 wei, which some chains refuse.
    async fn fees(&self) -> Result<Fees, SendError> {
        let chain = &self.0.chain;
        let estimate = retrying(|| async { chain.provider().estimate_eip1559_fees().await }).await?;
        let fees = Fees { max: estimate.max_fee_per_gas, tip: estimate.max_priority_fee_per_gas };
        Ok(fees.with_tip_floor(chain.network().min_priority_fee.into()))
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn gwei(wei: u128) -> String {
    format!("{} gwei", wei as f64 / 1e9)
}

fn mentions(payload: &ErrorPayload, phrases: &[&str]) -> bool {
    let message = payload.message.to_lowercase();
    phrases.iter().any(|phrase| message.contains(phrase))
}

/// A transaction that has been broadcast.
#[derive(Debug)]
pub struct Submitted {
    account: Account,
    call: Call,
    transaction: TxEip1559,
    record: GasRecord,
    /// The same call with the same nonce for lower fees. At most one of them all is ever in a block.
    replaced: Vec<GasRecord>,
    raw: Vec<u8>,
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

    fn fees(&self) -> Fees {
        Fees { max: self.transaction.max_fee_per_gas, tip: self.transaction.max_priority_fee_per_gas }
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
    async fn raise(&mut self) -> Result<(), SendError> {
        let fees = match self.account.fees().await {
            Ok(market) => self.fees().raised(market),
            Err(_) => self.fees().raised(self.fees()),
        };
        // A node takes a replacement only for an eighth more. Where that is too dear, it waits as it is.
        let ceiling = u128::from(self.account.0.chain.network().max_fee_per_gas);
        if !self.call.urgent && ceiling != 0 && fees.max > ceiling {
            return Ok(());
        }
        self.transaction.max_fee_per_gas = fees.max;
        self.transaction.max_priority_fee_per_gas = fees.tip;
        let (record, raw) = self.account.sign(&self.call, self.transaction.clone()).await?;
        self.account.0.ledger.append(&record, true).await?;
        tracing::info!(tx = %self.record.tx, by = %record.tx, "no block takes a transaction; replacing it");
        if let Err(error) = self.account.0.chain.provider().send_raw_transaction(&raw).await {
            tracing::debug!(%error, "replacing a transaction");
        }
        self.replaced.push(std::mem::replace(&mut self.record, record));
        self.raw = raw;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tip_is_at_least_the_floor_and_the_cap_grows_with_it() {
        let fees = |max, tip| Fees { max, tip };
        assert_eq!(fees(1, 1).with_tip_floor(100_000_000), fees(100_000_000, 100_000_000));
        assert_eq!(fees(50, 10).with_tip_floor(4), fees(50, 10));
        assert_eq!(fees(2_000_000_001, 1).with_tip_floor(100), fees(2_000_000_100, 100));
    }

    #[test]
    fn a_ceiling_caps_what_is_offered_and_refuses_what_does_not_suffice() {
        let fees = |max, tip| Fees { max, tip };
        assert_eq!(fees(1_010, 10).below(0), Ok(fees(1_010, 10)));
        assert_eq!(fees(1_010, 10).below(2_000), Ok(fees(1_010, 10)));
        assert_eq!(fees(1_010, 10).below(510), Ok(fees(510, 10)), "enough for the base fee of 500 and the tip");
        assert_eq!(fees(1_010, 10).below(509), Err(510));
        assert_eq!(fees(1, u128::MAX).below(5), Err(u128::MAX), "whatever a node answers");
    }

    #[test]
    fn a_replacement_pays_an_eighth_more_at_least() {
        let fees = |max, tip| Fees { max, tip };
        assert_eq!(fees(800, 0).raised(fees(1, 1)), fees(900, 1));
        assert_eq!(fees(801, 9).raised(fees(1, 1)), fees(902, 11));
        assert_eq!(fees(800, 80).raised(fees(5_000, 1)), fees(5_000, 90));
    }
}
