//! The one place through which transactions go: simulate, price, write down, broadcast, wait, record.

mod error;
mod fees;
mod open;
mod submitted;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559},
    eips::{Encodable2718, eip2930::AccessList},
    network::TransactionBuilder,
    primitives::{Address, Bytes, TxKind, U256},
    providers::Provider,
    rpc::{json_rpc::ErrorPayload, types::TransactionRequest},
    signers::k256::elliptic_curve::rand_core::{OsRng, RngCore},
    sol_types::SolCall,
    transports::{RpcError, TransportError},
};
use tokio::sync::Mutex;

use self::fees::Fees;
pub use self::{
    error::{Quote, SendError},
    fees::Offer,
    submitted::Submitted,
};
use crate::{
    amount::format_amount,
    connection::{Chain, retrying},
    gas_ledger::{GasLedger, GasRecord, TransactionStatus, is_known, now_ms, spent_in_a_day},
    signer::Signer,
};
use dtn_bindings::abi::{Revert, describe_call};

/// The most gas that one transaction may have since Osaka (EIP-7825).
const TRANSACTION_GAS_CAP: u64 = 1 << 24;

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
    offer: Offer,
    nonces: Mutex<Nonces>,
    on_sent: OnSent,
    /// What was found done that an earlier process had sent: not to be done again unasked.
    done_before: std::sync::Mutex<Vec<GasRecord>>,
}

type Tell = Box<dyn Fn(&GasRecord) + Send + Sync>;

/// Who is told of what was just sent.
#[derive(Default)]
struct OnSent(OnceLock<Tell>);

impl fmt::Debug for OnSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnSent")
    }
}

#[derive(Debug, Default)]
struct Nonces {
    /// The nonce after the last one used. A node that lags behind may not know of it yet.
    next: Option<u64>,
    /// What was given up waiting for, each with its fees. Everything after it would wait behind it, so the next
    /// transaction takes its place.
    stuck: BTreeMap<u64, Fees>,
}

impl Account {
    /// What a key or another signer sends to this chain, written into this gas ledger.
    pub fn new(chain: Chain, signer: impl Into<Signer>, ledger: GasLedger) -> Self {
        Self::with(chain, signer.into(), ledger, (false, Offer::default()))
    }

    /// The same, but it only simulates: what would be sent fails with [`SendError::DryRun`] instead.
    pub fn dry_run(chain: Chain, signer: impl Into<Signer>, ledger: GasLedger) -> Self {
        Self::with(chain, signer.into(), ledger, (true, Offer::default()))
    }

    /// The same, with what somebody says that it offers for gas. It knows nothing of what it was before: not its nonces either.
    pub fn offering(&self, offer: Offer) -> Self {
        let Inner { chain, signer, ledger, dry_run, .. } = &*self.0;
        Self::with(chain.clone(), signer.clone(), ledger.clone(), (*dry_run, offer))
    }

    fn with(chain: Chain, signer: Signer, ledger: GasLedger, (dry_run, offer): (bool, Offer)) -> Self {
        let address = signer.address();
        Self(Arc::new(Inner {
            chain,
            signer,
            address,
            ledger,
            dry_run,
            offer,
            nonces: Mutex::default(),
            on_sent: OnSent::default(),
            done_before: std::sync::Mutex::default(),
        }))
    }

    /// Has somebody told of every transaction as soon as a node has it. Only the first to ask is told.
    pub fn on_sent(&self, tell: impl Fn(&GasRecord) + Send + Sync + 'static) {
        self.0.on_sent.0.set(Box::new(tell)).ok();
    }

    fn told(&self, record: &GasRecord) {
        if let Some(tell) = self.0.on_sent.0.get() {
            tell(record);
        }
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

    /// What would be sent, if the account can pay for it.
    async fn quote(&self, call: &Call, gas: u64, gas_limit: u64, fees: Fees) -> Result<Quote, SendError> {
        let Call { contract, function, to, value, data, urgent: _ } = call.clone();
        let (from, call) = (self.0.address, describe_call(&data));
        let balance = retrying(|| async { self.0.chain.provider().get_balance(from).await }).await?;
        if balance < value.saturating_add(U256::from(gas_limit) * U256::from(fees.max)) {
            return Err(self.insufficient_funds().await);
        }
        Ok(Quote { contract, function, call, from, to, value, gas, gas_limit, max_fee_per_gas: fees.max })
    }

    fn transaction(&self, call: &Call, nonce: u64, gas_limit: u64, fees: Fees) -> TxEip1559 {
        TxEip1559 {
            chain_id: self.0.chain.chain_id(),
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.tip,
            to: TxKind::Call(call.to),
            value: call.value,
            access_list: AccessList::default(),
            input: call.data.clone(),
        }
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
    ///
    /// # Errors
    ///
    /// [`SendError::DoneBefore`], once, if an earlier process had sent the same and it was found to be done.
    pub async fn submit(&self, call: &Call) -> Result<Submitted, SendError> {
        if let Some(done) = self.done_before(call) {
            return Err(SendError::DoneBefore(Box::new(done)));
        }
        let estimate = self.simulate(call).await?;
        // A few units more or less cost nothing and tell apart transactions that are alike otherwise: signed with a nonce
        // that is taken, one must not pass for the other, which is done.
        let mark = u64::from(OsRng.next_u32() % GAS_MARKS);
        let gas_limit = match self.0.offer.gas_limit {
            Some(limit) if limit < estimate => return Err(SendError::GasLimit { limit, estimate }),
            Some(limit) => limit,
            None => (estimate + estimate / 4 + mark).min(TRANSACTION_GAS_CAP.max(estimate)),
        };
        let market = self.fees().await?;
        if self.0.dry_run {
            return Err(SendError::DryRun(Box::new(self.quote(call, estimate, gas_limit, market).await?)));
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
            let transaction = self.transaction(call, nonce, gas_limit, fees);
            if fees.within(self.0.offer) != fees {
                return Err(self.too_dear(fees.max));
            }
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
            if let Some(payload) = self.broadcast(&record, &raw).await.inspect_err(|_| nonces.next = None)? {
                nonces.next = None;
                if mentions(&payload, &["nonce too low", "replacement transaction underpriced"])
                    && attempts < NONCE_ATTEMPTS
                {
                    if let Some(stuck) = nonces.stuck.get_mut(&nonce) {
                        *stuck = fees;
                    }
                    continue;
                }
                if mentions(&payload, &["insufficient funds"]) {
                    return Err(self.insufficient_funds().await);
                }
                return Err(self.refused(&transaction, payload).await);
            }
            self.told(&record);
            nonces.stuck.remove(&nonce);
            nonces.next = Some(nonces.next.map_or(nonce + 1, |next| next.max(nonce + 1)));
            let (account, call, replaced) = (self.clone(), call.clone(), Vec::new());
            return Ok(Submitted { account, call, transaction, record, replaced, raw });
        }
    }

    /// Sends what was signed. Gives the node's refusal if no node has it: then it is written down as dropped.
    ///
    /// # Errors
    ///
    /// If that cannot be told: the record stays open.
    async fn broadcast(&self, record: &GasRecord, raw: &[u8]) -> Result<Option<ErrorPayload>, SendError> {
        let provider = self.0.chain.provider();
        let refused = match retrying(|| async { provider.send_raw_transaction(raw).await.map(drop) }).await {
            Ok(()) => return Ok(None),
            Err(RpcError::ErrorResp(payload)) if mentions(&payload, &["already known", "already imported"]) => {
                return Ok(None);
            }
            Err(RpcError::ErrorResp(payload)) => payload,
            Err(source) => return Err(SendError::PerhapsSent { record: Box::new(record.clone()), source }),
        };
        // When an answer was lost, the repeated request is refused because the first one was accepted.
        match is_known(record.tx, &self.0.chain).await {
            Ok(true) => Ok(None),
            Ok(false) => {
                let dropped = GasRecord { status: TransactionStatus::Dropped, ..record.clone() };
                self.0.ledger.append(&dropped, false).await?;
                Ok(Some(refused))
            }
            Err(source) => Err(SendError::PerhapsSent { record: Box::new(record.clone()), source }),
        }
    }

    /// Why a node does not take what was offered for gas, where its last block tells.
    async fn refused(&self, transaction: &TxEip1559, payload: ErrorPayload) -> SendError {
        let provider = self.0.chain.provider();
        let block =
            retrying(|| async { provider.get_block(alloy::eips::BlockId::latest()).await }).await.ok().flatten();
        let header = block.map(|block| block.header.inner).unwrap_or_default();
        let (base_fee, limit) = (header.base_fee_per_gas.unwrap_or_default(), transaction.gas_limit);
        let most = header.gas_limit.min(TRANSACTION_GAS_CAP);
        if transaction.max_fee_per_gas < u128::from(base_fee) {
            return self.too_dear(base_fee.into());
        }
        if limit > most && most > 0 {
            return SendError::GasLimitAboveBlock { limit, most };
        }
        TransportError::ErrorResp(payload).into()
    }

    fn below_ceiling(&self, market: Fees) -> Result<Fees, SendError> {
        market.below(self.0.chain.network().max_fee_per_gas.into()).map_err(|fee| self.too_dear(fee))
    }

    fn too_dear(&self, fee: u128) -> SendError {
        let network = self.0.chain.network();
        let limits = [u128::from(network.max_fee_per_gas), self.0.offer.max.unwrap_or(0)];
        let ceiling = limits.into_iter().filter(|limit| *limit != 0).min().unwrap_or(0);
        SendError::AboveCeiling { fee, ceiling, network: network.name.clone() }
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
        let raw = signed.encoded_2718();
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
            value: call.value,
            raw: Bytes::copy_from_slice(&raw),
        };
        Ok((record, raw))
    }

    /// What the market asks for, or what was said to be offered. The usual estimate can be a tip of 1 wei, which some chains
    /// refuse.
    async fn fees(&self) -> Result<Fees, SendError> {
        let chain = &self.0.chain;
        let estimate = retrying(|| async { chain.provider().estimate_eip1559_fees().await }).await?;
        let fees = Fees { max: estimate.max_fee_per_gas, tip: estimate.max_priority_fee_per_gas };
        self.0.offer.instead_of(fees.with_tip_floor(chain.network().min_priority_fee.into()))
    }
}

fn mentions(payload: &ErrorPayload, phrases: &[&str]) -> bool {
    let message = payload.message.to_lowercase();
    phrases.iter().any(|phrase| message.contains(phrase))
}
